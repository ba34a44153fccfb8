//! `mini-play exec` and `mini-play module`: one task on many hosts, equal results together.

use super::apply::{self, Output};
use super::common::{self, Diagnostics, HostArgs};
use super::run::Runner;
use crate::adhoc::{self, Task};
use crate::report::{Ansible, Groups, Json, Junit, Reporter};
use anyhow::Result;
use clap::Args;
use std::collections::HashMap;
use std::path::Path;
use std::process::ExitCode;

/// Arguments of `exec`.
#[derive(Debug, Args)]
#[command(mut_arg("inventory", |arg| arg.short('i').long("inventory").value_name("INVENTORY").num_args(1)))]
#[command(mut_arg("playbook", |arg| arg.hide(true)))]
#[command(
    override_usage = "mini-play exec [OPTIONS] <PATTERN> -- <COMMAND>...",
    after_help = "One word is a line for the host's shell: mini-play exec web -- 'df -h / | tail -n 1'\n\
                  Several words run as they are:          mini-play exec all -b -- systemctl restart nginx"
)]
pub(super) struct ExecArgs {
    /// Hosts: names, groups or patterns, as in `hosts:` of a play
    pattern: String,
    /// What to run
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
    #[command(flatten)]
    hosts: HostArgs,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// Arguments of `module`.
#[derive(Debug, Args)]
#[command(mut_arg("inventory", |arg| arg.short('i').long("inventory").value_name("INVENTORY").num_args(1)))]
#[command(mut_arg("playbook", |arg| arg.hide(true)))]
#[command(
    after_help = "mini-play module apt -a 'name=htop state=present' -b all\n\
                  mini-play module copy -a '{src: motd, dest: /etc/motd}' -b 'web:!web1'\n\
                  `mini-play doc` lists the modules."
)]
pub(super) struct ModuleArgs {
    /// The module
    name: String,
    /// Hosts: names, groups or patterns, as in `hosts:` of a play
    pattern: String,
    /// Its arguments, as a task has them: `k=v`, a free form, or YAML in braces; may hold templates
    #[arg(
        short,
        long,
        default_value = "",
        value_name = "ARGS",
        allow_hyphen_values = true
    )]
    args: String,
    #[command(flatten)]
    hosts: HostArgs,
    /// Change nothing, say what would change
    #[arg(short = 'C', long)]
    check: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// Runs a command.
pub(super) fn exec(args: &ExecArgs) -> Result<ExitCode> {
    let task = Task::Command(&args.command);
    run(&args.hosts, &args.pattern, task, args.output, false)
}

/// Runs a module.
pub(super) fn module(args: &ModuleArgs) -> Result<ExitCode> {
    let task = Task::Module(&args.name, &args.args);
    run(&args.hosts, &args.pattern, task, args.output, args.check)
}

fn run(
    hosts: &HostArgs,
    pattern: &str,
    task: Task<'_>,
    output: Output,
    check: bool,
) -> Result<ExitCode> {
    let vault = hosts.vault.open()?;
    let extra = hosts.extra(&vault)?;
    let load = hosts.load_options(Path::new("command line"), &extra, &vault);
    let inventory = hosts.load_inventory(None, &vault)?;
    let limit = hosts.limit.as_deref();
    let playbook = adhoc::playbook(pattern, task, &inventory, limit, &load).map_err(Diagnostics)?;
    let mut runner = Runner::new(hosts, load, extra)?;
    runner.options.check = check;
    // A command may only look; two of them are in nobody's way.
    if matches!(task, Task::Command(_)) {
        runner.options.lock = None;
    }
    let shown: Box<dyn Reporter> = match output {
        Output::Text => Box::new(Groups::new(std::io::stdout(), common::color())),
        Output::Ansible => Box::new(Ansible::new(
            std::io::stdout(),
            common::color(),
            hosts.verbose,
        )),
        Output::Json => Box::new(Json::new(std::io::stdout())),
        Output::Junit => Box::new(Junit::new(std::io::stdout())),
    };
    let summary = runner.run(
        playbook,
        inventory,
        HashMap::new(),
        HashMap::new(),
        vec![shown],
    )?;
    Ok(ExitCode::from(apply::code(&summary)))
}
