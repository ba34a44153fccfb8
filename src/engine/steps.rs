//! `--step`: the user is asked before each task.

use super::context::RunContext;
use super::walk::Place;
use crate::report::Event;
use std::collections::HashMap;
use std::io::BufRead as _;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Mutex;

/// What was answered so far. One question at a time, and one for all hosts of a task.
#[derive(Debug)]
pub(crate) struct Steps {
    asking: AtomicBool,
    answers: Mutex<HashMap<(usize, Place), bool>>,
}

impl Steps {
    /// Asking, or not.
    pub(crate) fn new(asking: bool) -> Self {
        Self {
            asking: AtomicBool::new(asking),
            answers: Mutex::default(),
        }
    }

    /// Whether tasks are still asked for.
    pub(crate) fn asking(&self) -> bool {
        self.asking.load(Ordering::Relaxed)
    }

    /// Whether the user wants a task; `None` when nobody answers any more.
    pub(crate) async fn ask(
        &self,
        run: &RunContext,
        (play, place): (usize, &Place),
        name: &str,
    ) -> Option<bool> {
        let mut answers = self.answers.lock().await;
        let key = (play, place.clone());
        if let Some(known) = answers.get(&key) {
            return Some(*known);
        }
        if !self.asking() {
            return Some(true);
        }
        run.emit(Event::Prompt {
            text: format!("Perform task: TASK: {name} (N)o/(y)es/(c)ontinue"),
        });
        let read = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            let read = std::io::stdin().lock().read_line(&mut line);
            read.ok().filter(|length| *length > 0).map(|_| line)
        });
        let answer = read.await.ok().flatten()?.trim().to_lowercase();
        let wanted = match answer.as_str() {
            "y" | "yes" => true,
            "c" | "continue" => {
                self.asking.store(false, Ordering::Relaxed);
                true
            }
            _ => false,
        };
        answers.insert(key, wanted);
        Some(wanted)
    }
}
