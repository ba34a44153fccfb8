//! One machine that does everything.

use crate::stack::{Stack, wanted};

pub(crate) const ONE: &str = "
all:
  children:
    stack: {hosts: {node1: }}
    docker: {children: {stack: }}
    zookeeper: {children: {stack: }}
    mesos_masters: {children: {stack: }}
    mesos_slaves: {children: {stack: }}
    marathon: {children: {stack: }}
    haproxy: {children: {stack: }}
    bamboo: {children: {stack: }}
";

const ROLES: [&str; 7] = [
    "docker",
    "zookeeper",
    "mesos-master",
    "mesos-slave",
    "marathon",
    "haproxy",
    "bamboo",
];

/// First apply, second apply, verify.
fn comes_up(name: &'static str, release: &str) -> Option<Stack> {
    if !wanted() {
        return None;
    }
    let stack = Stack::new(name, release, 1, ONE);
    let first = stack.apply();
    assert!(first.figure("node1", "changed") > 20, "{first}");
    let second = stack.apply();
    assert_eq!(second.figure("node1", "changed"), 0, "{second}");
    let turns = second.figure("node1", "turns");
    assert!(turns <= 16, "the second apply took {turns} turns: {second}");
    assert!(
        second.took * 20 < first.took,
        "first {:?}, second {:?}: not 20 times faster",
        first.took,
        second.took
    );
    stack.well();
    let said = stack.run(&["verify"]);
    for role in ROLES {
        assert!(
            said.out.contains(role),
            "{role} is not in the table: {said}"
        );
    }
    println!(
        "{release}: first {:?}, second {:?}, {turns} turns",
        first.took, second.took
    );
    Some(stack)
}

#[test]
fn the_stack_comes_up_on_debian_11() {
    comes_up("e2e-bullseye", "bullseye");
}

#[test]
fn the_stack_comes_up_on_debian_13() {
    comes_up("e2e-trixie", "trixie");
}

/// On Debian 12 also: each service is broken, named by verify, repaired by apply, and nothing else is touched.
#[test]
fn the_stack_comes_up_on_debian_12_and_is_repaired() {
    let Some(stack) = comes_up("e2e-bookworm", "bookworm") else {
        return;
    };
    operated(&stack);
    let agent = stack.on(
        "node1",
        "test -e /etc/mesos-agent/ip && echo mesos-agent || echo mesos-slave",
    );
    let breaks = [
        ("zookeeper", "systemctl stop zookeeper".to_owned()),
        ("mesos-master", "systemctl stop mesos-master".to_owned()),
        ("mesos-slave", format!("systemctl stop {agent}")),
        ("marathon", "systemctl stop marathon".to_owned()),
        ("haproxy", "systemctl stop haproxy".to_owned()),
        ("bamboo", "systemctl stop bamboo".to_owned()),
        ("docker", "systemctl stop docker.socket docker".to_owned()),
        (
            "haproxy",
            "rm /etc/rsyslog.d/*haproxy*.conf && systemctl restart rsyslog".to_owned(),
        ),
        (
            "zookeeper",
            "sed -i 's/^tickTime.*/tickTime=1/' /etc/zookeeper/conf/zoo.cfg".to_owned(),
        ),
    ];
    for (role, script) in breaks {
        stack.on("node1", &script);
        let (code, bad) = stack.verify("0");
        assert_eq!(code, 2, "after `{script}` verify is content");
        let named = |line: &String| line.contains(&format!(" {role} ")) || line.contains(" files ");
        assert!(
            bad.iter().any(named),
            "after `{script}` verify says {bad:?}"
        );
        let repair = stack.apply();
        let changed = repair.figure("node1", "changed");
        assert!(
            (1..=6).contains(&changed),
            "after `{script}` {changed} changes: {repair}"
        );
        stack.well();
    }
    // Killed: systemd brings it back after a while, so there may be nothing left to change.
    stack.on("node1", "systemctl kill -s KILL marathon");
    let (code, bad) = stack.verify("0");
    assert_eq!(code, 2, "verify does not see that marathon was killed");
    assert!(
        bad.iter().any(|line| line.contains(" marathon ")),
        "{bad:?}"
    );
    stack.apply();
    stack.well();
    assert_eq!(stack.apply().figure("node1", "changed"), 0);
}

/// All services are stopped, seen to be, started again in order, and listed with their processes.
fn operated(stack: &Stack) {
    let stop = stack.run(&["service", "all", "stop", "-i"]);
    assert_eq!(stop.code, 0, "{stop}");
    let down = stack.run(&["service", "all", "status", "-o", "json", "-i"]);
    assert_eq!(
        (down.code, down.out.contains("\"active\"")),
        (2, false),
        "{down}"
    );
    let start = stack.run(&["service", "all", "start", "--wait", "120s", "-i"]);
    assert_eq!(start.code, 0, "{start}");
    let up = stack.run(&["service", "all", "status", "-i"]);
    assert_eq!(up.code, 0, "{up}");
    for text in [
        "QuorumPeerMain /etc/zookeeper/conf/zoo.cfg",
        "\\_ logger -p user",
        "tcp *:80",
        "udp 127.0.0.1:514",
    ] {
        assert!(up.out.contains(text), "`{text}` is not in {up}");
    }
    let logs = stack.run(&["service", "mesos-master", "logs", "-n", "3", "-i"]);
    assert_eq!((logs.code, logs.out.lines().count()), (0, 3), "{logs}");
    let same = stack.run(&["module", "command", "all", "-a", "cat /etc/hostname", "-i"]);
    assert!(same.out.starts_with("1 host: node1\n"), "{same}");
    // An app: made, in sync, scaled, gone, gone already.
    let top = "{definition: {id: dataman-top-test, cmd: top -b, cpus: 0.1, mem: 16, disk: 0, instances: 1}, wait: 60}";
    for (args, changed) in [
        (top, true),
        (top, false),
        ("id=dataman-top-test instances=2 wait=60", true),
        ("id=dataman-top-test state=absent wait=60", true),
        ("id=dataman-top-test state=absent wait=60", false),
    ] {
        let said = stack.run(&[
            "module",
            "marathon_app",
            "all",
            "-o",
            "json",
            "-a",
            args,
            "-i",
        ]);
        assert_eq!(said.code, 0, "{args}: {said}");
        let done = u64::from(changed);
        assert_eq!(said.figure("node1", "changed"), done, "{args}: {said}");
    }
}
