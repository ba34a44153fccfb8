//! What the checks said, as a table host x role.

use crate::report::clean::clean;
use crate::report::event::{Status, StepEnd};
use crate::report::{Event, Reporter};
use indexmap::IndexMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One check on one host.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Check {
    /// The role it belongs to; `files` for what the last apply left.
    pub role: String,
    /// What is checked.
    pub check: String,
    /// Whether it holds.
    pub ok: bool,
    /// What was expected and seen instead.
    pub message: Option<String>,
}

/// Every host's checks. A clone shares them, so that one copy can listen to a run and another be read afterwards.
#[derive(Debug, Clone, Default)]
pub struct Table {
    hosts: Arc<Mutex<IndexMap<String, Vec<Check>>>>,
}

/// Role under which the files of the last apply are listed.
const FILES: &str = "files";

impl Table {
    /// Hosts and their checks, in the inventory's order.
    #[must_use]
    pub fn hosts(&self) -> IndexMap<String, Vec<Check>> {
        let all = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter()
            .filter(|(_, checks)| !checks.is_empty())
            .map(|(host, checks)| (host.clone(), checks.clone()))
            .collect()
    }

    /// Whether anything was checked and everything holds.
    #[must_use]
    pub fn all_ok(&self) -> bool {
        let hosts = self.hosts();
        !hosts.is_empty() && hosts.values().flatten().all(|check| check.ok)
    }

    /// Hosts with a check that does not hold.
    #[must_use]
    pub fn bad_hosts(&self) -> Vec<String> {
        let bad = |checks: &Vec<Check>| checks.iter().any(|check| !check.ok);
        self.hosts()
            .into_iter()
            .filter(|(_, checks)| bad(checks))
            .map(|(host, _)| host)
            .collect()
    }

    /// Forgets what was said of some hosts, before asking them again.
    pub fn forget(&self, hosts: &[String]) {
        let mut all = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        for host in hosts {
            if let Some(checks) = all.get_mut(host) {
                checks.clear();
            }
        }
    }

    fn add(&self, host: &str, check: Check) {
        let mut all = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(host.to_owned()).or_default().push(check);
    }

    fn take(&self, end: &StepEnd, item: bool) {
        let looped = end
            .result
            .get_attr("results")
            .is_ok_and(|r| !r.is_undefined());
        if end.status == Status::Skipped || (looped && !item) {
            return;
        }
        let role = end.task.role.clone().unwrap_or_else(|| FILES.into());
        let gathering = end.task.module == "setup";
        let ok = matches!(end.status, Status::Ok | Status::Changed);
        if gathering && ok {
            return;
        }
        self.add(
            &end.host,
            Check {
                role: if end.status == Status::Unreachable || gathering {
                    "connection".into()
                } else {
                    role
                },
                check: end.item.clone().unwrap_or_else(|| end.task.name.clone()),
                ok,
                message: end.msg.clone().filter(|_| !ok),
            },
        );
    }

    /// The table for people: a row per host, a column per role, then each failure in words.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let hosts = self.hosts();
        let mut roles: Vec<&str> = Vec::new();
        for check in hosts.values().flatten() {
            if !roles.contains(&check.role.as_str()) {
                roles.push(&check.role);
            }
        }
        let paint = |code: &str, text: &str| {
            if color {
                format!("\x1b[{code}m{text}\x1b[0m")
            } else {
                text.to_owned()
            }
        };
        let width = hosts
            .keys()
            .map(|host| host.chars().count())
            .chain([4])
            .max()
            .unwrap_or(4);
        let mut text = format!("{:<width$}", "HOST");
        for role in &roles {
            text.push_str(&format!("  {:<w$}", role, w = role.len().max(6)));
        }
        for (host, checks) in &hosts {
            text = format!("{}\n{host:<width$}", text.trim_end());
            for role in &roles {
                let own: Vec<&Check> = checks.iter().filter(|check| check.role == *role).collect();
                let (word, code) = if own.is_empty() {
                    ("-", "2")
                } else if own.iter().all(|check| check.ok) {
                    ("ok", "32")
                } else {
                    ("FAILED", "31;1")
                };
                let cell = format!("{word:<w$}", w = role.len().max(6));
                text.push_str(&format!("  {}", paint(code, &cell)));
            }
        }
        let mut text = text.trim_end().to_owned();
        for (host, checks) in &hosts {
            for check in checks.iter().filter(|check| !check.ok) {
                let why = check.message.as_deref().unwrap_or("failed");
                text.push_str(&format!(
                    "\n{host}  {}: {}: {}",
                    check.role,
                    clean(&check.check),
                    clean(why)
                ));
            }
        }
        text
    }
}

impl Reporter for Table {
    fn event(&mut self, event: &Event) {
        match event {
            Event::Item(end) => self.take(end, true),
            Event::Task(end) => self.take(end, false),
            Event::RunStart { hosts, .. } => {
                let mut all = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
                for host in hosts {
                    all.entry(host.clone()).or_default();
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(role: &str, ok: bool) -> Check {
        Check {
            role: role.into(),
            check: "c".into(),
            ok,
            message: (!ok).then(|| "expected 1; seen: 0".into()),
        }
    }

    #[test]
    fn a_row_per_host_and_a_reason_per_failure() {
        let table = Table::default();
        table.add("n1", check("zookeeper", true));
        table.add("n1", check("docker", false));
        table.add("n2", check("zookeeper", true));
        assert_eq!(
            table.render(false),
            "HOST  zookeeper  docker\n\
             n1    ok         FAILED\n\
             n2    ok         -\n\
             n1  docker: c: expected 1; seen: 0"
        );
        assert!(!table.all_ok());
        assert_eq!(table.bad_hosts(), ["n1"]);
    }

    #[test]
    fn nothing_checked_is_not_ok() {
        assert!(!Table::default().all_ok());
    }
}
