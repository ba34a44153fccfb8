//! `ini_file`: options in the sections of an INI file.

use super::attrs::file_params;
use super::edit::{Edit, EditStep, Edited};
use super::{Args, Controller, Failure, FreeForm, Module, Param, Runs, Spec, Step, Type};
use minijinja::Value;

/// See the module's own documentation.
pub(crate) struct IniFile;

static SPEC: Spec = Spec {
    name: "ini_file",
    collection: "community.general",
    aliases: &[],
    doc: "Set options in INI files",
    params: file_params![
        Param::new("path", Type::Path, "the file")
            .required()
            .aliases(&["dest"]),
        Param::new(
            "section",
            Type::Str,
            "the section; none for what comes before all sections"
        ),
        Param::new(
            "section_has_values",
            Type::List,
            "only a section with these options"
        ),
        Param::new(
            "option",
            Type::Str,
            "the option; none for the whole section"
        ),
        Param::new("value", Type::Str, "its value"),
        Param::new(
            "values",
            Type::List,
            "its values, for options that come several times"
        ),
        Param::new("state", Type::Str, "whether it is there")
            .default("present")
            .choices(&["absent", "present"]),
        Param::new("exclusive", Type::Bool, "other values of the option go").default("true"),
        Param::new("no_extra_spaces", Type::Bool, "no blanks around `=`").default("false"),
        Param::new(
            "ignore_spaces",
            Type::Bool,
            "a line that differs only in blanks is right"
        )
        .default("false"),
        Param::new("allow_no_value", Type::Bool, "options without a value").default("false"),
        Param::new(
            "modify_inactive_option",
            Type::Bool,
            "use a commented line of the option"
        )
        .default("true"),
        Param::new("create", Type::Bool, "make the file when it is missing").default("true"),
        Param::new("backup", Type::Bool, "keep a dated copy of the old file").default("false"),
        Param::new("follow", Type::Bool, "write through a link").default("false"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for IniFile {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        if args.has("value") && args.has("values") {
            return Err(Failure::of(
                "values",
                "parameters are mutually exclusive: value|values",
            ));
        }
        let present = args.text("state") == "present";
        let mut values: Vec<String> = Vec::new();
        for value in args.str("value").into_iter().chain(args.strings("values")) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        let none = values.is_empty();
        if present && !args.bool("allow_no_value") && none {
            return Err(Failure::new(
                "Parameter 'value(s)' must be defined if state=present and allow_no_value=False.",
            ));
        }
        let edit = Ini {
            present,
            section: args.str("section").filter(|section| !section.is_empty()),
            conditions: conditions(args)?,
            option: args.str("option").filter(|option| !option.is_empty()),
            values,
            exclusive: args.bool("exclusive"),
            no_extra_spaces: args.bool("no_extra_spaces"),
            ignore_spaces: args.bool("ignore_spaces"),
            allow_no_value: args.bool("allow_no_value"),
            inactive: args.bool("modify_inactive_option"),
            create: args.bool("create"),
        };
        let mut step = EditStep::new(args, edit)?;
        step.follow = args.bool("follow");
        Ok(Box::new(step))
    }
}

/// `section_has_values`: options and the values one of which they must have.
fn conditions(args: &Args) -> Result<Vec<(String, Vec<String>)>, Failure> {
    let mut out = Vec::new();
    for item in args.list("section_has_values") {
        let field = |name: &str| item.get_item(&Value::from(name)).unwrap_or_default();
        let given = |value: &Value| !value.is_undefined() && !value.is_none();
        let option = field("option");
        if !given(&option) {
            return Err(Failure::of(
                "section_has_values",
                "missing required arguments: option found in section_has_values",
            ));
        }
        let (value, values) = (field("value"), field("values"));
        let values = if given(&value) {
            vec![super::args::text(&value)]
        } else {
            values
                .try_iter()
                .into_iter()
                .flatten()
                .map(|value| super::args::text(&value))
                .collect()
        };
        out.push((super::args::text(&option), values));
    }
    Ok(out)
}

struct Ini {
    present: bool,
    section: Option<String>,
    conditions: Vec<(String, Vec<String>)>,
    option: Option<String>,
    values: Vec<String>,
    exclusive: bool,
    no_extra_spaces: bool,
    ignore_spaces: bool,
    allow_no_value: bool,
    inactive: bool,
    create: bool,
}

/// A line as an option: whether it is commented out, and its value (empty without one).
fn option_line<'a>(option: &str, line: &'a str) -> Option<(bool, &'a str)> {
    let blank = [' ', '\t'];
    let line = line.strip_suffix('\n').unwrap_or(line);
    let mut rest = line.trim_start_matches(blank);
    let commented = rest.starts_with(['#', ';']);
    if commented {
        rest = rest[1..].trim_start_matches(blank);
    }
    let rest = rest.strip_prefix(option)?.trim_start_matches(blank);
    match rest.strip_prefix('=') {
        Some(value) => Some((commented, value.trim_start_matches(blank))),
        None if rest.is_empty() => Some((commented, "")),
        None => None,
    }
}

/// Whether a line is a section's head.
fn is_head(section: &str, line: &str) -> bool {
    line.strip_prefix('[')
        .and_then(|rest| rest.trim_start().strip_prefix(section.trim()))
        .is_some_and(|rest| rest.trim_start().starts_with(']'))
}

/// Lines of a section that are being changed.
struct Section {
    lines: Vec<String>,
    /// Lines that are as they shall be.
    settled: Vec<bool>,
    changed: bool,
    msg: &'static str,
}

impl Ini {
    fn format(&self, option: &str, value: &str) -> String {
        if self.no_extra_spaces {
            format!("{option}={value}\n")
        } else {
            format!("{option} = {value}\n")
        }
    }

    fn matches<'a>(&self, option: &str, line: &'a str) -> Option<&'a str> {
        option_line(option, line)
            .filter(|(commented, _)| self.inactive || !commented)
            .map(|(_, value)| value)
    }

    fn update(&self, section: &mut Section, at: usize, option: &str, new: String) {
        let old = &section.lines[at];
        let differs = match (self.ignore_spaces, option_line(option, old)) {
            (true, Some((false, value))) => {
                Some(value) != option_line(option, &new).map(|(_, value)| value)
            }
            _ => *old != new,
        };
        if differs {
            section.lines[at] = new;
            section.changed = true;
            section.msg = "option changed";
        }
        section.settled[at] = true;
    }

    fn fits(&self, lines: &[String]) -> bool {
        self.conditions.iter().all(|(option, values)| {
            lines.iter().any(|line| {
                option_line(option, line).is_some_and(|(_, value)| {
                    values.is_empty() || values.iter().any(|v| v == value)
                })
            })
        })
    }

    /// The section's lines, head included: from where to where, if it is there.
    fn range(&self, lines: &[String]) -> Option<std::ops::Range<usize>> {
        let heads = |from: usize| (from..lines.len()).find(|at| lines[*at].starts_with('['));
        let Some(section) = &self.section else {
            // What comes before all sections has no head.
            return Some(0..heads(0).unwrap_or(lines.len()))
                .filter(|range| self.fits(&lines[range.clone()]));
        };
        let mut at = 0;
        while let Some(start) = (at..lines.len()).find(|at| is_head(section, &lines[*at])) {
            let end = heads(start + 1).unwrap_or(lines.len());
            if self.fits(&lines[start..end]) {
                return Some(start..end);
            }
            at = end;
        }
        None
    }

    fn set(&self, section: &mut Section, option: &str) {
        let mut values = self.values.clone();
        let mut bare = false;
        for at in 0..section.lines.len() {
            let Some(value) = self.matches(option, &section.lines[at]).map(str::to_owned) else {
                continue;
            };
            if let Some(index) = values.iter().position(|wanted| *wanted == value) {
                let new = if value.is_empty() && self.allow_no_value {
                    bare = true;
                    format!("{option}\n")
                } else {
                    self.format(option, &value)
                };
                self.update(section, at, option, new);
                values.remove(index);
            } else if values.is_empty() && self.allow_no_value && self.values.is_empty() {
                self.update(section, at, option, format!("{option}\n"));
                bare = true;
                break;
            }
        }
        if self.exclusive && !self.allow_no_value {
            for at in 0..section.lines.len() {
                if values.is_empty() {
                    break;
                }
                if !section.settled[at] && self.matches(option, &section.lines[at]).is_some() {
                    let new = self.format(option, &values.remove(0));
                    self.update(section, at, option, new);
                }
            }
            let first = usize::from(self.section.is_some());
            for at in (first..section.lines.len()).rev() {
                if !section.settled[at] && self.matches(option, &section.lines[at]).is_some() {
                    section.lines.remove(at);
                    section.settled.remove(at);
                    section.changed = true;
                    section.msg = "option changed";
                }
            }
        }
        let filled = |line: &String| {
            let line = line.trim_matches([' ', '\t', '\n', '\r']);
            !line.is_empty() && !line.starts_with(['#', ';'])
        };
        // New lines go behind the last one that says something, the head at least.
        let at = section
            .lines
            .iter()
            .rposition(filled)
            .map_or(0, |at| at + 1);
        let mut new: Vec<String> = values
            .iter()
            .map(|value| self.format(option, value))
            .collect();
        if self.values.is_empty() && self.allow_no_value && !bare {
            new.push(format!("{option}\n"));
        }
        if !new.is_empty() {
            section.lines.splice(at..at, new);
            section.changed = true;
            section.msg = "option added";
        }
    }

    fn remove(&self, section: &mut Section) {
        let Some(option) = &self.option else {
            section.changed |= !section.lines.is_empty();
            if section.changed {
                section.msg = "section removed";
            }
            section.lines.clear();
            return;
        };
        let count = section.lines.len();
        section
            .lines
            .retain(|line| match option_line(option, line) {
                Some((false, value)) => {
                    !self.exclusive && !self.values.iter().any(|wanted| wanted == value)
                }
                _ => true,
            });
        if section.lines.len() != count {
            section.changed = true;
            section.msg = "option changed";
        }
    }

    /// A section that was not there.
    fn new_section(&self, lines: &mut Vec<String>) -> &'static str {
        let section = self.section.clone().unwrap_or_default();
        lines.push(format!("[{section}]\n"));
        let mut values = self.values.clone();
        for (option, wanted) in &self.conditions {
            if Some(option) != self.option.as_ref() {
                if wanted.is_empty() && self.allow_no_value {
                    lines.push(format!("{option}\n"));
                }
                lines.extend(wanted.iter().map(|value| self.format(option, value)));
            } else if !self.exclusive {
                let more: Vec<String> = wanted
                    .iter()
                    .filter(|value| !values.contains(value))
                    .cloned()
                    .collect();
                values.extend(more);
            }
        }
        match &self.option {
            Some(option) if !values.is_empty() => {
                lines.extend(values.iter().map(|value| self.format(option, value)));
                "section and option added"
            }
            Some(option) if self.allow_no_value => {
                lines.push(format!("{option}\n"));
                "section and option added"
            }
            _ => "only section added",
        }
    }
}

