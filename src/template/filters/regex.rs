//! Regular expressions as Python's `re` reads them, on `fancy-regex`.

use super::{Filter, filter, flag, int_or, listed, need, text, text_or};
use crate::template::eval::call::Call;
use crate::template::value::data::tuple;
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, fault};
use fancy_regex::{Captures, Regex};
use minijinja::Value;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

pub(super) const FILTERS: &[Filter] = &[
    filter("regex_replace", replace),
    filter("regex_search", search),
    filter("regex_findall", find_all),
    filter("regex_escape", escape),
];

/// Flags of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Flags {
    pub(crate) ignore_case: bool,
    pub(crate) multi_line: bool,
}

type Cache = RwLock<HashMap<Flags, HashMap<String, Arc<Regex>>>>;
static CACHE: LazyLock<Cache> = LazyLock::new(Cache::default);

/// A compiled pattern; kept for the next host.
pub(crate) fn compile(pattern: &str, flags: Flags) -> Res<Arc<Regex>> {
    let found = CACHE
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .get(&flags)
        .and_then(|of| of.get(pattern))
        .cloned();
    if let Some(found) = found {
        return Ok(found);
    }
    let compiled = Regex::new(&translate(pattern, flags))
        .map_err(|error| fault(format!("invalid regular expression '{pattern}': {error}")))?;
    let compiled = Arc::new(compiled);
    let mut cache = CACHE.write().unwrap_or_else(PoisonError::into_inner);
    let of = cache.entry(flags).or_default();
    if of.len() > 5000 {
        of.clear();
    }
    of.insert(pattern.to_owned(), Arc::clone(&compiled));
    Ok(compiled)
}

/// From Python's syntax to that of the crate.
fn translate(pattern: &str, flags: Flags) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    if flags.ignore_case {
        out.push_str("(?i)");
    }
    if flags.multi_line {
        out.push_str("(?m)");
    }
    let multi_line = flags.multi_line || inline_flag(pattern, 'm');
    let chars: Vec<char> = pattern.chars().collect();
    let mut n = 0;
    // Position of the first character inside a class, when in one.
    let mut class: Option<usize> = None;
    while n < chars.len() {
        let c = chars[n];
        n += 1;
        match (c, class) {
            ('\\', _) => {
                let Some(&next) = chars.get(n) else {
                    out.push_str("\\\\");
                    break;
                };
                n += 1;
                match next {
                    'Z' if class.is_none() => out.push_str("\\z"),
                    'b' if class.is_some() => out.push_str("\\x08"),
                    '0' => {
                        let octal: String = chars[n..]
                            .iter()
                            .take(2)
                            .take_while(|c| c.is_digit(8))
                            .collect();
                        n += octal.len();
                        let code = u32::from_str_radix(&octal, 8).unwrap_or(0);
                        out.push_str(&format!("\\x{code:02x}"));
                    }
                    'u' | 'U' => {
                        let width = if next == 'u' { 4 } else { 8 };
                        let hex: String = chars[n..].iter().take(width).collect();
                        n += hex.chars().count();
                        out.push_str(&format!("\\x{{{hex}}}"));
                    }
                    // Elsewhere these stand for the edges of a word.
                    '<' | '>' => out.push(next),
                    next if next.is_alphanumeric() || ".^$*+?()[]{}|\\-&~#".contains(next) => {
                        out.push('\\');
                        out.push(next);
                    }
                    next => out.push(next),
                }
            }
            ('[', None) => {
                out.push('[');
                if chars.get(n) == Some(&'^') {
                    out.push('^');
                    n += 1;
                }
                class = Some(n);
            }
            // A bracket that comes first in a class stands for itself.
            (']', Some(start)) if n - 1 == start => out.push_str("\\]"),
            (']', Some(_)) => {
                class = None;
                out.push(']');
            }
            ('-', Some(_))
                if matches!(chars.get(n), Some('-' | ']')) || n < 2 || chars[n - 2] == '-' =>
            {
                out.push_str("\\-");
            }
            ('[' | '&' | '~', Some(_)) => {
                out.push('\\');
                out.push(c);
            }
            ('$', None) if !multi_line => out.push_str("(?=\\n?\\z)"),
            ('{', None) if !is_quantifier(&chars[n..]) => out.push_str("\\{"),
            _ => out.push(c),
        }
    }
    out
}

