//! Disposable hosts to try playbooks on: `mini-play lab`.
//!
//! A host is a real Debian or Ubuntu with systemd and sshd, started by `systemd-nspawn` on an overlay
//! over a cached base image. A lab is a few of them on one bridge, with a key, a `known_hosts` and an
//! `inventory.yaml`. Everything on the machine carries the lab's name, so that `down` finds all of it
//! without any record, also after a crash.

mod base;
mod cgroup;
mod files;
mod host;
mod lock;
mod mounts;
mod net;
mod preflight;
mod release;
mod run;

pub use net::Subnet;

use crate::diag;
use anyhow::{Context as _, Result, bail};
use base::Base;
use cgroup::Cgroups;
use files::State;
use host::{Host, Site};
use lock::Lock;
use net::{Network, Used};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Told what takes long.
pub type Progress<'a> = &'a dyn Fn(&str);

/// The most hosts a lab can have.
pub const MAX_HOSTS: u32 = 100;

const DEFAULT_RELEASE: &str = "bookworm";

/// What `up` is asked for; what is left open keeps its value in a lab that exists.
#[derive(Debug, Clone, Default)]
pub struct LabOptions {
    /// The lab's name: small letters, digits and dashes, at most 12.
    pub name: String,
    /// How many hosts (1 unless said).
    pub hosts: Option<u32>,
    /// Release of the hosts (`bookworm` unless said).
    pub release: Option<String>,
    /// Where packages come from (the controller's mirror unless said).
    pub mirror: Option<String>,
    /// Address range (a free one unless said).
    pub subnet: Option<String>,
    /// More packages for the base image.
    pub include: Vec<String>,
}

/// A host as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabHost {
    /// `node1`, `node2`, …
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
}

/// A host and how it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostStatus {
    /// The host.
    pub host: LabHost,
    /// Whether it runs.
    pub running: bool,
    /// Memory in bytes, without the page cache, where it can be known.
    pub memory: Option<u64>,
}

/// A lab that exists.
#[derive(Debug, Clone)]
pub struct Lab {
    name: String,
    dir: PathBuf,
    state: State,
    subnet: Subnet,
}

impl Lab {
    /// Finds a lab by name.
    ///
    /// # Errors
    /// There is no such lab, or its directory cannot be read.
    pub fn open(name: &str) -> Result<Self> {
        check_name(name)?;
        let dir = labs_dir().join(name);
        let Some(state) = State::read(&dir)? else {
            let others = names();
            let hint = match diag::near(name, others.iter().map(String::as_str)) {
                Some(near) => format!("did you mean `--name {near}`?"),
                None => "make it with `mini-play lab up`".to_owned(),
            };
            bail!("there is no lab named `{name}`: {hint}");
        };
        let subnet = state.subnet.parse()?;
        Ok(Self {
            name: name.to_owned(),
            dir,
            state,
            subnet,
        })
    }

    /// Makes the lab as asked, or changes the one there is: starts what does not run, adds or removes hosts.
    ///
    /// # Errors
    /// Not root, a missing tool, options that contradict each other or the lab, a range in use, a host that does not boot.
    pub fn up(options: &LabOptions, progress: Progress<'_>) -> Result<Self> {
        let name = &options.name;
        check_name(name)?;
        preflight::root()?;
        let _lock = lock(name, progress)?;
        let dir = labs_dir().join(name);
        check_dir(name, &dir)?;
        let old = State::read(&dir)?;
        let (release, mut state) = plan(options, old.as_ref())?;
        preflight::tools(release)?;
        let base = Base::new(release, state.mirror.as_deref(), &state.include)?;
        let image = base.ensure(progress)?;

        let network = Network::of(name);
        let subnet = {
            // Between looking for a free range and taking it nobody else may do the same.
            let _lock = Lock::take(Path::new("/run/mini-play-lab.net.lock"), || ())?;
            let mut used = net::used(&network.bridge())?;
            used.extend(reserved(name));
            let subnet = match &state.subnet {
                text if text.is_empty() => Subnet::free(&used)?,
                text => Subnet::asked(text, state.hosts)?,
            };
            subnet.check_unused(&used)?;
            fs::create_dir_all(dir.join("hosts"))
                .with_context(|| format!("cannot make {}", dir.display()))?;
            state.subnet = subnet.to_string();
            // Hosts beyond the new number are known until they are gone.
            let hosts = old.as_ref().map_or(0, |o| o.hosts).max(state.hosts);
            State {
                hosts,
                ..state.clone()
            }
            .write(&dir)?;
            network.up(subnet, &dir)?;
            subnet
        };
        let lab = Self {
            name: name.clone(),
            dir,
            state,
            subnet,
        };
        lab.settle(release, &image, progress)?;
        Ok(lab)
    }

