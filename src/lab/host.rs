//! One lab host: its overlay, its boot, its end.

use super::cgroup::{Cgroups, group};
use super::files;
use super::net::{Network, Subnet};
use super::run::{SBIN, run, tail};
use super::{LabHost, base, host_name, mounts, release::Release};
use anyhow::{Context as _, Result, anyhow, bail};
use std::fs::{self, File};
use std::io::Read as _;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long a host may take to boot; many boot at once on a small machine.
const BOOT: Duration = Duration::from_secs(120);
/// How long killed processes may take to be gone.
const KILL: Duration = Duration::from_secs(15);

/// What all hosts of a lab share.
pub(crate) struct Site<'a> {
    pub(crate) lab: &'a str,
    /// The lab's directory.
    pub(crate) dir: &'a Path,
    pub(crate) subnet: Subnet,
    pub(crate) release: Release,
    /// The base image's directory.
    pub(crate) base: &'a Path,
    pub(crate) cgroups: &'a Cgroups,
    pub(crate) count: u32,
}

/// One host of a lab.
pub(crate) struct Host<'a> {
    site: &'a Site<'a>,
    number: u32,
    dir: PathBuf,
}

impl<'a> Host<'a> {
    pub(crate) fn new(site: &'a Site<'a>, number: u32) -> Self {
        let dir = host_dir(site.dir, number);
        Self { site, number, dir }
    }

    pub(crate) fn describe(&self) -> LabHost {
        LabHost {
            name: host_name(self.number),
            address: self.site.subnet.host(self.number),
        }
    }

    /// The host's own ssh key, which lasts as long as the lab; gives the public half.
    pub(crate) fn ssh_key(&self) -> Result<String> {
        fs::create_dir_all(&self.dir)
            .with_context(|| format!("cannot make {}", self.dir.display()))?;
        let key = self.dir.join("ssh_host_ed25519_key");
        files::key_pair(&key, &host_name(self.number))
    }

    /// Starts it unless it runs, and waits until one can log in.
    pub(crate) fn up(&self) -> Result<()> {
        if self.runs() {
            self.write_hosts_file()?;
            match self.wait() {
                // It was just shutting down.
                Err(_) if !self.runs() => {}
                result => return result,
            }
        }
        // Whatever a crash or a `poweroff` left of it.
        self.stop()?;
        self.mount()?;
        self.configure()?;
        self.boot()?;
        self.wait()
    }

    fn runs(&self) -> bool {
        supervisor(self.site.lab, self.number).is_some()
    }

    /// Ends it and throws away what it wrote.
    pub(crate) fn wipe(&self) -> Result<()> {
        self.stop()?;
        keep_packages(&self.dir, self.site.release.name);
        for part in ["upper", "work", "root"] {
            mounts::remove_dir(&self.dir.join(part))?;
        }
        Ok(())
    }

    /// Ends it for good.
    pub(crate) fn remove(&self) -> Result<()> {
        self.wipe()?;
        mounts::remove_dir(&self.dir)
    }

    /// Pulls the plug: what it would save in an orderly shutdown is of no use to anybody.
    fn stop(&self) -> Result<()> {
        kill(self.site.lab, Some(self.number))?;
        remove_traces(self.site.lab, self.site.dir, self.number);
        self.site
            .cgroups
            .remove(self.site.lab, Some(&host_name(self.number)))?;
        mounts::unmount(&self.dir)
    }

    fn root(&self) -> PathBuf {
        self.dir.join("root")
    }

