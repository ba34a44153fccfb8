//! Twenty secrets are planted in a run over SSH with sudo; none of them may be found in what it writes, in the process
//! list, or in what it leaves on a host beside the files that the play puts there. Needs root and openssh-server.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[path = "common/sshd.rs"]
mod sshd;

use mini_play::vault::seal;
use sshd::{Sshd, keygen};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Secrets by what they are.
struct Secrets(Vec<(&'static str, String)>);

impl Secrets {
    fn new() -> Self {
        // The process and the time make them unlike any other text on this machine.
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap()
            .as_nanos();
        let one = |(at, name): (usize, &'static str)| {
            let odd = if name == "quoted" {
                "' \"$(x)\\ \u{e4}"
            } else {
                ""
            };
            (name, format!("Zq{at}{odd}x{now:x}{}", std::process::id()))
        };
        let names = [
            "login",
            "become",
            "passphrase",
            "vault",
            "inline",
            "quoted",
            "vaulted",
            "listed",
            "extra",
            "file",
            "template",
            "key",
            "url",
            "uri",
            "header",
            "htpasswd",
            "environment",
            "stdin",
            "shell",
            "hidden",
            "line",
        ];
        Self(names.into_iter().enumerate().map(one).collect())
    }

    fn get(&self, name: &str) -> &str {
        let (_, text) = self.0.iter().find(|(known, _)| *known == name).expect(name);
        text
    }

    /// Those that a text holds, in plain or base64.
    fn found(&self, text: &str) -> BTreeSet<&'static str> {
        use base64::Engine as _;
        let held = |secret: &str| {
            let json = serde_json::to_string(secret).unwrap();
            let whole = &secret.as_bytes()[..secret.len() / 3 * 3];
            let encoded = base64::engine::general_purpose::STANDARD.encode(whole);
            [secret, json.trim_matches('"'), &encoded]
                .iter()
                .any(|form| text.contains(form))
        };
        let held = self.0.iter().filter(|(_, secret)| held(secret));
        held.map(|(name, _)| *name).collect()
    }
}

/// A `!vault` value.
fn value(name: &str, text: &str, password: &str) -> String {
    let mut yaml = format!("{name}: !vault |\n");
    for line in seal(text.as_bytes(), password, None).unwrap().lines() {
        writeln!(yaml, "  {line}").unwrap();
    }
    yaml
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}

/// Every file below a folder.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            match entry.file_type().unwrap().is_dir() {
                true => dirs.push(entry.path()),
                false => files.push(entry.path()),
            }
        }
    }
    files
}

/// The argument lists of all processes, read over and over until told to stop: what the secrets were seen in.
fn watch(secrets: &Arc<Secrets>, stop: &Arc<AtomicBool>) -> std::thread::JoinHandle<Vec<String>> {
    let (secrets, stop) = (Arc::clone(secrets), Arc::clone(stop));
    std::thread::spawn(move || {
        let mut seen = BTreeSet::new();
        while !stop.load(Ordering::Relaxed) {
            for entry in std::fs::read_dir("/proc").unwrap().flatten() {
                let Some(pid) = entry
                    .file_name()
                    .to_str()
                    .and_then(|name| name.parse::<u32>().ok())
                else {
                    continue;
                };
                let words = read(Path::new(&format!("/proc/{pid}/cmdline")));
                if words.contains("Zq") && !secrets.found(&words).is_empty() {
                    seen.insert(words.replace('\0', " "));
                }
            }
        }
        seen.into_iter().collect()
    })
}

