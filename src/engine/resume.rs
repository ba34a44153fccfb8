//! `--resume`: each host goes on where an earlier run left it.

use super::chain::Chain;
use super::context::{HostContext, RunContext};
use super::listing::StartAt;
use super::position::Position;
use crate::diag::Diagnostic;
use crate::playbook::ast::Play;
use std::sync::Arc;

/// Where a host goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    /// The play, counted from 0.
    pub play: usize,
    /// The task; without one it is the play's start.
    pub task: Option<Task>,
    /// Whether it goes on behind the task: that ended well.
    pub after: bool,
}

/// A task as the journal knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// Its name, with its role.
    pub name: String,
    /// `file:line:col`.
    pub place: String,
}

impl Point {
    /// What finds the task in the play: its place, or its name where the file was edited meanwhile.
    fn start(&self, run: &RunContext, play: &Arc<Play>) -> Option<StartAt> {
        let task = self.task.as_ref()?;
        let chain = Chain::of_play(play, Arc::clone(&run.magic));
        [
            StartAt::Place(task.place.clone(), task.name.clone()),
            StartAt::Name(task.name.clone()),
        ]
        .into_iter()
        .find(|start| start.in_play(play, &chain, &|_, _| true))
    }

    /// Moves a host that is at the start of this play there.
    pub(super) fn take(&self, cx: &HostContext, position: &mut Position) {
        if let Some(start) = self.start(&cx.run, &cx.play) {
            position.start_at(cx, &start);
            if self.after {
                position.walk.pass_current();
            }
        }
    }
}

/// Whether the playbook still has every task that a host goes on at.
pub(super) fn check(run: &RunContext) -> Result<(), Diagnostic> {
    for (host, point) in &run.options.resume {
        let Some(task) = &point.task else { continue };
        let play = run.plays.get(point.play);
        if play.and_then(|play| point.start(run, play)).is_none() {
            return Err(Diagnostic::plain(format!(
                "the task `{}`, where {host} stopped, is not in the playbook any more",
                task.name
            ))
            .hint("`--failed` runs the host from the start"));
        }
    }
    Ok(())
}
