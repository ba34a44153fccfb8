//! From the task at a position to a step: tags, loop, `when`, arguments, who and where.

use super::background::{Status, Timed};
use super::chain::Chain;
use super::context::HostContext;
use super::control::{self, Control};
use super::guard::{Guard, Guarded};
use super::position::{Key, Position, Progress};
use super::result::StepResult;
use super::walk::Stop;
use crate::diag::Diagnostic;
use crate::modules::{
    self, Args, Controller, Failure, Outcome, Plan, Runs, Spec, Step, TemplateOptions,
};
use crate::playbook::ast::{Base, Loop, LoopKind, Task};
use crate::remote::{BecomePassword, Identity, Secret};
use crate::report::event::TaskInfo;
use crate::template::{self, Scope, TemplateError};
use crate::vars::StepScope;
use crate::yaml::{Kind, Node};
use indexmap::IndexMap;
use minijinja::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// What is next at a position.
pub(crate) enum Prepared {
    /// The play has ended for this host.
    End,
    /// It needs something that is not known yet.
    Pending(String),
    /// A `run_once` task that waits for its turn among the hosts.
    Once,
    /// A step on a host.
    Host(Box<HostStep>),
    /// A result that needs no host.
    Done(Box<StepResult>),
    /// Something the engine itself must do.
    Control(Box<Control>),
}

/// A step on a host, ready to be observed.
#[derive(Clone)]
pub(crate) struct HostStep {
    /// Which step.
    pub key: Key,
    /// The task.
    pub info: Arc<TaskInfo>,
    /// The module's step.
    pub step: Arc<dyn Step>,
    /// The host it runs on.
    pub target: Arc<str>,
    /// As whom.
    pub who: Identity,
    /// Password for `who`.
    pub password: BecomePassword,
    /// Prefix of its action scripts: the environment.
    pub env: String,
    /// What its change waits for.
    pub guard: Option<Guard>,
    /// Limit of each action.
    pub timeout: Option<Duration>,
    /// The loop's items, if it is one of a loop.
    pub items: Option<Arc<Vec<Value>>>,
    /// How its result is judged.
    pub frame: StepFrame,
    /// Whether it only predicts.
    pub check: bool,
    /// Whether differences are shown.
    pub diff: bool,
    /// Whether what comes after depends on judging its result (`failed_when`, `until`…).
    pub barrier: bool,
    /// The module brings its own results on a non-zero exit (`command`): short name.
    pub module: &'static str,
}

/// What of a step's result does not depend on the module.
#[derive(Debug, Clone, Default)]
pub(crate) struct StepFrame {
    /// The loop item, with its variable's name.
    pub item: Option<(Arc<str>, Value)>,
    /// The item's label.
    pub label: Option<String>,
    /// `ignore_errors`.
    pub ignored: bool,
    /// `no_log`.
    pub no_log: bool,
    /// Where it runs, when delegated.
    pub delegate: Option<String>,
}

impl HostStep {
    /// A result of this step.
    pub(crate) fn result(&self, mut outcome: Outcome) -> StepResult {
        if !self.diff {
            outcome.diff.clear();
        }
        let frame = self.frame.clone();
        StepResult {
            item: frame.item,
            label: frame.label,
            ignored: frame.ignored,
            no_log: frame.no_log,
            delegate: frame.delegate,
            ..StepResult::of(outcome)
        }
    }

    /// What check mode says of a plan.
    pub(crate) fn predicted(&self, plan: Plan) -> StepResult {
        let mut outcome = plan.predicted;
        if plan.opaque {
            outcome.skipped = true;
        }
        self.result(outcome)
    }
}

/// Why a step has no result but an error.
enum Stopped {
    Pending(String),
    Failed(Box<StepResult>),
}

impl From<TemplateError> for Stopped {
    fn from(error: TemplateError) -> Self {
        match error {
            TemplateError::Pending(what) => Self::Pending(what),
            error => Self::Failed(Box::new(failed(&error))),
        }
    }
}

/// A failed result from a template error, with its place.
pub(crate) fn failed(error: &TemplateError) -> StepResult {
    if let TemplateError::Undefined {
        said, diagnostic, ..
    } = error
    {
        let mut shown = Diagnostic::clone(diagnostic);
        shown.message = format!(
            "The task includes an option with an undefined variable. The error was: {said}"
        );
        return from_diagnostic(&shown);
    }
    match error.diagnostic() {
        Some(diagnostic) => from_diagnostic(diagnostic),
        None => StepResult::of(Outcome::failed(error.to_string())),
    }
}

fn from_diagnostic(diagnostic: &Diagnostic) -> StepResult {
    let place = diagnostic
        .span
        .as_ref()
        .map_or(String::new(), |span| format!(" ({span})"));
    let mut result = StepResult::of(Outcome::failed(format!("{}{place}", diagnostic.message)));
    result.hint.clone_from(&diagnostic.hint);
    result
}

