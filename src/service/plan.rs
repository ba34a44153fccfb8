//! From services to plays.

use super::carried::Service;
use super::logs;
use crate::diag::{Diagnostic, Source, Span};
use crate::inventory::Inventory;
use crate::modules;
use crate::playbook::ast::{Action, Base, Item, Play, Playbook, Task};
use crate::report::Receipt;
use crate::verify::plan::{block, play};
use crate::yaml::{Kind, Map, Node};
use indexmap::IndexMap;
use minijinja::Value;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What is done to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Ask how it is.
    Status,
    /// Start it.
    Start,
    /// Stop it.
    Stop,
    /// Stop and start it.
    Restart,
    /// Read the last lines of its log.
    Logs {
        /// How many.
        lines: u32,
    },
}

impl Act {
    /// Whether it changes anything.
    fn acts(self) -> bool {
        matches!(self, Self::Start | Self::Stop | Self::Restart)
    }
}

/// What to run.
pub struct Plan {
    /// A play for each service, after one that asks for facts where none are known.
    pub playbook: Playbook,
    /// Facts that the last apply gathered.
    pub facts: HashMap<String, IndexMap<String, Value>>,
}

/// Name of the variable with what a check said.
const CHECK: &str = "_mini_play_check";

impl Plan {
    /// Plans an act on services that are given in order of dependency; each may take `wait` until its checks hold.
    ///
    /// # Errors
    /// That a receipt cannot be read.
    pub fn new(
        services: &[Service],
        act: Act,
        wait: Duration,
        inventory: &Inventory,
        state: &Path,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut facts = HashMap::new();
        for host in inventory.host_names() {
            let receipt = Receipt::load(state, &host)
                .map_err(|why| vec![Diagnostic::plain(format!("{why:#}"))])?;
            if !receipt.facts.is_empty() {
                facts.insert(host, receipt.known_facts());
            }
        }
        let span = Span::head(&Source::new("<service>", ""));
        let mut unknown: Vec<&str> = Vec::new();
        for host in services.iter().flat_map(|service| &service.hosts) {
            if !facts.contains_key(host) && !unknown.contains(&host.as_str()) {
                unknown.push(host);
            }
        }
        // What one role brings is done together: its checks are about all of it.
        let together = |a: &(usize, &Service), b: &(usize, &Service)| {
            act.acts() && a.1.role_name().is_some() && a.1.role_name() == b.1.role_name()
        };
        let numbered: Vec<(usize, &Service)> = services.iter().enumerate().collect();
        let mut plays: Vec<Arc<Play>> = numbered
            .chunk_by(together)
            .map(|group| Arc::new(of_services(group, act, wait)))
            .collect();
        if act == Act::Stop {
            plays.reverse();
        }
        if let Some(service) = services.first().filter(|_| !unknown.is_empty()) {
            let base = Base {
                name: Some(Node::string("facts", &span)),
                ..connection(&service.play.base)
            };
            let first = play(
                &span,
                &service.play.dir,
                &unknown.join(","),
                base,
                true,
                Vec::new(),
            );
            plays.insert(0, Arc::new(first));
        }
        Ok(Self {
            playbook: Playbook {
                path: Path::new("service").to_path_buf(),
                plays,
                notes: Vec::new(),
                unsupported: Vec::new(),
            },
            facts,
        })
    }
}

/// How hosts of a play are reached.
fn connection(base: &Base) -> Base {
    Base {
        connection: base.connection.clone(),
        remote_user: base.remote_user.clone(),
        port: base.port.clone(),
        ..Base::default()
    }
}

