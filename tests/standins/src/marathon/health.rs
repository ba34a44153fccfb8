//! Health checks: when one is due, what it asks, and what a row of answers means.

use crate::mesos::wire::TaskStatus;
use crate::{clock, http};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;

/// What is known of one check of one task.
#[derive(Clone, Debug)]
pub struct Health {
    /// The answer of the last one that counts; `None` before the first.
    pub alive: Option<bool>,
    failures: u64,
    first_success: Option<String>,
    last_success: Option<String>,
    last_failure: Option<String>,
    cause: Option<String>,
    due: Instant,
}

/// What a task's checks say together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Unknown,
    Healthy,
    Unhealthy,
    /// Failed too often in a row.
    Hopeless,
}

impl Health {
    /// Nothing known; due in a second.
    pub fn new() -> Self {
        Self {
            alive: None,
            failures: 0,
            first_success: None,
            last_success: None,
            last_failure: None,
            cause: None,
            due: Instant::now() + Duration::from_secs(1),
        }
    }

    /// Whether it is time to ask again; the answer sets the next time.
    pub fn take_due(&mut self, check: &Value) -> bool {
        let due = self.due <= Instant::now();
        if due {
            self.due = Instant::now() + seconds(check, "intervalSeconds", 60);
        }
        due
    }

    /// Takes an answer. Failures before the first success do not count while the grace period lasts.
    pub fn heard(&mut self, check: &Value, started: f64, answer: Result<(), String>) {
        let stamp = Some(clock::stamp());
        match answer {
            Ok(()) => {
                self.alive = Some(true);
                self.failures = 0;
                self.first_success = self.first_success.take().or_else(|| stamp.clone());
                self.last_success = stamp;
            }
            Err(cause) => {
                let age = clock::seconds() - started;
                let in_grace = self.first_success.is_none()
                    && age < seconds(check, "gracePeriodSeconds", 300).as_secs_f64();
                self.last_failure = stamp;
                self.cause = Some(cause);
                if !in_grace {
                    self.alive = Some(false);
                    self.failures += 1;
                }
            }
        }
    }

    /// What it means for the task.
    pub fn verdict(&self, check: &Value) -> Verdict {
        let limit = check["maxConsecutiveFailures"].as_u64().unwrap_or(3);
        match self.alive {
            None => Verdict::Unknown,
            Some(true) => Verdict::Healthy,
            Some(false) if limit > 0 && self.failures >= limit => Verdict::Hopeless,
            Some(false) => Verdict::Unhealthy,
        }
    }

    /// As `healthCheckResults` shows it.
    pub fn to_json(&self, task: &str) -> Value {
        json!({
            "alive": self.alive.unwrap_or(false),
            "consecutiveFailures": self.failures,
            "firstSuccess": self.first_success,
            "lastSuccess": self.last_success,
            "lastFailure": self.last_failure,
            "lastFailureCause": self.cause,
            "taskId": task,
            "instanceId": task,
        })
    }
}

fn seconds(check: &Value, name: &str, otherwise: u64) -> Duration {
    Duration::from_secs(check[name].as_u64().unwrap_or(otherwise))
}

/// Asks a task once.
pub async fn ask(check: Value, status: TaskStatus) -> Result<(), String> {
    let port = check["port"].as_u64().or_else(|| {
        let at = usize::try_from(check["portIndex"].as_u64().unwrap_or(0)).ok()?;
        status.task.ports.get(at).map(|port| u64::from(*port))
    });
    let Some(port) = port else {
        return Err("the task has no such port".to_owned());
    };
    let limit = seconds(&check, "timeoutSeconds", 20);
    if check["protocol"]
        .as_str()
        .unwrap_or_default()
        .ends_with("TCP")
    {
        let address = crate::names::resolve(&status.hostname).map_err(|error| error.to_string())?;
        let port = u16::try_from(port).map_err(|error| error.to_string())?;
        return match tokio::time::timeout(limit, TcpStream::connect((address, port))).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(format!("cannot connect to {}:{port}", status.hostname)),
        };
    }
    let url = format!(
        "http://{}:{port}{}",
        status.hostname,
        check["path"].as_str().unwrap_or("/")
    );
    match http::status(&url, limit).await {
        Some(code) if (200..400).contains(&code.as_u16()) => Ok(()),
        Some(code) => Err(format!("{code}")),
        None => Err(format!("no answer from {url}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_after_the_first_success_or_the_grace_period() {
        let check = json!({"gracePeriodSeconds": 300, "maxConsecutiveFailures": 2});
        let young = clock::seconds();
        let mut health = Health::new();
        health.heard(&check, young, Err("refused".into()));
        assert_eq!(health.verdict(&check), Verdict::Unknown);
        health.heard(&check, young, Ok(()));
        assert_eq!(health.verdict(&check), Verdict::Healthy);
        health.heard(&check, young, Err("refused".into()));
        assert_eq!(health.verdict(&check), Verdict::Unhealthy);
        health.heard(&check, young, Err("refused".into()));
        assert_eq!(health.verdict(&check), Verdict::Hopeless);
        assert_eq!(health.to_json("t")["consecutiveFailures"], 2);
        let mut old = Health::new();
        old.heard(&check, young - 301.0, Err("refused".into()));
        assert_eq!(old.verdict(&check), Verdict::Unhealthy);
    }
}
