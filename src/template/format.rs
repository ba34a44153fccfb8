//! Python's two ways to format: `'%s' % x` and `'{}'.format(x)`.

use super::value::data::{self, Kind, as_float, as_int, kind, type_name};
use super::value::text::{repr, str_of};
use super::value::undefined::{Res, check, fault};
use minijinja::Value;
use std::iter::Peekable;
use std::str::Chars;
use std::sync::Arc;

/// How one value is to look.
#[derive(Debug, Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    zero: bool,
    width: usize,
    group: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

fn number(chars: &mut Peekable<Chars<'_>>) -> Option<usize> {
    let mut digits = String::new();
    while let Some(c) = chars.next_if(char::is_ascii_digit) {
        digits.push(c);
    }
    digits.parse().ok().map(|n: usize| n.min(100_000))
}

/// `text % value`
pub(crate) fn percent(text: &str, value: &Value) -> Res<String> {
    check(value)?;
    let args = if kind(value) == Kind::Tuple {
        data::items(value)?
    } else {
        vec![value.clone()]
    };
    let mut next = args.iter();
    let mut named = false;
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut spec = Spec::default();
        let mut key = None;
        if chars.next_if_eq(&'(').is_some() {
            let name: String = chars.by_ref().take_while(|c| *c != ')').collect();
            key = Some(name);
        }
        while let Some(flag) = chars.next_if(|c| "#0- +".contains(*c)) {
            match flag {
                '#' => spec.alternate = true,
                '0' => spec.zero = true,
                '-' => spec.align = Some('<'),
                _ => spec.sign = spec.sign.filter(|s| *s == '+').or(Some(flag)),
            }
        }
        let mut star = |chars: &mut Peekable<Chars<'_>>| -> Option<usize> {
            if chars.next_if_eq(&'*').is_some() {
                return next.next().and_then(Value::as_usize);
            }
            number(chars)
        };
        spec.width = star(&mut chars).unwrap_or(0);
        if chars.next_if_eq(&'.').is_some() {
            spec.precision = Some(star(&mut chars).unwrap_or(0));
        }
        while chars.next_if(|c| "hlL".contains(*c)).is_some() {}
        let conversion = chars.next().ok_or_else(|| fault("incomplete format"))?;
        if conversion == '%' {
            out.push('%');
            continue;
        }
        let arg = match &key {
            Some(name) => {
                named = true;
                data::get(value, &Value::from(name.as_str()))
                    .ok_or_else(|| fault(format!("format: there is no key '{name}'")))?
            }
            None => next
                .next()
                .cloned()
                .ok_or_else(|| fault("not enough arguments for format string"))?,
        };
        check(&arg)?;
        // Text is right-aligned unless told otherwise, numbers are anyway.
        spec.align = spec.align.or(Some('>'));
        out.push_str(&match conversion {
            's' | 'c' => pad_text(&str_of(&arg)?, &spec),
            'r' | 'a' => pad_text(&repr(&arg)?, &spec),
            'd' | 'i' | 'u' => {
                let n = match (as_int(&arg), as_float(&arg)) {
                    (Some(n), _) => n,
                    #[expect(clippy::cast_possible_truncation, reason = "Python truncates, too")]
                    (None, Some(n)) => n.trunc() as i128,
                    _ => {
                        return Err(fault(format!(
                            "%{conversion} format: a real number is required, not {}",
                            type_name(&arg)
                        )));
                    }
                };
                spec.kind = Some('d');
                if let Some(digits) = spec.precision.take() {
                    let text = format!("{:0digits$}", n.unsigned_abs());
                    pad_number(n < 0, "", &text, &spec)
                } else {
                    integer(n, &spec)
                }
            }
            'x' | 'X' | 'o' => {
                spec.kind = Some(conversion);
                let n = as_int(&arg).ok_or_else(|| {
                    fault(format!(
                        "%{conversion} format: an integer is required, not {}",
                        type_name(&arg)
                    ))
                })?;
                integer(n, &spec)
            }
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                spec.kind = Some(conversion);
                let n = as_float(&arg).ok_or_else(|| {
                    fault(format!("must be real number, not {}", type_name(&arg)))
                })?;
                floating(n, &spec)
            }
            other => {
                return Err(fault(format!("unsupported format character '{other}'")));
            }
        });
    }
    if next.next().is_some() && !named && kind(value) != Kind::Dict {
        return Err(fault(
            "not all arguments converted during string formatting",
        ));
    }
    Ok(out)
}

/// `text.format(…)`
pub(crate) fn format(text: &str, pos: &[Value], kw: &[(Arc<str>, Value)]) -> Res<String> {
    let mut auto = 0;
    format_with(text, pos, kw, &mut auto, 0)
}

