//! `mini-play vault`: what `ansible-vault` does, with its options and its file format.

use super::ansible_cfg::Config;
use super::common;
use super::exit;
use super::sealed_files::{self as files, STDIO};
use super::vault::{self, Asking, VaultArgs};
use crate::vault::{DEFAULT, Labelled, Opened, Vault, seal};
use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use zeroize::Zeroizing;

/// Write and read files and values that only a password opens.
#[derive(Debug, Parser)]
pub(super) struct VaultCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write a new encrypted file in an editor
    Create(Create),
    /// Change an encrypted file in an editor ($EDITOR); it stays encrypted under the same password
    Edit(Files),
    /// Show encrypted files
    View(Files),
    /// Encrypt files in place, or standard input
    Encrypt(Encrypt),
    /// Decrypt files in place, or standard input
    Decrypt(Decrypt),
    /// Encrypt files anew under another password
    Rekey(Rekey),
    /// Encrypt texts as YAML values; better from standard input or --prompt than from arguments, which others can see
    #[command(name = "encrypt_string", visible_alias = "encrypt-string")]
    EncryptString(EncryptString),
}

/// Which password encrypts.
#[derive(Debug, Args)]
struct Under {
    /// Label of the password to encrypt with, when there are several
    #[arg(
        long,
        value_name = "LABEL",
        env = "ANSIBLE_VAULT_ENCRYPT_IDENTITY",
        hide_env = true
    )]
    encrypt_vault_id: Option<String>,
}

#[derive(Debug, Args)]
struct Create {
    #[command(flatten)]
    passwords: VaultArgs,
    #[command(flatten)]
    under: Under,
    /// Open the editor even without a terminal
    #[arg(long)]
    skip_tty_check: bool,
    /// The new file
    file: PathBuf,
}

#[derive(Debug, Args)]
struct Files {
    #[command(flatten)]
    passwords: VaultArgs,
    /// Encrypted files
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct Encrypt {
    #[command(flatten)]
    passwords: VaultArgs,
    #[command(flatten)]
    under: Under,
    /// Write here instead of in place; `-` is standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Files; none or `-` is standard input
    files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct Decrypt {
    #[command(flatten)]
    passwords: VaultArgs,
    /// Write here instead of in place; `-` is standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Files; none or `-` is standard input
    files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct Rekey {
    #[command(flatten)]
    passwords: VaultArgs,
    #[command(flatten)]
    under: Under,
    /// The new password: LABEL@FILE, LABEL@prompt, FILE or prompt
    #[arg(long, value_name = "ID")]
    new_vault_id: Option<String>,
    /// File with the new password, or a program that prints it
    #[arg(long, value_name = "FILE")]
    new_vault_password_file: Option<PathBuf>,
    /// Encrypted files
    #[arg(required = true)]
    files: Vec<PathBuf>,
}

#[derive(Debug, Args)]
struct EncryptString {
    #[command(flatten)]
    passwords: VaultArgs,
    #[command(flatten)]
    under: Under,
    /// Write here instead of to standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Ask for the text
    #[arg(short, long)]
    prompt: bool,
    /// Show what is typed at the prompt
    #[arg(long)]
    show_input: bool,
    /// Name of the variable, once for each text
    #[arg(short, long, value_name = "NAME")]
    name: Vec<String>,
    /// Name of the variable that is read from standard input
    #[arg(long, value_name = "NAME")]
    stdin_name: Option<String>,
    /// Texts; none or `-` is standard input
    texts: Vec<String>,
}

/// Runs the program under the name `ansible-vault`: with what `ansible.cfg` says about passwords, too.
pub(super) fn main() -> ExitCode {
    let mut command = match VaultCommand::try_parse() {
        Ok(command) => command,
        Err(error) => error.exit(),
    };
    let config = Config::read();
    command.action.passwords().configure(
        config.get("vault_password_file"),
        config.get("vault_identity_list"),
    );
    common::logging();
    run(command).unwrap_or_else(|error| common::fail(&error))
}

/// Runs the command.
pub(super) fn run(command: VaultCommand) -> Result<ExitCode> {
    match command.action {
        Action::Create(args) => create(&args)?,
        Action::Edit(args) => edit(&args)?,
        Action::View(args) => view(&args)?,
        Action::Encrypt(args) => encrypt(&args)?,
        Action::Decrypt(args) => decrypt(&args)?,
        Action::Rekey(args) => rekey(&args)?,
        Action::EncryptString(args) => encrypt_string(args)?,
    }
    Ok(ExitCode::from(exit::OK))
}

impl Action {
    fn passwords(&mut self) -> &mut VaultArgs {
        match self {
            Self::Create(args) => &mut args.passwords,
            Self::Edit(args) | Self::View(args) => &mut args.passwords,
            Self::Encrypt(args) => &mut args.passwords,
            Self::Decrypt(args) => &mut args.passwords,
            Self::Rekey(args) => &mut args.passwords,
            Self::EncryptString(args) => &mut args.passwords,
        }
    }
}

impl Under {
    /// The password to encrypt with: the only one, or the one of the label.
    fn choose(&self, passwords: Vec<Labelled>) -> Result<Labelled> {
        let labels: Vec<String> = passwords.iter().map(|(label, _)| label.clone()).collect();
        let labels = labels.join(", ");
        let Some(wanted) = &self.encrypt_vault_id else {
            let mut passwords = passwords.into_iter();
            return match (passwords.next(), passwords.next()) {
                (Some(only), None) => Ok(only),
                (_, Some(_)) => bail!(
                    "there are several passwords ({labels})\n  hint: say which one encrypts with `--encrypt-vault-id LABEL`"
                ),
                (None, None) => bail!("there is no vault password"),
            };
        };
        passwords
            .into_iter()
            .find(|(label, _)| label == wanted)
            .with_context(|| format!("no password has the label `{wanted}` (there are: {labels})"))
    }
}

/// Encrypts under a password; its label is written down.
fn sealed(plain: &[u8], (label, password): &Labelled) -> Result<String> {
    seal(plain, password, Some(label)).map_err(anyhow::Error::msg)
}

/// Opens what was read from a file.
fn opened<'a>(vault: &'a Vault, path: &Path, text: &[u8]) -> Result<Opened<'a>> {
    let shown = path.display();
    let armoured = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.starts_with(crate::vault::HEAD))
        .with_context(|| format!("{shown} is not encrypted"))?;
    vault
        .unseal(armoured)
        .map_err(|why| anyhow::anyhow!("cannot decrypt {shown}: {why}"))
}

