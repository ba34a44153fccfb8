//! Which releases a lab host can run, and where their packages come from.

use crate::diag;
use anyhow::{Result, bail};

/// Who makes a release: decides suites, components and the default mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vendor {
    Debian,
    Ubuntu,
}

/// A distribution release.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Release {
    pub(crate) name: &'static str,
    pub(crate) vendor: Vendor,
    /// Version of its systemd: decides how it starts on a cgroup v1 machine.
    pub(crate) systemd: u32,
    /// It is installed with apt sources in deb822 format.
    deb822: bool,
}

impl Release {
    const fn new(vendor: Vendor, name: &'static str, systemd: u32, deb822: bool) -> Self {
        Self {
            name,
            vendor,
            systemd,
            deb822,
        }
    }

    fn components(self) -> &'static str {
        match self.vendor {
            Vendor::Debian => "main",
            Vendor::Ubuntu => "main universe",
        }
    }
}

/// The releases known to work, oldest first for each vendor.
pub(crate) const RELEASES: &[Release] = &[
    Release::new(Vendor::Debian, "bullseye", 247, false),
    Release::new(Vendor::Debian, "bookworm", 252, false),
    Release::new(Vendor::Debian, "trixie", 257, true),
    Release::new(Vendor::Ubuntu, "focal", 245, false),
    Release::new(Vendor::Ubuntu, "jammy", 249, false),
    Release::new(Vendor::Ubuntu, "noble", 255, true),
];

/// The release of that name, or an error that lists what there is.
pub(crate) fn find(name: &str) -> Result<Release> {
    if let Some(found) = RELEASES.iter().find(|r| r.name == name) {
        return Ok(*found);
    }
    let names = || RELEASES.iter().map(|r| r.name);
    match diag::near(name, names()) {
        Some(near) => bail!("unknown release `{name}`: did you mean `{near}`?"),
        None => bail!(
            "unknown release `{name}`: choose one of {}",
            names().collect::<Vec<_>>().join(", ")
        ),
    }
}

/// Where packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mirrors {
    pub(crate) main: String,
    pub(crate) security: String,
}

impl Mirrors {
    /// For a host of this vendor: the user's mirror, else the controller's, else the vendor's own.
    pub(crate) fn choose(vendor: Vendor, asked: Option<&str>, controller_sources: &str) -> Self {
        let default = match vendor {
            Vendor::Debian => (
                "http://deb.debian.org/debian",
                "http://deb.debian.org/debian-security",
            ),
            Vendor::Ubuntu => (
                "http://archive.ubuntu.com/ubuntu",
                "http://archive.ubuntu.com/ubuntu",
            ),
        };
        if let Some(url) = asked {
            let main = url.trim_end_matches('/').to_owned();
            // A Debian mirror keeps security beside it, under the name all of them use; Ubuntu keeps all in one place.
            let security = match (vendor, main.strip_suffix("/debian")) {
                (Vendor::Debian, Some(base)) => format!("{base}/debian-security"),
                (Vendor::Debian, None) => default.1.to_owned(),
                (Vendor::Ubuntu, _) => main.clone(),
            };
            return Self { main, security };
        }
        let (main, security) = controller_mirrors(vendor, controller_sources);
        Self {
            main: main.unwrap_or_else(|| default.0.to_owned()),
            security: security.unwrap_or_else(|| default.1.to_owned()),
        }
    }

    /// The sources in one-line format, as `/etc/apt/sources.list` has them.
    pub(crate) fn sources_list(&self, release: Release) -> String {
        let (name, components) = (release.name, release.components());
        format!(
            "deb {main} {name} {components}\n\
             deb {main} {name}-updates {components}\n\
             deb {security} {name}-security {components}\n",
            main = self.main,
            security = self.security
        )
    }

    /// The host's own sources: path and text, in the format its release is installed with.
    pub(crate) fn sources_file(&self, release: Release) -> (&'static str, String) {
        let (path, keyring) = match release {
            Release { deb822: false, .. } => {
                return ("etc/apt/sources.list", self.sources_list(release));
            }
            Release {
                vendor: Vendor::Debian,
                ..
            } => (
                "etc/apt/sources.list.d/debian.sources",
                "debian-archive-keyring.gpg",
            ),
            Release {
                vendor: Vendor::Ubuntu,
                ..
            } => (
                "etc/apt/sources.list.d/ubuntu.sources",
                "ubuntu-archive-keyring.gpg",
            ),
        };
        let stanza = |uri: &str, suites: &str| {
            format!(
                "Types: deb\nURIs: {uri}\nSuites: {suites}\nComponents: {}\nSigned-By: /usr/share/keyrings/{keyring}\n",
                release.components()
            )
        };
        let name = release.name;
        let main = stanza(&self.main, &format!("{name} {name}-updates"));
        let security = stanza(&self.security, &format!("{name}-security"));
        (path, format!("{main}\n{security}"))
    }
}