    fn mount(&self) -> Result<()> {
        // Changes belong to the image they were made on; and to the machine's present boot, because what a host
        // writes is not forced to disk (see below), so that nobody knows what a crash of the machine left of it.
        let image = fs::read_to_string(self.site.base.join("build-id")).unwrap_or_default();
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let (mark, stand) = (self.dir.join("stands-on"), format!("{image} {boot}"));
        if fs::read_to_string(&mark).ok().as_ref() != Some(&stand) {
            self.wipe()?;
        }
        let fresh = !self.dir.join("upper").exists();
        for part in ["upper", "work", "root"] {
            let part = self.dir.join(part);
            fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
            fs::set_permissions(&part, fs::Permissions::from_mode(0o755))?;
        }
        files::put(&mark, &stand)?;
        if fresh {
            self.bring_packages();
        }
        // Kept by overlayfs to refuse what a crash may have torn; the boot id says that better.
        let _ = fs::remove_dir_all(self.dir.join("work/work/incompat"));
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            self.site.base.join("root").display(),
            self.dir.join("upper").display(),
            self.dir.join("work").display()
        );
        let mount = |options: &str| {
            run("mount")
                .args(["-t", "overlay", "overlay", "-o", options])
                .arg(self.root())
                .ok()
        };
        // `volatile` makes every sync free, and so installing packages quick; kernels before 5.10 do not know it.
        mount(&format!("{options},volatile"))
            .or_else(|_| mount(&options))
            .context("cannot mount the host's file system")
    }

    /// Downloaded packages of earlier hosts of the release, as hard links: apt checks them before use.
    fn bring_packages(&self) {
        let archives = self.dir.join("upper").join(ARCHIVES);
        let from = base::packages(self.site.release.name);
        // Only a saving: whatever fails here is downloaded.
        let Ok(entries) = fs::read_dir(from) else {
            return;
        };
        if fs::create_dir_all(&archives).is_ok() {
            for entry in entries.flatten() {
                let _ = fs::hard_link(entry.path(), archives.join(entry.file_name()));
            }
        }
    }

    /// Writes what makes this host differ from the base image.
    fn configure(&self) -> Result<()> {
        let site = self.site;
        let name = host_name(self.number);
        let address = format!("{}/{}", site.subnet.host(self.number), site.subnet.prefix());
        let boot = format!("ADDRESS={address}\nGATEWAY={}\n", site.subnet.gateway());
        self.put("etc/mini-play-lab", &boot, 0o644)?;
        self.put("etc/hostname", &format!("{name}\n"), 0o644)?;
        self.put("etc/resolv.conf", &resolv_conf()?, 0o644)?;
        let machine = self.dir.join("machine-id");
        if !machine.exists() {
            files::put(&machine, &format!("{}\n", files::random_id()?))?;
        }
        self.put("etc/machine-id", &fs::read_to_string(machine)?, 0o444)?;
        let public = self.ssh_key()?;
        let private = fs::read_to_string(self.dir.join("ssh_host_ed25519_key"))?;
        self.put("etc/ssh/ssh_host_ed25519_key", &private, 0o600)?;
        self.put("etc/ssh/ssh_host_ed25519_key.pub", &public, 0o644)?;
        let login =
            fs::read_to_string(site.dir.join("key.pub")).context("cannot read the lab's key")?;
        for (home, user) in [
            ("root", "root"),
            ("home/student", "student"),
            ("home/operator", "operator"),
        ] {
            self.put(&format!("{home}/.ssh/authorized_keys"), &login, 0o600)?;
            if user != "root" {
                run("chroot")
                    .arg(self.root())
                    .args([
                        "chown",
                        "-R",
                        &format!("{user}:{user}"),
                        &format!("/{home}/.ssh"),
                    ])
                    .ok()?;
            }
        }
        self.write_hosts_file()
    }

    fn put(&self, path: &str, text: &str, mode: u32) -> Result<()> {
        let path = self.root().join(path);
        let write = || -> std::io::Result<()> {
            if let Some(dir) = path.parent().filter(|d| !d.exists()) {
                fs::create_dir_all(dir)?;
                fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
            }
            // A link there would lead out of the host's file system.
            match fs::remove_file(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
                _ => fs::write(&path, text)?,
            }
            fs::set_permissions(&path, fs::Permissions::from_mode(mode))
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }

    /// Lists the lab's hosts in `/etc/hosts`, also in a host that runs already.
    fn write_hosts_file(&self) -> Result<()> {
        let path = self.root().join("etc/hosts");
        let old = match fs::symlink_metadata(&path) {
            Ok(found) if found.is_file() => fs::read_to_string(&path).unwrap_or_default(),
            _ => "127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n".to_owned(),
        };
        let new =
            files::with_hosts_block(&old, &files::hosts_block(self.site.subnet, self.site.count));
        if new == old {
            return Ok(());
        }
        self.put("etc/hosts", &new, 0o644)
    }

    /// Starts `systemd-nspawn` so that it outlives us, its console in a file.
    fn boot(&self) -> Result<()> {
        let site = self.site;
        let joins = site.cgroups.make(site.lab, &host_name(self.number))?;
        let log =
            File::create(self.dir.join("console.log")).context("cannot make the console log")?;
        let path = std::env::var("PATH").unwrap_or_default() + SBIN;
        let mut command = Command::new("setsid");
        // Joins its control groups, then becomes nspawn.
        command
            .args(["--fork", "sh", "-c"])
            .arg("while [ \"$1\" != -- ]; do echo $$ >\"$1\" || exit; shift; done; shift; exec \"$@\"")
            .arg("sh")
            .args(joins)
            .args(["--", "systemd-nspawn", "--quiet", "--register=no", "--boot"])
            .arg(format!("--machine={}", machine(site.lab, self.number)))
            .arg(format!("--hostname={}", host_name(self.number)))
            .arg(format!("--directory={}", self.root().display()))
            .arg(format!("--network-bridge={}", Network::of(site.lab).bridge()))
            // What Docker in a host needs.
            .args(["--capability=all", "--system-call-filter=@keyring bpf"])
            .args(["--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=pipe"])
            .env("PATH", path)
            .env("SYSTEMD_NSPAWN_API_VFS_WRITABLE", "network")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        if !site.cgroups.scopes {
            command.arg("--keep-unit");
        }
        // nspawn gives the host what the controller has. On a hybrid one that is version 1 with the unified tree beside it,
        // where systemd learns that a service's last process ended; with version 1 alone sessions would never end.
        // From 256 on systemd wants to be told twice that version 1 is meant.
        if !site.cgroups.unified && site.release.systemd >= 256 {
            command
                .arg("systemd.unified_cgroup_hierarchy=0")
                .arg("SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE=1");
        }
        let status = command
            .status()
            .context("cannot run `setsid systemd-nspawn`")?;
        if !status.success() {
            bail!("cannot start systemd-nspawn ({status})");
        }
        Ok(())
    }

    /// Waits until sshd answers, then, over ssh, until the boot is over.
    fn wait(&self) -> Result<()> {
        let name = host_name(self.number);
        let end = Instant::now() + BOOT;
        let mut check = Instant::now() + Duration::from_secs(3);
        while !self.greets() {
            let now = Instant::now();
            let dead = now > check && !self.runs();
            if dead || now > end {
                let log = fs::read_to_string(self.dir.join("console.log")).unwrap_or_default();
                let what = if dead {
                    "stopped while it booted"
                } else {
                    "does not answer on port 22"
                };
                bail!(
                    "{name} {what}: try `mini-play lab reset {name} --name {}`; its console said:\n{}",
                    self.site.lab,
                    tail(&log, 8)
                );
            }
            if now > check {
                check = now + Duration::from_secs(1);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        run("ssh")
            .arg("-F")
            .arg(self.site.dir.join("ssh_config"))
            .args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=20", &name])
            .arg("timeout 60 systemctl is-system-running --wait || true")
            .ok()
            .with_context(|| {
                let lab = self.site.lab;
                format!("cannot log in to {name}: try `mini-play lab reset {name} --name {lab}`")
            })
    }

    /// Whether sshd answers.
    fn greets(&self) -> bool {
        let address = (self.site.subnet.host(self.number), 22).into();
        let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
            return false;
        };
        let mut greeting = [0; 4];
        stream
            .set_read_timeout(Some(Duration::from_secs(5)))
            .is_ok()
            && stream.read_exact(&mut greeting).is_ok()
            && &greeting == b"SSH-"
    }
}

/// Where apt keeps what it downloaded.
const ARCHIVES: &str = "var/cache/apt/archives";

/// Keeps the packages that a host downloaded for later hosts of the release.
pub(crate) fn keep_packages(host: &Path, release: &str) {
    let to = base::packages(release);
    let Ok(entries) = fs::read_dir(host.join("upper").join(ARCHIVES)) else {
        return;
    };
    if fs::create_dir_all(&to).is_err() {
        return;
    }
    for entry in entries.flatten() {
        let name = entry.file_name();
        let package = Path::new(&name).extension().is_some_and(|e| e == "deb");
        if package && entry.file_type().is_ok_and(|t| t.is_file()) {
            let _ = fs::rename(entry.path(), to.join(name));
        }
    }
}

/// Where a lab keeps a host.
pub(crate) fn host_dir(lab: &Path, number: u32) -> PathBuf {
    lab.join("hosts").join(host_name(number))
}

/// The machine's name of a host, unlike any other on the controller.
fn machine(lab: &str, number: u32) -> String {
    format!("mp-{lab}-{}", host_name(number))
}

/// The name servers of the controller that a host can reach too: not those on its loopback.
fn resolv_conf() -> Result<String> {
    let local = |text: &str| {
        let mut servers = text.lines().filter_map(|l| l.strip_prefix("nameserver"));
        servers.all(|s| s.trim().starts_with("127.") || s.trim() == "::1")
    };
    for path in [
        "/etc/resolv.conf",
        "/run/systemd/resolve/resolv.conf",
        "/run/NetworkManager/no-stub-resolv.conf",
    ] {
        if let Some(text) = fs::read_to_string(path).ok().filter(|text| !local(text)) {
            return Ok(text);
        }
    }
    Err(anyhow!(
        "/etc/resolv.conf names no server that lab hosts could reach: put `nameserver ADDRESS` there"
    ))
}

/// A process of a lab host.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    number: u32,
    /// It is the host's `systemd-nspawn`.
    supervisor: bool,
}

