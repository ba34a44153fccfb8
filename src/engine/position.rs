//! A host's position: its walk, what it has learned, and the task it is in.
//!
//! The same code moves the real position and the one that plans ahead; the difference is only whether results
//! are known ([`Position::commit`]) or assumed ([`Position::assume`]).

use super::board::Board;
use super::chain::Chain;
use super::context::HostContext;
use super::control::{self, Control};
use super::listing::StartAt;
use super::prepare::{all_hold, flag, number};
use super::result::{self, ItemResult, StepResult};
use super::walk::{Fallout, Place, Stop, Walk};
use crate::modules::Outcome;
use crate::playbook::ast::{Item, Task};
use crate::report::event::{Status, TaskInfo};
use crate::vars::{Access, Gift, HostState, Layer, Parts, Roll, Slot, StepScope, Values};
use minijinja::Value;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// One step of one host, for matching plans with what happens: place, loop item, attempt.
pub(crate) type Key = (Place, usize, u32);

/// The task a host is in: its loop and the results so far.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    /// The task and what it inherits.
    pub stop: Stop,
    /// Its name and place for people.
    pub info: Arc<TaskInfo>,
    /// The loop's items once known; `None` without a loop.
    pub items: Option<Arc<Vec<Value>>>,
    /// The task as written, when the name of its module is a template.
    pub written: Option<Arc<Task>>,
    /// Which item.
    pub at: usize,
    /// Which attempt at it, from 1.
    pub attempt: u32,
    /// Results of the items before.
    pub results: Vec<ItemResult>,
    /// What its includes brought, to be gone into when the task ends.
    pub included: Vec<(Arc<Vec<Item>>, Arc<Chain>)>,
}

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Position {
    /// Where in the play.
    pub walk: Walk,
    /// What was learned.
    pub state: HostState,
    /// The task in progress.
    pub progress: Option<Progress>,
    /// The place up to which all other hosts have come (for reading what they learned, and for `run_once`).
    pub cleared: Option<Place>,
    /// While planning ahead: raised when something was read that other hosts may still change.
    pub guess: Option<Arc<AtomicBool>>,
    /// Planning ahead passed something that may set any variable: what follows is a guess.
    pub tainted: bool,
}

impl Position {
    /// At the start of a play.
    pub(crate) fn new(walk: Walk, state: HostState) -> Self {
        Self {
            walk,
            state,
            progress: None,
            cleared: None,
            guess: None,
            tainted: false,
        }
    }

    /// The step it stands at.
    pub(crate) fn key(&self) -> Key {
        let (at, attempt) = self.progress.as_ref().map_or((0, 1), |p| (p.at, p.attempt));
        (self.walk.place(), at, attempt)
    }

    /// Whether its loop waits between two items.
    pub(crate) fn pauses(&self) -> bool {
        let looped = self
            .progress
            .as_ref()
            .and_then(|p| p.stop.task.looped.as_ref());
        looped.is_some_and(|looped| looped.pause.is_some())
    }

    /// Whether all other hosts have come as far as this task.
    pub(crate) fn is_cleared(&self) -> bool {
        self.cleared.as_ref() == Some(&self.walk.place())
    }

    /// The parts of the scope for a task here.
    pub(crate) fn parts(&self, cx: &HostContext, task: &Arc<Task>, chain: &Arc<Chain>) -> Parts {
        let (mut layers, above) = chain.layers(task, &cx.play_vars);
        let mut defaults = cx.play_defaults.clone();
        for role in &self.state.public_roles {
            defaults.push(Layer::Defaults(Arc::clone(role)));
            layers.insert(0, Layer::RoleVars(Arc::clone(role)));
        }
        defaults.extend(chain.defaults());
        Parts {
            engine: Arc::clone(&cx.run.engine),
            shared: Arc::clone(&cx.run.shared),
            host: Arc::clone(&cx.host),
            magic: Arc::clone(&chain.magic),
            state: self.state.clone(),
            defaults,
            layers,
            above,
            extra: cx.run.extra.clone(),
            access: match &self.guess {
                _ if self.is_cleared() => Access::Everything,
                Some(flag) => Access::Guess(Arc::clone(flag)),
                None => Access::Inventory,
            },
            roll: self.roll(cx),
            search: chain.search(task, &cx.play.dir),
        }
    }

