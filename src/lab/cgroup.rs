//! One control group a host, so that the hosts' init systems do not share theirs.
//!
//! Where systemd runs the controller, `systemd-nspawn` asks it for a scope. Elsewhere (containers,
//! other inits) we make `mini-play-LAB/HOST` in every mounted hierarchy ourselves: without it two
//! hosts would manage the same groups and one would kill the other's services.

use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the controller offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cgroups {
    /// systemd is the controller's init.
    pub(crate) scopes: bool,
    /// Version 2 alone is mounted on `/sys/fs/cgroup`.
    pub(crate) unified: bool,
    hierarchies: Vec<PathBuf>,
}

impl Cgroups {
    /// Looks at this machine.
    pub(crate) fn of_machine() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/mounts").context("cannot read /proc/mounts")?;
        let mut found = Self::parse(&mounts);
        found.scopes = Path::new("/run/systemd/system").is_dir();
        Ok(found)
    }

    fn parse(mounts: &str) -> Self {
        let mut hierarchies = Vec::new();
        let mut unified = false;
        for line in mounts.lines() {
            let mut words = line.split(' ').skip(1);
            let (Some(place), Some(kind)) = (words.next(), words.next()) else {
                continue;
            };
            if (kind == "cgroup" || kind == "cgroup2") && place.starts_with("/sys/fs/cgroup") {
                unified |= kind == "cgroup2" && place == "/sys/fs/cgroup";
                hierarchies.push(PathBuf::from(place));
            }
        }
        Self {
            scopes: false,
            unified,
            hierarchies,
        }
    }

    /// Makes the host's groups and gives the `cgroup.procs` files to join; none where systemd does it.
    pub(crate) fn make(&self, lab: &str, host: &str) -> Result<Vec<PathBuf>> {
        if self.scopes {
            return Ok(Vec::new());
        }
        let mut joins = Vec::new();
        for top in &self.hierarchies {
            let mut parent = top.clone();
            for part in [group(lab), host.to_owned()] {
                let child = parent.join(part);
                fs::create_dir_all(&child).with_context(|| {
                    format!("cannot make the control group {}", child.display())
                })?;
                // A version 1 cpuset refuses processes until it has CPUs and memory nodes.
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    if let Ok(text) = fs::read_to_string(parent.join(file)) {
                        let _ = fs::write(child.join(file), text);
                    }
                }
                // Version 2: hand on what controllers there are; where the parent may not, the host does without.
                if let Ok(all) = fs::read_to_string(parent.join("cgroup.controllers")) {
                    for controller in all.split_whitespace() {
                        let on = format!("+{controller}");
                        let _ = fs::write(parent.join("cgroup.subtree_control"), on);
                    }
                }
                parent = child;
            }
            joins.push(parent.join("cgroup.procs"));
        }
        Ok(joins)
    }

    /// Removes the groups of one host, or of the whole lab; those still in use get a short while.
    pub(crate) fn remove(&self, lab: &str, host: Option<&str>) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(5);
        for top in &self.hierarchies {
            let mut dir = top.join(group(lab));
            if let Some(host) = host {
                dir.push(host);
            }
            while dir.exists() {
                match remove_tree(&dir) {
                    Ok(()) => break,
                    Err(e) if Instant::now() > deadline => {
                        return Err(e).with_context(|| {
                            format!("cannot remove the control group {}", dir.display())
                        });
                    }
                    Err(_) => std::thread::sleep(Duration::from_millis(20)),
                }
            }
        }
        Ok(())
    }

    /// Memory that a process's whole control group holds, without the page cache.
    pub(crate) fn memory(&self, pid: u32) -> Option<u64> {
        let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let find = |wanted: &str| {
            groups.lines().find_map(|line| {
                let mut parts = line.splitn(3, ':').skip(1);
                (parts.next()?.split(',').any(|c| c == wanted)).then_some(parts.next()?)
            })
        };
        let (top, path, field) = if self.unified {
            // nspawn itself sits in `supervisor`, beside the host's `payload`.
            let path = find("")?.trim_end_matches("/supervisor");
            (Path::new("/sys/fs/cgroup"), path, "anon")
        } else {
            (
                Path::new("/sys/fs/cgroup/memory"),
                find("memory")?,
                "total_rss",
            )
        };
        let stat = top.join(path.trim_start_matches('/')).join("memory.stat");
        let stat = fs::read_to_string(stat).ok()?;
        stat.lines()
            .find_map(|l| l.strip_prefix(field)?.strip_prefix(' ')?.parse().ok())
    }
}

/// Name of the lab's group.
pub(crate) fn group(lab: &str) -> String {
    format!("mini-play-{lab}")
}

/// Removes a group and those in it (only directories can be removed there, children first).
fn remove_tree(dir: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_hybrid_from_unified() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\n\
                      cgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let seen = Cgroups::parse(hybrid);
        assert!(!seen.unified);
        assert_eq!(seen.hierarchies.len(), 2);
        assert!(Cgroups::parse("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n").unified);
    }
}
