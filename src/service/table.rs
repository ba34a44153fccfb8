//! How services are, as a table host x service.

use crate::report::clean::clean;
use crate::report::event::{Status, StepEnd};
use crate::report::{Event, Reporter};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// A process of a service.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Whose it is.
    pub user: String,
    /// Bytes in memory.
    pub memory: u64,
    /// 0 for the service itself, 1 for its children, and so on.
    pub depth: usize,
    /// The command line.
    pub command: String,
}

/// A service on one host.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Row {
    /// The host.
    pub host: String,
    /// What people call it.
    pub service: String,
    /// The unit.
    pub unit: Option<String>,
    /// `active`, `inactive`, `failed`, `absent`…; `unreachable` when the host is.
    pub state: String,
    /// When its main process started.
    pub since: Option<String>,
    /// The main process.
    pub pid: Option<u32>,
    /// Bytes in memory, all processes together.
    pub memory: u64,
    /// Where it listens.
    pub ports: Vec<String>,
    /// Its processes, parents before children.
    pub processes: Vec<Process>,
    /// Why nothing is known.
    pub message: Option<String>,
}

/// Most characters of a command line that are shown.
const WIDTH: usize = 150;
/// Most processes of a service that are shown.
const MOST: usize = 8;

/// Listens to a run of `service_status`. A clone shares the rows.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Arc<Mutex<Vec<Row>>>,
    /// All hosts.
    order: Arc<Mutex<Vec<String>>>,
}

impl Table {
    /// All rows: hosts in the inventory's order, services in that of the plays.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let mut rows = self
            .rows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        // Stable: a host's services were asked in order.
        rows.sort_by_key(|row| order.iter().position(|host| *host == row.host));
        rows
    }

    fn take(&self, end: &StepEnd) {
        let get = |name: &str| end.result.get_attr(name).unwrap_or_default();
        let text = |name: &str| get(name).as_str().map(clean);
        let known = end.status == Status::Ok;
        let lost = end.status == Status::Unreachable;
        let state = if lost { "unreachable" } else { "unknown" };
        let processes = serde_json::to_value(get("processes")).unwrap_or_default();
        let ports = get("ports");
        let row = Row {
            host: end.host.to_string(),
            service: end.task.name.clone(),
            unit: text("name").filter(|_| known),
            state: text("state")
                .filter(|_| known)
                .unwrap_or_else(|| state.into()),
            since: text("since"),
            pid: get("pid").as_i64().and_then(|pid| u32::try_from(pid).ok()),
            memory: get("memory")
                .as_i64()
                .and_then(|n| u64::try_from(n).ok())
                .unwrap_or(0),
            ports: ports
                .try_iter()
                .into_iter()
                .flatten()
                .map(|port| clean(&port.to_string()))
                .collect(),
            processes: serde_json::from_value(processes).unwrap_or_default(),
            message: end.msg.clone().filter(|_| !known),
        };
        self.rows
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(row);
    }

    /// The table for people; `whole` does not shorten command lines.
    #[must_use]
    pub fn render(&self, color: bool, whole: bool) -> String {
        let rows = self.rows();
        let heads = [
            "HOST", "SERVICE", "STATE", "SINCE", "PID", "MEMORY", "PORTS",
        ];
        let dash = || "-".to_owned();
        let cells: Vec<[String; 7]> = rows
            .iter()
            .map(|row| {
                [
                    row.host.clone(),
                    row.service.clone(),
                    row.state.clone(),
                    row.since.clone().unwrap_or_else(dash),
                    row.pid.map_or_else(dash, |pid| pid.to_string()),
                    if row.memory == 0 {
                        dash()
                    } else {
                        size(row.memory)
                    },
                    if row.ports.is_empty() {
                        dash()
                    } else {
                        row.ports.join(", ")
                    },
                ]
            })
            .collect();
        let width = |column: usize| {
            let texts = cells.iter().map(|row| row[column].chars().count());
            texts.chain([heads[column].len()]).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        let line = |cells: &[String]| {
            let parts: Vec<String> = cells
                .iter()
                .zip(&widths)
                .map(|(text, width)| format!("{text:<width$}"))
                .collect();
            parts.join("  ").trim_end().to_owned()
        };
        let mut text = line(&heads.map(str::to_owned));
        for (row, cells) in rows.iter().zip(&cells) {
            let head = line(cells);
            let head = match (color, row.state.as_str()) {
                (false, _) => head,
                (_, "active") => head.replacen("active", "\x1b[32mactive\x1b[0m", 1),
                (_, state) => head.replacen(state, &format!("\x1b[31;1m{state}\x1b[0m"), 1),
            };
            let _ = write!(text, "\n{head}");
            if let Some(message) = &row.message {
                let _ = write!(text, "\n    {}", clean(message));
            }
            let shown = if whole { usize::MAX } else { MOST };
            for process in row.processes.iter().take(shown) {
                let branch = match process.depth {
                    0 => String::new(),
                    depth => format!("{}\\_ ", "    ".repeat(depth - 1)),
                };
                let command = clean(&process.command).replace('\n', " ");
                let command = if whole { command } else { shorten(&command) };
                let _ = write!(
                    text,
                    "\n    {} {} {branch}{command}",
                    clean(&process.user),
                    process.pid
                );
            }
            let more = row.processes.len().saturating_sub(shown);
            if more > 0 {
                let _ = write!(text, "\n    and {more} more (-v shows them)");
            }
        }
        text
    }
}

