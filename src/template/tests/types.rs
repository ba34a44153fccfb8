//! What a value is.

use super::{Test, test};
use crate::template::eval::call::Call;
use crate::template::functions;
use crate::template::value::data::{Kind, as_int, kind, truth};
use crate::template::value::undefined::{Res, check, is_defined, trip, undef};
use crate::template::{filters, names};
use minijinja::Value;

const fn marked(name: &'static str, run: fn(&mut Call<'_, '_>) -> Res<bool>) -> Test {
    Test {
        name,
        run,
        markers: true,
    }
}

pub(super) const TESTS: &[Test] = &[
    marked("defined", |c| is_defined(&c.subject)),
    marked("undefined", |c| is_defined(&c.subject).map(|yes| !yes)),
    test("none", |c| Ok(c.subject.is_none())),
    test("string", |c| Ok(kind(&c.subject) == Kind::Str)),
    test("number", |c| {
        Ok(matches!(
            kind(&c.subject),
            Kind::Bool | Kind::Int | Kind::Float
        ))
    }),
    test("integer", |c| Ok(kind(&c.subject) == Kind::Int)),
    test("float", |c| Ok(kind(&c.subject) == Kind::Float)),
    test("boolean", |c| Ok(kind(&c.subject) == Kind::Bool)),
    test("true", |c| {
        Ok(kind(&c.subject) == Kind::Bool && c.subject.is_true())
    }),
    test("false", |c| {
        Ok(kind(&c.subject) == Kind::Bool && !c.subject.is_true())
    }),
    test("mapping", |c| Ok(kind(&c.subject) == Kind::Dict)),
    test("sequence", |c| {
        Ok(matches!(
            kind(&c.subject),
            Kind::Str | Kind::List | Kind::Tuple | Kind::Dict
        ))
    }),
    test("iterable", |c| {
        Ok(matches!(
            kind(&c.subject),
            Kind::Str | Kind::Bytes | Kind::List | Kind::Tuple | Kind::Dict
        ))
    }),
    test("callable", |c| {
        Ok(kind(&c.subject) == Kind::Other && !functions::is_omit(&c.subject))
    }),
    test("escaped", |_| Ok(false)),
    test(
        "odd",
        |c| Ok(as_int(&c.subject).is_some_and(|n| n % 2 != 0)),
    ),
    test("even", |c| {
        Ok(as_int(&c.subject).is_some_and(|n| n % 2 == 0))
    }),
    test("nan", |c| Ok(is_nan(&c.subject))),
    test("isnan", |c| Ok(is_nan(&c.subject))),
    test("truthy", truthy),
    test("falsy", |c| truthy(c).map(|yes| !yes)),
    test("filter", |c| {
        Ok(c.subject
            .as_str()
            .is_some_and(|name| filters::find(name).is_some()))
    }),
    test("test", |c| {
        Ok(c.subject.as_str().is_some_and(names::is_test))
    }),
    marked("vault_encrypted", vault_encrypted),
];

fn is_nan(value: &Value) -> bool {
    kind(value) == Kind::Float && f64::try_from(value.clone()).is_ok_and(f64::is_nan)
}

fn truthy(c: &mut Call<'_, '_>) -> Res<bool> {
    let [convert] = c.bind(["convert_bool"])?;
    if convert.is_some_and(|v| v.is_true())
        && let Some(text) = c.subject.as_str()
    {
        match text.trim().to_lowercase().as_str() {
            "y" | "yes" | "on" | "1" | "true" | "t" | "1.0" => return Ok(true),
            "n" | "no" | "off" | "0" | "false" | "f" | "0.0" => return Ok(false),
            _ => {}
        }
    }
    truth(&c.subject)
}

fn vault_encrypted(c: &mut Call<'_, '_>) -> Res<bool> {
    if undef(&c.subject).is_some() {
        return Err(trip(&c.subject));
    }
    check(&c.subject)?;
    Ok(c.subject
        .as_str()
        .is_some_and(|s| s.starts_with("$ANSIBLE_VAULT;")))
}
