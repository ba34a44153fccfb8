//! `mini-play service`: how services are, in order of dependency.

use super::apply::{self, Output};
use super::common::{self, Diagnostics, HostArgs};
use super::run::Runner;
use super::{exit, verify};
use crate::inventory::Inventory;
use crate::report::{Ansible, Json, Junit, Reporter, Terminal, state_dir};
use crate::service::{Act, Carried, Plan, Service, Table, Tail};
use crate::vault::Vault;
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use std::collections::HashMap;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Action {
    /// How it is: state, since when, processes, memory, ports
    Status,
    /// Start what does not run, and wait until its checks hold
    Start,
    /// Stop it, the last to depend on others first
    Stop,
    /// Stop and start it, and wait until its checks hold
    Restart,
    /// The last lines of its log
    Logs,
}

/// Arguments of `service`.
#[derive(Debug, Args)]
#[command(mut_arg("inventory", |arg| arg.short('i').long("inventory").value_name("INVENTORY").num_args(1)))]
#[command(
    after_help = "A service is a unit that a role of the playbook wants active (its verify.yml). They are taken in the order of the plays,\n\
                  stopped in the reverse; those whose verify.yml says `serial: 1` one host at a time. When one does not come up, the rest is left alone."
)]
pub(super) struct ServiceArgs {
    /// A service, a role, `all`, several at commas, or any unit
    name: String,
    /// What to do
    #[arg(value_enum)]
    action: Action,
    #[command(flatten)]
    hosts: HostArgs,
    /// How long each check may take to hold: 90, 120s, 2m
    #[arg(short, long, value_parser = verify::duration, value_name = "TIME", default_value = "60s")]
    wait: Duration,
    /// Lines of the log
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
    lines: u32,
    /// Go on with what is written to the log, until Ctrl-C
    #[arg(long)]
    follow: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// Time between two looks at logs that are followed.
const PAUSE: Duration = Duration::from_secs(2);

/// Runs it.
pub(super) fn run(args: &ServiceArgs) -> Result<ExitCode> {
    let path = args.hosts.playbook_path()?;
    let vault = args.hosts.vault.open()?;
    let extra = args.hosts.extra(&vault)?;
    let load = args.hosts.load_options(&path, &extra, &vault);
    let playbook = common::load_playbook(&path, &load)?;
    let inventory = args.hosts.load_inventory(Some(&path), &vault)?;
    let limit = args.hosts.limit.as_deref();
    let carried = Carried::of(&playbook, &inventory, limit).map_err(Diagnostics)?;
    let (services, notes) = carried.named(&args.name);
    let mut err = std::io::stderr().lock();
    for note in &notes {
        // A courtesy; the run goes on without a reader.
        let _ = writeln!(err, "{}", note.render(std::io::stderr().is_terminal()));
    }
    drop(err);
    if services.is_empty() {
        bail!(
            "no host carries `{}`{}",
            args.name,
            limit.map_or_else(String::new, |limit| format!(" within `{limit}`"))
        );
    }
    let mut runner = Runner::new(&args.hosts, load, extra)?;
    // The hosts of each service are chosen already.
    runner.options.limit = None;
    let job = Job {
        args,
        runner,
        services,
        path: &path,
        vault,
        inventory,
    };
    match args.action {
        Action::Status => job.status(),
        Action::Logs => job.logs(),
        Action::Start => job.act(Act::Start),
        Action::Stop => job.act(Act::Stop),
        Action::Restart => job.act(Act::Restart),
    }
}

struct Job<'a> {
    args: &'a ServiceArgs,
    runner: Runner<'a>,
    services: Vec<Service>,
    path: &'a Path,
    vault: Vault,
    inventory: Inventory,
}

impl Job<'_> {
    fn run(self, act: Act, reporter: Box<dyn Reporter>) -> Result<u8> {
        let plan = self.plan(act)?;
        let vars = HashMap::new();
        let summary = self.runner.run(
            plan.playbook,
            self.inventory,
            plan.facts,
            vars,
            vec![reporter],
        )?;
        Ok(apply::code(&summary))
    }

    fn plan(&self, act: Act) -> Result<Plan> {
        let state = state_dir(self.args.hosts.main_inventory());
        Plan::new(&self.services, act, self.args.wait, &self.inventory, &state)
            .map_err(|all| Diagnostics(all).into())
    }

    fn act(self, act: Act) -> Result<ExitCode> {
        let out = std::io::stdout();
        let shown: Box<dyn Reporter> = match self.args.output {
            Output::Text => Box::new(Terminal::new(
                out,
                common::color(),
                common::live(),
                self.args.hosts.verbose,
            )),
            Output::Ansible => {
                Box::new(Ansible::new(out, common::color(), self.args.hosts.verbose))
            }
            Output::Json => Box::new(Json::new(out)),
            Output::Junit => Box::new(Junit::new(out)),
        };
        Ok(ExitCode::from(self.run(act, shown)?))
    }

    fn status(self) -> Result<ExitCode> {
        let (output, whole) = (self.args.output, self.args.hosts.verbose > 0);
        let table = Table::default();
        if output == Output::Junit {
            let shown = Box::new(Junit::new(std::io::stdout()));
            return Ok(ExitCode::from(self.run(Act::Status, shown)?));
        }
        let code = self.run(Act::Status, Box::new(table.clone()))?;
        let rows = table.rows();
        let mut out = std::io::stdout().lock();
        match output {
            Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?,
            _ => writeln!(out, "{}", table.render(common::color(), whole))?,
        }
        let up = rows.iter().all(|row| row.state == "active");
        Ok(ExitCode::from(if code == exit::OK && !up {
            exit::FAILED
        } else {
            code
        }))
    }

    fn logs(self) -> Result<ExitCode> {
        let act = Act::Logs {
            lines: self.args.lines,
        };
        let tail = Tail::default();
        let mut out = std::io::stdout().lock();
        loop {
            let plan = self.plan(act)?;
            // Files may have changed meanwhile; reading them again is what a new run is.
            let inventory = self
                .args
                .hosts
                .load_inventory(Some(self.path), &self.vault)?;
            let summary = self.runner.run(
                plan.playbook,
                inventory,
                plan.facts,
                tail.cursors(&self.services),
                vec![Box::new(tail.clone())],
            )?;
            write!(out, "{}", tail.take())?;
            out.flush()?;
            let over = tail.failed() || self.runner.stop.wanted();
            if !self.args.follow || over {
                return Ok(ExitCode::from(apply::code(&summary)));
            }
            std::thread::sleep(PAUSE);
        }
    }
}
