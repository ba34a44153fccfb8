//! Deliberate mistakes in playbooks and inventories: each gives its diagnostics, at the right place, before any connection.
//!
//! A file's last lines say what is expected: `# LINE:COL part of the message | part of the hint`.

#![expect(clippy::unwrap_used, reason = "a test")]

use mini_play::diag::{Diagnostic, Level};
use std::path::{Path, PathBuf};

fn files(prefix: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inputs/mistakes");
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.starts_with(prefix)
        })
        .collect();
    files.sort();
    files
}

/// Whether the errors are those that the file announces, one for one.
fn compare(path: &Path, found: &[Diagnostic]) -> Result<(), String> {
    let text = std::fs::read_to_string(path).unwrap();
    let expected: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.contains(" | ") || line.ends_with(" |"))
        .collect();
    let errors: Vec<&Diagnostic> = found.iter().filter(|d| d.level == Level::Error).collect();
    let all: String = errors.iter().map(|error| format!("{error}\n")).collect();
    if errors.len() != expected.len() || expected.is_empty() {
        return Err(format!(
            "{} errors, not {}:\n{all}",
            errors.len(),
            expected.len()
        ));
    }
    for (error, line) in errors.iter().zip(expected) {
        let (place, rest) = line.split_once(' ').unwrap();
        let (message, hint) = rest.rsplit_once('|').unwrap();
        let at = error
            .span
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        if !at.ends_with(&format!(":{place}")) && !at.ends_with(&format!("/{place}")) {
            return Err(format!("not at {place}:\n{all}"));
        }
        if !error.message.contains(message.trim()) {
            return Err(format!("no message {message}:\n{all}"));
        }
        if !error.hint.as_deref().unwrap_or("").contains(hint.trim()) {
            return Err(format!("no hint {hint}:\n{all}"));
        }
    }
    Ok(())
}

fn check(prefix: &str, load: impl Fn(&Path) -> Vec<Diagnostic>) {
    let files = files(prefix);
    assert!(!files.is_empty());
    let wrong: Vec<String> = files
        .iter()
        .filter_map(|path| {
            let why = compare(path, &load(path)).err()?;
            Some(format!("{}: {why}", path.display()))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn playbooks() {
    check("err_", |path| {
        let options = mini_play::playbook::LoadOptions::default();
        mini_play::playbook::load(path, &options)
            .err()
            .unwrap_or_default()
    });
}

#[test]
fn inventories() {
    check("inventory_err_", |path| {
        mini_play::inventory::Inventory::load(path, None)
            .err()
            .unwrap_or_default()
    });
}
