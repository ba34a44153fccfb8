//! The same playbooks with ansible-core and with mini-play, on twins: results, files, packages, accounts and units must be equal
//! after a first and a second run. See `tests/differential/README.md`.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

#[path = "differential/harness/mod.rs"]
mod harness;

use harness::known::Known;
use harness::lane::Lane;
use harness::{ansible, topic};
use mini_play::lab::{self, Lab, LabOptions};

/// What topics need on a host, for Ansible's modules and for ours.
const PACKAGES: &[&str] = &[
    "python3",
    "python3-apt",
    "python3-debian",
    "python3-passlib",
    "python3-pip",
    "python3-venv",
    "git",
    "cron",
    "locales",
    "acl",
    "attr",
    "libcap2-bin",
    "iptables",
    "ufw",
    "unzip",
    "zip",
    "bzip2",
    "xz-utils",
    "gnupg",
    "ca-certificates",
    "debconf-utils",
];

const NAME: &str = "differential";

/// A lab that is gone when the test ends, unless a developer keeps it.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        if std::env::var_os("DIFFERENTIAL_KEEP").is_none() {
            Lab::down(NAME, &|_| ()).unwrap();
        }
    }
}

/// Whether to run; prints why not.
fn wanted() -> bool {
    if std::env::var_os("MINI_PLAY_DIFFERENTIAL_TESTS").is_none_or(|value| value != "1") {
        println!("skipped: MINI_PLAY_DIFFERENTIAL_TESTS=1 is not set");
        return false;
    }
    lab::check_machine(None).expect("a machine that can run lab hosts");
    true
}

#[test]
fn hosts_end_as_ansible_leaves_them() {
    if !wanted() {
        return;
    }
    let groups = topic::groups();
    let bin = ansible::install();
    let _guard = Guard;
    let options = LabOptions {
        name: NAME.into(),
        hosts: Some(u32::try_from(groups.len() * 2).unwrap()),
        include: PACKAGES.iter().map(|&name| name.to_owned()).collect(),
        ..LabOptions::default()
    };
    let lab = Lab::up(&options, &|text| println!("lab: {text}")).unwrap();
    let hosts = lab.hosts();
    let found = std::thread::scope(|scope| {
        let running: Vec<_> = groups
            .iter()
            .zip(hosts.chunks(2))
            .map(|(group, pair)| {
                let lane = Lane {
                    lab: &lab,
                    theirs: pair[0].clone(),
                    ours: pair[1].clone(),
                    bin: &bin,
                };
                scope.spawn(move || lane.run(group))
            })
            .collect();
        running
            .into_iter()
            .flat_map(|lane| lane.join().unwrap())
            .collect::<Vec<_>>()
    });
    let text = std::fs::read_to_string(topic::suite().join("known.txt")).unwrap();
    let known = Known::read(&text);
    let new: Vec<String> = known
        .filter(found)
        .iter()
        .map(|(place, what)| format!("{place}: {what}"))
        .collect();
    assert!(
        new.is_empty(),
        "{} differences:\n{}",
        new.len(),
        new.join("\n")
    );
    if topic::picked().is_none() {
        let unused = known.unused();
        assert!(
            unused.is_empty(),
            "not needed any more in known.txt: {}",
            unused.join(", ")
        );
    }
}
