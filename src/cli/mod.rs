//! CLI commands, one thin file each; the work is in the library modules.

// Commands speak to the user; nobody else does.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod ansible_cfg;
mod ansible_playbook;
mod apply;
mod bundle;
mod common;
mod compatibility;
mod doc;
mod exec;
mod explain;
mod hosts;
mod init;
mod lab;
mod lint;
mod run;
mod sealed_files;
mod service;
mod vault;
mod vault_command;
mod verify;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Exit codes, documented in the README.
pub mod exit {
    /// Everything as wanted.
    pub const OK: u8 = 0;
    /// The command line, inventory, playbook or another file is wrong; nothing was done.
    pub const BAD_INPUT: u8 = 1;
    /// A step failed on some host, or a check of `verify` did.
    pub const FAILED: u8 = 2;
    /// A host could not be reached (and none failed).
    pub const UNREACHABLE: u8 = 4;
    /// Interrupted by the user.
    pub const INTERRUPTED: u8 = 130;
}

/// Provision many Ubuntu and Debian hosts over plain SSH with Ansible playbooks. Nothing is installed on them first.
#[derive(Parser)]
#[command(
    name = "mini-play",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
#[command(
    after_help = "Exit codes: 0 all good, 1 bad input, 2 a host failed, 4 a host was unreachable, 130 interrupted."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring hosts to the state a playbook describes (the bundled Mini Mesos stack by default)
    Apply(apply::ApplyArgs),
    /// Say, host by host, whether the processes run and the ports answer; changes nothing
    Verify(verify::VerifyArgs),
    /// See how services are, start, stop and restart them in order of dependency, read their logs
    Service(service::ServiceArgs),
    /// Run a command on hosts; equal outputs are shown once
    Exec(exec::ExecArgs),
    /// Run one module on hosts, as a task without a playbook
    Module(exec::ModuleArgs),
    /// Write the bundled playbooks, roles and an example inventory into a folder, to be edited
    Init(init::InitArgs),
    /// Show what a module does and takes, or list all modules
    Doc(doc::DocArgs),
    /// List what playbooks use that Ansible has and mini-play does not; exit code 1 when there is something
    Lint(lint::LintArgs),
    /// Show every definition of a host's variable, which one wins, and where each stands
    Explain(explain::ExplainArgs),
    /// Show, trust and forget the keys that hosts identify themselves with
    Hosts(hosts::HostsArgs),
    /// Write and read files and values that only a password opens, as `ansible-vault` does
    Vault(vault_command::VaultCommand),
    /// Disposable hosts to try playbooks on (Linux, root)
    Lab(lab::LabArgs),
}

/// Runs the program and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    let name = std::path::Path::new(&name).file_name();
    if name == Some("ansible-playbook".as_ref()) {
        return ansible_playbook::main();
    }
    if name == Some("ansible-vault".as_ref()) {
        return vault_command::main();
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are results, not errors.
            let code = if error.use_stderr() {
                exit::BAD_INPUT
            } else {
                exit::OK
            };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    common::logging();
    let done = match cli.command {
        Command::Apply(args) => apply::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Service(args) => service::run(&args),
        Command::Exec(args) => exec::exec(&args),
        Command::Module(args) => exec::module(&args),
        Command::Init(args) => init::run(&args),
        Command::Doc(args) => doc::run(&args),
        Command::Lint(args) => lint::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Hosts(args) => hosts::run(&args),
        Command::Vault(args) => vault_command::run(args),
        Command::Lab(args) => lab::run(args),
    };
    done.unwrap_or_else(|error| common::fail(&error))
}
