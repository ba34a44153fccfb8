//! Functions of Go's templates and those that Bamboo adds.

use super::value::Value;
use anyhow::{bail, ensure};

/// Every function there is.
pub const NAMES: [&str; 22] = [
    "and",
    "or",
    "not",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "len",
    "index",
    "print",
    "printf",
    "hasKey",
    "getService",
    "Split",
    "Contains",
    "Join",
    "Replace",
    "ToUpper",
    "ToLower",
    "ToInt",
];

/// Calls one.
pub fn call(name: &str, arguments: &[Value]) -> anyhow::Result<Value> {
    use Value::{Bool, List, Map, Nothing, Number, Text};
    Ok(match (name, arguments) {
        ("and", [.., last]) => arguments
            .iter()
            .find(|value| !value.truth())
            .unwrap_or(last)
            .clone(),
        ("or", [.., last]) => arguments
            .iter()
            .find(|value| value.truth())
            .unwrap_or(last)
            .clone(),
        ("not", [value]) => Bool(!value.truth()),
        ("eq", [first, rest @ ..]) if !rest.is_empty() => {
            let mut same = false;
            for other in rest {
                ensure!(
                    first.kind() == other.kind(),
                    "error calling eq: incompatible types for comparison"
                );
                same |= first == other;
            }
            Bool(same)
        }
        ("ne", [one, other]) => Bool(one != other),
        ("lt" | "le" | "gt" | "ge", [one, other]) => {
            let order = match (one, other) {
                (Number(one), Number(other)) => one.cmp(other),
                (Text(one), Text(other)) => one.cmp(other),
                _ => bail!("error calling {name}: incompatible types for comparison"),
            };
            Bool(match name {
                "lt" => order.is_lt(),
                "le" => order.is_le(),
                "gt" => order.is_gt(),
                _ => order.is_ge(),
            })
        }
        ("len", [List(items)]) => number(items.len()),
        ("len", [Map(map)]) => number(map.len()),
        ("len", [Text(text)]) => number(text.len()),
        ("index", [List(items), Number(at)]) => {
            let item = usize::try_from(*at).ok().and_then(|at| items.get(at));
            let Some(item) = item else {
                bail!("error calling index: index out of range: {at}")
            };
            item.clone()
        }
        ("index", [Map(map), Text(key)]) => map.get(key).cloned().unwrap_or(Nothing),
        ("print", values) => Text(values.iter().map(ToString::to_string).collect()),
        ("printf", [Text(format), values @ ..]) => Text(printf(format, values)),
        ("hasKey", [Map(map), Text(key)]) => Bool(map.contains_key(key)),
        ("getService", [Map(map), Text(key)]) => map.get(key).cloned().unwrap_or_else(|| {
            Value::record(
                "service.Service",
                [
                    ("Id", Text(String::new())),
                    ("Acl", Text(String::new())),
                    ("Config", Map([].into())),
                ],
            )
        }),
        ("Split", [Text(text), Text(separator)]) => List(
            text.split(separator.as_str())
                .map(|part| Text(part.to_owned()))
                .collect(),
        ),
        ("Contains", [Text(text), Text(part)]) => Bool(text.contains(part.as_str())),
        ("Join", [List(items), Text(separator)]) => Text(
            items
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(separator),
        ),
        ("Replace", [Text(text), Text(old), Text(new), Number(times)]) => {
            Text(match usize::try_from(*times) {
                Ok(times) => text.replacen(old.as_str(), new, times),
                // Negative means all of them.
                Err(_) => text.replace(old.as_str(), new),
            })
        }
        ("ToUpper", [Text(text)]) => Text(text.to_uppercase()),
        ("ToLower", [Text(text)]) => Text(text.to_lowercase()),
        ("ToInt", [Text(text)]) => match text.parse() {
            Ok(value) => Number(value),
            Err(_) => {
                bail!("error calling ToInt: strconv.ParseInt: parsing \"{text}\": invalid syntax")
            }
        },
        _ => bail!(
            "wrong number or type of args for {name}: {}",
            arguments
                .iter()
                .map(Value::kind)
                .collect::<Vec<_>>()
                .join(", ")
        ),
    })
}

fn number(value: usize) -> Value {
    Value::Number(i64::try_from(value).unwrap_or(i64::MAX))
}

/// `%s`, `%d` and `%v` take the next value, `%%` is a percent sign.
fn printf(format: &str, values: &[Value]) -> String {
    let mut output = String::new();
    let mut values = values.iter();
    let mut letters = format.chars();
    while let Some(letter) = letters.next() {
        match (letter, letter == '%') {
            (_, true) => match letters.next() {
                Some('%') => output.push('%'),
                Some(verb) => match values.next() {
                    Some(value) => output.push_str(&value.to_string()),
                    None => output.push_str(&format!("%!{verb}(MISSING)")),
                },
                None => output.push_str("%!(NOVERB)"),
            },
            (letter, false) => output.push(letter),
        }
    }
    output
}