const PLAY: &str = r#"
- hosts: all
  gather_facts: false
  become: true
  vars_files: [vaulted.yml]
  tasks:
    - debug: {msg: "{{ inline }} {{ quoted }}"}
    - debug: {var: vaulted}
    - debug: {var: "hostvars[inventory_hostname]"}
    - debug: {msg: "{{ item }}"}
      loop: ["{{ inline }}", "{{ listed[0] }}"]
    - name: "named after {{ inline }}"
      fail: {msg: "because of {{ extra }}"}
      ignore_errors: true
    - assert: {that: "'{{ inline }}' == 'x'", fail_msg: "{{ quoted }}"}
      ignore_errors: true
    - set_fact: {copied: "x{{ vaulted }}x"}
    - debug: {msg: "{{ copied | b64encode }} {{ {'a': quoted} | to_json }} {{ vaulted | b64encode }}"}
    - debug: {msg: "{{ inline | int_or_what }}"}
      ignore_errors: true
    - copy: {src: file, dest: "{{ to }}/file", mode: "0600"}
    - copy: {content: "{{ key }}", dest: "{{ to }}/key", mode: "0600"}
    - template: {src: template, dest: "{{ to }}/template", mode: "0600"}
    - lineinfile: {path: "{{ to }}/lines", line: "p={{ line }}", create: true, mode: "0600"}
    - blockinfile: {path: "{{ to }}/lines", block: "q={{ quoted }}"}
    - replace: {path: "{{ to }}/lines", regexp: "nothing", replace: "{{ line }}"}
    - ini_file: {path: "{{ to }}/ini", section: s, option: o, value: "{{ line }}", mode: "0600"}
    - htpasswd: {path: "{{ to }}/htpasswd", name: u, password: "{{ htpasswd }}", crypt_scheme: plaintext}
    - get_url: {url: "http://user:{{ url }}@{{ server }}/page", dest: "{{ to }}/page", force: true, checksum: "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"}
    - authorized_key: {user: root, key: "http://user:{{ url }}@{{ server }}/page"}
      ignore_errors: true
    - uri: {url: "http://{{ server }}/echo", url_username: u, url_password: "{{ uri }}", force_basic_auth: true, headers: {X-Token: "{{ header }}"}, return_content: true}
    - shell: 'printf %s "$TOKEN" | sha256sum; echo "$TOKEN" >&2; sleep 0.2'
      environment: {TOKEN: "{{ environment_secret }}"}
    - command: cat
      args: {stdin: "{{ stdin }}"}
    - shell: "x='{{ shell }}'; echo \"$x\"; echo \"$x\" >&2; sleep 0.2; false"
      ignore_errors: true
    - command: cat {{ to }}/hidden
      no_log: true
      register: hidden
    - debug: {var: hidden}
    - command: cat {{ to }}/key {{ to }}/lines
    - slurp: {src: "{{ to }}/key"}
    - command: /nonexistent/{{ inline }}
      ignore_errors: true
"#;

