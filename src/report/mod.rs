//! Consumers of run events: terminal, JSON lines, JUnit, journal.
//!
//! The run emits [`Event`]s and never prints. Each consumer is a [`Reporter`]; [`pump`] hands every event to all of them.

mod ansible;
pub mod clean;
mod diff;
pub mod event;
mod groups;
mod history;
mod journal;
mod json;
mod junit;
mod masked;
mod terminal;

pub use ansible::Ansible;
pub use event::Event;
pub use groups::Groups;
pub use history::{Ending, endings};
pub use journal::{Journal, Receipt, state_dir};
pub use json::Json;
pub use junit::Junit;
pub use terminal::Terminal;

use tokio::sync::mpsc::UnboundedReceiver;

/// A consumer of events.
pub trait Reporter: Send {
    /// Takes one event, without the secrets in it.
    fn event(&mut self, event: &Event);

    /// Takes the same event as it is, for what is kept and not shown.
    fn raw(&mut self, _event: &Event) {}
}

/// Hands events to all reporters until the run has dropped its sender; gives the reporters back.
pub async fn pump(
    mut events: UnboundedReceiver<Event>,
    mut reporters: Vec<Box<dyn Reporter>>,
) -> Vec<Box<dyn Reporter>> {
    while let Some(event) = events.recv().await {
        let masked = event.masked();
        for reporter in &mut reporters {
            reporter.raw(&event);
            reporter.event(&masked);
        }
    }
    reporters
}