/// Whether `(?m)` and the like stand at the start.
fn inline_flag(pattern: &str, wanted: char) -> bool {
    pattern
        .strip_prefix("(?")
        .and_then(|rest| rest.split_once(')'))
        .is_some_and(|(flags, _)| {
            flags.chars().all(|c| "aiLmsux".contains(c)) && flags.contains(wanted)
        })
}

/// `3}`, `3,}`, `,3}` or `3,4}` behind a brace.
fn is_quantifier(rest: &[char]) -> bool {
    let Some(end) = rest.iter().position(|c| *c == '}') else {
        return false;
    };
    let inner = &rest[..end];
    inner.iter().any(char::is_ascii_digit)
        && inner.iter().all(|c| c.is_ascii_digit() || *c == ',')
        && inner.iter().filter(|c| **c == ',').count() <= 1
}

fn failed(error: &fancy_regex::Error) -> Box<crate::template::value::Fault> {
    fault(format!("the regular expression gave up: {error}"))
}

/// Every match, empty ones as Python finds them; `each` returns whether to go on.
fn each_match<'t>(
    regex: &Regex,
    text: &'t str,
    mut each: impl FnMut(Captures<'t, str>) -> bool,
) -> Res<()> {
    let mut pos = 0;
    let mut after_empty = false;
    while pos <= text.len() {
        let found = regex
            .captures_from_pos(text, pos)
            .map_err(|error| failed(&error))?;
        let Some(found) = found else { break };
        let Some(whole) = found.get(0) else { break };
        let (start, end) = (whole.start(), whole.end());
        if start == end && after_empty && start == pos {
            // The empty match here was taken already.
            let Some(next) = text[pos..].chars().next() else {
                break;
            };
            pos += next.len_utf8();
            after_empty = false;
            continue;
        }
        if !each(found) {
            break;
        }
        after_empty = start == end;
        pos = end;
    }
    Ok(())
}

/// A replacement, parsed: text, or a group by number or name.
enum Part {
    Text(String),
    Number(usize),
    Name(String),
}

fn replacement(text: &str) -> Res<Vec<Part>> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        let group = match chars.next() {
            Some('g') if chars.peek() == Some(&'<') => {
                chars.next();
                let name: String = chars.by_ref().take_while(|c| *c != '>').collect();
                Some(name.parse().map_or(Part::Name(name), Part::Number))
            }
            Some(d @ '1'..='9') => {
                let mut digits = d.to_string();
                if let Some(d) = chars.next_if(char::is_ascii_digit) {
                    digits.push(d);
                }
                Some(Part::Number(digits.parse().unwrap_or(0)))
            }
            Some('0') => {
                plain.push('\0');
                None
            }
            Some('n') => {
                plain.push('\n');
                None
            }
            Some('t') => {
                plain.push('\t');
                None
            }
            Some('r') => {
                plain.push('\r');
                None
            }
            Some('\\') | None => {
                plain.push('\\');
                None
            }
            Some(c) if c.is_ascii_alphabetic() => {
                return Err(fault(format!("bad escape \\{c} in the replacement")));
            }
            Some(c) => {
                plain.push('\\');
                plain.push(c);
                None
            }
        };
        if let Some(group) = group {
            parts.push(Part::Text(std::mem::take(&mut plain)));
            parts.push(group);
        }
    }
    parts.push(Part::Text(plain));
    Ok(parts)
}

