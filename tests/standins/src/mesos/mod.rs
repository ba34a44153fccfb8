//! Mesos: a master and an agent that find each other through ZooKeeper and speak plain HTTP with JSON between themselves (the real
//! ones speak protobuf; nobody outside sees the difference). What a role or a person can see is as in the real thing: flags,
//! messages, exit codes, znodes, files below `work_dir`, endpoints.

mod agent;
mod checkpoint;
mod cluster;
mod detector;
mod docker;
mod flags;
mod host;
mod launch;
mod master;
mod master_api;
mod resources;
pub mod wire;

pub use agent::run as agent;
pub use detector::{Leader, detect};
pub use master::run as master;

use crate::version::Version;
use crate::{log, names};
use anyhow::Context;
use flags::{Flags, Known};
use std::net::{IpAddr, SocketAddr};

/// What the stand-in plays when it does not run from a package.
const NEWEST: Version = Version(1, 11, 0);

/// Flags of a daemon, or `None` when it only had to print something.
fn start(
    name: &str,
    known: impl Fn(Version) -> Known,
    arguments: &[String],
) -> anyhow::Result<Option<(Version, Flags)>> {
    let version = Version::installed("mesos", NEWEST);
    let flags = Flags::load(&known(version), std::env::vars(), arguments)
        .with_context(|| format!("See `{name} --help` for a list of supported flags."))
        .map_err(|error| anyhow::anyhow!("{}\n\n{error}", error.root_cause()))?;
    if flags.is("version", false) {
        write_out(&format!("mesos {version}"));
        return Ok(None);
    }
    if flags.is("help", false) {
        write_out(&format!(
            "Usage: {name} [options]\n\nA stand-in for {name} {version}; see the documentation of Mesos for its flags."
        ));
        return Ok(None);
    }
    if let Some(directory) = flags.get("log_dir") {
        log::into_directory(directory, name)?;
    }
    log::info(&format!("Version: {version}"));
    Ok(Some((version, flags)))
}

fn write_out(text: &str) {
    use std::io::Write;
    // A closed pipe is the reader's choice.
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Where a daemon listens and what it tells others.
#[derive(Clone, Debug)]
struct Place {
    bind: SocketAddr,
    ip: IpAddr,
    port: u16,
    hostname: String,
}

impl Place {
    fn of(flags: &Flags, default_port: u16) -> anyhow::Result<Self> {
        let port = |name| -> anyhow::Result<Option<u16>> {
            flags
                .number(name)
                .map(u16::try_from)
                .transpose()
                .with_context(|| format!("Invalid --{name}"))
        };
        let listen = match flags.get("ip") {
            Some(ip) => ip
                .trim()
                .parse()
                .with_context(|| format!("Failed to parse --ip={ip}"))?,
            None => names::ANY,
        };
        let bind = SocketAddr::new(listen, port("port")?.unwrap_or(default_port));
        let ip = match flags.get("advertise_ip") {
            Some(ip) => ip
                .parse()
                .with_context(|| format!("Failed to parse --advertise_ip={ip}"))?,
            None => names::advertised(listen)?,
        };
        if ip.is_loopback() {
            log::warning(
                "\n**************************************************\nBound to loopback interface! Cannot communicate with remote peers. You might want to set '--ip' flag to a routable IP address.\n**************************************************",
            );
        }
        let hostname = match flags.get("hostname") {
            Some(hostname) => hostname.to_owned(),
            None if !flags.is("hostname_lookup", true) => ip.to_string(),
            None => names::name_of(ip).unwrap_or_else(|| ip.to_string()),
        };
        Ok(Self {
            bind,
            ip,
            port: port("advertise_port")?.unwrap_or(bind.port()),
            hostname,
        })
    }

    fn address(&self) -> SocketAddr {
        SocketAddr::new(self.ip, self.port)
    }
}

/// An identifier like those of Mesos.
fn uuid() -> anyhow::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/uuid")
        .context("no random source")?
        .trim()
        .to_owned())
}
