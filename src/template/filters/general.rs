//! Filters of `community.general` that roles use.

use super::mapping::{list_mode, merge};
use super::sequence::distinct;
use super::sets::kept;
use super::{Filter, filter, flag, int_or, listed, need, text, text_or};
use crate::template::eval::call::Call;
use crate::template::filters::regex::{Flags, is_match};
use crate::template::lookups::tables::{parse_ini, rows};
use crate::template::tests::version::loose;
use crate::template::value::data::{
    self, Dict, described, dict, is_map, is_seq, items, list, pairs,
};
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, check, fault};
use minijinja::Value;
use std::cmp::Ordering;

pub(super) const FILTERS: &[Filter] = &[
    filter("counter", counter),
    filter("dict_kv", |c| {
        let [key] = c.bind(["key"])?;
        let entry = [(need(key, "the key")?, c.subject.clone())];
        Ok(dict(entry.into_iter().collect()))
    }),
    filter("groupby_as_dict", groupby_as_dict),
    filter("keep_keys", |c| pick_keys(c, true)),
    filter("remove_keys", |c| pick_keys(c, false)),
    filter("replace_keys", replace_keys),
    filter("lists_mergeby", merge_by),
    filter("lists_union", |c| {
        let all = lists(c)?;
        distinct(all.concat(), Value::clone).map(list)
    }),
    filter("lists_intersect", |c| {
        fold_lists(c, |a, b| kept(a, b, true))
    }),
    filter("lists_difference", |c| {
        fold_lists(c, |a, b| kept(a, b, false))
    }),
    filter("lists_symmetric_difference", |c| {
        fold_lists(c, |a, b| {
            let mut out = kept(a.clone(), b.clone(), false)?;
            out.extend(kept(b, a, false)?);
            Ok(out)
        })
    }),
    filter("version_sort", version_sort),
    filter("from_csv", from_csv),
    filter("from_ini", from_ini),
    filter("to_ini", to_ini),
    filter("to_time_unit", |c| {
        let unit = if c.args.pos.is_empty() {
            c.args.take("unit")
        } else {
            Some(c.args.pos.remove(0))
        };
        let unit = text_or(unit.as_ref(), "ms", "the unit")?;
        to_unit(c, &unit)
    }),
    filter("to_milliseconds", |c| to_unit(c, "ms")),
    filter("to_seconds", |c| to_unit(c, "s")),
    filter("to_minutes", |c| to_unit(c, "m")),
    filter("to_hours", |c| to_unit(c, "h")),
    filter("to_days", |c| to_unit(c, "d")),
    filter("to_weeks", |c| to_unit(c, "w")),
    filter("to_months", |c| to_unit(c, "mo")),
    filter("to_years", |c| to_unit(c, "y")),
];

fn counter(c: &mut Call<'_, '_>) -> Res<Value> {
    c.no_args()?;
    let mut counts: indexmap::IndexMap<Value, i64> = indexmap::IndexMap::new();
    for item in items(&c.subject)? {
        check(&item)?;
        if item.as_object().is_some() {
            return Err(fault("only strings and numbers can be counted"));
        }
        *counts.entry(item).or_default() += 1;
    }
    Ok(dict(
        counts
            .into_iter()
            .map(|(k, n)| (k, Value::from(n)))
            .collect(),
    ))
}

fn groupby_as_dict(c: &mut Call<'_, '_>) -> Res<Value> {
    let [attribute] = c.bind(["attribute"])?;
    let attribute = need(attribute, "the attribute")?;
    let mut out = Dict::new();
    for (n, item) in data::list_items(&c.subject)?.into_iter().enumerate() {
        let Some(key) = data::get(&item, &attribute) else {
            return Err(fault(format!("item {n} has no attribute {attribute}")));
        };
        if out.contains_key(&key) {
            return Err(fault(format!("several items have attribute value {key}")));
        }
        out.insert(key, item);
    }
    Ok(dict(out))
}

/// Whether a key matches, in one of the four ways.
fn matches(key: &str, wanted: &str, how: &str) -> Res<bool> {
    Ok(match how {
        "equal" => key == wanted,
        "starts_with" => key.starts_with(wanted),
        "ends_with" => key.ends_with(wanted),
        "regex" => is_match(wanted, key, Flags::default(), true, false)?,
        _ => {
            return Err(fault(
                "`matching_parameter` must be equal, starts_with, ends_with or regex",
            ));
        }
    })
}

fn mappings(value: &Value) -> Res<Vec<Vec<(Value, Value)>>> {
    data::list_items(value)?.iter().map(pairs).collect()
}

