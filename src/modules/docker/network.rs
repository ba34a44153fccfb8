//! `docker_network`: networks.

use super::{Docker, docker_params, holds, pairs, value};
use crate::modules::rule::{Act, Known, Rule, Verdict};
use crate::modules::{
    Args, Controller, Effect, Failure, FreeForm, Module, Outcome, Probe, Runs, Seen, Spec, Step,
};
use serde_json::Value as Json;

/// `docker_network`.
pub(crate) struct DockerNetwork;

static SPEC: Spec = Spec {
    name: "docker_network",
    collection: "community.docker",
    aliases: &[],
    doc: "Manages networks of Docker",
    params: docker_params![
        Param::new("name", Type::Str, "the network")
            .required()
            .aliases(&["network_name"]),
        Param::new("driver", Type::Str, "its driver").default("bridge"),
        Param::new("driver_options", Type::Dict, "options of the driver"),
        Param::new("labels", Type::Dict, "its labels"),
        Param::new("internal", Type::Bool, "keep it from other networks"),
        Param::new(
            "attachable",
            Type::Bool,
            "let containers join a network of a swarm"
        ),
        Param::new("enable_ipv6", Type::Bool, "with IPv6"),
        Param::new("ipam_driver", Type::Str, "driver of addresses"),
        Param::new(
            "ipam_config",
            Type::List,
            "address ranges: subnet, iprange, gateway, aux_addresses"
        ),
        Param::new("connected", Type::List, "containers that are in it").aliases(&["containers"]),
        Param::new("appends", Type::Bool, "leave other containers in it")
            .aliases(&["incremental"])
            .default("false"),
        Param::new("force", Type::Bool, "make it anew").default("false"),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["absent", "present"])
            .default("present"),
        Param::unsupported("scope", "the driver decides"),
        Param::unsupported(
            "ipam_driver_options",
            "use `command` with docker network create"
        ),
        Param::unsupported("config_only", "swarms are not managed"),
        Param::unsupported("config_from", "swarms are not managed"),
        Param::unsupported("ingress", "swarms are not managed"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

/// Keys of a range: ours, docker's, and the flag.
const RANGE: &[(&str, &str, &str)] = &[
    ("subnet", "Subnet", "--subnet"),
    ("iprange", "IPRange", "--ip-range"),
    ("gateway", "Gateway", "--gateway"),
];

impl Module for DockerNetwork {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let docker = Docker::new(args);
        let name = args.text("name");
        let probes = vec![Probe::Script(docker.inspect("network", &name))];
        let (asked, called) = (docker.clone(), name.clone());
        let args = args.clone();
        Rule::new(probes, move |seen| judge(&args, &docker, &name, seen))
            .finish(move |mut outcome, _, _, after| {
                if let Ok(Some(now)) = asked.seen(after, "network", &called) {
                    outcome.data.insert("network".into(), value(&now));
                }
                outcome
            })
            .step()
    }
}

/// Whether a network is as it is wanted, but for who is in it.
fn same(args: &Args, now: &Json) -> bool {
    let flag = |param: &str, field: &str| {
        !args.has(param) || now[field].as_bool().unwrap_or(false) == args.bool(param)
    };
    let ranges = now["IPAM"]["Config"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let range = |wanted: &minijinja::Value| {
        let text = |key: &str| {
            pairs(Some(wanted))
                .into_iter()
                .find(|(k, _)| k == key)
                .map(|(_, v)| v)
        };
        ranges.iter().any(|have| {
            RANGE.iter().all(|(ours, theirs, _)| {
                text(ours).is_none_or(|wanted| have[*theirs].as_str() == Some(&wanted))
            })
        })
    };
    now["Driver"].as_str() == Some(&args.text("driver"))
        && holds(&now["Options"], &pairs(args.get("driver_options")))
        && holds(&now["Labels"], &pairs(args.get("labels")))
        && flag("internal", "Internal")
        && flag("attachable", "Attachable")
        && flag("enable_ipv6", "EnableIPv6")
        && args
            .str("ipam_driver")
            .is_none_or(|d| now["IPAM"]["Driver"].as_str() == Some(&d))
        && args.list("ipam_config").iter().all(range)
}

fn create(args: &Args, name: &str) -> Vec<String> {
    let mut words: Vec<String> = ["network", "create", "--driver"]
        .map(str::to_owned)
        .to_vec();
    words.push(args.text("driver"));
    for (param, flag) in [
        ("internal", "--internal"),
        ("attachable", "--attachable"),
        ("enable_ipv6", "--ipv6"),
    ] {
        if args.bool(param) {
            words.push(flag.into());
        }
    }
    for (param, flag) in [("driver_options", "--opt"), ("labels", "--label")] {
        for (key, value) in pairs(args.get(param)) {
            words.extend([flag.to_owned(), format!("{key}={value}")]);
        }
    }
    if let Some(driver) = args.str("ipam_driver") {
        words.extend(["--ipam-driver".to_owned(), driver]);
    }
    for range in args.list("ipam_config") {
        for (key, value) in pairs(Some(&range)) {
            if let Some((.., flag)) = RANGE.iter().find(|(ours, ..)| *ours == key) {
                words.extend([(*flag).to_owned(), value]);
            }
        }
        for (host, address) in pairs(range.get_attr("aux_addresses").ok().as_ref()) {
            words.extend(["--aux-address".to_owned(), format!("{host}={address}")]);
        }
    }
    words.push(name.to_owned());
    words
}

fn judge(args: &Args, docker: &Docker, name: &str, seen: &Seen) -> Known<Verdict> {
    let now = docker.seen(seen, "network", name)?;
    let inside: Vec<String> = now
        .iter()
        .filter_map(|now| now["Containers"].as_object())
        .flat_map(serde_json::Map::values)
        .filter_map(|one| one["Name"].as_str().map(str::to_owned))
        .collect();
    let mut actions = Vec::new();
    let empty = inside
        .iter()
        .map(|who| docker.act(["network", "disconnect", "--force", name, who]));
    let remove = empty.chain([docker.act(["network", "rm", name])]);
    if args.text("state") == "absent" {
        if now.is_some() {
            actions.extend(remove);
        }
    } else {
        let again = now
            .as_ref()
            .is_some_and(|now| args.bool("force") || !same(args, now));
        if again {
            actions.extend(remove);
        }
        let made = again || now.is_none();
        if made {
            actions.push(docker.act(create(args, name)));
        }
        let wanted = args.strings("connected");
        for who in &wanted {
            if made || !inside.contains(who) {
                actions.push(docker.act(["network", "connect", name, who]));
            }
        }
        if args.has("connected") && !args.bool("appends") && !made {
            let others = inside.iter().filter(|who| !wanted.contains(who));
            actions.extend(
                others.map(|who| docker.act(["network", "disconnect", "--force", name, who])),
            );
        }
    }
    let outcome = match &now {
        Some(now) => Outcome::ok().with("network", value(now)),
        None => Outcome::ok(),
    };
    if actions.is_empty() {
        return Ok(outcome.into());
    }
    Ok(Act::change(
        actions,
        vec![Effect::Anything],
        outcome,
        format!("network {name}"),
    )
    .into())
}
