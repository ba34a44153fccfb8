//! Tokens: data between tags, and what stands inside them; whitespace control as in Jinja2.

mod escape;
#[cfg(test)]
mod tests;

use super::{At, Syntax, SyntaxError};

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tok {
    /// Text between tags.
    Data(String),
    VariableStart,
    VariableEnd,
    BlockStart,
    BlockEnd,
    Name(String),
    Int(i128),
    Float(f64),
    Str(String),
    /// An operator or a bracket.
    Op(&'static str),
}

impl Tok {
    /// How a message calls it.
    pub(crate) fn describe(&self, syntax: &Syntax) -> String {
        match self {
            Self::Data(_) => "text".to_owned(),
            Self::VariableStart => format!("`{}`", syntax.variable.0),
            Self::VariableEnd => format!("`{}`", syntax.variable.1),
            Self::BlockStart => format!("`{}`", syntax.block.0),
            Self::BlockEnd => format!("`{}`", syntax.block.1),
            Self::Name(name) => format!("`{name}`"),
            Self::Int(n) => format!("`{n}`"),
            Self::Float(n) => format!("`{n}`"),
            Self::Str(text) => format!("the string {text:?}"),
            Self::Op(op) => format!("`{op}`"),
        }
    }
}

/// Operators, longest first.
const OPERATORS: &[&str] = &[
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}",
    ">", "<", "=", ".", ":", "|", ",", ";",
];

/// Reads a whole template.
pub(crate) fn template(text: &str, syntax: &Syntax) -> Result<Vec<(Tok, At)>, SyntaxError> {
    let mut lexer = Lexer::new(text, syntax);
    lexer.data()?;
    Ok(lexer.out)
}

/// Reads a bare expression.
pub(crate) fn expression(text: &str, syntax: &Syntax) -> Result<Vec<(Tok, At)>, SyntaxError> {
    let mut lexer = Lexer::new(text, syntax);
    while lexer.code(None)? {}
    lexer.check_balance()?;
    Ok(lexer.out)
}

