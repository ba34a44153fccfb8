//! Where two sides differ.

use super::Record;
use super::state::State;
use regex::Regex;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// What depends on the machine and the moment.
const VOLATILE: &[&str] = &[
    "start",
    "end",
    "delta",
    "stop",
    "atime",
    "ctime",
    "mtime",
    "inode",
    "dev",
    "elapsed",
    "invocation",
    "exception",
    "warnings",
    "deprecations",
    "diff",
    "finished_at",
    "started_at",
];

/// One difference: where, and what.
pub type Difference = (String, String);

/// Names that hold a time or a process's number, made equal.
pub fn settle(text: &str) -> String {
    static BACKUP: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\.\d+\.\d{4}-\d\d-\d\d@\d\d:\d\d:\d\d~").unwrap());
    BACKUP.replace_all(text, ".BACKUP~").into_owned()
}

/// Results of both sides, task by task.
pub fn results(theirs: &[Record], ours: &[Record]) -> Vec<Difference> {
    let mut found = Vec::new();
    let by_host = |records: &[Record]| {
        let mut map: BTreeMap<(String, String), Vec<Record>> = BTreeMap::new();
        for record in records {
            map.entry((record.topic.clone(), record.host.clone()))
                .or_default()
                .push(record.clone());
        }
        map
    };
    let (theirs, ours) = (by_host(theirs), by_host(ours));
    let keys: BTreeSet<_> = theirs.keys().chain(ours.keys()).collect();
    for key in keys {
        let empty = Vec::new();
        let one = theirs.get(key).unwrap_or(&empty);
        let other = ours.get(key).unwrap_or(&empty);
        sequence(one, other, &mut found);
    }
    found
}

/// Tasks of one host in the order they ended.
fn sequence(theirs: &[Record], ours: &[Record], found: &mut Vec<Difference>) {
    let names = |records: &[Record]| -> Vec<String> {
        records.iter().map(|record| record.task.clone()).collect()
    };
    let (one, other) = (names(theirs), names(ours));
    for op in similar::capture_diff_slices(similar::Algorithm::Myers, &one, &other) {
        let (tag, old, new) = op.as_tag_tuple();
        if tag == similar::DiffTag::Equal {
            for (theirs, ours) in theirs[old].iter().zip(&ours[new]) {
                task(theirs, ours, found);
            }
            continue;
        }
        for record in &theirs[old] {
            found.push((
                format!("{}: {}", record.topic, record.task),
                format!("only Ansible ran it: {}", record.status),
            ));
        }
        for record in &ours[new] {
            found.push((
                format!("{}: {}", record.topic, record.task),
                format!("only mini-play ran it: {} {}", record.status, record.result),
            ));
        }
    }
}

fn task(theirs: &Record, ours: &Record, found: &mut Vec<Difference>) {
    let label = format!("{}: {}", theirs.topic, theirs.task);
    let before = found.len();
    let status = |record: &Record| {
        let ignored = if record.ignored { " (ignored)" } else { "" };
        format!("{}{ignored}", record.status)
    };
    let (one, other) = (status(theirs), status(ours));
    if one != other {
        found.push((
            format!("{label}: status"),
            format!(
                "Ansible's {one}, ours {other}: {} / {}",
                theirs.result["msg"], ours.result["msg"]
            ),
        ));
    }
    // The words of a failure are each tool's own, but for those that the playbook gives.
    let words = !matches!(theirs.module.as_str(), "fail" | "assert");
    values(&label, &theirs.result, &ours.result, words, found);
    let place = ours.place.rsplit('/').next().unwrap_or_default();
    for (_, what) in &mut found[before..] {
        what.push_str(&format!("  [{place}]"));
    }
}

/// Paths at which two values differ, with both.
fn values(path: &str, theirs: &Value, ours: &Value, words: bool, found: &mut Vec<Difference>) {
    match (theirs, ours) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            let failed = |map: &serde_json::Map<String, Value>| {
                map.get("failed") == Some(&Value::Bool(true))
            };
            for key in keys {
                if VOLATILE.contains(&key.as_str()) || key.starts_with("_ansible_") {
                    continue;
                }
                // Ansible takes these two out of what it reports; the status says them.
                if matches!(key.as_str(), "failed" | "skipped") && !path.contains(".results.") {
                    continue;
                }
                let inner = format!("{path}.{key}");
                match (one.get(key), other.get(key)) {
                    (Some(Value::String(_)), Some(Value::String(_)))
                        if key == "msg" && words && failed(other) => {}
                    (Some(one), Some(other)) => values(&inner, one, other, words, found),
                    (Some(one), None) => found.push((inner, format!("only Ansible's: {one}"))),
                    (None, other) => {
                        let other = other.unwrap_or(&Value::Null);
                        found.push((inner, format!("only ours: {other}")));
                    }
                }
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (n, (one, other)) in one.iter().zip(other).enumerate() {
                values(&format!("{path}.{n}"), one, other, words, found);
            }
        }
        (Value::String(one), Value::String(other)) if settle(one) == settle(other) => {}
        _ if theirs == ours => {}
        _ => found.push((path.to_owned(), format!("Ansible's {theirs}, ours {ours}"))),
    }
}

/// Two hosts.
pub fn states(theirs: &State, ours: &State) -> Vec<Difference> {
    let keys: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    keys.into_iter()
        .filter_map(|key| {
            let what = match (theirs.get(key), ours.get(key)) {
                (Some(one), Some(other)) if one == other => return None,
                (Some(one), Some(other)) => format!("Ansible's {one}, ours {other}"),
                (Some(one), None) => format!("only on Ansible's host: {one}"),
                (None, other) => format!("only on our host: {}", other.map_or("", String::as_str)),
            };
            Some((format!("state: {key}"), what))
        })
        .collect()
}
