//! Lists: order, selection, shape.

use super::{Filter, filter, flag, int_or, listed, need, text};
use crate::template::eval::Machine;
use crate::template::eval::access::get_item;
use crate::template::eval::call::Call;
use crate::template::value::data::{self, Kind, as_int, is_seq, is_str, items, kind, list, tuple};
use crate::template::value::ops::{self, contains, equal};
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, Undef, Why, check, fault, undef};
use minijinja::Value;
use std::cmp::Ordering;

pub(super) const FILTERS: &[Filter] = &[
    filter("length", length),
    filter("count", length),
    filter("list", to_list),
    filter("first", first),
    filter("last", last),
    filter("reverse", reverse),
    filter("join", join),
    filter("sort", sort),
    filter("min", |c| extreme(c, Ordering::Less)),
    filter("max", |c| extreme(c, Ordering::Greater)),
    filter("sum", sum),
    filter("unique", unique),
    filter("flatten", flatten),
    filter("groupby", groupby),
    filter("subelements", subelements),
    filter("extract", extract),
    filter("split", split),
];

fn length(c: &mut Call<'_, '_>) -> Res<Value> {
    c.no_args()?;
    data::len(&c.subject).map(Value::from)
}

fn to_list(c: &mut Call<'_, '_>) -> Res<Value> {
    c.no_args()?;
    items(&c.subject).map(list)
}

/// What `first` and `last` of nothing are.
fn nothing(what: &str) -> Value {
    Undef::value(
        Why::Said(format!("no {what} item: the sequence is empty")),
        None,
    )
}

fn first(c: &mut Call<'_, '_>) -> Res<Value> {
    c.no_args()?;
    Ok(items(&c.subject)?
        .into_iter()
        .next()
        .unwrap_or_else(|| nothing("first")))
}

fn last(c: &mut Call<'_, '_>) -> Res<Value> {
    c.no_args()?;
    Ok(items(&c.subject)?.pop().unwrap_or_else(|| nothing("last")))
}

fn reverse(c: &mut Call<'_, '_>) -> Res<Value> {
    c.no_args()?;
    if let (Kind::Str, Some(text)) = (kind(&c.subject), c.subject.as_str()) {
        return Ok(Value::from(text.chars().rev().collect::<String>()));
    }
    let mut all = items(&c.subject)?;
    all.reverse();
    Ok(list(all))
}

fn join(c: &mut Call<'_, '_>) -> Res<Value> {
    let [sep, attribute] = c.bind(["d", "attribute"])?;
    let sep = match &sep {
        Some(sep) => str_of(sep)?,
        None => String::new(),
    };
    let mut out = String::new();
    for (n, item) in items(&c.subject)?.into_iter().enumerate() {
        let item = match &attribute {
            Some(path) => attribute_of(c.machine, &item, path)?,
            None => item,
        };
        check(&item)?;
        if n > 0 {
            out.push_str(&sep);
        }
        crate::template::value::text::write_str(&mut out, &item)?;
    }
    Ok(Value::from(out))
}

/// `attribute='a.b.0'` of an item, as Jinja's `make_attrgetter`.
pub(crate) fn attribute_of(m: &mut Machine<'_>, item: &Value, path: &Value) -> Res<Value> {
    if as_int(path).is_some() {
        return Ok(get_item(item, path).unwrap_or_else(|| missing(path)));
    }
    let path = text(path, "the attribute")?;
    let mut value = item.clone();
    for part in path.split('.') {
        if undef(&value).is_some() {
            return Ok(value);
        }
        let key = part
            .parse::<i64>()
            .map_or_else(|_| Value::from(part), Value::from);
        let found = match get_item(&value, &key) {
            Some(found) => Some(found),
            None => m.attr_opt(&value, part)?,
        };
        value = found.unwrap_or_else(|| {
            Undef::value(Why::Missing(part.to_owned(), Some(value.clone())), None)
        });
    }
    Ok(value)
}

fn missing(key: &Value) -> Value {
    Undef::value(Why::Missing(key.to_string(), None), None)
}

/// Upper and lower case alike, in strings.
pub(crate) fn fold(value: &Value) -> Value {
    match (kind(value), value.as_str()) {
        (Kind::Str, Some(text)) => Value::from(text.to_lowercase()),
        _ => value.clone(),
    }
}

/// Sorts as Python does; values without order are an error.
pub(crate) fn sort_values(
    m: &mut Machine<'_>,
    values: Vec<Value>,
    reverse: bool,
    case_sensitive: bool,
    attribute: Option<&Value>,
) -> Res<Vec<Value>> {
    let paths: Vec<Value> = match attribute {
        Some(path) if is_str(path) => path
            .as_str()
            .unwrap_or("")
            .split(',')
            .map(|p| Value::from(p.trim()))
            .collect(),
        Some(path) => vec![path.clone()],
        None => Vec::new(),
    };
    let mut keyed = Vec::with_capacity(values.len());
    for value in values {
        let mut keys = Vec::with_capacity(1);
        if paths.is_empty() {
            keys.push(value.clone());
        }
        for path in &paths {
            keys.push(attribute_of(m, &value, path)?);
        }
        for key in &mut keys {
            check(key)?;
            if !case_sensitive {
                *key = fold(key);
            }
        }
        keyed.push((keys, value));
    }
    let mut failure = None;
    keyed.sort_by(|(a, _), (b, _)| {
        let mut order = Ordering::Equal;
        for (a, b) in a.iter().zip(b) {
            match ops::require_order(a, b, "<") {
                Ok(Ordering::Equal) => {}
                Ok(found) => {
                    order = found;
                    break;
                }
                Err(error) => {
                    failure.get_or_insert(error);
                    break;
                }
            }
        }
        if reverse { order.reverse() } else { order }
    });
    match failure {
        Some(error) => Err(error),
        None => Ok(keyed.into_iter().map(|(_, value)| value).collect()),
    }
}