impl Position {
    /// Renders what is next. Moves past tasks that the tags leave out.
    pub(crate) fn prepare(&mut self, cx: &HostContext) -> Prepared {
        if self.approach(cx).is_none() {
            return Prepared::End;
        }
        match self.prepare_current(cx) {
            Ok(prepared) => prepared,
            Err(Stopped::Pending(what)) => Prepared::Pending(what),
            Err(Stopped::Failed(result)) => Prepared::Done(Box::new(self.framed(cx, *result))),
        }
    }

    /// Starts on a task.
    pub(crate) fn begin(&self, cx: &HostContext, stop: Stop) -> Progress {
        let task = &stop.task;
        let name = task
            .base
            .name
            .as_ref()
            .and_then(|node| cx.texts(self, &stop, node).into_iter().next());
        // An unrenderable name (a loop variable, a pending result) is shown as written.
        let name = name
            .or_else(|| {
                task.base
                    .name
                    .as_ref()
                    .and_then(Node::as_str)
                    .map(str::to_owned)
            })
            .unwrap_or_else(|| task.action.name.to_string());
        let info = Arc::new(TaskInfo {
            name,
            module: task.action.name.to_string(),
            place: task.span.to_string(),
            role: stop.chain.role.as_ref().map(|used| used.role.name.clone()),
            handler: stop.handler,
            play: cx.index,
            start: self.walk.is_fixed(),
        });
        Progress {
            stop,
            info,
            items: None,
            at: 0,
            attempt: 1,
            written: None,
            results: Vec::new(),
            included: Vec::new(),
        }
    }

    /// Puts the item's label and `ignore_errors` around a result that came before the step was made.
    pub(crate) fn framed(&self, cx: &HostContext, mut result: StepResult) -> StepResult {
        let Some(scope) = self.scope(cx) else {
            return result;
        };
        let frame = self.frame(cx, &scope).unwrap_or_default();
        result.item = frame.item;
        result.label = frame.label;
        result.ignored = frame.ignored;
        result.no_log = frame.no_log;
        result
    }

