//! libyaml's emitter with PyYAML's choices of style: roles write configuration files with it, so every
//! blank and quote must be where Ansible puts it.

use crate::template::value::data::{Kind, as_float, items, kind, pairs};
use crate::template::value::ops::order;
use crate::template::value::text::{float, str_of};
use crate::template::value::undefined::{Res, check};
use crate::yaml;
use minijinja::Value;
use std::cmp::Ordering;

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

/// A value as PyYAML represents it.
enum Item {
    Scalar {
        text: String,
        plain: bool,
    },
    List {
        items: Vec<Item>,
        flow: bool,
    },
    Map {
        pairs: Vec<(Item, Item)>,
        flow: bool,
    },
}

impl Item {
    fn is_scalar(&self) -> bool {
        matches!(self, Self::Scalar { .. })
    }
}

fn represent(value: &Value, options: Options) -> Res<Item> {
    check(value)?;
    let scalar = |text: String| Item::Scalar { text, plain: true };
    Ok(match kind(value) {
        Kind::None => scalar("null".to_owned()),
        Kind::Bool => scalar(if value.is_true() { "true" } else { "false" }.to_owned()),
        Kind::Int => scalar(value.to_string()),
        Kind::Float => scalar(float_text(as_float(value).unwrap_or(0.0))),
        Kind::Str => {
            let text = value.as_str().unwrap_or_default().to_owned();
            let plain = is_text(&text);
            Item::Scalar { text, plain }
        }
        Kind::List | Kind::Tuple => {
            let items: Res<Vec<Item>> = items(value)?
                .iter()
                .map(|v| represent(v, options))
                .collect();
            let items = items?;
            let flow = options
                .flow
                .unwrap_or_else(|| items.iter().all(Item::is_scalar));
            Item::List { items, flow }
        }
        Kind::Dict => {
            let mut all = pairs(value)?;
            if options.sort_keys {
                sort(&mut all);
            }
            let mut out = Vec::with_capacity(all.len());
            for (key, item) in &all {
                out.push((represent(key, options)?, represent(item, options)?));
            }
            let flow = options
                .flow
                .unwrap_or_else(|| out.iter().all(|(k, v)| k.is_scalar() && v.is_scalar()));
            Item::Map { pairs: out, flow }
        }
        Kind::Bytes | Kind::Other | Kind::Undefined => Item::Scalar {
            text: str_of(value)?,
            plain: true,
        },
    })
}

/// By key; keys without order among them stay as they are.
fn sort(all: &mut Vec<(Value, Value)>) {
    let mut comparable = true;
    let mut sorted = all.clone();
    sorted.sort_by(|(a, _), (b, _)| match order(a, b) {
        Ok(Some(found)) => found,
        _ => {
            comparable = false;
            Ordering::Equal
        }
    });
    if comparable {
        *all = sorted;
    }
}

fn float_text(n: f64) -> String {
    if n.is_nan() {
        return ".nan".to_owned();
    }
    if n.is_infinite() {
        return if n > 0.0 { ".inf" } else { "-.inf" }.to_owned();
    }
    let text = float(n);
    match text.split_once('e') {
        Some((head, tail)) if !head.contains('.') => format!("{head}.0e{tail}"),
        _ => text,
    }
}

/// Whether a plain scalar of this text would be read as a string.
fn is_text(text: &str) -> bool {
    if matches!(text, "<<" | "=") || is_timestamp(text) {
        return false;
    }
    matches!(yaml::parse_scalar(text), yaml::Kind::Str(_))
}

