//! Lab hosts for real: root and the lab's tools needed. Elsewhere these tests say that they are skipped,
//! or fail when `MINI_PLAY_LAB_TESTS=1` says that they must run.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use mini_play::lab::{self, Lab, LabOptions};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Whether to run; prints why not.
fn wanted() -> bool {
    match lab::check_machine(None) {
        Ok(()) => true,
        Err(e) if std::env::var_os("MINI_PLAY_LAB_TESTS").is_some_and(|v| v == "1") => {
            panic!("lab tests must run here but cannot: {e}")
        }
        Err(e) => {
            println!("skipped: {e}");
            false
        }
    }
}

/// A lab that is gone when the test ends, however it ends.
struct Guard(&'static str);

impl Drop for Guard {
    fn drop(&mut self) {
        Lab::down(self.0, &|_| ()).unwrap();
    }
}

fn options(name: &str, hosts: u32) -> LabOptions {
    LabOptions {
        name: name.into(),
        hosts: Some(hosts),
        ..LabOptions::default()
    }
}

fn up(name: &str, hosts: u32) -> Lab {
    Lab::up(&options(name, hosts), &|text| println!("lab: {text}")).unwrap()
}

/// Runs a script on a host, keys checked strictly; its output, trimmed.
fn on(lab: &Lab, host: &str, script: &str) -> String {
    // A host that was just booted or reset may refuse a connection or two while sshd starts: 255 is ssh's own failure.
    let mut tries = 0;
    loop {
        let output = lab
            .ssh(host, &[script.into()])
            .unwrap()
            .stdin(Stdio::null())
            .output()
            .unwrap();
        tries += 1;
        if output.status.code() == Some(255) && tries < 20 {
            std::thread::sleep(Duration::from_millis(500));
            continue;
        }
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{host}: {script}: {stderr}");
        return String::from_utf8_lossy(&output.stdout).trim().to_owned();
    }
}

fn output(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Everything on this machine that carries the lab's name, looked for without the lab's own code.
fn left(name: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut look = |text: &str, mark: &str| {
        found.extend(text.lines().filter(|l| l.contains(mark)).map(str::to_owned));
    };
    look(
        &fs::read_to_string("/proc/self/mountinfo").unwrap(),
        &format!("/labs/{name}/"),
    );
    look(&output("ip", &["-o", "link"]), &format!("mp-{name}"));
    look(
        &output("nft", &["list", "tables"]),
        &format!("mini-play-{name}"),
    );
    look(
        &output("ps", &["-eo", "pid,args"]),
        &format!("--machine=mp-{name}-"),
    );
    look(
        &output("ps", &["-eo", "pid,cgroup"]),
        &format!("/mini-play-{name}/"),
    );
    look(
        &output(
            "find",
            &["/sys/fs/cgroup", "-name", &format!("mini-play-{name}")],
        ),
        "",
    );
    look(
        &output("find", &["/run", "-name", &format!("mp-{name}-*")]),
        "",
    );
    for path in [
        format!("/var/lib/mini-play/labs/{name}"),
        format!("/run/mini-play-lab.{name}.lock"),
    ] {
        if Path::new(&path).exists() {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_lab_lives_and_leaves_nothing() {
    if !wanted() {
        return;
    }
    const NAME: &str = "it-life";
    let guard = Guard(NAME);
    let lab = up(NAME, 2);

    // Logins, names, addresses, and what a host must not have.
    assert_eq!(
        on(
            &lab,
            "node1",
            "hostname; id -un; ping -c1 -W5 node2 >/dev/null && echo heard"
        ),
        "node1\nroot\nheard"
    );
    assert_eq!(
        on(
            &lab,
            "student@node2",
            "echo student | sudo -S -p '' id -u; sudo -k; sudo -n true || echo asked"
        ),
        "0\nasked"
    );
    assert_eq!(on(&lab, "operator@node2", "sudo -n id -u"), "0");
    assert_eq!(
        on(&lab, "node1", "command -v python3 curl || echo none"),
        "none"
    );
    assert_ne!(
        on(&lab, "node1", "cat /etc/machine-id"),
        on(&lab, "node2", "cat /etc/machine-id")
    );
    assert_eq!(
        on(&lab, "node1", "systemctl list-units --failed --no-legend"),
        ""
    );
    on(
        &lab,
        "node1",
        "apt-get update && apt-get install -y --no-install-recommends busybox-static",
    );

    // Doing it again changes nothing: the hosts are not restarted.
    let boots = |lab: &Lab| on(lab, "node1", "stat -c %Y /proc/1");
    let before = boots(&lab);
    let lab = up(NAME, 3);
    assert_eq!(boots(&lab), before);
    assert_eq!(
        on(&lab, "node1", "getent hosts node3 | tr -s ' '"),
        format!("{} node3", lab.hosts()[2].address)
    );
    assert!(
        fs::read_to_string(lab.inventory())
            .unwrap()
            .contains("    node3:\n")
    );

    // Reset drops what was installed and keeps the key, so that the strict check still passes.
    lab.reset(&["node1".into()], &|_| ()).unwrap();
    assert_eq!(on(&lab, "node1", "command -v busybox || echo gone"), "gone");
    let unknown = lab
        .reset(&["nod1".into()], &|_| ())
        .unwrap_err()
        .to_string();
    assert!(unknown.contains("did you mean `node1`?"), "{unknown}");

    // A host that was switched off comes back with what it had.
    on(
        &lab,
        "node2",
        "touch /root/mark; (sleep 0.5; systemctl poweroff) >/dev/null 2>&1 &",
    );
    while lab.status().unwrap()[1].running {
        std::thread::sleep(Duration::from_millis(100));
    }
    let lab = up(NAME, 3);
    on(&lab, "node2", "test -e /root/mark");

    // Shrinking removes the last ones.
    let lab = up(NAME, 1);
    assert_eq!(lab.hosts().len(), 1);
    assert!(lab.status().unwrap()[0].running);
    assert!(
        left(NAME)
            .iter()
            .all(|l| !l.contains("node2") && !l.contains("node3")),
        "{:#?}",
        left(NAME)
    );

    drop(guard);
    assert_eq!(left(NAME), Vec::<String>::new());
    assert!(Lab::open(NAME).is_err());
}

#[test]
fn a_killed_up_is_recovered_or_removed() {
    if !wanted() {
        return;
    }
    const NAME: &str = "it-crash";
    let guard = Guard(NAME);
    up(NAME, 1); // Builds the base image, whose time says nothing here.
    Lab::down(NAME, &|_| ()).unwrap();
    for milliseconds in [20, 80, 200, 500, 900, 1500] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_mini-play"))
            .args(["lab", "up", "--name", NAME, "--hosts", "3"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().unwrap();
        child.wait().unwrap();
        if milliseconds % 200 == 0 {
            let lab = up(NAME, 2);
            on(&lab, "node2", "true");
        }
        Lab::down(NAME, &|_| ()).unwrap();
        assert_eq!(
            left(NAME),
            Vec::<String>::new(),
            "killed after {milliseconds} ms"
        );
    }
    drop(guard);
}

#[test]
fn docker_runs_containers_in_a_host() {
    if !wanted() {
        return;
    }
    const NAME: &str = "it-docker";
    let _guard = Guard(NAME);
    let lab = up(NAME, 1);
    on(
        &lab,
        "node1",
        "export DEBIAN_FRONTEND=noninteractive; apt-get update && \
         apt-get install -y --no-install-recommends docker.io iptables busybox-static && \
         mkdir -p /tmp/r/bin && cp /bin/busybox /tmp/r/bin/ && tar -C /tmp/r -c . | docker import - box && \
         echo served >/tmp/r/page && \
         docker run -d --memory 64m -p 8088:80 -v /tmp/r:/www box /bin/busybox httpd -f -p 80 -h /www",
    );
    let page = on(
        &lab,
        "node1",
        "for i in 1 2 3 4 5; do busybox wget -qO- http://node1:8088/page && break; sleep 1; done",
    );
    assert_eq!(page, "served");
}

#[test]
fn contradictions_are_one_clear_error() {
    if !wanted() {
        return;
    }
    for (asked, say) in [
        (
            LabOptions {
                subnet: Some("127.0.0.0/24".into()),
                ..options("it-bad", 1)
            },
            "is in use by lo",
        ),
        (
            LabOptions {
                release: Some("trixi".into()),
                ..options("it-bad", 1)
            },
            "did you mean `trixie`?",
        ),
        (options("it-bad", 101), "1 to 100 hosts"),
        (options("Not_a_name", 1), "cannot be a lab's name"),
    ] {
        let error = Lab::up(&asked, &|_| ()).unwrap_err().to_string();
        assert!(error.contains(say), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }
    assert_eq!(left("it-bad"), Vec::<String>::new());
}
