//! What a run tells the world. The engine emits events; terminal, JSON, JUnit and journal consume them.

use crate::modules::Diff;
use minijinja::Value;
use std::sync::Arc;
use std::time::Duration;

/// Something that happened in a run.
#[derive(Debug, Clone)]
pub enum Event {
    /// The run begins.
    RunStart {
        /// The playbook's path.
        playbook: String,
        /// Every host of every play, in order.
        hosts: Vec<String>,
        /// Whether it is a dry run.
        check: bool,
    },
    /// A play begins.
    PlayStart {
        /// Its name, or its pattern.
        name: String,
        /// Its hosts.
        hosts: Vec<String>,
    },
    /// A host begins a task (for live display only; skipped tasks do not show).
    TaskStart {
        /// The host.
        host: Arc<str>,
        /// The task.
        task: Arc<TaskInfo>,
    },
    /// One item of a loop ended.
    Item(Box<StepEnd>),
    /// A task ended on a host.
    Task(Box<StepEnd>),
    /// Something the user should know.
    Warning {
        /// The host it is about, if any.
        host: Option<Arc<str>>,
        /// The text.
        text: String,
    },
    /// The user is asked for something on the terminal.
    Prompt {
        /// The question.
        text: String,
    },
    /// A host has ended its part of the run.
    HostEnd(HostRecap),
    /// The run ended.
    RunEnd {
        /// Every host's figures, in inventory order.
        recap: Vec<HostRecap>,
        /// Whether it was interrupted.
        interrupted: bool,
    },
}

/// A task as people see it.
#[derive(Debug, Clone, Default)]
pub struct TaskInfo {
    /// Its name, or the module's.
    pub name: String,
    /// The module.
    pub module: String,
    /// `file:line:col`.
    pub place: String,
    /// The role it belongs to.
    pub role: Option<String>,
    /// Whether it is a handler.
    pub handler: bool,
    /// The play it is in, counted from 0.
    pub play: usize,
    /// Whether a run can start at it: it stands in the playbook, not in what an include brings, a `rescue` or a handler.
    pub start: bool,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Status {
    /// In sync.
    #[default]
    Ok,
    /// Changed (or would be, in check mode).
    Changed,
    /// Failed.
    Failed,
    /// Skipped.
    Skipped,
    /// The host could not be reached (any more).
    Unreachable,
}

impl Status {
    /// One lower-case word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Changed => "changed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Unreachable => "unreachable",
        }
    }
}

/// The end of a task or of one item of its loop. With `no_log`, `result`, `msg` and `diff` are already empty.
#[derive(Debug, Clone, Default)]
pub struct StepEnd {
    /// The host.
    pub host: Arc<str>,
    /// Where it really ran, when delegated.
    pub delegate: Option<String>,
    /// The task.
    pub task: Arc<TaskInfo>,
    /// The loop item's label.
    pub item: Option<String>,
    /// How it ended.
    pub status: Status,
    /// Whether its failure is ignored (`ignore_errors`).
    pub ignored: bool,
    /// Whether a `rescue` takes over.
    pub rescued: bool,
    /// The message.
    pub msg: Option<String>,
    /// What to do about a failure.
    pub hint: Option<String>,
    /// The result dictionary.
    pub result: Value,
    /// Differences.
    pub diff: Vec<Diff>,
    /// Hidden by `no_log`.
    pub no_log: bool,
    /// How often it was tried.
    pub attempts: u32,
    /// How long it took, as the controller saw it.
    pub elapsed: Duration,
    /// The fingerprint before: what was asked and the answers, in short form.
    pub before: Vec<(String, String)>,
    /// The fingerprint after the actions; empty when nothing was done.
    pub after: Vec<(String, String)>,
}

/// A host's figures.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostRecap {
    /// The host.
    pub host: String,
    /// Tasks in sync or changed.
    pub ok: u32,
    /// Tasks that changed something.
    pub changed: u32,
    /// Tasks that failed, not ignored nor rescued.
    pub failed: u32,
    /// Tasks skipped.
    pub skipped: u32,
    /// 1 when the host could not be reached.
    pub unreachable: u32,
    /// Tasks rescued.
    pub rescued: u32,
    /// Failures ignored.
    pub ignored: u32,
    /// Wall time.
    pub seconds: f64,
    /// Turns on its line, the handshake included.
    pub turns: u64,
    /// Bytes sent to it.
    pub up: u64,
    /// Bytes received from it.
    pub down: u64,
}