/// `2001-12-14` and `2001-12-14 21:59:43.10 +1:00`: dates to PyYAML.
fn is_timestamp(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |n: usize| bytes.get(n).is_some_and(u8::is_ascii_digit);
    if !(0..4).all(digit) || bytes.get(4) != Some(&b'-') {
        return false;
    }
    if text.len() == 10 {
        return digit(5) && digit(6) && bytes[7] == b'-' && digit(8) && digit(9);
    }
    let parts: Vec<&str> = text.splitn(2, ['T', 't', ' ', '\t']).collect();
    let [date, time] = parts.as_slice() else {
        return false;
    };
    let numbers = |text: &str, sep: char, widths: &[std::ops::RangeInclusive<usize>]| {
        let parts: Vec<&str> = text.split(sep).collect();
        parts.len() == widths.len()
            && parts
                .iter()
                .zip(widths)
                .all(|(p, w)| w.contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit()))
    };
    if !numbers(date, '-', &[4..=4, 1..=2, 1..=2]) {
        return false;
    }
    let time = time.trim_start();
    let end = time
        .find(|c: char| !(c.is_ascii_digit() || c == ':' || c == '.'))
        .unwrap_or(time.len());
    let (clock, zone) = time.split_at(end);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let zone = zone.trim_start();
    let zone_ok = zone.is_empty()
        || zone == "Z"
        || zone
            .strip_prefix(['+', '-'])
            .is_some_and(|z| numbers(z, ':', &[1..=2]) || numbers(z, ':', &[1..=2, 2..=2]));
    numbers(clock, ':', &[1..=2, 2..=2, 2..=2])
        && fraction.bytes().all(|b| b.is_ascii_digit())
        && zone_ok
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

/// What styles a scalar may take.
struct Analysis {
    multiline: bool,
    flow_plain: bool,
    block_plain: bool,
    single_quoted: bool,
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_blank_or_break(c: Option<char>) -> bool {
    c.is_none_or(|c| matches!(c, ' ' | '\t' | '\0') || is_break(c))
}

fn is_printable(c: char) -> bool {
    matches!(c, '\n' | '\x20'..='\x7e' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
        && c != '\u{feff}'
}

fn analyze(text: &str, unicode: bool) -> Analysis {
    let mut seen = Analysis {
        multiline: false,
        flow_plain: true,
        block_plain: true,
        single_quoted: true,
    };
    if text.is_empty() {
        seen.flow_plain = false;
        return seen;
    }
    let (mut block, mut flow) = (false, false);
    if text.starts_with("---") || text.starts_with("...") {
        (block, flow) = (true, true);
    }
    let chars: Vec<char> = text.chars().collect();
    let last = chars.len() - 1;
    let (mut special, mut edge_space) = (false, false);
    let (mut break_space, mut space_break) = (false, false);
    let (mut previous_space, mut previous_break) = (false, false);
    let mut preceded = true;
    for (n, &c) in chars.iter().enumerate() {
        let followed = is_blank_or_break(chars.get(n + 1).copied());
        if n == 0 {
            match c {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"'
                | '%' | '@' | '`' => (flow, block) = (true, true),
                '?' | ':' => {
                    flow = true;
                    block |= followed;
                }
                '-' if followed => (flow, block) = (true, true),
                _ => {}
            }
        } else {
            match c {
                ',' | '?' | '[' | ']' | '{' | '}' => flow = true,
                ':' => {
                    flow = true;
                    block |= followed;
                }
                '#' if preceded => (flow, block) = (true, true),
                _ => {}
            }
        }
        special |= !is_printable(c) || (!c.is_ascii() && !unicode);
        seen.multiline |= is_break(c);
        if c == ' ' {
            edge_space |= n == 0 || n == last;
            break_space |= previous_break;
            (previous_space, previous_break) = (true, false);
        } else if is_break(c) {
            edge_space |= n == 0 || n == last;
            space_break |= previous_space;
            (previous_space, previous_break) = (false, true);
        } else {
            (previous_space, previous_break) = (false, false);
        }
        preceded = is_blank_or_break(Some(c));
    }
    let plain = !(edge_space || break_space || space_break || special || seen.multiline);
    seen.flow_plain = plain && !flow;
    seen.block_plain = plain && !block;
    seen.single_quoted = !(break_space || space_break || special);
    seen
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
