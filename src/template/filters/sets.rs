//! Lists as sets. Python leaves their order open; here it is that of first appearance.

use super::sequence::distinct;
use super::{Filter, filter, need};
use crate::template::eval::call::Call;
use crate::template::value::data::{items, list};
use crate::template::value::ops::contains;
use crate::template::value::undefined::Res;
use minijinja::Value;
use std::collections::HashSet;

pub(super) const FILTERS: &[Filter] = &[
    filter("union", |c| {
        let (mut a, b) = both(c)?;
        a.extend(b);
        distinct(a, Value::clone).map(list)
    }),
    filter("intersect", |c| {
        let (a, b) = both(c)?;
        distinct(kept(a, b, true)?, Value::clone).map(list)
    }),
    filter("difference", |c| {
        let (a, b) = both(c)?;
        distinct(kept(a, b, false)?, Value::clone).map(list)
    }),
    filter("symmetric_difference", |c| {
        let (a, b) = both(c)?;
        let mut out = kept(a.clone(), b.clone(), false)?;
        out.extend(kept(b, a, false)?);
        distinct(out, Value::clone).map(list)
    }),
];

fn both(c: &mut Call<'_, '_>) -> Res<(Vec<Value>, Vec<Value>)> {
    let [other] = c.bind(["b"])?;
    Ok((items(&c.subject)?, items(&need(other, "the other list")?)?))
}

/// Items of `a` that are, or are not, among `b`.
pub(super) fn kept(a: Vec<Value>, b: Vec<Value>, among: bool) -> Res<Vec<Value>> {
    // Scalars by hash, the rest one by one.
    let scalars: HashSet<Value> = b
        .iter()
        .filter(|v| v.as_object().is_none())
        .cloned()
        .collect();
    let others = list(b);
    let mut out = Vec::new();
    for value in a {
        let found = if value.as_object().is_none() {
            scalars.contains(&value)
        } else {
            contains(&others, &value)?
        };
        if found == among {
            out.push(value);
        }
    }
    Ok(out)
}
