//! Changing a file in place: its bytes are fetched, the new ones computed here, and written back whole.
//!
//! The step behind `lineinfile`, `blockinfile`, `replace` and `ini_file`; each of them is an [`Edit`].

use super::attrs::{self, Attrs, Unsettled};
use super::probe::{FileType, PathState};
use super::write::{self, Source, Write};
use super::{Args, Decision, Effect, Failure, Outcome, Plan, Probe, Seen, Step, put, sh};
use crate::remote::{Chunk, Payload, Reply};
use minijinja::Value;

/// Larger files are not edited.
const LIMIT: u64 = 32 << 20;

/// What becomes of a file's bytes.
pub(crate) trait Edit: Send + Sync {
    /// The new bytes of a file that has these now; `None` when it does not exist.
    ///
    /// # Errors
    /// When it cannot be edited.
    fn edit(&self, path: &str, old: Option<&[u8]>) -> Result<Edited, Failure>;

    /// Name of the result field for the backup, and whether it is there (empty) without one.
    fn backup_field(&self) -> (&'static str, bool) {
        ("backup_file", false)
    }

    /// Whether the message tells that attributes changed.
    fn tells_attrs(&self) -> bool {
        true
    }

    /// Whether the file's state (`mode`, `owner`…) is part of the result.
    fn tells_state(&self) -> bool {
        false
    }
}

/// New bytes and what to say about them.
#[derive(Debug, Default)]
pub(crate) struct Edited {
    /// `None` when the file stays as it is (also when it stays missing).
    pub(crate) bytes: Option<Vec<u8>>,
    pub(crate) msg: String,
    pub(crate) data: Vec<(&'static str, Value)>,
    pub(crate) warnings: Vec<String>,
}

/// An edit of one file.
pub(crate) struct EditStep<E> {
    pub(crate) path: String,
    pub(crate) edit: E,
    pub(crate) attrs: Attrs,
    pub(crate) backup: bool,
    pub(crate) validate: Option<String>,
    pub(crate) unsafe_writes: bool,
    /// Whether a link is written through.
    pub(crate) follow: bool,
}

impl<E: Edit> EditStep<E> {
    pub(crate) fn new(args: &Args, edit: E) -> Result<Self, Failure> {
        Ok(Self {
            path: args.text("path"),
            edit,
            attrs: Attrs::new(args)?,
            backup: args.bool("backup"),
            validate: args.str("validate"),
            unsafe_writes: args.bool("unsafe_writes"),
            follow: true,
        })
    }

    fn content(&self) -> Probe {
        Probe::Content {
            path: self.path.clone(),
            limit: LIMIT,
        }
    }

    /// The edit, or why there is none.
    fn edited(&self, seen: &Seen) -> Result<(Edited, Option<PathState>), Unsettled> {
        let path = seen.expanded(&self.path);
        let whole = Probe::Path {
            path: self.path.clone(),
            follow: true,
        };
        if let Some(why) = seen.unknown(&whole).or(seen.unknown(&self.content())) {
            return Err(Unsettled::failed(format!("{path}: {why}")));
        }
        let now = seen.stat(&self.path, true);
        if now.is_some_and(|now| now.kind == FileType::Directory) {
            let outcome = Outcome::failed(format!("Path {path} is a directory !"));
            return Err(outcome.with("rc", 256).into());
        }
        let old = seen.content(&self.path, LIMIT);
        if now.is_some() && old.is_none() {
            let msg = format!(
                "{path} is no regular file, or larger than {} MiB",
                LIMIT >> 20
            );
            return Err(Unsettled::failed(msg));
        }
        let edited = self.edit.edit(path, old)?;
        Ok((edited, now.cloned()))
    }

    fn result(&self, edited: Edited, attrs_change: bool) -> Outcome {
        let mut outcome = Outcome {
            changed: edited.bytes.is_some() || attrs_change,
            warnings: edited.warnings,
            ..Outcome::default()
        };
        let tell = attrs_change && self.edit.tells_attrs();
        let and = if edited.bytes.is_some() && tell {
            " and "
        } else {
            ""
        };
        let own = if tell {
            "ownership, perms or SE linux context changed"
        } else {
            ""
        };
        outcome.msg = Some(format!("{}{and}{own}", edited.msg));
        let (field, always) = self.edit.backup_field();
        if always {
            outcome = outcome.with(field, "");
        }
        edited
            .data
            .into_iter()
            .fold(outcome, |outcome, (key, value)| outcome.with(key, value))
    }