struct Lexer<'a> {
    text: &'a str,
    syntax: &'a Syntax,
    pos: usize,
    out: Vec<(Tok, At)>,
    /// Open brackets, and where.
    open: Vec<(&'static str, At)>,
    /// Whether the last tag ended at the start of a line.
    line_start: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Tag {
    Block,
    Variable,
    Comment,
    LineStatement,
    LineComment,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str, syntax: &'a Syntax) -> Self {
        let text = if syntax.keep_trailing_newline {
            text
        } else {
            text.strip_suffix('\n').unwrap_or(text)
        };
        Self {
            text,
            syntax,
            pos: 0,
            out: Vec::new(),
            open: Vec::new(),
            line_start: true,
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.pos..]
    }

    fn push(&mut self, tok: Tok, start: usize) {
        self.out.push((tok, At::new(start, self.pos)));
    }

    fn push_data(&mut self, start: usize, end: usize) {
        if start < end {
            let data = &self.text[start..end];
            let data = if self.syntax.newline == "\n" {
                data.to_owned()
            } else {
                data.replace('\n', &self.syntax.newline)
            };
            self.out.push((Tok::Data(data), At::new(start, end)));
        }
    }

    /// The next tag at or behind the position: where, what, and the length of its mark.
    fn next_tag(&self) -> Option<(usize, Tag, usize)> {
        let marks = [
            (&self.syntax.comment.0, Tag::Comment),
            (&self.syntax.block.0, Tag::Block),
            (&self.syntax.variable.0, Tag::Variable),
        ];
        let mut best: Option<(usize, Tag, usize)> = None;
        // The earliest wins, of equals the longest mark.
        let mut offer = |at: usize, tag: Tag, len: usize| {
            if best.is_none_or(|(b, _, l)| at < b || (at == b && len > l)) {
                best = Some((at, tag, len));
            }
        };
        for (mark, tag) in marks {
            if let Some(at) = self.rest().find(mark.as_str()) {
                offer(self.pos + at, tag, mark.len());
            }
        }
        if let Some(prefix) = &self.syntax.line_statement
            && let Some((at, len)) = self.line_prefix(prefix)
        {
            offer(at, Tag::LineStatement, len);
        }
        if let Some(prefix) = &self.syntax.line_comment
            && let Some(at) = self.rest().find(prefix.as_str())
        {
            offer(self.pos + at, Tag::LineComment, prefix.len());
        }
        best
    }

    /// A line statement's prefix: first on a line, blanks before it belong to the mark.
    fn line_prefix(&self, prefix: &str) -> Option<(usize, usize)> {
        let mut from = self.pos;
        loop {
            let start = if from == 0 || self.text.as_bytes().get(from - 1) == Some(&b'\n') {
                from
            } else {
                from + self.text[from..].find('\n')? + 1
            };
            let line = &self.text[start..];
            let blank = line.len() - line.trim_start_matches([' ', '\t']).len();
            if line[blank..].starts_with(prefix) {
                return Some((start, blank + prefix.len()));
            }
            from = start + line.find('\n')? + 1;
        }
    }

    fn data(&mut self) -> Result<(), SyntaxError> {
        while let Some((at, tag, len)) = self.next_tag() {
            let start = self.pos;
            let sign = self.text.as_bytes().get(at + len).copied();
            let data = &self.text[start..at];
            let mut end = at;
            if sign == Some(b'-') {
                end = start + data.trim_end().len();
            } else if sign != Some(b'+') && self.syntax.lstrip_blocks && tag != Tag::Variable {
                let line = data.rfind('\n').map_or(0, |n| n + 1);
                if (line > 0 || self.line_start) && data[line..].trim().is_empty() {
                    end = start + line;
                }
            }
            self.push_data(start, end);
            self.pos = at + len;
            if matches!(sign, Some(b'-' | b'+')) {
                self.pos += 1;
            }
            match tag {
                Tag::Comment => self.comment(at)?,
                Tag::LineComment => {
                    self.pos += self.rest().find('\n').unwrap_or(self.rest().len());
                }
                Tag::Block if self.raw_start() => self.raw(at)?,
                Tag::Block => self.tag(at, Tag::Block)?,
                Tag::Variable => self.tag(at, Tag::Variable)?,
                Tag::LineStatement => self.tag(at, Tag::LineStatement)?,
            }
            self.line_start = self.text[..self.pos].ends_with('\n');
        }
        let start = self.pos;
        self.pos = self.text.len();
        self.push_data(start, self.pos);
        Ok(())
    }

    fn comment(&mut self, start: usize) -> Result<(), SyntaxError> {
        let close = &self.syntax.comment.1;
        let Some(n) = self.rest().find(close.as_str()) else {
            return Err(SyntaxError::new(
                "this comment has no end",
                At::new(start, self.pos),
            ));
        };
        let strip = self.text[..self.pos + n].ends_with('-');
        self.pos += n + close.len();
        self.after_tag(strip, true);
        Ok(())
    }

    /// What follows a tag: `-` eats all blanks, `trim_blocks` one newline.
    fn after_tag(&mut self, strip: bool, block: bool) {
        if strip {
            self.pos = self.text.len() - self.rest().trim_start().len();
        } else if block && self.syntax.trim_blocks && self.rest().starts_with('\n') {
            self.pos += 1;
        }
    }

    /// Whether the block just entered is `raw`.
    fn raw_start(&self) -> bool {
        self.end_of_bare_tag(self.pos, "raw").is_some()
    }

    /// `NAME %}` at a position: where it ends, whether `-` and whether `+` stands before the end.
    fn end_of_bare_tag(&self, pos: usize, name: &str) -> Option<(usize, bool, bool)> {
        let rest = self.text[pos..]
            .trim_start()
            .strip_prefix(name)?
            .trim_start();
        let close = self.syntax.block.1.as_str();
        let (rest, minus, plus) = match rest.as_bytes().first()? {
            b'-' if !rest.starts_with(close) => (&rest[1..], true, false),
            b'+' if !rest.starts_with(close) => (&rest[1..], false, true),
            _ => (rest, false, false),
        };
        let rest = rest.strip_prefix(close)?;
        Some((self.text.len() - rest.len(), minus, plus))
    }

    fn raw(&mut self, start: usize) -> Result<(), SyntaxError> {
        let Some((body, minus, plus)) = self.end_of_bare_tag(self.pos, "raw") else {
            return Ok(());
        };
        self.pos = body;
        self.after_tag(minus, !plus);
        let from = self.pos;
        let open = self.syntax.block.0.as_str();
        let mut search = from;
        while let Some(n) = self.text[search..].find(open) {
            let at = search + n;
            let mut inner = at + open.len();
            let sign = self.text.as_bytes().get(inner).copied();
            if matches!(sign, Some(b'-' | b'+')) {
                inner += 1;
            }
            if let Some((end, minus, plus)) = self.end_of_bare_tag(inner, "endraw") {
                let data = &self.text[from..at];
                let mut stop = at;
                if sign == Some(b'-') {
                    stop = from + data.trim_end().len();
                } else if sign != Some(b'+') && self.syntax.lstrip_blocks {
                    let line = data.rfind('\n').map_or(0, |n| n + 1);
                    if (line > 0 || self.line_start) && data[line..].trim().is_empty() {
                        stop = from + line;
                    }
                }
                self.push_data(from, stop);
                self.pos = end;
                self.after_tag(minus, !plus);
                return Ok(());
            }
            search = at + open.len();
        }
        Err(SyntaxError::new(
            "this raw block has no end",
            At::new(start, self.pos),
        ))
    }

    /// Inside a tag, up to its end.
    fn tag(&mut self, start: usize, tag: Tag) -> Result<(), SyntaxError> {
        let (open, close) = match tag {
            Tag::Variable => (Tok::VariableStart, &self.syntax.variable.1),
            _ => (Tok::BlockStart, &self.syntax.block.1),
        };
        let opening = At::new(start, self.pos);
        self.push(open, start);
        loop {
            if self.open.is_empty() {
                if tag == Tag::LineStatement {
                    let blank =
                        self.rest().len() - self.rest().trim_start_matches([' ', '\t']).len();
                    let after = &self.rest()[blank..];
                    if after.is_empty() || after.starts_with('\n') {
                        self.pos += blank + usize::from(!after.is_empty());
                        self.push(Tok::BlockEnd, self.pos);
                        return Ok(());
                    }
                } else {
                    let rest = self.rest().trim_start();
                    let at = self.text.len() - rest.len();
                    let signed = rest.strip_prefix(['-', '+']);
                    let sign = signed.and(rest.bytes().next());
                    let plus = sign == Some(b'+') && tag == Tag::Block;
                    if rest.starts_with(close.as_str()) {
                        self.pos = at + close.len();
                        self.end_tag(tag, at);
                        self.after_tag(false, tag == Tag::Block);
                        return Ok(());
                    }
                    if (sign == Some(b'-') || plus)
                        && signed.is_some_and(|rest| rest.starts_with(close.as_str()))
                    {
                        self.pos = at + 1 + close.len();
                        self.end_tag(tag, at);
                        self.after_tag(!plus, false);
                        return Ok(());
                    }
                }
            }
            if !self.code(Some((close, opening)))? {
                self.check_balance()?;
                return Err(SyntaxError::new(
                    format!("this tag has no `{close}`"),
                    opening,
                ));
            }
        }
    }

    fn end_tag(&mut self, tag: Tag, at: usize) {
        let tok = if tag == Tag::Variable {
            Tok::VariableEnd
        } else {
            Tok::BlockEnd
        };
        self.push(tok, at);
    }

    fn check_balance(&self) -> Result<(), SyntaxError> {
        match self.open.last() {
            Some((bracket, at)) => {
                let message = format!("this bracket is never closed with `{bracket}`");
                Err(SyntaxError::new(message, *at))
            }
            None => Ok(()),
        }
    }

    /// One token of an expression; false at the end of the text.
    fn code(&mut self, tag: Option<(&String, At)>) -> Result<bool, SyntaxError> {
        self.pos = self.text.len() - self.rest().trim_start().len();
        let start = self.pos;
        let Some(first) = self.rest().chars().next() else {
            return Ok(false);
        };
        if first.is_ascii_digit() {
            return self.number().map(|()| true);
        }
        if first == '_' || first.is_alphabetic() {
            let len = self
                .rest()
                .find(|c: char| c != '_' && !c.is_alphanumeric())
                .unwrap_or(self.rest().len());
            let name = self.rest()[..len].to_owned();
            self.pos += len;
            self.push(Tok::Name(name), start);
            return Ok(true);
        }
        if matches!(first, '"' | '\'') {
            return self.string(first, tag.is_some()).map(|()| true);
        }
        let Some(op) = OPERATORS.iter().find(|op| self.rest().starts_with(**op)) else {
            return Err(SyntaxError::new(
                format!("unexpected character `{first}`"),
                At::new(start, start + first.len_utf8()),
            ));
        };
        self.pos += op.len();
        let at = At::new(start, self.pos);
        match *op {
            "(" => self.open.push((")", at)),
            "[" => self.open.push(("]", at)),
            "{" => self.open.push(("}", at)),
            ")" | "]" | "}" => match self.open.pop() {
                Some((want, _)) if want == *op => {}
                Some((want, _)) => {
                    return Err(SyntaxError::new(
                        format!("unexpected `{op}`, expected `{want}`"),
                        at,
                    ));
                }
                None => return Err(SyntaxError::new(format!("unexpected `{op}`"), at)),
            },
            _ => {}
        }
        self.push(Tok::Op(op), start);
        Ok(true)
    }

    fn number(&mut self) -> Result<(), SyntaxError> {
        let start = self.pos;
        let rest = self.rest();
        let lower = rest.get(..2).unwrap_or("").to_ascii_lowercase();
        let radix = match lower.as_str() {
            "0x" => 16,
            "0o" => 8,
            "0b" => 2,
            _ => 10,
        };
        let digits = |text: &str, radix: u32| {
            text.find(|c: char| !(c.is_digit(radix) || c == '_'))
                .unwrap_or(text.len())
        };
        if radix != 10 {
            let len = digits(&rest[2..], radix);
            let clean = rest[2..2 + len].replace('_', "");
            self.pos += 2 + len;
            let value = i128::from_str_radix(&clean, radix)
                .map_err(|_| SyntaxError::new("invalid number", At::new(start, self.pos)))?;
            self.push(Tok::Int(value), start);
            return Ok(());
        }
        let mut len = digits(rest, 10);
        let mut float = false;
        // `x.0.1` is two subscripts, not a float.
        let after_dot = self.text[..start].ends_with('.');
        if !after_dot {
            let tail = &rest[len..];
            if tail.starts_with('.') && tail[1..].starts_with(|c: char| c.is_ascii_digit()) {
                len += 1 + digits(&tail[1..], 10);
                float = true;
            }
            let tail = &rest[len..];
            if let Some(exp) = tail.strip_prefix(['e', 'E']) {
                let sign = usize::from(exp.starts_with(['+', '-']));
                let n = digits(&exp[sign..], 10);
                if n > 0 {
                    len += 1 + sign + n;
                    float = true;
                }
            }
        }
        let clean = rest[..len].replace('_', "");
        self.pos += len;
        let bad = || SyntaxError::new("invalid number", At::new(start, start + len));
        let tok = if float {
            Tok::Float(clean.parse().map_err(|_| bad())?)
        } else {
            Tok::Int(clean.parse().map_err(|_| bad())?)
        };
        self.push(tok, start);
        Ok(())
    }

    fn string(&mut self, quote: char, in_tag: bool) -> Result<(), SyntaxError> {
        let start = self.pos;
        let body = &self.rest()[1..];
        let mut escaped = false;
        let mut end = None;
        for (n, c) in body.char_indices() {
            if escaped {
                escaped = false;
            } else if c == '\\' {
                escaped = true;
            } else if c == quote {
                end = Some(n);
                break;
            }
        }
        let Some(end) = end else {
            return Err(SyntaxError::new(
                "this string has no end",
                At::new(start, start + 1),
            ));
        };
        let raw = &body[..end];
        self.pos += end + 2;
        let in_variable = in_tag
            && self
                .out
                .iter()
                .rev()
                .find_map(|(tok, _)| match tok {
                    Tok::VariableStart => Some(true),
                    Tok::BlockStart => Some(false),
                    _ => None,
                })
                .unwrap_or(false);
        let text = if self.syntax.raw_backslashes && in_variable {
            raw.to_owned()
        } else {
            escape::unescape(raw, At::new(start, self.pos))?
        };
        self.push(Tok::Str(text), start);
        Ok(())
    }
}
