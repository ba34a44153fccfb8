//! What leaves an evaluation is plain: nothing lazy, changeable, omitted or undefined is left in it.

use crate::template::is_omit;
use crate::template::value::data::{self, Kind, kind};
use crate::template::value::lazy::{LazyNode, ScopeMap};
use crate::template::value::mutable::is_mutable;
use crate::template::value::undefined::{Fault, Res, check, trip, undef};
use indexmap::IndexMap;
use minijinja::Value;

/// A value as it may leave the engine. `omit` itself passes; inside containers it drops out.
pub(crate) fn result(value: Value) -> Res<Value> {
    match kind(&value) {
        Kind::Undefined => Err(trip(&value)),
        Kind::List | Kind::Tuple | Kind::Dict if !is_plain(&value) => rebuild(&value),
        _ => Ok(value),
    }
}

/// Whether nothing in a value needs work.
fn is_plain(value: &Value) -> bool {
    match kind(value) {
        Kind::Other => !is_omit(value),
        Kind::List if !is_mutable(value) && !is_lazy(value) => value
            .downcast_object_ref::<Vec<Value>>()
            .is_some_and(|items| items.iter().all(is_plain)),
        Kind::Dict if !is_mutable(value) && !is_lazy(value) => {
            match value.downcast_object_ref::<data::Dict>() {
                Some(map) => map.values().all(is_plain),
                None => value
                    .as_object()
                    .and_then(minijinja::value::DynObject::try_iter_pairs)
                    .is_some_and(|mut all| all.all(|(_, v)| is_plain(&v))),
            }
        }
        Kind::List | Kind::Dict | Kind::Undefined | Kind::Tuple => false,
        _ => true,
    }
}

/// Whether its parts are rendered only when looked at.
pub(crate) fn is_lazy(value: &Value) -> bool {
    value.downcast_object_ref::<LazyNode>().is_some()
        || value.downcast_object_ref::<ScopeMap>().is_some()
}

fn rebuild(value: &Value) -> Res<Value> {
    if let Some(lazy) = value.downcast_object_ref::<LazyNode>() {
        return lazy
            .force()
            .map_err(|error| Box::new(Fault::Template(error)));
    }
    match kind(value) {
        Kind::List | Kind::Tuple => {
            let mut items = Vec::new();
            for item in data::items(value)? {
                if !is_omit(&item) {
                    items.push(result(item)?);
                }
            }
            Ok(data::list(items))
        }
        Kind::Dict => {
            let mut map = IndexMap::new();
            for (key, item) in data::pairs(value)? {
                if !is_omit(&item) {
                    check(&key)?;
                    map.insert(key, result(item)?);
                }
            }
            Ok(data::dict(map))
        }
        _ => {
            if undef(value).is_some() {
                return Err(trip(value));
            }
            Ok(value.clone())
        }
    }
}