impl Edit for Ini {
    fn tells_state(&self) -> bool {
        true
    }

    fn edit(&self, path: &str, old: Option<&[u8]>) -> Result<Edited, Failure> {
        if old.is_none() && !self.create {
            let mut failure = Failure::new(format!("Destination {path} does not exist!"));
            failure.data.insert("rc".into(), 257.into());
            return Err(failure);
        }
        let bytes = old.unwrap_or_default();
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text =
            std::str::from_utf8(bytes).map_err(|_| Failure::new(format!("{path} is not UTF-8")))?;
        let text = text.replace("\r\n", "\n");
        let mut lines: Vec<String> = text.split_inclusive('\n').map(str::to_owned).collect();
        let mut changed = false;
        if let Some(last) = lines.last_mut()
            && !last.ends_with('\n')
        {
            last.push('\n');
            changed = true;
        }
        let mut msg = "OK";
        // An empty file has one empty line for Ansible.
        if lines.is_empty() {
            lines.push("\n".into());
        }
        match self.range(&lines) {
            Some(range) => {
                let part = lines[range.clone()].to_vec();
                let mut section = Section {
                    settled: vec![false; part.len()],
                    lines: part,
                    changed: false,
                    msg: "OK",
                };
                match (&self.option, self.present) {
                    (Some(option), true) => self.set(&mut section, option),
                    (None, true) => {}
                    (_, false) => self.remove(&mut section),
                }
                changed |= section.changed;
                msg = section.msg;
                lines.splice(range, section.lines);
            }
            None if self.present => {
                msg = self.new_section(&mut lines);
                changed = true;
            }
            None => {}
        }
        Ok(Edited {
            bytes: changed.then(|| lines.concat().into_bytes()),
            msg: msg.into(),
            ..Edited::default()
        })
    }

    fn tells_attrs(&self) -> bool {
        false
    }
}