    /// Who has left the play before this place; nobody can in a batch of one.
    fn roll(&self, cx: &HostContext) -> Option<Arc<dyn Roll>> {
        let others = cx.board.hosts().len() > 1;
        others
            .then(|| -> Arc<dyn Roll> { Arc::new(Here(Arc::clone(&cx.board), self.walk.place())) })
    }

    /// The scope of the current item: loop variables on top.
    pub(crate) fn scope(&self, cx: &HostContext) -> Option<Arc<StepScope>> {
        let progress = self.progress.as_ref()?;
        let mut parts = self.parts(cx, &progress.stop.task, &progress.stop.chain);
        if let Some(vars) = self.loop_vars() {
            parts.above.push(vars);
        }
        Some(StepScope::new(parts))
    }

    /// Loop variables of the current item.
    pub(crate) fn loop_vars(&self) -> Option<Layer> {
        let progress = self.progress.as_ref()?;
        let looped = progress.stop.task.looped.as_ref()?;
        let items = progress.items.as_ref()?;
        let item = items.get(progress.at)?;
        let mut vars = Values::new();
        vars.insert(Arc::clone(&looped.var), item.clone());
        vars.insert("ansible_loop_var".into(), Value::from(&*looped.var));
        if let Some(index) = &looped.index_var {
            vars.insert(Arc::clone(index), Value::from(progress.at));
            vars.insert("ansible_index_var".into(), Value::from(&**index));
        }
        if looped.extended {
            vars.insert("ansible_loop".into(), extended(items, progress.at));
        }
        Some(Layer::Values("loop variables", Arc::new(vars)))
    }

    /// A step's result is only assumed (planning ahead): whatever it sets is pending.
    pub(crate) fn assume(&mut self, cx: &HostContext, changed: Option<bool>) {
        let Some(progress) = &mut self.progress else {
            return;
        };
        progress.at += 1;
        progress.attempt = 1;
        let stop = progress.stop.clone();
        let last = progress
            .items
            .as_ref()
            .is_none_or(|items| progress.at >= items.len());
        self.pend(&stop.task);
        match changed {
            Some(true) => drop(self.notify(cx, &stop)),
            Some(false) => {}
            None => self.walk.maybe_notified |= notifies(&stop),
        }
        if last {
            self.progress = None;
            self.walk.leave();
        }
    }

    /// The whole task is put off (planning ahead): it cannot be rendered yet.
    pub(crate) fn put_off(&mut self) {
        let Some(progress) = self.progress.take() else {
            return;
        };
        self.pend(&progress.stop.task);
        self.walk.maybe_notified |= notifies(&progress.stop);
        self.walk.leave();
        if result::sets_anything(&progress.stop.task) {
            self.tainted = true;
        }
    }

    /// Marks what a task sets as not known yet.
    fn pend(&mut self, task: &Task) {
        if let Some(name) = &task.register {
            self.state.set(name, Slot::Pending);
        }
        match task.action.name.rsplit('.').next().unwrap_or_default() {
            name if crate::yaml::has_template(name) => self.tainted = true,
            "set_fact" => {
                for (name, _, _) in task
                    .action
                    .args
                    .as_map()
                    .into_iter()
                    .flat_map(crate::yaml::Map::iter)
                {
                    // A name that is a template may be any.
                    self.tainted |= crate::yaml::has_template(name);
                    self.state.set(name, Slot::Pending);
                }
            }
            "include_vars" => self.state.included_pending = true,
            name if result::yields_facts(name) => self.state.facts_pending = true,
            _ => {}
        }
    }

    /// Comes to the next task, without rendering it. Says which step that is; `None` at the end.
    pub(crate) fn approach(&mut self, cx: &HostContext) -> Option<Key> {
        while self.progress.is_none() {
            let stop = self.walk.stop()?;
            if control::selected(cx, self, &stop) {
                self.progress = Some(self.begin(cx, stop));
            } else {
                self.walk.leave();
            }
        }
        Some(self.key())
    }

