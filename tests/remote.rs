//! Links to a real sshd, and to this machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/relay.rs"]
mod relay;
#[path = "common/sshd.rs"]
mod sshd;

use std::path::PathBuf;
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

/// What every link must do, whatever carries it.
async fn works(mut link: Box<dyn Link>) {
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
    let home = std::env::var("HOME").unwrap_or_else(|_| "/root".into());
    assert_eq!(seen[0], (true, 0, "out\nno newline".into(), "err\n".into()));
    assert_eq!(replies[1].stdout, b"a\0b\xff'");
    assert_eq!(replies[1].rc, 3);
    assert_eq!(seen[2], (true, 0, format!("0022\n{home}\nC\n"), "x".into()));
    assert_eq!((replies[3].rc, replies[3].timed_out), (124, true));
    assert_eq!(seen[4], (true, 0, "700\n".into(), String::new()));
    assert_eq!(replies[5].rc, 7);
    assert!(!replies[6].ran);
    link.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_link_works() {
    works(local().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ssh_link_works() {
    let sshd = Sshd::start();
    works(over_ssh(&sshd).await).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_hosts_are_told_apart() {
    use LinkErrorKind::Unreachable;
    let sshd = Sshd::start();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent = listener.local_addr().unwrap().port();
    let smtp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let talker = smtp.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = smtp.accept().await {
            use tokio::io::AsyncWriteExt;
            let _ = stream
                .write_all(b"220 mail.example.org ESMTP\r\n500 what?\r\n")
                .await;
        }
    });
    let closed = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let mut to = target(&sshd, closed);
    to.connect_timeout = Some(Duration::from_secs(1));
    check(
        &refused(&to).await,
        Unreachable,
        &[&format!("port {closed} of 127.0.0.1 is closed")],
    );
    to.port = Some(silent);
    check(
        &refused(&to).await,
        Unreachable,
        &["does not speak SSH within 1 s"],
    );
    to.port = Some(talker);
    check(&refused(&to).await, Unreachable, &["is not an SSH server"]);
    to.host = "no-such-host.invalid".into();
    check(
        &refused(&to).await,
        Unreachable,
        &["the name no-such-host.invalid is not known"],
    );
    // An address of a network for documentation: nobody answers, or there is no route.
    to.host = "192.0.2.1".into();
    let error = refused(&to).await;
    assert_eq!(error.kind, Unreachable);
    assert!(error.hint.is_some(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn host_keys_are_checked() {
    use LinkErrorKind::HostKey;
    let sshd = Sshd::start();
    let port = sshd.address.port();
    let file = sshd.dir.path().join("kh");
    let with = |text: &str, checking| {
        std::fs::write(&file, text).unwrap();
        let mut to = target(&sshd, port);
        to.options = vec![
            ("UserKnownHostsFile".into(), file.display().to_string()),
            ("GlobalKnownHostsFile".into(), "none".into()),
            ("HashKnownHosts".into(), "no".into()),
        ];
        to.host_key_checking = checking;
        to
    };
    let key = sshd.host_key();
    sshd::keygen(&sshd.dir.path().join("other"), "ed25519", "");
    let other = std::fs::read_to_string(sshd.dir.path().join("other.pub")).unwrap();
    let strict = HostKeyChecking::Strict;

    let error = refused(&with("", strict)).await;
    check(&error, HostKey, &["ssh-ed25519 SHA256:", "is not known"]);
    let error = refused(&with(&format!("x {key}[127.0.0.1]:{port} {other}"), strict)).await;
    check(
        &error,
        HostKey,
        &["has changed", "kh:2 has ssh-ed25519 SHA256:"],
    );
    assert_eq!(error.message.matches("SHA256:").count(), 2, "{error}");
    assert!(error.hint.unwrap().contains("ssh-keygen -R '[127.0.0.1]:"));
    // Accepting new keys does not mean accepting changed ones.
    let changed = with(
        &format!("[127.0.0.1]:{port} {other}"),
        HostKeyChecking::AcceptNew,
    );
    check(&refused(&changed).await, HostKey, &["has changed"]);
    let revoked = with(&format!("* {key}@revoked * {key}"), strict);
    check(&refused(&revoked).await, HostKey, &["is revoked", "kh:2"]);
    let authority = with(&format!("@cert-authority * {other}"), strict);
    check(&refused(&authority).await, HostKey, &["@cert-authority"]);

    let new = with("", HostKeyChecking::AcceptNew);
    Connector::new()
        .connect(&new)
        .await
        .expect("accepted")
        .close()
        .await;
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(text, format!("[127.0.0.1]:{port} {key}"));
    let again = with(&text, strict);
    Connector::new()
        .connect(&again)
        .await
        .expect("known")
        .close()
        .await;
    let off = with(&format!("[127.0.0.1]:{port} {other}"), HostKeyChecking::Off);
    Connector::new()
        .connect(&off)
        .await
        .expect("off")
        .close()
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_refusals() {
    use LinkErrorKind::Auth;
    let sshd = Sshd::start();
    let at = |name: &str| sshd.dir.path().join(name);
    sshd::keygen(&at("stranger"), "ed25519", "");
    sshd::keygen(&at("locked"), "ed25519", "open sesame");
    sshd::keygen(&at("rsa"), "rsa", "");
    std::fs::write(at("rubbish"), "no key\n").unwrap();
    let mut allowed = std::fs::read_to_string(at("authorized_keys")).unwrap();
    for name in ["locked.pub", "rsa.pub"] {
        allowed.push_str(&std::fs::read_to_string(at(name)).unwrap());
    }
    std::fs::write(at("authorized_keys"), allowed).unwrap();
    let with = |keys: &[&str], passphrase: Option<&str>| {
        let mut to = target(&sshd, sshd.address.port());
        to.private_keys = keys.iter().map(|name| at(name)).collect();
        to.passphrase = passphrase.map(Secret::new);
        to.options.push(("IdentitiesOnly".into(), "yes".into()));
        to.options.push(("IdentityAgent".into(), "none".into()));
        to
    };
    let cases: [(&[&str], Option<&str>, &[&str]); 5] = [
        (
            &["stranger"],
            None,
            &[
                "login as root refused; tried key",
                "stranger",
                "accepts publickey",
            ],
        ),
        (
            &["missing"],
            None,
            &[
                "no usable key and no password",
                "cannot read key",
                "missing",
            ],
        ),
        (
            &["locked"],
            None,
            &["is encrypted and no passphrase is given"],
        ),
        (
            &["locked"],
            Some("wrong"),
            &["does not open with the passphrase"],
        ),
        (&["rubbish"], None, &["is not a private key"]),
    ];
    for (keys, passphrase, parts) in cases {
        check(&refused(&with(keys, passphrase)).await, Auth, parts);
    }
    for (keys, passphrase) in [
        (&["stranger", "id"][..], None),
        (&["locked"], Some("open sesame")),
        (&["rsa"], None),
    ] {
        let to = with(keys, passphrase);
        Connector::new()
            .connect(&to)
            .await
            .unwrap_or_else(|e| panic!("{keys:?}: {e}"))
            .close()
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jump_hosts_and_proxy_commands() {
    let (front, inner) = (Sshd::start(), Sshd::start());
    // The jump host is logged into with the key that its own configuration names; here, by the agent's absence, the
    // user's default key. So both take the same one.
    let home = tempfile::tempdir().unwrap();
    std::fs::create_dir(home.path().join(".ssh")).unwrap();
    let config = format!(
        "Host front\n HostName 127.0.0.1\n Port {}\n User root\n IdentityFile {}\n HostKeyAlias front\n",
        front.address.port(),
        front.key().display()
    );
    std::fs::write(home.path().join(".ssh/config"), config).unwrap();
    let known = home.path().join(".ssh/known_hosts");
    std::fs::write(
        &known,
        format!(
            "front {}[127.0.0.1]:{} {}",
            front.host_key(),
            inner.address.port(),
            inner.host_key()
        ),
    )
    .unwrap();
    let program = std::env::current_exe().unwrap();
    let output = tokio::process::Command::new(program)
        .args([
            "--exact",
            "through_the_jump_host",
            "--ignored",
            "--nocapture",
        ])
        .env("HOME", home.path())
        .env("INNER", inner.address.port().to_string())
        .env("KEY", inner.key())
        .env_remove("SSH_AUTH_SOCK")
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Part of the test above, in a process with a home directory of its own.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by jump_hosts_and_proxy_commands"]
async fn through_the_jump_host() {
    let port: u16 = std::env::var("INNER").unwrap().parse().unwrap();
    let with = |key: &str, value: &str| Target {
        host: "127.0.0.1".into(),
        port: Some(port),
        user: Some("root".into()),
        private_keys: vec![PathBuf::from(std::env::var("KEY").unwrap())],
        options: vec![(key.into(), value.into())],
        connect_timeout: Some(Duration::from_secs(5)),
        ..Target::default()
    };
    let relay = format!("exec 3<>/dev/tcp/127.0.0.1/{port}; cat <&3 & exec cat >&3");
    for to in [
        with("ProxyJump", "front"),
        with("ProxyJump", "front,front"),
        with("ProxyCommand", &format!("bash -c '{relay}'")),
    ] {
        let mut link = Connector::new()
            .connect(&to)
            .await
            .unwrap_or_else(|e| panic!("{to:?}: {e}"));
        let mut chunk = Chunk::plain("wc -c; head -c 3000000 /dev/zero");
        chunk.input = Some(Payload::Bytes(vec![7; 3_000_000].into()));
        let replies = link
            .turn(&Identity::Login, vec![chunk])
            .await
            .expect("turn");
        assert_eq!(replies[0].stdout.len(), 3_000_000 + 8);
        link.close().await;
    }
    let error = refused(&with("ProxyJump", "nobody@front:1")).await;
    check(
        &error,
        LinkErrorKind::Unreachable,
        &["jump host front: port 1 of 127.0.0.1 is closed"],
    );
    let mut dead = with("ProxyJump", "front");
    dead.port = Some(1);
    check(
        &refused(&dead).await,
        LinkErrorKind::Unreachable,
        &["the jump host cannot connect to 127.0.0.1 port 1"],
    );
    check(
        &refused(&with("ProxyCommand", "true")).await,
        LinkErrorKind::Unreachable,
        &["hung up"],
    );
}

async fn one(link: &mut Box<dyn Link>, chunk: Chunk) -> Reply {
    link.turn(&Identity::Login, vec![chunk])
        .await
        .expect("turn")
        .remove(0)
}

/// Commands that misbehave, on every kind of link.
async fn survives(mut link: Box<dyn Link>) {
    // What stays in the background neither holds the chunk up nor gets into later output.
    let daemon = Chunk::new(
        "(while sleep 0.1; do echo noise; echo noise >&2; done) & echo $! >$MP_TMP/pid; echo started",
    );
    let clock = Instant::now();
    let replies = link
        .turn(
            &Identity::Login,
            vec![
                daemon,
                Chunk::plain("sleep 1; echo clean; kill $(cat $MP_TMP/pid) || :"),
            ],
        )
        .await
        .expect("turn");
    assert!(
        replies[0].out().starts_with("started\n"),
        "{:?}",
        replies[0]
    );
    assert_eq!(replies[1].out(), "clean\n");
    assert!(!replies[1].err().contains("noise"), "{:?}", replies[1]);
    assert!(clock.elapsed() < Duration::from_secs(20));
    assert_eq!(
        one(&mut link, Chunk::new("exec sh -c 'exit 5'")).await.rc,
        5
    );

    // Killing the parent, the group, and the kept shell itself.
    for script in ["kill -9 $PPID; sleep 1; exit 3", "kill -9 0; sleep 1"] {
        let mut chunk = Chunk::new(script);
        chunk.stop_on_failure = false;
        let replies = link
            .turn(&Identity::Login, vec![chunk, Chunk::plain("echo after")])
            .await
            .expect("turn");
        assert_ne!(replies[0].rc, 0, "{script}: {:?}", replies[0]);
        assert_eq!(replies[1].out(), "after\n", "{script}");
    }
    let reply = one(&mut link, Chunk::plain("kill -9 $$")).await;
    assert_ne!(reply.rc, 0);
    assert!(reply.err().contains("remote shell was ended"), "{reply:?}");
    assert_eq!(
        one(&mut link, Chunk::plain("exec echo still here"))
            .await
            .out(),
        "still here\n"
    );

    // The private directory outlives a shell that had to be left.
    let path = one(
        &mut link,
        Chunk::plain("echo kept > $MP_TMP/f; echo $MP_TMP"),
    )
    .await
    .out();
    let reply = one(&mut link, Chunk::new("sleep 3 & cat $MP_TMP/f")).await;
    assert_eq!(reply.out(), "kept\n");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(
        one(&mut link, Chunk::plain("cat $MP_TMP/f")).await.out(),
        "kept\n"
    );

    // Input that nobody reads, little and much.
    for size in [10, 5_000_000] {
        for contained in [false, true] {
            let mut chunk = Chunk::new("echo unread; exit 4");
            chunk.contained = contained;
            chunk.stop_on_failure = false;
            chunk.input = Some(Payload::Bytes(vec![b'x'; size].into()));
            let replies = link
                .turn(&Identity::Login, vec![chunk, Chunk::plain("echo next")])
                .await
                .expect("turn");
            assert_eq!((replies[0].rc, replies[0].out()), (4, "unread\n".into()));
            assert_eq!(replies[1].out(), "next\n", "{size} {contained}");
        }
    }
    // Input of a chunk that is skipped.
    for size in [10, 5_000_000] {
        let mut skipped = Chunk::new("cat");
        skipped.input = Some(Payload::Bytes(vec![b'x'; size].into()));
        let replies = link
            .turn(&Identity::Login, vec![Chunk::plain("exit 1"), skipped])
            .await
            .expect("turn");
        assert_eq!((replies[0].rc, replies[1].ran), (1, false));
        assert_eq!(
            one(&mut link, Chunk::plain("echo alive")).await.out(),
            "alive\n"
        );
    }

    // Much output, within bounds; stdin is empty.
    let mut much = Chunk::new("cat; head -c 100000000 /dev/zero; echo end >&2");
    much.keep = 1000;
    let reply = one(&mut link, much).await;
    assert_eq!(
        (reply.stdout.len(), reply.dropped, reply.err()),
        (1000, 99_999_000, "end\n".into())
    );
    // Every byte there is, both ways.
    let bytes: Vec<u8> = (0..=255u8).cycle().take(70_000).collect();
    let mut echo = Chunk::new("cat");
    echo.input = Some(Payload::Bytes(bytes.clone().into()));
    assert_eq!(one(&mut link, echo).await.stdout, bytes);

    // A limit in time ends the whole group.
    let mut late = Chunk::new("sleep 300 & sleep 301 | cat");
    late.timeout = Some(Duration::from_millis(500));
    let reply = one(&mut link, late).await;
    assert_eq!((reply.rc, reply.timed_out), (124, true));
    let reply = one(
        &mut link,
        Chunk::plain("ps ax -o args | grep -c '^sleep 30[01]$'"),
    )
    .await;
    assert_eq!(reply.out(), "0\n");

    // For a chunk of our own making the limit is kept on this side.
    let mut stuck = Chunk::plain("echo begun; sleep 2; echo never");
    stuck.timeout = Some(Duration::from_millis(300));
    stuck.stop_on_failure = false;
    let replies = link
        .turn(&Identity::Login, vec![stuck, Chunk::plain("echo on")])
        .await
        .expect("turn");
    let reply = &replies[0];
    assert_eq!(
        (reply.rc, reply.timed_out, reply.out()),
        (124, true, "begun\n".into())
    );
    assert_eq!(replies[1].out(), "on\n");

    // Hostile text as a script.
    for script in ["echo 'it'\\''s'", "if", "echo )", "\u{1}\u{2}é"] {
        let reply = one(&mut link, Chunk::new(script)).await;
        assert!(reply.ran, "{script}");
        assert_eq!(
            one(&mut link, Chunk::plain("echo ok")).await.out(),
            "ok\n",
            "{script}"
        );
    }
    assert_eq!(one(&mut link, Chunk::new("echo a\0b")).await.rc, 126);
    link.close().await;
    assert!(
        !PathBuf::from(path.trim()).exists(),
        "{path} was left behind"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_link_survives() {
    survives(local().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ssh_link_survives() {
    let sshd = Sshd::start();
    survives(over_ssh(&sshd).await).await;
}

/// One connection through a relay that does what it was told to: input and output of some size, twice.
async fn talks(sshd: &Sshd, relay: &Relay, longest: u64) {
    let to = target(sshd, relay.address.port());
    let mut link = match Connector::new().connect(&to).await {
        Ok(link) => link,
        Err(e) => panic!("connect: {e}"),
    };
    // No more than goes through in a moment.
    let most = usize::try_from(longest * 2_000).unwrap_or(0);
    for size in [300, most.min(70_000)] {
        let bytes: Vec<u8> = (0..=255u8).cycle().take(size).collect();
        let mut echo = Chunk::plain("cat; echo err >&2");
        echo.input = Some(Payload::Bytes(bytes.clone().into()));
        let next = Chunk::new("echo next");
        let replies = link.turn(&Identity::Login, vec![echo, next]).await;
        let replies = replies.unwrap_or_else(|e| panic!("{size}: {e}"));
        assert!(replies[0].stdout == bytes, "{size}: {:?}", replies[0].err());
        assert_eq!(
            (replies[0].err(), replies[1].out()),
            ("err\n".into(), "next\n".into())
        );
    }
    link.close().await;
}

/// What is sent arrives in any pieces, at any time: whole, however it is cut, and never waited for in vain.
#[tokio::test(flavor = "multi_thread")]
async fn any_cut_of_the_stream_gives_the_same() {
    let settings = [
        "",
        "Ciphers chacha20-poly1305@openssh.com",
        "Ciphers aes256-ctr",
    ];
    for settings in settings {
        let sshd = Sshd::with(settings);
        let relay = Relay::start(sshd.address).await;
        relay.jitter(Duration::from_millis(2));
        for longest in [1, 3, 33, 1_000, 40_000] {
            relay.split(longest);
            let one =
                || tokio::time::timeout(Duration::from_secs(60), talks(&sshd, &relay, longest));
            let (a, b) = tokio::join!(one(), one());
            assert!(a.is_ok() && b.is_ok(), "stuck at {longest}, {settings:?}");
        }
    }
}

/// Wherever a host falls silent while it is connected to, that is noticed and said, in bounded time.
#[tokio::test(flavor = "multi_thread")]
async fn silence_is_noticed_at_every_turn() {
    let sshd = Sshd::start();
    let silent = |turn: u64| {
        let sshd = &sshd;
        async move {
            let relay = Relay::start(sshd.address).await;
            relay.silent_from(turn);
            let mut to = target(sshd, relay.address.port());
            to.connect_timeout = Some(Duration::from_secs(2));
            to.options.push(("ServerAliveInterval".into(), "1".into()));
            to.options.push(("ServerAliveCountMax".into(), "1".into()));
            let mut link = Connector::new().connect(&to).await?;
            let chunk = Chunk::plain("echo hi");
            let replies = link.turn(&Identity::Login, vec![chunk]).await?;
            assert_eq!(replies[0].out(), "hi\n");
            assert_eq!(relay.counts().turns, 8);
            Ok::<(), LinkError>(())
        }
    };
    let limit = Duration::from_secs(120);
    let all = async {
        tokio::join!(
            async { (silent(1).await, silent(2).await, silent(3).await) },
            silent(4),
            silent(5),
            async { (silent(6).await, silent(7).await, silent(8).await) },
            silent(9),
        )
    };
    let seen = tokio::time::timeout(limit, all).await.expect("it hangs");
    let ((one, two, three), four, five, (six, seven, eight), nine) = seen;
    for (seen, words) in [
        (one, "does not speak SSH within 2 s"),
        (two, "stopped answering during the handshake"),
        (three, "stopped answering during the handshake"),
        (four, "no answer to key"),
        (five, "no answer to key"),
        (six, "no sign of life"),
        (seven, "no sign of life"),
        (eight, "no sign of life"),
    ] {
        let error = seen.expect_err(words);
        assert!(error.message.contains(words), "{words:?}: {error:?}");
    }
    nine.expect("nothing was held back");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_exchanged_anew_under_way() {
    let sshd = Sshd::with("RekeyLimit 1M");
    let mut link = over_ssh(&sshd).await;
    for _ in 0..2 {
        let mut chunk = Chunk::plain("tee /dev/stderr");
        let bytes: Vec<u8> = (0..=255u8).cycle().take(12_000_001).collect();
        chunk.input = Some(Payload::Bytes(bytes.clone().into()));
        let reply = one(&mut link, chunk).await;
        assert!(reply.stdout == bytes && reply.stderr == bytes);
    }
    link.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_line_is_noticed() {
    let sshd = Sshd::start();
    let relay = Relay::start(sshd.address).await;
    // A file that was being written is the old one still, not the part that came.
    let file = sshd.dir.path().join("file");
    for contained in [false, true] {
        std::fs::write(&file, "old").unwrap();
        let to = target(&sshd, relay.address.port());
        let mut link = Connector::new().connect(&to).await.expect("connect");
        let path = file.display();
        let mut chunk = Chunk::new(format!("cat >{path}.new && mv {path}.new {path}"));
        chunk.contained = contained;
        chunk.input = Some(Payload::Bytes(vec![b'n'; 50_000_000].into()));
        let sending = async {
            link.turn(&Identity::Login, vec![chunk])
                .await
                .expect_err("cut")
        };
        let breaking = async {
            while relay.counts().up < 2_000_000 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            relay.cut();
        };
        let (error, ()) = tokio::join!(sending, breaking);
        assert_eq!(error.kind, LinkErrorKind::Lost);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(std::fs::read(&file).unwrap(), b"old");
        link.close().await;
    }

    let mut to = target(&sshd, relay.address.port());
    to.options.push(("ServerAliveInterval".into(), "1".into()));
    to.options.push(("ServerAliveCountMax".into(), "1".into()));
    for (silent, words) in [(false, "closed it"), (true, "no sign of life")] {
        let mut link = Connector::new().connect(&to).await.expect("connect");
        one(&mut link, Chunk::plain("echo $MP_TMP")).await;
        let waiting = async {
            let chunk = Chunk::plain("sleep 60");
            link.turn(&Identity::Login, vec![chunk])
                .await
                .expect_err("cut")
        };
        let breaking = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            if silent {
                relay.stall(true);
            } else {
                relay.cut();
            }
        };
        let clock = Instant::now();
        let (error, ()) = tokio::join!(waiting, breaking);
        relay.stall(false);
        check(&error, LinkErrorKind::Lost, &[words]);
        assert!(clock.elapsed() < Duration::from_secs(30));
        let again = link.turn(&Identity::Login, vec![Chunk::plain(":")]).await;
        assert_eq!(again.expect_err("still lost").kind, LinkErrorKind::Lost);
        link.close().await;
    }
}

/// Who may what on the host of the tests about `become`.
const SUDOERS: &str = "\
Defaults lecture=always\n\
Defaults:tty requiretty\n\
root ALL=(ALL) ALL\n\
student ALL=(ALL) ALL\n\
tty ALL=(ALL) ALL\n\
free ALL=(ALL) NOPASSWD: ALL\n";

const PASSWORD: &str = "it's a \"pass\" $word\\";

fn users() -> Sshd {
    let sh = "/bin/bash";
    Sshd::with_users(
        &[
            ("student", sh, PASSWORD),
            ("tty", sh, PASSWORD),
            ("free", sh, PASSWORD),
            ("nobodys", sh, PASSWORD),
            ("fishy", "/usr/bin/fish", PASSWORD),
            ("seashell", "/usr/bin/tcsh", PASSWORD),
            ("zed", "/usr/bin/zsh", PASSWORD),
            ("noisy", sh, PASSWORD),
            ("leaver", sh, PASSWORD),
            ("asker", sh, PASSWORD),
            ("locked", "/usr/sbin/nologin", PASSWORD),
        ],
        SUDOERS,
    )
}

fn login(sshd: &Sshd, user: &str) -> Target {
    Target {
        user: Some(user.into()),
        ..target(sshd, sshd.address.port())
    }
}

fn becoming(user: &str, method: &str) -> Identity {
    Identity::Become {
        user: user.into(),
        method: method.into(),
        flags: String::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn become_with_sudo() {
    let sshd = users();
    let root = becoming("root", "sudo");
    let right = || Some(Secret::new(PASSWORD));
    // Login, password of sudo, parts of the error if there is to be one.
    let cases: [(&str, Option<Secret>, &[&str]); 8] = [
        ("student", right(), &[]),
        ("free", None, &[]),
        ("free", right(), &[]),
        ("root", None, &[]),
        (
            "student",
            Some(Secret::new("wrong")),
            &["sudo refused the password for becoming root"],
        ),
        (
            "student",
            None,
            &["sudo asks for a password and none was given"],
        ),
        (
            "nobodys",
            right(),
            &["sudo does not allow becoming root", "not in the sudoers"],
        ),
        ("tty", right(), &["wants a terminal (requiretty)"]),
    ];
    for (user, password, error) in cases {
        let mut link = Connector::new()
            .connect(&login(&sshd, user))
            .await
            .expect("connect");
        link.set_become_password(&root, password);
        let clock = Instant::now();
        let mut input = Chunk::new("cat; id -un; pwd; echo $HOME; umask");
        input.input = Some(Payload::Bytes(Arc::from(&b"\0\xff\n"[..])));
        let outcome = link.turn(&root, vec![input, Chunk::plain("echo 2")]).await;
        match outcome {
            Ok(replies) => {
                assert!(error.is_empty(), "{user}: {replies:?}");
                assert_eq!(
                    replies[0].stdout, b"\0\xff\nroot\n/root\n/root\n0022\n",
                    "{user}"
                );
                assert_eq!(replies[0].err(), "");
                // The login shell is there as well, and the other one is kept.
                assert_eq!(
                    one(&mut link, Chunk::plain("id -un")).await.out().trim(),
                    user
                );
                let again = link
                    .turn(&root, vec![Chunk::plain("id -un")])
                    .await
                    .expect("again");
                assert_eq!(again[0].out(), "root\n");
            }
            Err(seen) => {
                assert!(!error.is_empty(), "{user}: {seen:?}");
                check(&seen, LinkErrorKind::Become, error);
                assert!(
                    clock.elapsed() < Duration::from_secs(5),
                    "{user}: {:?}",
                    clock.elapsed()
                );
                // The login shell still works, and it was said only once.
                assert_eq!(
                    one(&mut link, Chunk::plain("id -un")).await.out().trim(),
                    user
                );
            }
        }
        link.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn become_others() {
    let sshd = users();
    for (user, to, method, password, want) in [
        ("root", "student", "sudo", None, Ok("student")),
        ("root", "student", "su", None, Ok("student")),
        ("student", "free", "su", Some(PASSWORD), Ok("free")),
        (
            "student",
            "free",
            "su",
            Some("wrong"),
            Err("su refused the password for becoming free"),
        ),
        (
            "student",
            "free",
            "su",
            None,
            Err("su asks for a password and none was given"),
        ),
        ("student", "student", "sudo", None, Ok("student")),
        ("free", "fishy", "sudo", None, Ok("fishy")),
        (
            "student",
            "nosuch",
            "sudo",
            Some(PASSWORD),
            Err("there is no user nosuch to become"),
        ),
        (
            "student",
            "nosuch",
            "su",
            Some(PASSWORD),
            Err("there is no user nosuch to become"),
        ),
        (
            "student",
            "root",
            "runas",
            None,
            Err("become_method runas is not supported"),
        ),
        ("student", "x'; id", "sudo", None, Err("not a user name")),
    ] {
        let mut link = Connector::new()
            .connect(&login(&sshd, user))
            .await
            .expect("connect");
        let who = becoming(to, method);
        link.set_become_password(&who, password.map(Secret::new));
        let clock = Instant::now();
        let mut chunk = Chunk::new("cat; id -un; echo err >&2");
        chunk.input = Some(Payload::Bytes(vec![b'\r'; 300_000].into()));
        let outcome = link.turn(&who, vec![chunk]).await;
        let case = format!("{user} to {to} by {method}");
        match (outcome, want) {
            (Ok(replies), Ok(name)) => {
                assert_eq!(replies[0].stdout.len(), 300_000 + name.len() + 1, "{case}");
                assert!(replies[0].out().ends_with(&format!("\r{name}\n")), "{case}");
                assert_eq!(replies[0].err(), "err\n", "{case}");
            }
            (Err(seen), Err(part)) => check(&seen, LinkErrorKind::Become, &[part]),
            (outcome, _) => panic!("{case}: {outcome:?}"),
        }
        assert!(
            clock.elapsed() < Duration::from_secs(6),
            "{case}: {:?}",
            clock.elapsed()
        );
        link.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn login_shells_do_not_matter() {
    let sshd = users();
    let home = |user: &str| sshd.dir.path().join("home").join(user);
    let noise =
        "echo noise; echo noise >&2; umask 0; export LC_ALL=xx_YY PATH=$PATH:/odd; cd /; set -u\n";
    std::fs::write(home("noisy").join(".bashrc"), noise).unwrap();
    std::fs::write(home("leaver").join(".bashrc"), "echo go away >&2; exit 3\n").unwrap();
    std::fs::write(
        home("asker").join(".bashrc"),
        "echo what?; read answer; sleep 60\n",
    )
    .unwrap();
    for user in ["noisy", "fishy", "seashell", "zed"] {
        let mut link = Connector::new()
            .connect(&login(&sshd, user))
            .await
            .expect("connect");
        let reply = one(
            &mut link,
            Chunk::new("umask; pwd; echo $LC_ALL; cat; locale >/dev/null"),
        )
        .await;
        let want = format!("0022\n{}\nC\n", home(user).display());
        assert_eq!(
            (reply.rc, reply.out(), reply.err()),
            (0, want, String::new()),
            "{user}"
        );
        link.close().await;
    }
    for (user, part) in [
        ("leaver", "before /bin/sh began: go away"),
        (
            "locked",
            "before /bin/sh began: This account is currently not available.",
        ),
        ("asker", "no shell within 6 s of the login; it said: what?"),
    ] {
        let mut to = login(&sshd, user);
        to.connect_timeout = Some(Duration::from_secs(2));
        let mut link = Connector::new().connect(&to).await.expect("connect");
        let error = link
            .turn(&Identity::Login, vec![Chunk::plain(":")])
            .await
            .expect_err(user);
        check(&error, LinkErrorKind::Protocol, &[part]);
        link.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn login_by_password() {
    let sshd = users();
    for (password, error) in [
        (PASSWORD, ""),
        ("wrong", "login as student refused; tried the password"),
    ] {
        let mut to = login(&sshd, "student");
        to.private_keys.clear();
        to.options.push(("IdentityAgent".into(), "none".into()));
        to.password = Some(Secret::new(password));
        match Connector::new().connect(&to).await {
            Ok(link) => {
                assert_eq!(error, "");
                link.close().await;
            }
            Err(seen) => check(&seen, LinkErrorKind::Auth, &[error]),
        }
    }
}

/// Login shells that know our protocol and lie. Each gets the shell's own nonce in `$n`.
#[tokio::test(flavor = "multi_thread")]
async fn lying_shells_are_found_out() {
    let lies = [
        // What it does once our script has arrived, what is said about it.
        (
            "printf '\\001%s r\\n\\001%s e 7 0\\n' $n $n; sleep 9",
            "does not follow our protocol",
        ),
        ("printf '\\001%s e 0 0\\n' $n; sleep 9", "no shell within"),
        (
            "printf '\\001%s r\\n\\001%s e 0 x\\n' $n $n; sleep 9",
            "does not follow our protocol",
        ),
        (
            "printf '\\001%s r\\n\\001%s what\\n' $n $n; sleep 9",
            "does not follow our protocol",
        ),
        (
            "printf '\\001%s r\\n\\001%s ' $n $n; tr '\\0' x </dev/zero",
            "does not follow our protocol",
        ),
        (
            "printf '\\001%s r\\n\\001%s x\\n' $n $n; sleep 9",
            "ends before it runs anything",
        ),
        (
            "printf '\\001%s r\\n\\001\\377%s e 0 0\\n' $n $n; sleep 9",
            "rc: 137",
        ),
        ("cat /dev/zero", "no shell within"),
        ("exit 0", "before /bin/sh began"),
        ("kill -9 $$", "before /bin/sh began"),
    ];
    let shells = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..lies.len()).map(|at| format!("liar{at}")).collect();
    let mut users = Vec::new();
    let paths: Vec<String> = (0..lies.len())
        .map(|at| shells.path().join(format!("sh{at}")).display().to_string())
        .collect();
    std::fs::set_permissions(
        shells.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    for ((lie, _), path) in lies.iter().zip(&paths) {
        let script = format!("#!/bin/sh\nread -r l\nread -r n\nn=${{n#mp_n=}}\n{lie}\n");
        std::fs::write(path, script).unwrap();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    }
    for (name, path) in names.iter().zip(&paths) {
        users.push((name.as_str(), path.as_str(), PASSWORD));
    }
    let sshd = Sshd::with_users(&users, "");
    let mut tasks = tokio::task::JoinSet::new();
    for (name, (lie, part)) in names.iter().zip(lies) {
        let mut to = login(&sshd, name);
        to.connect_timeout = Some(Duration::from_secs(3));
        tasks.spawn(async move {
            let mut link = Connector::new().connect(&to).await.expect("connect");
            let turn = link.turn(&Identity::Login, vec![Chunk::plain("echo hi")]);
            let said = match tokio::time::timeout(Duration::from_secs(25), turn).await {
                Ok(Ok(replies)) => format!("{replies:?}"),
                Ok(Err(error)) => error.message,
                Err(_) => "no answer".into(),
            };
            assert!(said.contains(part), "{lie}: {said}");
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

/// Servers that speak SSH badly.
#[tokio::test(flavor = "multi_thread")]
async fn bad_servers_are_found_out() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    for (greeting, flood) in [
        (&b""[..], &b"x"[..]),
        (b"SSH-2.0-", b"x"),
        (b"SSH-2.0-evil\r\n", b"\xff"),
        (b"SSH-2.0-evil\r\n", b"\0\0\0\0"),
        (b"SSH-2.0-evil\r\n", b"\0\0\x01\x0c\x0a\x14"),
        (b"SSH-1.5-old\r\n", b""),
        (b"\n\n\n", b"\n"),
    ] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(greeting).await;
                let block = flood.repeat(10_000);
                let mut sent = 0;
                while !block.is_empty()
                    && sent < 200_000_000
                    && stream.write_all(&block).await.is_ok()
                {
                    sent += block.len();
                }
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        });
        let to = Target {
            host: "127.0.0.1".into(),
            port: Some(port),
            host_key_checking: HostKeyChecking::Off,
            connect_timeout: Some(Duration::from_secs(1)),
            ..Target::default()
        };
        let error = tokio::time::timeout(Duration::from_secs(15), refused(&to)).await;
        let error = error.unwrap_or_else(|_| panic!("{greeting:?} {flood:?} hangs"));
        check(&error, LinkErrorKind::Unreachable, &[]);
        server.abort();
    }
}
