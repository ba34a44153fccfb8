//! `docker_container`: containers, made anew when an option that is given differs.

use super::image::tagged;
use super::options::{OPTIONS, port, same, words};
use super::{Docker, docker_params, scalar, value};
use crate::modules::rule::{Act, Known, Rule, Verdict};
use crate::modules::{
    Args, Chunk, Controller, Effect, Failure, FreeForm, Module, Outcome, Probe, Runs, Seen, Spec,
    Step,
};
use minijinja::Value;
use serde_json::Value as Json;

/// `docker_container`.
pub(crate) struct DockerContainer;

static SPEC: Spec = Spec {
    name: "docker_container",
    collection: "community.docker",
    aliases: &[],
    doc: "Manages containers of Docker",
    params: docker_params![
        Param::new("name", Type::Str, "the container").required(),
        Param::new("image", Type::Str, "its image"),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["absent", "present", "healthy", "stopped", "started"])
            .default("started"),
        Param::new("command", Type::Raw, "its command: words or one text"),
        Param::new("entrypoint", Type::List, "its entry point"),
        Param::new(
            "published_ports",
            Type::List,
            "ports of the host that lead to it"
        )
        .aliases(&["ports"]),
        Param::new("exposed_ports", Type::List, "ports it listens on")
            .aliases(&["expose", "exposed"]),
        Param::new("restart_policy", Type::Str, "when it is started again").choices(&[
            "no",
            "on-failure",
            "always",
            "unless-stopped"
        ]),
        Param::new("restart_retries", Type::Int, "how often, on failure"),
        Param::new(
            "networks",
            Type::List,
            "networks it is in: name, ipv4_address, aliases"
        ),
        Param::new(
            "networks_cli_compatible",
            Type::Bool,
            "leave the default network when `networks` is given"
        )
        .default("true"),
        Param::new("purge_networks", Type::Bool, "leave all other networks").default("false"),
        Param::new(
            "pull",
            Type::Raw,
            "when the image is pulled: always, missing, never"
        )
        .default("missing"),
        Param::new("recreate", Type::Bool, "make it anew").default("false"),
        Param::new("restart", Type::Bool, "start it again").default("false"),
        Param::new("force_kill", Type::Bool, "kill it instead of stopping it")
            .aliases(&["forcekill"])
            .default("false"),
        Param::new(
            "keep_volumes",
            Type::Bool,
            "keep its anonymous volumes when it is removed"
        )
        .default("true"),
        Param::new("detach", Type::Bool, "do not wait for its end").default("true"),
        Param::new(
            "comparisons",
            Type::Dict,
            "options to leave out: `NAME: ignore` or `'*': ignore`"
        ),
        Param::new(
            "image_name_mismatch",
            Type::Str,
            "what another image of the same content means"
        )
        .choices(&["ignore", "recreate"])
        .default("recreate"),
        Param::new(
            "image_comparison",
            Type::Str,
            "no effect: images are compared as they are here"
        )
        .default("desired-image"),
        Param::new(
            "container_default_behavior",
            Type::Str,
            "no effect: options that are not given are left out"
        )
        .default("no_defaults"),
        Param::new("env_file", Type::Path, "file on the host with variables"),
        Param::new("devices", Type::List, "devices of the host that it sees"),
        Param::new("links", Type::List, "other containers it knows by name"),
        Param::new("mac_address", Type::Str, "its MAC address"),
        Param::new("tmpfs", Type::List, "file systems in memory"),
        Param::new("ulimits", Type::List, "limits, e.g. nofile:1024:2048"),
        Param::new("cpus", Type::Float, "how many processors"),
        Param::new("hostname", Type::Str, "its name for itself"),
        Param::new("domainname", Type::Str, "its domain"),
        Param::new("user", Type::Str, "who runs in it"),
        Param::new("working_dir", Type::Str, "folder it starts in"),
        Param::new("stop_signal", Type::Str, "signal that stops it"),
        Param::new("stop_timeout", Type::Int, "seconds until it is killed"),
        Param::new("network_mode", Type::Str, "its network"),
        Param::new("ipc_mode", Type::Str, "whose memory it shares"),
        Param::new("pid_mode", Type::Str, "whose processes it sees"),
        Param::new("uts", Type::Str, "whose host name it has"),
        Param::new("userns_mode", Type::Str, "its user name space"),
        Param::new("cgroup_parent", Type::Str, "its control group"),
        Param::new("cpuset_cpus", Type::Str, "processors it may use"),
        Param::new("cpuset_mems", Type::Str, "memory nodes it may use"),
        Param::new("log_driver", Type::Str, "where its output goes"),
        Param::new("log_options", Type::Dict, "options of that").aliases(&["log_opt"]),
        Param::new("runtime", Type::Str, "what runs it"),
        Param::new("volume_driver", Type::Str, "driver of its volumes"),
        Param::new("memory", Type::Str, "most memory"),
        Param::new("memory_reservation", Type::Str, "memory it may count on"),
        Param::new("memory_swap", Type::Str, "most memory with swap"),
        Param::new(
            "memory_swappiness",
            Type::Int,
            "how eagerly it is swapped out"
        ),
        Param::new("shm_size", Type::Str, "size of /dev/shm"),
        Param::new("cpu_shares", Type::Int, "its weight among others"),
        Param::new("cpu_period", Type::Int, "period of its quota"),
        Param::new("cpu_quota", Type::Int, "its quota"),
        Param::new(
            "oom_score_adj",
            Type::Int,
            "how early it is killed for memory"
        ),
        Param::new("oom_killer", Type::Bool, "not killed for memory"),
        Param::new("pids_limit", Type::Int, "most processes"),
        Param::new("privileged", Type::Bool, "without confinement"),
        Param::new("read_only", Type::Bool, "nothing in it can be written"),
        Param::new("auto_remove", Type::Bool, "removed at its end"),
        Param::new("init", Type::Bool, "with an init"),
        Param::new("interactive", Type::Bool, "standard input stays open"),
        Param::new("tty", Type::Bool, "with a terminal"),
        Param::new("capabilities", Type::List, "more rights").aliases(&["cap_add"]),
        Param::new("cap_drop", Type::List, "fewer rights"),
        Param::new("dns_servers", Type::List, "its name servers"),
        Param::new("dns_opts", Type::List, "options of its resolver"),
        Param::new("dns_search_domains", Type::List, "domains it searches"),
        Param::new("groups", Type::List, "more groups of its user"),
        Param::new("security_opts", Type::List, "security options"),
        Param::new(
            "volumes_from",
            Type::List,
            "containers whose volumes it has"
        ),
        Param::new("volumes", Type::List, "paths of the host and volumes in it"),
        Param::new("env", Type::Dict, "its environment"),
        Param::new("labels", Type::Dict, "its labels"),
        Param::new("sysctls", Type::Dict, "kernel settings"),
        Param::new("storage_opts", Type::Dict, "options of its storage"),
        Param::new("etc_hosts", Type::Dict, "more names in its /etc/hosts"),
        Param::unsupported("mounts", "use `volumes`"),
        Param::unsupported("healthcheck", "put it into the image"),
        Param::unsupported("device_requests", "not supported"),
        Param::unsupported("blkio_weight", "not supported"),
        Param::unsupported("kernel_memory", "gone from Docker"),
        Param::unsupported("paused", "not supported"),
        Param::unsupported("cleanup", "use `auto_remove`"),
        Param::unsupported("output_logs", "use `command` with docker logs"),
        Param::unsupported("kill_signal", "use `stop_signal`"),
        Param::unsupported("publish_all_ports", "name the ports"),
        Param::unsupported("platform", "not supported"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for DockerContainer {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        if args.has("detach") && !args.bool("detach") {
            return Err(Failure::of(
                "detach",
                "`detach: false` is not supported: use `command` with docker run",
            ));
        }
        if args.text("state") == "healthy" {
            return Err(Failure::of(
                "state",
                "`state: healthy` is not supported: use `health_check` or `wait_for`",
            ));
        }
        let command = match args.get("command") {
            None => None,
            Some(value) => Some(split(value).map_err(|why| Failure::of("command", why))?),
        };
        let docker = Docker::new(args);
        let name = args.text("name");
        let image = args.str("image").map(|image| tagged(&image, "latest"));
        let mut probes = vec![Probe::Script(docker.inspect("container", &name))];
        if let Some(image) = &image {
            probes.push(Probe::Script(docker.inspect("image", image)));
        }
        let wanted = Container {
            docker: docker.clone(),
            name: name.clone(),
            image,
            command,
            args: args.clone(),
        };
        Rule::new(probes, move |seen| wanted.judge(seen))
            .finish(move |mut outcome, _, _, after| {
                if let Ok(Some(now)) = docker.seen(after, "container", &name) {
                    outcome.data.insert("container".into(), value(&now));
                }
                outcome
            })
            .step()
    }
}

/// A command's words.
fn split(value: &Value) -> Result<Vec<String>, String> {
    match value.as_str() {
        Some(text) => shlex::split(text).ok_or_else(|| "the command has an open quote".to_owned()),
        None => Ok(value
            .try_iter()
            .map(|list| list.map(|word| scalar(&word)).collect())
            .unwrap_or_default()),
    }
}

/// Lists that are said by a flag and told nowhere in one shape: parameter, flag.
const LISTS: &[(&str, &str)] = &[
    ("devices", "--device"),
    ("links", "--link"),
    ("tmpfs", "--tmpfs"),
    ("ulimits", "--ulimit"),
    ("exposed_ports", "--expose"),
];

struct Container {
    docker: Docker,
    name: String,
    image: Option<String>,
    command: Option<Vec<String>>,
    args: Args,
}

impl Container {
    fn ignored(&self, param: &str) -> bool {
        let list = super::pairs(self.args.get("comparisons"));
        let says = |key: &str| {
            list.iter()
                .find(|(name, _)| name == key)
                .map(|(_, how)| how.as_str())
        };
        says(param).or(says("*")) == Some("ignore")
    }

    fn networks(&self) -> Vec<(String, Value)> {
        let name = |entry: &Value| match entry.as_str() {
            Some(text) => text.to_owned(),
            None => entry
                .get_attr("name")
                .map(|name| scalar(&name))
                .unwrap_or_default(),
        };
        self.args
            .list("networks")
            .into_iter()
            .map(|entry| (name(&entry), entry))
            .collect()
    }

    /// What of the wanted options a container lacks.
    fn differences(&self, now: &Json, image: Option<&Json>) -> Vec<&'static str> {
        let mut found: Vec<&'static str> = OPTIONS
            .iter()
            .filter(|option| !self.ignored(option.0) && !same(&self.args, option, now))
            .map(|option| option.0)
            .collect();
        let list = |place: &str| -> Vec<String> {
            let list = now.pointer(place).and_then(Json::as_array);
            list.into_iter()
                .flatten()
                .filter_map(|v| v.as_str().map(str::to_owned))
                .collect()
        };
        let mut check = |param: &'static str, good: bool| {
            if !good && !self.ignored(param) {
                found.push(param);
            }
        };
        if let Some(image) = image {
            check("image", now["Image"] == image["Id"]);
        }
        if let Some(command) = &self.command {
            check("command", list("/Config/Cmd") == *command);
        }
        if self.args.has("entrypoint") {
            check(
                "entrypoint",
                list("/Config/Entrypoint") == self.args.strings("entrypoint"),
            );
        }
        let bindings = now
            .pointer("/HostConfig/PortBindings")
            .cloned()
            .unwrap_or_default();
        let published = |text: &String| {
            let Some((inside, address, outside)) = port(text) else {
                return bindings
                    .get(format!("{}/tcp", text.trim_end_matches("/tcp")))
                    .is_some();
            };
            bindings[&inside]
                .as_array()
                .into_iter()
                .flatten()
                .any(|one| {
                    let ip = one["HostIp"].as_str().unwrap_or_default();
                    let ip = if ip == "0.0.0.0" { "" } else { ip };
                    ip == address && one["HostPort"].as_str() == Some(&outside)
                })
        };
        check(
            "published_ports",
            self.args.strings("published_ports").iter().all(published),
        );
        if let Some(policy) = self.args.str("restart_policy") {
            let have = now
                .pointer("/HostConfig/RestartPolicy")
                .cloned()
                .unwrap_or_default();
            let name = have["Name"].as_str().unwrap_or_default();
            let retries = self.args.int("restart_retries");
            let counted = policy != "on-failure"
                || retries.is_none_or(|n| have["MaximumRetryCount"].as_i64() == Some(n));
            check(
                "restart_policy",
                counted && (name == policy || (name.is_empty() && policy == "no")),
            );
        }
        found
    }

    fn create(&self) -> Vec<String> {
        let args = &self.args;
        let mut all = vec!["create".to_owned(), "--name".into(), self.name.clone()];
        let mut networks = self.networks().into_iter();
        let first = if args.bool("networks_cli_compatible") {
            networks.next()
        } else {
            None
        };
        for option in OPTIONS {
            if !(option.0 == "network_mode" && first.is_some()) {
                all.extend(words(args, option));
            }
        }
        if let Some((name, entry)) = &first {
            all.extend(["--network".to_owned(), name.clone()]);
            all.extend(joining(entry, "--network-alias"));
        }
        for (param, flag) in LISTS {
            for text in args.strings(param) {
                all.extend([(*flag).to_owned(), text]);
            }
        }
        for text in args.strings("published_ports") {
            all.extend(["--publish".to_owned(), text]);
        }
        for (param, flag) in [
            ("env_file", "--env-file"),
            ("mac_address", "--mac-address"),
            ("cpus", "--cpus"),
        ] {
            if let Some(text) = args.str(param) {
                all.push(format!("{flag}={text}"));
            }
        }
        if let Some(policy) = args.str("restart_policy") {
            let retries = args
                .int("restart_retries")
                .filter(|_| policy == "on-failure");
            let retries = retries.map_or(String::new(), |n| format!(":{n}"));
            all.push(format!("--restart={policy}{retries}"));
        }
        let entry = args.strings("entrypoint");
        if let Some(first) = entry.first() {
            all.push(format!("--entrypoint={first}"));
        }
        all.extend(self.image.clone());
        all.extend(entry.into_iter().skip(1));
        all.extend(self.command.iter().flatten().cloned());
        all
    }

    /// The networks that a container must be put into or taken out of.
    fn connections(&self, now: Option<&Json>) -> Vec<Chunk> {
        let have = now.and_then(|now| now.pointer("/NetworkSettings/Networks"));
        let have: Vec<&String> = have
            .and_then(Json::as_object)
            .into_iter()
            .flat_map(serde_json::Map::keys)
            .collect();
        let wanted = self.networks();
        let fresh = now.is_none() && self.args.bool("networks_cli_compatible");
        let mut actions = Vec::new();
        for (name, entry) in wanted.iter().skip(usize::from(fresh)) {
            if !have.contains(&name) {
                let mut all = vec!["network".to_owned(), "connect".into()];
                all.extend(joining(entry, "--alias"));
                all.extend([name.clone(), self.name.clone()]);
                actions.push(self.docker.act(all));
            }
        }
        if self.args.bool("purge_networks") {
            for other in have {
                if !wanted.iter().any(|(name, _)| name == other) {
                    actions.push(
                        self.docker
                            .act(["network", "disconnect", other, &self.name]),
                    );
                }
            }
        }
        actions
    }

    fn stop(&self) -> Chunk {
        if self.args.bool("force_kill") {
            return self.docker.act(["kill", &self.name]);
        }
        let time = self.args.int("stop_timeout").map(|n| format!("--time={n}"));
        self.docker.act(
            ["stop".to_owned()]
                .into_iter()
                .chain(time)
                .chain([self.name.clone()]),
        )
    }

    fn remove(&self, running: bool) -> Vec<Chunk> {
        let volumes = (!self.args.bool("keep_volumes")).then_some("--volumes");
        let words = ["rm", "--force"]
            .into_iter()
            .chain(volumes)
            .chain([self.name.as_str()]);
        running
            .then(|| self.stop())
            .into_iter()
            .chain([self.docker.act(words)])
            .collect()
    }

    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let now = self.docker.seen(seen, "container", &self.name)?;
        let image = match &self.image {
            Some(image) => self.docker.seen(seen, "image", image)?,
            None => None,
        };
        let running = now
            .as_ref()
            .is_some_and(|now| now["State"]["Running"] == Json::Bool(true));
        let state = self.args.text("state");
        let outcome = match &now {
            Some(now) => Outcome::ok().with("container", value(now)),
            None => Outcome::ok(),
        };
        let mut actions = Vec::new();
        if state == "absent" {
            if now.is_some() {
                actions = self.remove(running);
            }
            return Ok(Act::change(
                actions,
                vec![Effect::Anything],
                Outcome::ok(),
                format!("container {}", self.name),
            )
            .into_verdict());
        }
        let pull = scalar(self.args.get("pull").unwrap_or(&Value::from("missing")));
        let pulls = match pull.as_str() {
            "always" | "true" | "True" => self.image.is_some(),
            "never" => false,
            _ => self.image.is_some() && image.is_none(),
        };
        if now.is_none() && self.image.is_none() {
            return Ok(
                Outcome::failed("Cannot create container when image is not specified!").into(),
            );
        }
        if let (true, Some(image)) = (pulls, &self.image) {
            actions.push(self.docker.act(["pull", "--quiet", image]));
        }
        let missing = pulls && image.is_none();
        let differs = match &now {
            Some(now) => self.differences(now, image.as_ref()),
            None => Vec::new(),
        };
        let again = now.is_some() && (self.args.bool("recreate") || missing || !differs.is_empty());
        if again {
            actions.extend(self.remove(running));
        }
        let made = again || now.is_none();
        if made {
            actions.push(self.docker.act(self.create()));
        }
        actions.extend(self.connections(now.as_ref().filter(|_| !made)));
        match state.as_str() {
            "started" if made || !running => actions.push(self.docker.act(["start", &self.name])),
            "started" if self.args.bool("restart") => {
                actions.push(self.docker.act(["restart", &self.name]));
            }
            "stopped" if running && !made => actions.push(self.stop()),
            _ => {}
        }
        let outcome = match differs.is_empty() {
            true => outcome,
            false => outcome.diff(
                &format!("container {}", self.name),
                differs.join("\n"),
                String::new(),
            ),
        };
        Ok(Act::change(
            actions,
            vec![Effect::Anything],
            outcome,
            format!("container {}", self.name),
        )
        .into_verdict())
    }
}

/// Flags with which a container joins a network.
fn joining(entry: &Value, alias: &str) -> Vec<String> {
    let get = |key: &str| {
        entry
            .get_attr(key)
            .ok()
            .filter(|value| !value.is_undefined() && !value.is_none())
    };
    let mut words = Vec::new();
    for (key, flag) in [("ipv4_address", "--ip"), ("ipv6_address", "--ip6")] {
        if let Some(text) = get(key) {
            words.extend([flag.to_owned(), text.to_string()]);
        }
    }
    for name in get("aliases")
        .and_then(|list| list.try_iter().ok())
        .into_iter()
        .flatten()
    {
        words.extend([alias.to_owned(), name.to_string()]);
    }
    words
}

impl Act {
    /// Nothing to do is no change.
    fn into_verdict(mut self) -> Verdict {
        self.outcome.changed = !self.actions.is_empty();
        self.into()
    }
}
