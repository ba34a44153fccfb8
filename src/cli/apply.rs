//! `mini-play apply`: bring hosts to the state a playbook describes.

use super::common::{self, HostArgs};
use super::exit;
use crate::engine::{self, ConnectionDefaults, Listing, Point, Run, Summary};
use crate::inventory::Inventory;
use crate::report::{
    Ansible, Ending, Journal, Json, Junit, Receipt, Reporter, Terminal, endings, pump, state_dir,
};
use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Form of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people
    Text,
    /// As Ansible's default output
    Ansible,
    /// One JSON object per event and line
    Json,
    /// JUnit XML at the end
    Junit,
}

/// Arguments of `apply`.
#[derive(Debug, Args)]
pub(super) struct ApplyArgs {
    #[command(flatten)]
    pub hosts: HostArgs,
    /// Only tasks with these tags
    #[arg(short, long, value_delimiter = ',')]
    pub tags: Vec<String>,
    /// Not tasks with these tags
    #[arg(long, value_delimiter = ',', value_name = "TAGS")]
    pub skip_tags: Vec<String>,
    /// Change nothing, say what would change
    #[arg(short = 'C', long)]
    pub check: bool,
    /// Show differences of files
    #[arg(short = 'D', long)]
    pub diff: bool,
    /// Run notified handlers on hosts that failed, too
    #[arg(long)]
    pub force_handlers: bool,

    /// Change hosts even while another run is at work on them
    #[arg(long)]
    pub no_lock: bool,
    /// Read and check everything, connect to nothing
    #[arg(long)]
    pub syntax_check: bool,
    /// List the hosts of each play, connect to nothing
    #[arg(long)]
    pub list_hosts: bool,
    /// List the tasks that would run, connect to nothing
    #[arg(long)]
    pub list_tasks: bool,
    /// List all tags, connect to nothing
    #[arg(long)]
    pub list_tags: bool,
    /// Start at the task of this name (or glob), pass over those before it
    #[arg(long, value_name = "NAME")]
    pub start_at_task: Option<String>,
    /// Only the hosts whose last run of this playbook did not end well
    #[arg(long)]
    pub failed: bool,
    /// The same, each from the step on where it stopped
    #[arg(long, conflicts_with_all = ["start_at_task", "check"])]
    pub resume: bool,
    /// Ask before each task
    #[arg(long)]
    pub step: bool,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: Output,
}

/// Runs it.
pub(super) fn run(args: &ApplyArgs) -> Result<ExitCode> {
    let path = args.hosts.playbook_path()?;
    let summary = run_all(args, &[path], &Folders::default())?;
    Ok(ExitCode::from(summary.as_ref().map_or(exit::OK, code)))
}

/// More folders to look in.
#[derive(Debug, Default)]
pub(super) struct Folders {
    /// For roles.
    pub roles: Vec<PathBuf>,
    /// For collections.
    pub collections: Vec<PathBuf>,
}

