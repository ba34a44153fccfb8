//! `pamd`: rules of a service in `/etc/pam.d`.

use super::rule::{self, Act, Known, Rule, Verdict};
use super::{
    Args, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Runs, Seen, Spec, Step,
    Type,
};

/// `pamd`.
pub(crate) struct Pamd;

const TYPES: &[&str] = &[
    "account",
    "-account",
    "auth",
    "-auth",
    "password",
    "-password",
    "session",
    "-session",
];

static SPEC: Spec = Spec {
    name: "pamd",
    collection: "community.general",
    aliases: &[],
    doc: "Manages rules of PAM",
    params: &[
        Param::new("name", Type::Str, "the service").required(),
        Param::new("type", Type::Str, "type of the rule")
            .required()
            .choices(TYPES),
        Param::new("control", Type::Str, "control of the rule").required(),
        Param::new("module_path", Type::Str, "module of the rule").required(),
        Param::new("new_type", Type::Str, "its new type").choices(TYPES),
        Param::new("new_control", Type::Str, "its new control"),
        Param::new("new_module_path", Type::Str, "its new module"),
        Param::new("module_arguments", Type::List, "arguments of the module"),
        Param::new("state", Type::Str, "what to do with the rule")
            .choices(&[
                "absent",
                "after",
                "args_absent",
                "args_present",
                "before",
                "updated",
            ])
            .default("updated"),
        Param::new("path", Type::Path, "folder of the services").default("/etc/pam.d"),
        Param::new("backup", Type::Bool, "keep the old file").default("false"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Pamd {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let state = args.text("state");
        let needs: &[&str] = match state.as_str() {
            "args_present" | "args_absent" => &["module_arguments"],
            "before" | "after" => &["new_control", "new_type", "new_module_path"],
            _ => &[],
        };
        let missing: Vec<&str> = needs
            .iter()
            .copied()
            .filter(|name| !args.has(name))
            .collect();
        if !missing.is_empty() {
            return Err(Failure::new(format!(
                "state is {state} but all of the following are missing: {}",
                missing.join(", ")
            )));
        }
        let arguments = args
            .has("module_arguments")
            .then(|| split_arguments(&args.strings("module_arguments")));
        if state == "args_present" && arguments.iter().flatten().any(|arg| arg.starts_with('[')) {
            return Err(Failure::of(
                "module_arguments",
                "Unable to process bracketed '[' complex arguments with 'args_present'. Please use 'updated'.",
            ));
        }
        let wanted = Wanted {
            file: format!(
                "{}/{}",
                args.text("path").trim_end_matches('/'),
                args.text("name")
            ),
            old: [
                args.text("type"),
                normal(&args.text("control")),
                args.text("module_path"),
            ],
            new: [
                args.str("new_type"),
                args.str("new_control").map(|c| normal(&c)),
                args.str("new_module_path"),
            ],
            arguments,
            state,
            backup: args.bool("backup"),
        };
        let file = wanted.file.clone();
        Rule::new(vec![rule::content(&file), rule::stat(&file)], move |seen| {
            wanted.judge(seen)
        })
        .finish(|outcome, _, replies, _| {
            let backup = super::write::backup_file(replies).unwrap_or_default();
            outcome.with("backupdest", backup)
        })
        .step()
    }
}

/// A control without blanks around its signs.
fn normal(control: &str) -> String {
    if control.starts_with('[') {
        control.replace(" = ", "=")
    } else {
        control.to_owned()
    }
}

/// Arguments between blanks; brackets hold together.
fn split_arguments(items: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    for item in items {
        let mut word = String::new();
        let mut depth = 0;
        for c in item.chars() {
            match c {
                '[' => depth += 1,
                ']' => depth -= 1,
                c if c.is_whitespace() && depth == 0 => {
                    if !word.is_empty() {
                        all.push(std::mem::take(&mut word));
                    }
                    continue;
                }
                _ => {}
            }
            word.push(c);
        }
        if !word.is_empty() {
            all.push(word);
        }
    }
    all
}

/// A line: a rule, or anything else as it is.
#[derive(Debug, Clone, PartialEq)]
enum Line {
    Rule {
        key: [String; 3],
        arguments: Vec<String>,
    },
    Other(String),
}

impl Line {
    fn parse(line: &str) -> Self {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') || text.starts_with("@include") {
            return Self::Other(line.to_owned());
        }
        let mut words = split_arguments(&[text.to_owned()]).into_iter();
        match (words.next(), words.next(), words.next()) {
            (Some(kind), Some(control), Some(path)) => Self::Rule {
                key: [kind, normal(&control), path],
                arguments: words.collect(),
            },
            _ => Self::Other(line.to_owned()),
        }
    }

    fn is(&self, wanted: &[String; 3]) -> bool {
        matches!(self, Self::Rule { key, .. } if key == wanted)
    }

    fn is_rule(&self) -> bool {
        // An include stands for rules.
        match self {
            Self::Rule { .. } => true,
            Self::Other(text) => text.trim_start().starts_with('@'),
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Other(text) => text.clone(),
            Self::Rule {
                key: [kind, control, path],
                arguments,
            } => {
                let mut text = format!("{kind:<11}{control} {path}");
                for argument in arguments {
                    text.push(' ');
                    text.push_str(argument);
                }
                text
            }
        }
    }
}

struct Wanted {
    file: String,
    old: [String; 3],
    new: [Option<String>; 3],
    arguments: Option<Vec<String>>,
    state: String,
    backup: bool,
}

impl Wanted {
    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let Some(old) = rule::text(seen, &self.file)? else {
            let msg = format!(
                "Unable to open/read PAM module file {} with error [Errno 2] No such file or directory.",
                self.file
            );
            return Ok(Outcome::failed(msg).into());
        };
        let mut lines: Vec<Line> = old.lines().map(Line::parse).collect();
        let changes = self.apply(&mut lines);
        let outcome = Outcome::ok()
            .with("change_count", changes)
            .with("backupdest", "");
        if changes == 0 {
            return Ok(outcome.into());
        }
        let mut texts: Vec<String> = lines.iter().map(Line::text).collect();
        // Ansible leaves its mark in the second line.
        const MARK: &str = "# Updated by Ansible";
        let mark = format!("{MARK} - {}", timestamp());
        match texts.get_mut(1) {
            Some(line) if line.starts_with(MARK) => *line = mark,
            Some(_) => texts.insert(1, mark),
            None => {
                texts.insert(0, String::new());
                texts.insert(1, mark);
            }
        }
        let text = texts.join("\n") + "\n";
        let mut chunk = rule::write(
            &self.file,
            seen.stat(&self.file, true),
            &text,
            &super::attrs::Attrs::default(),
        )?;
        if self.backup {
            let keep = super::write::BACKUP.replace("$p", &super::sh::quote(&self.file));
            chunk.script = format!("{keep}{}", chunk.script);
        }
        let outcome = outcome.diff(&self.file, old, text);
        Ok(Act::change(
            vec![chunk],
            vec![Effect::Path(self.file.clone())],
            outcome,
            format!("writing {}", self.file),
        )
        .into())
    }

    fn new_key(&self) -> [String; 3] {
        [0, 1, 2].map(|i| self.new[i].clone().unwrap_or_else(|| self.old[i].clone()))
    }

    fn apply(&self, lines: &mut Vec<Line>) -> usize {
        let mut changes = 0;
        match self.state.as_str() {
            "absent" => {
                let before = lines.len();
                lines.retain(|line| !line.is(&self.old));
                changes = before - lines.len();
            }
            side @ ("before" | "after") => {
                let rule = Line::Rule {
                    key: self.new_key(),
                    arguments: self.arguments.clone().unwrap_or_default(),
                };
                let mut at = 0;
                while at < lines.len() {
                    if lines[at].is(&self.old) {
                        let neighbour = if side == "before" {
                            lines[..at].iter().rev().find(|line| line.is_rule())
                        } else {
                            lines[at + 1..].iter().find(|line| line.is_rule())
                        };
                        if !neighbour.is_some_and(|line| line.is(&self.new_key())) {
                            lines.insert(if side == "before" { at } else { at + 1 }, rule.clone());
                            changes += 1;
                            at += 1;
                        }
                    }
                    at += 1;
                }
            }
            state => {
                for line in lines.iter_mut().filter(|line| line.is(&self.old)) {
                    let Line::Rule { key, arguments } = line else {
                        continue;
                    };
                    let before = (key.clone(), arguments.clone());
                    let given = self.arguments.clone().unwrap_or_default();
                    match state {
                        "args_absent" => arguments.retain(|arg| !given.contains(arg)),
                        "args_present" => add_arguments(arguments, given),
                        _ => {
                            *key = self.new_key();
                            if let Some(given) = &self.arguments {
                                arguments.clone_from(given);
                            }
                        }
                    }
                    changes += usize::from(before != (key.clone(), arguments.clone()));
                }
            }
        }
        changes
    }
}