    /// Brings the hosts to the number in the state, which is written at last.
    fn settle(
        &self,
        release: release::Release,
        image: &Path,
        progress: Progress<'_>,
    ) -> Result<()> {
        files::key_pair(
            &self.dir.join("key"),
            &format!("mini-play lab {}", self.name),
        )?;
        let cgroups = Cgroups::of_machine()?;
        let site = self.site(release, image, &cgroups);
        let surplus: Vec<_> = host::traces(&self.name, &self.dir)
            .into_iter()
            .filter(|n| *n > self.state.hosts)
            .collect();
        each(&surplus, |n| Host::new(&site, n).remove())?;
        let mut keys = Vec::new();
        for number in 1..=self.state.hosts {
            let host = Host::new(&site, number);
            keys.push((host.describe(), host.ssh_key()?));
        }
        let hosts = self.hosts();
        files::put(&self.dir.join("known_hosts"), &files::known_hosts(&keys))?;
        files::put(
            &self.dir.join("ssh_config"),
            &files::ssh_config(&self.dir, &hosts),
        )?;
        files::put(&self.inventory(), &files::inventory(&self.dir, &hosts))?;
        self.state.write(&self.dir)?;
        preflight::raise_limits()?;
        let all: Vec<_> = (1..=self.state.hosts).collect();
        progress(&format!("starting {} {} host(s)", all.len(), release.name));
        each(&all, |n| Host::new(&site, n).up())
    }

    /// Gives hosts back their base state; their keys and addresses stay.
    ///
    /// # Errors
    /// An unknown host name, or a host that does not boot.
    pub fn reset(&self, hosts: &[String], progress: Progress<'_>) -> Result<()> {
        preflight::root()?;
        let numbers: Vec<_> = hosts
            .iter()
            .map(|h| self.number(h))
            .collect::<Result<_>>()?;
        let _lock = lock(&self.name, progress)?;
        let release = release::find(&self.state.release)?;
        let base = Base::new(release, self.state.mirror.as_deref(), &self.state.include)?;
        let image = base.ensure(progress)?;
        Network::of(&self.name).up(self.subnet, &self.dir)?;
        let cgroups = Cgroups::of_machine()?;
        let site = self.site(release, &image, &cgroups);
        each(&numbers, |n| {
            let host = Host::new(&site, n);
            host.wipe()?;
            host.up()
        })
    }

    /// Removes every trace of a lab, whether it is whole, half made or not there.
    ///
    /// # Errors
    /// Not root, or something that cannot be removed.
    pub fn down(name: &str, progress: Progress<'_>) -> Result<()> {
        check_name(name)?;
        preflight::root()?;
        let _lock = lock(name, progress)?;
        let dir = labs_dir().join(name);
        check_dir(name, &dir)?;
        // Each step is tried even when one before it failed; the first failure is told.
        let mut results = vec![host::kill(name, None)];
        let traces = host::traces(name, &dir);
        if let Ok(Some(state)) = State::read(&dir) {
            keep_packages(&dir, &state, &traces);
        }
        for number in traces {
            host::remove_traces(name, &dir, number);
        }
        results.push(mounts::remove_dir(&dir));
        results.push(Network::of(name).down());
        results.push(Cgroups::of_machine().and_then(|c| c.remove(name, None)));
        results.push(base::drop_abandoned());
        // Only succeeds when this was the last lab.
        let _ = fs::remove_dir(labs_dir());
        results.into_iter().collect()
    }

    /// The lab's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory with its key, `known_hosts`, `ssh_config` and `inventory.yaml`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its inventory in Ansible's YAML format.
    #[must_use]
    pub fn inventory(&self) -> PathBuf {
        self.dir.join("inventory.yaml")
    }

    /// The release its hosts run.
    #[must_use]
    pub fn release(&self) -> &str {
        &self.state.release
    }

    /// Its address range; the first address is the controller's.
    #[must_use]
    pub fn subnet(&self) -> Subnet {
        self.subnet
    }

    /// Its hosts.
    #[must_use]
    pub fn hosts(&self) -> Vec<LabHost> {
        (1..=self.state.hosts)
            .map(|number| LabHost {
                name: host_name(number),
                address: self.subnet.host(number),
            })
            .collect()
    }

    /// Its hosts and how they are.
    ///
    /// # Errors
    /// The machine's control groups cannot be read.
    pub fn status(&self) -> Result<Vec<HostStatus>> {
        let cgroups = Cgroups::of_machine()?;
        let hosts = self.hosts().into_iter().zip(1..);
        Ok(hosts
            .map(|(host, number)| {
                let pid = host::supervisor(&self.name, number);
                HostStatus {
                    host,
                    running: pid.is_some(),
                    memory: pid.and_then(|pid| cgroups.memory(pid)),
                }
            })
            .collect())
    }

