//! Where the hosts of a batch are, so that one can wait for the others where meaning needs it.
//!
//! Hosts run at their own pace. A host waits only for reading what others learned (`hostvars`) and around
//! `run_once`. Places grow monotonically, so the host that is furthest behind never waits: no deadlock.

use super::result::ItemResult;
use super::walk::Place;
use crate::report::event::HostRecap;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// Progress of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Progress {
    At(Place),
    Ended,
}

/// The result of a `run_once` task, for the hosts that did not run it.
pub(crate) type Once = Arc<(ItemResult, Vec<(String, minijinja::Value)>)>;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Board {
    hosts: Mutex<HashMap<Arc<str>, Progress>>,
    order: Vec<Arc<str>>,
    once: Mutex<HashMap<Place, Once>>,
    moved: Notify,
    cut: Mutex<Vec<HostRecap>>,
    gone: Mutex<HashMap<Arc<str>, Place>>,
}

impl Board {
    /// For these hosts, in this order, all at the start.
    pub(crate) fn new(order: Vec<Arc<str>>) -> Self {
        let hosts = order
            .iter()
            .map(|host| (Arc::clone(host), Progress::At(Vec::new())))
            .collect();
        Self {
            hosts: Mutex::new(hosts),
            order,
            ..Self::default()
        }
    }

    /// The hosts of the batch.
    pub(crate) fn hosts(&self) -> &[Arc<str>] {
        &self.order
    }

    /// A host has come to a place.
    pub(crate) fn arrive(&self, host: &Arc<str>, place: Place) {
        self.hosts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(Arc::clone(host), Progress::At(place));
        self.moved.notify_waiters();
    }

    /// A host has ended the play, one way or the other.
    pub(crate) fn end(&self, host: &Arc<str>) {
        self.hosts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(Arc::clone(host), Progress::Ended);
        self.moved.notify_waiters();
    }

    /// A host is out of the play from this place on: it failed, cannot be reached, or was sent away.
    pub(crate) fn leave(&self, host: &Arc<str>, place: Place) {
        self.gone
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(Arc::clone(host), place);
    }

    /// The hosts that were out of the play before this place.
    pub(crate) fn left_before(&self, place: &Place) -> Vec<Arc<str>> {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        gone.iter()
            .filter(|(_, left)| *left < place)
            .map(|(host, _)| Arc::clone(host))
            .collect()
    }

    /// A host was let go in the middle, with these figures.
    pub(crate) fn cut(&self, recap: HostRecap) {
        self.cut
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(recap);
    }

    /// The figures of the hosts that were let go in the middle.
    pub(crate) fn take_cut(&self) -> Vec<HostRecap> {
        std::mem::take(&mut self.cut.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until every other host has come to this place or has ended.
    pub(crate) async fn wait(&self, host: &str, place: &Place) {
        self.until(|| self.others_reached(host, place).then_some(()))
            .await;
    }

    /// The first host in order that has not ended.
    pub(crate) fn leader(&self) -> Option<Arc<str>> {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        self.order
            .iter()
            .find(|host| !matches!(hosts.get(*host), Some(Progress::Ended)))
            .cloned()
    }

    /// Publishes the result of a `run_once` task.
    pub(crate) fn publish(&self, place: &Place, once: Once) {
        self.once
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(place.clone(), once);
        self.moved.notify_waiters();
    }

    /// Waits for the result of a `run_once` task, or for being the one who runs it (`None`).
    pub(crate) async fn once(&self, host: &Arc<str>, place: &Place) -> Option<Once> {
        self.wait(host, place).await;
        self.until(|| {
            let known = self.once.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(once) = known.get(place) {
                return Some(Some(Arc::clone(once)));
            }
            (self.leader().as_ref() == Some(host)).then_some(None)
        })
        .await
    }

    fn others_reached(&self, host: &str, place: &Place) -> bool {
        let hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        hosts.iter().all(|(other, progress)| {
            &**other == host
                || match progress {
                    Progress::At(at) => at >= place,
                    Progress::Ended => true,
                }
        })
    }

    async fn until<T>(&self, ready: impl Fn() -> Option<T>) -> T {
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // Registered before looking, so that no move is missed.
            moved.as_mut().enable();
            if let Some(value) = ready() {
                return value;
            }
            moved.await;
        }
    }
}
