//! What the journals of earlier runs tell: which hosts did not come to their end, and where each stopped.

use super::journal::file_name;
use crate::engine::{Point, ResumeTask};
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::path::Path;

/// Runs looked back at.
const DEEPEST: usize = 200;

/// How a host's latest run of a playbook ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// On every host well.
    Well,
    /// Not at its end: a task failed, the host could not be reached, or the run was broken off.
    At(Point),
}

/// How the latest run of a playbook ended for every host that one was about; dry runs do not count.
#[must_use]
pub fn endings(state: &Path, playbook: &Path) -> HashMap<String, Ending> {
    let playbook = std::path::absolute(playbook).unwrap_or_else(|_| playbook.into());
    let mut runs: Vec<_> = std::fs::read_dir(state.join("runs"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    // Their names are the times at which they began.
    runs.sort();
    let mut known: HashMap<String, Ending> = HashMap::new();
    // Hosts that a later run was to resume, and that did not get as far as a task.
    let mut pending: HashSet<String> = HashSet::new();
    for run in runs.iter().rev().take(DEEPEST) {
        let events = lines(&run.join("run.jsonl"));
        let start = events.iter().find(|event| event["event"] == "run_start");
        let Some(start) = start else { continue };
        let by = start["playbook"].as_str().unwrap_or_default();
        let by = std::path::absolute(by).unwrap_or_default();
        if start["check"] == true || by != playbook {
            continue;
        }
        let whole = events
            .iter()
            .any(|event| event["event"] == "run_end" && event["interrupted"] == false);
        let hosts = events
            .iter()
            .filter(|event| event["event"] == "play_start")
            .filter_map(|event| event["hosts"].as_array())
            .flatten()
            .filter_map(Value::as_str);
        let hosts: HashSet<&str> = hosts.collect();
        for host in hosts {
            if known.contains_key(host) {
                continue;
            }
            let own = lines(&run.join(format!("{}.jsonl", file_name(host))));
            match ending(&own, whole) {
                Ending::At(point) if point.task.is_none() && start["resume"] == true => {
                    pending.insert(host.to_owned());
                }
                Ending::Well if pending.contains(host) => {}
                ending => {
                    known.insert(host.to_owned(), ending);
                }
            }
        }
    }
    for host in pending {
        let start = Ending::At(Point {
            play: 0,
            task: None,
            after: false,
        });
        known.entry(host).or_insert(start);
    }
    known
}

/// A file of JSON lines; a line that was cut is left out.
fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}

/// How a run ended for a host, by its events; `whole` when the run came to its end.
fn ending(events: &[Value], whole: bool) -> Ending {
    let count = |event: &Value, what: &str| event[what].as_u64().unwrap_or(0);
    let well = |event: &Value| {
        event["event"] == "host_end"
            && count(event, "failed") == 0
            && count(event, "unreachable") == 0
    };
    if whole && events.iter().any(well) {
        return Ending::Well;
    }
    let mut point = Point {
        play: 0,
        task: None,
        after: false,
    };
    for event in events.iter().filter(|event| event["event"] == "task") {
        let play = usize::try_from(count(event, "play")).unwrap_or(0);
        let bad = matches!(event["status"].as_str(), Some("failed" | "unreachable"));
        let bad = bad && event["ignored"] != true && event["rescued"] != true;
        let text = |what: &str| event[what].as_str().unwrap_or_default().to_owned();
        if event["start"] == true {
            let name = match event["role"].as_str() {
                Some(role) => format!("{role} : {}", text("task")),
                None => text("task"),
            };
            let place = text("place");
            point = Point {
                play,
                task: Some(ResumeTask { name, place }),
                after: !bad,
            };
        } else if point.play != play {
            point = Point {
                play,
                task: None,
                after: false,
            };
        } else if event["handler"] != true {
            // What an include or a `rescue` brought: it is gone through again.
            point.after = false;
        }
    }
    Ending::At(point)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn task(name: &str, status: &str, start: bool) -> Value {
        json!({"event": "task", "task": name, "role": null, "place": format!("p.yml:{name}"), "play": 1,
            "status": status, "ignored": false, "rescued": false, "handler": false, "start": start})
    }

    fn at(events: &[Value], whole: bool) -> Option<(String, bool)> {
        match ending(events, whole) {
            Ending::Well => None,
            Ending::At(point) => Some((
                point.task.map_or(String::new(), |task| task.name),
                point.after,
            )),
        }
    }

    #[test]
    fn a_host_goes_on_where_it_stopped() {
        let ok = |name| task(name, "ok", true);
        let bad = |name| task(name, "failed", true);
        let inner = |status| task("inner", status, false);
        let end = |failed| json!({"event": "host_end", "failed": failed, "unreachable": 0});
        for (events, whole, want) in [
            (vec![ok("a"), end(0)], true, None),
            (vec![ok("a"), bad("b"), end(1)], true, Some(("b", false))),
            // Killed: behind what ended.
            (vec![ok("a"), ok("b")], false, Some(("b", true))),
            // Unreachable before its first task.
            (vec![inner("unreachable"), end(1)], true, Some(("", false))),
            // In what an include brought: at the include.
            (
                vec![ok("a"), ok("inc"), inner("failed")],
                true,
                Some(("inc", false)),
            ),
            (vec![ok("inc"), inner("ok")], false, Some(("inc", false))),
        ] {
            let want = want.map(|(name, after)| (name.to_owned(), after));
            assert_eq!(at(&events, whole), want, "{events:?}");
        }
        let mut handler = inner("failed");
        handler["handler"] = true.into();
        assert_eq!(at(&[ok("a"), handler], true), Some(("a".into(), true)));
        let mut ignored = bad("a");
        ignored["ignored"] = true.into();
        assert_eq!(at(&[ignored], false), Some(("a".into(), true)));
    }
}