    fn prepare_current(&mut self, cx: &HostContext) -> Result<Prepared, Stopped> {
        let Some(progress) = &self.progress else {
            return Ok(Prepared::End);
        };
        let stop = progress.stop.clone();
        let task = &stop.task;
        if !self.is_cleared() && run_once(cx, self, &stop) {
            return Ok(Prepared::Once);
        }
        if let Some(looped) = &task.looped
            && progress.items.is_none()
        {
            let items = match self.loop_items(cx, &stop, looped) {
                Ok(items) => items,
                Err(error) => {
                    // A false condition excuses a loop over something undefined.
                    let scope = self.scope(cx).ok_or(Stopped::Pending("scope".into()))?;
                    if let Ok(Some(condition)) = false_condition(cx, &stop, &scope) {
                        return Ok(Prepared::Done(Box::new(StepResult::skipped(
                            SKIP,
                            Some(&condition),
                        ))));
                    }
                    return Err(error);
                }
            };
            let none = items.is_empty();
            if let Some(progress) = &mut self.progress {
                progress.items = Some(Arc::new(items));
            }
            if none {
                return Ok(Prepared::Control(Box::new(Control::EmptyLoop)));
            }
        }
        let scope = self.scope(cx).ok_or(Stopped::Pending("scope".into()))?;
        if let Some(condition) = false_condition(cx, &stop, &scope)? {
            let result = StepResult::skipped(SKIP, Some(&condition));
            return Ok(Prepared::Done(Box::new(self.framed(cx, result))));
        }
        self.resolve_action(cx, &scope)?;
        let stop = match &self.progress {
            Some(progress) => progress.stop.clone(),
            None => stop,
        };
        let (task, chain) = (&stop.task, &stop.chain);
        let frame = self.frame(cx, &scope)?;
        let Some(spec) = control::spec(task) else {
            let text = format!(
                "module `{}` is known to Ansible but not supported here ({})",
                task.action.name, task.action.span
            );
            return Err(Stopped::Failed(Box::new(StepResult::of(Outcome::failed(
                text,
            )))));
        };
        if spec.runs == Runs::Engine {
            return self.prepare_control(cx, &stop, &scope, spec, frame);
        }
        let args = self.args(cx, &stop, &scope, spec)?;
        let target = self.target(cx, &stop, &scope)?;
        let (who, password) = identity(cx, &stop, &scope, &target)?;
        let controller = StepController::new(cx, &stop, &scope, &who)?;
        let planned = match modules::find(&task.action.name) {
            Some(module) => module.plan(&args, &controller),
            None if spec.name == "async_status" => Status::new(&args, &cx.run.jobs)
                .map(|status| Box::new(status) as Box<dyn modules::Step>),
            None => return Err(Stopped::Pending("module".into())),
        };
        let mut step: Arc<dyn modules::Step> =
            Arc::from(planned.map_err(|failure| at_param(&stop, failure))?);
        let mut timeout = number(
            cx,
            &scope,
            chain.keyword(task, |base| base.timeout.as_ref()),
        )?
        .filter(|seconds| *seconds > 0.0)
        .map(Duration::from_secs_f64);
        let limit = number(cx, &scope, task.r#async.as_ref())?.unwrap_or(0.0);
        if limit > 0.0 {
            let poll = number(cx, &scope, task.poll.as_ref())?.unwrap_or(POLL);
            let timed = Timed::new(step, spec.name, (limit, poll), &cx.run.jobs);
            timeout = [timeout, timed.limit()].into_iter().flatten().min();
            step = Arc::new(timed);
        }
        let guard = task.confirm.map(Guard::new);
        if let Some(guard) = &guard {
            step = Arc::new(Guarded::new(step, guard.clone()));
        }
        Ok(Prepared::Host(Box::new(HostStep {
            key: self.key(),
            info: self
                .progress
                .as_ref()
                .map(|p| Arc::clone(&p.info))
                .unwrap_or_default(),
            step,
            target,
            who,
            password,
            env: exports(&controller.environment),
            barrier: guard.is_some()
                || task
                    .failed_when
                    .as_ref()
                    .is_some_and(|list| !literally_false(list))
                || !task.until.is_empty()
                || task
                    .looped
                    .as_ref()
                    .is_some_and(|l| !l.break_when.is_empty()),
            guard,
            timeout,
            check: controller.check,
            diff: controller.diff,
            module: spec.name,
            items: self.progress.as_ref().and_then(|p| p.items.clone()),
            frame,
        })))
    }

    /// A module whose name is a template becomes the one that is meant, for each item of a loop anew.
    fn resolve_action(&mut self, cx: &HostContext, scope: &Arc<StepScope>) -> Result<(), Stopped> {
        let Some(progress) = &mut self.progress else {
            return Ok(());
        };
        let written = progress.written.as_ref().unwrap_or(&progress.stop.task);
        if !crate::yaml::has_template(&written.action.name) {
            return Ok(());
        }
        let written = Arc::clone(written);
        let dynamic: Arc<dyn Scope> = Arc::clone(scope) as Arc<dyn Scope>;
        let span = &written.action.span;
        let name = &written.action.name;
        let name = cx.run.engine.render_str(name, Some(span), &dynamic)?;
        let name = modules::args::text(&name);
        if matches!(
            crate::playbook::known::module(&name),
            crate::playbook::known::Known::Unknown
        ) {
            let text = format!(
                "couldn't resolve module/action '{name}'. This often indicates a misspelling, missing collection, or incorrect module path."
            );
            return Err(Stopped::Failed(Box::new(from_diagnostic(
                &Diagnostic::error(span, text),
            ))));
        }
        let mut made = Task::clone(&written);
        made.action.spec = modules::spec_of(&name);
        made.action.name = name.as_str().into();
        let mut info = TaskInfo::clone(&progress.info);
        info.module = name;
        progress.info = Arc::new(info);
        progress.stop.task = Arc::new(made);
        progress.written = Some(written);
        Ok(())
    }

    fn prepare_control(
        &mut self,
        cx: &HostContext,
        stop: &Stop,
        scope: &Arc<StepScope>,
        spec: &'static Spec,
        frame: StepFrame,
    ) -> Result<Prepared, Stopped> {
        let dynamic: Arc<dyn Scope> = Arc::clone(scope) as Arc<dyn Scope>;
        let made = control::carry_out(cx, self, stop, &dynamic, spec);
        let control = match made {
            Ok(control) => control,
            Err(control::Refused::Template(error)) => return Err(error.into()),
            Err(control::Refused::Failure(failure)) => return Err(at_param(stop, failure)),
            Err(control::Refused::Files(diagnostics)) => {
                let mut result = diagnostics
                    .first()
                    .map_or_else(StepResult::default, from_diagnostic);
                result.outcome.failed = true;
                return Err(Stopped::Failed(Box::new(result)));
            }
        };
        Ok(match control {
            Control::Result(mut result) => {
                result.item = frame.item;
                result.label = frame.label;
                result.ignored = frame.ignored;
                result.no_log = frame.no_log;
                Prepared::Done(result)
            }
            Control::Wait(mut wait) => {
                wait.target = self.target(cx, stop, scope)?;
                (wait.who, wait.password) = identity(cx, stop, scope, &wait.target)?;
                wait.check = StepController::new(cx, stop, scope, &wait.who)?.check;
                wait.frame = frame;
                Prepared::Control(Box::new(Control::Wait(wait)))
            }
            other => Prepared::Control(Box::new(other)),
        })
    }

    fn loop_items(
        &self,
        cx: &HostContext,
        stop: &Stop,
        looped: &Loop,
    ) -> Result<Vec<Value>, Stopped> {
        let scope: Arc<dyn Scope> = StepScope::new(self.parts(cx, &stop.task, &stop.chain));
        let engine = &cx.run.engine;
        match &looped.kind {
            LoopKind::Loop => {
                let value = engine.render(&looped.over, &scope)?;
                if !matches!(
                    value.kind(),
                    minijinja::value::ValueKind::Seq | minijinja::value::ValueKind::Iterable
                ) {
                    let diagnostic = Diagnostic::error(
                        &looped.over.span,
                        format!(
                            "`loop` needs a list, this is a {}: `{}`",
                            value.kind(),
                            crate::template::to_text(&value)
                        ),
                    )
                    .hint("`loop: \"{{ x | dict2items }}\"` goes over a mapping");
                    return Err(Stopped::Failed(Box::new(from_diagnostic(&diagnostic))));
                }
                Ok(list(&value))
            }
            LoopKind::With(name) => {
                let options = match name.rsplit('.').next() {
                    Some("first_found") => vec![(
                        "_subdir".to_owned(),
                        Value::from(subdir(&stop.task.action.name)),
                    )],
                    _ => Vec::new(),
                };
                Ok(engine.with_items(name, &looped.over, options, &scope)?)
            }
        }
    }

    /// A task's arguments as written, those of `module_defaults` below them: for modules that render them by themselves.
    pub(crate) fn arguments(
        &self,
        cx: &HostContext,
        stop: &Stop,
        scope: &Arc<dyn Scope>,
        spec: &Spec,
    ) -> Result<IndexMap<Arc<str>, Node>, TemplateError> {
        let mut given: IndexMap<Arc<str>, Node> = IndexMap::new();
        for defaults in defaults_of(stop, spec) {
            for (key, _, node) in defaults.iter() {
                given.insert(Arc::clone(key), node.clone());
            }
        }
        let args = &stop.task.action.args;
        let whole = match args.as_map() {
            Some(map) => map.get("_variable_params"),
            None => Some(args).filter(|node| !node.is_null()),
        };
        if let Some(node) = whole {
            let value = cx.run.engine.render(node, scope)?;
            for key in value.try_iter().into_iter().flatten() {
                let item = value.get_item(&key).unwrap_or_default();
                let item = super::run::node_of(&item, &node.span);
                given.insert(key.to_string().into(), item);
            }
        }
        for (key, _, node) in args.as_map().into_iter().flat_map(crate::yaml::Map::iter) {
            given.insert(Arc::clone(key), node.clone());
        }
        Ok(given)
    }

    /// Renders and checks a task's arguments.
    pub(crate) fn args_map(
        &self,
        cx: &HostContext,
        stop: &Stop,
        scope: &Arc<dyn Scope>,
        spec: &Spec,
    ) -> Result<IndexMap<String, Value>, TemplateError> {
        let task = &stop.task;
        let mut given = IndexMap::new();
        for defaults in defaults_of(stop, spec) {
            for (key, _, node) in defaults.iter() {
                given.insert(key.to_string(), cx.run.engine.render(node, scope)?);
            }
        }
        match &task.action.args.kind {
            Kind::Map(map) => {
                for (key, _, node) in map.iter() {
                    let value = cx.run.engine.render(node, scope)?;
                    if crate::template::is_omit(&value) {
                        given.shift_remove(&**key);
                    } else {
                        given.insert(key.to_string(), value);
                    }
                }
            }
            Kind::Null => {}
            _ => {
                let value = cx.run.engine.render(&task.action.args, scope)?;
                for key in value.try_iter().into_iter().flatten() {
                    let item = value.get_item(&key).unwrap_or_default();
                    if !crate::template::is_omit(&item) {
                        given.insert(key.to_string(), item);
                    }
                }
            }
        }
        Ok(given)
    }

    fn args(
        &self,
        cx: &HostContext,
        stop: &Stop,
        scope: &Arc<StepScope>,
        spec: &Spec,
    ) -> Result<Args, Stopped> {
        let dynamic: Arc<dyn Scope> = Arc::clone(scope) as Arc<dyn Scope>;
        let given = self.args_map(cx, stop, &dynamic, spec)?;
        Args::new(spec, given).map_err(|failure| at_param(stop, failure))
    }

    pub(crate) fn frame(
        &self,
        cx: &HostContext,
        scope: &Arc<StepScope>,
    ) -> Result<StepFrame, TemplateError> {
        let Some(progress) = &self.progress else {
            return Ok(StepFrame::default());
        };
        let (task, chain) = (&progress.stop.task, &progress.stop.chain);
        let mut frame = StepFrame {
            ignored: flag(
                cx,
                scope,
                keyword(chain, task, |b| b.ignore_errors.as_ref()),
            )?
            .unwrap_or(false),
            no_log: flag(cx, scope, keyword(chain, task, |b| b.no_log.as_ref()))?.unwrap_or(false),
            ..StepFrame::default()
        };
        if let (Some(looped), Some(items)) = (&task.looped, &progress.items)
            && let Some(item) = items.get(progress.at)
        {
            frame.item = Some((Arc::clone(&looped.var), item.clone()));
            let label = match &looped.label {
                Some(node) => {
                    let dynamic: Arc<dyn Scope> = Arc::clone(scope) as Arc<dyn Scope>;
                    cx.run
                        .engine
                        .render(node, &dynamic)
                        .unwrap_or_else(|_| item.clone())
                }
                None => item.clone(),
            };
            frame.label = Some(crate::template::to_text(&label));
        }
        if let Some(node) = keyword(chain, task, |b| b.delegate_to.as_ref()) {
            frame.delegate = text(cx, scope, node)?;
        }
        Ok(frame)
    }

    fn target(
        &self,
        cx: &HostContext,
        stop: &Stop,
        scope: &Arc<StepScope>,
    ) -> Result<Arc<str>, TemplateError> {
        match keyword(&stop.chain, &stop.task, |base| base.delegate_to.as_ref()) {
            Some(node) => {
                Ok(text(cx, scope, node)?.map_or_else(|| Arc::clone(&cx.host), Into::into))
            }
            None => Ok(Arc::clone(&cx.host)),
        }
    }
}

/// What `module_defaults` say of a module, outermost first.
fn defaults_of<'a>(stop: &'a Stop, spec: &Spec) -> Vec<&'a crate::yaml::Map> {
    let levels = stop.chain.all(&stop.task, |base| &base.module_defaults);
    let of = |wanted: &dyn Fn(&str) -> bool| -> Vec<&'a crate::yaml::Map> {
        let modules = levels.iter().filter_map(|node| node.as_map());
        let ours = modules
            .flat_map(crate::yaml::Map::iter)
            .filter(|(name, ..)| wanted(name.rsplit('.').next().unwrap_or(name)));
        ours.filter_map(|(_, _, defaults)| defaults.as_map())
            .collect()
    };
    // What stands behind these modules on our hosts has defaults of its own, below theirs.
    let behind = match spec.name {
        "service" => Some("systemd"),
        "package" => Some("apt"),
        _ => None,
    };
    let mut all =
        of(&|name| Some(name) == behind || behind == Some("systemd") && name == "systemd_service");
    all.extend(of(&|name| {
        name == spec.name || spec.aliases.contains(&name)
    }));
    all
}

