//! What templates see of Marathon's apps.

use super::config::Config;
use super::rules::Rule;
use super::template::Value;
use crate::http;
use anyhow::{Context, bail};
use axum::body::Body;
use axum::http::Request;
use base64::Engine as _;
use http_body_util::BodyExt;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::time::Duration;

/// Asks the first Marathon that answers.
pub async fn fetch(config: &Config) -> anyhow::Result<Vec<Json>> {
    let mut last = None;
    for endpoint in config.endpoints() {
        match tokio::time::timeout(Duration::from_secs(10), fetch_from(config, endpoint)).await {
            Ok(Ok(apps)) => return Ok(apps),
            Ok(Err(error)) => last = Some(error),
            Err(_) => last = Some(anyhow::anyhow!("{endpoint}: no answer")),
        }
    }
    Err(last.context("no Marathon is configured")?)
}

async fn fetch_from(config: &Config, endpoint: &str) -> anyhow::Result<Vec<Json>> {
    let url =
        format!("{endpoint}/v2/apps?embed=app.tasks&embed=app.deployments&embed=app.readiness");
    let request = request(config, "GET", &url)
        .header("accept", "application/json")
        .body(Body::empty())?;
    let answer = http::send(request).await?;
    let status = answer.status();
    let body: Json = serde_json::from_slice(&answer.into_body().collect().await?.to_bytes())
        .with_context(|| format!("{url}: no JSON"))?;
    if !status.is_success() {
        bail!("{url}: {status}");
    }
    Ok(body["apps"].as_array().cloned().unwrap_or_default())
}

/// A request with the configured password, if there is one.
pub fn request(config: &Config, method: &str, url: &str) -> axum::http::request::Builder {
    let request = Request::builder().method(method).uri(url);
    let (user, password) = (&config.marathon.user, &config.marathon.password);
    if user.is_empty() || password.is_empty() {
        return request;
    }
    let token = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    request.header("authorization", format!("Basic {token}"))
}

/// `.Apps` and `.Services`.
pub fn data(apps: &[Json], rules: &BTreeMap<String, Rule>) -> Value {
    let mut apps: Vec<(String, Value)> = apps.iter().map(app).collect();
    apps.sort_by(|one, other| one.0.cmp(&other.0));
    let services = rules
        .iter()
        .map(|(id, rule)| (id.clone(), service(rule)))
        .collect();
    Value::record(
        "haproxy.templateData",
        [
            (
                "Apps",
                Value::List(apps.into_iter().map(|(_, app)| app).collect()),
            ),
            ("Services", Value::Map(services)),
        ],
    )
}

fn service(rule: &Rule) -> Value {
    let config = rule
        .config
        .iter()
        .flatten()
        .map(|(name, value)| (name.clone(), Value::Text(value.clone())));
    Value::record(
        "service.Service",
        [
            ("Id", Value::Text(rule.id.clone())),
            ("Acl", Value::Text(rule.acl.clone())),
            ("Config", Value::Map(config.collect())),
        ],
    )
}

fn app(app: &Json) -> (String, Value) {
    let raw = app["id"].as_str().unwrap_or_default();
    let id = format!("/{}", raw.trim_start_matches('/'));
    let text = |text: &str| Value::Text(text.to_owned());
    let checks = app["healthChecks"].as_array().cloned().unwrap_or_default();
    let by_http = checks
        .iter()
        .find(|check| ["HTTP", "HTTPS"].contains(&check["protocol"].as_str().unwrap_or_default()));
    let of_http = |name: &str| {
        text(
            by_http
                .and_then(|check| check[name].as_str())
                .unwrap_or_default(),
        )
    };
    let ports = Value::from(&app["ports"]);
    let ports = if ports == Value::Nothing {
        Value::List(Vec::new())
    } else {
        ports
    };
    let first = |ports: &Value| match ports {
        Value::List(ports) => ports.first().cloned().unwrap_or(Value::Number(0)),
        _ => Value::Number(0),
    };
    let map = |value: &Json| {
        if value.is_object() {
            Value::from(value)
        } else {
            Value::Map(BTreeMap::new())
        }
    };
    let mut tasks: Vec<&Json> = app["tasks"].as_array().into_iter().flatten().collect();
    tasks.sort_by_key(|task| task["id"].as_str());
    let mut parts: Vec<&str> = id.split('/').filter(|part| !part.is_empty()).collect();
    parts.reverse();
    let record = Value::record(
        "marathon.App",
        [
            ("Id", text(&id)),
            ("MesosDnsId", Value::Text(parts.join("-"))),
            ("EscapedId", Value::Text(raw.replace('/', "::"))),
            ("HealthCheckPath", of_http("path")),
            ("HealthCheckProtocol", of_http("protocol")),
            (
                "HealthChecks",
                Value::List(checks.iter().map(health_check).collect()),
            ),
            (
                "ReadinessCheckPath",
                text(
                    app["readinessChecks"][0]["path"]
                        .as_str()
                        .unwrap_or_default(),
                ),
            ),
            (
                "Tasks",
                Value::List(
                    tasks
                        .into_iter()
                        .filter_map(|one| task(one, checks.len()))
                        .collect(),
                ),
            ),
            ("ServicePort", first(&ports)),
            ("ServicePorts", ports),
            ("Env", map(&app["env"])),
            ("Labels", map(&app["labels"])),
            ("SplitId", Value::List(raw.split('/').map(text).collect())),
        ],
    );
    (id, record)
}

