//! What several commands share: options about hosts, loading inventories and playbooks, showing errors.

use super::vault::VaultArgs;
use super::{bundle, exit};
use crate::diag::Diagnostic;
use crate::engine::{ConnectionDefaults, Connector, Interrupt, Options};
use crate::inventory::Inventory;
use crate::playbook::LoadOptions;
use crate::playbook::ast::{Playbook, VarMap};
use crate::remote::{self, HostKeyChecking, Secret};
use crate::secrets::mask;
use crate::vault::Vault;
use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// Several diagnostics as one error.
#[derive(Debug)]
pub(super) struct Diagnostics(pub Vec<Diagnostic>);

impl std::fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for diagnostic in &self.0 {
            writeln!(f, "{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// Shows an error and gives its exit code.
pub(super) fn fail(error: &anyhow::Error) -> ExitCode {
    let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut err = std::io::stderr().lock();
    // Nobody is left to tell when stderr is gone.
    let text = if let Some(Diagnostics(all)) = error.downcast_ref() {
        let texts: Vec<String> = all.iter().map(|d| d.render(color)).collect();
        texts.join("\n\n")
    } else if let Some(diagnostic) = error.downcast_ref::<Diagnostic>() {
        diagnostic.render(color)
    } else {
        format!("error: {error:#}")
    };
    let _ = writeln!(err, "{}", mask(&text));
    ExitCode::from(exit::BAD_INPUT)
}

/// `MINI_PLAY_LOG=debug` writes what the program does to stderr.
pub(super) fn logging() {
    use tracing_subscriber::EnvFilter;
    let filter =
        EnvFilter::try_from_env("MINI_PLAY_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| crate::secrets::Stderr)
        .without_time()
        .init();
}

/// `--host-key-checking`.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum KeyChecking {
    /// A host's key must be known
    Strict,
    /// Unknown keys are added to known_hosts, changed ones refused
    AcceptNew,
    /// No check
    Off,
}

/// Options about which hosts, and how to reach them.
#[derive(Debug, Args)]
pub(super) struct HostArgs {
    /// Inventory: YAML or INI file, program, folder of them, or `host,host,`; several are read as one
    #[arg(default_value = "inventory.yaml")]
    pub inventory: Vec<PathBuf>,
    /// Playbook, a file or a bundled one; by default playbooks/site.yml here, else the bundled one
    #[arg(short = 'p', long)]
    pub playbook: Option<PathBuf>,
    /// Only these hosts: names, groups or patterns
    #[arg(short, long, value_name = "PATTERN")]
    pub limit: Option<String>,
    /// Extra variables, strongest of all: k=v, JSON, YAML or @FILE
    #[arg(short, long, value_name = "VARS")]
    pub extra_vars: Vec<String>,
    /// Hosts at work at the same time
    #[arg(short, long, default_value_t = 50, value_name = "N")]
    pub forks: usize,
    /// Login name
    #[arg(short, long)]
    pub user: Option<String>,
    /// Ask for the login password
    #[arg(short = 'k', long)]
    pub ask_pass: bool,
    /// File with the login password
    #[arg(
        long,
        visible_alias = "conn-pass-file",
        value_name = "FILE",
        conflicts_with = "ask_pass"
    )]
    pub connection_password_file: Option<PathBuf>,
    /// How to connect: ssh or local
    #[arg(short = 'c', long, value_name = "KIND")]
    pub connection: Option<String>,
    /// Private key file
    #[arg(long, value_name = "FILE")]
    pub private_key: Option<PathBuf>,
    /// Become another user (root by default) where the playbook does not say otherwise
    #[arg(short = 'b', long = "become")]
    pub r#become: bool,
    /// The user to become
    #[arg(long, value_name = "USER")]
    pub become_user: Option<String>,
    /// How to become: sudo or su
    #[arg(long, value_name = "METHOD")]
    pub become_method: Option<String>,
    /// Ask for the password that becoming needs
    #[arg(short = 'K', long)]
    pub ask_become_pass: bool,
    /// File with the password that becoming needs
    #[arg(
        long,
        visible_alias = "become-pass-file",
        value_name = "FILE",
        conflicts_with = "ask_become_pass"
    )]
    pub become_password_file: Option<PathBuf>,
    /// Passwords for encrypted files and values
    #[command(flatten)]
    pub vault: VaultArgs,
    /// How host keys are checked
    #[arg(long, value_enum, default_value = "strict")]
    pub host_key_checking: KeyChecking,
    /// Options for SSH in OpenSSH's words, e.g. '-o ProxyJump=bastion'
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    pub ssh_common_args: Option<String>,
    /// Seconds for connecting
    #[arg(short = 'T', long, value_name = "SECONDS")]
    pub timeout: Option<f64>,
    /// Say more: tasks in sync (-v), results (-vv)
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,
}

