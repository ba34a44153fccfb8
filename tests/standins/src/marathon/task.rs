//! The task that an app's definition describes: command, variables, container, ports.

use super::app::wished_ports;
use super::deployment::App;
use crate::mesos::wire::{Docker, PortMapping, Task};
use serde_json::Value;
use std::collections::BTreeMap;

/// The task that an app's definition describes.
pub fn task_of(
    app: &App,
    framework_id: String,
    host: &str,
    ports: Vec<u16>,
    user: &str,
) -> Option<Task> {
    let definition = &app.definition;
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").ok()?;
    let id = format!(
        "{}.{}",
        app.id().trim_start_matches('/').replace('/', "_"),
        uuid.trim()
    );
    let mut env: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in definition["env"].as_object().into_iter().flatten() {
        env.insert(
            name.clone(),
            text(value).unwrap_or_else(|| value.to_string()),
        );
    }
    env.insert("HOST".into(), host.to_owned());
    env.insert("MARATHON_APP_ID".into(), app.id().to_owned());
    env.insert("MARATHON_APP_VERSION".into(), app.version.clone());
    let list: Vec<String> = ports.iter().map(ToString::to_string).collect();
    env.insert("PORTS".into(), list.join(","));
    if let Some(first) = list.first() {
        env.insert("PORT".into(), first.clone());
    }
    for (at, port) in list.iter().enumerate() {
        env.insert(format!("PORT{at}"), port.clone());
    }
    Some(Task {
        name: app.id().trim_start_matches('/').replace('/', "."),
        command: text(&definition["cmd"]),
        args: definition["args"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(text)
            .collect(),
        user: text(&definition["user"]).unwrap_or_else(|| user.to_owned()),
        docker: (definition["container"]["type"] == "DOCKER")
            .then(|| docker_of(definition, &ports)),
        cpus: definition["cpus"].as_f64().unwrap_or(1.0),
        mem: definition["mem"].as_f64().unwrap_or(128.0),
        labels: [
            ("app".to_owned(), app.id().to_owned()),
            ("version".to_owned(), app.config_version.clone()),
        ]
        .into(),
        id,
        framework_id,
        env,
        ports,
    })
}

fn docker_of(definition: &Value, ports: &[u16]) -> Docker {
    let container = &definition["container"];
    let docker = &container["docker"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let bridged =
        docker["network"] == "BRIDGE" || definition["networks"][0]["mode"] == "container/bridge";
    let mappings = container["portMappings"]
        .as_array()
        .or_else(|| docker["portMappings"].as_array());
    let mapping = |(mapping, host): (&Value, &u16)| PortMapping {
        // Container port 0 means: the same as outside.
        container: mapping["containerPort"]
            .as_u64()
            .and_then(|port| u16::try_from(port).ok())
            .filter(|port| *port > 0)
            .unwrap_or(*host),
        host: *host,
        protocol: mapping["protocol"].as_str().unwrap_or("tcp").to_owned(),
    };
    debug_assert!(mappings.is_none() || wished_ports(definition).len() == ports.len());
    Docker {
        image: text(&docker["image"]),
        network: if bridged { "bridge" } else { "host" }.to_owned(),
        ports: if bridged {
            mappings
                .into_iter()
                .flatten()
                .zip(ports)
                .map(mapping)
                .collect()
        } else {
            Vec::new()
        },
        parameters: docker["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|p| (text(&p["key"]), text(&p["value"])))
            .collect(),
        volumes: container["volumes"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|v| {
                format!(
                    "{}:{}:{}",
                    text(&v["hostPath"]),
                    text(&v["containerPath"]),
                    text(&v["mode"]).to_lowercase()
                )
            })
            .collect(),
        privileged: docker["privileged"].as_bool().unwrap_or(false),
        force_pull: docker["forcePullImage"].as_bool().unwrap_or(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marathon::app::complete;
    use serde_json::json;

    #[test]
    fn a_bridged_container_gets_its_ports() {
        let sent = json!({"id": "shop/web", "cmd": "nginx", "env": {"A": "b"}, "container": {"type": "DOCKER", "docker": {
            "image": "nginx-image", "network": "BRIDGE", "portMappings": [{"containerPort": 80, "hostPort": 0}]}}});
        for native in [false, true] {
            let definition = complete(&sent, native).unwrap();
            let app = App {
                definition,
                version: "1".into(),
                config_version: "1".into(),
            };
            let task = task_of(&app, "f".into(), "host", vec![31000], "root").unwrap();
            assert!(task.id.starts_with("shop_web."));
            assert_eq!(
                (task.env["PORT0"].as_str(), task.env["A"].as_str()),
                ("31000", "b")
            );
            let docker = task.docker.unwrap();
            assert_eq!(docker.network, "bridge");
            assert_eq!(
                docker.ports,
                [PortMapping {
                    container: 80,
                    host: 31000,
                    protocol: "tcp".into()
                }]
            );
        }
    }
}
