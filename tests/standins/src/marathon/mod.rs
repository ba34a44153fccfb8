//! Marathon: elects itself through ZooKeeper, keeps apps there, and starts their tasks through the Mesos stand-ins. Its process looks
//! like the real one's (`java … mesosphere.marathon.Main …`), its flags, endpoints and statuses too. Up to 1.4 and from 1.5 on differ
//! in flags, in the shape of answers and in how events travel; the version of the package decides.

mod api;
mod app;
mod app_api;
mod book;
mod deployment;
mod election;
mod events;
mod flags;
mod health;
mod place;
mod scheduler;
mod store;
mod task;
mod view;

use crate::mesos;
use crate::version::Version;
use crate::zk::ZkUrl;
use crate::{http, log, names};
use anyhow::{Context, bail};
use flags::Flags;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// What the stand-in plays when it does not run from a package.
const NEWEST: Version = Version(1, 8, 222);

/// The release that changed flags, answers and events.
const NATIVE: Version = Version(1, 5, 0);

/// A running Marathon's settings.
pub(crate) struct Settings {
    version: Version,
    zk: ZkUrl,
    master: String,
    hostname: String,
    bind: SocketAddr,
    flags: Flags,
}

impl Settings {
    /// Whether this is 1.5 or later.
    fn native(&self) -> bool {
        self.version >= NATIVE
    }

    /// `host:port`, as the leader is known to others.
    fn own_address(&self) -> String {
        format!("{}:{}", self.hostname, self.bind.port())
    }

    /// `marathon_config` of `/v2/info`.
    fn to_json(&self) -> Value {
        let text = |name: &str| self.flags.get(name).map(str::to_owned);
        let number = |name: &str, otherwise: u64| self.flags.number(name).unwrap_or(otherwise);
        let mut config = json!({
            "master": self.master,
            "failover_timeout": number("failover_timeout", 604_800),
            "framework_name": text("framework_name").unwrap_or_else(|| "marathon".to_owned()),
            "ha": self.flags.toggle("ha", true),
            "checkpoint": self.flags.toggle("checkpoint", true),
            "local_port_min": number("local_port_min", 10_000),
            "local_port_max": number("local_port_max", 20_000),
            "executor": text("executor").unwrap_or_else(|| "//cmd".to_owned()),
            "hostname": self.hostname,
            "webui_url": text("webui_url"),
            "mesos_role": text("mesos_role"),
            "task_launch_timeout": number("task_launch_timeout", 300_000),
            "mesos_user": text("mesos_user").unwrap_or_else(|| "root".to_owned()),
            "mesos_leader_ui_url": text("mesos_leader_ui_url"),
            "mesos_bridge_name": null,
        });
        if !self.native() {
            config["event_subscriber"] = text("event_subscriber").into();
        }
        config
    }
}

/// Runs Marathon: everything behind the main class are its arguments, as they are Java's.
pub async fn run(arguments: &[String]) -> anyhow::Result<()> {
    let own = arguments
        .iter()
        .position(|argument| argument == "mesosphere.marathon.Main");
    let Some(own) = own else {
        bail!(
            "Error: Could not find or load main class {}",
            arguments.last().map_or("", String::as_str)
        )
    };
    let version = Version::installed("marathon", NEWEST);
    let flags = Flags::load(version, std::env::vars(), &arguments[own + 1..])?;
    if flags.is("version") {
        bail!("{version}");
    }
    log::info(&format!(
        "Starting Marathon {version} with {}",
        arguments[own + 1..].join(" ")
    ));
    let settings = settings(version, flags)?;
    let elected = election::Election::new(&settings);
    let events = Arc::new(events::Events::new());
    let node = Arc::new(api::Node {
        election: elected,
        events,
        settings,
        scheduler: std::sync::RwLock::default(),
    });
    tokio::select! {
        outcome = http::serve(node.settings.bind, api::router(&node)) => outcome,
        outcome = election::take_part(&node) => outcome,
    }
}

fn settings(version: Version, flags: Flags) -> anyhow::Result<Settings> {
    let Some(master) = flags.get("master").map(str::to_owned) else {
        bail!("[scallop] Error: Required option 'master' not found");
    };
    native_library()?;
    let node = names::node();
    // The real one asks for its own name before it reads --hostname.
    names::resolve(&node).with_context(|| {
        format!("java.net.UnknownHostException: {node}: {node}: Name or service not known")
    })?;
    let hostname = flags.get("hostname").map_or(node, str::to_owned);
    let listen = flags
        .get("http_address")
        .map_or(Ok(names::ANY), names::resolve)?;
    let port =
        u16::try_from(flags.number("http_port").unwrap_or(8080)).context("bad --http_port")?;
    if let Some(subscriber) = flags
        .get("event_subscriber")
        .filter(|subscriber| *subscriber != "http_callback")
    {
        bail!("Invalid event_subscriber: {subscriber}");
    }
    let zk = ZkUrl::parse(flags.get("zk").unwrap_or("zk://localhost:2181/marathon"))?;
    if master.starts_with("zk://") {
        ZkUrl::parse(&master)?;
    }
    Ok(Settings {
        version,
        zk,
        master,
        hostname,
        bind: SocketAddr::new(listen, port),
        flags,
    })
}

/// The real one needs libmesos with its Java binding; the package `mesos` brings it.
fn native_library() -> anyhow::Result<()> {
    let named = std::env::var("MESOS_NATIVE_JAVA_LIBRARY")
        .or_else(|_| std::env::var("MESOS_NATIVE_LIBRARY"))
        .ok();
    let usual = [
        "/usr/local/lib/libmesos.so",
        "/usr/lib/libmesos.so",
        "/usr/lib64/libmesos.so",
    ];
    let found = named.as_deref().map_or_else(
        || usual.iter().any(|path| Path::new(path).exists()),
        |path| Path::new(path).exists(),
    );
    if !found {
        bail!(
            "Failed to load native Mesos library from {}",
            named
                .as_deref()
                .unwrap_or("/usr/local/lib:/usr/lib:/usr/lib64")
        );
    }
    Ok(())
}

/// Follows the leading master.
fn master_of(
    settings: &Settings,
) -> anyhow::Result<tokio::sync::watch::Receiver<Option<mesos::Leader>>> {
    mesos::detect(&settings.master)
}
