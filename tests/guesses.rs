//! Nothing is decided from what was seen before a step that then acted: a host made of this machine's shell and of stand-ins for
//! its package tools, behind a link without a line.

#![allow(clippy::unwrap_used, clippy::panic)]

use mini_play::engine::{ConnectionDefaults, Interrupt, Options, Run, run};
use mini_play::inventory::Inventory;
use mini_play::playbook::{LoadOptions, load};
use mini_play::remote::fake::{link, reply};
use mini_play::remote::{Chunk, Identity, Payload};
use mini_play::report::Event;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Installing the package makes the file `made`, as many a package does.
const TOOLS: [(&str, &str); 3] = [
    (
        "dpkg-query",
        "echo 'dpkg amd64 1.0 install ok installed'\n\
         [ ! -e @/installed ] || echo 'mp-no-such-thing amd64 1.0 install ok installed'\n",
    ),
    (
        "apt-cache",
        "printf 'mp-no-such-thing:\\n  Installed: (none)\\n  Candidate: 1.0\\n  Version table:\\n     1.0 500\\n'\n",
    ),
    (
        "apt-get",
        "case \" $* \" in *' install '*) echo Setting up; touch @/installed @/made ;; esac\n",
    ),
];

const PLAYBOOK: &str = "
- hosts: all
  gather_facts: false
  tasks:
    - stat: {path: '{{ at }}/made'}
      register: early
    - apt: {name: mp-no-such-thing, state: present}
    - stat: {path: '{{ at }}/made'}
      register: r
    - copy: {content: there, dest: '{{ at }}/there'}
      when: r.stat.exists
    - copy: {content: missing, dest: '{{ at }}/missing'}
      when: not r.stat.exists
    - copy: {content: '{{ early.stat.exists }} {{ r.stat.exists }}', dest: '{{ at }}/seen'}
";

/// Runs one chunk as a host would.
fn answer(folder: &Path, chunk: &Chunk) -> mini_play::remote::Reply {
    let path = std::env::var("PATH").unwrap();
    let mut child = Command::new("sh")
        .args(["-c", &chunk.script])
        .env("PATH", format!("{}:{path}", folder.join("bin").display()))
        .env("MP_TMP", folder.join("tmp"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    if let Some(Payload::Bytes(bytes)) = &chunk.input {
        stdin.write_all(bytes).unwrap();
    }
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    let mut told = reply(output.status.code().unwrap_or(137), output.stdout);
    told.stderr = output.stderr;
    told
}

/// Applies the playbook; the status of each task.
async fn apply(folder: &Path) -> Vec<&'static str> {
    let at: Arc<Path> = folder.into();
    let playbook = folder.join("play.yml");
    let inventory = folder.join("inventory.yml");
    std::fs::write(&playbook, PLAYBOOK).unwrap();
    let hosts = format!("all: {{hosts: {{h1: {{at: {}}}}}}}\n", folder.display());
    std::fs::write(&inventory, hosts).unwrap();
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    let job = Run {
        playbook: load(&playbook, &LoadOptions::default()).unwrap(),
        inventory: Inventory::load(&inventory, None).unwrap(),
        load: LoadOptions::default(),
        options: Options {
            forks: 1,
            ..Options::default()
        },
        extra: Default::default(),
        connector: Arc::new(move |_| {
            let at = Arc::clone(&at);
            Box::pin(async move {
                Ok(link(move |_: &Identity, chunk: &Chunk| {
                    Ok(answer(&at, chunk))
                }))
            })
        }),
        connection: ConnectionDefaults::default(),
        inventory_path: None,
        host_vars: Default::default(),
        facts: Default::default(),
        stop: Interrupt::default(),
    };
    let summary = run(job, sender).await.unwrap();
    let mut statuses = Vec::new();
    while let Some(event) = events.recv().await {
        if let Event::Task(end) = event {
            assert!(end.msg.is_none() || !summary.failed, "{end:?}");
            statuses.push(end.status.word());
        }
    }
    statuses
}

#[tokio::test]
async fn what_a_step_may_have_changed_is_asked_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir(at("bin")).unwrap();
    std::fs::create_dir(at("tmp")).unwrap();
    for (name, body) in TOOLS {
        let path = at("bin").join(name);
        let body = body.replace('@', &folder.path().display().to_string());
        std::fs::write(&path, format!("#!/bin/sh\n{body}")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
    }
    let first = apply(folder.path()).await;
    assert_eq!(
        first,
        ["ok", "changed", "ok", "changed", "skipped", "changed"]
    );
    assert_eq!(std::fs::read_to_string(at("there")).unwrap(), "there");
    assert!(!at("missing").exists(), "decided from what was seen before");
    assert_eq!(std::fs::read_to_string(at("seen")).unwrap(), "False True");
    // Now it is there from the beginning, and nothing is to be done but to say so.
    let second = apply(folder.path()).await;
    assert_eq!(second, ["ok", "ok", "ok", "ok", "skipped", "changed"]);
    assert_eq!(std::fs::read_to_string(at("seen")).unwrap(), "True True");
}