/// `poll` when it is not said.
const POLL: f64 = 15.0;

const SKIP: &str = "Conditional result was False";

fn keyword<'a>(
    chain: &'a Chain,
    task: &'a Task,
    of: impl Fn(&'a Base) -> Option<&'a Node>,
) -> Option<&'a Node> {
    chain.keyword(task, of)
}

/// Whether a task runs once for all hosts.
fn run_once(cx: &HostContext, position: &Position, stop: &Stop) -> bool {
    if cx.board.hosts().len() > 1
        && control::meta_word(&stop.task).is_some_and(|word| control::FOR_ALL.contains(&word))
    {
        return true;
    }
    let Some(node) = stop
        .chain
        .keyword(&stop.task, |base| base.run_once.as_ref())
    else {
        return false;
    };
    if let Kind::Bool(value) = node.kind {
        return value;
    }
    let scope = StepScope::new(position.parts(cx, &stop.task, &stop.chain));
    flag(cx, &scope, Some(node)).ok().flatten().unwrap_or(false)
}

/// The first condition of a task's `when` (and of what it stands in) that does not hold.
fn false_condition(
    cx: &HostContext,
    stop: &Stop,
    scope: &Arc<StepScope>,
) -> Result<Option<Value>, TemplateError> {
    let dynamic: Arc<dyn Scope> = Arc::clone(scope) as Arc<dyn Scope>;
    for node in stop.chain.all(&stop.task, |base| &base.when) {
        if !cx.run.engine.truth(node, &dynamic)? {
            return Ok(Some(crate::yaml::plain(node)));
        }
    }
    Ok(None)
}

