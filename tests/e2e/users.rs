//! Who logs in, and one run at a time.

use crate::stack::{Stack, wanted};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Root, sudo without a password, sudo with one: the same play ends in the same state.
#[test]
fn every_way_to_become_root_works() {
    if !wanted() {
        return;
    }
    let stack = Stack::new("e2e-users", "bookworm", 1, "all: {}\n");
    let play = stack.dir.path().join("play.yml");
    std::fs::write(
        &play,
        "- hosts: all\n  become: true\n  tasks:\n    - copy: {content: '{{ who }}', dest: '/root/{{ who }}', mode: '0600'}\n    - command: id -un\n      register: me\n      changed_when: false\n    - assert: {that: me.stdout == 'root'}\n    - command: id -un\n      become_user: daemon\n      register: other\n      changed_when: false\n    - assert: {that: other.stdout == 'daemon'}\n",
    )
    .unwrap();
    let play = play.to_str().unwrap();
    for (user, more) in [
        ("root", ""),
        ("operator", ""),
        ("student", "ansible_become_password=student"),
    ] {
        let vars = format!("who={user} ansible_user={user} {more}");
        let said = stack.run(&["apply", "-o", "json", "-p", play, "-e", &vars]);
        assert_eq!(said.code, 0, "{user}: {said}");
        assert_eq!(stack.on("node1", &format!("cat /root/{user}")), user);
        let again = stack.run(&["apply", "-o", "json", "-p", play, "-e", &vars]);
        assert_eq!(again.figure("node1", "changed"), 0, "{again}");
    }
    let wrong = stack.run(&[
        "apply",
        "-p",
        play,
        "-e",
        "who=x ansible_user=student ansible_become_password=wrong",
    ]);
    assert_eq!(wrong.code, 2, "{wrong}");
    assert!(wrong.took < Duration::from_secs(15), "{wrong}");
    assert!(!wrong.out.contains("=wrong"), "{wrong}");
    one_run_at_a_time(&stack);
}

/// While one run changes a host another is refused, whoever it is; when the first is gone, killed even, the way is free.
fn one_run_at_a_time(stack: &Stack) {
    let play = stack.dir.path().join("slow.yml");
    std::fs::write(
        &play,
        "- hosts: all\n  gather_facts: false\n  become: true\n  tasks:\n    - command: sh -c 'touch /root/begun-{{ n }}; sleep {{ n }}'\n",
    )
    .unwrap();
    let play = play.to_str().unwrap();
    let mut first = Command::new(env!("CARGO_BIN_EXE_mini-play"))
        .args(["apply", "-p", play, "-e"])
        .arg("n=12 ansible_user=student ansible_become_password=student")
        .arg(stack.dir.path().join("inventory"))
        .env("MINI_PLAY_STATE", stack.dir.path().join("state"))
        .env("USER", "alice")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    stack.on(
        "node1",
        "until test -e /root/begun-12; do sleep 0.1; done; ls -l /run/lock",
    );
    let args = ["apply", "-p", play, "-e", "n=0 ansible_user=root"];
    let refused = stack.run(&args);
    assert_eq!(refused.code, 2, "{refused}");
    assert!(
        refused
            .out
            .contains("another run is at work on this host: mini-play of alice@"),
        "{refused}"
    );
    let forced = stack.run(&[&args[..], &["--no-lock"]].concat());
    assert_eq!(forced.code, 0, "{forced}");
    first.kill().unwrap();
    first.wait().unwrap();
    // The command of the first is still at work; when it has ended, its shell finds the line gone.
    let mut free = stack.run(&args);
    for _ in 0..60 {
        if free.code == 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
        free = stack.run(&args);
    }
    assert_eq!(free.code, 0, "{free}");
    assert_eq!(
        stack.on("node1", "ls /run/lock | grep -c mini-play || :"),
        "0"
    );
}
