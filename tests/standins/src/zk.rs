//! ZooKeeper: `zk://` URLs, sessions, and groups of ephemeral sequential nodes in which the lowest number leads. Mesos, Marathon
//! and their detectors all elect this way.

use crate::{log, names};
use anyhow::{Context, bail};
use std::time::Duration;
use tokio::sync::watch;
use zookeeper_client::{Acls, Client, CreateMode, CreateOptions, Error, SessionState};

/// How long a session outlives its connection, here as in Mesos.
pub const SESSION: Duration = Duration::from_secs(10);

/// `zk://[user:password@]host:port,…/path`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ZkUrl {
    /// `user:password`, if there is one.
    pub auth: Option<String>,
    /// `host:port` of each server, as written.
    pub servers: String,
    /// Absolute path below which everything lives.
    pub path: String,
}

impl ZkUrl {
    /// Reads a URL, with the messages of Mesos.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let Some(rest) = text.trim().strip_prefix("zk://") else {
            bail!("Expecting 'zk://' at the beginning of the URL");
        };
        let (servers, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
        let (auth, servers) = match servers.rsplit_once('@') {
            Some((auth, servers)) => (Some(auth.to_owned()), servers),
            None => (None, servers),
        };
        if servers.is_empty() || servers.split(',').any(|server| !server.contains(':')) {
            bail!("Expecting 'host:port' for each ZooKeeper server in '{text}'");
        }
        let path = if path.len() > 1 {
            path.trim_end_matches('/')
        } else {
            path
        };
        Ok(Self {
            auth,
            servers: servers.to_owned(),
            path: path.to_owned(),
        })
    }
}

/// Options for a node that stays.
pub fn persistent() -> CreateOptions<'static> {
    CreateMode::Persistent.with_acls(Acls::anyone_all())
}

/// Opens a session, waiting for as long as no server answers, as the real daemons do.
pub async fn connect(url: &ZkUrl) -> Client {
    let mut told = false;
    loop {
        match try_connect(url).await {
            Ok(client) => {
                log::info(&format!(
                    "Connected to ZooKeeper {} (session {})",
                    url.servers,
                    client.session_id()
                ));
                return client;
            }
            Err(error) if !told => {
                log::warning(&format!(
                    "Waiting for ZooKeeper at {}: {error:#}",
                    url.servers
                ));
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn try_connect(url: &ZkUrl) -> anyhow::Result<Client> {
    let mut servers = Vec::new();
    for server in url.servers.split(',') {
        let (host, port) = server.rsplit_once(':').context("no port")?;
        servers.push(format!("{}:{port}", names::resolve(host)?));
    }
    // 3.4 is the oldest server around (Debian 11) and knows every request made here.
    let mut connector = Client::connector()
        .with_session_timeout(SESSION)
        .with_server_version(3, 4, 13);
    if let Some(auth) = &url.auth {
        connector = connector.with_auth("digest", auth.as_bytes());
    }
    Ok(connector.connect(&servers.join(",")).await?)
}

/// Creates a path and what lies above it.
pub async fn make_path(client: &Client, path: &str) -> anyhow::Result<()> {
    if path != "/" {
        client
            .mkdir(path, &persistent())
            .await
            .with_context(|| format!("cannot create {path} in ZooKeeper"))?;
    }
    Ok(())
}

/// `parent/child`, for any parent including the root.
pub fn join(parent: &str, child: &str) -> String {
    format!("{}/{child}", parent.trim_end_matches('/'))
}

/// One member of a group: its node's name and what it says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Name of the node, which ends in its number.
    pub node: String,
    /// Content of the node.
    pub data: Vec<u8>,
}

/// Joins the group at `path`; the node's name comes back.
pub async fn enter(
    client: &Client,
    path: &str,
    prefix: &str,
    data: &[u8],
) -> anyhow::Result<String> {
    make_path(client, path).await?;
    let options = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
    let (_, number) = client
        .create(&join(path, prefix), data, &options)
        .await
        .context("cannot join the group")?;
    Ok(format!("{prefix}{number}"))
}

/// Follows the members of a group, lowest number first, until the session ends.
pub fn follow(client: &Client, path: &str, prefix: &str) -> watch::Receiver<Vec<Member>> {
    let (sender, receiver) = watch::channel(Vec::new());
    let (client, path, prefix) = (client.clone(), path.to_owned(), prefix.to_owned());
    tokio::spawn(async move {
        loop {
            match members(&client, &path, &prefix).await {
                Ok((members, changed)) => {
                    if sender.send(members).is_err() {
                        return;
                    }
                    changed.changed().await;
                }
                Err(Error::NoNode) => tokio::time::sleep(Duration::from_millis(500)).await,
                Err(Error::SessionExpired | Error::ClientClosed) => return,
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
            if client.state().is_terminated() {
                return;
            }
        }
    });
    receiver
}

async fn members(
    client: &Client,
    path: &str,
    prefix: &str,
) -> Result<(Vec<Member>, zookeeper_client::OneshotWatcher), Error> {
    let (children, changed) = client.list_and_watch_children(path).await?;
    let mut members = Vec::new();
    for node in in_order(children, prefix) {
        match client.get_data(&join(path, &node)).await {
            Ok((data, _)) => members.push(Member { node, data }),
            // Gone between the two requests: the watch tells.
            Err(Error::NoNode) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((members, changed))
}

/// The nodes of a group by their number.
fn in_order(children: Vec<String>, prefix: &str) -> Vec<String> {
    let mut nodes: Vec<String> = children
        .into_iter()
        .filter(|child| child.starts_with(prefix))
        .collect();
    nodes.sort_by_key(|node| {
        node.get(prefix.len()..)
            .and_then(|number| number.parse::<i64>().ok())
            .unwrap_or(i64::MAX)
    });
    nodes
}

/// Waits until the session has ended, or was cut off for as long as the servers keep it: from then on, whoever led does not.
pub async fn lost(client: &Client) {
    let mut states = client.state_watcher();
    let mut state = client.state();
    loop {
        if state.is_terminated() {
            return;
        }
        state = if state == SessionState::Disconnected {
            match tokio::time::timeout(SESSION, states.changed()).await {
                Ok(state) => state,
                Err(_) => return,
            }
        } else {
            states.changed().await
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_have_servers_a_path_and_maybe_a_password() {
        let url = ZkUrl::parse("zk://bob:secret@h1:2181,h2:2181/mesos/\n").unwrap();
        assert_eq!(
            url,
            ZkUrl {
                auth: Some("bob:secret".into()),
                servers: "h1:2181,h2:2181".into(),
                path: "/mesos".into()
            }
        );
        assert_eq!(ZkUrl::parse("zk://h:2181").unwrap().path, "/");
        assert!(ZkUrl::parse("h:2181/mesos").is_err());
        assert!(ZkUrl::parse("zk://h/mesos").is_err());
    }

    #[test]
    fn the_lowest_number_leads_whatever_its_width() {
        let children = ["info_10", "log_replicas", "info_0000000009"]
            .map(String::from)
            .to_vec();
        assert_eq!(in_order(children, "info_"), ["info_0000000009", "info_10"]);
    }
}
