//! Containers whose parts are rendered when they are looked at.
//!
//! Ansible renders `{{ config.port }}` without touching the rest of `config`. So a variable that is
//! a list or a mapping is handed to the evaluator as one of these; a part that fails becomes an
//! undefined value that carries the failure. Nothing lazy leaves the engine.

use super::undefined::{Undef, Why};
use crate::diag::Span;
use crate::template::{Engine, Scope, TemplateError};
use crate::yaml::{Kind, Map, Node};
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A list or mapping from a file.
pub(crate) struct LazyNode {
    node: Node,
    scope: Arc<dyn Scope>,
    engine: Engine,
    parts: OnceLock<Box<[OnceLock<Value>]>>,
}

impl fmt::Debug for LazyNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LazyNode({})", self.node.span)
    }
}

impl LazyNode {
    pub(crate) fn value(engine: &Engine, node: &Node, scope: &Arc<dyn Scope>) -> Value {
        Value::from_object(Self {
            node: node.clone(),
            scope: Arc::clone(scope),
            engine: engine.clone(),
            parts: OnceLock::new(),
        })
    }

    /// All of it, rendered.
    pub(crate) fn force(&self) -> Result<Value, TemplateError> {
        self.engine.render(&self.node, &self.scope)
    }

    fn len(&self) -> usize {
        match &self.node.kind {
            Kind::Seq(items) => items.len(),
            Kind::Map(map) => map.len(),
            _ => 0,
        }
    }

    fn part(&self, n: usize, node: &Node) -> Value {
        let parts = self
            .parts
            .get_or_init(|| (0..self.len()).map(|_| OnceLock::new()).collect());
        if let Some(value) = parts.get(n).and_then(OnceLock::get) {
            return value.clone();
        }
        match self.engine.lazy(node, &self.scope) {
            Ok(value) => {
                if let Some(cell) = parts.get(n) {
                    let _ = cell.set(value.clone());
                }
                value
            }
            Err(error) => Undef::value(Why::Inner(error), None),
        }
    }

    /// A key as data; one that is a template is rendered.
    fn key(&self, map: &Map, key: &Arc<str>, span: &Span) -> Value {
        if !crate::yaml::has_template(key) {
            return map.key_value(key);
        }
        match self.engine.render_str(key, Some(span), &self.scope) {
            Ok(value) => value,
            Err(error) => Undef::value(Why::Inner(error), None),
        }
    }

    fn find(&self, key: &Value) -> Option<Value> {
        let Kind::Map(map) = &self.node.kind else {
            return None;
        };
        let name = key.as_str();
        map.iter()
            .enumerate()
            .find(|(_, (k, span, _))| match name {
                Some(name) if k.as_ref() == name => map.key_value(k) == *key,
                Some(_) if !crate::yaml::has_template(k) => false,
                _ => self.key(map, k, span) == *key,
            })
            .map(|(n, (_, _, node))| self.part(n, node))
    }
}

impl Object for LazyNode {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        match &self.node.kind {
            Kind::Seq(_) => ObjectRepr::Seq,
            _ => ObjectRepr::Map,
        }
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match &self.node.kind {
            Kind::Seq(items) => {
                let n = key.as_usize()?;
                items.get(n).map(|node| self.part(n, node))
            }
            _ => self.find(key),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        match &self.node.kind {
            Kind::Seq(items) => Enumerator::Seq(items.len()),
            Kind::Map(map) => Enumerator::Values(
                map.iter()
                    .map(|(key, span, _)| self.key(map, key, span))
                    .collect(),
            ),
            _ => Enumerator::Empty,
        }
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.len())
    }
}

/// A scope as a mapping: `vars`, and each host in `hostvars`.
#[derive(Debug)]
pub(crate) struct ScopeMap(pub(crate) Arc<dyn Scope>);

impl Object for ScopeMap {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        match self.0.get(key) {
            Ok(value) => value,
            Err(error) => Some(Undef::value(Why::Inner(error), None)),
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        // What holds every scope can be asked for, but who walks through a scope would never come to an end.
        let names = self.0.names().into_iter();
        let own = names.filter(|name| !matches!(name.as_str(), "hostvars" | "vars"));
        Enumerator::Values(own.map(Value::from).collect())
    }
}