/// All processes of a lab, found by name alone: control group or nspawn's machine name.
fn processes(lab: &str) -> Vec<Process> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let read = |file| fs::read(entry.path().join(file)).unwrap_or_default();
            let args = String::from_utf8_lossy(&read("cmdline")).into_owned();
            let groups = String::from_utf8_lossy(&read("cgroup")).into_owned();
            let (number, supervisor) = owner(lab, &args, &groups)?;
            Some(Process {
                pid,
                number,
                supervisor,
            })
        })
        .collect()
}

/// The number of the host a process belongs to, and whether it is its nspawn.
fn owner(lab: &str, args: &str, groups: &str) -> Option<(u32, bool)> {
    let machine = format!("mp-{lab}-node");
    let mut words = args.split('\0');
    let nspawn = words
        .next()
        .is_some_and(|w| w.rsplit('/').next() == Some("systemd-nspawn"));
    let named = words.find_map(|w| {
        w.strip_prefix("--machine=")?
            .strip_prefix(&machine)?
            .parse()
            .ok()
    });
    if let Some(number) = named {
        return Some((number, nspawn));
    }
    let group = group(lab);
    groups
        .lines()
        .find_map(|line| {
            let mut parts = line.splitn(3, ':').nth(2)?.split('/');
            let number = parts.find_map(|part| {
                if part == group {
                    return Some(None);
                }
                let number = part.strip_prefix(&machine)?.strip_suffix(".scope")?;
                number.parse().ok().map(Some)
            })?;
            number.or_else(|| parts.next()?.strip_prefix("node")?.parse().ok())
        })
        .map(|number| (number, false))
}

