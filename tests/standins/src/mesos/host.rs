//! What an agent wants of its host before it starts: cgroups, isolators, Docker.

use super::flags::Flags;
use crate::version::{self, Version};
use anyhow::bail;
use std::path::Path;

/// Whose Mesos this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vendor {
    /// Apache's, which knows cgroup v1 only.
    Apache,
    /// The fork, which knows v2 as well.
    ClusterD,
}

impl Vendor {
    /// The vendor of the package around this program.
    pub fn installed() -> Self {
        match version::installed("mesos") {
            Some(text) if text.contains("clusterd") => Self::ClusterD,
            _ => Self::Apache,
        }
    }

    fn can_use(self, controller: &str) -> bool {
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
        has_controller(&mounts, controller) || (self == Self::ClusterD && unified)
    }
}

/// What the real agent wants of the host before it starts.
pub fn check(version: Version, vendor: Vendor, flags: &Flags) -> anyhow::Result<()> {
    let systemd =
        Path::new("/run/systemd/system").exists() && flags.is("systemd_enable_support", true);
    if version >= Version(1, 0, 0) && systemd && !Path::new("/sys/fs/cgroup/systemd").is_dir() {
        bail!(
            "Failed to initialize systemd: Failed to locate systemd cgroups hierarchy: '/sys/fs/cgroup/systemd' is not a valid hierarchy"
        );
    }
    let failed = "Failed to create a containerizer: Could not create MesosContainerizer: ";
    for isolator in flags
        .get("isolation")
        .unwrap_or("posix/cpu,posix/mem")
        .split(',')
        .map(str::trim)
    {
        let known = [
            "posix",
            "process",
            "cgroups",
            "filesystem/",
            "namespaces/",
            "network/",
            "disk/",
            "docker/",
            "volume/",
            "gpu/",
            "linux/",
            "appc/",
            "environment_secret",
        ];
        if !known.iter().any(|prefix| isolator.starts_with(prefix)) {
            bail!("{failed}Unknown or unsupported isolator '{isolator}'");
        }
        if let Some(subsystem) = isolator.strip_prefix("cgroups/") {
            let subsystem = if subsystem == "mem" {
                "memory"
            } else {
                subsystem
            };
            if ["cpu", "memory"].contains(&subsystem) && !vendor.can_use(subsystem) {
                bail!(
                    "{failed}Failed to create isolator '{isolator}': Failed to prepare hierarchy for the subsystem '{subsystem}': Failed to find a mounted hierarchy"
                );
            }
        }
    }
    Ok(())
}

/// The Docker client, when the containerizer is enabled and can work.
pub fn containerizers(
    version: Version,
    vendor: Vendor,
    flags: &Flags,
) -> anyhow::Result<Option<String>> {
    let mut docker = None;
    for name in flags
        .get("containerizers")
        .unwrap_or("mesos")
        .split(',')
        .map(str::trim)
    {
        match name {
            "mesos" => {}
            "docker" => docker = Some(flags.get("docker").unwrap_or("docker").to_owned()),
            "external" if version < Version(1, 1, 0) => {}
            other => bail!(
                "Failed to create a containerizer: Unknown or unsupported containerizer: {other}"
            ),
        }
    }
    let Some(client) = docker else {
        return Ok(None);
    };
    let failed = "Failed to create a containerizer: Could not create DockerContainerizer: Failed to create docker: ";
    if !vendor.can_use("cpu") {
        bail!(
            "{failed}Failed to find a mounted cgroups hierarchy for the 'cpu' subsystem; you probably need to mount cgroups manually"
        );
    }
    match std::process::Command::new(&client)
        .arg("--version")
        .output()
    {
        Ok(output) if output.status.success() => Ok(Some(client)),
        _ => bail!(
            "{failed}Failed to get docker version: Failed to execute '{client} -H unix:///var/run/docker.sock --version'"
        ),
    }
}

fn has_controller(mounts: &str, controller: &str) -> bool {
    mounts.lines().any(|line| {
        let fields: Vec<&str> = line.split(' ').collect();
        matches!(fields[..], [_, _, "cgroup", options, ..] if options.split(',').any(|option| option == controller))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesos::flags::Known;

    #[test]
    fn only_cgroup_v1_counts() {
        let v1 = "cgroup /sys/fs/cgroup/cpu cgroup rw,nosuid,cpu,cpuacct 0 0\n";
        let v2 = "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nsdelegate 0 0\n";
        assert!(
            has_controller(v1, "cpu")
                && !has_controller(v1, "memory")
                && !has_controller(v2, "cpu")
        );
    }

    #[test]
    fn unknown_containerizers_and_isolators_stop_the_agent() {
        let version = Version(1, 11, 0);
        let load = |argument: &str| {
            Flags::load(
                &Known::agent(version),
                std::iter::empty(),
                &[argument.to_owned()],
            )
            .unwrap()
        };
        let error = containerizers(version, Vendor::Apache, &load("--containerizers=docker2"))
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with("Unknown or unsupported containerizer: docker2"),
            "{error}"
        );
        let flags = Flags::load(
            &Known::agent(version),
            std::iter::empty(),
            &[
                "--no-systemd_enable_support".to_owned(),
                "--isolation=posix/cpu,magic".to_owned(),
            ],
        );
        let error = check(version, Vendor::Apache, &flags.unwrap())
            .unwrap_err()
            .to_string();
        assert!(
            error.ends_with("Unknown or unsupported isolator 'magic'"),
            "{error}"
        );
    }
}
