//! Marathon's endpoints. A standby passes what it is asked on to the leader; without one, the answer is 503.

use super::election::Election;
use super::events::Events;
use super::scheduler::Scheduler;
use super::{Settings, app_api, view};
use crate::http::{self, refuse};
use axum::body::Body;
use axum::extract::{ConnectInfo, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use tokio_stream::wrappers::BroadcastStream;

/// Says through whom a request came, to notice when it goes in circles.
const VIA: &str = "x-marathon-via";

/// One Marathon.
pub struct Node {
    /// Its flags, read.
    pub settings: Settings,
    /// Who leads.
    pub election: Election,
    /// Who listens.
    pub events: Arc<Events>,
    /// The leader's work, when it is this one.
    pub scheduler: RwLock<Option<Arc<Scheduler>>>,
}

/// What a handler needs.
pub type Shared = State<Arc<Node>>;

impl Node {
    fn scheduler(&self) -> Option<Arc<Scheduler>> {
        self.scheduler
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The scheduler, in a handler behind [`on_leader`]: it may have been lost in between.
    pub fn leading(&self) -> Result<Arc<Scheduler>, Response> {
        self.scheduler()
            .ok_or_else(|| refuse(StatusCode::SERVICE_UNAVAILABLE, NO_LEADER))
    }

    fn own_address(&self) -> String {
        self.settings.own_address()
    }
}

const NO_LEADER: &str = "Could not determine the current leader";

/// Every route.
pub fn router(node: &Arc<Node>) -> Router {
    let mut leaders = Router::new()
        .route("/v2/info", get(info))
        .route("/v2/leader", get(leader).delete(abdicate))
        .route("/v2/deployments", get(deployments))
        .route("/v2/deployments/{id}", delete(app_api::roll_back))
        .route("/v2/events", get(events))
        .route("/v2/tasks", get(tasks))
        .route("/v2/queue", get(queue))
        .merge(app_api::router());
    if !node.settings.native() {
        leaders = leaders.route(
            "/v2/eventSubscriptions",
            get(callbacks).post(subscribe).delete(unsubscribe),
        );
    }
    Router::new()
        .merge(leaders.layer(middleware::from_fn_with_state(Arc::clone(node), on_leader)))
        .route("/ping", get(|| async { "pong" }))
        .route(
            "/metrics",
            get(|| async { Json(json!({"version": "3.0.0", "gauges": {}, "counters": {}})) }),
        )
        .route("/", get(|State(node): Shared| async move { page(&node) }))
        .with_state(Arc::clone(node))
}

fn page(node: &Node) -> Response {
    let text = format!(
        "<!doctype html><title>Marathon</title><p>A stand-in for Marathon {}\n",
        node.settings.version
    );
    axum::response::Html(text).into_response()
}

/// Answers here when this one leads; otherwise asks the leader.
async fn on_leader(State(node): Shared, request: Request, next: Next) -> Response {
    let own = node.own_address();
    if node.scheduler().is_some() {
        let mut answer = next.run(request).await;
        if let Ok(value) = HeaderValue::from_str(&format!("http://{own}")) {
            answer.headers_mut().insert("x-marathon-leader", value);
        }
        return answer;
    }
    let leader = node
        .election
        .leader
        .borrow()
        .clone()
        .filter(|leader| *leader != own);
    let Some(leader) = leader else {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, NO_LEADER);
    };
    if request
        .headers()
        .get_all(VIA)
        .iter()
        .any(|via| via.as_bytes() == own.as_bytes())
    {
        return refuse(StatusCode::BAD_GATEWAY, "Detected proxying loop.");
    }
    match pass_on(request, &leader, &own).await {
        Ok(answer) => answer,
        Err(error) => refuse(
            StatusCode::BAD_GATEWAY,
            &format!("Failed to proxy to {leader}: {error:#}"),
        ),
    }
}

async fn pass_on(mut request: Request, leader: &str, own: &str) -> anyhow::Result<Response> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    *request.uri_mut() = format!("http://{leader}{path}").parse::<Uri>()?;
    request.headers_mut().remove("host");
    request
        .headers_mut()
        .append(VIA, HeaderValue::from_str(own)?);
    Ok(http::send(request).await?.map(Body::new))
}

