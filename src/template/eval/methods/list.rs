//! Methods of lists and tuples.

use super::super::Machine;
use super::super::call::Args;
use crate::template::filters::sequence::sort_values;
use crate::template::value::data::{self, as_int};
use crate::template::value::mutable::List;
use crate::template::value::ops::equal;
use crate::template::value::undefined::{Res, fault};
use minijinja::Value;

pub(super) const NAMES: &[&str] = &[
    "append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse",
    "sort",
];

pub(super) const CHANGING: &[&str] = &[
    "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort",
];

fn find(items: &[Value], wanted: &Value) -> Res<Option<usize>> {
    for (n, item) in items.iter().enumerate() {
        if equal(item, wanted)? {
            return Ok(Some(n));
        }
    }
    Ok(None)
}

fn need(value: Option<Value>) -> Res<Value> {
    value.ok_or_else(|| fault("an argument is missing"))
}

pub(super) fn call(m: &mut Machine<'_>, value: &Value, method: &str, mut args: Args) -> Res<Value> {
    let none = Value::from(());
    match method {
        "count" => {
            let wanted = need(args.bind(["value"])?.into_iter().next().flatten())?;
            let mut n = 0;
            for item in data::items(value)? {
                n += usize::from(equal(&item, &wanted)?);
            }
            return Ok(Value::from(n));
        }
        "index" => {
            let [wanted, start, stop] = args.bind(["value", "start", "stop"])?;
            let (wanted, items) = (need(wanted)?, data::items(value)?);
            let at = |v: Option<Value>, default: usize| {
                v.and_then(|v| v.as_usize())
                    .unwrap_or(default)
                    .min(items.len())
            };
            let (start, stop) = (at(start, 0), at(stop, items.len()));
            return match find(&items[start..stop.max(start)], &wanted)? {
                Some(n) => Ok(Value::from(start + n)),
                None => Err(fault(format!(
                    "{} is not in list",
                    crate::template::value::repr(&wanted)?
                ))),
            };
        }
        "copy" => return Ok(List::value(data::items(value)?)),
        _ => {}
    }
    let Some(list) = value.downcast_object_ref::<List>() else {
        return Err(fault("this list cannot be changed"));
    };
    match method {
        "append" => {
            let [item] = args.bind(["object"])?;
            list.lock().push(need(item)?);
        }
        "extend" => {
            let [items] = args.bind(["iterable"])?;
            let items = data::items(&need(items)?)?;
            list.lock().extend(items);
        }
        "insert" => {
            let [index, item] = args.bind(["index", "object"])?;
            let index =
                as_int(&need(index)?).ok_or_else(|| fault("the index must be an integer"))?;
            let item = need(item)?;
            let mut items = list.lock();
            let len = i128::try_from(items.len()).unwrap_or(0);
            let n = if index < 0 { index + len } else { index }.clamp(0, len);
            items.insert(usize::try_from(n).unwrap_or(0), item);
        }
        "pop" => {
            let [index] = args.bind(["index"])?;
            let mut items = list.lock();
            let len = i128::try_from(items.len()).unwrap_or(0);
            let index = index.as_ref().map_or(Some(-1), as_int).unwrap_or(-1);
            let n = if index < 0 { index + len } else { index };
            return match usize::try_from(n).ok().filter(|n| *n < items.len()) {
                Some(n) => Ok(items.remove(n)),
                None => Err(fault("pop index out of range")),
            };
        }
        "remove" => {
            let [item] = args.bind(["value"])?;
            let item = need(item)?;
            let items = list.lock().clone();
            match find(&items, &item)? {
                Some(n) => {
                    list.lock().remove(n);
                }
                None => return Err(fault("list.remove(x): x not in list")),
            }
        }
        "clear" => list.lock().clear(),
        "reverse" => list.lock().reverse(),
        "sort" => {
            let reverse = args.take("reverse").is_some_and(|v| v.is_true());
            let items = list.lock().clone();
            let sorted = sort_values(m, items, reverse, true, None)?;
            *list.lock() = sorted;
        }
        _ => return Err(fault(format!("lists have no method `{method}`"))),
    }
    Ok(none)
}
