//! One host in one play: the loop that observes, decides and acts until the walk ends.

use super::context::HostContext;
use super::control::Control;
use super::due::Due;
use super::fingerprint::fingerprint;
use super::flight::Flight;
use super::outage::Outage;
use super::position::{Ended, Key, Position, TaskEnd};
use super::prepare::{HostStep, Prepared, failed, judge, number};
use super::result::{ItemResult, StepResult};
use super::turn::{self, Acted, Cache, Looked, Turn, View};
use super::walk::{Fallout, Place};
use crate::modules::{Decision, Outcome, Probe};
use crate::remote::{LinkError, LinkErrorKind};
use crate::report::Event;
use crate::report::event::{HostRecap, Status, StepEnd, TaskInfo};
use crate::vars::HOSTVARS;
use minijinja::Value;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a host left a play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// At the end.
    Done,
    /// A step failed.
    Failed,
    /// It cannot be reached.
    Unreachable,
    /// The user stopped the run.
    Interrupted,
}

/// What a host brings back from a play.
pub(crate) struct Back {
    /// How it left.
    pub left: Left,
    /// Its position, for what it learned.
    pub position: Position,
    /// What was observed of it.
    pub cache: Cache,
    /// Its figures in this play.
    pub recap: HostRecap,
    /// `meta: end_play` was reached.
    pub end_play: bool,
    /// Hosts that were out before this place are not out any more: `meta: clear_host_errors`.
    pub absolved: Option<Place>,
}

struct Driver {
    cx: Arc<HostContext>,
    position: Position,
    cache: Cache,
    looked: Looked,
    ready: HashMap<Key, HostStep>,
    acted: VecDeque<(Acted, Duration)>,
    due: Due,
    /// Handlers of the steps that are being carried out.
    promised: Vec<usize>,
    flight: Flight,
    left: Left,
    end_play: bool,
    absolved: Option<Place>,
    outage: Outage,
    /// A change that waits to be confirmed.
    guarding: Option<HostStep>,
    at: Place,
    shown: Option<Arc<TaskInfo>>,
}

/// Runs a host through its play.
pub(crate) async fn drive(cx: Arc<HostContext>, position: Position, cache: Cache) -> Back {
    let options = &cx.run.options;
    let folder = options.due.as_deref().filter(|_| !options.check);
    let file = std::path::Path::new(&cx.play.span.source.name);
    let title = cx.play.base.name.as_ref().unwrap_or(&cx.play.hosts);
    let title = title.as_str().unwrap_or_default();
    let play = format!("{}: {title}", crate::playbook::absolute(file));
    let due = Due::open(folder, &cx.host, play);
    let mut driver = Driver {
        flight: Flight::new(&cx),
        cx,
        due,
        promised: Vec::new(),
        position,
        cache,
        looked: Looked::new(),
        ready: HashMap::new(),
        acted: VecDeque::new(),
        left: Left::Done,
        end_play: false,
        absolved: None,
        outage: Outage::default(),
        guarding: None,
        at: Place::new(),
        shown: None,
    };
    driver.claim();
    while driver.step().await {}
    driver.settle();
    driver.publish();
    driver.cx.board.end(&driver.cx.host);
    if driver.position.walk.dead && driver.left == Left::Done {
        driver.left = Left::Failed;
    }
    Back {
        left: driver.left,
        position: driver.position,
        cache: driver.cache,
        recap: driver.flight.ends(),
        end_play: driver.end_play,
        absolved: driver.absolved,
    }
}

impl Driver {
    /// One step on; false at the end.
    async fn step(&mut self) -> bool {
        for gift in self.cx.run.shared.given(&self.cx.host) {
            self.position.state.accept(gift);
        }
        let key = self.position.approach(&self.cx);
        if self.guarding.is_some() && !self.position.walk.in_flush() && !self.confirm().await {
            return false;
        }
        // What has ended on the host is told in any case.
        if self.acted.is_empty() && self.interrupted() {
            return false;
        }
        let Some(key) = key else {
            return false;
        };
        if key.0 != self.at {
            self.at.clone_from(&key.0);
            self.publish();
            self.cx.board.arrive(&self.cx.host, key.0.clone());
            if !self.stepped(&key.0).await {
                self.position.pass();
                return true;
            }
        }
        if self
            .acted
            .front()
            .is_some_and(|(acted, _)| acted.segment.step.key == key)
            && let Some((acted, elapsed)) = self.acted.pop_front()
        {
            self.restore(&acted.segment.step);
            return self.acted(acted, elapsed).await;
        }
        if let Some(step) = self.ready.remove(&key) {
            self.restore(&step);
            return self.host_step(step).await;
        }
        match self.position.prepare(&self.cx) {
            Prepared::End => false,
            Prepared::Host(step) => self.host_step(*step).await,
            Prepared::Done(result) => self.judge_and_take(*result, Duration::ZERO).await,
            Prepared::Control(control) => self.control(*control).await,
            Prepared::Once => self.once(&key.0).await,
            Prepared::Pending(what) => self.pending(&what, &key.0).await,
        }
    }