/// The play of services that one role brings, or of one that none does.
fn of_services(group: &[(usize, &Service)], act: Act, wait: Duration) -> Play {
    let first = group[0].1;
    let span = &first.unit.span;
    let string = |text: &str| Node::string(text, span);
    let mut tasks: Vec<Task> = group
        .iter()
        .flat_map(|(number, service)| asked(service, *number, act))
        .collect();
    match (act, &first.role) {
        (Act::Start | Act::Restart, Some((_, checks))) => {
            tasks.extend(checks.iter().filter_map(|check| match check {
                Item::Task(task) => Some(awaited(task, wait)),
                Item::Block(_) => None,
            }));
        }
        (Act::Start | Act::Restart | Act::Stop, _) => {
            let state = if act == Act::Stop {
                "inactive"
            } else {
                "active"
            };
            tasks.extend(group.iter().map(|(_, service)| {
                let args = [
                    ("check", string("unit")),
                    ("name", service.unit.clone()),
                    ("state", string(state)),
                ];
                let name = format!("unit: {}", service.name);
                awaited(&task(&name, "health_check", args, span), wait)
            }));
        }
        _ => {}
    }
    let tasks = tasks.into_iter().map(|task| Item::Task(Arc::new(task)));
    let own = &first.play;
    let body = match &first.role {
        Some((role, _)) => {
            let mut base = role.base.clone();
            base.tags.clear();
            let mut block = block(&role.span, &role.dir, base, tasks.collect());
            block.role.clone_from(&role.role);
            vec![Item::Block(Arc::new(block))]
        }
        None => tasks.collect(),
    };
    let names: Vec<&str> = group.iter().map(|(_, one)| one.name.as_str()).collect();
    let base = Base {
        name: Some(string(&names.join(", "))),
        tags: Vec::new(),
        // What comes later depends on it.
        any_errors_fatal: act.acts().then(|| plain(Kind::Bool(true), span)),
        ..own.base.clone()
    };
    Play {
        vars_files: own.vars_files.clone(),
        serial: first.serial.clone().filter(|_| act.acts()),
        role_list: own.role_list.clone(),
        ..play(span, &own.dir, &first.hosts.join(","), base, false, body)
    }
}

/// The tasks that do it.
fn asked(service: &Service, number: usize, act: Act) -> Vec<Task> {
    let span = &service.unit.span;
    let unit = || service.unit.clone();
    let act_on = |word: &str, state: &str| {
        let args = [("name", unit()), ("state", Node::string(state, span))];
        task(&format!("{word} {}", service.name), "service", args, span)
    };
    match act {
        Act::Status => vec![task(
            &service.name,
            "service_status",
            [("name", unit())],
            span,
        )],
        Act::Logs { lines } => {
            let args = [("argv", logs::command(&service.unit, lines, number))];
            let mut read = task(&service.name, "command", args, span);
            read.changed_when = Some(vec![plain(Kind::Bool(false), span)]);
            vec![read]
        }
        Act::Start => vec![act_on("start", "started")],
        Act::Stop => vec![sockets(service), act_on("stop", "stopped")],
        Act::Restart => vec![act_on("restart", "restarted")],
    }
}

/// What would start it again as soon as somebody writes to it: systemd's sockets.
const SOCKETS: &str = r#"[ -d /run/systemd/system ] || exit 0
for s in $(systemctl show -p TriggeredBy -- "$1"); do
  s=${s#TriggeredBy=}
  case $s in *.socket) systemctl stop "$s" && echo "$s" ;; esac
done
"#;

fn sockets(service: &Service) -> Task {
    let span = &service.unit.span;
    let text = |text: &str| plain(Kind::Unsafe(text.into()), span);
    let words = [
        text("sh"),
        text("-c"),
        text(SOCKETS),
        text("sh"),
        service.unit.clone(),
    ];
    let args = [("argv", plain(Kind::Seq(words.into()), span))];
    let name = format!("stop the sockets of {}", service.name);
    let mut task = task(&name, "command", args, span);
    let stopped = format!("{CHECK}.stdout | default('') | length > 0");
    task.register = Some(CHECK.into());
    task.changed_when = Some(vec![Node::string(stopped, span)]);
    task
}

/// The same check, asked again until it holds; when it does not in time, the host has failed.
fn awaited(check: &Task, wait: Duration) -> Task {
    let span = &check.span;
    let mut check = check.clone();
    check.base.ignore_errors = None;
    check.register = Some(CHECK.into());
    check.until = vec![Node::string(format!("{CHECK} is not failed"), span)];
    let seconds = i64::try_from(wait.as_secs()).unwrap_or(i64::MAX);
    check.retries = Some(plain(Kind::Int(seconds.into()), span));
    check.delay = Some(plain(Kind::Int(1), span));
    check
}

fn task<const N: usize>(name: &str, module: &str, args: [(&str, Node); N], span: &Span) -> Task {
    let mut map = Map::default();
    for (key, node) in args {
        map.insert(key.into(), span.clone(), node);
    }
    let mut task = Task::bare(span);
    task.base.name = Some(Node::string(name, span));
    task.action = Action {
        spec: modules::spec_of(module),
        name: module.into(),
        span: span.clone(),
        args: plain(Kind::Map(Arc::new(map)), span),
    };
    task
}

