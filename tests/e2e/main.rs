//! The main job on real lab hosts: apply, apply again, verify, break, repair. Mesos, Marathon and Bamboo are stand-ins;
//! sshd, sudo, systemd, apt, docker, ZooKeeper, HAProxy and rsyslog are the real thing.
//!
//! These take long: `make test-stack` runs them (it sets `MINI_PLAY_STACK_TESTS=1`); without that they say that they are skipped.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

mod apps;
mod cluster;
mod one_host;
mod stack;
mod users;