    fn told(&self, outcome: Outcome, seen: &Seen) -> Outcome {
        if !self.edit.tells_state() {
            return outcome;
        }
        let outcome = outcome.with("path", seen.expanded(&self.path));
        attrs::info(outcome, seen.stat(&self.path, self.follow))
    }

    /// Whether a new file would not get what is asked for by itself.
    fn new_differs(&self) -> bool {
        let other = |who: &Option<String>| {
            who.as_deref()
                .is_some_and(|who| who != "root" && who != "0")
        };
        let mode = self
            .attrs
            .mode
            .as_ref()
            .map(|mode| mode.on(attrs::NEW_FILE, false));
        other(&self.attrs.owner)
            || other(&self.attrs.group)
            || mode.is_some_and(|mode| mode != Ok(attrs::NEW_FILE))
    }
}

impl<E: Edit> Step for EditStep<E> {
    fn probes(&self) -> Vec<Probe> {
        let mut probes = vec![
            Probe::Path {
                path: self.path.clone(),
                follow: true,
            },
            self.content(),
        ];
        if !self.follow {
            probes.push(Probe::Path {
                path: self.path.clone(),
                follow: false,
            });
        }
        if sh::expands(&self.path) {
            probes.push(Probe::Expand(self.path.clone()));
        }
        probes.extend(self.attrs.probes(&self.path));
        probes
    }

    fn decide(&self, seen: &Seen) -> Decision {
        let (edited, now) = match self.edited(seen) {
            Ok(edited) => edited,
            Err(unsettled) => return unsettled.decision(),
        };
        let path = seen.expanded(&self.path).to_owned();
        let mut fix = attrs::Fix::default();
        if let Some(now) = &now {
            match self.attrs.differ(&self.path, now, seen) {
                Ok(found) => fix = found,
                Err(unsettled) => return unsettled.decision(),
            }
        }
        let Some(bytes) = &edited.bytes else {
            if fix.is_empty() {
                return Decision::Done(self.told(self.result(edited, false), seen));
            }
            let script = format!(
                "p=$(readlink -f -- {})\n{}",
                sh::expanding(&self.path, false),
                fix.commands("\"$p\"")
            );
            let predicted = self.result(edited, true);
            let predicted = attrs::diff(predicted, &path, fix.before, fix.after);
            return Decision::Act(Plan {
                actions: vec![Chunk::new(script)],
                effects: vec![Effect::Path(self.path.clone())],
                predicted: self.told(predicted, seen),
                opaque: false,
            });
        };
        let source = Source::Payload(Payload::Bytes(bytes.as_slice().into()));
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let before = if now.is_none() && !folder.is_empty() {
            format!("mkdir -p -- {} || exit\n", sh::quote(folder))
        } else {
            String::new()
        };
        let chunk = Write {
            follow: self.follow,
            backup: self.backup,
            validate: self.validate.as_deref(),
            unsafe_writes: self.unsafe_writes,
            before,
            ..Write::new(&self.path, source, &self.attrs, now.as_ref())
        }
        .chunk();
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(failure) => return Decision::Done(put::failed(failure)),
        };
        let old = seen.content(&self.path, LIMIT);
        let (before, after) = (write::diff_text(old), write::diff_text(Some(bytes)));
        let attrs_change = !fix.is_empty() || now.is_none() && self.new_differs();
        let mut predicted = self.result(edited, attrs_change).diff(&path, before, after);
        if !fix.is_empty() {
            predicted = attrs::diff(predicted, &path, fix.before, fix.after);
        }
        Decision::Act(Plan {
            actions: vec![chunk],
            effects: vec![Effect::Path(self.path.clone())],
            predicted: self.told(predicted, seen),
            opaque: false,
        })
    }

    fn finish(&self, before: &Seen, replies: &[Reply], after: &Seen) -> Outcome {
        if let Some(mut outcome) = write::failure(replies, before.expanded(&self.path)) {
            if let (Some("failed to validate"), Some(status)) =
                (outcome.msg.as_deref(), outcome.data.get("exit_status"))
            {
                let error = outcome.data.get("stderr").map(ToString::to_string);
                let msg = format!(
                    "failed to validate: rc:{status} error:{}",
                    error.unwrap_or_default()
                );
                outcome.msg = Some(msg);
            }
            return outcome;
        }
        let Decision::Act(plan) = self.decide(before) else {
            return Outcome::changed();
        };
        let mut outcome = plan.predicted;
        outcome.diff.clear();
        outcome = self.told(outcome, after);
        if let Some(path) = write::backup_file(replies) {
            outcome = outcome.with(self.edit.backup_field().0, path);
        }
        outcome
    }
}
