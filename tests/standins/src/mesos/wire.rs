//! What Marathon, master and agent tell each other.

use super::resources::Resources;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// An agent as it registers with the master.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgentInfo {
    /// The id the master gave it; `None` for a new agent.
    pub id: Option<String>,
    /// Name shown to people, and to Marathon's clients.
    pub hostname: String,
    /// Address it listens on.
    pub ip: String,
    /// Port it listens on.
    pub port: u16,
    /// What it offers.
    pub resources: Resources,
    /// `--attributes`.
    pub attributes: BTreeMap<String, String>,
    /// Release it plays.
    pub version: String,
}

/// The agent's heartbeat, and its registration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AgentReport {
    /// Who it is.
    pub info: AgentInfo,
    /// Every task it runs, and those that ended since it started.
    pub tasks: Vec<TaskStatus>,
}

/// A framework's heartbeat, and its registration.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FrameworkReport {
    /// The id the master gave it; `None` for a new framework.
    pub id: Option<String>,
    /// `marathon`.
    pub name: String,
    /// Where its scheduler runs.
    pub hostname: String,
    /// Its user interface.
    pub webui_url: String,
    /// User that tasks run as by default.
    pub user: String,
}

/// What the master answers a framework: agents that can take tasks, and the framework's tasks.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Offers {
    /// The framework's id.
    pub framework_id: String,
    /// Active agents.
    pub agents: Vec<AgentInfo>,
    /// The framework's tasks on agents that are not lost.
    pub tasks: Vec<TaskStatus>,
}

/// A task to run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// Unique for ever.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Whose it is.
    pub framework_id: String,
    /// Shell command.
    pub command: Option<String>,
    /// Argument vector, when there is no shell command.
    pub args: Vec<String>,
    /// User it runs as.
    pub user: String,
    /// Variables.
    pub env: BTreeMap<String, String>,
    /// The container, if it has one.
    pub docker: Option<Docker>,
    /// Ports of the host that belong to it.
    pub ports: Vec<u16>,
    /// Processor share.
    pub cpus: f64,
    /// Megabytes of memory.
    pub mem: f64,
    /// For whoever started it.
    pub labels: BTreeMap<String, String>,
}

/// A Docker container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Docker {
    /// Image.
    pub image: String,
    /// `bridge`, `host` or `none`.
    pub network: String,
    /// Published ports.
    pub ports: Vec<PortMapping>,
    /// More options of `docker run`.
    pub parameters: Vec<(String, String)>,
    /// Volumes as `docker run -v` takes them.
    pub volumes: Vec<String>,
    /// `--privileged`.
    pub privileged: bool,
    /// Pull even if the image is there.
    pub force_pull: bool,
}

/// A published port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PortMapping {
    /// Port in the container.
    pub container: u16,
    /// Port of the host.
    pub host: u16,
    /// `tcp` or `udp`.
    pub protocol: String,
}

/// A task and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskStatus {
    /// The task.
    pub task: Task,
    /// Agent it runs on.
    pub agent_id: String,
    /// That agent's hostname.
    pub hostname: String,
    /// State.
    pub state: State,
    /// Why, for people.
    pub message: String,
    /// Seconds since 1970 when it was started.
    pub started: f64,
}

/// States as Mesos spells them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    #[serde(rename = "TASK_STAGING")]
    Staging,
    #[serde(rename = "TASK_RUNNING")]
    Running,
    #[serde(rename = "TASK_FINISHED")]
    Finished,
    #[serde(rename = "TASK_FAILED")]
    Failed,
    #[serde(rename = "TASK_KILLED")]
    Killed,
    #[serde(rename = "TASK_LOST")]
    Lost,
}

impl State {
    /// Whether the task still holds resources.
    pub fn alive(self) -> bool {
        matches!(self, Self::Staging | Self::Running)
    }

    /// The name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Staging => "TASK_STAGING",
            Self::Running => "TASK_RUNNING",
            Self::Finished => "TASK_FINISHED",
            Self::Failed => "TASK_FAILED",
            Self::Killed => "TASK_KILLED",
            Self::Lost => "TASK_LOST",
        }
    }
}