    /// Whether the user wants to stop; then the host is out.
    fn interrupted(&mut self) -> bool {
        let wanted = self.cx.run.stop.wanted();
        if wanted {
            self.left = Left::Interrupted;
        }
        wanted
    }

    /// With `--step`: whether the user wants the task. All hosts come here before it is asked.
    async fn stepped(&self, place: &Place) -> bool {
        let run = &self.cx.run;
        let Some(progress) = &self.position.progress else {
            return true;
        };
        if !run.steps.asking() || progress.info.module.rsplit('.').next() == Some("meta") {
            return true;
        }
        self.cx.board.wait(&self.cx.host, place).await;
        let name = match &progress.info.role {
            Some(role) => format!("{role} : {}", progress.info.name),
            None => progress.info.name.clone(),
        };
        let wanted = run.steps.ask(run, (self.cx.index, place), &name).await;
        wanted.unwrap_or_else(|| {
            run.stop.finish();
            false
        })
    }

    /// A step rendered while planning ahead knows its loop's items already.
    fn restore(&mut self, step: &HostStep) {
        if let Some(progress) = &mut self.position.progress
            && progress.items.is_none()
        {
            progress.items.clone_from(&step.items);
        }
    }

    /// Handlers that an earlier run left due are notified again.
    fn claim(&mut self) {
        let handlers = Arc::clone(self.position.walk.handlers());
        for (index, name) in self.due.claim(&handlers) {
            self.position.walk.notify(index);
            self.tell(format!(
                "handler `{name}` is still due from an earlier run that did not come to it"
            ));
        }
    }

    /// Writes down which handlers are due.
    fn keep_due(&mut self) {
        let handlers = Arc::clone(self.position.walk.handlers());
        let walk = self.position.walk.due();
        let due: Vec<usize> = walk.chain(self.promised.iter().copied()).collect();
        if let Err(why) = self.due.keep(due, &handlers) {
            self.tell(format!("the handlers that are due cannot be kept: {why}"));
        }
    }

    /// At the end of the play.
    fn settle(&mut self) {
        if self.left == Left::Done && !self.position.walk.dead {
            for name in self.due.give_up() {
                self.tell(format!(
                    "handler `{name}` was due from an earlier run, and this play has none of that name any more"
                ));
            }
        }
        self.keep_due();
    }

    fn tell(&self, text: String) {
        let host = Some(Arc::clone(&self.cx.host));
        self.cx.run.emit(Event::Warning { host, text });
    }

    fn publish(&self) {
        self.cx
            .run
            .shared
            .publish(&self.cx.host, &self.position.state);
    }

    /// Something that is not known yet: what other hosts learn is waited for.
    async fn pending(&mut self, what: &str, place: &Place) -> bool {
        if what == HOSTVARS && !self.position.is_cleared() {
            self.cx.board.wait(&self.cx.host, place).await;
            self.position.cleared = Some(place.clone());
            return true;
        }
        self.take(StepResult::of(Outcome::failed(format!(
            "{what} is not known"
        ))))
        .await
    }

    /// `run_once`: the first host runs it, the others take its result.
    async fn once(&mut self, place: &Place) -> bool {
        let board = Arc::clone(&self.cx.board);
        match board.once(&self.cx.host, place).await {
            None => {
                self.position.cleared = Some(place.clone());
                true
            }
            Some(once) => {
                let end = self.position.adopt(&once);
                self.handle(Ended {
                    item: None,
                    task: end,
                });
                !self.over()
            }
        }
    }

