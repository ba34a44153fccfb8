//! What survives a leader, in ZooKeeper below `<path>/state`: the framework's id, the apps, the callbacks of subscribers.

use super::deployment::App;
use crate::zk::{self, join};
use anyhow::Context;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use zookeeper_client::{Client, Error};

/// Everything but what may stand in the name of a node as it is.
const NODE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// The leader's memory.
pub struct Store {
    client: Client,
    path: String,
}

impl Store {
    /// Opens the memory below Marathon's path.
    pub async fn open(client: &Client, path: &str) -> anyhow::Result<Self> {
        let path = join(path, "state");
        zk::make_path(client, &path).await?;
        Ok(Self {
            client: client.clone(),
            path,
        })
    }

    /// The id the master gave this framework.
    pub async fn framework_id(&self) -> anyhow::Result<Option<String>> {
        self.read("framework:id").await
    }

    /// Keeps that id.
    pub async fn save_framework_id(&self, id: &str) -> anyhow::Result<()> {
        self.write("framework:id", &id).await
    }

    /// The callbacks of subscribers.
    pub async fn callbacks(&self) -> anyhow::Result<BTreeSet<String>> {
        Ok(self.read("events:subscribers").await?.unwrap_or_default())
    }

    /// Keeps the callbacks.
    pub async fn save_callbacks(&self, callbacks: &BTreeSet<String>) -> anyhow::Result<()> {
        self.write("events:subscribers", callbacks).await
    }

    /// Every app.
    pub async fn apps(&self) -> anyhow::Result<Vec<App>> {
        let mut apps = Vec::new();
        for node in self
            .client
            .list_children(&self.path)
            .await?
            .into_iter()
            .filter(|node| node.starts_with("app:"))
        {
            apps.extend(self.read(&node).await?);
        }
        Ok(apps)
    }

    /// Keeps an app.
    pub async fn save(&self, app: &App) -> anyhow::Result<()> {
        self.write(&node_of(app.id()), app).await
    }

    /// Forgets an app.
    pub async fn remove(&self, id: &str) -> anyhow::Result<()> {
        match self
            .client
            .delete(&join(&self.path, &node_of(id)), None)
            .await
        {
            Ok(()) | Err(Error::NoNode) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot remove {id}")),
        }
    }

    async fn read<T: DeserializeOwned>(&self, node: &str) -> anyhow::Result<Option<T>> {
        match self.client.get_data(&join(&self.path, node)).await {
            Ok((data, _)) => Ok(Some(
                serde_json::from_slice(&data).with_context(|| format!("cannot read {node}"))?,
            )),
            Err(Error::NoNode) => Ok(None),
            Err(error) => Err(error).with_context(|| format!("cannot read {node}")),
        }
    }

    async fn write<T: Serialize + ?Sized>(&self, node: &str, value: &T) -> anyhow::Result<()> {
        let path = join(&self.path, node);
        let data = serde_json::to_vec(value)?;
        match self.client.create(&path, &data, &zk::persistent()).await {
            Ok(_) => return Ok(()),
            Err(Error::NodeExists) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot write {node}")),
        }
        self.client
            .set_data(&path, &data, None)
            .await
            .with_context(|| format!("cannot write {node}"))?;
        Ok(())
    }
}

fn node_of(id: &str) -> String {
    format!(
        "app:{}",
        utf8_percent_encode(id.trim_start_matches('/'), NODE)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_has_one_node_whatever_its_path() {
        assert_eq!(node_of("/shop/web-1"), "app:shop%2Fweb-1");
    }
}
