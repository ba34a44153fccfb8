//! Results: Ansible's result dictionaries, loops summed up, and what a task may set.

use super::context::HostContext;
use super::position::Progress;
use crate::modules::{Diff, Outcome};
use crate::playbook::ast::Task;
use crate::report::event::{Status, TaskInfo};
use indexmap::IndexMap;
use minijinja::Value;
use std::sync::Arc;
use std::time::Duration;

/// What came of one step, before it is taken over.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepResult {
    /// The module's outcome, `changed_when` and `failed_when` applied.
    pub outcome: Outcome,
    /// Variables it sets (`set_fact`).
    pub sets: Vec<(String, Value)>,
    /// Files of variables it reads (`include_vars`).
    pub includes: Vec<(Arc<str>, Arc<crate::playbook::ast::VarMap>)>,
    /// The loop item, with its variable's name.
    pub item: Option<(Arc<str>, Value)>,
    /// The item's label for people.
    pub label: Option<String>,
    /// Whether a failure is ignored.
    pub ignored: bool,
    /// Whether the host could not be reached.
    pub unreachable: bool,
    /// Hidden by `no_log`.
    pub no_log: bool,
    /// Attempts made.
    pub attempts: u32,
    /// How long it took.
    pub elapsed: Duration,
    /// Where it ran, when delegated.
    pub delegate: Option<String>,
    /// What to do about a failure.
    pub hint: Option<String>,
    /// Fingerprints before and after.
    pub before: Vec<(String, String)>,
    /// See `before`.
    pub after: Vec<(String, String)>,
    /// `loop_control.break_when` held.
    pub ends_loop: bool,
}

/// A result as registered, with what reports need.
#[derive(Debug, Clone, Default)]
pub(crate) struct ItemResult {
    /// The result dictionary.
    pub value: Value,
    /// How it ended.
    pub status: Status,
    /// The message.
    pub msg: Option<String>,
    /// What to do about a failure.
    pub hint: Option<String>,
    /// Whether a failure is ignored.
    pub ignored: bool,
    /// The item's label.
    pub label: Option<String>,
    /// Differences.
    pub diff: Vec<Diff>,
    /// Warnings.
    pub warnings: Vec<String>,
    /// Hidden by `no_log`.
    pub no_log: bool,
    /// Attempts made.
    pub attempts: u32,
    /// How long it took.
    pub elapsed: Duration,
    /// Where it ran, when delegated.
    pub delegate: Option<String>,
    /// Fingerprints.
    pub before: Vec<(String, String)>,
    /// See `before`.
    pub after: Vec<(String, String)>,
    /// The loop ends here.
    pub ends_loop: bool,
}

impl StepResult {
    /// Of this outcome.
    pub(crate) fn of(outcome: Outcome) -> Self {
        Self {
            outcome,
            attempts: 1,
            ..Self::default()
        }
    }

    /// Skipped because a condition was false.
    pub(crate) fn skipped(reason: &str, condition: Option<&Value>) -> Self {
        let mut outcome = Outcome {
            skipped: true,
            ..Outcome::default()
        };
        outcome
            .data
            .insert("skip_reason".into(), Value::from(reason));
        if let Some(condition) = condition {
            outcome
                .data
                .insert("false_condition".into(), condition.clone());
        }
        Self::of(outcome)
    }

    /// How it ended.
    pub(crate) fn status(&self) -> Status {
        match &self.outcome {
            _ if self.unreachable => Status::Unreachable,
            outcome if outcome.failed => Status::Failed,
            outcome if outcome.skipped && !outcome.changed => Status::Skipped,
            outcome if outcome.changed => Status::Changed,
            _ => Status::Ok,
        }
    }

    /// The dictionary that `register` holds, without loop fields.
    pub(crate) fn dict(&self) -> IndexMap<String, Value> {
        let outcome = &self.outcome;
        let mut dict = IndexMap::new();
        for (key, value) in &outcome.data {
            dict.insert(key.clone(), value.clone());
            let lines = match key.as_str() {
                "stdout" => "stdout_lines",
                "stderr" => "stderr_lines",
                _ => continue,
            };
            if !outcome.data.contains_key(lines)
                && let Some(text) = value.as_str()
            {
                dict.insert(lines.into(), text.lines().map(Value::from).collect());
            }
        }
        dict.insert("changed".into(), Value::from(outcome.changed));
        if outcome.skipped {
            dict.insert("skipped".into(), Value::from(true));
        } else {
            dict.insert("failed".into(), Value::from(outcome.failed));
        }
        if self.unreachable {
            dict.insert("unreachable".into(), Value::from(true));
        }
        let typed = |msg: &String| {
            let same = |value: &Value| crate::template::to_text(value) == *msg;
            outcome.data.get("msg").is_some_and(same)
        };
        if let Some(msg) = outcome.msg.as_ref().filter(|msg| !typed(msg)) {
            dict.insert("msg".into(), Value::from(msg.as_str()));
        }
        if !outcome.facts.is_empty() {
            let facts = outcome.facts.iter().map(|(k, v)| (k.clone(), v.clone()));
            dict.insert("ansible_facts".into(), Value::from_pairs(facts));
        }
        if !outcome.warnings.is_empty() {
            dict.insert(
                "warnings".into(),
                outcome
                    .warnings
                    .iter()
                    .map(|w| Value::from(w.as_str()))
                    .collect(),
            );
        }
        if let [diff] = &outcome.diff[..] {
            let pairs = [
                ("before", diff.before.as_str()),
                ("after", diff.after.as_str()),
            ];
            dict.insert("diff".into(), Value::from_pairs(pairs));
        }
        if self.attempts > 1 {
            dict.insert("attempts".into(), Value::from(self.attempts));
        }
        dict
    }

