//! The stand-ins together, with a real ZooKeeper, all on the loopback: what the lab tests build on.
//!
//! Needs the package `zookeeper` of Debian 12 or later: `cargo test -p standins -- --ignored`
#![allow(clippy::unwrap_used, reason = "everything here is a test")]

use serde_json::{Value, json};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const ZOOKEEPER: &str = "/usr/share/java/zookeeper.jar";

/// A process that ends with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Directories and ports of one stack.
struct Stack {
    directory: tempfile::TempDir,
    zookeeper: u16,
    master: u16,
    agent: u16,
    marathon: u16,
    bamboo: u16,
}

impl Stack {
    /// A place where the program is installed as Marathon 1.1.5 and Mesos 1.9.0.
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for path in ["bin", "share/standins", "zookeeper", "empty"] {
            fs::create_dir_all(directory.path().join(path)).unwrap();
        }
        for name in ["mesos-master", "mesos-slave", "java", "bamboo"] {
            fs::copy(
                env!("CARGO_BIN_EXE_standins"),
                directory.path().join("bin").join(name),
            )
            .unwrap();
        }
        fs::write(
            directory.path().join("share/standins/marathon.version"),
            "1.1.5-1",
        )
        .unwrap();
        fs::write(
            directory.path().join("share/standins/mesos.version"),
            "1.9.0-1",
        )
        .unwrap();
        let [zookeeper, master, agent, marathon, bamboo] = free_ports();
        Self {
            directory,
            zookeeper,
            master,
            agent,
            marathon,
            bamboo,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn start(&self, program: &Path, arguments: &[String]) -> Daemon {
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("MESOS_NATIVE_JAVA_LIBRARY", "/dev/null")
            .env_remove("MESOS_WORK_DIR");
        Daemon(
            command
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap(),
        )
    }

    fn zookeeper(&self) -> Daemon {
        let configuration = format!(
            "tickTime=2000\ndataDir={}\nclientPort={}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n",
            self.path("zookeeper").display(),
            self.zookeeper
        );
        fs::write(self.path("zoo.cfg"), configuration).unwrap();
        let main = "org.apache.zookeeper.server.quorum.QuorumPeerMain";
        let arguments = ["-Xmx128m", "-cp", ZOOKEEPER, main].map(str::to_owned);
        let configuration = self.path("zoo.cfg").display().to_string();
        self.start(
            Path::new("/usr/bin/java"),
            &[arguments.to_vec(), vec![configuration]].concat(),
        )
    }

    fn zk(&self, path: &str) -> String {
        format!("zk://127.0.0.1:{}{path}", self.zookeeper)
    }

    fn mesos(&self) -> [Daemon; 2] {
        let work = |name: &str| format!("--work_dir={}", self.path(name).display());
        let master = [
            format!("--zk={}", self.zk("/mesos")),
            "--ip=127.0.0.1".into(),
            format!("--port={}", self.master),
            "--quorum=1".into(),
            work("master"),
        ];
        let agent = [
            format!("--master={}", self.zk("/mesos")),
            "--ip=127.0.0.1".into(),
            format!("--port={}", self.agent),
            "--hostname=127.0.0.1".into(),
            "--no-systemd_enable_support".into(),
            "--resources=cpus:4;mem:4096".into(),
            work("agent"),
        ];
        [
            self.start(&self.path("bin/mesos-master"), &master),
            self.start(&self.path("bin/mesos-slave"), &agent),
        ]
    }

    fn marathon(&self) -> Daemon {
        let flags = format!(
            "mesosphere.marathon.Main --master {} --zk {} --hostname 127.0.0.1 --http_address 127.0.0.1 --http_port {} --event_subscriber http_callback",
            self.zk("/mesos"),
            self.zk("/marathon"),
            self.marathon
        );
        self.start(
            &self.path("bin/java"),
            &flags.split(' ').map(str::to_owned).collect::<Vec<_>>(),
        )
    }

    fn bamboo(&self) -> Daemon {
        let template =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/bamboo/haproxy_template.cfg");
        let configuration = json!({
            "Marathon": {"Endpoint": format!("http://127.0.0.1:{}", self.marathon)},
            "Bamboo": {
                "Endpoint": format!("http://127.0.0.1:{}", self.bamboo),
                "Zookeeper": {"Host": format!("127.0.0.1:{}", self.zookeeper), "Path": "/bamboo/state", "ReportingDelay": 0},
            },
            "HAProxy": {
                "TemplatePath": template,
                "OutputPath": self.path("haproxy.cfg"),
                "ReloadValidationCommand": "grep -q frontend {{.}}",
                "ReloadCommand": format!("echo reloaded >> {}", self.path("reloads").display()),
            },
        });
        fs::write(self.path("production.json"), configuration.to_string()).unwrap();
        let file = self.path("production.json").display().to_string();
        self.start(
            &self.path("bin/bamboo"),
            &[
                "-config".into(),
                file,
                "-bind".into(),
                format!("127.0.0.1:{}", self.bamboo),
            ],
        )
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// Waits until something holds.
    fn wait<T>(&self, what: &str, mut check: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(value) = check() {
                return value;
            }
            assert!(
                Instant::now() < deadline,
                "{what} in vain; the log:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn app(&self) -> Value {
        request(self.marathon, "GET", "/v2/apps/web", None).1["app"].clone()
    }

    fn haproxy(&self) -> String {
        fs::read_to_string(self.path("haproxy.cfg")).unwrap_or_default()
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

/// A request and its answer; status 0 when nobody answers.
fn request(port: u16, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: h\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    let Ok(answer) = exchange() else {
        return (0, Value::Null);
    };
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    (
        status,
        serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned())),
    )
}

#[test]
#[ignore = "needs the package zookeeper"]
fn an_app_is_started_published_healed_and_removed() {
    assert!(Path::new(ZOOKEEPER).exists(), "apt-get install zookeeper");
    let stack = Stack::new();
    let mut zookeeper = stack.zookeeper();
    let [mut master, _agent] = stack.mesos();
    let mut marathon = stack.marathon();
    stack.wait("an active agent", || {
        let (_, answer) = request(stack.master, "GET", "/master/slaves", None);
        (answer["slaves"][0]["active"] == true).then_some(())
    });
    stack.wait("a registered framework", || {
        let (_, info) = request(stack.marathon, "GET", "/v2/info", None);
        (info["frameworkId"].is_string()
            && info["marathon_config"]["event_subscriber"] == "http_callback")
            .then_some(())
    });
    let _bamboo = stack.bamboo();
    stack.wait("bamboo", || {
        (request(stack.bamboo, "GET", "/status", None).1 == "OK").then_some(())
    });

    let app = json!({"id": "web", "cmd": "sleep 1000", "cpus": 0.1, "mem": 16, "instances": 2});
    assert_eq!(
        request(stack.marathon, "POST", "/v2/apps", Some(&app)).0,
        201
    );
    assert_eq!(
        request(stack.marathon, "POST", "/v2/apps", Some(&app)).0,
        409
    );
    let settled = || {
        let app = stack.app();
        (app["tasksRunning"] == 2 && app["deployments"] == json!([])).then_some(app)
    };
    let app = stack.wait("two tasks", settled);
    stack.wait("two servers", || {
        (stack
            .haproxy()
            .matches("        server ::web-127.0.0.1-")
            .count()
            == 2)
            .then_some(())
    });

    let rule = json!({"id": "/web", "acl": "path_beg -i /"});
    assert_eq!(
        request(stack.bamboo, "PUT", "/api/services//web", Some(&rule)).0,
        200
    );
    stack.wait("the rule", || {
        stack
            .haproxy()
            .contains("acl ::web-aclrule path_beg -i /\n")
            .then_some(())
    });
    assert_eq!(
        request(stack.bamboo, "DELETE", "/api/services//web", None).0,
        200
    );
    assert_eq!(
        request(stack.bamboo, "DELETE", "/api/services//web", None).0,
        400
    );

    // A task that dies is replaced by another one.
    let (_, state) = request(stack.agent, "GET", "/state", None);
    assert_eq!(state["tasks"].as_array().unwrap().len(), 2);
    let victim = app["tasks"][0]["id"].as_str().unwrap().to_owned();
    kill_task(&stack, &victim);
    stack.wait("another task", || {
        settled().filter(|app| {
            app["tasks"]
                .as_array()
                .unwrap()
                .iter()
                .all(|task| task["id"] != victim.as_str())
        })
    });

    assert_eq!(
        request(
            stack.marathon,
            "PUT",
            "/v2/apps/web",
            Some(&json!({"instances": 1}))
        )
        .0,
        200
    );
    stack.wait("one task", || {
        (stack.app()["tasksRunning"] == 1).then_some(())
    });
    assert_eq!(
        request(stack.marathon, "DELETE", "/v2/apps/web", None).0,
        200
    );
    stack.wait("no app", || {
        (request(stack.marathon, "GET", "/v2/apps/web", None).0 == 404).then_some(())
    });

    // Without ZooKeeper, whoever leads gives up.
    zookeeper.0.kill().unwrap();
    zookeeper.0.wait().unwrap();
    for (name, daemon) in [("master", &mut master), ("marathon", &mut marathon)] {
        let status = stack.wait(name, || daemon.0.try_wait().unwrap());
        assert!(!status.success());
    }
    assert!(
        stack
            .log()
            .contains("Lost leadership... committing suicide!")
    );
}

/// Kills the process that the agent's checkpoint names.
fn kill_task(stack: &Stack, task: &str) {
    let file = stack.path("agent/meta/slaves/latest/tasks").join(task);
    let running: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let pid = running["pid"].as_u64().unwrap();
    assert!(
        Command::new("kill")
            .args(["-9", &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}
