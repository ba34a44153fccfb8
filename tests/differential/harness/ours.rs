//! mini-play's runs.

use super::Record;
use super::topic::Topic;
use serde_json::Value;
use std::path::Path;
use std::process::Command;

/// Runs one topic; its results.
pub fn play(inventory: &Path, scratch: &Path, topic: &Topic) -> Vec<Record> {
    let output = Command::new(env!("CARGO_BIN_EXE_mini-play"))
        .current_dir(topic.path.parent().unwrap())
        .arg("apply")
        .arg(inventory)
        .args(["--output", "json", "-p"])
        .arg(&topic.path)
        .env("MINI_PLAY_STATE", scratch.join("state"))
        .env("LC_ALL", "C.UTF-8")
        .env_remove("ANSIBLE_CONFIG")
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let mut lines = Vec::new();
    for line in text.lines() {
        match serde_json::from_str::<Value>(line) {
            Ok(value) => lines.push(value),
            Err(_) => println!("{}: {line}", topic.name),
        }
    }
    if lines.last().is_none_or(|line| line["event"] != "run_end") {
        println!(
            "{}: mini-play broke off: {}",
            topic.name,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    lines
        .iter()
        .filter(|line| line["event"] == "task")
        .filter_map(|line| Record::read(&topic.name, line))
        .collect()
}
