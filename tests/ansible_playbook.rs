//! The binary under the name `ansible-playbook`: its options, listings, exit codes and the form of its output.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A folder with a link to our binary under Ansible's name.
struct Tool {
    dir: tempfile::TempDir,
}

impl Tool {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("ansible-playbook");
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_mini-play"), link).unwrap();
        Self { dir }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.dir.path().join("ansible-playbook"));
        command
            .current_dir(self.dir.path())
            .env("MINI_PLAY_STATE", self.dir.path().join("state"))
            .env_remove("ANSIBLE_CONFIG");
        command
    }

    fn run(&self, args: &[&str]) -> (i32, String) {
        said(&self.command().args(args).output().unwrap())
    }
}

fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr[..]].map(|part| String::from_utf8_lossy(part));
    (output.status.code().unwrap(), text.concat())
}

#[test]
fn listings_are_those_of_ansible() {
    let tool = Tool::new();
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inputs/listing");
    let expected = std::fs::read_to_string(dir.join("expected.txt")).unwrap();
    let mut count = 0;
    for case in expected.split("=== ").skip(1) {
        let (args, wanted) = case.split_once('\n').unwrap();
        let output = tool
            .command()
            .current_dir(&dir)
            .args(["-i", "inventory.yml", "site.yml"])
            .args(args.split(' '))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), wanted, "{args}");
        assert!(output.status.success());
        count += 1;
    }
    assert!(count > 10);
}

#[test]
fn roles_of_collections_are_found_where_the_configuration_says() {
    let tool = Tool::new();
    let role = "more/ansible_collections/some/thing/roles/hello/tasks";
    std::fs::create_dir_all(tool.dir.path().join(role)).unwrap();
    tool.file(&format!("{role}/main.yml"), "- debug: msg=found\n");
    tool.file("ansible.cfg", "[defaults]\ncollections_path = more\n");
    tool.file(
        "play.yml",
        "- hosts: localhost\n  gather_facts: false\n  roles: [some.thing.hello]\n",
    );
    let (code, text) = tool.run(&["-i", "localhost,", "play.yml"]);
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("\"msg\": \"found\""), "{text}");
}

const TWO: &str = "
- hosts: all
  gather_facts: false
  tasks:
    - name: first
      debug: msg=1
- hosts: all
  gather_facts: false
  tasks:
    - name: second
      debug: msg=2
    - block:
        - name: third
          debug: msg=3
    - name: fourth
      debug: msg=4
";

#[test]
fn several_playbooks_run_until_one_fails() {
    let tool = Tool::new();
    let good = "- {hosts: all, gather_facts: false, tasks: [{debug: msg=GOOD}]}\n";
    tool.file("good.yml", good);
    tool.file(
        "bad.yml",
        "- {hosts: all, gather_facts: false, tasks: [{fail: msg=BAD}]}\n",
    );
    tool.file("late.yml", &good.replace("GOOD", "LATE"));
    let local = ["-c", "local", "-i", "x,y,"];
    let (code, out) = tool.run(&[&local[..], &["good.yml", "bad.yml", "late.yml"]].concat());
    assert_eq!(code, 2, "{out}");
    assert!(
        out.contains("GOOD") && out.contains("BAD") && !out.contains("LATE"),
        "{out}"
    );
    let recap = "x                          : ok=1    changed=0    unreachable=0    failed=0    skipped=0    rescued=0    ignored=0   \n";
    assert!(out.contains(recap), "{out}");
    assert!(out.contains("TASK [debug] *****"), "{out}");
    let (code, _) = tool.run(&[&local[..], &["good.yml", "late.yml"]].concat());
    assert_eq!(code, 0);
}

