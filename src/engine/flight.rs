//! What a host has under way, told when it is let go in the middle because the user wants to stop now.

use super::context::HostContext;
use crate::report::Event;
use crate::report::event::{HostRecap, Status, StepEnd, TaskInfo};
use std::sync::Arc;

/// A host's figures, and the task whose end is waited for. What is dropped before it has landed tells so.
pub(crate) struct Flight {
    cx: Arc<HostContext>,
    task: Option<Arc<TaskInfo>>,
    /// The host's figures in this play.
    pub recap: HostRecap,
}

impl Flight {
    /// At the start of a play.
    pub(crate) fn new(cx: &Arc<HostContext>) -> Self {
        Self {
            cx: Arc::clone(cx),
            task: None,
            recap: HostRecap {
                host: cx.host.to_string(),
                ..HostRecap::default()
            },
        }
    }

    /// A task's actions are sent.
    pub(crate) fn takes_off(&mut self, task: &Arc<TaskInfo>) {
        self.task = Some(Arc::clone(task));
    }

    /// Their end is known.
    pub(crate) fn lands(&mut self) {
        self.task = None;
    }

    /// The host has ended the play by itself: its figures are handed on.
    pub(crate) fn ends(mut self) -> HostRecap {
        self.task = None;
        std::mem::take(&mut self.recap)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.recap.host.is_empty() {
            return;
        }
        if let Some(task) = self.task.take() {
            self.recap.failed += 1;
            let end = StepEnd {
                host: Arc::clone(&self.cx.host),
                task,
                status: Status::Failed,
                msg: Some("stopped by the user while this was under way; it may have run".into()),
                hint: Some("look at the host, then go on with `--resume`".into()),
                attempts: 1,
                ..StepEnd::default()
            };
            self.cx.run.emit(Event::Task(Box::new(end)));
        }
        self.cx.board.cut(std::mem::take(&mut self.recap));
    }
}