    async fn control(&mut self, control: Control) -> bool {
        match control {
            Control::Pause(time) => {
                let start = now();
                self.cx.run.rest(time).await;
                let outcome = Outcome::ok()
                    .with("delta", time.as_secs())
                    .with(
                        "stdout",
                        format!("Paused for {:?} seconds", time.as_secs_f64()),
                    )
                    .with("stderr", "")
                    .with("rc", 0)
                    .with("echo", true)
                    .with("user_input", "")
                    .with("start", start)
                    .with("stop", now());
                self.take(StepResult::of(outcome)).await
            }
            Control::Prompt { text, echo } => {
                let answer = self.cx.run.ask(&text, echo).await;
                let outcome = match answer {
                    Ok(text) => Outcome::ok().with("user_input", text),
                    Err(why) => Outcome::failed(why),
                };
                self.take(StepResult::of(outcome)).await
            }
            Control::Wait(wait) => {
                if let Some(progress) = &self.position.progress {
                    let info = Arc::clone(&progress.info);
                    self.show(&info);
                }
                let started = Instant::now();
                let outcome = wait.run(&self.cx).await;
                self.cache.forget_all(&wait.target);
                self.acted.clear();
                self.ready.clear();
                let frame = wait.frame;
                let result = StepResult {
                    item: frame.item,
                    label: frame.label,
                    ignored: frame.ignored,
                    no_log: frame.no_log,
                    delegate: frame.delegate,
                    ..StepResult::of(outcome)
                };
                self.judge_and_take(result, started.elapsed()).await
            }
            Control::ResetConnection => {
                self.cx.run.links.reset(&self.cx.host).await;
                self.take(StepResult::of(Outcome::ok())).await
            }
            Control::EndAll { batch } => {
                self.end_play = !batch;
                self.applied(Control::EndHost)
            }
            Control::ClearErrors => {
                self.absolved = Some(self.at.clone());
                self.applied(Control::Noop)
            }
            Control::EndHost => {
                self.cx.board.leave(&self.cx.host, self.at.clone());
                self.applied(Control::EndHost)
            }
            Control::AddHost { name, groups, vars } => {
                let mut outcome = Outcome::ok();
                outcome.changed = self.cx.run.add_host(&name, &groups, &vars);
                let added = [
                    ("host_name", Value::from(name)),
                    ("groups", groups.into_iter().collect()),
                    ("host_vars", Value::from_pairs(vars)),
                ];
                outcome
                    .data
                    .insert("add_host".into(), Value::from_pairs(added));
                self.decided(outcome).await
            }
            Control::GroupBy { group, parents } => {
                let mut outcome = Outcome::ok();
                outcome.changed = self.cx.run.group_by(&self.cx.host, &group, &parents);
                outcome = outcome
                    .with("add_group", group)
                    .with("parent_groups", parents.into_iter().collect::<Value>());
                self.decided(outcome).await
            }
            control => self.applied(control),
        }
    }

    /// Takes over what needs no waiting.
    fn applied(&mut self, control: Control) -> bool {
        let place = self.position.walk.place();
        let ended = self.position.apply(&self.cx, control).unwrap_or_default();
        self.share(&place, &ended, Vec::new());
        self.handle(ended);
        !self.over()
    }

    /// The outcome of something that the driver itself did.
    async fn decided(&mut self, outcome: Outcome) -> bool {
        let result = self.position.framed(&self.cx, StepResult::of(outcome));
        self.judge_and_take(result, Duration::ZERO).await
    }

    /// Publishes the result of a `run_once` task that this host ran for all.
    fn share(&self, place: &Place, ended: &Ended, sets: Vec<(String, Value)>) {
        if self.position.cleared.as_ref() == Some(place)
            && let Some(task) = &ended.task
        {
            self.cx
                .board
                .publish(place, Arc::new((task.total.clone(), sets)));
        }
    }

