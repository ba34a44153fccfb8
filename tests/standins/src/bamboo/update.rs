//! Rendering haproxy.cfg: only a changed text is validated, written and followed by the reload command.

use super::config::Config;
use super::{Bamboo, apps, template};
use crate::log;
use anyhow::{Context, bail};
use std::io::Write;
use template::Value;

/// Renders at the start and after every change.
pub async fn keep_rendering(bamboo: &Bamboo) -> anyhow::Result<()> {
    loop {
        match render(bamboo).await {
            Err(error) => log::warning(&format!(
                "Failed to update HAProxy configuration: {error:#}"
            )),
            Ok(true) => log::info("Reloaded HAProxy configuration"),
            Ok(false) => log::info("Skipped HAProxy configuration reload due to lack of changes"),
        }
        bamboo.changed.notified().await;
    }
}

/// Renders once; whether anything changed.
async fn render(bamboo: &Bamboo) -> anyhow::Result<bool> {
    let config = &bamboo.config;
    let data = apps::data(
        &apps::fetch(config)
            .await
            .context("Failed to retrieve template data")?,
        &bamboo.rules.all().await?,
    );
    let template = std::fs::read_to_string(&config.haproxy.template_path)
        .context("Failed to read template contents")?;
    let text = template::render(&template, &data).context("Template syntax error")?;
    if std::fs::read_to_string(&config.haproxy.output_path).is_ok_and(|known| known == text) {
        return Ok(false);
    }
    validate(config, &text).await?;
    std::fs::write(&config.haproxy.output_path, text).with_context(|| {
        format!(
            "Failed to write template on path {}",
            config.haproxy.output_path
        )
    })?;
    let reloaded = shell(&config.haproxy.reload_command).await;
    let _ = shell(&config.haproxy.reload_cleanup_command).await;
    reloaded.map(|()| true)
}

/// Runs the validation command, if there is one, on a file with the new text.
async fn validate(config: &Config, text: &str) -> anyhow::Result<()> {
    if config.haproxy.reload_validation_command.is_empty() {
        return Ok(());
    }
    let mut file = tempfile::Builder::new()
        .prefix("bamboo")
        .tempfile_in("/tmp")?;
    file.write_all(text.as_bytes())?;
    let name = Value::Text(file.path().display().to_string());
    shell(&template::render(
        &config.haproxy.reload_validation_command,
        &name,
    )?)
    .await
}

async fn shell(command: &str) -> anyhow::Result<()> {
    if command.is_empty() {
        return Ok(());
    }
    log::info(&format!("Exec cmd: {command}"));
    let output = tokio::process::Command::new("sh")
        .args(["-c", command])
        .output()
        .await?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&said).trim()
        );
    }
    Ok(())
}
