//! `mini-play explain`: where a host's variable comes from.

use super::common::{self, HostArgs};
use super::exit;
use crate::engine::{self, ConnectionDefaults, Interrupt, Run};
use anyhow::Result;
use clap::Args;
use std::process::ExitCode;

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The variable
    variable: String,
    /// The host
    #[arg(long)]
    host: String,
    #[command(flatten)]
    hosts: HostArgs,
}

/// Runs it.
pub(super) fn run(args: &ExplainArgs) -> Result<ExitCode> {
    let path = args.hosts.playbook_path()?;
    let vault = args.hosts.vault.open()?;
    let extra = args.hosts.extra(&vault)?;
    let load = args.hosts.load_options(&path, &extra, &vault);
    let inventory = args.hosts.load_inventory(Some(&path), &vault)?;
    let run = Run {
        playbook: common::load_playbook(&path, &load)?,
        load,
        options: args.hosts.plain_options(),
        extra,
        connector: common::connector(),
        connection: ConnectionDefaults::default(),
        inventory_path: args.hosts.inventory.first().cloned(),
        inventory,
        host_vars: std::collections::HashMap::new(),
        facts: std::collections::HashMap::new(),
        stop: Interrupt::default(),
    };
    let text = engine::explain(run, &args.host, &args.variable)?;
    print!("{}", crate::secrets::mask(&text));
    Ok(ExitCode::from(exit::OK))
}
