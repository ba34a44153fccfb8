//! Keywords: their names, the shapes of their values, and those that plays, blocks, tasks and roles share.

use super::ast::{Base, VarMap};
use super::keywords::{self, Keyword, On, ROLE, Shape, State};
use super::loader::Loader;
use crate::diag::{Diagnostic, Span};
use crate::modules::args;
use crate::yaml::{Kind, Map, Node};
use std::sync::Arc;

impl Loader<'_> {
    /// The keyword of a key, its value's shape checked; `None` and a diagnostic when there is no such keyword.
    pub(super) fn keyword(
        &mut self,
        key: &str,
        span: &Span,
        node: &Node,
        on: On,
    ) -> Option<&'static Keyword> {
        let Some(keyword) = keywords::find(key, on) else {
            let error = Diagnostic::error(
                span,
                format!("unknown keyword `{key}` of {}", on.describe()),
            );
            self.report(misplaced(error, key, on));
            return None;
        };
        match keyword.state {
            State::Fine => {}
            State::Old(now) => self.report(
                Diagnostic::note(span, format!("`{key}` is an old spelling"))
                    .hint(format!("write `{now}`")),
            ),
            State::Refused(why) => {
                // `debugger: never` asks for nothing.
                if node.as_str() == Some("never") {
                    return Some(keyword);
                }
                self.hinted(span, format!("`{key}` is not supported"), why);
                return None;
            }
        }
        self.shape(key, node, keyword.shape).then_some(keyword)
    }

    /// Whether a value has the shape its keyword needs; says so when not.
    pub(super) fn shape(&mut self, key: &str, node: &Node, shape: Shape) -> bool {
        let scalar = !matches!(node.kind, Kind::Seq(_) | Kind::Map(_));
        let numeric = |node: &Node| {
            let text = node.as_str().unwrap_or("").trim().trim_end_matches('%');
            matches!(node.kind, Kind::Int(_) | Kind::Float(_)) || text.parse::<f64>().is_ok()
        };
        let loose = node.is_template() || matches!(node.kind, Kind::Vault(_));
        let expected = match shape {
            Shape::Other => None,
            Shape::Tasks => {
                let fine = matches!(node.kind, Kind::Seq(_) | Kind::Null);
                (!fine).then_some("a list of tasks")
            }
            Shape::Vars => {
                let fine = matches!(node.kind, Kind::Map(_) | Kind::Seq(_) | Kind::Null);
                (!fine).then_some("a mapping of variables")
            }
            _ if loose || node.is_null() => None,
            Shape::Bool => {
                let fine = scalar && args::to_bool(&crate::yaml::plain(node)).is_some();
                (!fine).then_some("a boolean")
            }
            Shape::Int => {
                let fine = matches!(node.kind, Kind::Int(_))
                    || node
                        .as_str()
                        .is_some_and(|t| t.trim().parse::<i64>().is_ok());
                (!fine).then_some("an integer")
            }
            Shape::Number => (!numeric(node)).then_some("a number"),
            Shape::Text => (!scalar).then_some("a string"),
            Shape::Texts => {
                let fine = scalar
                    || node
                        .as_seq()
                        .is_some_and(|items| items.iter().all(is_scalar));
                (!fine).then_some("a string or a list of strings")
            }
            Shape::Conditions => {
                let fine = scalar
                    || node
                        .as_seq()
                        .is_some_and(|items| items.iter().all(is_scalar));
                (!fine).then_some("a condition or a list of conditions")
            }
            Shape::Mappings => {
                let maps = |items: &[Node]| {
                    items
                        .iter()
                        .all(|item| matches!(item.kind, Kind::Map(_)) || item.is_template())
                };
                let fine = node.as_map().is_some() || node.as_seq().is_some_and(maps);
                (!fine).then_some("a mapping")
            }
        };
        let Some(expected) = expected else {
            return true;
        };
        let error = Diagnostic::error(
            &node.span,
            format!("`{key}` must be {expected}, not {}", node.describe()),
        );
        self.report(match (shape, &node.kind) {
            (Shape::Tasks, Kind::Map(_)) => error.hint("start each task with `- `"),
            (Shape::Vars, Kind::Str(_)) => error
                .hint("write one `name: value` a line; a template cannot stand for all of them"),
            (Shape::Bool, Kind::Str(text)) => {
                error.did_you_mean(text, ["true", "false", "yes", "no"])
            }
            _ => error,
        });
        false
    }

    /// Takes a keyword that all share into `base`; false when it is not one of those.
    pub(super) fn shared(&mut self, base: &mut Base, key: &str, span: &Span, node: &Node) -> bool {
        let value = || (!node.is_null()).then(|| node.clone());
        match key {
            "name" => base.name = value(),
            "when" => base.when = self.conditions(node),
            "tags" => base.tags.extend(tags(node)),
            "vars" => base.vars.extend(self.vars(node)),
            "become" | "sudo" => base.r#become = value(),
            "su" => {
                base.r#become = value();
                base.become_method = Some(Node::string("su", span));
            }
            "become_user" => base.become_user = value(),
            "sudo_user" | "su_user" => {
                base.become_user = value();
                if key == "su_user" {
                    base.become_method = Some(Node::string("su", span));
                }
                // It used to imply `sudo: yes`.
                base.r#become.get_or_insert_with(|| boolean(true, span));
            }
            "become_method" => base.become_method = value(),
            "become_flags" => base.become_flags = value(),
            "become_exe" => base.become_exe = value(),
            "environment" => base.environment = list(node),
            "no_log" => base.no_log = value(),
            "ignore_errors" => base.ignore_errors = value(),
            "ignore_unreachable" => base.ignore_unreachable = value(),
            "any_errors_fatal" => base.any_errors_fatal = value(),
            "check_mode" => base.check_mode = value(),
            "always_run" => {
                let always = args::to_bool(&crate::yaml::plain(node)) == Some(true);
                if always {
                    base.check_mode = Some(boolean(false, span));
                }
            }
            "diff" => base.diff = value(),
            "delegate_to" => base.delegate_to = value(),
            "delegate_facts" => base.delegate_facts = value(),
            "run_once" => base.run_once = value(),
            "connection" => base.connection = value(),
            "remote_user" | "user" => base.remote_user = value(),
            "port" => base.port = value(),
            "throttle" => base.throttle = value(),
            "timeout" => base.timeout = value(),
            "module_defaults" => {
                base.module_defaults = list(node);
                self.check_module_defaults(node);
            }
            "notify" => base.notify = list(node),
            // Short names of ours resolve anyway.
            "collections" => base.collections = list(node),
            // One that never stops.
            "debugger" => {}
            _ => return false,
        }
        true
    }

    /// Names in `module_defaults` must be modules or groups.
    fn check_module_defaults(&mut self, node: &Node) {
        let maps: Vec<Node> = list(node);
        for map in maps.iter().filter_map(Node::as_map) {
            for (name, span, _) in map.iter() {
                if name.starts_with("group/") || crate::yaml::has_template(name) {
                    continue;
                }
                if super::known::module(name) == super::known::Known::Unknown {
                    let error = Diagnostic::error(span, format!("unknown module `{name}`"));
                    self.report(match super::known::near(name) {
                        Some(near) => error.hint(format!("did you mean `{near}`?")),
                        None => error,
                    });
                }
            }
        }
    }

    /// Conditions, their syntax checked.
    pub(super) fn conditions(&mut self, node: &Node) -> Vec<Node> {
        let all = list(node);
        for condition in &all {
            self.check_expression(condition);
        }
        all
    }

    /// Variables of a `vars:` keyword or a file.
    pub(super) fn vars(&mut self, node: &Node) -> VarMap {
        let mut vars = VarMap::new();
        match &node.kind {
            Kind::Map(map) => self.add_vars(&mut vars, map),
            // The old form: a list of mappings.
            Kind::Seq(items) => {
                for item in items.iter() {
                    match item.as_map() {
                        Some(map) => self.add_vars(&mut vars, map),
                        None => self.error(
                            &item.span,
                            format!("variables must be a mapping, not {}", item.describe()),
                        ),
                    }
                }
            }
            _ => {}
        }
        vars
    }

    fn add_vars(&mut self, vars: &mut VarMap, map: &Map) {
        for (name, span, node) in map.iter() {
            if !is_identifier(name) {
                self.hinted(
                    span,
                    format!("`{name}` is not a valid variable name"),
                    "use letters, digits and underscores, and do not start with a digit",
                );
                continue;
            }
            self.check_templates(node);
            vars.insert(Arc::clone(name), node.clone());
        }
    }
}

