//! Where a variable comes from: every definition, which one wins, and the file and line of each. Connects to nothing.

use super::context::{HostContext, flat};
use super::play::{at_start, plain, play_scope, title};
use super::position::Position;
use super::run::{Run, context};
use crate::diag::{Diagnostic, Span};
use crate::playbook::ast::{Base, Item, Task};
use crate::template::{Scope, TemplateError};
use crate::vars::{Definition, Parts, StepScope};
use minijinja::Value;
use std::fmt::Write as _;
use std::sync::Arc;

/// Longest value shown.
const WIDTH: usize = 100;

/// Writes where a host's variable comes from, play by play.
///
/// # Errors
/// A host that is not in the inventory, or a play whose pattern cannot be rendered.
pub fn explain(run: Run, host: &str, name: &str) -> Result<String, Diagnostic> {
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    let run = context(run, events);
    let known = run.inventory.host_names();
    if run
        .inventory
        .select(host, None)
        .is_ok_and(|found| found.is_empty())
    {
        let error = Diagnostic::plain(format!("there is no host `{host}` in the inventory"));
        return Err(error.did_you_mean(host, known.iter().map(String::as_str)));
    }
    let host: Arc<str> = host.into();
    let mut text = String::new();
    for (index, play) in run.plays.iter().enumerate() {
        let scope = play_scope(&run, play);
        let patterns = flat(&run.engine.render(&play.hosts, &scope).map_err(plain)?);
        let hosts = run.inventory.select(&patterns.join(","), None)?;
        if !hosts.iter().any(|one| **one == *host) {
            continue;
        }
        let (cx, position) = at_start(&run, index, &host);
        // Writing to a text cannot fail.
        let _ = writeln!(text, "play {} ({})", title(&run, play, &scope), play.span);
        text.push_str(&in_play(&cx, &position, name));
    }
    if text.is_empty() {
        let _ = writeln!(
            text,
            "{host} is in no play; this is what the inventory says"
        );
        let parts = Parts {
            engine: Arc::clone(&run.engine),
            shared: Arc::clone(&run.shared),
            host,
            magic: Arc::clone(&run.magic),
            state: crate::vars::HostState::default(),
            defaults: Vec::new(),
            layers: Vec::new(),
            above: Vec::new(),
            extra: run.extra.clone(),
            access: crate::vars::Access::Everything,
            roll: None,
            search: Vec::new(),
        };
        text.push_str(&table(&StepScope::new(parts), name));
    }
    Ok(text)
}

/// The definitions at the start of a play, then those that hold for single tasks only.
fn in_play(cx: &HostContext, position: &Position, name: &str) -> String {
    let task = Arc::new(Task::bare(&cx.play.span));
    let scope = StepScope::new(position.parts(cx, &task, position.walk.top()));
    let mut text = table(&scope, name);
    let mut sites = Sites {
        name,
        found: Vec::new(),
    };
    let play = &cx.play;
    let lists = [
        &play.pre_tasks,
        &play.roles,
        &play.tasks,
        &play.post_tasks,
        &play.handlers,
    ];
    lists.into_iter().for_each(|items| sites.items(items));
    sites.found.dedup_by(|one, other| one.0 == other.0);
    if !sites.found.is_empty() {
        text.push_str("  and inside the play, stronger than the inventory where they hold:\n");
        for (span, what) in sites.found {
            let _ = writeln!(text, "  task    {span}  {what}");
        }
    }
    text
}

/// All definitions, strongest first.
fn table(scope: &Arc<StepScope>, name: &str) -> String {
    let found = scope.explain(name);
    let mut text = String::new();
    if found.is_empty() {
        let _ = writeln!(
            text,
            "  `{name}` is not defined before the run; facts and results are known only in it"
        );
        return text;
    }
    for (n, (layer, definition)) in found.iter().enumerate() {
        let word = if n == 0 { "wins" } else { "hidden" };
        let (place, shown) = match definition {
            Definition::Node(node) => (node.span.to_string(), written(node)),
            Definition::Value(value) => ("-".to_owned(), short(&crate::template::to_text(value))),
        };
        let _ = writeln!(text, "  {word:<7} {place}  {shown}  ({layer})");
    }
    if let Some((_, Definition::Node(node))) = found.first()
        && !is_secret(node)
    {
        let dynamic: Arc<dyn Scope> = Arc::clone(scope) as Arc<dyn Scope>;
        let shown = match dynamic.get(name) {
            Ok(value) => json(&value.unwrap_or_default()),
            Err(TemplateError::Pending(what)) => format!("not known yet: it needs {what}"),
            Err(error) => match error.diagnostic() {
                Some(diagnostic) => format!("not known yet: {}", diagnostic.message),
                None => format!("not known yet: {error}"),
            },
        };
        let _ = writeln!(text, "  value   {}", short(&shown));
    }
    text
}

/// A definition as written; nothing of what is encrypted.
fn written(node: &crate::yaml::Node) -> String {
    if is_secret(node) {
        return "(encrypted)".to_owned();
    }
    short(node.span.text().trim())
}

fn is_secret(node: &crate::yaml::Node) -> bool {
    use crate::yaml::Kind;
    node.span.source.secret
        || match &node.kind {
            Kind::Vault(_) => true,
            Kind::Seq(items) => items.iter().any(is_secret),
            Kind::Map(map) => map.iter().any(|(_, _, node)| is_secret(node)),
            _ => false,
        }
}

fn json(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| value.to_string())
}

/// One line that fits.
fn short(text: &str) -> String {
    let line = text.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let line = crate::report::clean::clean(&line);
    if line.chars().count() <= WIDTH {
        return line;
    }
    line.chars().take(WIDTH - 1).chain(['…']).collect()
}

/// Tasks and blocks that define the variable for themselves or from there on.
struct Sites<'a> {
    name: &'a str,
    found: Vec<(Span, String)>,
}

impl Sites<'_> {
    fn items(&mut self, items: &[Item]) {
        for item in items {
            match item {
                Item::Task(task) => self.task(task),
                Item::Block(block) => {
                    if let Some(used) = &block.role
                        && let Some(node) = used.params.get(self.name)
                    {
                        let what = format!("parameter of role {}", used.role.name);
                        self.found.push((node.span.clone(), what));
                    }
                    self.vars(&block.base, "vars of the block");
                    for part in [&block.body, &block.rescue, &block.always] {
                        self.items(part);
                    }
                }
            }
        }
    }

    fn task(&mut self, task: &Task) {
        self.vars(&task.base, "vars of the task");
        let module = task.action.spec.map_or("", |spec| spec.name);
        let args = task.action.args.as_map();
        if module == "set_fact"
            && let Some(node) = args.and_then(|map| map.get(self.name))
        {
            self.found.push((node.span.clone(), "set_fact".to_owned()));
        }
        if task.register.as_deref() == Some(self.name) {
            self.found.push((task.span.clone(), "register".to_owned()));
        }
        if let Some(looped) = &task.looped
            && *looped.var == *self.name
        {
            self.found
                .push((looped.over.span.clone(), "loop variable".to_owned()));
        }
        for item in task.preloaded.iter().flat_map(|items| items.iter()) {
            self.items(std::slice::from_ref(item));
        }
    }

    fn vars(&mut self, base: &Base, what: &str) {
        if let Some(node) = base.vars.get(self.name) {
            self.found.push((node.span.clone(), what.to_owned()));
        }
    }
}