    /// Goes to the task to start at: everything before it is passed over but the gathering of facts.
    pub(crate) fn start_at(&mut self, cx: &HostContext, start: &StartAt) {
        let gather = self.walk.take_gather();
        while let Some(stop) = self.walk.stop() {
            let right = start.is(&stop.task, &stop.chain);
            if right && (!start.minds_tags() || control::selected(cx, self, &stop)) {
                break;
            }
            self.walk.leave();
        }
        if let Some(gather) = gather {
            self.walk.before(gather);
        }
    }

    /// Passes over the task that it stands at, as if it were not there.
    pub(crate) fn pass(&mut self) {
        self.progress = None;
        self.walk.leave();
    }

    /// Whether `until` wants another attempt at the current item.
    pub(crate) fn retry_wanted(&self, cx: &HostContext, result: &StepResult) -> bool {
        let Some(progress) = &self.progress else {
            return false;
        };
        let task = &progress.stop.task;
        if result.outcome.skipped || (task.until.is_empty() && task.retries.is_none()) {
            return false;
        }
        let wanted = if task.until.is_empty() {
            result.outcome.failed
        } else {
            !all_hold(cx, self, result, &task.until).unwrap_or(false)
        };
        wanted && progress.attempt <= self.retries(cx)
    }

    /// `retries`, 3 when not said.
    fn retries(&self, cx: &HostContext) -> u32 {
        let node = self
            .progress
            .as_ref()
            .and_then(|p| p.stop.task.retries.as_ref());
        let scope = self.scope(cx);
        let said = scope.and_then(|scope| number(cx, &scope, node).ok().flatten());
        // Saturates for absurd numbers.
        said.map_or(3, |n| n.max(0.0) as u32)
    }

    /// Takes over what a control module asks, as far as that needs no waiting. `None` when the driver must do it.
    pub(crate) fn apply(&mut self, cx: &HostContext, control: Control) -> Option<Ended> {
        let mut ok = StepResult::of(Outcome::ok());
        match control {
            Control::Result(result) => return Some(self.commit(cx, *result)),
            Control::EmptyLoop => {
                return Some(Ended {
                    item: None,
                    task: self.finish_task(cx),
                });
            }
            Control::Include {
                items,
                chain,
                handlers,
                public,
                what,
            } => {
                self.walk.add_handlers(&handlers, &chain);
                self.state.public_roles.extend(public);
                ok.outcome.data.insert("include".into(), Value::from(what));
                ok = self.framed(cx, ok);
                if let Some(progress) = &mut self.progress {
                    progress.included.push((items, chain));
                }
            }
            Control::Flush => {
                let ended = self.commit(cx, ok);
                self.walk.flush();
                return Some(ended);
            }
            Control::EndHost => {
                let ended = self.commit(cx, ok);
                self.walk.forgive();
                self.walk.end();
                return Some(ended);
            }
            Control::EndRole => {
                let ended = self.commit(cx, ok);
                self.walk.end_role();
                return Some(ended);
            }
            Control::ClearFacts => {
                self.state.clear_facts();
            }
            Control::Noop => {}
            Control::AddHost { .. }
            | Control::GroupBy { .. }
            | Control::Pause(_)
            | Control::Prompt { .. }
            | Control::Wait(_)
            | Control::ResetConnection
            | Control::ClearErrors
            | Control::EndAll { .. } => return None,
        }
        Some(self.commit(cx, ok))
    }

