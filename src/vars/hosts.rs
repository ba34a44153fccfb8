//! What is known of the hosts of a run: the inventory's definitions, and what the run has learned.

use super::Values;
use crate::playbook::ast::VarMap;
use minijinja::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, RwLock};

/// A variable that a run set.
#[derive(Debug, Clone)]
pub enum Slot {
    /// Known.
    Known(Value),
    /// Set by a step that has not run yet (only while planning ahead).
    Pending,
}

/// What the run has learned of one host. Cheap to clone: planning ahead works on a copy.
#[derive(Debug, Clone, Default)]
pub struct HostState {
    /// Facts, without the `ansible_` prefix: what `ansible_facts` shows.
    pub facts: Arc<Values>,
    /// Facts that are also variables under their own name (`packages`, `services`…).
    pub named_facts: Arc<Values>,
    /// Whether facts are being gathered by a step that has not run yet.
    pub facts_pending: bool,
    /// `set_fact` and `register`.
    pub set: Arc<HashMap<Arc<str>, Slot>>,
    /// `include_vars`, later files first.
    pub included: Vec<(Arc<str>, Arc<VarMap>)>,
    /// Whether `include_vars` may have added names that are not known yet.
    pub included_pending: bool,
    /// Roles whose defaults and vars became visible to the rest of the play (`public: true`).
    pub public_roles: Vec<Arc<crate::playbook::ast::Role>>,
}

impl HostState {
    /// Sets a variable.
    pub fn set(&mut self, name: &str, slot: Slot) {
        Arc::make_mut(&mut self.set).insert(name.into(), slot);
    }

    /// Takes over what another host's task found out.
    pub fn accept(&mut self, gift: Gift) {
        let (facts, named) = gift.facts;
        self.add_facts(facts, named);
        for (name, value) in gift.sets {
            self.set(&name, Slot::Known(value));
        }
    }

    /// Forgets all facts.
    pub fn clear_facts(&mut self) {
        self.facts = Arc::default();
        self.named_facts = Arc::default();
    }

    /// Adds facts. Those of `setup` are variables with the `ansible_` prefix only; those of other
    /// modules also under the very name the module gave.
    pub fn add_facts(&mut self, facts: impl IntoIterator<Item = (String, Value)>, named: bool) {
        let own = Arc::make_mut(&mut self.facts);
        for (name, value) in facts {
            let short = name.strip_prefix("ansible_").unwrap_or(&name);
            own.insert(short.into(), value.clone());
            if named && short == name {
                Arc::make_mut(&mut self.named_facts).insert(name.into(), value);
            }
        }
    }
}

/// Definitions with a word on where each is from, weakest first.
pub type Sources = Arc<Vec<(Arc<str>, Arc<VarMap>)>>;

/// What all hosts of a run share. Hosts publish their state here when others may read it.
#[derive(Debug, Default)]
pub struct Shared {
    states: RwLock<HashMap<Arc<str>, HostState>>,
    static_layers: RwLock<HashMap<Arc<str>, Sources>>,
    groups: RwLock<BTreeMap<Arc<str>, Vec<Arc<str>>>>,
    order: RwLock<Vec<Arc<str>>>,
    /// What tasks of other hosts found out (`delegate_facts`), until the host takes it over.
    gifts: RwLock<HashMap<Arc<str>, Vec<Gift>>>,
}

/// Facts, or variables, that a task of another host has for a host.
#[derive(Debug, Clone, Default)]
pub struct Gift {
    /// Facts, and whether they are variables under their own name too.
    pub facts: (Vec<(String, Value)>, bool),
    /// What `set_fact` set.
    pub sets: Vec<(String, Value)>,
}

impl Shared {
    /// Announces a host with its inventory definitions, weakest first.
    pub fn add_host(&self, host: &Arc<str>, layers: Vec<(Arc<str>, Arc<VarMap>)>) {
        write(&self.static_layers).insert(Arc::clone(host), Arc::new(layers));
        let mut order = write(&self.order);
        if !order.contains(host) {
            order.push(Arc::clone(host));
        }
    }

    /// Puts a host into a group, made when needed. Says whether that was anything new.
    pub fn add_to_group(&self, group: &str, host: Option<&Arc<str>>) -> bool {
        let mut groups = write(&self.groups);
        let new = !groups.contains_key(group);
        let members = groups.entry(group.into()).or_default();
        match host {
            Some(host) if !members.contains(host) => {
                members.push(Arc::clone(host));
                true
            }
            _ => new,
        }
    }

    /// Publishes what a host has learned.
    pub fn publish(&self, host: &Arc<str>, state: &HostState) {
        write(&self.states).insert(Arc::clone(host), state.clone());
    }

    /// What a host has published.
    #[must_use]
    pub fn state(&self, host: &str) -> HostState {
        let mut state = read(&self.states).get(host).cloned().unwrap_or_default();
        for gift in read(&self.gifts).get(host).into_iter().flatten() {
            state.accept(gift.clone());
        }
        state
    }

    /// Something for a host that a task of another one found out.
    pub fn give(&self, host: &str, gift: Gift) {
        write(&self.gifts)
            .entry(host.into())
            .or_default()
            .push(gift);
    }

    /// What was given to a host since it asked last.
    #[must_use]
    pub fn given(&self, host: &str) -> Vec<Gift> {
        if !read(&self.gifts).contains_key(host) {
            return Vec::new();
        }
        write(&self.gifts).remove(host).unwrap_or_default()
    }

    /// The inventory's definitions for a host, weakest first; `None` for an unknown host.
    #[must_use]
    pub fn layers(&self, host: &str) -> Option<Sources> {
        read(&self.static_layers).get(host).cloned()
    }

    /// Names of all hosts, in inventory order.
    #[must_use]
    pub fn hosts(&self) -> Vec<Arc<str>> {
        read(&self.order).clone()
    }

    /// Group names with their members.
    #[must_use]
    pub fn groups(&self) -> BTreeMap<Arc<str>, Vec<Arc<str>>> {
        read(&self.groups).clone()
    }

    /// Names of the groups a host is in, without `all`, sorted.
    #[must_use]
    pub fn groups_of(&self, host: &str) -> Vec<Arc<str>> {
        let groups = read(&self.groups);
        let names: HashSet<_> = groups
            .iter()
            .filter(|(name, members)| &***name != "all" && members.iter().any(|m| &**m == host))
            .map(|(name, _)| Arc::clone(name))
            .collect();
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort();
        names
    }
}

/// A poisoned lock only means that a thread panicked elsewhere; the maps themselves are whole.
fn read<T>(lock: &RwLock<T>) -> std::sync::RwLockReadGuard<'_, T> {
    lock.read()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> std::sync::RwLockWriteGuard<'_, T> {
    lock.write()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
