//! Methods of strings.

use super::super::call::Args;
use crate::template::format;
use crate::template::value::data::{self, as_int, is_str, list};
use crate::template::value::undefined::{Res, check, fault};
use minijinja::Value;

pub(super) const NAMES: &[&str] = &[
    "capitalize",
    "casefold",
    "center",
    "count",
    "encode",
    "endswith",
    "expandtabs",
    "find",
    "format",
    "format_map",
    "index",
    "isalnum",
    "isalpha",
    "isascii",
    "isdecimal",
    "isdigit",
    "isidentifier",
    "islower",
    "isnumeric",
    "isprintable",
    "isspace",
    "istitle",
    "isupper",
    "join",
    "ljust",
    "lower",
    "lstrip",
    "partition",
    "removeprefix",
    "removesuffix",
    "replace",
    "rfind",
    "rindex",
    "rjust",
    "rpartition",
    "rsplit",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "swapcase",
    "title",
    "upper",
    "zfill",
];

fn text_arg(value: Option<&Value>, what: &str) -> Res<String> {
    match value {
        Some(value) if is_str(value) => Ok(value.as_str().unwrap_or_default().to_owned()),
        Some(value) => {
            check(value)?;
            Err(fault(format!(
                "{what} must be a string, not {}",
                data::type_name(value)
            )))
        }
        None => Err(fault(format!("{what} is missing"))),
    }
}

fn int_arg(value: Option<&Value>, default: i128) -> Res<i128> {
    match value {
        None => Ok(default),
        Some(value) if value.is_none() => Ok(default),
        Some(value) => as_int(value).ok_or_else(|| fault("expected an integer")),
    }
}

pub(super) fn call(s: &str, method: &str, args: Args) -> Res<Value> {
    Ok(match method {
        "upper" => Value::from(s.to_uppercase()),
        "lower" | "casefold" => Value::from(s.to_lowercase()),
        "capitalize" => Value::from(capitalize(s)),
        "title" => Value::from(title(s)),
        "swapcase" => Value::from(swapcase(s)),
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = args.bind(["chars"])?;
            Value::from(strip(s, method, chars.as_ref())?)
        }
        "split" | "rsplit" => {
            let [sep, max] = args.bind(["sep", "maxsplit"])?;
            list(split(
                s,
                sep.as_ref(),
                int_arg(max.as_ref(), -1)?,
                method == "rsplit",
            )?)
        }
        "splitlines" => {
            let [keep] = args.bind(["keepends"])?;
            list(split_lines(s, keep.is_some_and(|v| v.is_true())))
        }
        "partition" | "rpartition" => {
            let [sep] = args.bind(["sep"])?;
            let sep = text_arg(sep.as_ref(), "the separator")?;
            let parts = if method == "partition" {
                s.split_once(&sep)
                    .map_or((s, "", ""), |(a, b)| (a, sep.as_str(), b))
            } else {
                s.rsplit_once(&sep)
                    .map_or(("", "", s), |(a, b)| (a, sep.as_str(), b))
            };
            data::tuple(vec![parts.0.into(), parts.1.into(), parts.2.into()])
        }
        "startswith" | "endswith" => {
            let [what, start, end] = args.bind(["prefix", "start", "end"])?;
            let part = substring(s, start.as_ref(), end.as_ref())?;
            let what = what.ok_or_else(|| fault("the argument is missing"))?;
            let options = if data::is_seq(&what) {
                data::items(&what)?
            } else {
                vec![what]
            };
            let mut yes = false;
            for option in &options {
                let option = text_arg(Some(option), "the argument")?;
                yes |= if method == "startswith" {
                    part.starts_with(&option)
                } else {
                    part.ends_with(&option)
                };
            }
            Value::from(yes)
        }
        "replace" => {
            let [old, new, count] = args.bind(["old", "new", "count"])?;
            let (old, new) = (
                text_arg(old.as_ref(), "the first argument")?,
                text_arg(new.as_ref(), "the second argument")?,
            );
            match usize::try_from(int_arg(count.as_ref(), -1)?) {
                Ok(n) => Value::from(s.replacen(&old, &new, n)),
                Err(_) => Value::from(s.replace(&old, &new)),
            }
        }
        "find" | "rfind" | "index" | "rindex" | "count" => search(s, method, args)?,
        "join" => {
            let [items] = args.bind(["iterable"])?;
            let items = items.ok_or_else(|| fault("the argument is missing"))?;
            let mut parts = Vec::new();
            for (n, item) in data::items(&items)?.iter().enumerate() {
                check(item)?;
                if !is_str(item) {
                    return Err(fault(format!(
                        "sequence item {n}: expected str instance, {} found",
                        data::type_name(item)
                    )));
                }
                parts.push(item.as_str().unwrap_or_default().to_owned());
            }
            Value::from(parts.join(s))
        }
        "format" => Value::from(format::format(s, &args.pos, &args.kw)?),
        "format_map" => {
            let [map] = args.bind(["mapping"])?;
            let map = map.ok_or_else(|| fault("the argument is missing"))?;
            let kw: Vec<_> = data::pairs(&map)?
                .into_iter()
                .map(|(k, v)| (k.to_string().into(), v))
                .collect();
            Value::from(format::format(s, &[], &kw)?)
        }
        "ljust" | "rjust" | "center" | "zfill" => pad(s, method, args)?,
        "removeprefix" => {
            let [x] = args.bind(["prefix"])?;
            let x = text_arg(x.as_ref(), "the prefix")?;
            Value::from(s.strip_prefix(x.as_str()).unwrap_or(s))
        }
        "removesuffix" => {
            let [x] = args.bind(["suffix"])?;
            let x = text_arg(x.as_ref(), "the suffix")?;
            Value::from(s.strip_suffix(x.as_str()).unwrap_or(s))
        }
        "expandtabs" => {
            let [size] = args.bind(["tabsize"])?;
            Value::from(expand_tabs(
                s,
                usize::try_from(int_arg(size.as_ref(), 8)?).unwrap_or(0),
            ))
        }
        "encode" => Value::from_bytes(s.as_bytes().to_vec()),
        _ => Value::from(is_class(s, method)),
    })
}

