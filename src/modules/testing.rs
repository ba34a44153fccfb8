//! Runs modules against the machine the tests run on: probes and actions for real, without an engine.

use super::{
    Args, Controller, Decision, Failure, Module, Outcome, Probe, Reply, Seen, Step,
    TemplateOptions, probe,
};
use crate::remote::{Chunk, Payload};
use indexmap::IndexMap;
use minijinja::Value;
use std::io::Write;
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
        for (probe, answer) in ask(&wanted).iter() {
            seen.insert(probe.clone(), answer.clone());
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
                let probes: Vec<Probe> = seen.iter().map(|(probe, _)| probe.clone()).collect();
                let after = ask(&probes);
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

/// The answers of this machine.
pub(crate) fn ask(probes: &[Probe]) -> Seen {
    let reply = act(&probe::chunk(probes));
    probe::parse(probes, &reply.stdout).unwrap()
}

/// Tries modules by hand on the machine it runs on, without an engine: `MP_TASKS` names a file with a JSON list of
/// `{"MODULE": {ARGUMENT: VALUE}}`, e.g. on a lab host. Prints one result a line.
#[test]
#[ignore = "changes the machine it runs on"]
#[allow(clippy::print_stdout)]
fn try_tasks() {
    let file = std::env::var("MP_TASKS").unwrap();
    let tasks: Vec<IndexMap<String, IndexMap<String, serde_json::Value>>> =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let mut fake = Fake {
        check: std::env::var_os("MP_CHECK").is_some(),
        ..Fake::default()
    };
    for (name, given) in tasks.into_iter().flatten() {
        let module = super::find(&name).unwrap();
        let given = given
            .into_iter()
            .map(|(key, value)| (key, Value::from(minijinja::value::Serde(value))))
            .collect();
        let outcome = match Args::new(module.spec(), given) {
            Ok(args) => local(module, &args, &fake),
            Err(failure) => Outcome::failed(failure.msg),
        };
        let mut result = serde_json::json!({
            "changed": outcome.changed, "failed": outcome.failed, "skipped": outcome.skipped,
            "msg": outcome.msg, "warnings": outcome.warnings,
        });
        for (key, value) in &outcome.data {
            result[key] = serde_json::to_value(value).unwrap();
        }
        if name != "setup" && !outcome.facts.is_empty() {
            result["ansible_facts"] = serde_json::to_value(&outcome.facts).unwrap();
        }
        println!("{name}: {result}");
        fake.facts.extend(outcome.facts);
    }
}
