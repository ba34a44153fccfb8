//! Runs modules against the machine the tests run on: probes and actions for real, without an engine.

use super::{
    Args, Controller, Decision, Failure, Module, Outcome, Probe, Reply, Seen, Step,
    TemplateOptions, probe,
};
use crate::modules::probe::{Answer, FileType, GroupState, PackageState, PathState, UserState};
use crate::remote::{Chunk, Payload};
use indexmap::IndexMap;
use minijinja::Value;
use std::io::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A controller with nothing but what the test gives it.
#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) check: bool,
    pub(crate) facts: IndexMap<String, Value>,
}

impl Fake {
    pub(crate) fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.into(), value.into());
        self
    }
}

impl Controller for Fake {
    fn check_mode(&self) -> bool {
        self.check
    }
    fn diff(&self) -> bool {
        true
    }
    fn fact(&self, name: &str) -> Value {
        self.facts.get(name).cloned().unwrap_or_default()
    }
    fn find(&self, _kind: &str, name: &str) -> Result<PathBuf, Failure> {
        Ok(name.into())
    }
    fn read(&self, path: &Path) -> Result<Vec<u8>, Failure> {
        std::fs::read(path).map_err(|why| Failure::new(why.to_string()))
    }
    fn render(&self, _path: &Path, _options: &TemplateOptions) -> Result<String, Failure> {
        Err(Failure::new("no templates here"))
    }
    fn environment(&self) -> &[(String, String)] {
        &[]
    }
    fn user(&self) -> Option<String> {
        None
    }
}

/// Checked arguments.
pub(crate) fn args(module: &dyn Module, given: &[(&str, Value)]) -> Args {
    let given = given
        .iter()
        .map(|(key, value)| ((*key).to_owned(), value.clone()))
        .collect();
    Args::new(module.spec(), given).unwrap()
}

/// A planned step.
pub(crate) fn plan(module: &dyn Module, given: &[(&str, Value)], fake: &Fake) -> Box<dyn Step> {
    module
        .plan(&args(module, given), fake)
        .map_err(|f| f.msg)
        .unwrap()
}

/// The scripts a decision would run, or its outcome's message.
pub(crate) fn scripts(decision: &Decision) -> Vec<String> {
    match decision {
        Decision::Act(plan) => plan
            .actions
            .iter()
            .map(|chunk| chunk.script.clone())
            .collect(),
        Decision::Done(outcome) => {
            vec![format!("done: {}", outcome.msg.clone().unwrap_or_default())]
        }
        Decision::Look(_) => vec!["look".into()],
    }
}

/// Observes, decides and acts on this machine.
pub(crate) fn local(module: &dyn Module, args: &Args, fake: &Fake) -> Outcome {
    let step = match module.plan(args, fake) {
        Ok(step) => step,
        Err(failure) => return Outcome::failed(failure.msg),
    };
    let mut seen = Seen::default();
    let mut wanted = step.probes();
    loop {
        for probe in wanted {
            let answer = ask(&probe);
            seen.insert(probe, answer);
        }
        match step.decide(&seen) {
            Decision::Done(outcome) => return outcome,
            Decision::Look(more) => wanted = more,
            Decision::Act(plan) if fake.check => return plan.predicted,
            Decision::Act(plan) => {
                let mut replies: Vec<Reply> = Vec::new();
                for chunk in &plan.actions {
                    let stopped = replies
                        .iter()
                        .zip(&plan.actions)
                        .any(|(reply, chunk)| reply.rc != 0 && chunk.stop_on_failure);
                    replies.push(if stopped {
                        Reply::default()
                    } else {
                        act(chunk)
                    });
                }
                let mut after = Seen::default();
                for (probe, _) in seen.iter() {
                    after.insert(probe.clone(), ask(probe));
                }
                return step.finish(&seen, &replies, &after);
            }
        }
    }
}

