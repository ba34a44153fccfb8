//! `apt` decided on data, and tried where that changes nothing.

use super::*;
use crate::modules::probe::{Answer, PackageState};
use crate::modules::testing::{Fake, args, local, plan};
use minijinja::Value;

/// A host that answers what it is told: packages by `name version`, scripts by a word they contain.
struct Host<'a> {
    packages: &'a [(&'a str, &'a str)],
    scripts: &'a [(&'a str, &'a str)],
}

impl Host<'_> {
    fn ask(&self, probe: &Probe) -> Answer {
        match probe {
            Probe::Package(name) => {
                Answer::Package(self.packages.iter().find(|(known, _)| known == name).map(
                    |(_, version)| PackageState {
                        status: if version.is_empty() {
                            "deinstall ok config-files".into()
                        } else {
                            "install ok installed".into()
                        },
                        version: (*version).into(),
                        arch: "amd64".into(),
                        automatic: name == "auto",
                    },
                ))
            }
            Probe::Script(script) => Answer::Script {
                rc: 0,
                stdout: self
                    .scripts
                    .iter()
                    .find(|(word, _)| script.contains(word))
                    .map_or("", |(_, text)| text)
                    .as_bytes()
                    .into(),
                stderr: [].into(),
            },
            other => panic!("no answer to {other:?}"),
        }
    }

    /// The commands that would run, or `ok`, or the failure.
    fn run(&self, given: &[(&str, Value)]) -> Vec<String> {
        let step = plan(&Apt, given, &Fake::default());
        let mut seen = Seen::default();
        let mut wanted = step.probes();
        loop {
            for probe in wanted {
                let answer = self.ask(&probe);
                seen.insert(probe, answer);
            }
            match step.decide(&seen) {
                Decision::Look(more) => wanted = more,
                Decision::Done(outcome) if outcome.failed => return vec![outcome.msg.unwrap()],
                Decision::Done(_) => return vec!["ok".into()],
                Decision::Act(plan) => {
                    return plan
                        .actions
                        .iter()
                        .map(|chunk| {
                            let line = chunk.script.lines().last().unwrap();
                            line.strip_prefix("mp_apt ").unwrap_or("update").replace(
                                "apt-get -y -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
                                 -o DPkg::Lock::Timeout=60 -o Dpkg::Use-Pty=0",
                                "get",
                            )
                        })
                        .collect();
                }
            }
        }
    }
}

const POLICY: &str = "a:\n  Installed: 1.0\n  Candidate: 1.2\n  Version table:\n     1.2 500\n        \
                      500 http://x y\n *** 1.0 100\n        100 /var/lib/dpkg/status\n";

fn names(names: &[&str]) -> (&'static str, Value) {
    ("name", names.iter().map(|n| Value::from(*n)).collect())
}

fn state(state: &str) -> (&'static str, Value) {
    ("state", state.into())
}

#[test]
fn states_lead_to_commands() {
    let host = Host {
        packages: &[("a", "1.0"), ("gone", "")],
        scripts: &[
            ("policy", POLICY),
            ("Provides", "mta\n"),
            ("date", "1000\n2000\n"),
            ("pkgnames", "a\nab\n"),
        ],
    };
    let on = |name: &'static str| (name, Value::from(true));
    type Case<'a> = (Vec<(&'a str, Value)>, &'a [&'a str]);
    let cases: &[Case] = &[
        (vec![names(&["a"])], &["ok"]),
        (vec![names(&["a", "b", "c"])], &["get install b c"]),
        (vec![names(&["mta"])], &["ok"]),
        (vec![names(&["a"]), state("latest")], &["get install a=1.2"]),
        (vec![names(&["a=1.0"])], &["ok"]),
        (vec![names(&["a=1.2"])], &["get install a=1.2"]),
        (
            vec![names(&["a=1.1"])],
            &["no available installation candidate for a=1.1"],
        ),
        (vec![names(&["a=1.*"])], &["get install 'a=1.*'"]),
        (vec![names(&["a>=0.9"])], &["ok"]),
        (vec![names(&["a>=1.1"])], &["get install a=1.2"]),
        (
            vec![names(&["a>=2"])],
            &["no available installation candidate for a>=2"],
        ),
        (
            vec![names(&["a", "b"]), state("absent")],
            &["get -q remove a"],
        ),
        (vec![names(&["gone"]), state("absent")], &["ok"]),
        (
            vec![names(&["gone"]), state("absent"), on("purge")],
            &["get -q --purge remove gone"],
        ),
        (vec![names(&["a*"])], &["get install ab"]),
        (vec![names(&["b"]), on("only_upgrade")], &["ok"]),
        (
            vec![names(&["b"]), on("update_cache")],
            &["update", "get install b"],
        ),
        (
            vec![names(&["b"]), ("cache_valid_time", 1500.into())],
            &["get install b"],
        ),
        (vec![on("update_cache")], &["update"]),
        (vec![("cache_valid_time", 1000.into())], &["ok"]),
        (vec![("cache_valid_time", 999.into())], &["update"]),
        (vec![("upgrade", "dist".into())], &["get dist-upgrade"]),
        (
            vec![names(&["*"]), state("latest")],
            &["get upgrade --with-new-pkgs"],
        ),
        (
            vec![on("autoremove"), on("purge")],
            &["get --purge autoremove"],
        ),
        (vec![on("clean")], &["apt-get clean"]),
        (
            vec![names(&["a"]), state("build-dep")],
            &["get build-dep a"],
        ),
        (
            vec![
                names(&["b"]),
                ("install_recommends", false.into()),
                ("default_release", "x".into()),
            ],
            &["get -o APT::Install-Recommends=no -t x install b"],
        ),
    ];
    for (given, expected) in cases {
        assert_eq!(host.run(given), *expected, "{given:?}");
    }
}

#[test]
fn a_dependency_wanted_for_itself_is_marked() {
    let host = Host {
        packages: &[("a", "1.0"), ("auto", "1.0")],
        scripts: &[],
    };
    assert_eq!(host.run(&[names(&["a", "auto"])]), ["apt-mark manual auto"]);
    assert_eq!(host.run(&[names(&["a"])]), ["ok"]);
}

#[test]
fn causes_are_told() {
    let step = Task::new(&args(&Apt, &[names(&["nope"])]), false).unwrap();
    let action = step.action(Kind::Change, "apt-get install nope".into());
    let failure = |err: &str| {
        let reply = Reply {
            ran: true,
            rc: 100,
            stderr: err.into(),
            ..Reply::default()
        };
        step.failure(&action, &reply).msg.unwrap()
    };
    assert_eq!(
        failure("E: Unable to locate package nope\n"),
        "No package matching 'nope' is available"
    );
    assert_eq!(
        failure("W: x\nE: Could not get lock /x. It is held by process 1 (y)\nE: Unable to lock\n"),
        "'apt-get install nope' failed: Could not get lock /x. It is held by process 1 (y); Unable to lock"
    );
}

#[test]
fn an_installed_package_is_in_sync_here() {
    let outcome = local(&Apt, &args(&Apt, &[names(&["dpkg"])]), &Fake::default());
    assert!(!outcome.failed && !outcome.changed, "{outcome:?}");
}

#[test]
fn apt_rehearses_in_check_mode() {
    let fake = Fake {
        check: true,
        ..Fake::default()
    };
    let given = args(&Apt, &[names(&["no-such-package-as-this"])]);
    let outcome = local(&Apt, &given, &fake);
    assert_eq!(
        outcome.msg.as_deref(),
        Some("No package matching 'no-such-package-as-this' is available")
    );
}
