//! Running tasks: a shell command as a process of its own, a container by `docker run` in the foreground. Both outlive the agent, as
//! the real executors do (`KillMode=process`), and are found again by it.

use super::checkpoint::{Checkpoint, Running};
use super::wire::{State, Task, TaskStatus};
use super::{docker, uuid};
use crate::{clock, log};
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::process::{Child, Command};

/// The tasks of one agent.
pub struct Tasks {
    checkpoint: Checkpoint,
    docker: Option<String>,
    hostname: String,
    known: Mutex<BTreeMap<String, Entry>>,
}

struct Entry {
    status: TaskStatus,
    running: Option<Running>,
    killed: bool,
}

impl Tasks {
    /// No tasks yet. `docker` is the client to run containers with, where the containerizer is enabled.
    pub fn new(checkpoint: Checkpoint, docker: Option<String>, hostname: String) -> Self {
        Self {
            checkpoint,
            docker,
            hostname,
            known: Mutex::new(BTreeMap::new()),
        }
    }

    /// The agent's memory.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What became of every task.
    pub fn statuses(&self) -> Vec<TaskStatus> {
        self.known()
            .values()
            .map(|entry| entry.status.clone())
            .collect()
    }

    /// Takes up the tasks of the agent's former run; those that are gone are forgotten.
    pub fn recover(self: &Arc<Self>, agent: &str) {
        for running in self.checkpoint.tasks() {
            let id = running.task.id.clone();
            if began(running.pid) != Some(running.began) {
                log::info(&format!("Task {id} did not survive"));
                self.checkpoint.forget(&id);
                continue;
            }
            log::info(&format!("Recovered task {id} (pid {})", running.pid));
            let status = self.status(&running.task, agent, State::Running, running.started);
            let (pid, began_at) = (running.pid, running.began);
            self.known().insert(
                id.clone(),
                Entry {
                    status,
                    running: Some(running),
                    killed: false,
                },
            );
            let tasks = Arc::clone(self);
            tokio::spawn(async move {
                // Not our child any more: all we can see is that it is gone.
                while began(pid) == Some(began_at) {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                tasks.ended(&id, None);
            });
        }
    }

    fn status(&self, task: &Task, agent: &str, state: State, started: f64) -> TaskStatus {
        let (task, hostname) = (task.clone(), self.hostname.clone());
        TaskStatus {
            task,
            agent_id: agent.to_owned(),
            hostname,
            state,
            message: String::new(),
            started,
        }
    }

    /// Starts a task; how that went shows in its status.
    pub async fn start(self: &Arc<Self>, agent: &str, task: Task) {
        if self.known().contains_key(&task.id) {
            return;
        }
        let id = task.id.clone();
        log::info(&format!(
            "Launching task {id} for framework {}",
            task.framework_id
        ));
        let status = self.status(&task, agent, State::Staging, clock::seconds());
        self.known().insert(
            id.clone(),
            Entry {
                status,
                running: None,
                killed: false,
            },
        );
        match self.spawn(agent, &task).await {
            Ok((mut child, running)) => {
                if let Some(entry) = self.known().get_mut(&id) {
                    entry.status.state = State::Running;
                    entry.running = Some(running);
                }
                let tasks = Arc::clone(self);
                tokio::spawn(async move {
                    let outcome = child.wait().await.ok();
                    tasks.ended(&id, outcome);
                });
            }
            Err(error) => self.set(&id, State::Failed, &format!("{error:#}")),
        }
    }

    async fn spawn(&self, agent: &str, task: &Task) -> anyhow::Result<(Child, Running)> {
        let container = uuid()?;
        let sandbox = self.checkpoint.sandbox(agent, task, &container)?;
        let name = task.docker.as_ref().map(|_| format!("mesos-{container}"));
        let mut command = match (&task.docker, &name) {
            (Some(wanted), Some(name)) => {
                let client = self.docker.as_deref().context("None of the enabled containerizers could create a container for the provided TaskInfo: the docker containerizer is not enabled")?;
                if wanted.force_pull || !docker::has_image(client, &wanted.image).await {
                    docker::pull(client, &wanted.image).await?;
                }
                let mut command = Command::new(client);
                command.args(docker::arguments(task, wanted, name, &sandbox));
                command
            }
            _ => shell(task)?,
        };
        let child = command
            .current_dir(&sandbox)
            .envs(&task.env)
            .env("MESOS_SANDBOX", &sandbox)
            .env("MESOS_TASK_ID", &task.id)
            .stdin(Stdio::null())
            .stdout(File::create(sandbox.join("stdout"))?)
            .stderr(File::create(sandbox.join("stderr"))?)
            .process_group(0)
            .spawn()
            .context("cannot start the task")?;
        let pid = child.id().context("the task ended at once")?;
        // Not waited for yet, so its entry is there even if it has ended.
        let (_, began) = entry_of(pid).context("no /proc")?;
        let running = Running {
            task: task.clone(),
            pid,
            began,
            container: name,
            started: clock::seconds(),
        };
        self.checkpoint.remember(&running)?;
        Ok((child, running))
    }

    /// Ends a task: politely first, for good after `--executor_shutdown_grace_period`.
    pub async fn kill(self: &Arc<Self>, id: &str) {
        let Some(running) = self.known().get_mut(id).and_then(|entry| {
            entry.killed = true;
            entry.running.clone()
        }) else {
            return;
        };
        log::info(&format!("Killing task {id}"));
        self.end(&running).await;
    }

    /// Ends what a reset agent left behind: nobody will ask for it again. (The real executors notice by themselves, later.)
    pub async fn end_orphans(&self) {
        for (file, running) in self.checkpoint.orphans() {
            log::info(&format!("Killing orphaned task {}", running.task.id));
            self.end(&running).await;
            // Already gone is as good.
            let _ = std::fs::remove_file(file);
        }
    }

    async fn end(&self, running: &Running) {
        if let (Some(name), Some(client)) = (&running.container, &self.docker) {
            // The status tells whether it worked.
            let _ = Command::new(client)
                .args(["stop", "-t", "2", name])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .await;
            let _ = Command::new(client)
                .args(["rm", "-f", name])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .await;
        }
        for signal in [Signal::TERM, Signal::KILL] {
            if began(running.pid) != Some(running.began) {
                return;
            }
            if let Some(group) = i32::try_from(running.pid).ok().and_then(Pid::from_raw) {
                // Gone between the look and the signal is what we want.
                let _ = kill_process_group(group, signal);
            }
            for _ in 0..30 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                if began(running.pid) != Some(running.began) {
                    return;
                }
            }
        }
    }

