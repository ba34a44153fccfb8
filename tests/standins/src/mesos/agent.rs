//! The agent: recovers what it was, finds the leading master, registers, runs tasks.

use super::checkpoint::Checkpoint;
use super::cluster::task_json;
use super::flags::{Flags, Known};
use super::host::{self, Vendor};
use super::launch::Tasks;
use super::resources::{Resources, attributes};
use super::wire::{AgentInfo, AgentReport, Task};
use super::{Leader, Place, detector};
use crate::version::Version;
use crate::{clock, http, log};
use anyhow::{Context, bail};
use axum::extract::{Path as Segments, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// A running agent, as its endpoints see it.
struct Agent {
    version: Version,
    flags: Flags,
    place: Place,
    started: f64,
    leader: watch::Receiver<Option<Leader>>,
    info: Mutex<AgentInfo>,
    registered: watch::Sender<bool>,
    tasks: Arc<Tasks>,
}

type Shared = State<Arc<Agent>>;

impl Agent {
    fn info(&self) -> AgentInfo {
        self.info
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Runs `mesos-slave`, alias `mesos-agent`.
pub async fn run(arguments: &[String]) -> anyhow::Result<()> {
    let name = if Version::installed("mesos", super::NEWEST) < Version(1, 0, 0) {
        "mesos-slave"
    } else {
        "mesos-agent"
    };
    let Some((version, flags)) = super::start(name, Known::agent, arguments)? else {
        return Ok(());
    };
    let work_dir = match flags
        .get("work_dir")
        .filter(|work_dir| !work_dir.is_empty())
    {
        Some(work_dir) => work_dir.to_owned(),
        None if version < Version(1, 0, 0) => "/tmp/mesos".to_owned(),
        None => bail!(
            "Flag 'work_dir' is required, but it was not provided\n\nSee `mesos-agent --help` for a list of supported flags."
        ),
    };
    let master = flags
        .get("master")
        .context("Missing required option `--master` or `--master_detector`")?
        .to_owned();
    let place = Place::of(&flags, 5051)?;
    let vendor = Vendor::installed();
    host::check(version, vendor, &flags)?;
    let docker = host::containerizers(version, vendor, &flags)?;
    let checkpoint = Checkpoint::new(Path::new(&work_dir))?;
    let mut info = AgentInfo {
        id: None,
        hostname: place.hostname.clone(),
        ip: place.ip.to_string(),
        port: place.port,
        resources: Resources::of_agent(flags.get("resources"), Path::new(&work_dir))?,
        attributes: attributes(flags.get("attributes"))?,
        version: version.to_string(),
    };
    log::info(&format!(
        "Agent started on {}; resources: {}",
        place.address(),
        info.resources
    ));
    if flags.get("recover").unwrap_or("reconnect") == "reconnect" {
        info.id = checkpoint.recover(
            &info,
            flags.get("reconfiguration_policy").unwrap_or("equal"),
        )?;
    }
    let tasks = Arc::new(Tasks::new(checkpoint, docker, place.hostname.clone()));
    if let Some(id) = &info.id {
        tasks.recover(id);
    }
    tasks.end_orphans().await;
    log::info("Finished recovery");
    let agent = Arc::new(Agent {
        version,
        place,
        started: clock::seconds(),
        leader: detector::detect(&master)?,
        info: Mutex::new(info),
        registered: watch::Sender::new(false),
        tasks,
        flags,
    });
    tokio::select! {
        outcome = http::serve(agent.place.bind, router(&agent)) => outcome,
        outcome = report(&agent) => outcome,
    }
}

/// Registers with whoever leads, and keeps telling it what runs here.
async fn report(agent: &Agent) -> anyhow::Result<()> {
    loop {
        let leader = agent.leader.borrow().clone();
        let heard = match leader {
            Some(leader) => register(agent, &leader).await,
            None => Err(anyhow::anyhow!("no leading master")),
        };
        let is_registered = heard.is_ok();
        let was_registered = agent.registered.send_replace(is_registered);
        match heard {
            Ok(id) if !was_registered => {
                log::info(&format!("Registered with master; given agent ID {id}"));
            }
            Err(error) if was_registered => log::warning(&format!("Lost the master: {error:#}")),
            _ => {}
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn register(agent: &Agent, leader: &Leader) -> anyhow::Result<String> {
    let report = AgentReport {
        info: agent.info(),
        tasks: agent.tasks.statuses(),
    };
    let url = format!("http://{}/standins/agents", leader.address);
    let answer = http::call("POST", &url, Some(&json!(report)), Duration::from_secs(5)).await?;
    let id = answer["id"]
        .as_str()
        .context("the master gave no id")?
        .to_owned();
    if report.info.id.as_deref() != Some(&id) {
        let info = AgentInfo {
            id: Some(id.clone()),
            ..report.info
        };
        agent.tasks.checkpoint().save(&info)?;
        *agent.info.lock().unwrap_or_else(PoisonError::into_inner) = info;
    }
    Ok(id)
}

fn router(agent: &Arc<Agent>) -> Router {
    let mut public = Router::new()
        .route("/health", get(|| async { StatusCode::OK }))
        .route(
            "/flags",
            get(
                |State(agent): Shared| async move { Json(json!({"flags": agent.flags.to_json()})) },
            ),
        )
        .route("/state", get(state));
    if agent.version < Version(1, 11, 0) {
        public = public.route("/state.json", get(state));
    }
    Router::new()
        .merge(public.clone())
        .nest("/slave(1)", public)
        .route(
            "/version",
            get(|State(agent): Shared| async move {
                Json(json!({"version": agent.version.to_string()}))
            }),
        )
        .route("/metrics/snapshot", get(metrics))
        .route("/standins/tasks", post(start))
        .route("/standins/tasks/{task}/kill", post(kill))
        .with_state(Arc::clone(agent))
}

async fn state(State(agent): Shared) -> Json<Value> {
    let info = agent.info();
    let (alive, ended): (Vec<_>, Vec<_>) = agent
        .tasks
        .statuses()
        .into_iter()
        .partition(|status| status.state.alive());
    let leader = agent.leader.borrow().clone();
    Json(json!({
        "version": agent.version.to_string(),
        "id": info.id,
        "pid": format!("slave(1)@{}", agent.place.address()),
        "hostname": info.hostname,
        "start_time": agent.started,
        "resources": info.resources.to_json(),
        "attributes": info.attributes,
        "master_hostname": leader.map(|leader| leader.hostname),
        "log_dir": agent.flags.get("log_dir"),
        "flags": agent.flags.to_json(),
        "tasks": alive.iter().map(task_json).collect::<Vec<_>>(),
        "completed_tasks": ended.iter().map(task_json).collect::<Vec<_>>(),
    }))
}

async fn metrics(State(agent): Shared) -> Json<Value> {
    let running = agent
        .tasks
        .statuses()
        .iter()
        .filter(|status| status.state.alive())
        .count();
    Json(json!({
        "slave/registered": f64::from(u8::from(*agent.registered.borrow())),
        "slave/uptime_secs": clock::seconds() - agent.started,
        "slave/tasks_running": running,
    }))
}

async fn start(State(agent): Shared, Json(task): Json<Task>) -> Response {
    let Some(id) = agent.info().id else {
        return http::refuse(StatusCode::SERVICE_UNAVAILABLE, "not registered");
    };
    // A pull takes longer than a request may.
    let tasks = Arc::clone(&agent.tasks);
    tokio::spawn(async move { tasks.start(&id, task).await });
    Json(json!({})).into_response()
}

async fn kill(State(agent): Shared, Segments(task): Segments<String>) -> Json<Value> {
    let tasks = Arc::clone(&agent.tasks);
    tokio::spawn(async move { tasks.kill(&task).await });
    Json(json!({}))
}
