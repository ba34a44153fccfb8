//! Lists of tasks, blocks, tasks with their loops.

use super::action::Given;
use super::ast::{Action, Base, Block, Item, Loop, LoopKind, Origin, Task};
use super::base::{is_identifier, list};
use super::keywords::{self, BLOCK, HANDLER, Shape, TASK};
use super::known::{self, Known};
use super::loader::{Loader, Place};
use crate::diag::{Diagnostic, Span};
use crate::modules::args;
use crate::yaml::{Kind, Map, Node};
use std::sync::Arc;
use std::time::Duration;

impl Loader<'_> {
    /// The tasks of a list; what is wrong in one does not hide what is wrong in the next.
    pub(super) fn items(&mut self, node: &Node, place: &Place) -> Vec<Item> {
        match &node.kind {
            Kind::Null => Vec::new(),
            Kind::Seq(items) => items
                .iter()
                .flat_map(|item| self.item(item, place))
                .collect(),
            _ => {
                let error = Diagnostic::error(
                    &node.span,
                    format!("tasks must be a list, not {}", node.describe()),
                );
                self.report(match node.kind {
                    Kind::Map(_) => error.hint("start each task with `- `"),
                    _ => error,
                });
                Vec::new()
            }
        }
    }

    /// A task or a block; several when a static import of handlers is spliced in.
    fn item(&mut self, node: &Node, place: &Place) -> Vec<Item> {
        let Some(map) = node.as_map() else {
            // An empty entry is nothing in Ansible too.
            if !node.is_null() {
                let error = Diagnostic::error(
                    &node.span,
                    format!("a task must be a mapping, not {}", node.describe()),
                );
                self.report(match node.as_str() {
                    Some(text) if known::module(text.trim()) != Known::Unknown => {
                        error.hint(format!("write `{}:` with its arguments", text.trim()))
                    }
                    _ => error.hint("write `module: arguments`"),
                });
            }
            return Vec::new();
        };
        if map.get("block").is_some() {
            return self
                .block(node, map, place)
                .map(Item::Block)
                .into_iter()
                .collect();
        }
        if map.get("rescue").or_else(|| map.get("always")).is_some() {
            let key = if map.get("rescue").is_some() {
                "rescue"
            } else {
                "always"
            };
            let span = map.key_span(key).unwrap_or(&node.span);
            self.hinted(
                span,
                format!("`{key}` without `block`"),
                "put the tasks that may fail into `block:` beside it",
            );
            return Vec::new();
        }
        if map.get("hosts").is_some() && map.get("tasks").or_else(|| map.get("roles")).is_some() {
            self.hinted(
                map.key_span("hosts").unwrap_or(&node.span),
                "a play where a task is expected",
                "import the playbook with `import_playbook` beside the plays",
            );
            return Vec::new();
        }
        self.task(node, map, place)
    }

    fn block(&mut self, node: &Node, map: &Map, place: &Place) -> Option<Arc<Block>> {
        let mut base = Base::default();
        for (key, span, value) in map.iter() {
            let Some(keyword) = self.keyword(key, span, value, BLOCK) else {
                continue;
            };
            if keyword.shape != Shape::Tasks {
                self.check_templates(value);
                self.shared(&mut base, key, span, value);
            }
        }
        let inner = inside(place, &base);
        let body_place = Place {
            tolerant: inner.tolerant || map.get("rescue").is_some_and(|node| !node.is_null()),
            ..inner.clone()
        };
        let part = |loader: &mut Self, key: &str, place: &Place| {
            map.get(key)
                .filter(|node| node.as_seq().is_some())
                .map(|node| loader.items(node, place))
                .unwrap_or_default()
        };
        let body = part(self, "block", &body_place);
        let rescue = part(self, "rescue", &inner);
        let always = part(self, "always", &inner);
        Some(Arc::new(Block {
            span: node.span.clone(),
            base,
            body,
            rescue,
            always,
            role: None,
            origin: Origin::Written,
            dir: place.dir.clone(),
            handlers: Vec::new(),
        }))
    }

    /// A task; what is wrong with its templates is left to fail where failures are handled.
    fn task(&mut self, node: &Node, map: &Map, place: &Place) -> Vec<Item> {
        let handled = map.get("failed_when").is_some() || map.get("ignore_errors").is_some();
        let outer = std::mem::replace(&mut self.lenient, place.tolerant || handled);
        let items = self.task_keys(node, map, place);
        self.lenient = outer;
        items
    }

    fn task_keys(&mut self, node: &Node, map: &Map, place: &Place) -> Vec<Item> {
        let on = if place.handlers { HANDLER } else { TASK };
        let mut base = Base::default();
        let mut parts = Parts::default();
        let mut modules: Vec<(&str, &Span, &Node)> = Vec::new();
        for (key, span, value) in map.iter() {
            if let Some(name) = key.strip_prefix("with_") {
                self.with(&mut parts, name, span, value);
            } else if keywords::find(key, on).is_some() {
                if self.keyword(key, span, value, on).is_some() {
                    self.task_keyword(&mut base, &mut parts, key, span, value);
                }
            } else {
                modules.push((key, span, value));
            }
        }
        let inner = inside(place, &base);
        let inner = Place {
            tolerant: inner.tolerant || parts.failed_when.is_some(),
            ..inner
        };
        let Some(action) = self.task_action(node, map, &modules, &inner) else {
            return Vec::new();
        };
        if map.get("local_action").is_some() {
            base.delegate_to = Some(Node::string("localhost", &action.span));
        }
        self.check_files(&action, &base, &inner);
        self.check_expressions(&action);
        let looped = parts.looped(self);
        if let (Some(looped), Some(_)) = (&looped, parts.confirm) {
            let text = "`confirm` on a loop: only one change can be waited for";
            self.error(&looped.over.span, text);
        }
        let name = action.spec.map_or("", |spec| spec.name);
        if matches!(name, "import_tasks" | "import_role" | "import_playbook")
            || is_static(&action, &parts)
        {
            return self.import(node, &action, base, looped.as_ref(), &inner);
        }
        let mut task = Task {
            span: node.span.clone(),
            base,
            action,
            looped,
            register: parts.register,
            until: parts.until,
            retries: parts.retries,
            delay: parts.delay,
            changed_when: parts.changed_when,
            failed_when: parts.failed_when,
            notify: Vec::new(),
            listen: parts.listen,
            r#async: parts.r#async,
            confirm: parts.confirm,
            poll: parts.poll,
            apply: None,
            preloaded: None,
            dir: place.dir.clone(),
        };
        task.notify = std::mem::take(&mut task.base.notify);
        if matches!(name, "include_tasks" | "include" | "include_role") {
            self.include(&mut task, &inner);
        }
        vec![Item::Task(Arc::new(task))]
    }

    /// The one key that is a module.
    fn task_action(
        &mut self,
        node: &Node,
        map: &Map,
        modules: &[(&str, &Span, &Node)],
        place: &Place,
    ) -> Option<Action> {
        let mut known: Vec<(&str, &Span, &Node, bool)> = ["action", "local_action"]
            .into_iter()
            .filter_map(|key| {
                let (_, span, value) = map.iter().find(|(name, ..)| &***name == key)?;
                Some((key, span, value, true))
            })
            .collect();
        let mut unknown = Vec::new();
        for (key, span, value) in modules {
            match self.module(key, place) {
                Known::Unknown => unknown.push((*key, *span)),
                _ => known.push((key, span, value, false)),
            }
        }
        // With a module at hand the others are mistyped keywords; without one the first is a mistyped module.
        let on = if place.handlers { HANDLER } else { TASK };
        let lone = known.is_empty();
        for (n, (key, span)) in unknown.iter().enumerate() {
            let keyword = crate::diag::near(key, keywords::names(on));
            if lone
                && n == 0
                && (known::near(key).is_some() || keyword.is_none() || unknown.len() == 1)
            {
                self.unknown_module(key, span);
            } else {
                self.keyword(key, span, node, on);
            }
        }
        if let [(first, ..), (second, span, ..), ..] = known[..] {
            self.hinted(
                span,
                format!("a task has one module, here are two: `{first}` and `{second}`"),
                "start another task with `- ` for the second one",
            );
            return None;
        }
        let Some((name, span, value, old)) = known.first().copied() else {
            if unknown.is_empty() {
                self.hinted(
                    &node.span,
                    "this task has no module",
                    "add one, for example `debug:` or `copy:`",
                );
            }
            return None;
        };
        if name == "include" {
            self.report(
                Diagnostic::note(span, "`include` is an old spelling")
                    .hint("write `import_tasks` or `include_tasks`"),
            );
        }
        self.action(
            &Given {
                name,
                span,
                value,
                old,
                args: map.get("args"),
            },
            place,
        )
    }

    fn task_keyword(
        &mut self,
        base: &mut Base,
        parts: &mut Parts,
        key: &str,
        span: &Span,
        node: &Node,
    ) {
        let value = || (!node.is_null()).then(|| node.clone());
        match key {
            // Read with the module.
            "action" | "local_action" | "args" => return,
            "when" | "until" | "changed_when" | "failed_when" => {}
            _ => self.check_templates(node),
        }
        match key {
            "register" => {
                let name = node.as_str().unwrap_or_default();
                if is_identifier(name) {
                    parts.register = Some(name.into());
                } else {
                    self.hinted(
                        &node.span,
                        format!("`{}` is not a valid variable name", node.span.text()),
                        "use letters, digits and underscores, and do not start with a digit",
                    );
                }
            }
            "until" => parts.until = self.conditions(node),
            "changed_when" => parts.changed_when = Some(self.conditions(node)),
            "failed_when" => parts.failed_when = Some(self.conditions(node)),
            "retries" => parts.retries = value(),
            "delay" => parts.delay = value(),
            "async" => parts.r#async = value(),
            "confirm" => {
                parts.confirm = seconds(&crate::modules::args::text(&crate::yaml::plain(node)));
                if parts.confirm.is_none() {
                    self.hinted(
                        &node.span,
                        format!("`confirm` is `{}`", node.span.text()),
                        "say how long the host waits for us, between `5s` and `60m`",
                    );
                }
            }
            "poll" => parts.poll = value(),
            "listen" => parts.listen = list(node),
            "static" => parts.r#static = args::to_bool(&crate::yaml::plain(node)),
            "loop" => self.over(parts, LoopKind::Loop, span, node),
            "loop_control" => self.loop_control(parts, node),
            _ => {
                self.shared(base, key, span, node);
            }
        }
    }

    /// `with_NAME`.
    fn with(&mut self, parts: &mut Parts, name: &str, span: &Span, node: &Node) {
        let short = name
            .strip_prefix("ansible.builtin.")
            .or_else(|| name.strip_prefix("ansible.legacy."))
            .unwrap_or(name);
        if !keywords::WITH.contains(&short) {
            self.report(
                Diagnostic::error(span, format!("unknown loop `with_{name}`"))
                    .did_you_mean(short, keywords::WITH.iter().copied()),
            );
            return;
        }
        let short = short.rsplit('.').next().unwrap_or(short);
        self.check_templates(node);
        let node = self.bare(short, node);
        self.over(parts, LoopKind::With(short.to_owned()), span, &node);
    }

    /// Old roles name a variable without braces: `with_items: packages`.
    fn bare(&mut self, lookup: &str, node: &Node) -> Node {
        let first_only = matches!(lookup, "subelements" | "nested" | "cartesian" | "together");
        let braced = |loader: &mut Self, node: &Node| {
            let name = match &node.kind {
                Kind::Str(text) if is_bare_variable(text) => text,
                _ => return node.clone(),
            };
            loader.report(
                Diagnostic::note(&node.span, format!("`{name}` is taken as a variable"))
                    .hint(format!("write \"{{{{ {name} }}}}\"")),
            );
            Node::string(format!("{{{{ {name} }}}}"), &node.span)
        };
        match (&node.kind, lookup) {
            (
                Kind::Str(_),
                "items" | "list" | "dict" | "indexed_items" | "flattened" | "random_choice"
                | "together" | "nested" | "cartesian" | "subelements",
            ) => braced(self, node),
            (Kind::Seq(items), _) if first_only => {
                let last = if lookup == "subelements" {
                    1
                } else {
                    items.len()
                };
                let items = items
                    .iter()
                    .enumerate()
                    .map(|(n, item)| {
                        if n < last {
                            braced(self, item)
                        } else {
                            item.clone()
                        }
                    })
                    .collect();
                Node {
                    kind: Kind::Seq(items),
                    span: node.span.clone(),
                }
            }
            _ => node.clone(),
        }
    }

    fn over(&mut self, parts: &mut Parts, kind: LoopKind, span: &Span, node: &Node) {
        if parts.over.is_some() {
            self.error(span, "a task has one loop, this is the second");
            return;
        }
        if node.is_null() {
            self.error(span, "a loop needs something to go over");
            return;
        }
        let fine = matches!(node.kind, Kind::Seq(_) | Kind::Vault(_)) || node.is_template();
        if kind == LoopKind::Loop && !fine {
            let error = Diagnostic::error(
                &node.span,
                format!("`loop` must be a list, not {}", node.describe()),
            );
            self.report(match node.as_str() {
                Some(name) if is_bare_variable(name) => error.hint(format!(
                    "to go over the variable write \"{{{{ {name} }}}}\""
                )),
                _ => match node.kind {
                    Kind::Map(_) => error.hint("use `loop: \"{{ name | dict2items }}\"`"),
                    _ => error,
                },
            });
            return;
        }
        parts.over = Some((node.clone(), kind));
    }

    fn loop_control(&mut self, parts: &mut Parts, node: &Node) {
        let Some(map) = node.as_map() else {
            self.error(
                &node.span,
                format!("`loop_control` must be a mapping, not {}", node.describe()),
            );
            return;
        };
        for (key, span, value) in map.iter() {
            let Some((_, shape)) = keywords::LOOP_CONTROL
                .iter()
                .find(|(name, _)| *name == &**key)
            else {
                let names = keywords::LOOP_CONTROL.iter().map(|(name, _)| *name);
                self.report(
                    Diagnostic::error(span, format!("unknown key `{key}` of `loop_control`"))
                        .did_you_mean(key, names),
                );
                continue;
            };
            if !self.shape(key, value, *shape) {
                continue;
            }
            let text = || value.as_str().map(Into::into);
            match &**key {
                "loop_var" => parts.var = text(),
                "index_var" => parts.index_var = text(),
                "label" => parts.label = Some(value.clone()),
                "pause" => parts.pause = Some(value.clone()),
                "extended" => {
                    parts.extended = args::to_bool(&crate::yaml::plain(value)).unwrap_or(false);
                }
                "break_when" => parts.break_when = self.conditions(value),
                _ => {}
            }
        }
    }
}

