//! Bamboo: follows Marathon, keeps rules in ZooKeeper, renders haproxy.cfg and runs the reload command. (Its race on SIGCHLD is not
//! played: a log line of success means success here.)

mod api;
mod apps;
mod config;
mod follow;
mod rules;
mod template;
mod update;

use crate::zk::ZkUrl;
use crate::{http, log, names, zk};
use anyhow::{Context, bail};
use config::Config;
use rules::Rules;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::sync::Notify;

/// A running Bamboo.
pub(crate) struct Bamboo {
    config: Config,
    rules: Rules,
    /// Rung when something changed.
    changed: Notify,
}

/// Runs Bamboo.
pub async fn run(arguments: &[String]) -> anyhow::Result<()> {
    let flags = Flags::read(arguments)?;
    if let Some(file) = &flags.log {
        log::into_file(file)?;
    }
    let config = Config::read(&flags.config, |name| std::env::var(name).ok())?;
    let place = &config.bamboo.zookeeper;
    let url = ZkUrl {
        auth: None,
        servers: place.host.clone(),
        path: place.path.trim_end_matches('/').to_owned(),
    };
    if url.servers.is_empty() || !url.path.starts_with('/') {
        bail!("zk: no servers, or no path, in the configuration");
    }
    let client = zk::connect(&url).await;
    let rules = Rules::open(&client, &url.path).await?;
    let bamboo = Arc::new(Bamboo {
        config,
        rules,
        changed: Notify::new(),
    });
    tokio::select! {
        outcome = http::serve(flags.bind, api::router(&bamboo)) => outcome,
        outcome = follow::marathon(&bamboo) => outcome,
        outcome = follow::rules(&bamboo) => outcome,
        outcome = update::keep_rendering(&bamboo) => outcome,
        // The real one's client would open a new session; here the supervisor does.
        () = zk::lost(&client) => bail!("zk: session has been expired by the server"),
    }
}

/// `-config FILE -log FILE -bind ADDRESS`
struct Flags {
    config: PathBuf,
    log: Option<PathBuf>,
    bind: SocketAddr,
}

impl Flags {
    /// Reads them as Go's flag package does: one or two dashes, the value behind `=` or in the next word.
    fn read(arguments: &[String]) -> anyhow::Result<Self> {
        let mut flags = Self {
            config: "config/development.json".into(),
            log: None,
            bind: SocketAddr::new(names::ANY, 8000),
        };
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
                break;
            };
            let (name, value) = flag
                .split_once('=')
                .map_or((flag, None), |(name, value)| (name, Some(value.to_owned())));
            if !["config", "log", "bind"].contains(&name) {
                bail!(
                    "flag provided but not defined: -{name}\nUsage of bamboo: -bind, -config, -log"
                );
            }
            let value = value
                .or_else(|| words.next().cloned())
                .with_context(|| format!("flag needs an argument: -{name}"))?;
            match name {
                "config" => flags.config = value.into(),
                "log" => {
                    flags.log =
                        Some(PathBuf::from(value)).filter(|path| !path.as_os_str().is_empty());
                }
                _ => flags.bind = bind_address(&value)?,
            }
        }
        Ok(flags)
    }
}

/// `:8000` is every address.
fn bind_address(text: &str) -> anyhow::Result<SocketAddr> {
    let (host, port) = text
        .rsplit_once(':')
        .with_context(|| format!("listen tcp: address {text}: missing port in address"))?;
    let port = port
        .parse()
        .with_context(|| format!("listen tcp: unknown port in {text}"))?;
    let ip = if host.is_empty() {
        names::ANY
    } else {
        names::resolve(host.trim_matches(['[', ']']))?
    };
    Ok(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(arguments: &str) -> anyhow::Result<Flags> {
        Flags::read(
            &arguments
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        )
    }

    #[test]
    fn flags_are_those_of_go() {
        let flags = read("-bind :8001 --config=/etc/bamboo.json -log /var/log/bamboo.log").unwrap();
        assert_eq!(flags.bind.to_string(), "0.0.0.0:8001");
        assert_eq!(flags.config, PathBuf::from("/etc/bamboo.json"));
        assert_eq!(flags.log, Some("/var/log/bamboo.log".into()));
        assert_eq!(
            read("-bind 127.0.0.1:80").unwrap().bind.to_string(),
            "127.0.0.1:80"
        );
    }

    #[test]
    fn flags_of_other_builds_are_refused() {
        assert!(
            read("-haproxy_check")
                .err()
                .unwrap()
                .to_string()
                .starts_with("flag provided but not defined")
        );
        assert!(read("-config").is_err());
    }
}
