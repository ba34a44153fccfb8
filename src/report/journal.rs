//! The run journal: what was done to each host, as JSON lines, and the receipt of what a run left there.
//!
//! Everything lies in one state folder per inventory, readable by its owner only: `runs/TIME/HOST.jsonl` for each run and
//! `receipts/HOST.json` for the latest known fingerprints, which `verify` compares.

use super::event::{HostRecap, Status, StepEnd};
use super::{Event, Reporter, json};
use crate::modules;
use anyhow::{Context as _, Result};
use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::Serde;
use sha2::{Digest as _, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// The state folder of an inventory: below `MINI_PLAY_STATE`, `$XDG_STATE_HOME/mini-play` or `~/.local/state/mini-play`.
#[must_use]
pub fn state_dir(inventory: &Path) -> PathBuf {
    let base = match std::env::var_os("MINI_PLAY_STATE") {
        Some(dir) => PathBuf::from(dir),
        None => std::env::var_os("XDG_STATE_HOME")
            .map(PathBuf::from)
            .or_else(|| std::env::home_dir().map(|home| home.join(".local/state")))
            .unwrap_or_else(|| PathBuf::from("."))
            .join("mini-play"),
    };
    let full = std::fs::canonicalize(inventory).unwrap_or_else(|_| inventory.to_path_buf());
    let digest = Sha256::digest(full.as_os_str().as_encoded_bytes());
    let key: String = digest
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let name = full
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned())
        .unwrap_or_default();
    base.join(format!("{name}-{key}"))
}

/// What runs left on a host: digests of the files they were about.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Receipt {
    /// Path to `ALGORITHM:DIGEST`, or `-` where the run left no file.
    pub files: BTreeMap<String, String>,
    /// Which playbook put each of them there.
    #[serde(default)]
    pub playbooks: BTreeMap<String, String>,
    /// Facts gathered last, but for those that may hold secrets or change by themselves.
    #[serde(default)]
    pub facts: BTreeMap<String, serde_json::Value>,
}

/// Facts that are not kept.
const PASSING: [&str; 6] = [
    "env",
    "date_time",
    "local",
    "loadavg",
    "uptime_seconds",
    "memfree_mb",
];

impl Receipt {
    /// The receipt of a host; empty when there is none.
    ///
    /// # Errors
    /// When it is there but cannot be read.
    pub fn load(state: &Path, host: &str) -> Result<Self> {
        let path = receipt_path(state, host);
        match std::fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .with_context(|| format!("failed to read {}", path.display())),
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(why) => Err(why).with_context(|| format!("failed to read {}", path.display())),
        }
    }

    /// The facts as values.
    #[must_use]
    pub fn known_facts(&self) -> IndexMap<String, Value> {
        let value = |fact: &serde_json::Value| Value::from(Serde(fact.clone()));
        let facts = self.facts.iter();
        facts
            .map(|(name, fact)| (name.clone(), value(fact)))
            .collect()
    }

    fn store(&self, state: &Path, host: &str) -> Result<()> {
        let path = receipt_path(state, host);
        let part = path.with_extension("part");
        private_file(&part)?.write_all(&serde_json::to_vec_pretty(self)?)?;
        std::fs::rename(&part, &path).with_context(|| format!("failed to write {}", path.display()))
    }

    /// After a whole run of a playbook: what an earlier run of it left, and this one had nothing to do with, is no longer its.
    fn settle(&mut self, playbook: &str, seen: &BTreeSet<String>) {
        let playbooks = &self.playbooks;
        self.files.retain(|path, _| {
            seen.contains(path) || playbooks.get(path).is_some_and(|by| by != playbook)
        });
        for path in seen {
            self.playbooks.insert(path.clone(), playbook.to_owned());
        }
        let files = &self.files;
        self.playbooks.retain(|path, _| files.contains_key(path));
    }

    /// Takes over what a step saw or left; the files it was about.
    fn take(&mut self, end: &StepEnd) -> Vec<String> {
        let mut about = Vec::new();
        let known = if end.after.is_empty() {
            &end.before
        } else {
            &end.after
        };
        let looked = modules::find(&end.task.module).is_some_and(modules::Module::only_looks);
        for (what, answer) in known.iter().filter(|_| !looked) {
            let Some((kind, path)) = what.split_once(' ') else {
                continue;
            };
            if kind == "path" || kind.starts_with("sha") || kind == "md5" {
                about.push(path.to_owned());
            }
            if kind == "path" && answer == "-" {
                let under = |name: &str| {
                    name.strip_prefix(path)
                        .is_some_and(|rest| rest.starts_with('/'))
                };
                self.files.retain(|name, _| !under(name));
                if let Some(known) = self.files.get_mut(path) {
                    answer.clone_into(known);
                }
            } else if kind.starts_with("sha") || kind == "md5" {
                if answer != "-" {
                    self.files
                        .insert(path.to_owned(), format!("{kind}:{answer}"));
                } else if let Some(known) = self.files.get_mut(path) {
                    answer.clone_into(known);
                }
            }
        }
        if end.task.module == "setup"
            && let Ok(facts) = end.result.get_attr("ansible_facts")
            && let Ok(serde_json::Value::Object(facts)) = serde_json::to_value(&facts)
        {
            self.facts = facts
                .into_iter()
                .filter(|(name, _)| !PASSING.contains(&name.as_str()))
                .collect();
        }
        about
    }
}

