//! Docker's client, as the containerizer uses it.

use super::wire::{Docker, Task};
use anyhow::Context;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// The arguments of the `docker run` that is the task.
pub fn arguments(task: &Task, docker: &Docker, name: &str, sandbox: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = ["-H", "unix:///var/run/docker.sock", "run"]
        .map(String::from)
        .to_vec();
    let mut add = |option: &str, value: String| arguments.extend([option.to_owned(), value]);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "shares and bytes are far below 2^53"
    )]
    {
        add(
            "--cpu-shares",
            format!("{}", ((task.cpus * 1024.0) as u64).max(2)),
        );
        add(
            "--memory",
            format!("{}", ((task.mem.max(32.0)) as u64) * 1024 * 1024),
        );
    }
    for (name, value) in &task.env {
        add("-e", format!("{name}={value}"));
    }
    add("-e", "MESOS_SANDBOX=/mnt/mesos/sandbox".to_owned());
    add("-v", format!("{}:/mnt/mesos/sandbox", sandbox.display()));
    for volume in &docker.volumes {
        add("-v", volume.clone());
    }
    add("--net", docker.network.clone());
    for port in &docker.ports {
        add(
            "-p",
            format!("{}:{}/{}", port.host, port.container, port.protocol),
        );
    }
    for (key, value) in &docker.parameters {
        arguments.push(format!("--{key}={value}"));
    }
    if docker.privileged {
        arguments.push("--privileged".to_owned());
    }
    arguments.extend(["--name".to_owned(), name.to_owned()]);
    match &task.command {
        Some(command) => {
            arguments.extend(
                ["--entrypoint", "/bin/sh", &docker.image, "-c", command].map(str::to_owned),
            );
        }
        None => {
            arguments.push(docker.image.clone());
            arguments.extend(task.args.iter().cloned());
        }
    }
    arguments
}

/// Whether an image is on this host.
pub async fn has_image(client: &str, image: &str) -> bool {
    let found = Command::new(client)
        .args(["inspect", "--type", "image", image])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    found.await.is_ok_and(|status| status.success())
}

/// Gets an image.
pub async fn pull(client: &str, image: &str) -> anyhow::Result<()> {
    let output = Command::new(client)
        .args(["pull", image])
        .output()
        .await
        .context("cannot run docker")?;
    if !output.status.success() {
        anyhow::bail!(
            "Failed to launch container: Failed to run 'docker pull {image}': {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos::wire::PortMapping;
    use serde_json::json;

    #[test]
    fn a_container_gets_its_ports_variables_and_sandbox() {
        let task: Task = serde_json::from_value(json!({
            "id": "t", "name": "t", "framework_id": "f", "command": "nginx", "args": [], "user": "root",
            "env": {"PORT0": "31000"}, "docker": null, "ports": [31000], "cpus": 0.1, "mem": 16.0, "labels": {},
        }))
        .unwrap();
        let docker = Docker {
            image: "nginx-image".into(),
            network: "bridge".into(),
            ports: vec![PortMapping {
                container: 80,
                host: 31000,
                protocol: "tcp".into(),
            }],
            parameters: vec![("hostname".into(), "a.corp.org".into())],
            volumes: Vec::new(),
            privileged: false,
            force_pull: false,
        };
        let arguments = arguments(&task, &docker, "mesos-1", Path::new("/s")).join(" ");
        assert_eq!(
            arguments,
            "-H unix:///var/run/docker.sock run --cpu-shares 102 --memory 33554432 -e PORT0=31000 \
             -e MESOS_SANDBOX=/mnt/mesos/sandbox -v /s:/mnt/mesos/sandbox --net bridge -p 31000:80/tcp \
             --hostname=a.corp.org --name mesos-1 --entrypoint /bin/sh nginx-image -c nginx"
        );
    }
}