fn health_check(check: &Json) -> Value {
    let text = |name: &str| Value::Text(check[name].as_str().unwrap_or_default().to_owned());
    let index = check["portIndex"].as_i64().unwrap_or(0);
    Value::record(
        "marathon.HealthCheck",
        [
            ("Protocol", text("protocol")),
            ("Path", text("path")),
            ("PortIndex", Value::Number(index)),
        ],
    )
}

/// A task with a port; without one, nothing can be sent to it.
fn task(task: &Json, checks: usize) -> Option<Value> {
    let port = task["ports"][0].as_i64()?;
    let host = task["host"].as_str()?;
    let results = task["healthCheckResults"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let alive = results.len() >= checks && results.iter().all(|result| result["alive"] == true);
    let state = task["state"].as_str().unwrap_or_default();
    Some(Value::record(
        "marathon.Task",
        [
            (
                "Id",
                Value::Text(task["id"].as_str().unwrap_or_default().to_owned()),
            ),
            ("Host", Value::Text(host.to_owned())),
            ("Port", Value::Number(port)),
            ("Ports", Value::from(&task["ports"])),
            ("Alive", Value::Bool(alive)),
            ("State", Value::Text(state.to_owned())),
            ("Ready", Value::Bool(state == "TASK_RUNNING")),
        ],
    ))
}

/// `/api/state`: the same data as JSON.
pub fn to_json(value: &Value) -> Json {
    match value {
        Value::Nothing => Json::Null,
        Value::Bool(value) => Json::from(*value),
        Value::Number(value) => Json::from(*value),
        Value::Text(value) => Json::from(value.clone()),
        Value::List(values) => values.iter().map(to_json).collect(),
        Value::Map(map) => map
            .iter()
            .map(|(name, value)| (name.clone(), to_json(value)))
            .collect(),
        Value::Record(_, fields) => fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), to_json(value)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn apps_look_as_bamboo_shows_them() {
        let apps = [json!({
            "id": "/shop/web", "env": {"A": "b"}, "ports": [10000],
            "healthChecks": [{"protocol": "TCP"}, {"protocol": "HTTP", "path": "/up", "portIndex": 0}],
            "tasks": [
                {"id": "b", "host": "h", "ports": [31001], "state": "TASK_STAGING"},
                {"id": "a", "host": "h", "ports": [31000], "state": "TASK_RUNNING", "healthCheckResults": [{"alive": true}, {"alive": true}]},
                {"id": "c", "host": "h", "ports": []},
            ],
        })];
        let state = to_json(&data(&apps, &BTreeMap::new()));
        let app = &state["Apps"][0];
        assert_eq!(app["EscapedId"], "::shop::web");
        assert_eq!(app["MesosDnsId"], "web-shop");
        assert_eq!(
            (&app["HealthCheckPath"], &app["ServicePort"]),
            (&json!("/up"), &json!(10000))
        );
        assert_eq!(app["Tasks"].as_array().unwrap().len(), 2);
        assert_eq!(app["Tasks"][0]["Port"], 31000);
        assert_eq!(
            (&app["Tasks"][0]["Alive"], &app["Tasks"][1]["Alive"]),
            (&json!(true), &json!(false))
        );
    }
}
