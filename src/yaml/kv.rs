//! `key=value` text: the old form of module arguments, and of `-e`.
//!
//! A port of Ansible's `split_args` and `parse_kv`: words are cut at white space, but not inside quotes
//! or Jinja blocks, and white space inside a raw command line is kept as it was.

use super::{Kind, Map, Node};
use crate::diag::{Diagnostic, Source, Span};
use indexmap::IndexMap;
use std::path::Path;
use std::sync::Arc;

/// What a `key=value` text holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Keys and values in order, quotes and escapes resolved.
    pub pairs: Vec<(String, String)>,
    /// The words that are no pairs, joined as they were written.
    pub raw: Option<String>,
}

/// Pairs that a raw command line (`command`, `shell`, `raw`, `script`) may carry.
const RAW_KEYS: &[&str] = &[
    "creates",
    "removes",
    "chdir",
    "executable",
    "warn",
    "stdin",
    "stdin_add_newline",
    "strip_empty_ends",
];

/// Cuts a text into pairs and the rest. With `raw` only the pairs of a command line are taken out of it.
///
/// # Errors
/// In words, when quotes or Jinja blocks are not closed.
pub fn parse(text: &str, raw: bool) -> Result<Pairs, &'static str> {
    let mut found = Pairs::default();
    let mut rest: Vec<String> = Vec::new();
    for word in split(text)? {
        let decoded = unescape(&word);
        match cut(&decoded) {
            Cut::Pair(key, _) if raw && !RAW_KEYS.contains(&key) => rest.push(word),
            Cut::Pair(key, value) => found
                .pairs
                .push((key.trim().to_owned(), unquote(value.trim()).to_owned())),
            Cut::Escaped => rest.push(decoded.replace("\\=", "=")),
            Cut::Word => rest.push(word),
        }
    }
    found.raw = (!rest.is_empty()).then(|| join(&rest));
    Ok(found)
}

/// Cuts a text at white space outside quotes and Jinja blocks. Words keep their quotes; runs of white space
/// and newlines stay at the end of the word before them, so that [`join`] restores the text.
///
/// # Errors
/// In words, when quotes or Jinja blocks are not closed.
pub fn split(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words: Vec<String> = Vec::new();
    let mut quote: Option<char> = None;
    // Depth of `{{ }}`, `{% %}` and `{# #}`.
    let mut depth = [0usize; 3];
    let blocks = [("{{", "}}"), ("{%", "%}"), ("{#", "#}")];
    if text.is_empty() {
        return Ok(words);
    }
    let lines: Vec<&str> = text.split('\n').collect();
    for (nr, line) in lines.iter().enumerate() {
        let mut continued = false;
        for (at, token) in line.split(' ').enumerate() {
            if token.is_empty() && at != 0 {
                last(&mut words).push(' ');
                continue;
            }
            if token == "\\" && quote.is_none() {
                continued = true;
                continue;
            }
            let was_quoted = quote.is_some();
            quote = quote_after(token, quote);
            let in_block = depth.iter().any(|d| *d > 0);
            let mut placed = true;
            if quote.is_some() && !was_quoted && !in_block {
                words.push(token.to_owned());
            } else if in_block || quote.is_some() || was_quoted {
                let glue = if at == 0 { "" } else { " " };
                let word = last(&mut words);
                word.push_str(glue);
                word.push_str(token);
            } else {
                placed = false;
            }
            for (level, (open, close)) in depth.iter_mut().zip(blocks) {
                let before = *level;
                *level = (*level + token.matches(open).count())
                    .saturating_sub(token.matches(close).count());
                if *level != before && !placed {
                    words.push(token.to_owned());
                    placed = true;
                }
            }
            let open = depth.iter().any(|d| *d > 0) || quote.is_some();
            if !open && !placed && !token.is_empty() {
                words.push(token.to_owned());
            }
        }
        if nr + 1 < lines.len() && !continued {
            last(&mut words).push('\n');
        }
    }
    if quote.is_some() {
        return Err("a quote is not closed");
    }
    if depth.iter().any(|d| *d > 0) {
        return Err("a Jinja block is not closed");
    }
    Ok(words)
}

