//! Results of tasks, field by field, against those of ansible-core: `tests/inputs/differential`.
//!
//! `generate.py` there wrote what ansible-core 2.19 registers; `known.txt` lists the differences there are, each with its reason. A line
//! of it that is no longer needed fails the test too.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// What depends on the machine, the user and the moment.
const VOLATILE: &[&str] = &[
    "start", "end", "delta", "stop", "atime", "ctime", "mtime", "inode", "dev", "uid", "gid",
    "owner", "group",
];

/// Paths at which two values differ, with both.
fn compare(path: &str, theirs: &Value, ours: &Value, out: &mut Vec<(String, String)>) {
    match (theirs, ours) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for key in keys
                .into_iter()
                .filter(|key| !VOLATILE.contains(&key.as_str()))
            {
                let inner = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                match (one.get(key), other.get(key)) {
                    (Some(one), Some(other)) => compare(&inner, one, other, out),
                    (Some(one), None) => out.push((inner, format!("only Ansible's: {one}"))),
                    (None, other) => {
                        out.push((
                            inner,
                            format!("only ours: {}", other.unwrap_or(&Value::Null)),
                        ));
                    }
                }
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (n, (one, other)) in one.iter().zip(other).enumerate() {
                compare(&format!("{path}.{n}"), one, other, out);
            }
        }
        _ if theirs == ours => {}
        _ => out.push((path.to_owned(), format!("Ansible's {theirs}, ours {ours}"))),
    }
}

#[test]
fn results_are_those_of_ansible() {
    let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inputs/differential");
    let dir = tempfile::tempdir().unwrap();
    let work = dir.path().join("work");
    std::fs::create_dir(&work).unwrap();
    let dump = dir.path().join("dump.json");
    let output = Command::new(env!("CARGO_BIN_EXE_mini-play"))
        .current_dir(&inputs)
        .args(["apply", "inventory.yml", "-p", "results.yml", "-e"])
        .arg(format!("tmp={}", work.display()))
        .arg("-e")
        .arg(format!("dump={}", dump.display()))
        .env("MINI_PLAY_STATE", dir.path().join("state"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}");
    let here = inputs.display().to_string();
    let read = |text: String| -> Value {
        let text = text
            .replace(&work.display().to_string(), "TMP")
            .replace(&here, "HERE");
        serde_json::from_str(&text).unwrap()
    };
    let ours = read(std::fs::read_to_string(&dump).unwrap());
    let theirs = read(std::fs::read_to_string(inputs.join("expected.json")).unwrap());
    let mut found = Vec::new();
    compare("", &theirs, &ours, &mut found);

    let text = std::fs::read_to_string(inputs.join("known.txt")).unwrap();
    let mut known: Vec<(globset::GlobMatcher, &str, bool)> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (path, reason) = line.split_once(" | ").unwrap();
            assert!(!reason.trim().is_empty(), "{path} has no reason");
            (
                globset::Glob::new(path).unwrap().compile_matcher(),
                path,
                false,
            )
        })
        .collect();
    found.retain(|(path, _)| {
        let mut fits = false;
        for (glob, _, used) in &mut known {
            if glob.is_match(path) {
                *used = true;
                fits = true;
            }
        }
        !fits
    });
    let new: Vec<String> = found
        .iter()
        .map(|(path, what)| format!("{path}: {what}"))
        .collect();
    assert!(new.is_empty(), "{}", new.join("\n"));
    let unused: Vec<&str> = known
        .iter()
        .filter(|known| !known.2)
        .map(|known| known.1)
        .collect();
    assert!(
        unused.is_empty(),
        "not needed any more: {}",
        unused.join(", ")
    );
}
