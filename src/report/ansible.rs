//! Ansible's default output, for scripts and tools that read it. Hosts run at their own pace here, so a task's line may come twice.

use super::clean::clean;
use super::event::{HostRecap, Status, StepEnd, TaskInfo};
use super::{Event, Reporter};
use minijinja::Value;
use std::io::Write;

/// Width of a heading.
const WIDTH: usize = 79;

/// See the module.
pub struct Ansible<W: Write + Send> {
    out: W,
    color: bool,
    verbosity: u8,
    /// The task whose heading was written last.
    under: String,
}

impl<W: Write + Send> Ansible<W> {
    /// To this writer; `verbosity` 1 shows results.
    pub fn new(out: W, color: bool, verbosity: u8) -> Self {
        Self {
            out,
            color,
            verbosity,
            under: String::new(),
        }
    }

    fn line(&mut self, text: &str) {
        // A reader that has gone away is no reason to stop the run.
        let _ = writeln!(self.out, "{text}");
        let _ = self.out.flush();
    }

    fn paint(&self, status: Status, text: &str) -> String {
        let code = match status {
            Status::Ok => "0;32",
            Status::Changed => "0;33",
            Status::Failed => "0;31",
            Status::Unreachable => "1;31",
            Status::Skipped => "0;36",
        };
        if self.color {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    fn banner(&mut self, text: &str) {
        let stars = WIDTH.saturating_sub(text.chars().count()).max(3);
        self.line(&format!("\n{text} {}", "*".repeat(stars)));
    }

    fn heading(&mut self, task: &TaskInfo) {
        let key = format!("{}{}", task.place, task.name);
        if key == self.under {
            return;
        }
        self.under = key;
        let kind = if task.handler {
            "RUNNING HANDLER"
        } else {
            "TASK"
        };
        let role = task.role.as_ref().map(|role| format!("{role} : "));
        let name = clean(&task.name);
        self.banner(&format!("{kind} [{}{name}]", role.unwrap_or_default()));
    }

    fn step(&mut self, end: &StepEnd, is_item: bool) {
        let looped = end
            .result
            .get_attr("results")
            .is_ok_and(|results| !results.is_undefined());
        let bad = matches!(end.status, Status::Failed | Status::Unreachable);
        if looped && !is_item && end.status != Status::Skipped && !bad {
            return;
        }
        self.heading(&end.task);
        for diff in &end.diff {
            let text = super::diff::render(diff, self.color);
            if !text.is_empty() {
                self.line(&text);
            }
        }
        let host = match &end.delegate {
            Some(other) => format!("[{} -> {}]", end.host, clean(other)),
            None => format!("[{}]", end.host),
        };
        let item = end
            .item
            .as_ref()
            .map(|item| format!(" => (item={})", clean(item)))
            .unwrap_or_default();
        let word = match end.status {
            Status::Ok => "ok",
            Status::Changed => "changed",
            Status::Skipped => "skipping",
            Status::Failed if is_item => "failed",
            Status::Failed | Status::Unreachable => "fatal",
        };
        let module = end.task.module.rsplit('.').next().unwrap_or_default();
        let debug = module == "debug";
        if let Ok(what) = end.result.get_attr("include")
            && matches!(module, "include_tasks" | "include_role" | "include")
            && end.status == Status::Ok
            && !what.is_undefined()
        {
            let text = format!(
                "included: {} for {}{item}",
                clean(&what.to_string()),
                end.host
            );
            let text = self.paint(Status::Skipped, &text);
            self.line(&text);
            return;
        }
        let told = match end.status {
            Status::Unreachable => format!(": UNREACHABLE! => {}", dump(end, false)),
            Status::Failed if is_item => format!("{item} => {}", dump(end, false)),
            Status::Failed => format!(": FAILED! => {}", dump(end, false)),
            Status::Ok | Status::Changed if debug || self.verbosity > 0 => {
                format!("{item} => {}", dump(end, debug))
            }
            _ => item,
        };
        let text = self.paint(end.status, &format!("{word}: {host}{told}"));
        self.line(&text);
        if end.ignored {
            self.line(&self.paint(Status::Skipped, "...ignoring"));
        }
    }

    fn recap(&mut self, recap: &[HostRecap]) {
        self.banner("PLAY RECAP");
        for host in recap {
            let status = match host {
                _ if host.failed + host.unreachable > 0 => Status::Failed,
                _ if host.changed > 0 => Status::Changed,
                _ => Status::Ok,
            };
            let name = self.paint(status, &format!("{:<26}", host.host));
            let figures = [
                ("ok", host.ok),
                ("changed", host.changed),
                ("unreachable", host.unreachable),
                ("failed", host.failed),
                ("skipped", host.skipped),
                ("rescued", host.rescued),
                ("ignored", host.ignored),
            ];
            let figures = figures.map(|(what, n)| format!("{what}={n:<4}"));
            self.line(&format!("{name} : {}", figures.join(" ")));
        }
        self.line("");
    }
}

/// A result as JSON: in one line, or over several for `debug`, which shows only what it was asked for.
fn dump(end: &StepEnd, debug: bool) -> String {
    if end.no_log {
        return r#"{"censored": "the output has been hidden due to the fact that 'no_log: true' was specified for this result", "changed": false}"#.into();
    }
    // In the order of names, as Ansible writes them.
    let mut sorted = std::collections::BTreeMap::new();
    let said = debug
        && end
            .result
            .get_attr("msg")
            .is_ok_and(|msg| !msg.is_undefined());
    for key in end.result.try_iter().into_iter().flatten() {
        let name = crate::modules::args::text(&key);
        let hidden = match name.as_str() {
            "invocation" | "failed" => true,
            // `debug` shows its message alone, or the variable it was asked for.
            "msg" | "warnings" if debug => false,
            _ if debug && said => true,
            "changed" | "skipped" | "skip_reason" => debug,
            "ansible_loop_var" => !debug,
            other => other.starts_with("_ansible"),
        };
        if hidden {
            continue;
        }
        let value = end.result.get_item(&key).unwrap_or_default();
        sorted.insert(name, in_order(json(&value)));
    }
    if !debug
        && !sorted.contains_key("msg")
        && let Some(msg) = &end.msg
    {
        sorted.insert("msg".into(), msg.as_str().into());
    }
    let shown: serde_json::Map<String, serde_json::Value> = sorted.into_iter().collect();
    let value = serde_json::Value::Object(shown);
    let text = if debug {
        let mut out = Vec::new();
        let form = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut writer = serde_json::Serializer::with_formatter(&mut out, form);
        // A value in memory always serialises.
        let _ = serde::Serialize::serialize(&value, &mut writer);
        String::from_utf8_lossy(&out).into_owned()
    } else {
        spaced(&value)
    };
    clean(&text)
}

fn json(value: &Value) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_else(|_| value.to_string().into())
}

/// The same with all mappings in the order of their keys.
fn in_order(value: serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(map) => {
            let mut pairs: Vec<_> = map.into_iter().collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            let pairs = pairs.into_iter();
            pairs.map(|(key, value)| (key, in_order(value))).collect()
        }
        serde_json::Value::Array(list) => list.into_iter().map(in_order).collect(),
        other => other,
    }
}

