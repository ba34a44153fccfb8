//! Names and addresses. The program is linked statically, so the C library's resolver cannot load its plug-ins; `getent` asks
//! the host's own resolver instead and sees exactly what its other programs see, `127.0.1.1` lines included.

use anyhow::{Context, bail};
use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;

/// The host's node name.
pub fn node() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

/// The first IPv4 address of a name; an address is its own.
pub fn resolve(name: &str) -> anyhow::Result<IpAddr> {
    if let Ok(address) = name.parse() {
        return Ok(address);
    }
    let text = getent(&["ahostsv4", name])?;
    let word = text
        .split_whitespace()
        .next()
        .with_context(|| format!("no address for {name}"))?;
    word.parse()
        .with_context(|| format!("unexpected answer of getent for {name}: {word}"))
}

/// The name of an address, as a reverse look-up tells it.
pub fn name_of(address: IpAddr) -> Option<String> {
    getent(&["hosts", &address.to_string()])
        .ok()?
        .split_whitespace()
        .nth(1)
        .map(str::to_owned)
}

/// The address that libprocess tells its peers when it listens on `bind`: for 0.0.0.0, whatever the own name resolves to first,
/// which is the classic trap of `127.0.1.1` in /etc/hosts.
pub fn advertised(bind: IpAddr) -> anyhow::Result<IpAddr> {
    if !bind.is_unspecified() {
        return Ok(bind);
    }
    let node = node();
    resolve(&node).with_context(|| format!("Failed to obtain the IP address for '{node}'; the DNS service may not be able to resolve it"))
}

/// The address a daemon listens on when no flag says it.
pub const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

fn getent(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("getent")
        .args(arguments)
        .output()
        .context("cannot run getent")?;
    if !output.status.success() {
        bail!(
            "unknown host {}",
            arguments.last().copied().unwrap_or_default()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_no_resolver() {
        assert_eq!(resolve("192.0.2.7").unwrap().to_string(), "192.0.2.7");
    }

    #[test]
    fn localhost_is_found_through_the_hosts_resolver() {
        assert!(resolve("localhost").unwrap().is_loopback());
    }
}