/// The process id of a running host's nspawn.
pub(crate) fn supervisor(lab: &str, number: u32) -> Option<u32> {
    let mut all = processes(lab).into_iter();
    all.find(|p| p.number == number && p.supervisor)
        .map(|p| p.pid)
}

/// Kills a host's processes, or those of the whole lab, and waits until they are gone.
/// (Killing nspawn alone leaves the host's init running.)
pub(crate) fn kill(lab: &str, number: Option<u32>) -> Result<()> {
    let end = Instant::now() + KILL;
    loop {
        let pids: Vec<_> = processes(lab)
            .into_iter()
            .filter(|p| number.is_none_or(|n| p.number == n))
            .map(|p| p.pid.to_string())
            .collect();
        if pids.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            bail!("processes of the lab do not die: {}", pids.join(" "));
        }
        // Some of them end while we look: then kill fails, and the next look decides.
        let _ = run("kill").arg("-KILL").args(pids).ok();
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// Removes what nspawn leaves on the controller when it is killed. (Before unmounting: one name is made of inode numbers.)
pub(crate) fn remove_traces(lab: &str, dir: &Path, number: u32) {
    let nspawn = Path::new("/run/systemd/nspawn");
    if let Ok(root) = fs::metadata(host_dir(dir, number).join("root")) {
        let lock = format!("inode-{}:{}", root.dev(), root.ino());
        let _ = fs::remove_file(nspawn.join("locks").join(lock));
    }
    let machine = machine(lab, number);
    // The interface goes with the host's network namespace, but not at once, and would block the next boot.
    let _ = run("ip")
        .args(["link", "del", "dev", &format!("vb-{machine}")])
        .ok();
    for place in ["propagate", "unix-export"] {
        let _ = mounts::remove_dir(&nspawn.join(place).join(&machine));
    }
}

/// The numbers of all hosts of which anything is left on this machine.
pub(crate) fn traces(lab: &str, dir: &Path) -> Vec<u32> {
    let names = |dir: PathBuf, prefix: String| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.filter_map(move |e| e.file_name().to_str()?.strip_prefix(&prefix)?.parse().ok())
    };
    let mut all: Vec<u32> = names(dir.join("hosts"), "node".to_owned())
        .chain(names(
            "/run/systemd/nspawn/propagate".into(),
            machine(lab, 0).replace("node0", "node"),
        ))
        .chain(processes(lab).into_iter().map(|p| p.number))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_told_by_name() {
        let nspawn = "systemd-nspawn\0--machine=mp-a-node12\0--boot\0";
        let wrapper = "sh\0-c\0x\0--machine=mp-a-node3\0";
        for (lab, args, groups, want) in [
            ("a", nspawn, "", Some((12, true))),
            ("a", wrapper, "", Some((3, false))),
            ("b", nspawn, "", None),
            (
                "a",
                "sleep\0",
                "5:cpu:/mini-play-a/node2/docker/x\n",
                Some((2, false)),
            ),
            (
                "a",
                "sleep\0",
                "0::/machine.slice/mp-a-node7.scope/payload\n",
                Some((7, false)),
            ),
            ("a", "sleep\0", "0::/mini-play-a-b/node2\n", None),
            ("a", "vi\0--machine=mp-a-node1x\0", "0::/\n", None),
        ] {
            assert_eq!(owner(lab, args, groups), want, "{lab} {args} {groups}");
        }
    }
}
