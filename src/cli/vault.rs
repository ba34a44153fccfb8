//! Options that say where vault passwords come from.

use crate::vault::{DEFAULT, Labelled, Vault};
use anyhow::{Context as _, Result, bail};
use clap::Args;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use zeroize::Zeroizing;

/// Where vault passwords come from.
#[derive(Debug, Args, Default)]
pub(super) struct VaultArgs {
    /// File with a vault password, or a program that prints it
    #[arg(long, visible_alias = "vault-pass-file", value_name = "FILE")]
    vault_password_file: Vec<PathBuf>,
    /// Ask for the vault password
    #[arg(short = 'J', long, visible_alias = "ask-vault-password")]
    ask_vault_pass: bool,
    /// A vault password by label: LABEL@FILE, LABEL@prompt, FILE or prompt
    #[arg(long, value_name = "ID")]
    vault_id: Vec<String>,
}

impl VaultArgs {
    /// Adds what a configuration says: a password file, and identities between commas.
    pub(super) fn configure(&mut self, file: Option<&str>, ids: Option<&str>) {
        self.vault_password_file.extend(file.map(PathBuf::from));
        let mut listed: Vec<String> = ids
            .into_iter()
            .flat_map(|ids| ids.split(','))
            .map(|id| id.trim().to_owned())
            .filter(|id| !id.is_empty())
            .collect();
        // Those of the configuration come first, as in Ansible.
        listed.append(&mut self.vault_id);
        self.vault_id = listed;
    }

    /// Reads and asks for the passwords.
    pub(super) fn open(&self) -> Result<Vault> {
        self.gather(Asking::Known).map(Vault::new)
    }

    /// The passwords, in the order in which they are tried.
    pub(super) fn gather(&self, asking: Asking) -> Result<Vec<Labelled>> {
        let mut passwords = Vec::new();
        for id in &self.vault_id {
            passwords.push(identity(id, asking)?);
        }
        let mut files = self.vault_password_file.clone();
        if let Some(file) = std::env::var_os("ANSIBLE_VAULT_PASSWORD_FILE").map(PathBuf::from)
            && !file.as_os_str().is_empty()
            && !files.contains(&file)
        {
            files.push(file);
        }
        for file in &files {
            passwords.push((DEFAULT.to_owned(), read(file, None)?));
        }
        if self.ask_vault_pass {
            passwords.push((DEFAULT.to_owned(), ask(None, asking)?));
        }
        Ok(passwords)
    }

    /// The same, and the user is asked when nothing says where a password comes from.
    pub(super) fn gather_or_ask(&self, asking: Asking) -> Result<Vec<Labelled>> {
        let passwords = self.gather(asking)?;
        if passwords.is_empty() {
            return Ok(vec![(DEFAULT.to_owned(), ask(None, asking)?)]);
        }
        Ok(passwords)
    }
}

/// What a password that is asked for is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asking {
    /// One that is in use.
    Known,
    /// A new one: it is asked for twice.
    New,
}

/// The password of `LABEL@FILE`, `LABEL@prompt`, `FILE` or `prompt`.
pub(super) fn identity(id: &str, asking: Asking) -> Result<Labelled> {
    // The label ends at the last `@` before a path, but paths rarely hold one: the first, as in Ansible.
    let (label, source) = id.split_once('@').unwrap_or((DEFAULT, id));
    let label = if label.is_empty() { DEFAULT } else { label };
    let password = if source == "prompt" {
        ask(Some(label), asking)?
    } else {
        read(Path::new(source), Some(label))?
    };
    Ok((label.to_owned(), password))
}

/// A password from a file, or from what a program prints; programs whose name ends in `-client` are told the label.
pub(super) fn read(path: &Path, label: Option<&str>) -> Result<Zeroizing<String>> {
    let shown = path.display();
    let path = match (path.strip_prefix("~"), std::env::home_dir()) {
        (Ok(rest), Some(home)) => home.join(rest),
        _ => std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()),
    };
    let meta = std::fs::metadata(&path)
        .with_context(|| format!("the vault password file {shown} was not found"))?;
    let program = meta.is_file() && meta.permissions().mode() & 0o111 != 0;
    let bytes = if program {
        let mut command = Command::new(&path);
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        if let (true, Some(label)) = (stem.ends_with("-client"), label) {
            command.args(["--vault-id", label]);
        }
        let output = command
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("the vault password program {shown} cannot be run (if it is none, it must not be executable)"))?;
        if !output.status.success() {
            bail!(
                "the vault password program {shown} failed: {}",
                output.status
            );
        }
        Zeroizing::new(output.stdout)
    } else {
        let bytes = std::fs::read(&path);
        Zeroizing::new(
            bytes.with_context(|| format!("failed to read the vault password file {shown}"))?,
        )
    };
    let text = std::str::from_utf8(&bytes)
        .with_context(|| format!("the vault password of {shown} is not UTF-8"))?;
    let text = if program {
        text.trim_matches(['\r', '\n'])
    } else {
        text.trim()
    };
    if text.is_empty() {
        bail!("the vault password of {shown} is empty");
    }
    Ok(Zeroizing::new(text.to_owned()))
}

/// Asks on the terminal, for a new password twice.
fn ask(label: Option<&str>, asking: Asking) -> Result<Zeroizing<String>> {
    let label = label.map(|label| format!(" ({label})")).unwrap_or_default();
    let prompt = |what: &str| {
        rpassword::prompt_password(format!("{what}{label}: "))
            .map(Zeroizing::new)
            .context("failed to ask for the vault password (there is no terminal)")
    };
    let text = match asking {
        Asking::Known => prompt("Vault password")?,
        Asking::New => {
            let text = prompt("New Vault password")?;
            if *prompt("Confirm new Vault password")? != *text {
                bail!("the two passwords are not the same");
            }
            text
        }
    };
    if text.is_empty() {
        bail!("the vault password is empty");
    }
    Ok(text)
}