/// What holds inside of something with these keywords.
pub(super) fn inside(place: &Place, base: &Base) -> Place {
    let ignores = base.ignore_errors.as_ref().is_some_and(|node| {
        node.is_template() || args::to_bool(&crate::yaml::plain(node)) == Some(true)
    });
    Place {
        tolerant: place.tolerant || ignores,
        collections: place.collections
            || base.collections.iter().any(|node| {
                node.as_str().is_none_or(|name| {
                    !name.starts_with("ansible.") && !name.starts_with("community.")
                })
            }),
        defaults: place.defaults || !base.module_defaults.is_empty(),
        guarded: place.guarded || !base.when.is_empty(),
        ..place.clone()
    }
}

/// Whether a loop's text is a variable without braces, perhaps with attributes.
fn is_bare_variable(text: &str) -> bool {
    let mut parts = text.split('.');
    parts.next().is_some_and(is_identifier)
        && parts.all(|part| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|c| c.is_alphanumeric() || "_[]'\"".contains(c))
        })
}

/// Whether an old `include:` is read at load: `static: yes`, or a literal name without a loop.
fn is_static(action: &Action, parts: &Parts) -> bool {
    action.spec.is_some_and(|spec| spec.name == "include")
        && parts.r#static.unwrap_or_else(|| {
            let file = action
                .args
                .as_map()
                .and_then(|map| map.get("_raw_params").or(map.get("file")));
            parts.over.is_none() && file.is_some_and(|node| !node.is_template())
        })
}