/// Adds arguments; one with a value takes the place of the same with another.
fn add_arguments(arguments: &mut Vec<String>, given: Vec<String>) {
    for argument in given {
        let name = argument.split_once('=').map(|(name, _)| format!("{name}="));
        let same = arguments.iter().position(|known| match &name {
            Some(name) => known.starts_with(name.as_str()),
            None => *known == argument,
        });
        match same {
            Some(at) => arguments[at] = argument,
            None => arguments.push(argument),
        }
    }
}

fn timestamp() -> String {
    let now = time::OffsetDateTime::now_utc();
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(state: &str, new: [Option<&str>; 3], arguments: Option<&[&str]>) -> (usize, String) {
        let wanted = Wanted {
            file: String::new(),
            old: ["auth", "required", "pam_unix.so"].map(str::to_owned),
            new: new.map(|word| word.map(str::to_owned)),
            arguments: arguments.map(|all| all.iter().map(|arg| (*arg).to_owned()).collect()),
            state: state.into(),
            backup: false,
        };
        let mut lines: Vec<Line> =
            "# c\nauth required pam_env.so\nauth       required pam_unix.so a b=1\n@include x"
                .lines()
                .map(Line::parse)
                .collect();
        let changes = wanted.apply(&mut lines);
        (
            changes,
            lines.iter().map(Line::text).collect::<Vec<_>>()[2..].join("|"),
        )
    }

    #[test]
    fn rules_come_change_and_go() {
        let none = [None, None, None];
        let new = [Some("auth"), Some("sufficient"), Some("pam_x.so")];
        assert_eq!(apply("absent", none, None), (1, "@include x".into()));
        assert_eq!(
            apply("updated", [None, Some("[a=1 b=2]"), None], None).1,
            "auth       [a=1 b=2] pam_unix.so a b=1|@include x"
        );
        assert_eq!(apply("updated", none, None).0, 0);
        assert_eq!(
            apply("before", new, None).1,
            "auth       sufficient pam_x.so|auth       required pam_unix.so a b=1|@include x"
        );
        assert_eq!(
            apply("after", new, Some(&["y"])).1,
            "auth       required pam_unix.so a b=1|auth       sufficient pam_x.so y|@include x"
        );
        assert_eq!(
            apply("args_present", none, Some(&["a", "b=2", "c"])).1,
            "auth       required pam_unix.so a b=2 c|@include x"
        );
        assert_eq!(
            apply("args_absent", none, Some(&["a"])).1,
            "auth       required pam_unix.so b=1|@include x"
        );
    }
}
