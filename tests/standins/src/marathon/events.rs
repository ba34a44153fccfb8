//! Events: a stream (`/v2/events`) in every release, and HTTP callbacks up to 1.4.

use crate::{clock, http, log};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast;

/// Where events go.
pub struct Events {
    stream: broadcast::Sender<Value>,
    callbacks: Mutex<BTreeSet<String>>,
}

impl Events {
    /// Nobody listens yet.
    pub fn new() -> Self {
        Self {
            stream: broadcast::Sender::new(256),
            callbacks: Mutex::default(),
        }
    }

    /// Listens to what happens from now on.
    pub fn listen(&self) -> broadcast::Receiver<Value> {
        self.stream.subscribe()
    }

    /// The addresses that are called.
    pub fn callbacks(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.callbacks
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells everybody.
    pub fn publish(&self, kind: &str, mut event: Value) {
        event["eventType"] = kind.into();
        event["timestamp"] = clock::stamp().into();
        for url in self.callbacks().iter() {
            let (url, event) = (url.clone(), event.clone());
            tokio::spawn(async move {
                if let Err(error) =
                    http::call("POST", &url, Some(&event), Duration::from_secs(10)).await
                {
                    log::warning(&format!(
                        "Failed to post {} to {url}: {error:#}",
                        event["eventType"]
                    ));
                }
            });
        }
        // Nobody listening is fine.
        let _ = self.stream.send(event);
    }

    /// What a listener hears first.
    pub fn attached(remote: &str) -> Value {
        json!({"remoteAddress": remote, "eventType": "event_stream_attached", "timestamp": clock::stamp()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn listeners_hear_what_happens() {
        let events = Events::new();
        let mut listener = events.listen();
        events.publish("deployment_success", json!({"id": "d"}));
        let event = listener.recv().await.unwrap();
        assert_eq!(
            (event["eventType"].as_str(), event["id"].as_str()),
            (Some("deployment_success"), Some("d"))
        );
    }
}