    /// The registered form.
    pub(crate) fn into_item(self, _cx: &HostContext) -> ItemResult {
        if self.no_log {
            // What a hidden command said is hidden wherever it is shown later.
            for name in ["stdout", "content"] {
                if let Some(text) = self.outcome.data.get(name).and_then(Value::as_str) {
                    crate::secrets::learn(text);
                }
            }
        }
        let mut dict = self.dict();
        if let Some((var, item)) = &self.item {
            dict.insert(var.to_string(), item.clone());
            dict.insert("ansible_loop_var".into(), Value::from(&**var));
        }
        ItemResult {
            status: self.status(),
            value: Value::from_pairs(dict),
            msg: self.outcome.msg,
            hint: self.hint,
            ignored: self.ignored,
            label: self.label,
            diff: self.outcome.diff,
            warnings: self.outcome.warnings,
            no_log: self.no_log,
            attempts: self.attempts,
            elapsed: self.elapsed,
            delegate: self.delegate,
            before: self.before,
            after: self.after,
            ends_loop: self.ends_loop,
        }
    }
}

/// The result of a whole task: its only item's, or the sum of its loop's.
pub(crate) fn aggregate(progress: &Progress) -> ItemResult {
    if progress.items.is_none() {
        let mut only = progress.results.first().cloned().unwrap_or_default();
        only.elapsed = only.elapsed.max(Duration::ZERO);
        return only;
    }
    let results = &progress.results;
    let any = |status| results.iter().any(|result| result.status == status);
    let failed = results
        .iter()
        .find(|r| r.status == Status::Failed && !r.ignored);
    let ignored = results.iter().find(|r| r.status == Status::Failed);
    let status = if any(Status::Unreachable) {
        Status::Unreachable
    } else if ignored.is_some() {
        Status::Failed
    } else if any(Status::Changed) {
        Status::Changed
    } else if results.iter().all(|r| r.status == Status::Skipped) {
        Status::Skipped
    } else {
        Status::Ok
    };
    let msg = match status {
        Status::Failed => "One or more items failed",
        Status::Skipped => "All items skipped",
        _ => "All items completed",
    };
    let mut dict: IndexMap<String, Value> = IndexMap::new();
    dict.insert(
        "changed".into(),
        Value::from(any(Status::Changed) || results.iter().any(changed)),
    );
    if status == Status::Failed {
        dict.insert("failed".into(), Value::from(true));
    }
    if !results.is_empty() {
        dict.insert("msg".into(), Value::from(msg));
    }
    dict.insert(
        "results".into(),
        results.iter().map(|result| result.value.clone()).collect(),
    );
    dict.insert("skipped".into(), Value::from(status == Status::Skipped));
    if results.is_empty() {
        dict.insert("skipped_reason".into(), Value::from("No items in the list"));
    }
    ItemResult {
        value: Value::from_pairs(dict),
        status,
        msg: failed
            .or(ignored)
            .and_then(|r| r.msg.clone())
            .or_else(|| Some(msg.into())),
        hint: failed.and_then(|r| r.hint.clone()),
        ignored: failed.is_none() && ignored.is_some(),
        no_log: results.iter().any(|r| r.no_log),
        attempts: 1,
        elapsed: results.iter().map(|r| r.elapsed).sum(),
        delegate: results.iter().find_map(|r| r.delegate.clone()),
        ..ItemResult::default()
    }
}

fn changed(result: &ItemResult) -> bool {
    result
        .value
        .get_attr("changed")
        .is_ok_and(|value| value.is_true())
}

/// `ansible_failed_task`.
pub(crate) fn failed_task(info: &TaskInfo, task: &Task) -> Value {
    Value::from_pairs([
        ("name", Value::from(info.name.as_str())),
        ("action", Value::from(&*task.action.name)),
        ("path", Value::from(info.place.as_str())),
    ])
}

/// Whether a module brings facts.
pub(crate) fn yields_facts(name: &str) -> bool {
    matches!(
        name,
        "setup"
            | "gather_facts"
            | "package_facts"
            | "service_facts"
            | "getent"
            | "mount_facts"
            | "hostname"
            | "alternatives"
            | "include_role"
            | "include_tasks"
            | "include"
    )
}

/// Whether it is `setup`, whose facts are variables with the `ansible_` prefix only.
pub(crate) fn is_setup(name: &str) -> bool {
    matches!(name.rsplit('.').next(), Some("setup" | "gather_facts"))
}

/// Whether a task that was put off may set variables that nobody can foresee.
pub(crate) fn sets_anything(task: &Task) -> bool {
    matches!(
        task.action.name.rsplit('.').next(),
        Some("include_tasks" | "include_role" | "include" | "include_vars" | "import_role")
    )
}