    /// Takes over the result of the current item and moves on. Says what ended.
    pub(crate) fn commit(&mut self, cx: &HostContext, result: StepResult) -> Ended {
        let Some(progress) = &self.progress else {
            return Ended::default();
        };
        let task = Arc::clone(&progress.stop.task);
        let named = !result::is_setup(&task.action.name);
        match self.given_to(cx) {
            // Planning ahead gives nothing away.
            Some(_) if self.guess.is_some() => {}
            Some(other) => {
                let facts = result.outcome.facts.clone().into_iter().collect();
                let gift = Gift {
                    facts: (facts, named),
                    sets: result.sets.clone(),
                };
                cx.run.shared.give(&other, gift);
            }
            None => {
                self.state.add_facts(result.outcome.facts.clone(), named);
                for (name, value) in &result.sets {
                    self.state.set(name, Slot::Known(value.clone()));
                }
            }
        }
        let Some(progress) = &mut self.progress else {
            return Ended::default();
        };
        for file in &result.includes {
            self.state.included.insert(0, file.clone());
        }
        let mut ended = Ended::default();
        let item = result.into_item(cx);
        if progress.items.is_some() {
            ended.item = Some(item.clone());
            progress.results.push(item);
            progress.at += 1;
            progress.attempt = 1;
            let all = progress.items.as_ref().map_or(0, |items| items.len());
            let broken = progress.results.last().is_some_and(|last| last.ends_loop);
            if progress.at < all && !broken {
                return ended;
            }
        } else {
            progress.results.push(item);
        }
        ended.task = self.finish_task(cx);
        ended
    }

    /// The host that gets the facts of the task at hand, when it is another one: `delegate_facts`.
    fn given_to(&self, cx: &HostContext) -> Option<String> {
        let stop = &self.progress.as_ref()?.stop;
        let node = stop
            .chain
            .keyword(&stop.task, |base| base.delegate_facts.as_ref())?;
        let scope = self.scope(cx)?;
        if !flag(cx, &scope, Some(node)).ok().flatten()? {
            return None;
        }
        let other = self.frame(cx, &scope).ok()?.delegate?;
        (*other != *cx.host).then_some(other)
    }

    /// Takes over the result of a `run_once` task that another host ran. Only a failure is told.
    pub(crate) fn adopt(&mut self, once: &super::board::Once) -> Option<TaskEnd> {
        let progress = self.progress.take()?;
        let (total, sets) = &**once;
        self.walk.leave();
        match control::meta_word(&progress.stop.task) {
            Some("end_play" | "end_batch") if total.status == Status::Ok => {
                self.walk.forgive();
                self.walk.end();
            }
            Some("clear_facts") if total.status == Status::Ok => self.state.clear_facts(),
            _ => {}
        }
        if let Some(name) = &progress.stop.task.register {
            self.state.set(name, Slot::Known(total.value.clone()));
        }
        for (name, value) in sets {
            self.state.set(name, Slot::Known(value.clone()));
        }
        if total.status != Status::Failed || total.ignored {
            return None;
        }
        let fallout = Some(self.walk.fail());
        Some(TaskEnd {
            total: total.clone(),
            fallout,
            unknown_handlers: Vec::new(),
            progress,
        })
    }

    /// Ends the current task: register, notify, failure.
    fn finish_task(&mut self, cx: &HostContext) -> Option<TaskEnd> {
        let mut progress = self.progress.take()?;
        let included = std::mem::take(&mut progress.included);
        let task = &progress.stop.task;
        let total = result::aggregate(&progress);
        self.walk.leave();
        if progress.items.is_some() && progress.results.len() < progress.at {
            // Planning ahead, some item's result was only assumed: nobody knows the whole yet.
            self.pend(task);
        } else if let Some(name) = &task.register {
            self.state.set(name, Slot::Known(total.value.clone()));
        }
        let mut end = TaskEnd {
            total,
            fallout: None,
            unknown_handlers: Vec::new(),
            progress,
        };
        let task = &end.progress.stop.task;
        let failed = matches!(end.total.status, Status::Failed | Status::Unreachable);
        if end.progress.stop.handler && (!failed || end.total.ignored) {
            self.walk.handled();
        }
        if end.total.status == Status::Changed {
            end.unknown_handlers = self.notify(cx, &end.progress.stop);
        }
        if end.total.status == Status::Failed && !end.total.ignored {
            let failed = Values::from([
                (
                    "ansible_failed_task".into(),
                    result::failed_task(&end.progress.info, task),
                ),
                ("ansible_failed_result".into(), end.total.value.clone()),
            ]);
            let fallout = self.walk.fail();
            if fallout != Fallout::Dead {
                for (name, value) in failed {
                    self.state.set(&name, Slot::Known(value));
                }
            }
            end.fallout = Some(fallout);
        } else {
            // The first one on top of the stack.
            for (items, chain) in included.into_iter().rev() {
                self.walk.enter(items, chain);
            }
        }
        Some(end)
    }