async fn info(State(node): Shared) -> Result<Response, Response> {
    let scheduler = node.leading()?;
    let settings = &node.settings;
    let mut info = json!({
        "name": "marathon",
        "version": settings.version.to_string(),
        "buildref": "standin",
        "elected": true,
        "leader": node.own_address(),
        "frameworkId": scheduler.book().framework_id,
        "marathon_config": settings.to_json(),
        "zookeeper_config": {
            "zk": format!("zk://{}{}", settings.zk.servers, settings.zk.path),
            "zk_timeout": settings.flags.number("zk_timeout").unwrap_or(10_000),
            "zk_session_timeout": settings.flags.number("zk_session_timeout").unwrap_or(10_000),
            "zk_max_versions": settings.flags.number("zk_max_versions").unwrap_or(50),
        },
        "http_config": {"http_port": settings.bind.port(), "https_port": 8443},
    });
    if let Some(subscriber) = settings.flags.get("event_subscriber") {
        info["event_subscriber"] =
            json!({"type": subscriber, "http_endpoints": settings.flags.get("http_endpoints")});
    }
    Ok(Json(info).into_response())
}

async fn leader(State(node): Shared) -> Json<Value> {
    Json(json!({"leader": *node.election.leader.borrow()}))
}

/// Gives up leading: the process ends once the answer is out, as the real one's does.
async fn abdicate() -> Json<Value> {
    tokio::spawn(async {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        std::process::exit(0);
    });
    Json(json!({"message": "Leadership abdicated"}))
}

async fn deployments(State(node): Shared) -> Result<Json<Value>, Response> {
    let scheduler = node.leading()?;
    let deployments = scheduler
        .book()
        .deployments
        .iter()
        .map(super::deployment::Deployment::to_json)
        .collect();
    Ok(Json(deployments))
}

async fn tasks(State(node): Shared) -> Result<Json<Value>, Response> {
    let scheduler = node.leading()?;
    let book = scheduler.book();
    let of_app = |app| {
        book.tasks_of(super::deployment::App::id(app))
            .map(|status| view::task(&book, app, status))
            .collect::<Vec<_>>()
    };
    Ok(Json(
        json!({"tasks": book.apps.values().flat_map(of_app).collect::<Vec<_>>()}),
    ))
}

async fn queue(State(node): Shared) -> Result<Json<Value>, Response> {
    let scheduler = node.leading()?;
    let book = scheduler.book();
    let missing = book.apps.values().filter_map(|app| {
        let missing = app.instances().saturating_sub(book.tasks_of(app.id()).count());
        (missing > 0).then(|| json!({"app": app.definition, "count": missing, "delay": {"overdue": !book.waits(app.id())}}))
    });
    Ok(Json(json!({"queue": missing.collect::<Vec<_>>()})))
}

async fn events(
    State(node): Shared,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let attached = stream::once(async move { Events::attached(&remote.to_string()) });
    let later = BroadcastStream::new(node.events.listen()).filter_map(|event| async { event.ok() });
    let to_sse = |event: Value| {
        let kind = event["eventType"].as_str().unwrap_or_default().to_owned();
        Ok(Event::default().event(kind).data(event.to_string()))
    };
    Sse::new(attached.chain(later).map(to_sse)).keep_alive(KeepAlive::default())
}

/// `?callbackUrl=…`
#[derive(Deserialize)]
struct Callback {
    #[serde(rename = "callbackUrl")]
    url: String,
}

/// Callbacks work only where `--event_subscriber http_callback` is set.
fn callbacks_enabled(node: &Node) -> Result<Arc<Scheduler>, Response> {
    if node.settings.flags.get("event_subscriber").is_none() {
        let message = "http event callback system is not running on this Marathon instance. Please re-start this instance with \"--event_subscriber http_callback\".";
        return Err(refuse(StatusCode::BAD_REQUEST, message));
    }
    node.leading()
}

async fn callbacks(State(node): Shared) -> Result<Json<Value>, Response> {
    callbacks_enabled(&node)?;
    Ok(Json(json!({"callbackUrls": *node.events.callbacks()})))
}

async fn subscribe(State(node): Shared, query: Query<Callback>) -> Result<Json<Value>, Response> {
    change_callbacks(&node, query.0.url, true, "subscribe_event").await
}

async fn unsubscribe(State(node): Shared, query: Query<Callback>) -> Result<Json<Value>, Response> {
    change_callbacks(&node, query.0.url, false, "unsubscribe_event").await
}

async fn change_callbacks(
    node: &Node,
    url: String,
    add: bool,
    kind: &str,
) -> Result<Json<Value>, Response> {
    let scheduler = callbacks_enabled(node)?;
    let callbacks = {
        let mut callbacks = node.events.callbacks();
        if add {
            callbacks.insert(url.clone());
        } else {
            callbacks.remove(&url);
        }
        callbacks.clone()
    };
    let saved = scheduler.store.save_callbacks(&callbacks).await;
    saved.map_err(|error| refuse(StatusCode::SERVICE_UNAVAILABLE, &format!("{error:#}")))?;
    let event = json!({"callbackUrl": url, "clientIp": "", "eventType": kind});
    node.events.publish(kind, event.clone());
    Ok(Json(event))
}
