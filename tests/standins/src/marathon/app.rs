//! An app's definition: checked and completed when it comes in, kept as JSON. Old field names (`ports`, `container.docker.network`,
//! `container.docker.portMappings`) are taken everywhere; from 1.5 on they are stored under their new names only.

use serde_json::{Map, Value, json};

/// Why a definition is refused.
#[derive(Debug, PartialEq)]
pub enum Refusal {
    /// 400: not what the field's type asks for.
    Malformed(String),
    /// 422: well formed, but not allowed.
    Invalid { path: String, error: String },
}

/// `/group/app` for `group/app` and `/group/app`.
pub fn canonical_id(id: &str) -> String {
    format!("/{}", id.trim_matches('/'))
}

/// Whether an id is one: lower case letters, digits, dashes and dots in each part.
fn valid_id(id: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.split('.').all(|word| {
                let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                !word.is_empty()
                    && word.chars().all(inside)
                    && !word.starts_with('-')
                    && !word.ends_with('-')
            })
    };
    id.len() > 1 && id.trim_start_matches('/').split('/').all(part)
}

/// A complete definition from what a user sent.
pub fn complete(sent: &Value, native: bool) -> Result<Value, Refusal> {
    let Some(fields) = sent.as_object() else {
        return Err(Refusal::Malformed("Invalid JSON".into()));
    };
    check_types(fields)?;
    let mut app = defaults();
    let known = app.as_object_mut().map(|known| {
        for (name, value) in fields {
            known.insert(name.clone(), value.clone());
        }
    });
    debug_assert!(known.is_some(), "defaults are an object");
    let id = canonical_id(app["id"].as_str().unwrap_or_default());
    if !valid_id(&id) {
        let error = "must fully match regular expression '^(([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])\\.)*([a-z0-9]|[a-z0-9][a-z0-9\\-]*[a-z0-9])|(\\.|\\.\\.)$'";
        return Err(Refusal::Invalid {
            path: "/id".into(),
            error: error.into(),
        });
    }
    app["id"] = id.into();
    if native {
        to_new_names(&mut app);
    }
    complete_health_checks(&mut app);
    check(&app)?;
    Ok(app)
}

/// What every app has, whether or not it was said.
fn defaults() -> Value {
    json!({
        "id": null, "cmd": null, "args": null, "user": null, "env": {}, "instances": 1, "cpus": 1.0, "mem": 128.0, "disk": 0.0, "gpus": 0,
        "executor": "", "constraints": [], "fetch": [], "backoffSeconds": 1, "backoffFactor": 1.15, "maxLaunchDelaySeconds": 3600,
        "container": null, "healthChecks": [], "readinessChecks": [], "dependencies": [], "labels": {},
        "upgradeStrategy": {"minimumHealthCapacity": 1.0, "maximumOverCapacity": 1.0},
    })
}

fn check_types(fields: &Map<String, Value>) -> Result<(), Refusal> {
    type Test = fn(&Value) -> bool;
    let types: [(&str, &str, Test); 15] = [
        ("id", "string", Value::is_string),
        ("cmd", "string", Value::is_string),
        ("user", "string", Value::is_string),
        ("args", "array", Value::is_array),
        ("instances", "integer", Value::is_i64),
        ("cpus", "number", Value::is_number),
        ("mem", "number", Value::is_number),
        ("disk", "number", Value::is_number),
        ("env", "object", Value::is_object),
        ("labels", "object", Value::is_object),
        ("container", "object", Value::is_object),
        ("ports", "array", Value::is_array),
        ("healthChecks", "array", Value::is_array),
        ("constraints", "array", Value::is_array),
        ("portDefinitions", "array", Value::is_array),
    ];
    for (name, kind, test) in types {
        if fields
            .get(name)
            .is_some_and(|value| !value.is_null() && !test(value))
        {
            return Err(Refusal::Malformed(format!(
                "error.expected.js{kind} at /{name}"
            )));
        }
    }
    Ok(())
}

