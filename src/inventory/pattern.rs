//! Host patterns: `a:b`, `a,b`, `&`, `!`, globs, `~regex`, `group[0:2]`, and `@file` for a limit.

use super::Inventory;
use crate::diag::Diagnostic;
use globset::GlobBuilder;
use indexmap::IndexSet;

/// Hosts of a pattern in the order its terms name them. `strict`: a term that means nothing is an error (for `--limit`).
pub(super) fn select(
    inventory: &Inventory,
    pattern: &str,
    strict: bool,
) -> Result<Vec<String>, Diagnostic> {
    let mut terms = Vec::new();
    for term in split(pattern) {
        match term.strip_prefix('@') {
            Some(path) if strict => {
                let text = std::fs::read_to_string(path).map_err(|why| {
                    Diagnostic::plain(format!("cannot read the limit {path}: {why}"))
                })?;
                let lines = text
                    .lines()
                    .map(str::trim)
                    .filter(|l| !l.is_empty() && !l.starts_with('#'));
                terms.extend(lines.map(str::to_owned));
            }
            _ => terms.push(term),
        }
    }
    // As in Ansible: unions first, then intersections, then exclusions.
    let kind = |term: &String| match sign(term).0 {
        '&' => 1,
        '!' => 2,
        _ => 0,
    };
    let mut ordered = terms;
    ordered.sort_by_key(kind);
    if ordered.first().is_some_and(|first| kind(first) > 0) {
        ordered.insert(0, "all".into());
    }
    let mut found: IndexSet<String> = IndexSet::new();
    for term in &ordered {
        let (sign, name) = sign(term);
        let hosts = one(inventory, name)?;
        if hosts.is_empty() && strict && sign != '!' && !known(inventory, name) {
            let names = inventory
                .hosts
                .keys()
                .chain(inventory.groups.keys())
                .map(String::as_str);
            return Err(Diagnostic::plain(format!(
                "no host or group of the inventory matches `{name}`"
            ))
            .did_you_mean(name, names));
        }
        match sign {
            '&' => found.retain(|host| hosts.contains(host)),
            '!' => found.retain(|host| !hosts.contains(host)),
            _ => found.extend(hosts),
        }
    }
    Ok(found.into_iter().collect())
}

/// Terms that match nothing.
pub(super) fn unmatched(inventory: &Inventory, pattern: &str) -> Vec<String> {
    split(pattern)
        .iter()
        .map(|term| sign(term).1)
        .filter(|name| {
            !known(inventory, name) && one(inventory, name).is_ok_and(|hosts| hosts.is_empty())
        })
        .map(str::to_owned)
        .collect()
}

/// `&`, `!` or a space, and the term behind it.
fn sign(term: &str) -> (char, &str) {
    match term.chars().next() {
        Some(sign @ ('&' | '!')) => (sign, &term[1..]),
        _ => (' ', term),
    }
}

fn known(inventory: &Inventory, name: &str) -> bool {
    let base = name.split('[').next().unwrap_or(name);
    name == "all" || inventory.groups.contains_key(base)
}

/// Splits at commas and colons, but not inside brackets, and not an IPv6 address.
fn split(pattern: &str) -> Vec<String> {
    let (host, port) = super::address::split_port(pattern.trim());
    if port.is_some() || host.parse::<std::net::Ipv6Addr>().is_ok() {
        return vec![pattern.trim().to_owned()];
    }
    let mut terms = Vec::new();
    let mut depth = 0;
    let mut term = String::new();
    // A comma anywhere means that colons are part of names.
    let commas = pattern.contains(',');
    for c in pattern.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth -= 1,
            _ => {}
        }
        let regex = term.trim_start_matches(['!', '&']).starts_with('~');
        if depth == 0 && (c == ',' || (c == ':' && !commas && !regex)) {
            terms.push(std::mem::take(&mut term));
        } else {
            term.push(c);
        }
    }
    terms.push(term);
    // With commas, a term may still be a colon pattern (`a:!b,c`).
    let parts = terms.into_iter().flat_map(|term| {
        let plain = term.trim().to_owned();
        let colon = commas && (plain.contains(":!") || plain.contains(":&"));
        if colon {
            plain.split(':').map(str::to_owned).collect()
        } else {
            vec![plain]
        }
    });
    parts.filter(|term| !term.is_empty()).collect()
}

/// Hosts of one term without its sign.
fn one(inventory: &Inventory, name: &str) -> Result<Vec<String>, Diagnostic> {
    if let Some(regex) = name.strip_prefix('~') {
        let regex = fancy_regex::Regex::new(&format!("^(?:{regex})")).map_err(|why| {
            Diagnostic::plain(format!(
                "host pattern `{name}` is not a regular expression: {why}"
            ))
        })?;
        return Ok(matching(inventory, |text| {
            regex.is_match(text).unwrap_or(false)
        }));
    }
    if inventory.groups.contains_key(name) {
        return Ok(inventory.members(name));
    }
    if inventory.hosts.contains_key(name) {
        return Ok(vec![name.to_owned()]);
    }
    if super::is_local(name) {
        return Ok(vec![name.to_owned()]);
    }
    if let Some((base, index)) = name
        .strip_suffix(']')
        .and_then(|rest| rest.rsplit_once('['))
        && let Some(range) = Index::parse(index)
    {
        return Ok(range.of(&one(inventory, base)?));
    }
    if name.contains(['*', '?', '[']) {
        // `*` matches dots and slashes too, as in Python's fnmatch.
        let glob = GlobBuilder::new(name)
            .literal_separator(false)
            .build()
            .map_err(|why| Diagnostic::plain(format!("host pattern `{name}`: {}", why.kind())))?
            .compile_matcher();
        return Ok(matching(inventory, |text| glob.is_match(text)));
    }
    Ok(Vec::new())
}

/// Hosts whose name, or one of whose groups' names, fits.
fn matching(inventory: &Inventory, fits: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found: IndexSet<String> = IndexSet::new();
    for group in inventory.groups.keys().filter(|name| fits(name)) {
        found.extend(inventory.members(group));
    }
    found.extend(inventory.hosts.keys().filter(|name| fits(name)).cloned());
    found.into_iter().collect()
}

/// `[0]`, `[-1]`, `[0:2]` (both ends included), `[1:]`.
enum Index {
    One(isize),
    Range(isize, Option<isize>),
}

impl Index {
    fn parse(text: &str) -> Option<Self> {
        match text
            .split_once([':', '-'])
            .filter(|(from, _)| !from.is_empty())
        {
            Some((from, "")) => Some(Self::Range(from.parse().ok()?, None)),
            Some((from, to)) => Some(Self::Range(from.parse().ok()?, Some(to.parse().ok()?))),
            None => text.parse().ok().map(Self::One),
        }
    }

    fn of(&self, hosts: &[String]) -> Vec<String> {
        let len = isize::try_from(hosts.len()).unwrap_or(isize::MAX);
        let at = |n: isize| usize::try_from(if n < 0 { n + len } else { n }).ok();
        match self {
            Self::One(n) => at(*n)
                .and_then(|n| hosts.get(n))
                .cloned()
                .into_iter()
                .collect(),
            Self::Range(from, to) => {
                let (Some(from), Some(to)) = (at(*from), at(to.unwrap_or(-1))) else {
                    return Vec::new();
                };
                hosts
                    .iter()
                    .skip(from)
                    .take((to + 1).saturating_sub(from))
                    .cloned()
                    .collect()
            }
        }
    }
}
