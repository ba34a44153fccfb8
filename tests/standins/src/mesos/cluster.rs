//! What the leading master knows: agents, their tasks, frameworks. Agents are the source of truth for tasks; a new leader knows them
//! again as soon as the agents have registered with it.

use super::wire::{AgentInfo, AgentReport, FrameworkReport, Offers, TaskStatus};
use crate::clock;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Silence after which an agent or framework counts as disconnected. (A closed connection tells the real master.)
const DISCONNECTED: Duration = Duration::from_secs(4);

/// One agent.
struct Agent {
    info: AgentInfo,
    tasks: Vec<TaskStatus>,
    seen: Instant,
    registered: f64,
}

/// One framework.
struct Framework {
    report: FrameworkReport,
    seen: Instant,
    registered: f64,
}

/// The cluster as its leader sees it.
pub struct Cluster {
    /// The master's own id, which begins every other id.
    pub id: String,
    agents: BTreeMap<String, Agent>,
    frameworks: BTreeMap<String, Framework>,
    numbers: (u32, u32),
    /// Silence after which an agent and its tasks are lost.
    patience: Duration,
}

impl Cluster {
    /// An empty cluster. `patience` is ping timeout times the number of them that may be missed.
    pub fn new(id: String, patience: Duration) -> Self {
        Self {
            id,
            agents: BTreeMap::new(),
            frameworks: BTreeMap::new(),
            numbers: (0, 0),
            patience,
        }
    }

    /// Takes an agent's report; its id comes back.
    pub fn heard_agent(&mut self, report: AgentReport) -> String {
        let id = report.info.id.clone().unwrap_or_else(|| {
            self.numbers.0 += 1;
            format!("{}-S{}", self.id, self.numbers.0 - 1)
        });
        let registered = self
            .agents
            .get(&id)
            .map_or_else(clock::seconds, |known| known.registered);
        let info = AgentInfo {
            id: Some(id.clone()),
            ..report.info
        };
        // The same place under a new id: the agent was reset, its former self is gone for good.
        self.agents.retain(|other, agent| {
            *other == id || (&agent.info.ip, agent.info.port) != (&info.ip, info.port)
        });
        self.agents.insert(
            id.clone(),
            Agent {
                info,
                tasks: report.tasks,
                seen: Instant::now(),
                registered,
            },
        );
        id
    }

    /// Takes a framework's report and answers it.
    pub fn heard_framework(&mut self, report: FrameworkReport) -> Offers {
        let id = report.id.clone().unwrap_or_else(|| {
            self.numbers.1 += 1;
            format!("{}-{:04}", self.id, self.numbers.1 - 1)
        });
        let registered = self
            .frameworks
            .get(&id)
            .map_or_else(clock::seconds, |known| known.registered);
        self.frameworks.insert(
            id.clone(),
            Framework {
                report,
                seen: Instant::now(),
                registered,
            },
        );
        self.forget_lost();
        let tasks = self.agents.values().flat_map(|agent| &agent.tasks);
        Offers {
            agents: self
                .agents
                .values()
                .filter(|agent| agent.active())
                .map(|agent| agent.info.clone())
                .collect(),
            tasks: tasks
                .filter(|status| status.task.framework_id == id)
                .cloned()
                .collect(),
            framework_id: id,
        }
    }

    /// Where an active agent answers.
    pub fn address_of(&self, agent: &str) -> Option<String> {
        let agent = self.agents.get(agent).filter(|agent| agent.active())?;
        Some(format!("{}:{}", agent.info.ip, agent.info.port))
    }

    /// Forgets agents that were silent for too long, and with them their tasks.
    pub fn forget_lost(&mut self) {
        let patience = self.patience;
        self.agents
            .retain(|_, agent| agent.seen.elapsed() < patience);
    }

    /// Number of active agents.
    pub fn active_agents(&self) -> usize {
        self.agents.values().filter(|agent| agent.active()).count()
    }

    /// Number of agents that are known but silent.
    pub fn inactive_agents(&self) -> usize {
        self.agents.len() - self.active_agents()
    }

    /// Number of registered frameworks that still speak.
    pub fn active_frameworks(&self) -> usize {
        self.frameworks
            .values()
            .filter(|framework| framework.active())
            .count()
    }