fn is_class(s: &str, method: &str) -> bool {
    let all = |test: fn(char) -> bool| !s.is_empty() && s.chars().all(test);
    match method {
        "isalnum" => all(char::is_alphanumeric),
        "isalpha" => all(char::is_alphabetic),
        "isascii" => s.is_ascii(),
        "isdecimal" | "isdigit" => {
            all(|c| c.is_ascii_digit() || ('\u{660}'..='\u{669}').contains(&c))
        }
        "isnumeric" => all(char::is_numeric),
        "isspace" => all(char::is_whitespace),
        "isprintable" => !s.chars().any(char::is_control),
        "isidentifier" => {
            s.starts_with(|c: char| c == '_' || c.is_alphabetic())
                && s.chars().all(|c| c == '_' || c.is_alphanumeric())
        }
        "islower" => s.chars().any(char::is_lowercase) && !s.chars().any(char::is_uppercase),
        "isupper" => s.chars().any(char::is_uppercase) && !s.chars().any(char::is_lowercase),
        "istitle" => s.chars().any(char::is_alphabetic) && title(s) == s,
        _ => false,
    }
}

pub(crate) fn capitalize(s: &str) -> String {
    let mut chars = s.chars();
    match chars.next() {
        Some(first) => first
            .to_uppercase()
            .chain(chars.flat_map(char::to_lowercase))
            .collect(),
        None => String::new(),
    }
}

/// Python's `str.title`: a letter behind a non-letter is upper case.
fn title(s: &str) -> String {
    let mut out = String::with_capacity(s.len());
    let mut inside = false;
    for c in s.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    out
}

fn swapcase(s: &str) -> String {
    s.chars()
        .flat_map(|c| -> Vec<char> {
            if c.is_uppercase() {
                c.to_lowercase().collect()
            } else {
                c.to_uppercase().collect()
            }
        })
        .collect()
}

/// `strip`, `lstrip` or `rstrip`, of blanks or of the characters given.
pub(crate) fn strip(s: &str, method: &str, chars: Option<&Value>) -> Res<String> {
    let set = match chars {
        Some(value) if !value.is_none() => Some(text_arg(Some(value), "the argument")?),
        _ => None,
    };
    let hit = |c: char| match &set {
        Some(set) => set.contains(c),
        None => c.is_whitespace(),
    };
    let mut out = s;
    if method != "rstrip" {
        out = out.trim_start_matches(hit);
    }
    if method != "lstrip" {
        out = out.trim_end_matches(hit);
    }
    Ok(out.to_owned())
}

