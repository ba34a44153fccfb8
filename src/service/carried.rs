//! Which hosts carry which services.

use crate::diag::Diagnostic;
use crate::inventory::Inventory;
use crate::playbook::ast::{Block, Item, Play, Playbook, RoleUse};
use crate::verify::plan::{SERIAL, of_role, pattern, sections};
use crate::yaml::{Kind, Node};
use std::sync::Arc;

/// A service on its hosts.
#[derive(Debug, Clone)]
pub struct Service {
    /// What people call it.
    pub name: String,
    /// The unit; may be a template.
    pub unit: Node,
    /// The play it is part of.
    pub play: Arc<Play>,
    /// The role's place in the play, and its checks; none for a unit that no role brings.
    pub role: Option<(Arc<Block>, Vec<Item>)>,
    /// How many hosts at a time.
    pub serial: Option<Node>,
    /// Its hosts.
    pub hosts: Vec<String>,
}

/// All services of a playbook, in order of dependency.
#[derive(Debug)]
pub struct Carried {
    services: Vec<Service>,
    first: Option<Arc<Play>>,
    all: Vec<String>,
}

impl Carried {
    /// Finds them in the plays and the `verify.yml` of their roles.
    ///
    /// # Errors
    /// What is wrong with a `verify.yml`, a pattern or the limit.
    pub fn of(
        playbook: &Playbook,
        inventory: &Inventory,
        limit: Option<&str>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut services = Vec::new();
        let mut problems = Vec::new();
        for play in &playbook.plays {
            let hosts = match inventory.select(&pattern(&play.hosts), limit) {
                Ok(hosts) => hosts,
                Err(diagnostic) => {
                    problems.push(diagnostic);
                    continue;
                }
            };
            let mut found = Vec::new();
            collect(&play.roles, &mut found);
            for (block, used) in found {
                match brought(play, block, used, &hosts) {
                    Ok(all) => all.into_iter().for_each(|one| add(&mut services, one)),
                    Err(all) => problems.extend(all),
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            services,
            first: playbook.plays.first().cloned(),
            all: inventory.select("all", limit).map_err(|one| vec![one])?,
        })
    }

    /// The services of a name: of a service, else of a role; `all`, or several at commas. A name that no role knows is a unit's,
    /// on every host; for those a second list says what might have been meant.
    #[must_use]
    pub fn named(&self, name: &str) -> (Vec<Service>, Vec<Diagnostic>) {
        let mut wanted: Vec<bool> = vec![false; self.services.len()];
        let mut units = Vec::new();
        let mut notes = Vec::new();
        for name in name
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            let mut mark = |test: &dyn Fn(&Service) -> bool| {
                let mut any = false;
                for (mark, service) in wanted.iter_mut().zip(&self.services) {
                    if test(service) {
                        (*mark, any) = (true, true);
                    }
                }
                any
            };
            let known = mark(&|service| name == "all" || service.name == name)
                || mark(&|service| service.role_name() == Some(name));
            if known {
                continue;
            }
            let Some(play) = &self.first else { continue };
            let names = self.services.iter().map(|service| service.name.as_str());
            let mut note = Diagnostic::plain(format!(
                "no role brings a service `{name}`: the unit of that name is meant, on every host"
            ));
            note.level = crate::diag::Level::Note;
            notes.push(note.did_you_mean(name, names));
            units.push(Service {
                name: name.to_owned(),
                unit: Node {
                    kind: Kind::Unsafe(name.into()),
                    span: play.span.clone(),
                },
                play: Arc::clone(play),
                role: None,
                serial: None,
                hosts: self.all.clone(),
            });
        }
        let carried = self.services.iter().zip(wanted);
        let carried = carried.filter(|(service, wanted)| *wanted && !service.hosts.is_empty());
        let mut services: Vec<Service> = carried.map(|(service, _)| service.clone()).collect();
        units.retain(|service| !service.hosts.is_empty());
        services.extend(units);
        (services, notes)
    }
}

impl Service {
    /// The role that brings it.
    pub(super) fn role_name(&self) -> Option<&str> {
        let (block, _) = self.role.as_ref()?;
        Some(&block.role.as_ref()?.role.name)
    }
}

/// Adds a service; one that another play brings already (as a dependency of another role) gets its hosts.
fn add(services: &mut Vec<Service>, service: Service) {
    let same = |known: &&mut Service| {
        known.name == service.name && known.role_name() == service.role_name()
    };
    let Some(known) = services.iter_mut().find(same) else {
        services.push(service);
        return;
    };
    for host in service.hosts {
        if !known.hosts.contains(&host) {
            known.hosts.push(host);
        }
    }
}

/// Every role of a play with the block it is, dependencies included.
fn collect<'a>(items: &'a [Item], found: &mut Vec<(&'a Arc<Block>, &'a Arc<RoleUse>)>) {
    for item in items {
        let Item::Block(block) = item else { continue };
        if let Some(used) = &block.role {
            found.push((block, used));
        }
        collect(&block.body, found);
    }
}

/// The units that a role wants active.
fn brought(
    play: &Arc<Play>,
    block: &Arc<Block>,
    used: &Arc<RoleUse>,
    hosts: &[String],
) -> Result<Vec<Service>, Vec<Diagnostic>> {
    let Some((_, map)) = sections(&used.role).map_err(|one| vec![one])? else {
        return Ok(Vec::new());
    };
    let checks = of_role(used)?;
    let units = map.get("units").and_then(Node::as_seq).unwrap_or_default();
    let active = |unit: &&Node| {
        let state = unit.as_map().and_then(|unit| unit.get("state"));
        state.and_then(Node::as_str) == Some("active")
    };
    let service = |unit: &Node| {
        let name = unit.as_map()?.get("name")?;
        let literal = name.as_str().filter(|_| !name.is_template());
        Some(Service {
            name: literal.unwrap_or(&used.role.name).to_owned(),
            unit: name.clone(),
            play: Arc::clone(play),
            role: Some((Arc::clone(block), checks.clone())),
            serial: map.get(SERIAL).cloned(),
            hosts: hosts.to_vec(),
        })
    };
    Ok(units.iter().filter(active).filter_map(service).collect())
}