/// An unknown keyword that is known elsewhere, or near to one.
fn misplaced(error: Diagnostic, key: &str, on: On) -> Diagnostic {
    use keywords::{BLOCK, HANDLER, PLAY, TASK};
    let elsewhere = [PLAY, BLOCK, TASK, HANDLER, ROLE]
        .into_iter()
        .filter(|other| *other != on)
        .find(|other| keywords::find(key, *other).is_some());
    if let Some(other) = elsewhere {
        return error.hint(format!("`{key}` is a keyword of {}", other.describe()));
    }
    error.did_you_mean(key, keywords::names(on))
}

/// Whether a name can be a variable's.
#[must_use]
pub(super) fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
}

/// A boolean that stands for something at `span`.
pub(super) fn boolean(value: bool, span: &Span) -> Node {
    Node {
        kind: Kind::Bool(value),
        span: span.clone(),
    }
}

fn is_scalar(node: &Node) -> bool {
    !matches!(node.kind, Kind::Seq(_) | Kind::Map(_))
}

/// One value or a list of them.
pub(super) fn list(node: &Node) -> Vec<Node> {
    match &node.kind {
        Kind::Null => Vec::new(),
        Kind::Seq(items) => items.to_vec(),
        _ => vec![node.clone()],
    }
}

/// Tags, split at commas.
fn tags(node: &Node) -> Vec<Node> {
    list(node)
        .into_iter()
        .flat_map(|item| match item.as_str() {
            Some(text) if text.contains(',') && !item.is_template() => text
                .split(',')
                .map(str::trim)
                .filter(|tag| !tag.is_empty())
                .map(|tag| Node::string(tag, &item.span))
                .collect(),
            _ => vec![item],
        })
        .collect()
}
