//! What a host has under way, told when it is let go in the middle because the user wants to stop now.

use super::context::HostContext;
use crate::report::Event;
use crate::report::event::{HostRecap, Status, StepEnd, TaskInfo};
use std::sync::Arc;

/// A host's figures, and the task whose end is waited for. What is dropped before it has landed tells so.
pub(crate) struct Flight {
    cx: Arc<HostContext>,
    /// The first of what was sent, and how many steps were sent with it.
    task: Option<(Arc<TaskInfo>, usize)>,
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

    /// A task's actions are sent, and those of so many more.
    pub(crate) fn takes_off(&mut self, task: &Arc<TaskInfo>, more: usize) {
        self.task = Some((Arc::clone(task), more));
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
        if let Some((task, more)) = self.task.take() {
            let more = match more {
                0 => String::new(),
                more => format!("{more} more were sent with it; "),
            };
            self.recap.failed += 1;
            let end = StepEnd {
                host: Arc::clone(&self.cx.host),
                task,
                status: Status::Failed,
                msg: Some("stopped by the user while this was under way; it may have run".into()),
                hint: Some(format!(
                    "{more}look at the host, then go on with `--resume`"
                )),
                attempts: 1,
                ..StepEnd::default()
            };
            self.cx.run.emit(Event::Task(Box::new(end)));
        }
        self.cx.board.cut(std::mem::take(&mut self.recap));
    }
}
