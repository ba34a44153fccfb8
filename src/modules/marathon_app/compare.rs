//! Whether an app is as it is wanted, whatever form this Marathon gives it back in.
//!
//! From 1.5 on `ports`, `uris`, `container.docker.network` and `container.docker.portMappings` are taken but come back as
//! `portDefinitions`, `fetch`, `networks` and `container.portMappings`.

use serde_json::{Map, Value, json};

/// The fields in which an app differs from what is wanted.
pub(super) fn differences(wanted: &Map<String, Value>, seen: &Value) -> Vec<String> {
    let wanted = as_given_back(wanted, seen);
    let mut found = Vec::new();
    for (key, value) in &wanted {
        below(
            key,
            value,
            seen.get(key).unwrap_or(&Value::Null),
            &mut found,
        );
    }
    found
}

/// What is wanted in the words in which this Marathon answers.
fn as_given_back(wanted: &Map<String, Value>, seen: &Value) -> Map<String, Value> {
    let mut new = wanted.clone();
    let lacks = |key: &str| seen.get(key).is_none();
    if lacks("uris")
        && let Some(Value::Array(uris)) = new.remove("uris")
    {
        let fetch = uris.iter().map(|uri| json!({"uri": uri})).collect();
        new.entry("fetch").or_insert(Value::Array(fetch));
    }
    if lacks("ports")
        && let Some(Value::Array(ports)) = new.remove("ports")
    {
        let ports = ports.iter().map(|port| json!({"port": port})).collect();
        new.entry("portDefinitions").or_insert(Value::Array(ports));
    }
    let docker = &seen["container"]["docker"];
    let moved = |key: &str| docker.get(key).is_none();
    let (no_network, no_mappings) = (moved("network"), moved("portMappings"));
    let mut mode = None;
    if let Some(Value::Object(container)) = new.get_mut("container")
        && let Some(Value::Object(docker)) = container.get_mut("docker")
    {
        if no_network && let Some(network) = docker.remove("network") {
            mode = match network.as_str() {
                Some("BRIDGE") => Some("container/bridge"),
                Some("HOST") => Some("host"),
                Some("USER") => Some("container"),
                _ => None,
            };
        }
        if no_mappings && let Some(mappings) = docker.remove("portMappings") {
            container.entry("portMappings").or_insert(mappings);
        }
    }
    if let Some(mode) = mode {
        new.entry("networks").or_insert(json!([{"mode": mode}]));
    }
    new
}

/// Fields that are all there is: a key that is not wanted any more is a difference.
const WHOLE: [&str; 2] = ["env", "labels"];
/// Ports for which 0 means that any will do.
const PORTS: [&str; 3] = ["hostPort", "servicePort", "port"];

fn below(path: &str, wanted: &Value, seen: &Value, found: &mut Vec<String>) {
    let last = path.rsplit(['.', ']']).next().unwrap_or(path);
    let same = match (wanted, seen) {
        (Value::Object(wanted), Value::Object(seen)) => {
            for (key, value) in wanted {
                let seen = seen.get(key).unwrap_or(&Value::Null);
                below(&format!("{path}.{key}"), value, seen, found);
            }
            if WHOLE.contains(&path) {
                let surplus = seen.keys().filter(|key| !wanted.contains_key(*key));
                found.extend(surplus.map(|key| format!("{path}.{key}")));
            }
            true
        }
        (Value::Array(wanted), Value::Array(seen)) if wanted.len() == seen.len() => {
            for (at, (wanted, seen)) in wanted.iter().zip(seen).enumerate() {
                below(&format!("{path}[{at}]"), wanted, seen, found);
            }
            true
        }
        (Value::Number(number), Value::Number(_))
            if PORTS.contains(&last) && number.as_i64() == Some(0) =>
        {
            true
        }
        (Value::Number(one), Value::Number(other)) => one.as_f64() == other.as_f64(),
        (wanted, Value::Null) => empty(wanted),
        (wanted, seen) => wanted == seen,
    };
    if !same {
        found.push(path.to_owned());
    }
}

/// What is as good as not there.
fn empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.values().all(empty),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(flag) => !flag,
    }
}
