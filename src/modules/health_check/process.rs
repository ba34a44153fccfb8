//! Processes, as `ps axuf` shows them.

use super::super::Failure;
use super::{Wrong, found, wrong};
use fancy_regex::Regex;

/// `ps axuf` with the columns that matter, unabridged.
pub(super) const SCRIPT: &str = "ps axfww -o user:64= -o pid= -o args= 2>/dev/null || ps w";

/// One process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) user: String,
    pub(super) pid: u32,
    pub(super) command: String,
}

/// Rows of `ps`, the tree's branches removed.
pub(super) fn parse(text: &str) -> Vec<Process> {
    text.lines()
        .filter_map(|line| {
            let (user, rest) = line.trim_start().split_once(' ')?;
            let (pid, command) = rest.trim_start().split_once(' ')?;
            let command = command
                .trim_start_matches([' ', '|'])
                .trim_start_matches("\\_")
                .trim();
            Some(Process {
                user: user.into(),
                pid: pid.parse().ok()?,
                command: command.into(),
            })
        })
        .collect()
}

/// How many are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Count {
    Exactly(usize),
    AtLeast(usize),
}

impl Count {
    pub(super) fn parse(text: &str) -> Result<Self, Failure> {
        let number = |text: &str| text.trim().parse::<usize>();
        let text = text.trim();
        match text.strip_prefix(">=") {
            Some(rest) => number(rest).map(Self::AtLeast),
            None => number(text).map(Self::Exactly),
        }
        .map_err(|_| Failure::of("count", format!("`{text}` is neither `N` nor `>=N`")))
    }

    fn holds(self, n: usize) -> bool {
        match self {
            Self::Exactly(wanted) => n == wanted,
            Self::AtLeast(wanted) => n >= wanted,
        }
    }
}

/// What must run.
pub(super) struct Wanted {
    pub(super) pattern: Regex,
    /// The whole user name must match.
    pub(super) user: Option<Regex>,
    pub(super) count: Count,
}

impl Wanted {
    fn by_wanted_user(&self, process: &Process) -> bool {
        self.user
            .as_ref()
            .is_none_or(|user| found(user, &process.user))
    }

    pub(super) fn check(&self, processes: &[Process]) -> Result<(), Wrong> {
        let matching: Vec<&Process> = processes
            .iter()
            .filter(|process| found(&self.pattern, &process.command))
            .collect();
        let own = matching
            .iter()
            .filter(|process| self.by_wanted_user(process))
            .count();
        if self.count.holds(own) {
            return Ok(());
        }
        let as_user = self
            .user
            .as_ref()
            .map(|user| {
                format!(
                    " as {}",
                    user.as_str()
                        .trim_start_matches("^(?:")
                        .trim_end_matches(")$")
                )
            })
            .unwrap_or_default();
        let wanted = match self.count {
            Count::Exactly(n) => n.to_string(),
            Count::AtLeast(n) => format!("at least {n}"),
        };
        let mut seen = format!("{own}");
        if let Some(other) = matching
            .iter()
            .find(|process| !self.by_wanted_user(process))
        {
            seen = format!("{own} (one runs as {})", other.user);
        }
        wrong(
            format!(
                "{wanted} process(es) like /{}/{as_user}",
                self.pattern.as_str()
            ),
            seen,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PS: &str = "root           1 /sbin/init\nroot          33  \\_ /usr/bin/logger -t x\nzookeeper    120      \\_ java -cp x org.QuorumPeerMain zoo.cfg\n";

    #[test]
    fn rows_and_branches() {
        let rows = parse(PS);
        assert_eq!(rows.len(), 3);
        assert_eq!(rows[2].user, "zookeeper");
        assert_eq!(rows[2].command, "java -cp x org.QuorumPeerMain zoo.cfg");
    }

    #[test]
    fn counts_by_user() {
        let wanted = |user: &str, count| Wanted {
            pattern: Regex::new("QuorumPeerMain").unwrap(),
            user: Some(Regex::new(&format!("^(?:{user})$")).unwrap()),
            count,
        };
        assert!(
            wanted("zookeeper", Count::Exactly(1))
                .check(&parse(PS))
                .is_ok()
        );
        let Err(bad) = wanted("root", Count::AtLeast(1)).check(&parse(PS)) else {
            panic!()
        };
        assert!(bad.seen.contains("runs as zookeeper"));
    }
}
