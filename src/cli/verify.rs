//! `mini-play verify`: whether the processes run and the ports answer.

use super::apply::Output;
use super::common::{self, Diagnostics, HostArgs};
use super::exit;
use super::run::Runner;
use crate::report::{Junit, Reporter, state_dir};
use crate::verify::{Table, plan};
use anyhow::{Result, bail};
use clap::Args;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    hosts: HostArgs,
    /// Ask again until all is well or this time has passed: 90, 120s, 2m
    #[arg(short, long, value_parser = duration, value_name = "TIME")]
    wait: Option<Duration>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// `90`, `120s`, `2m`, `1h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) =
        text.split_at(text.find(|c: char| c.is_alphabetic()).unwrap_or(text.len()));
    let scale = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err("give seconds, or a number with s, m or h".into()),
    };
    let number: u64 = number
        .trim()
        .parse()
        .map_err(|_| "not a number".to_owned())?;
    Ok(Duration::from_secs(number * scale))
}

/// Runs it.
pub(super) fn run(args: &VerifyArgs) -> Result<ExitCode> {
    let path = args.hosts.playbook_path()?;
    let vault = args.hosts.vault.open()?;
    let extra = args.hosts.extra(&vault)?;
    let load = args.hosts.load_options(&path, &extra, &vault);
    let playbook = common::load_playbook(&path, &load)?;
    let mut runner = Runner::new(&args.hosts, load, extra)?;
    // It only looks.
    runner.options.lock = None;
    let state = state_dir(args.hosts.main_inventory());
    let deadline = Instant::now() + args.wait.unwrap_or_default();
    let table = Table::default();
    let mut unreachable;
    let mut junit: Vec<u8>;
    loop {
        let inventory = args.hosts.load_inventory(Some(&path), &vault)?;
        let planned = plan(
            &playbook,
            &inventory,
            runner.options.limit.as_deref(),
            &state,
        )
        .map_err(Diagnostics)?;
        let buffer = Shared::default();
        let reporters: Vec<Box<dyn Reporter>> = vec![
            Box::new(table.clone()),
            Box::new(Junit::new(buffer.clone())),
        ];
        let summary = runner.run(
            planned.playbook,
            inventory,
            planned.facts,
            planned.host_vars,
            reporters,
        )?;
        unreachable = summary.unreachable;
        junit = buffer.take();
        let over = Instant::now() >= deadline || runner.stop.wanted();
        if table.all_ok() || over {
            break;
        }
        let bad = table.bad_hosts();
        table.forget(&bad);
        runner.options.limit = Some(bad.join(","));
        std::thread::sleep(Duration::from_secs(2));
    }
    let hosts = table.hosts();
    if hosts.is_empty() {
        bail!("there is nothing to verify: every check was left out by its `when`");
    }
    let mut out = std::io::stdout().lock();
    match args.output {
        Output::Text | Output::Ansible => writeln!(out, "{}", table.render(common::color()))?,
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&hosts)?)?,
        Output::Junit => out.write_all(&junit)?,
    }
    let connected =
        |checks: &Vec<crate::verify::Check>| checks.iter().all(|c| c.ok || c.role == "connection");
    Ok(ExitCode::from(if table.all_ok() {
        exit::OK
    } else if unreachable && hosts.values().all(connected) {
        exit::UNREACHABLE
    } else {
        exit::FAILED
    }))
}

/// A buffer that a reporter writes and the command reads.
#[derive(Clone, Default)]
struct Shared(Arc<std::sync::Mutex<Vec<u8>>>);

impl Shared {
    fn take(&self) -> Vec<u8> {
        std::mem::take(
            &mut self
                .0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }
}

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
