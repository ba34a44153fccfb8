//! Rules in ZooKeeper: one node `<path>/%2Fapp` each, `{"version":"2","config":{"Acl":"…"}}`; older nodes hold the bare rule.

use crate::log;
use crate::zk::{self, join};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use zookeeper_client::{Client, Error};

/// What Go's `QueryEscape` leaves as it is.
const NODE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A rule. In JSON its fields have Go's names; small ones are taken, too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// The app's id.
    #[serde(rename = "Id", alias = "id", alias = "ID", default)]
    pub id: String,
    /// When requests go to it, as HAProxy's `acl` takes it.
    #[serde(rename = "Acl", alias = "acl", alias = "ACL", default)]
    pub acl: String,
    /// More values for templates.
    #[serde(rename = "Config", alias = "config", default)]
    pub config: Option<BTreeMap<String, String>>,
}

/// All of them.
pub struct Rules {
    client: Client,
    path: String,
}

impl Rules {
    /// Opens the place, creating it where it is missing.
    pub async fn open(client: &Client, path: &str) -> anyhow::Result<Self> {
        zk::make_path(client, path).await?;
        Ok(Self {
            client: client.clone(),
            path: path.to_owned(),
        })
    }

    /// Every rule by the app's id.
    pub async fn all(&self) -> Result<BTreeMap<String, Rule>, Error> {
        let mut rules = BTreeMap::new();
        for node in self.client.list_children(&self.path).await? {
            let id = id_of(&node);
            match self.client.get_data(&join(&self.path, &node)).await {
                Ok((data, _)) => drop(rules.insert(id.clone(), read(&id, &data))),
                Err(Error::NoNode) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(rules)
    }

    /// Writes a rule, new or not.
    pub async fn put(&self, rule: &Rule) -> Result<(), Error> {
        let path = join(&self.path, &node_of(&rule.id));
        let mut config = rule.config.clone().unwrap_or_default();
        if !rule.acl.is_empty() {
            config.insert("Acl".to_owned(), rule.acl.clone());
        }
        let data = json!({"version": "2", "config": config})
            .to_string()
            .into_bytes();
        match self.client.create(&path, &data, &zk::persistent()).await {
            Err(Error::NodeExists) => {
                self.client.set_data(&path, &data, None).await?;
                // So that others, who watch the parent, notice.
                self.client.set_data(&self.path, b"", None).await.map(drop)
            }
            outcome => outcome.map(drop),
        }
    }

    /// Removes an app's rule; it is an error when there is none.
    pub async fn remove(&self, id: &str) -> Result<(), Error> {
        self.client
            .delete(&join(&self.path, &node_of(id)), None)
            .await
    }

    /// Waits until some rule is added, changed or removed, by whomever.
    pub async fn changed(&self) -> Result<(), Error> {
        let (_, children) = self.client.list_and_watch_children(&self.path).await?;
        let (_, _, parent) = self.client.get_and_watch_data(&self.path).await?;
        tokio::select! {
            _ = children.changed() => {}
            _ = parent.changed() => {}
        }
        Ok(())
    }
}

fn node_of(id: &str) -> String {
    utf8_percent_encode(id, NODE).to_string()
}

fn id_of(node: &str) -> String {
    percent_decode_str(&node.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned()
}

fn read(id: &str, data: &[u8]) -> Rule {
    let json: Value = serde_json::from_slice(data).unwrap_or_default();
    let config: BTreeMap<String, String> = if json["version"] == "2" {
        serde_json::from_value(json["config"].clone()).unwrap_or_default()
    } else {
        log::info(&format!("The rule of {id} is in the old format"));
        [("Acl".to_owned(), String::from_utf8_lossy(data).into_owned())].into()
    };
    Rule {
        id: id.to_owned(),
        acl: config.get("Acl").cloned().unwrap_or_default(),
        config: Some(config),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_named_as_bamboo_names_them() {
        assert_eq!(node_of("/shop/web"), "%2Fshop%2Fweb");
        assert_eq!(id_of("%2Fshop%2Fweb"), "/shop/web");
    }

    #[test]
    fn both_formats_are_read() {
        let rule = read(
            "/web",
            br#"{"version":"2","config":{"Acl":"path_beg -i /"}}"#,
        );
        assert_eq!(
            (rule.id.as_str(), rule.acl.as_str()),
            ("/web", "path_beg -i /")
        );
        assert_eq!(read("/web", b"path_beg -i /web").acl, "path_beg -i /web");
    }

    #[test]
    fn small_names_are_taken() {
        let rule: Rule = serde_json::from_str(r#"{"id":"/app","acl":"path_beg -i /"}"#).unwrap();
        assert_eq!(
            (rule.id.as_str(), rule.acl.as_str(), rule.config),
            ("/app", "path_beg -i /", None)
        );
    }
}
