//! Results of one task on many hosts, hosts with equal results together.

use super::clean::clean;
use super::event::{Status, StepEnd};
use super::{Event, Reporter};
use indexmap::IndexMap;
use minijinja::Value;
use std::cmp::Reverse;
use std::io::Write;

/// Fields that differ from host to host or say nothing to a person.
const PASSING: [&str; 12] = [
    "changed",
    "failed",
    "skipped",
    "start",
    "end",
    "delta",
    "cmd",
    "rc",
    "stdout_lines",
    "stderr_lines",
    "invocation",
    "elapsed",
];

/// What a group of hosts has in common.
#[derive(PartialEq, Eq, Hash)]
struct Said {
    status: Status,
    rc: Option<i64>,
    text: String,
}

/// Collects the results of a run of one task and shows them when it has ended.
pub struct Groups<W: Write + Send> {
    out: W,
    color: bool,
    groups: IndexMap<Said, Vec<String>>,
    /// All hosts, in the inventory's order.
    order: Vec<String>,
    warnings: Vec<String>,
}

impl<W: Write + Send> Groups<W> {
    /// To this writer.
    pub fn new(out: W, color: bool) -> Self {
        Self {
            out,
            color,
            groups: IndexMap::new(),
            order: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn take(&mut self, end: &StepEnd) {
        let said = Said {
            status: end.status,
            rc: end.result.get_attr("rc").ok().and_then(|rc| rc.as_i64()),
            text: text(end),
        };
        self.groups
            .entry(said)
            .or_default()
            .push(end.host.to_string());
    }

    /// Good results first, and of those what most hosts said; hosts in the inventory's order.
    fn show(&mut self) {
        let order = &self.order;
        let place = |host: &String| order.iter().position(|known| known == host);
        for hosts in self.groups.values_mut() {
            hosts.sort_by_key(place);
        }
        let first = |hosts: &Vec<String>| hosts.first().and_then(place);
        let mut groups: Vec<(&Said, &Vec<String>)> = self.groups.iter().collect();
        groups.sort_by_key(|(said, hosts)| (rank(said.status), Reverse(hosts.len()), first(hosts)));
        let mut text = String::new();
        for warning in &self.warnings {
            text.push_str(&format!("warning: {}\n", clean(warning)));
        }
        for (said, hosts) in groups {
            let count = match hosts.len() {
                1 => "1 host".to_owned(),
                n => format!("{n} hosts"),
            };
            let (word, code) = match (said.status, said.rc) {
                (Status::Ok, _) => (String::new(), "32"),
                (Status::Changed, Some(_)) => (String::new(), "33"),
                (Status::Failed, Some(rc)) if rc != 0 => (format!(" failed with {rc}"), "31;1"),
                (Status::Skipped, _) => (" skipped".to_owned(), "36"),
                (Status::Changed, None) => (" changed".to_owned(), "33"),
                (status, _) => (format!(" {}", status.word()), "31;1"),
            };
            let head = format!("{count}{word}: {}", hosts.join(", "));
            if self.color {
                text.push_str(&format!("\x1b[{code}m{head}\x1b[0m\n"));
            } else {
                text.push_str(&format!("{head}\n"));
            }
            for line in said.text.lines() {
                text.push_str(format!("    {line}").trim_end());
                text.push('\n');
            }
        }
        // A reader that has gone away is no reason to fail.
        let _ = self.out.write_all(text.as_bytes());
        let _ = self.out.flush();
    }
}

impl<W: Write + Send> Reporter for Groups<W> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::RunStart { hosts, .. } => self.order.clone_from(hosts),
            Event::Task(end) => self.take(end),
            Event::Warning { host, text } => {
                let about = host.as_ref().map(|host| format!("{host}: "));
                let line = format!("{}{text}", about.unwrap_or_default());
                if !self.warnings.contains(&line) {
                    self.warnings.push(line);
                }
            }
            Event::RunEnd { .. } => self.show(),
            _ => {}
        }
    }
}

fn rank(status: Status) -> u8 {
    match status {
        Status::Ok | Status::Changed => 0,
        Status::Skipped => 1,
        Status::Failed => 2,
        Status::Unreachable => 3,
    }
}