fn receipt_path(state: &Path, host: &str) -> PathBuf {
    state
        .join("receipts")
        .join(format!("{}.json", file_name(host)))
}

/// A host's name as a file name: nothing that leads elsewhere.
pub(super) fn file_name(host: &str) -> String {
    host.chars()
        .map(|c| if c == '/' || c == '\0' { '_' } else { c })
        .collect()
}

fn private_dir(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("failed to make the folder {}", path.display()))
}

fn private_file(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("failed to write {}", path.display()))
}

/// Bytes that must be free for a journal.
const ROOM: usize = 256 << 10;

/// Writes the journal of a run.
pub struct Journal {
    state: PathBuf,
    dir: PathBuf,
    files: HashMap<String, File>,
    receipts: HashMap<String, Receipt>,
    /// Files that this run was about, by host.
    seen: HashMap<String, BTreeSet<String>>,
    playbook: String,
    /// Only some tasks are run.
    partial: bool,
    resume: bool,
    check: bool,
    broken: bool,
}

impl Journal {
    /// Opens the journal of a run, before anything is changed.
    ///
    /// # Errors
    /// When the state folder cannot be written.
    pub fn open(state: &Path) -> Result<Self> {
        let now = time::OffsetDateTime::now_utc();
        let format = time::macros::format_description!(
            "[year][month][day]T[hour][minute][second].[subsecond digits:3]Z"
        );
        let name = now.format(&format).context("failed to write the time")?;
        let dir = state
            .join("runs")
            .join(format!("{name}-{}", std::process::id()));
        private_dir(state)?;
        private_dir(&dir)?;
        private_dir(&state.join("receipts"))?;
        private_dir(&state.join("due"))?;
        // A full disk shows here rather than in the middle of the run.
        let room = dir.join("room");
        let fits = private_file(&room).and_then(|mut file| {
            file.write_all(&[0; ROOM])?;
            Ok(file.sync_all()?)
        });
        let removed = std::fs::remove_file(&room);
        fits.and_then(|()| Ok(removed?))
            .with_context(|| format!("failed to write in {}", dir.display()))?;
        Ok(Self {
            state: state.to_path_buf(),
            dir,
            files: HashMap::new(),
            receipts: HashMap::new(),
            seen: HashMap::new(),
            playbook: String::new(),
            partial: false,
            resume: false,
            check: false,
            broken: false,
        })
    }

    /// The same for a run of only some tasks: what the others left is still expected.
    #[must_use]
    pub fn partial(mut self, partial: bool) -> Self {
        self.partial = partial;
        self
    }

    /// The same for a run whose hosts go on where an earlier one left them.
    #[must_use]
    pub fn resume(mut self, resume: bool) -> Self {
        self.resume = resume;
        self
    }