/// The canonical form of 1.5: networks, port mappings and port definitions in one place each.
fn to_new_names(app: &mut Value) {
    let docker_network = app
        .pointer("/container/docker/network")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let old_mappings = app
        .pointer_mut("/container/docker")
        .and_then(Value::as_object_mut)
        .and_then(|docker| {
            docker.remove("network");
            docker.remove("portMappings")
        });
    let Some(fields) = app.as_object_mut() else {
        return;
    };
    let ports = fields.remove("ports");
    if let Some(uris) = fields
        .remove("uris")
        .and_then(|uris| uris.as_array().cloned())
    {
        let fetch = uris
            .iter()
            .map(|uri| json!({"uri": uri, "extract": true, "executable": false, "cache": false}));
        fields.insert("fetch".into(), fetch.collect());
    }
    let mode = match docker_network.as_deref() {
        Some("BRIDGE") => "container/bridge",
        Some("USER") => "container",
        _ => "host",
    };
    fields
        .entry("networks")
        .or_insert_with(|| json!([{"mode": mode}]));
    if mode == "container/bridge" {
        if let Some(container) = fields.get_mut("container").and_then(Value::as_object_mut) {
            let mappings = old_mappings.unwrap_or_else(|| json!([]));
            let mappings = container.entry("portMappings").or_insert(mappings);
            for mapping in mappings
                .as_array_mut()
                .into_iter()
                .flatten()
                .filter_map(Value::as_object_mut)
            {
                mapping.entry("hostPort").or_insert(json!(0));
                mapping.entry("labels").or_insert(json!({}));
                mapping.entry("protocol").or_insert(json!("tcp"));
                mapping.entry("servicePort").or_insert(json!(0));
            }
        }
    } else if !fields.contains_key("portDefinitions")
        && fields.get("networks").and_then(|n| n[0]["mode"].as_str()) == Some("host")
    {
        let ports = ports
            .and_then(|ports| ports.as_array().cloned())
            .unwrap_or_else(|| vec![json!(0)]);
        let names = ["default", "port1", "port2", "port3"];
        let definitions = ports.iter().enumerate().map(|(at, port)| {
            json!({"port": port, "protocol": "tcp", "name": names.get(at).unwrap_or(&"port")})
        });
        fields.insert("portDefinitions".into(), definitions.collect());
    }
}

fn complete_health_checks(app: &mut Value) {
    for check in app["healthChecks"]
        .as_array_mut()
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        let protocol = check
            .entry("protocol")
            .or_insert(json!("HTTP"))
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let defaults = [
            ("gracePeriodSeconds", 300),
            ("intervalSeconds", 60),
            ("timeoutSeconds", 20),
            ("maxConsecutiveFailures", 3),
        ];
        for (name, value) in defaults {
            check.entry(name).or_insert(json!(value));
        }
        if protocol != "COMMAND" && !check.contains_key("port") {
            check.entry("portIndex").or_insert(json!(0));
        }
        if protocol.contains("HTTP") {
            check.entry("path").or_insert(json!("/"));
            check.entry("ignoreHttp1xx").or_insert(json!(false));
        }
    }
}

fn check(app: &Value) -> Result<(), Refusal> {
    let invalid = |path: &str, error: &str| {
        Err(Refusal::Invalid {
            path: path.into(),
            error: error.into(),
        })
    };
    if app["cmd"].is_null() && app["args"].is_null() && app["container"].is_null() {
        return invalid(
            "/",
            "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.",
        );
    }
    if !app["cmd"].is_null() && !app["args"].is_null() {
        return invalid(
            "/",
            "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'.",
        );
    }
    for name in ["instances", "cpus", "mem", "disk"] {
        if app[name].as_f64().is_some_and(|value| value < 0.0) {
            return invalid(&format!("/{name}"), "error.min");
        }
    }
    if app["container"]["type"] == "DOCKER" && !app["container"]["docker"]["image"].is_string() {
        return invalid("/container/docker/image", "must not be empty");
    }
    for (at, check) in app["healthChecks"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
    {
        let protocol = check["protocol"].as_str().unwrap_or_default();
        if ![
            "HTTP",
            "HTTPS",
            "TCP",
            "MESOS_HTTP",
            "MESOS_HTTPS",
            "MESOS_TCP",
        ]
        .contains(&protocol)
        {
            // Known to the real one; here it would have to run inside the task.
            return invalid(
                &format!("/healthChecks({at})/protocol"),
                &format!("the stand-in has no health checks by {protocol}"),
            );
        }
    }
    Ok(())
}

/// Host ports a task needs, each as wished by the user (0: any).
pub fn wished_ports(app: &Value) -> Vec<u16> {
    let list = |pointer: &str, field: &str| -> Option<Vec<u16>> {
        let entries = app.pointer(pointer)?.as_array()?;
        Some(
            entries
                .iter()
                .map(|entry| {
                    entry
                        .get(field)
                        .unwrap_or(entry)
                        .as_u64()
                        .and_then(|port| u16::try_from(port).ok())
                        .unwrap_or(0)
                })
                .collect(),
        )
    };
    list("/container/portMappings", "hostPort")
        .or_else(|| list("/container/docker/portMappings", "hostPort"))
        .or_else(|| list("/portDefinitions", "port").map(any_unless_required(app)))
        .or_else(|| list("/ports", "port").map(any_unless_required(app)))
        .unwrap_or_else(|| vec![0])
}

/// Ports of an app on the host's network are service ports; only `requirePorts` asks for the same ones on the host.
fn any_unless_required(app: &Value) -> impl Fn(Vec<u16>) -> Vec<u16> {
    let required = app["requirePorts"].as_bool().unwrap_or(false);
    move |ports| {
        if required {
            ports
        } else {
            vec![0; ports.len()]
        }
    }
}

/// Gives every service port that is 0 a free one from the configured range.
pub fn assign_service_ports(app: &mut Value, free: &mut impl Iterator<Item = u16>) {
    let mut assign = |value: &mut Value| {
        if (value.as_u64() == Some(0) || value.is_null())
            && let Some(port) = free.next()
        {
            *value = json!(port);
        }
    };
    for pointer in ["/container/portMappings", "/container/docker/portMappings"] {
        for mapping in app
            .pointer_mut(pointer)
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            assign(&mut mapping["servicePort"]);
        }
    }
    for definition in app
        .pointer_mut("/portDefinitions")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        assign(&mut definition["port"]);
    }
    for port in app
        .pointer_mut("/ports")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        assign(port);
    }
}

