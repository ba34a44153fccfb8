//! Reaching hosts: names, ports, host keys, keys, jump hosts.

use super::*;

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
        &["the port takes connections but does not speak SSH within 1 s"],
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
    assert!(error.hint.unwrap().contains("`mini-play hosts forget h1`"));
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
            "reach::through_the_jump_host",
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