fn pick_keys(c: &mut Call<'_, '_>, keep: bool) -> Res<Value> {
    let [target, how] = c.bind(["target", "matching_parameter"])?;
    let target = need(target, "the target")?;
    let how = text_or(how.as_ref(), "equal", "`matching_parameter`")?;
    let targets: Res<Vec<String>> = if is_seq(&target) {
        items(&target)?
            .iter()
            .map(|t| text(t, "a target"))
            .collect()
    } else {
        text(&target, "the target").map(|t| vec![t])
    };
    let targets = targets?;
    let mut out = Vec::new();
    for entries in mappings(&c.subject)? {
        let mut map = Dict::new();
        for (key, value) in entries {
            let name = key.to_string();
            let mut hit = false;
            for wanted in &targets {
                hit |= matches(&name, wanted, &how)?;
            }
            if hit == keep {
                map.insert(key, value);
            }
        }
        out.push(dict(map));
    }
    Ok(list(out))
}

fn replace_keys(c: &mut Call<'_, '_>) -> Res<Value> {
    let [target, how] = c.bind(["target", "matching_parameter"])?;
    let how = text_or(how.as_ref(), "equal", "`matching_parameter`")?;
    let mut rules = Vec::new();
    for rule in data::list_items(&need(target, "the target")?)? {
        match (
            data::get_str(&rule, "before"),
            data::get_str(&rule, "after"),
        ) {
            (Some(before), Some(after)) => {
                rules.push((text(&before, "`before`")?, text(&after, "`after`")?));
            }
            _ => return Err(fault("each target must have `before` and `after`")),
        }
    }
    let mut out = Vec::new();
    for entries in mappings(&c.subject)? {
        let mut map = Dict::new();
        for (key, value) in entries {
            let name = key.to_string();
            let mut new = key;
            for (before, after) in &rules {
                if matches(&name, before, &how)? {
                    new = Value::from(after.as_str());
                    break;
                }
            }
            map.insert(new, value);
        }
        out.push(dict(map));
    }
    Ok(list(out))
}

/// The subject and the arguments as lists; with `flatten`, or where all items are lists, one level deeper.
fn lists(c: &mut Call<'_, '_>) -> Res<Vec<Vec<Value>>> {
    let mut args = std::mem::take(&mut c.args);
    let flatten = args.take("flatten").is_some_and(|v| v.is_true());
    if let Some((name, _)) = args.kw.first() {
        return Err(fault(format!("unknown argument `{name}`")));
    }
    let mut out = Vec::new();
    for value in std::iter::once(&c.subject).chain(&args.pos) {
        out.extend(opened(value, flatten)?);
    }
    Ok(out)
}

/// A list of lists as those lists, if wanted; any other as itself.
fn opened(value: &Value, flatten: bool) -> Res<Vec<Vec<Value>>> {
    let inner = data::list_items(value)?;
    if flatten && inner.is_empty() {
        return Ok(Vec::new());
    }
    if flatten && inner.iter().all(is_seq) {
        return inner.iter().map(items).collect();
    }
    Ok(vec![inner])
}

fn fold_lists(
    c: &mut Call<'_, '_>,
    join: fn(Vec<Value>, Vec<Value>) -> Res<Vec<Value>>,
) -> Res<Value> {
    let mut all = lists(c)?.into_iter();
    let mut out = distinct(all.next().unwrap_or_default(), Value::clone)?;
    for next in all {
        out = distinct(join(out, next)?, Value::clone)?;
    }
    Ok(list(out))
}

fn merge_by(c: &mut Call<'_, '_>) -> Res<Value> {
    let mut args = std::mem::take(&mut c.args);
    let recursive = flag(args.take("recursive").as_ref(), false);
    let mode = args.take("list_merge");
    let mode = list_mode(&text_or(mode.as_ref(), "replace", "`list_merge`")?)?;
    let index = args
        .pos
        .pop()
        .ok_or_else(|| fault("the index is missing"))?;
    let index = text(&index, "the index")?;
    let mut all = Vec::new();
    for value in std::iter::once(&c.subject).chain(&args.pos) {
        all.extend(opened(value, true)?);
    }
    if all.len() < 2 {
        return Ok(list(all.pop().unwrap_or_default()));
    }
    let mut merged = Dict::new();
    for item in all.into_iter().flatten() {
        if !is_map(&item) {
            return Err(fault(format!(
                "the lists must hold mappings, not {}",
                described(&item)
            )));
        }
        let Some(key) = data::get_str(&item, &index) else {
            continue;
        };
        let value = match merged.get(&key) {
            Some(old) => merge(old, &item, recursive, mode)?,
            None => item,
        };
        merged.insert(key, value);
    }
    let rows = merged.into_values().collect();
    let by = Value::from(index);
    super::sequence::sort_values(c.machine, rows, false, true, Some(&by)).map(list)
}

fn version_sort(c: &mut Call<'_, '_>) -> Res<Value> {
    let [reverse] = c.bind(["reverse"])?;
    let mut all = items(&c.subject)?;
    let mut comparable = true;
    all.sort_by(|a, b| {
        loose(&a.to_string(), &b.to_string()).unwrap_or_else(|| {
            comparable = false;
            Ordering::Equal
        })
    });
    if !comparable {
        return Err(fault("these versions differ in kind"));
    }
    if flag(reverse.as_ref(), false) {
        all.reverse();
    }
    Ok(list(all))
}

