//! Text, patterns and addresses of resources.

use super::{Test, test};
use crate::template::eval::call::Call;
use crate::template::filters::net::split_url;
use crate::template::filters::regex::{Flags, is_match};
use crate::template::value::data::{is_str, items};
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, fault};
use minijinja::Value;

pub(super) const TESTS: &[Test] = &[
    test("lower", |c| {
        let text = str_of(&c.subject)?;
        Ok(text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase))
    }),
    test("upper", |c| {
        let text = str_of(&c.subject)?;
        Ok(text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase))
    }),
    test("match", |c| pattern(c, "match")),
    test("search", |c| pattern(c, "search")),
    test("regex", |c| {
        let kind = c.args.take("match_type");
        let kind = kind.map_or_else(|| "search".to_owned(), |k| k.to_string());
        pattern(c, &kind)
    }),
    test("uri", |c| is_uri(c, false)),
    test("url", |c| is_uri(c, true)),
    test("urn", |c| {
        c.no_args()?;
        Ok(is_str(&c.subject) && split_url(c.subject.as_str().unwrap_or("")).scheme == "urn")
    }),
];

fn pattern(c: &mut Call<'_, '_>, how: &str) -> Res<bool> {
    let [pattern, ignore_case, multi_line] = c.bind(["pattern", "ignorecase", "multiline"])?;
    let pattern = match &pattern {
        Some(pattern) => str_of(pattern)?,
        None => String::new(),
    };
    let flags = Flags {
        ignore_case: ignore_case.is_some_and(|v| v.is_true()),
        multi_line: multi_line.is_some_and(|v| v.is_true()),
    };
    let text = str_of(&c.subject)?;
    match how {
        "match" => is_match(&pattern, &text, flags, true, false),
        "fullmatch" => is_match(&pattern, &text, flags, true, true),
        "search" => is_match(&pattern, &text, flags, false, false),
        other => Err(fault(format!("unknown `match_type` '{other}'"))),
    }
}

fn is_uri(c: &mut Call<'_, '_>, with_host: bool) -> Res<bool> {
    let [schemes] = c.bind(["schemes"])?;
    if !is_str(&c.subject) {
        return Ok(false);
    }
    let url = split_url(c.subject.as_str().unwrap_or(""));
    if let Some(schemes) = schemes.filter(Value::is_true) {
        let known = items(&schemes)?;
        if !known.iter().any(|s| s.as_str() == Some(&url.scheme)) {
            return Ok(false);
        }
    }
    Ok(!with_host || !url.netloc.is_empty() || url.scheme == "file")
}