#[test]
fn exit_codes_are_those_of_ansible() {
    let tool = Tool::new();
    tool.file(
        "good.yml",
        "- {hosts: all, gather_facts: false, tasks: [{ping: }]}\n",
    );
    tool.file("wrong.yml", "- {hosts: all, taskss: []}\n");
    let unreachable = ["-i", "127.0.0.2:1,", "-T", "3", "good.yml"];
    for (args, code) in [
        (&unreachable[..], 4),
        (&["-i", "x,", "wrong.yml"], 4),
        (&["-i", "x,", "missing.yml"], 1),
        (&["--no-such-option", "good.yml"], 2),
        (&["--version"], 0),
    ] {
        let (is, out) = tool.run(args);
        assert_eq!(is, code, "{args:?}: {out}");
    }
}

#[test]
fn starting_at_a_task_passes_over_those_before_it() {
    let tool = Tool::new();
    tool.file("two.yml", TWO);
    for (name, ran) in [("third", "34"), ("*ourth", "4"), ("first", "1234")] {
        let (code, out) = tool.run(&[
            "-c",
            "local",
            "-i",
            "x,",
            "two.yml",
            "--start-at-task",
            name,
        ]);
        assert_eq!(code, 0, "{out}");
        for n in ["1", "2", "3", "4"] {
            let shown = out.contains(&format!("\"msg\": \"{n}\""));
            assert_eq!(shown, ran.contains(n), "{name} {n}: {out}");
        }
    }
    let (code, out) = tool.run(&[
        "-c",
        "local",
        "-i",
        "x,",
        "two.yml",
        "--start-at-task",
        "fifth",
    ]);
    assert!(
        code != 0 && out.contains("no task matches `fifth`"),
        "{out}"
    );
}

#[test]
fn facts_are_gathered_before_the_task_to_start_at() {
    let tool = Tool::new();
    let text = "- hosts: all\n  tasks:\n    - {name: one, debug: msg=1}\n    - {name: two, debug: \"msg={{ ansible_system }}\"}\n";
    tool.file("facts.yml", text);
    let (code, out) = tool.run(&[
        "-c",
        "local",
        "-i",
        "x,",
        "facts.yml",
        "--start-at-task",
        "two",
    ]);
    assert!(
        code == 0 && out.contains("\"msg\": \"Linux\"") && out.contains(": ok=2 "),
        "{out}"
    );
}

#[test]
fn each_task_is_asked_for_once() {
    let tool = Tool::new();
    tool.file("two.yml", TWO);
    let mut command = tool.command();
    command.args(["-c", "local", "-i", "x,y,", "two.yml", "--step"]);
    let pipes = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = pipes.spawn().unwrap();
    // The first is not wanted, the second is, then all.
    child.stdin.take().unwrap().write_all(b"n\ny\nc\n").unwrap();
    let (code, out) = said(&child.wait_with_output().unwrap());
    assert_eq!(code, 0, "{out}");
    assert_eq!(out.matches("Perform task: TASK: ").count(), 3, "{out}");
    assert!(!out.contains("\"msg\": \"1\""), "{out}");
    for n in ["2", "3", "4"] {
        assert_eq!(
            out.matches(&format!("\"msg\": \"{n}\"")).count(),
            2,
            "{n}: {out}"
        );
    }
}

#[test]
fn ansible_cfg_is_read() {
    let tool = Tool::new();
    tool.file("hosts", "one ansible_connection=local\n");
    tool.file(
        "ansible.cfg",
        "[defaults]\ninventory = hosts\nforks = 3\n[tags]\nskip = no\n",
    );
    let text = "- hosts: all\n  gather_facts: false\n  tasks:\n    - debug: msg=F{{ ansible_forks }}\n    - {debug: msg=SKIPPED, tags: 'no'}\n";
    tool.file("play.yml", text);
    let (code, out) = tool.run(&["play.yml", "-v"]);
    assert!(
        code == 0 && out.contains("\"msg\": \"F3\"") && !out.contains("SKIPPED"),
        "{out}"
    );
    assert!(out.contains("Using ansible.cfg as config file"), "{out}");
}
