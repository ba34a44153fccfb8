//! Between nodes and data, without templating.

use super::{Kind, Map, Node};
use crate::diag::Span;
use minijinja::Value;
use std::sync::Arc;

/// A node as data, templates left as the text they are. Encrypted strings stay their armoured text.
#[must_use]
pub fn plain(node: &Node) -> Value {
    match &node.kind {
        Kind::Null => Value::from(()),
        Kind::Bool(flag) => Value::from(*flag),
        Kind::Int(number) => integer(*number),
        Kind::Float(number) => Value::from(*number),
        Kind::Str(text) | Kind::Unsafe(text) | Kind::Vault(text) => Value::from(&**text),
        Kind::Seq(items) => items.iter().map(plain).collect(),
        Kind::Map(map) => Value::from_pairs(
            map.iter()
                .map(|(key, _, node)| (map.key_value(key), plain(node))),
        ),
    }
}

/// An integer as data: in the form that all small ones have.
pub(crate) fn integer(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::from(number), Value::from)
}

/// JSON as a node that stands at `span` as a whole.
#[must_use]
pub fn from_json(json: &serde_json::Value, span: &Span) -> Node {
    use serde_json::Value as J;
    let kind = match json {
        J::Null => Kind::Null,
        J::Bool(flag) => Kind::Bool(*flag),
        J::Number(number) => number.as_i128().map_or_else(
            || match number.as_f64() {
                Some(float) if number.is_f64() => Kind::Float(float),
                _ => Kind::Str(number.to_string().into()),
            },
            Kind::Int,
        ),
        J::String(text) => Kind::Str(text.as_str().into()),
        J::Array(items) => Kind::Seq(items.iter().map(|item| from_json(item, span)).collect()),
        J::Object(object) => {
            let mut map = Map::default();
            for (key, value) in object {
                map.insert(key.as_str().into(), span.clone(), from_json(value, span));
            }
            Kind::Map(Arc::new(map))
        }
    };
    Node {
        kind,
        span: span.clone(),
    }
}