/// The main and the security mirror in the controller's apt sources (one-line or deb822 format),
/// looked for by suites that are this vendor's.
fn controller_mirrors(vendor: Vendor, sources: &str) -> (Option<String>, Option<String>) {
    let (mut main, mut security) = (None, None);
    for (uri, suite) in entries(sources) {
        if !uri.starts_with("http://") && !uri.starts_with("https://") {
            continue;
        }
        let ours = |s: &str| RELEASES.iter().any(|r| r.vendor == vendor && (r.name == s));
        let slot = match suite.strip_suffix("-security") {
            Some(base) if ours(base) => &mut security,
            None if ours(&suite) => &mut main,
            _ => continue,
        };
        slot.get_or_insert_with(|| uri.trim_end_matches('/').to_owned());
    }
    (main, security)
}

/// Pairs of URI and suite, in either format of apt's sources.
fn entries(sources: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for stanza in sources.split("\n\n") {
        let field = |name: &str| -> Vec<&str> {
            let line = stanza.lines().find_map(|l| {
                let (key, value) = l.split_once(':')?;
                key.eq_ignore_ascii_case(name).then_some(value)
            });
            line.unwrap_or("").split_whitespace().collect()
        };
        for uri in field("URIs") {
            for suite in field("Suites") {
                found.push((uri.to_owned(), suite.to_owned()));
            }
        }
        for line in stanza.lines() {
            let mut words = line.split_whitespace();
            if words.next() != Some("deb") {
                continue;
            }
            // Options in brackets may hold spaces.
            let mut in_options = false;
            let rest: Vec<_> = words
                .filter(|w| {
                    let option = in_options || w.starts_with('[');
                    in_options = option && !w.ends_with(']');
                    !option
                })
                .collect();
            if let [uri, suite, ..] = rest[..] {
                found.push((uri.to_owned(), suite.to_owned()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_release_suggests() {
        let text = find("bokworm").unwrap_err().to_string();
        assert!(text.contains("did you mean `bookworm`"), "{text}");
        assert!(find("zzz").unwrap_err().to_string().contains("trixie"));
    }

    #[test]
    fn mirrors_are_the_controllers() {
        let one_line = "deb [arch=amd64 signed-by=/k.gpg] http://m.example/debian/ bookworm main\n\
                        deb http://s.example/sec bookworm-security main\n\
                        deb https://other.example/apt stable main\n";
        let deb822 = "Types: deb\nURIs: http://m.example/debian\nSuites: bookworm bookworm-updates\n\n\
                      Types: deb\nURIs: http://s.example/sec\nSuites: bookworm-security\n";
        let wanted = Mirrors {
            main: "http://m.example/debian".into(),
            security: "http://s.example/sec".into(),
        };
        for sources in [one_line, deb822] {
            assert_eq!(Mirrors::choose(Vendor::Debian, None, sources), wanted);
        }
        // A Debian controller says nothing about Ubuntu.
        assert_eq!(
            Mirrors::choose(Vendor::Ubuntu, None, deb822).main,
            "http://archive.ubuntu.com/ubuntu"
        );
    }

    #[test]
    fn trixie_has_deb822_sources() {
        let mirrors = Mirrors::choose(Vendor::Debian, None, "");
        let (path, text) = mirrors.sources_file(find("trixie").unwrap());
        assert_eq!(path, "etc/apt/sources.list.d/debian.sources");
        assert_eq!(
            entries(&text),
            entries(&mirrors.sources_list(find("trixie").unwrap()))
        );
        let (path, _) = mirrors.sources_file(find("bookworm").unwrap());
        assert_eq!(path, "etc/apt/sources.list");
    }

    #[test]
    fn an_asked_mirror_serves_security_too() {
        let asked = Mirrors::choose(Vendor::Debian, Some("https://m.example/debian/"), "");
        assert_eq!(
            asked.sources_list(find("trixie").unwrap()),
            "deb https://m.example/debian trixie main\n\
             deb https://m.example/debian trixie-updates main\n\
             deb https://m.example/debian-security trixie-security main\n"
        );
    }
}
