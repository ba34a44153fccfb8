//! Facts about Python. The host needs none; roles ask for its version to choose the names of packages. Where there is none,
//! the one that the release has in its packages is told.

use super::{Facts, Told};
use serde_json::json;

/// Versions of Python in releases, by code name.
const RELEASES: &[(&str, &str)] = &[
    ("bullseye", "3.9.2"),
    ("bookworm", "3.11.2"),
    ("trixie", "3.13.5"),
    ("focal", "3.8.10"),
    ("jammy", "3.10.12"),
    ("noble", "3.12.3"),
];

/// Adds `python` and `python_version`.
pub(super) fn add(told: &Told, facts: &mut Facts) {
    let installed = told.word("base", "python Python");
    let release = facts
        .get("distribution_release")
        .and_then(serde_json::Value::as_str);
    let usual = || RELEASES.iter().find(|(name, _)| Some(*name) == release);
    let Some(version) = installed.or_else(|| usual().map(|(_, version)| *version)) else {
        return;
    };
    let number = |at: usize| {
        let part = version.split('.').nth(at).unwrap_or_default();
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().unwrap_or_default()
    };
    let (major, minor, micro) = (number(0), number(1), number(2));
    facts.insert("python_version".into(), json!(version));
    facts.insert(
        "python".into(),
        json!({
            "version": {
                "major": major,
                "minor": minor,
                "micro": micro,
                "releaselevel": "final",
                "serial": 0,
            },
            "version_info": [major, minor, micro, "final", 0],
            "executable": "/usr/bin/python3",
            "has_sslcontext": true,
            "type": "cpython",
        }),
    );
}
