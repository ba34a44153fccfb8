//! A run: plays in order, events, the summary.

use super::context::{Options, RunContext};
use super::host::Left;
use super::includes::Includes;
use super::interrupt::Interrupt;
use super::links::{ConnectionDefaults, Connector, Links};
use super::listing::StartAt;
use super::play::{Carried, run_play};
use super::steps::Steps;
use crate::diag::Diagnostic;
use crate::inventory::Inventory;
use crate::playbook::LoadOptions;
use crate::playbook::ast::{Playbook, VarMap};
use crate::report::Event;
use crate::report::event::HostRecap;
use crate::template::Engine;
use crate::vars::{HostState, Layer, Magic, Shared, Values};
use crate::yaml::Node;
use indexmap::IndexMap;
use minijinja::Value;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc::UnboundedSender;

/// Everything a run needs.
pub struct Run {
    /// What to do.
    pub playbook: Playbook,
    /// On whom.
    pub inventory: Inventory,
    /// Where roles and files are looked for at run time.
    pub load: LoadOptions,
    /// Settings.
    pub options: Options,
    /// `-e`.
    pub extra: VarMap,
    /// Opens connections.
    pub connector: Connector,
    /// Connection defaults from the command line.
    pub connection: ConnectionDefaults,
    /// Where the inventory was read, for `inventory_dir` and `inventory_file`.
    pub inventory_path: Option<PathBuf>,
    /// More variables of hosts, stronger than the inventory's.
    pub host_vars: HashMap<String, VarMap>,
    /// Facts of hosts that are known beforehand.
    pub facts: HashMap<String, IndexMap<String, Value>>,
    /// The user's wish to stop.
    pub stop: Interrupt,
}

/// How a run ended.
#[derive(Debug, Clone, Default)]
pub struct Summary {
    /// Every host's figures, in inventory order.
    pub recap: Vec<HostRecap>,
    /// A host failed.
    pub failed: bool,
    /// A host could not be reached.
    pub unreachable: bool,
    /// The user stopped it.
    pub interrupted: bool,
}

/// Runs a playbook. Emits events; prints nothing.
///
/// # Errors
/// What is wrong with a play as such (its pattern, its prompts). What is wrong on a host is in the summary.
pub async fn run(run: Run, events: UnboundedSender<Event>) -> Result<Summary, Diagnostic> {
    let known = run.facts.clone();
    let playbook = run.playbook.path.clone();
    let context = context(run, events);
    let mut recap: IndexMap<String, HostRecap> = IndexMap::new();
    let mut summary = Summary::default();
    let mut carried = Carried {
        start: context.options.start_at.as_deref().map(StartAt::new),
        ..Carried::default()
    };
    for (host, facts) in known {
        let mut state = HostState::default();
        state.add_facts(facts, false);
        let host: Arc<str> = host.into();
        context.shared.publish(&host, &state);
        carried.states.insert(host, state);
    }
    super::resume::check(&context)?;
    super::twins::check(&context)?;
    let started = Instant::now();
    let names = context.inventory.host_names();
    context.emit(Event::RunStart {
        playbook: playbook.display().to_string(),
        hosts: names.clone(),
        check: context.options.check,
    });
    let mut outcome = Ok(());
    for index in 0..context.plays.len() {
        let mut told = |one: &HostRecap, left: Left| {
            summary.failed |= left == Left::Failed;
            summary.unreachable |= left == Left::Unreachable;
            let line = context.links.stats(&one.host);
            let total = recap.entry(one.host.clone()).or_default();
            add(total, one);
            total.seconds = started.elapsed().as_secs_f64();
            (total.turns, total.up, total.down) = (line.turns, line.up, line.down);
        };
        outcome = run_play(&context, index, &mut carried, &mut told).await;
        if outcome.is_err() || carried.interrupted || carried.fatal {
            break;
        }
    }
    if carried.start.is_some() && outcome.is_ok() && !carried.interrupted {
        let name = context.options.start_at.as_deref().unwrap_or_default();
        outcome = Err(
            Diagnostic::plain(format!("no task matches `{name}`")).hint(
                "`--start-at-task` takes names as written and globs, of tasks that are not brought by an `include_…`; `--list-tasks` shows them",
            ),
        );
    }
    tokio::select! {
        () = context.links.close() => {}
        // The hosts' shells end when the process lets go of their lines.
        () = context.stop.until_now() => {}
    }
    summary.interrupted = carried.interrupted;
    recap.sort_by_key(|host, _| names.iter().position(|name| name == host));
    summary.recap = recap.into_values().collect();
    for host in &summary.recap {
        context.emit(Event::HostEnd(host.clone()));
    }
    context.emit(Event::RunEnd {
        recap: summary.recap.clone(),
        interrupted: summary.interrupted,
    });
    outcome.map(|()| summary)
}