    /// `/slaves`, and the list of the same name in `/state`.
    pub fn agents_json(&self) -> Vec<Value> {
        self.agents.values().map(Agent::to_json).collect()
    }

    /// `/frameworks`, and the list of the same name in `/state`.
    pub fn frameworks_json(&self) -> Vec<Value> {
        self.frameworks
            .iter()
            .map(|(id, framework)| {
                let tasks = self
                    .tasks()
                    .filter(|status| status.task.framework_id == *id);
                let (alive, ended): (Vec<_>, Vec<_>) =
                    tasks.partition(|status| status.state.alive());
                json!({
                    "id": id,
                    "name": framework.report.name,
                    "hostname": framework.report.hostname,
                    "webui_url": framework.report.webui_url,
                    "user": framework.report.user,
                    "role": "*",
                    "active": framework.active(),
                    "connected": framework.active(),
                    "checkpoint": true,
                    "registered_time": framework.registered,
                    "tasks": alive.into_iter().map(task_json).collect::<Vec<_>>(),
                    "completed_tasks": ended.into_iter().map(task_json).collect::<Vec<_>>(),
                })
            })
            .collect()
    }

    /// `/tasks`
    pub fn tasks_json(&self) -> Vec<Value> {
        self.tasks().map(task_json).collect()
    }

    fn tasks(&self) -> impl Iterator<Item = &TaskStatus> {
        self.agents.values().flat_map(|agent| &agent.tasks)
    }
}

impl Agent {
    fn active(&self) -> bool {
        self.seen.elapsed() < DISCONNECTED
    }

    fn to_json(&self) -> Value {
        json!({
            "id": self.info.id,
            "hostname": self.info.hostname,
            "port": self.info.port,
            "pid": format!("slave(1)@{}:{}", self.info.ip, self.info.port),
            "active": self.active(),
            "registered_time": self.registered,
            "resources": self.info.resources.to_json(),
            "attributes": self.info.attributes,
            "version": self.info.version,
        })
    }
}

impl Framework {
    fn active(&self) -> bool {
        self.seen.elapsed() < DISCONNECTED
    }
}

/// A task as `/state` shows it, on masters and agents.
pub fn task_json(status: &TaskStatus) -> Value {
    json!({
        "id": status.task.id,
        "name": status.task.name,
        "framework_id": status.task.framework_id,
        "slave_id": status.agent_id,
        "state": status.state.name(),
        "resources": {"cpus": status.task.cpus, "mem": status.task.mem, "disk": 0,
            "ports": format!("[{}]", status.task.ports.iter().map(|port| format!("{port}-{port}")).collect::<Vec<_>>().join(", "))},
        "statuses": [{"state": status.state.name(), "timestamp": status.started}],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos::resources::Resources;

    fn report(id: Option<&str>, ip: &str) -> AgentReport {
        let info = AgentInfo {
            id: id.map(str::to_owned),
            hostname: "a".into(),
            ip: ip.into(),
            port: 5051,
            resources: Resources::default(),
            attributes: BTreeMap::new(),
            version: "1.11.0".into(),
        };
        AgentReport {
            info,
            tasks: Vec::new(),
        }
    }

    #[test]
    fn agents_get_ids_and_keep_them() {
        let mut cluster = Cluster::new("m".into(), Duration::from_secs(75));
        let id = cluster.heard_agent(report(None, "192.0.2.1"));
        assert_eq!(id, "m-S0");
        assert_eq!(cluster.heard_agent(report(Some(&id), "192.0.2.1")), id);
        assert_eq!(cluster.heard_agent(report(None, "192.0.2.2")), "m-S1");
        assert_eq!(cluster.active_agents(), 2);
    }

    #[test]
    fn a_reset_agent_replaces_its_former_self() {
        let mut cluster = Cluster::new("m".into(), Duration::from_secs(75));
        cluster.heard_agent(report(None, "192.0.2.1"));
        cluster.heard_agent(report(None, "192.0.2.1"));
        assert_eq!(cluster.agents_json().len(), 1);
    }

    #[test]
    fn silent_agents_are_lost() {
        let mut cluster = Cluster::new("m".into(), Duration::ZERO);
        cluster.heard_agent(report(None, "192.0.2.1"));
        cluster.forget_lost();
        assert_eq!(cluster.agents_json().len(), 0);
    }
}