fn from_csv(c: &mut Call<'_, '_>) -> Res<Value> {
    let [dialect, names, delimiter, skip_space, _strict] = c.bind([
        "dialect",
        "fieldnames",
        "delimiter",
        "skipinitialspace",
        "strict",
    ])?;
    let tab = match text_or(dialect.as_ref(), "excel", "`dialect`")?.as_str() {
        "excel" | "unix" => false,
        "excel-tab" => true,
        other => return Err(fault(format!("dialect '{other}' is not supported"))),
    };
    let default = if tab { "\t" } else { "," };
    let delimiter = text_or(delimiter.as_ref(), default, "`delimiter`")?;
    let delimiter = delimiter.chars().next().unwrap_or(',');
    let skip_space = flag(skip_space.as_ref(), false);
    let mut rows = rows(&text(&c.subject, "the text")?, delimiter).into_iter();
    let names: Vec<Value> = match names {
        Some(names) if !names.is_none() => items(&names)?,
        _ => rows
            .next()
            .unwrap_or_default()
            .into_iter()
            .map(Value::from)
            .collect(),
    };
    Ok(listed(rows.filter(|row| !row.is_empty()).map(|row| {
        let mut cells = row.into_iter();
        dict(
            names
                .iter()
                .map(|name| {
                    let cell = cells.next().map_or_else(
                        || Value::from(()),
                        |cell| {
                            Value::from(if skip_space {
                                cell.trim_start()
                            } else {
                                cell.as_str()
                            })
                        },
                    );
                    (name.clone(), cell)
                })
                .collect(),
        )
    })))
}

fn from_ini(c: &mut Call<'_, '_>) -> Res<Value> {
    c.no_args()?;
    let mut sections = parse_ini(&text(&c.subject, "the text")?, true).into_iter();
    let defaults = sections
        .next()
        .map(|(_, options)| options)
        .unwrap_or_default();
    let mut out = Dict::new();
    let value = |v: Option<String>| v.map_or_else(|| Value::from(()), Value::from);
    for (name, options) in sections {
        let all = defaults.iter().cloned().chain(options);
        out.insert(
            Value::from(name),
            dict(all.map(|(k, v)| (Value::from(k), value(v))).collect()),
        );
    }
    Ok(dict(out))
}

fn to_ini(c: &mut Call<'_, '_>) -> Res<Value> {
    c.no_args()?;
    let sections = pairs(&c.subject)?;
    if sections.is_empty() {
        return Err(fault("an empty mapping cannot be converted"));
    }
    let mut out = Vec::new();
    for (name, options) in &sections {
        let mut text = format!("[{name}]\n");
        for (key, value) in pairs(options)? {
            let value = str_of(&value)?.replace('\n', "\n\t");
            text.push_str(&format!("{key} = {value}\n"));
        }
        out.push(text);
    }
    Ok(Value::from(out.join("\n")))
}

/// Milliseconds of a unit.
fn factor(unit: &str, year: i128, month: i128) -> Option<i128> {
    let day = 86_400_000;
    let singular = unit.trim_end_matches('s');
    Some(match (unit, singular) {
        ("ms", _) | (_, "millisecond" | "msec" | "msecond") => 1,
        ("s", _) | (_, "sec" | "second") => 1000,
        ("m", _) | (_, "min" | "minute") => 60_000,
        ("h", _) | (_, "hour") => 3_600_000,
        ("d", _) | (_, "day") => day,
        ("w", _) | (_, "week") => day * 7,
        ("mo", _) | (_, "month") => day * month,
        ("y", _) | (_, "year") => day * year,
        _ => return None,
    })
}

fn to_unit(c: &mut Call<'_, '_>, unit: &str) -> Res<Value> {
    let [year, month] = c.bind(["year", "month"])?;
    let year = int_or(year.as_ref(), 365, "`year`")?;
    let month = int_or(month.as_ref(), 30, "`month`")?;
    let text = str_of(&c.subject)?;
    if text == "0" {
        return Ok(Value::from(0));
    }
    let bad = || fault(format!("cannot interpret the time '{text}'"));
    let mut total = 0;
    for word in text.split_whitespace() {
        let end = word
            .char_indices()
            .find(|(n, ch)| !(ch.is_ascii_digit() || (*n == 0 && *ch == '-')))
            .map(|(n, _)| n)
            .ok_or_else(bad)?;
        let n: i128 = word[..end].parse().map_err(|_| bad())?;
        total += n * factor(&word[end..], year, month).ok_or_else(bad)?;
    }
    let factor =
        factor(unit, year, month).ok_or_else(|| fault(format!("unknown unit '{unit}'")))?;
    #[expect(clippy::cast_precision_loss, reason = "Python divides floats, too")]
    let n = total as f64 / factor as f64;
    Ok(Value::from(format!("{n:.12}").parse().unwrap_or(n)))
}
