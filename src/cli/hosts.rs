//! `mini-play hosts`: the keys by which hosts are known.

use super::common::{Diagnostics, HostArgs};
use super::exit;
use super::run::Runner;
use crate::adhoc::{self, Task};
use crate::remote::{Connector, LinkError, LinkErrorKind, Shown, Standing, Target};
use anyhow::Result;
use clap::{Args, Subcommand};
use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

/// Arguments of `hosts`.
#[derive(Debug, Args)]
pub(super) struct HostsArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show the key of each host, all in one go, and add those that are not known yet
    #[command(
        after_help = "Compare the fingerprints with the hosts' own: `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on each.\n\
                      A key that has changed is never added: `mini-play hosts forget` comes first."
    )]
    Trust {
        #[command(flatten)]
        which: Which,
        /// Add the keys without asking
        #[arg(short, long)]
        yes: bool,
    },
    /// Remove the keys of hosts from known_hosts, e.g. when they were installed anew
    Forget {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Debug, Args)]
#[command(mut_arg("inventory", |arg| arg.short('i').long("inventory").value_name("INVENTORY").num_args(1)))]
#[command(mut_arg("playbook", |arg| arg.hide(true)))]
struct Which {
    /// Hosts: names, groups or patterns
    #[arg(required = true)]
    patterns: Vec<String>,
    #[command(flatten)]
    hosts: HostArgs,
}

/// What came of each host.
type Found<T> = BTreeMap<String, Result<T, LinkError>>;

impl Which {
    /// Asks something of each host's connection instead of opening it.
    fn each<T, F>(
        &self,
        ask: impl Fn(Arc<Connector>, Target) -> F + Send + Sync + 'static,
    ) -> Result<Found<T>>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, LinkError>> + Send + 'static,
    {
        let hosts = &self.hosts;
        let vault = hosts.vault.open()?;
        let extra = hosts.extra(&vault)?;
        let load = hosts.load_options(Path::new("command line"), &extra, &vault);
        let inventory = hosts.load_inventory(None, &vault)?;
        let pattern = self.patterns.join(",");
        let task = Task::Command(&[":".to_owned()]);
        let limit = hosts.limit.as_deref();
        let playbook =
            adhoc::playbook(&pattern, task, &inventory, limit, &load).map_err(Diagnostics)?;
        let mut runner = Runner::new(hosts, load, extra)?;
        let found = Arc::new(Mutex::new(Found::new()));
        let (connector, store, ask) = (
            Arc::new(Connector::new()),
            Arc::clone(&found),
            Arc::new(ask),
        );
        runner.connector = Arc::new(move |target: Target| {
            let (connector, store, ask) =
                (Arc::clone(&connector), Arc::clone(&store), Arc::clone(&ask));
            Box::pin(async move {
                let name = target.name.clone();
                if !target.local {
                    let answer = ask(connector, target).await;
                    let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
                    store.insert(name, answer);
                }
                // That was all that was wanted of the host.
                Err(LinkError::new(LinkErrorKind::Unreachable, "not connected"))
            })
        });
        runner.run(
            playbook,
            inventory,
            HashMap::new(),
            HashMap::new(),
            Vec::new(),
        )?;
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(std::mem::take(&mut found))
    }
}

/// Runs it.
pub(super) fn run(args: &HostsArgs) -> Result<ExitCode> {
    match &args.what {
        What::Trust { which, yes } => trust(which, *yes),
        What::Forget { which } => forget(which),
    }
}

fn trust(which: &Which, yes: bool) -> Result<ExitCode> {
    let found = which.each(|connector, target| async move { connector.look(&target).await })?;
    let width = found.keys().map(String::len).max().unwrap_or(0);
    let mut new: Vec<(&String, &Shown)> = Vec::new();
    let mut code = exit::OK;
    let mut out = std::io::stdout().lock();
    for (host, answer) in &found {
        let line = match answer {
            Err(error) => {
                code = code.max(exit::UNREACHABLE);
                format!("unreachable  {error}")
            }
            Ok(shown) => {
                let key = &shown.fingerprint;
                match &shown.standing {
                    Standing::Known => format!("known        {key}"),
                    Standing::New => {
                        new.push((host, shown));
                        format!("new          {key}")
                    }
                    Standing::Changed { place, old } => {
                        code = exit::FAILED;
                        format!("changed      {key}; {place} has {old}")
                    }
                    Standing::Revoked { place } => {
                        code = exit::FAILED;
                        format!("revoked      {key} ({place})")
                    }
                }
            }
        };
        writeln!(out, "{host:<width$}  {line}")?;
    }
    if code == exit::FAILED {
        writeln!(
            out,
            "\nA key that has changed is not added. If the host was installed anew: `mini-play hosts forget HOST`, then this again."
        )?;
    }
    if new.is_empty() {
        return Ok(ExitCode::from(code));
    }
    if !yes && !agreed(&mut out, new.len())? {
        writeln!(
            out,
            "\nNothing was added; `--yes` adds the new keys without asking."
        )?;
        return Ok(ExitCode::from(exit::FAILED));
    }
    for (host, shown) in new {
        let file = shown.trust()?;
        writeln!(out, "added {host} to {}", file.display())?;
    }
    Ok(ExitCode::from(code))
}

/// Whether the user agrees to add the keys; without a terminal nobody does.
fn agreed(out: &mut impl std::io::Write, count: usize) -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        return Ok(false);
    }
    write!(
        out,
        "\nDo these fingerprints agree with the hosts' own? Add {count}? [y/N] "
    )?;
    out.flush()?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    Ok(matches!(line.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn forget(which: &Which) -> Result<ExitCode> {
    let found = which.each(|connector, target| async move { connector.forget(&target) })?;
    let mut out = std::io::stdout().lock();
    for (host, gone) in found {
        let gone = gone?;
        if gone.is_empty() {
            writeln!(out, "{host}: no key is known")?;
        }
        for key in gone {
            writeln!(out, "{host}: forgot {key}")?;
        }
    }
    Ok(ExitCode::from(exit::OK))
}