/// Runs one chunk the way the kept shell does.
pub(crate) fn act(chunk: &Chunk) -> Reply {
    let temp = tempfile::tempdir().unwrap();
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(&chunk.script)
        .env("LC_ALL", "C")
        .env("MP_TMP", temp.path())
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
        // A script that reads nothing may have ended already.
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

fn text_of(program: &str, args: &[&str]) -> Option<String> {
    let out = Command::new(program).args(args).output().ok()?;
    out.status
        .success()
        .then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

/// The answer of this machine.
pub(crate) fn ask(probe: &Probe) -> Answer {
    match probe {
        Probe::Script(script) => {
            let reply = act(&Chunk::new(script.as_str()));
            Answer::Script {
                rc: reply.rc,
                stdout: reply.stdout.into(),
                stderr: reply.stderr.into(),
            }
        }
        Probe::Path { path, follow } => Answer::Path(stat(path, *follow)),
        Probe::Content { path, limit } => Answer::Content(
            std::fs::read(path)
                .ok()
                .filter(|bytes| bytes.len() as u64 <= *limit)
                .map(Into::into),
        ),
        Probe::Digest { path, algorithm } => Answer::Digest(
            text_of(&format!("{algorithm}sum"), &[path])
                .and_then(|line| line.split(' ').next().map(str::to_owned)),
        ),
        Probe::Package(name) => Answer::Package(
            text_of(
                "dpkg-query",
                &["-W", "-f", "${Status}|${Version}|${Architecture}\n", name],
            )
            .and_then(|text| {
                let mut fields = text.lines().next()?.split('|').map(str::to_owned);
                Some(PackageState {
                    status: fields.next()?,
                    version: fields.next()?,
                    arch: fields.next()?,
                })
            }),
        ),
        Probe::Unit(name) => Answer::Unit(
            text_of("systemctl", &["show", name])
                .unwrap_or_default()
                .lines()
                .filter_map(|line| line.split_once('='))
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect(),
        ),
        Probe::User(name) => Answer::User(text_of("getent", &["passwd", name]).map(|line| {
            let fields: Vec<&str> = line.trim_end().split(':').collect();
            let shadow: Vec<String> = text_of("getent", &["shadow", name])
                .map(|line| line.trim_end().split(':').map(str::to_owned).collect())
                .unwrap_or_default();
            UserState {
                name: fields[0].into(),
                uid: fields[2].parse().unwrap(),
                gid: fields[3].parse().unwrap(),
                comment: fields[4].into(),
                home: fields[5].into(),
                shell: fields[6].into(),
                groups: text_of("id", &["-Gn", name])
                    .unwrap_or_default()
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect(),
                password: shadow.get(1).cloned(),
                shadow: shadow.get(2..).map(<[String]>::to_vec).unwrap_or_default(),
            }
        })),
        Probe::Group(name) => Answer::Group(text_of("getent", &["group", name]).map(|line| {
            let fields: Vec<&str> = line.trim_end().split(':').collect();
            GroupState {
                name: fields[0].into(),
                gid: fields[2].parse().unwrap(),
                members: fields[3]
                    .split(',')
                    .filter(|m| !m.is_empty())
                    .map(str::to_owned)
                    .collect(),
            }
        })),
    }
}

fn stat(path: &str, follow: bool) -> Option<PathState> {
    let meta = if follow {
        std::fs::metadata(path)
    } else {
        std::fs::symlink_metadata(path)
    }
    .ok()?;
    let kind = meta.file_type();
    let name = |flag: &str| {
        text_of(
            "stat",
            &[if follow { "-L" } else { "--" }, "-c", flag, path],
        )
        .unwrap_or_default()
    };
    Some(probe::PathState {
        kind: if kind.is_dir() {
            FileType::Directory
        } else if kind.is_symlink() {
            FileType::Link
        } else if kind.is_file() {
            FileType::File
        } else {
            FileType::Other(if kind.is_fifo() { 'p' } else { 's' })
        },
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        user: name("%U").trim().into(),
        gid: meta.gid(),
        group: name("%G").trim().into(),
        size: meta.len(),
        mtime: meta.mtime() as f64,
        atime: meta.atime() as f64,
        ctime: meta.ctime() as f64,
        inode: meta.ino(),
        dev: meta.dev(),
        nlink: meta.nlink(),
        target: std::fs::read_link(path)
            .ok()
            .map(|target| target.to_string_lossy().into_owned()),
    })
}
