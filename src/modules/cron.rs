//! `cron`: jobs and variables in a user's crontab or in a file of `/etc/cron.d`, marked with `#Ansible: NAME` lines.

use super::attrs::Attrs;
use super::rule::{self, Act, Known, Rule, Verdict};
use super::sh::{quote, strings};
use super::{
    Args, Chunk, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Seen,
    Spec, Step, Type,
};

/// `cron`.
pub(crate) struct Cron;

static SPEC: Spec = Spec {
    name: "cron",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Manages cron jobs and variables",
    params: &[
        Param::new(
            "name",
            Type::Str,
            "description of the job, or name of the variable",
        )
        .required(),
        Param::new(
            "user",
            Type::Str,
            "whose crontab; the user of a job in `cron_file`",
        ),
        Param::new("job", Type::Str, "the command, or the variable's value").aliases(&["value"]),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["absent", "present"])
            .default("present"),
        Param::new(
            "cron_file",
            Type::Path,
            "a file of /etc/cron.d instead of a crontab",
        ),
        Param::new("backup", Type::Bool, "keep the old one in a temporary file").default("false"),
        Param::new("minute", Type::Str, "minute").default("*"),
        Param::new("hour", Type::Str, "hour").default("*"),
        Param::new("day", Type::Str, "day of the month")
            .aliases(&["dom"])
            .default("*"),
        Param::new("month", Type::Str, "month").default("*"),
        Param::new("weekday", Type::Str, "day of the week")
            .aliases(&["dow"])
            .default("*"),
        Param::new("special_time", Type::Str, "a nickname instead of times").choices(&[
            "annually", "daily", "hourly", "monthly", "reboot", "weekly", "yearly",
        ]),
        Param::new("disabled", Type::Bool, "comment the job out").default("false"),
        Param::new("env", Type::Bool, "manage a variable, not a job").default("false"),
        Param::new(
            "insertafter",
            Type::Str,
            "variable after which a new one goes",
        ),
        Param::new(
            "insertbefore",
            Type::Str,
            "variable before which a new one goes",
        ),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Cron {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let wanted = Wanted::new(args, controller)?;
        let probes = match &wanted.file {
            Some(file) => vec![rule::content(file), rule::stat(file)],
            None => vec![Probe::Script(wanted.list())],
        };
        Rule::new(probes, move |seen| wanted.judge(seen))
            .finish(|outcome, _, replies, _| {
                let out: String = replies.iter().map(super::Reply::out).collect();
                match out.lines().find_map(|line| line.strip_prefix("backup ")) {
                    Some(path) => outcome.with("backup_file", path),
                    None => outcome,
                }
            })
            .step()
    }
}

const MARK: &str = "#Ansible: ";

struct Wanted {
    name: String,
    user: Option<String>,
    present: bool,
    /// The line to be there: the job's or the variable's.
    line: String,
    env: bool,
    after: Option<String>,
    before: Option<String>,
    file: Option<String>,
    /// As given, for the result.
    cron_file: Option<String>,
    backup: bool,
    warnings: Vec<String>,
}

