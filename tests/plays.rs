//! The language, end to end on this machine: one playbook a case in `tests/plays/`, run twice over two local "hosts".
//!
//! The head of each playbook says what the recap of each run must be, and which lines the output must hold:
//! ```yaml
//! # first: a ok=3 changed=1; b ok=2 changed=0 failed=1
//! # second: a ok=3 changed=0; b ok=2 changed=0 failed=1
//! # says: some text of the first run's output
//! # args: --check
//! ```
//! `{{ tmp }}` is a folder of the case's own.

#![allow(clippy::expect_used)]

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

const INVENTORY: &str = "
all:
  vars:
    ansible_connection: local
    everywhere: all
  children:
    left:
      hosts: {a: {number: 1}}
      vars: {side: left}
    right:
      hosts: {b: {number: 2}}
      vars: {side: right}
";

type Recap = HashMap<String, HashMap<String, u64>>;

/// `a ok=3 changed=1; b ok=2` as numbers.
fn wanted(text: &str) -> Recap {
    text.split(';')
        .map(|host| {
            let mut words = host.split_whitespace();
            let name = words.next().unwrap_or_default().to_owned();
            let counts = words
                .filter_map(|word| word.split_once('='))
                .map(|(key, n)| (key.to_owned(), n.parse().expect("a number")))
                .collect();
            (name, counts)
        })
        .collect()
}

/// The recap of a run's JSON output.
fn recap(output: &str) -> Recap {
    output
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|event| event["event"] == "host_end")
        .map(|event| {
            let counts = [
                "ok",
                "changed",
                "failed",
                "skipped",
                "unreachable",
                "rescued",
                "ignored",
            ];
            let counts = counts
                .iter()
                .map(|key| ((*key).to_owned(), event[*key].as_u64().unwrap_or(0)));
            (
                event["host"].as_str().unwrap_or_default().to_owned(),
                counts.collect(),
            )
        })
        .collect()
}

fn check(case: &Path) -> Result<(), String> {
    let text = std::fs::read_to_string(case).map_err(|why| why.to_string())?;
    let head = |key: &str| -> Vec<&str> {
        text.lines()
            .take_while(|line| line.starts_with('#'))
            .filter_map(|line| {
                line.strip_prefix("# ")?
                    .strip_prefix(key)?
                    .strip_prefix(": ")
            })
            .collect()
    };
    let dir = tempfile::tempdir().map_err(|why| why.to_string())?;
    let inventory = dir.path().join("inventory.yaml");
    std::fs::write(&inventory, INVENTORY).map_err(|why| why.to_string())?;
    let tmp = dir.path().join("tmp");
    std::fs::create_dir(&tmp).map_err(|why| why.to_string())?;
    for round in ["first", "second"] {
        let Some(expected) = head(round).first().copied() else {
            continue;
        };
        let output = Command::new(env!("CARGO_BIN_EXE_mini-play"))
            .args(["apply", "--output", "json", "--playbook"])
            .arg(case)
            .arg("-e")
            .arg(format!("tmp={}", tmp.display()))
            .args(head("args").iter().flat_map(|args| args.split_whitespace()))
            .arg(&inventory)
            .env("MINI_PLAY_STATE", dir.path().join("state"))
            .output()
            .map_err(|why| why.to_string())?;
        let out = String::from_utf8_lossy(&output.stdout);
        let err = String::from_utf8_lossy(&output.stderr);
        let seen = recap(&out);
        let told = || format!("\n--- stdout\n{out}\n--- stderr\n{err}");
        for (host, counts) in wanted(expected) {
            for (key, n) in counts {
                let is = seen.get(&host).and_then(|counts| counts.get(&key)).copied();
                if is != Some(n) {
                    return Err(format!(
                        "{round} run: {host} {key}={n} wanted, seen {is:?}{}",
                        told()
                    ));
                }
            }
        }
        if round == "first" {
            for line in head("says") {
                if !out.contains(line) && !err.contains(line) {
                    return Err(format!("the output does not say `{line}`{}", told()));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn every_play_does_what_its_head_says() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plays");
    let mut cases: Vec<_> = std::fs::read_dir(dir)
        .expect("tests/plays")
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|ext| ext == "yml"))
        .collect();
    cases.sort();
    assert!(cases.len() > 10, "only {} cases", cases.len());
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            check(case)
                .err()
                .map(|why| format!("{}: {why}", case.display()))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}
