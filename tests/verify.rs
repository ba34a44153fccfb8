//! `verify` on this machine: what the last apply left, and what the roles say must hold.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output};

const INVENTORY: &str = "
all:
  vars: {ansible_connection: local}
  hosts: {a: , b: }
";

const TASKS: &str = "
- copy: {dest: '{{ playbook_dir }}/{{ inventory_hostname }}.txt', content: \"of {{ inventory_hostname }}\\n\"}
- copy: {dest: '{{ playbook_dir }}/{{ inventory_hostname }}.seen', content: \"1\\n\"}
- slurp: {src: '{{ playbook_dir }}/{{ inventory_hostname }}.seen'}
";

// Each host asks for the other's facts, which a run on one host alone does not gather.
const VERIFY: &str = "
files:
  - {name: the page, path: '{{ playbook_dir }}/{{ inventory_hostname }}.txt', contains: '^of '}
  - {name: one kernel, path: '{{ playbook_dir }}/kernel', contains: \"^{{ hostvars[other].ansible_kernel }}$\"}
";

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let write = |path: &str, text: &str| {
            let path = place.0.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("inventory.yaml", INVENTORY);
        write("roles/page/tasks/main.yml", TASKS);
        write("roles/page/verify.yml", VERIFY);
        write(
            "play.yml",
            "- hosts: all\n  vars: {other: \"{{ 'b' if inventory_hostname == 'a' else 'a' }}\"}\n  roles: [page]\n",
        );
        let kernel = Command::new("uname").arg("-r").output().unwrap().stdout;
        write("kernel", String::from_utf8(kernel).unwrap().trim());
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_mini-play"))
            .args(args)
            .args(["-p", "play.yml"])
            .current_dir(self.path())
            .env("MINI_PLAY_STATE", self.path().join("state"))
            .output()
            .unwrap()
    }

    /// Exit code and table.
    fn verify(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = self.run(&[&["verify"], args].concat());
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }
}

fn applied() -> Place {
    let place = Place::new();
    let output = place.run(&["apply"]);
    assert!(output.status.success(), "{output:?}");
    place
}

#[test]
fn what_apply_left_is_well() {
    let place = applied();
    let (code, text) = place.verify(&[]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
}

#[test]
fn one_host_alone_knows_the_facts_of_the_others() {
    let place = applied();
    let (code, text) = place.verify(&["-l", "a"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("\nb "), "{text}");
}

#[test]
fn a_changed_and_a_removed_file_are_named() {
    let place = applied();
    std::fs::write(place.path().join("a.txt"), "of another\n").unwrap();
    std::fs::remove_file(place.path().join("b.seen")).unwrap();
    let (code, text) = place.verify(&[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("a.txt") && text.contains("b.seen"), "{text}");
    // What a role says still holds: only the fingerprint differs.
    assert!(!text.contains("the page"), "{text}");
}

#[test]
fn nothing_to_verify_is_an_error() {
    let place = Place::new();
    std::fs::remove_file(place.path().join("roles/page/verify.yml")).unwrap();
    let (code, text) = place.verify(&[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("nothing to verify"), "{text}");
}

#[test]
fn what_a_playbook_no_longer_puts_there_is_no_longer_expected() {
    let place = applied();
    std::fs::write(
        place.path().join("roles/page/tasks/main.yml"),
        TASKS.replace(".seen", ".new"),
    )
    .unwrap();
    // Only some tasks: nothing is forgotten.
    assert!(place.run(&["apply", "--tags", "none"]).status.success());
    std::fs::remove_file(place.path().join("a.seen")).unwrap();
    let (code, text) = place.verify(&[]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("a.seen"), "{text}");
    assert!(place.run(&["apply"]).status.success());
    let (code, text) = place.verify(&[]);
    assert_eq!(code, Some(0), "{text}");
}