impl Wanted {
    fn new(args: &Args, controller: &dyn Controller) -> Result<Self, Failure> {
        let present = args.text("state") == "present";
        let env = args.bool("env");
        let (name, job, user) = (args.text("name"), args.str("job"), args.str("user"));
        let cron_file = args.str("cron_file");
        let mut warnings = Vec::new();
        let times = ["minute", "hour", "day", "month", "weekday"].map(|unit| args.text(unit));
        let special = args.str("special_time");
        if special.is_some() && times.iter().any(|time| time != "*") {
            return Err(Failure::of(
                "special_time",
                "You cannot combine special_time with any of the time or day/date parameters.",
            ));
        }
        if let Some(file) = &cron_file {
            if file == "/etc/crontab" {
                return Err(Failure::of(
                    "cron_file",
                    "Will not manage /etc/crontab via cron_file, see documentation.",
                ));
            }
            let base = file.rsplit('/').next().unwrap_or(file);
            if !base
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
            {
                warnings.push(format!(
                    "Filename portion of cron_file (\"{base}\") should consist solely of upper- and lower-case letters, digits, underscores, and hyphens"
                ));
            }
        }
        if args.has("insertafter") && args.has("insertbefore") {
            return Err(Failure::new(
                "parameters are mutually exclusive: insertafter|insertbefore",
            ));
        }
        if present {
            if cron_file.is_some() && user.is_none() {
                return Err(Failure::of(
                    "user",
                    "To use cron_file=... parameter you must specify user=... as well",
                ));
            }
            if job.is_none() {
                return Err(Failure::of(
                    "job",
                    "You must specify 'job' to install a new cron job or variable",
                ));
            }
            if !env && (args.has("insertafter") || args.has("insertbefore")) {
                return Err(Failure::of(
                    "insertafter",
                    "Insertafter and insertbefore parameters are valid only with env=yes",
                ));
            }
        }
        if env && name.contains(' ') {
            return Err(Failure::of("name", "Invalid name for environment variable"));
        }
        let job = job.unwrap_or_default();
        let line = if env {
            format!("{name}=\"{job}\"")
        } else {
            let job = job.trim_matches(['\r', '\n']);
            if job.contains(['\r', '\n']) {
                warnings.push("Job should not contain line breaks".into());
            }
            let off = if args.bool("disabled") { "#" } else { "" };
            let who = match (&cron_file, &user) {
                (Some(_), Some(user)) => format!("{user} "),
                _ => String::new(),
            };
            match &special {
                Some(special) => format!("{off}@{special} {who}{job}"),
                None => format!("{off}{} {who}{job}", times.join(" ")),
            }
        };
        // One's own crontab is read without naming oneself: that needs no rights.
        let user =
            user.filter(|user| cron_file.is_some() || controller.user().as_ref() != Some(user));
        Ok(Self {
            name,
            user,
            present,
            line,
            env,
            after: args.str("insertafter"),
            before: args.str("insertbefore"),
            file: cron_file.as_ref().map(|file| {
                if file.starts_with('/') {
                    file.clone()
                } else {
                    format!("/etc/cron.d/{file}")
                }
            }),
            cron_file,
            backup: args.bool("backup"),
            warnings,
        })
    }

    fn whose(&self) -> String {
        self.user
            .as_ref()
            .map_or(String::new(), |user| format!(" -u {}", quote(user)))
    }

    /// Prints the crontab; none at all is an empty one.
    fn list(&self) -> String {
        format!(
            "command -v crontab >/dev/null || {{ echo 'Failed to find required executable \"crontab\"'; exit 9; }}\ncrontab{} -l 2>/dev/null",
            self.whose()
        )
    }

