//! Called as `ansible-playbook`: Ansible's own options, output and exit codes.

use super::ansible_cfg::Config;
use super::apply::{self, ApplyArgs, Output};
use super::common::{self, Diagnostics, HostArgs, KeyChecking};
use super::vault::VaultArgs;
use crate::diag::Diagnostic;
use crate::engine::Summary;
use anyhow::{Result, bail};
use clap::{ArgAction, Parser};
use std::path::PathBuf;
use std::process::ExitCode;

/// Ansible's exit codes.
mod exit {
    pub(super) const OK: u8 = 0;
    pub(super) const ERROR: u8 = 1;
    pub(super) const FAILED: u8 = 2;
    pub(super) const UNREACHABLE: u8 = 4;
    pub(super) const PARSER: u8 = 4;
    pub(super) const INTERRUPTED: u8 = 99;
}

/// Runs Ansible playbooks with mini-play.
#[derive(Debug, Parser)]
#[command(name = "ansible-playbook", disable_version_flag = true)]
struct Cli {
    /// Playbooks
    #[arg(required = true, value_name = "playbook")]
    playbooks: Vec<PathBuf>,
    /// Inventory file, program, folder, or `host,host,`; may be given several times
    #[arg(short, long, visible_alias = "inventory-file", action = ArgAction::Append)]
    inventory: Vec<PathBuf>,
    /// Only these hosts: names, groups or patterns
    #[arg(short, long, value_name = "SUBSET")]
    limit: Option<String>,
    /// Extra variables: k=v, JSON, YAML or @FILE
    #[arg(short, long)]
    extra_vars: Vec<String>,
    /// Only plays and tasks with these tags
    #[arg(short, long, value_delimiter = ',')]
    tags: Vec<String>,
    /// Not plays and tasks with these tags
    #[arg(long, value_delimiter = ',')]
    skip_tags: Vec<String>,
    /// Hosts at work at the same time [default: 50]
    #[arg(short, long)]
    forks: Option<usize>,
    /// Login name
    #[arg(short = 'u', long = "user", value_name = "REMOTE_USER")]
    user: Option<String>,
    /// Private key file
    #[arg(long, visible_alias = "key-file", value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// Ask for the login password
    #[arg(short = 'k', long)]
    ask_pass: bool,
    /// File with the login password
    #[arg(long, visible_alias = "conn-pass-file", value_name = "FILE")]
    connection_password_file: Option<PathBuf>,
    /// How to connect: ssh or local
    #[arg(short = 'c', long)]
    connection: Option<String>,
    /// Seconds for connecting
    #[arg(short = 'T', long)]
    timeout: Option<f64>,
    /// Options for SSH in OpenSSH's words
    #[arg(long, allow_hyphen_values = true)]
    ssh_common_args: Option<String>,
    /// More options for SSH
    #[arg(long, allow_hyphen_values = true)]
    ssh_extra_args: Option<String>,
    /// Taken and not used: files travel over the one connection
    #[arg(long, allow_hyphen_values = true)]
    sftp_extra_args: Option<String>,
    /// Taken and not used: files travel over the one connection
    #[arg(long, allow_hyphen_values = true)]
    scp_extra_args: Option<String>,
    /// Become another user, root by default
    #[arg(short = 'b', long = "become")]
    r#become: bool,
    /// How to become: sudo or su
    #[arg(long)]
    become_method: Option<String>,
    /// The user to become
    #[arg(long)]
    become_user: Option<String>,
    /// Ask for the password that becoming needs
    #[arg(short = 'K', long)]
    ask_become_pass: bool,
    /// File with the password that becoming needs
    #[arg(long, visible_alias = "become-pass-file", value_name = "FILE")]
    become_password_file: Option<PathBuf>,
    /// Passwords for encrypted files and values
    #[command(flatten)]
    vault: VaultArgs,
    /// Change nothing, say what would change
    #[arg(short = 'C', long)]
    check: bool,
    /// Show differences of files
    #[arg(short = 'D', long)]
    diff: bool,
    /// Run notified handlers on hosts that failed, too
    #[arg(long)]
    force_handlers: bool,
    /// Taken and not used: no facts are kept between runs
    #[arg(long)]
    flush_cache: bool,
    /// Taken and not used: modules in Python are not run
    #[arg(short = 'M', long)]
    module_path: Vec<PathBuf>,
    /// Check the playbooks only
    #[arg(long)]
    syntax_check: bool,
    /// List the hosts of each play
    #[arg(long)]
    list_hosts: bool,
    /// List the tasks that would run
    #[arg(long)]
    list_tasks: bool,
    /// List all tags
    #[arg(long)]
    list_tags: bool,
    /// Ask before each task
    #[arg(long)]
    step: bool,
    /// Start at the task of this name (or glob)
    #[arg(long)]
    start_at_task: Option<String>,
    /// Say more
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,
}