impl HostArgs {
    /// Reads the inventory.
    pub(super) fn load_inventory(
        &self,
        playbook: Option<&Path>,
        vault: &Vault,
    ) -> Result<Inventory> {
        let missing =
            |path: &&PathBuf| !path.exists() && !path.as_os_str().to_string_lossy().contains(',');
        if let Some(path) = self.inventory.iter().find(missing) {
            bail!(
                "there is no inventory {}\n  hint: `mini-play init .` writes an example, `mini-play lab up` makes hosts with an inventory of their own",
                path.display()
            );
        }
        Inventory::load_all(&self.inventory, playbook, vault).map_err(|all| Diagnostics(all).into())
    }

    /// The first inventory: its folder and name stand for all of them.
    pub(super) fn main_inventory(&self) -> &Path {
        self.inventory
            .first()
            .map_or(Path::new("localhost,"), PathBuf::as_path)
    }

    /// The playbook to run: as given, beside the inventory, here, or the bundled one.
    pub(super) fn playbook_path(&self) -> Result<PathBuf> {
        if let Some(path) = &self.playbook {
            if path.exists() {
                return Ok(path.clone());
            }
            if bundle::has(path) {
                return bundle::unpacked().map(|dir| dir.join(path));
            }
            bail!("there is no playbook {}", path.display());
        }
        let beside = self
            .main_inventory()
            .parent()
            .unwrap_or(Path::new(""))
            .join("playbooks/site.yml");
        for path in [PathBuf::from("playbooks/site.yml"), beside] {
            if path.exists() {
                return Ok(path);
            }
        }
        bundle::unpacked().map(|dir| dir.join("playbooks/site.yml"))
    }

    /// Extra variables.
    pub(super) fn extra(&self, vault: &Vault) -> Result<VarMap> {
        let mut extra = VarMap::new();
        for text in &self.extra_vars {
            extra.extend(
                crate::yaml::kv::extra_vars(text, vault)
                    .map_err(|diagnostic| Diagnostics(vec![diagnostic]))?,
            );
        }
        Ok(extra)
    }

    /// Where roles are looked for.
    pub(super) fn load_options(
        &self,
        playbook: &Path,
        extra: &VarMap,
        vault: &Vault,
    ) -> LoadOptions {
        let dir = playbook.parent().unwrap_or(Path::new("."));
        LoadOptions {
            roles_path: vec![
                dir.join("roles"),
                dir.join("../roles"),
                PathBuf::from("roles"),
            ],
            collections_path: Vec::new(),
            extra: extra.clone(),
            vault: vault.clone(),
            lint: false,
        }
    }

    /// Settings of the run; asks for passwords when told to.
    pub(super) fn options(&self) -> Result<Options> {
        let become_password = match &self.become_password_file {
            Some(path) => Some(secret_file(path)?),
            None if self.ask_become_pass => Some(ask("BECOME password")?),
            None => None,
        };
        Ok(Options {
            become_password,
            ..self.plain_options()
        })
    }

