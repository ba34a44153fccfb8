//! `command` and `shell`: what nobody can look at beforehand, but for `creates` and `removes`.
//!
//! The script writes one line before the command's own output (when it started, or why it could not) and one after
//! (when it ended), both on standard output, so that `start`, `end` and `delta` are the host's.

use super::sh::{answer, expanding, join, lines, quote, streams, strings};
use super::{
    Args, Chunk, Controller, Decision, Effect, Failure, FreeForm, Module, Outcome, Param, Plan,
    Probe, Reply, Runs, Seen, Spec, Step, Type,
};
use crate::remote::Payload;
use minijinja::Value;

/// `command`.
pub(crate) struct Command;
/// `shell`.
pub(crate) struct Shell;

const RAW: Param = Param::new("_raw_params", Type::Str, "the command line");
const CMD: Param = Param::new("cmd", Type::Str, "the command line");
const CHDIR: Param = Param::new("chdir", Type::Path, "change into this directory before");
const CREATES: Param = Param::new(
    "creates",
    Type::Path,
    "do nothing when this file (or a match of this pattern) exists",
);
const REMOVES: Param = Param::new(
    "removes",
    Type::Path,
    "do nothing unless this file (or a match of this pattern) exists",
);
const EXECUTABLE: Param = Param::new(
    "executable",
    Type::Str,
    "shell to use; `command` ignores it",
);
const STDIN: Param = Param::new("stdin", Type::Str, "standard input of the command");
const NEWLINE: Param =
    Param::new("stdin_add_newline", Type::Bool, "append a newline to stdin").default("true");
const STRIP: Param = Param::new(
    "strip_empty_ends",
    Type::Bool,
    "strip empty lines from the end of stdout and stderr",
)
.default("true");
const WARN: Param = Param::new("warn", Type::Bool, "ignored; Ansible dropped it in 2.14");
const ARGV: Param = Param::new("argv", Type::List, "the command as a list of words");

static COMMAND: Spec = Spec {
    name: "command",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Runs a command without a shell",
    params: &[
        RAW,
        CMD,
        ARGV,
        CHDIR,
        CREATES,
        REMOVES,
        EXECUTABLE,
        Param::new(
            "expand_argument_vars",
            Type::Bool,
            "expand `~` and `$VAR` in words",
        )
        .default("true"),
        STDIN,
        NEWLINE,
        STRIP,
        WARN,
    ],
    free_form: FreeForm::Raw,
    runs: Runs::Host,
};

static SHELL: Spec = Spec {
    name: "shell",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Runs a command through a shell",
    params: &[
        RAW, CMD, ARGV, CHDIR, CREATES, REMOVES, EXECUTABLE, STDIN, NEWLINE, STRIP, WARN,
    ],
    free_form: FreeForm::Raw,
    runs: Runs::Host,
};

impl Module for Command {
    fn spec(&self) -> &'static Spec {
        &COMMAND
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        Run::plan(args, controller, false)
    }
}

impl Module for Shell {
    fn spec(&self) -> &'static Spec {
        &SHELL
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        Run::plan(args, controller, true)
    }
}

/// What Ansible's module says before it runs anything.
fn refused(msg: &str) -> Failure {
    let mut failure = Failure::new(msg);
    failure.data.insert("rc".into(), 256.into());
    failure
}

/// A path that lets a command run or not.
struct Guard {
    path: String,
    probe: Probe,
}

impl Guard {
    fn new(path: String, chdir: Option<&str>) -> Self {
        let simple = path.starts_with('/') && !path.contains(['*', '?', '[', '$']);
        let probe = if simple {
            Probe::Path {
                path: path.clone(),
                follow: false,
            }
        } else {
            let cd = chdir.map_or(String::new(), |dir| {
                format!("cd {} 2>/dev/null || exit 1\n", expanding(dir, false))
            });
            Probe::Script(format!(
                "{cd}for f in {}; do [ -e \"$f\" ] || [ -L \"$f\" ]; exit; done",
                expanding(&path, true)
            ))
        };
        Self { path, probe }
    }

    fn exists(&self, seen: &Seen) -> bool {
        match &self.probe {
            Probe::Script(script) => answer(seen, script).is_some_and(|(rc, _)| rc == 0),
            _ => seen.path(&self.path).is_some(),
        }
    }
}

struct Run {
    /// What `cmd` in the result says: the words, or the text.
    cmd: Value,
    /// The shell, for `shell`.
    shell: String,
    script: String,
    stdin: Option<String>,
    creates: Option<Guard>,
    removes: Option<Guard>,
    strip: bool,
    check: bool,
    warnings: Vec<String>,
}