/// Python's `re.subn`: the text and how many were replaced.
pub(crate) fn substitute(
    regex: &Regex,
    text: &str,
    with: &str,
    count: usize,
) -> Res<(String, usize)> {
    let parts = replacement(with)?;
    for part in &parts {
        let known = match part {
            Part::Text(_) => true,
            Part::Number(n) => *n < regex.captures_len(),
            Part::Name(name) => regex.capture_names().flatten().any(|n| n == name),
        };
        if !known {
            return Err(fault("invalid group reference in the replacement"));
        }
    }
    let mut out = String::with_capacity(text.len());
    let (mut last, mut done) = (0, 0);
    each_match(regex, text, |found| {
        let Some(whole) = found.get(0) else {
            return false;
        };
        out.push_str(&text[last..whole.start()]);
        for part in &parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Number(n) => out.push_str(found.get(*n).map_or("", |m| m.as_str())),
                Part::Name(name) => out.push_str(found.name(name).map_or("", |m| m.as_str())),
            }
        }
        last = whole.end();
        done += 1;
        done != count
    })?;
    out.push_str(&text[last..]);
    Ok((out, done))
}

/// Whether a pattern is found, at the start only if `anchored`.
pub(crate) fn is_match(
    pattern: &str,
    text: &str,
    flags: Flags,
    anchored: bool,
    whole: bool,
) -> Res<bool> {
    let regex = compile(pattern, flags)?;
    if !anchored {
        return regex.is_match(text).map_err(|error| failed(&error));
    }
    let anchored = if whole {
        format!("\\A(?:{pattern})\\Z")
    } else {
        format!("\\A(?:{pattern})")
    };
    // Flags must stay at the start of a pattern.
    let regex = if pattern.starts_with("(?") && inline_flag_end(pattern).is_some() {
        let end = inline_flag_end(pattern).unwrap_or(0);
        let (head, rest) = pattern.split_at(end);
        compile(
            &format!("{head}\\A(?:{rest}){}", if whole { "\\Z" } else { "" }),
            flags,
        )?
    } else {
        compile(&anchored, flags)?
    };
    regex.is_match(text).map_err(|error| failed(&error))
}

/// Where flags at the start of a pattern end.
fn inline_flag_end(pattern: &str) -> Option<usize> {
    let inner = pattern.strip_prefix("(?")?;
    let end = inner.find(')')?;
    inner[..end]
        .chars()
        .all(|c| "aiLmsux".contains(c))
        .then_some(end + 3)
}

/// The subject as text, as Ansible's `to_text` makes it.
fn subject(c: &Call<'_, '_>) -> Res<String> {
    str_of(&c.subject)
}

fn replace(c: &mut Call<'_, '_>) -> Res<Value> {
    let [pattern, with, ignore_case, multi_line, count, mandatory] = c.bind([
        "pattern",
        "replacement",
        "ignorecase",
        "multiline",
        "count",
        "mandatory_count",
    ])?;
    let flags = Flags {
        ignore_case: flag(ignore_case.as_ref(), false),
        multi_line: flag(multi_line.as_ref(), false),
    };
    let pattern = text_or(pattern.as_ref(), "", "the pattern")?;
    let with = match &with {
        Some(with) => text(with, "the replacement")?,
        None => String::new(),
    };
    let count = usize::try_from(int_or(count.as_ref(), 0, "`count`")?).unwrap_or(0);
    let mandatory =
        usize::try_from(int_or(mandatory.as_ref(), 0, "`mandatory_count`")?).unwrap_or(0);
    let subject = subject(c)?;
    let (out, done) = substitute(&*compile(&pattern, flags)?, &subject, &with, count)?;
    if mandatory > 0 && mandatory != done {
        return Err(fault(format!(
            "'{pattern}' should match {mandatory} times, but matches {done} times in '{subject}'"
        )));
    }
    Ok(Value::from(out))
}

