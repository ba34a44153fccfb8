//! A thousand hosts planned against hosts that are functions: what the controller costs without any line.
//!
//! `plan record FOLDER` applies workload A to this machine, below FOLDER, and keeps what its shell answered;
//! `plan replay FOLDER HOSTS` runs it with nothing to change on that many hosts which answer the same, but for the digest of the
//! template that differs by host. `benches/callgrind.sh` counts the instructions of the second.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

use mini_play::engine::{ConnectionDefaults, Options, Run, run};
use mini_play::inventory::Inventory;
use mini_play::playbook::{LoadOptions, load};
use mini_play::remote::fake::{link, reply};
use mini_play::remote::{Chunk, Identity, Link, LinkError, LinkErrorKind, Payload, Reply};
use mini_play::report::event::Status;
use mini_play::report::{Event, Json, Reporter};
use sha1::{Digest as _, Sha1};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// Answers for every unit as for one that runs.
const SYSTEMCTL: &str = r#"#!/bin/sh
while [ "$1" ] && [ "$1" != -- ]; do shift; done
shift
for unit; do
  unit=${unit%.service}.service
  printf '%s\n' "Id=$unit" "Names=$unit" LoadState=loaded ActiveState=active SubState=running UnitFileState=enabled Type=simple MainPID=7 ''
done
"#;

/// What a host's shell answered, by script.
type Answers = HashMap<String, (i32, String)>;

fn digest(host: &str) -> String {
    let text = format!("name = {host}\n");
    Sha1::digest(text.as_bytes())
        .iter()
        .fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// Runs one chunk in a shell of this machine.
fn shell(folder: &Path, chunk: &Chunk) -> Reply {
    let path = format!("{}:/usr/sbin:/usr/bin", folder.join("bin").display());
    let script = chunk.script.replace("-d /run/systemd/system", "-d /");
    let mut child = Command::new("/bin/sh")
        .args(["-c", &script])
        .env_clear()
        .envs([("PATH", path), ("LC_ALL", "C".into())])
        .env("MP_TMP", folder.join("tmp"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut stdin = child.stdin.take().expect("piped");
    if let Some(Payload::Bytes(bytes)) = &chunk.input {
        stdin.write_all(bytes).expect("the shell reads");
    }
    drop(stdin);
    let output = child.wait_with_output().expect("the shell's output");
    // Whatever runs this machine, the host is run by systemd.
    let out: String = String::from_utf8_lossy(&output.stdout)
        .split_inclusive('\n')
        .map(|line| match line.starts_with("/proc/1/comm:") {
            true => "/proc/1/comm:systemd\n",
            false => line,
        })
        .collect();
    let mut told = reply(output.status.code().unwrap_or(137), out);
    told.stderr = output.stderr;
    told
}

fn job(
    folder: &Path,
    hosts: usize,
    connect: impl Fn(String) -> Box<dyn Link> + Send + Sync + 'static,
) -> Run {
    let a = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/a");
    let mut text = format!(
        "all:\n  vars: {{root: {}}}\n  hosts:\n",
        folder.join("root").display()
    );
    for n in 0..hosts {
        // All names of one length: so are the files that name them.
        let _ = writeln!(text, "    h{n:05}:");
    }
    let inventory = folder.join("inventory.yaml");
    std::fs::write(&inventory, text).expect("the inventory");
    let playbook = std::fs::read_to_string(a.join("play.yml")).expect("the playbook");
    let playbook = playbook.replace("  vars:\n    root: /opt/bench\n", "");
    std::fs::write(folder.join("play.yml"), playbook).expect("the playbook");
    std::fs::create_dir_all(folder.join("templates")).expect("a folder");
    std::fs::create_dir_all(folder.join("files")).expect("a folder");
    std::fs::write(
        folder.join("templates/app.conf.j2"),
        "name = {{ inventory_hostname }}\n",
    )
    .expect("the template");
    std::fs::copy(a.join("files/data.txt"), folder.join("files/data.txt")).expect("the data");
    Run {
        playbook: load(&folder.join("play.yml"), &LoadOptions::default()).expect("the playbook"),
        inventory: Inventory::load(&inventory, None).expect("the inventory"),
        load: LoadOptions::default(),
        options: Options::default(),
        extra: Default::default(),
        connector: Arc::new(move |target| {
            let link = connect(target.name);
            Box::pin(async move { Ok(link) })
        }),
        connection: ConnectionDefaults::default(),
        inventory_path: None,
        host_vars: HashMap::new(),
        facts: HashMap::new(),
        stop: Default::default(),
    }
}

/// Runs it, with its events written as JSON to nowhere; tasks that ended ok and changed, of all hosts.
fn go(job: Run) -> (u64, u64) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
        let reporting = tokio::spawn(async move {
            let mut json = Json::new(std::io::sink());
            while let Some(event) = events.recv().await {
                if let Event::Task(end) = &event
                    && matches!(end.status, Status::Failed | Status::Unreachable)
                {
                    println!("{end:?}");
                }
                json.event(&event);
            }
        });
        let summary = run(job, sender).await.expect("the run");
        reporting.await.expect("the reports");
        assert!(!summary.failed && !summary.unreachable, "{summary:?}");
        summary.recap.iter().fold((0, 0), |(ok, changed), host| {
            (ok + host.ok as u64, changed + host.changed as u64)
        })
    })
}