    /// Where it is written.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn append(&mut self, name: &str, event: &Event) -> Result<()> {
        let Some(mut value) = json::object(event) else {
            return Ok(());
        };
        if let Some(map) = value.as_object_mut() {
            // The journal keeps fingerprints, not whole results: those may hold what the user's files hold.
            map.remove("result");
            map.remove("diff");
            let now = time::OffsetDateTime::now_utc();
            let stamp = now.format(&time::format_description::well_known::Rfc3339)?;
            map.insert("time".into(), stamp.into());
            if matches!(event, Event::RunStart { .. }) {
                map.insert("resume".into(), self.resume.into());
            }
        }
        if !self.files.contains_key(name) {
            let path = self.dir.join(format!("{}.jsonl", file_name(name)));
            self.files.insert(name.to_owned(), private_file(&path)?);
        }
        if let Some(file) = self.files.get_mut(name) {
            file.write_all(format!("{value}\n").as_bytes())?;
        }
        Ok(())
    }

    /// At the end of a whole run: receipts of hosts that came to their end hold what this run was about.
    fn settle(&mut self, recap: &[HostRecap]) {
        let well = recap
            .iter()
            .filter(|host| host.failed == 0 && host.unreachable == 0);
        for host in well {
            let seen = self.seen.remove(&host.host).unwrap_or_default();
            if let Some(receipt) = self.receipts.get_mut(&host.host) {
                receipt.settle(&self.playbook, &seen);
                self.broken |= receipt.store(&self.state, &host.host).is_err();
            }
        }
    }

    fn receive(&mut self, end: &StepEnd) {
        let settled = matches!(end.status, Status::Ok | Status::Changed);
        if !settled || self.check || end.delegate.is_some() {
            return;
        }
        let host = end.host.to_string();
        let state = &self.state;
        let about = self
            .receipts
            .entry(host.clone())
            .or_insert_with_key(|host| Receipt::load(state, host).unwrap_or_default())
            .take(end);
        self.seen.entry(host).or_default().extend(about);
    }
}

impl Reporter for Journal {
    /// Paths and facts of receipts are compared later, so they must be what they are.
    fn raw(&mut self, event: &Event) {
        if let Event::Item(end) | Event::Task(end) = event {
            self.receive(end);
        }
    }

    fn event(&mut self, event: &Event) {
        let name = match event {
            Event::Item(end) | Event::Task(end) => end.host.to_string(),
            Event::RunStart {
                check, playbook, ..
            } => {
                self.check = *check;
                let path = Path::new(playbook);
                let path = std::path::absolute(path).unwrap_or_else(|_| path.into());
                self.playbook = path.display().to_string();
                "run".to_owned()
            }
            Event::HostEnd(recap) => {
                if let Some(receipt) = self.receipts.get(&recap.host) {
                    self.broken |= receipt.store(&self.state, &recap.host).is_err();
                }
                recap.host.clone()
            }
            Event::RunEnd { recap, interrupted } => {
                if !self.partial && !interrupted {
                    self.settle(recap);
                }
                "run".to_owned()
            }
            _ => "run".to_owned(),
        };
        let written = self.append(&name, event);
        if written.is_err() && !self.broken {
            self.broken = true;
            tracing::warn!(
                "the journal in {} cannot be written any more",
                self.dir.display()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::event::TaskInfo;
    use std::sync::Arc;

    fn left(steps: &[(&str, &[(&str, &str)])]) -> Vec<(String, String)> {
        let mut receipt = Receipt::default();
        for (module, seen) in steps {
            receipt.take(&StepEnd {
                task: Arc::new(TaskInfo {
                    module: (*module).to_owned(),
                    ..TaskInfo::default()
                }),
                before: seen
                    .iter()
                    .map(|(what, answer)| ((*what).to_owned(), (*answer).to_owned()))
                    .collect(),
                ..StepEnd::default()
            });
        }
        receipt.files.into_iter().collect()
    }

    #[test]
    fn files_that_were_only_looked_at_are_not_kept() {
        let seen: &[(&str, &str)] = &[("sha256 /a", "aa")];
        assert_eq!(left(&[("slurp", seen), ("stat", seen)]), []);
        assert_eq!(
            left(&[("copy", seen)]),
            [("/a".to_owned(), "sha256:aa".to_owned())]
        );
    }

    #[test]
    fn a_whole_run_forgets_what_its_playbook_no_longer_puts_there() {
        let mut receipt = Receipt::default();
        for (path, playbook) in [("/old", "p"), ("/kept", "p"), ("/other", "q")] {
            receipt.files.insert(path.into(), "sha256:aa".into());
            receipt.playbooks.insert(path.into(), playbook.into());
        }
        // One of a receipt that did not yet say by whom.
        receipt.files.insert("/unknown".into(), "sha256:aa".into());
        receipt.settle("p", &BTreeSet::from(["/kept".into(), "/gone".into()]));
        let left: Vec<_> = receipt.files.keys().map(String::as_str).collect();
        assert_eq!(left, ["/kept", "/other"]);
        assert_eq!(receipt.playbooks.len(), 2);
    }

    #[test]
    fn what_was_removed_is_expected_to_stay_away() {
        let kept = left(&[
            ("copy", &[("sha256 /d/a", "aa")]),
            ("copy", &[("sha256 /b", "bb")]),
            ("file", &[("path /d", "-")]),
            ("file", &[("path /b", "-")]),
        ]);
        assert_eq!(kept, [("/b".to_owned(), "-".to_owned())]);
    }
}
