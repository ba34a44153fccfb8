//! Spanned YAML tree and YAML 1.1 scalars as Ansible reads them.
//!
//! A [`Node`] is what a user wrote: it may hold templates, and it knows its place. What was computed
//! (facts, registered results) is a [`minijinja::Value`] and is never templated again. The type alone
//! says which of the two something is.

mod explain;
pub mod kv;
mod layout;
mod load;
mod plain;
mod scalar;

use crate::diag::Span;
use minijinja::Value;
use std::collections::HashMap;
use std::sync::Arc;

pub use kv::extra_vars;
pub use load::{load, load_all, load_lenient};
pub(crate) use plain::integer;
pub use plain::{from_json, plain};
pub use scalar::parse_scalar;

/// A value in a user's file. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Node {
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub span: Span,
}

/// The kinds of YAML values after YAML 1.1 resolution as PyYAML does it.
#[derive(Debug, Clone)]
pub enum Kind {
    /// `~`, `null` or nothing at all.
    Null,
    /// `true`, `yes`, `on` and their opposites.
    Bool(bool),
    /// Decimal, `0o`/leading-zero octal, hexadecimal, sexagesimal. `0644` is 420; the text stays in the span.
    Int(i128),
    /// Floating point.
    Float(f64),
    /// A string; may hold templates.
    Str(Arc<str>),
    /// A string tagged `!unsafe`: never templated.
    Unsafe(Arc<str>),
    /// A string tagged `!vault`: the armoured text.
    Vault(Arc<str>),
    /// A list.
    Seq(Arc<[Node]>),
    /// A mapping, in the order written.
    Map(Arc<Map>),
}

/// A mapping in the order written. Keys are strings; other scalars by the text Python gives them (`True`, `420`),
/// see [`Map::key_value`] for the scalar itself.
#[derive(Debug, Clone, Default)]
pub struct Map {
    entries: indexmap::IndexMap<Arc<str>, (Span, Node)>,
    /// Keys that were no strings.
    scalars: HashMap<Arc<str>, Kind>,
}

impl Map {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.get(key).map(|(_, node)| node)
    }

    /// Where a key stands.
    #[must_use]
    pub fn key_span(&self, key: &str) -> Option<&Span> {
        self.entries.get(key).map(|(span, _)| span)
    }

    /// A key as data: a number where the user wrote a number (`80: http`), a string otherwise.
    #[must_use]
    pub fn key_value(&self, key: &str) -> Value {
        match self.scalars.get(key) {
            Some(Kind::Int(number)) => plain::integer(*number),
            Some(Kind::Float(number)) => Value::from(*number),
            Some(Kind::Bool(flag)) => Value::from(*flag),
            Some(Kind::Null) => Value::from(()),
            _ => Value::from(key),
        }
    }

    /// Keys, their places and values, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Arc<str>, &Span, &Node)> {
        self.entries
            .iter()
            .map(|(key, (span, node))| (key, span, node))
    }

    /// How many entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Adds an entry; gives back the earlier one of that key.
    pub fn insert(&mut self, key: Arc<str>, span: Span, node: Node) -> Option<(Span, Node)> {
        self.entries.insert(key, (span, node))
    }

    /// Adds an entry whose key may be another scalar than a string.
    fn insert_key(
        &mut self,
        key: Arc<str>,
        kind: Kind,
        span: Span,
        node: Node,
    ) -> Option<(Span, Node)> {
        if !matches!(kind, Kind::Str(_) | Kind::Unsafe(_)) {
            self.scalars.insert(Arc::clone(&key), kind);
        }
        self.insert(key, span, node)
    }

    /// Adds all entries of another mapping; those win.
    fn extend(&mut self, other: &Self) {
        for (key, span, node) in other.iter() {
            self.insert(Arc::clone(key), span.clone(), node.clone());
        }
        for (key, kind) in &other.scalars {
            self.scalars.insert(Arc::clone(key), kind.clone());
        }
    }
}

impl Node {
    /// A string node that stands for something at `span`.
    pub fn string(text: impl Into<Arc<str>>, span: &Span) -> Self {
        Self {
            kind: Kind::Str(text.into()),
            span: span.clone(),
        }
    }

    /// The text of a string (also an unsafe one).
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::Str(text) | Kind::Unsafe(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of a list.
    #[must_use]
    pub fn as_seq(&self) -> Option<&[Node]> {
        match &self.kind {
            Kind::Seq(items) => Some(items),
            _ => None,
        }
    }

    /// The entries of a mapping.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        match &self.kind {
            Kind::Map(map) => Some(map),
            _ => None,
        }
    }

    /// Whether it is null.
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self.kind, Kind::Null)
    }

    /// Whether it is a string that holds `{{`, `{%` or `{#`.
    #[must_use]
    pub fn is_template(&self) -> bool {
        matches!(&self.kind, Kind::Str(text) if crate::yaml::has_template(text))
    }

    /// What it is, for messages: "a list", "a string".
    #[must_use]
    pub fn describe(&self) -> &'static str {
        match self.kind {
            Kind::Null => "nothing",
            Kind::Bool(_) => "a boolean",
            Kind::Int(_) => "an integer",
            Kind::Float(_) => "a number",
            Kind::Str(_) | Kind::Unsafe(_) => "a string",
            Kind::Vault(_) => "an encrypted string",
            Kind::Seq(_) => "a list",
            Kind::Map(_) => "a mapping",
        }
    }
}

/// Whether a text holds the start of a Jinja construct.
#[must_use]
pub fn has_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}
