//! Choosing an agent and ports for a task from what agents have left.

use super::app::wished_ports;
use crate::mesos::wire::{AgentInfo, TaskStatus};
use serde_json::Value;
use std::collections::BTreeSet;

/// What the executor of a command task takes besides.
const EXECUTOR: (f64, f64) = (0.1, 32.0);

/// Where a task goes.
#[derive(Debug, PartialEq)]
pub struct Place<'a> {
    /// The agent.
    pub agent: &'a AgentInfo,
    /// Ports of the host, one for each that is asked for.
    pub ports: Vec<u16>,
}

/// The agent with the fewest tasks of the app that has room and fulfils the constraints.
pub fn place<'a>(app: &Value, agents: &'a [AgentInfo], tasks: &[TaskStatus]) -> Option<Place<'a>> {
    let of_app = |agent: &AgentInfo| {
        tasks
            .iter()
            .filter(|status| Some(&status.agent_id) == agent.id.as_ref() && belongs(status, app))
            .count()
    };
    let mut fitting: Vec<&AgentInfo> = agents
        .iter()
        .filter(|agent| fits(app, agent, agents, tasks))
        .collect();
    fitting.sort_by_key(|agent| of_app(agent));
    fitting.into_iter().find_map(|agent| {
        Some(Place {
            agent,
            ports: choose_ports(app, agent, tasks)?,
        })
    })
}

fn belongs(status: &TaskStatus, app: &Value) -> bool {
    status.task.labels.get("app").map(String::as_str) == app["id"].as_str()
}

fn fits(app: &Value, agent: &AgentInfo, agents: &[AgentInfo], tasks: &[TaskStatus]) -> bool {
    let here = || {
        tasks
            .iter()
            .filter(|status| Some(&status.agent_id) == agent.id.as_ref() && status.state.alive())
    };
    let cpus: f64 = here().map(|status| status.task.cpus + EXECUTOR.0).sum();
    let mem: f64 = here().map(|status| status.task.mem + EXECUTOR.1).sum();
    let wanted = |name: &str| app[name].as_f64().unwrap_or(0.0);
    let room = cpus + wanted("cpus") + EXECUTOR.0 <= agent.resources.cpus + 1e-6
        && mem + wanted("mem") + EXECUTOR.1 <= agent.resources.mem + 1e-6;
    room && constraints(app, agent, agents, tasks)
}

fn constraints(app: &Value, agent: &AgentInfo, agents: &[AgentInfo], tasks: &[TaskStatus]) -> bool {
    let running: Vec<&TaskStatus> = tasks
        .iter()
        .filter(|status| belongs(status, app) && status.state.alive())
        .collect();
    app["constraints"]
        .as_array()
        .into_iter()
        .flatten()
        .all(|constraint| {
            let word = |at: usize| constraint[at].as_str();
            let Some(field) = word(0) else { return true };
            let value_of = |agent: &AgentInfo| match field {
                "hostname" | "@hostname" => Some(agent.hostname.clone()),
                name => agent.attributes.get(name).cloned(),
            };
            let Some(value) = value_of(agent) else {
                return word(1) == Some("UNLIKE");
            };
            let taken = running.iter().filter_map(|status| {
                agents
                    .iter()
                    .find(|other| other.id.as_ref() == Some(&status.agent_id))
                    .and_then(value_of)
            });
            match (word(1), word(2)) {
                (Some("UNIQUE"), _) => !taken.into_iter().any(|other| other == value),
                (Some("CLUSTER"), None) => taken.into_iter().all(|other| other == value),
                (Some("CLUSTER" | "IS" | "LIKE"), Some(wanted)) => value == wanted,
                (Some("UNLIKE"), Some(unwanted)) => value != unwanted,
                _ => true,
            }
        })
}

