//! Undefined and missing values, truth, types.

use super::{Filter, filter, need, with_markers};
use crate::template::eval::call::Call;
use crate::template::value::data::{self, Kind, as_float, as_int, kind, truth, type_name};
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, Why, check, fault, is_defined, undef};
use minijinja::Value;

pub(super) const FILTERS: &[Filter] = &[
    with_markers("default", default),
    with_markers("d", default),
    with_markers("mandatory", mandatory),
    with_markers("ternary", ternary),
    with_markers("type_debug", type_debug),
    filter("bool", bool_filter),
    filter("int", int),
    filter("float", float),
    filter("string", string),
    filter("pprint", |c| {
        crate::template::value::repr(&c.subject).map(Value::from)
    }),
    filter("safe", |c| Ok(c.subject.clone())),
];

fn default(c: &mut Call<'_, '_>) -> Res<Value> {
    let [value, boolean] = c.bind(["default_value", "boolean"])?;
    let value = value.unwrap_or_else(|| Value::from(""));
    if !is_defined(&c.subject)? {
        return Ok(value);
    }
    if boolean.is_some_and(|b| b.is_true()) && !truth(&c.subject)? {
        return Ok(value);
    }
    Ok(c.subject.clone())
}

fn mandatory(c: &mut Call<'_, '_>) -> Res<Value> {
    let [message] = c.bind(["msg"])?;
    if is_defined(&c.subject)? {
        return Ok(c.subject.clone());
    }
    match message {
        Some(message) if !message.is_none() => Err(fault(str_of(&message)?)),
        _ => {
            let name = match undef(&c.subject).map(|u| &u.why) {
                Some(Why::Missing(name, _)) => format!("`{name}` "),
                _ => String::new(),
            };
            Err(fault(format!("mandatory variable {name}is not defined")))
        }
    }
}

fn ternary(c: &mut Call<'_, '_>) -> Res<Value> {
    let [yes, no, none] = c.bind(["true_val", "false_val", "none_val"])?;
    let (yes, no) = (
        need(yes, "the value if true")?,
        need(no, "the value if false")?,
    );
    check(&c.subject)?;
    match none {
        Some(none) if c.subject.is_none() && !none.is_none() => Ok(none),
        _ => Ok(if truth(&c.subject)? { yes } else { no }),
    }
}

fn type_debug(c: &mut Call<'_, '_>) -> Res<Value> {
    c.no_args()?;
    Ok(Value::from(type_name(&c.subject)))
}

/// What Ansible takes for a boolean, if it does.
pub(crate) fn bool_of(value: &Value) -> Option<bool> {
    match kind(value) {
        Kind::Bool => Some(value.is_true()),
        Kind::Int | Kind::Float => match as_float(value) {
            Some(1.0) => Some(true),
            Some(0.0) => Some(false),
            _ => None,
        },
        Kind::Str => match value.as_str().unwrap_or("").to_lowercase().as_str() {
            "yes" | "on" | "true" | "1" => Some(true),
            "no" | "off" | "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn bool_filter(c: &mut Call<'_, '_>) -> Res<Value> {
    c.no_args()?;
    // What it cannot tell is false, as in Ansible.
    Ok(Value::from(bool_of(&c.subject).unwrap_or(false)))
}

fn int(c: &mut Call<'_, '_>) -> Res<Value> {
    let [default, base] = c.bind(["default", "base"])?;
    let default = default.unwrap_or_else(|| Value::from(0));
    let base = super::int_or(base.as_ref(), 10, "the base")?;
    Ok(match kind(&c.subject) {
        Kind::Bool | Kind::Int => as_int(&c.subject).map_or(default, data::int),
        Kind::Float => whole(as_float(&c.subject)).unwrap_or(default),
        Kind::Str => {
            let text = c.subject.as_str().unwrap_or("").trim().replace('_', "");
            match parse_int(&text, base) {
                Some(n) => data::int(n),
                None => whole(text.parse().ok()).unwrap_or(default),
            }
        }
        _ => default,
    })
}

fn whole(n: Option<f64>) -> Option<Value> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked to be finite and in range"
    )]
    n.filter(|n| n.is_finite() && n.abs() < 1e38)
        .map(|n| data::int(n.trunc() as i128))
}

/// Python's `int(text, base)`.
fn parse_int(text: &str, base: i128) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let prefixed = |base_wanted: i128, prefix: &str| {
        (base == base_wanted || base == 0)
            .then(|| lower.strip_prefix(prefix))
            .flatten()
    };
    let (radix, digits) = if let Some(rest) = prefixed(16, "0x") {
        (16, rest)
    } else if let Some(rest) = prefixed(8, "0o") {
        (8, rest)
    } else if let Some(rest) = prefixed(2, "0b") {
        (2, rest)
    } else {
        (if base == 0 { 10 } else { base }, lower.as_str())
    };
    let radix = u32::try_from(radix).ok().filter(|r| (2..=36).contains(r))?;
    if digits.is_empty() || digits.starts_with(['+', '-']) {
        return None;
    }
    let n = i128::from_str_radix(digits, radix).ok()?;
    Some(if negative { -n } else { n })
}

fn float(c: &mut Call<'_, '_>) -> Res<Value> {
    let [default] = c.bind(["default"])?;
    let default = default.unwrap_or_else(|| Value::from(0.0));
    Ok(match kind(&c.subject) {
        Kind::Str => {
            let text = c.subject.as_str().unwrap_or("").trim().replace('_', "");
            text.parse::<f64>().map_or(default, Value::from)
        }
        _ => as_float(&c.subject).map_or(default, Value::from),
    })
}

fn string(c: &mut Call<'_, '_>) -> Res<Value> {
    c.no_args()?;
    if data::is_str(&c.subject) {
        return Ok(c.subject.clone());
    }
    str_of(&c.subject).map(Value::from)
}
