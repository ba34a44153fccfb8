//! Variables: precedence, laziness, where a value came from.
//!
//! A variable is either what a user wrote (a [`Node`], rendered when it is used) or what was computed (a
//! [`Value`], never rendered again). [`Layer`]s stack in Ansible's order of precedence; a [`StepScope`] is
//! such a stack for one step on one host.

mod hosts;
mod scope;

pub use hosts::{Gift, HostState, Shared, Slot, Sources};
pub(crate) use scope::HOSTVARS;
pub use scope::{Access, Magic, Parts, Roll, StepScope};

use crate::playbook::ast::{Block, Play, Role, RoleUse, Task, VarMap};
use crate::yaml::Node;
use minijinja::Value;
use std::collections::HashMap;
use std::sync::Arc;

/// Computed variables by name.
pub type Values = HashMap<Arc<str>, Value>;

/// One level of the stack. References what the playbook already holds, so that building a stack copies nothing.
#[derive(Debug, Clone)]
pub enum Layer {
    /// `vars:` of a play.
    Play(Arc<Play>),
    /// `vars:` of a block.
    Block(Arc<Block>),
    /// `vars:` of a task.
    Task(Arc<Task>),
    /// A role's defaults.
    Defaults(Arc<Role>),
    /// A role's vars.
    RoleVars(Arc<Role>),
    /// A role's parameters at its place of use.
    Params(Arc<RoleUse>),
    /// Variables from a file, the inventory or the command line.
    Nodes(Arc<str>, Arc<VarMap>),
    /// Computed variables.
    Values(&'static str, Arc<Values>),
}

/// A definition found in a layer.
#[derive(Debug, Clone)]
pub enum Definition {
    /// As written.
    Node(Node),
    /// Computed.
    Value(Value),
}

impl Layer {
    /// The definition of a variable in this layer.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Definition> {
        match self {
            Self::Values(_, values) => values.get(name).cloned().map(Definition::Value),
            nodes => nodes.nodes()?.get(name).cloned().map(Definition::Node),
        }
    }

    /// What the layer is, for `explain`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Play(_) => "vars of the play".into(),
            Self::Block(block) => format!("vars of the block at {}", block.span),
            Self::Task(task) => format!("vars of the task at {}", task.span),
            Self::Defaults(role) => format!("defaults of role {}", role.name),
            Self::RoleVars(role) => format!("vars of role {}", role.name),
            Self::Params(used) => format!("parameters of role {}", used.role.name),
            Self::Nodes(what, _) => what.to_string(),
            Self::Values(what, _) => (*what).to_owned(),
        }
    }

    fn nodes(&self) -> Option<&VarMap> {
        Some(match self {
            Self::Play(play) => &play.base.vars,
            Self::Block(block) => &block.base.vars,
            Self::Task(task) => &task.base.vars,
            Self::Defaults(role) => &role.defaults,
            Self::RoleVars(role) => &role.vars,
            Self::Params(used) => &used.params,
            Self::Nodes(_, map) => map,
            Self::Values(..) => return None,
        })
    }

    /// Names defined here.
    #[must_use]
    pub fn names(&self) -> Vec<Arc<str>> {
        match self {
            Self::Values(_, values) => values.keys().cloned().collect(),
            nodes => nodes
                .nodes()
                .map(|map| map.keys().cloned().collect())
                .unwrap_or_default(),
        }
    }

    /// Whether nothing is defined here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Values(_, values) => values.is_empty(),
            nodes => nodes.nodes().is_none_or(VarMap::is_empty),
        }
    }
}