#[test]
fn planted_secrets_are_found_nowhere() {
    let secrets = Arc::new(Secrets::new());
    let get = |name: &str| secrets.get(name);
    let sshd = Sshd::with_users(
        &[
            ("alice", "/bin/bash", get("become")),
            ("bob", "/bin/sh", get("login")),
        ],
        "root ALL=(ALL) ALL\nalice ALL=(ALL) ALL\nbob ALL=(ALL) NOPASSWD: ALL\n",
    );
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let put = |name: &str, text: &str| std::fs::write(at(name), text).unwrap();
    // Alice comes with a key under a passphrase, Bob with a password.
    keygen(&at("id"), "ed25519", get("passphrase"));
    let known = read(&sshd.dir.path().join("authorized_keys")) + &read(&at("id.pub"));
    std::fs::write(sshd.dir.path().join("authorized_keys"), known).unwrap();
    let own_key = read(&at("id"));
    let pages =
        serde_json::json!({"/page": {"body": "foo", "login": format!("user:{}", get("url"))}});
    let server = common::http::serve(&serde_json::from_value(pages).unwrap());

    let vault = get("vault");
    put("password", vault);
    let sealed = |text: &str| seal(text.as_bytes(), vault, None).unwrap();
    put(
        "vaulted.yml",
        &sealed(&format!(
            "vaulted: {}\nlisted: [{}]\n",
            get("vaulted"),
            get("listed")
        )),
    );
    put("extra.yml", &sealed(&format!("extra: {}\n", get("extra"))));
    put(
        "file",
        &sealed(&format!("first\npassword {}\n", get("file"))),
    );
    put(
        "template",
        &sealed(&format!("{}\n{{{{ inline }}}}\n", get("template"))),
    );
    let body = format!("{}{}", get("key"), "k".repeat(40));
    let key = format!(
        "-----BEGIN OPENSSH PRIVATE KEY-----\n{body}\nshort{}\n-----END OPENSSH PRIVATE KEY-----\n",
        get("key")
    );
    let mut inventory = format!(
        "all:\n  hosts:\n    alice: {{ansible_user: alice, ansible_ssh_private_key_file: {id}}}\n    bob: {{ansible_user: bob}}\n  vars:\n    ansible_host: 127.0.0.1\n    ansible_port: {port}\n    \
         ansible_ssh_common_args: -o UserKnownHostsFile={known} -o GlobalKnownHostsFile=none\n    server: {server}\n    to: /nowhere\n",
        id = at("id").display(),
        port = sshd.address.port(),
        known = sshd.known_hosts().display(),
        server = server.trim_start_matches("http://"),
    );
    for (name, text) in [
        ("ansible_ssh_private_key_passphrase", get("passphrase")),
        ("ansible_become_password", get("become")),
        ("ansible_password", get("login")),
        ("inline", get("inline")),
        ("quoted", get("quoted")),
        ("key", &key),
        ("url", get("url")),
        ("uri", get("uri")),
        ("header", get("header")),
        ("htpasswd", get("htpasswd")),
        ("environment_secret", get("environment")),
        ("stdin", get("stdin")),
        ("shell", get("shell")),
        ("line", get("line")),
    ] {
        for line in value(name, text, vault).lines() {
            writeln!(inventory, "    {line}").unwrap();
        }
    }
    put("inventory.yml", &inventory);
    put("play.yml", PLAY);

    let stop = Arc::new(AtomicBool::new(false));
    let watched = watch(&secrets, &stop);
    let mut wrong = Vec::new();
    for form in ["text", "ansible", "json", "junit"] {
        let to = at(&format!("to-{form}"));
        std::fs::create_dir(&to).unwrap();
        std::fs::write(to.join("hidden"), get("hidden")).unwrap();
        let state = at(&format!("state-{form}"));
        let output = Command::new(env!("CARGO_BIN_EXE_mini-play"))
            .current_dir(dir.path())
            .args([
                "apply",
                "inventory.yml",
                "-p",
                "play.yml",
                "-vv",
                "--no-lock",
                "--diff",
                "--output",
                form,
            ])
            .args([
                "--vault-password-file",
                "password",
                "-e",
                "@extra.yml",
                "-e",
            ])
            .arg(format!("to={}", to.display()))
            .env("MINI_PLAY_STATE", &state)
            .env("MINI_PLAY_LOG", "trace")
            .env("HOME", dir.path())
            .env_remove("SSH_AUTH_SOCK")
            .output()
            .unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        // It came to its end on both hosts, or nothing was tested.
        let recap = match form {
            "text" => out.matches("failed=0").count() == 2,
            _ => output.status.success(),
        };
        assert!(recap, "{form}: {out}\n{err}");
        for (place, text) in [("output", &out), ("log", &err)] {
            for name in secrets.found(text) {
                let line = text.lines().find(|line| !secrets.found(line).is_empty());
                wrong.push(format!(
                    "{form}: {name} in the {place}: {}",
                    line.unwrap_or_default()
                ));
            }
            let line = own_key.lines().nth(2).unwrap();
            assert!(
                !text.contains(line),
                "{form}: the key of the login in the {place}"
            );
        }
        let kept = files(&state);
        assert!(kept.len() > 3, "{kept:?}");
        for file in kept {
            for name in secrets.found(&read(&file)) {
                wrong.push(format!("{form}: {name} in {}", file.display()));
            }
        }
        // The files that the play was to make do hold them, so the search can find something.
        let made: String = files(&to).iter().map(|file| read(file)).collect();
        let made = secrets.found(&made);
        for name in [
            "inline", "file", "template", "key", "line", "quoted", "htpasswd", "hidden",
        ] {
            assert!(made.contains(name), "{name} did not arrive");
        }
    }
    stop.store(true, Ordering::Relaxed);
    for words in watched.join().unwrap() {
        wrong.push(format!("in the process list: {words}"));
    }
    // Nothing of ours is left where programs keep their temporary files, and homes hold nothing.
    for dir in ["/tmp", "/var/tmp", "/run/lock", "/dev/shm"] {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            use std::os::unix::fs::MetadataExt as _;
            let ours = entry
                .metadata()
                .is_ok_and(|meta| meta.uid() == 61000 || meta.uid() == 61001);
            let name = entry.file_name().to_string_lossy().into_owned();
            if ours && name.contains("mini-play") {
                wrong.push(format!("{dir}/{name} was left"));
            }
        }
    }
    for file in files(&sshd.dir.path().join("home")) {
        if !secrets.found(&read(&file)).is_empty() {
            wrong.push(format!("{} holds secrets", file.display()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}
