//! What all steps of a run, and all steps of a host in a play, have in common.

use super::background::Jobs;
use super::board::Board;
use super::includes::Includes;
use super::interrupt::Interrupt;
use super::links::Links;
use super::position::Position;
use super::steps::Steps;
use super::walk::Stop;
use crate::inventory::Inventory;
use crate::playbook::ast::Play;
use crate::report::Event;
use crate::template::{Engine, Scope};
use crate::vars::{Layer, Magic, Shared, StepScope};
use crate::yaml::Node;
use minijinja::Value;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;

/// Settings of a run, as resolved from the command line.
#[derive(Debug, Clone)]
pub struct Options {
    /// Dry run.
    pub check: bool,
    /// Show differences.
    pub diff: bool,
    /// Hosts at work at the same time.
    pub forks: usize,
    /// `--tags`; empty is all.
    pub tags: Vec<String>,
    /// `--skip-tags`.
    pub skip_tags: Vec<String>,
    /// `--become` and friends: defaults below keywords and variables.
    pub r#become: bool,
    /// `--become-user`.
    pub become_user: Option<String>,
    /// `--become-method`.
    pub become_method: Option<String>,
    /// `-K`.
    pub become_password: Option<crate::remote::Secret>,
    /// What to lock hosts with while they are changed; without it they are not locked.
    pub lock: Option<Lock>,
    /// Folder where handlers that are due are kept until they have run; without one they are lost when a run breaks off.
    pub due: Option<std::path::PathBuf>,
    /// `--force-handlers`.
    pub force_handlers: bool,
    /// `--limit`.
    pub limit: Option<String>,
    /// `--start-at-task`.
    pub start_at: Option<String>,
    /// `--resume`: where hosts go on.
    pub resume: std::collections::HashMap<String, super::resume::Point>,
    /// `--step`: ask before each task.
    pub step: bool,
    /// Number of `-v`.
    pub verbosity: u8,
}

/// Who locks hosts.
#[derive(Debug, Clone)]
pub struct Lock {
    /// The run, unlike any other.
    pub run: String,
    /// What another run that finds the host locked is told.
    pub who: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            check: false,
            diff: false,
            forks: 50,
            tags: Vec::new(),
            skip_tags: Vec::new(),
            r#become: false,
            become_user: None,
            become_method: None,
            become_password: None,
            due: None,
            lock: None,
            force_handlers: false,
            limit: None,
            start_at: None,
            resume: std::collections::HashMap::new(),
            step: false,
            verbosity: 0,
        }
    }
}

/// What a run has in common.
pub(crate) struct RunContext {
    /// Settings.
    pub options: Options,
    /// Templates.
    pub engine: Arc<Engine>,
    /// What is known of all hosts.
    pub shared: Arc<Shared>,
    /// `-e`.
    pub extra: Layer,
    /// Magic variables that never change in a run.
    pub magic: Arc<Magic>,
    /// Hosts.
    pub inventory: Arc<Inventory>,
    /// All plays, in order.
    pub plays: Vec<Arc<Play>>,
    /// Files read at run time.
    pub includes: Includes,
    /// Connections.
    pub links: Links,
    /// Where events go.
    pub events: UnboundedSender<Event>,
    /// Tasks that were started with `async`.
    pub jobs: Arc<Jobs>,
    /// What the user answered to `--step`.
    pub steps: Steps,
    /// Ctrl-C.
    pub stop: Interrupt,
}

impl RunContext {
    /// Emits an event. A gone listener is no reason to stop.
    pub(crate) fn emit(&self, event: Event) {
        drop(self.events.send(event));
    }

    /// Waits, unless the user wants to stop.
    pub(crate) async fn rest(&self, time: std::time::Duration) {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            () = self.stop.until_wanted() => {}
        }
    }
}

/// What a host's steps in a play have in common.
pub(crate) struct HostContext {
    /// The run.
    pub run: Arc<RunContext>,
    /// The play.
    pub play: Arc<Play>,
    /// Which play of the run it is.
    pub index: usize,
    /// The host.
    pub host: Arc<str>,
    /// `vars`, `vars_prompt` and `vars_files` of the play and vars of its roles, weakest first.
    pub play_vars: Vec<Layer>,
    /// Defaults of the play's roles, weakest first.
    pub play_defaults: Vec<Layer>,
    /// Progress of all hosts of the batch.
    pub board: Arc<Board>,
}

impl HostContext {
    /// A notify, listen or handler name (or a list of them) as texts; what does not render is left out.
    pub(crate) fn texts(&self, position: &Position, stop: &Stop, node: &Node) -> Vec<String> {
        if !node.is_template()
            && let Some(text) = node.as_str()
        {
            return vec![text.to_owned()];
        }
        let scope: Arc<dyn Scope> = StepScope::new(position.parts(self, &stop.task, &stop.chain));
        match self.run.engine.render(node, &scope) {
            Ok(value) => flat(&value),
            Err(_) => Vec::new(),
        }
    }
}

/// A text or a (nested) list of texts as one flat list.
pub(crate) fn flat(value: &Value) -> Vec<String> {
    if let Some(text) = value.as_str() {
        return vec![text.to_owned()];
    }
    match value.kind() {
        minijinja::value::ValueKind::Seq | minijinja::value::ValueKind::Iterable => value
            .try_iter()
            .into_iter()
            .flatten()
            .flat_map(|item| flat(&item))
            .collect(),
        minijinja::value::ValueKind::Undefined | minijinja::value::ValueKind::None => Vec::new(),
        _ => vec![value.to_string()],
    }
}
