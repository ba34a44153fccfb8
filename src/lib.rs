//! mini-play: an Ansible-like, agentless provisioner.
//!
//! The one idea is *observe, decide, act*: see `ARCHITECTURE.md`. Dependencies point one way:
//! `cli` -> `engine`, `verify`, `report` -> `modules`, `playbook`, `vars`, `template` -> `inventory`, `yaml`, `diag`.
//! `remote` knows nothing of playbooks, `modules` nothing of SSH, `report` only events.

pub mod adhoc;
pub mod cli;
pub mod diag;
pub mod engine;
pub mod facts;
pub mod inventory;
pub mod lab;
pub mod modules;
pub mod playbook;
pub mod remote;
pub mod report;
pub mod secrets;
pub mod service;
#[cfg(any(test, fuzzing))]
pub mod strangers;
pub mod template;
pub mod vars;
pub mod vault;
pub mod verify;
pub mod yaml;
