//! Python's `re` on top of `fancy-regex`: patterns are translated, replacement templates expanded.
//!
//! Known differences: in text that is not UTF-8 every byte counts as one letter; `\w` and `\d` know all of Unicode.

use fancy_regex::{Captures, Regex, RegexBuilder};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// Flags of a pattern besides those written in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct Flags {
    /// `re.MULTILINE`.
    pub(crate) multiline: bool,
    /// `re.DOTALL`.
    pub(crate) dotall: bool,
}

/// Patterns that are kept; a playbook has few, and its hosts share them.
const KEPT: usize = 1000;

/// Compiles a Python pattern, once for all hosts.
///
/// # Errors
/// In words, when it is none.
pub(crate) fn compile(pattern: &str, flags: Flags) -> Result<Regex, String> {
    static COMPILED: LazyLock<Mutex<HashMap<(String, Flags), Regex>>> =
        LazyLock::new(Mutex::default);
    let kept = || COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (pattern.to_owned(), flags);
    if let Some(regex) = kept().get(&key) {
        return Ok(regex.clone());
    }
    let regex = RegexBuilder::new(&translate(pattern, flags))
        .backtrack_limit(10_000_000)
        .build()
        .map_err(|why| format!("invalid regular expression `{pattern}`: {why}"))?;
    let mut kept = kept();
    if kept.len() >= KEPT {
        kept.clear();
    }
    kept.insert(key, regex.clone());
    Ok(regex)
}

/// Whether it matches somewhere. A pattern that takes too long matches nowhere.
pub(crate) fn search(regex: &Regex, text: &str) -> bool {
    regex.is_match(text).unwrap_or(false)
}

fn translate(pattern: &str, flags: Flags) -> String {
    let (written, rest) = leading_flags(pattern);
    let multiline = flags.multiline || written.contains('m');
    let verbose = written.contains('x');
    let mut on: String = written.chars().filter(|c| "isx".contains(*c)).collect();
    if multiline {
        on.push('m');
    }
    if flags.dotall && !on.contains('s') {
        on.push('s');
    }
    let mut out = if on.is_empty() {
        String::new()
    } else {
        format!("(?{on})")
    };
    let mut chars = rest.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                let Some((_, next)) = chars.next() else {
                    out.push('\\');
                    break;
                };
                match next {
                    'Z' => out.push_str("\\z"),
                    '<' | '>' => out.push(next),
                    '0' => out.push_str("\\x00"),
                    _ => {
                        out.push('\\');
                        out.push(next);
                    }
                }
            }
            // Python's `$` also matches before a last line end.
            '$' if !multiline => out.push_str("(?=\\n?\\z)"),
            '[' => class(&mut chars, &mut out),
            '{' => {
                let body = rest[at + 1..].split_once('}').map(|(body, _)| body);
                match body {
                    Some(body) if is_count(body) => {
                        out.push('{');
                        if body.starts_with(',') {
                            out.push('0');
                        }
                    }
                    _ => out.push_str("\\{"),
                }
            }
            '}' => {
                let open = rest[..at].rfind('{');
                let counted = open.is_some_and(|open| is_count(&rest[open + 1..at]));
                out.push_str(if counted { "}" } else { "\\}" });
            }
            '(' if rest[at..].starts_with("(?#") => {
                for (_, c) in chars.by_ref() {
                    if c == ')' {
                        break;
                    }
                }
            }
            '#' if !verbose => out.push_str("\\#"),
            _ => out.push(c),
        }
    }
    out
}

/// `(?flags)` at the start, and the rest.
fn leading_flags(pattern: &str) -> (&str, &str) {
    pattern
        .strip_prefix("(?")
        .and_then(|rest| rest.split_once(')'))
        .filter(|(flags, _)| !flags.is_empty() && flags.chars().all(|c| "aiLmsux".contains(c)))
        .unwrap_or(("", pattern))
}

fn is_count(body: &str) -> bool {
    !body.is_empty()
        && body != ","
        && body.chars().all(|c| c.is_ascii_digit() || c == ',')
        && body.matches(',').count() <= 1
}