    /// Observe, decide, act for the step the host stands at.
    async fn host_step(&mut self, step: HostStep) -> bool {
        if self.outage.doubtful.remove(&step.key) {
            return self.in_doubt(&step).await;
        }
        let view = (Arc::clone(&step.target), step.who.clone());
        let mut probes = step.step.probes();
        probes.extend(self.looked.get(&step.key).into_iter().flatten().cloned());
        if let Some(seen) = self.cache.answers(&view, &probes) {
            match step.step.decide(&seen) {
                Decision::Done(outcome) => {
                    let mut result = step.result(outcome);
                    result.before = fingerprint(&seen);
                    return self.judge_and_take(result, Duration::ZERO).await;
                }
                Decision::Act(plan) if step.check => {
                    let mut result = step.predicted(plan);
                    result.before = fingerprint(&seen);
                    return self.judge_and_take(result, Duration::ZERO).await;
                }
                Decision::Act(_) => {}
                Decision::Look(more) => {
                    let known = self.looked.entry(step.key.clone()).or_default();
                    let new: Vec<Probe> =
                        more.into_iter().filter(|p| !probes.contains(p)).collect();
                    if new.is_empty() {
                        let text = format!(
                            "module `{}` keeps asking what it already knows",
                            step.module
                        );
                        return self.take(step.result(Outcome::failed(text))).await;
                    }
                    known.extend(new);
                    return self.host_step_again(step).await;
                }
            }
        }
        self.take_turn(step).await
    }

    /// With more probes: perhaps they are known already.
    async fn host_step_again(&mut self, step: HostStep) -> bool {
        self.ready.insert(step.key.clone(), step);
        true
    }

    /// One exchange with the host.
    async fn take_turn(&mut self, step: HostStep) -> bool {
        if self.interrupted() {
            return false;
        }
        // What comes after a guarded change waits until that is confirmed.
        let alone = self.guarding.is_some();
        let (cache, looked) = (&self.cache, &self.looked);
        let ahead = turn::plan(&self.cx, &self.position, &step, cache, looked, alone);
        for (key, planned) in ahead.ready {
            self.ready.entry(key).or_insert(planned);
        }
        self.show(&step.info);
        let segments = ahead.turns.iter().flat_map(|turn| &turn.segments);
        self.promised
            .extend(segments.flat_map(|segment| segment.notifies.iter().copied()));
        self.keep_due();
        self.ready.insert(step.key.clone(), step.clone());
        let view = (Arc::clone(&step.target), step.who.clone());
        let asked = step.step.probes();
        let observing = ahead.turns.iter().all(|turn| turn.segments.is_empty());
        for turn in ahead.turns {
            if turn.segments.is_empty() && turn.ahead.is_empty() {
                continue;
            }
            let started = Instant::now();
            let (target, who) = turn.view.clone();
            let run = Arc::clone(&self.cx.run);
            if let Some(first) = turn.segments.first() {
                self.flight
                    .takes_off(&first.step.info, turn.segments.len() - 1);
            }
            let replies = run.links.turn(&self.cx, &target, &who, &turn).await;
            self.flight.lands();
            let replies = match replies {
                Ok(replies) => replies,
                // Somebody who is needed only later may not be there yet: that step says so when its time has come.
                Err(error)
                    if error.kind == LinkErrorKind::Become
                        && (&target, &who) != (&step.target, &step.who) =>
                {
                    if turn.segments.is_empty() {
                        continue;
                    }
                    break;
                }
                Err(error) => return self.broken(&step, turn, error).await,
            };
            let view = turn.view.clone();
            let brought = match turn.read(replies) {
                Ok(brought) => brought,
                Err(why) => return self.take(step.result(Outcome::failed(why))).await,
            };
            let elapsed = started.elapsed();
            self.keep(&view, brought.acted, elapsed);
            if let Some(seen) = brought.ahead {
                self.cache.learn(&view, &seen);
            }
        }
        if observing && self.cache.answers(&view, &asked).is_none() {
            let text = "the host did not answer all that was asked";
            return self.take(step.result(Outcome::failed(text))).await;
        }
        true
    }

    /// Keeps what steps did until the host comes to them, and forgets what they may have changed.
    fn keep(&mut self, view: &View, all: Vec<Acted>, elapsed: Duration) {
        for acted in all {
            for effect in &acted.segment.plan.effects {
                self.cache.forget(&view.0, effect);
            }
            if acted.after.is_empty() && acted.replies.iter().any(|reply| reply.rc != 0) {
                // Nobody knows how far it came.
                self.cache.forget_all(&view.0);
            }
            self.cache.learn(view, &acted.after);
            self.acted.push_back((acted, elapsed));
        }
    }

