//! libyaml's emitter with PyYAML's choices of style: roles write configuration files with it, so every
//! blank and quote must be where Ansible puts it.

use super::analyze::{analyze, is_break, is_printable};
use super::represent::{Item, represent};
use crate::template::value::undefined::Res;
use minijinja::Value;

/// How to write.
#[derive(Debug, Clone, Copy)]
pub(super) struct Options {
    pub(super) indent: usize,
    pub(super) width: usize,
    /// Flow style for all collections, for none, or for those that hold only plain scalars.
    pub(super) flow: Option<bool>,
    pub(super) sort_keys: bool,
    pub(super) unicode: bool,
}

/// Writes a value as a document.
pub(super) fn dump(value: &Value, options: Options) -> Res<String> {
    let item = represent(value, options)?;
    let indent = if (2..10).contains(&options.indent) {
        options.indent
    } else {
        2
    };
    let width = if options.width > indent * 2 {
        options.width
    } else {
        80
    };
    let mut emitter = Emitter {
        out: String::new(),
        column: 0,
        whitespace: true,
        indention: true,
        indent: None,
        step: indent,
        width,
        flow_level: 0,
        unicode: options.unicode,
    };
    emitter.node(&item, Context::Root, false)?;
    emitter.indent = None;
    if emitter.column > 0 {
        emitter.line_break();
    }
    Ok(emitter.out)
}

#[derive(Clone, Copy, PartialEq)]
enum Context {
    Root,
    Sequence,
    Mapping,
}

struct Emitter {
    out: String,
    column: usize,
    whitespace: bool,
    indention: bool,
    indent: Option<usize>,
    step: usize,
    width: usize,
    flow_level: usize,
    unicode: bool,
}

impl Emitter {
    fn put(&mut self, c: char) {
        self.out.push(c);
        self.column += 1;
    }

    fn line_break(&mut self) {
        self.out.push('\n');
        self.column = 0;
    }

    fn indicator(&mut self, text: &str, need_whitespace: bool, whitespace: bool, indention: bool) {
        if need_whitespace && !self.whitespace {
            self.put(' ');
        }
        for c in text.chars() {
            self.put(c);
        }
        self.whitespace = whitespace;
        self.indention = self.indention && indention;
    }

    fn write_indent(&mut self) {
        let indent = self.indent.unwrap_or(0);
        if !self.indention || self.column > indent || (self.column == indent && !self.whitespace) {
            self.line_break();
        }
        while self.column < indent {
            self.put(' ');
        }
        self.whitespace = true;
        self.indention = true;
    }

    /// Runs something one level deeper.
    fn deeper(
        &mut self,
        flow: bool,
        indentless: bool,
        run: impl FnOnce(&mut Self) -> Res<()>,
    ) -> Res<()> {
        let outer = self.indent;
        self.indent = match outer {
            None => Some(if flow { self.step } else { 0 }),
            Some(n) if indentless => Some(n),
            Some(n) => Some(n + self.step),
        };
        let done = run(self);
        self.indent = outer;
        done
    }

