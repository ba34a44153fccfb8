//! JSON in and out, as Python's `json` reads and writes it; JMESPath queries.

use super::{Filter, filter, flag, need, text, text_or};
use crate::template::eval::call::Call;
use crate::template::eval::finish;
use crate::template::value::data::{self, Kind, as_float, as_int, is_str, items, kind, pairs};
use crate::template::value::ops::order;
use crate::template::value::text::{float, str_of};
use crate::template::value::undefined::{Res, check, fault};
use minijinja::Value;
use std::cmp::Ordering;
use std::fmt::Write;

pub(super) const FILTERS: &[Filter] = &[
    filter("to_json", |c| dump(c, None, false, None)),
    filter("to_nice_json", |c| {
        dump(c, Some(4), true, Some((",", ": ")))
    }),
    filter("tojson", |c| {
        let [indent] = c.bind(["indent"])?;
        let style = Style::new(indent_of(indent.as_ref())?, true, None, true);
        let value = finish::result(c.subject.clone())?;
        let text = write(&value, &style)?;
        // Safe inside HTML, as Jinja makes it.
        Ok(Value::from(
            text.replace('<', "\\u003c")
                .replace('>', "\\u003e")
                .replace('&', "\\u0026")
                .replace('\'', "\\u0027"),
        ))
    }),
    filter("from_json", from_json),
    filter("json_query", query),
];

struct Style {
    indent: Option<String>,
    sort_keys: bool,
    item: String,
    key: String,
    ascii: bool,
}

impl Style {
    fn new(
        indent: Option<String>,
        sort_keys: bool,
        separators: Option<(&str, &str)>,
        ascii: bool,
    ) -> Self {
        let default = if indent.is_some() { "," } else { ", " };
        let (item, key) = separators.unwrap_or((default, ": "));
        Self {
            indent,
            sort_keys,
            item: item.to_owned(),
            key: key.to_owned(),
            ascii,
        }
    }
}

fn indent_of(value: Option<&Value>) -> Res<Option<String>> {
    Ok(match value {
        Some(value) if is_str(value) => Some(str_of(value)?),
        Some(value) if !value.is_none() => {
            let n = as_int(value).ok_or_else(|| fault("`indent` must be an integer"))?;
            Some(" ".repeat(usize::try_from(n).unwrap_or(0)))
        }
        _ => None,
    })
}

fn dump(
    c: &mut Call<'_, '_>,
    indent: Option<i64>,
    sort: bool,
    separators: Option<(&str, &str)>,
) -> Res<Value> {
    let [
        given,
        sort_keys,
        ascii,
        seps,
        _vault,
        _unsafe,
        _profile,
        _skip,
        _nan,
    ] = c.bind([
        "indent",
        "sort_keys",
        "ensure_ascii",
        "separators",
        "vault_to_text",
        "preprocess_unsafe",
        "profile",
        "skipkeys",
        "allow_nan",
    ])?;
    let indent = match given {
        Some(given) => indent_of(Some(&given))?,
        None => indent_of(indent.map(Value::from).as_ref())?,
    };
    let mut style = Style::new(
        indent,
        flag(sort_keys.as_ref(), sort),
        separators,
        flag(ascii.as_ref(), true),
    );
    if let (Some(seps), None) = (seps.filter(|s| !s.is_none()), separators) {
        match items(&seps)?.as_slice() {
            [item, key] => {
                style.item = str_of(item)?;
                style.key = str_of(key)?;
            }
            _ => return Err(fault("`separators` must be two strings")),
        }
    }
    let value = finish::result(c.subject.clone())?;
    write(&value, &style).map(Value::from)
}

/// A value as JSON on one line: how lookups and messages show data.
pub(crate) fn compact(value: &Value) -> Res<String> {
    write(value, &Style::new(None, false, None, true))
}

fn write(value: &Value, style: &Style) -> Res<String> {
    let mut out = String::new();
    write_value(&mut out, value, style, 0)?;
    Ok(out)
}

