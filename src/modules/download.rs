//! Downloads that somebody on the way could replace: refused, unless they are pinned or the user allows them.

use super::{Controller, Failure};

/// The variable that allows them.
const ALLOW: &str = "mini_play_allow_http";

/// Whether this URL is fetched over a line that nobody else can write to.
pub(crate) fn trusted(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        return true;
    };
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "ftp") {
        return true;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    // The host itself.
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether the user allows them.
pub(crate) fn allowed(controller: &dyn Controller) -> bool {
    controller.variable(ALLOW).is_true()
}

/// Refuses a download over plain `http` or `ftp` of a parameter that nothing pins.
pub(crate) fn check(
    param: &str,
    url: &str,
    pinned: bool,
    controller: &dyn Controller,
) -> Result<(), Failure> {
    if pinned || trusted(url) || allowed(controller) {
        return Ok(());
    }
    let with = match param {
        "url" => ", give its `checksum`",
        "id" => ", give the full fingerprint as `id`",
        _ => "",
    };
    let param = if param == "id" { "url" } else { param };
    Err(Failure::of(
        param,
        format!(
            "anybody on the way can replace what is downloaded from {}: use https{with}, or allow it with the variable `{ALLOW}: true`",
            crate::secrets::mask(url)
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::testing::Fake;

    #[test]
    fn plain_http_needs_a_pin() {
        for url in [
            "https://h/x",
            "http://127.0.0.1:80/x",
            "http://u:p@localhost/x",
            "HTTP://[::1]:8/x",
            "file:///x",
            "/x",
        ] {
            assert!(check("url", url, false, &Fake::default()).is_ok(), "{url}");
        }
        for url in [
            "http://h/x",
            "ftp://h",
            "HTTP://localhost@h/",
            "http://127.0.0.1.evil/x",
            "http://h/?@localhost",
            "http://[::1.evil",
        ] {
            let refused = check("url", url, false, &Fake::default()).unwrap_err();
            assert!(refused.msg.contains("mini_play_allow_http"), "{url}");
            assert!(check("url", url, true, &Fake::default()).is_ok(), "{url}");
        }
    }
}
