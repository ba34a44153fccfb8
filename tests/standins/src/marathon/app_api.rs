//! `/v2/apps`: creating, reading, changing and removing apps, with the statuses of the real one.

use super::api::{Node, Shared};
use super::app::{Refusal, assign_service_ports, canonical_id, complete, same_tasks};
use super::deployment::{Action, App, Deployment};
use super::scheduler::Scheduler;
use super::view;
use crate::clock;
use crate::http::refuse;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;

/// `?force=true&partialUpdate=false&scale=true`
#[derive(Deserialize)]
pub struct Options {
    #[serde(default)]
    force: bool,
    #[serde(rename = "partialUpdate", default = "yes")]
    partial_update: bool,
    #[serde(default)]
    scale: bool,
}

fn yes() -> bool {
    true
}

/// The routes.
pub fn router() -> Router<Arc<Node>> {
    Router::new()
        .route("/v2/apps", get(list).post(create))
        .route("/v2/apps/", get(list).post(create))
        .route(
            "/v2/apps/{*id}",
            get(read).put(update).delete(remove).post(restart),
        )
        .route("/v2/tasks/delete", post(end_tasks))
}

type Answer = Result<Response, Response>;

fn no_app(id: &str) -> Response {
    refuse(StatusCode::NOT_FOUND, &format!("App '{id}' does not exist"))
}

fn refused(refusal: Refusal) -> Response {
    match refusal {
        Refusal::Malformed(error) => {
            let body =
                json!({"message": "Invalid JSON", "details": [{"path": "/", "errors": [error]}]});
            (StatusCode::BAD_REQUEST, Json(body)).into_response()
        }
        Refusal::Invalid { path, error } => {
            let body = json!({"message": "Object is not valid", "details": [{"path": path, "errors": [error]}]});
            (StatusCode::UNPROCESSABLE_ENTITY, Json(body)).into_response()
        }
    }
}

/// A body that must be JSON, with Marathon's own 400 when it is not.
fn parse(body: &str) -> Result<Value, Response> {
    serde_json::from_str(body).map_err(|error| refused(Refusal::Malformed(error.to_string())))
}

fn failed(error: &anyhow::Error) -> Response {
    refuse(StatusCode::SERVICE_UNAVAILABLE, &format!("{error:#}"))
}

/// Refuses while a deployment holds the app; `force` ends that deployment instead.
fn unlock(scheduler: &Scheduler, id: &str, force: bool) -> Result<(), Response> {
    let mut book = scheduler.book();
    let locks: Vec<Value> = book
        .locks(id)
        .iter()
        .map(|deployment| json!({"id": deployment.id}))
        .collect();
    if locks.is_empty() {
        return Ok(());
    }
    if force {
        book.deployments.retain(|deployment| deployment.app != id);
        return Ok(());
    }
    let message = "App is locked by one or more deployments. Override with the option '?force=true'. View details at '/v2/deployments/<DEPLOYMENT_ID>'.";
    Err((
        StatusCode::CONFLICT,
        Json(json!({"message": message, "deployments": locks})),
    )
        .into_response())
}

/// Keeps the app and starts the deployment that leads to it.
async fn deploy(scheduler: &Scheduler, app: App, action: Action) -> Result<Value, Response> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/uuid")
        .map_err(|error| failed(&error.into()))?;
    let previous = scheduler.book().apps.get(app.id()).cloned();
    scheduler
        .store
        .save(&app)
        .await
        .map_err(|error| failed(&error))?;
    let deployment = Deployment {
        id: id.trim().to_owned(),
        version: app.version.clone(),
        app: app.id().to_owned(),
        action,
        previous,
    };
    let plan = deployment.to_json();
    let answer = json!({"version": deployment.version, "deploymentId": deployment.id});
    {
        let mut book = scheduler.book();
        book.apps.insert(app.id().to_owned(), app.clone());
        book.deployments.push(deployment);
    }
    let event = json!({"appDefinition": app.definition, "uri": format!("/v2/apps{}", app.id()), "clientIp": ""});
    scheduler.events().publish("api_post_event", event);
    scheduler
        .events()
        .publish("deployment_info", json!({"plan": plan}));
    Ok(answer)
}

async fn list(State(node): Shared, uri: axum::http::Uri) -> Answer {
    let scheduler = node.leading()?;
    let query = uri.query().unwrap_or_default();
    let with_tasks = query.contains("embed=apps.tasks") || query.contains("embed=app.tasks");
    let book = scheduler.book();
    let apps: Vec<Value> = book
        .apps
        .values()
        .map(|app| view::app(&book, app, node.settings.native(), with_tasks))
        .collect();
    Ok(Json(json!({ "apps": apps })).into_response())
}

