//! The script run for real, by every shell at hand, and its output read back.

use super::*;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

const SHELLS: [&[&str]; 3] = [&["sh"], &["bash", "--posix"], &["busybox", "sh"]];

fn run(shell: &[&str], home: &Path, probes: &[Probe]) -> Seen {
    let temp = tempfile::tempdir().unwrap();
    let mut child = Command::new(shell[0])
        .args(&shell[1..])
        .arg("-s")
        .env("LC_ALL", "C")
        .env("MP_TMP", temp.path())
        .env("HOME", home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = format!("({})", script(probes));
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, text.as_bytes()).unwrap();
    drop(stdin);
    let out = child.wait_with_output().unwrap();
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0, "left files");
    parse(probes, &out.stdout)
        .map_err(|why| {
            format!(
                "{why} ({shell:?}): {}",
                String::from_utf8_lossy(&out.stdout)
            )
        })
        .unwrap()
}

fn path(path: impl AsRef<Path>, follow: bool) -> Probe {
    Probe::Path {
        path: path.as_ref().to_str().unwrap().into(),
        follow,
    }
}
fn digest(path: impl AsRef<Path>, algorithm: &'static str) -> Probe {
    Probe::Digest {
        path: path.as_ref().to_str().unwrap().into(),
        algorithm,
    }
}
fn content(path: impl AsRef<Path>, limit: u64) -> Probe {
    Probe::Content {
        path: path.as_ref().to_str().unwrap().into(),
        limit,
    }
}

#[test]
fn odd_names_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let names = [
        "a b",
        "it's",
        "new\nline",
        "-n",
        "back\\slash",
        "$HOME",
        "~",
        "*",
        "é",
        "=",
        "a\n=\nb",
    ];
    let mut probes = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let file = dir.path().join(name);
        fs::write(&file, "x".repeat(at + 1)).unwrap();
        probes.extend([
            path(&file, false),
            path(&file, true),
            digest(&file, "sha256"),
            content(&file, 100),
        ]);
        probes.push(path(dir.path().join(format!("{name}.missing")), false));
    }
    for shell in SHELLS {
        let seen = run(shell, dir.path(), &probes);
        for (at, name) in names.iter().enumerate() {
            if name.contains('$') {
                continue; // the shell resolves it
            }
            let file = dir.path().join(name);
            let file = file.to_str().unwrap();
            assert_eq!(
                seen.path(file).unwrap().size,
                at as u64 + 1,
                "{name} {shell:?}"
            );
            assert_eq!(seen.stat(file, true).unwrap().size, at as u64 + 1);
            assert_eq!(
                seen.content(file, 100).unwrap(),
                "x".repeat(at + 1).as_bytes()
            );
            let want = Command::new("sha256sum")
                .stdin(fs::File::open(file).unwrap())
                .output()
                .unwrap();
            let want = String::from_utf8(want.stdout).unwrap();
            assert_eq!(
                seen.digest(file, "sha256"),
                want.split(' ').next(),
                "{name} {shell:?}"
            );
            assert!(seen.path(&format!("{file}.missing")).is_none());
        }
    }
}

#[test]
fn links_are_followed_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "12345").unwrap();
    for (target, link) in [
        ("file", "good"),
        ("nowhere", "broken"),
        ("=0", "sign"),
        ("a\nb", "line"),
        ("=", "more"),
    ] {
        symlink(target, at(link)).unwrap();
    }
    let mut probes: Vec<Probe> = ["good", "broken", "sign", "line", "more"]
        .iter()
        .flat_map(|name| [path(at(name), false), path(at(name), true)])
        .collect();
    probes.push(digest(at("good"), "md5"));
    for shell in SHELLS {
        let seen = run(shell, dir.path(), &probes);
        let state = |name: &str, follow| seen.stat(at(name).to_str().unwrap(), follow);
        assert_eq!(
            state("good", false).unwrap().target.as_deref(),
            Some("file"),
            "{shell:?}"
        );
        assert_eq!(state("good", true).unwrap().kind, FileType::File);
        assert_eq!(state("good", true).unwrap().size, 5);
        assert_eq!(state("broken", false).unwrap().kind, FileType::Link);
        assert!(state("broken", true).is_none());
        assert_eq!(state("sign", false).unwrap().target.as_deref(), Some("=0"));
        assert_eq!(
            state("line", false).unwrap().target.as_deref(),
            Some("a\nb")
        );
        assert_eq!(state("more", false).unwrap().target.as_deref(), Some("="));
        assert!(seen.digest(at("good").to_str().unwrap(), "md5").is_some());
    }
}