    /// Settings of the run without its passwords.
    pub(super) fn plain_options(&self) -> Options {
        Options {
            forks: self.forks.max(1),
            r#become: self.r#become,
            become_user: self.become_user.clone(),
            become_method: self.become_method.clone(),
            limit: self.limit.clone(),
            verbosity: self.verbose,
            ..Options::default()
        }
    }

    /// Connection defaults; asks for the password when told to.
    pub(super) fn connection(&self) -> Result<ConnectionDefaults> {
        Ok(ConnectionDefaults {
            user: self.user.clone(),
            password: match &self.connection_password_file {
                Some(path) => Some(secret_file(path)?),
                None if self.ask_pass => Some(ask("SSH password")?),
                None => None,
            },
            private_key: self.private_key.clone(),
            host_key_checking: match self.host_key_checking {
                KeyChecking::Strict => HostKeyChecking::Strict,
                KeyChecking::AcceptNew => HostKeyChecking::AcceptNew,
                KeyChecking::Off => HostKeyChecking::Off,
            },
            connection: self.connection.clone(),
            ssh_args: self.ssh_common_args.clone(),
            timeout: self
                .timeout
                .map(|s| Duration::from_secs_f64(s.clamp(0.1, 86_400.0))),
        })
    }
}

/// A password from a file: its first line.
fn secret_file(path: &Path) -> Result<Secret> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("failed to read the password file {}", path.display()))?;
    Ok(Secret::new(
        text.lines().next().unwrap_or_default().to_owned(),
    ))
}

fn ask(what: &str) -> Result<Secret> {
    let text = rpassword::prompt_password(format!("{what}: "))
        .with_context(|| format!("failed to ask for the {what} (there is no terminal)"))?;
    Ok(Secret::new(text))
}

/// Reads a playbook; notes about old spellings go to stderr.
pub(super) fn load_playbook(path: &Path, options: &LoadOptions) -> Result<Playbook> {
    let playbook = crate::playbook::load(path, options).map_err(Diagnostics)?;
    let color = std::io::stderr().is_terminal();
    let mut err = std::io::stderr().lock();
    for note in &playbook.notes {
        // Notes are a courtesy; the run goes on without a reader.
        let _ = writeln!(err, "{}", mask(&note.render(color)));
    }
    Ok(playbook)
}

/// Connects for real.
pub(super) fn connector() -> Connector {
    let connector = Arc::new(remote::Connector::new());
    Arc::new(move |target| {
        let connector = Arc::clone(&connector);
        Box::pin(async move { connector.connect(&target).await })
    })
}

/// A runtime for the length of a command.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")
}

/// At the first Ctrl-C a run finishes what it is at, at the second it stops now. A third ends the program, should that hang.
pub(super) fn stop_on_interrupt() -> Interrupt {
    let stop = Interrupt::default();
    let wish = stop.clone();
    tokio::spawn(async move {
        while tokio::signal::ctrl_c().await.is_ok() {
            if wish.is_now() {
                std::process::exit(exit::INTERRUPTED.into());
            }
            let text = if wish.wanted() {
                wish.now();
                "interrupted: stopping now; what was running on the hosts may go on there"
            } else {
                wish.finish();
                "interrupted: finishing what is running; once more to stop now"
            };
            // The run stops whether or not this can be read.
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    });
    stop
}

/// Whether output may be coloured.
pub(super) fn color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Whether live lines make sense.
pub(super) fn live() -> bool {
    std::io::stdout().is_terminal() && std::io::stderr().is_terminal()
}

/// This run, for others that find a host locked.
pub(super) fn lock() -> crate::engine::Lock {
    let now = time::OffsetDateTime::now_utc();
    let since = now
        .replace_nanosecond(0)
        .unwrap_or(now)
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap_or_default();
    let user = std::env::var("USER").unwrap_or_else(|_| "somebody".into());
    let node = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let pid = std::process::id();
    crate::engine::Lock {
        run: format!("{node}-{pid}-{}", now.unix_timestamp_nanos()),
        who: format!("mini-play of {user}@{node}, pid {pid}, since {since}"),
    }
}
