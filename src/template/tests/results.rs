//! Results of tasks.

use super::{Test, test};
use crate::template::eval::call::Call;
use crate::template::value::data::{described, get_str, is_map, items};
use crate::template::value::undefined::{Res, fault};
use minijinja::Value;

pub(super) const TESTS: &[Test] = &[
    test("failed", |c| field(c, "failed")),
    test("failure", |c| field(c, "failed")),
    test("succeeded", |c| field(c, "failed").map(|yes| !yes)),
    test("success", |c| field(c, "failed").map(|yes| !yes)),
    test("successful", |c| field(c, "failed").map(|yes| !yes)),
    test("unreachable", |c| field(c, "unreachable")),
    test("reachable", |c| field(c, "unreachable").map(|yes| !yes)),
    test("skipped", |c| field(c, "skipped")),
    test("skip", |c| field(c, "skipped")),
    test("changed", changed),
    test("change", changed),
    test("started", |c| field_or(c, "started", true)),
    test("finished", |c| field_or(c, "finished", true)),
    test("timedout", |c| {
        let result = result(c)?;
        Ok(get_str(&result, "timedout")
            .filter(Value::is_true)
            .and_then(|t| get_str(&t, "period"))
            .is_some_and(|p| p.is_true()))
    }),
];

fn result(c: &mut Call<'_, '_>) -> Res<Value> {
    c.no_args()?;
    if is_map(&c.subject) {
        return Ok(c.subject.clone());
    }
    Err(fault(format!(
        "expected the result of a task, got {}",
        described(&c.subject)
    )))
}

fn field(c: &mut Call<'_, '_>, name: &str) -> Res<bool> {
    field_or(c, name, false)
}

fn field_or(c: &mut Call<'_, '_>, name: &str, default: bool) -> Res<bool> {
    let result = result(c)?;
    Ok(get_str(&result, name).map_or(default, |v| v.is_true()))
}

fn changed(c: &mut Call<'_, '_>) -> Res<bool> {
    let result = result(c)?;
    if let Some(value) = get_str(&result, "changed") {
        return Ok(value.is_true());
    }
    let Some(results) = get_str(&result, "results") else {
        return Ok(false);
    };
    let each = items(&results).unwrap_or_default();
    Ok(each
        .iter()
        .any(|r| get_str(r, "changed").is_some_and(|v| v.is_true())))
}
