//! Names of hosts as written: ranges, and a port behind a colon.

use super::ranges;

/// The hosts that a name or range means, and the port behind it.
///
/// # Errors
/// In words, for a range that cannot be.
pub(super) fn expand(written: &str) -> Result<(Vec<String>, Option<u16>), String> {
    let (name, port) = split_port(written);
    let names = ranges::expand(name)?;
    Ok((names, port))
}

/// `host:22`, `[::1]:22` and `[::1]`; an IPv6 address without brackets has no port.
pub(super) fn split_port(written: &str) -> (&str, Option<u16>) {
    if let Some(rest) = written.strip_prefix('[')
        && let Some((address, tail)) = rest.split_once(']')
        && address.parse::<std::net::Ipv6Addr>().is_ok()
    {
        return (
            address,
            tail.strip_prefix(':').and_then(|port| port.parse().ok()),
        );
    }
    if written.parse::<std::net::Ipv6Addr>().is_ok() {
        return (written, None);
    }
    match written.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') && !name.is_empty() => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (written, None),
        },
        _ => (written, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ports() {
        for (written, name, port) in [
            ("a", "a", None),
            ("a:2222", "a", Some(2222)),
            ("a[1:3]", "a[1:3]", None),
            ("a[1:3]:22", "a[1:3]", Some(22)),
            ("::1", "::1", None),
            ("[::1]:22", "::1", Some(22)),
            ("web:db", "web:db", None),
        ] {
            assert_eq!(split_port(written), (name, port), "{written}");
        }
    }
}
