//! `replace`: every match of a pattern in a text file.

use super::attrs::file_params;
use super::edit::{Edit, EditStep, Edited};
use super::regex::{self, Encoding, Flags};
use super::{Args, Controller, Failure, FreeForm, Module, Param, Runs, Spec, Step, Type};

/// See the module's own documentation.
pub(crate) struct Replace;

static SPEC: Spec = Spec {
    name: "replace",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Replace every match of a pattern in a file",
    params: file_params![
        Param::new("path", Type::Path, "the file")
            .required()
            .aliases(&["dest", "destfile", "name"]),
        Param::new(
            "regexp",
            Type::Str,
            "what to look for, over all lines (`^` and `$` are those of each line)"
        )
        .required(),
        Param::new(
            "replace",
            Type::Str,
            "what to put there, with `\\1` and `\\g<name>`"
        )
        .default(""),
        Param::new("after", Type::Str, "pattern: only behind its match"),
        Param::new("before", Type::Str, "pattern: only before its match"),
        Param::new("backup", Type::Bool, "keep a dated copy of the old file").default("false"),
        Param::new(
            "validate",
            Type::Str,
            "command that must accept the file, `%s` is its path"
        ),
        Param::new(
            "encoding",
            Type::Str,
            "of the file: utf-8, or latin-1 for anything else"
        )
        .default("utf-8"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Replace {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let edit = Substitution {
            regexp: args.text("regexp"),
            replace: args.text("replace"),
            after: args.text("after"),
            before: args.text("before"),
        };
        for name in ["regexp", "after", "before"] {
            if let Some(pattern) = args.str(name) {
                regex::compile(&pattern, Flags::default()).map_err(|why| Failure::of(name, why))?;
            }
        }
        // Python looks at the whole replacement before it looks for matches.
        regex::check(&edit.regexp, &edit.replace).map_err(|why| unusable(&why))?;
        Ok(Box::new(EditStep::new(args, edit)?))
    }
}

fn unusable(why: &str) -> Failure {
    Failure::of(
        "replace",
        format!("Unable to process replace due to error: {why}"),
    )
}

struct Substitution {
    regexp: String,
    replace: String,
    after: String,
    before: String,
}

impl Edit for Substitution {
    fn edit(&self, path: &str, old: Option<&[u8]>) -> Result<Edited, Failure> {
        let Some(old) = old else {
            let mut failure = Failure::new(format!("Path {path} does not exist !"));
            failure.data.insert("rc".into(), 257.into());
            return Err(failure);
        };
        let encoding = Encoding::of(old);
        let text = encoding.decode(old);
        let mut edited = Edited {
            data: vec![("rc", 0.into())],
            ..Edited::default()
        };
        let section = match (self.after.is_empty(), self.before.is_empty()) {
            (true, true) => None,
            (false, false) => Some(format!("{}(?P<subsection>.*?){}", self.after, self.before)),
            (false, true) => Some(format!("{}(?P<subsection>.*)", self.after)),
            (true, false) => Some(format!("(?P<subsection>.*){}", self.before)),
        };
        let mut range = 0..text.len();
        if let Some(pattern) = section {
            let flags = Flags {
                dotall: true,
                ..Flags::default()
            };
            let regex =
                regex::compile(&encoding.argument(&pattern), flags).map_err(Failure::new)?;
            let captures = regex
                .captures(&text)
                .map_err(|why| Failure::new(why.to_string()))?;
            match captures.and_then(|captures| captures.name("subsection")) {
                Some(found) => range = found.range(),
                None => {
                    edited.msg = format!(
                        "Pattern for before/after params did not match the given file: {pattern}"
                    );
                    return Ok(edited);
                }
            }
        }
        let flags = Flags {
            multiline: true,
            ..Flags::default()
        };
        let regex =
            regex::compile(&encoding.argument(&self.regexp), flags).map_err(Failure::new)?;
        let (new, count) = regex::subn(
            &regex,
            &encoding.argument(&self.replace),
            &text[range.clone()],
        )
        .map_err(|why| unusable(&why))?;
        if count > 0 && new != text[range.clone()] {
            let whole = format!("{}{new}{}", &text[..range.start], &text[range.end..]);
            edited.bytes = Some(encoding.encode(&whole));
            edited.msg = format!("{count} replacements made");
        }
        Ok(edited)
    }
}
