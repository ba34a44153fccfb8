//! Bamboo's endpoints.

use super::rules::Rule;
use super::{Bamboo, apps};
use crate::log;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::Value;
use std::sync::Arc;
use tower_http::services::ServeDir;

type Shared = State<Arc<Bamboo>>;

/// Every route, and the pages beside the program.
pub fn router(bamboo: &Arc<Bamboo>) -> Router {
    let program = std::env::current_exe().unwrap_or_default();
    let pages = ServeDir::new(program.with_file_name("webapp"));
    Router::new()
        .route("/status", get(|| async { "OK" }))
        .route("/api/state", get(state))
        .route("/api/services", get(all).post(upsert))
        .route("/api/services/{*id}", put(upsert).delete(remove))
        .route("/api/marathon/event_callback", post(callback))
        .fallback_service(pages)
        .with_state(Arc::clone(bamboo))
}

/// Everything that goes wrong is a 400 with a line of text.
fn bad(error: impl std::fmt::Display) -> Response {
    (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response()
}

async fn all(State(bamboo): Shared) -> Result<Response, Response> {
    Ok(Json(bamboo.rules.all().await.map_err(bad)?).into_response())
}

/// POST and PUT are one: the id in the body wins over the one in the path.
async fn upsert(State(bamboo): Shared, body: String) -> Result<Response, Response> {
    let mut rule: Rule =
        serde_json::from_str(&body).map_err(|_| bad("Unable to decode JSON request"))?;
    if rule.id.is_empty() {
        return Err(bad("can not use empty ID"));
    }
    if !rule.id.starts_with('/') {
        rule.id.insert(0, '/');
    }
    bamboo.rules.put(&rule).await.map_err(bad)?;
    Ok(Json(rule).into_response())
}

async fn remove(State(bamboo): Shared, Path(id): Path<String>) -> Result<Response, Response> {
    if id.is_empty() {
        return Err(bad("can not use empty ID"));
    }
    let id = if id.starts_with('/') {
        id
    } else {
        format!("/{id}")
    };
    match bamboo.rules.remove(&id).await {
        Ok(()) => Ok(Json(Value::Null).into_response()),
        Err(zookeeper_client::Error::NoNode) => Err(bad("zk: node does not exist")),
        Err(error) => Err(bad(error)),
    }
}

async fn state(State(bamboo): Shared) -> String {
    // As in the real one, what cannot be had is null.
    let (Ok(apps), Ok(rules)) = (apps::fetch(&bamboo.config).await, bamboo.rules.all().await)
    else {
        return "null".to_owned();
    };
    apps::to_json(&apps::data(&apps, &rules)).to_string()
}

async fn callback(State(bamboo): Shared, body: String) -> &'static str {
    let event: Value = serde_json::from_str(&body).unwrap_or_default();
    log::info(&format!("{} => {}", event["eventType"], event["timestamp"]));
    bamboo.changed.notify_one();
    "Got it!"
}