/// Runs playbooks one after the other, until one does not end well. No summary when nothing was to be run.
pub(super) fn run_all(
    args: &ApplyArgs,
    playbooks: &[PathBuf],
    folders: &Folders,
) -> Result<Option<Summary>> {
    let vault = args.hosts.vault.open()?;
    let extra = args.hosts.extra(&vault)?;
    let listing = Listing {
        hosts: args.list_hosts,
        tasks: args.list_tasks,
        tags: args.list_tags,
    };
    let lists = listing.hosts || listing.tasks || listing.tags;
    let mut options = if lists || args.syntax_check {
        args.hosts.plain_options()
    } else {
        args.hosts.options()?
    };
    options.check = args.check;
    options.diff = args.diff;
    options.tags.clone_from(&args.tags);
    options.skip_tags.clone_from(&args.skip_tags);
    options.force_handlers = args.force_handlers;
    options.start_at.clone_from(&args.start_at_task);
    options.step = args.step;
    options.lock = (!args.check && !args.no_lock).then(common::lock);
    options.due = Some(state_dir(args.hosts.main_inventory()).join("due"));
    let connection = if lists || args.syntax_check {
        ConnectionDefaults::default()
    } else {
        args.hosts.connection()?
    };
    let runtime = common::runtime()?;
    let stop = runtime.block_on(async { common::stop_on_interrupt() });
    let mut summary = None;
    for path in playbooks {
        let mut load = args.hosts.load_options(path, &extra, &vault);
        load.roles_path.extend_from_slice(&folders.roles);
        load.collections_path.clone_from(&folders.collections);
        let inventory = args.hosts.load_inventory(Some(path), &vault)?;
        let playbook = common::load_playbook(path, &load)?;
        let mut facts = HashMap::new();
        if args.failed || args.resume {
            let state = state_dir(args.hosts.main_inventory());
            let Some(again) = again(&state, path, &inventory, args.hosts.limit.as_deref())? else {
                println!(
                    "the last run of {} ended well on every host",
                    path.display()
                );
                continue;
            };
            let mut names: Vec<&str> = again.keys().map(String::as_str).collect();
            names.sort_unstable();
            options.limit = Some(names.join(","));
            if args.resume {
                for host in again.keys() {
                    let receipt = Receipt::load(&state, host).unwrap_or_default();
                    facts.insert(host.clone(), receipt.known_facts());
                }
                options.resume = again;
            }
        }
        let run = Run {
            playbook,
            load,
            options: options.clone(),
            extra: extra.clone(),
            connector: common::connector(),
            connection: connection.clone(),
            inventory_path: args.hosts.inventory.first().cloned(),
            inventory,
            host_vars: std::collections::HashMap::new(),
            facts,
            stop: stop.clone(),
        };
        if lists {
            print!("{}", crate::secrets::mask(&engine::list(run, listing)?));
            continue;
        }
        if args.syntax_check {
            println!("\nplaybook: {}", path.display());
            continue;
        }
        let ended = runtime.block_on(one(args, run))?;
        let good = code(&ended) == exit::OK;
        summary = Some(ended);
        if !good {
            break;
        }
    }
    Ok(summary)
}

/// The hosts whose last run of a playbook did not end well, and where each stopped; `None` when there are none.
fn again(
    state: &Path,
    playbook: &Path,
    inventory: &Inventory,
    limit: Option<&str>,
) -> Result<Option<HashMap<String, Point>>> {
    let known = endings(state, playbook);
    if known.is_empty() {
        bail!(
            "no run of {} with this inventory is known\n  hint: journals are kept in {}",
            playbook.display(),
            state.display()
        );
    }
    let hosts = inventory.select("all", limit)?;
    let points: HashMap<String, Point> = known
        .into_iter()
        .filter(|(host, _)| hosts.contains(host))
        .filter_map(|(host, ending)| match ending {
            Ending::Well => None,
            Ending::At(point) => Some((host, point)),
        })
        .collect();
    Ok(Some(points).filter(|points| !points.is_empty()))
}

/// One run with its reports.
async fn one(args: &ApplyArgs, run: Run) -> Result<Summary> {
    let journal = Journal::open(&state_dir(args.hosts.main_inventory()))
        .context("the run journal cannot be written (set MINI_PLAY_STATE to a folder that can)")?
        .partial(
            !args.tags.is_empty()
                || !args.skip_tags.is_empty()
                || args.start_at_task.is_some()
                || args.step
                || args.resume
                || args.check,
        )
        .resume(args.resume);
    let verbosity = args.hosts.verbose;
    let shown: Box<dyn Reporter> = match args.output {
        Output::Text => Box::new(Terminal::new(
            std::io::stdout(),
            common::color(),
            common::live() && !args.step,
            verbosity,
        )),
        Output::Ansible => Box::new(Ansible::new(std::io::stdout(), common::color(), verbosity)),
        Output::Json => Box::new(Json::new(std::io::stdout())),
        Output::Junit => Box::new(Junit::new(std::io::stdout())),
    };
    let (sender, events) = tokio::sync::mpsc::unbounded_channel();
    let reporting = tokio::spawn(pump(events, vec![shown, Box::new(journal)]));
    let summary = engine::run(run, sender).await;
    // The reporters end when the run has dropped its sender.
    drop(reporting.await);
    Ok(summary?)
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