    fn ended(&self, id: &str, outcome: Option<ExitStatus>) {
        self.checkpoint.forget(id);
        let killed = self.known().get(id).is_some_and(|entry| entry.killed);
        let (state, message) = match outcome {
            _ if killed => (
                State::Killed,
                "Command terminated with signal Terminated".to_owned(),
            ),
            Some(status) if status.success() => {
                (State::Finished, "Command exited with status 0".to_owned())
            }
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => (State::Failed, format!("Command exited with status {code}")),
                (None, signal) => (
                    State::Failed,
                    format!(
                        "Command terminated with signal {}",
                        signal.unwrap_or_default()
                    ),
                ),
            },
            None => (State::Failed, "Executor terminated".to_owned()),
        };
        log::info(&format!("Task {id} is now {}: {message}", state.name()));
        self.set(id, state, &message);
    }

    fn set(&self, id: &str, state: State, message: &str) {
        let mut known = self.known();
        if let Some(entry) = known.get_mut(id) {
            entry.status.state = state;
            message.clone_into(&mut entry.status.message);
            entry.running = None;
        }
        // Enough of the past for whoever asks what happened.
        let ended: Vec<String> = known
            .iter()
            .filter(|(_, entry)| !entry.status.state.alive())
            .map(|(id, _)| id.clone())
            .collect();
        if ended.len() > 100 {
            let oldest = ended
                .into_iter()
                .min_by(|a, b| known[a].status.started.total_cmp(&known[b].status.started));
            oldest.map(|id| known.remove(&id));
        }
    }
}