    /// The command that logs in to a host (`node1` or `student@node1`) and runs a command there, if any.
    ///
    /// # Errors
    /// An unknown host name.
    pub fn ssh(&self, host: &str, command: &[String]) -> Result<std::process::Command> {
        self.number(host.rsplit('@').next().unwrap_or(host))?;
        let mut ssh = std::process::Command::new("ssh");
        ssh.arg("-F").arg(self.dir.join("ssh_config")).arg(host);
        if !command.is_empty() {
            ssh.arg("--").args(command);
        }
        Ok(ssh)
    }

    fn number(&self, host: &str) -> Result<u32> {
        let hosts = self.hosts();
        if let Some(at) = hosts.iter().position(|h| h.name == host) {
            return Ok(u32::try_from(at)? + 1);
        }
        match diag::near(host, hosts.iter().map(|h| h.name.as_str())) {
            Some(near) => bail!(
                "the lab `{}` has no host `{host}`: did you mean `{near}`?",
                self.name
            ),
            None => bail!(
                "the lab `{}` has no host `{host}`: it has node1 to {}",
                self.name,
                host_name(self.state.hosts)
            ),
        }
    }

    fn site<'a>(
        &'a self,
        release: release::Release,
        base: &'a Path,
        cgroups: &'a Cgroups,
    ) -> Site<'a> {
        Site {
            lab: &self.name,
            dir: &self.dir,
            subnet: self.subnet,
            release,
            base,
            cgroups,
            count: self.state.hosts,
        }
    }
}

/// Whether this machine can run a lab of a release (`bookworm` unless said), and if not, what to do about it.
///
/// # Errors
/// Not Linux, not root, an unknown release, or a missing tool.
pub fn check_machine(release: Option<&str>) -> Result<()> {
    preflight::root()?;
    preflight::tools(release::find(release.unwrap_or(DEFAULT_RELEASE))?)
}

/// Removes cached base images and packages; names the images that stay because a lab runs on them.
///
/// # Errors
/// Not root, or a directory that cannot be removed.
pub fn drop_cache() -> Result<Vec<String>> {
    preflight::root()?;
    base::drop_cache()
}