fn write_value(out: &mut String, value: &Value, style: &Style, depth: usize) -> Res<()> {
    check(value)?;
    match kind(value) {
        Kind::None => out.push_str("null"),
        Kind::Bool => out.push_str(if value.is_true() { "true" } else { "false" }),
        Kind::Int => {
            let _ = write!(out, "{value}");
        }
        Kind::Float => out.push_str(&number(as_float(value).unwrap_or(0.0))),
        Kind::List | Kind::Tuple => {
            let all = items(value)?;
            container(out, style, depth, ('[', ']'), &all, |out, item| {
                write_value(out, item, style, depth + 1)
            })?;
        }
        Kind::Dict => {
            let mut all = pairs(value)?;
            if style.sort_keys {
                let mut failed = false;
                all.sort_by(|(a, _), (b, _)| match order(a, b) {
                    Ok(Some(found)) => found,
                    _ => {
                        failed = true;
                        Ordering::Equal
                    }
                });
                if failed {
                    return Err(fault("keys of different types cannot be sorted"));
                }
            }
            container(out, style, depth, ('{', '}'), &all, |out, (key, item)| {
                quote(out, &key_text(key)?, style.ascii);
                out.push_str(&style.key);
                write_value(out, item, style, depth + 1)
            })?;
        }
        Kind::Str => quote(out, value.as_str().unwrap_or_default(), style.ascii),
        Kind::Bytes | Kind::Other | Kind::Undefined => quote(out, &str_of(value)?, style.ascii),
    }
    Ok(())
}

fn number(n: f64) -> String {
    if n.is_nan() {
        return "NaN".to_owned();
    }
    if n.is_infinite() {
        return if n > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    float(n)
}

fn key_text(key: &Value) -> Res<String> {
    Ok(match kind(key) {
        Kind::Str => key.as_str().unwrap_or_default().to_owned(),
        Kind::None => "null".to_owned(),
        Kind::Bool => if key.is_true() { "true" } else { "false" }.to_owned(),
        Kind::Int => key.to_string(),
        Kind::Float => number(as_float(key).unwrap_or(0.0)),
        _ => return Err(fault("keys must be str, int, float, bool or None")),
    })
}

fn container<T>(
    out: &mut String,
    style: &Style,
    depth: usize,
    (open, close): (char, char),
    all: &[T],
    mut each: impl FnMut(&mut String, &T) -> Res<()>,
) -> Res<()> {
    out.push(open);
    if all.is_empty() {
        out.push(close);
        return Ok(());
    }
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = &style.indent {
            out.push('\n');
            out.push_str(&indent.repeat(depth));
        }
    };
    for (n, item) in all.iter().enumerate() {
        if n > 0 {
            out.push_str(&style.item);
        }
        line(out, depth + 1);
        each(out, item)?;
    }
    line(out, depth);
    out.push(close);
    Ok(())
}

fn quote(out: &mut String, text: &str, ascii: bool) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || (c == '\x7f' && ascii) || (ascii && !c.is_ascii()) => {
                if c == '\x7f' {
                    out.push(c);
                    continue;
                }
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// JSON as data. Numbers keep their kind.
pub(crate) fn value_of(json: &serde_json::Value) -> Value {
    use serde_json::Value as J;
    match json {
        J::Null => Value::from(()),
        J::Bool(b) => Value::from(*b),
        J::Number(n) => match (n.as_i64(), n.as_u64(), n.as_f64()) {
            (Some(n), _, _) => Value::from(n),
            (_, Some(n), _) => Value::from(n),
            (_, _, Some(n)) => Value::from(n),
            _ => Value::from(n.to_string()),
        },
        J::String(text) => Value::from(text.as_str()),
        J::Array(all) => data::list(all.iter().map(value_of).collect()),
        J::Object(map) => data::dict(
            map.iter()
                .map(|(k, v)| (Value::from(k.as_str()), value_of(v)))
                .collect(),
        ),
    }
}

fn from_json(c: &mut Call<'_, '_>) -> Res<Value> {
    let [_profile, _strict] = c.bind(["profile", "strict"])?;
    let subject = text(&c.subject, "the JSON object")?;
    serde_json::from_str(&subject)
        .map(|json| value_of(&json))
        .map_err(|error| fault(format!("this is no JSON: {error}")))
}

fn query(c: &mut Call<'_, '_>) -> Res<Value> {
    let [expr] = c.bind(["expr"])?;
    let expr = text_or(Some(&need(expr, "the query")?), "", "the query")?;
    let value = finish::result(c.subject.clone())?;
    let json = compact(&value)?;
    let bad = |error: &dyn std::fmt::Display| fault(format!("JMESPath: {error}"));
    let compiled = jmespath::compile(&expr).map_err(|error| bad(&error))?;
    let data = jmespath::Variable::from_json(&json).map_err(|error| bad(&error))?;
    let found = compiled.search(data).map_err(|error| bad(&error))?;
    let json = serde_json::to_value(&*found).map_err(|error| bad(&error))?;
    Ok(value_of(&json))
}
