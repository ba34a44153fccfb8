//! Mappings.

use super::sequence::{attribute_of, flat, sort_values};
use super::{Filter, filter, flag, listed, need, text_or};
use crate::template::eval::call::Call;
use crate::template::value::data::{
    self, Dict, described, dict, is_map, is_seq, items, list, pairs, tuple,
};
use crate::template::value::ops::contains;
use crate::template::value::undefined::{Res, check, fault};
use minijinja::Value;

pub(super) const FILTERS: &[Filter] = &[
    filter("combine", combine),
    filter("dict2items", dict2items),
    filter("items2dict", items2dict),
    filter("dict", |c| {
        let mut map = Dict::new();
        for pair in items(&c.subject)? {
            match items(&pair)?.as_slice() {
                [key, value] => map.insert(key.clone(), value.clone()),
                _ => return Err(fault("expected pairs of keys and values")),
            };
        }
        Ok(dict(map))
    }),
    filter("dictsort", dictsort),
    filter("items", |c| {
        c.no_args()?;
        Ok(listed(
            pairs(&c.subject)?
                .into_iter()
                .map(|(k, v)| tuple(vec![k, v])),
        ))
    }),
    filter("attr", |c| {
        let [name] = c.bind(["name"])?;
        let name = need(name, "the name")?;
        attribute_of(c.machine, &c.subject, &name)
    }),
    filter("rekey_on_member", rekey),
];

/// How lists under the same key merge.
#[derive(Clone, Copy)]
pub(super) enum Lists {
    Replace,
    Keep,
    Append,
    Prepend,
    AppendNew,
    PrependNew,
}

pub(super) fn list_mode(name: &str) -> Res<Lists> {
    Ok(match name {
        "replace" => Lists::Replace,
        "keep" => Lists::Keep,
        "append" => Lists::Append,
        "prepend" => Lists::Prepend,
        "append_rp" => Lists::AppendNew,
        "prepend_rp" => Lists::PrependNew,
        other => {
            return Err(fault(format!("invalid `list_merge` '{other}'"))
                .hint("one of replace, keep, append, prepend, append_rp, prepend_rp"));
        }
    })
}

/// Ansible's `merge_hash`: the second wins.
pub(super) fn merge(low: &Value, high: &Value, recursive: bool, mode: Lists) -> Res<Value> {
    let mut map: Dict = pairs(low)?.into_iter().collect();
    for (key, value) in pairs(high)? {
        let merged = match map.get(&key) {
            Some(old) if recursive && is_map(old) && is_map(&value) => {
                merge(old, &value, recursive, mode)?
            }
            Some(old) if is_seq(old) && is_seq(&value) => {
                let (low, high) = (items(old)?, items(&value)?);
                let without = |all: &[Value], others: &Value| -> Res<Vec<Value>> {
                    let mut out = Vec::new();
                    for item in all {
                        if !contains(others, item)? {
                            out.push(item.clone());
                        }
                    }
                    Ok(out)
                };
                match mode {
                    Lists::Replace => value,
                    Lists::Keep => old.clone(),
                    Lists::Append => list([low, high].concat()),
                    Lists::Prepend => list([high, low].concat()),
                    Lists::AppendNew => {
                        let mut out = without(&low, &value)?;
                        out.extend(high);
                        list(out)
                    }
                    Lists::PrependNew => {
                        let rest = without(&low, &value)?;
                        list([high, rest].concat())
                    }
                }
            }
            _ => value,
        };
        map.insert(key, merged);
    }
    Ok(dict(map))
}

