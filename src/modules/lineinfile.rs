//! `lineinfile`: one line of a text file is there, is another, or is not there.

use super::attrs::file_params;
use super::edit::{Edit, EditStep, Edited};
use super::regex::{self, Encoding, Flags};
use super::{Args, Controller, Failure, FreeForm, Module, Param, Runs, Spec, Step, Type};
use fancy_regex::Regex;

/// See the module's own documentation.
pub(crate) struct Lineinfile;

static SPEC: Spec = Spec {
    name: "lineinfile",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Ensure that a line is in a file, or replace or remove it",
    params: file_params![
        Param::new("path", Type::Path, "the file")
            .required()
            .aliases(&["dest", "destfile", "name"]),
        Param::new("state", Type::Str, "whether the line is there")
            .default("present")
            .choices(&["absent", "present"]),
        Param::new(
            "regexp",
            Type::Str,
            "pattern of the line to replace or remove"
        )
        .aliases(&["regex"]),
        Param::new(
            "search_string",
            Type::Str,
            "literal part of the line to replace or remove"
        ),
        Param::new("line", Type::Str, "the line").aliases(&["value"]),
        Param::new(
            "insertafter",
            Type::Str,
            "`EOF`, `BOF` or the pattern of the line before"
        ),
        Param::new(
            "insertbefore",
            Type::Str,
            "`BOF` or the pattern of the line behind"
        ),
        Param::new(
            "backrefs",
            Type::Bool,
            "fill groups of `regexp` into `line`"
        )
        .default("false"),
        Param::new("create", Type::Bool, "make the file when it is missing").default("false"),
        Param::new("backup", Type::Bool, "keep a dated copy of the old file").default("false"),
        Param::new(
            "firstmatch",
            Type::Bool,
            "act on the first match, not the last"
        )
        .default("false"),
        Param::new(
            "validate",
            Type::Str,
            "command that must accept the file, `%s` is its path"
        ),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Lineinfile {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        for (one, other) in [
            ("insertbefore", "insertafter"),
            ("regexp", "search_string"),
            ("backrefs", "search_string"),
        ] {
            let given = |name: &str| args.has(name) && (name != "backrefs" || args.bool(name));
            if given(one) && given(other) {
                return Err(Failure::of(
                    other,
                    format!("parameters are mutually exclusive: {one}|{other}"),
                ));
            }
        }
        let present = args.text("state") == "present";
        if present && args.bool("backrefs") && !args.has("regexp") {
            return Err(Failure::of(
                "backrefs",
                "regexp is required with backrefs=true",
            ));
        }
        if present && !args.has("line") {
            return Err(Failure::new("line is required with state=present"));
        }
        if !present
            && !["line", "search_string", "regexp"]
                .iter()
                .any(|name| args.has(name))
        {
            return Err(Failure::new(
                "one of line, search_string, or regexp is required with state=absent",
            ));
        }
        let edit = Line {
            present,
            regexp: args.str("regexp"),
            search_string: args.str("search_string"),
            line: args.str("line"),
            insertafter: args.str("insertafter"),
            insertbefore: args.str("insertbefore"),
            backrefs: args.bool("backrefs"),
            create: args.bool("create"),
            firstmatch: args.bool("firstmatch"),
        };
        for (name, pattern) in [
            ("regexp", &edit.regexp),
            ("insertafter", &edit.insertafter),
            ("insertbefore", &edit.insertbefore),
        ] {
            if let Some(pattern) = pattern {
                regex::compile(pattern, Flags::default()).map_err(|why| Failure::of(name, why))?;
            }
        }
        Ok(Box::new(EditStep::new(args, edit)?))
    }
}

struct Line {
    present: bool,
    regexp: Option<String>,
    search_string: Option<String>,
    line: Option<String>,
    insertafter: Option<String>,
    insertbefore: Option<String>,
    backrefs: bool,
    create: bool,
    firstmatch: bool,
}

/// How the wanted line is told from others.
enum Matcher<'a> {
    Pattern(Regex),
    Part(&'a str),
    None,
}

impl Matcher<'_> {
    fn matches(&self, line: &str) -> bool {
        match self {
            Self::Pattern(regex) => regex::search(regex, line),
            Self::Part(part) => line.contains(part),
            Self::None => false,
        }
    }
}

impl Edit for Line {
    fn backup_field(&self) -> (&'static str, bool) {
        ("backup", true)
    }

