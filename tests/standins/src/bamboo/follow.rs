//! Noticing changes: of apps by Marathon's event stream or callbacks, of rules by ZooKeeper.

use super::{Bamboo, apps};
use crate::{http, log};
use axum::body::Body;
use http_body_util::BodyExt;
use std::time::Duration;

/// Follows Marathon for as long as the process lives.
pub async fn marathon(bamboo: &Bamboo) -> anyhow::Result<()> {
    if bamboo.config.marathon.use_event_stream {
        loop {
            for endpoint in bamboo.config.endpoints() {
                log::info(&format!("Connecting event stream to {endpoint}"));
                if let Err(error) = stream(bamboo, endpoint).await {
                    log::warning(&format!(
                        "An error occurred while making a request to Marathon events system: {error:#}"
                    ));
                }
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
    for endpoint in bamboo.config.endpoints() {
        // Once, as in the real one: a Marathon that starts later is not asked again.
        if let Err(error) = subscribe(bamboo, endpoint).await {
            log::warning(&format!(
                "An error occurred while accessing Marathon callback system: {error:#}"
            ));
            break;
        }
    }
    std::future::pending().await
}

async fn subscribe(bamboo: &Bamboo, endpoint: &str) -> anyhow::Result<()> {
    let own = &bamboo.config.bamboo.endpoint;
    let url =
        format!("{endpoint}/v2/eventSubscriptions?callbackUrl={own}/api/marathon/event_callback");
    let request = apps::request(&bamboo.config, "POST", &url)
        .header("content-type", "application/json")
        .body(Body::empty())?;
    let body = http::send(request)
        .await?
        .into_body()
        .collect()
        .await?
        .to_bytes();
    if body.starts_with(b"{\"message") {
        log::warning(&format!(
            "Access to the callback system of Marathon seems to be failed, response: {}",
            String::from_utf8_lossy(&body)
        ));
    }
    Ok(())
}

/// Reads events until the stream ends; each `data: ` line is one.
async fn stream(bamboo: &Bamboo, endpoint: &str) -> anyhow::Result<()> {
    let url = format!("{endpoint}/v2/events");
    let request = apps::request(&bamboo.config, "GET", &url)
        .header("accept", "text/event-stream")
        .body(Body::empty())?;
    let mut body = http::send(request).await?.into_body();
    let mut rest = Vec::new();
    while let Some(frame) = body.frame().await {
        rest.extend_from_slice(frame?.data_ref().map_or(&[][..], |data| data));
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            if line.starts_with(b"data: ") {
                bamboo.changed.notify_one();
            }
        }
    }
    Ok(())
}

/// Follows the rules for as long as the process lives; a change waits for others.
pub async fn rules(bamboo: &Bamboo) -> anyhow::Result<()> {
    loop {
        bamboo.rules.changed().await?;
        // Whatever else changes meanwhile is rendered with it.
        tokio::time::sleep(bamboo.config.delay()).await;
        log::info("Domain mapping: Stated changed");
        bamboo.changed.notify_one();
    }
}