#[test]
fn bytes_pass_unchanged_and_limits_hold() {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
    fs::write(dir.path().join("bytes"), &bytes).unwrap();
    fs::write(dir.path().join("empty"), "").unwrap();
    let fifo = dir.path().join("fifo");
    Command::new("mkfifo").arg(&fifo).status().unwrap();
    let at = |name: &str| dir.path().join(name);
    let script = "printf 'out\\000'; echo \"it's bad\" >&2; exit 3";
    let probes = [
        content(at("bytes"), 5000),
        content(at("bytes"), 4999),
        content(at("empty"), 1),
        content("/proc/self/status", 100_000),
        content(&fifo, 10),
        digest(&fifo, "sha1"),
        content(dir.path(), 10),
        path(&fifo, false),
        Probe::Script(script.into()),
        Probe::Script("if then".into()),
        Probe::Script("echo fine".into()),
    ];
    for shell in SHELLS {
        let seen = run(shell, dir.path(), &probes);
        let text = |name: &str| at(name).to_str().unwrap().to_owned();
        assert_eq!(seen.content(&text("bytes"), 5000), Some(&bytes[..]));
        assert_eq!(seen.content(&text("bytes"), 4999), None);
        assert_eq!(seen.content(&text("empty"), 1), Some(&b""[..]));
        assert!(
            seen.content("/proc/self/status", 100_000)
                .unwrap()
                .starts_with(b"Name:")
        );
        assert_eq!(seen.get(&probes[4]), Some(&Answer::Content(None)));
        assert_eq!(seen.get(&probes[5]), Some(&Answer::Digest(None)));
        assert_eq!(seen.path(&text("fifo")).unwrap().kind, FileType::Other('p'));
        let Some(Answer::Script {
            rc: 3,
            stdout,
            stderr,
        }) = seen.get(&probes[8])
        else {
            panic!("{:?}", seen.get(&probes[8]));
        };
        assert_eq!(&stdout[..], b"out\0");
        assert_eq!(&stderr[..], b"it's bad");
        assert!(seen.script("if then").unwrap().0 != 0);
        assert_eq!(seen.script("echo fine"), Some((0, &b"fine\n"[..])));
    }
}

#[test]
fn home_and_variables_are_resolved() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("a b"), "1").unwrap();
    let text = home.path().to_str().unwrap();
    let probes = [
        Probe::Expand("~/a b".into()),
        Probe::Expand("$HOME/x".into()),
        Probe::Expand("~root".into()),
        path("~/a b", false),
        digest("~/a b", "sha1"),
    ];
    for shell in SHELLS {
        let seen = run(shell, home.path(), &probes);
        assert_eq!(seen.expanded("~/a b"), format!("{text}/a b"));
        assert_eq!(seen.expanded("$HOME/x"), format!("{text}/x"));
        assert_eq!(seen.expanded("~root"), "/root");
        assert_eq!(seen.expanded("/not/asked"), "/not/asked");
        assert_eq!(seen.path("~/a b").unwrap().size, 1);
        assert!(seen.digest("~/a b", "sha1").is_some());
    }
}

