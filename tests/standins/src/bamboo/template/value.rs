//! Data of a template. Go tells structs from maps: a missing field of the first is an error, of the second it is no value.

use std::collections::BTreeMap;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// What a missing key gives.
    Nothing,
    Bool(bool),
    Number(i64),
    Text(String),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
    /// A struct: the name of its type, and its fields.
    Record(&'static str, BTreeMap<&'static str, Value>),
}

impl Value {
    /// A struct.
    pub fn record(
        name: &'static str,
        fields: impl IntoIterator<Item = (&'static str, Self)>,
    ) -> Self {
        Self::Record(name, fields.into_iter().collect())
    }

    /// Whether `if` takes it.
    pub fn truth(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Bool(value) => *value,
            Self::Number(value) => *value != 0,
            Self::Text(value) => !value.is_empty(),
            Self::List(value) => !value.is_empty(),
            Self::Map(value) => !value.is_empty(),
            Self::Record(..) => true,
        }
    }

    /// A field, or a key.
    pub fn field(&self, name: &str) -> anyhow::Result<Self> {
        match self {
            Self::Map(map) => Ok(map.get(name).cloned().unwrap_or(Self::Nothing)),
            Self::Record(_, fields) if fields.contains_key(name) => Ok(fields[name].clone()),
            Self::Nothing => anyhow::bail!("nil data; no entry for key \"{name}\""),
            other => anyhow::bail!("can't evaluate field {name} in type {}", other.kind()),
        }
    }

    /// The name of its type, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Nothing => "nil",
            Self::Bool(_) => "bool",
            Self::Number(_) => "int",
            Self::Text(_) => "string",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
            Self::Record(name, _) => name,
        }
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = |values: &mut dyn Iterator<Item = String>| values.collect::<Vec<_>>().join(" ");
        match self {
            Self::Nothing => write!(to, "<no value>"),
            Self::Bool(value) => write!(to, "{value}"),
            Self::Number(value) => write!(to, "{value}"),
            Self::Text(value) => write!(to, "{value}"),
            Self::List(values) => write!(
                to,
                "[{}]",
                words(&mut values.iter().map(ToString::to_string))
            ),
            Self::Map(map) => write!(
                to,
                "map[{}]",
                words(&mut map.iter().map(|(key, value)| format!("{key}:{value}")))
            ),
            Self::Record(_, fields) => write!(
                to,
                "{{{}}}",
                words(&mut fields.values().map(ToString::to_string))
            ),
        }
    }
}

impl From<&serde_json::Value> for Value {
    fn from(json: &serde_json::Value) -> Self {
        match json {
            serde_json::Value::Null => Self::Nothing,
            serde_json::Value::Bool(value) => Self::Bool(*value),
            serde_json::Value::Number(number) => number
                .as_i64()
                .map_or_else(|| Self::Text(number.to_string()), Self::Number),
            serde_json::Value::String(text) => Self::Text(text.clone()),
            serde_json::Value::Array(items) => Self::List(items.iter().map(Self::from).collect()),
            serde_json::Value::Object(map) => Self::Map(
                map.iter()
                    .map(|(key, value)| (key.clone(), Self::from(value)))
                    .collect(),
            ),
        }
    }
}
