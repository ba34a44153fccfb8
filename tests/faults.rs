//! Hosts on which something is broken: cases under `tests/inputs/faults`, one after the other on a lab host.
//! `MINI_PLAY_CASE=text` runs just those with that in their name.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

#[path = "common/bench.rs"]
mod bench;
#[path = "common/mod.rs"]
mod common;
#[path = "common/folder.rs"]
mod folder;

use bench::Bench;
use common::{cases, data, field, text};
use folder::Folder;
use minijinja::Value;
use std::fmt::Write as _;

/// Builds package files on the host.
const DEB: &str = r#"#!/bin/sh
set -e
d=$(mktemp -d); mkdir -p "$d/DEBIAN" "$d/etc" /srv
printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n' "$1" "$2" >"$d/DEBIAN/control"
echo "/etc/$1.conf" >"$d/DEBIAN/conffiles"; echo "$1 $2" >"$d/etc/$1.conf"
printf '#!/bin/sh\n%s\n' "${3:-:}" >"$d/DEBIAN/postinst"; chmod 755 "$d/DEBIAN/postinst"
dpkg-deb -b --root-owner-group "$d" "/srv/$1_$2.deb" >/dev/null; rm -r "$d"
"#;

fn list(value: &Value) -> Vec<String> {
    value
        .try_iter()
        .into_iter()
        .flatten()
        .map(|item| text(&item).unwrap_or_default())
        .collect()
}

/// What is wrong with a case, if anything.
fn wrong(bench: &Bench, case: &Value, tasks: &str) -> Option<String> {
    let script = |name: &str| text(&field(case, name)).unwrap_or_default();
    if !script("needs").is_empty() && bench.on("node1", &script("needs")).is_err() {
        println!("left out, this machine cannot do it: {}", script("name"));
        return None;
    }
    if let Err(why) = bench.on("node1", &script("prepare")) {
        return Some(format!("cannot be prepared: {why}"));
    }
    let handlers = serde_json::to_string(&field(case, "handlers")).unwrap();
    let play =
        format!("- hosts: all\n  gather_facts: false\n  tasks: {tasks}\n  handlers: {handlers}\n");
    bench.folder.write("play.yml", &play);
    let (code, said) = bench.folder.run(&["apply", "-p", "play.yml"]);
    let wanted: i32 = script("code").parse().unwrap();
    let holds = bench.on("node1", &script("holds"));
    bench.on("node1", &script("after")).unwrap();
    let mut bad = String::new();
    if code != wanted {
        let _ = write!(bad, "exit code {code}, not {wanted}; ");
    }
    for part in list(&field(case, "said"))
        .iter()
        .filter(|part| !said.contains(*part))
    {
        let _ = write!(bad, "{part:?} is not said; ");
    }
    for part in list(&field(case, "unsaid"))
        .iter()
        .filter(|part| said.contains(*part))
    {
        let _ = write!(bad, "{part:?} is said; ");
    }
    if let Err(why) = holds {
        let _ = write!(bad, "on the host it does not hold ({why}); ");
    }
    (!bad.is_empty()).then(|| format!("{bad}\n{said}"))
}

/// The controller dies before it confirms a change: what is wrong, if anything.
fn dies_before_it_confirms(bench: &Bench) -> Option<String> {
    bench.on("node1", "echo old >/root/guarded").unwrap();
    bench.folder.write(
        "play.yml",
        "- hosts: all
  gather_facts: false
  tasks:
    - copy: {dest: /root/guarded, content: new}
      confirm: 6s
      notify: Slow
  handlers:
    - {name: Slow, command: sleep 1234}
",
    );
    let mut child = bench.folder.start(&["apply", "-p", "play.yml"]);
    let wait = |script: &str| {
        let script = format!("for i in $(seq 60); do {script} && exit 0; sleep 0.5; done; exit 1");
        bench.on("node1", &script)
    };
    let begun = wait("pgrep -x -f 'sleep 1234' >/dev/null && [ \"$(cat /root/guarded)\" = new ]");
    child.kill().unwrap();
    child.wait().unwrap();
    let ended =
        wait("[ \"$(cat /root/guarded)\" = old ] && ! ls -d /run/mini-play.confirm.* 2>/dev/null");
    // The next run need not wait for the command that the dead one left.
    bench.on("node1", "pkill -x -f 'sleep 1234'; true").unwrap();
    match (begun, ended) {
        (Ok(_), Ok(_)) => None,
        (begun, ended) => Some(format!("the change came: {begun:?}; it went: {ended:?}")),
    }
}

#[test]
fn each_is_told_and_harms_nothing() {
    let Some(bench) = Bench::up(
        "faults",
        1,
        Folder::new(&[("hello.sh", "touch /root/hello\n")]),
    ) else {
        return;
    };
    bench
        .on(
            "node1",
            &format!("cat >/usr/local/bin/deb <<'E'\n{DEB}E\nchmod 755 /usr/local/bin/deb"),
        )
        .unwrap();
    let only = std::env::var("MINI_PLAY_CASE").unwrap_or_default();
    let mut failed = Vec::new();
    for path in cases("inputs/faults") {
        let all = data(&path, &std::fs::read_to_string(&path).unwrap());
        for case in all.try_iter().unwrap() {
            let name = text(&field(&case, "name")).unwrap();
            if !name.contains(&only) {
                continue;
            }
            let tasks = serde_json::to_string(&field(&case, "tasks")).unwrap();
            println!("{name}");
            if let Some(why) = wrong(&bench, &case, &tasks) {
                failed.push(format!("{name}: {why}"));
            }
        }
    }
    let name = "the controller dies before it confirms";
    if name.contains(&only) {
        println!("{name}");
        failed.extend(dies_before_it_confirms(&bench).map(|why| format!("{name}: {why}")));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}
