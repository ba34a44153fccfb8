//! Values in INI inventories: Python literals as `ast.literal_eval` reads them, anything else is text.

use crate::diag::Span;
use crate::yaml::{Kind, Map, Node};
use std::sync::Arc;

/// The value of a text, standing at `span` as a whole.
pub(super) fn value(text: &str, span: &Span) -> Node {
    let mut reader = Reader {
        rest: text.trim(),
        span,
        depth: 0,
    };
    let read = reader.value().filter(|_| reader.rest.trim().is_empty());
    read.unwrap_or_else(|| Node::string(text, span))
}

/// Deepest nesting read; deeper is text.
const DEPTH: usize = 64;

struct Reader<'a> {
    rest: &'a str,
    span: &'a Span,
    depth: usize,
}

impl Reader<'_> {
    fn node(&self, kind: Kind) -> Node {
        Node {
            kind,
            span: self.span.clone(),
        }
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn eat(&mut self, c: char) -> bool {
        self.skip();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn value(&mut self) -> Option<Node> {
        self.depth += 1;
        if self.depth > DEPTH {
            return None;
        }
        self.skip();
        let value = match self.rest.chars().next()? {
            '\'' | '"' => {
                let mut text = self.string()?;
                // Adjacent strings are one.
                loop {
                    self.skip();
                    if !self.rest.starts_with(['\'', '"']) {
                        break;
                    }
                    text += &self.string()?;
                }
                self.node(Kind::Str(text.into()))
            }
            '[' => {
                self.eat('[');
                let items = self.items(']')?.0;
                self.node(Kind::Seq(items.into()))
            }
            '(' => {
                self.eat('(');
                let (mut items, comma) = self.items(')')?;
                // Brackets around one value are only brackets.
                if items.len() == 1 && !comma {
                    items.pop()?
                } else {
                    self.node(Kind::Seq(items.into()))
                }
            }
            '{' => self.braces()?,
            _ => self.word()?,
        };
        self.depth -= 1;
        Some(value)
    }

    /// Values up to the closing bracket, and whether a comma stood behind the last one.
    fn items(&mut self, close: char) -> Option<(Vec<Node>, bool)> {
        let mut items = Vec::new();
        let mut comma = false;
        while !self.eat(close) {
            if !items.is_empty() && !comma {
                return None;
            }
            items.push(self.value()?);
            comma = self.eat(',');
        }
        Some((items, comma))
    }

    /// A dictionary, or a set, which becomes a list.
    fn braces(&mut self) -> Option<Node> {
        self.eat('{');
        let (mut map, mut items, mut comma) = (Map::default(), Vec::new(), true);
        while !self.eat('}') {
            if !comma {
                return None;
            }
            let key = self.value()?;
            if self.eat(':') {
                let value = self.value()?;
                let name: Arc<str> = match &key.kind {
                    Kind::Str(text) => Arc::clone(text),
                    _ => crate::template::to_text(&crate::yaml::plain(&key)).into(),
                };
                map.insert(name, self.span.clone(), value);
            } else {
                items.push(key);
            }
            comma = self.eat(',');
        }
        match (map.is_empty(), items.is_empty()) {
            (_, true) => Some(self.node(Kind::Map(Arc::new(map)))),
            (true, false) => Some(self.node(Kind::Seq(items.into()))),
            (false, false) => None,
        }
    }

    fn string(&mut self) -> Option<String> {
        let quote = self.rest.chars().next()?;
        let mut out = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                _ if c == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Some(out);
                }
                '\\' => match chars.next()?.1 {
                    'n' => out.push('\n'),
                    't' => out.push('\t'),
                    'r' => out.push('\r'),
                    '0' => out.push('\0'),
                    same @ ('\\' | '\'' | '"') => out.push(same),
                    other => {
                        out.push('\\');
                        out.push(other);
                    }
                },
                _ => out.push(c),
            }
        }
        None
    }

    /// `True`, `None`, a number.
    fn word(&mut self) -> Option<Node> {
        let end = self
            .rest
            .find(|c: char| c.is_whitespace() || ",:]})'\"".contains(c))
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        let kind = match word {
            "True" => Kind::Bool(true),
            "False" => Kind::Bool(false),
            "None" => Kind::Null,
            _ => number(word)?,
        };
        self.rest = rest;
        Some(self.node(kind))
    }
}

fn number(word: &str) -> Option<Kind> {
    let (negative, digits) = match word.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, word.strip_prefix('+').unwrap_or(word)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') || digits.ends_with('_') {
        return None;
    }
    let plain = digits.replace('_', "").to_lowercase();
    let based = [("0x", 16), ("0o", 8), ("0b", 2)]
        .iter()
        .find_map(|(prefix, base)| Some((plain.strip_prefix(prefix)?, *base)));
    let int = match based {
        Some((digits, base)) => Some(i128::from_str_radix(digits, base).ok()?),
        // Python has no octal by a leading zero: `0644` is text.
        None if plain.len() > 1
            && plain.starts_with('0')
            && plain.bytes().all(|b| b.is_ascii_digit()) =>
        {
            return plain.bytes().all(|b| b == b'0').then_some(Kind::Int(0));
        }
        None => plain.parse().ok(),
    };
    match int {
        Some(int) => Some(Kind::Int(if negative { -int } else { int })),
        None if plain.bytes().all(|b| b.is_ascii_digit()) => None,
        None if plain
            .bytes()
            .all(|b| b.is_ascii_digit() || b"e+-.".contains(&b)) =>
        {
            let float: f64 = plain.parse().ok()?;
            Some(Kind::Float(if negative { -float } else { float }))
        }
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text, and how Python shows what `literal_eval` gives, or the text itself.
    const TABLE: &[(&str, &str)] = &[
        ("1", "1"),
        ("-1", "-1"),
        ("0644", "0644"),
        ("0x10", "16"),
        ("1_000", "1000"),
        ("1.5", "1.5"),
        ("1e3", "1000.0"),
        ("True", "True"),
        ("true", "true"),
        ("yes", "yes"),
        ("None", "None"),
        ("'a b'", "a b"),
        ("\"a\\nb\"", "a\nb"),
        ("'a' 'b'", "ab"),
        ("[1, 'a', True]", "[1, 'a', True]"),
        ("[1 2]", "[1 2]"),
        ("(1, 2)", "[1, 2]"),
        ("(1)", "1"),
        ("{'a': 1, 'b': [2]}", "{'a': 1, 'b': [2]}"),
        ("{}", "{}"),
        ("10.0.0.1", "10.0.0.1"),
        ("{{ x }}", "{{ x }}"),
        ("a=b", "a=b"),
        ("", ""),
        ("-", "-"),
    ];

    #[test]
    fn as_python_reads_them() {
        let span = Span::head(&crate::diag::Source::new("t", ""));
        for (text, shown) in TABLE {
            let value = crate::yaml::plain(&super::value(text, &span));
            assert_eq!(&crate::template::to_text(&value), shown, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "[-a0-9'\"\\\\\\[\\](){},:. _xe]{0,24}") {
            let span = Span::head(&crate::diag::Source::new("t", ""));
            let _ = super::value(&text, &span);
        }
    }
}
