//! `mini-play lab`: disposable hosts to try playbooks on.

use crate::lab::{self, HostStatus, Lab, LabOptions};
use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use std::io::Write as _;
use std::process::ExitCode;

/// Disposable hosts to try playbooks on (Linux, root).
#[derive(Debug, Args)]
pub struct LabArgs {
    #[command(subcommand)]
    command: LabCommand,
}

#[derive(Debug, Subcommand)]
enum LabCommand {
    /// Make a lab, or bring the one there is to what is asked
    Up {
        #[command(flatten)]
        name: Name,
        /// How many hosts, 1 to 100 [default: as many as there are, else 1]
        #[arg(long, value_name = "N")]
        hosts: Option<u32>,
        /// Release of the hosts: bullseye, bookworm, trixie, focal, jammy, noble [default: bookworm]
        #[arg(long)]
        release: Option<String>,
        /// Where packages come from [default: this machine's mirror]
        #[arg(long, value_name = "URL")]
        mirror: Option<String>,
        /// Address range, such as 10.213.0.0/24 [default: a free one]
        #[arg(long, value_name = "CIDR")]
        subnet: Option<String>,
        /// More packages for the base image
        #[arg(long, value_name = "PKG", value_delimiter = ',')]
        include: Vec<String>,
    },
    /// Show the hosts and how they are
    Status {
        #[command(flatten)]
        name: Name,
    },
    /// Log in to a host, or run a command there
    Ssh {
        #[command(flatten)]
        name: Name,
        /// `node1`, or `student@node1` for another user than root
        host: String,
        /// What to run
        #[arg(last = true, value_name = "CMD")]
        command: Vec<String>,
    },
    /// Give hosts back their base state
    Reset {
        #[command(flatten)]
        name: Name,
        /// Which
        #[arg(required = true, value_name = "HOST")]
        hosts: Vec<String>,
    },
    /// Remove the lab and every trace of it
    Down {
        #[command(flatten)]
        name: Name,
        /// Also remove cached base images and packages
        #[arg(long)]
        cache: bool,
    },
}

#[derive(Debug, Args)]
struct Name {
    /// Name of the lab
    #[arg(long, default_value = "lab", env = "MINI_PLAY_LAB")]
    name: String,
}

/// Runs the command.
///
/// # Errors
/// What the lab says.
pub fn run(args: LabArgs) -> Result<ExitCode> {
    let progress = |text: &str| eprintln!("lab: {text}");
    match args.command {
        LabCommand::Up {
            name: Name { name },
            hosts,
            release,
            mirror,
            subnet,
            include,
        } => {
            let options = LabOptions {
                name,
                hosts,
                release,
                mirror,
                subnet,
                include,
            };
            let lab = Lab::up(&options, &progress)?;
            show(&lab)?;
        }
        LabCommand::Status { name } => {
            let lab = Lab::open(&name.name)?;
            show(&lab)?;
        }
        LabCommand::Ssh {
            name,
            host,
            command,
        } => {
            let mut ssh = Lab::open(&name.name)?.ssh(&host, &command)?;
            let status = ssh.status().context("cannot run ssh")?;
            let code = status.code().and_then(|c| u8::try_from(c).ok());
            return Ok(ExitCode::from(code.unwrap_or(255)));
        }
        LabCommand::Reset { name, hosts } => {
            Lab::open(&name.name)?.reset(&hosts, &progress)?;
        }
        LabCommand::Down { name, cache } => {
            Lab::down(&name.name, &progress)?;
            if cache {
                for image in lab::drop_cache()? {
                    progress(&format!(
                        "kept the base image {image}: a running lab stands on it"
                    ));
                }
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints the hosts, and where their inventory is.
fn show(lab: &Lab) -> Result<()> {
    let text = table(lab, &lab.status()?);
    let inventory = lab.inventory();
    // Whoever reads it may have read enough.
    let _ = writeln!(
        std::io::stdout(),
        "{text}\ninventory: {}",
        inventory.display()
    );
    Ok(())
}

/// The hosts as a table for people.
fn table(lab: &Lab, hosts: &[HostStatus]) -> String {
    let head = ["HOST", "ADDRESS", "STATE", "RELEASE", "MEMORY"].map(str::to_owned);
    let rows = hosts.iter().map(|h| {
        [
            h.host.name.clone(),
            h.host.address.to_string(),
            if h.running { "running" } else { "stopped" }.to_owned(),
            lab.release().to_owned(),
            h.memory
                .map_or("-".to_owned(), |bytes| format!("{} MB", bytes / 1_000_000)),
        ]
    });
    let rows: Vec<_> = std::iter::once(head).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|r| r[column].len()).max().unwrap_or(0);
    let widths: Vec<_> = (0..5).map(width).collect();
    let line = |row: &[String; 5]| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}
