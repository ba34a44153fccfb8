//! The small files of a lab: its state, inventory, known_hosts, ssh configuration, keys.

use super::net::Subnet;
use super::run::run;
use super::{LabHost, host_name};
use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

/// What a lab remembers between commands.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) release: String,
    pub(crate) mirror: Option<String>,
    pub(crate) include: Vec<String>,
    pub(crate) subnet: String,
    pub(crate) hosts: u32,
}

impl State {
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join("lab.json");
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .with_context(|| format!("cannot understand {}", path.display())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        put(&dir.join("lab.json"), &serde_json::to_string_pretty(self)?)
    }
}

/// Writes a file whole or not at all.
pub(crate) fn put(path: &Path, text: &str) -> Result<()> {
    let temporary = path.with_extension("new");
    fs::write(&temporary, text)
        .and_then(|()| fs::rename(&temporary, path))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// 32 hex digits nobody else has.
pub(crate) fn random_id() -> Result<String> {
    let id =
        fs::read_to_string("/proc/sys/kernel/random/uuid").context("cannot get a random id")?;
    Ok(id.trim().replace('-', ""))
}

/// Makes an ed25519 key pair unless it is there; gives the public half.
pub(crate) fn key_pair(path: &Path, comment: &str) -> Result<String> {
    let public = path.with_extension("pub");
    if !public.exists() || !path.exists() {
        let _ = fs::remove_file(path);
        run("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", comment, "-f"])
            .arg(path)
            .ok()
            .context("cannot make a key pair")?;
    }
    fs::read_to_string(&public).with_context(|| format!("cannot read {}", public.display()))
}

/// `inventory.yaml` in Ansible's YAML format.
pub(crate) fn inventory(dir: &Path, hosts: &[LabHost]) -> String {
    let known = format!("UserKnownHostsFile={}", dir.join("known_hosts").display());
    let known = shlex::try_quote(&known).map_or(known.clone(), std::borrow::Cow::into_owned);
    let mut text = format!(
        "# Written by `mini-play lab up`.\n\
         all:\n  vars:\n    ansible_user: root\n    ansible_ssh_private_key_file: {}\n    \
         ansible_ssh_common_args: {}\n  hosts:\n",
        yaml(&dir.join("key").to_string_lossy()),
        yaml(&format!("-o {known}")),
    );
    for host in hosts {
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "    {}:\n      ansible_host: {}",
            host.name, host.address
        );
    }
    text
}

/// `known_hosts`: every host by address and by name.
pub(crate) fn known_hosts(hosts: &[(LabHost, String)]) -> String {
    hosts.iter().fold(String::new(), |text, (host, key)| {
        let key: Vec<_> = key.split_whitespace().take(2).collect();
        text + &format!("{},{} {}\n", host.address, host.name, key.join(" "))
    })
}

/// `ssh_config`: `ssh -F …/ssh_config node1` from anywhere.
pub(crate) fn ssh_config(dir: &Path, hosts: &[LabHost]) -> String {
    let mut text = String::new();
    for host in hosts {
        let _ = writeln!(text, "Host {}\n    HostName {}", host.name, host.address);
    }
    let quoted = |name: &str| format!("\"{}\"", dir.join(name).display());
    let _ = writeln!(
        text,
        "Host *\n    User root\n    IdentityFile {}\n    IdentitiesOnly yes\n    UserKnownHostsFile {}\n    \
         StrictHostKeyChecking yes\n    LogLevel ERROR",
        quoted("key"),
        quoted("known_hosts"),
    );
    text
}

/// The lab's part of a host's `/etc/hosts`, so that hosts know each other by name.
pub(crate) fn hosts_block(subnet: Subnet, count: u32) -> String {
    let names = (1..=count).map(|n| format!("{} {}\n", subnet.host(n), host_name(n)));
    format!("{BEGIN}\n{}{END}\n", names.collect::<String>())
}

const BEGIN: &str = "# mini-play lab: hosts";
const END: &str = "# mini-play lab: end";

/// Replaces the lab's part and leaves what else a playbook wrote there.
pub(crate) fn with_hosts_block(old: &str, block: &str) -> String {
    let kept = match (old.find(BEGIN), old.find(END)) {
        (Some(begin), Some(end)) if begin < end => {
            let rest = old[end + END.len()..].trim_start_matches('\n');
            return format!("{}{block}{rest}", &old[..begin]);
        }
        _ => old,
    };
    format!("{kept}{block}")
}

/// A YAML double-quoted scalar (JSON's strings are some).
fn yaml(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(n: u32) -> Vec<LabHost> {
        let subnet: Subnet = "10.213.3.0/24".parse().unwrap();
        (1..=n)
            .map(|number| LabHost {
                name: host_name(number),
                address: subnet.host(number),
            })
            .collect()
    }

    #[test]
    fn inventory_is_ansibles() {
        let text = inventory(Path::new("/var/lib/x y"), &hosts(2));
        assert_eq!(
            text,
            "# Written by `mini-play lab up`.\nall:\n  vars:\n    ansible_user: root\n    \
             ansible_ssh_private_key_file: \"/var/lib/x y/key\"\n    \
             ansible_ssh_common_args: \"-o 'UserKnownHostsFile=/var/lib/x y/known_hosts'\"\n  hosts:\n    \
             node1:\n      ansible_host: 10.213.3.11\n    node2:\n      ansible_host: 10.213.3.12\n"
        );
    }

    #[test]
    fn known_hosts_name_address_and_key() {
        let host = hosts(1).remove(0);
        let text = known_hosts(&[(host, "ssh-ed25519 AAAA comment\n".into())]);
        assert_eq!(text, "10.213.3.11,node1 ssh-ed25519 AAAA\n");
    }

    #[test]
    fn hosts_block_is_replaced_in_place() {
        let subnet: Subnet = "10.213.3.0/24".parse().unwrap();
        let one = with_hosts_block("127.0.0.1 localhost\n", &hosts_block(subnet, 1));
        let edited = one.clone() + "192.0.2.7 extra\n";
        let two = with_hosts_block(&edited, &hosts_block(subnet, 2));
        assert_eq!(two.matches("node1").count(), 1);
        assert!(two.starts_with("127.0.0.1 localhost\n"), "{two}");
        assert!(
            two.contains("node2\n# mini-play lab: end\n192.0.2.7 extra\n"),
            "{two}"
        );
    }

    #[test]
    fn state_survives() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(State::read(dir.path()).unwrap(), None);
        let state = State {
            release: "trixie".into(),
            mirror: None,
            include: vec!["haproxy".into()],
            subnet: "10.213.0.0/24".into(),
            hosts: 3,
        };
        state.write(dir.path()).unwrap();
        assert_eq!(State::read(dir.path()).unwrap(), Some(state));
    }
}
