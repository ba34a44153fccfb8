//! A run of a playbook that a command made itself.

use super::common::{self, HostArgs};
use crate::engine::{self, ConnectionDefaults, Connector, Interrupt, Options, Run, Summary};
use crate::inventory::Inventory;
use crate::playbook::LoadOptions;
use crate::playbook::ast::{Playbook, VarMap};
use crate::report::{Reporter, pump};
use anyhow::Result;
use indexmap::IndexMap;
use minijinja::Value;
use std::collections::HashMap;

/// What runs of one command have in common. Passwords are asked for once, when it is made.
pub(super) struct Runner<'a> {
    hosts: &'a HostArgs,
    pub(super) options: Options,
    pub(super) load: LoadOptions,
    extra: VarMap,
    connection: ConnectionDefaults,
    /// Opens connections.
    pub(super) connector: Connector,
    runtime: tokio::runtime::Runtime,
    /// Set by Ctrl-C.
    pub(super) stop: Interrupt,
}

impl<'a> Runner<'a> {
    /// From the command line.
    pub(super) fn new(hosts: &'a HostArgs, load: LoadOptions, extra: VarMap) -> Result<Self> {
        let mut options = hosts.options()?;
        options.lock = Some(common::lock());
        let connection = hosts.connection()?;
        let runtime = common::runtime()?;
        let stop = runtime.block_on(async { common::stop_on_interrupt() });
        Ok(Self {
            hosts,
            options,
            load,
            extra,
            connection,
            connector: common::connector(),
            runtime,
            stop,
        })
    }

    /// Runs a playbook to its end; `facts` are those known of hosts beforehand.
    pub(super) fn run(
        &self,
        playbook: Playbook,
        inventory: Inventory,
        facts: HashMap<String, IndexMap<String, Value>>,
        host_vars: HashMap<String, VarMap>,
        reporters: Vec<Box<dyn Reporter>>,
    ) -> Result<Summary> {
        let summary = self.runtime.block_on(async {
            let run = Run {
                playbook,
                load: self.load.clone(),
                options: self.options.clone(),
                extra: self.extra.clone(),
                connector: self.connector.clone(),
                connection: self.connection.clone(),
                inventory_path: self.hosts.inventory.first().cloned(),
                inventory,
                host_vars,
                facts,
                stop: self.stop.clone(),
            };
            let (sender, events) = tokio::sync::mpsc::unbounded_channel();
            let reporting = tokio::spawn(pump(events, reporters));
            let summary = engine::run(run, sender).await;
            // The reporters end when the run has dropped its sender.
            drop(reporting.await);
            summary
        })?;
        Ok(summary)
    }
}