impl Run {
    fn plan(
        args: &Args,
        controller: &dyn Controller,
        shell: bool,
    ) -> Result<Box<dyn Step>, Failure> {
        let forms = ["_raw_params", "cmd", "argv"];
        let given: Vec<&str> = forms
            .iter()
            .copied()
            .filter(|form| match args.get(form) {
                Some(value) if *form == "argv" => value.len().unwrap_or(0) > 0,
                Some(_) => !args.text(form).trim().is_empty(),
                None => false,
            })
            .collect();
        let Some(&form) = given.first() else {
            return Err(refused("no command given"));
        };
        if given.len() > 1 && form == "_raw_params" && given[1] == "argv" {
            return Err(refused("only command or argv can be given, not both"));
        }
        if given.len() > 1 {
            return Err(Failure::new(
                "parameters are mutually exclusive: _raw_params|cmd|argv",
            ));
        }
        let mut warnings = Vec::new();
        if args.has("warn") {
            warnings.push("the parameter `warn` does nothing; Ansible dropped it in 2.14".into());
        }
        let executable = args.str("executable");
        let (cmd, run) = if shell {
            let text = if form == "argv" {
                join(args.strings(form))
            } else {
                args.text(form)
            };
            let shell = executable.as_deref().unwrap_or("/bin/sh");
            let cmd = if form == "argv" {
                strings(args.strings(form))
            } else {
                Value::from(text.as_str())
            };
            let run = format!("mp_find {} && {}", quote(shell), in_shell(shell, &text));
            (cmd, run)
        } else {
            if let Some(executable) = &executable {
                warnings.push(format!(
                    "As of Ansible 2.4, the parameter 'executable' is no longer supported with the 'command' module. Not using '{executable}'."
                ));
            }
            let words = if form == "argv" {
                args.strings(form)
            } else {
                shlex_split(&args.text(form))
                    .ok_or_else(|| Failure::of(form, "the command has an unclosed quotation"))?
            };
            let word = |word: &String| {
                if args.bool("expand_argument_vars") {
                    expanding(word, false)
                } else {
                    quote(word)
                }
            };
            let Some(first) = words.first() else {
                return Err(Failure::of(form, "no command given"));
            };
            let line = words.iter().map(word).collect::<Vec<_>>().join(" ");
            let first = word(first);
            (strings(words), format!("mp_find {first} && (exec {line})"))
        };
        let chdir = args.str("chdir");
        let guard = |name: &str| {
            args.str(name)
                .filter(|path| !path.is_empty())
                .map(|path| Guard::new(path, chdir.as_deref()))
        };
        Ok(Box::new(Run {
            cmd,
            shell: executable.unwrap_or_else(|| "/bin/sh".into()),
            script: script(
                &run,
                chdir.as_deref(),
                controller.environment().iter().any(|(k, _)| k == "LC_ALL"),
            ),
            stdin: args.str("stdin").filter(|s| !s.is_empty()).map(|text| {
                if args.bool("stdin_add_newline") {
                    text + "\n"
                } else {
                    text
                }
            }),
            creates: guard("creates"),
            removes: guard("removes"),
            strip: args.bool("strip_empty_ends"),
            check: controller.check_mode(),
            warnings,
        }))
    }

    /// The result of a command that was not run, or not yet.
    fn idle(&self, stdout: &str, msg: &str) -> Outcome {
        let mut outcome = Outcome::ok().msg(msg);
        outcome.warnings.clone_from(&self.warnings);
        outcome
            .with("cmd", self.cmd.clone())
            .with("rc", 0)
            .with("stdout", stdout)
            .with("stdout_lines", strings(lines(stdout)))
            .with("stderr", "")
            .with("stderr_lines", strings(Vec::<String>::new()))
            .with("start", ())
            .with("end", ())
            .with("delta", ())
    }
}

