//! Methods of mappings.

use super::super::call::Args;
use crate::template::value::data::{self, Dict};
use crate::template::value::mutable::Map;
use crate::template::value::undefined::{Res, fault};
use minijinja::Value;

pub(super) const NAMES: &[&str] = &[
    "clear",
    "copy",
    "get",
    "items",
    "keys",
    "pop",
    "popitem",
    "setdefault",
    "update",
    "values",
    // Python 2, still found in old roles.
    "has_key",
    "iteritems",
    "iterkeys",
    "itervalues",
];

pub(super) const CHANGING: &[&str] = &["clear", "pop", "popitem", "setdefault", "update"];

fn need(value: Option<Value>) -> Res<Value> {
    value.ok_or_else(|| fault("an argument is missing"))
}

pub(super) fn call(value: &Value, method: &str, args: Args) -> Res<Value> {
    match method {
        "get" => {
            let [key, default] = args.bind(["key", "default"])?;
            let default = default.unwrap_or_else(|| Value::from(()));
            return Ok(data::get(value, &need(key)?).unwrap_or(default));
        }
        "has_key" => {
            let [key] = args.bind(["key"])?;
            return Ok(Value::from(data::get(value, &need(key)?).is_some()));
        }
        "items" | "iteritems" => {
            let pairs = data::pairs(value)?.into_iter();
            return Ok(data::list(
                pairs.map(|(k, v)| data::tuple(vec![k, v])).collect(),
            ));
        }
        "keys" | "iterkeys" => {
            return Ok(data::list(
                data::pairs(value)?.into_iter().map(|(k, _)| k).collect(),
            ));
        }
        "values" | "itervalues" => {
            return Ok(data::list(
                data::pairs(value)?.into_iter().map(|(_, v)| v).collect(),
            ));
        }
        "copy" => return Ok(Map::value(data::pairs(value)?.into_iter().collect())),
        _ => {}
    }
    let Some(map) = value.downcast_object_ref::<Map>() else {
        return Err(fault("this mapping cannot be changed"));
    };
    match method {
        "update" => {
            let mut new = Dict::new();
            for other in &args.pos {
                if data::is_map(other) {
                    new.extend(data::pairs(other)?);
                } else {
                    for pair in data::items(other)? {
                        match data::items(&pair)?.as_slice() {
                            [key, item] => new.insert(key.clone(), item.clone()),
                            _ => return Err(fault("expected pairs of keys and values")),
                        };
                    }
                }
            }
            new.extend(args.kw.into_iter().map(|(k, v)| (Value::from(k), v)));
            map.lock().extend(new);
            Ok(Value::from(()))
        }
        "pop" => {
            let [key, default] = args.bind(["key", "default"])?;
            let key = need(key)?;
            match (map.lock().shift_remove(&key), default) {
                (Some(item), _) | (None, Some(item)) => Ok(item),
                (None, None) => Err(fault(format!("there is no key {key}"))),
            }
        }
        "popitem" => match map.lock().pop() {
            Some((key, item)) => Ok(data::tuple(vec![key, item])),
            None => Err(fault("the mapping is empty")),
        },
        "setdefault" => {
            let [key, default] = args.bind(["key", "default"])?;
            let default = default.unwrap_or_else(|| Value::from(()));
            Ok(map.lock().entry(need(key)?).or_insert(default).clone())
        }
        "clear" => {
            map.lock().clear();
            Ok(Value::from(()))
        }
        _ => Err(fault(format!("mappings have no method `{method}`"))),
    }
}
