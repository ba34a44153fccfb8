//! Hosts that lie.

use super::becoming::{PASSWORD, login};
use super::folder::{Folder, said};
use super::*;

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

/// Hosts that say more than anybody could keep, beside one that is honest.
#[test]
fn floods_neither_fill_the_memory_nor_touch_others() {
    let begin = "printf '\\001%s r\\n' $n; printf '\\001%s r\\n' $n >&2";
    let floods = [
        // Output that does not end, as a line and as many.
        ("zeros", format!("{begin}; head -c 30000000 /dev/zero")),
        (
            "lines",
            format!("{begin}; yes | head -c 30000000; yes | head -c 30000000 >&2"),
        ),
        // A mark that does not end; a greeting that does not.
        (
            "mark",
            format!("{begin}; printf '\\001%s e 0 ' $n; yes 1 | tr -d '\\n'"),
        ),
        ("greeting", "yes | head -c 30000000".into()),
        ("early", format!("{begin}; exec >&-")),
    ];
    let shells = tempfile::tempdir().unwrap();
    let open: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(shells.path(), open.clone()).unwrap();
    let mut users = vec![("honest", "/bin/sh".to_owned(), PASSWORD)];
    for (name, flood) in &floods {
        let path = shells.path().join(name);
        let script = format!("#!/bin/sh\nread -r l\nread -r n\nn=${{n#mp_n=}}\n{flood}\n");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, open.clone()).unwrap();
        users.push((name, path.display().to_string(), PASSWORD));
    }
    let users: Vec<_> = users.iter().map(|(n, s, p)| (*n, s.as_str(), *p)).collect();
    let sshd = Sshd::with_users(&users, "");
    let hosts: String = users
        .iter()
        .map(|(name, ..)| format!("    {name}: {{ansible_user: {name}}}\n"))
        .collect();
    let inventory = format!(
        "all:\n  hosts:\n{hosts}  vars:\n    {{ansible_host: 127.0.0.1, ansible_port: {}, ansible_password: {},\n     \
         ansible_ssh_common_args: '-o UserKnownHostsFile={}'}}\n",
        sshd.address.port(),
        serde_json::to_string(PASSWORD).unwrap(),
        sshd.known_hosts().display()
    );
    let folder = Folder::new(&[
        ("inventory.yaml", &inventory),
        (
            "play.yml",
            "- {hosts: all, gather_facts: false, tasks: [{command: echo fine}]}\n",
        ),
    ]);
    let args = ["apply", "-p", "play.yml", "--no-lock", "--timeout", "5"];
    let mut child = folder.start(&args);
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    let until = Instant::now() + Duration::from_secs(120);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
            panic!(
                "it does not end: {}",
                said(&child.wait_with_output().unwrap()).1
            );
        }
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("VmHWM:"));
        let kb: u64 = line
            .and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .unwrap_or_default();
        peak = peak.max(kb);
        std::thread::sleep(Duration::from_millis(10));
    }
    let (code, text) = said(&child.wait_with_output().unwrap());
    assert_ne!(code, 0, "{text}");
    let honest = text.lines().rfind(|line| line.starts_with("honest "));
    assert!(
        honest.is_some_and(|line| line.contains("ok=1 changed=1 failed=0")),
        "{text}"
    );
    for (name, _) in floods {
        let line = text.lines().rfind(|line| line.starts_with(name));
        assert!(
            line.is_some_and(|line| line.contains("failed=1") || line.contains("unreachable=1")),
            "{name}: {text}"
        );
    }
    println!("peak: {peak} kB");
    assert!((1000..500_000).contains(&peak), "it took {peak} kB");
}