fn known(passwords: &VaultArgs) -> Result<Vault> {
    passwords.gather_or_ask(Asking::Known).map(Vault::new)
}

/// Says that it went well, where somebody watches.
fn done(what: &str) {
    if std::io::stdout().is_terminal() {
        eprintln!("{what} successful");
    }
}

fn create(args: &Create) -> Result<()> {
    let file = &args.file;
    if !std::io::stdout().is_terminal() && !args.skip_tty_check {
        bail!(
            "there is no terminal for the editor\n  hint: `--skip-tty-check` starts it all the same"
        );
    }
    if file.exists() {
        bail!("{} exists; `vault edit` changes it", file.display());
    }
    let passwords = args.passwords.gather_or_ask(Asking::New)?;
    let password = args.under.choose(passwords)?;
    let plain = files::edited(file, b"")?;
    if let Some(dir) = file.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        std::fs::create_dir_all(dir)
            .with_context(|| format!("failed to make the folder {}", dir.display()))?;
    }
    files::write(file, sealed(&plain, &password)?.as_bytes())
}

fn edit(args: &Files) -> Result<()> {
    let vault = known(&args.passwords)?;
    for file in &args.files {
        let text = files::read(file)?;
        let Opened {
            plain,
            password: (_, password),
            label,
        } = opened(&vault, file, &text)?;
        let new = files::edited(file, &plain)?;
        if *new != *plain {
            // The label stays, whichever password opened it.
            let text = seal(&new, password, label.as_deref()).map_err(anyhow::Error::msg)?;
            files::write(file, text.as_bytes())?;
        }
    }
    Ok(())
}

fn view(args: &Files) -> Result<()> {
    let vault = known(&args.passwords)?;
    for file in &args.files {
        files::show(&opened(&vault, file, &files::read(file)?)?.plain)?;
    }
    Ok(())
}

/// What is read, and where what comes of it goes.
fn pairs<'a>(files: &'a [PathBuf], output: Option<&'a Path>) -> Result<Vec<(&'a Path, &'a Path)>> {
    let stdio = Path::new(STDIO);
    match (files, output) {
        ([], output) => Ok(vec![(stdio, output.unwrap_or(stdio))]),
        ([file], Some(output)) => Ok(vec![(file, output)]),
        (_, Some(_)) => bail!("`--output` goes with one file"),
        (files, None) => Ok(files
            .iter()
            .map(|file| (file.as_path(), file.as_path()))
            .collect()),
    }
}

