//! Places in characters and bytes, and the loose layout that PyYAML takes.

use saphyr_parser::ScanError;

/// A text whose layout is mended where PyYAML takes what YAML 1.2 forbids: lines inside quotes or brackets may
/// stand further left than what holds them, and tabs may indent them. White space there means nothing.
pub(super) struct Layout {
    /// Characters and the byte each stands at in the file.
    chars: Vec<(usize, char)>,
    end: usize,
}

/// Spaces that put a line further right than anything around it.
const PAD: usize = 200;

impl Layout {
    pub(super) fn new(text: &str) -> Self {
        Self {
            chars: text.char_indices().collect(),
            end: text.len(),
        }
    }

    pub(super) fn text(&self) -> (String, Offsets) {
        let text = self.chars.iter().map(|(_, c)| c).collect();
        let bytes = self.chars.iter().map(|(at, _)| *at);
        let table = bytes.chain([self.end]).collect();
        (text, Offsets::Table(table))
    }

    /// Mends the line of a fault; false when nothing can be done about it.
    pub(super) fn repair(&mut self, fault: &ScanError) -> bool {
        let at = fault.marker().index().min(self.chars.len());
        match fault.info() {
            "invalid indentation" => self.pad(self.line_start(at)),
            "tab cannot be used as indentation" => {
                let start = self.line_start(at);
                let blank = self.indent(start);
                for (_, c) in &mut self.chars[start..start + blank] {
                    *c = ' ';
                }
                blank > 0
            }
            "invalid indentation in quoted scalar" => {
                // The fault's place is the opening quote: find the line that stands too far left.
                let limit = self.indent(self.line_start(at));
                let mut line = at;
                while let Some(next) = self.chars[line..].iter().position(|(_, c)| *c == '\n') {
                    line += next + 1;
                    let indent = self.indent(line);
                    let blank = self
                        .chars
                        .get(line + indent)
                        .is_none_or(|(_, c)| *c == '\n');
                    if indent <= limit && !blank {
                        return self.pad(line);
                    }
                }
                false
            }
            _ => false,
        }
    }

    fn line_start(&self, at: usize) -> usize {
        let before = self.chars[..at].iter().rposition(|(_, c)| *c == '\n');
        before.map_or(0, |n| n + 1)
    }

    fn indent(&self, line: usize) -> usize {
        let blank = |(_, c): &&(usize, char)| *c == ' ' || *c == '\t';
        self.chars[line..].iter().take_while(blank).count()
    }

    fn pad(&mut self, line: usize) -> bool {
        let Some((byte, _)) = self.chars.get(line).copied() else {
            return false;
        };
        let spaces = std::iter::repeat_n((byte, ' '), PAD);
        self.chars.splice(line..line, spaces);
        true
    }
}

/// Byte offsets of characters: the parser counts the latter.
pub(super) enum Offsets {
    /// They are the same.
    Ascii,
    /// Offset of each character, then the length.
    Table(Vec<usize>),
}

impl Offsets {
    pub(super) fn new(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Ascii;
        }
        let ends = std::iter::once(text.len());
        Self::Table(text.char_indices().map(|(at, _)| at).chain(ends).collect())
    }

    pub(super) fn byte(&self, character: usize, text: &str) -> usize {
        match self {
            Self::Ascii => character.min(text.len()),
            Self::Table(table) => table.get(character).copied().unwrap_or(text.len()),
        }
    }
}
