//! Events without the secrets in them.

use super::Event;
use super::event::{StepEnd, TaskInfo};
use crate::modules::Diff;
use crate::secrets::{mask, mask_value};
use std::sync::Arc;

impl Event {
    /// The event without the secrets that are known. Names of hosts and paths of fingerprints stay: they are looked up.
    pub(super) fn masked(&self) -> Self {
        let mut event = self.clone();
        match &mut event {
            Self::Item(end) | Self::Task(end) => step(end),
            Self::TaskStart { task, .. } => name(task),
            Self::PlayStart { name: text, .. }
            | Self::Warning { text, .. }
            | Self::Prompt { text } => hide(text),
            Self::RunStart { .. } | Self::HostEnd(_) | Self::RunEnd { .. } => {}
        }
        event
    }
}

fn step(end: &mut StepEnd) {
    name(&mut end.task);
    for text in [&mut end.item, &mut end.msg, &mut end.hint]
        .into_iter()
        .flatten()
    {
        hide(text);
    }
    if let Some(masked) = mask_value(&end.result) {
        end.result = masked;
    }
    for Diff {
        header,
        before,
        after,
    } in &mut end.diff
    {
        hide(header);
        hide(before);
        hide(after);
    }
}

fn name(task: &mut Arc<TaskInfo>) {
    if let std::borrow::Cow::Owned(masked) = mask(&task.name) {
        Arc::make_mut(task).name = masked;
    }
}

fn hide(text: &mut String) {
    if let std::borrow::Cow::Owned(masked) = mask(text) {
        *text = masked;
    }
}
