//! A small HTTP client over plain TCP, and the answers servers share.

use crate::names;
use anyhow::{Context, bail};
use axum::Json;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode, Uri};
use axum::response::IntoResponse;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// Sends a request to the host its URI names and hands back the answer with its body still to come.
pub async fn send(request: Request<Body>) -> anyhow::Result<Response<Incoming>> {
    let uri = request.uri().clone();
    let host = uri
        .host()
        .with_context(|| format!("no host in {uri}"))?
        .to_owned();
    let port = uri.port_u16().unwrap_or(80);
    let address = SocketAddr::new(names::resolve(host.trim_matches(['[', ']']))?, port);
    let stream = tokio::time::timeout(Duration::from_secs(5), TcpStream::connect(address))
        .await
        .with_context(|| format!("{address}: no answer"))?
        .with_context(|| format!("{address}: cannot connect"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (mut parts, body) = request.into_parts();
    parts
        .headers
        .entry("host")
        .or_insert(format!("{host}:{port}").parse()?);
    parts.uri = uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .parse::<Uri>()?;
    Ok(sender
        .send_request(Request::from_parts(parts, body))
        .await?)
}

/// Sends JSON (or nothing) and reads a JSON answer; any status but 2xx is an error with the body in it.
pub async fn call(
    method: &str,
    url: &str,
    body: Option<&Value>,
    timeout: Duration,
) -> anyhow::Result<Value> {
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header("accept", "application/json")
        .header("content-type", "application/json")
        .body(body.map_or_else(Body::empty, |body| Body::from(body.to_string())))?;
    let (status, bytes) = tokio::time::timeout(timeout, async {
        let answer = send(request).await?;
        let status = answer.status();
        anyhow::Ok((status, answer.into_body().collect().await?.to_bytes()))
    })
    .await
    .with_context(|| format!("{method} {url}: no answer within {timeout:?}"))??;
    if !status.is_success() {
        bail!(
            "{method} {url}: {status}: {}",
            String::from_utf8_lossy(&bytes)
        );
    }
    Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// The status of a GET, or `None` when nobody answers in time: what a health check asks.
pub async fn status(url: &str, timeout: Duration) -> Option<StatusCode> {
    let request = Request::builder().uri(url).body(Body::empty()).ok()?;
    tokio::time::timeout(timeout, send(request))
        .await
        .ok()?
        .ok()
        .map(|answer| answer.status())
}

/// Serves `router` on `address` until the process ends.
pub async fn serve(address: SocketAddr, router: axum::Router) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("Failed to bind on {address}"))?;
    axum::serve(
        listener,
        router.into_make_service_with_connect_info::<SocketAddr>(),
    )
    .await?;
    Ok(())
}

/// `{"message": …}` with a status, as Marathon and Mesos answer errors.
pub fn refuse(status: StatusCode, message: &str) -> axum::response::Response {
    (status, Json(json!({ "message": message }))).into_response()
}

/// A redirect that keeps method and body.
pub fn redirect(to: &str) -> axum::response::Response {
    (StatusCode::TEMPORARY_REDIRECT, [("location", to)]).into_response()
}