/// What all steps of a run have in common.
pub(super) fn context(run: Run, events: UnboundedSender<Event>) -> Arc<RunContext> {
    let shared = Arc::new(Shared::default());
    announce(&run.inventory, &run.host_vars, &shared);
    let forks = run.options.forks;
    let engine = Engine::default();
    let vault = run.load.vault.clone();
    engine.set_vault(move |armoured| vault.text(armoured));
    Arc::new(RunContext {
        magic: Arc::new(Magic {
            values: constants(&run),
            connection: None,
        }),
        jobs: Arc::default(),
        steps: Steps::new(run.options.step),
        options: run.options,
        engine: Arc::new(engine),
        shared,
        extra: Layer::Nodes("the command line (-e)".into(), Arc::new(run.extra)),
        inventory: Arc::new(run.inventory),
        plays: run.playbook.plays,
        includes: Includes::new(run.load),
        links: Links::new(run.connector, run.connection, forks),
        events,
        stop: run.stop,
    })
}

fn add(total: &mut HostRecap, one: &HostRecap) {
    total.host.clone_from(&one.host);
    total.ok += one.ok;
    total.changed += one.changed;
    total.failed += one.failed;
    total.skipped += one.skipped;
    total.rescued += one.rescued;
    total.ignored += one.ignored;
    total.unreachable = total.unreachable.max(one.unreachable);
}

/// Makes the inventory known to all scopes.
fn announce(inventory: &Inventory, more: &HashMap<String, VarMap>, shared: &Shared) {
    for host in inventory.host_names() {
        let name: Arc<str> = host.as_str().into();
        let layers = inventory
            .host_vars_layers(&host)
            .into_iter()
            .map(|(what, vars)| (what.into(), vars))
            .chain(
                more.get(&host)
                    .map(|vars| (FROM_RUN.into(), Arc::new(vars.clone()))),
            )
            .collect();
        shared.add_host(&name, layers);
    }
    for (group, members) in inventory.groups() {
        shared.add_to_group(&group, None);
        for member in members {
            shared.add_to_group(&group, Some(&member.as_str().into()));
        }
    }
}

/// Magic variables that never change in a run.
fn constants(run: &Run) -> Values {
    let version = [
        ("full", Value::from("2.19.0")),
        ("major", Value::from(2)),
        ("minor", Value::from(19)),
        ("revision", Value::from(0)),
        ("string", Value::from("2.19.0")),
    ];
    let mut values = Values::from([
        ("ansible_version".into(), Value::from_pairs(version)),
        ("ansible_playbook_python".into(), Value::from("")),
        ("ansible_config_file".into(), Value::from(())),
        ("ansible_managed".into(), Value::from("Ansible managed")),
    ]);
    if let Some(path) = &run.inventory_path {
        let full = std::path::absolute(path).unwrap_or_else(|_| path.clone());
        let dir = if full.is_dir() {
            full.clone()
        } else {
            full.parent().map(PathBuf::from).unwrap_or_default()
        };
        values.insert(
            "inventory_file".into(),
            Value::from(full.display().to_string()),
        );
        values.insert(
            "inventory_dir".into(),
            Value::from(dir.display().to_string()),
        );
    }
    values
}

impl RunContext {
    /// Asks the user on the terminal.
    ///
    /// # Errors
    /// In words, when there is no terminal.
    pub(crate) async fn ask(&self, text: &str, echo: bool) -> Result<String, String> {
        use std::io::IsTerminal as _;
        if !std::io::stdin().is_terminal() {
            return Err("there is no terminal to ask on".into());
        }
        self.emit(Event::Prompt {
            text: text.to_owned(),
        });
        let read = tokio::task::spawn_blocking(move || {
            if echo {
                let mut line = String::new();
                std::io::stdin()
                    .read_line(&mut line)
                    .map(|_| line.trim_end_matches(['\n', '\r']).to_owned())
            } else {
                rpassword::read_password()
            }
        });
        match read.await {
            Ok(Ok(line)) => {
                if !echo {
                    crate::secrets::learn(&line);
                }
                Ok(line)
            }
            Ok(Err(why)) => Err(why.to_string()),
            Err(why) => Err(why.to_string()),
        }
    }

