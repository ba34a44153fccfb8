//! Base images: one cached root file system a release, built once with `mmdebstrap`.

use super::lock::Lock;
use super::release::{Mirrors, Release};
use super::run::run;
use super::{Progress, mounts, preflight};
use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// What every host has. No python and no curl: a playbook must not come to need them.
const PACKAGES: &str = "apt-utils,ca-certificates,dbus,iproute2,iputils-ping,kmod,less,libpam-systemd,lsb-release,\
                        netbase,openssh-server,procps,sudo,systemd,systemd-sysv";

/// Where base images and downloaded packages are kept.
const CACHE: &str = "/var/cache/mini-play";

/// Run in the new root, once.
const SETUP: &str = include_str!("guest/setup.sh");
/// Run by every host at boot.
const BOOT: &str = include_str!("guest/boot.sh");
const BOOT_UNIT: &str = include_str!("guest/boot.service");

/// What a base image is made of; equal images share one directory.
#[derive(Debug, Clone)]
pub(crate) struct Base {
    pub(crate) release: Release,
    sources: String,
    sources_file: (&'static str, String),
    include: Vec<String>,
    certificates: Vec<(String, String)>,
    apt_conf: String,
}

impl Base {
    /// The image for a release, with this machine's mirror, certificates and proxies.
    pub(crate) fn new(release: Release, mirror: Option<&str>, include: &[String]) -> Result<Self> {
        let mirrors = Mirrors::choose(release.vendor, mirror, &controller_sources());
        let mut include = include.to_vec();
        include.sort();
        include.dedup();
        Ok(Self {
            release,
            sources: mirrors.sources_list(release),
            sources_file: mirrors.sources_file(release),
            include,
            certificates: certificates()?,
            apt_conf: controller_proxies(),
        })
    }

    /// A short name that changes with everything the image is made of.
    fn key(&self) -> String {
        let mut hash = Sha256::new();
        for part in [
            PACKAGES,
            SETUP,
            BOOT,
            BOOT_UNIT,
            &self.sources,
            self.sources_file.0,
            &self.sources_file.1,
            &self.apt_conf,
        ] {
            hash.update(part);
            hash.update([0]);
        }
        for part in &self.include {
            hash.update(part);
            hash.update([1]);
        }
        for (name, text) in &self.certificates {
            hash.update(name);
            hash.update(text);
        }
        let hex: String = hash
            .finalize()
            .iter()
            .take(5)
            .map(|b| format!("{b:02x}"))
            .collect();
        format!("{}-{hex}", self.release.name)
    }

    /// The image's directory, which holds `root/` and `build-id`.
    pub(crate) fn dir(&self) -> PathBuf {
        images().join(self.key())
    }

    /// Builds the image unless it is there; one builder at a time, and nobody sees half an image.
    pub(crate) fn ensure(&self, progress: Progress<'_>) -> Result<PathBuf> {
        let dir = self.dir();
        if dir.is_dir() {
            return Ok(dir);
        }
        fs::create_dir_all(images())
            .with_context(|| format!("cannot make {}", images().display()))?;
        let key = self.key();
        let _lock = Lock::take(&build_lock(&key), || {
            progress("waiting for another lab that builds the same base image");
        })?;
        if dir.is_dir() {
            return Ok(dir);
        }
        progress(&format!(
            "building the {} base image (once, a minute or two)",
            self.release.name
        ));
        let building = images().join(format!(".{key}.building"));
        mounts::remove_dir(&building)?;
        fs::create_dir_all(building.join("tmp"))?;
        if let Err(error) = self.build(&building.join("root"), &building.join("tmp")) {
            let _ = mounts::remove_dir(&building);
            return Err(error)
                .with_context(|| format!("cannot build the {} base image", self.release.name));
        }
        fs::remove_dir_all(building.join("tmp"))?;
        fs::write(building.join("build-id"), super::files::random_id()?)?;
        fs::rename(&building, &dir).context("cannot put the base image in place")?;
        Ok(dir)
    }

