//! Variables, the environment, settings, names of hosts.

use super::{Lookup, lookup, with_markers};
use crate::template::eval::Machine;
use crate::template::eval::call::Args;
use crate::template::filters::regex::{Flags, compile, is_match};
use crate::template::jinja::At;
use crate::template::value::data::{self, described, is_seq, is_str, items, pairs};
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, Undef, Why, check, fault, undef};
use minijinja::Value;

pub(super) const LOOKUPS: &[Lookup] = &[
    lookup("vars", vars),
    lookup("varnames", varnames),
    with_markers("env", env),
    lookup("config", config),
    lookup("inventory_hostnames", inventory_hostnames),
];

fn vars(m: &mut Machine<'_>, args: &mut Args) -> Res<Vec<Value>> {
    let default = args.take("default").filter(|d| !d.is_none());
    let mut out = Vec::new();
    for term in &args.pos {
        if !is_str(term) {
            return Err(fault(format!(
                "Invalid setting identifier, \"{}\" is not a string, it is {}",
                str_of(term)?,
                described(term)
            )));
        }
        let name = term.as_str().unwrap_or_default();
        let value = m.variable(name, At::default())?;
        out.push(match &undef(&value).map(|u| &u.why) {
            Some(Why::Missing(..)) => match &default {
                Some(default) => default.clone(),
                None => {
                    let text = format!("No variable found with this name: {name}");
                    Undef::value(Why::Said(text), None)
                }
            },
            _ => value,
        });
    }
    Ok(out)
}

fn varnames(m: &mut Machine<'_>, args: &mut Args) -> Res<Vec<Value>> {
    let names = m.scope.names();
    let mut out = Vec::new();
    for term in &args.pos {
        let regex = compile(&str_of(term)?, Flags::default())?;
        for name in &names {
            if regex.is_match(name).unwrap_or(false) {
                out.push(Value::from(name.as_str()));
            }
        }
    }
    Ok(out)
}

fn env(_: &mut Machine<'_>, args: &mut Args) -> Res<Vec<Value>> {
    let default = args.take("default");
    let mut out = Vec::new();
    for term in &args.pos {
        if undef(term).is_some() {
            return Ok(vec![term.clone()]);
        }
        let name = str_of(term)?;
        let name = name.split_whitespace().next().unwrap_or_default();
        out.push(match (std::env::var(name), &default) {
            (Ok(value), _) => Value::from(value),
            (Err(_), Some(default)) => default.clone(),
            (Err(_), None) => Value::from(""),
        });
    }
    Ok(out)
}

/// Settings that roles ask for, with the values that hold here.
const SETTINGS: &[(&str, &str)] = &[
    ("DEFAULT_BECOME_METHOD", "sudo"),
    ("DEFAULT_BECOME_USER", "root"),
    ("DEFAULT_EXECUTABLE", "/bin/sh"),
    ("DEFAULT_MANAGED_STR", "Ansible managed"),
    ("DEFAULT_REMOTE_TMP", "~/.ansible/tmp"),
    ("DEFAULT_TRANSPORT", "ssh"),
    ("remote_tmp", "~/.ansible/tmp"),
];

fn config(_: &mut Machine<'_>, args: &mut Args) -> Res<Vec<Value>> {
    let on_missing = args
        .take("on_missing")
        .map_or_else(|| "error".to_owned(), |v| v.to_string());
    let mut out = Vec::new();
    for term in &args.pos {
        let name = str_of(term)?;
        match SETTINGS.iter().find(|(n, _)| *n == name) {
            Some((_, value)) => out.push(Value::from(*value)),
            None if on_missing == "error" => {
                return Err(fault(format!("unable to find setting {name}")));
            }
            None => {}
        }
    }
    Ok(out)
}

/// Hosts of the inventory that a pattern picks, by the variable `groups`.
fn inventory_hostnames(m: &mut Machine<'_>, args: &mut Args) -> Res<Vec<Value>> {
    let groups = m.variable("groups", At::default())?;
    check(&groups)?;
    let groups = pairs(&groups)?;
    let mut all: Vec<String> = Vec::new();
    for (_, hosts) in &groups {
        for host in items(hosts)? {
            let host = host.to_string();
            if !all.contains(&host) {
                all.push(host);
            }
        }
    }
    let pick = |pattern: &str| -> Res<Vec<String>> {
        if matches!(pattern, "all" | "*") {
            return Ok(all.clone());
        }
        let regex = match pattern.strip_prefix('~') {
            Some(regex) => regex.to_owned(),
            None => glob_regex(pattern),
        };
        let whole = !pattern.starts_with('~');
        let mut out = Vec::new();
        for (name, hosts) in &groups {
            if is_match(&regex, &name.to_string(), Flags::default(), true, whole)? {
                out.extend(items(hosts)?.iter().map(Value::to_string));
            }
        }
        for host in &all {
            if is_match(&regex, host, Flags::default(), true, whole)? {
                out.push(host.clone());
            }
        }
        Ok(out)
    };
    let mut terms = Vec::new();
    for term in &args.pos {
        if is_seq(term) {
            terms.extend(items(term)?);
        } else {
            terms.push(term.clone());
        }
    }
    let mut out: Vec<String> = Vec::new();
    let mut patterns = Vec::new();
    for term in &terms {
        let text = str_of(term)?;
        patterns.extend(text.split([',', ':']).map(|p| p.trim().to_owned()));
    }
    // Exclusions and intersections count last, wherever they stand.
    patterns.sort_by_key(|p| match p.chars().next() {
        Some('&') => 1,
        Some('!') => 2,
        _ => 0,
    });
    for pattern in patterns {
        if let Some(rest) = pattern.strip_prefix('!') {
            let gone = pick(rest)?;
            out.retain(|h| !gone.contains(h));
        } else if let Some(rest) = pattern.strip_prefix('&') {
            let kept = pick(rest)?;
            out.retain(|h| kept.contains(h));
        } else {
            for host in pick(&pattern)? {
                if !out.contains(&host) {
                    out.push(host);
                }
            }
        }
    }
    data::items(&out.into_iter().map(Value::from).collect::<Value>())
}

/// A shell pattern as a regular expression.
fn glob_regex(pattern: &str) -> String {
    let mut out = String::new();
    for c in pattern.chars() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' | ']' | '-' => out.push(c),
            c if c.is_alphanumeric() || c == '_' => out.push(c),
            c => {
                out.push('\\');
                out.push(c);
            }
        }
    }
    out
}