#[test]
fn descriptions_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("a"), "text\n").unwrap();
    fs::write(at("b c"), "text\n").unwrap();
    symlink("a", at("l")).unwrap();
    let mut probes = Vec::new();
    for name in ["a", "b c", "l", "none"] {
        probes.extend([
            Probe::Access(at(name)),
            Probe::Real(at(name)),
            Probe::Flags(at(name)),
            Probe::Mime(at(name)),
        ]);
    }
    for shell in SHELLS {
        let seen = run(shell, dir.path(), &probes);
        assert_eq!(seen.access(&at("a")) & 6, 6);
        assert_eq!(seen.access(&at("none")), 0);
        let real = fs::canonicalize(at("a")).unwrap();
        assert_eq!(seen.text(&Probe::Real(at("l"))), real.to_str());
        assert_eq!(seen.text(&Probe::Real(at("a"))), None);
        for probe in &probes {
            assert!(seen.get(probe).is_some());
        }
    }
}

#[test]
fn accounts_and_packages_are_told() {
    let probes = [
        Probe::User("root".into()),
        Probe::User("no-such".into()),
        Probe::User("0".into()),
        Probe::User("bad:name".into()),
        Probe::Group("daemon".into()),
        Probe::Group("no-such".into()),
        Probe::Package("dash".into()),
        Probe::Package("no-such".into()),
        Probe::Package("no such".into()),
    ];
    for shell in SHELLS {
        let seen = run(shell, Path::new("/root"), &probes);
        let root = seen.user("root").unwrap();
        assert_eq!(
            (root.uid, root.home.as_str(), root.groups[0].as_str()),
            (0, "/root", "root")
        );
        assert_eq!(seen.user("0").unwrap().name, "root");
        assert!(seen.user("no-such").is_none() && seen.user("bad:name").is_none());
        assert_eq!(seen.group("daemon").unwrap().name, "daemon");
        assert!(seen.group("no-such").is_none());
        assert!(seen.package("dash").unwrap().installed());
        assert!(seen.package("no-such").is_none() && seen.package("no such").is_none());
    }
}

#[test]
fn units_are_told_without_systemd() {
    let probes = [
        Probe::Unit("no-such".into()),
        Probe::Unit("getty@".into()),
        Probe::Unit("bad name".into()),
    ];
    for shell in SHELLS {
        let seen = run(shell, Path::new("/root"), &probes);
        for name in ["no-such", "getty@", "bad name"] {
            let unit = seen.unit(name).unwrap();
            assert!(
                unit.contains_key("LoadState") && unit.contains_key("Manager"),
                "{unit:?}"
            );
        }
        assert_eq!(seen.unit("no-such").unwrap()["LoadState"], "not-found");
    }
}

