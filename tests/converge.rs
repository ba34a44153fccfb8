//! Modules for real, by data: `tests/converge/<module>/<name>.yaml` runs on this machine, in a new folder for every
//! shell at hand, and whatever changed is in sync when it is looked at again.
//!
//! ```yaml
//! root: true                    # only as root
//! needs: [curl]                 # only where these commands are
//! without: [curl]               # hide these commands
//! serve: {/x: {body: hi}}       # over HTTP at `$URL`, see `common/http.rs`
//! files: {a.txt: text}          # of the controller
//! setup: "mkdir d"              # shell, in the new folder, which is `$DIR` here and in all texts below
//! steps:
//! - copy: {dest: $DIR/x, content: hi}
//!   changed: true               # also: failed: part of the message, msg: part of it, data: {key: value}, check: true
//!   again: false                # whether a second run changes once more
//!   then: test -e x             # shell that must succeed behind the step
//! check: test "$(cat x)" = hi   # the same behind all steps
//! ```

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Fake, data, field, given, map, text};
use mini_play::modules::{Decision, Outcome, Probe, Seen, Step, probe};
use mini_play::remote::{Chunk, Payload, Reply};
use minijinja::Value;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

const SHELLS: [&[&str]; 3] = [&["sh"], &["bash", "--posix"], &["busybox", "sh"]];

/// A host that is a folder of this machine and one shell.
struct Host {
    shell: &'static [&'static str],
    folder: tempfile::TempDir,
    private: tempfile::TempDir,
    /// Where commands are looked for.
    path: String,
    /// Keeps the links that `path` may lead to.
    _commands: tempfile::TempDir,
}

/// A search path in which some commands are missing.
fn path_without(hidden: &[String], commands: &Path) -> String {
    let usual = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    if hidden.is_empty() {
        return usual.into();
    }
    for folder in usual.split(':').rev() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let link = commands.join(&name);
            if !hidden
                .iter()
                .any(|hidden| *hidden == *name.to_string_lossy())
            {
                let _ = std::os::unix::fs::symlink(entry.path(), link);
            }
        }
    }
    commands.to_str().unwrap().into()
}

