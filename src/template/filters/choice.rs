//! `map`, `select` and their kin.

use super::sequence::attribute_of;
use super::{Filter, filter, need};
use crate::template::eval::call::{Args, Call};
use crate::template::value::data::{items, list, truth};
use crate::template::value::undefined::{Res, fault, undef};
use minijinja::Value;

pub(super) const FILTERS: &[Filter] = &[
    filter("map", map),
    filter("select", |c| select(c, true, false)),
    filter("reject", |c| select(c, false, false)),
    filter("selectattr", |c| select(c, true, true)),
    filter("rejectattr", |c| select(c, false, true)),
];

fn map(c: &mut Call<'_, '_>) -> Res<Value> {
    let mut args = std::mem::take(&mut c.args);
    let values = items(&c.subject)?;
    let mut out = Vec::with_capacity(values.len());
    if args.pos.is_empty() {
        let path = args.take("attribute");
        let default = args.take("default");
        args.bind([]).map(|_: [Option<Value>; 0]| ())?;
        let path = need(path, "the name of a filter, or `attribute`,")?;
        for value in values {
            let found = attribute_of(c.machine, &value, &path)?;
            out.push(match &default {
                Some(default) if undef(&found).is_some() => default.clone(),
                _ => found,
            });
        }
        return Ok(list(out));
    }
    let name = args.pos.remove(0);
    let Some(name) = name.as_str() else {
        return Err(fault("the name of the filter must be a string"));
    };
    for value in values {
        out.push(c.machine.filter_by_name(name, value, args.clone())?);
    }
    Ok(list(out))
}

fn select(c: &mut Call<'_, '_>, wanted: bool, attribute: bool) -> Res<Value> {
    let mut args = std::mem::take(&mut c.args);
    let path = if attribute {
        if args.pos.is_empty() {
            return Err(fault("the attribute is missing"));
        }
        Some(args.pos.remove(0))
    } else {
        None
    };
    let test = if args.pos.is_empty() {
        None
    } else {
        Some(args.pos.remove(0))
    };
    let mut out = Vec::new();
    for value in items(&c.subject)? {
        let subject = match &path {
            Some(path) => attribute_of(c.machine, &value, path)?,
            None => value.clone(),
        };
        let yes = match &test {
            Some(test) => {
                let Some(name) = test.as_str() else {
                    return Err(fault("the name of the test must be a string"));
                };
                let args = Args {
                    pos: args.pos.clone(),
                    kw: args.kw.clone(),
                };
                c.machine.test_by_name(name, subject, args)?
            }
            None => truth(&subject)?,
        };
        if yes == wanted {
            out.push(value);
        }
    }
    Ok(list(out))
}
