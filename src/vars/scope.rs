//! The variables one step sees: a stack of layers, lazily rendered.

use super::{Definition, HostState, Layer, Shared, Slot, Values};
use crate::diag::Diagnostic;
use crate::template::{Engine, Scope, TemplateError};
use crate::yaml::Kind;
use indexmap::IndexSet;
use minijinja::Value;
use minijinja::value::{Enumerator, Object};
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Magic variables that are the same for all steps of a host in a play, and the run's settings behind them.
#[derive(Debug, Clone, Default)]
pub struct Magic {
    /// Values by name: `inventory_hostname`, `playbook_dir`, `ansible_check_mode`…
    pub values: Values,
    /// `ansible_connection` when no variable says it.
    pub connection: Option<Arc<str>>,
}

/// Who is still in the play, for a step of a play of several hosts.
pub trait Roll: Send + Sync {
    /// Hosts that have left before this step.
    fn gone(&self) -> Vec<Arc<str>>;
}

/// What a scope may read of other hosts.
#[derive(Debug, Clone)]
pub enum Access {
    /// Only what the inventory says: what other hosts learned is pending until they have come this far.
    Inventory,
    /// What they have published so far, which may not be their last word: the flag is raised when it is read.
    Guess(Arc<AtomicBool>),
    /// Everything they have published.
    Everything,
}

/// The variables of one step on one host.
pub struct StepScope {
    me: Weak<StepScope>,
    engine: Arc<Engine>,
    shared: Arc<Shared>,
    host: Arc<str>,
    magic: Arc<Magic>,
    state: HostState,
    /// Weakest first: between facts and `include_vars`.
    layers: Vec<Layer>,
    /// Below the inventory: role defaults, weakest first.
    defaults: Vec<Layer>,
    /// Above `set_fact`: role and include parameters, loop variables.
    above: Vec<Layer>,
    extra: Layer,
    access: Access,
    roll: Option<Arc<dyn Roll>>,
    search: Vec<PathBuf>,
    memo: Mutex<HashMap<Arc<str>, Value>>,
    resolving: Mutex<Vec<Arc<str>>>,
}

impl fmt::Debug for StepScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StepScope({})", self.host)
    }
}

/// The parts a [`StepScope`] is made of; see its fields for the order of precedence.
pub struct Parts {
    /// The template engine.
    pub engine: Arc<Engine>,
    /// All hosts.
    pub shared: Arc<Shared>,
    /// This host.
    pub host: Arc<str>,
    /// Magic variables.
    pub magic: Arc<Magic>,
    /// What the run has learned of this host.
    pub state: HostState,
    /// Role defaults, weakest first.
    pub defaults: Vec<Layer>,
    /// Play vars, role vars, block vars, task vars, weakest first.
    pub layers: Vec<Layer>,
    /// Role and include parameters, loop variables, weakest first.
    pub above: Vec<Layer>,
    /// `-e`.
    pub extra: Layer,
    /// What may be read of other hosts.
    pub access: Access,
    /// Who has left; `None` when nobody else can have.
    pub roll: Option<Arc<dyn Roll>>,
    /// Folders for lookups.
    pub search: Vec<PathBuf>,
}