/// A result in words: what a command wrote, or the fields of another module. Cleaned.
fn text(end: &StepEnd) -> String {
    let field = |name: &str| {
        let value = end.result.get_attr(name).unwrap_or_default();
        value.as_str().unwrap_or_default().trim_end().to_owned()
    };
    let bad = matches!(end.status, Status::Failed | Status::Unreachable);
    let mut parts = vec![field("stdout"), field("stderr")];
    let said = parts.iter().any(|part| !part.is_empty());
    let wrote = end
        .result
        .get_attr("stdout")
        .is_ok_and(|out| !out.is_undefined());
    if !wrote || bad && !said {
        let msg = end.result.get_attr("msg").unwrap_or_default();
        parts.insert(
            0,
            match &end.msg {
                Some(msg) => msg.clone(),
                None if msg.is_undefined() || msg.is_none() => String::new(),
                None => shown(&msg),
            },
        );
    }
    if bad && let Some(hint) = &end.hint {
        parts.push(format!("hint: {hint}"));
    }
    if !wrote && !bad {
        parts.push(fields(&end.result));
    }
    parts.retain(|part| !part.is_empty());
    clean(&parts.join("\n"))
}

/// The telling fields of a result, one a line.
fn fields(result: &Value) -> String {
    let mut lines = Vec::new();
    for key in result.try_iter().into_iter().flatten() {
        let name = key.to_string();
        if PASSING.contains(&name.as_str()) || name == "msg" || name.starts_with("_ansible") {
            continue;
        }
        let value = result.get_item(&key).unwrap_or_default();
        lines.push(format!("{name}: {}", shown(&value)));
    }
    lines.join("\n")
}

fn shown(value: &Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => serde_json::to_string_pretty(value).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::value::Serde;

    fn end(host: &str, status: Status, result: serde_json::Value) -> Event {
        let msg = result["msg"].as_str().map(str::to_owned);
        Event::Task(Box::new(StepEnd {
            host: host.into(),
            status,
            msg,
            result: Value::from(Serde(result)),
            ..StepEnd::default()
        }))
    }

    fn told(events: &[Event]) -> String {
        let mut out = Vec::new();
        let mut groups = Groups::new(&mut out, false);
        for event in events {
            groups.event(event);
        }
        groups.event(&Event::RunEnd {
            recap: Vec::new(),
            interrupted: false,
        });
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn equal_results_stand_together_and_failures_last() {
        let ran = |rc: i64, out: &str, err: &str| serde_json::json!({"changed": true, "rc": rc, "stdout": out, "stderr": err, "delta": out.len() + err.len(), "msg": if rc == 0 { "" } else { "non-zero return code" }});
        let text = told(&[
            end("n3", Status::Failed, ran(3, "", "no\x1b[31m")),
            end("n1", Status::Changed, ran(0, "one", "")),
            end(
                "n4",
                Status::Unreachable,
                serde_json::json!({"msg": "timed out"}),
            ),
            end("n2", Status::Changed, ran(0, "two\nlines", "")),
            end("n5", Status::Changed, ran(0, "two\nlines", "")),
            end("n6", Status::Failed, ran(1, "", "")),
        ]);
        assert_eq!(
            text,
            "2 hosts: n2, n5\n    two\n    lines\n1 host: n1\n    one\n\
             1 host failed with 3: n3\n    no\\u{1b}[31m\n1 host failed with 1: n6\n    non-zero return code\n\
             1 host unreachable: n4\n    timed out\n"
        );
    }

    #[test]
    fn other_modules_show_their_fields() {
        let text = told(&[
            end(
                "n1",
                Status::Ok,
                serde_json::json!({"changed": false, "ping": "pong"}),
            ),
            end(
                "n2",
                Status::Changed,
                serde_json::json!({"changed": true, "dest": "/x", "mode": 3}),
            ),
        ]);
        assert_eq!(
            text,
            "1 host: n1\n    ping: pong\n1 host changed: n2\n    dest: /x\n    mode: 3\n"
        );
    }
}
