//! The two apps of the tutorial on a cluster: made once, kept alive, moved, scaled and taken away, while somebody reads the page.

use crate::stack::Stack;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Seconds between two looks at a container, and the longest the page may be away.
const INTERVAL: u64 = 5;

/// What is behind port 80 of a host, if it answers well.
fn page(address: &str) -> Option<String> {
    let wait = Duration::from_secs(3);
    let to = format!("{address}:80").parse().ok()?;
    let mut line = TcpStream::connect_timeout(&to, wait).ok()?;
    line.set_read_timeout(Some(wait)).ok()?;
    write!(line, "GET / HTTP/1.0\r\nHost: {address}\r\n\r\n").ok()?;
    let mut answer = String::new();
    line.read_to_string(&mut answer).ok()?;
    let head = answer.lines().next().unwrap_or_default();
    head.contains(" 200 ").then_some(answer)
}

/// Somebody who reads the page all the time.
struct Reader {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(u32, Duration)>,
}

impl Reader {
    fn of(address: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (address, told) = (address.to_owned(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let (mut read, mut longest, mut good) = (0, Duration::ZERO, Instant::now());
            while !told.load(Ordering::Relaxed) {
                if page(&address).is_some() {
                    read += 1;
                    good = Instant::now();
                } else {
                    longest = longest.max(good.elapsed());
                }
                std::thread::sleep(Duration::from_millis(200));
            }
            (read, longest)
        });
        Self { stop, thread }
    }

    /// The longest time without the page.
    fn done(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        let (read, longest) = self.thread.join().unwrap();
        assert!(read > 0, "the page was never there");
        longest
    }
}

impl Stack {
    fn apps(&self, playbook: &str) -> crate::stack::Said {
        let vars = format!("demo_health_interval={INTERVAL}");
        let book = format!("playbooks/{playbook}.yml");
        let said = self.run(&["apply", "-o", "json", "-p", &book, "-e", &vars]);
        assert_eq!(said.code, 0, "{said}");
        said
    }

    fn app(&self, host: &str, args: &str) {
        let said = self.run(&["module", "marathon_app", host, "-a", args, "-i"]);
        assert_eq!(said.code, 0, "{args}: {said}");
    }

    /// Where the tasks of the web app run and are healthy, as Marathon on this host says.
    fn healthy(&self, host: &str) -> Vec<String> {
        let script = "exec 3<>/dev/tcp/127.0.0.1/8080; printf 'GET /v2/apps/dataman-nginx-test/tasks HTTP/1.0\\r\\nAccept: application/json\\r\\n\\r\\n' >&3; sed '1,/^.$/d' <&3";
        let said = self.on(
            host,
            &format!("bash -c \"{}\" || :", script.replace('$', "\\$")),
        );
        let json: Value = serde_json::from_str(&said).unwrap_or_default();
        let tasks = json["tasks"].as_array().into_iter().flatten();
        tasks
            .filter(|task| task["healthCheckResults"][0]["alive"] == true)
            .map(|task| task["host"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Waits until the healthy tasks are as they should be.
    fn until(&self, host: &str, what: &str, good: impl Fn(&[String]) -> bool) {
        let started = Instant::now();
        loop {
            let tasks = self.healthy(host);
            if good(&tasks) {
                return;
            }
            assert!(
                started.elapsed() < Duration::from_secs(240),
                "{what}: {tasks:?}"
            );
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

/// Needs the cluster: node1 to node3 hold the ensemble, masters and Marathon, node4 and node5 are slaves; HAProxy and Bamboo on node1.
pub(crate) fn live_on(stack: &Stack) {
    let front = stack.on("node1", "hostname -I | cut -d' ' -f1");
    let other = stack.on("node4", "hostname -I | cut -d' ' -f1");
    let made = stack.apps("demo-apps");
    assert!(made.out.contains("says: Welcome to nginx!"), "{made}");
    assert!(made.out.contains("Tasks: "), "no output of top: {made}");
    let again = stack.apps("demo-apps");
    assert_eq!(again.changes(), 0, "{again}");
    stack.until("node1", "five", |tasks| tasks.len() == 5);
    // Real containers, and the web server in them.
    let count = |host| {
        stack.on(
            host,
            "docker ps -q --filter ancestor=ubuntu-nginx-base | wc -l",
        )
    };
    let counts: Vec<u32> = ["node4", "node5"]
        .iter()
        .map(|h| count(h).parse().unwrap())
        .collect();
    assert_eq!(counts.iter().sum::<u32>(), 5, "{counts:?}");
    // Who takes every request comes last.
    let uses = stack.on("node1", "grep use_backend /etc/haproxy/haproxy.cfg");
    let last = uses.lines().last().unwrap_or_default();
    assert!(last.contains("dataman-nginx-test"), "{uses}");

    let reader = Reader::of(&front);
    let rolling = stack.run(&["service", "zookeeper", "restart", "--wait", "180s", "-i"]);
    assert_eq!(rolling.code, 0, "{rolling}");
    let away = reader.done();
    assert!(
        away < Duration::from_secs(INTERVAL),
        "the page was away for {away:?}"
    );

    let reader = Reader::of(&front);
    // A container dies; another one comes.
    let busy = if counts[0] > 0 { "node4" } else { "node5" };
    let killed = stack.on(
        busy,
        "docker kill $(docker ps -q --filter ancestor=ubuntu-nginx-base | head -n 1)",
    );
    stack.until("node1", "five again", |tasks| tasks.len() == 5);
    assert!(
        !stack
            .on(busy, "docker ps -q")
            .lines()
            .any(|id| killed.starts_with(id))
    );
    // Fewer, and as many as before.
    for count in [2, 5] {
        stack.app(
            "node1",
            &format!("id=dataman-nginx-test instances={count} wait=180"),
        );
        stack.until("node1", "scaled", |tasks| tasks.len() == count);
    }
    reader.done();

    // A slave goes; its tasks come up on the other one.
    let stop = stack.run(&["service", "mesos-slave", "stop", "--limit", "node5", "-i"]);
    assert_eq!(stop.code, 0, "{stop}");
    stack.until("node1", "all on node4", |tasks| {
        tasks.len() == 5 && tasks.iter().all(|host| *host == other)
    });
    assert!(page(&front).is_some(), "no page with one slave");
    let start = stack.run(&["service", "mesos-slave", "start", "--limit", "node5", "-i"]);
    assert_eq!(start.code, 0, "{start}");
    stack.well();

    stack.apps("demo-apps-clean");
    let clean = stack.apps("demo-apps-clean");
    assert_eq!(clean.changes(), 0, "{clean}");
    assert!(page(&front).is_none(), "the page is still there");
    for host in ["node4", "node5"] {
        assert_eq!(
            stack.on(host, "docker ps -aq; docker image ls -q"),
            "",
            "{host}"
        );
    }
}