/// A keyword's boolean.
pub(crate) fn flag(
    cx: &HostContext,
    scope: &Arc<StepScope>,
    node: Option<&Node>,
) -> Result<Option<bool>, TemplateError> {
    let Some(node) = node else { return Ok(None) };
    if let Kind::Bool(value) = node.kind {
        return Ok(Some(value));
    }
    let dynamic: Arc<dyn Scope> = Arc::clone(scope) as Arc<dyn Scope>;
    let value = cx.run.engine.render(node, &dynamic)?;
    if crate::template::is_omit(&value) {
        return Ok(None);
    }
    Ok(Some(
        modules::args::to_bool(&value).unwrap_or_else(|| value.is_true()),
    ))
}

/// A keyword's number.
pub(crate) fn number(
    cx: &HostContext,
    scope: &Arc<StepScope>,
    node: Option<&Node>,
) -> Result<Option<f64>, TemplateError> {
    let Some(node) = node else { return Ok(None) };
    let dynamic: Arc<dyn Scope> = Arc::clone(scope) as Arc<dyn Scope>;
    let value = cx.run.engine.render(node, &dynamic)?;
    Ok(modules::args::text(&value).trim().parse().ok())
}

/// A keyword's text; `None` for `omit` and nothing.
pub(crate) fn text(
    cx: &HostContext,
    scope: &Arc<StepScope>,
    node: &Node,
) -> Result<Option<String>, TemplateError> {
    let dynamic: Arc<dyn Scope> = Arc::clone(scope) as Arc<dyn Scope>;
    let value = cx.run.engine.render(node, &dynamic)?;
    if value.is_none() || crate::template::is_omit(&value) {
        return Ok(None);
    }
    Ok(Some(modules::args::text(&value)))
}