/// JSON in one line with Python's spaces.
fn spaced(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(map) => {
            let pairs = map.iter().map(|(key, value)| {
                format!(
                    "{}: {}",
                    serde_json::Value::from(key.as_str()),
                    spaced(value)
                )
            });
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        serde_json::Value::Array(list) => {
            format!(
                "[{}]",
                list.iter().map(spaced).collect::<Vec<_>>().join(", ")
            )
        }
        other => other.to_string(),
    }
}

impl<W: Write + Send> Reporter for Ansible<W> {
    fn event(&mut self, event: &Event) {
        match event {
            Event::PlayStart { name, hosts } => {
                self.under.clear();
                self.banner(&format!("PLAY [{}]", clean(name)));
                if hosts.is_empty() {
                    self.line("skipping: no hosts matched");
                }
            }
            Event::Item(end) => self.step(end, true),
            Event::Task(end) => self.step(end, false),
            Event::Warning { host, text } => {
                let about = host
                    .as_ref()
                    .map(|host| format!("{host}: "))
                    .unwrap_or_default();
                self.line(&format!("[WARNING]: {about}{}", clean(text)));
            }
            Event::Prompt { text } => {
                let _ = write!(self.out, "{}: ", clean(text));
                let _ = self.out.flush();
            }
            Event::RunEnd { recap, .. } => self.recap(recap),
            Event::RunStart { .. } | Event::TaskStart { .. } | Event::HostEnd(_) => {}
        }
    }
}
