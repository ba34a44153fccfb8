//! What runs topics with ansible-core and with mini-play on twins, and compares.

pub mod ansible;
pub mod cache;
pub mod compare;
pub mod known;
pub mod lane;
pub mod ours;
pub mod state;
pub mod topic;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use state::State;
use topic::Topic;

/// What one run left: results and the host.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Side {
    /// Results in the order they came.
    pub records: Vec<Record>,
    /// The host afterwards.
    pub state: State,
}

impl Side {
    /// With what another run left.
    pub fn add(&mut self, other: Self) {
        self.records.extend(other.records);
        self.state.extend(other.state);
    }

    /// One topic's part: its results and its folder.
    pub fn part(&self, topic: &Topic) -> Self {
        let records = self
            .records
            .iter()
            .filter(|record| record.topic == topic.name);
        Self {
            records: records.cloned().collect(),
            state: self.folders(std::slice::from_ref(topic)),
        }
    }

    /// The topics' folders.
    pub fn folders(&self, topics: &[Topic]) -> State {
        let within = |name: &str| {
            topics
                .iter()
                .any(|topic| name.contains(&format!(" /srv/{}/", topic.name)))
        };
        let facts = self.state.iter().filter(|(name, _)| within(name));
        facts
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

/// The end of one task on one host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// The topic's name.
    pub topic: String,
    /// The host's name in the inventory.
    pub host: String,
    /// The task's name.
    pub task: String,
    /// The module's short name.
    pub module: String,
    /// Where the task is written.
    pub place: String,
    /// `ok`, `changed`, `failed`, `skipped`, `unreachable`.
    pub status: String,
    /// Whether its failure is ignored.
    pub ignored: bool,
    /// The result dictionary.
    pub result: Value,
}

impl Record {
    /// From one line of either side.
    pub fn read(topic: &str, line: &Value) -> Option<Self> {
        let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
        let record = Self {
            topic: topic.to_owned(),
            host: text("host"),
            task: text("task"),
            module: text("module"),
            place: text("place"),
            status: text("status"),
            ignored: line["ignored"].as_bool().unwrap_or_default(),
            result: line["result"].clone(),
        };
        // What only directs the run is seen by what it makes run; facts have a topic of their own.
        let directs = match record.module.as_str() {
            "meta" | "gather_facts" => true,
            "include_tasks" | "include_role" | "import_role" | "import_tasks" => {
                matches!(record.status.as_str(), "ok" | "changed")
            }
            _ => record.task == "Gathering Facts",
        };
        (!directs).then_some(record)
    }
}
