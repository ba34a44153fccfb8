//! A module's arguments after rendering: aliases resolved, coerced, defaults filled in.

use super::{Failure, Spec, Type};
use indexmap::IndexMap;
use minijinja::Value;

/// Arguments by canonical name. Getters never fail: [`Args::new`] checked everything.
#[derive(Debug, Clone, Default)]
pub struct Args {
    values: IndexMap<String, Value>,
}

impl Args {
    /// Checks rendered arguments against a module's spec as Ansible's argument spec does.
    ///
    /// # Errors
    /// An unknown, unsupported, missing or ill-typed parameter, or a value outside the choices.
    pub fn new(spec: &Spec, given: IndexMap<String, Value>) -> Result<Self, Failure> {
        let mut values = IndexMap::new();
        for (name, value) in given {
            if let Some((name, value)) = one(spec, name, value)? {
                values.insert(name, value);
            }
        }
        for param in spec.params {
            if let Some(value) = values.get(param.name) {
                if param.secret {
                    crate::secrets::learn(&text(value));
                }
                continue;
            }
            if param.required {
                return Err(Failure::new(missing(spec, param.name)));
            }
            if let Some(default) = param.default {
                let value = coerce(param.ty, &Value::from(default)).map_err(Failure::new)?;
                values.insert(param.name.to_owned(), value);
            }
        }
        Ok(Self { values })
    }

    /// The value as it is, if given or defaulted.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// Text, if given.
    #[must_use]
    pub fn str(&self, name: &str) -> Option<String> {
        self.values.get(name).map(text)
    }

    /// Text of a required or defaulted parameter; empty otherwise.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.str(name).unwrap_or_default()
    }

    /// A boolean; false when not given.
    #[must_use]
    pub fn bool(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(Value::is_true)
    }

    /// An integer, if given.
    #[must_use]
    pub fn int(&self, name: &str) -> Option<i64> {
        self.values
            .get(name)
            .and_then(|value| i64::try_from(value.clone()).ok())
    }

    /// A number, if given.
    #[must_use]
    pub fn float(&self, name: &str) -> Option<f64> {
        self.values
            .get(name)
            .and_then(|value| f64::try_from(value.clone()).ok())
    }

    /// The elements of a list, as they are; empty when not given.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<Value> {
        self.values
            .get(name)
            .and_then(|value| value.try_iter().ok())
            .map(Iterator::collect)
            .unwrap_or_default()
    }

    /// The elements of a list as text.
    #[must_use]
    pub fn strings(&self, name: &str) -> Vec<String> {
        self.list(name).iter().map(text).collect()
    }

    /// The same arguments with one more, or another value for it.
    #[must_use]
    pub fn replace(mut self, name: &str, value: Value) -> Self {
        self.values.insert(name.into(), value);
        self
    }

    /// Whether it was given or has a default.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }
}

/// What Ansible says of a parameter that is not given.
fn missing(spec: &Spec, name: &str) -> String {
    match spec.name {
        "copy" => "dest is required".into(),
        "assemble" | "fetch" | "template" => "src and dest are required".into(),
        _ => format!("missing required arguments: {name}"),
    }
}

/// One argument under its canonical name, coerced; `None` when null stands for "not given".
fn one(spec: &Spec, name: String, value: Value) -> Result<Option<(String, Value)>, Failure> {
    let Some(param) = spec
        .params
        .iter()
        .find(|param| param.name == name || param.aliases.contains(&name.as_str()))
    else {
        if spec.params.iter().any(|p| p.name == super::control::ANY) {
            return Ok(Some((name, value)));
        }
        let names = spec
            .params
            .iter()
            .flat_map(|p| p.aliases.iter().chain([&p.name]));
        let near = crate::diag::near(&name, names.copied())
            .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        return Err(Failure::of(
            &name,
            format!(
                "Unsupported parameters for ({}) module: {name}{near}",
                spec.name
            ),
        ));
    };
    if param.unsupported {
        return Err(Failure::of(
            &name,
            format!(
                "parameter `{name}` of module `{}` is not supported: {}",
                spec.name, param.doc
            ),
        ));
    }
    if value.is_none() || value.is_undefined() {
        return Ok(None);
    }
    let value = coerce(param.ty, &value).map_err(|why| {
        Failure::of(
            &name,
            format!("parameter `{name}` of module `{}`: {why}", spec.name),
        )
    })?;
    if !param.choices.is_empty() {
        check_choices(spec, param.name, param.choices, &value)?;
    }
    if spec.runs == super::Runs::Host && !BYTES.contains(&param.name) && has_nul(&value) {
        return Err(Failure::of(
            &name,
            format!(
                "parameter `{name}` of module `{}` has a NUL byte in it, which no path, argument or variable can hold",
                spec.name
            ),
        ));
    }
    Ok(Some((param.name.to_owned(), value)))
}

/// Parameters that travel as bytes.
const BYTES: &[&str] = &["content", "stdin", "body"];