fn format_with(
    text: &str,
    pos: &[Value],
    kw: &[(Arc<str>, Value)],
    auto: &mut usize,
    depth: usize,
) -> Res<String> {
    let mut out = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '{' if chars.next_if_eq(&'{').is_some() => out.push('{'),
            '}' if chars.next_if_eq(&'}').is_some() => out.push('}'),
            '}' => return Err(fault("single '}' encountered in format string")),
            '{' => {
                let mut field = String::new();
                let mut open = 1;
                for c in chars.by_ref() {
                    open += i32::from(c == '{') - i32::from(c == '}');
                    if open == 0 {
                        break;
                    }
                    field.push(c);
                }
                if open != 0 {
                    return Err(fault("expected '}' before end of string"));
                }
                let (name, spec) = field.split_once(':').unwrap_or((&field, ""));
                let (name, conversion) = name.split_once('!').unwrap_or((name, ""));
                let value = lookup(name, pos, kw, auto)?;
                check(&value)?;
                let spec = if spec.contains('{') && depth == 0 {
                    format_with(spec, pos, kw, auto, 1)?
                } else {
                    spec.to_owned()
                };
                let value = match conversion {
                    "" => value,
                    "r" | "a" => Value::from(repr(&value)?),
                    _ => Value::from(str_of(&value)?),
                };
                out.push_str(&format_value(&value, &spec)?);
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

fn lookup(name: &str, pos: &[Value], kw: &[(Arc<str>, Value)], auto: &mut usize) -> Res<Value> {
    let end = name.find(['.', '[']).unwrap_or(name.len());
    let (first, mut rest) = name.split_at(end);
    let missing = || fault(format!("format: there is no argument '{first}'"));
    let mut value = if first.is_empty() {
        *auto += 1;
        pos.get(*auto - 1)
            .cloned()
            .ok_or_else(|| fault("replacement index out of range for positional arguments"))?
    } else if let Ok(n) = first.parse::<usize>() {
        pos.get(n).cloned().ok_or_else(missing)?
    } else {
        let found = kw.iter().find(|(k, _)| k.as_ref() == first);
        found.map(|(_, v)| v.clone()).ok_or_else(missing)?
    };
    while !rest.is_empty() {
        let (key, after) = if let Some(tail) = rest.strip_prefix('[') {
            tail.split_once(']')
                .ok_or_else(|| fault("missing ']' in format string"))?
        } else {
            let tail = &rest[1..];
            tail.split_at(tail.find(['.', '[']).unwrap_or(tail.len()))
        };
        let index = key
            .parse::<i64>()
            .map_or_else(|_| Value::from(key), Value::from);
        value = super::eval::access::get_item(&value, &index)
            .or_else(|| super::eval::access::get_item(&value, &Value::from(key)))
            .ok_or_else(|| fault(format!("format: there is no '{key}'")))?;
        rest = after;
    }
    Ok(value)
}

/// Python's `format(value, spec)`.
pub(crate) fn format_value(value: &Value, spec: &str) -> Res<String> {
    if spec.is_empty() {
        return str_of(value);
    }
    if let Some(text) = super::datetime::strftime_of(value, spec) {
        return Ok(text);
    }
    let spec = parse_spec(spec)?;
    let bad = |code: char| {
        fault(format!(
            "unknown format code '{code}' for object of type '{}'",
            type_name(value)
        ))
    };
    match (kind(value), spec.kind) {
        (Kind::Int | Kind::Bool, None | Some('d' | 'x' | 'X' | 'o' | 'b' | 'c' | 'n')) => {
            Ok(integer(as_int(value).unwrap_or(0), &spec))
        }
        (Kind::Int | Kind::Bool | Kind::Float, Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%')) => {
            Ok(floating(as_float(value).unwrap_or(0.0), &spec))
        }
        (Kind::Float, None) => {
            let n = as_float(value).unwrap_or(0.0);
            if spec.precision.is_some() {
                let general = Spec {
                    kind: Some('g'),
                    ..spec
                };
                return Ok(floating(n, &general));
            }
            let text = super::value::text::float(n.abs());
            Ok(pad_number(n.is_sign_negative(), "", &text, &spec))
        }
        (Kind::Str, None | Some('s')) => Ok(pad_text(value.as_str().unwrap_or(""), &spec)),
        (_, Some(code)) => Err(bad(code)),
        _ => Err(fault(format!(
            "unsupported format string passed to {}.__format__",
            type_name(value)
        ))),
    }
}

fn parse_spec(text: &str) -> Res<Spec> {
    let mut spec = Spec::default();
    let all: Vec<char> = text.chars().collect();
    let mut rest = text;
    if let (Some(fill), Some(align)) = (all.first(), all.get(1))
        && "<>=^".contains(*align)
    {
        spec.fill = Some(*fill);
        spec.align = Some(*align);
        rest = &text[fill.len_utf8() + 1..];
    }
    let mut chars = rest.chars().peekable();
    if spec.align.is_none() {
        spec.align = chars.next_if(|c| "<>=^".contains(*c));
    }
    spec.sign = chars.next_if(|c| "+- ".contains(*c));
    spec.alternate = chars.next_if_eq(&'#').is_some();
    spec.zero = chars.next_if_eq(&'0').is_some();
    spec.width = number(&mut chars).unwrap_or(0);
    spec.group = chars.next_if(|c| ",_".contains(*c));
    if chars.next_if_eq(&'.').is_some() {
        spec.precision =
            Some(number(&mut chars).ok_or_else(|| fault("format specifier missing precision"))?);
    }
    spec.kind = chars.next();
    if chars.next().is_some() {
        return Err(fault(format!("invalid format specifier '{text}'")));
    }
    Ok(spec)
}

fn fill(text: &str, spec: &Spec, default: char) -> String {
    let missing = spec.width.saturating_sub(text.chars().count());
    let fill = spec.fill.unwrap_or(' ').to_string();
    match spec.align.unwrap_or(default) {
        '<' => format!("{text}{}", fill.repeat(missing)),
        '^' => {
            let left = missing / 2;
            format!("{}{text}{}", fill.repeat(left), fill.repeat(missing - left))
        }
        _ => format!("{}{text}", fill.repeat(missing)),
    }
}

fn pad_text(text: &str, spec: &Spec) -> String {
    let cut: String = match spec.precision {
        Some(n) => text.chars().take(n).collect(),
        None => text.to_owned(),
    };
    fill(&cut, spec, '<')
}

fn pad_number(negative: bool, prefix: &str, digits: &str, spec: &Spec) -> String {
    let sign = match (negative, spec.sign) {
        (true, _) => "-",
        (false, Some('+')) => "+",
        (false, Some(' ')) => " ",
        _ => "",
    };
    let head = format!("{sign}{prefix}");
    let zero = spec.zero && !matches!(spec.align, Some('<' | '^')) || spec.align == Some('=');
    if zero {
        let pad = if spec.align == Some('=') {
            spec.fill.unwrap_or('0')
        } else {
            '0'
        };
        let missing = spec.width.saturating_sub(head.len() + digits.len());
        return format!("{head}{}{digits}", pad.to_string().repeat(missing));
    }
    fill(&format!("{head}{digits}"), spec, '>')
}

fn grouped(digits: &str, group: Option<char>, size: usize) -> String {
    let Some(mark) = group else {
        return digits.to_owned();
    };
    let mut out = String::new();
    for (n, c) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(size) {
            out.push(mark);
        }
        out.push(c);
    }
    out
}

fn integer(n: i128, spec: &Spec) -> String {
    let abs = n.unsigned_abs();
    let (prefix, digits) = match spec.kind {
        Some('x') => ("0x", format!("{abs:x}")),
        Some('X') => ("0X", format!("{abs:X}")),
        Some('o') => ("0o", format!("{abs:o}")),
        Some('b') => ("0b", format!("{abs:b}")),
        Some('c') => {
            let c = u32::try_from(abs).ok().and_then(char::from_u32);
            return fill(&c.map(String::from).unwrap_or_default(), spec, '<');
        }
        _ => ("", grouped(&abs.to_string(), spec.group, 3)),
    };
    let prefix = if spec.alternate { prefix } else { "" };
    pad_number(n < 0, prefix, &digits, spec)
}

fn floating(n: f64, spec: &Spec) -> String {
    let precision = spec.precision.unwrap_or(6);
    let kind = spec.kind.unwrap_or('g');
    let abs = n.abs();
    if !n.is_finite() {
        let text = if n.is_nan() { "nan" } else { "inf" };
        return pad_number(n < 0.0, "", text, spec);
    }
    let mut digits = match kind.to_ascii_lowercase() {
        'f' => format!("{abs:.precision$}"),
        '%' => format!("{:.precision$}%", abs * 100.0),
        'e' => exponent(abs, precision),
        _ => general(abs, precision.max(1), spec.alternate),
    };
    if kind.is_ascii_uppercase() {
        digits = digits.to_uppercase();
    }
    if spec.group.is_some() {
        let (whole, rest) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
        digits = format!("{}{rest}", grouped(whole, spec.group, 3));
    }
    pad_number(n.is_sign_negative(), "", &digits, spec)
}

fn exponent(n: f64, precision: usize) -> String {
    let text = format!("{n:.precision$e}");
    let (mantissa, exp) = text.split_once('e').unwrap_or((&text, "0"));
    let exp: i32 = exp.parse().unwrap_or(0);
    let sign = if exp < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exp.abs())
}

fn general(n: f64, precision: usize, keep_zeros: bool) -> String {
    let scientific = format!("{n:.*e}", precision - 1);
    let exp: i32 = scientific
        .split_once('e')
        .and_then(|(_, e)| e.parse().ok())
        .unwrap_or(0);
    let trim = |text: &str| {
        if keep_zeros || !text.contains('.') {
            text.to_owned()
        } else {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    };
    let limit = i32::try_from(precision).unwrap_or(i32::MAX);
    if exp < -4 || exp >= limit {
        let text = exponent(n, precision - 1);
        let (mantissa, tail) = text.split_once('e').unwrap_or((&text, "+00"));
        return format!("{}e{tail}", trim(mantissa));
    }
    let decimals = usize::try_from(limit - 1 - exp).unwrap_or(0);
    trim(&format!("{n:.decimals$}"))
}
