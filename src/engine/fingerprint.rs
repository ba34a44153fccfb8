//! What was seen of a host, in short form: for the journal and for receipts.

use crate::modules::Seen;
use crate::modules::probe::{Answer, FileType, Probe};
use sha2::{Digest as _, Sha256};

/// Pairs of question and answer, sorted: `sha256 /etc/x` and its digest, `package nginx` and its version,
/// `unit nginx` and its state, `path /etc/x` and type, mode and owner. Absent things have the answer `-`.
pub(crate) fn fingerprint(seen: &Seen) -> Vec<(String, String)> {
    let mut all: Vec<_> = seen
        .iter()
        .filter_map(|(probe, answer)| brief(probe, answer))
        .collect();
    all.sort();
    all
}

fn brief(probe: &Probe, answer: &Answer) -> Option<(String, String)> {
    const ABSENT: &str = "-";
    let pair = |kind: &str, name: &str, text: Option<String>| {
        Some((
            format!("{kind} {name}"),
            text.unwrap_or_else(|| ABSENT.into()),
        ))
    };
    match (probe, answer) {
        (Probe::Path { path, .. }, Answer::Path(state)) => pair(
            "path",
            path,
            state.as_ref().map(|s| {
                let kind = match s.kind {
                    FileType::File => "file",
                    FileType::Directory => "directory",
                    FileType::Link => "link",
                    FileType::Other(_) => "special",
                };
                let target = s
                    .target
                    .as_ref()
                    .map(|to| format!(" -> {to}"))
                    .unwrap_or_default();
                format!("{kind} {:04o} {}:{}{target}", s.mode, s.user, s.group)
            }),
        ),
        (Probe::Digest { path, algorithm }, Answer::Digest(digest)) => {
            pair(algorithm, path, digest.clone())
        }
        (Probe::Content { path, .. }, Answer::Content(bytes)) => pair(
            "sha256",
            path,
            bytes.as_ref().map(|bytes| hex(&Sha256::digest(bytes))),
        ),
        (Probe::Package(name), Answer::Package(state)) => pair(
            "package",
            name,
            state
                .as_ref()
                .filter(|s| s.installed())
                .map(|s| s.version.clone()),
        ),
        (Probe::Unit(name), Answer::Unit(state)) => {
            let get = |key: &str| state.get(key).map_or(ABSENT, String::as_str);
            pair(
                "unit",
                name,
                Some(format!("{} {}", get("ActiveState"), get("UnitFileState"))),
            )
        }
        (Probe::User(name), Answer::User(state)) => pair(
            "user",
            name,
            state
                .as_ref()
                .map(|s| format!("{}:{} {} {}", s.uid, s.gid, s.home, s.shell)),
        ),
        (Probe::Group(name), Answer::Group(state)) => {
            pair("group", name, state.as_ref().map(|s| s.gid.to_string()))
        }
        _ => None,
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
