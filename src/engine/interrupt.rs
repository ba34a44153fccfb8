//! Ctrl-C: once to finish what is running, twice to stop now.

use std::sync::Arc;
use tokio::sync::watch;

/// How much the user wants a run to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    GoOn,
    Finish,
    Now,
}

/// The user's wish that a run stops. Clones share it.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<watch::Sender<Wish>>);

impl Default for Interrupt {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Wish::GoOn)))
    }
}

impl Interrupt {
    /// Running actions finish, no more are started.
    pub fn finish(&self) {
        self.0.send_if_modified(|wish| {
            let first = *wish == Wish::GoOn;
            if first {
                *wish = Wish::Finish;
            }
            first
        });
    }

    /// Nothing is waited for any more.
    pub fn now(&self) {
        self.0.send_replace(Wish::Now);
    }

    /// Whether the user wants it to stop, in one way or the other.
    #[must_use]
    pub fn wanted(&self) -> bool {
        *self.0.borrow() >= Wish::Finish
    }

    /// Whether nothing is waited for any more.
    #[must_use]
    pub fn is_now(&self) -> bool {
        *self.0.borrow() == Wish::Now
    }

    /// Returns when the user wants it to stop.
    pub async fn until_wanted(&self) {
        self.until(Wish::Finish).await;
    }

    /// Returns when nothing is waited for any more.
    pub async fn until_now(&self) {
        self.until(Wish::Now).await;
    }

    async fn until(&self, least: Wish) {
        let mut wishes = self.0.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = wishes.wait_for(|wish| *wish >= least).await;
    }
}
