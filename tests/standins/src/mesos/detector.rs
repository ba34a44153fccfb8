//! Finding the leading master: through ZooKeeper, or at a fixed `host:port`.

use crate::zk::{self, ZkUrl};
use crate::{log, names};
use anyhow::Context;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::sync::watch;

/// Prefix of the masters' nodes (since 0.24 they hold JSON).
pub(super) const PREFIX: &str = "json.info_";

/// The leading master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Where it answers.
    pub address: SocketAddr,
    /// What it calls itself.
    pub hostname: String,
}

/// Follows the leading master for as long as the process lives. While ZooKeeper cannot be asked, there is none.
pub fn detect(master: &str) -> anyhow::Result<watch::Receiver<Option<Leader>>> {
    if !master.starts_with("zk://") {
        let (host, port) = master.trim().rsplit_once(':').unwrap_or((master, "5050"));
        let port = port
            .parse()
            .with_context(|| format!("Failed to parse '{master}'"))?;
        let address = SocketAddr::new(names::resolve(host)?, port);
        return Ok(watch::channel(Some(Leader {
            address,
            hostname: host.to_owned(),
        }))
        .1);
    }
    let url = ZkUrl::parse(master)?;
    let (sender, receiver) = watch::channel(None);
    tokio::spawn(async move {
        loop {
            let client = zk::connect(&url).await;
            let mut members = zk::follow(&client, &url.path, PREFIX);
            loop {
                let leader = members
                    .borrow_and_update()
                    .first()
                    .and_then(|member| read(&member.data));
                sender.send_if_modified(|known| {
                    let new = *known != leader;
                    if new {
                        log::info(&match &leader {
                            Some(leader) => format!(
                                "A new leading master (UPID=master@{}) is detected",
                                leader.address
                            ),
                            None => "No leading master is detected".to_owned(),
                        });
                        known.clone_from(&leader);
                    }
                    new
                });
                tokio::select! {
                    changed = members.changed() => if changed.is_err() { break },
                    () = zk::lost(&client) => break,
                }
            }
            log::warning("ZooKeeper session lost: the leading master is unknown");
            sender.send_replace(None);
        }
    });
    Ok(receiver)
}

fn read(data: &[u8]) -> Option<Leader> {
    let info: Value = serde_json::from_slice(data).ok()?;
    let ip = info["address"]["ip"].as_str()?.parse().ok()?;
    let port = u16::try_from(info["address"]["port"].as_u64()?).ok()?;
    Some(Leader {
        address: SocketAddr::new(ip, port),
        hostname: info["hostname"].as_str()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masters_node_says_where_it_is() {
        let node = br#"{"address":{"hostname":"m1","ip":"192.0.2.1","port":5050},"hostname":"m1","pid":"master@192.0.2.1:5050"}"#;
        let leader = Leader {
            address: "192.0.2.1:5050".parse().unwrap(),
            hostname: "m1".into(),
        };
        assert_eq!(read(node), Some(leader));
        assert_eq!(read(b"protobuf"), None);
    }

    #[tokio::test]
    async fn a_fixed_address_leads_at_once() {
        let leader = detect("192.0.2.1:5050").unwrap().borrow().clone().unwrap();
        assert_eq!(leader.address.to_string(), "192.0.2.1:5050");
    }
}