fn has_nul(value: &Value) -> bool {
    use minijinja::value::ValueKind as K;
    match value.kind() {
        K::String => value.as_str().is_some_and(|text| text.contains('\0')),
        K::Seq => value
            .try_iter()
            .is_ok_and(|mut items| items.any(|item| has_nul(&item))),
        K::Map => value.try_iter().is_ok_and(|mut keys| {
            keys.any(|key| has_nul(&key) || value.get_item(&key).is_ok_and(|item| has_nul(&item)))
        }),
        _ => false,
    }
}

/// Checks one argument by itself, as [`Args::new`] does.
///
/// # Errors
/// When its name, type or value is not what the spec says.
pub fn check(spec: &Spec, name: &str, value: &Value) -> Result<(), Failure> {
    one(spec, name.to_owned(), value.clone()).map(|_| ())
}

/// A value as Ansible's `str` parameters see it: booleans as `True`/`False`, numbers in decimal.
#[must_use]
pub fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn check_choices(spec: &Spec, name: &str, choices: &[&str], value: &Value) -> Result<(), Failure> {
    let items: Vec<Value> = if value.kind() == minijinja::value::ValueKind::Seq {
        value.try_iter().map(Iterator::collect).unwrap_or_default()
    } else {
        vec![value.clone()]
    };
    for item in items {
        let item = text(&item);
        // A YAML boolean for a `yes`/`no` choice arrives as `True`.
        if choices
            .iter()
            .any(|choice| *choice == item || choice.eq_ignore_ascii_case(&item))
        {
            continue;
        }
        let near = crate::diag::near(&item, choices.iter().copied())
            .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        return Err(Failure::of(
            name,
            format!(
                "parameter `{name}` of module `{}` must be one of {}, not `{item}`{near}",
                spec.name,
                choices.join(", ")
            ),
        ));
    }
    Ok(())
}

/// Coerces a value to a type, as Ansible's `check_type_*` functions do.
///
/// # Errors
/// In words, when it cannot be.
pub fn coerce(ty: Type, value: &Value) -> Result<Value, String> {
    use minijinja::value::ValueKind as K;
    let kind = value.kind();
    match ty {
        Type::Raw => Ok(value.clone()),
        Type::Str | Type::Path => match kind {
            K::String => Ok(value.clone()),
            K::Bool | K::Number => Ok(Value::from(value.to_string())),
            _ => Ok(Value::from(crate::template::to_text(value))),
        },
        Type::Bool => to_bool(value)
            .map(Value::from)
            .ok_or_else(|| format!("`{value}` is not a boolean")),
        Type::Int => match kind {
            K::Number => i64::try_from(value.clone())
                .map(Value::from)
                .map_err(|_| format!("`{value}` is not an integer")),
            K::Bool => Ok(Value::from(i64::from(value.is_true()))),
            _ => text(value)
                .trim()
                .parse::<i64>()
                .map(Value::from)
                .map_err(|_| format!("`{value}` is not an integer")),
        },
        Type::Float => match kind {
            K::Number => Ok(value.clone()),
            _ => text(value)
                .trim()
                .parse::<f64>()
                .map(Value::from)
                .map_err(|_| format!("`{value}` is not a number")),
        },
        Type::List => match kind {
            K::Seq | K::Iterable => Ok(value
                .try_iter()
                .map(Iterator::collect::<Value>)
                .map_err(|e| e.to_string())?),
            K::String => Ok(text(value)
                .split(',')
                .map(|item| Value::from(item.trim()))
                .collect::<Vec<_>>()
                .into()),
            K::Bool | K::Number => Ok(vec![Value::from(value.to_string())].into()),
            _ => Err(format!("{kind} is not a list")),
        },
        Type::Dict => match kind {
            K::Map => Ok(value.clone()),
            K::String => parse_dict(&text(value)),
            _ => Err(format!("{kind} is not a mapping")),
        },
    }
}

/// Ansible's idea of a boolean: `y yes on 1 true t 1.0` and their opposites, any case.
#[must_use]
pub fn to_bool(value: &Value) -> Option<bool> {
    use minijinja::value::ValueKind as K;
    match value.kind() {
        K::Bool => Some(value.is_true()),
        K::Number | K::String => match text(value).trim().to_lowercase().as_str() {
            "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => Some(true),
            "n" | "no" | "off" | "0" | "false" | "f" | "0.0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn parse_dict(text: &str) -> Result<Value, String> {
    let text = text.trim();
    if text.starts_with('{') {
        return serde_json::from_str::<serde_json::Value>(text)
            .map(|json| Value::from(minijinja::value::Serde(json)))
            .map_err(|why| format!("not JSON: {why}"));
    }
    let words = shlex::split(&text.replace(',', " ")).ok_or("unbalanced quotes")?;
    words
        .iter()
        .map(|word| {
            word.split_once('=')
                .map(|(key, value)| (key.to_owned(), Value::from(value)))
                .ok_or_else(|| format!("`{word}` is not key=value"))
        })
        .collect::<Result<IndexMap<_, _>, _>>()
        .map(Value::from_pairs)
}
