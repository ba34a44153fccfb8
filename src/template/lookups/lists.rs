//! Lookups over the terms themselves.

use super::{Lookup, lookup};
use crate::template::eval::Machine;
use crate::template::eval::call::Args;
use crate::template::filters::sequence::sub_elements;
use crate::template::filters::shape::cartesian;
use crate::template::random::Random;
use crate::template::value::data::{self, described, is_map, is_seq, items, pairs, tuple};
use crate::template::value::undefined::{Res, check, fault};
use minijinja::Value;

pub(super) const LOOKUPS: &[Lookup] = &[
    lookup("items", |_, args| flat_once(&args.pos)),
    lookup("flattened", flattened),
    lookup("list", |_, args| Ok(std::mem::take(&mut args.pos))),
    lookup("indexed_items", |_, args| {
        let all = flat_once(&args.pos)?.into_iter().enumerate();
        Ok(all
            .map(|(n, item)| tuple(vec![Value::from(n), item]))
            .collect())
    }),
    lookup("dict", dict),
    lookup("nested", |_, args| nested(args)),
    lookup("cartesian", |_, args| nested(args)),
    lookup("together", together),
    lookup("subelements", subelements),
    lookup("random_choice", |_, args| {
        let n = Random::System.index(args.pos.len());
        Ok(args.pos.iter().skip(n).take(1).cloned().collect())
    }),
];

/// `with_items`: lists among the terms are laid out, one level deep.
fn flat_once(terms: &[Value]) -> Res<Vec<Value>> {
    let mut out = Vec::new();
    for term in terms {
        check(term)?;
        if is_seq(term) {
            out.extend(items(term)?);
        } else {
            out.push(term.clone());
        }
    }
    Ok(out)
}

fn flattened(_: &mut Machine<'_>, args: &mut Args) -> Res<Vec<Value>> {
    fn all(terms: &[Value], out: &mut Vec<Value>) -> Res<()> {
        for term in terms {
            check(term)?;
            if is_seq(term) {
                all(&items(term)?, out)?;
            } else if !term.is_none() {
                out.push(term.clone());
            }
        }
        Ok(())
    }
    let mut out = Vec::new();
    all(&args.pos, &mut out)?;
    Ok(out)
}

fn dict(_: &mut Machine<'_>, args: &mut Args) -> Res<Vec<Value>> {
    let mut out = Vec::new();
    for term in &args.pos {
        check(term)?;
        if !is_map(term) {
            return Err(fault(format!(
                "with_dict expects a dict, got {}",
                described(term)
            )));
        }
        for (key, value) in pairs(term)? {
            out.push(Value::from_pairs([("key", key), ("value", value)]));
        }
    }
    Ok(out)
}

fn nested(args: &Args) -> Res<Vec<Value>> {
    if args.pos.is_empty() {
        return Err(fault("requires at least one list"));
    }
    let lists: Res<Vec<Vec<Value>>> = args
        .pos
        .iter()
        .map(|term| {
            check(term)?;
            if is_seq(term) {
                items(term)
            } else {
                Ok(vec![term.clone()])
            }
        })
        .collect();
    let rows = cartesian(&lists?);
    rows.iter()
        .map(|row| flat_once(row).map(data::list))
        .collect()
}

fn together(_: &mut Machine<'_>, args: &mut Args) -> Res<Vec<Value>> {
    if args.pos.is_empty() {
        return Err(fault("requires at least one list"));
    }
    let lists: Res<Vec<Vec<Value>>> = args.pos.iter().map(items).collect();
    let lists = lists?;
    let len = lists.iter().map(Vec::len).max().unwrap_or(0);
    (0..len)
        .map(|n| {
            let row: Vec<Value> = lists
                .iter()
                .map(|l| l.get(n).cloned().unwrap_or_else(|| Value::from(())))
                .collect();
            flat_once(&row).map(data::list)
        })
        .collect()
}

fn subelements(_: &mut Machine<'_>, args: &mut Args) -> Res<Vec<Value>> {
    let (obj, path, flags) = match args.pos.as_slice() {
        [obj, path] => (obj, path, None),
        [obj, path, flags] => (obj, path, Some(flags)),
        _ => {
            return Err(fault(
                "expects two or three terms: the list, the key and options",
            ));
        }
    };
    check(obj)?;
    let skip_missing = flags
        .and_then(|flags| data::get_str(flags, "skip_missing"))
        .is_some_and(|v| crate::template::filters::logic_bool(&v).unwrap_or(false));
    let elements = if is_map(obj) {
        if data::get_str(obj, "skipped").is_some_and(|v| v.is_true()) {
            return Ok(Vec::new());
        }
        pairs(obj)?.into_iter().map(|(_, v)| v).collect()
    } else {
        data::list_items(obj)?
    };
    let kept: Vec<Value> = elements
        .into_iter()
        .filter(|e| !data::get_str(e, "skipped").is_some_and(|v| v.is_true()))
        .collect();
    // The element comes without its list, as in Ansible.
    let rows = sub_elements(&data::list(kept), path, skip_missing)?;
    rows.iter()
        .map(|row| match items(row)?.as_slice() {
            [element, item] => Ok(tuple(vec![without(element, path)?, item.clone()])),
            _ => Ok(row.clone()),
        })
        .collect()
}

/// An element without what its path leads to.
fn without(element: &Value, path: &Value) -> Res<Value> {
    let path = path.to_string();
    let (first, rest) = path
        .split_once('.')
        .map_or((path.as_str(), None), |(f, r)| (f, Some(r)));
    let mut map: data::Dict = pairs(element)?.into_iter().collect();
    let key = Value::from(first);
    match rest {
        None => {
            map.shift_remove(&key);
        }
        Some(rest) => {
            if let Some(inner) = map.get(&key).cloned() {
                map.insert(key, without(&inner, &Value::from(rest))?);
            }
        }
    }
    Ok(data::dict(map))
}
