//! Logging in and becoming others; login shells and their start-up files.

use super::*;

/// Who may what on the host of the tests about `become`.
const SUDOERS: &str = "\
Defaults lecture=always\n\
Defaults:tty requiretty\n\
root ALL=(ALL) ALL\n\
student ALL=(ALL) ALL\n\
tty ALL=(ALL) ALL\n\
free ALL=(ALL) NOPASSWD: ALL\n";

pub(super) const PASSWORD: &str = "it's a \"pass\" $word\\";

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

pub(super) fn login(sshd: &Sshd, user: &str) -> Target {
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
        ("tty", right(), &["sudo wants a terminal (requiretty)"]),
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
