//! Handlers that were due when a run broke off: the next run picks them up, once.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const PLAY: &str = "
- hosts: all
  gather_facts: false
  tasks:
    - copy: {dest: '{{ playbook_dir }}/file', content: \"new\\n\"}
      notify: Count
    - command: sh -c 'test -e go || sleep 60'
      args: {chdir: '{{ playbook_dir }}'}
      changed_when: false
    - command: test ! -e stop
      args: {chdir: '{{ playbook_dir }}'}
      changed_when: false
  handlers:
    - name: Count
      shell: echo ran >>handled; test ! -e broken
      args: {chdir: '{{ playbook_dir }}'}
";

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let write = |name: &str, text: &str| std::fs::write(place.path().join(name), text).unwrap();
        write("play.yml", PLAY);
        write(
            "inventory.yaml",
            "all: {hosts: {here: {ansible_connection: local}}}\n",
        );
        place.touch("go");
        place
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn touch(&self, name: &str) {
        std::fs::write(self.path().join(name), "").unwrap();
    }

    fn remove(&self, name: &str) {
        std::fs::remove_file(self.path().join(name)).unwrap();
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mini-play"));
        command
            .args(["apply", "-p", "play.yml"])
            .current_dir(self.path())
            .env("MINI_PLAY_STATE", self.path().join("state"));
        command
    }

    fn apply(&self) -> Output {
        self.command().output().unwrap()
    }

    /// How often the handler ran.
    fn handled(&self) -> usize {
        std::fs::read_to_string(self.path().join("handled"))
            .unwrap_or_default()
            .lines()
            .count()
    }
}

#[track_caller]
fn code(output: &Output, wanted: i32) {
    assert_eq!(output.status.code(), Some(wanted), "{output:?}");
}

#[test]
fn a_later_task_failed() {
    let place = Place::new();
    place.touch("stop");
    code(&place.apply(), 2);
    assert_eq!(place.handled(), 0);
    place.remove("stop");
    let second = place.apply();
    code(&second, 0);
    assert_eq!(place.handled(), 1);
    let told = String::from_utf8([second.stdout, second.stderr].concat()).unwrap();
    assert!(told.contains("handler `Count` is still due"), "{told}");
    code(&place.apply(), 0);
    assert_eq!(place.handled(), 1, "it is done");
}

#[test]
fn the_handler_itself_failed() {
    let place = Place::new();
    place.touch("broken");
    code(&place.apply(), 2);
    place.remove("broken");
    code(&place.apply(), 0);
    assert_eq!(place.handled(), 2);
    code(&place.apply(), 0);
    assert_eq!(place.handled(), 2);
}

#[test]
fn the_controller_was_killed() {
    let place = Place::new();
    place.remove("go");
    let mut child = place
        .command()
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !place.path().join("file").exists() {
        std::thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(place.handled(), 0);
    place.touch("go");
    code(&place.apply(), 0);
    assert_eq!(place.handled(), 1);
}

#[test]
fn a_dry_run_neither_runs_nor_forgets_it() {
    let place = Place::new();
    place.touch("stop");
    code(&place.apply(), 2);
    place.remove("stop");
    code(&place.command().arg("--check").output().unwrap(), 0);
    assert_eq!(place.handled(), 0);
    code(&place.apply(), 0);
    assert_eq!(place.handled(), 1);
}
