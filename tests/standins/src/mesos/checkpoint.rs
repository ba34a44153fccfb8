//! What an agent keeps in `work_dir/meta` to come back as the same one: its id, what it registered with, and its tasks.

use super::wire::{AgentInfo, Task};
use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// The agent's memory.
pub struct Checkpoint {
    work_dir: PathBuf,
}

/// A task that may still run: what finds its process, or its container, again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Running {
    /// The task.
    pub task: Task,
    /// Its process: the shell, or the `docker run` in the foreground.
    pub pid: u32,
    /// When that process began, in ticks since boot, so that a reused pid is not taken for it.
    pub began: u64,
    /// Name of the container, if it has one.
    pub container: Option<String>,
    /// Seconds since 1970.
    pub started: f64,
}

impl Checkpoint {
    /// The memory below `work_dir`.
    pub fn new(work_dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(work_dir.join("meta/slaves"))
            .with_context(|| format!("Failed to create work directory '{}'", work_dir.display()))?;
        Ok(Self {
            work_dir: work_dir.to_owned(),
        })
    }

    fn latest(&self) -> PathBuf {
        self.work_dir.join("meta/slaves/latest")
    }

    fn tasks_directory(&self) -> PathBuf {
        self.latest().join("tasks")
    }

    /// The id to come back with, if this agent ran before; refused when what it registered with has changed.
    pub fn recover(&self, info: &AgentInfo, policy: &str) -> anyhow::Result<Option<String>> {
        let file = self.latest().join("slave.info");
        let Ok(text) = fs::read_to_string(&file) else {
            return Ok(None);
        };
        let old: AgentInfo = serde_json::from_str(&text)
            .with_context(|| format!("Failed to read {}", file.display()))?;
        compatible(&old, info, policy).map_err(|error| {
            anyhow::anyhow!("Failed to perform recovery: {error}\n{}", self.advice())
        })?;
        Ok(old.id)
    }

    fn advice(&self) -> String {
        format!(
            "If recovery failed due to a change in configuration and you want to\n\
             keep the current agent id, you might want to change the\n\
             `--reconfiguration_policy` flag to a more permissive value.\n\n\
             To restart this agent with a new agent id instead, do as follows:\n\
             rm -f {}\n\
             This ensures that the agent does not recover old live executors.\n\n\
             Finally, restart the agent.",
            self.latest().display()
        )
    }

    /// Remembers what the agent registered with.
    pub fn save(&self, info: &AgentInfo) -> anyhow::Result<()> {
        let id = info.id.as_deref().context("an agent without an id")?;
        let directory = self.work_dir.join("meta/slaves").join(id);
        fs::create_dir_all(directory.join("tasks"))?;
        fs::write(
            directory.join("slave.info"),
            serde_json::to_vec_pretty(info)?,
        )?;
        let _ = fs::remove_file(self.latest());
        std::os::unix::fs::symlink(&directory, self.latest())?;
        fs::copy(
            "/proc/sys/kernel/random/boot_id",
            self.work_dir.join("meta/boot_id"),
        )?;
        Ok(())
    }

    /// Remembers a task.
    pub fn remember(&self, running: &Running) -> anyhow::Result<()> {
        fs::create_dir_all(self.tasks_directory())?;
        let file = self.tasks_directory().join(&running.task.id);
        fs::write(&file, json!(running).to_string())
            .with_context(|| format!("cannot write {}", file.display()))
    }

    /// Forgets a task that ended.
    pub fn forget(&self, task: &str) {
        // Already gone is as good.
        let _ = fs::remove_file(self.tasks_directory().join(task));
    }

    /// The tasks of this agent's former run.
    pub fn tasks(&self) -> Vec<Running> {
        read_tasks(&self.tasks_directory())
    }

    /// The tasks of agents that this one was before it was reset, each with the file that remembers it.
    pub fn orphans(&self) -> Vec<(PathBuf, Running)> {
        let latest = fs::canonicalize(self.latest()).ok();
        let Ok(agents) = fs::read_dir(self.work_dir.join("meta/slaves")) else {
            return Vec::new();
        };
        agents
            .filter_map(|agent| fs::canonicalize(agent.ok()?.path()).ok())
            .filter(|agent| Some(agent) != latest.as_ref())
            .flat_map(|agent| {
                let tasks = agent.join("tasks");
                read_tasks(&tasks)
                    .into_iter()
                    .map(move |running| (tasks.join(&running.task.id), running))
            })
            .collect()
    }

    /// Where a task finds itself: `stdout` and `stderr` lie there.
    pub fn sandbox(&self, agent: &str, task: &Task, container: &str) -> anyhow::Result<PathBuf> {
        let runs = self
            .work_dir
            .join("slaves")
            .join(agent)
            .join("frameworks")
            .join(&task.framework_id);
        let runs = runs.join("executors").join(&task.id).join("runs");
        let sandbox = runs.join(container);
        fs::create_dir_all(&sandbox)
            .with_context(|| format!("cannot create the sandbox {}", sandbox.display()))?;
        let _ = fs::remove_file(runs.join("latest"));
        std::os::unix::fs::symlink(&sandbox, runs.join("latest"))?;
        Ok(sandbox)
    }
}

