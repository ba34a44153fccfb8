//! Plain scalars as PyYAML's `SafeLoader` resolves them (YAML 1.1), in its order: boolean, float, integer, null.
//!
//! Dates stay text: Ansible makes date objects of them, which print as they were written.

use super::Kind;
use regex::Regex;
use std::sync::LazyLock;

/// What an unquoted scalar of this text is.
#[must_use]
pub fn parse_scalar(text: &str) -> Kind {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Kind::Null,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Kind::Bool(true);
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Kind::Bool(false);
        }
        _ => {}
    }
    let numeric = |b: u8| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.');
    if text.bytes().next().is_some_and(numeric) {
        if FLOAT.is_match(text) {
            return float(text).map_or_else(|| Kind::Str(text.into()), Kind::Float);
        }
        if INT.is_match(text) {
            // What does not fit keeps its text, which prints the same.
            return int(text).map_or_else(|| Kind::Str(text.into()), Kind::Int);
        }
    }
    Kind::Str(text.into())
}

/// PyYAML's own expression: an exponent needs a dot before it and a sign, `1e3` is text.
static FLOAT: LazyLock<Regex> = LazyLock::new(|| {
    fixed(
        r"^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
    )
});

static INT: LazyLock<Regex> = LazyLock::new(|| {
    fixed(
        r"^(?:[-+]?0b[0-1_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$",
    )
});

/// The expressions above are constants that the tests compile.
#[expect(clippy::expect_used, reason = "a constant that the tests compile")]
fn fixed(pattern: &str) -> Regex {
    Regex::new(pattern).expect("constant pattern")
}

/// Sign and digits without underscores.
fn sign(text: &str) -> (i128, String) {
    let plain = text.replace('_', "");
    match plain.as_bytes().first() {
        Some(b'-') => (-1, plain[1..].to_owned()),
        Some(b'+') => (1, plain[1..].to_owned()),
        _ => (1, plain),
    }
}

/// Value of a text that [`INT`] matches; `None` when it does not fit.
fn int(text: &str) -> Option<i128> {
    let (sign, digits) = sign(text);
    let based = |digits: &str, base| i128::from_str_radix(digits, base).ok();
    let value = if digits.contains(':') {
        digits.split(':').try_fold(0i128, |sum, part| {
            sum.checked_mul(60)?.checked_add(part.parse().ok()?)
        })?
    } else if let Some(bits) = digits.strip_prefix("0b") {
        based(bits, 2)?
    } else if let Some(hex) = digits.strip_prefix("0x") {
        based(hex, 16)?
    } else if digits.len() > 1 && digits.starts_with('0') {
        based(&digits, 8)?
    } else {
        digits.parse().ok()?
    };
    value.checked_mul(sign)
}

/// Value of a text that [`FLOAT`] matches.
fn float(text: &str) -> Option<f64> {
    let (sign, digits) = sign(&text.to_lowercase());
    #[expect(clippy::cast_precision_loss, reason = "the sign is 1 or -1")]
    let sign = sign as f64;
    let value = match digits.as_str() {
        ".inf" => f64::INFINITY,
        ".nan" => f64::NAN,
        _ if digits.contains(':') => digits.split(':').try_fold(0.0, |sum, part| {
            Some(sum * 60.0 + part.parse::<f64>().ok()?)
        })?,
        _ => digits.parse().ok()?,
    };
    Some(sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every line was checked against PyYAML 6: text, then what `yaml.safe_load` says.
    const TABLE: &[(&str, &str)] = &[
        ("yes", "Bool(true)"),
        ("Off", "Bool(false)"),
        ("oN", "Str(\"oN\")"),
        ("y", "Str(\"y\")"),
        ("n", "Str(\"n\")"),
        ("TRUE", "Bool(true)"),
        ("tRUE", "Str(\"tRUE\")"),
        ("~", "Null"),
        ("Null", "Null"),
        ("nUll", "Str(\"nUll\")"),
        ("0644", "Int(420)"),
        ("0o644", "Str(\"0o644\")"),
        ("0888", "Str(\"0888\")"),
        ("-0644", "Int(-420)"),
        ("0x1F", "Int(31)"),
        ("0b1_01", "Int(5)"),
        ("0", "Int(0)"),
        ("-0", "Int(0)"),
        ("+12", "Int(12)"),
        ("1_000", "Int(1000)"),
        ("12:30:45", "Int(45045)"),
        ("190:20:30.15", "Float(685230.15)"),
        ("22:22", "Int(1342)"),
        ("1:99", "Str(\"1:99\")"),
        ("08:00", "Str(\"08:00\")"),
        ("1e3", "Str(\"1e3\")"),
        ("1.e+3", "Float(1000.0)"),
        ("1.5e3", "Str(\"1.5e3\")"),
        ("1.10", "Float(1.1)"),
        ("1.", "Float(1.0)"),
        (".5", "Float(0.5)"),
        ("-.5", "Str(\"-.5\")"),
        ("1.2.3", "Str(\"1.2.3\")"),
        ("-.INF", "Float(-inf)"),
        (".nan", "Float(NaN)"),
        ("+.NaN", "Str(\"+.NaN\")"),
        ("99999999999999999999", "Int(99999999999999999999)"),
        ("2020-01-01", "Str(\"2020-01-01\")"),
        ("-", "Str(\"-\")"),
        (".", "Str(\".\")"),
        ("=", "Str(\"=\")"),
    ];

    #[test]
    fn as_pyyaml_reads_them() {
        for (text, expected) in TABLE {
            assert_eq!(&format!("{:?}", parse_scalar(text)), expected, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn integers_read_back(n: i128) {
            proptest::prop_assert!(matches!(parse_scalar(&n.to_string()), Kind::Int(m) if m == n));
        }

        #[test]
        fn nothing_panics(text in "[-+0-9._:xbeE]{0,12}") {
            let _ = parse_scalar(&text);
        }
    }
}