/// A variable's text, if it is defined.
pub(crate) fn var(scope: &StepScope, names: &[&str]) -> Result<Option<String>, TemplateError> {
    for name in names {
        match scope.get(name) {
            Ok(Some(value)) if !value.is_none() && !value.is_undefined() => {
                return Ok(Some(modules::args::text(&value)));
            }
            Ok(_) | Err(TemplateError::Pending(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// Who the step runs as: variables win over keywords, keywords over the command line.
fn identity(
    cx: &HostContext,
    stop: &Stop,
    scope: &Arc<StepScope>,
    target: &Arc<str>,
) -> Result<(Identity, BecomePassword), TemplateError> {
    let (task, chain) = (&stop.task, &stop.chain);
    let options = &cx.run.options;
    // A task delegated elsewhere uses the connection variables of that host.
    let remote = (**target != *cx.host)
        .then(|| cx.run.links.scope_of(cx, target))
        .flatten();
    let vars = remote.as_ref().unwrap_or(scope);
    let on = match var(vars, &["ansible_become"])? {
        Some(text) => modules::args::to_bool(&Value::from(text)).unwrap_or(false),
        None => flag(cx, scope, keyword(chain, task, |b| b.r#become.as_ref()))?
            .unwrap_or(options.r#become),
    };
    if !on {
        return Ok((Identity::Login, None));
    }
    let pick = |names: &[&str], of: fn(&Base) -> Option<&Node>, option: Option<&String>| {
        if let Some(text) = var(vars, names)? {
            return Ok(Some(text));
        }
        match keyword(chain, task, of) {
            Some(node) => text(cx, scope, node),
            None => Ok(option.cloned()),
        }
    };
    let user = pick(
        &["ansible_become_user"],
        |b| b.become_user.as_ref(),
        options.become_user.as_ref(),
    )?;
    let method = pick(
        &["ansible_become_method"],
        |b| b.become_method.as_ref(),
        options.become_method.as_ref(),
    )?;
    let flags = pick(
        &["ansible_become_flags", "ansible_sudo_flags"],
        |b| b.become_flags.as_ref(),
        None,
    )?;
    let password = var(
        vars,
        &[
            "ansible_become_password",
            "ansible_become_pass",
            "ansible_sudo_pass",
        ],
    )?
    .map(Secret::new)
    .or_else(|| options.become_password.clone());
    let who = Identity::Become {
        user: user
            .filter(|u| !u.is_empty())
            .unwrap_or_else(|| "root".into()),
        method: method.unwrap_or_else(|| "sudo".into()),
        flags: flags.unwrap_or_default(),
    };
    Ok((who, password))
}

/// A failure of a module's planning, at the argument it is about.
fn at_param(stop: &Stop, failure: Failure) -> Stopped {
    if failure.param.as_deref() == Some(PENDING) {
        return Stopped::Pending(failure.msg);
    }
    let place = match &failure.param {
        Some(param) => modules::place(&stop.task.action.args, param),
        None => &stop.task.action.span,
    };
    let mut outcome = Outcome::failed(failure.msg);
    outcome.data = failure.data;
    let mut result = StepResult::of(outcome);
    result.hint = Some(format!("at {place}"));
    Stopped::Failed(Box::new(result))
}

fn list(value: &Value) -> Vec<Value> {
    value.try_iter().map(Iterator::collect).unwrap_or_default()
}

fn literally_false(list: &[Node]) -> bool {
    list.iter()
        .any(|node| matches!(node.kind, Kind::Bool(false)))
}

/// Whether a shell takes this as a variable's name. What is not one would be a word of its script.
fn exportable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// `export` lines for a step's environment.
fn exports(environment: &[(String, String)]) -> String {
    use std::fmt::Write as _;
    environment
        .iter()
        .fold(String::new(), |mut text, (name, value)| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "export {name}={}", crate::modules::sh::quote(value));
            text
        })
}

/// What a module may ask while it plans.
struct StepController<'a> {
    cx: &'a HostContext,
    scope: Arc<dyn Scope>,
    stop: &'a Stop,
    environment: Vec<(String, String)>,
    check: bool,
    diff: bool,
    user: Option<String>,
}

impl<'a> StepController<'a> {
    fn new(
        cx: &'a HostContext,
        stop: &'a Stop,
        scope: &Arc<StepScope>,
        who: &Identity,
    ) -> Result<Self, TemplateError> {
        let (task, chain) = (&stop.task, &stop.chain);
        let dynamic: Arc<dyn Scope> = Arc::clone(scope) as Arc<dyn Scope>;
        let mut environment: IndexMap<String, String> = IndexMap::new();
        for node in chain.all(task, |base| &base.environment) {
            let value = cx.run.engine.render(node, &dynamic)?;
            let maps = if value.kind() == minijinja::value::ValueKind::Map {
                vec![value]
            } else {
                list(&value)
            };
            for map in maps {
                for key in map.try_iter().into_iter().flatten() {
                    let item = map.get_item(&key).unwrap_or_default();
                    let (name, value) = (key.to_string(), modules::args::text(&item));
                    if !exportable(&name) || value.contains('\0') {
                        let why =
                            format!("`{}` cannot be set in the environment", name.escape_debug());
                        let why = Diagnostic::error(&node.span, why)
                            .hint("names are letters, digits and `_`; no value has a NUL byte");
                        return Err(TemplateError::Other(Box::new(why)));
                    }
                    environment.insert(name, value);
                }
            }
        }
        let options = &cx.run.options;
        Ok(Self {
            cx,
            stop,
            environment: environment.into_iter().collect(),
            check: flag(cx, scope, keyword(chain, task, |b| b.check_mode.as_ref()))?
                .unwrap_or(options.check),
            diff: flag(cx, scope, keyword(chain, task, |b| b.diff.as_ref()))?
                .unwrap_or(options.diff),
            user: match who {
                Identity::Become { user, .. } => Some(user.clone()),
                Identity::Login => var(scope, &["ansible_user", "ansible_ssh_user"])?,
            },
            scope: dynamic,
        })
    }

    fn dirs(&self) -> Vec<PathBuf> {
        self.stop.chain.search(&self.stop.task, &self.cx.play.dir)
    }
}

impl Controller for StepController<'_> {
    fn check_mode(&self) -> bool {
        self.check
    }

    fn diff(&self) -> bool {
        self.diff
    }

    fn fact(&self, name: &str) -> Value {
        self.scope
            .get(&format!("ansible_{name}"))
            .ok()
            .flatten()
            .unwrap_or(Value::UNDEFINED)
    }

    fn find(&self, kind: &str, name: &str) -> Result<PathBuf, Failure> {
        let (found, tried) = find_file(&self.dirs(), kind, name);
        found.ok_or_else(|| not_found(name, &tried))
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, Failure> {
        let failed = |why: String| Failure::new(format!("cannot read {}: {why}", path.display()));
        let vault = self.cx.run.includes.vault();
        vault.open(self.read_as_is(path)?).map_err(failed)
    }

    fn read_as_is(&self, path: &Path) -> Result<Vec<u8>, Failure> {
        std::fs::read(path)
            .map_err(|why| Failure::new(format!("cannot read {}: {why}", path.display())))
    }

    fn render(&self, path: &Path, options: &TemplateOptions) -> Result<String, Failure> {
        let bytes = self.read(path)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::new(format!("{} is not UTF-8", path.display())))?;
        let scope: Arc<dyn Scope> = if options.extra.is_empty() {
            Arc::clone(&self.scope)
        } else {
            Arc::new(WithExtra {
                inner: Arc::clone(&self.scope),
                extra: options.extra.clone(),
            })
        };
        self.cx
            .run
            .engine
            .render_file(&text, &file_options(path, options), &scope)
            .map_err(|error| {
                match (&error, error.diagnostic()) {
                    (TemplateError::Pending(what), _) => {
                        // Found again by `Stopped`: the whole step is put off.
                        Failure {
                            msg: what.clone(),
                            param: Some(PENDING.into()),
                            data: IndexMap::new(),
                        }
                    }
                    (_, Some(diagnostic)) => {
                        let place = diagnostic
                            .span
                            .as_ref()
                            .map_or(String::new(), |span| format!(" ({span})"));
                        Failure::new(format!("{}{place}", diagnostic.message))
                    }
                    _ => Failure::new(error.to_string()),
                }
            })
    }

    fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    fn user(&self) -> Option<String> {
        self.user.clone()
    }

    fn variable(&self, name: &str) -> Value {
        self.scope
            .get(name)
            .ok()
            .flatten()
            .unwrap_or(Value::UNDEFINED)
    }
}

/// The folder in which `with_first_found` looks first, by what the task does with the file.
fn subdir(action: &str) -> &'static str {
    if action.contains("template") {
        "templates"
    } else if action.contains("var") {
        "vars"
    } else if action.contains("include") || action.contains("import") {
        "tasks"
    } else {
        "files"
    }
}

/// The template engine's options for a file of the `template` module.
fn file_options(path: &Path, options: &TemplateOptions) -> template::TemplateOptions {
    let mut made = template::TemplateOptions {
        name: path.display().to_string(),
        folders: path.parent().map(Path::to_path_buf).into_iter().collect(),
        trim_blocks: options.trim_blocks,
        lstrip_blocks: options.lstrip_blocks,
        newline_sequence: options.newline_sequence.clone(),
        ..template::TemplateOptions::default()
    };
    let own = [
        &mut made.block.0,
        &mut made.block.1,
        &mut made.variable.0,
        &mut made.variable.1,
        &mut made.comment.0,
        &mut made.comment.1,
    ];
    for (slot, given) in own.into_iter().zip(&options.delimiters) {
        if let Some(given) = given {
            slot.clone_from(given);
        }
    }
    made
}

/// A scope with a few variables on top.
#[derive(Debug)]
struct WithExtra {
    inner: Arc<dyn Scope>,
    extra: Vec<(String, Value)>,
}

impl Scope for WithExtra {
    fn get(&self, name: &str) -> Result<Option<Value>, TemplateError> {
        match self.extra.iter().find(|(known, _)| known == name) {
            Some((_, value)) => Ok(Some(value.clone())),
            None => self.inner.get(name),
        }
    }

    fn names(&self) -> Vec<String> {
        self.inner.names()
    }

    fn search_paths(&self) -> Vec<PathBuf> {
        self.inner.search_paths()
    }
}

/// Marks a [`Failure`] that stands for "not known yet".
const PENDING: &str = "\0pending";

/// What Ansible says of a file that is not there.
pub(crate) fn not_found(name: &str, tried: &[PathBuf]) -> Failure {
    let what = if name.is_empty() {
        "Could not find file".to_owned()
    } else {
        format!("Could not find or access '{name}'")
    };
    let tried: Vec<String> = tried
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    Failure::new(format!(
        "{what} on the Ansible Controller; looked for {}",
        tried.join(", ")
    ))
}

/// Looks for a file as Ansible does: in `kind/` of each folder, then in the folder itself.
pub(crate) fn find_file(
    dirs: &[PathBuf],
    kind: &str,
    name: &str,
) -> (Option<PathBuf>, Vec<PathBuf>) {
    let path = Path::new(name);
    if path.is_absolute() {
        return (
            path.exists().then(|| path.to_path_buf()),
            vec![path.to_path_buf()],
        );
    }
    let mut tried = Vec::new();
    for dir in dirs {
        for candidate in [dir.join(kind).join(name), dir.join(name)] {
            if candidate.exists() {
                return (Some(candidate), tried);
            }
            tried.push(candidate);
        }
    }
    (None, tried)
}

/// `changed_when` and `failed_when`: the result as the conditions see it, and what they make of it.
pub(crate) fn judge(
    cx: &HostContext,
    position: &Position,
    result: &mut StepResult,
) -> Result<(), TemplateError> {
    let Some(progress) = &position.progress else {
        return Ok(());
    };
    let task = Arc::clone(&progress.stop.task);
    if task.changed_when.is_none() && task.failed_when.is_none() {
        return Ok(());
    }
    if let Some(conditions) = &task.changed_when
        && !result.outcome.skipped
    {
        result.outcome.changed = all_hold(cx, position, result, conditions)
            .inspect_err(|error| noted(result, "changed_when_result", error))?;
    }
    if let Some(conditions) = &task.failed_when
        && !result.outcome.skipped
    {
        let failed = all_hold(cx, position, result, conditions)
            .inspect_err(|error| noted(result, "failed_when_result", error))?;
        result.outcome.failed = failed;
        result
            .outcome
            .data
            .insert("failed_when_result".into(), Value::from(failed));
    }
    Ok(())
}

/// Why a condition about a result could not be told, in the result.
fn noted(result: &mut StepResult, field: &str, error: &TemplateError) {
    let text = failed(error).outcome.msg.unwrap_or_default();
    result.outcome.data.insert(field.into(), Value::from(text));
}

/// Whether all conditions hold, with the result so far under the task's `register` name.
pub(crate) fn all_hold(
    cx: &HostContext,
    position: &Position,
    result: &StepResult,
    conditions: &[Node],
) -> Result<bool, TemplateError> {
    let Some(progress) = &position.progress else {
        return Ok(false);
    };
    let task = &progress.stop.task;
    let mut parts = position.parts(cx, task, &progress.stop.chain);
    if let Some(vars) = position.loop_vars() {
        parts.above.push(vars);
    }
    if let Some(name) = &task.register {
        let value = Value::from_pairs(result.dict());
        let values = crate::vars::Values::from([(Arc::clone(name), value)]);
        parts
            .above
            .push(crate::vars::Layer::Values("register", Arc::new(values)));
    }
    let scope: Arc<dyn Scope> = StepScope::new(parts);
    for node in conditions {
        if !cx.run.engine.truth(node, &scope)? {
            return Ok(false);
        }
    }
    Ok(true)
}