#[test]
fn what_changed_is_in_sync() {
    let only = std::env::var("CASE").unwrap_or_default();
    let mut wrong = Vec::new();
    for path in common::cases("converge") {
        if !path.to_string_lossy().contains(&only) {
            continue;
        }
        let whole = std::fs::read_to_string(&path).unwrap();
        let needs = field(&data(&path, &whole), "needs");
        let has = |name: &Value| succeeds(&format!("command -v {name}"));
        if field(&data(&path, &whole), "root").is_true() && !succeeds("[ $(id -u) = 0 ]")
            || !needs
                .try_iter()
                .into_iter()
                .flatten()
                .all(|name| has(&name))
        {
            continue;
        }
        std::thread::scope(|scope| {
            let runs = SHELLS.map(|shell| scope.spawn(|| one(shell, &path, &whole)));
            for (shell, run) in SHELLS.iter().zip(runs) {
                if let Err(why) = run.join().unwrap() {
                    wrong.push(format!("{} under {shell:?}: {why}", path.display()));
                }
            }
        });
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn one(shell: &'static [&'static str], path: &Path, whole: &str) -> Result<(), String> {
    let commands = tempfile::tempdir().unwrap();
    let first = data(path, whole);
    let hidden = field(&first, "without")
        .try_iter()
        .into_iter()
        .flatten()
        .map(|name| name.to_string())
        .collect::<Vec<_>>();
    let host = Host {
        shell,
        folder: tempfile::tempdir().unwrap(),
        private: tempfile::tempdir().unwrap(),
        path: path_without(&hidden, commands.path()),
        _commands: commands,
    };
    let mut whole = whole.replace("$DIR", host.folder.path().to_str().unwrap());
    if given(&field(&first, "serve")) {
        whole = whole.replace("$URL", &common::http::serve(&field(&first, "serve")));
    }
    run(&host, &data(path, &whole))
}

fn succeeds(script: &str) -> bool {
    let status = Command::new("sh")
        .args(["-c", script])
        .stdout(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn run(host: &Host, case: &Value) -> Result<(), String> {
    host.must(&field(case, "setup"))?;
    let mut fake = Fake::new(case);
    let steps: Vec<Value> = field(case, "steps")
        .try_iter()
        .into_iter()
        .flatten()
        .collect();
    if steps.is_empty() {
        return Err("there are no steps".into());
    }
    for (at, step) in steps.iter().enumerate() {
        let (module, args) = map(step).into_iter().next().ok_or("an empty step")?;
        let place = |why: String| format!("step {} ({module}): {why}", at + 1);
        fake.check = field(step, "check").is_true();
        let outcome = host.step(&module, &args, &fake);
        compare(step, &outcome).map_err(place)?;
        host.must(&field(step, "then")).map_err(place)?;
        if outcome.failed || fake.check {
            continue;
        }
        let again = host.step(&module, &args, &fake);
        if again.failed || again.changed != field(step, "again").is_true() {
            return Err(place(format!("the second run: {again:?}")));
        }
    }
    host.must(&field(case, "check"))
}

fn compare(step: &Value, outcome: &Outcome) -> Result<(), String> {
    let failed = text(&field(step, "failed"));
    if outcome.failed != failed.is_some() || outcome.changed != field(step, "changed").is_true() {
        return Err(format!("{outcome:?}"));
    }
    let msg = outcome.msg.clone().unwrap_or_default();
    for part in failed.into_iter().chain(text(&field(step, "msg"))) {
        if !msg.contains(&part) {
            return Err(format!("`{part}` is not in the message: {outcome:?}"));
        }
    }
    for (key, want) in map(&field(step, "data")) {
        let got = outcome.data.get(&key).cloned().unwrap_or_default();
        if got != want {
            return Err(format!("{key} is {got}, not {want}: {outcome:?}"));
        }
    }
    Ok(())
}

impl Host {
    /// Shell that must succeed.
    fn must(&self, script: &Value) -> Result<(), String> {
        if !given(script) {
            return Ok(());
        }
        let reply = self.run(&Chunk::new(format!("cd \"$DIR\"\n{script}")));
        if reply.rc == 0 {
            return Ok(());
        }
        Err(format!(
            "`{script}` ended with {}: {}{}",
            reply.rc,
            reply.out(),
            reply.err()
        ))
    }

    fn ask(&self, probes: &[Probe]) -> Seen {
        let reply = self.run(&probe::chunk(probes));
        probe::parse(probes, &reply.stdout).unwrap()
    }

    /// Observes, decides and acts.
    fn step(&self, module: &str, args: &Value, fake: &Fake) -> Outcome {
        match common::plan(module, args, fake) {
            Ok(step) => self.carry_out(&*step, fake),
            Err(failure) => Outcome::failed(failure.msg),
        }
    }

    fn carry_out(&self, step: &dyn Step, fake: &Fake) -> Outcome {
        let mut seen = Seen::default();
        let mut wanted = step.probes();
        loop {
            for (probe, answer) in self.ask(&wanted).iter() {
                seen.insert(probe.clone(), answer.clone());
            }
            match step.decide(&seen) {
                Decision::Done(outcome) => return outcome,
                Decision::Look(more) => wanted = more,
                Decision::Act(plan) if fake.check => return plan.predicted,
                Decision::Act(plan) => {
                    let mut replies: Vec<Reply> = Vec::new();
                    let mut stopped = false;
                    for chunk in &plan.actions {
                        let reply = if stopped {
                            Reply::default()
                        } else {
                            self.run(chunk)
                        };
                        stopped |= reply.ran && reply.rc != 0 && chunk.stop_on_failure;
                        replies.push(reply);
                    }
                    let probes: Vec<Probe> = seen.iter().map(|(probe, _)| probe.clone()).collect();
                    let after = if stopped {
                        Seen::default()
                    } else {
                        self.ask(&probes)
                    };
                    let left = std::fs::read_dir(self.private.path()).unwrap().count();
                    assert_eq!(left, 0, "something was left in the private folder");
                    return step.finish(&seen, &replies, &after);
                }
            }
        }
    }

    /// The way the kept shell runs a chunk.
    fn run(&self, chunk: &Chunk) -> Reply {
        let mut child = Command::new(self.shell[0])
            .args(&self.shell[1..])
            .args(["-c", &format!("umask 022\n({}\n)", chunk.script)])
            .env("LC_ALL", "C")
            .env("PATH", &self.path)
            .env("MP_TMP", self.private.path())
            .env("DIR", self.folder.path())
            .env("HOME", self.folder.path())
            .current_dir(Path::new("/"))
            .stdin(if chunk.input.is_some() {
                Stdio::piped()
            } else {
                Stdio::null()
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        if let Some(input) = &chunk.input {
            let bytes = match input {
                Payload::Bytes(bytes) => bytes.to_vec(),
                Payload::File(path) => std::fs::read(path).unwrap(),
            };
            // A script that failed early reads nothing.
            let _ = child.stdin.take().unwrap().write_all(&bytes);
        }
        let out = child.wait_with_output().unwrap();
        Reply {
            ran: true,
            rc: out.status.code().unwrap_or(255),
            stdout: out.stdout,
            stderr: out.stderr,
            ..Reply::default()
        }
    }
}
