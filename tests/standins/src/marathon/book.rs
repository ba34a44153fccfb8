//! What the leader knows, and what a message from the master changes in it.

use super::deployment::{App, Deployment, TaskView};
use super::health::{Health, Verdict};
use crate::log;
use crate::mesos::wire::{AgentInfo, Offers, State, TaskStatus};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// How long a task that was started or ended may take to show in what the master tells.
const SETTLE: Duration = Duration::from_secs(10);

/// What the leader knows.
#[derive(Default)]
pub struct Book {
    /// Apps by id.
    pub apps: BTreeMap<String, App>,
    /// Changes under way.
    pub deployments: Vec<Deployment>,
    /// Tasks by id, those that were only just started included.
    pub tasks: BTreeMap<String, TaskStatus>,
    /// Checks by task, in the order of the app's `healthChecks`.
    pub health: BTreeMap<String, Vec<Health>>,
    /// The framework's id, once the master gave it.
    pub framework_id: Option<String>,
    /// Tasks that persons want ended.
    pub doomed: BTreeSet<String>,
    /// Agents that can take tasks.
    pub agents: Vec<AgentInfo>,
    /// Tasks that were started and not heard of since.
    pub fresh: BTreeMap<String, Instant>,
    /// Tasks that were told to end and are still there.
    pub killed: BTreeMap<String, Instant>,
    waits: BTreeMap<String, Wait>,
}

/// How long an app whose tasks fail must wait.
struct Wait {
    until: Instant,
    seconds: f64,
}

impl Book {
    /// What is stored.
    pub fn new(apps: BTreeMap<String, App>, framework_id: Option<String>) -> Self {
        Self {
            apps,
            framework_id,
            ..Self::default()
        }
    }

    /// The living tasks of an app.
    pub fn tasks_of<'a>(&'a self, app: &'a str) -> impl Iterator<Item = &'a TaskStatus> {
        self.tasks
            .values()
            .filter(move |status| status.state.alive() && app_of(status) == app)
    }

    /// Whether all checks of a task succeed, or one fails; `None` while that is open or when there are none.
    pub fn verdict(&self, app: &App, task: &str) -> Verdict {
        let checks = app.definition["healthChecks"]
            .as_array()
            .map_or(&[][..], Vec::as_slice);
        let known = self.health.get(task);
        let verdicts: Vec<Verdict> = checks
            .iter()
            .enumerate()
            .map(|(at, check)| {
                known
                    .and_then(|known| known.get(at))
                    .map_or(Verdict::Unknown, |health| health.verdict(check))
            })
            .collect();
        let any = |wanted| verdicts.contains(&wanted);
        match () {
            () if any(Verdict::Hopeless) => Verdict::Hopeless,
            () if any(Verdict::Unhealthy) => Verdict::Unhealthy,
            () if any(Verdict::Unknown) => Verdict::Unknown,
            () if verdicts.is_empty() => Verdict::Unknown,
            () => Verdict::Healthy,
        }
    }

    /// Whether a deployment holds the app.
    pub fn locks(&self, app: &str) -> Vec<&Deployment> {
        self.deployments
            .iter()
            .filter(|deployment| deployment.app == app)
            .collect()
    }

    /// Its tasks as a plan sees them.
    pub fn views(&self, app: &App) -> Vec<TaskView> {
        self.tasks_of(app.id())
            .map(|status| {
                let verdict = self.verdict(app, &status.task.id);
                TaskView {
                    id: status.task.id.clone(),
                    current: status.task.labels.get("version") == Some(&app.config_version),
                    running: status.state == State::Running
                        && !self.fresh.contains_key(&status.task.id),
                    healthy: !app.has_health_checks() || verdict == Verdict::Healthy,
                    doomed: verdict == Verdict::Hopeless || self.doomed.contains(&status.task.id),
                }
            })
            .collect()
    }

    /// Takes in what the master tells; what changed comes back.
    pub fn take(&mut self, offers: Offers) -> Vec<TaskStatus> {
        self.agents = offers.agents;
        self.framework_id = Some(offers.framework_id);
        let mut told: BTreeMap<String, TaskStatus> = offers
            .tasks
            .into_iter()
            .map(|status| (status.task.id.clone(), status))
            .collect();
        let mut changed = Vec::new();
        for (id, status) in &told {
            let before = self.tasks.get(id).map(|known| known.state);
            let fresh = self.fresh.remove(id).is_some();
            if (before != Some(status.state) || fresh) && (status.state.alive() || before.is_some())
            {
                changed.push(status.clone());
            }
        }
        // Started a moment ago and not known to the master yet: patience, then it is as good as lost.
        self.fresh.retain(|_, since| since.elapsed() < SETTLE);
        for id in self.fresh.keys() {
            if let Some(status) = self.tasks.get(id) {
                told.insert(id.clone(), status.clone());
            }
        }
        for (id, status) in &self.tasks {
            if status.state.alive() && !told.contains_key(id) {
                log::warning(&format!("Task {id} is lost with agent {}", status.agent_id));
                changed.push(TaskStatus {
                    state: State::Lost,
                    ..status.clone()
                });
            }
        }
        self.tasks = told;
        let tasks = &self.tasks;
        self.health
            .retain(|id, _| tasks.get(id).is_some_and(|status| status.state.alive()));
        self.doomed
            .retain(|id| tasks.get(id).is_some_and(|status| status.state.alive()));
        self.killed.retain(|_, since| since.elapsed() < SETTLE);
        changed
    }

    /// Whether the app must wait before its next task.
    pub fn waits(&self, app: &str) -> bool {
        self.waits
            .get(app)
            .is_some_and(|wait| wait.until > Instant::now())
    }

    /// Forgets an app.
    pub fn remove(&mut self, app: &str) {
        self.apps.remove(app);
        self.waits.remove(app);
    }

    /// After a failure, the app's next task waits; each failure in a row lets it wait longer.
    pub fn note_failures(&mut self, changed: &[TaskStatus]) {
        for status in changed {
            let id = app_of(status).to_owned();
            let Some(app) = self.apps.get(&id) else {
                continue;
            };
            let first = app.definition["backoffSeconds"].as_f64().unwrap_or(1.0);
            let factor = app.definition["backoffFactor"].as_f64().unwrap_or(1.15);
            let limit = app.definition["maxLaunchDelaySeconds"]
                .as_f64()
                .unwrap_or(3600.0);
            if status.state == State::Failed {
                let seconds = self
                    .waits
                    .get(&id)
                    .map_or(first, |wait| wait.seconds * factor)
                    .clamp(0.0, limit);
                self.waits.insert(
                    id,
                    Wait {
                        until: Instant::now() + Duration::from_secs_f64(seconds),
                        seconds,
                    },
                );
            } else if status.state == State::Finished {
                self.waits.remove(&id);
            }
        }
    }
}

/// The app a task belongs to.
pub fn app_of(status: &TaskStatus) -> &str {
    status.task.labels.get("app").map_or("", String::as_str)
}
