//! How a value compares with others.

use super::{Test, test};
use crate::template::eval::call::Call;
use crate::template::jinja::ast::CmpOp;
use crate::template::value::data::{Kind, as_int, items, kind, list};
use crate::template::value::ops::{compare, contains};
use crate::template::value::undefined::{Res, fault};
use minijinja::Value;

pub(super) const TESTS: &[Test] = &[
    test("eq", |c| with(c, CmpOp::Eq)),
    test("equalto", |c| with(c, CmpOp::Eq)),
    test("==", |c| with(c, CmpOp::Eq)),
    test("ne", |c| with(c, CmpOp::Ne)),
    test("!=", |c| with(c, CmpOp::Ne)),
    test("lt", |c| with(c, CmpOp::Lt)),
    test("lessthan", |c| with(c, CmpOp::Lt)),
    test("<", |c| with(c, CmpOp::Lt)),
    test("le", |c| with(c, CmpOp::Le)),
    test("<=", |c| with(c, CmpOp::Le)),
    test("gt", |c| with(c, CmpOp::Gt)),
    test("greaterthan", |c| with(c, CmpOp::Gt)),
    test(">", |c| with(c, CmpOp::Gt)),
    test("ge", |c| with(c, CmpOp::Ge)),
    test(">=", |c| with(c, CmpOp::Ge)),
    test("in", |c| with(c, CmpOp::In)),
    test("contains", |c| {
        let other = other(c)?;
        contains(&c.subject, &other)
    }),
    test("sameas", sameas),
    test("divisibleby", |c| {
        let other = other(c)?;
        match (as_int(&c.subject), as_int(&other)) {
            (Some(a), Some(b)) if b != 0 => Ok(a % b == 0),
            _ => Err(fault("expected two integers, the second not zero")),
        }
    }),
    test("subset", |c| {
        let other = other(c)?;
        subset(&c.subject, &other)
    }),
    test("issubset", |c| {
        let other = other(c)?;
        subset(&c.subject, &other)
    }),
    test("superset", |c| {
        let other = other(c)?;
        subset(&other, &c.subject)
    }),
    test("issuperset", |c| {
        let other = other(c)?;
        subset(&other, &c.subject)
    }),
    test("any", |c| Ok(items(&c.subject)?.iter().any(Value::is_true))),
    test("all", |c| Ok(items(&c.subject)?.iter().all(Value::is_true))),
];

fn other(c: &mut Call<'_, '_>) -> Res<Value> {
    let [other] = c.bind(["other"])?;
    other.ok_or_else(|| fault("what to compare with is missing"))
}

fn with(c: &mut Call<'_, '_>, op: CmpOp) -> Res<bool> {
    let other = other(c)?;
    compare(op, &c.subject, &other)
}

fn sameas(c: &mut Call<'_, '_>) -> Res<bool> {
    let other = other(c)?;
    Ok(match (kind(&c.subject), kind(&other)) {
        (Kind::None, Kind::None) => true,
        (a, b) if a != b => false,
        _ => c.subject == other,
    })
}

fn subset(a: &Value, b: &Value) -> Res<bool> {
    let b = list(items(b)?);
    for item in items(a)? {
        if !contains(&b, &item)? {
            return Ok(false);
        }
    }
    Ok(true)
}