    /// Notifies the handlers a task names; gives back names that no handler has.
    fn notify(&mut self, cx: &HostContext, stop: &Stop) -> Vec<String> {
        let (found, unknown) = self.named(cx, stop);
        for index in found {
            self.walk.notify(index);
        }
        unknown
    }

    /// Handlers that the task at hand notifies when it changes something.
    pub(crate) fn would_notify(&self, cx: &HostContext) -> Vec<usize> {
        self.progress
            .as_ref()
            .map(|progress| self.named(cx, &progress.stop).0)
            .unwrap_or_default()
    }

    /// The handlers a task names, and the names that no handler has.
    fn named(&self, cx: &HostContext, stop: &Stop) -> (Vec<usize>, Vec<String>) {
        let (mut found, mut unknown) = (Vec::new(), Vec::new());
        let names = stop.chain.all(&stop.task, |base| &base.notify);
        for node in names.into_iter().chain(&stop.task.notify) {
            for name in cx.texts(self, stop, node) {
                let some = self.handlers_called(cx, &name);
                if some.is_empty() {
                    unknown.push(name);
                }
                found.extend(some);
            }
        }
        (found, unknown)
    }

    fn handlers_called(&self, cx: &HostContext, wanted: &str) -> Vec<usize> {
        let mut by_name = None;
        let mut found = Vec::new();
        for (index, handler) in self.walk.handlers().iter().enumerate() {
            let stop = Stop {
                task: Arc::clone(&handler.task),
                chain: Arc::clone(&handler.chain),
                handler: true,
            };
            let listens = handler
                .task
                .listen
                .iter()
                .any(|node| cx.texts(self, &stop, node).iter().any(|t| t == wanted));
            if listens {
                found.push(index);
            }
            let Some(node) = &handler.task.base.name else {
                continue;
            };
            let Some(name) = cx.texts(self, &stop, node).into_iter().next() else {
                continue;
            };
            let qualified = handler.chain.role.as_ref().is_some_and(|used| {
                wanted
                    .strip_prefix(&*used.role.name)
                    .and_then(|rest| rest.strip_prefix(" : "))
                    == Some(&name)
            });
            // Of several handlers of one name the last defined wins, as in Ansible.
            if name == wanted || qualified {
                by_name = Some(index);
            }
        }
        found.extend(by_name);
        found
    }
}

/// A place on a board.
struct Here(Arc<Board>, Place);

impl Roll for Here {
    fn gone(&self) -> Vec<Arc<str>> {
        self.0.left_before(&self.1)
    }
}

/// Whether a task notifies anybody.
fn notifies(stop: &Stop) -> bool {
    !stop.task.notify.is_empty() || !stop.chain.all(&stop.task, |base| &base.notify).is_empty()
}

/// What a commit ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// An item of a loop.
    pub item: Option<ItemResult>,
    /// The whole task.
    pub task: Option<TaskEnd>,
}

/// The end of a task.
#[derive(Debug)]
pub(crate) struct TaskEnd {
    /// The task's result, over all items.
    pub total: ItemResult,
    /// Where its failure led, if it failed.
    pub fallout: Option<Fallout>,
    /// Notified names that no handler has.
    pub unknown_handlers: Vec<String>,
    /// The task.
    pub progress: Progress,
}

/// `ansible_loop`.
fn extended(items: &[Value], at: usize) -> Value {
    let mut map = vec![
        ("allitems", Value::from(items.to_vec())),
        ("index", Value::from(at + 1)),
        ("index0", Value::from(at)),
        ("revindex", Value::from(items.len() - at)),
        ("revindex0", Value::from(items.len() - at - 1)),
        ("first", Value::from(at == 0)),
        ("last", Value::from(at + 1 == items.len())),
        ("length", Value::from(items.len())),
    ];
    if let Some(next) = items.get(at + 1) {
        map.push(("nextitem", next.clone()));
    }
    if let Some(previous) = at.checked_sub(1).and_then(|i| items.get(i)) {
        map.push(("previtem", previous.clone()));
    }
    Value::from_pairs(map)
}
