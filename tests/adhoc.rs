//! `exec` and `module` over two local "hosts".

#![allow(clippy::unwrap_used)]

use std::process::{Command, Output};

const INVENTORY: &str = "all: {hosts: {a: {n: 1}, b: {n: 2}}, vars: {ansible_connection: local}}\n";

struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

fn run(args: &[&str]) -> Said {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("inventory.yaml"), INVENTORY).unwrap();
    std::fs::write(dir.path().join("file"), "text of {{ n }}\n").unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(env!("CARGO_BIN_EXE_mini-play"))
        .args(args)
        .current_dir(dir.path())
        .env("MINI_PLAY_STATE", dir.path().join("state"))
        .output()
        .unwrap();
    Said {
        code: status.code(),
        out: String::from_utf8_lossy(&stdout).into_owned(),
        err: String::from_utf8_lossy(&stderr).into_owned(),
    }
}

#[test]
fn equal_outputs_stand_together() {
    let said = run(&["exec", "all", "--", "echo", "{{ n }}", "$HOME", "~"]);
    assert_eq!(
        (said.out.as_str(), said.code),
        ("2 hosts: a, b\n    {{ n }} $HOME ~\n", Some(0)),
        "{}",
        said.err
    );
}

#[test]
fn an_inventory_takes_nothing_but_its_name() {
    let said = run(&["exec", "-i", "inventory.yaml", "b", "--", "echo", "hi"]);
    assert_eq!(said.out, "1 host: b\n    hi\n", "{}", said.err);
    let both = [
        "exec",
        "-i",
        "inventory.yaml",
        "-i",
        "inventory.yaml",
        "b",
        "--",
        "true",
    ];
    assert_eq!(run(&both).code, Some(0));
}

#[test]
fn one_word_is_a_line_for_the_shell_and_failures_have_their_code() {
    let said = run(&["exec", "b", "--", "printf 'x\\033[1m\\n' | cat; exit 7"]);
    assert_eq!(
        (said.out.as_str(), said.code),
        ("1 host failed with 7: b\n    x\\u{1b}[1m\n", Some(2)),
        "{}",
        said.err
    );
}

#[test]
fn modules_take_templates_pairs_and_braces() {
    let said = run(&["module", "debug", "-a", "msg=n{{ n }}", "all"]);
    assert_eq!(
        (said.out.as_str(), said.code),
        ("1 host: a\n    n1\n1 host: b\n    n2\n", Some(0)),
        "{}",
        said.err
    );
    let braces = "{src: file, dest: ./there, mode: '0600'}";
    let said = run(&["module", "copy", "-a", braces, "a", "--check"]);
    assert!(
        said.out
            .starts_with("1 host changed: a\n    dest: ./there\n"),
        "{} {}",
        said.out,
        said.err
    );
    assert_eq!(said.code, Some(0));
}

#[test]
fn mistakes_are_found_before_any_host_is_touched() {
    let wrong: [(&[&str], &[&str]); 5] = [
        (
            &["exec", "al", "--", "true"],
            &[
                "no host matches `al`",
                "<command line>:1:1",
                "did you mean `all`?",
            ],
        ),
        (
            &["exec", "all", "-l", "c", "--", "true"],
            &["no host or group of the inventory matches `c`"],
        ),
        (
            &["module", "coppy", "all"],
            &["unknown module `coppy`", "did you mean `copy`?"],
        ),
        (
            &["module", "copy", "-a", "dest=/x dset=y", "all"],
            &[
                "unknown parameter `dset`",
                "<-a>:1:9",
                "did you mean `dest`?",
            ],
        ),
        (
            &["exec", "-i", "none.yaml", "all", "--", "true"],
            &["there is no inventory none.yaml"],
        ),
    ];
    for (args, texts) in wrong {
        let said = run(args);
        assert_eq!(
            (said.code, said.out.as_str()),
            (Some(1), ""),
            "{args:?}: {}",
            said.err
        );
        for text in texts {
            assert!(
                said.err.contains(text),
                "{args:?}: `{text}` is not in\n{}",
                said.err
            );
        }
    }
}
