//! YAML in and out, as PyYAML reads and writes it.

mod analyze;
mod emit;
mod represent;

use super::{Filter, filter, flag, listed, size_or};
use crate::diag::Source;
use crate::template::eval::call::Call;
use crate::template::eval::finish;
use crate::template::value::data::{Dict, dict, is_str, list};
use crate::template::value::undefined::{Res, fault};
use crate::yaml::{self, Kind, Node};
use minijinja::Value;

pub(super) const FILTERS: &[Filter] = &[
    filter("to_yaml", |c| dump(c, None, 2)),
    filter("to_nice_yaml", |c| dump(c, Some(false), 4)),
    filter("from_yaml", from_yaml),
    filter("from_yaml_all", from_yaml_all),
];

fn dump(c: &mut Call<'_, '_>, flow: Option<bool>, indent: usize) -> Res<Value> {
    let [
        width_of_indent,
        flow_style,
        width,
        sort_keys,
        unicode,
        start,
        end,
        style,
    ] = c.bind([
        "indent",
        "default_flow_style",
        "width",
        "sort_keys",
        "allow_unicode",
        "explicit_start",
        "explicit_end",
        "default_style",
    ])?;
    if style.is_some_and(|s| !s.is_none()) {
        return Err(fault("`default_style` is not supported"));
    }
    let options = emit::Options {
        indent: size_or(width_of_indent.as_ref(), indent, "`indent`")?,
        width: size_or(width.as_ref(), 80, "`width`")?,
        flow: match &flow_style {
            Some(value) if !value.is_none() => Some(value.is_true()),
            _ => flow,
        },
        sort_keys: flag(sort_keys.as_ref(), true),
        unicode: flag(unicode.as_ref(), true),
    };
    let value = finish::result(c.subject.clone())?;
    let mut text = emit::dump(&value, options)?;
    if flag(start.as_ref(), false) {
        let same_line = text.starts_with(['[', '{'])
            || !text[..text.len() - 1].contains('\n')
                && !text.contains(": ")
                && !text.starts_with("- ");
        text.insert_str(0, if same_line { "--- " } else { "---\n" });
    }
    if flag(end.as_ref(), false) {
        text.push_str("...\n");
    }
    Ok(Value::from(text))
}

/// A node as plain data.
pub(crate) fn plain(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::from(()),
        Kind::Bool(b) => Value::from(*b),
        Kind::Int(n) => Value::from(*n),
        Kind::Float(n) => Value::from(*n),
        Kind::Str(text) | Kind::Unsafe(text) | Kind::Vault(text) => Value::from(text.as_ref()),
        Kind::Seq(items) => list(items.iter().map(plain).collect()),
        Kind::Map(map) => {
            let mut out = Dict::with_capacity(map.len());
            for (key, _, node) in map.iter() {
                out.insert(map.key_value(key), plain(node));
            }
            dict(out)
        }
    }
}

fn failed(error: &crate::diag::Diagnostic) -> Box<crate::template::value::Fault> {
    let place = error.span.as_ref().map_or(String::new(), |span| {
        let (line, column) = span.line_col();
        format!(" (line {line}, column {column})")
    });
    fault(format!("{}{place}", error.message))
}

fn from_yaml(c: &mut Call<'_, '_>) -> Res<Value> {
    c.no_args()?;
    if !is_str(&c.subject) {
        return Ok(c.subject.clone());
    }
    let source = Source::new("<from_yaml>", c.subject.as_str().unwrap_or_default());
    yaml::load(&source)
        .map(|node| plain(&node))
        .map_err(|error| failed(&error))
}

fn from_yaml_all(c: &mut Call<'_, '_>) -> Res<Value> {
    c.no_args()?;
    if c.subject.is_none() {
        return Ok(list(Vec::new()));
    }
    if !is_str(&c.subject) {
        return Ok(c.subject.clone());
    }
    let source = Source::new("<from_yaml_all>", c.subject.as_str().unwrap_or_default());
    let nodes = yaml::load_all(&source).map_err(|error| failed(&error))?;
    Ok(listed(nodes.iter().map(plain)))
}
