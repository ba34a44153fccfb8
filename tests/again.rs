//! Runs that did not come to their end, by failures or by Ctrl-C, and how the next one goes on.

#![allow(clippy::unwrap_used)]

#[path = "common/folder.rs"]
mod folder;

use folder::{Folder, said};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Three hosts that are this machine; each task writes its letter into the host's file, and stops where `stop-HOST` says.
const INVENTORY: &str = "
all:
  vars: {ansible_connection: local}
  hosts: {h1: {}, h2: {}, h3: {}}
";

const PLAY: &str = "
- hosts: all
  gather_facts: false
  vars:
    at: '{{ playbook_dir }}'
    letter: 'printf %s \"$L\" >>{{ at }}/{{ inventory_hostname }}; test \"$(cat {{ at }}/stop-{{ inventory_hostname }})\" != \"$L\"'
  tasks:
    - {name: a, shell: '{{ letter }}', environment: {L: a}}
    - name: both
      block:
        - {name: b, shell: '{{ letter }}', environment: {L: b}}
    - {name: include, include_tasks: more.yml}
    - {name: d, shell: '{{ letter }}', environment: {L: d}}
- hosts: all
  gather_facts: false
  tasks:
    - name: e
      shell: printf e >>{{ playbook_dir }}/{{ inventory_hostname }}
";

const MORE: &str = "- {name: c, shell: '{{ letter }}', environment: {L: c}}\n";

fn folder() -> Folder {
    let files = [
        ("play.yml", PLAY),
        ("more.yml", MORE),
        ("inventory.yaml", INVENTORY),
    ];
    Folder::new(&files)
}

const APPLY: [&str; 3] = ["apply", "-p", "play.yml"];

