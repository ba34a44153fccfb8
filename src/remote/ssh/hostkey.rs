//! The host key: whether the host is the one we think it is.

use std::sync::Mutex;

use super::known_hosts::{self, Known, Verdict};
use super::session::Live;
use super::settings::Settings;
use crate::remote::{HostKeyChecking, LinkError, LinkErrorKind};

/// Held while a key is added, so that two links do not write into each other's line.
static WRITING: Mutex<()> = Mutex::new(());

/// Reads what is known of the host, before the handshake.
pub(crate) fn known(settings: &Settings) -> Known {
    let (host, port) = &settings.known_as;
    match settings.checking {
        HostKeyChecking::Off => Known::default(),
        _ => Known::read(&settings.known_hosts, host, *port),
    }
}

/// Checks the key that the host showed.
pub(crate) fn check(live: &Live, settings: &Settings, known: &Known) -> Result<(), LinkError> {
    let error = |text: String| LinkError::new(LinkErrorKind::HostKey, text);
    if settings.checking == HostKeyChecking::Off {
        return Ok(());
    }
    let Some((key, _)) = live.session.host_key() else {
        return Err(error("the host shows no key".to_owned()));
    };
    let (host, port) = &settings.known_as;
    let name = known_hosts::name(host, *port);
    let shown = known_hosts::shown(key);
    match known.judge(key) {
        Verdict::Known => Ok(()),
        Verdict::Revoked { place } => {
            Err(error(format!("the host key {shown} is revoked ({place})"))
                .hint("the host must get a new key; do not connect until it has one"))
        }
        Verdict::Changed { place, old } => Err(error(format!(
            "the host key has changed: {place} has {old}, the host shows {shown}"
        ))
        .hint(format!(
            "if the host was installed anew, `mini-play hosts forget {0}` and `mini-play hosts trust {0}`; if not, \
             somebody may stand between you and the host",
            settings.name
        ))),
        Verdict::Authority { place } => Err(error(format!(
            "the host key {shown} is not known itself: {place} has only a @cert-authority, and host certificates \
             are not supported"
        ))
        .hint("add the host's own key to known_hosts")),
        Verdict::Unknown if settings.checking == HostKeyChecking::AcceptNew => {
            add(settings, &name, key)
        }
        Verdict::Unknown => {
            let mut text = format!("the host key {shown} of {name} is not known");
            for why in &known.unreadable {
                text.push_str("; cannot read ");
                text.push_str(why);
            }
            Err(error(text).hint(format!(
                "compare the fingerprint with the host's own and add it: `mini-play hosts trust {}`",
                settings.name
            )))
        }
    }
}

fn add(settings: &Settings, name: &str, key: &[u8]) -> Result<(), LinkError> {
    let Some(file) = &settings.new_keys else {
        return Ok(());
    };
    let (host, port) = &settings.known_as;
    let _writing = WRITING.lock();
    // Another link may have been first.
    if Known::read(std::slice::from_ref(file), host, *port).judge(key) == Verdict::Known {
        return Ok(());
    }
    known_hosts::add(file, host, *port, key, settings.hash_names).map_err(|e| {
        LinkError::new(
            LinkErrorKind::HostKey,
            format!(
                "cannot add the host key of {name} to {}: {e}",
                file.display()
            ),
        )
    })
}
