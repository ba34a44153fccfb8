//! One JSON object per event and line, for programs.

use super::event::{HostRecap, StepEnd};
use super::{Event, Reporter};
use crate::secrets::mask;
use serde_json::{Value as Json_, json};
use std::io::Write;

/// Writes events as JSON lines.
pub struct Json<W: Write + Send> {
    out: W,
}

impl<W: Write + Send> Json<W> {
    /// To this writer.
    pub fn new(out: W) -> Self {
        Self { out }
    }
}

impl<W: Write + Send> Reporter for Json<W> {
    fn event(&mut self, event: &Event) {
        let Some(value) = object(event) else { return };
        // In one piece: the standard output and files hand every small write to the kernel. A reader that has gone away is
        // no reason to stop the run.
        let _ = self.out.write_all(format!("{value}\n").as_bytes());
        let _ = self.out.flush();
    }
}

/// An event as an object with a field `event`; `None` for what only a live display needs.
pub(super) fn object(event: &Event) -> Option<Json_> {
    Some(match event {
        Event::RunStart {
            playbook,
            hosts,
            check,
        } => {
            json!({"event": "run_start", "playbook": playbook, "hosts": hosts, "check": check})
        }
        Event::PlayStart { name, hosts } => {
            json!({"event": "play_start", "play": name, "hosts": hosts})
        }
        Event::TaskStart { .. } | Event::Prompt { .. } => return None,
        Event::Item(end) => step("item", end),
        Event::Task(end) => step("task", end),
        Event::Warning { host, text } => {
            json!({"event": "warning", "host": host.as_deref(), "text": text})
        }
        Event::HostEnd(recap) => with_event("host_end", host(recap)),
        Event::RunEnd { recap, interrupted } => {
            let hosts: Vec<Json_> = recap.iter().map(host).collect();
            json!({"event": "run_end", "hosts": hosts, "interrupted": interrupted})
        }
    })
}

fn with_event(name: &str, mut value: Json_) -> Json_ {
    if let Some(map) = value.as_object_mut() {
        map.insert("event".into(), name.into());
    }
    value
}

fn step(kind: &str, end: &StepEnd) -> Json_ {
    let pairs = |list: &[(String, String)]| -> Json_ {
        list.iter()
            .map(|(k, v)| (mask(k).into_owned(), Json_::from(mask(v))))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let diff: Vec<Json_> = end
        .diff
        .iter()
        .map(|d| json!({"header": d.header, "before": d.before, "after": d.after}))
        .collect();
    json!({
        "event": kind,
        "host": &*end.host,
        "delegated_to": end.delegate,
        "task": end.task.name,
        "module": end.task.module,
        "place": end.task.place,
        "role": end.task.role,
        "handler": end.task.handler,
        "play": end.task.play,
        "start": end.task.start,
        "item": end.item,
        "status": end.status.word(),
        "ignored": end.ignored,
        "rescued": end.rescued,
        "msg": end.msg,
        "hint": end.hint,
        "result": serde_json::to_value(&end.result).unwrap_or(Json_::Null),
        "diff": diff,
        "attempts": end.attempts,
        "seconds": end.elapsed.as_secs_f64(),
        "before": pairs(&end.before),
        "after": pairs(&end.after),
    })
}

fn host(recap: &HostRecap) -> Json_ {
    json!({
        "host": recap.host,
        "ok": recap.ok,
        "changed": recap.changed,
        "failed": recap.failed,
        "skipped": recap.skipped,
        "unreachable": recap.unreachable,
        "rescued": recap.rescued,
        "ignored": recap.ignored,
        "seconds": recap.seconds,
        "turns": recap.turns,
        "bytes_up": recap.up,
        "bytes_down": recap.down,
    })
}
