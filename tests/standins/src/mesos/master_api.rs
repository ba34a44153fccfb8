//! The master's endpoints: those that people and roles ask, and `/standins/…` for agents and frameworks.

use super::master::Master;
use super::wire::{AgentReport, FrameworkReport, Task};
use crate::clock;
use crate::http::{self, refuse};
use crate::version::Version;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Seconds after its election in which a leader learns which agents there are.
const SETTLE: f64 = 2.0;

type Shared = State<Arc<Master>>;

/// Every route, with and without `/master` in front.
pub(super) fn router(master: &Arc<Master>) -> Router {
    let mut public =
        Router::new()
            .route("/health", get(|| async { StatusCode::OK }))
            .route("/redirect", get(redirect))
            .route(
                "/flags",
                get(|State(master): Shared| async move {
                    Json(json!({"flags": master.flags.to_json()}))
                }),
            )
            .route(
                "/slaves",
                get(|master: Shared, uri: Uri| leading(master, uri, slaves)),
            )
            .route(
                "/frameworks",
                get(|master: Shared, uri: Uri| leading(master, uri, frameworks)),
            )
            .route(
                "/tasks",
                get(|master: Shared, uri: Uri| leading(master, uri, tasks)),
            )
            .route(
                "/state",
                get(|master: Shared, uri: Uri| leading(master, uri, state)),
            )
            .route(
                "/state-summary",
                get(|master: Shared, uri: Uri| leading(master, uri, state)),
            );
    // `.json` paths were dropped one release at a time; 1.11 has none.
    if master.version < Version(1, 11, 0) {
        public = public
            .route(
                "/state.json",
                get(|master: Shared, uri: Uri| leading(master, uri, state)),
            )
            .route(
                "/tasks.json",
                get(|master: Shared, uri: Uri| leading(master, uri, tasks)),
            );
    }
    Router::new()
        .merge(public.clone())
        .nest("/master", public)
        .route("/version", get(version))
        .route("/metrics/snapshot", get(metrics))
        .route(
            "/",
            get(|State(master): Shared| async move { page(&master) }),
        )
        .route("/standins/agents", post(hear_agent))
        .route("/standins/frameworks", post(hear_framework))
        .route("/standins/tasks", post(launch))
        .route("/standins/tasks/{agent}/{task}/kill", post(kill))
        .with_state(Arc::clone(master))
}

/// Only the leader answers for the cluster: others point at it, or say that there is none.
async fn leading(State(master): Shared, uri: Uri, answer: impl Fn(&Master) -> Value) -> Response {
    // Before 1.0 a standby answers with what it knows, which is nothing.
    if master.leads() || master.version < Version(1, 0, 0) {
        return Json(answer(&master)).into_response();
    }
    to_leader(&master, uri.path())
}

async fn redirect(State(master): Shared) -> Response {
    to_leader(&master, "")
}

fn to_leader(master: &Master, path: &str) -> Response {
    let leader = master.leader.borrow().clone();
    match leader {
        Some(leader) => http::redirect(&format!(
            "//{}:{}{path}",
            leader.hostname,
            leader.address.port()
        )),
        None => (StatusCode::SERVICE_UNAVAILABLE, "No leader elected").into_response(),
    }
}

fn slaves(master: &Master) -> Value {
    json!({"slaves": master.cluster().agents_json(), "recovered_slaves": []})
}

fn frameworks(master: &Master) -> Value {
    json!({"frameworks": master.cluster().frameworks_json(), "completed_frameworks": [], "unregistered_frameworks": []})
}

fn tasks(master: &Master) -> Value {
    json!({"tasks": master.cluster().tasks_json()})
}

fn state(master: &Master) -> Value {
    let elected = *master.elected.borrow();
    let leader = master.leader.borrow().clone();
    let cluster = master.cluster();
    json!({
        "version": master.version.to_string(),
        "id": cluster.id,
        "pid": format!("master@{}", master.place.address()),
        "hostname": master.place.hostname,
        "cluster": master.flags.get("cluster"),
        "start_time": master.started,
        "elected_time": elected,
        "leader": leader.as_ref().map(|leader| format!("master@{}", leader.address)),
        "leader_info": leader.map(|leader| json!({"hostname": leader.hostname, "port": leader.address.port()})),
        "log_dir": master.flags.get("log_dir"),
        "flags": master.flags.to_json(),
        "activated_slaves": cluster.active_agents(),
        "deactivated_slaves": cluster.inactive_agents(),
        "unreachable_slaves": 0,
        "slaves": cluster.agents_json(),
        "frameworks": cluster.frameworks_json(),
        "completed_frameworks": [],
        "orphan_tasks": [],
    })
}

async fn version(State(master): Shared) -> Json<Value> {
    Json(
        json!({"version": master.version.to_string(), "build_user": "standin", "git_tag": master.version.to_string()}),
    )
}

async fn metrics(State(master): Shared) -> Json<Value> {
    let leads = u8::from(master.leads());
    let cluster = master.cluster();
    Json(json!({
        "master/elected": f64::from(leads),
        "master/uptime_secs": clock::seconds() - master.started,
        "master/slaves_active": cluster.active_agents(),
        "master/slaves_inactive": cluster.inactive_agents(),
        "master/frameworks_active": cluster.active_frameworks(),
        "master/tasks_running": cluster.tasks_json().iter().filter(|task| task["state"] == "TASK_RUNNING").count(),
        "registrar/log/recovered": f64::from(leads),
        "registrar/queued_operations": 0,
    }))
}

fn page(master: &Master) -> Response {
    let text = format!(
        "<!doctype html><title>Mesos</title><p>A stand-in for Mesos {} on {}\n",
        master.version, master.place.hostname
    );
    axum::response::Html(text).into_response()
}

async fn hear_agent(State(master): Shared, Json(report): Json<AgentReport>) -> Response {
    if !master.leads() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "not the leading master");
    }
    Json(json!({"id": master.cluster().heard_agent(report)})).into_response()
}

async fn hear_framework(State(master): Shared, Json(report): Json<FrameworkReport>) -> Response {
    // A new leader lets agents come first: a framework that was told of none would take its tasks for lost.
    let known = master
        .elected
        .borrow()
        .is_some_and(|elected| clock::seconds() - elected > SETTLE);
    if !known {
        return refuse(
            StatusCode::SERVICE_UNAVAILABLE,
            "not the leading master, or not for long enough",
        );
    }
    Json(master.cluster().heard_framework(report)).into_response()
}

/// A task and the agent that shall run it.
#[derive(Deserialize)]
struct Launch {
    agent: String,
    task: Task,
}

async fn launch(State(master): Shared, Json(launch): Json<Launch>) -> Response {
    forward(
        &master,
        &launch.agent,
        "/standins/tasks",
        &json!(launch.task),
    )
    .await
}

async fn kill(State(master): Shared, Path((agent, task)): Path<(String, String)>) -> Response {
    forward(
        &master,
        &agent,
        &format!("/standins/tasks/{task}/kill"),
        &Value::Null,
    )
    .await
}

async fn forward(master: &Master, agent: &str, path: &str, body: &Value) -> Response {
    let Some(address) = master.cluster().address_of(agent) else {
        return refuse(
            StatusCode::NOT_FOUND,
            &format!("agent {agent} is not active"),
        );
    };
    match http::call(
        "POST",
        &format!("http://{address}{path}"),
        Some(body),
        Duration::from_secs(5),
    )
    .await
    {
        Ok(answer) => Json(answer).into_response(),
        Err(error) => refuse(StatusCode::BAD_GATEWAY, &format!("{error:#}")),
    }
}