    /// The text as it is; `None` when there is no such file.
    fn existing(&self, seen: &Seen) -> Known<Option<String>> {
        if let Some(file) = &self.file {
            return rule::text(seen, file);
        }
        let (rc, out) = rule::script(seen, &self.list())?;
        match rc {
            9 => Err(Outcome::failed(out.trim()).into()),
            0 | 1 => Ok(Some(without_header(&out))),
            _ => Err(Outcome::failed("Unable to read crontab").into()),
        }
    }

    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let existing = self.existing(seen)?;
        let old = existing.clone().unwrap_or_default();
        let mut lines: Vec<String> = old.lines().map(str::to_owned).collect();
        let mut changed = if self.env {
            self.variable(&mut lines)?
        } else {
            self.job(&mut lines)
        };
        let empty = lines.iter().all(|line| line.trim().is_empty());
        // The last line must end.
        changed |= !old.is_empty() && !old.ends_with(['\n', '\r']);
        let header = match (&self.file, &self.user) {
            (Some(file), _) => file.clone(),
            (None, Some(user)) => format!("crontab for user \"{user}\""),
            (None, None) => "crontab".into(),
        };
        let mut outcome = Outcome::ok();
        outcome.warnings.clone_from(&self.warnings);
        if let Some(file) = &self.cron_file {
            outcome = outcome.with("cron_file", file.as_str());
        }
        if let Some(file) = self
            .file
            .as_ref()
            .filter(|_| changed && empty && !self.present && !self.env)
        {
            let remove = Chunk::new(format!("rm -f -- {}", quote(file)));
            let outcome = outcome.with("state", "absent").diff(file, old, "");
            return Ok(Act::change(
                vec![remove],
                vec![Effect::Path(file.clone())],
                outcome,
                "removing the cron file",
            )
            .into());
        }
        let names = lines
            .iter()
            .filter_map(|line| line.strip_prefix(MARK))
            .map(str::to_owned);
        let variables = lines
            .iter()
            .filter_map(|line| variable(line))
            .map(str::to_owned);
        outcome = outcome
            .with("jobs", strings(names.collect::<Vec<_>>()))
            .with("envs", strings(variables.collect::<Vec<_>>()));
        if !changed {
            return Ok(outcome.into());
        }
        let text = lines.join("\n");
        let text = if text.is_empty() {
            text
        } else {
            format!("{}\n", text.trim_end_matches(['\r', '\n']))
        };
        outcome = outcome.diff(&header, old.clone(), text.clone());
        let mut actions = Vec::new();
        if self.backup {
            actions.push(rule::fed(
                "f=$(mktemp /tmp/crontabXXXXXXXX) && cat >\"$f\" && echo \"backup $f\"",
                &old,
            ));
        }
        let effects = match &self.file {
            Some(file) => {
                actions.push(rule::write(
                    file,
                    seen.stat(file, true),
                    &text,
                    &Attrs::default(),
                )?);
                vec![Effect::Path(file.clone())]
            }
            None => {
                actions.push(rule::fed(format!("crontab{} -", self.whose()), &text));
                vec![Effect::Path("/var/spool/cron".into())]
            }
        };
        Ok(Act::change(actions, effects, outcome, "installing the crontab").into())
    }

    /// Puts a variable's line where it belongs; tells whether that changes anything.
    fn variable(&self, lines: &mut Vec<String>) -> Known<bool> {
        let at = |lines: &[String], name: &str| {
            lines
                .iter()
                .position(|line| line.starts_with(&format!("{name}=")))
        };
        match (at(lines, &self.name), self.present) {
            (None, false) => Ok(false),
            (Some(_), false) => {
                lines.retain(|line| !line.starts_with(&format!("{}=", self.name)));
                Ok(true)
            }
            (Some(found), true) => {
                let changed = lines[found] != self.line;
                for line in lines
                    .iter_mut()
                    .filter(|line| line.starts_with(&format!("{}=", self.name)))
                {
                    line.clone_from(&self.line);
                }
                Ok(changed)
            }
            (None, true) => {
                let index = match (&self.after, &self.before) {
                    (None, None) => 0,
                    (after, before) => {
                        let other = after
                            .as_ref()
                            .or(before.as_ref())
                            .map_or("", String::as_str);
                        let Some(found) = at(lines, other) else {
                            return Err(Outcome::failed(format!(
                                "Variable named '{other}' not found."
                            ))
                            .into());
                        };
                        found + usize::from(after.is_some())
                    }
                };
                lines.insert(index, self.line.clone());
                Ok(true)
            }
        }
    }

    /// Puts a job's line below its mark; tells whether that changes anything.
    fn job(&self, lines: &mut Vec<String>) -> bool {
        let mark = format!("{MARK}{}", self.name);
        // A mark stands for the line below it.
        let mut at = None;
        let mut i = 0;
        while i + 1 < lines.len() {
            if lines[i].starts_with(MARK) {
                if lines[i] == mark {
                    at = Some(i + 1);
                    break;
                }
                i += 1;
            }
            i += 1;
        }
        match (at, self.present) {
            (None, false) => false,
            (Some(at), false) => {
                lines.drain(at - 1..=at);
                true
            }
            (Some(at), true) => {
                let changed = lines[at] != self.line;
                lines[at].clone_from(&self.line);
                changed
            }
            (None, true) => {
                // The same job without a name gets this one.
                match lines.iter().position(|line| *line == self.line) {
                    Some(i) if i > 0 && lines[i - 1] == format!("{MARK}None") => {
                        lines[i - 1] = mark;
                    }
                    Some(i) if i == 0 || !lines[i - 1].starts_with(MARK) => lines.insert(i, mark),
                    _ => lines.extend([mark, self.line.clone()]),
                }
                true
            }
        }
    }
}

/// The variable that a line sets.
fn variable(line: &str) -> Option<&str> {
    let (name, _) = line.split_once('=')?;
    (!name.is_empty() && !name.contains(char::is_whitespace)).then_some(name)
}