fn combine(c: &mut Call<'_, '_>) -> Res<Value> {
    let mut args = std::mem::take(&mut c.args);
    let recursive = args.take("recursive");
    let mode = args.take("list_merge");
    let mode = list_mode(&text_or(mode.as_ref(), "replace", "`list_merge`")?)?;
    let recursive = flag(recursive.as_ref(), false);
    if let Some((name, _)) = args.kw.first() {
        return Err(fault(format!("unknown argument `{name}`"))
            .hint("`recursive` and `list_merge` are known"));
    }
    let mut all = vec![c.subject.clone()];
    all.append(&mut args.pos);
    let all = flat(&list(all), Some(1), true)?;
    for value in &all {
        check(value)?;
        if !is_map(value) && !value.is_undefined() {
            return Err(fault(format!(
                "expected mappings, got {}",
                described(value)
            )));
        }
    }
    let mut rest = all.into_iter();
    let Some(mut merged) = rest.next() else {
        return Ok(dict(Dict::new()));
    };
    for next in rest {
        merged = merge(&merged, &next, recursive, mode)?;
    }
    Ok(merged)
}

fn names(c: &mut Call<'_, '_>) -> Res<(String, String)> {
    let [key, value] = c.bind(["key_name", "value_name"])?;
    Ok((
        text_or(key.as_ref(), "key", "`key_name`")?,
        text_or(value.as_ref(), "value", "`value_name`")?,
    ))
}

fn dict2items(c: &mut Call<'_, '_>) -> Res<Value> {
    let (key_name, value_name) = names(c)?;
    if !is_map(&c.subject) {
        return Err(fault(format!(
            "requires a mapping, got {}",
            described(&c.subject)
        )));
    }
    Ok(listed(pairs(&c.subject)?.into_iter().map(
        |(key, value)| Value::from_pairs([(key_name.as_str(), key), (value_name.as_str(), value)]),
    )))
}

fn items2dict(c: &mut Call<'_, '_>) -> Res<Value> {
    let (key_name, value_name) = names(c)?;
    if !is_seq(&c.subject) {
        return Err(fault(format!(
            "requires a list, got {}",
            described(&c.subject)
        )));
    }
    let mut map = Dict::new();
    for item in items(&c.subject)? {
        check(&item)?;
        if !is_map(&item) {
            return Err(fault(format!(
                "requires a list of mappings, got {}",
                described(&item)
            )));
        }
        match (
            data::get_str(&item, &key_name),
            data::get_str(&item, &value_name),
        ) {
            (Some(key), Some(value)) => {
                check(&key)?;
                map.insert(key, value);
            }
            _ => {
                return Err(fault(format!(
                    "each mapping must have the keys '{key_name}' and '{value_name}'"
                )));
            }
        }
    }
    Ok(dict(map))
}

fn dictsort(c: &mut Call<'_, '_>) -> Res<Value> {
    let [case_sensitive, by, reverse] = c.bind(["case_sensitive", "by", "reverse"])?;
    let by = match text_or(by.as_ref(), "key", "`by`")?.as_str() {
        "key" => 0,
        "value" => 1,
        _ => return Err(fault("`by` must be key or value")),
    };
    let all = pairs(&c.subject)?;
    let rows = all.into_iter().map(|(k, v)| tuple(vec![k, v])).collect();
    sort_values(
        c.machine,
        rows,
        flag(reverse.as_ref(), false),
        flag(case_sensitive.as_ref(), false),
        Some(&Value::from(by)),
    )
    .map(list)
}

fn rekey(c: &mut Call<'_, '_>) -> Res<Value> {
    let [key, duplicates] = c.bind(["key", "duplicates"])?;
    let key = need(key, "the key")?;
    let overwrite = match text_or(duplicates.as_ref(), "error", "`duplicates`")?.as_str() {
        "error" => false,
        "overwrite" => true,
        _ => return Err(fault("`duplicates` must be error or overwrite")),
    };
    let all = if is_map(&c.subject) {
        pairs(&c.subject)?.into_iter().map(|(_, v)| v).collect()
    } else {
        data::list_items(&c.subject)?
    };
    let mut map = Dict::new();
    for item in all {
        if !is_map(&item) {
            return Err(fault("an item is no mapping"));
        }
        let Some(name) = data::get(&item, &key) else {
            return Err(fault(format!("key '{key}' was not found")));
        };
        if map.insert(name.clone(), item).is_some() && !overwrite {
            return Err(fault(format!("key '{name}' is not unique")));
        }
    }
    Ok(dict(map))
}
