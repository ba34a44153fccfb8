//! What people see of apps and tasks.

use super::app::service_ports;
use super::book::Book;
use super::deployment::App;
use super::health::Verdict;
use crate::clock;
use crate::mesos::wire::{State, TaskStatus};
use serde_json::{Value, json};

/// An app with its counts and deployments; with its tasks, too, where those are asked for.
pub fn app(book: &Book, app: &App, native: bool, with_tasks: bool) -> Value {
    let tasks: Vec<&TaskStatus> = book.tasks_of(app.id()).collect();
    let count = |state: State| tasks.iter().filter(|status| status.state == state).count();
    let verdicts: Vec<Verdict> = tasks
        .iter()
        .map(|status| book.verdict(app, &status.task.id))
        .collect();
    let mut view = app.definition.clone();
    view["version"] = json!(app.version);
    view["versionInfo"] =
        json!({"lastScalingAt": app.version, "lastConfigChangeAt": app.config_version});
    view["tasksStaged"] = json!(count(State::Staging));
    view["tasksRunning"] = json!(count(State::Running));
    view["tasksHealthy"] = json!(
        verdicts
            .iter()
            .filter(|verdict| **verdict == Verdict::Healthy)
            .count()
    );
    view["tasksUnhealthy"] = json!(
        verdicts
            .iter()
            .filter(|verdict| matches!(verdict, Verdict::Unhealthy | Verdict::Hopeless))
            .count()
    );
    view["deployments"] = book
        .locks(app.id())
        .iter()
        .map(|deployment| json!({"id": deployment.id}))
        .collect();
    if !native {
        let ports = service_ports(&app.definition);
        view["portDefinitions"] = ports
            .iter()
            .map(|port| json!({"port": port, "protocol": "tcp", "labels": {}}))
            .collect();
        view["ports"] = json!(ports);
        view["uris"] = json!([]);
    }
    if with_tasks {
        view["tasks"] = tasks.iter().map(|status| task(book, app, status)).collect();
    }
    view
}

/// A task.
pub fn task(book: &Book, app: &App, status: &TaskStatus) -> Value {
    let id = &status.task.id;
    let started = (status.state != State::Staging).then(|| clock::stamp_of(status.started));
    let health = book.health.get(id).map(Vec::as_slice).unwrap_or_default();
    let mut view = json!({
        "id": id,
        "appId": app.id(),
        "slaveId": status.agent_id,
        "host": status.hostname,
        "ports": status.task.ports,
        "servicePorts": service_ports(&app.definition),
        "ipAddresses": [],
        "state": status.state.name(),
        "stagedAt": clock::stamp_of(status.started),
        "startedAt": started,
        "version": status.task.labels.get("version"),
    });
    let results: Vec<Value> = health
        .iter()
        .filter(|one| one.alive.is_some())
        .map(|one| one.to_json(id))
        .collect();
    if !results.is_empty() {
        view["healthCheckResults"] = results.into();
    }
    view
}