    fn build(&self, root: &Path, scratch: &Path) -> Result<()> {
        let packages = self
            .include
            .iter()
            .fold(PACKAGES.to_owned(), |all, p| all + "," + p);
        let (keyring, _) = preflight::keyring(self.release.vendor);
        // Its own mount and process namespaces, dying with us: a build that is killed leaves only files.
        // Package lists stay (a first `apt-get update` is then quick), downloaded packages go.
        run("setpriv")
            .args([
                "--pdeathsig",
                "KILL",
                "unshare",
                "--mount",
                "--pid",
                "--fork",
            ])
            .args(["--kill-child", "--mount-proc", "env"])
            .arg(format!("TMPDIR={}", scratch.display()))
            .args(["mmdebstrap", "--mode=root"])
            .args(["--variant=minbase", "--skip=cleanup/apt/lists"])
            .arg("--aptopt=APT::Install-Recommends \"false\"")
            .arg(format!("--keyring={keyring}"))
            .arg(format!("--include={packages}"))
            .args([self.release.name.as_ref(), root.as_os_str(), "-".as_ref()])
            .input(self.sources.clone())
            .ok()?;
        let put = |path: &str, text: &str| -> Result<()> {
            let path = root.join(path);
            if let Some(dir) = path.parent() {
                fs::create_dir_all(dir)?;
            }
            fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        fs::remove_file(root.join("etc/apt/sources.list")).context("mmdebstrap left no sources")?;
        put(self.sources_file.0, &self.sources_file.1)?;
        put("usr/local/sbin/mini-play-lab-boot", BOOT)?;
        put("etc/systemd/system/mini-play-lab.service", BOOT_UNIT)?;
        if !self.apt_conf.is_empty() {
            put("etc/apt/apt.conf.d/90controller", &self.apt_conf)?;
        }
        for (name, text) in &self.certificates {
            put(&format!("usr/local/share/ca-certificates/{name}"), text)?;
        }
        run("chroot")
            .arg(root)
            .args(["/bin/sh", "-eu", "-s"])
            .input(SETUP)
            .ok()
    }
}

/// The directory of base images.
fn images() -> PathBuf {
    Path::new(CACHE).join("base")
}

/// The directory of downloaded packages of a release, shared by its hosts.
pub(crate) fn packages(release: &str) -> PathBuf {
    Path::new(CACHE).join("apt").join(release)
}

/// Removes cached images and packages, but no image that a mounted host stands on; names those kept.
pub(crate) fn drop_cache() -> Result<Vec<String>> {
    mounts::remove_dir(&Path::new(CACHE).join("apt"))?;
    drop_abandoned()?;
    let mut kept = Vec::new();
    let mounted = fs::read_to_string("/proc/self/mountinfo")?;
    for (name, path) in in_images() {
        if name.starts_with('.') {
            // Somebody builds it right now.
        } else if mounted.contains(&format!("lowerdir={}/root", path.display())) {
            kept.push(name);
        } else {
            mounts::remove_dir(&path)?;
        }
    }
    // Only succeeds once they are empty.
    let _ = fs::remove_dir(images());
    let _ = fs::remove_dir(CACHE);
    Ok(kept)
}

/// Removes what builds left that were killed; those in progress hold their lock.
pub(crate) fn drop_abandoned() -> Result<()> {
    for (name, path) in in_images() {
        let key = name.strip_prefix('.').and_then(|n| n.rsplit_once('.'));
        if let Some((key, _)) = key
            && let Some(_lock) = Lock::try_take(&build_lock(key))?
            && path.is_dir()
        {
            mounts::remove_dir(&path)?;
        }
    }
    Ok(())
}

/// Names and paths of what is in the directory of images.
fn in_images() -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(images()).into_iter().flatten().flatten();
    let named = entries.filter_map(|e| Some((e.file_name().into_string().ok()?, e.path())));
    named.collect()
}

/// Held while the image of that key is built.
fn build_lock(key: &str) -> PathBuf {
    images().join(format!(".{key}.lock"))
}

/// The controller's own certificate authorities, so that hosts trust what it trusts.
fn certificates() -> Result<Vec<(String, String)>> {
    let Ok(entries) = fs::read_dir("/usr/local/share/ca-certificates") else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "crt") {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read the certificate {}", path.display()))?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            found.push((name.into_owned(), text));
        }
    }
    found.sort();
    Ok(found)
}

/// All of the controller's apt sources as one text.
fn controller_sources() -> String {
    let mut text = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    let entries = fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten();
    let mut paths: Vec<_> = entries.map(|e| e.path()).collect();
    paths.sort();
    for path in paths {
        if path
            .extension()
            .is_some_and(|e| e == "list" || e == "sources")
        {
            text.push_str("\n\n");
            text.push_str(&fs::read_to_string(path).unwrap_or_default());
        }
    }
    text
}

/// The controller's apt proxies, for hosts that would not get out without them.
fn controller_proxies() -> String {
    let all = run("apt-config").arg("dump").output().unwrap_or_default();
    let proxies = all.lines().filter(|l| {
        let name = l.split("::").take(3).collect::<Vec<_>>();
        matches!(name[..], ["Acquire", "http" | "https", last] if last.starts_with("Proxy "))
            && !l.ends_with("\"\";")
    });
    proxies.fold(String::new(), |text, line| text + line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::release;

    #[test]
    fn the_key_follows_what_the_image_is_made_of() {
        let base = |release: &str, include: &[&str]| Base {
            release: release::find(release).unwrap(),
            sources: String::new(),
            sources_file: ("", String::new()),
            include: include.iter().map(|s| (*s).to_owned()).collect(),
            certificates: Vec::new(),
            apt_conf: String::new(),
        };
        let plain = base("bookworm", &[]).key();
        assert!(plain.starts_with("bookworm-"), "{plain}");
        assert_eq!(plain, base("bookworm", &[]).key());
        assert_ne!(plain, base("bookworm", &["haproxy"]).key());
        assert_ne!(
            base("bookworm", &["a", "b"]).key(),
            base("bookworm", &["ab"]).key()
        );
    }
}