fn search(c: &mut Call<'_, '_>) -> Res<Value> {
    let mut args = std::mem::take(&mut c.args);
    let flags = Flags {
        ignore_case: args.take("ignorecase").is_some_and(|v| v.is_true()),
        multi_line: args.take("multiline").is_some_and(|v| v.is_true()),
    };
    let pattern = match args.take("regex") {
        Some(pattern) => pattern,
        None if args.pos.is_empty() => return Err(fault("the pattern is missing")),
        None => args.pos.remove(0),
    };
    let regex = compile(&text(&pattern, "the pattern")?, flags)?;
    let subject = subject(c)?;
    let mut groups = Vec::new();
    for wanted in &args.pos {
        let wanted = text(wanted, "a group")?;
        let name = wanted
            .strip_prefix("\\g<")
            .and_then(|rest| rest.strip_suffix('>'))
            .or_else(|| {
                wanted
                    .strip_prefix('\\')
                    .filter(|d| d.parse::<usize>().is_ok())
            });
        match name {
            Some(name) => groups.push(name.to_owned()),
            None => return Err(fault(format!("unknown argument '{wanted}'"))),
        }
    }
    let found = regex.captures(&subject).map_err(|error| failed(&error))?;
    let Some(found) = found else {
        return Ok(Value::from(()));
    };
    if groups.is_empty() {
        return Ok(Value::from(found.get(0).map_or("", |m| m.as_str())));
    }
    let mut out = Vec::new();
    for group in groups {
        let (known, hit) = match group.parse::<usize>() {
            Ok(n) => (n < regex.captures_len(), found.get(n)),
            Err(_) => (
                regex.capture_names().flatten().any(|n| n == group),
                found.name(&group),
            ),
        };
        if !known {
            return Err(fault(format!("no such group: {group}")));
        }
        out.push(hit.map_or_else(|| Value::from(()), |m| Value::from(m.as_str())));
    }
    Ok(listed(out))
}

fn find_all(c: &mut Call<'_, '_>) -> Res<Value> {
    let [pattern, multi_line, ignore_case] = c.bind(["regex", "multiline", "ignorecase"])?;
    let flags = Flags {
        ignore_case: flag(ignore_case.as_ref(), false),
        multi_line: flag(multi_line.as_ref(), false),
    };
    let regex = compile(&text(&need(pattern, "the pattern")?, "the pattern")?, flags)?;
    let subject = subject(c)?;
    let groups = regex.captures_len();
    let mut out = Vec::new();
    each_match(&regex, &subject, |found| {
        let group = |n: usize| Value::from(found.get(n).map_or("", |m| m.as_str()));
        out.push(match groups {
            1 => group(0),
            2 => group(1),
            n => tuple((1..n).map(group).collect()),
        });
        true
    })?;
    Ok(listed(out))
}

fn escape(c: &mut Call<'_, '_>) -> Res<Value> {
    let [kind] = c.bind(["re_type"])?;
    let subject = subject(c)?;
    let special = match text_or(kind.as_ref(), "python", "the type")?.as_str() {
        "python" => "()[]{}?*+-|^$\\.&~# \t\n\r\x0b\x0c",
        "posix_basic" => "].[^$*\\",
        other => return Err(fault(format!("regex type '{other}' is not implemented"))),
    };
    let mut out = String::with_capacity(subject.len());
    for c in subject.chars() {
        if special.contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    Ok(Value::from(out))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_patterns() {
        for (pattern, text, want) in [
            ("a$", "a\n", true),
            ("a$", "a\nb", false),
            (r"a\Z", "a\n", false),
            ("[[]x[]]", "[x]", true),
            ("[]a]", "]", true),
            ("{{ x }}", "{{ x }}", true),
            (r"\<b\>", "<b>", true),
            ("a{2}", "aa", true),
            ("a{,2}b", "aab", true),
            (r"(?P<q>['\x22])x(?P=q)", "'x'", true),
            (r"(?<!a)b", "ab", false),
            ("[a&&b]", "&", true),
            ("[a-z--]", "-", true),
            (r"\/\'\-\ \@", "/'- @", true),
            ("(?i)ABC", "abc", true),
            ("[^]]", "a", true),
        ] {
            let found = compile(pattern, Flags::default())
                .unwrap()
                .is_match(text)
                .unwrap();
            assert_eq!(found, want, "{pattern} on {text:?}");
        }
    }
}
