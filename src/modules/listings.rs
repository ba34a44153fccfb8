//! `package_facts`, `service_facts` and `getent`: databases of the host as facts.

use super::rule::{self, Rule};
use super::sh::quote;
use super::{
    Args, Controller, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Spec, Step, Type,
};
use indexmap::IndexMap;
use minijinja::Value;

/// `package_facts`.
pub(crate) struct PackageFacts;
/// `service_facts`.
pub(crate) struct ServiceFacts;
/// `getent`.
pub(crate) struct Getent;

static PACKAGES: Spec = Spec {
    name: "package_facts",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Lists installed packages as facts",
    params: &[
        Param::new(
            "manager",
            Type::List,
            "package managers to ask; apt is the only one",
        )
        .default("auto"),
        Param::new("strategy", Type::Str, "which of several managers to ask")
            .choices(&["first", "all"])
            .default("first"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

static SERVICES: Spec = Spec {
    name: "service_facts",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Lists services as facts",
    params: &[],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

static GETENT: Spec = Spec {
    name: "getent",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Looks entries up in a database of the host",
    params: &[
        Param::new("database", Type::Str, "the database, e.g. passwd").required(),
        Param::new("key", Type::Str, "the entry; all if not given"),
        Param::new(
            "service",
            Type::Str,
            "source to ask, if not the configured ones",
        ),
        Param::new("split", Type::Str, "what separates fields"),
        Param::new("fail_key", Type::Bool, "fail when the entry is missing").default("true"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

fn map<I: IntoIterator<Item = (String, Value)>>(pairs: I) -> Value {
    Value::from_pairs(pairs)
}

fn with_facts(facts: IndexMap<String, Value>) -> Outcome {
    Outcome {
        facts,
        ..Outcome::ok()
    }
}

impl Module for PackageFacts {
    fn spec(&self) -> &'static Spec {
        &PACKAGES
    }

    fn only_looks(&self) -> bool {
        true
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let known = |name: &String| matches!(name.as_str(), "auto" | "apt" | "dpkg");
        if !args.strings("manager").iter().any(known) {
            return Err(Failure::of(
                "manager",
                "Could not detect a supported package manager: only apt is supported",
            ));
        }
        let script = "dpkg-query -W -f='${db:Status-Abbrev}\\t${Package}\\t${Version}\\t${Architecture}\\t${Section}\\n'";
        Rule::new(vec![Probe::Script(script.into())], move |seen| {
            let (rc, out) = rule::script(seen, script)?;
            if rc != 0 {
                return Ok(Outcome::failed(
                    "Could not detect a supported package manager: dpkg-query failed",
                )
                .into());
            }
            Ok(with_facts(IndexMap::from([("packages".to_owned(), packages(&out))])).into())
        })
        .step()
    }
}

fn packages(out: &str) -> Value {
    let mut packages: IndexMap<&str, Vec<Value>> = IndexMap::new();
    for line in out.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [status, name, version, arch, section] = fields[..] else {
            continue;
        };
        if status.get(1..2) != Some("i") {
            continue;
        }
        packages.entry(name).or_default().push(map([
            ("arch".into(), arch.into()),
            ("category".into(), section.into()),
            ("name".into(), name.into()),
            ("source".into(), "apt".into()),
            ("version".into(), version.into()),
        ]));
    }
    map(packages
        .into_iter()
        .map(|(name, all)| (name.to_owned(), all.into())))
}

/// SysV scripts, upstart's jobs, units that are loaded, and unit files.
const LIST: &str = "\
PATH=$PATH:/usr/sbin:/sbin
command -v service >/dev/null && { echo sysv; service --status-all 2>/dev/null; }
command -v initctl >/dev/null && initctl version 2>/dev/null | grep -q upstart && { echo upstart; initctl list; }
if [ -d /run/systemd/system ] && command -v systemctl >/dev/null; then
  echo units; systemctl list-units --no-pager --type service --all --plain --no-legend
  echo files; systemctl list-unit-files --no-pager --type service --all --no-legend
fi
:";

impl Module for ServiceFacts {
    fn spec(&self) -> &'static Spec {
        &SERVICES
    }

    fn only_looks(&self) -> bool {
        true
    }

    fn plan(&self, _args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        Rule::new(vec![Probe::Script(LIST.into())], |seen| {
            let (_, out) = rule::script(seen, LIST)?;
            let services = services(&out);
            if services.is_empty() {
                let mut outcome = Outcome::ok().msg("Failed to find any services. This can be due to privileges or some other configuration issue.");
                outcome.skipped = true;
                return Ok(outcome.into());
            }
            let value = map(services.into_iter().map(|(name, service)| (name, service.value())));
            Ok(with_facts(IndexMap::from([("services".to_owned(), value)])).into())
        })
        .step()
    }
}

#[derive(Debug, PartialEq)]
struct Service {
    name: String,
    state: &'static str,
    /// What systemd says of its unit file.
    status: Option<String>,
    source: &'static str,
}

impl Service {
    fn value(self) -> Value {
        let mut pairs: Vec<(String, Value)> = vec![
            ("name".into(), self.name.into()),
            ("source".into(), self.source.into()),
            ("state".into(), self.state.into()),
        ];
        pairs.extend(self.status.map(|status| ("status".into(), status.into())));
        map(pairs)
    }
}

const BAD: &[&str] = &["not-found", "masked", "failed"];

fn add(
    services: &mut IndexMap<String, Service>,
    name: &str,
    state: &'static str,
    status: Option<String>,
    source: &'static str,
) {
    let service = Service {
        name: name.into(),
        state,
        status,
        source,
    };
    services.insert(name.into(), service);
}

fn services(out: &str) -> IndexMap<String, Service> {
    let mut services: IndexMap<String, Service> = IndexMap::new();
    let mut section = "";
    for line in out.lines() {
        if matches!(line, "units" | "files" | "sysv" | "upstart") {
            section = line;
            continue;
        }
        let words: Vec<&str> = line
            .trim_start_matches(['●', '*', '×', '○', ' '])
            .split_whitespace()
            .collect();
        match (section, &words[..]) {
            ("units", [name, load, active, sub, ..]) => {
                let state = if *sub == "running" {
                    "running"
                } else {
                    "stopped"
                };
                let bad = [load, active, sub]
                    .into_iter()
                    .find(|word| BAD.contains(word));
                let status = Some((*bad.unwrap_or(active)).to_owned());
                add(&mut services, name, state, status, "systemd");
            }
            ("files", [name, status, ..]) => match services.get_mut(*name) {
                Some(service)
                    if service
                        .status
                        .as_deref()
                        .is_some_and(|status| BAD.contains(&status)) => {}
                Some(service) => service.status = Some((*status).into()),
                None => {
                    // A template is nothing that could run.
                    let state = if name.contains("@.") {
                        "unknown"
                    } else {
                        "inactive"
                    };
                    add(
                        &mut services,
                        name,
                        state,
                        Some((*status).into()),
                        "systemd",
                    );
                }
            },
            ("sysv", ["[", sign @ ("+" | "-"), "]", name, ..]) => {
                let state = if *sign == "+" { "running" } else { "stopped" };
                add(&mut services, name, state, None, "sysv");
            }
            ("upstart", [name, state, ..]) => {
                let state = if state.starts_with("start/running") {
                    "running"
                } else {
                    "stopped"
                };
                add(&mut services, name, state, None, "upstart");
            }
            _ => {}
        }
    }
    services
}

impl Module for Getent {
    fn spec(&self) -> &'static Spec {
        &GETENT
    }

    fn only_looks(&self) -> bool {
        true
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let database = args.text("database");
        let key = args.str("key");
        let colon = ["passwd", "shadow", "group", "gshadow"];
        let split = args
            .str("split")
            .or_else(|| colon.contains(&database.as_str()).then(|| ":".to_owned()));
        let service = args
            .str("service")
            .map_or(String::new(), |service| format!(" -s {}", quote(&service)));
        let word = key
            .as_deref()
            .map_or(String::new(), |key| format!(" {}", quote(key)));
        let script = format!("getent{service} {}{word} 2>&1", quote(&database));
        let fail = args.bool("fail_key");
        Rule::new(vec![Probe::Script(script.clone())], move |seen| {
            let (rc, out) = rule::script(seen, &script)?;
            let msg = match rc {
                0 => {
                    let entries = out
                        .lines()
                        .filter(|line| !line.is_empty())
                        .map(|line| entry(line, split.as_deref()));
                    return Ok(with_facts(IndexMap::from([(
                        format!("getent_{database}"),
                        entries_map(entries),
                    )]))
                    .into());
                }
                1 => "Missing arguments, or database unknown.",
                2 => match &key {
                    Some(key) if !fail => {
                        let none = map([(key.clone(), Value::from(()))]);
                        let mut outcome =
                            with_facts(IndexMap::from([(format!("getent_{database}"), none)]));
                        outcome.msg = Some(
                            "One or more supplied key could not be found in the database.".into(),
                        );
                        return Ok(outcome.into());
                    }
                    _ => "One or more supplied key could not be found in the database.",
                },
                3 => "Enumeration not supported on this database.",
                _ => "Unexpected failure!",
            };
            Ok(Outcome::failed(msg).into())
        })
        .step()
    }
}

fn entry(line: &str, split: Option<&str>) -> (String, Vec<Value>) {
    let mut fields: Vec<Value> = match split {
        Some(split) => line.split(split).map(Value::from).collect(),
        None => line.split_whitespace().map(Value::from).collect(),
    };
    if fields.is_empty() {
        return (String::new(), fields);
    }
    let name = fields.remove(0);
    (super::args::text(&name), fields)
}

/// Entries by name; where a name comes twice, its fields are lists of fields.
fn entries_map(entries: impl Iterator<Item = (String, Vec<Value>)>) -> Value {
    let mut all: IndexMap<String, Vec<Vec<Value>>> = IndexMap::new();
    for (name, fields) in entries {
        all.entry(name).or_default().push(fields);
    }
    map(all.into_iter().map(|(name, mut fields)| {
        let value = if fields.len() == 1 {
            Value::from(fields.remove(0))
        } else {
            fields.into_iter().map(Value::from).collect()
        };
        (name, value)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::testing::{Fake, args, local};

    #[test]
    fn this_machine_has_packages_and_accounts() {
        let outcome = local(&PackageFacts, &args(&PackageFacts, &[]), &Fake::default());
        let dpkg = outcome.facts["packages"]
            .get_attr("dpkg")
            .unwrap()
            .get_item_by_index(0)
            .unwrap();
        assert_eq!(dpkg.get_attr("source").unwrap().as_str(), Some("apt"));
        let outcome = local(
            &Getent,
            &args(
                &Getent,
                &[("database", "passwd".into()), ("key", "root".into())],
            ),
            &Fake::default(),
        );
        assert_eq!(
            outcome.facts["getent_passwd"]
                .get_attr("root")
                .unwrap()
                .get_item_by_index(4)
                .unwrap()
                .as_str(),
            Some("/root")
        );
        let outcome = local(
            &Getent,
            &args(
                &Getent,
                &[("database", "passwd".into()), ("key", "nobody-such".into())],
            ),
            &Fake::default(),
        );
        assert!(outcome.failed);
    }

    #[test]
    fn units_and_files_are_joined() {
        let all = services(
            "sysv\n [ + ]  cron\n [ ? ]  odd\nunits\na.service loaded active running A\nb.service loaded active exited B\n● c.service not-found inactive dead C\n\
             files\na.service enabled enabled\nd.service disabled enabled\n",
        );
        let brief: Vec<String> = all
            .values()
            .map(|s| {
                format!(
                    "{} {} {}",
                    s.name,
                    s.state,
                    s.status.as_deref().unwrap_or("-")
                )
            })
            .collect();
        assert_eq!(
            brief,
            [
                "cron running -",
                "a.service running enabled",
                "b.service stopped active",
                "c.service stopped not-found",
                "d.service inactive disabled"
            ]
        );
    }
}