impl Reporter for Table {
    fn event(&mut self, event: &Event) {
        match event {
            Event::RunStart { hosts, .. } => {
                let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
                order.clone_from(hosts);
            }
            Event::Task(end) if end.task.module != "setup" => self.take(end),
            _ => {}
        }
    }
}

fn size(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let Some((unit, shift)) = units.iter().find(|(_, shift)| bytes >> shift > 0) else {
        return format!("{bytes} B");
    };
    let tenths = bytes.saturating_mul(10) >> shift;
    if tenths >= 100 {
        format!("{} {unit}", tenths / 10)
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

/// What names a program stands at both ends of its command line: the middle goes.
fn shorten(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= WIDTH {
        return text.to_owned();
    }
    let tail = WIDTH * 2 / 3;
    let head: String = chars[..WIDTH - tail - 1].iter().collect();
    let end: String = chars[chars.len() - tail..].iter().collect();
    format!("{head}…{end}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::event::TaskInfo;
    use minijinja::Value;
    use minijinja::value::Serde;

    fn end(host: &str, service: &str, status: Status, result: serde_json::Value) -> Event {
        Event::Task(Box::new(StepEnd {
            host: host.into(),
            task: Arc::new(TaskInfo {
                name: service.into(),
                module: "service_status".into(),
                ..TaskInfo::default()
            }),
            status,
            msg: result["msg"].as_str().map(str::to_owned),
            result: Value::from(Serde(result)),
            ..StepEnd::default()
        }))
    }

    #[test]
    fn hosts_stand_together_and_children_below() {
        let mut table = Table::default();
        table.event(&Event::RunStart {
            playbook: "service".into(),
            hosts: vec!["n1".into(), "n2".into()],
            check: false,
        });
        let child = serde_json::json!({"pid": 8, "user": "root", "memory": 1, "depth": 1, "command": "logger \u{7}"});
        let main = serde_json::json!({"pid": 7, "user": "root", "memory": 1, "depth": 0, "command": "mesos-master --zk=x"});
        let up = serde_json::json!({"name": "m", "state": "active", "since": "2026-01-02 03:04:05", "pid": 7, "memory": 3_500_000, "ports": ["tcp *:5050"], "processes": [main, child]});
        table.event(&end("n1", "master", Status::Ok, up));
        table.event(&end(
            "n2",
            "master",
            Status::Unreachable,
            serde_json::json!({"msg": "timed out"}),
        ));
        table.event(&end("n1", "slave", Status::Ok, serde_json::json!({"name": "s", "state": "failed", "memory": 0, "ports": [], "processes": []})));
        assert_eq!(
            table.render(false, false),
            "HOST  SERVICE  STATE        SINCE                PID  MEMORY   PORTS\n\
             n1    master   active       2026-01-02 03:04:05  7    3.3 MiB  tcp *:5050\n    \
             root 7 mesos-master --zk=x\n    root 8 \\_ logger \\u{7}\n\
             n1    slave    failed       -                    -    -        -\n\
             n2    master   unreachable  -                    -    -        -\n    timed out"
        );
    }

    #[test]
    fn the_middle_of_a_long_line_goes() {
        let text = format!("java {} org.Main zoo.cfg", "x".repeat(500));
        let short = shorten(&text);
        assert_eq!(short.chars().count(), WIDTH);
        assert!(short.starts_with("java x") && short.ends_with("org.Main zoo.cfg"));
    }
}