    fn node(&mut self, item: &Item, context: Context, simple_key: bool) -> Res<()> {
        match item {
            Item::Scalar { text, plain } => self.scalar(text, *plain, simple_key),
            Item::List { items, flow } if self.flow_level > 0 || *flow || items.is_empty() => {
                self.flow_list(items)?;
            }
            Item::List { items, .. } => {
                let indentless = context == Context::Mapping && !self.indention;
                self.deeper(false, indentless, |e| {
                    for item in items {
                        e.write_indent();
                        e.indicator("-", true, false, true);
                        e.node(item, Context::Sequence, false)?;
                    }
                    Ok(())
                })?;
            }
            Item::Map { pairs, flow } if self.flow_level > 0 || *flow || pairs.is_empty() => {
                self.flow_map(pairs)?;
            }
            Item::Map { pairs, .. } => {
                self.deeper(false, false, |e| {
                    for (key, value) in pairs {
                        e.write_indent();
                        if e.is_simple(key) {
                            e.node(key, Context::Mapping, true)?;
                            e.indicator(":", false, false, false);
                        } else {
                            e.indicator("?", true, false, true);
                            e.node(key, Context::Mapping, false)?;
                            e.write_indent();
                            e.indicator(":", true, false, true);
                        }
                        e.node(value, Context::Mapping, false)?;
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn flow_list(&mut self, items: &[Item]) -> Res<()> {
        self.indicator("[", true, true, false);
        self.flow_level += 1;
        self.deeper(true, false, |e| {
            for (n, item) in items.iter().enumerate() {
                if n > 0 {
                    e.indicator(",", false, false, false);
                }
                if e.column > e.width {
                    e.write_indent();
                }
                e.node(item, Context::Sequence, false)?;
            }
            Ok(())
        })?;
        self.flow_level -= 1;
        self.indicator("]", false, false, false);
        Ok(())
    }

    fn flow_map(&mut self, pairs: &[(Item, Item)]) -> Res<()> {
        self.indicator("{", true, true, false);
        self.flow_level += 1;
        self.deeper(true, false, |e| {
            for (n, (key, value)) in pairs.iter().enumerate() {
                if n > 0 {
                    e.indicator(",", false, false, false);
                }
                if e.column > e.width {
                    e.write_indent();
                }
                if e.is_simple(key) {
                    e.node(key, Context::Mapping, true)?;
                    e.indicator(":", false, false, false);
                } else {
                    e.indicator("?", true, false, false);
                    e.node(key, Context::Mapping, false)?;
                    if e.column > e.width {
                        e.write_indent();
                    }
                    e.indicator(":", true, false, false);
                }
                e.node(value, Context::Mapping, false)?;
            }
            Ok(())
        })?;
        self.flow_level -= 1;
        self.indicator("}", false, false, false);
        Ok(())
    }

    /// Whether a key fits before its colon.
    fn is_simple(&self, key: &Item) -> bool {
        match key {
            Item::Scalar { text, .. } => text.len() <= 128 && !text.contains(is_break),
            Item::List { items, .. } => items.is_empty(),
            Item::Map { pairs, .. } => pairs.is_empty(),
        }
    }

    fn scalar(&mut self, text: &str, plain: bool, simple_key: bool) {
        let seen = analyze(text, self.unicode);
        let may_plain = plain
            && if self.flow_level > 0 {
                seen.flow_plain
            } else {
                seen.block_plain
            }
            && !(text.is_empty() && (self.flow_level > 0 || simple_key));
        let outer = self.indent;
        self.indent = Some(
            outer.map_or(if self.flow_level > 0 { self.step } else { 0 }, |n| {
                n + self.step
            }),
        );
        if simple_key && seen.multiline {
            self.double_quoted(text, false);
        } else if may_plain {
            self.plain(text, !simple_key);
        } else if seen.single_quoted {
            self.single_quoted(text, !simple_key);
        } else {
            self.double_quoted(text, !simple_key);
        }
        self.indent = outer;
    }

    fn plain(&mut self, text: &str, may_break: bool) {
        if !self.whitespace && !text.is_empty() {
            self.put(' ');
        }
        let mut spaces = false;
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c == ' ' {
                if may_break && !spaces && self.column > self.width && chars.peek() != Some(&' ') {
                    self.write_indent();
                } else {
                    self.put(c);
                }
                spaces = true;
            } else {
                self.put(c);
                self.indention = false;
                spaces = false;
            }
        }
        self.whitespace = false;
        self.indention = false;
    }

    fn single_quoted(&mut self, text: &str, may_break: bool) {
        self.indicator("'", true, false, false);
        let (mut spaces, mut breaks) = (false, false);
        let chars: Vec<char> = text.chars().collect();
        for (n, &c) in chars.iter().enumerate() {
            if c == ' ' {
                let inside = n > 0 && n + 1 < chars.len() && chars[n + 1] != ' ';
                if may_break && !spaces && self.column > self.width && inside {
                    self.write_indent();
                } else {
                    self.put(c);
                }
                spaces = true;
            } else if is_break(c) {
                if !breaks && c == '\n' {
                    self.line_break();
                }
                self.out.push(c);
                self.column = 0;
                self.indention = true;
                breaks = true;
            } else {
                if breaks {
                    self.write_indent();
                }
                if c == '\'' {
                    self.put('\'');
                }
                self.put(c);
                self.indention = false;
                (spaces, breaks) = (false, false);
            }
        }
        if breaks {
            self.write_indent();
        }
        self.indicator("'", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }

    fn double_quoted(&mut self, text: &str, may_break: bool) {
        self.indicator("\"", true, false, false);
        let mut spaces = false;
        let chars: Vec<char> = text.chars().collect();
        for (n, &c) in chars.iter().enumerate() {
            let special = !is_printable(c)
                || (!self.unicode && !c.is_ascii())
                || is_break(c)
                || matches!(c, '"' | '\\');
            if special {
                for c in escaped(c).chars() {
                    self.put(c);
                }
                spaces = false;
            } else if c == ' ' {
                let inside = n > 0 && n + 1 < chars.len();
                if may_break && !spaces && self.column > self.width && inside {
                    self.write_indent();
                    if chars[n + 1] == ' ' {
                        self.put('\\');
                    }
                } else {
                    self.put(c);
                }
                spaces = true;
            } else {
                self.put(c);
                spaces = false;
            }
        }
        self.indicator("\"", false, false, false);
        self.whitespace = false;
        self.indention = false;
    }
}

fn escaped(c: char) -> String {
    let short = match c {
        '\0' => "0",
        '\x07' => "a",
        '\x08' => "b",
        '\t' => "t",
        '\n' => "n",
        '\x0b' => "v",
        '\x0c' => "f",
        '\r' => "r",
        '\x1b' => "e",
        '"' => "\"",
        '\\' => "\\",
        '\u{85}' => "N",
        '\u{a0}' => "_",
        '\u{2028}' => "L",
        '\u{2029}' => "P",
        c => {
            let code = c as u32;
            return match code {
                0..=0xff => format!("\\x{code:02X}"),
                0x100..=0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            };
        }
    };
    format!("\\{short}")
}
