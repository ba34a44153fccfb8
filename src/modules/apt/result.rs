//! Results: what apt-get's output says, in check mode too, and why it failed.

use super::{Action, Kind, Task};
use crate::modules::probe::Answer;
use crate::modules::sh::{failed, streams};
use crate::modules::{Decision, Diff, Effect, Outcome, Plan, Probe, Reply, Seen};

impl Kind {
    pub(super) fn changed(self, out: &str) -> bool {
        match self {
            Self::Clean | Self::Change => true,
            Self::Count => {
                !out.is_empty()
                    && !format!("\n{out}").contains("\n0 upgraded, 0 newly installed, 0 to remove")
            }
            Self::Says(text) => out.contains(text),
            Self::Update | Self::Mark => false,
        }
    }
}

impl Task {
    /// The result with what is known of the lists, after they were fetched or not.
    pub(super) fn cached(&self, outcome: Outcome, before: &Seen, fetched: Option<i64>) -> Outcome {
        // Ansible tells of the lists where it installs, and where fetching them is all.
        let alone = self.wanted.is_empty() && self.upgrade.is_none() && self.debs.is_empty();
        let cleans = alone && (self.autoremove || self.autoclean || self.clean);
        if self.upgrade.is_some()
            || !self.debs.is_empty()
            || (!self.update && (self.state == "absent" || cleans))
        {
            return outcome;
        }
        let (old, stale) = self.cache(before);
        let updated = match fetched {
            Some(new) => new != old,
            None => stale && self.check,
        };
        let mut outcome = outcome
            .with("cache_updated", updated)
            .with("cache_update_time", fetched.unwrap_or(old));
        if alone {
            outcome.changed |= updated;
        }
        outcome
    }

    /// Check mode: apt-get itself says what it would do.
    pub(super) fn rehearse(&self, actions: &[Action], idle: Outcome, seen: &Seen) -> Decision {
        let mut outcome = idle;
        for action in actions {
            if action.script.contains("download.deb") {
                outcome.changed = true;
                return Decision::Act(Plan {
                    actions: Vec::new(),
                    effects: vec![Effect::Nothing],
                    predicted: outcome,
                    opaque: true,
                });
            }
            match action.kind {
                Kind::Update | Kind::Mark => continue,
                Kind::Clean => {
                    outcome.changed = true;
                    continue;
                }
                _ => {}
            }
            let line = action.line.replacen("apt-get -y", "apt-get -s -y", 1);
            let probe = format!("export DEBIAN_FRONTEND=noninteractive LC_ALL=C\n{line}");
            let Some(answer) = seen.get(&Probe::Script(probe.clone())) else {
                return Decision::Look(vec![Probe::Script(probe)]);
            };
            let Answer::Script { rc, stdout, stderr } = answer else {
                continue;
            };
            let reply = Reply {
                ran: true,
                rc: *rc,
                stdout: stdout.to_vec(),
                stderr: stderr.to_vec(),
                ..Reply::default()
            };
            if reply.rc != 0 {
                return Decision::Done(self.failure(action, &reply));
            }
            let out = reply.out();
            outcome.changed |= action.kind.changed(&out);
            outcome.diff.extend(prepared(&out));
            outcome = streams(outcome, &out, &reply.err());
        }
        Decision::Done(outcome)
    }

    /// What went wrong, by apt's own `E:` lines.
    pub(super) fn failure(&self, action: &Action, reply: &Reply) -> Outcome {
        let err = reply.err();
        let errors: Vec<&str> = err
            .lines()
            .filter(|line| line.starts_with("E: ") || line.starts_with("N: /"))
            .map(|line| &line[3..])
            .collect();
        let named = |before: &str, after: &str| {
            errors.iter().find_map(|line| {
                line.strip_prefix(before)?
                    .strip_suffix(after)
                    .map(|name| name.trim_matches(['\'', '"']).to_owned())
            })
        };
        let cause = if errors.is_empty() {
            err.trim().to_owned()
        } else {
            errors.join("; ")
        };
        let unknown = named("Unable to locate package ", "")
            .map(|name| format!("No package matching '{name}' is available"))
            .or_else(|| {
                let name = named("Package ", " has no installation candidate")?;
                Some(format!("no available installation candidate for {name}"))
            });
        if let Some(msg) = unknown {
            return Outcome::failed(msg);
        }
        let msg = if action.kind == Kind::Update {
            format!(
                "Failed to update apt cache after {} retries: {cause}",
                self.retries
            )
        } else if reply.timed_out {
            format!("'{}' took too long", action.line)
        } else {
            format!("'{}' failed: {cause}", action.line)
        };
        failed(msg, reply)
    }
}

/// The part of apt-get's output that says what it does.
pub(super) fn prepared(out: &str) -> Option<Diff> {
    let lines: Vec<&str> = out.lines().collect();
    let start = lines
        .iter()
        .position(|line| *line == "Reading state information...")
        .map_or(0, |i| i + 1);
    let end = lines
        .iter()
        .position(|line| {
            let words: Vec<&str> = line.splitn(3, ' ').collect();
            words.len() > 1
                && words[0].parse::<u32>().is_ok()
                && words[1].trim_end_matches(',') == "upgraded"
        })
        .map_or(lines.len(), |i| i + 1);
    let text = lines.get(start..end)?.join("\n");
    (!text.is_empty()).then(|| Diff {
        header: String::new(),
        before: String::new(),
        after: text + "\n",
    })
}
