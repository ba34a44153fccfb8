//! `confirm`: a change that can lock us out is put back by the host itself, unless we come in again over a new connection.
//!
//! Before the step's actions the host keeps what they touch, notes how its services are, and starts a timer. When the step
//! and the handlers that it notified are through, a new connection stops the timer.

use crate::modules::sh::quote;
use crate::modules::{Decision, Effect, Outcome, Probe, Seen, Step};
use crate::remote::{Chunk, Reply};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, UNIX_EPOCH};

/// The script that keeps and arms; in front of it `id`, `limit` and the paths as arguments are set.
const ARM: &str = include_str!("guard.sh");

/// What one step's change waits for.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    id: Arc<str>,
    /// How long the host waits.
    pub limit: Duration,
}

impl Guard {
    /// For one step of one host.
    pub(crate) fn new(limit: Duration) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let now = UNIX_EPOCH.elapsed().unwrap_or_default();
        Self {
            id: format!("{}-{}-{count}", now.as_micros(), std::process::id()).into(),
            limit,
        }
    }

    /// Keeps what these effects touch, and starts the timer.
    fn arm(&self, effects: &[Effect]) -> Chunk {
        let paths: String = effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Path(path) => Some(format!(" {}", quote(path))),
                _ => None,
            })
            .collect();
        let script: String = ARM
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .flat_map(|line| [line, "\n"])
            .collect();
        Chunk::plain(format!(
            "id={} limit={}\nset --{paths}\n{script}",
            self.id,
            self.limit.as_secs().max(1)
        ))
    }

    /// Stops the timer; fails when the host has put everything back already.
    pub(crate) fn disarm(&self) -> Chunk {
        Chunk::plain(format!(
            "d=/run/mini-play.confirm.{id}\n\
             mv -- \"$d\" \"$d.done\" 2>/dev/null || exit 1\n\
             if [ -s \"$d.done/pid\" ]; then kill -- \"-$(cat \"$d.done/pid\")\"; \
             else systemctl stop mini-play-confirm-{id}.timer; fi 2>/dev/null\n\
             rm -rf -- \"$d.done\"\n",
            id = self.id
        ))
    }
}

/// A step whose change is guarded.
pub(super) struct Guarded {
    inner: Arc<dyn Step>,
    guard: Guard,
}

impl Guarded {
    pub(super) fn new(inner: Arc<dyn Step>, guard: Guard) -> Self {
        Self { inner, guard }
    }
}

impl Step for Guarded {
    fn probes(&self) -> Vec<Probe> {
        self.inner.probes()
    }

    fn decide(&self, seen: &Seen) -> Decision {
        match self.inner.decide(seen) {
            Decision::Act(mut plan) => {
                let arm = self.guard.arm(&plan.effects);
                plan.actions.insert(0, arm);
                // The timer is running: what may put the change back may touch anything.
                plan.effects.push(Effect::Anything);
                Decision::Act(plan)
            }
            other => other,
        }
    }

    fn finish(&self, before: &Seen, replies: &[Reply], after: &Seen) -> Outcome {
        match replies.split_first() {
            Some((arm, rest)) if arm.rc == 0 => self.inner.finish(before, rest, after),
            Some((arm, _)) => {
                let why = arm.err();
                Outcome::failed(format!(
                    "`confirm` cannot be kept on this host: {}",
                    why.trim()
                ))
            }
            None => self.inner.finish(before, replies, after),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_shell_script_is_clean() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/engine/guard.sh");
        let output = std::process::Command::new("shellcheck")
            .arg(script)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}
