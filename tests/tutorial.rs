//! The tutorial in both languages: the same commands with the same output, and no command that mini-play would not take.

#![allow(clippy::unwrap_used)]

#[path = "common/typed.rs"]
mod typed;

use std::path::Path;
use typed::typed;

const LANGUAGES: [&str; 2] = ["docs/tutorial.md", "docs/tutorial.zh-CN.md"];

/// The lines of every ```console block.
fn blocks(path: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while lines.by_ref().any(|line| line == "```console") {
        let block = lines.by_ref().take_while(|line| *line != "```");
        blocks.push(block.map(str::to_owned).collect());
    }
    blocks
}

#[test]
fn both_languages_show_the_same_commands_and_output() {
    let [one, other] = LANGUAGES.map(blocks);
    assert!(one.len() > 10);
    assert_eq!(one, other);
}

#[test]
fn every_command_is_understood() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let dir = tempfile::tempdir().unwrap();
    let mut understood = 0;
    for line in blocks(LANGUAGES[0]).concat() {
        let Some(command) = line.strip_prefix("$ ") else {
            continue;
        };
        let first = command.split(' ').next().unwrap();
        if let Some((_, book)) = command.split_once("-p ") {
            let book = book.split(' ').next().unwrap();
            assert!(root.join(book).exists(), "{command}");
        }
        if first != "mini-play" {
            let script = root.join("tests/demo").join(first);
            assert!(first == "cat" || script.exists(), "{command}");
            continue;
        }
        if command.starts_with("mini-play lab ") {
            continue;
        }
        // Nothing is here, and that is the only thing to be found wrong.
        let said = typed(command, dir.path(), "tutorial");
        let missing = "class/inventory";
        assert!(
            said.contains(missing) || said.contains("`mini-play lab up` makes hosts"),
            "{command}: {said}"
        );
        understood += 1;
    }
    assert!(understood > 10);
}