async fn create(State(node): Shared, options: Query<Options>, body: String) -> Answer {
    let scheduler = node.leading()?;
    let mut definition = complete(&parse(&body)?, node.settings.native()).map_err(refused)?;
    let id = definition["id"].as_str().unwrap_or_default().to_owned();
    if scheduler.book().apps.contains_key(&id) {
        return Err(refuse(
            StatusCode::CONFLICT,
            &format!("An app with id [{id}] already exists."),
        ));
    }
    unlock(&scheduler, &id, options.force)?;
    assign_service_ports(&mut definition, &mut scheduler.free_service_ports());
    let version = clock::stamp();
    let app = App {
        definition,
        config_version: version.clone(),
        version,
    };
    let deployed = deploy(&scheduler, app.clone(), Action::Start).await?;
    let view = view::app(&scheduler.book(), &app, node.settings.native(), true);
    let headers = [
        ("location", format!("/v2/apps{id}")),
        ("marathon-deployment-id", text(&deployed["deploymentId"])),
    ];
    Ok((StatusCode::CREATED, headers, Json(view)).into_response())
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

async fn read(State(node): Shared, Path(path): Path<String>) -> Answer {
    let scheduler = node.leading()?;
    let book = scheduler.book();
    let path = path.trim_end_matches('/');
    for (suffix, what) in [("/tasks", "tasks"), ("/versions", "versions")] {
        let Some(app) = path
            .strip_suffix(suffix)
            .and_then(|id| book.apps.get(&canonical_id(id)))
        else {
            continue;
        };
        let tasks = || {
            book.tasks_of(app.id())
                .map(|status| view::task(&book, app, status))
                .collect()
        };
        let value: Vec<Value> = if what == "tasks" {
            tasks()
        } else {
            vec![json!(app.version)]
        };
        return Ok(Json(json!({what: value})).into_response());
    }
    let id = canonical_id(path);
    let app = book.apps.get(&id).ok_or_else(|| no_app(&id))?;
    Ok(Json(json!({"app": view::app(&book, app, node.settings.native(), true)})).into_response())
}

async fn update(
    State(node): Shared,
    Path(id): Path<String>,
    options: Query<Options>,
    body: String,
) -> Answer {
    let scheduler = node.leading()?;
    let native = node.settings.native();
    let id = canonical_id(&id);
    let mut sent = parse(&body)?;
    let Some(fields) = sent.as_object_mut() else {
        return Err(refused(Refusal::Malformed(
            "error.expected.jsobject".into(),
        )));
    };
    fields.insert("id".into(), json!(id));
    let before = scheduler.book().apps.get(&id).cloned();
    let mut merged = match &before {
        Some(app) if options.partial_update => app.definition.clone(),
        _ => json!({}),
    };
    if let (Some(merged), Some(fields)) = (merged.as_object_mut(), sent.as_object()) {
        // A new container brings its network; the old one's would contradict it.
        if fields.contains_key("container") && !fields.contains_key("networks") {
            merged.remove("networks");
        }
        merged.extend(fields.clone());
    }
    let mut definition = complete(&merged, native).map_err(refused)?;
    keep_service_ports(&mut definition, before.as_ref());
    unlock(&scheduler, &id, options.force)?;
    assign_service_ports(&mut definition, &mut scheduler.free_service_ports());
    let version = clock::stamp();
    let kept = before
        .as_ref()
        .filter(|app| same_tasks(&app.definition, &definition));
    let config_version = kept.map_or_else(|| version.clone(), |app| app.config_version.clone());
    let action = match (&before, kept) {
        (None, _) => Action::Start,
        (Some(_), Some(_)) => Action::Scale,
        (Some(_), None) => Action::Restart,
    };
    let answer = deploy(
        &scheduler,
        App {
            definition,
            version,
            config_version,
        },
        action,
    )
    .await?;
    let status = if before.is_some() {
        StatusCode::OK
    } else {
        StatusCode::CREATED
    };
    let headers = [
        ("location", format!("/v2/apps{id}")),
        ("marathon-deployment-id", text(&answer["deploymentId"])),
    ];
    Ok((status, headers, Json(answer)).into_response())
}

/// A service port that was given once stays, when the new definition says 0 again.
fn keep_service_ports(definition: &mut Value, before: Option<&App>) {
    let Some(before) = before else { return };
    let mut old = super::app::service_ports(&before.definition)
        .into_iter()
        .filter_map(|port| u16::try_from(port).ok());
    if super::app::service_ports(definition)
        .iter()
        .all(|port| *port == 0)
    {
        assign_service_ports(definition, &mut old);
    }
}

async fn remove(State(node): Shared, Path(path): Path<String>, options: Query<Options>) -> Answer {
    let scheduler = node.leading()?;
    if let Some((id, task)) = path.trim_end_matches('/').split_once("/tasks") {
        return end_tasks_of(
            &scheduler,
            &canonical_id(id),
            task.trim_start_matches('/'),
            options.scale,
        )
        .await;
    }
    let id = canonical_id(&path);
    let app = scheduler
        .book()
        .apps
        .get(&id)
        .cloned()
        .ok_or_else(|| no_app(&id))?;
    unlock(&scheduler, &id, options.force)?;
    let app = App {
        version: clock::stamp(),
        ..app
    };
    Ok(Json(deploy(&scheduler, app, Action::Stop).await?).into_response())
}

/// Ends one task of an app, or all; `scale` makes the app smaller by as many.
async fn end_tasks_of(scheduler: &Scheduler, id: &str, task: &str, scale: bool) -> Answer {
    let (app, ids): (App, Vec<String>) = {
        let book = scheduler.book();
        let app = book.apps.get(id).cloned().ok_or_else(|| no_app(id))?;
        let ids = book
            .tasks_of(id)
            .map(|status| status.task.id.clone())
            .filter(|known| task.is_empty() || known == task);
        (app, ids.collect())
    };
    if ids.is_empty() && !task.is_empty() {
        return Err(refuse(
            StatusCode::NOT_FOUND,
            &format!("Task '{task}' does not exist"),
        ));
    }
    scheduler.book().doomed.extend(ids.iter().cloned());
    if !scale {
        return Ok(Json(json!({"tasks": ids})).into_response());
    }
    let mut app = App {
        version: clock::stamp(),
        ..app
    };
    app.definition["instances"] = json!(app.instances().saturating_sub(ids.len()));
    Ok(Json(deploy(scheduler, app, Action::Scale).await?).into_response())
}

/// `{"ids": […]}`
#[derive(Deserialize)]
struct Ids {
    ids: Vec<String>,
}

async fn end_tasks(State(node): Shared, Json(ids): Json<Ids>) -> Answer {
    let scheduler = node.leading()?;
    scheduler.book().doomed.extend(ids.ids);
    Ok(Json(json!({"tasks": []})).into_response())
}

async fn restart(State(node): Shared, Path(path): Path<String>, options: Query<Options>) -> Answer {
    let scheduler = node.leading()?;
    let Some(id) = path
        .trim_end_matches('/')
        .strip_suffix("/restart")
        .map(canonical_id)
    else {
        return Err(StatusCode::METHOD_NOT_ALLOWED.into_response());
    };
    let app = scheduler
        .book()
        .apps
        .get(&id)
        .cloned()
        .ok_or_else(|| no_app(&id))?;
    unlock(&scheduler, &id, options.force)?;
    let version = clock::stamp();
    let app = App {
        config_version: version.clone(),
        version,
        ..app
    };
    Ok(Json(deploy(&scheduler, app, Action::Restart).await?).into_response())
}

/// Goes back to the app before a deployment; with `force`, only stops following it.
pub async fn roll_back(
    State(node): Shared,
    Path(id): Path<String>,
    options: Query<Options>,
) -> Answer {
    let scheduler = node.leading()?;
    let deployment = {
        let mut book = scheduler.book();
        let at = book
            .deployments
            .iter()
            .position(|deployment| deployment.id == id);
        let at = at.ok_or_else(|| {
            refuse(
                StatusCode::NOT_FOUND,
                &format!("DeploymentPlan {id} does not exist"),
            )
        })?;
        book.deployments.remove(at)
    };
    if options.force {
        return Ok(StatusCode::ACCEPTED.into_response());
    }
    let answer = match deployment.previous {
        Some(app) => {
            deploy(
                &scheduler,
                App {
                    version: clock::stamp(),
                    ..app
                },
                Action::Restart,
            )
            .await?
        }
        None => {
            let app = scheduler
                .book()
                .apps
                .get(&deployment.app)
                .cloned()
                .ok_or_else(|| no_app(&deployment.app))?;
            deploy(
                &scheduler,
                App {
                    version: clock::stamp(),
                    ..app
                },
                Action::Stop,
            )
            .await?
        }
    };
    Ok(Json(answer).into_response())
}
