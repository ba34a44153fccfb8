//! What a value is, and how to walk it.

use super::undefined::{Res, check, fault};
use indexmap::IndexMap;
use minijinja::Value;
use minijinja::value::{ObjectRepr, Tuple, ValueKind};

/// A mapping as filters build it.
pub(crate) type Dict = IndexMap<Value, Value>;

/// Python's idea of a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    None,
    Bool,
    Int,
    Float,
    Str,
    Bytes,
    List,
    Tuple,
    Dict,
    /// Anything with methods of its own.
    Other,
    Undefined,
}

pub(crate) fn kind(value: &Value) -> Kind {
    match value.kind() {
        ValueKind::None => Kind::None,
        ValueKind::Bool => Kind::Bool,
        ValueKind::Number if value.is_integer() => Kind::Int,
        ValueKind::Number => Kind::Float,
        ValueKind::String => Kind::Str,
        ValueKind::Bytes => Kind::Bytes,
        ValueKind::Seq | ValueKind::Iterable if value.is_tuple() => Kind::Tuple,
        ValueKind::Seq | ValueKind::Iterable => Kind::List,
        ValueKind::Map => Kind::Dict,
        ValueKind::Undefined => Kind::Undefined,
        _ if super::undef(value).is_some() => Kind::Undefined,
        _ => Kind::Other,
    }
}

/// The name of its type in Python.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match kind(value) {
        Kind::None => "NoneType",
        Kind::Bool => "bool",
        Kind::Int => "int",
        Kind::Float => "float",
        Kind::Str => "str",
        Kind::Bytes => "bytes",
        Kind::List => "list",
        Kind::Tuple => "tuple",
        Kind::Dict => "dict",
        Kind::Other => "object",
        Kind::Undefined => "Undefined",
    }
}

pub(crate) fn is_str(value: &Value) -> bool {
    value.kind() == ValueKind::String
}

pub(crate) fn is_map(value: &Value) -> bool {
    value.kind() == ValueKind::Map
}

/// A list or a tuple.
pub(crate) fn is_seq(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable)
}

/// The items of a list or tuple, the characters of a string, the keys of a mapping.
pub(crate) fn items(value: &Value) -> Res<Vec<Value>> {
    check(value)?;
    if let Some(list) = value.downcast_object_ref::<Vec<Value>>() {
        return Ok(list.clone());
    }
    match kind(value) {
        Kind::List | Kind::Tuple | Kind::Dict | Kind::Str => match value.try_iter() {
            Ok(iter) => Ok(iter.collect()),
            Err(error) => Err(fault(error.to_string())),
        },
        _ => Err(fault(format!(
            "'{}' object is not iterable",
            type_name(value)
        ))),
    }
}

/// The items of a list or tuple, and nothing else.
pub(crate) fn list_items(value: &Value) -> Res<Vec<Value>> {
    if is_seq(value) {
        return items(value);
    }
    check(value)?;
    Err(fault(format!("expected a list, got {}", described(value))))
}

/// The entries of a mapping.
pub(crate) fn pairs(value: &Value) -> Res<Vec<(Value, Value)>> {
    check(value)?;
    if let Some(dict) = value.downcast_object_ref::<Dict>() {
        return Ok(dict.iter().map(|(k, v)| (k.clone(), v.clone())).collect());
    }
    match value.as_object() {
        Some(object) if object.repr() == ObjectRepr::Map => Ok(object
            .try_iter_pairs()
            .map(Iterator::collect)
            .unwrap_or_default()),
        _ => Err(fault(format!(
            "expected a mapping, got {}",
            described(value)
        ))),
    }
}

/// For messages: "a string", "a list".
pub(crate) fn described(value: &Value) -> &'static str {
    match kind(value) {
        Kind::None => "nothing",
        Kind::Bool => "a boolean",
        Kind::Int => "an integer",
        Kind::Float => "a number",
        Kind::Str => "a string",
        Kind::Bytes => "bytes",
        Kind::List => "a list",
        Kind::Tuple => "a tuple",
        Kind::Dict => "a mapping",
        Kind::Other => "an object",
        Kind::Undefined => "an undefined value",
    }
}

/// Python's `len`.
pub(crate) fn len(value: &Value) -> Res<usize> {
    check(value)?;
    match kind(value) {
        Kind::Str | Kind::Bytes | Kind::List | Kind::Tuple | Kind::Dict => {
            if let Some(n) = value.len() {
                return Ok(n);
            }
            items(value).map(|all| all.len())
        }
        _ => Err(fault(format!(
            "object of type '{}' has no len()",
            type_name(value)
        ))),
    }
}

pub(crate) fn list(values: Vec<Value>) -> Value {
    Value::from(values)
}

pub(crate) fn tuple(values: Vec<Value>) -> Value {
    Value::from(Tuple::from(values))
}

pub(crate) fn dict(map: Dict) -> Value {
    Value::from_object(map)
}

/// An integer of any size that fits.
pub(crate) fn int(n: i128) -> Value {
    crate::yaml::integer(n)
}

/// The integer in a value that is an integer or a boolean.
pub(crate) fn as_int(value: &Value) -> Option<i128> {
    match kind(value) {
        Kind::Bool => Some(i128::from(value.is_true())),
        Kind::Int => i128::try_from(value.clone()).ok(),
        _ => None,
    }
}

/// The number in a value that is one.
pub(crate) fn as_float(value: &Value) -> Option<f64> {
    match kind(value) {
        Kind::Bool => Some(f64::from(u8::from(value.is_true()))),
        Kind::Int | Kind::Float => f64::try_from(value.clone()).ok(),
        _ => None,
    }
}

/// An entry of a mapping.
pub(crate) fn get(value: &Value, key: &Value) -> Option<Value> {
    value.as_object().and_then(|object| object.get_value(key))
}

/// An entry of a mapping by name.
pub(crate) fn get_str(value: &Value, key: &str) -> Option<Value> {
    value
        .as_object()
        .filter(|object| object.repr() == ObjectRepr::Map)
        .and_then(|object| object.get_value_by_str(key))
}

/// Python's truth.
pub(crate) fn truth(value: &Value) -> Res<bool> {
    check(value)?;
    Ok(value.is_true())
}
