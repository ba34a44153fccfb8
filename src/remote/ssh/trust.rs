//! The keys that hosts show, apart from any login: for comparing, adding and forgetting them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Shared;
use super::known_hosts::{self, Known, Verdict};
use super::settings::Settings;
use crate::remote::{LinkError, LinkErrorKind, Target};

/// A key that a host shows.
#[derive(Debug, Clone)]
pub struct Shown {
    /// Type and fingerprint, as OpenSSH writes them.
    pub fingerprint: String,
    /// What known_hosts files say about it.
    pub standing: Standing,
    host: String,
    port: u16,
    key: Vec<u8>,
    file: Option<PathBuf>,
    hashed: bool,
}

/// What known_hosts files say about a host's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It is known.
    Known,
    /// No key of the host is known.
    New,
    /// Another one is known.
    Changed {
        /// `file:line`.
        place: String,
        /// The other one's type and fingerprint.
        old: String,
    },
    /// It must not be used any more.
    Revoked {
        /// `file:line`.
        place: String,
    },
}

impl Shown {
    /// Writes the key to the user's known_hosts file.
    ///
    /// # Errors
    /// When there is no such file, or it cannot be written.
    pub fn trust(&self) -> Result<PathBuf, LinkError> {
        let error = |text: String| LinkError::new(LinkErrorKind::HostKey, text);
        let Some(file) = &self.file else {
            return Err(error("UserKnownHostsFile is none".into()));
        };
        known_hosts::add(file, &self.host, self.port, &self.key, self.hashed)
            .map_err(|why| error(format!("cannot write {}: {why}", file.display())))?;
        Ok(file.clone())
    }
}

impl Shared {
    /// The key that a host shows.
    pub(crate) async fn look(&self, target: &Target) -> Result<Shown, LinkError> {
        let mut settings = self.settings(target)?;
        settings.only_greet = true;
        let live = self
            .session(target, &settings, Arc::default(), None, 0)
            .await?;
        let Some((key, _)) = live.session.host_key() else {
            return Err(LinkError::new(
                LinkErrorKind::HostKey,
                "the host shows no key",
            ));
        };
        let (host, port) = settings.known_as;
        let standing = match Known::read(&settings.known_hosts, &host, port).judge(key) {
            Verdict::Known => Standing::Known,
            Verdict::Unknown | Verdict::Authority { .. } => Standing::New,
            Verdict::Changed { place, old } => Standing::Changed { place, old },
            Verdict::Revoked { place } => Standing::Revoked { place },
        };
        Ok(Shown {
            fingerprint: known_hosts::shown(key),
            standing,
            host,
            port,
            key: key.to_vec(),
            file: settings.new_keys,
            hashed: settings.hash_names,
        })
    }

    /// Takes a host's keys out of the known_hosts files that belong to the user; what was removed, a line each.
    pub(crate) fn forget(&self, target: &Target) -> Result<Vec<String>, LinkError> {
        let settings: Settings = self.settings(target)?;
        let (host, port) = &settings.known_as;
        let mut gone = Vec::new();
        for file in settings.known_hosts.iter().filter(|file| mine(file)) {
            let removed = known_hosts::remove(file, host, *port).map_err(|why| {
                let text = format!("cannot write {}: {why}", file.display());
                LinkError::new(LinkErrorKind::HostKey, text)
            })?;
            gone.extend(removed);
        }
        Ok(gone)
    }
}

/// Whether a known_hosts file is the user's, not the machine's.
fn mine(file: &Path) -> bool {
    !file.starts_with("/etc/ssh")
}
