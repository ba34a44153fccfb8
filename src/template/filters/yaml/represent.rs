//! Values as PyYAML represents them: what is a plain scalar, what is in flow style.

use super::emit::Options;
use crate::template::value::data::{Kind, as_float, items, kind, pairs};
use crate::template::value::ops::order;
use crate::template::value::text::{float, str_of};
use crate::template::value::undefined::{Res, check};
use crate::yaml;
use minijinja::Value;
use std::cmp::Ordering;

/// A value as PyYAML represents it.
pub(super) enum Item {
    Scalar {
        text: String,
        plain: bool,
    },
    List {
        items: Vec<Item>,
        flow: bool,
    },
    Map {
        pairs: Vec<(Item, Item)>,
        flow: bool,
    },
}

impl Item {
    fn is_scalar(&self) -> bool {
        matches!(self, Self::Scalar { .. })
    }
}

pub(super) fn represent(value: &Value, options: Options) -> Res<Item> {
    check(value)?;
    let scalar = |text: String| Item::Scalar { text, plain: true };
    Ok(match kind(value) {
        Kind::None => scalar("null".to_owned()),
        Kind::Bool => scalar(if value.is_true() { "true" } else { "false" }.to_owned()),
        Kind::Int => scalar(value.to_string()),
        Kind::Float => scalar(float_text(as_float(value).unwrap_or(0.0))),
        Kind::Str => {
            let text = value.as_str().unwrap_or_default().to_owned();
            let plain = is_text(&text);
            Item::Scalar { text, plain }
        }
        Kind::List | Kind::Tuple => {
            let items: Res<Vec<Item>> = items(value)?
                .iter()
                .map(|v| represent(v, options))
                .collect();
            let items = items?;
            let flow = options
                .flow
                .unwrap_or_else(|| items.iter().all(Item::is_scalar));
            Item::List { items, flow }
        }
        Kind::Dict => {
            let mut all = pairs(value)?;
            if options.sort_keys {
                sort(&mut all);
            }
            let mut out = Vec::with_capacity(all.len());
            for (key, item) in &all {
                out.push((represent(key, options)?, represent(item, options)?));
            }
            let flow = options
                .flow
                .unwrap_or_else(|| out.iter().all(|(k, v)| k.is_scalar() && v.is_scalar()));
            Item::Map { pairs: out, flow }
        }
        Kind::Bytes | Kind::Other | Kind::Undefined => Item::Scalar {
            text: str_of(value)?,
            plain: true,
        },
    })
}

/// By key; keys without order among them stay as they are.
fn sort(all: &mut Vec<(Value, Value)>) {
    let mut comparable = true;
    let mut sorted = all.clone();
    sorted.sort_by(|(a, _), (b, _)| match order(a, b) {
        Ok(Some(found)) => found,
        _ => {
            comparable = false;
            Ordering::Equal
        }
    });
    if comparable {
        *all = sorted;
    }
}

fn float_text(n: f64) -> String {
    if n.is_nan() {
        return ".nan".to_owned();
    }
    if n.is_infinite() {
        return if n > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let text = float(n);
    match text.split_once('e') {
        Some((head, tail)) if !head.contains('.') => format!("{head}.0e{tail}"),
        _ => text,
    }
}

/// Whether a plain scalar of this text would be read as a string.
fn is_text(text: &str) -> bool {
    if matches!(text, "<<" | "=") || is_timestamp(text) {
        return false;
    }
    matches!(yaml::parse_scalar(text), yaml::Kind::Str(_))
}

/// `2001-12-14` and `2001-12-14 21:59:43.10 +1:00`: dates to PyYAML.
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |n: usize| bytes.get(n).is_some_and(u8::is_ascii_digit);
    if !(0..4).all(digit) || bytes.get(4) != Some(&b'-') {
        return false;
    }
    if text.len() == 10 {
        return digit(5) && digit(6) && bytes[7] == b'-' && digit(8) && digit(9);
    }
    let parts: Vec<&str> = text.splitn(2, ['T', 't', ' ', '\t']).collect();
    let [date, time] = parts.as_slice() else {
        return false;
    };
    let numbers = |text: &str, sep: char, widths: &[std::ops::RangeInclusive<usize>]| {
        let parts: Vec<&str> = text.split(sep).collect();
        parts.len() == widths.len()
            && parts
                .iter()
                .zip(widths)
                .all(|(p, w)| w.contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
    };
    if !numbers(date, '-', &[4..=4, 1..=2, 1..=2]) {
        return false;
    }
    let time = time.trim_start();
    let end = time
        .find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.'))
        .unwrap_or(time.len());
    let (clock, zone) = time.split_at(end);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let zone = zone.trim_start();
    let zone_ok = zone.is_empty()
        || zone == "Z"
        || zone
            .strip_prefix(['+', '-'])
            .is_some_and(|z| numbers(z, ':', &[1..=2]) || numbers(z, ':', &[1..=2, 2..=2]));
    numbers(clock, ':', &[1..=2, 2..=2, 2..=2])
        && fraction.bytes().all(|b| b.is_ascii_digit())
        && zone_ok
}
