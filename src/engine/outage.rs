//! A line that broke: how often and how long another one is tried, and what nobody knows the end of.

use super::position::Key;
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Times a host's line may break in a play.
const TRIES: u32 = 3;

/// How long a host whose line broke is waited for: long enough for most to boot.
const AWAITED: Duration = Duration::from_secs(180);

/// The outages of one host in one play.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    /// How often the line broke.
    breaks: u32,
    /// When it last did.
    since: Option<Instant>,
    /// How often the host was looked for since.
    looks: u32,
    message: String,
    /// Steps that cannot be observed and were under way: they may have run.
    pub doubtful: HashSet<Key>,
}

impl Outage {
    /// The line broke: what to tell, if another is to be tried.
    pub(crate) fn begin(&mut self, message: &str) -> Option<String> {
        message.clone_into(&mut self.message);
        self.breaks += 1;
        if self.breaks > TRIES {
            return None;
        }
        self.since = Some(Instant::now());
        self.looks = 0;
        Some(format!(
            "{message}; connecting again ({} of {TRIES})",
            self.breaks
        ))
    }

    /// Whether a host that does not answer is still waited for: it may be starting again.
    pub(crate) fn waits(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() < AWAITED)
    }

    /// How long to wait before the next look.
    pub(crate) fn pause(&mut self) -> Duration {
        self.looks += 1;
        let seconds = 1 << (self.looks + self.breaks - 1).min(3);
        Duration::from_secs(seconds)
    }

    /// What is said of a step that was under way.
    pub(crate) fn message(&self) -> String {
        format!("{} while this was under way; it may have run", self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_lines_and_growing_pauses() {
        let mut outage = Outage::default();
        assert!(
            !outage.waits(),
            "a host that was never there is not waited for"
        );
        for (told, pauses) in [("1 of 3", [2, 4, 8, 8]), ("2 of 3", [4, 8, 8, 8])] {
            assert!(outage.begin("gone").is_some_and(|text| text.contains(told)));
            assert!(outage.waits());
            for pause in pauses {
                assert_eq!(outage.pause(), Duration::from_secs(pause));
            }
        }
        assert!(outage.begin("gone").is_some());
        assert!(outage.begin("gone").is_none());
    }
}
