//! Python's operators.

use super::data::{
    Kind, as_float, as_int, int, is_seq, items, kind, list, pairs, tuple, type_name,
};
use super::undefined::{Res, check, fault};
use crate::template::jinja::ast::{BinOp, CmpOp};
use minijinja::Value;
use std::cmp::Ordering;

/// Larger results of `*` and `+` are refused.
const MAX_LEN: usize = 100_000_000;

pub(crate) fn binary(op: BinOp, a: &Value, b: &Value) -> Res<Value> {
    check(a)?;
    check(b)?;
    let done = match op {
        BinOp::Add => add(a, b)?,
        BinOp::Sub => sub(a, b),
        BinOp::Mul => mul(a, b)?,
        BinOp::Div => div(a, b)?,
        BinOp::FloorDiv => floor_div(a, b)?,
        BinOp::Mod if kind(a) == Kind::Str => {
            let text = crate::template::value::text::str_of(a)?;
            return crate::template::format::percent(&text, b).map(Value::from);
        }
        BinOp::Mod => modulo(a, b)?,
        BinOp::Pow => pow(a, b)?,
    };
    done.ok_or_else(|| {
        fault(format!(
            "unsupported operand type(s) for {}: '{}' and '{}'",
            op.sign(),
            type_name(a),
            type_name(b)
        ))
    })
}

fn overflow() -> Box<super::Fault> {
    fault("the number is too large")
}

fn add(a: &Value, b: &Value) -> Res<Option<Value>> {
    Ok(match (kind(a), kind(b)) {
        (Kind::Str, Kind::Str) => {
            let (a, b) = (a.as_str().unwrap_or(""), b.as_str().unwrap_or(""));
            Some(Value::from([a, b].concat()))
        }
        (Kind::List, Kind::List) => {
            let mut all = items(a)?;
            all.extend(items(b)?);
            Some(list(all))
        }
        (Kind::Tuple, Kind::Tuple) => {
            let mut all = items(a)?;
            all.extend(items(b)?);
            Some(tuple(all))
        }
        (Kind::Other, _) => crate::template::datetime::add(a, b),
        (Kind::Str | Kind::List | Kind::Tuple | Kind::Dict, _) => {
            let name = type_name(a);
            let message = if kind(a) == Kind::Dict {
                return Ok(None);
            } else {
                format!(
                    "can only concatenate {name} (not \"{}\") to {name}",
                    type_name(b)
                )
            };
            return Err(fault(message));
        }
        _ => match (as_int(a), as_int(b)) {
            (Some(a), Some(b)) => Some(int(a.checked_add(b).ok_or_else(overflow)?)),
            _ => floats(a, b).map(|(a, b)| Value::from(a + b)),
        },
    })
}

fn floats(a: &Value, b: &Value) -> Option<(f64, f64)> {
    Some((as_float(a)?, as_float(b)?))
}

fn sub(a: &Value, b: &Value) -> Option<Value> {
    if kind(a) == Kind::Other {
        return crate::template::datetime::sub(a, b);
    }
    match (as_int(a), as_int(b)) {
        (Some(a), Some(b)) => a.checked_sub(b).map(int),
        _ => floats(a, b).map(|(a, b)| Value::from(a - b)),
    }
}

fn mul(a: &Value, b: &Value) -> Res<Option<Value>> {
    let repeat = |text: &Value, count: &Value| -> Res<Option<Value>> {
        let Some(count) = as_int(count) else {
            return Err(fault(format!(
                "can't multiply sequence by non-int of type '{}'",
                type_name(count)
            )));
        };
        let count = usize::try_from(count.max(0)).unwrap_or(usize::MAX);
        if super::len(text)?
            .checked_mul(count)
            .is_none_or(|n| n > MAX_LEN)
        {
            return Err(fault("the repeated value is too long"));
        }
        if let (Kind::Str, Some(text)) = (kind(text), text.as_str()) {
            return Ok(Some(Value::from(text.repeat(count))));
        }
        let all = items(text)?;
        let repeated = std::iter::repeat_n(all, count).flatten().collect();
        Ok(Some(if text.is_tuple() {
            tuple(repeated)
        } else {
            list(repeated)
        }))
    };
    if kind(a) == Kind::Str || is_seq(a) {
        return repeat(a, b);
    }
    if kind(b) == Kind::Str || is_seq(b) {
        return repeat(b, a);
    }
    Ok(match (as_int(a), as_int(b)) {
        (Some(a), Some(b)) => Some(int(a.checked_mul(b).ok_or_else(overflow)?)),
        _ => floats(a, b).map(|(a, b)| Value::from(a * b)),
    })
}

