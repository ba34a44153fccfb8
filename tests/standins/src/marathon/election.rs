//! Which Marathon leads: the lowest node below `<path>/leader` (from 1.4 on `leader-curator`). The leader dies when it is no longer
//! sure that it leads; its supervisor starts it anew.

use super::api::Node;
use super::scheduler::Scheduler;
use super::store::Store;
use super::{Settings, master_of};
use crate::mesos::wire::FrameworkReport;
use crate::version::Version;
use crate::{log, zk};
use anyhow::{Context, bail};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use zookeeper_client::Client;

/// What this Marathon knows of the election.
pub struct Election {
    /// `host:port` of the leader.
    pub leader: watch::Sender<Option<String>>,
    directory: String,
    prefix: &'static str,
}

impl Election {
    /// Before the first message of ZooKeeper, nobody leads.
    pub fn new(settings: &Settings) -> Self {
        let (name, prefix) = if settings.version < Version(1, 4, 0) {
            ("leader", "member_")
        } else {
            ("leader-curator", "latch-")
        };
        Self {
            leader: watch::Sender::new(None),
            directory: zk::join(&settings.zk.path, name),
            prefix,
        }
    }
}

/// Takes part until the process ends.
pub async fn take_part(node: &Arc<Node>) -> anyhow::Result<()> {
    loop {
        let client = zk::connect(&node.settings.zk).await;
        let leading = || {
            node.scheduler
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .is_some()
        };
        tokio::select! {
            outcome = candidacy(node, &client) => match outcome {
                Err(error) if !leading() && error.root_cause().is::<zookeeper_client::Error>() => log::warning(&format!("{error:#}")),
                outcome => return outcome,
            },
            () = zk::lost(&client) => {}
        }
        if leading() {
            bail!("Lost leadership: abdicating, Marathon exits to be started anew");
        }
        node.election.leader.send_replace(None);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Joins, follows who leads, and leads when it is first.
async fn candidacy(node: &Arc<Node>, client: &Client) -> anyhow::Result<()> {
    let settings = &node.settings;
    let election = &node.election;
    let own = zk::enter(
        client,
        &election.directory,
        election.prefix,
        settings.own_address().as_bytes(),
    )
    .await?;
    let mut members = zk::follow(client, &election.directory, election.prefix);
    loop {
        let first = members.borrow_and_update().first().cloned();
        if let Some(first) = first {
            if first.node == own {
                return lead(node, client).await;
            }
            let address = String::from_utf8_lossy(&first.data).into_owned();
            if election
                .leader
                .send_replace(Some(address.clone()))
                .as_deref()
                != Some(&address)
            {
                log::info(&format!("{address} leads; standing by"));
            }
        }
        members.changed().await.context("ZooKeeper session lost")?;
    }
}

async fn lead(node: &Arc<Node>, client: &Client) -> anyhow::Result<()> {
    let settings = &node.settings;
    log::info("Elected (Leader Interface)");
    let store = Store::open(client, &settings.zk.path).await?;
    if let Some(endpoints) = settings.flags.get("http_endpoints") {
        node.events.callbacks().extend(
            endpoints
                .split(',')
                .map(|endpoint| endpoint.trim().to_owned()),
        );
    }
    let own = settings.own_address();
    let framework = FrameworkReport {
        id: None,
        name: settings
            .flags
            .get("framework_name")
            .unwrap_or("marathon")
            .to_owned(),
        hostname: settings.hostname.clone(),
        webui_url: settings
            .flags
            .get("webui_url")
            .map_or_else(|| format!("http://{own}"), str::to_owned),
        user: settings
            .flags
            .get("mesos_user")
            .unwrap_or("root")
            .to_owned(),
    };
    let port = |name, otherwise| {
        settings
            .flags
            .number(name)
            .and_then(|port| u16::try_from(port).ok())
            .unwrap_or(otherwise)
    };
    let ports = (
        port("local_port_min", 10_000),
        port("local_port_max", 20_000),
    );
    let scheduler = Arc::new(
        Scheduler::new(
            store,
            master_of(settings)?,
            framework,
            Arc::clone(&node.events),
            ports,
            settings.native(),
        )
        .await?,
    );
    *node
        .scheduler
        .write()
        .unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&scheduler));
    node.election.leader.send_replace(Some(own));
    scheduler.work().await
}
