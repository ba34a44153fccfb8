//! Lists and mappings that a template may change (`append`, `update`, …).
//!
//! Data from variables never changes: when such a method is called on one, the evaluator puts a
//! changeable copy in the variable's place for the rest of the template (see [`thaw`]).

use super::data::Dict;
use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A list that may change.
#[derive(Debug, Default)]
pub(crate) struct List(Mutex<Vec<Value>>);

/// A mapping that may change.
#[derive(Debug, Default)]
pub(crate) struct Map(Mutex<Dict>);

impl List {
    pub(crate) fn value(items: Vec<Value>) -> Value {
        Value::from_object(Self(Mutex::new(items)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Vec<Value>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Map {
    pub(crate) fn value(entries: Dict) -> Value {
        Value::from_object(Self(Mutex::new(entries)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Dict> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.lock().get(key.as_usize()?).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.lock().clone())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.lock().len())
    }
}

impl Object for Map {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.lock().get(key).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.lock().keys().cloned().collect())
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.lock().len())
    }
}

/// A copy in which every list and mapping may change; what may change already stays itself.
pub(crate) fn thaw(value: &Value) -> Value {
    if is_mutable(value) {
        return value.clone();
    }
    match super::kind(value) {
        super::Kind::List => List::value(
            super::items(value)
                .unwrap_or_default()
                .iter()
                .map(thaw)
                .collect(),
        ),
        super::Kind::Dict => Map::value(
            super::pairs(value)
                .unwrap_or_default()
                .into_iter()
                .map(|(key, item)| (key, thaw(&item)))
                .collect::<IndexMap<_, _>>(),
        ),
        _ => value.clone(),
    }
}

pub(crate) fn is_mutable(value: &Value) -> bool {
    value.downcast_object_ref::<List>().is_some() || value.downcast_object_ref::<Map>().is_some()
}
