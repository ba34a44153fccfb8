//! Lookups, on the controller: one static table a family.

use super::eval::Machine;
use super::eval::call::Args;
use super::names::{self, bare};
use super::value::data::{self, is_str};
use super::value::undefined::{Fault, Res, fault, undef};
use super::{TemplateError, filters};
use minijinja::Value;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

mod files;
mod lists;
mod overlay;
mod password;
mod process;
mod sequence;
pub(crate) mod tables;
mod vars;

/// A lookup: terms and options in, a list out.
#[derive(Debug)]
pub(crate) struct Lookup {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Machine<'_>, &mut Args) -> Res<Vec<Value>>,
    /// Whether it is given undefined terms.
    pub(crate) markers: bool,
}

const fn lookup(
    name: &'static str,
    run: fn(&mut Machine<'_>, &mut Args) -> Res<Vec<Value>>,
) -> Lookup {
    Lookup {
        name,
        run,
        markers: false,
    }
}

const fn with_markers(
    name: &'static str,
    run: fn(&mut Machine<'_>, &mut Args) -> Res<Vec<Value>>,
) -> Lookup {
    Lookup {
        name,
        run,
        markers: true,
    }
}

/// All families.
static FAMILIES: &[&[Lookup]] = &[
    files::LOOKUPS,
    lists::LOOKUPS,
    password::LOOKUPS,
    process::LOOKUPS,
    sequence::LOOKUPS,
    tables::LOOKUPS,
    vars::LOOKUPS,
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Lookup>> = LazyLock::new(|| {
    let all = FAMILIES.iter().copied().flatten();
    all.map(|lookup| (lookup.name, lookup)).collect()
});

/// A lookup by its name, qualified or not.
pub(crate) fn find(name: &str) -> Option<&'static Lookup> {
    BY_NAME.get(bare(name)).copied()
}

/// All names.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().copied().flatten().map(|lookup| lookup.name)
}

/// Runs a lookup for its list.
pub(crate) fn run(m: &mut Machine<'_>, name: &str, mut args: Args, with: bool) -> Res<Vec<Value>> {
    match find(name) {
        Some(lookup) if lookup.markers && with => {
            args.kw.push((Arc::from("_with"), Value::from(true)));
            (lookup.run)(m, &mut args)
        }
        // A loop is named by its keyword, in the messages that need it.
        Some(lookup) if with => (lookup.run)(m, &mut args),
        Some(lookup) => (lookup.run)(m, &mut args).map_err(|error| error.named(lookup.name)),
        None => Err(names::unknown_lookup(name).into_fault()),
    }
}

/// `lookup(…)` and `query(…)`.
pub(crate) fn call(m: &mut Machine<'_>, name: &str, mut args: Args, wantlist: bool) -> Res<Value> {
    let wantlist = args.take("wantlist").map_or(wantlist, |v| v.is_true());
    let errors = args.take("errors").map(|v| v.to_string());
    if let Some(lookup) = find(name)
        && !lookup.markers
        && let Some(value) = args.pos.iter().find(|v| undef(v).is_some())
    {
        return Ok(value.clone());
    }
    let found = match run(m, name, args, false) {
        Ok(found) => found,
        Err(error) => {
            // What is not known yet is no error that may be ignored.
            let ignorable = !matches!(
                error.as_ref(),
                Fault::Template(TemplateError::Pending(_)) | Fault::Undefined(..)
            );
            if ignorable && matches!(errors.as_deref(), Some("ignore" | "warn")) {
                return Ok(if wantlist {
                    data::list(Vec::new())
                } else {
                    Value::from(())
                });
            }
            return Err(error);
        }
    };
    if wantlist || found.is_empty() {
        return Ok(data::list(found));
    }
    if let [only] = found.as_slice() {
        return Ok(only.clone());
    }
    if found.iter().all(is_str) {
        return filters::sequence::joined(&found, ",").map(Value::from);
    }
    Ok(data::list(found))
}

/// Words and `name=value` pairs of a term in the old inline form.
fn key_values(term: &str) -> Res<(String, Vec<(String, String)>)> {
    let mut words = Vec::new();
    let mut pairs = Vec::new();
    for part in shell_words(term) {
        match part.split_once('=') {
            Some((name, value)) if is_name(name) => pairs.push((name.to_owned(), value.to_owned())),
            _ if pairs.is_empty() => words.push(part),
            _ => return Err(fault(format!("unexpected `{part}` behind options"))),
        }
    }
    Ok((words.join(" "), pairs))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Cut at blanks; quotes hold parts together and fall away.
fn shell_words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for c in text.chars() {
        match (c, quote) {
            (c, Some(mark)) if c == mark => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            (c, None) if c.is_whitespace() => {
                if !word.is_empty() {
                    out.push(std::mem::take(&mut word));
                }
            }
            (c, _) => word.push(c),
        }
    }
    if !word.is_empty() {
        out.push(word);
    }
    out
}