fn record(folder: &Path) {
    for name in ["bin", "tmp"] {
        std::fs::create_dir_all(folder.join(name)).expect("a folder");
    }
    let systemctl = folder.join("bin/systemctl");
    std::fs::write(&systemctl, SYSTEMCTL).expect("a stand-in");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&systemctl, open).expect("its mode");
    for changes in [true, false] {
        let answers: Arc<Mutex<Answers>> = Arc::default();
        let (kept, at): (_, PathBuf) = (Arc::clone(&answers), folder.into());
        let (_, changed) = go(job(folder, 1, move |_| {
            let (kept, at) = (Arc::clone(&kept), at.clone());
            link(move |_: &Identity, chunk: &Chunk| {
                let told = shell(&at, chunk);
                let out = String::from_utf8_lossy(&told.stdout).into_owned();
                kept.lock()
                    .unwrap()
                    .insert(chunk.script.clone(), (told.rc, out));
                Ok(told)
            })
        }));
        assert_eq!(changed > 0, changes, "{changed} changed");
        let text = serde_json::to_string(&*answers.lock().unwrap()).expect("text");
        std::fs::write(folder.join("answers.json"), text).expect("the answers");
    }
}

fn replay(folder: &Path, hosts: usize) {
    let text = std::fs::read_to_string(folder.join("answers.json")).expect("plan record first");
    let answers: Arc<Answers> = Arc::new(serde_json::from_str(&text).expect("the answers"));
    let model = digest("h00000");
    let (ok, changed) = go(job(folder, hosts, move |host| {
        let (answers, model, own) = (Arc::clone(&answers), model.clone(), digest(&host));
        link(
            move |_: &Identity, chunk: &Chunk| -> Result<Reply, LinkError> {
                let (rc, out) = answers.get(&chunk.script).ok_or_else(|| {
                    let first = chunk.script.lines().next().unwrap_or_default();
                    LinkError::new(LinkErrorKind::Protocol, format!("not recorded: {first}"))
                })?;
                Ok(reply(*rc, out.replace(&model, &own)))
            },
        )
    }));
    assert_eq!((ok, changed), (45 * hosts as u64, 0));
    println!("{hosts} hosts, {ok} results");
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    match &args[1..] {
        [mode, folder] if mode == "record" => record(Path::new(folder)),
        [mode, folder, hosts] if mode == "replay" => {
            replay(Path::new(folder), hosts.parse().expect("a number"));
        }
        _ => panic!("plan record FOLDER, plan replay FOLDER HOSTS"),
    }
}
