//! Values as Python prints them: `str` and `repr`.

use super::data::{Kind, kind};
use super::undefined::{Res, Undef, Why, trip};
use minijinja::Value;
use minijinja::value::DynObject;
use std::fmt::Write;

/// Python's `str`.
pub(crate) fn str_of(value: &Value) -> Res<String> {
    let mut out = String::new();
    write_str(&mut out, value)?;
    Ok(out)
}

/// Python's `repr`.
pub(crate) fn repr(value: &Value) -> Res<String> {
    let mut out = String::new();
    write_repr(&mut out, value)?;
    Ok(out)
}

/// Appends Python's `str`.
pub(crate) fn write_str(out: &mut String, value: &Value) -> Res<()> {
    match kind(value) {
        Kind::Str => {
            out.push_str(value.as_str().unwrap_or_default());
            Ok(())
        }
        _ => write_repr(out, value),
    }
}

/// Appends Python's `repr`.
pub(crate) fn write_repr(out: &mut String, value: &Value) -> Res<()> {
    match kind(value) {
        Kind::None => out.push_str("None"),
        Kind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        Kind::Float => out.push_str(&float(f64::try_from(value.clone()).unwrap_or(f64::NAN))),
        Kind::Str => quote(out, value.as_str().unwrap_or_default()),
        Kind::Bytes => bytes(out, value.as_bytes().unwrap_or_default()),
        Kind::List => sequence(out, value, "[", "]")?,
        Kind::Tuple => sequence(out, value, "(", ")")?,
        Kind::Dict => {
            out.push('{');
            let pairs = value.as_object().and_then(DynObject::try_iter_pairs);
            for (n, (key, item)) in pairs.into_iter().flatten().enumerate() {
                if n > 0 {
                    out.push_str(", ");
                }
                write_repr(out, &key)?;
                out.push_str(": ");
                write_repr(out, &item)?;
            }
            out.push('}');
        }
        Kind::Undefined => match value.downcast_object_ref::<Undef>() {
            Some(u) if matches!(u.why, Why::Nothing) => {}
            _ => return Err(trip(value)),
        },
        Kind::Int | Kind::Other => {
            let _ = write!(out, "{value}");
        }
    }
    Ok(())
}

fn sequence(out: &mut String, value: &Value, open: &str, close: &str) -> Res<()> {
    out.push_str(open);
    let mut count = 0;
    for item in value.try_iter().into_iter().flatten() {
        if count > 0 {
            out.push_str(", ");
        }
        write_repr(out, &item)?;
        count += 1;
    }
    if count == 1 && open == "(" {
        out.push(',');
    }
    out.push_str(close);
    Ok(())
}

/// A float as Python's `repr`: the shortest digits that read back the same.
pub(crate) fn float(n: f64) -> String {
    if n.is_nan() {
        return "nan".to_owned();
    }
    if n.is_infinite() {
        return if n > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{n:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let mut plain = format!("{n}");
        if !plain.contains('.') {
            plain.push_str(".0");
        }
        return plain;
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// A string as Python's `repr`.
pub(crate) fn quote(out: &mut String, text: &str) {
    let mark = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    out.push(mark);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == mark => {
                out.push('\\');
                out.push(c);
            }
            c if is_printable(c) => out.push(c),
            c => {
                let code = c as u32;
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(mark);
}

/// Python's `isprintable`, as far as it matters.
fn is_printable(c: char) -> bool {
    !(c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..='\u{fffb}'))
}

fn bytes(out: &mut String, data: &[u8]) {
    let mark = if data.contains(&b'\'') && !data.contains(&b'"') {
        '"'
    } else {
        '\''
    };
    out.push('b');
    out.push(mark);
    for byte in data {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b if char::from(*b) == mark => {
                out.push('\\');
                out.push(mark);
            }
            0x20..=0x7e => out.push(char::from(*byte)),
            _ => {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
    }
    out.push(mark);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_python_prints_them() {
        for (n, want) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.5e300, "1.5e+300"),
            (-0.0, "-0.0"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(float(n), want);
        }
    }

    #[test]
    fn strings_as_python_prints_them() {
        for (text, want) in [
            ("a", "'a'"),
            ("it's", "\"it's\""),
            ("it's \"x\"", "'it\\'s \"x\"'"),
            ("a\nb\\", "'a\\nb\\\\'"),
            ("é\u{7f}", "'é\\x7f'"),
        ] {
            let mut out = String::new();
            quote(&mut out, text);
            assert_eq!(out, want);
        }
    }
}