fn shell(task: &Task) -> anyhow::Result<Command> {
    let mut command = match (&task.command, task.args.split_first()) {
        (Some(text), _) => {
            let mut command = Command::new("sh");
            command.args(["-c", text]);
            command
        }
        (None, Some((program, arguments))) => {
            let mut command = Command::new(program);
            command.args(arguments);
            command
        }
        (None, None) => anyhow::bail!("a task without command, arguments and container"),
    };
    command.env("USER", &task.user);
    Ok(command)
}

/// When a process began, in ticks since boot; `None` when there is none, or only its remains.
fn began(pid: u32) -> Option<u64> {
    entry_of(pid)
        .filter(|(state, _)| state != "Z")
        .map(|(_, began)| began)
}

/// A process's state and when it began.
fn entry_of(pid: u32) -> Option<(String, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name is in brackets and may hold anything, so count from the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.to_owned();
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn task(command: &str) -> Task {
        Task {
            id: format!("t.{}", uuid().unwrap()),
            name: "t".into(),
            framework_id: "f".into(),
            command: Some(command.into()),
            args: Vec::new(),
            user: "root".into(),
            env: [("PORT0".to_owned(), "31000".to_owned())].into(),
            docker: None,
            ports: vec![31000],
            cpus: 0.1,
            mem: 16.0,
            labels: BTreeMap::new(),
        }
    }

    async fn state(tasks: &Tasks, wanted: State) -> TaskStatus {
        for _ in 0..100 {
            let status = tasks.statuses()[0].clone();
            if status.state == wanted {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("never {wanted:?}: {:?}", tasks.statuses());
    }

    fn tasks(directory: &Path) -> Arc<Tasks> {
        let checkpoint = Checkpoint::new(directory).unwrap();
        std::fs::create_dir_all(directory.join("meta/slaves/latest")).unwrap();
        Arc::new(Tasks::new(checkpoint, None, "host".into()))
    }

    #[tokio::test]
    async fn a_command_runs_in_its_sandbox_with_its_variables() {
        let directory = tempfile::tempdir().unwrap();
        let tasks = tasks(directory.path());
        let task = task("echo port $PORT0");
        tasks.start("S0", task.clone()).await;
        assert_eq!(
            state(&tasks, State::Finished).await.message,
            "Command exited with status 0"
        );
        let sandbox = directory.path().join(format!(
            "slaves/S0/frameworks/f/executors/{}/runs/latest",
            task.id
        ));
        assert_eq!(
            std::fs::read_to_string(sandbox.join("stdout")).unwrap(),
            "port 31000\n"
        );
    }

    #[tokio::test]
    async fn a_failed_command_says_how() {
        let directory = tempfile::tempdir().unwrap();
        let tasks = tasks(directory.path());
        tasks.start("S0", task("exit 3")).await;
        assert_eq!(
            state(&tasks, State::Failed).await.message,
            "Command exited with status 3"
        );
    }

    #[tokio::test]
    async fn a_task_outlives_the_agent_and_is_found_and_killed_by_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let first = tasks(directory.path());
        first.start("S0", task("sleep 60 & wait")).await;
        state(&first, State::Running).await;
        let next = tasks(directory.path());
        next.recover("S0");
        let status = state(&next, State::Running).await;
        next.kill(&status.task.id).await;
        state(&next, State::Killed).await;
        assert!(next.checkpoint.tasks().is_empty());
    }

    #[tokio::test]
    async fn a_reset_agent_ends_the_tasks_of_its_former_self() {
        let directory = tempfile::tempdir().unwrap();
        let slaves = directory.path().join("meta/slaves");
        std::fs::create_dir_all(slaves.join("S0")).unwrap();
        std::os::unix::fs::symlink(slaves.join("S0"), slaves.join("latest")).unwrap();
        let first = Arc::new(Tasks::new(
            Checkpoint::new(directory.path()).unwrap(),
            None,
            "host".into(),
        ));
        first.start("S0", task("sleep 60")).await;
        state(&first, State::Running).await;
        assert!(first.checkpoint.orphans().is_empty());
        std::fs::remove_file(slaves.join("latest")).unwrap();
        let (_, orphan) = first.checkpoint.orphans().remove(0);
        first.end_orphans().await;
        assert_eq!(began(orphan.pid), None);
        assert!(first.checkpoint.orphans().is_empty());
    }
}
