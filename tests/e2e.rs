//! The main job on real lab hosts: apply, apply again, verify, break, repair. Mesos, Marathon and Bamboo are stand-ins;
//! sshd, sudo, systemd, apt, docker, ZooKeeper, HAProxy and rsyslog are the real thing.
//!
//! These take long: `make test-stack` runs them (it sets `MINI_PLAY_STACK_TESTS=1`); without that they say that they are skipped.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use mini_play::lab::{self, Lab, LabOptions};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Whether to run; prints why not.
fn wanted() -> bool {
    if std::env::var_os("MINI_PLAY_STACK_TESTS").is_none_or(|value| value != "1") {
        println!("skipped: MINI_PLAY_STACK_TESTS=1 is not set");
        return false;
    }
    lab::check_machine(None).expect("a machine that can run lab hosts");
    true
}

/// At most two stacks at a time: much of a stack's time is waiting, but the machine may be small.
struct Turn;

static TURNS: (Mutex<u32>, Condvar) = (Mutex::new(2), Condvar::new());

impl Turn {
    fn wait() -> Self {
        let free = TURNS.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = TURNS
            .1
            .wait_while(free, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        *TURNS.0.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        TURNS.1.notify_one();
    }
}

/// The stand-ins' program, built once.
fn standins() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/standins/build.sh");
        let output = Command::new("sh")
            .arg(script)
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "the stand-ins do not build");
        PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
    })
}

/// A lab with an inventory and the stand-ins' server; all gone when it is dropped.
struct Stack {
    name: &'static str,
    lab: Option<Lab>,
    dir: tempfile::TempDir,
    server: Child,
    _turn: Turn,
}

impl Drop for Stack {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        self.lab = None;
        Lab::down(self.name, &|_| ()).unwrap();
    }
}

/// What a run of the program said.
struct Said {
    code: i32,
    out: String,
    err: String,
    took: Duration,
}