/// Python's `split` and `rsplit`.
pub(crate) fn split(s: &str, sep: Option<&Value>, max: i128, right: bool) -> Res<Vec<Value>> {
    let limit = usize::try_from(max).unwrap_or(usize::MAX);
    let mut parts: Vec<&str> = Vec::new();
    if let Some(value) = sep
        && !value.is_none()
    {
        let sep = text_arg(Some(value), "the separator")?;
        if sep.is_empty() {
            return Err(fault("empty separator"));
        }
        let n = limit.saturating_add(1);
        if right {
            parts.extend(s.rsplitn(n, sep.as_str()));
            parts.reverse();
        } else {
            parts.extend(s.splitn(n, sep.as_str()));
        }
        return Ok(parts.into_iter().map(Value::from).collect());
    }
    let tail;
    let mut rest = s.trim();
    if right {
        while !rest.is_empty() {
            match rest.char_indices().rev().find(|(_, c)| c.is_whitespace()) {
                Some((n, c)) if parts.len() < limit => {
                    parts.push(&rest[n + c.len_utf8()..]);
                    rest = rest[..n].trim_end();
                }
                _ => {
                    // What is left behind the limit keeps the blanks at its start, as in Python.
                    let kept = if parts.len() < limit {
                        ""
                    } else {
                        &s[..s.len() - s.trim_start().len()]
                    };
                    tail = format!("{kept}{rest}");
                    parts.push(&tail);
                    break;
                }
            }
        }
        parts.reverse();
    } else {
        while !rest.is_empty() {
            match rest.find(char::is_whitespace) {
                Some(n) if parts.len() < limit => {
                    parts.push(&rest[..n]);
                    rest = rest[n..].trim_start();
                }
                _ => {
                    // What is left behind the limit keeps the blanks at its end, as in Python.
                    let kept = if parts.len() < limit {
                        ""
                    } else {
                        &s[s.trim_end().len()..]
                    };
                    tail = format!("{rest}{kept}");
                    parts.push(&tail);
                    break;
                }
            }
        }
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

/// Python's `splitlines`.
pub(crate) fn split_lines(s: &str, keep: bool) -> Vec<Value> {
    let mut out = Vec::new();
    let mut rest = s;
    while !rest.is_empty() {
        let end = rest.find(|c: char| {
            matches!(
                c,
                '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'
                    ..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}'
            )
        });
        let Some(n) = end else {
            out.push(Value::from(rest));
            break;
        };
        let width = if rest[n..].starts_with("\r\n") {
            2
        } else {
            rest[n..].chars().next().map_or(1, char::len_utf8)
        };
        out.push(Value::from(&rest[..if keep { n + width } else { n }]));
        rest = &rest[n + width..];
    }
    out
}

fn substring(s: &str, start: Option<&Value>, end: Option<&Value>) -> Res<String> {
    if start.is_none() && end.is_none() {
        return Ok(s.to_owned());
    }
    let bounds = [start.cloned(), end.cloned(), None];
    super::super::access::slice(&Value::from(s), &bounds).map(|v| v.to_string())
}

fn search(s: &str, method: &str, args: Args) -> Res<Value> {
    let [sub, start, end] = args.bind(["sub", "start", "end"])?;
    let sub = text_arg(sub.as_ref(), "the argument")?;
    let part = substring(s, start.as_ref(), end.as_ref())?;
    if method == "count" {
        let n = if sub.is_empty() {
            part.chars().count() + 1
        } else {
            part.matches(sub.as_str()).count()
        };
        return Ok(Value::from(n));
    }
    let found = if method.starts_with('r') {
        part.rfind(&sub)
    } else {
        part.find(&sub)
    };
    let len = i128::try_from(s.chars().count()).unwrap_or(0);
    let base = int_arg(start.as_ref(), 0)?;
    let base = if base < 0 { (base + len).max(0) } else { base };
    match found {
        Some(n) => {
            let chars = i128::try_from(part[..n].chars().count()).unwrap_or(0);
            Ok(data::int(base + chars))
        }
        None if method.ends_with("find") => Ok(Value::from(-1)),
        None => Err(fault("substring not found")),
    }
}

fn pad(s: &str, method: &str, args: Args) -> Res<Value> {
    let [width, fill] = args.bind(["width", "fillchar"])?;
    let width = usize::try_from(int_arg(width.as_ref(), 0)?).unwrap_or(0);
    let fill = match &fill {
        Some(value) => text_arg(Some(value), "the fill character")?,
        None => " ".to_owned(),
    };
    let missing = width.saturating_sub(s.chars().count());
    Ok(Value::from(match method {
        "ljust" => format!("{s}{}", fill.repeat(missing)),
        "rjust" => format!("{}{s}", fill.repeat(missing)),
        "center" => {
            let left = missing / 2 + (missing & width & 1);
            format!("{}{s}{}", fill.repeat(left), fill.repeat(missing - left))
        }
        _ => {
            let (sign, digits) = match s.strip_prefix(['+', '-']) {
                Some(digits) => (&s[..1], digits),
                None => ("", s),
            };
            format!("{sign}{}{digits}", "0".repeat(missing))
        }
    }))
}

fn expand_tabs(s: &str, size: usize) -> String {
    let mut out = String::new();
    let mut column = 0;
    for c in s.chars() {
        match c {
            '\t' if size > 0 => {
                let n = size - column % size;
                out.push_str(&" ".repeat(n));
                column += n;
            }
            '\t' => {}
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            _ => {
                out.push(c);
                column += 1;
            }
        }
    }
    out
}
