//! A lab with an inventory and the stand-ins, for the tests of the whole stack.

use mini_play::lab::{self, Lab, LabOptions};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Whether to run; prints why not.
pub(crate) fn wanted() -> bool {
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
pub(crate) struct Stack {
    name: &'static str,
    lab: Option<Lab>,
    pub(crate) dir: tempfile::TempDir,
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
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
    pub(crate) took: Duration,
}

impl Said {
    /// The events of `--output json`.
    pub(crate) fn events(&self) -> Vec<Value> {
        self.out
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect()
    }

    /// What changed on all hosts that took part.
    pub(crate) fn changes(&self) -> u64 {
        let events = self.events();
        let ends = events.iter().filter(|event| event["event"] == "host_end");
        let counts: Vec<u64> = ends.filter_map(|event| event["changed"].as_u64()).collect();
        assert!(!counts.is_empty(), "no host took part: {self}");
        counts.iter().sum()
    }

    /// A figure of a host's recap.
    pub(crate) fn figure(&self, host: &str, key: &str) -> u64 {
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
    pub(crate) fn new(name: &'static str, release: &str, hosts: u32, groups: &str) -> Self {
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

    /// Lets the slaves run containers, and serves them a base for the demo's image.
    pub(crate) fn offer_image(&self) {
        let www = self.dir.path().join("standins/www");
        let gateway = self.lab.as_ref().unwrap().subnet().gateway();
        let output = Command::new("tests/demo/base")
            .arg(www)
            .arg(format!("http://{gateway}:8900"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let vars = self.dir.path().join("inventory/group_vars/all.yml");
        let mut all = std::fs::read(&vars).unwrap();
        all.extend(output.stdout);
        std::fs::write(vars, all).unwrap();
    }

    pub(crate) fn run(&self, args: &[&str]) -> Said {
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

    pub(crate) fn apply(&self) -> Said {
        let said = self.run(&["apply", "-o", "json"]);
        assert_eq!(said.code, 0, "{said}");
        said
    }

    /// Verifies; gives the checks that failed as `host role check: message`.
    pub(crate) fn verify(&self, wait: &str) -> (i32, Vec<String>) {
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

    pub(crate) fn well(&self) {
        let (code, bad) = self.verify("150s");
        assert_eq!(code, 0, "{}", bad.join("\n"));
    }

    /// Runs a script on a host as root.
    pub(crate) fn on(&self, host: &str, script: &str) -> String {
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
