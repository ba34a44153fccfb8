//! Pages that show messages show the real ones: each is in a test that compares it with what a run says.

#![allow(clippy::unwrap_used)]

use std::path::Path;

/// Everything that tests compare, in one line.
fn tests() -> String {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")];
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder)
            .unwrap()
            .flatten()
            .map(|entry| entry.path())
        {
            let code = path
                .extension()
                .is_some_and(|ext| ext == "rs" || ext == "yaml");
            if path.is_dir() {
                folders.push(path);
            } else if code && !path.ends_with("pages.rs") {
                text.push_str(&std::fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

/// What a page quotes: lines that begin with `>`, and first columns of tables in code marks. `…` stands for anything.
fn quoted(page: &str) -> Vec<&str> {
    let lines = page.lines().filter_map(|line| {
        line.strip_prefix("> ").or_else(|| {
            line.strip_prefix("| `")?
                .split_once("` |")
                .map(|(text, _)| text)
        })
    });
    lines
        .flat_map(|line| line.split('…'))
        .map(str::trim)
        .filter(|part| part.len() > 8)
        .collect()
}

#[test]
fn messages_are_compared_somewhere() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/when-things-break.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (tests, all) = (tests(), quoted(&page));
    assert!(all.len() > 15, "{all:?}");
    let lost: Vec<_> = all.iter().filter(|part| !tests.contains(**part)).collect();
    assert!(lost.is_empty(), "no test compares {lost:#?}");
}
