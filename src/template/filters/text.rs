//! Text.

use super::{Filter, filter, flag, int_or, need, size_or, text, text_or};
use crate::template::eval::call::Call;
use crate::template::eval::methods::{capitalize, strip};
use crate::template::format;
use crate::template::value::data::{self, is_str};
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, fault};
use minijinja::Value;

pub(super) const FILTERS: &[Filter] = &[
    filter("upper", |c| Ok(Value::from(subject(c)?.to_uppercase()))),
    filter("lower", |c| Ok(Value::from(subject(c)?.to_lowercase()))),
    filter("capitalize", |c| Ok(Value::from(capitalize(&subject(c)?)))),
    filter("title", |c| Ok(Value::from(title(&subject(c)?)))),
    filter("trim", trim),
    filter("replace", replace),
    filter("center", center),
    filter("indent", indent),
    filter("truncate", truncate),
    filter("wordcount", |c| {
        let text = str_of(&c.subject)?;
        let words = text
            .split(|ch: char| !(ch.is_alphanumeric() || ch == '_'))
            .filter(|word| !word.is_empty());
        Ok(Value::from(words.count()))
    }),
    filter("format", |c| {
        let args = std::mem::take(&mut c.args);
        let text = str_of(&c.subject)?;
        let value = if args.kw.is_empty() {
            data::tuple(args.pos)
        } else {
            data::dict(
                args.kw
                    .into_iter()
                    .map(|(k, v)| (Value::from(k), v))
                    .collect(),
            )
        };
        format::percent(&text, &value).map(Value::from)
    }),
    filter("escape", |c| Ok(Value::from(escape(&str_of(&c.subject)?)))),
    filter("e", |c| Ok(Value::from(escape(&str_of(&c.subject)?)))),
    filter("forceescape", |c| {
        Ok(Value::from(escape(&str_of(&c.subject)?)))
    }),
    filter("striptags", |c| {
        Ok(Value::from(strip_tags(&str_of(&c.subject)?)))
    }),
    filter("comment", comment),
    filter("quote", |c| {
        let text = if c.subject.is_none() {
            String::new()
        } else {
            str_of(&c.subject)?
        };
        Ok(Value::from(quote(&text)))
    }),
];

/// The subject as text, and no arguments.
fn subject(c: &mut Call<'_, '_>) -> Res<String> {
    c.no_args()?;
    str_of(&c.subject)
}

/// Jinja's `title`: words start behind blanks, hyphens and brackets.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut start = true;
    for ch in text.chars() {
        let breaks = ch.is_whitespace() || "-({[<".contains(ch);
        if start && !breaks {
            out.extend(ch.to_uppercase());
        } else {
            out.extend(ch.to_lowercase());
        }
        start = breaks;
    }
    out
}

fn trim(c: &mut Call<'_, '_>) -> Res<Value> {
    let [chars] = c.bind(["chars"])?;
    strip(&str_of(&c.subject)?, "strip", chars.as_ref()).map(Value::from)
}

fn replace(c: &mut Call<'_, '_>) -> Res<Value> {
    let [old, new, count] = c.bind(["old", "new", "count"])?;
    let (old, new) = (need(old, "what to replace")?, need(new, "the replacement")?);
    let (old, new) = (str_of(&old)?, str_of(&new)?);
    let text = str_of(&c.subject)?;
    Ok(Value::from(
        match usize::try_from(int_or(count.as_ref(), -1, "the count")?) {
            Ok(n) => text.replacen(&old, &new, n),
            Err(_) => text.replace(&old, &new),
        },
    ))
}

fn center(c: &mut Call<'_, '_>) -> Res<Value> {
    let [width] = c.bind(["width"])?;
    let width = size_or(width.as_ref(), 80, "the width")?;
    let text = str_of(&c.subject)?;
    let missing = width.saturating_sub(text.chars().count());
    let left = missing / 2 + (missing & width & 1);
    Ok(Value::from(format!(
        "{}{text}{}",
        " ".repeat(left),
        " ".repeat(missing - left)
    )))
}

