//! Objects that only templates see: `loop`, macros, imported modules, namespaces.

use super::super::jinja::ast::{For, Macro};
use super::super::value::data;
use super::super::value::undefined::Origin;
use crate::template::Engine;
use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Names set at the top of a template: its macros see them, and importers too.
#[derive(Debug, Default)]
pub(crate) struct Top(Mutex<IndexMap<Arc<str>, Value>>);

impl Top {
    pub(crate) fn shared(_engine: &Engine) -> Arc<Self> {
        Arc::new(Self::default())
    }

    pub(crate) fn get(&self, name: &str) -> Option<Value> {
        lock(&self.0).get(name).cloned()
    }

    pub(crate) fn set(&self, name: &Arc<str>, value: Value) {
        lock(&self.0).insert(Arc::clone(name), value);
    }

    pub(crate) fn all(&self) -> Vec<(Arc<str>, Value)> {
        lock(&self.0)
            .iter()
            .map(|(k, v)| (Arc::clone(k), v.clone()))
            .collect()
    }
}

/// `loop` inside a `for`.
#[derive(Debug)]
pub(crate) struct Loop {
    items: Arc<[Value]>,
    index: AtomicUsize,
    depth: usize,
    /// The loop itself when it is recursive.
    pub(crate) recursive: Option<Arc<For>>,
    last_changed: Mutex<Option<Vec<Value>>>,
}

impl Loop {
    pub(crate) fn new(items: Arc<[Value]>, depth: usize, recursive: Option<Arc<For>>) -> Self {
        Self {
            items,
            index: AtomicUsize::new(0),
            depth,
            recursive,
            last_changed: Mutex::new(None),
        }
    }

    pub(crate) fn at(&self, n: usize) {
        self.index.store(n, Ordering::Relaxed);
    }

    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    pub(crate) fn cycle(&self, values: &[Value]) -> Option<Value> {
        let n = self.index.load(Ordering::Relaxed);
        values.get(n.checked_rem(values.len())?).cloned()
    }

    pub(crate) fn changed(&self, values: &[Value]) -> bool {
        let mut last = lock(&self.last_changed);
        let changed = last.as_deref() != Some(values);
        *last = Some(values.to_vec());
        changed
    }
}

impl Object for Loop {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let n = self.index.load(Ordering::Relaxed);
        let len = self.items.len();
        Some(match key.as_str()? {
            "index" => Value::from(n + 1),
            "index0" => Value::from(n),
            "revindex" => Value::from(len - n),
            "revindex0" => Value::from(len - n - 1),
            "first" => Value::from(n == 0),
            "last" => Value::from(n + 1 == len),
            "length" => Value::from(len),
            "depth" => Value::from(self.depth + 1),
            "depth0" => Value::from(self.depth),
            "previtem" => n.checked_sub(1).and_then(|n| self.items.get(n)).cloned()?,
            "nextitem" => self.items.get(n + 1).cloned()?,
            _ => return None,
        })
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }
}

/// A macro, ready to be called.
#[derive(Debug)]
pub(crate) struct MacroValue {
    pub(crate) decl: Arc<Macro>,
    /// Names of the blocks around its definition.
    pub(crate) closure: Vec<(Arc<str>, Value)>,
    /// Names at the top of its template. Weak, because the macro is one of them.
    pub(crate) top: Weak<Top>,
    /// The text it stands in.
    pub(crate) text: Arc<str>,
    pub(crate) origin: Origin,
}

impl MacroValue {
    pub(crate) fn value(
        closure: Vec<(Arc<str>, Value)>,
        top: &Arc<Top>,
        decl: &Arc<Macro>,
        (text, origin): (Arc<str>, Origin),
    ) -> Value {
        Value::from_object(Self {
            decl: Arc::clone(decl),
            closure,
            top: Arc::downgrade(top),
            text,
            origin,
        })
    }
}

impl Object for MacroValue {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "name" => Some(Value::from(Arc::clone(&self.decl.name))),
            "arguments" => Some(data::tuple(
                self.decl
                    .params
                    .iter()
                    .map(|(name, _)| Value::from(Arc::clone(name)))
                    .collect(),
            )),
            _ => None,
        }
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<Macro '{}'>", self.decl.name)
    }
}

/// An imported template.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) top: Arc<Top>,
    pub(crate) text: String,
}

impl Object for Module {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        if name.starts_with('_') {
            return None;
        }
        self.top.get(name)
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// `namespace()`: attributes that may be set from inner scopes.
#[derive(Debug, Default)]
pub(crate) struct Namespace(Mutex<IndexMap<Arc<str>, Value>>);

impl Namespace {
    pub(crate) fn new(entries: impl IntoIterator<Item = (Arc<str>, Value)>) -> Self {
        Self(Mutex::new(entries.into_iter().collect()))
    }

    pub(crate) fn set(&self, name: &Arc<str>, value: Value) {
        lock(&self.0).insert(Arc::clone(name), value);
    }
}

impl Object for Namespace {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        lock(&self.0).get(key.as_str()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(
            lock(&self.0)
                .keys()
                .map(|k| Value::from(Arc::clone(k)))
                .collect(),
        )
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }
}

/// `cycler(…)`.
#[derive(Debug)]
pub(crate) struct Cycler {
    pub(crate) items: Vec<Value>,
    pub(crate) next: AtomicUsize,
}

impl Cycler {
    pub(crate) fn current(&self) -> Option<Value> {
        let n = self.next.load(Ordering::Relaxed);
        self.items.get(n.checked_rem(self.items.len())?).cloned()
    }

    pub(crate) fn advance(&self) -> Option<Value> {
        let n = self.next.fetch_add(1, Ordering::Relaxed);
        self.items.get(n.checked_rem(self.items.len())?).cloned()
    }
}

impl Object for Cycler {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        (key.as_str()? == "current").then(|| self.current())?
    }
}

/// `joiner(sep)`: nothing the first time it is called.
#[derive(Debug)]
pub(crate) struct Joiner {
    pub(crate) sep: Value,
    pub(crate) used: AtomicUsize,
}

impl Object for Joiner {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}