impl StepScope {
    /// Stacks the parts.
    #[must_use]
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            engine: parts.engine,
            shared: parts.shared,
            host: parts.host,
            magic: parts.magic,
            state: parts.state,
            layers: parts.layers,
            defaults: parts.defaults,
            above: parts.above,
            extra: parts.extra,
            access: parts.access,
            roll: parts.roll,
            search: parts.search,
            memo: Mutex::default(),
            resolving: Mutex::default(),
        })
    }

    /// Every definition of a variable, strongest first, with the name of its layer: for `explain`.
    #[must_use]
    pub fn explain(&self, name: &str) -> Vec<(String, Definition)> {
        let mut found = Vec::new();
        if let Ok(Some(value)) = self.magic(name) {
            found.push(("magic variable".into(), Definition::Value(value)));
        }
        let mut add = |layer: &Layer| {
            if let Some(definition) = layer.get(name) {
                found.push((layer.describe(), definition));
            }
        };
        add(&self.extra);
        self.above.iter().rev().for_each(&mut add);
        if let Some(Slot::Known(value)) = self.state.set.get(name) {
            found.push((
                "set_fact or register".into(),
                Definition::Value(value.clone()),
            ));
        }
        for (source, map) in &self.state.included {
            if let Some(node) = map.get(name) {
                found.push((source.to_string(), Definition::Node(node.clone())));
            }
        }
        for layer in self.layers.iter().rev() {
            if let Some(definition) = layer.get(name) {
                found.push((layer.describe(), definition));
            }
        }
        if let Some(value) = self.fact(name) {
            found.push(("facts".into(), Definition::Value(value)));
        }
        if let Some(layers) = self.shared.layers(&self.host) {
            for (source, map) in layers.iter().rev() {
                if let Some(node) = map.get(name) {
                    found.push((source.to_string(), Definition::Node(node.clone())));
                }
            }
        }
        for layer in self.defaults.iter().rev() {
            if let Some(definition) = layer.get(name) {
                found.push((layer.describe(), definition));
            }
        }
        found
    }

    /// The strongest definition.
    fn find(&self, name: &str) -> Result<Option<Definition>, TemplateError> {
        if let Some(value) = self.magic(name)? {
            return Ok(Some(Definition::Value(value)));
        }
        if let Some(found) = self.extra.get(name) {
            return Ok(Some(found));
        }
        if let Some(found) = self.above.iter().rev().find_map(|layer| layer.get(name)) {
            return Ok(Some(found));
        }
        match self.state.set.get(name) {
            Some(Slot::Known(value)) => return Ok(Some(Definition::Value(value.clone()))),
            Some(Slot::Pending) => return Err(TemplateError::Pending(name.to_owned())),
            None => {}
        }
        if let Some(node) = self
            .state
            .included
            .iter()
            .find_map(|(_, map)| map.get(name))
        {
            return Ok(Some(Definition::Node(node.clone())));
        }
        if self.state.included_pending {
            return Err(TemplateError::Pending(name.to_owned()));
        }
        if let Some(found) = self.layers.iter().rev().find_map(|layer| layer.get(name)) {
            return Ok(Some(found));
        }
        if let Some(value) = self.fact(name) {
            return Ok(Some(Definition::Value(value)));
        }
        if let Some(layers) = self.shared.layers(&self.host)
            && let Some(node) = layers.iter().rev().find_map(|(_, map)| map.get(name))
        {
            return Ok(Some(Definition::Node(node.clone())));
        }
        if let Some(found) = self.defaults.iter().rev().find_map(|layer| layer.get(name)) {
            return Ok(Some(found));
        }
        if name == "ansible_host" {
            return Ok(Some(Definition::Value(Value::from(&*self.host))));
        }
        if let ("ansible_connection", Some(connection)) = (name, &self.magic.connection) {
            return Ok(Some(Definition::Value(Value::from(&**connection))));
        }
        if self.state.facts_pending && (name.starts_with("ansible_") || name.ends_with("s")) {
            return Err(TemplateError::Pending(name.to_owned()));
        }
        Ok(None)
    }

    fn fact(&self, name: &str) -> Option<Value> {
        name.strip_prefix("ansible_")
            .and_then(|short| self.state.facts.get(short))
            .or_else(|| self.state.named_facts.get(name))
            .cloned()
    }

    fn magic(&self, name: &str) -> Result<Option<Value>, TemplateError> {
        if let Some(value) = self.magic.values.get(name) {
            return match &self.roll {
                Some(roll) if PRESENT.contains(&name) => self.present(value, &**roll).map(Some),
                _ => Ok(Some(value.clone())),
            };
        }
        Ok(Some(match name {
            "inventory_hostname" => Value::from(&*self.host),
            "inventory_hostname_short" => {
                Value::from(self.host.split('.').next().unwrap_or(&self.host))
            }
            "group_names" => texts(&self.shared.groups_of(&self.host)),
            "groups" => Value::from_pairs(
                self.shared
                    .groups()
                    .iter()
                    .map(|(name, members)| (name.to_string(), texts(members))),
            ),
            "ansible_facts" if self.state.facts_pending => {
                return Err(TemplateError::Pending("ansible_facts".into()));
            }
            "ansible_facts" => Value::from_object(Facts(Arc::clone(&self.state.facts))),
            "hostvars" => Value::from_object(HostVars(self.me.clone())),
            "vars" => match self.me.upgrade() {
                Some(me) => crate::template::scope_value(me),
                None => return Ok(None),
            },
            "omit" => crate::template::omit(),
            _ => return Ok(None),
        }))
    }

    /// Those of a list of hosts that are still in the play.
    fn present(&self, hosts: &Value, roll: &dyn Roll) -> Result<Value, TemplateError> {
        match &self.access {
            // Another host may fail before it has come this far.
            Access::Inventory => return Err(TemplateError::Pending(HOSTVARS.into())),
            Access::Guess(flag) => flag.store(true, Ordering::Relaxed),
            Access::Everything => {}
        }
        let gone = roll.gone();
        let here = |host: &Value| !gone.iter().any(|other| host.as_str() == Some(&**other));
        Ok(hosts
            .try_iter()
            .into_iter()
            .flatten()
            .filter(here)
            .collect())
    }

    fn resolve(&self, name: &str) -> Result<Option<Value>, TemplateError> {
        let Some(definition) = self.find(name)? else {
            return Ok(None);
        };
        let node = match definition {
            Definition::Value(value) => return Ok(Some(value)),
            Definition::Node(node) => node,
        };
        let Some(me) = self.me.upgrade() else {
            return Ok(None);
        };
        {
            let mut resolving = lock(&self.resolving);
            if resolving.iter().any(|other| &**other == name) {
                let mut chain: Vec<_> = resolving.iter().map(ToString::to_string).collect();
                chain.push(name.to_owned());
                return Err(TemplateError::Other(Box::new(
                    Diagnostic::error(
                        &node.span,
                        format!("variable `{name}` is defined through itself"),
                    )
                    .hint(format!("the chain is {}", chain.join(" -> "))),
                )));
            }
            resolving.push(name.into());
        }
        let scope: Arc<dyn Scope> = me;
        let value = match self.engine.render(&node, &scope) {
            // A part that fails must not fail the others: `config.port` is fine while `config.host` is not.
            Err(TemplateError::Undefined { .. } | TemplateError::Pending(_))
                if matches!(node.kind, Kind::Map(_) | Kind::Seq(_)) =>
            {
                self.engine.lazy(&node, &scope)
            }
            value => value,
        };
        lock(&self.resolving).pop();
        value.map(Some)
    }

    /// What another host's variables look like from here.
    fn of_host(&self, host: &str) -> Option<Arc<Self>> {
        let own = host == &*self.host;
        if !own {
            self.shared.layers(host)?;
        }
        let mut values = Values::clone(&self.magic.values);
        values.retain(|name, _| !name.starts_with("role_"));
        Some(Self::new(Parts {
            engine: Arc::clone(&self.engine),
            shared: Arc::clone(&self.shared),
            host: host.into(),
            magic: Arc::new(Magic {
                values,
                connection: Some("ssh".into()),
            }),
            // What a play, a role or a task defines is not the host's.
            state: match self.access {
                _ if own => HostState {
                    public_roles: Vec::new(),
                    ..self.state.clone()
                },
                Access::Everything | Access::Guess(_) => self.shared.state(host),
                Access::Inventory => HostState::default(),
            },
            defaults: Vec::new(),
            layers: Vec::new(),
            above: Vec::new(),
            extra: self.extra.clone(),
            access: self.access.clone(),
            roll: self.roll.clone(),
            search: Vec::new(),
        }))
    }
}