fn sort(c: &mut Call<'_, '_>) -> Res<Value> {
    let [reverse, case_sensitive, attribute] =
        c.bind(["reverse", "case_sensitive", "attribute"])?;
    let values = items(&c.subject)?;
    sort_values(
        c.machine,
        values,
        flag(reverse.as_ref(), false),
        flag(case_sensitive.as_ref(), false),
        attribute.as_ref().filter(|a| !a.is_none()),
    )
    .map(list)
}

fn extreme(c: &mut Call<'_, '_>, wanted: Ordering) -> Res<Value> {
    let [case_sensitive, attribute] = c.bind(["case_sensitive", "attribute"])?;
    let fold_case = !flag(case_sensitive.as_ref(), false);
    let mut best: Option<(Value, Value)> = None;
    for item in items(&c.subject)? {
        let key = match &attribute {
            Some(path) if !path.is_none() => attribute_of(c.machine, &item, path)?,
            _ => item.clone(),
        };
        check(&key)?;
        let key = if fold_case { fold(&key) } else { key };
        let better = match &best {
            Some((best, _)) => {
                ops::require_order(&key, best, if wanted == Ordering::Less { "<" } else { ">" })?
                    == wanted
            }
            None => true,
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map_or_else(
        || {
            nothing(if wanted == Ordering::Less {
                "smallest"
            } else {
                "largest"
            })
        },
        |(_, item)| item,
    ))
}

fn sum(c: &mut Call<'_, '_>) -> Res<Value> {
    let [attribute, start] = c.bind(["attribute", "start"])?;
    let mut total = start.unwrap_or_else(|| Value::from(0));
    for item in items(&c.subject)? {
        let item = match &attribute {
            Some(path) if !path.is_none() => attribute_of(c.machine, &item, path)?,
            _ => item,
        };
        total = ops::binary(crate::template::jinja::ast::BinOp::Add, &total, &item)?;
    }
    Ok(total)
}

/// Items without those equal to an earlier one.
pub(super) fn distinct(values: Vec<Value>, key: impl Fn(&Value) -> Value) -> Res<Vec<Value>> {
    let mut seen: std::collections::HashSet<Value> = std::collections::HashSet::new();
    let mut other: Vec<Value> = Vec::new();
    let mut out = Vec::new();
    for value in values {
        check(&value)?;
        let key = key(&value);
        let new = if value.as_object().is_some() {
            let found = contains(&list(other.clone()), &key)?;
            if !found {
                other.push(key);
            }
            !found
        } else {
            seen.insert(key)
        };
        if new {
            out.push(value);
        }
    }
    Ok(out)
}

fn unique(c: &mut Call<'_, '_>) -> Res<Value> {
    let [case_sensitive, attribute] = c.bind(["case_sensitive", "attribute"])?;
    let case_sensitive = flag(case_sensitive.as_ref(), false);
    let values = items(&c.subject)?;
    let Some(path) = attribute.filter(|a| !a.is_none()) else {
        return distinct(values, |v| if case_sensitive { v.clone() } else { fold(v) }).map(list);
    };
    let mut seen = Vec::new();
    let mut out = Vec::new();
    for value in values {
        let key = attribute_of(c.machine, &value, &path)?;
        let key = if case_sensitive { key } else { fold(&key) };
        if !contains(&list(seen.clone()), &key)? {
            seen.push(key);
            out.push(value);
        }
    }
    Ok(list(out))
}

/// Lists inside lists laid out, down to a depth.
pub(crate) fn flat(value: &Value, levels: Option<i128>, skip_nulls: bool) -> Res<Vec<Value>> {
    let mut out = Vec::new();
    for item in items(value)? {
        if skip_nulls && (item.is_none() || matches!(item.as_str(), Some("None" | "null"))) {
            continue;
        }
        match levels {
            _ if !is_seq(&item) => out.push(item),
            Some(n) if n < 1 => out.push(item),
            _ => out.extend(flat(&item, levels.map(|n| n - 1), skip_nulls)?),
        }
    }
    Ok(out)
}

fn flatten(c: &mut Call<'_, '_>) -> Res<Value> {
    let [levels, skip_nulls] = c.bind(["levels", "skip_nulls"])?;
    let levels = match levels {
        Some(n) if !n.is_none() => Some(int_or(Some(&n), 0, "`levels`")?),
        _ => None,
    };
    flat(&c.subject, levels, flag(skip_nulls.as_ref(), true)).map(list)
}

fn groupby(c: &mut Call<'_, '_>) -> Res<Value> {
    let [attribute, default, case_sensitive] =
        c.bind(["attribute", "default", "case_sensitive"])?;
    let path = need(attribute, "the attribute")?;
    let case_sensitive = flag(case_sensitive.as_ref(), false);
    let mut keyed: Vec<(Value, Value)> = Vec::new();
    for item in items(&c.subject)? {
        let mut key = attribute_of(c.machine, &item, &path)?;
        if undef(&key).is_some()
            && let Some(default) = &default
        {
            key = default.clone();
        }
        check(&key)?;
        keyed.push((key, item));
    }
    let pairs = keyed.into_iter().map(|(k, v)| tuple(vec![k, v])).collect();
    let sorted = sort_values(
        c.machine,
        pairs,
        false,
        case_sensitive,
        Some(&Value::from(0)),
    )?;
    let mut groups: Vec<(Value, Vec<Value>)> = Vec::new();
    for pair in sorted {
        let (key, item) = match items(&pair)?.as_slice() {
            [key, item] => (key.clone(), item.clone()),
            _ => continue,
        };
        let same = |a: &Value, b: &Value| {
            if case_sensitive {
                equal(a, b)
            } else {
                equal(&fold(a), &fold(b))
            }
        };
        match groups.last_mut() {
            Some((last, group)) if same(last, &key)? => group.push(item),
            _ => groups.push((key, vec![item])),
        }
    }
    Ok(listed(
        groups
            .into_iter()
            .map(|(key, group)| tuple(vec![key, list(group)])),
    ))
}

/// Pairs of an element and one of its sub-elements.
pub(crate) fn sub_elements(obj: &Value, path: &Value, skip_missing: bool) -> Res<Vec<Value>> {
    let elements = match kind(obj) {
        Kind::Dict => data::pairs(obj)?.into_iter().map(|(_, v)| v).collect(),
        Kind::List => items(obj)?,
        _ => {
            return Err(fault(
                "expected a list of mappings or a mapping of mappings",
            ));
        }
    };
    let path: Vec<Value> = if is_seq(path) {
        items(path)?
    } else {
        text(path, "the key")?.split('.').map(Value::from).collect()
    };
    let mut out = Vec::new();
    for element in elements {
        let mut value = Some(element.clone());
        for key in &path {
            let Some(base) = value.take() else { break };
            check(&base)?;
            if !data::is_map(&base) {
                return Err(fault(format!(
                    "the key {key} should point to a dictionary, got '{}'",
                    str_of(&base)?
                )));
            }
            value = data::get(&base, key);
            if value.is_none() && !skip_missing {
                return Err(fault(format!(
                    "could not find '{key}' key in iterated item {}",
                    crate::template::value::repr(&base)?
                )));
            }
        }
        let Some(value) = value else { continue };
        if !is_seq(&value) {
            check(&value)?;
            return Err(fault(format!(
                "the key {} should point to a list, got {}",
                path.last().map(Value::to_string).unwrap_or_default(),
                data::described(&value)
            )));
        }
        for item in items(&value)? {
            out.push(tuple(vec![element.clone(), item]));
        }
    }
    Ok(out)
}

fn subelements(c: &mut Call<'_, '_>) -> Res<Value> {
    let [path, skip_missing] = c.bind(["subelements", "skip_missing"])?;
    let path = need(path, "the key")?;
    sub_elements(&c.subject, &path, flag(skip_missing.as_ref(), false)).map(list)
}

fn extract(c: &mut Call<'_, '_>) -> Res<Value> {
    let [container, more] = c.bind(["container", "morekeys"])?;
    let mut value = need(container, "the container")?;
    let mut keys = vec![c.subject.clone()];
    match more {
        Some(more) if is_seq(&more) => keys.extend(items(&more)?),
        Some(more) if !more.is_none() => keys.push(more),
        _ => {}
    }
    for key in &keys {
        if undef(&value).is_some() {
            return Ok(value);
        }
        let found = match get_item(&value, key) {
            Some(found) => Some(found),
            None => match key.as_str() {
                Some(name) => c.machine.attr_opt(&value, name)?,
                None => None,
            },
        };
        value = found.unwrap_or_else(|| {
            Undef::value(Why::Missing(key.to_string(), Some(value.clone())), None)
        });
    }
    Ok(value)
}

fn split(c: &mut Call<'_, '_>) -> Res<Value> {
    let [sep, max] = c.bind(["sep", "maxsplit"])?;
    let subject = text(&c.subject, "the value")?;
    let max = int_or(max.as_ref(), -1, "`maxsplit`")?;
    crate::template::eval::methods::split(&subject, sep.as_ref(), max).map(list)
}

/// The separator of a joined list; kept here for lookups.
pub(crate) fn joined(values: &[Value], sep: &str) -> Res<String> {
    let texts: Res<Vec<String>> = values.iter().map(str_of).collect();
    Ok(texts?.join(sep))
}