fn choose_ports(app: &Value, agent: &AgentInfo, tasks: &[TaskStatus]) -> Option<Vec<u16>> {
    let on_agent = tasks
        .iter()
        .filter(|status| Some(&status.agent_id) == agent.id.as_ref() && status.state.alive());
    let mut taken: BTreeSet<u16> = on_agent
        .flat_map(|status| status.task.ports.iter().copied())
        .collect();
    let offered: Vec<u16> = agent.resources.all_ports().collect();
    wished_ports(app)
        .into_iter()
        .map(|wish| {
            let found = if wish == 0 {
                free_port(&offered, &taken)
            } else {
                (offered.contains(&wish) && !taken.contains(&wish)).then_some(wish)
            };
            taken.extend(found);
            found
        })
        .collect()
}

/// Any free port, from a place that differs from call to call: a task that was just killed may still hold its own for a moment.
fn free_port(offered: &[u16], taken: &BTreeSet<u16>) -> Option<u16> {
    let start = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .subsec_nanos();
    let start = usize::try_from(start / 1000).unwrap_or(0) % offered.len().max(1);
    offered[start..]
        .iter()
        .chain(&offered[..start])
        .copied()
        .find(|port| !taken.contains(port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos::wire::{State, Task};
    use serde_json::json;

    fn agent(name: &str, cpus: f64) -> AgentInfo {
        serde_json::from_value(json!({
            "id": name, "hostname": name, "ip": "192.0.2.1", "port": 5051, "attributes": {"rack": name}, "version": "1.11.0",
            "resources": {"cpus": cpus, "mem": 1024.0, "disk": 0.0, "ports": [[31000, 31001]]},
        }))
        .unwrap()
    }

    fn status(agent: &str, port: u16) -> TaskStatus {
        let task: Task = serde_json::from_value(json!({
            "id": "t", "name": "t", "framework_id": "f", "command": "x", "args": [], "user": "root", "env": {}, "docker": null,
            "ports": [port], "cpus": 0.5, "mem": 16.0, "labels": {"app": "/a"},
        }))
        .unwrap();
        TaskStatus {
            task,
            agent_id: agent.into(),
            hostname: agent.into(),
            state: State::Running,
            message: String::new(),
            started: 0.0,
        }
    }

    fn app(more: &Value) -> Value {
        let mut app = json!({"id": "/a", "cpus": 0.5, "mem": 16, "ports": [0]});
        app.as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        app
    }

    #[test]
    fn tasks_spread_over_agents() {
        let agents = [agent("one", 2.0), agent("two", 2.0)];
        assert_eq!(
            place(&app(&json!({})), &agents, &[status("one", 31000)])
                .unwrap()
                .agent
                .hostname,
            "two"
        );
    }

    #[test]
    fn an_agent_without_room_is_passed_over() {
        let agents = [agent("one", 1.0)];
        assert!(place(&app(&json!({})), &agents, &[]).is_some());
        assert!(place(&app(&json!({})), &agents, &[status("one", 31000)]).is_none());
    }

    #[test]
    fn ports_are_free_ones() {
        let agents = [agent("one", 9.0)];
        assert_eq!(
            place(&app(&json!({})), &agents, &[status("one", 31000)])
                .unwrap()
                .ports,
            [31001]
        );
        assert!(
            place(
                &app(&json!({"ports": [0, 0]})),
                &agents,
                &[status("one", 31000)]
            )
            .is_none()
        );
        let fixed = app(&json!({"portDefinitions": [{"port": 31000}], "requirePorts": true}));
        assert!(place(&fixed, &agents, &[status("one", 31000)]).is_none());
        assert_eq!(place(&fixed, &agents, &[]).unwrap().ports, [31000]);
    }

    #[test]
    fn constraints_hold() {
        let agents = [agent("one", 9.0), agent("two", 9.0)];
        let unique = app(&json!({"constraints": [["hostname", "UNIQUE"]]}));
        assert_eq!(
            place(&unique, &agents, &[status("one", 31000)])
                .unwrap()
                .agent
                .hostname,
            "two"
        );
        assert!(
            place(
                &unique,
                &agents,
                &[status("one", 31000), status("two", 31000)]
            )
            .is_none()
        );
        let rack = app(&json!({"constraints": [["rack", "CLUSTER", "two"]]}));
        assert_eq!(place(&rack, &agents, &[]).unwrap().agent.hostname, "two");
    }
}
