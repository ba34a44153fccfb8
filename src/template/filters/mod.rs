//! Filters: one static table a family, so that an unknown name is known before anything runs.

use super::eval::call::Call;
use super::names::bare;
use super::value::Res;
use super::value::data::{self, as_int, described, is_str};
use super::value::undefined::{check, fault};
use minijinja::Value;
use std::collections::HashMap;
use std::sync::LazyLock;

mod choice;
mod encode;
mod general;
pub(crate) mod hash;
mod json;
mod logic;
mod mapping;
mod math;
pub(crate) mod net;
pub(crate) mod path;
pub(crate) mod regex;
pub(crate) mod sequence;
mod sets;
pub(crate) mod shape;
mod text;
mod time;
mod wrap;
pub(crate) mod yaml;

/// A filter.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Call<'_, '_>) -> Res<Value>,
    /// Whether it is given undefined values; otherwise the first one is its result.
    pub(crate) markers: bool,
}

const fn filter(name: &'static str, run: fn(&mut Call<'_, '_>) -> Res<Value>) -> Filter {
    Filter {
        name,
        run,
        markers: false,
    }
}

const fn with_markers(name: &'static str, run: fn(&mut Call<'_, '_>) -> Res<Value>) -> Filter {
    Filter {
        name,
        run,
        markers: true,
    }
}

/// All families.
static FAMILIES: &[&[Filter]] = &[
    choice::FILTERS,
    encode::FILTERS,
    general::FILTERS,
    hash::FILTERS,
    json::FILTERS,
    logic::FILTERS,
    mapping::FILTERS,
    math::FILTERS,
    net::FILTERS,
    path::FILTERS,
    regex::FILTERS,
    sequence::FILTERS,
    sets::FILTERS,
    shape::FILTERS,
    text::FILTERS,
    time::FILTERS,
    wrap::FILTERS,
    yaml::FILTERS,
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Filter>> = LazyLock::new(|| {
    let all = FAMILIES.iter().copied().flatten();
    all.map(|filter| (filter.name, filter)).collect()
});

/// A filter by its name, qualified or not.
pub(crate) fn find(name: &str) -> Option<&'static Filter> {
    BY_NAME.get(bare(name)).copied()
}

/// All names.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().copied().flatten().map(|filter| filter.name)
}

/// What Ansible takes for a boolean, if it does.
pub(crate) fn logic_bool(value: &Value) -> Option<bool> {
    logic::bool_of(value)
}

// --- what filters share ---

/// A string that must be one.
fn text(value: &Value, what: &str) -> Res<String> {
    if is_str(value) {
        return Ok(value.as_str().unwrap_or_default().to_owned());
    }
    check(value)?;
    Err(fault(format!(
        "{what} must be a string, not {}",
        described(value)
    )))
}

/// An argument that must be a string and may be missing.
fn text_or(value: Option<&Value>, default: &str, what: &str) -> Res<String> {
    match value {
        Some(value) if !value.is_none() => text(value, what),
        _ => Ok(default.to_owned()),
    }
}

/// An argument that must be an integer and may be missing.
fn int_or(value: Option<&Value>, default: i128, what: &str) -> Res<i128> {
    match value {
        Some(value) if !value.is_none() => as_int(value)
            .or_else(|| value.as_str().and_then(|s| s.trim().parse().ok()))
            .ok_or_else(|| {
                fault(format!(
                    "{what} must be an integer, not {}",
                    described(value)
                ))
            }),
        _ => Ok(default),
    }
}

/// An argument that must be a size and may be missing.
fn size_or(value: Option<&Value>, default: usize, what: &str) -> Res<usize> {
    let n = int_or(value, i128::try_from(default).unwrap_or(0), what)?;
    usize::try_from(n).map_err(|_| fault(format!("{what} must not be negative")))
}

/// An argument that is a flag and may be missing.
fn flag(value: Option<&Value>, default: bool) -> bool {
    match value {
        Some(value) if is_str(value) => logic::bool_of(value).unwrap_or(default),
        Some(value) => value.is_true(),
        None => default,
    }
}

/// An argument that must be given.
fn need(value: Option<Value>, what: &str) -> Res<Value> {
    value.ok_or_else(|| fault(format!("{what} is missing")))
}

/// A list of all items there are.
fn listed(items: impl IntoIterator<Item = Value>) -> Value {
    data::list(items.into_iter().collect())
}