fn with(args: &[&'static str]) -> Vec<&'static str> {
    [&APPLY[..], args].concat()
}

#[test]
fn failed_hosts_run_again_and_resume_where_they_stopped() {
    let folder = folder();
    let letters = || ["h1", "h2", "h3"].map(|host| folder.read(host));
    let (code, text) = folder.run(&with(&["--failed"]));
    assert_eq!(code, 1);
    assert!(
        text.contains("no run of play.yml with this inventory is known"),
        "{text}"
    );

    folder.write("stop-h2", "b");
    folder.write("stop-h3", "c");
    assert_eq!(folder.run(&APPLY).0, 2);
    assert_eq!(letters(), ["abcde", "ab", "abc"]);

    // A dry run is none.
    folder.run(&with(&["--check"]));
    // h3 stopped in what an include brought: it goes through that again.
    folder.write("stop-h3", "");
    assert_eq!(folder.run(&with(&["--resume"])).0, 2);
    assert_eq!(letters(), ["abcde", "abb", "abccde"]);

    // The playbook was mended meanwhile: the task is found by its name.
    folder.write("play.yml", &format!("# mended\n{PLAY}"));
    folder.write("stop-h2", "");
    assert_eq!(folder.run(&with(&["--resume"])).0, 0);
    assert_eq!(letters(), ["abcde", "abbbcde", "abccde"]);

    let (code, text) = folder.run(&with(&["--failed"]));
    assert_eq!(code, 0);
    assert!(
        text.contains("the last run of play.yml ended well on every host"),
        "{text}"
    );

    folder.write("stop-h1", "d");
    assert_eq!(folder.run(&APPLY).0, 2);
    folder.write("stop-h1", "");
    assert_eq!(folder.run(&with(&["--failed"])).0, 0);
    assert_eq!(letters()[0], "abcdeabcdabcde");
    assert_eq!(letters()[1], "abbbcdeabcde", "it was not run again");

    // Without its task there is nowhere to go on, and that is said before anything is done.
    folder.write("stop-h1", "b");
    assert_eq!(folder.run(&APPLY).0, 2);
    folder.write("play.yml", &PLAY.replace("name: b", "name: other"));
    let before = letters();
    let (code, text) = folder.run(&with(&["--resume"]));
    assert_eq!(code, 1);
    let words = "the task `b`, where h1 stopped, is not in the playbook any more";
    assert!(text.contains(words), "{text}");
    assert_eq!(letters(), before);
}

/// Waits in its first task, which marks that it began and that it ended.
const SLOW: &str = "
- hosts: h1
  gather_facts: false
  tasks:
    - {name: before, debug: {msg: x}}
    - name: slow
      shell: touch began; sleep $(cat seconds); touch ended
      args: {chdir: '{{ playbook_dir }}'}
      register: slow
    - {name: after, shell: touch after, args: {chdir: '{{ playbook_dir }}'}, when: slow is changed}
";

fn interrupt(child: &Child) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-INT", &pid]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn one_interrupt_finishes_what_runs_and_two_stop_now() {
    let folder = folder();
    folder.write("play.yml", SLOW);
    folder.write("seconds", "2");
    let run_end = || {
        let events = folder.journal("run");
        events
            .iter()
            .rev()
            .find(|e| e["event"] == "run_end")
            .cloned()
            .unwrap()
    };

    let child = folder.start(&APPLY);
    folder.await_file("began");
    interrupt(&child);
    let (code, text) = said(&child.wait_with_output().unwrap());
    assert_eq!(code, 130, "{text}");
    assert!(folder.at("ended").exists() && !folder.at("after").exists());
    assert!(
        text.contains("interrupted: finishing what is running; once more to stop now"),
        "{text}"
    );
    assert!(text.contains("h1  ok=2 changed=1"), "{text}");
    assert_eq!(run_end()["interrupted"], true);
    let tasks = folder.journal("h1");
    assert!(
        tasks
            .iter()
            .any(|e| e["task"] == "slow" && e["status"] == "changed")
    );

    folder.remove("began");
    folder.remove("ended");
    // Long enough to see that it is not waited for.
    folder.write("seconds", "20");
    let child = folder.start(&APPLY);
    folder.await_file("began");
    interrupt(&child);
    std::thread::sleep(Duration::from_millis(300));
    interrupt(&child);
    let (code, text) = said(&child.wait_with_output().unwrap());
    assert_eq!(code, 130, "{text}");
    assert!(!folder.at("ended").exists());
    let words = "interrupted: stopping now; what was running on the hosts may go on there";
    assert!(text.contains(words), "{text}");
    assert!(
        text.contains("stopped by the user while this was under way; it may have run"),
        "{text}"
    );
    let end = run_end();
    assert_eq!(
        (&end["interrupted"], &end["hosts"][0]["failed"]),
        (&true.into(), &1.into())
    );
    let tasks = folder.journal("h1");
    let words = "stopped by the user while this was under way; it may have run";
    assert!(
        tasks
            .iter()
            .any(|e| e["task"] == "slow" && e["msg"] == words),
        "{tasks:?}"
    );

    // It goes on where it was stopped.
    folder.await_file("ended");
    folder.write("seconds", "1");
    assert_eq!(folder.run(&with(&["--resume"])).0, 0);
    assert!(folder.at("after").exists());
    assert!(!folder.journal("h1").iter().any(|e| e["task"] == "before"));
}

#[test]
fn waiting_ends_with_an_interrupt() {
    let folder = folder();
    folder.write(
        "play.yml",
        "
- hosts: h1
  gather_facts: false
  tasks:
    - {command: touch began, args: {chdir: '{{ playbook_dir }}'}}
    - {command: 'false', retries: 5, delay: 600, until: false}
",
    );
    let child = folder.start(&APPLY);
    folder.await_file("began");
    std::thread::sleep(Duration::from_millis(500));
    interrupt(&child);
    let clock = Instant::now();
    let (code, text) = said(&child.wait_with_output().unwrap());
    assert_eq!(code, 130, "{text}");
    assert!(clock.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_journal_that_cannot_be_written_is_said_before_anything_is_done() {
    let folder = folder();
    std::fs::create_dir(folder.at("small")).unwrap();
    // In a mount namespace of its own: a file system that is full, one that is read-only, and a file in the way.
    for (prepare, words) in [
        (
            "mount -t tmpfs -o size=64k none small",
            "No space left on device",
        ),
        ("mount -t tmpfs -o ro none small", "Read-only file system"),
        ("rmdir small; touch small", "Not a directory"),
    ] {
        let program = env!("CARGO_BIN_EXE_mini-play");
        let script =
            format!("{prepare} && MINI_PLAY_STATE=$PWD/small exec {program} apply -p play.yml");
        let output = Command::new("unshare")
            .args(["--mount", "sh", "-c", &script])
            .current_dir(folder.path())
            .output()
            .unwrap();
        let (code, text) = said(&output);
        assert_eq!(code, 1, "{prepare}: {text}");
        for part in [
            "the run journal cannot be written (set MINI_PLAY_STATE to a folder that can)",
            words,
        ] {
            assert!(text.contains(part), "{prepare}: {text}");
        }
        assert_eq!(folder.read("h1"), "", "{prepare}");
    }
}