    /// A host added by `add_host`: its variables are computed values. Says whether anything is new.
    pub(crate) fn add_host(&self, name: &str, groups: &[String], vars: &[(String, Value)]) -> bool {
        let host: Arc<str> = name.into();
        let source = crate::diag::Source::new("<add_host>", "");
        let span = crate::diag::Span::head(&source);
        let known = self.shared.layers(name);
        let mut map = VarMap::new();
        for (_, layer) in known
            .iter()
            .flat_map(|layers| layers.iter())
            .filter(|(source, _)| &**source == ADDED)
        {
            map.extend(
                layer
                    .iter()
                    .map(|(key, node)| (Arc::clone(key), node.clone())),
            );
        }
        let mut changed = known.is_none();
        for (key, value) in vars {
            let node = node_of(value, &span);
            let before = map.insert(key.as_str().into(), node);
            changed |= before.is_none_or(|before| crate::yaml::plain(&before) != *value);
        }
        for group in std::iter::once("all").chain(groups.iter().map(String::as_str)) {
            changed |= self.shared.add_to_group(group, Some(&host));
        }
        self.regroup(&host, Some(map));
        changed
    }

    /// `group_by`: the host at hand goes into a group, which stands below others. Says whether anything is new.
    pub(crate) fn group_by(&self, host: &Arc<str>, group: &str, parents: &[String]) -> bool {
        let mut changed = false;
        for name in std::iter::once(group).chain(parents.iter().map(String::as_str)) {
            changed |= self.shared.add_to_group(name, Some(host));
        }
        if changed {
            self.regroup(host, None);
        }
        changed
    }

    /// A host's definitions, with those of the groups that the run put it into.
    fn regroup(&self, host: &Arc<str>, added: Option<VarMap>) {
        let groups = self.shared.groups_of(host);
        let layers = self.inventory.host_vars_layers_in(host, &groups);
        let mut layers: Vec<(Arc<str>, Arc<VarMap>)> = layers
            .into_iter()
            .map(|(what, vars)| (what.into(), vars))
            .collect();
        let known = self.shared.layers(host);
        let known = known.iter().flat_map(|layers| layers.iter());
        layers.extend(
            known
                .filter(|(source, _)| {
                    &**source == FROM_RUN || (&**source == ADDED && added.is_none())
                })
                .cloned(),
        );
        layers.extend(added.map(|map| (ADDED.into(), Arc::new(map))));
        self.shared.add_host(host, layers);
    }
}

/// Where variables are from that the inventory does not have.
const FROM_RUN: &str = "the run";

/// Where variables are from that a task gave a host.
const ADDED: &str = "add_host";

/// A computed value as a node that is never templated.
pub(super) fn node_of(value: &Value, span: &crate::diag::Span) -> Node {
    use crate::yaml::Kind;
    use minijinja::value::ValueKind as K;
    let kind = match value.kind() {
        K::Undefined | K::None => Kind::Null,
        K::Bool => Kind::Bool(value.is_true()),
        K::Number if value.is_integer() => {
            i128::try_from(value.clone()).map_or(Kind::Null, Kind::Int)
        }
        K::Number => f64::try_from(value.clone())
            .ok()
            .map_or(Kind::Null, Kind::Float),
        K::Seq | K::Iterable => Kind::Seq(
            value
                .try_iter()
                .into_iter()
                .flatten()
                .map(|item| node_of(&item, span))
                .collect(),
        ),
        K::Map => {
            let mut map = crate::yaml::Map::default();
            for key in value.try_iter().into_iter().flatten() {
                let item = value.get_item(&key).unwrap_or_default();
                map.insert(key.to_string().into(), span.clone(), node_of(&item, span));
            }
            Kind::Map(Arc::new(map))
        }
        _ => Kind::Unsafe(crate::modules::args::text(value).into()),
    };
    Node {
        kind,
        span: span.clone(),
    }
}
