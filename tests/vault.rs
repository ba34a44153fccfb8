//! Files and values that `ansible-vault` encrypted: `tests/inputs/vault`, made by its `generate.sh`.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn inputs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inputs/vault")
}

struct Ran {
    code: i32,
    text: String,
    dir: tempfile::TempDir,
}

/// Runs the play with these options; `-e tmp=` is a folder of its own.
fn run(options: &[&str], set: &[(&str, &str)]) -> Ran {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mini-play"))
        .current_dir(inputs())
        .args(["apply", "hosts", "-p", "play.yml", "-vv", "--diff", "-e"])
        .arg(format!("tmp={}", dir.path().display()))
        .args(options)
        .env("MINI_PLAY_STATE", dir.path().join("state"))
        .env_remove("ANSIBLE_VAULT_PASSWORD_FILE")
        .envs(set.iter().copied())
        .output()
        .unwrap();
    let text = [&output.stdout[..], &output.stderr[..]].map(|part| String::from_utf8_lossy(part));
    Ran {
        code: output.status.code().unwrap(),
        text: text.concat(),
        dir,
    }
}

impl Ran {
    fn made(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    /// Every file that the run kept for itself.
    fn state(&self) -> String {
        let mut text = String::new();
        let mut folders = vec![self.dir.path().join("state")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    text.push_str(&String::from_utf8_lossy(&std::fs::read(path).unwrap()));
                }
            }
        }
        text
    }
}

const BOTH: [&str; 4] = [
    "--vault-password-file",
    "password",
    "--vault-id",
    "prod@prod-password",
];

#[test]
fn encrypted_files_and_values_are_used() {
    let ran = run(&BOTH, &[]);
    assert_eq!(ran.code, 0, "{}", ran.text);
    assert_eq!(ran.made("raw"), "raw sealed bytes\n");
    assert!(ran.made("as-is").starts_with("$ANSIBLE_VAULT;1.1;AES256\n"));
    assert_eq!(ran.made("motd"), "Sealed motd: from-group-vars\n");
    assert_eq!(
        ran.made("values"),
        "s3cret value|labelled_secret|from-group-vars\n"
    );
    assert!(ran.text.contains("SEALED-TASK"), "{}", ran.text);
    let state = ran.state();
    assert!(state.contains("motd"), "{state}");
    for secret in [
        "raw sealed bytes",
        "Sealed motd",
        "s3cret value",
        "labelled_secret",
    ] {
        assert!(!state.contains(secret), "{secret}: {state}");
    }
    // What `no_log` hides stays hidden.
    assert!(
        !ran.text.contains("\"stdout\": \"s3cret value"),
        "{}",
        ran.text
    );
}

#[test]
fn passwords_come_from_files_programs_and_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("pass-client");
    std::fs::write(
        &program,
        "#!/bin/sh\n[ \"$2\" = prod ] && echo prod password\n",
    )
    .unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let id = format!("prod@{}", program.display());
    let ran = run(
        &["--vault-id", &id],
        &[("ANSIBLE_VAULT_PASSWORD_FILE", "password")],
    );
    assert_eq!(ran.code, 0, "{}", ran.text);
    let ran = run(
        &["--vault-id", "password", "--vault-id", "prod-password"],
        &[],
    );
    assert_eq!(ran.code, 0, "{}", ran.text);
}

#[test]
fn what_cannot_be_opened_is_an_error_before_any_connection() {
    for (options, says) in [
        (&[][..], "there is no vault password"),
        (
            &BOTH[..2],
            "no vault password opens it (it is labelled `prod`)",
        ),
        (
            &["--vault-password-file", "missing"],
            "vault password file missing was not found",
        ),
        (
            &["--vault-id", "prod-password"],
            "no vault password opens it",
        ),
    ] {
        let ran = run(options, &[]);
        assert!(
            ran.code != 0 && ran.text.contains(says),
            "{options:?}: {}",
            ran.text
        );
        assert!(!ran.dir.path().join("raw").exists());
    }
}

#[test]
fn mistakes_in_encrypted_files_do_not_show_them() {
    let ran = run(&[&BOTH[..], &["-e", "@broken.yml"]].concat(), &[]);
    assert!(
        ran.code != 0 && ran.text.contains("broken.yml:"),
        "{}",
        ran.text
    );
    assert!(!ran.text.contains("hunter2"), "{}", ran.text);
}