fn plain(kind: Kind, span: &Span) -> Node {
    Node {
        kind,
        span: span.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::LoadOptions;
    use crate::service::Carried;

    const HOSTS: &str = "
all:
  children:
    zookeeper: {hosts: {node1: , node2: , node3: }}
    mesos_masters: {children: {zookeeper: }}
    marathon: {hosts: {node1: }}
    mesos_slaves: {hosts: {node4: }}
    docker: {children: {mesos_slaves: }}
    bamboo: {hosts: {node1: }}
";

    /// The bundled stack on these hosts.
    fn stack(limit: Option<&str>) -> (Carried, Inventory) {
        let dir = tempfile::tempdir().unwrap();
        let hosts = dir.path().join("hosts.yaml");
        std::fs::write(&hosts, HOSTS).unwrap();
        let inventory = Inventory::load(&hosts, None).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let options = LoadOptions {
            roles_path: vec![root.join("roles")],
            ..LoadOptions::default()
        };
        let playbook = crate::playbook::load(&root.join("playbooks/site.yml"), &options).unwrap();
        (
            Carried::of(&playbook, &inventory, limit).unwrap(),
            inventory,
        )
    }

    /// Each play: its name, hosts, how many at a time, and its tasks.
    fn plays(name: &str, act: Act, limit: Option<&str>) -> Vec<(String, String, i64, Vec<String>)> {
        let (carried, inventory) = stack(limit);
        let state = tempfile::tempdir().unwrap();
        let wait = Duration::from_secs(60);
        let (services, _) = carried.named(name);
        let plan = Plan::new(&services, act, wait, &inventory, state.path()).unwrap();
        let text = |node: &Option<Node>| {
            let node = node.as_ref().and_then(Node::as_str);
            node.unwrap_or_default().to_owned()
        };
        let plays = plan.playbook.plays.iter().map(|play| {
            let mut tasks = Vec::new();
            let mut open: Vec<&Item> = play.tasks.iter().rev().collect();
            while let Some(item) = open.pop() {
                match item {
                    Item::Block(block) => open.extend(block.body.iter().rev()),
                    Item::Task(task) => tasks.push(text(&task.base.name)),
                }
            }
            let serial = match play.serial.as_ref().map(|node| &node.kind) {
                Some(Kind::Int(number)) => i64::try_from(*number).unwrap_or_default(),
                _ => 0,
            };
            let hosts = play.hosts.as_str().unwrap_or_default().to_owned();
            (text(&play.base.name), hosts, serial, tasks)
        });
        plays.collect()
    }

    #[test]
    fn services_start_in_order_of_dependency_and_stop_in_the_reverse() {
        let names = |act| -> Vec<String> {
            let plays = plays("all", act, None);
            plays.into_iter().map(|(name, ..)| name).collect()
        };
        let order = [
            "docker",
            "zookeeper",
            "mesos-master",
            "mesos-slave",
            "marathon",
            "haproxy, rsyslog",
            "bamboo",
        ];
        assert_eq!(names(Act::Start)[1..], order);
        assert_eq!(names(Act::Start)[0], "facts");
        let mut reverse = order;
        reverse.reverse();
        assert_eq!(names(Act::Stop)[1..], reverse);
    }

    #[test]
    fn an_ensemble_goes_one_by_one_and_checks_follow() {
        let all = plays(
            "zookeeper,mesos-slave",
            Act::Restart,
            Some("node1,node2,node4"),
        );
        let (_, hosts, serial, tasks) = &all[1];
        assert_eq!((hosts.as_str(), *serial), ("node1,node2", 1));
        assert_eq!(tasks[..2], ["restart zookeeper", "process: the server"]);
        assert!(tasks.len() > 5, "{tasks:?}");
        let (name, hosts, serial, _) = &all[2];
        assert_eq!(
            (name.as_str(), hosts.as_str(), *serial),
            ("mesos-slave", "node4", 0)
        );
    }

    #[test]
    fn what_only_a_dependency_brings_is_on_its_hosts_too() {
        let (_, hosts, ..) = &plays("haproxy", Act::Status, None)[1];
        assert_eq!(hosts, "node1");
    }

    #[test]
    fn other_names_are_units_on_every_host() {
        let all = plays("cron", Act::Stop, None);
        let (name, hosts, _, tasks) = &all[1];
        assert_eq!((name.as_str(), hosts.split(',').count()), ("cron", 4));
        assert_eq!(
            *tasks,
            ["stop the sockets of cron", "stop cron", "unit: cron"]
        );
        let (carried, _) = stack(None);
        let notes = carried.named("zookeper").1;
        assert_eq!(notes[0].hint.as_deref(), Some("did you mean `zookeeper`?"));
    }
}