/// Reads every file and turns each into what is to be written before the first is.
fn turn(
    pairs: Vec<(&Path, &Path)>,
    each: impl Fn(&Path, &[u8]) -> Result<Zeroizing<Vec<u8>>>,
) -> Result<()> {
    let mut ready = Vec::new();
    for (from, to) in pairs {
        ready.push((to, each(from, &files::read(from)?)?));
    }
    for (to, bytes) in ready {
        files::write(to, &bytes)?;
    }
    Ok(())
}

fn encrypt(args: &Encrypt) -> Result<()> {
    let pairs = pairs(&args.files, args.output.as_deref())?;
    let passwords = args.passwords.gather_or_ask(Asking::New)?;
    let password = args.under.choose(passwords)?;
    turn(pairs, |file, plain| {
        if plain.starts_with(crate::vault::HEAD.as_bytes()) {
            bail!("{} is encrypted already", file.display());
        }
        Ok(Zeroizing::new(sealed(plain, &password)?.into_bytes()))
    })?;
    done("Encryption");
    Ok(())
}

fn decrypt(args: &Decrypt) -> Result<()> {
    let pairs = pairs(&args.files, args.output.as_deref())?;
    let vault = known(&args.passwords)?;
    turn(pairs, |file, text| Ok(opened(&vault, file, text)?.plain))?;
    done("Decryption");
    Ok(())
}

fn rekey(args: &Rekey) -> Result<()> {
    let mut old = args.passwords.gather_or_ask(Asking::Known)?;
    let mut new = Vec::new();
    if args.under.encrypt_vault_id.is_some() {
        // One of those that are known may be the new one.
        new.extend_from_slice(&old);
    }
    if let Some(id) = &args.new_vault_id {
        new.push(vault::identity(id, Asking::New)?);
    }
    if let Some(file) = &args.new_vault_password_file {
        new.push((DEFAULT.to_owned(), vault::read(file, None)?));
    }
    if new.is_empty() {
        new.push(vault::identity("prompt", Asking::New)?);
    }
    let password = args.under.choose(new)?;
    let vault = Vault::new(std::mem::take(&mut old));
    turn(pairs(&args.files, None)?, |file, text| {
        let plain = opened(&vault, file, text)?.plain;
        Ok(Zeroizing::new(sealed(&plain, &password)?.into_bytes()))
    })?;
    done("Rekey");
    Ok(())
}

fn encrypt_string(args: EncryptString) -> Result<()> {
    let dash = args.texts.iter().any(|text| text == STDIO);
    let stdin = dash || args.stdin_name.is_some() || (args.texts.is_empty() && !args.prompt);
    if stdin && args.prompt {
        bail!("`--prompt` does not go with reading standard input");
    }
    let passwords = args.passwords.gather_or_ask(Asking::New)?;
    let password = args.under.choose(passwords)?;
    let mut texts: Vec<(Option<String>, Zeroizing<Vec<u8>>)> = Vec::new();
    let mut names = args.name.into_iter();
    if args.prompt {
        let name = match names.next() {
            Some(name) => name,
            None => files::ask("Variable name (enter for no name): ", true)?.to_string(),
        };
        let text = match args.show_input {
            true => files::ask("String to encrypt: ", true)?,
            false => files::ask("String to encrypt (hidden): ", false)?,
        };
        texts.push((
            Some(name).filter(|name| !name.is_empty()),
            Zeroizing::new(text.as_bytes().to_vec()),
        ));
    }
    if stdin {
        texts.push((args.stdin_name, files::read(Path::new(STDIO))?));
    }
    let given = args.texts.into_iter().filter(|text| text != STDIO);
    texts.extend(given.map(|text| (names.next(), Zeroizing::new(text.into_bytes()))));
    let mut yaml = String::new();
    for (name, text) in texts {
        if text.is_empty() {
            bail!("there is nothing to encrypt: a text is empty");
        }
        if let Some(name) = name {
            yaml.push_str(&name);
            yaml.push_str(": ");
        }
        yaml.push_str("!vault |\n");
        for line in sealed(&text, &password)?.lines() {
            yaml.push_str(&format!("          {line}\n"));
        }
    }
    files::write(
        args.output.as_deref().unwrap_or(Path::new(STDIO)),
        yaml.as_bytes(),
    )?;
    done("Encryption");
    Ok(())
}
