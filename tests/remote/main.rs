//! Links to a real sshd, and to this machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod becoming;
mod commands;
#[path = "../common/folder.rs"]
mod folder;
mod hostile;
mod lines;
mod reach;
#[path = "../common/relay.rs"]
mod relay;
#[path = "../common/sshd.rs"]
mod sshd;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mini_play::remote::{
    Chunk, Connector, HostKeyChecking, Identity, Link, LinkError, LinkErrorKind, Payload, Reply,
    Secret, Target,
};
use relay::Relay;
use sshd::Sshd;

fn target(sshd: &Sshd, port: u16) -> Target {
    Target {
        name: "h1".into(),
        host: "127.0.0.1".into(),
        port: Some(port),
        user: Some("root".into()),
        private_keys: vec![sshd.key()],
        options: vec![(
            "UserKnownHostsFile".into(),
            sshd.known_hosts().display().to_string(),
        )],
        ..Target::default()
    }
}

/// A link to this machine without SSH.
async fn local() -> Box<dyn Link> {
    let target = Target {
        local: true,
        ..Target::default()
    };
    Connector::new().connect(&target).await.expect("local")
}

async fn over_ssh(sshd: &Sshd) -> Box<dyn Link> {
    Connector::new()
        .connect(&target(sshd, sshd.address.port()))
        .await
        .expect("connect")
}

/// What every link must do, whatever carries it; commands run in `folder`.
async fn works(mut link: Box<dyn Link>, folder: &Path) {
    let login = Identity::Login;
    let mut input = Chunk::plain("cat; exit 3");
    input.input = Some(Payload::Bytes(Arc::from(&b"a\0b\xff'"[..])));
    input.stop_on_failure = false;
    let mut late = Chunk::new("sleep 30");
    late.timeout = Some(Duration::from_secs(1));
    late.stop_on_failure = false;
    let mut failing = Chunk::new("exit 7");
    failing.keep = 0;
    let replies = link
        .turn(
            &login,
            vec![
                Chunk::plain("echo out; echo err >&2; printf 'no newline'"),
                input,
                Chunk::new("umask; pwd; echo $LC_ALL; cat; printf x >&2"),
                late,
                Chunk::plain("test -d \"$MP_TMP\" && stat -c %a \"$MP_TMP\""),
                failing,
                Chunk::plain("echo not reached"),
            ],
        )
        .await
        .expect("turn");
    let seen: Vec<_> = replies
        .iter()
        .map(|r| (r.ran, r.rc, r.out(), r.err()))
        .collect();
    assert_eq!(seen[0], (true, 0, "out\nno newline".into(), "err\n".into()));
    assert_eq!(replies[1].stdout, b"a\0b\xff'");
    assert_eq!(replies[1].rc, 3);
    assert_eq!(
        seen[2],
        (
            true,
            0,
            format!("0022\n{}\nC\n", folder.display()),
            "x".into()
        )
    );
    assert_eq!((replies[3].rc, replies[3].timed_out), (124, true));
    assert_eq!(seen[4], (true, 0, "700\n".into(), String::new()));
    assert_eq!(replies[5].rc, 7);
    assert!(!replies[6].ran);
    link.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_link_works() {
    // Commands run where the controller stands, as Ansible's do over a local connection.
    let here = std::env::current_dir().expect("a folder to stand in");
    works(local().await, &here).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ssh_link_works() {
    let sshd = Sshd::start();
    works(over_ssh(&sshd).await, Path::new("/root")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connecting_and_one_turn_of_chunks_take_eight_turns() {
    let sshd = Sshd::start();
    let relay = Relay::start(sshd.address).await;
    relay.delay(Duration::from_millis(5));
    let mut link = Connector::new()
        .connect(&target(&sshd, relay.address.port()))
        .await
        .expect("connect");
    for more in 0..3 {
        let replies = link
            .turn(&Identity::Login, vec![Chunk::plain("echo hi")])
            .await
            .expect("turn");
        assert_eq!(replies[0].out(), "hi\n");
        let counts = relay.counts();
        let stats = link.stats();
        assert_eq!(counts.turns, 8 + more, "{counts:?}");
        assert_eq!(
            (stats.turns, stats.up, stats.down),
            (counts.turns, counts.up, counts.down)
        );
        assert_eq!(counts.connections, 1);
    }
    let before = relay.counts();
    link.close().await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(relay.counts(), before, "closing says nothing");
}

/// The error that connecting gives.
async fn refused(target: &Target) -> LinkError {
    match Connector::new().connect(target).await {
        Ok(_) => panic!("connected to {target:?}"),
        Err(error) => error,
    }
}

fn check(error: &LinkError, kind: LinkErrorKind, parts: &[&str]) {
    assert_eq!(error.kind, kind, "{error:?}");
    for part in parts {
        assert!(error.message.contains(part), "{part:?} is not in {error:?}");
    }
}

async fn one(link: &mut Box<dyn Link>, chunk: Chunk) -> Reply {
    link.turn(&Identity::Login, vec![chunk])
        .await
        .expect("turn")
        .remove(0)
}