/// Runs the program under this name.
pub(super) fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--version") {
        println!(
            "ansible-playbook [core 2.19.0] (mini-play {})",
            env!("CARGO_PKG_VERSION")
        );
        return ExitCode::from(exit::OK);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    common::logging();
    match run(cli) {
        Ok(summary) => ExitCode::from(summary.as_ref().map_or(exit::OK, code)),
        Err(error) => {
            let _ = common::fail(&error);
            let parser = error.is::<Diagnostics>() || error.is::<Diagnostic>();
            ExitCode::from(if parser { exit::PARSER } else { exit::ERROR })
        }
    }
}

/// As Ansible: hosts that could not be reached come before those that failed.
fn code(summary: &Summary) -> u8 {
    if summary.interrupted {
        exit::INTERRUPTED
    } else if summary.unreachable {
        exit::UNREACHABLE
    } else if summary.failed {
        exit::FAILED
    } else {
        exit::OK
    }
}

fn run(cli: Cli) -> Result<Option<Summary>> {
    for path in &cli.playbooks {
        if !path.is_file() {
            bail!("the playbook: {} could not be found", path.display());
        }
    }
    let config = Config::read();
    if cli.verbose > 0 {
        match &config.path {
            Some(path) => println!(
                "Using {} as config file (taken: {})",
                path.display(),
                config.names().join(", ")
            ),
            None => println!("No config file found; using defaults"),
        }
    }
    let text =
        |given: Option<String>, key: &str| given.or_else(|| config.get(key).map(str::to_owned));
    let list = |given: Vec<String>, key: &str| {
        if given.is_empty() {
            let said = config.get(key).unwrap_or_default();
            let parts = said
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty());
            parts.map(str::to_owned).collect()
        } else {
            given
        }
    };
    let inventory = if !cli.inventory.is_empty() {
        cli.inventory
    } else if let Some(said) = config.get("inventory") {
        // `host,` is a list of hosts; otherwise the comma stands between sources.
        let parts = said.split(',').map(str::trim);
        match parts.clone().all(|part| !part.is_empty()) {
            true => parts.map(PathBuf::from).collect(),
            false => vec![PathBuf::from(said)],
        }
    } else {
        let usual = PathBuf::from("/etc/ansible/hosts");
        usual.exists().then_some(usual).into_iter().collect()
    };
    let words: Vec<String> = [cli.ssh_common_args, cli.ssh_extra_args]
        .into_iter()
        .flatten()
        .collect();
    let mut vault = cli.vault;
    vault.configure(
        config.get("vault_password_file"),
        config.get("vault_identity_list"),
    );
    let number = |key: &str| {
        config
            .get(key)
            .and_then(|text| text.trim().parse::<f64>().ok())
    };
    let hosts = HostArgs {
        inventory,
        playbook: None,
        limit: cli.limit,
        extra_vars: cli.extra_vars,
        // Ansible's default is low because each of its forks is a process; ours cost next to nothing.
        forks: cli
            .forks
            .or_else(|| {
                config
                    .get("forks")
                    .and_then(|text| text.trim().parse().ok())
            })
            .unwrap_or(50),
        user: text(cli.user, "remote_user"),
        ask_pass: cli.ask_pass || config.truth("ask_pass") == Some(true),
        connection_password_file: cli.connection_password_file,
        connection: cli.connection,
        private_key: cli
            .private_key
            .or_else(|| config.get("private_key_file").map(PathBuf::from)),
        r#become: cli.r#become || config.truth("become") == Some(true),
        become_user: text(cli.become_user, "become_user"),
        become_method: text(cli.become_method, "become_method"),
        ask_become_pass: cli.ask_become_pass || config.truth("become_ask_pass") == Some(true),
        become_password_file: cli.become_password_file,
        vault,
        host_key_checking: match config.truth("host_key_checking") {
            Some(false) => KeyChecking::Off,
            _ => KeyChecking::Strict,
        },
        ssh_common_args: (!words.is_empty()).then(|| words.join(" ")),
        timeout: cli.timeout.or_else(|| number("timeout")),
        verbose: cli.verbose,
    };
    let args = ApplyArgs {
        hosts,
        tags: list(cli.tags, "run_tags"),
        skip_tags: list(cli.skip_tags, "skip_tags"),
        check: cli.check,
        diff: cli.diff,
        no_lock: false,
        force_handlers: cli.force_handlers || config.truth("force_handlers") == Some(true),
        syntax_check: cli.syntax_check,
        list_hosts: cli.list_hosts,
        list_tasks: cli.list_tasks,
        list_tags: cli.list_tags,
        start_at_task: cli.start_at_task,
        step: cli.step,
        failed: false,
        resume: false,
        output: Output::Ansible,
    };
    let paths = |key: &str| -> Vec<PathBuf> {
        let text = config.get(key).unwrap_or_default();
        text.split(':')
            .filter(|part| !part.is_empty())
            .map(PathBuf::from)
            .collect()
    };
    let mut roles_path = paths("roles_path");
    let collections = paths("collections_path");
    if roles_path.is_empty() {
        roles_path.extend(std::env::home_dir().map(|home| home.join(".ansible/roles")));
        roles_path.extend(["/usr/share/ansible/roles", "/etc/ansible/roles"].map(PathBuf::from));
    }
    let folders = apply::Folders {
        roles: roles_path,
        collections,
    };
    apply::run_all(&args, &cli.playbooks, &folders)
}
