//! Bamboo's configuration: a JSON file, and variables that win over it.

use crate::log;
use anyhow::Context;
use serde::Deserialize;
use std::path::Path;
use std::time::Duration;

/// The file.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Config {
    pub marathon: Marathon,
    pub bamboo: Bamboo,
    #[serde(rename = "HAProxy")]
    pub haproxy: Haproxy,
}

/// Where apps come from.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Marathon {
    pub endpoint: String,
    pub user: String,
    pub password: String,
    pub use_event_stream: bool,
}

/// Bamboo itself.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Bamboo {
    pub endpoint: String,
    pub zookeeper: Zookeeper,
}

/// Where rules are kept.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Zookeeper {
    pub host: String,
    pub path: String,
    pub reporting_delay: u64,
}

/// What is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Haproxy {
    pub template_path: String,
    pub output_path: String,
    pub reload_command: String,
    pub reload_validation_command: String,
    pub reload_cleanup_command: String,
}

impl Config {
    /// Reads the file, then variables.
    pub fn read(file: &Path, variable: impl Fn(&str) -> Option<String>) -> anyhow::Result<Self> {
        let text =
            std::fs::read_to_string(file).with_context(|| format!("open {}", file.display()))?;
        let mut config: Self = serde_json::from_str(&text)
            .with_context(|| format!("cannot read {}", file.display()))?;
        let take = |field: &mut String, name: &str| {
            if let Some(value) = variable(name).filter(|value| !value.is_empty()) {
                log::info(&format!("Using environment override {name}={value}"));
                *field = value;
            }
        };
        take(&mut config.marathon.endpoint, "MARATHON_ENDPOINT");
        take(&mut config.marathon.user, "MARATHON_USER");
        take(&mut config.marathon.password, "MARATHON_PASSWORD");
        take(&mut config.bamboo.endpoint, "BAMBOO_ENDPOINT");
        take(&mut config.bamboo.zookeeper.host, "BAMBOO_ZK_HOST");
        take(&mut config.bamboo.zookeeper.path, "BAMBOO_ZK_PATH");
        take(&mut config.haproxy.template_path, "HAPROXY_TEMPLATE_PATH");
        take(&mut config.haproxy.output_path, "HAPROXY_OUTPUT_PATH");
        take(&mut config.haproxy.reload_command, "HAPROXY_RELOAD_CMD");
        take(
            &mut config.haproxy.reload_validation_command,
            "HAPROXY_RELOAD_VALIDATION_CMD",
        );
        take(
            &mut config.haproxy.reload_cleanup_command,
            "HAPROXY_RELOAD_CLEANUP_CMD",
        );
        if let Some(value) = variable("MARATHON_USE_EVENT_STREAM").filter(|value| !value.is_empty())
        {
            config.marathon.use_event_stream =
                ["1", "t", "T", "true", "TRUE", "True"].contains(&value.as_str());
        }
        Ok(config)
    }

    /// Marathon's addresses.
    pub fn endpoints(&self) -> impl Iterator<Item = &str> {
        self.marathon
            .endpoint
            .split(',')
            .map(|endpoint| endpoint.trim().trim_end_matches('/'))
    }

    /// How long a change waits for others.
    pub fn delay(&self) -> Duration {
        Duration::from_secs(self.bamboo.zookeeper.reporting_delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_is_read_and_variables_win() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("production.json");
        std::fs::write(
            &file,
            include_str!("../../assets/bamboo/production.example.json"),
        )
        .unwrap();
        let config = Config::read(&file, |name| {
            (name == "BAMBOO_ZK_HOST").then(|| "zk:2181".to_owned())
        })
        .unwrap();
        assert_eq!(
            config.endpoints().collect::<Vec<_>>(),
            ["http://marathon1:8080", "http://marathon2:8080"]
        );
        assert_eq!(config.bamboo.zookeeper.host, "zk:2181");
        assert_eq!(config.delay(), Duration::from_secs(5));
        assert_eq!(config.haproxy.output_path, "/etc/haproxy/haproxy.cfg");
        assert!(Config::read(Path::new("/nonexistent"), |_| None).is_err());
    }
}