/// A set of characters: what only Rust gives a meaning inside is escaped.
fn class(chars: &mut std::iter::Peekable<std::str::CharIndices>, out: &mut String) {
    out.push('[');
    if chars.next_if(|(_, c)| *c == '^').is_some() {
        out.push('^');
    }
    if chars.next_if(|(_, c)| *c == ']').is_some() {
        out.push_str("\\]");
    }
    while let Some((_, c)) = chars.next() {
        match c {
            ']' => {
                out.push(']');
                return;
            }
            '\\' => match chars.next() {
                Some((_, 'b')) => out.push_str("\\x08"),
                Some((_, next @ ('<' | '>'))) => out.push(next),
                Some((_, next)) => {
                    out.push('\\');
                    out.push(next);
                }
                None => out.push('\\'),
            },
            '[' | '&' | '~' => {
                out.push('\\');
                out.push(c);
            }
            '-' if chars.next_if(|(_, c)| *c == '-').is_some() => out.push_str("-\\-"),
            _ => out.push(c),
        }
    }
}

/// What a replacement template makes of a match, as `match.expand` does.
///
/// # Errors
/// An unknown escape or group.
pub(crate) fn expand(template: &str, captures: &Captures<str>) -> Result<String, String> {
    fill(template, |name| {
        let found = match name.parse::<usize>() {
            Ok(number) if number < captures.len() => captures.get(number),
            Ok(number) => return Err(format!("invalid group reference {number}")),
            Err(_) => captures.name(name),
        };
        Ok(found.map_or(String::new(), |m| m.as_str().to_owned()))
    })
}

/// Whether a replacement template fits a pattern, without any match.
///
/// # Errors
/// As [`expand`].
pub(crate) fn check(pattern: &str, template: &str) -> Result<(), String> {
    let regex = compile(pattern, Flags::default())?;
    let known = |name: &str| match name.parse::<usize>() {
        Ok(number) if number >= regex.captures_len() => {
            Err(format!("invalid group reference {number}"))
        }
        _ => Ok(String::new()),
    };
    fill(template, known).map(|_| ())
}

/// A template with its groups filled in.
fn fill(template: &str, group: impl Fn(&str) -> Result<String, String>) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let Some(c) = rest.chars().next() else {
            return Err("bad escape (end of pattern)".into());
        };
        let mut used = c.len_utf8();
        match c {
            'g' => {
                let body = rest[1..]
                    .strip_prefix('<')
                    .and_then(|body| body.split_once('>'))
                    .ok_or("missing <")?;
                out.push_str(&group(body.0)?);
                used = body.0.len() + 3;
            }
            '0' => {
                let digits = rest[1..]
                    .chars()
                    .take(2)
                    .take_while(|c| ('0'..'8').contains(c))
                    .count();
                let code = u32::from_str_radix(&rest[..=digits], 8).unwrap_or(0);
                out.extend(char::from_u32(code));
                used = 1 + digits;
            }
            '1'..='9' => {
                let digits = rest
                    .chars()
                    .take(2)
                    .take_while(char::is_ascii_digit)
                    .count();
                out.push_str(&group(&rest[..digits])?);
                used = digits;
            }
            'n' => out.push('\n'),
            't' => out.push('\t'),
            'r' => out.push('\r'),
            'f' => out.push('\x0c'),
            'v' => out.push('\x0b'),
            'a' => out.push('\x07'),
            'b' => out.push('\x08'),
            '\\' => out.push('\\'),
            c if c.is_ascii_alphabetic() => return Err(format!("bad escape \\{c}")),
            c => {
                out.push('\\');
                out.push(c);
            }
        }
        rest = &rest[used..];
    }
    out.push_str(rest);
    Ok(out)
}

