//! The README's examples, run as they stand: each ```yaml block that begins with `# NAME` is a file, each ```console block is typed
//! into a shell, and what follows a `$ ` line is what must be printed.
//!
//! Seconds, memory, the count of turns and the lab's address range differ from run to run and are not compared. The lab
//! is called `readme` here, so that a lab of the user's is in nobody's way.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

#[path = "common/typed.rs"]
mod typed;

use mini_play::lab::{self, Lab};
use std::path::Path;
use typed::typed;

const LAB: &str = "readme";

/// A fenced block: its language and its lines.
fn blocks(text: &str) -> Vec<(String, Vec<String>)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, Vec<String>)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => open = Some((language.to_owned(), Vec::new())),
            (None, Some((_, lines))) => lines.push(line.to_owned()),
            (None, None) => {}
        }
    }
    blocks
}

/// Commands with the lines they print.
fn commands(lines: &[String]) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    for line in lines {
        if let Some(command) = line.strip_prefix("$ ") {
            commands.push((command.to_owned(), Vec::new()));
        } else if let Some((_, printed)) = commands.last_mut() {
            printed.push(line.clone());
        }
    }
    commands
}

/// What is compared of a line.
fn compared(line: &str) -> String {
    let patterns = [
        (r"\b\d+(\.\d+)?s\b", "Ns"),
        (r"\b\d+ turns\b", "N turns"),
        (r"\b\d+ MB\b", "N MB"),
        (r"\b10\.\d+\.\d+\.", "10.N.N."),
        (r"/labs/\w+/", "/labs/LAB/"),
        (r" +", " "),
    ];
    let line = patterns.iter().fold(line.to_owned(), |line, (what, with)| {
        regex::Regex::new(what)
            .unwrap()
            .replace_all(&line, *with)
            .into_owned()
    });
    line.trim_end().to_owned()
}

/// Lines as they are compared. Hosts go at their own pace: of what is told between `PLAY` and `RECAP`, only each host's order counts.
fn said(lines: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = lines
        .iter()
        // What a lab does on its way depends on what is cached.
        .filter(|line| !line.starts_with("lab: "))
        .map(|line| compared(line))
        .collect();
    while lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    let Some(start) = lines.iter().position(|line| line.starts_with("PLAY ")) else {
        return lines;
    };
    let end = lines
        .iter()
        .position(String::is_empty)
        .unwrap_or(lines.len());
    let mut told: Vec<(String, String)> = Vec::new();
    let mut host = String::new();
    for line in lines.drain(start + 1..end) {
        if !line.starts_with(' ') {
            host = line.split(' ').nth(1).unwrap_or_default().to_owned();
        }
        told.push((host.clone(), line));
    }
    told.sort_by(|a, b| a.0.cmp(&b.0));
    lines.splice(start + 1..start + 1, told.into_iter().map(|(_, line)| line));
    lines
}

struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = Lab::down(LAB, &|_| ());
    }
}

#[test]
fn the_tour_prints_what_it_says() {
    if let Err(why) = lab::check_machine(None) {
        assert!(
            std::env::var_os("MINI_PLAY_LAB_TESTS").is_none_or(|value| value != "1"),
            "{why:#}"
        );
        println!("skipped: {why:#}");
        return;
    }
    let _guard = Guard;
    Lab::down(LAB, &|_| ()).unwrap();
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut count = 0;
    for (language, lines) in blocks(&readme) {
        match (language.as_str(), lines.first()) {
            ("yaml", Some(name)) if name.starts_with("# ") => {
                std::fs::write(dir.path().join(&name[2..]), lines.join("\n") + "\n").unwrap();
            }
            ("console", _) => {
                for (command, expected) in commands(&lines) {
                    let line = command.replace("/labs/lab/", &format!("/labs/{LAB}/"));
                    let printed: Vec<String> = typed(&line, dir.path(), LAB)
                        .lines()
                        .map(str::to_owned)
                        .collect();
                    assert_eq!(
                        said(&printed),
                        said(&expected),
                        "`{command}` printed:\n{}",
                        printed.join("\n")
                    );
                    count += 1;
                }
            }
            _ => {}
        }
    }
    assert!(count > 5, "the README has no tour");
}

/// The inventory of the README is one that loads, and every host of it is in every group the stack is made of.
#[test]
fn the_inventory_loads() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    let (_, lines) = blocks(&readme)
        .into_iter()
        .find(|(_, lines)| lines.first().is_some_and(|line| line == "# inventory.yaml"))
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("inventory.yaml");
    std::fs::write(&path, lines.join("\n")).unwrap();
    let inventory = mini_play::inventory::Inventory::load(&path, None).unwrap();
    for group in [
        "docker",
        "zookeeper",
        "mesos_masters",
        "mesos_slaves",
        "marathon",
        "haproxy",
        "bamboo",
    ] {
        assert_eq!(inventory.select(group, None).unwrap(), ["vm1"], "{group}");
    }
}