fn last(words: &mut Vec<String>) -> &mut String {
    if words.is_empty() {
        words.push(String::new());
    }
    let at = words.len() - 1;
    &mut words[at]
}

/// Words as one text again.
#[must_use]
pub fn join(words: &[String]) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() && !text.ends_with('\n') {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}

/// The quote that is open after a word.
fn quote_after(token: &str, mut open: Option<char>) -> Option<char> {
    let mut before = None;
    for c in token.chars() {
        if (c == '"' || c == '\'') && before != Some('\\') {
            match open {
                None => open = Some(c),
                Some(quote) if quote == c => open = None,
                Some(_) => {}
            }
        }
        before = Some(c);
    }
    open
}

enum Cut<'a> {
    Pair(&'a str, &'a str),
    /// Only escaped equal signs.
    Escaped,
    Word,
}

/// Cuts at the first `=` that is neither first nor escaped.
fn cut(word: &str) -> Cut<'_> {
    if !word.contains('=') {
        return Cut::Word;
    }
    word.char_indices()
        .filter(|(at, c)| *c == '=' && *at > 0)
        .find(|(at, _)| !word[..*at].ends_with('\\'))
        .map_or(Cut::Escaped, |(at, _)| {
            Cut::Pair(&word[..at], &word[at + 1..])
        })
}

/// Without the quotes around it, if there are.
#[must_use]
pub fn unquote(text: &str) -> &str {
    let bytes = text.as_bytes();
    let n = bytes.len();
    if n > 1
        && bytes[0] == bytes[n - 1]
        && matches!(bytes[0], b'"' | b'\'')
        && bytes[n - 2] != b'\\'
    {
        &text[1..n - 1]
    } else {
        text
    }
}

