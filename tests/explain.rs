//! `mini-play explain` and `mini-play lint`, on `tests/inputs/explain`.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::path::Path;
use std::process::Command;

fn run(args: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_mini-play"))
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inputs/explain"))
        .args(args)
        .output()
        .unwrap();
    let text = [&output.stdout[..], &output.stderr[..]].map(|part| String::from_utf8_lossy(part));
    (output.status.code().unwrap(), text.concat())
}

fn explain(args: &[&str]) -> (i32, String) {
    run(&[&["explain"][..], args, &["-p", "site.yml", "hosts"]].concat())
}

#[test]
fn every_definition_is_shown_strongest_first() {
    let (code, out) = explain(&["port", "--host", "one"]);
    assert_eq!(code, 0, "{out}");
    let places = [
        "play Web (site.yml:1:3)",
        "  wins    ./group_vars/web.yml:2:7  \"8{{ tail }}\"",
        "  hidden  ./group_vars/all.yml:1:7  81",
        "  hidden  hosts:5:6  80",
        "  hidden  ./roles/web/defaults/main.yml:1:7  79",
        "  value   \"82\"",
        "stronger than the inventory where they hold",
        "  task    ./roles/web/tasks/main.yml:12:11  set_fact",
        "  task    ./roles/web/tasks/main.yml:13:3  register",
        "  task    site.yml:9:15  vars of the task",
    ];
    let mut rest = out.as_str();
    for place in places {
        let plain = place.replace("./", "");
        let found = rest.find(place).or_else(|| rest.find(&plain));
        let at = found.unwrap_or_else(|| unreachable!("no `{place}` in its place:\n{out}"));
        rest = &rest[at..];
    }
}

#[test]
fn the_command_line_wins_and_templates_that_need_the_run_say_so() {
    let (_, out) = explain(&["port", "--host", "two", "-e", "port=1"]);
    assert!(out.contains("  wins    <command line>:1:1"), "{out}");
    let (_, out) = explain(&["kind", "--host", "one"]);
    assert!(
        out.contains("(vars of role web)") && out.contains("\"82/tcp\""),
        "{out}"
    );
    let (_, out) = explain(&["nothing", "--host", "one"]);
    assert!(
        out.contains("`nothing` is not defined before the run"),
        "{out}"
    );
    let (code, out) = explain(&["port", "--host", "three"]);
    assert!(
        code == 1 && out.contains("there is no host `three`"),
        "{out}"
    );
}

#[test]
fn what_is_not_supported_is_listed_beforehand() {
    let (code, out) = run(&["lint", "site.yml"]);
    assert_eq!(code, 1, "{out}");
    for text in [
        "module `yum` is not supported",
        "tasks/main.yml:2:3",
        "filter `crc32` is not supported",
        "filter `hashids_encode` is not supported",
        "site.j2:2:",
        "what this `include_tasks` brings is known only in the run",
        "site.yml: 3 things are not supported",
    ] {
        assert!(out.contains(text), "no `{text}`:\n{out}");
    }
    let (code, out) = run(&["lint", "fine.yml"]);
    assert!(
        code == 0 && out.contains("fine.yml: everything it uses is supported"),
        "{out}"
    );
}

#[test]
fn what_is_not_supported_stops_nothing_before_a_host_comes_to_it() {
    let (code, out) = run(&["apply", "hosts", "-p", "site.yml", "--syntax-check"]);
    assert_eq!(code, 0, "{out}");
}
