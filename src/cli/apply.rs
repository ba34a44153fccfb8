//! `mini-play apply`: bring hosts to the state a playbook describes.

use super::common::{self, HostArgs};
use super::exit;
use crate::engine::{self, Run, Summary};
use crate::report::{Journal, Json, Junit, Reporter, Terminal, pump, state_dir};
use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use std::process::ExitCode;

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people
    Text,
    /// One JSON object per event and line
    Json,
    /// JUnit XML at the end
    Junit,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    hosts: HostArgs,
    /// Only tasks with these tags
    #[arg(short, long, value_delimiter = ',')]
    tags: Vec<String>,
    /// Not tasks with these tags
    #[arg(long, value_delimiter = ',', value_name = "TAGS")]
    skip_tags: Vec<String>,
    /// Change nothing, say what would change
    #[arg(short = 'C', long)]
    check: bool,
    /// Show differences of files
    #[arg(short = 'D', long)]
    diff: bool,
    /// Run notified handlers on hosts that failed, too
    #[arg(long)]
    force_handlers: bool,

    /// Change hosts even while another run is at work on them
    #[arg(long)]
    no_lock: bool,
    /// Read and check everything, connect to nothing
    #[arg(long)]
    syntax_check: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

/// Runs it.
pub(super) fn run(args: ApplyArgs) -> Result<ExitCode> {
    let path = args.hosts.playbook_path()?;
    let extra = args.hosts.extra()?;
    let load = args.hosts.load_options(&path, &extra);
    let inventory = args.hosts.load_inventory(Some(&path))?;
    let playbook = common::load_playbook(&path, &load)?;
    if args.syntax_check {
        return Ok(ExitCode::from(exit::OK));
    }
    let mut options = args.hosts.options()?;
    options.check = args.check;
    options.diff = args.diff;
    options.tags = args.tags;
    options.skip_tags = args.skip_tags;
    options.force_handlers = args.force_handlers;
    options.lock = (!args.check && !args.no_lock).then(lock);
    let state = state_dir(&args.hosts.inventory);
    options.due = Some(state.join("due"));
    let journal = Journal::open(&state)
        .context("the run journal cannot be written (set MINI_PLAY_STATE to a folder that can)")?;
    let verbosity = args.hosts.verbose;
    let shown: Box<dyn Reporter> = match args.output {
        Output::Text => Box::new(Terminal::new(
            std::io::stdout(),
            common::color(),
            common::live(),
            verbosity,
        )),
        Output::Json => Box::new(Json::new(std::io::stdout())),
        Output::Junit => Box::new(Junit::new(std::io::stdout())),
    };
    let connection = args.hosts.connection()?;
    let summary = common::runtime()?.block_on(async {
        let run = Run {
            playbook,
            load,
            options,
            extra,
            connector: common::connector(),
            connection,
            inventory_path: Some(args.hosts.inventory.clone()),
            inventory,
            host_vars: std::collections::HashMap::new(),
            facts: std::collections::HashMap::new(),
            stop: common::stop_on_interrupt(),
        };
        let (sender, events) = tokio::sync::mpsc::unbounded_channel();
        let reporting = tokio::spawn(pump(events, vec![shown, Box::new(journal)]));
        let summary = engine::run(run, sender).await;
        // The reporters end when the run has dropped its sender.
        drop(reporting.await);
        summary
    })?;
    Ok(ExitCode::from(code(&summary)))
}

/// This run, for others that find a host locked.
fn lock() -> engine::Lock {
    let now = time::OffsetDateTime::now_utc();
    let since = now
        .replace_nanosecond(0)
        .unwrap_or(now)
        .format(&time::format_description::well_known::Rfc3339)
        .unwrap_or_default();
    let user = std::env::var("USER").unwrap_or_else(|_| "somebody".into());
    let node = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    let pid = std::process::id();
    engine::Lock {
        run: format!("{node}-{pid}-{}", now.unix_timestamp_nanos()),
        who: format!("mini-play of {user}@{node}, pid {pid}, since {since}"),
    }
}

/// The exit code of a run.
pub(super) fn code(summary: &Summary) -> u8 {
    if summary.interrupted {
        exit::INTERRUPTED
    } else if summary.failed {
        exit::FAILED
    } else if summary.unreachable {
        exit::UNREACHABLE
    } else {
        exit::OK
    }
}