fn div(a: &Value, b: &Value) -> Res<Option<Value>> {
    let Some((a, b)) = floats(a, b) else {
        return Ok(None);
    };
    if b == 0.0 {
        return Err(fault("division by zero"));
    }
    Ok(Some(Value::from(a / b)))
}

fn floor_div(a: &Value, b: &Value) -> Res<Option<Value>> {
    if let (Some(a), Some(b)) = (as_int(a), as_int(b)) {
        if b == 0 {
            return Err(fault("division by zero"));
        }
        let quotient = a.wrapping_div(b) - i128::from(a % b != 0 && (a < 0) != (b < 0));
        return Ok(Some(int(quotient)));
    }
    match floats(a, b) {
        Some((_, 0.0)) => Err(fault("division by zero")),
        Some((a, b)) => Ok(Some(Value::from((a / b).floor()))),
        None => Ok(None),
    }
}

fn modulo(a: &Value, b: &Value) -> Res<Option<Value>> {
    if let (Some(a), Some(b)) = (as_int(a), as_int(b)) {
        if b == 0 {
            return Err(fault("division by zero"));
        }
        let rest = a.wrapping_rem(b);
        let rest = if rest != 0 && (rest < 0) != (b < 0) {
            rest + b
        } else {
            rest
        };
        return Ok(Some(int(rest)));
    }
    match floats(a, b) {
        Some((_, 0.0)) => Err(fault("division by zero")),
        Some((a, b)) => Ok(Some(Value::from(a - b * (a / b).floor()))),
        None => Ok(None),
    }
}

fn pow(a: &Value, b: &Value) -> Res<Option<Value>> {
    if let (Some(a), Some(b)) = (as_int(a), as_int(b))
        && b >= 0
    {
        let power = u32::try_from(b).ok().and_then(|b| a.checked_pow(b));
        return Ok(Some(int(power.ok_or_else(overflow)?)));
    }
    match floats(a, b) {
        Some((0.0, b)) if b < 0.0 => Err(fault("zero cannot be raised to a negative power")),
        Some((a, b)) => Ok(Some(Value::from(a.powf(b)))),
        None => Ok(None),
    }
}

pub(crate) fn negate(value: &Value) -> Res<Value> {
    check(value)?;
    match (as_int(value), as_float(value)) {
        (Some(n), _) => Ok(int(-n)),
        (None, Some(n)) => Ok(Value::from(-n)),
        _ => Err(fault(format!(
            "bad operand type for unary -: '{}'",
            type_name(value)
        ))),
    }
}

pub(crate) fn positive(value: &Value) -> Res<Value> {
    check(value)?;
    match (as_int(value), as_float(value)) {
        (Some(n), _) => Ok(int(n)),
        (None, Some(n)) => Ok(Value::from(n)),
        _ => Err(fault(format!(
            "bad operand type for unary +: '{}'",
            type_name(value)
        ))),
    }
}

