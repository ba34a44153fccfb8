//! What the lab needs of this machine, each missing part as one error that says what to do.

use super::release::{Release, Vendor};
use super::run::SBIN;
use anyhow::{Context as _, Result, bail};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Tools and the Debian packages that bring them.
const TOOLS: &[(&str, &str)] = &[
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("ssh", "openssh-client"),
    ("ssh-keygen", "openssh-client"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
];

/// Linux and root: what every lab command needs.
pub(crate) fn root() -> Result<()> {
    if !cfg!(target_os = "linux") {
        bail!("lab hosts need Linux: run `mini-play lab` on a Linux machine or in a virtual one");
    }
    let ours = fs::metadata("/proc/self").map(|m| m.uid());
    if !matches!(ours, Ok(0)) {
        bail!("lab hosts need root: run it again with sudo");
    }
    Ok(())
}

/// Everything that building and starting hosts of a release needs.
pub(crate) fn tools(release: Release) -> Result<()> {
    let path = std::env::var("PATH").unwrap_or_default() + SBIN;
    let there = |tool: &str| {
        path.split(':')
            .any(|dir| Path::new(dir).join(tool).is_file())
    };
    let (keyring, package) = keyring(release.vendor);
    let mut packages: Vec<_> = TOOLS
        .iter()
        .filter(|(tool, _)| !there(tool))
        .map(|(_, package)| *package)
        .collect();
    if !Path::new(keyring).is_file() {
        packages.push(package);
    }
    packages.dedup();
    if !packages.is_empty() {
        bail!(
            "lab hosts need tools that are not installed: run `apt-get install {}`",
            packages.join(" ")
        );
    }
    Ok(())
}

/// Raises kernel limits that a few dozen init systems exceed together (each takes about seven inotify instances of
/// root's 128; beyond that a host hangs in its boot without a word). Only ever up, so that it can stay after the lab.
pub(crate) fn raise_limits() -> Result<()> {
    let path = "/proc/sys/fs/inotify/max_user_instances";
    let now = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    if now
        .trim()
        .parse::<u32>()
        .is_ok_and(|n| n < INOTIFY_INSTANCES)
    {
        fs::write(path, INOTIFY_INSTANCES.to_string())
            .with_context(|| format!("cannot raise {path}"))?;
    }
    Ok(())
}

/// Enough for several labs of the largest size.
const INOTIFY_INSTANCES: u32 = 8192;

/// The key ring that signs a vendor's packages, and the package it is in.
pub(crate) fn keyring(vendor: Vendor) -> (&'static str, &'static str) {
    match vendor {
        Vendor::Debian => (
            "/usr/share/keyrings/debian-archive-keyring.gpg",
            "debian-archive-keyring",
        ),
        Vendor::Ubuntu => (
            "/usr/share/keyrings/ubuntu-archive-keyring.gpg",
            "ubuntu-archive-keyring",
        ),
    }
}