/// Magic variables that lose the hosts which have left the play.
const PRESENT: [&str; 3] = ["ansible_play_hosts", "ansible_play_batch", "play_hosts"];

impl Scope for StepScope {
    fn get(&self, name: &str) -> Result<Option<Value>, TemplateError> {
        if let Some(value) = lock(&self.memo).get(name) {
            return Ok(Some(value.clone()));
        }
        let value = self.resolve(name)?;
        // A lazy value holds this scope; kept, the two would hold each other for ever.
        if let Some(value) = &value
            && !crate::template::is_lazy(value)
        {
            lock(&self.memo).insert(name.into(), value.clone());
        }
        Ok(value)
    }

    fn names(&self) -> Vec<String> {
        let mut names: IndexSet<String> = IndexSet::new();
        let layers = self.defaults.iter().chain(&self.layers).chain(&self.above);
        for layer in layers.chain([&self.extra]) {
            names.extend(layer.names().iter().map(ToString::to_string));
        }
        for (_, map) in &self.state.included {
            names.extend(map.keys().map(ToString::to_string));
        }
        for (_, map) in self
            .shared
            .layers(&self.host)
            .iter()
            .flat_map(|layers| layers.iter())
        {
            names.extend(map.keys().map(ToString::to_string));
        }
        // As written so far; what was computed by name.
        let mut computed: Vec<String> = self.state.set.keys().map(ToString::to_string).collect();
        computed.extend(
            self.state
                .facts
                .keys()
                .map(|name| format!("ansible_{name}")),
        );
        computed.extend(self.state.named_facts.keys().map(ToString::to_string));
        computed.sort();
        names.extend(computed);
        names.extend(self.magic.values.keys().map(ToString::to_string));
        let magic = [
            "inventory_hostname",
            "inventory_hostname_short",
            "group_names",
            "groups",
        ];
        names.extend(
            magic
                .iter()
                .chain(&["ansible_facts", "hostvars"])
                .map(ToString::to_string),
        );
        names.into_iter().collect()
    }

