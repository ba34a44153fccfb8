//! Methods that Python's strings, lists and mappings have.

mod dict;
mod list;
mod string;

use super::Machine;
use super::call::Args;
use crate::template::value::data::{Kind, kind, type_name};
use crate::template::value::undefined::{Res, fault};
use minijinja::Value;

/// Whether values of this type have that method.
pub(crate) fn has(value: &Value, method: &str) -> bool {
    match kind(value) {
        Kind::Str => string::NAMES.contains(&method),
        Kind::Bytes => method == "decode",
        Kind::List => list::NAMES.contains(&method),
        Kind::Tuple => matches!(method, "count" | "index"),
        Kind::Dict => dict::NAMES.contains(&method),
        Kind::Float => method == "is_integer",
        Kind::Int => matches!(method, "bit_length" | "is_integer"),
        _ => false,
    }
}

/// Whether the method changes the value it is called on.
pub(crate) fn changes(value: &Value, method: &str) -> bool {
    match kind(value) {
        Kind::List => list::CHANGING.contains(&method),
        Kind::Dict => dict::CHANGING.contains(&method),
        _ => false,
    }
}

/// Calls a method.
pub(crate) fn call(m: &mut Machine<'_>, value: &Value, method: &str, args: Args) -> Res<Value> {
    let done = match kind(value) {
        Kind::Str => string::call(value.as_str().unwrap_or_default(), method, args),
        Kind::Bytes => Ok(Value::from(
            String::from_utf8_lossy(value.as_bytes().unwrap_or_default()).as_ref(),
        )),
        Kind::List | Kind::Tuple => list::call(m, value, method, args),
        Kind::Dict => dict::call(value, method, args),
        Kind::Float => Ok(Value::from(
            f64::try_from(value.clone()).is_ok_and(|n| n.fract() == 0.0),
        )),
        Kind::Int if method == "is_integer" => Ok(Value::from(true)),
        Kind::Int => {
            let n = i128::try_from(value.clone()).unwrap_or(0).unsigned_abs();
            Ok(Value::from(128 - n.leading_zeros()))
        }
        _ => Err(fault(format!(
            "'{}' object has no attribute '{method}'",
            type_name(value)
        ))),
    };
    done.map_err(|error| error.named(method))
}

/// Python's `str.split`.
pub(crate) fn split(text: &str, sep: Option<&Value>, max: i128) -> Res<Vec<Value>> {
    string::split(text, sep, max, false)
}

pub(crate) use string::{capitalize, split_lines, strip};