fn indent(c: &mut Call<'_, '_>) -> Res<Value> {
    let [width, first, blank] = c.bind(["width", "first", "blank"])?;
    let prefix = match &width {
        Some(width) if is_str(width) => str_of(width)?,
        width => " ".repeat(size_or(width.as_ref(), 4, "the width")?),
    };
    let (first, blank) = (flag(first.as_ref(), false), flag(blank.as_ref(), false));
    let text = str_of(&c.subject)?;
    // A newline at the end stays one, as in Jinja.
    let mut out = String::new();
    for (n, line) in format!("{text}\n").lines().enumerate() {
        if n > 0 {
            out.push('\n');
        }
        let wanted = if n == 0 {
            first
        } else {
            blank || !line.is_empty()
        };
        if wanted {
            out.push_str(&prefix);
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}

fn truncate(c: &mut Call<'_, '_>) -> Res<Value> {
    let [length, kill, end, leeway] = c.bind(["length", "killwords", "end", "leeway"])?;
    let length = size_or(length.as_ref(), 255, "the length")?;
    let end = text_or(end.as_ref(), "...", "the end")?;
    let leeway = size_or(leeway.as_ref(), 5, "the leeway")?;
    let text = str_of(&c.subject)?;
    let chars: Vec<char> = text.chars().collect();
    let tail = end.chars().count();
    if length < tail {
        return Err(fault(format!("expected length >= {tail}, got {length}")));
    }
    if chars.len() <= length + leeway {
        return Ok(Value::from(text));
    }
    let cut: String = chars[..length - tail].iter().collect();
    if flag(kill.as_ref(), false) {
        return Ok(Value::from(format!("{cut}{end}")));
    }
    let words = cut.rsplit_once(' ').map_or(cut.as_str(), |(head, _)| head);
    Ok(Value::from(format!("{words}{end}")))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
        .replace('"', "&#34;")
}

fn strip_tags(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for ch in text.chars() {
        match ch {
            '<' => inside = true,
            '>' if inside => inside = false,
            _ if inside => {}
            _ => out.push(ch),
        }
    }
    let words: Vec<_> = out.split_whitespace().collect();
    words
        .join(" ")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&#39;", "'")
        .replace("&#34;", "\"")
        .replace("&quot;", "\"")
        .replace("&amp;", "&")
}

/// Python's `shlex.quote`.
pub(super) fn quote(text: &str) -> String {
    let plain = |ch: char| ch.is_alphanumeric() && ch.is_ascii() || "_@%+=:,./-".contains(ch);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\"'\"'"))
}

/// Ansible's comment styles: beginning, decoration, end.
const STYLES: &[(&str, &str, &str, &str)] = &[
    ("plain", "", "# ", ""),
    ("erlang", "", "% ", ""),
    ("c", "", "// ", ""),
    ("cblock", "/*", " * ", " */"),
    ("xml", "<!--", " - ", "-->"),
];

fn comment(c: &mut Call<'_, '_>) -> Res<Value> {
    let [
        style,
        decoration,
        beginning,
        end,
        newline,
        prefix,
        prefix_count,
        postfix,
        postfix_count,
    ] = c.bind([
        "style",
        "decoration",
        "beginning",
        "end",
        "newline",
        "prefix",
        "prefix_count",
        "postfix",
        "postfix_count",
    ])?;
    let name = text_or(style.as_ref(), "plain", "the style")?;
    let Some((_, b, d, e)) = STYLES.iter().find(|(n, ..)| *n == name) else {
        let known: Vec<_> = STYLES.iter().map(|(n, ..)| *n).collect();
        return Err(fault(format!("invalid style '{name}'"))
            .hint(format!("styles are {}", known.join(", "))));
    };
    let decoration = text_or(decoration.as_ref(), d, "`decoration`")?;
    let newline = text_or(newline.as_ref(), "\n", "`newline`")?;
    let edge = decoration.trim_end();
    let prefix = text_or(prefix.as_ref(), edge, "`prefix`")?;
    let postfix = text_or(postfix.as_ref(), edge, "`postfix`")?;
    let beginning = text_or(beginning.as_ref(), b, "`beginning`")?;
    let end = text_or(end.as_ref(), e, "`end`")?;
    let prefix_count = size_or(prefix_count.as_ref(), 1, "`prefix_count`")?;
    let postfix_count = size_or(postfix_count.as_ref(), 1, "`postfix_count`")?;
    let text = text(&c.subject, "the text")?;
    let mut out = String::new();
    if !beginning.is_empty() {
        out.push_str(&beginning);
        out.push_str(&newline);
    }
    if !prefix.is_empty() {
        let line = if prefix == newline {
            newline.clone()
        } else {
            format!("{prefix}{newline}")
        };
        out.push_str(&line.repeat(prefix_count));
    }
    let body = text.replace(&newline, &format!("{newline}{decoration}"));
    out.push_str(&format!("{decoration}{body}").replace(
        &format!("{decoration}{newline}"),
        &format!("{}{newline}", decoration.trim_end()),
    ));
    for _ in 0..postfix_count {
        out.push_str(&newline);
        out.push_str(&postfix);
    }
    if !end.is_empty() {
        out.push_str(&newline);
        out.push_str(&end);
    }
    Ok(Value::from(out))
}