fn read_tasks(directory: &Path) -> Vec<Running> {
    let Ok(files) = fs::read_dir(directory) else {
        return Vec::new();
    };
    files
        .filter_map(|file| serde_json::from_slice(&fs::read(file.ok()?.path()).ok()?).ok())
        .collect()
}

/// Whether an agent may go on under its id.
fn compatible(old: &AgentInfo, new: &AgentInfo, policy: &str) -> anyhow::Result<()> {
    let same = (&old.hostname, old.port, &old.resources, &old.attributes)
        == (&new.hostname, new.port, &new.resources, &new.attributes);
    if same {
        return Ok(());
    }
    if policy != "additive" {
        let line = "------------------------------------------------------------";
        bail!(
            "Incompatible agent info detected. \n\n{line}\nOld agent info:\n{}\n\n{line}\nNew agent info:\n{}\n\n{line}",
            describe(old),
            describe(new)
        );
    }
    let refused = "Configuration change not permitted under `additive` policy: ";
    if old.hostname != new.hostname {
        bail!(
            "{refused}Hostname changed from {} to {}",
            old.hostname,
            new.hostname
        );
    }
    if old.port != new.port {
        bail!("{refused}Port changed from {} to {}", old.port, new.port);
    }
    if !old.resources.within(&new.resources) {
        bail!(
            "{refused}Resources decreased from {} to {}",
            old.resources,
            new.resources
        );
    }
    if let Some((name, value)) = old
        .attributes
        .iter()
        .find(|(name, value)| new.attributes.get(*name) != Some(value))
    {
        bail!("{refused}Couldn't find attribute {name}: {value}");
    }
    Ok(())
}

fn describe(info: &AgentInfo) -> String {
    let attributes: Vec<String> = info
        .attributes
        .iter()
        .map(|(name, value)| format!("{name}: \"{value}\""))
        .collect();
    format!(
        "hostname: \"{}\"\nport: {}\nresources {{ {} }}\nattributes {{ {} }}",
        info.hostname,
        info.port,
        info.resources,
        attributes.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos::resources::{Resources, attributes};

    fn info(hostname: &str, resources: &str, rack: &str) -> AgentInfo {
        AgentInfo {
            id: Some("m-S0".into()),
            hostname: hostname.into(),
            ip: "192.0.2.1".into(),
            port: 5051,
            resources: Resources::of_agent(Some(resources), Path::new("/")).unwrap(),
            attributes: attributes(Some(rack)).unwrap(),
            version: "1.11.0".into(),
        }
    }

    #[test]
    fn an_unchanged_agent_keeps_its_id() {
        let directory = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(directory.path()).unwrap();
        let old = info("a", "cpus:1", "rack:1");
        assert_eq!(checkpoint.recover(&old, "equal").unwrap(), None);
        checkpoint.save(&old).unwrap();
        assert_eq!(
            checkpoint
                .recover(&info("a", "cpus:1", "rack:1"), "equal")
                .unwrap(),
            Some("m-S0".into())
        );
    }

    #[test]
    fn a_changed_agent_is_refused_and_told_how_to_reset() {
        let directory = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::new(directory.path()).unwrap();
        checkpoint.save(&info("a", "cpus:1", "rack:1")).unwrap();
        for changed in [
            info("b", "cpus:1", "rack:1"),
            info("a", "cpus:2", "rack:1"),
            info("a", "cpus:1", "rack:2"),
        ] {
            let error = checkpoint
                .recover(&changed, "equal")
                .unwrap_err()
                .to_string();
            assert!(
                error.starts_with("Failed to perform recovery: Incompatible agent info detected."),
                "{error}"
            );
            assert!(error.contains(&format!("rm -f {}", checkpoint.latest().display())));
        }
        fs::remove_file(checkpoint.latest()).unwrap();
        assert_eq!(
            checkpoint
                .recover(&info("b", "cpus:1", ""), "equal")
                .unwrap(),
            None
        );
    }

    #[test]
    fn the_additive_policy_lets_an_agent_grow() {
        let old = info("a", "cpus:1", "rack:1");
        assert!(compatible(&old, &info("a", "cpus:2", "rack:1;zone:2"), "additive").is_ok());
        assert!(compatible(&old, &info("a", "cpus:0.5", "rack:1"), "additive").is_err());
        assert!(compatible(&old, &info("a", "cpus:1", "rack:2"), "additive").is_err());
        assert!(compatible(&old, &info("b", "cpus:1", "rack:1"), "additive").is_err());
    }
}