/// The names of all labs.
#[must_use]
pub fn names() -> Vec<String> {
    let entries = fs::read_dir(labs_dir()).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Where labs live: `$MINI_PLAY_LAB_DIR`, else `/var/lib/mini-play/labs`.
fn labs_dir() -> PathBuf {
    std::env::var_os("MINI_PLAY_LAB_DIR")
        .filter(|dir| !dir.is_empty())
        .map_or_else(
            || "/var/lib/mini-play/labs".into(),
            |dir| std::path::absolute(&dir).unwrap_or_else(|_| dir.into()),
        )
}

fn host_name(number: u32) -> String {
    format!("node{number}")
}

/// A lab's name becomes that of an interface, which has at most 15 characters.
fn check_name(name: &str) -> Result<()> {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || name.len() > 12 || !name.chars().all(good) || name.starts_with('-') {
        bail!("`{name}` cannot be a lab's name: use 1 to 12 small letters, digits and dashes");
    }
    Ok(())
}

/// Names are the machine's: a lab of that name kept elsewhere is not ours to touch.
fn check_dir(name: &str, dir: &Path) -> Result<()> {
    if let Some(text) = dir.to_str().filter(|t| !t.contains([',', ':', '\\', '\n'])) {
        match Network::of(name).owner() {
            Some(owner) if owner != text => bail!(
                "a lab named `{name}` is kept in {owner}: choose another --name, or set MINI_PLAY_LAB_DIR to that directory's parent"
            ),
            _ => Ok(()),
        }
    } else {
        bail!(
            "labs cannot be kept in {}: its name has signs that mount does not take",
            dir.display()
        );
    }
}

/// One command at a time works on a lab.
fn lock(name: &str, progress: Progress<'_>) -> Result<Lock> {
    Lock::take(
        Path::new(&format!("/run/mini-play-lab.{name}.lock")),
        || {
            progress(&format!(
                "waiting for another command that works on the lab `{name}`"
            ));
        },
    )
}

/// The ranges of other labs, whether they run or not.
fn reserved(except: &str) -> Vec<Used> {
    let others = names().into_iter().filter(|name| name != except);
    others
        .filter_map(|name| {
            let state = State::read(&labs_dir().join(&name)).ok()??;
            let subnet = state.subnet.parse().ok()?;
            let by = format!("the lab `{name}`");
            Some(Used { subnet, by })
        })
        .collect()
}

/// What the lab is to be: the options, and where they are silent what it was.
fn plan(options: &LabOptions, old: Option<&State>) -> Result<(release::Release, State)> {
    let name = &options.name;
    let hosts = options.hosts.or(old.map(|o| o.hosts)).unwrap_or(1);
    if !(1..=MAX_HOSTS).contains(&hosts) {
        bail!("a lab has 1 to {MAX_HOSTS} hosts, not {hosts}");
    }
    let release = options
        .release
        .as_deref()
        .or(old.map(|o| o.release.as_str()));
    let release = release::find(release.unwrap_or(DEFAULT_RELEASE))?;
    let mut state = State {
        release: release.name.to_owned(),
        mirror: options.mirror.clone(),
        include: options.include.clone(),
        subnet: match &options.subnet {
            Some(text) => Subnet::asked(text, hosts)?.to_string(),
            None => String::new(),
        },
        hosts,
    };
    if let Some(old) = old {
        let differs = |what: &str, was: &str| {
            anyhow::anyhow!(
                "the lab `{name}` has {what} {was}: run `mini-play lab down --name {name}` first, or choose another --name"
            )
        };
        if state.release != old.release {
            return Err(differs("the release", &old.release));
        }
        if state.mirror.is_some() && state.mirror != old.mirror {
            return Err(differs(
                "the mirror",
                old.mirror.as_deref().unwrap_or("of this machine"),
            ));
        }
        if !state.include.is_empty() && state.include != old.include {
            return Err(differs(
                "the extra packages",
                &format!("`{}`", old.include.join(",")),
            ));
        }
        if !state.subnet.is_empty() && state.subnet != old.subnet {
            return Err(differs("the address range", &old.subnet));
        }
        state = State {
            hosts,
            ..old.clone()
        };
    }
    Ok((release, state))
}

/// Keeps downloaded packages of hosts that are about to go.
fn keep_packages(dir: &Path, state: &State, numbers: &[u32]) {
    for number in numbers {
        host::keep_packages(&host::host_dir(dir, *number), &state.release);
    }
}

/// Does something with every host, a few at a time; tells all failures.
fn each(numbers: &[u32], work: impl Fn(u32) -> Result<()> + Sync) -> Result<()> {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let queue = Mutex::new(numbers.iter().copied());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..(2 * cores).clamp(4, 16).min(numbers.len()) {
            scope.spawn(|| {
                loop {
                    let next = lock_up(&queue).next();
                    let Some(number) = next else { break };
                    if let Err(e) = work(number) {
                        lock_up(&failures).push(format!("{}: {e:#}", host_name(number)));
                    }
                }
            });
        }
    });
    let failures = std::mem::take(&mut *lock_up(&failures));
    if failures.is_empty() {
        return Ok(());
    }
    bail!("{}", failures.join("\n"))
}

/// A lock that a panic elsewhere does not spoil: there is nothing half done behind it.
fn lock_up<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_an_interface() {
        for good in ["dev", "a", "t-1", "abcdefghijkl"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "Dev", "a_b", "abcdefghijklm", "a/b", ".."] {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }

    fn options() -> LabOptions {
        LabOptions {
            name: "t".into(),
            ..LabOptions::default()
        }
    }

    #[test]
    fn silent_options_keep_what_the_lab_is() {
        let first = LabOptions {
            hosts: Some(3),
            release: Some("trixie".into()),
            subnet: Some("10.9.0.0/24".into()),
            ..options()
        };
        let (_, old) = plan(&first, None).unwrap();
        assert_eq!(plan(&options(), Some(&old)).unwrap().1, old);
        let grown = LabOptions {
            hosts: Some(5),
            ..options()
        };
        assert_eq!(plan(&grown, Some(&old)).unwrap().1.hosts, 5);
        let other = LabOptions {
            release: Some("bookworm".into()),
            ..options()
        };
        let text = plan(&other, Some(&old)).unwrap_err().to_string();
        assert!(text.contains("has the release trixie"), "{text}");
    }

    #[test]
    fn numbers_of_hosts_are_bounded() {
        for hosts in [0, 101] {
            let asked = LabOptions {
                hosts: Some(hosts),
                ..options()
            };
            assert!(plan(&asked, None).is_err(), "{hosts}");
        }
    }

    #[test]
    fn unknown_hosts_get_a_suggestion() {
        let (_, state) = plan(
            &LabOptions {
                hosts: Some(3),
                ..options()
            },
            None,
        )
        .unwrap();
        let lab = Lab {
            name: "t".into(),
            dir: "/x".into(),
            state,
            subnet: "10.9.0.0/24".parse().unwrap(),
        };
        assert_eq!(lab.number("node3").unwrap(), 3);
        let text = lab.number("ndoe2").unwrap_err().to_string();
        assert!(text.contains("did you mean `node2`"), "{text}");
        assert!(
            lab.number("web")
                .unwrap_err()
                .to_string()
                .contains("node1 to node3")
        );
    }
}