    fn search_paths(&self) -> Vec<PathBuf> {
        self.search.clone()
    }
}

fn texts(names: &[Arc<str>]) -> Value {
    names.iter().map(|name| Value::from(&**name)).collect()
}

/// See [`super::hosts`]: a poisoned lock holds whole data.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `ansible_facts`.
#[derive(Debug)]
struct Facts(Arc<Values>);

impl Object for Facts {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        let short = name.strip_prefix("ansible_").unwrap_or(name);
        self.0.get(short).or_else(|| self.0.get(name)).cloned()
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let mut names: Vec<_> = self.0.keys().map(|name| Value::from(&**name)).collect();
        names.sort();
        Enumerator::Values(names)
    }
}

/// `hostvars`.
#[derive(Debug)]
struct HostVars(Weak<StepScope>);

impl Object for HostVars {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let scope = self.0.upgrade()?;
        let host = key.as_str()?;
        let other = scope.of_host(host)?;
        if host == &*scope.host {
            return Some(crate::template::scope_value(other));
        }
        if let Access::Guess(flag) = &scope.access {
            flag.store(true, Ordering::Relaxed);
        }
        Some(crate::template::scope_value(Arc::new(OtherHost(other))))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let hosts = self
            .0
            .upgrade()
            .map(|scope| scope.shared.hosts())
            .unwrap_or_default();
        Enumerator::Values(hosts.iter().map(|host| Value::from(&**host)).collect())
    }
}

/// `hostvars[host]` of another host: what it learns in this run may be out of reach until it has come this far.
#[derive(Debug)]
struct OtherHost(Arc<StepScope>);

impl Scope for OtherHost {
    fn get(&self, name: &str) -> Result<Option<Value>, TemplateError> {
        let final_word = matches!(self.0.access, Access::Everything);
        let unlearned = !final_word && self.0.state.facts.is_empty();
        match self.0.get(name)? {
            Some(value) if !(unlearned && name == "ansible_facts") => Ok(Some(value)),
            // It may be something that host learns in this run.
            _ if !final_word => Err(TemplateError::Pending(HOSTVARS.into())),
            found => Ok(found),
        }
    }

    fn names(&self) -> Vec<String> {
        self.0.names()
    }

    fn search_paths(&self) -> Vec<PathBuf> {
        Vec::new()
    }
}

/// What [`TemplateError::Pending`] names when another host's progress is waited for.
pub(crate) const HOSTVARS: &str = "hostvars of another host";
