//! Deployments: what has to happen to an app until it is as its definition says, decided from data alone.

use serde_json::{Value, json};

/// An app as it shall be.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct App {
    /// Its completed definition.
    pub definition: Value,
    /// When it was last changed; also the version's name.
    pub version: String,
    /// When its tasks last had to be replaced; tasks of another one are old.
    pub config_version: String,
}

impl App {
    /// Its id.
    pub fn id(&self) -> &str {
        self.definition["id"].as_str().unwrap_or_default()
    }

    /// How many tasks it shall have.
    pub fn instances(&self) -> usize {
        self.definition["instances"]
            .as_u64()
            .and_then(|instances| usize::try_from(instances).ok())
            .unwrap_or(0)
    }

    /// Whether its tasks must also be healthy.
    pub fn has_health_checks(&self) -> bool {
        self.definition["healthChecks"]
            .as_array()
            .is_some_and(|checks| !checks.is_empty())
    }
}

/// A task as far as a plan cares.
#[derive(Clone, Debug, PartialEq)]
pub struct TaskView {
    /// Its id.
    pub id: String,
    /// Whether it was started for the app's present configuration.
    pub current: bool,
    /// Whether it runs (and not only is about to).
    pub running: bool,
    /// Whether its health checks succeed; true without any.
    pub healthy: bool,
    /// Whether it must go: its health checks failed too often, or a person said so.
    pub doomed: bool,
}

/// What to do next for one app.
#[derive(Debug, Default, PartialEq)]
pub struct Plan {
    /// Tasks to start.
    pub launch: usize,
    /// Tasks to end.
    pub kill: Vec<String>,
    /// Nothing is left to do or to wait for.
    pub done: bool,
}

/// The next steps towards `wanted` tasks of the present configuration: new ones start at once, old ones go as new ones get healthy.
pub fn plan(wanted: usize, tasks: &[TaskView]) -> Plan {
    let doomed = tasks.iter().filter(|task| task.doomed);
    let mut kill: Vec<String> = doomed.map(|task| task.id.clone()).collect();
    let alive: Vec<&TaskView> = tasks.iter().filter(|task| !task.doomed).collect();
    let (mut current, old): (Vec<&TaskView>, Vec<&TaskView>) =
        alive.into_iter().partition(|task| task.current);
    // Surplus: first those that serve least.
    current.sort_by_key(|task| (!task.healthy, !task.running));
    let kept = current.len().min(wanted);
    kill.extend(current[kept..].iter().map(|task| task.id.clone()));
    let ready = current[..kept]
        .iter()
        .filter(|task| task.running && task.healthy)
        .count();
    let spare = (old.len() + ready).saturating_sub(wanted).min(old.len());
    kill.extend(old[..spare].iter().map(|task| task.id.clone()));
    let done = ready == wanted && tasks.len() == wanted;
    Plan {
        launch: wanted - kept,
        kill,
        done,
    }
}

/// A change under way.
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Its id.
    pub id: String,
    /// The version it leads to.
    pub version: String,
    /// The app it changes.
    pub app: String,
    /// What it does, in Marathon's words.
    pub action: Action,
    /// The app before it, to go back to.
    pub previous: Option<App>,
}

/// What a deployment does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Start,
    Scale,
    Restart,
    Stop,
}

impl Deployment {
    /// As `/v2/deployments` shows it.
    pub fn to_json(&self) -> Value {
        let action = match self.action {
            Action::Start => "StartApplication",
            Action::Scale => "ScaleApplication",
            Action::Restart => "RestartApplication",
            Action::Stop => "StopApplication",
        };
        json!({
            "id": self.id,
            "version": self.version,
            "affectedApps": [self.app],
            "affectedPods": [],
            "steps": [{"actions": [{"action": action, "app": self.app}]}],
            "currentActions": [{"action": action, "app": self.app, "readinessCheckResults": []}],
            "currentStep": 1,
            "totalSteps": 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `c` current, `o` old, upper case running and healthy, `!` behind it: doomed.
    fn tasks(text: &str) -> Vec<TaskView> {
        let word = |word: &str| TaskView {
            id: word.to_owned(),
            current: word.to_lowercase().starts_with('c'),
            running: word.starts_with(char::is_uppercase),
            healthy: word.starts_with(char::is_uppercase),
            doomed: word.ends_with('!'),
        };
        text.split_whitespace().map(word).collect()
    }

    #[test]
    fn plans() {
        for (wanted, before, launch, kill, done) in [
            (2, "", 2, "", false),
            (2, "C1", 1, "", false),
            (2, "C1 c2", 0, "", false),
            (2, "C1 C2", 0, "", true),
            (1, "c1 C2 C3", 0, "C3 c1", false),
            (0, "C1", 0, "C1", false),
            (0, "", 0, "", true),
            (2, "O1 O2", 2, "", false),
            (2, "O1 O2 C3", 1, "O1", false),
            (2, "O1 O2 C3 C4", 0, "O1 O2", false),
            (1, "O1 c2", 0, "", false),
            (1, "O1 O2", 1, "O1", false),
            (1, "C1!", 1, "C1!", false),
        ] {
            let plan = plan(wanted, &tasks(before));
            let seen = (plan.launch, plan.kill.join(" "), plan.done);
            assert_eq!(
                seen,
                (launch, kill.to_owned(), done),
                "{wanted} wanted, {before} there"
            );
        }
    }
}
