//! Package specifications (`name`, `name=1.2*`, `name>=1.2`), dpkg's order of versions, and what `apt-cache policy` says.

use crate::modules::sh::fnmatch;
use std::cmp::Ordering;
use std::collections::HashMap;

/// What a user wrote for one package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// As written.
    pub(crate) spec: String,
    /// Name, perhaps with `:arch`.
    pub(crate) name: String,
    /// The demand on its version.
    pub(crate) version: Demand,
}

/// A demand on a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Demand {
    Any,
    /// `=`: equal, or matching a pattern.
    Is(String),
    /// `>=`.
    AtLeast(String),
}

impl Wanted {
    /// Reads a specification.
    pub(crate) fn parse(spec: &str) -> Self {
        let spec = spec.trim();
        let (name, version) = match spec.split_once('=') {
            Some((name, version)) => match name.strip_suffix('>') {
                Some(name) => (name, Demand::AtLeast(version.into())),
                None => (name, Demand::Is(version.into())),
            },
            None => (spec, Demand::Any),
        };
        Self {
            spec: spec.into(),
            name: name.into(),
            version,
        }
    }

    /// Whether the name is a pattern.
    pub(crate) fn is_pattern(&self) -> bool {
        self.name.contains(['*', '?', '[', ']', '!'])
    }
}

impl Demand {
    /// Whether a version will do.
    pub(crate) fn met_by(&self, version: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Is(pattern) => fnmatch(pattern, version),
            Self::AtLeast(least) => compare(version, least) != Ordering::Less,
        }
    }

    /// Whether more than one version may be meant.
    pub(crate) fn is_pattern(&self) -> bool {
        matches!(self, Self::Is(version) if version.contains(['*', '?', '[']))
    }
}

/// Compares two versions by dpkg's rules.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let parts = |v: &str| {
        let (epoch, rest) = match v.split_once(':') {
            Some((epoch, rest)) => (epoch.parse::<u64>().unwrap_or(0), rest.to_owned()),
            None => (0, v.to_owned()),
        };
        let (upstream, revision) = match rest.rsplit_once('-') {
            Some((upstream, revision)) => (upstream.to_owned(), revision.to_owned()),
            None => (rest, String::new()),
        };
        (epoch, upstream, revision)
    };
    let (a, b) = (parts(a.trim()), parts(b.trim()));
    a.0.cmp(&b.0)
        .then_with(|| compare_part(&a.1, &b.1))
        .then_with(|| compare_part(&a.2, &b.2))
}

/// Letters before other characters, `~` before everything, even the end.
fn order(c: Option<u8>) -> i32 {
    match c {
        None | Some(b'0'..=b'9') => 0,
        Some(b'~') => -1,
        Some(c) if c.is_ascii_alphabetic() => i32::from(c),
        Some(c) => i32::from(c) + 256,
    }
}

fn compare_part(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    let digit = |s: &[u8]| s.first().is_some_and(u8::is_ascii_digit);
    while !a.is_empty() || !b.is_empty() {
        while (!a.is_empty() && !digit(a)) || (!b.is_empty() && !digit(b)) {
            let (x, y) = (order(a.first().copied()), order(b.first().copied()));
            if x != y {
                return x.cmp(&y);
            }
            a = a.get(1..).unwrap_or_default();
            b = b.get(1..).unwrap_or_default();
        }
        let number = |s: &mut &[u8]| {
            let end = s
                .iter()
                .position(|c| !c.is_ascii_digit())
                .unwrap_or(s.len());
            let (digits, rest) = s.split_at(end);
            *s = rest;
            let zeros = digits.iter().take_while(|c| **c == b'0').count();
            digits[zeros..].to_vec()
        };
        let (x, y) = (number(&mut a), number(&mut b));
        let by_number = x.len().cmp(&y.len()).then_with(|| x.cmp(&y));
        if by_number != Ordering::Equal {
            return by_number;
        }
    }
    Ordering::Equal
}

/// What apt knows of one package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// What it would install.
    pub(crate) candidate: Option<String>,
    /// All it knows.
    pub(crate) versions: Vec<String>,
}

impl Policy {
    /// The version that would be installed for a demand.
    pub(crate) fn best(&self, demand: &Demand) -> Option<&str> {
        match demand {
            Demand::Is(pattern) => self
                .versions
                .iter()
                .map(String::as_str)
                .filter(|version| fnmatch(pattern, version))
                .max_by(|a, b| compare(a, b)),
            _ => self.candidate.as_deref(),
        }
    }
}

/// Reads the output of `apt-cache policy NAME…`.
pub(crate) fn parse_policy(text: &str) -> HashMap<String, Policy> {
    let mut all: HashMap<String, Policy> = HashMap::new();
    let mut name = String::new();
    for line in text.lines() {
        if !line.starts_with(' ') && line.ends_with(':') {
            name = line.trim_end_matches(':').to_owned();
            all.entry(name.clone()).or_default();
            continue;
        }
        let Some(policy) = all.get_mut(&name) else {
            continue;
        };
        if let Some(version) = line.trim_start().strip_prefix("Candidate: ") {
            policy.candidate = Some(version.to_owned()).filter(|v| v != "(none)");
        } else if let Some(entry) = line
            .strip_prefix(" *** ")
            .or_else(|| line.strip_prefix("     "))
            .filter(|rest| !rest.starts_with(' '))
            && let Some(version) = entry.split(' ').next()
        {
            policy.versions.push(version.to_owned());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_ordered_as_by_dpkg() {
        for (a, b) in [
            ("1.0~rc1", "1.0"),
            ("1.0", "1.0-1"),
            ("1.0-1", "1.0-1+b1"),
            ("1.9", "1.10"),
            ("1.0a", "1.0+"),
            ("9", "1:0"),
            ("1.0-1~bpo", "1.0-1"),
            ("0.01", "0.1.1"),
        ] {
            assert_eq!(compare(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(compare(b, a), Ordering::Greater, "{b} {a}");
            let dpkg = std::process::Command::new("dpkg")
                .args(["--compare-versions", a, "lt", b])
                .status();
            assert!(dpkg.is_ok_and(|status| status.success()), "dpkg: {a} {b}");
        }
        assert_eq!(compare("1.00", "1.0"), Ordering::Equal);
    }

    #[test]
    fn specifications_are_read() {
        assert_eq!(Wanted::parse("foo").version, Demand::Any);
        assert_eq!(Wanted::parse("foo=1:2*").version, Demand::Is("1:2*".into()));
        let least = Wanted::parse("foo:i386>=1.2");
        assert_eq!(least.name, "foo:i386");
        assert!(least.version.met_by("1.10") && !least.version.met_by("1.1"));
    }

    #[test]
    fn policies_are_read() {
        let text = "nginx:\n  Installed: 1.0\n  Candidate: 1.2-1\n  Version table:\n     1.2-1 500\n        \
                    500 http://x bookworm/main amd64 Packages\n *** 1.0 100\n        100 /var/lib/dpkg/status\n\
                    mta:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n";
        let all = parse_policy(text);
        assert_eq!(all["nginx"].versions, ["1.2-1", "1.0"]);
        assert_eq!(all["nginx"].best(&Demand::Any), Some("1.2-1"));
        assert_eq!(all["nginx"].best(&Demand::Is("1.0*".into())), Some("1.0"));
        assert_eq!(all["mta"], Policy::default());
    }
}
