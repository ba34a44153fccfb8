//! Read-only health checks of the roles a host carries.
//!
//! `verify.yml` of a role lists what must hold when the role is in place. [`plan`] turns those of all roles of a playbook into one play
//! whose tasks are `health_check`s: one connection, and everything that a host is asked goes into one script.

pub(crate) mod plan;
mod table;

pub use plan::{Plan, plan};
pub use table::{Check, Table};
