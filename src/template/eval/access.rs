//! Attributes, items and slices.

use super::Machine;
use crate::template::jinja::At;
use crate::template::value::data::{self, Kind, as_int, kind};
use crate::template::value::undefined::{Res, Undef, Why, check, fault, undef};
use minijinja::Value;

impl Machine<'_> {
    /// `base.name`
    pub(crate) fn attr(&mut self, base: &Value, name: &str, at: At) -> Res<Value> {
        match self.attr_opt(base, name)? {
            Some(value) => Ok(self.found(value, at)),
            None => Ok(self.missing(at, Some(base.clone()))),
        }
    }

    /// Gives an undefined value that has no place the one of its use.
    fn found(&self, value: Value, at: At) -> Value {
        match undef(&value) {
            Some(Undef {
                why: why @ Why::Inner(_),
                place: None,
            }) => Undef::value(why.clone(), Some(self.place(at))),
            _ => value,
        }
    }

    /// An attribute if there is one. Attributes of undefined values are those values.
    pub(crate) fn attr_opt(&mut self, base: &Value, name: &str) -> Res<Option<Value>> {
        if undef(base).is_some() {
            return Ok(Some(base.clone()));
        }
        if base.is_undefined() {
            return Err(crate::template::value::undefined::trip(base));
        }
        Ok(match kind(base) {
            Kind::Dict => data::get_str(base, name),
            Kind::Other => data::get(base, &Value::from(name)),
            Kind::Int | Kind::Bool if name == "real" || name == "numerator" => Some(base.clone()),
            _ => None,
        })
    }

    /// `base[index]`
    pub(crate) fn item(&mut self, base: &Value, index: &Value, at: At) -> Res<Value> {
        if undef(base).is_some() {
            return Ok(base.clone());
        }
        if undef(index).is_some() {
            // A key of a mapping is used: it is hashed. An index is handed on.
            if kind(base) == Kind::Dict {
                check(index)?;
            }
            return Ok(index.clone());
        }
        match get_item(base, index) {
            Some(value) => Ok(self.found(value, at)),
            None => {
                if let Some(name) = index.as_str()
                    && kind(base) != Kind::Dict
                    && let Some(value) = self.attr_opt(base, name)?
                {
                    return Ok(value);
                }
                Ok(self.missing(at, Some(base.clone())))
            }
        }
    }
}

/// An item by key or by position from either end.
pub(crate) fn get_item(base: &Value, index: &Value) -> Option<Value> {
    match kind(base) {
        Kind::Dict | Kind::Other => data::get(base, index),
        Kind::List | Kind::Tuple => {
            let n = position(as_int(index)?, base.len().or_else(|| data::len(base).ok())?)?;
            match base.as_object()?.repr() {
                minijinja::value::ObjectRepr::Seq => data::get(base, &Value::from(n)),
                _ => base.try_iter().ok()?.nth(n),
            }
        }
        Kind::Str => {
            let text = base.as_str()?;
            let n = position(as_int(index)?, text.chars().count())?;
            text.chars().nth(n).map(Value::from)
        }
        _ => None,
    }
}

fn position(index: i128, len: usize) -> Option<usize> {
    let len_i = i128::try_from(len).ok()?;
    let n = if index < 0 { index + len_i } else { index };
    usize::try_from(n).ok().filter(|n| *n < len)
}

/// `base[start:stop:step]`
pub(crate) fn slice(base: &Value, bounds: &[Option<Value>; 3]) -> Res<Value> {
    check(base)?;
    let mut numbers = [None; 3];
    for (number, bound) in numbers.iter_mut().zip(bounds) {
        if let Some(value) = bound {
            check(value)?;
            if !value.is_none() {
                *number = Some(
                    as_int(value).ok_or_else(|| fault("slice indices must be integers or None"))?,
                );
            }
        }
    }
    let step = numbers[2].unwrap_or(1);
    if step == 0 {
        return Err(fault("slice step cannot be zero"));
    }
    let pick = |len: usize| -> Vec<usize> {
        let len = i128::try_from(len).unwrap_or(i128::MAX);
        let clamp = |n: i128| {
            let n = if n < 0 { n + len } else { n };
            if step > 0 {
                n.clamp(0, len)
            } else {
                n.clamp(-1, len - 1)
            }
        };
        let start = numbers[0].map_or(if step > 0 { 0 } else { len - 1 }, clamp);
        let stop = numbers[1].map_or(if step > 0 { len } else { -1 }, clamp);
        let mut out = Vec::new();
        let mut n = start;
        while (step > 0 && n < stop) || (step < 0 && n > stop) {
            out.extend(usize::try_from(n));
            n += step;
        }
        out
    };
    match kind(base) {
        Kind::Str => {
            let chars: Vec<char> = base.as_str().unwrap_or_default().chars().collect();
            let text: String = pick(chars.len()).into_iter().map(|n| chars[n]).collect();
            Ok(Value::from(text))
        }
        sequence @ (Kind::List | Kind::Tuple) => {
            let items = data::items(base)?;
            let picked = pick(items.len())
                .into_iter()
                .map(|n| items[n].clone())
                .collect();
            Ok(if sequence == Kind::Tuple {
                data::tuple(picked)
            } else {
                data::list(picked)
            })
        }
        _ => Err(fault(format!("{} cannot be sliced", data::described(base)))),
    }
}