/// A crontab without the three lines that some versions of `crontab -l` put first.
fn without_header(text: &str) -> String {
    let header = |line: &str| {
        line.starts_with("# DO NOT EDIT THIS FILE - edit the master and reinstall.")
            || (line.starts_with("# (/tmp/") && line.contains("installed on"))
            || (line.starts_with("# (") && line.contains("version"))
    };
    text.split_inclusive('\n')
        .enumerate()
        .filter(|(i, line)| *i > 2 || !header(line))
        .map(|(_, line)| line)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::Decision;
    use crate::modules::probe::Answer;
    use crate::modules::testing::{Fake, plan};
    use minijinja::Value;

    fn after(given: &[(&str, Value)], text: &str) -> String {
        let step = plan(&Cron, given, &Fake::default());
        let mut seen = Seen::default();
        for probe in step.probes() {
            let answer = match &probe {
                Probe::Script(_) => Answer::Script {
                    rc: 0,
                    stdout: text.as_bytes().into(),
                    stderr: [].into(),
                },
                Probe::Path { .. } => {
                    Answer::Path(Some(crate::modules::probe::PathState::default()))
                }
                _ => Answer::Content(Some(text.as_bytes().into())),
            };
            seen.insert(probe, answer);
        }
        match step.decide(&seen) {
            Decision::Act(plan) => plan.predicted.diff[0].after.clone(),
            Decision::Done(outcome) => outcome.msg.unwrap_or("same".into()),
            Decision::Look(_) => "look".into(),
        }
    }

    #[test]
    fn jobs_come_change_and_go() {
        let job = |more: &[(&'static str, Value)]| {
            let mut given = vec![
                ("name", Value::from("a job")),
                ("job", Value::from("x > y")),
                ("minute", "5".into()),
            ];
            given.extend_from_slice(more);
            given
        };
        let there = "A=1\n#Ansible: a job\n5 * * * * x > y\n";
        assert_eq!(after(&job(&[]), "A=1\n"), there);
        assert_eq!(after(&job(&[]), there), "same");
        assert_eq!(
            after(&job(&[("hour", "2,5".into())]), there),
            "A=1\n#Ansible: a job\n5 2,5 * * * x > y\n"
        );
        assert_eq!(
            after(&job(&[("disabled", true.into())]), there),
            "A=1\n#Ansible: a job\n#5 * * * * x > y\n"
        );
        assert_eq!(after(&job(&[("state", "absent".into())]), there), "A=1\n");
        assert_eq!(
            after(&job(&[]), "5 * * * * x > y\n"),
            "#Ansible: a job\n5 * * * * x > y\n"
        );
        assert_eq!(
            after(&job(&[]), "#Ansible: a job\n5 * * * * x > y"),
            "#Ansible: a job\n5 * * * * x > y\n"
        );
        let filed = job(&[("cron_file", "f".into()), ("user", "root".into())]);
        assert_eq!(after(&filed, ""), "#Ansible: a job\n5 * * * * root x > y\n");
        let special = [
            ("name", "b".into()),
            ("job", "z".into()),
            ("special_time", "reboot".into()),
        ];
        assert_eq!(after(&special, ""), "#Ansible: b\n@reboot z\n");
    }

    #[test]
    fn variables_have_their_place() {
        let env = |more: &[(&'static str, Value)]| {
            let mut given = vec![
                ("name", Value::from("PATH")),
                ("job", "/bin".into()),
                ("env", true.into()),
            ];
            given.extend_from_slice(more);
            given
        };
        assert_eq!(after(&env(&[]), "A=1\n"), "PATH=\"/bin\"\nA=1\n");
        assert_eq!(
            after(&env(&[("insertafter", "A".into())]), "A=1\nB=2\n"),
            "A=1\nPATH=\"/bin\"\nB=2\n"
        );
        assert_eq!(
            after(&env(&[("insertafter", "Z".into())]), "A=1\n"),
            "Variable named 'Z' not found."
        );
        assert_eq!(
            after(&env(&[("state", "absent".into())]), "PATH=x\nA=1\n"),
            "A=1\n"
        );
    }
}
