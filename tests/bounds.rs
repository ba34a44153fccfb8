//! Input without an end, or of absurd size, is refused with place and cause, in bounded time.

#![allow(clippy::unwrap_used)]

#[path = "common/folder.rs"]
mod folder;

use folder::Folder;

fn run(files: &[(&str, &str)]) -> (i32, String) {
    let folder = Folder::new(files);
    folder.write(
        "inventory.yaml",
        "all: {hosts: {h1: {ansible_connection: local}}}\n",
    );
    folder.run(&["apply", "-p", "play.yml"])
}

#[test]
fn tasks_that_include_themselves() {
    let play = "- {hosts: all, gather_facts: false, tasks: [{include_tasks: self.yml}]}\n";
    let own = "- debug: {msg: x}\n- include_tasks: self.yml\n";
    let (code, text) = run(&[("play.yml", play), ("self.yml", own)]);
    assert_eq!(code, 2, "{text}");
    for part in [
        "`self.yml` is included more than 100 levels deep: it includes itself",
        "self.yml:2:3",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn variables_that_refer_to_each_other() {
    let play = "
- hosts: all
  gather_facts: false
  vars: {a: '{{ b }}', b: '{{ a }}'}
  tasks: [{debug: {msg: '{{ a }}'}}]
";
    let (code, text) = run(&[("play.yml", play)]);
    assert_eq!(code, 2, "{text}");
    assert!(
        text.contains("variable `a` is defined through itself (play.yml:4:"),
        "{text}"
    );
}

#[test]
fn a_hundred_megabytes_of_yaml() {
    let mut play = String::from("- hosts: all\n  tasks:\n");
    play.push_str(&"    - debug: {msg: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}\n".repeat(2_000_000));
    let (code, text) = run(&[("play.yml", &play)]);
    assert_eq!(code, 1);
    for part in [
        "MB, and no more than 32 MB of YAML are read",
        "--> play.yml:1:1",
    ] {
        assert!(text.contains(part), "{text}");
    }
}