/// Keywords of a task that nothing else shares.
#[derive(Default)]
struct Parts {
    register: Option<Arc<str>>,
    until: Vec<Node>,
    retries: Option<Node>,
    delay: Option<Node>,
    changed_when: Option<Vec<Node>>,
    failed_when: Option<Vec<Node>>,
    listen: Vec<Node>,
    r#async: Option<Node>,
    confirm: Option<Duration>,
    poll: Option<Node>,
    r#static: Option<bool>,
    over: Option<(Node, LoopKind)>,
    var: Option<Arc<str>>,
    index_var: Option<Arc<str>>,
    label: Option<Node>,
    pause: Option<Node>,
    extended: bool,
    break_when: Vec<Node>,
}

impl Parts {
    /// The loop, its variables' names checked.
    fn looped(&mut self, loader: &mut Loader<'_>) -> Option<Loop> {
        let (over, kind) = self.over.take()?;
        for name in self.var.iter().chain(&self.index_var) {
            if !is_identifier(name) && !crate::yaml::has_template(name) {
                loader.error(&over.span, format!("`{name}` is not a valid variable name"));
            }
        }
        Some(Loop {
            over,
            kind,
            var: self.var.take().unwrap_or_else(|| "item".into()),
            index_var: self.index_var.take(),
            label: self.label.take(),
            pause: self.pause.take(),
            extended: self.extended,
            break_when: std::mem::take(&mut self.break_when),
        })
    }
}

/// `30`, `30s`, `2m`: how long to wait for the confirmation.
fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim();
    let (number, unit) = match text.strip_suffix('m') {
        Some(number) => (number, 60),
        None => (text.strip_suffix('s').unwrap_or(text), 1),
    };
    let number: u64 = number.trim().parse().ok()?;
    let limit = number.checked_mul(unit)?;
    (5..=3600)
        .contains(&limit)
        .then(|| Duration::from_secs(limit))
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn times() {
        for (text, want) in [
            ("30", Some(30)),
            ("30s", Some(30)),
            ("2m", Some(120)),
            ("1", None),
            ("x", None),
            ("2h", None),
        ] {
            assert_eq!(seconds(text).map(|limit| limit.as_secs()), want, "{text}");
        }
    }
}
