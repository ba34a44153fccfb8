//! CLI commands, one thin file each; the work is in the library modules.

#![allow(clippy::print_stdout, clippy::print_stderr)]

pub mod lab;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// An Ansible-like, agentless provisioner: plain SSH, no Python on the hosts.
#[derive(Debug, Parser)]
#[command(name = "mini-play", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Lab(lab::LabArgs),
}

/// Runs the program and says how it ended.
#[must_use]
pub fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Lab(args) => lab::run(args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
