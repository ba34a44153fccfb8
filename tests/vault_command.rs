//! `mini-play vault`: alone, on a terminal, and with the real `ansible-vault` both ways.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test")]

#[path = "common/pty.rs"]
mod pty;

use pty::Pty;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const BIN: &str = env!("CARGO_BIN_EXE_mini-play");

/// A folder with passwords, an editor, and a program that knows passwords.
struct Desk {
    dir: tempfile::TempDir,
}

struct Ran {
    ok: bool,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        let desk = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        desk.put("one", "first password\n");
        desk.put("two", "second password\n");
        desk.program(
            "some-client",
            "[ \"$1 $2\" = '--vault-id prod' ] && echo from a program",
        );
        desk.program(
            "editor",
            "sed 's/old/new/' \"$1\" >\"$1.x\" && mv \"$1.x\" \"$1\"; echo added >>\"$1\"",
        );
        desk
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        std::fs::write(self.at(name), text).unwrap();
    }

    fn get(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap()
    }

    fn head(&self, name: &str) -> String {
        self.get(name).lines().next().unwrap_or_default().to_owned()
    }

    fn program(&self, name: &str, body: &str) {
        self.put(name, &format!("#!/bin/sh\n{body}\n"));
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(self.at(name), mode).unwrap();
    }

    fn prepare(&self, command: &mut Command) {
        command
            .current_dir(self.dir.path())
            .env("EDITOR", "./editor")
            .env("TMPDIR", self.dir.path())
            .env("HOME", self.dir.path())
            .env("PAGER", "cat")
            .env_remove("XDG_RUNTIME_DIR")
            .env_remove("ANSIBLE_VAULT_PASSWORD_FILE");
    }

    fn run(&self, program: &str, args: &[&str], stdin: &str) -> Ran {
        use std::io::Write as _;
        let mut command = Command::new(program);
        command.args(args);
        self.prepare(&mut command);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect(program);
        // One that does not read its input is fine.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        let output = child.wait_with_output().unwrap();
        Ran {
            ok: output.status.success(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn vault(&self, args: &str, stdin: &str) -> Ran {
        let args: Vec<&str> = ["vault"].into_iter().chain(args.split(' ')).collect();
        self.run(BIN, &args, stdin)
    }

    /// What must go well: its standard output.
    fn good(&self, args: &str, stdin: &str) -> String {
        let ran = self.vault(args, stdin);
        assert!(ran.ok, "{args}: {}", ran.err);
        ran.out
    }

    /// What must not: its error.
    fn bad(&self, args: &str) -> String {
        let ran = self.vault(args, "");
        assert!(!ran.ok, "{args}: {}", ran.out);
        ran.err
    }

    fn terminal(&self, args: &[&str]) -> Pty {
        Pty::start(BIN, args, |command| self.prepare(command))
    }

    /// Nothing plain lies about but in these files.
    fn holds_only_in(&self, text: &str, files: &[&str]) {
        for entry in std::fs::read_dir(self.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            assert!(!name.starts_with("mini-play-vault"), "{name} was left");
            if path.is_file() && !files.contains(&name.as_str()) {
                let held = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                assert!(!held.contains(text), "{name} holds {text}");
            }
        }
    }
}

#[test]
fn files_are_encrypted_changed_and_opened() {
    let desk = Desk::new();
    desk.put("a", "old text\n");
    desk.put("b", "another\n");
    let mode = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(desk.at("a"), mode).unwrap();
    std::os::unix::fs::symlink("a", desk.at("link")).unwrap();
    desk.good("encrypt --vault-password-file one link b", "");
    assert_eq!(desk.head("a"), "$ANSIBLE_VAULT;1.1;AES256");
    assert!(desk.at("link").is_symlink());
    assert_eq!(
        desk.at("a").metadata().unwrap().permissions().mode() & 0o777,
        0o640
    );
    assert_eq!(
        desk.good("view --vault-pass-file one a b", ""),
        "old text\nanother\n"
    );
    desk.good("edit --vault-password-file one a", "");
    assert_eq!(
        desk.good("view --vault-id x@two --vault-id y@one a", ""),
        "new text\nadded\n"
    );
    // Another password, by a program that is told the label.
    desk.good(
        "rekey --vault-id one --new-vault-id prod@some-client a b",
        "",
    );
    assert_eq!(desk.head("b"), "$ANSIBLE_VAULT;1.2;AES256;prod");
    assert!(
        desk.bad("view --vault-id one a")
            .contains("labelled `prod`")
    );
    // One of those that are known.
    desk.good(
        "rekey --vault-id prod@some-client --vault-id dev@two --encrypt-vault-id dev b",
        "",
    );
    assert_eq!(desk.head("b"), "$ANSIBLE_VAULT;1.2;AES256;dev");
    desk.good(
        "rekey --vault-id dev@two --new-vault-password-file one b",
        "",
    );
    assert_eq!(desk.head("b"), "$ANSIBLE_VAULT;1.1;AES256");
    // Elsewhere, and through pipes.
    desk.good("decrypt --vault-id prod@some-client --output plain a", "");
    assert_eq!(desk.get("plain"), "new text\nadded\n");
    assert_eq!(
        desk.at("plain").metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );
    desk.good("decrypt --vault-id one b", "");
    assert_eq!(desk.get("b"), "another\n");
    let piped = desk.good("encrypt --vault-id one", "piped");
    assert_eq!(desk.good("decrypt --vault-id one", &piped), "piped");
    desk.good("create --skip-tty-check --vault-id prod@one sub/new", "");
    assert_eq!(desk.good("view --vault-id one sub/new", ""), "added\n");
    desk.holds_only_in("added", &["plain", "editor"]);
}

#[test]
fn values_are_encrypted() {
    let desk = Desk::new();
    let yaml = desk.good(
        "encrypt_string --vault-id prod@one -n a -n b --stdin-name c first second third",
        "piped",
    );
    let keys: Vec<&str> = yaml
        .lines()
        .filter(|line| line.contains("!vault"))
        .collect();
    assert_eq!(
        keys,
        ["c: !vault |", "a: !vault |", "b: !vault |", "!vault |"]
    );
    assert!(yaml.contains("\n          $ANSIBLE_VAULT;1.2;AES256;prod\n"));
    // A play reads them.
    let named = yaml.rsplit_once("!vault").unwrap().0;
    desk.put("vars.yml", named);
    desk.put("hosts", "localhost ansible_connection=local\n");
    desk.put("play.yml", "- hosts: all\n  gather_facts: false\n  vars_files: [vars.yml]\n  tasks:\n    - assert: {that: [a == 'first', b == 'second', c == 'piped']}\n");
    let args = "apply hosts -p play.yml --vault-id one";
    let ran = desk.run(BIN, &args.split(' ').collect::<Vec<_>>(), "");
    assert!(ran.ok, "{}{}", ran.out, ran.err);
}

#[test]
fn mistakes_change_nothing() {
    let desk = Desk::new();
    desk.put("a", "plain\n");
    desk.put("b", "b\n");
    desk.good("encrypt --vault-id one b", "");
    let sealed = desk.get("b");
    for (args, says) in [
        ("encrypt --vault-id one a b", "b is encrypted already"),
        ("decrypt --vault-id one b a", "a is not encrypted"),
        ("view --vault-id one a", "a is not encrypted"),
        (
            "view --vault-id two b",
            "cannot decrypt b: no vault password opens it",
        ),
        (
            "rekey --vault-id one --new-vault-id two b missing",
            "failed to read missing",
        ),
        (
            "encrypt --vault-id x@one --vault-id y@two a",
            "--encrypt-vault-id",
        ),
        (
            "encrypt --vault-id x@one --encrypt-vault-id z a",
            "no password has the label `z` (there are: x)",
        ),
        ("encrypt --vault-id a;b@one a", "label `a;b`"),
        (
            "encrypt --vault-id one --output c a b",
            "`--output` goes with one file",
        ),
        ("create --vault-id one c", "there is no terminal"),
        ("create --skip-tty-check --vault-id one b", "b exists"),
        (
            "encrypt_string --vault-id one --prompt -",
            "`--prompt` does not go",
        ),
        ("encrypt_string --vault-id one", "a text is empty"),
    ] {
        let said = desk.bad(args);
        assert!(said.contains(says), "{args}: {said}");
        assert_eq!(
            (desk.get("a").as_str(), &desk.get("b")),
            ("plain\n", &sealed),
            "{args}"
        );
        assert!(!desk.at("c").exists(), "{args}");
    }
    desk.program("editor", "echo plain >>\"$1\"; exit 1");
    assert!(
        desk.bad("edit --vault-id one b")
            .contains("nothing was written")
    );
    assert_eq!(desk.get("b"), sealed);
    desk.holds_only_in("plain", &["a", "editor"]);
}

#[test]
fn passwords_are_asked_for_on_the_terminal() {
    let desk = Desk::new();
    desk.put("a", "old text\n");
    let mut terminal = desk.terminal(&["vault", "encrypt", "a"]);
    terminal.expect("New Vault password: ").secret("typed");
    terminal
        .expect("Confirm new Vault password: ")
        .secret("typed");
    let (status, shown) = terminal.end();
    assert!(
        status.success() && shown.contains("Encryption successful"),
        "{shown}"
    );
    assert!(!shown.contains("typed"), "{shown}");
    let mut terminal = desk.terminal(&[
        "vault",
        "rekey",
        "--ask-vault-pass",
        "--new-vault-id",
        "prod@prompt",
        "a",
    ]);
    terminal.expect("Vault password: ").secret("typed");
    terminal
        .expect("New Vault password (prod): ")
        .secret("other");
    terminal
        .expect("Confirm new Vault password (prod): ")
        .secret("another");
    let (status, shown) = terminal.end();
    assert!(
        !status.success() && shown.contains("are not the same"),
        "{shown}"
    );
    assert_eq!(desk.head("a"), "$ANSIBLE_VAULT;1.1;AES256");
    let mut terminal = desk.terminal(&["vault", "view", "--vault-id", "dev@prompt", "a"]);
    terminal.expect("Vault password (dev): ").secret("typed");
    let (status, shown) = terminal.end();
    assert!(status.success() && shown.contains("old text"), "{shown}");
    let mut terminal = desk.terminal(&["vault", "encrypt_string", "--vault-id", "one", "--prompt"]);
    terminal
        .expect("Variable name (enter for no name): ")
        .line("word");
    terminal
        .expect("String to encrypt (hidden): ")
        .secret("hushed");
    let (status, shown) = terminal.end();
    assert!(
        status.success() && shown.contains("word: !vault |"),
        "{shown}"
    );
    assert!(!shown.contains("hushed"), "{shown}");
    // A run asks, too.
    desk.put("hosts", "localhost ansible_connection=local\n");
    desk.put("play.yml", "- hosts: all\n  gather_facts: false\n  tasks:\n    - copy: {src: a, dest: \"{{ playbook_dir }}/copied\"}\n");
    let state = desk.at("state");
    let mut terminal = Pty::start(
        BIN,
        &["apply", "hosts", "-p", "play.yml", "--ask-vault-pass"],
        |command| {
            desk.prepare(command);
            command.env("MINI_PLAY_STATE", state);
        },
    );
    terminal.expect("Vault password: ").secret("typed");
    let (status, shown) = terminal.end();
    assert!(status.success(), "{shown}");
    assert_eq!(desk.get("copied"), "old text\n");
}

/// The real one, in a Python environment that is made once.
fn ansible_vault() -> PathBuf {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/differential");
    let program = venv.join("bin/ansible-vault");
    if !program.exists() {
        for args in [
            &["python3", "-m", "venv", "target/differential"][..],
            &[
                "target/differential/bin/pip",
                "install",
                "-q",
                "ansible-core==2.19.14",
            ],
        ] {
            let status = Command::new(args[0])
                .args(&args[1..])
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .status();
            assert!(status.is_ok_and(|status| status.success()), "{args:?}");
        }
    }
    program
}

#[test]
fn ansible_vault_opens_ours_and_we_open_its() {
    if std::env::var_os("MINI_PLAY_LAB_TESTS").is_none() {
        return;
    }
    let desk = Desk::new();
    let theirs = ansible_vault().display().to_string();
    let run = |args: &str, stdin: &str| {
        let ran = desk.run(&theirs, &args.split(' ').collect::<Vec<_>>(), stdin);
        assert!(ran.ok, "{args}: {}", ran.err);
        ran.out
    };
    let text = "umlauts \u{e4}\u{f6}\u{fc}, no newline";
    desk.put("a", text);
    desk.good("encrypt --vault-id prod@one a", "");
    assert_eq!(run("view --vault-id prod@one a", "").trim_end(), text);
    run("rekey --vault-id prod@one --new-vault-id dev@two a", "");
    assert_eq!(desk.good("view --vault-id dev@two a", ""), text);
    desk.good("edit --vault-id two a", "");
    assert_eq!(desk.head("a"), "$ANSIBLE_VAULT;1.2;AES256;dev");
    run("decrypt --vault-id two a", "");
    assert_eq!(desk.get("a"), format!("{text}added\n"));
    run("encrypt --vault-password-file one a", "");
    desk.good(
        "rekey --vault-password-file one --new-vault-id prod@some-client a",
        "",
    );
    assert_eq!(
        run("view --vault-id prod@some-client a", ""),
        format!("{text}added\n")
    );
    // Values: the same shape, and each reads the other's.
    let shape = |yaml: &str| {
        let lines = yaml.trim_end().lines();
        let masked = lines.map(|line| match line.starts_with("  ") && !line.contains('$') {
            true => line.replace(|c: char| c.is_ascii_hexdigit(), "0"),
            false => line.to_owned(),
        });
        masked.collect::<Vec<_>>()
    };
    for args in [
        "encrypt_string --vault-id dev@one --stdin-name foo",
        "encrypt_string --vault-id one",
    ] {
        let (ours, other) = (desk.good(args, "value"), run(args, "value"));
        assert_eq!(shape(&ours), shape(&other), "{args}");
        let bare = |yaml: &str| yaml.split_once("|\n").unwrap().1.replace(' ', "");
        assert_eq!(run("decrypt --vault-id one", &bare(&ours)), "value");
        assert_eq!(desk.good("decrypt --vault-id one", &bare(&other)), "value");
    }
}