/// Python's `==`.
pub(crate) fn equal(a: &Value, b: &Value) -> Res<bool> {
    check(a)?;
    check(b)?;
    Ok(match (kind(a), kind(b)) {
        (Kind::Str, Kind::Str) => a.as_str() == b.as_str(),
        (Kind::None, Kind::None) => true,
        (Kind::Bool | Kind::Int, Kind::Bool | Kind::Int) => as_int(a) == as_int(b),
        (Kind::Bool | Kind::Int | Kind::Float, Kind::Bool | Kind::Int | Kind::Float) => {
            as_float(a) == as_float(b)
        }
        (Kind::List, Kind::List) | (Kind::Tuple, Kind::Tuple) => {
            let (a, b) = (items(a)?, items(b)?);
            if a.len() != b.len() {
                return Ok(false);
            }
            for (a, b) in a.iter().zip(&b) {
                if !equal(a, b)? {
                    return Ok(false);
                }
            }
            true
        }
        (Kind::Dict, Kind::Dict) => {
            let all = pairs(a)?;
            if all.len() != super::len(b)? {
                return Ok(false);
            }
            for (key, item) in &all {
                match super::data::get(b, key) {
                    Some(other) if equal(item, &other)? => {}
                    _ => return Ok(false),
                }
            }
            true
        }
        (Kind::Bytes, Kind::Bytes) | (Kind::Other, Kind::Other) => a == b,
        _ => false,
    })
}

/// Python's order of two values that have one.
pub(crate) fn order(a: &Value, b: &Value) -> Res<Option<Ordering>> {
    check(a)?;
    check(b)?;
    Ok(match (kind(a), kind(b)) {
        (Kind::Str, Kind::Str) => Some(a.as_str().cmp(&b.as_str())),
        (Kind::Bool | Kind::Int, Kind::Bool | Kind::Int) => Some(as_int(a).cmp(&as_int(b))),
        (Kind::Bool | Kind::Int | Kind::Float, Kind::Bool | Kind::Int | Kind::Float) => {
            as_float(a).partial_cmp(&as_float(b))
        }
        (Kind::List, Kind::List) | (Kind::Tuple, Kind::Tuple) => {
            let (a, b) = (items(a)?, items(b)?);
            for (a, b) in a.iter().zip(&b) {
                if !equal(a, b)? {
                    return order(a, b);
                }
            }
            Some(a.len().cmp(&b.len()))
        }
        (Kind::Other, Kind::Other) => crate::template::datetime::order(a, b),
        _ => None,
    })
}

/// The order of two values, or the error Python gives.
pub(crate) fn require_order(a: &Value, b: &Value, sign: &str) -> Res<Ordering> {
    order(a, b)?.ok_or_else(|| {
        fault(format!(
            "'{sign}' not supported between instances of '{}' and '{}'",
            type_name(a),
            type_name(b)
        ))
    })
}

pub(crate) fn compare(op: CmpOp, a: &Value, b: &Value) -> Res<bool> {
    Ok(match op {
        CmpOp::Eq => equal(a, b)?,
        CmpOp::Ne => !equal(a, b)?,
        CmpOp::Lt => require_order(a, b, "<")? == Ordering::Less,
        CmpOp::Le => require_order(a, b, "<=")? != Ordering::Greater,
        CmpOp::Gt => require_order(a, b, ">")? == Ordering::Greater,
        CmpOp::Ge => require_order(a, b, ">=")? != Ordering::Less,
        CmpOp::In => contains(b, a)?,
        CmpOp::NotIn => !contains(b, a)?,
    })
}

/// Python's `item in container`.
pub(crate) fn contains(container: &Value, item: &Value) -> Res<bool> {
    check(item)?;
    check(container)?;
    match kind(container) {
        Kind::Str => match (container.as_str(), kind(item), item.as_str()) {
            (Some(text), Kind::Str, Some(part)) => Ok(text.contains(part)),
            _ => Err(fault(format!(
                "'in <string>' requires string as left operand, not {}",
                type_name(item)
            ))),
        },
        Kind::Dict => Ok(super::data::get(container, item).is_some()),
        Kind::List | Kind::Tuple => {
            for other in items(container)? {
                if super::undef(&other).is_none() && equal(&other, item)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Err(fault(format!(
            "argument of type '{}' is not iterable",
            type_name(container)
        ))),
    }
}