/// `re.subn`: every match replaced by a template, and how many there were.
///
/// # Errors
/// In words, when the template or the search fails.
pub(crate) fn subn(regex: &Regex, template: &str, text: &str) -> Result<(String, usize), String> {
    let (mut out, mut count, mut end, mut from) = (String::new(), 0, 0, 0);
    while from <= text.len() {
        let captures = regex.captures_from_pos(text, from);
        let Some(captures) = captures.map_err(|why| why.to_string())? else {
            break;
        };
        let Some(whole) = captures.get(0) else { break };
        out.push_str(&text[end..whole.start()]);
        out.push_str(&expand(template, &captures)?);
        end = whole.end();
        // Like Python an empty match may follow right behind another one, but not behind an empty one.
        let step = text[end..].chars().next().map_or(1, char::len_utf8);
        from = if whole.start() == end {
            end + step
        } else {
            end
        };
        count += 1;
    }
    out.push_str(&text[end..]);
    Ok((out, count))
}

/// Bytes as text: UTF-8, or else one letter for each byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    Utf8,
    Bytes,
}

impl Encoding {
    /// The encoding that holds for some bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        if std::str::from_utf8(bytes).is_ok() {
            Self::Utf8
        } else {
            Self::Bytes
        }
    }

    pub(crate) fn decode(self, bytes: &[u8]) -> String {
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Bytes => bytes.iter().map(|byte| char::from(*byte)).collect(),
        }
    }

    /// An argument, in the letters of the decoded text.
    pub(crate) fn argument(self, text: &str) -> Cow<'_, str> {
        match self {
            Self::Utf8 => Cow::Borrowed(text),
            Self::Bytes => Cow::Owned(self.decode(text.as_bytes())),
        }
    }

    pub(crate) fn encode(self, text: &str) -> Vec<u8> {
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            // Every letter stands for one byte.
            Self::Bytes => text
                .chars()
                .filter_map(|c| u8::try_from(u32::from(c)).ok())
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(pattern: &str, text: &str) -> bool {
        search(&compile(pattern, Flags::default()).unwrap(), text)
    }

    #[test]
    fn patterns_mean_what_they_mean_in_python() {
        for (pattern, text, want) in [
            ("^foo$", "foo\n", true),
            ("^foo$", "foo\n\n", false),
            (r"foo\Z", "foo\n", false),
            ("(?m)^b$", "a\nb\nc", true),
            ("^b$", "a\nb\nc", false),
            ("server {", "server {\n", true),
            (r"^\s*\{$", "  {\n", true),
            ("a{2}", "aa", true),
            ("a{,2}b", "b", true),
            ("[[]x[]]", "[x]", true),
            ("[&&]", "&", true),
            (r"\<b\>", "<b>", true),
            ("a#b", "a#b", true),
            ("(?i)ROOT", "root", true),
            (r"^(.*)x(.*)\1$", "axa\n", true),
            ("(?=.*b)a", "ab", true),
            ("[^#]*#", "ab#", true),
            (r"[\w.-]+@", "a.b-c@", true),
            ("}", "}", true),
            (r"^#?\s*PermitRootLogin", "# PermitRootLogin yes", true),
            ("[+--]", ",", true),
        ] {
            assert_eq!(finds(pattern, text), want, "{pattern} on {text:?}");
        }
        assert!(compile("(", Flags::default()).is_err());
    }

    #[test]
    fn templates_expand_as_in_python() {
        let regex = compile(r"(?P<key>\w+)=(\w+)(x)?", Flags::default()).unwrap();
        let captures = regex.captures("a=1").unwrap().unwrap();
        for (template, want) in [
            (r"\1:\2\3", Ok("a:1")),
            (r"\g<key>\g<2>0", Ok("a10")),
            (r"a\\b\n\.\-", Ok("a\\b\n\\.\\-")),
            (r"\9", Err("invalid group reference 9")),
            (r"\q", Err("bad escape \\q")),
        ] {
            let got = expand(template, &captures);
            assert_eq!(got.as_deref().map_err(String::as_str), want, "{template}");
        }
    }

    #[test]
    fn every_match_is_replaced() {
        let regex = compile("a*", Flags::default()).unwrap();
        assert_eq!(subn(&regex, "-", "baac").unwrap().0, "-b--c-");
    }

    #[test]
    fn bytes_survive() {
        let bytes = [b'a', 0xff, b'\n'];
        let encoding = Encoding::of(&bytes);
        assert_eq!(encoding.encode(&encoding.decode(&bytes)), bytes);
    }
}