impl Said {
    /// The events of `--output json`.
    fn events(&self) -> Vec<Value> {
        self.out
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// A figure of a host's recap.
    fn figure(&self, host: &str, key: &str) -> u64 {
        self.events()
            .iter()
            .find(|event| event["event"] == "host_end" && event["host"] == host)
            .and_then(|event| event[key].as_u64())
            .unwrap_or_else(|| panic!("no {key} of {host}: {self}"))
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short: Vec<String> = self
            .out
            .lines()
            .map(|line| match serde_json::from_str::<Value>(line) {
                Ok(e) if e["event"] == "task" => format!(
                    "{} {} {} : {} {}",
                    e["host"], e["status"], e["role"], e["task"], e["msg"]
                ),
                _ => line.chars().take(400).collect(),
            })
            .filter(|line| !line.contains("\"skipped\""))
            .collect();
        write!(
            f,
            "exit code {}\n{}\n{}",
            self.code,
            short.join("\n"),
            self.err
        )
    }
}

impl Stack {
    fn new(name: &'static str, release: &str, hosts: u32, groups: &str) -> Self {
        let turn = Turn::wait();
        // What an earlier run left behind is in nobody's way.
        Lab::down(name, &|_| ()).unwrap();
        let options = LabOptions {
            name: name.into(),
            hosts: Some(hosts),
            release: Some(release.into()),
            ..LabOptions::default()
        };
        let lab = Lab::up(&options, &|text| println!("lab: {text}")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let listen = format!("{}:8900", lab.subnet().gateway());
        let mut server = Command::new(standins())
            .args(["serve", "--listen", &listen, "--dir"])
            .arg(dir.path().join("standins"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(server.stdout.take().unwrap());
        let vars = out
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                line.split_once("variables: ")
                    .map(|(_, path)| path.to_owned())
            })
            .expect("the stand-ins serve");
        let inventory = dir.path().join("inventory");
        std::fs::create_dir_all(inventory.join("group_vars")).unwrap();
        std::fs::copy(vars, inventory.join("group_vars/all.yml")).unwrap();
        std::fs::copy(lab.inventory(), inventory.join("hosts.yaml")).unwrap();
        std::fs::write(inventory.join("stack.yaml"), groups).unwrap();
        Self {
            name,
            lab: Some(lab),
            dir,
            server,
            _turn: turn,
        }
    }

    fn run(&self, args: &[&str]) -> Said {
        let started = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_mini-play"))
            .args(args)
            .arg(self.dir.path().join("inventory"))
            .env("MINI_PLAY_STATE", self.dir.path().join("state"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Said {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            took: started.elapsed(),
        }
    }

    fn apply(&self) -> Said {
        let said = self.run(&["apply", "-o", "json"]);
        assert_eq!(said.code, 0, "{said}");
        said
    }

    /// Verifies; gives the checks that failed as `host role check: message`.
    fn verify(&self, wait: &str) -> (i32, Vec<String>) {
        let said = self.run(&["verify", "-o", "json", "--wait", wait]);
        let hosts: Value =
            serde_json::from_str(&said.out).unwrap_or_else(|why| panic!("{why}: {said}"));
        let mut bad = Vec::new();
        for (host, checks) in hosts.as_object().unwrap() {
            for check in checks
                .as_array()
                .unwrap()
                .iter()
                .filter(|check| check["ok"] == false)
            {
                bad.push(format!(
                    "{host} {} {}: {}",
                    check["role"].as_str().unwrap_or(""),
                    check["check"].as_str().unwrap_or(""),
                    check["message"].as_str().unwrap_or("")
                ));
            }
        }
        (said.code, bad)
    }

    fn well(&self) {
        let (code, bad) = self.verify("150s");
        assert_eq!(code, 0, "{}", bad.join("\n"));
    }

    /// Runs a script on a host as root.
    fn on(&self, host: &str, script: &str) -> String {
        let lab = self.lab.as_ref().unwrap();
        let output = lab
            .ssh(host, &[script.to_owned()])
            .unwrap()
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{host}: {script}: {err}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

const ONE: &str = "
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

const CLUSTER: &str = "
all:
  children:
    zookeeper: {hosts: {node1: , node2: , node3: }}
    mesos_masters: {children: {zookeeper: }}
    marathon: {hosts: {node1: , node2: }}
    mesos_slaves: {hosts: {node4: , node5: }}
    docker: {children: {mesos_slaves: }}
    haproxy: {hosts: {node1: }}
    bamboo: {hosts: {node1: }}
";

#[test]
fn a_cluster_comes_up_with_a_real_ensemble() {
    if !wanted() {
        return;
    }
    let stack = Stack::new("e2e-cluster", "bookworm", 5, CLUSTER);
    stack.apply();
    stack.well();
    let modes: Vec<String> = ["node1", "node2", "node3"]
        .iter()
        .map(|host| {
            let script = "exec 3<>/dev/tcp/$(hostname -I | cut -d' ' -f1)/2181; printf srvr >&3; sed -n 's/^Mode: //p' <&3";
            stack.on(host, &format!("bash -c '{}'", script.replace('\'', "'\\''")))
        })
        .collect();
    let count = |mode: &str| modes.iter().filter(|m| *m == mode).count();
    assert_eq!((count("leader"), count("follower")), (1, 2), "{modes:?}");
    let again = stack.apply();
    for host in ["node1", "node2", "node3", "node4", "node5"] {
        assert_eq!(again.figure(host, "changed"), 0, "{again}");
    }
    // Each unit only where it belongs.
    assert_eq!(
        stack.on("node4", "systemctl is-enabled mesos-master || :"),
        "disabled"
    );
    let slaves = stack.on("node1", "systemctl is-active mesos-slave mesos-agent || :");
    assert!(slaves.lines().all(|state| state != "active"), "{slaves}");
}

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
