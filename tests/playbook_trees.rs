//! Playbooks and the trees they become: `tests/inputs/trees/<case>/site.yml` and `expected.txt`.
//!
//! `UPDATE_TREES=1 cargo test --test playbook_trees` writes what is expected: read the difference before committing it.

#![expect(clippy::unwrap_used, reason = "a test")]

use mini_play::playbook::ast::{Base, Block, Item, LoopKind, Play, Task, VarMap};
use mini_play::playbook::{LoadOptions, load};
use mini_play::yaml::{Node, plain};
use std::fmt::Write;
use std::path::Path;

#[test]
fn trees() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inputs/trees");
    let mut cases: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    cases.sort();
    let mut wrong = String::new();
    for case in cases {
        let playbook =
            load(&case.join("site.yml"), &LoadOptions::default()).unwrap_or_else(|all| {
                panic!(
                    "{}",
                    all.iter().map(ToString::to_string).collect::<String>()
                )
            });
        let mut text = String::new();
        for play in &playbook.plays {
            show_play(&mut text, play);
        }
        for note in &playbook.notes {
            let (line, col) = note.span.as_ref().unwrap().line_col();
            writeln!(text, "note {line}:{col} {}", note.message).unwrap();
        }
        let path = case.join("expected.txt");
        if std::env::var_os("UPDATE_TREES").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        if text != expected {
            let diff = similar::TextDiff::from_lines(&expected, &text)
                .unified_diff()
                .to_string();
            writeln!(wrong, "{}\n{diff}", path.display()).unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

fn show_play(out: &mut String, play: &Play) {
    let roles: Vec<&str> = play
        .role_list
        .iter()
        .map(|role| role.name.as_str())
        .collect();
    writeln!(
        out,
        "play {}{} roles {roles:?}",
        value(&play.hosts),
        keywords(&play.base)
    )
    .unwrap();
    for (what, items) in [
        ("pre_tasks", &play.pre_tasks),
        ("roles", &play.roles),
        ("tasks", &play.tasks),
        ("post_tasks", &play.post_tasks),
        ("handlers", &play.handlers),
    ] {
        if !items.is_empty() {
            writeln!(out, "  {what}").unwrap();
            show(out, items, 2);
        }
    }
}

fn show(out: &mut String, items: &[Item], depth: usize) {
    for item in items {
        match item {
            Item::Task(task) => show_task(out, task, depth),
            Item::Block(block) => show_block(out, block, depth),
        }
    }
}

fn show_block(out: &mut String, block: &Block, depth: usize) {
    let pad = "  ".repeat(depth);
    write!(out, "{pad}{:?}{}", block.origin, keywords(&block.base)).unwrap();
    if let Some(used) = &block.role {
        let parents: Vec<&str> = used.parents.iter().map(|role| role.name.as_str()).collect();
        write!(
            out,
            " of {} {} below {parents:?}",
            used.role.name,
            vars(&used.params)
        )
        .unwrap();
        write!(
            out,
            " defaults {} vars {}",
            vars(&used.role.defaults),
            vars(&used.role.vars)
        )
        .unwrap();
    }
    writeln!(out).unwrap();
    show(out, &block.body, depth + 1);
    for (what, items) in [("rescue", &block.rescue), ("always", &block.always)] {
        if !items.is_empty() {
            writeln!(out, "{pad}{what}").unwrap();
            show(out, items, depth + 1);
        }
    }
}

fn show_task(out: &mut String, task: &Task, depth: usize) {
    let pad = "  ".repeat(depth);
    let known = if task.action.spec.is_some() {
        ""
    } else {
        " (unsupported)"
    };
    write!(
        out,
        "{pad}{}{known} {}{}",
        task.action.name,
        value(&task.action.args),
        keywords(&task.base)
    )
    .unwrap();
    if let Some(looped) = &task.looped {
        let kind = match &looped.kind {
            LoopKind::Loop => "loop".to_owned(),
            LoopKind::With(name) => format!("with_{name}"),
        };
        write!(out, " {kind}={}", value(&looped.over)).unwrap();
        if let Some(name) = &looped.index_var {
            write!(out, " index_var={name}").unwrap();
        }
    }
    let lists = [
        ("until", Some(&task.until)),
        ("changed_when", task.changed_when.as_ref()),
        ("failed_when", task.failed_when.as_ref()),
        ("notify", Some(&task.notify)),
        ("listen", Some(&task.listen)),
    ];
    for (key, nodes) in lists {
        write!(out, "{}", many(key, nodes.map_or(&[], Vec::as_slice))).unwrap();
    }
    if let Some(name) = &task.register {
        write!(out, " register={name}").unwrap();
    }
    if let Some(items) = &task.preloaded {
        write!(out, " preloaded={}", items.len()).unwrap();
    }
    writeln!(out).unwrap();
}

fn keywords(base: &Base) -> String {
    let one = |key: &str, node: &Option<Node>| {
        node.as_ref()
            .map_or(String::new(), |node| format!(" {key}={}", value(node)))
    };
    let mut text = one("name", &base.name);
    text += &many("when", &base.when);
    text += &many("tags", &base.tags);
    text += &one("become", &base.r#become);
    text += &one("become_user", &base.become_user);
    text += &one("check_mode", &base.check_mode);
    text += &one("delegate_to", &base.delegate_to);
    if !base.vars.is_empty() {
        text += &format!(" vars={}", vars(&base.vars));
    }
    text
}

fn many(key: &str, nodes: &[Node]) -> String {
    if nodes.is_empty() {
        return String::new();
    }
    let all: Vec<String> = nodes.iter().map(value).collect();
    format!(" {key}=[{}]", all.join(", "))
}

fn vars(vars: &VarMap) -> String {
    let all: Vec<String> = vars
        .iter()
        .map(|(name, node)| format!("{name}: {}", value(node)))
        .collect();
    format!("{{{}}}", all.join(", "))
}

/// A value as JSON; paths of this machine left out.
fn value(node: &Node) -> String {
    let text = serde_json::to_string(&plain(node)).unwrap();
    text.replace(env!("CARGO_MANIFEST_DIR"), "DIR")
}