/// Tells when, and whether a word can be executed: `command` must not run a builtin, and says so when there is no such file.
const PRELUDE: &str = r#"mp_stamp() { date '+%s.%N %Y-%m-%d %H:%M:%S.%N'; }
mp_find() {
  case $1 in
    */*) [ -e "$1" ] && { mp_stamp; return 0; } ;;
    *)
      mp_ifs=$IFS; IFS=:
      for mp_dir in $PATH; do
        if [ -f "$mp_dir/$1" ] && [ -x "$mp_dir/$1" ]; then IFS=$mp_ifs; mp_stamp; return 0; fi
      done
      IFS=$mp_ifs ;;
  esac
  echo missing; return 127
}
"#;

/// The command between its two stamps. Like Python's `chdir`, `cd -P` leaves no trace of links in `$PWD`.
/// A shell that runs a text. A secret in the text is kept out of the shell's arguments: they are for all to see.
fn in_shell(shell: &str, text: &str) -> String {
    let posix = ["sh", "bash", "dash", "ash", "ksh", "zsh"];
    let name = shell.rsplit('/').next().unwrap_or_default();
    let secret = matches!(crate::secrets::mask(text), std::borrow::Cow::Owned(_));
    if !secret || !posix.contains(&name) {
        return join([shell, "-c", text]);
    }
    format!(
        "{{ printf %s {} | {} -c 'eval \"$(cat <&9)\" 9<&-' 9<&0 <&8 8<&-; }} 8<&0",
        quote(text),
        quote(shell)
    )
}

fn script(run: &str, chdir: Option<&str>, keep_locale: bool) -> String {
    let cd = chdir.map_or(String::new(), |dir| {
        format!(
            "CDPATH=; cd -P -- {} || {{ echo chdir; exit 1; }}\nunset CDPATH\n",
            expanding(dir, false)
        )
    });
    // Our shells run with LC_ALL=C; a user's command gets the host's own locale.
    let locale = if keep_locale { "" } else { "unset LC_ALL\n" };
    format!("{PRELUDE}{locale}{cd}{run}\nmp_rc=$?\nprintf '\\n'; mp_stamp; exit $mp_rc")
}

impl Step for Run {
    fn probes(&self) -> Vec<Probe> {
        [&self.creates, &self.removes]
            .into_iter()
            .flatten()
            .map(|guard| guard.probe.clone())
            .collect()
    }

    fn decide(&self, seen: &Seen) -> Decision {
        let verb = if self.check { "Would" } else { "Did" };
        if let Some(guard) = self.creates.as_ref().filter(|guard| guard.exists(seen)) {
            return Decision::Done(self.idle(
                &format!("skipped, since {} exists", guard.path),
                &format!("{verb} not run command since '{}' exists", guard.path),
            ));
        }
        if let Some(guard) = self.removes.as_ref().filter(|guard| !guard.exists(seen)) {
            return Decision::Done(self.idle(
                &format!("skipped, since {} does not exist", guard.path),
                &format!(
                    "{verb} not run command since '{}' does not exist",
                    guard.path
                ),
            ));
        }
        let guarded = self.creates.is_some() || self.removes.is_some();
        let mut predicted = self.idle("", "Command would have run if not in check mode");
        predicted.changed = guarded;
        predicted.skipped = !guarded;
        let mut chunk = Chunk::new(self.script.as_str());
        chunk.input = self
            .stdin
            .as_ref()
            .map(|text| Payload::Bytes(text.as_bytes().into()));
        Decision::Act(Plan {
            actions: vec![chunk],
            effects: vec![Effect::Anything],
            predicted,
            opaque: !guarded,
        })
    }

    fn finish(&self, _before: &Seen, replies: &[Reply], _after: &Seen) -> Outcome {
        let Some(reply) = replies.first().filter(|reply| reply.ran) else {
            return Outcome::failed("the command was not run");
        };
        let mut outcome = self.result(reply);
        outcome.warnings.extend(self.warnings.iter().cloned());
        outcome
    }
}

impl Run {
    /// There is no such program.
    fn missing(&self) -> Outcome {
        let words: Vec<String> = match self.cmd.as_str() {
            Some(_) => vec![self.shell.clone()],
            None => self.cmd.try_iter().map_or_else(
                |_| Vec::new(),
                |words| words.map(|word| super::args::text(&word)).collect(),
            ),
        };
        let name = words.first().map_or("", String::as_str);
        streams(
            Outcome::failed(format!(
                "Error executing command: [Errno 2] No such file or directory: b'{name}'"
            ))
            .with("cmd", join(&words))
            .with("rc", 2),
            "",
            "",
        )
    }

    fn result(&self, reply: &Reply) -> Outcome {
        let all = reply.out();
        let (head, body) = all.split_once('\n').unwrap_or((&all, ""));
        match head {
            "chdir" => {
                let err = reply.err();
                let mut outcome = self.idle("", "");
                outcome.failed = true;
                outcome.msg = Some(format!(
                    "Unable to change directory before execution: {}",
                    err.trim()
                ));
                return outcome.with("rc", ());
            }
            "missing" => return self.missing(),
            _ => {}
        }
        let start = Stamp::parse(head);
        // No last line when the command was killed or its output was cut.
        let (stdout, end) = match body.rsplit_once('\n').and_then(|(rest, tail)| {
            let (text, stamp) = if tail.is_empty() {
                rest.rsplit_once('\n').unwrap_or(("", rest))
            } else {
                (rest, tail)
            };
            Stamp::parse(stamp).map(|stamp| (text, stamp))
        }) {
            Some((text, stamp)) => (text, Some(stamp)),
            None => (body, None),
        };
        let stderr = reply.err();
        let strip = |text: &str| {
            if self.strip {
                text.trim_end_matches(['\r', '\n']).to_owned()
            } else {
                text.to_owned()
            }
        };
        let (stdout, stderr) = (strip(stdout), strip(&stderr));
        let delta = match (&start, &end) {
            (Some(start), Some(end)) => end.micros - start.micros,
            _ => i64::try_from(reply.elapsed.as_micros()).unwrap_or(0),
        };
        let mut outcome = Outcome::changed().msg("");
        if reply.timed_out {
            outcome.failed = true;
            outcome.msg = Some(format!(
                "the command was stopped: it took longer than {} seconds",
                reply.elapsed.as_secs()
            ));
        } else if reply.rc != 0 {
            outcome.failed = true;
            outcome.msg = Some("non-zero return code".into());
        }
        if reply.dropped > 0 {
            outcome.warnings.push(format!(
                "the command wrote more than we keep: {} bytes were dropped",
                reply.dropped
            ));
        }
        let text = |stamp: Option<Stamp>| stamp.map_or(Value::from(()), |s| Value::from(s.text));
        outcome
            .with("cmd", self.cmd.clone())
            .with("rc", reply.rc)
            .with("stdout", stdout.as_str())
            .with("stdout_lines", strings(lines(&stdout)))
            .with("stderr", stderr.as_str())
            .with("stderr_lines", strings(lines(&stderr)))
            .with("start", text(start))
            .with("end", text(end))
            .with("delta", timedelta(delta))
    }
}

/// A moment as the host told it.
struct Stamp {
    micros: i64,
    text: String,
}

impl Stamp {
    fn parse(line: &str) -> Option<Self> {
        let (epoch, text) = line.split_once(' ')?;
        let (seconds, nanos) = epoch.split_once('.')?;
        // Without nanoseconds (busybox) the format letter stays.
        let micros: String = nanos.chars().take(6).collect();
        let micros: i64 = micros.parse().unwrap_or(0);
        let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
        Some(Self {
            micros: seconds.parse::<i64>().ok()? * 1_000_000 + micros,
            text: format!("{whole}.{micros:06}"),
        })
    }
}

/// A duration the way Python prints a `timedelta`.
fn timedelta(micros: i64) -> String {
    let micros = micros.max(0);
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let (days, seconds) = (seconds / 86_400, seconds % 86_400);
    let days = match days {
        0 => String::new(),
        1 => "1 day, ".into(),
        n => format!("{n} days, "),
    };
    format!(
        "{days}{}:{:02}:{:02}.{fraction:06}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    )
}

/// Words as Python's `shlex.split` makes them: like the shell's, but without comments.
fn shlex_split(line: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c.is_ascii_whitespace() => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        c => word.push(c),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next()? {
                        '"' => break,
                        '\\' => match chars.next()? {
                            c @ ('"' | '\\') => word.push(c),
                            c => word.extend(['\\', c]),
                        },
                        c => word.push(c),
                    }
                }
            }
            '\\' => word.get_or_insert_default().push(chars.next()?),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::testing::{Fake, args, local};

    fn run(module: &dyn Module, given: &[(&str, Value)]) -> Outcome {
        local(module, &args(module, given), &Fake::default())
    }

    fn text(outcome: &Outcome, key: &str) -> String {
        crate::modules::args::text(&outcome.data[key])
    }

    #[test]
    fn a_shell_is_not_called_with_secrets() {
        let text = "x='Zq-in-shell-arguments'; tr '\\0' ' ' <\"/proc/$$/cmdline\"; cat; exit 3";
        let plain = in_shell("/bin/sh", text);
        assert!(plain.starts_with("/bin/sh -c '"), "{plain}");
        crate::secrets::learn("Zq-in-shell-arguments");
        let hidden = in_shell("/bin/sh", text);
        let out = std::process::Command::new("sh")
            .args(["-c", &format!("echo input | {hidden}")])
            .output()
            .unwrap();
        let said = String::from_utf8(out.stdout).unwrap();
        assert!(
            said.starts_with("/bin/sh -c eval") && said.ends_with("input\n"),
            "{said}"
        );
        assert_eq!(out.status.code(), Some(3));
        assert!(in_shell("/usr/bin/fish", text).starts_with("/usr/bin/fish -c"));
    }

    #[test]
    fn words_are_not_read_by_a_shell() {
        let outcome = run(
            &Command,
            &[("_raw_params", "echo 'a  b' \"$HOME\" $NOPE; > x *".into())],
        );
        let home = std::env::var("HOME").unwrap();
        assert_eq!(
            text(&outcome, "stdout"),
            format!("a  b {home} $NOPE; > x *")
        );
        assert!(outcome.changed && !outcome.failed);
        assert!(text(&outcome, "start") < text(&outcome, "end"));
        assert!(text(&outcome, "delta").starts_with("0:00:00."));
    }

    #[test]
    fn a_shell_reads_text() {
        let outcome = run(
            &Shell,
            &[
                (
                    "_raw_params",
                    "printf '%s\\n\\n' one; echo two >&2; cat; exit 3".into(),
                ),
                ("stdin", "in".into()),
            ],
        );
        assert_eq!(text(&outcome, "stdout"), "one\n\nin");
        assert_eq!(text(&outcome, "stderr"), "two");
        assert_eq!(text(&outcome, "rc"), "3");
        assert_eq!(outcome.msg.as_deref(), Some("non-zero return code"));
    }

    #[test]
    fn the_end_of_output_is_kept_when_asked() {
        let given = [
            ("_raw_params", Value::from("printf 'a\\n\\n'")),
            ("strip_empty_ends", Value::from(false)),
        ];
        assert_eq!(text(&run(&Shell, &given), "stdout"), "a\n\n");
        let given = [
            ("_raw_params", Value::from("printf a")),
            ("strip_empty_ends", Value::from(false)),
        ];
        assert_eq!(text(&run(&Shell, &given), "stdout"), "a");
    }

    #[test]
    fn another_shell_and_directory() {
        let outcome = run(
            &Shell,
            &[
                ("cmd", "echo $BASH_VERSION; pwd".into()),
                ("executable", "/bin/bash".into()),
                ("chdir", "/usr".into()),
            ],
        );
        let out = text(&outcome, "stdout");
        assert!(
            out.starts_with(char::is_numeric) && out.ends_with("/usr"),
            "{out}"
        );
    }

    #[test]
    fn what_does_not_exist_is_said() {
        let outcome = run(&Command, &[("argv", strings(["nope-nope", "x"]))]);
        assert!(outcome.failed);
        assert_eq!(text(&outcome, "rc"), "2");
        assert!(outcome.msg.unwrap().contains("nope-nope"));
        let outcome = run(&Command, &[("cmd", "ls".into()), ("chdir", "/nope".into())]);
        assert!(outcome.failed);
        assert!(
            outcome
                .msg
                .unwrap()
                .starts_with("Unable to change directory")
        );
    }

    #[test]
    fn guards_decide() {
        for (creates, removes, runs) in [
            (Some("/etc/passwd"), None, false),
            (Some("/etc/pass*"), None, false),
            (Some("/nope*"), None, true),
            (None, Some("/nope"), false),
            (None, Some("/etc/passwd"), true),
        ] {
            let mut given = vec![("cmd", Value::from("echo ran"))];
            given.extend(creates.map(|path| ("creates", Value::from(path))));
            given.extend(removes.map(|path| ("removes", Value::from(path))));
            let outcome = run(&Command, &given);
            assert_eq!(outcome.changed, runs, "{creates:?} {removes:?}");
            assert_eq!(text(&outcome, "stdout") == "ran", runs);
        }
    }

    #[test]
    fn check_mode_skips_unless_a_guard_decides() {
        let fake = Fake {
            check: true,
            ..Fake::default()
        };
        let outcome = local(&Command, &args(&Command, &[("cmd", "false".into())]), &fake);
        assert!(outcome.skipped && !outcome.changed);
        let given = [("cmd", "false".into()), ("creates", "/nope".into())];
        let outcome = local(&Command, &args(&Command, &given), &fake);
        assert!(!outcome.skipped && outcome.changed);
    }

    #[test]
    fn words_split_as_in_python() {
        assert_eq!(
            shlex_split(r#"a 'b c' "d\"\e" f\ g '' #x"#).unwrap(),
            ["a", "b c", "d\"\\e", "f g", "", "#x"]
        );
        assert!(shlex_split("a 'b").is_none());
    }

    #[test]
    fn durations_print_as_in_python() {
        assert_eq!(timedelta(1_234_567), "0:00:01.234567");
        assert_eq!(timedelta(90_061_000_000), "1 day, 1:01:01.000000");
    }
}