/// As somebody who may not look into a folder.
#[test]
fn what_may_not_be_seen_is_unknown() {
    let dir = tempfile::tempdir().unwrap();
    let hidden = dir.path().join("hidden");
    fs::create_dir(&hidden).unwrap();
    fs::write(hidden.join("file"), "x").unwrap();
    fs::write(dir.path().join("closed"), "x").unwrap();
    fs::set_permissions(dir.path().join("closed"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&hidden, fs::Permissions::from_mode(0o700)).unwrap();
    let probes = [
        path(hidden.join("file"), false),
        path(hidden.join("deep/er"), true),
        digest(hidden.join("file"), "sha1"),
        content(dir.path().join("closed"), 10),
        path(dir.path().join("missing"), false),
    ];
    let temp = tempfile::tempdir().unwrap();
    fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let out = Command::new("setpriv")
        .args([
            "--reuid=65534",
            "--regid=65534",
            "--clear-groups",
            "sh",
            "-c",
        ])
        .arg(script(&probes))
        .env("MP_TMP", temp.path())
        .output()
        .unwrap();
    if !out.status.success() {
        return; // not root: nobody else to be
    }
    let seen = parse(&probes, &out.stdout).unwrap();
    for probe in &probes[..4] {
        assert_eq!(seen.unknown(probe), Some("permission denied"), "{probe:?}");
    }
    assert_eq!(seen.get(&probes[4]), Some(&Answer::Path(None)));
}

#[test]
fn many_probes_stay_small() {
    let dir = tempfile::tempdir().unwrap();
    let mut probes = Vec::new();
    for at in 0..450 {
        let file = dir
            .path()
            .join(format!("etc-some-service-conf.d-file-{at}.conf"));
        fs::write(&file, at.to_string()).unwrap();
        probes.extend([path(&file, false), path(&file, true), digest(&file, "sha1")]);
    }
    let text = script(&probes);
    assert!(text.len() < 60_000, "{}", text.len());
    for shell in SHELLS {
        let seen = run(shell, dir.path(), &probes);
        assert!(probes.iter().all(|probe| !matches!(
            seen.get(probe),
            None | Some(Answer::Path(None) | Answer::Digest(None) | Answer::Unknown(_))
        )));
    }
}

/// Processes that a script starts, itself included: as the numbers of a namespace of its own say. `None` when not root.
fn processes(script: &str) -> Option<u32> {
    let told = Command::new("unshare")
        .args(["--pid", "--fork", "sh", "-c"])
        .arg(format!("({script}) >/dev/null 2>&1\nsh -c 'echo $$'\n:"))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&told.stdout).trim().parse::<u32>();
    // Number 1 is the shell that starts the script, the last one tells.
    told.ok().map(|last| last - 2)
}

#[test]
fn processes_do_not_grow_with_the_probes() {
    let dir = tempfile::tempdir().unwrap();
    let mut probes = vec![
        Probe::User("root".into()),
        Probe::Group("root".into()),
        Probe::Script(":".into()),
    ];
    for at in 0..50 {
        let file = dir.path().join(at.to_string());
        fs::write(&file, "x").unwrap();
        probes.extend([path(&file, false), digest(&file, "sha1")]);
        probes.push(Probe::Package(format!("package{at}")));
    }
    let Some(few) = processes(&script(&probes)) else {
        return;
    };
    // The script; stat, sha1sum, dpkg-query, grep; getent three times; a shell and id for the memberships; one for the script.
    assert!(few <= 11, "{few}");
    // A process for each file whose bytes are wanted, none for keeping them.
    for at in 0..5 {
        probes.push(content(dir.path().join(at.to_string()), 10));
    }
    assert_eq!(processes(&script(&probes)), Some(few + 5));
}

#[test]
fn cut_output_is_an_error() {
    let probes = [path("/etc", false), Probe::Script("echo hello".into())];
    let temp = tempfile::tempdir().unwrap();
    let out = Command::new("sh")
        .arg("-c")
        .arg(script(&probes))
        .env("MP_TMP", temp.path())
        .output()
        .unwrap();
    assert!(parse(&probes, &out.stdout).is_ok());
    for length in 0..out.stdout.len() {
        assert!(parse(&probes, &out.stdout[..length]).is_err(), "{length}");
    }
}

#[test]
fn the_script_is_clean() {
    let probes = [
        path("/etc", false),
        path("/etc", true),
        digest("/etc/fstab", "sha1"),
        content("/etc/fstab", 10),
        Probe::Expand("~/x".into()),
        Probe::Access("/etc".into()),
        Probe::Real("/etc".into()),
        Probe::Flags("/etc".into()),
        Probe::Mime("/etc".into()),
        Probe::Package("dash".into()),
        Probe::Unit("cron".into()),
        Probe::User("root".into()),
        Probe::Group("root".into()),
        Probe::Script("true".into()),
    ];
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("script.sh");
    fs::write(&file, format!("#!/bin/sh\n{}", script(&probes))).unwrap();
    let Ok(out) = Command::new("shellcheck")
        .arg("--severity=warning")
        .arg(&file)
        .output()
    else {
        return; // linted where shellcheck is installed
    };
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stdout)
    );
}