/// Python's escapes: `\n`, `\t`, `\\`, `\x41`, `é` and the like; others stay as they are.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let hex = |digits: usize| {
            rest.get(2..2 + digits)
                .filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
                .and_then(|hex| u32::from_str_radix(hex, 16).ok())
                .and_then(char::from_u32)
                .map(|c| (c, 2 + digits))
        };
        let decoded = match rest.as_bytes().get(1) {
            Some(b'U') => hex(8),
            Some(b'u') => hex(4),
            Some(b'x') => hex(2),
            Some(b @ (b'\\' | b'\'' | b'"')) => Some((char::from(*b), 2)),
            Some(b'a') => Some(('\x07', 2)),
            Some(b'b') => Some(('\x08', 2)),
            Some(b'f') => Some(('\x0c', 2)),
            Some(b'n') => Some(('\n', 2)),
            Some(b'r') => Some(('\r', 2)),
            Some(b't') => Some(('\t', 2)),
            Some(b'v') => Some(('\x0b', 2)),
            _ => None,
        };
        match decoded {
            Some((c, used)) => {
                out.push(c);
                rest = &rest[used..];
            }
            None => {
                out.push('\\');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The variables of one `-e` argument: `@file`, YAML or JSON in braces, or `key=value` text.
///
/// # Errors
/// When the file cannot be read or the text holds no variables.
pub fn extra_vars(
    argument: &str,
    vault: &crate::vault::Vault,
) -> Result<IndexMap<Arc<str>, Node>, Diagnostic> {
    let (source, node) = if let Some(path) = argument.strip_prefix('@') {
        let source = vault.source(Path::new(path))?;
        let node = crate::secrets::load(&source)?;
        (source, node)
    } else {
        let source = Source::new("<command line>", argument);
        let node = if argument.starts_with(['{', '[']) {
            super::load(&source)?
        } else {
            pairs_node(&source)?
        };
        (source, node)
    };
    match node.kind {
        Kind::Map(map) => Ok(map
            .iter()
            .map(|(name, _, node)| (Arc::clone(name), node.clone()))
            .collect()),
        Kind::Null => Ok(IndexMap::new()),
        _ => Err(Diagnostic::error(
            &Span::head(&source),
            format!("variables must be a mapping, not {}", node.describe()),
        )
        .hint("give `-e name=value`, `-e '{name: value}'` or `-e @file.yml`")),
    }
}

fn pairs_node(source: &Arc<Source>) -> Result<Node, Diagnostic> {
    let whole = Span {
        source: Arc::clone(source),
        start: 0,
        end: source.text.len(),
    };
    let found = parse(&source.text, false).map_err(|why| Diagnostic::error(&whole, why))?;
    if let Some(raw) = found.raw.filter(|raw| !raw.trim().is_empty()) {
        return Err(
            Diagnostic::error(&whole, format!("`{}` is not key=value", raw.trim()))
                .hint("to read a file write `@` before its name"),
        );
    }
    let mut map = Map::default();
    for (key, value) in found.pairs {
        map.insert(key.into(), whole.clone(), Node::string(value, &whole));
    }
    Ok(Node {
        kind: Kind::Map(Arc::new(map)),
        span: whole,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str, raw: bool) -> String {
        let found = parse(text, raw).unwrap();
        let mut out: Vec<String> = found
            .pairs
            .iter()
            .map(|(key, value)| format!("{key}=<{value}>"))
            .collect();
        out.extend(found.raw.map(|raw| format!("raw <{raw}>")));
        out.join(" ")
    }

    /// Text, whether it is a command line, and what Ansible's `parse_kv` makes of it.
    const TABLE: &[(&str, bool, &str)] = &[
        ("a=b c=\"foo bar\"", false, "a=<b> c=<foo bar>"),
        (
            "a={{ x }} b='{{ y + 1 }}'",
            false,
            "a=<{{ x }}> b=<{{ y + 1 }}>",
        ),
        (
            "dest=/etc/{{ item.name }}.conf mode=0644",
            false,
            "dest=</etc/{{ item.name }}.conf> mode=<0644>",
        ),
        (
            "line=\"a\\tb\" regexp='^x='",
            false,
            "line=<a\tb> regexp=<^x=>",
        ),
        ("echo a=b creates=/x", true, "creates=</x> raw <echo a=b>"),
        ("echo  two   spaces", true, "raw <echo  two   spaces>"),
        (
            "ls | grep 'a b' > /tmp/x chdir=/tmp",
            true,
            "chdir=</tmp> raw <ls | grep 'a b' > /tmp/x>",
        ),
        ("one\ntwo three\n", true, "raw <one\ntwo three\n>"),
        ("a=1\nb=2", false, "a=<1> b=<2>"),
        ("file.yml x=1", false, "x=<1> raw <file.yml>"),
        (
            "{% if a %} b=1 {% endif %}",
            false,
            "b=<1> raw <{% if a %} {% endif %}>",
        ),
    ];

    #[test]
    fn as_ansible_parses_them() {
        for (text, raw, expected) in TABLE {
            assert_eq!(&pairs(text, *raw), expected, "{text}");
        }
    }

    #[test]
    fn open_ends_are_errors() {
        assert!(parse("a='b", false).is_err());
        assert!(parse("a={{ b", false).is_err());
    }

    #[test]
    fn command_line_variables_come_as_text_or_yaml() {
        let text =
            |map: &IndexMap<Arc<str>, Node>, key: &str| format!("{:?}", map.get(key).unwrap().kind);
        let map = extra_vars("a=1 b='x y'", &crate::vault::Vault::default()).unwrap();
        assert_eq!(text(&map, "a"), "Str(\"1\")");
        assert_eq!(text(&map, "b"), "Str(\"x y\")");
        let map = extra_vars("{a: 1, \"b\": [yes]}", &crate::vault::Vault::default()).unwrap();
        assert_eq!(text(&map, "a"), "Int(1)");
        assert!(extra_vars("vars.yml", &crate::vault::Vault::default()).is_err());
        assert!(extra_vars("[1]", &crate::vault::Vault::default()).is_err());
    }

    proptest::proptest! {
        #[test]
        fn a_split_text_joins_to_itself(text in "[a-z=]{1,6}( {1,2}[a-z'=]{1,6}){0,4}") {
            if let Ok(words) = split(&text) {
                proptest::prop_assert_eq!(join(&words), text);
            }
        }
    }
}