    fn edit(&self, path: &str, old: Option<&[u8]>) -> Result<Edited, Failure> {
        let mut edited = Edited::default();
        if old.is_none() && !self.present {
            edited.msg = "file not present".into();
            return Ok(edited);
        }
        if old.is_none() && !self.create {
            let mut failure = Failure::new(format!("Destination {path} does not exist !"));
            failure.data.insert("rc".into(), 257.into());
            return Err(failure);
        }
        for (given, name) in [
            (&self.regexp, "regular expression"),
            (&self.search_string, "search string"),
        ] {
            if given.as_deref() == Some("") {
                let mut text = format!(
                    "The {name} is an empty string, which will match every line in the file. This may have unintended consequences, such as replacing the last line in the file rather than appending."
                );
                if self.regexp.is_some() {
                    text.push_str(" If this is desired, use '^' to match every line in the file and avoid this warning.");
                }
                edited.warnings.push(text);
            }
        }
        let encoding = Encoding::of(old.unwrap_or_default());
        let text = encoding.decode(old.unwrap_or_default());
        let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        let compile = |pattern: &str| {
            regex::compile(&encoding.argument(pattern), Flags::default()).map_err(Failure::new)
        };
        let part = self
            .search_string
            .as_deref()
            .map(|part| encoding.argument(part));
        let matcher = match (&self.regexp, &part) {
            (Some(pattern), _) => Matcher::Pattern(compile(pattern)?),
            (None, Some(part)) => Matcher::Part(part),
            (None, None) => Matcher::None,
        };
        let line = encoding.argument(self.line.as_deref().unwrap_or_default());
        let changed = if self.present {
            let insert = match (&self.insertafter, &self.insertbefore) {
                (Some(after), _) if after != "EOF" && after != "BOF" => Some(compile(after)?),
                (None, Some(before)) if before != "BOF" => Some(compile(before)?),
                _ => None,
            };
            edited.msg = self
                .insert(&mut lines, &matcher, &line, insert.as_ref())?
                .to_owned();
            !edited.msg.is_empty()
        } else {
            let count = lines.len();
            lines.retain(|now| match matcher {
                Matcher::None => stripped(now) != line,
                _ => !matcher.matches(now),
            });
            let found = count - lines.len();
            edited.data.push(("found", found.into()));
            if found > 0 {
                edited.msg = format!("{found} line(s) removed");
            }
            found > 0
        };
        if changed {
            edited.bytes = Some(encoding.encode(&lines.concat()));
        }
        Ok(edited)
    }
}

fn stripped(line: &str) -> &str {
    line.trim_end_matches(['\r', '\n'])
}

impl Line {
    /// Puts the line where it belongs; says what was done, nothing when it is there.
    fn insert(
        &self,
        lines: &mut Vec<String>,
        matcher: &Matcher,
        line: &str,
        insert: Option<&Regex>,
    ) -> Result<&'static str, Failure> {
        let wanted = format!("{line}\n");
        let matching = |now: &String| matcher.matches(now);
        let found = if self.firstmatch {
            lines.iter().position(matching)
        } else {
            lines.iter().rposition(matching)
        };
        if let Some(at) = found {
            let mut new = line.to_owned();
            if self.backrefs
                && let Matcher::Pattern(regex) = matcher
                && let Ok(Some(captures)) = regex.captures(lines[at].as_str())
            {
                new = regex::expand(line, &captures).map_err(|why| Failure::of("line", why))?;
            }
            if !new.ends_with('\n') {
                new.push('\n');
            }
            if lines[at] == new {
                return Ok("");
            }
            lines[at] = new;
            return Ok("line replaced");
        }
        let after = self.insertafter.as_deref();
        let before = self.insertbefore.as_deref();
        let (mut exact, mut place) = (None, None);
        for (at, now) in lines.iter().enumerate() {
            if stripped(now) == line {
                exact = Some(at);
            } else if insert.is_some_and(|regex| regex::search(regex, now)) {
                place = Some(if after.is_some() { at + 1 } else { at });
                if self.firstmatch {
                    break;
                }
            }
        }
        if let Some(at) = exact {
            // The line itself is there; only its end may have to be put right.
            if lines[at] == wanted {
                return Ok("");
            }
            lines[at] = wanted;
            return Ok("line replaced");
        }
        if self.backrefs {
            return Ok("");
        }
        let unended = lines
            .last()
            .is_some_and(|last| !last.ends_with(['\n', '\r']));
        match place {
            _ if before == Some("BOF") || after == Some("BOF") => lines.insert(0, wanted),
            None => {
                if unended {
                    lines.push("\n".into());
                }
                lines.push(wanted);
            }
            Some(at) if after.is_some() && at == lines.len() => {
                if unended && let Some(last) = lines.last_mut() {
                    last.push('\n');
                }
                lines.push(wanted);
            }
            // With `firstmatch` the search stopped before it came to the line itself.
            Some(at) if after.is_some() && stripped(&lines[at]) == line => return Ok(""),
            Some(at) => lines.insert(at, wanted),
        }
        Ok("line added")
    }
}