    /// The result of a step that acted.
    async fn acted(&mut self, acted: Acted, elapsed: Duration) -> bool {
        let Acted {
            segment,
            replies,
            after,
        } = acted;
        let mut outcome = segment.step.step.finish(&segment.before, &replies, &after);
        if outcome.diff.is_empty() {
            outcome.diff.clone_from(&segment.plan.predicted.diff);
        }
        let mut result = segment.step.result(outcome);
        result.before = fingerprint(&segment.before);
        result.after = fingerprint(&after);
        let spent: Duration = replies.iter().map(|reply| reply.elapsed).sum();
        let guarded = segment.step.guard.is_some() && !result.outcome.failed;
        let go_on = self
            .judge_and_take(result, if spent.is_zero() { elapsed } else { spent })
            .await;
        if guarded && go_on {
            // The handlers it notified are part of the change.
            self.position.walk.flush();
            self.guarding = Some(segment.step);
        }
        go_on
    }

    /// Whether the host still lets us in after a guarded change. If not, it puts the change back by itself.
    async fn confirm(&mut self) -> bool {
        let Some(step) = self.guarding.take() else {
            return true;
        };
        let Some(guard) = step.guard.clone() else {
            return true;
        };
        let until = Instant::now() + guard.limit;
        let mut why = String::from("it was too late");
        while Instant::now() < until {
            let who = (&step.who, step.password.clone());
            let links = &self.cx.run.links;
            let tried = links.anew(&self.cx, &step.target, who, guard.disarm());
            match tokio::time::timeout_at(until.into(), tried).await {
                Ok(Ok(reply)) if reply.ok() => return true,
                Ok(Ok(_)) => break,
                Ok(Err(error)) => why = error.message,
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let text = format!(
            "not confirmed within {} s, so the host puts the old state back: {why}",
            guard.limit.as_secs()
        );
        let hint = "this change would have locked us out; run again after mending it";
        let mut result = step.result(Outcome::failed(text));
        result.hint = Some(hint.into());
        let item = result.into_item(&self.cx);
        self.flight.recap.failed += 1;
        self.left = Left::Failed;
        self.position.walk.end();
        self.position.walk.dead = true;
        let event = self.event(Arc::clone(&step.info), item, None);
        self.cx.run.emit(Event::Task(Box::new(event)));
        false
    }

    /// Applies `changed_when` and `failed_when`, tries again where `until` wants it, and takes the result over.
    async fn judge_and_take(&mut self, mut result: StepResult, elapsed: Duration) -> bool {
        result.elapsed = elapsed;
        if let Err(error) = judge(&self.cx, &self.position, &mut result) {
            let bad = failed(&error);
            result.outcome.failed = true;
            result.outcome.msg = bad.outcome.msg;
            result.hint = bad.hint;
        }
        if self.position.retry_wanted(&self.cx, &result) {
            return self.retry().await;
        }
        if let Some(progress) = &self.position.progress {
            let task = &progress.stop.task;
            result.attempts = progress.attempt;
            if !task.until.is_empty() && progress.attempt > 1 && !result.outcome.failed {
                // The last attempt counts as failed when the condition never held.
                let held = super::prepare::all_hold(&self.cx, &self.position, &result, &task.until);
                result.outcome.failed = !held.unwrap_or(false);
            }
            if let Some(looped) = &task.looped
                && !looped.break_when.is_empty()
            {
                result.ends_loop =
                    super::prepare::all_hold(&self.cx, &self.position, &result, &looped.break_when)
                        .unwrap_or(false);
            }
        }
        self.take(result).await
    }

    /// Waits `delay` and starts the next attempt.
    async fn retry(&mut self) -> bool {
        let scope = self.position.scope(&self.cx);
        let Some(progress) = &mut self.position.progress else {
            return false;
        };
        progress.attempt += 1;
        let node = progress.stop.task.delay.as_ref();
        let delay = scope
            .and_then(|scope| number(&self.cx, &scope, node).ok().flatten())
            .unwrap_or(5.0);
        // What was planned behind the first attempt has not happened.
        self.acted.clear();
        self.ready.clear();
        self.cache = Cache::default();
        let delay = Duration::from_secs_f64(delay.clamp(0.0, 86_400.0));
        self.cx.run.rest(delay).await;
        true
    }

    async fn take(&mut self, mut result: StepResult) -> bool {
        if result.outcome.failed && result.hint.is_none() {
            result.hint = hint(&result);
        }
        let pause = self.position.progress.as_ref().and_then(|progress| {
            let node = progress.stop.task.looped.as_ref()?.pause.as_ref()?;
            let more = progress
                .items
                .as_ref()
                .is_some_and(|items| progress.at + 1 < items.len());
            more.then(|| {
                number(&self.cx, &self.position.scope(&self.cx)?, Some(node))
                    .ok()
                    .flatten()
            })?
        });
        let place = self.position.walk.place();
        let sets = result.sets.clone();
        let ended = self.position.commit(&self.cx, result);
        self.share(&place, &ended, sets);
        self.handle(ended);
        if let Some(seconds) = pause {
            let pause = Duration::from_secs_f64(seconds.clamp(0.0, 86_400.0));
            self.cx.run.rest(pause).await;
        }
        !self.over()
    }

    fn over(&self) -> bool {
        self.left == Left::Unreachable
    }

    /// The line broke. What ended is told, and what can be observed is observed again over a new line; a command that
    /// cannot be observed and may have run is not run twice.
    async fn broken(&mut self, step: &HostStep, turn: Turn, mut error: LinkError) -> bool {
        let (target, _) = turn.view.clone();
        let ended = std::mem::take(&mut error.ended);
        if error.kind == LinkErrorKind::Unreachable && self.outage.waits() {
            return self.reconnect(&target, None).await;
        }
        if error.kind != LinkErrorKind::Lost {
            return self.unreachable(step, &target, &error).await;
        }
        let view = turn.view.clone();
        let (acted, doubtful) = turn.salvage(ended);
        self.cache.forget_all(&target);
        self.acted.clear();
        self.keep(&view, acted, Duration::ZERO);
        self.cache.forget_all(&target);
        if error.begun {
            self.outage.doubtful.extend(doubtful);
        }
        // What was under way may have been done: then nobody will see it change, and its handlers are due all the same.
        for index in std::mem::take(&mut self.promised) {
            self.position.walk.notify(index);
        }
        match self.outage.begin(&error.message) {
            Some(text) => self.reconnect(&target, Some(text)).await,
            None => self.unreachable(step, &target, &error).await,
        }
    }

    /// Waits a while before the next turn, which connects again.
    async fn reconnect(&mut self, target: &str, text: Option<String>) -> bool {
        if let Some(text) = text {
            self.tell(text);
        }
        self.cache.forget_all(target);
        let pause = self.outage.pause();
        self.cx.run.rest(pause).await;
        true
    }

    /// A command was under way when the line broke: nobody knows whether it ran. The task's `retries` allow it to run again,
    /// else the user decides.
    async fn in_doubt(&mut self, step: &HostStep) -> bool {
        let message = self.outage.message();
        let error = LinkError::new(LinkErrorKind::Lost, message).hint(
            "look at the host; `--resume` runs it again and goes on, as `retries` on the task does",
        );
        let failed = step.result(Outcome::failed(error.message.clone()));
        if self.position.retry_wanted(&self.cx, &failed) {
            self.tell(format!("{}; it is tried again", error.message));
            return self.retry().await;
        }
        self.unreachable(step, &Arc::clone(&step.target), &error)
            .await
    }

    async fn unreachable(&mut self, step: &HostStep, target: &str, error: &LinkError) -> bool {
        let mut result = step.result(Outcome::failed(error.message.clone()));
        result.hint.clone_from(&error.hint);
        // Being refused by sudo is a failure of the step, not of the line.
        result.unreachable = !matches!(error.kind, LinkErrorKind::Become | LinkErrorKind::Locked);
        if target != &*self.cx.host {
            result.delegate = Some(target.to_owned());
        }
        self.acted.clear();
        self.ready.clear();
        self.cache.forget_all(target);
        if !result.unreachable {
            return self.take(result).await;
        }
        let item = result.into_item(&self.cx);
        let info = Arc::clone(&step.info);
        self.flight.recap.unreachable = 1;
        self.left = Left::Unreachable;
        self.position.walk.end();
        self.cx.board.leave(&self.cx.host, self.at.clone());
        self.cx
            .run
            .emit(Event::Task(Box::new(self.event(info, item, None))));
        false
    }

    fn show(&mut self, info: &Arc<TaskInfo>) {
        if !self
            .shown
            .as_ref()
            .is_some_and(|shown| Arc::ptr_eq(shown, info))
        {
            self.shown = Some(Arc::clone(info));
            let (host, task) = (Arc::clone(&self.cx.host), Arc::clone(info));
            self.cx.run.emit(Event::TaskStart { host, task });
        }
    }

    /// Counts and tells what ended.
    fn handle(&mut self, ended: Ended) {
        let info = ended
            .task
            .as_ref()
            .map(|end| Arc::clone(&end.progress.info));
        let info = info.or_else(|| self.position.progress.as_ref().map(|p| Arc::clone(&p.info)));
        if let Some(item) = ended.item {
            self.warn(&item);
            let event = self.event(info.clone().unwrap_or_default(), item, None);
            self.cx.run.emit(Event::Item(Box::new(event)));
        }
        let Some(end) = ended.task else { return };
        let TaskEnd {
            total,
            fallout,
            unknown_handlers,
            progress,
        } = end;
        for name in unknown_handlers {
            self.cx.run.emit(Event::Warning {
                host: Some(Arc::clone(&self.cx.host)),
                text: format!(
                    "The requested handler '{name}' was not found in either the main handlers list nor in the listening handlers list ({})",
                    progress.info.place
                ),
            });
        }
        if matches!(
            progress.stop.task.action.name.rsplit('.').next(),
            Some("meta")
        ) && total.status == Status::Ok
        {
            return;
        }
        let recap = &mut self.flight.recap;
        match total.status {
            Status::Ok => recap.ok += 1,
            Status::Changed => {
                recap.ok += 1;
                recap.changed += 1;
            }
            Status::Skipped => recap.skipped += 1,
            Status::Failed if total.ignored => {
                recap.ok += 1;
                recap.ignored += 1;
            }
            Status::Failed if fallout == Some(Fallout::Rescued) => recap.rescued += 1,
            Status::Failed => recap.failed += 1,
            Status::Unreachable => recap.unreachable = 1,
        }
        if fallout == Some(Fallout::Dead) {
            self.cx.board.leave(&self.cx.host, self.at.clone());
        }
        if fallout.is_some() {
            // Tasks planned on the way that failed may now see other variables.
            self.ready.clear();
            self.acted.clear();
        }
        if progress.items.is_none() {
            self.warn(&total);
        }
        let event = self.event(progress.info, total, fallout);
        self.cx.run.emit(Event::Task(Box::new(event)));
        let under_way = self.acted.iter().map(|(acted, _)| &acted.segment);
        self.promised = under_way
            .flat_map(|segment| segment.notifies.iter().copied())
            .collect();
        self.claim();
        self.keep_due();
    }

    fn warn(&self, item: &ItemResult) {
        for text in &item.warnings {
            let host = Some(Arc::clone(&self.cx.host));
            self.cx.run.emit(Event::Warning {
                host,
                text: text.clone(),
            });
        }
    }

    fn event(&self, task: Arc<TaskInfo>, item: ItemResult, fallout: Option<Fallout>) -> StepEnd {
        let hide = item.no_log;
        let shown = |text: Option<String>| text.filter(|_| !hide);
        StepEnd {
            host: Arc::clone(&self.cx.host),
            delegate: item.delegate,
            task,
            item: if hide {
                item.label.map(|_| "(hidden)".into())
            } else {
                item.label
            },
            status: item.status,
            ignored: item.ignored,
            rescued: fallout == Some(Fallout::Rescued),
            msg: if hide {
                Some("hidden by `no_log`".into())
            } else {
                item.msg
            },
            hint: shown(item.hint),
            result: if hide { Value::UNDEFINED } else { item.value },
            diff: if hide { Vec::new() } else { item.diff },
            no_log: hide,
            attempts: item.attempts,
            elapsed: item.elapsed,
            before: item.before,
            after: item.after,
        }
    }
}

/// The time here, as Python writes it.
fn now() -> String {
    let form = time::macros::format_description!(
        "[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6]"
    );
    let now = time::OffsetDateTime::now_local();
    let now = now.unwrap_or_else(|_| time::OffsetDateTime::now_utc());
    now.format(&form).unwrap_or_default()
}

/// A hint for the commonest failures.
fn hint(result: &StepResult) -> Option<String> {
    let msg = result.outcome.msg.as_deref()?;
    let err = result
        .outcome
        .data
        .get("stderr")
        .and_then(Value::as_str)
        .unwrap_or("");
    let says = |text: &str| msg.contains(text) || err.contains(text);
    if says("Permission denied") || says("Operation not permitted") {
        return Some("it may need `become: true`".into());
    }
    if says("Could not get lock") {
        return Some(
            "another apt or dpkg is running on the host; `lock_timeout` sets how long to wait"
                .into(),
        );
    }
    None
}