/// Service ports, as load balancers read them.
pub fn service_ports(app: &Value) -> Vec<u64> {
    let list = |pointer: &str, field: &str| -> Option<Vec<u64>> {
        let entries = app.pointer(pointer)?.as_array()?;
        Some(
            entries
                .iter()
                .filter_map(|entry| entry.get(field).unwrap_or(entry).as_u64())
                .collect(),
        )
    };
    list("/container/portMappings", "servicePort")
        .or_else(|| list("/container/docker/portMappings", "servicePort"))
        .or_else(|| list("/portDefinitions", "port"))
        .or_else(|| list("/ports", "port"))
        .unwrap_or_default()
}

/// Whether two definitions start the same tasks: everything but the number of instances.
pub fn same_tasks(one: &Value, other: &Value) -> bool {
    let strip = |app: &Value| {
        let mut app = app.clone();
        if let Some(fields) = app.as_object_mut() {
            for name in ["instances", "version", "versionInfo", "upgradeStrategy"] {
                fields.remove(name);
            }
        }
        app
    };
    strip(one) == strip(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nginx() -> Value {
        json!({
            "id": "dataman-nginx-test", "cmd": "nginx", "cpus": 0.1, "mem": 128, "instances": 5,
            "container": {"type": "DOCKER", "docker": {"image": "nginx-image", "network": "BRIDGE",
                "portMappings": [{"containerPort": 80, "hostPort": 0, "servicePort": 10000, "protocol": "tcp"}]}},
            "healthChecks": [{"path": "/"}],
        })
    }

    #[test]
    fn from_1_5_on_old_names_are_taken_but_not_kept() {
        let app = complete(&nginx(), true).unwrap();
        assert_eq!(app["id"], "/dataman-nginx-test");
        assert_eq!(app["networks"], json!([{"mode": "container/bridge"}]));
        assert_eq!(app["container"]["portMappings"][0]["servicePort"], 10000);
        assert!(app["container"]["docker"].get("network").is_none());
        assert!(app["container"]["docker"].get("portMappings").is_none());
        assert_eq!(app["healthChecks"][0]["gracePeriodSeconds"], 300);
        assert_eq!(
            (wished_ports(&app), service_ports(&app)),
            (vec![0], vec![10000])
        );
    }

    #[test]
    fn up_to_1_4_an_app_is_kept_as_it_was_sent() {
        let app = complete(&nginx(), false).unwrap();
        assert_eq!(app["container"], nginx()["container"]);
        assert_eq!(
            (wished_ports(&app), service_ports(&app)),
            (vec![0], vec![10000])
        );
    }

    #[test]
    fn apps_that_cannot_be_are_refused() {
        for (app, path) in [
            (json!({"id": "Upper", "cmd": "true"}), "/id"),
            (json!({"id": "/", "cmd": "true"}), "/id"),
            (json!({"id": "a"}), "/"),
            (json!({"id": "a", "cmd": "x", "args": ["x"]}), "/"),
            (
                json!({"id": "a", "cmd": "x", "instances": -1}),
                "/instances",
            ),
            (
                json!({"id": "a", "container": {"type": "DOCKER", "docker": {}}}),
                "/container/docker/image",
            ),
        ] {
            assert!(
                matches!(complete(&app, true), Err(Refusal::Invalid { path: at, .. }) if at == path),
                "{app}"
            );
        }
        for app in [
            json!([]),
            json!({"id": 1}),
            json!({"id": "a", "cmd": "x", "instances": "1"}),
        ] {
            assert!(
                matches!(complete(&app, true), Err(Refusal::Malformed(_))),
                "{app}"
            );
        }
    }

    #[test]
    fn service_ports_are_given_where_none_are_wished() {
        let mut app = complete(&json!({"id": "a", "cmd": "x", "ports": [0, 9000]}), true).unwrap();
        assign_service_ports(&mut app, &mut (10_000..));
        assert_eq!(service_ports(&app), [10_000, 9000]);
        assert_eq!(wished_ports(&app), [0, 0]);
    }

    #[test]
    fn scaling_starts_the_same_tasks() {
        let one = complete(&nginx(), true).unwrap();
        let mut more = nginx();
        more["instances"] = json!(9);
        assert!(same_tasks(&one, &complete(&more, true).unwrap()));
        more["cmd"] = json!("nginx -v");
        assert!(!same_tasks(&one, &complete(&more, true).unwrap()));
    }
}
