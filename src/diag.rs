//! Diagnostics about user files: place, source line with a caret, cause, one hint.
//!
//! Every node read from a user's file carries a [`Span`]; everything that can be wrong with it
//! becomes a [`Diagnostic`], which renders as `file:line:col`, the line with a caret, and a hint.

use std::fmt;
use std::sync::Arc;

/// A file (or command-line fragment) that was read, kept for its diagnostics.
#[derive(PartialEq, Eq, Hash)]
pub struct Source {
    /// Name as the user knows it: a path, or `<command line>`.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// Whether the text was encrypted: diagnostics say the place and do not show it.
    pub secret: bool,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Source({})", self.name)
    }
}

impl Source {
    /// A source of this name and text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            text: text.into(),
            secret: false,
        })
    }

    /// A source whose text is never shown.
    pub fn secret(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            text: text.into(),
            secret: true,
        })
    }
}

/// A range of bytes in a [`Source`].
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Span {
    /// Where it was read.
    pub source: Arc<Source>,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// `name:line:col`, counted from 1, columns in characters.
impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, col) = self.line_col();
        write!(f, "{}:{line}:{col}", self.source.name)
    }
}

impl Span {
    /// The whole of a source's first line: for errors about a file as such.
    #[must_use]
    pub fn head(source: &Arc<Source>) -> Self {
        Self {
            source: Arc::clone(source),
            start: 0,
            end: 0,
        }
    }

    /// Line and column of the first byte, both from 1, the column in characters.
    #[must_use]
    pub fn line_col(&self) -> (usize, usize) {
        let upto = self
            .source
            .text
            .get(..self.start)
            .unwrap_or(&self.source.text);
        let line = memchr::memchr_iter(b'\n', upto.as_bytes()).count() + 1;
        let col = upto.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
        (line, col)
    }

    /// The text it covers.
    #[must_use]
    pub fn text(&self) -> &str {
        self.source.text.get(self.start..self.end).unwrap_or("")
    }

    /// A part of this span, offsets in bytes from its start.
    #[must_use]
    pub fn sub(&self, start: usize, end: usize) -> Self {
        let cut = |n: usize| (self.start + n).min(self.source.text.len());
        Self {
            source: Arc::clone(&self.source),
            start: cut(start),
            end: cut(end),
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The run cannot start or go on.
    Error,
    /// Accepted, but the user should know.
    Warning,
    /// An old spelling and the like.
    Note,
}

/// One thing wrong with a user's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad.
    pub level: Level,
    /// What is wrong: a lower-case fragment.
    pub message: String,
    /// Where.
    pub span: Option<Span>,
    /// Short text at the caret.
    pub label: Option<String>,
    /// What to do about it: one sentence.
    pub hint: Option<String>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(span: &Span, message: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            message: message.into(),
            span: Some(span.clone()),
            label: None,
            hint: None,
        }
    }

    /// An error about no place in particular.
    pub fn plain(message: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            message: message.into(),
            span: None,
            label: None,
            hint: None,
        }
    }

    /// A warning at a place.
    pub fn warning(span: &Span, message: impl Into<String>) -> Self {
        Self {
            level: Level::Warning,
            ..Self::error(span, message)
        }
    }

    /// A note at a place.
    pub fn note(span: &Span, message: impl Into<String>) -> Self {
        Self {
            level: Level::Note,
            ..Self::error(span, message)
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with a text at the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// The same with this hint, unless it has one.
    #[must_use]
    pub fn or_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// The same with "did you mean" when a candidate is near.
    #[must_use]
    pub fn did_you_mean<'a>(
        self,
        name: &str,
        candidates: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        match near(name, candidates) {
            Some(best) => self.hint(format!("did you mean `{best}`?")),
            None => self,
        }
    }

    /// Text for people: `error: …`, `--> file:line:col`, the line with a caret, the hint.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        use annotate_snippets::{AnnotationKind, Level as L, Renderer, Snippet};
        let level = match self.level {
            Level::Error => L::ERROR,
            Level::Warning => L::WARNING,
            Level::Note => L::NOTE,
        };
        let title = level.primary_title(self.message.as_str());
        let mut group = match &self.span {
            Some(span) if span.source.secret => {
                let (line, column) = span.line_col();
                let origin = annotate_snippets::Origin::path(span.source.name.as_str());
                title.element(origin.line(line).char_column(column))
            }
            Some(span) => {
                let end = span.end.max(span.start).min(span.source.text.len());
                // A caret under the first line is enough: blocks would bury the message.
                let stop = span
                    .source
                    .text
                    .get(span.start..end)
                    .map_or(end, |text| text.find('\n').map_or(end, |n| span.start + n));
                let mut mark = AnnotationKind::Primary.span(span.start.min(end)..stop);
                if let Some(label) = &self.label {
                    mark = mark.label(label.as_str());
                }
                title.element(
                    Snippet::source(span.source.text.as_str())
                        .path(span.source.name.as_str())
                        .annotation(mark),
                )
            }
            None => annotate_snippets::Group::with_title(title),
        };
        if let Some(hint) = &self.hint {
            group = group.element(L::HELP.message(hint.as_str()));
        }
        let renderer = if color {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        renderer.render(&[group])
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostic {}

/// The candidate nearest to a mistyped name, if any is near enough to be meant.
pub fn near<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(d, candidate)| *d <= limit && *d < candidate.chars().count())
        // Of two that are as near, the one that has all the letters: `taks` is `tasks`, not `tags`.
        .min_by_key(|(d, candidate)| (*d, name.chars().filter(|c| !candidate.contains(*c)).count()))
        .map(|(_, candidate)| candidate)
}

/// Edit distance with transpositions (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<_>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let cost = usize::from(a[i - 1] != b[j - 1]);
            let mut best = (rows[i - 1][j] + 1)
                .min(row[j - 1] + 1)
                .min(rows[i - 1][j - 1] + cost);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_one() {
        let source = Source::new("a.yml", "é: 1\nname: é x\n");
        let at = source.text.find('x').unwrap();
        let span = Span {
            source,
            start: at,
            end: at + 1,
        };
        assert_eq!(span.to_string(), "a.yml:2:9");
    }

    #[test]
    fn rendering_shows_line_caret_and_hint() {
        let source = Source::new("play.yml", "- hosts: all\n  taks: []\n");
        let span = Span {
            source,
            start: 15,
            end: 19,
        };
        let text = Diagnostic::error(&span, "unknown keyword `taks` of a play")
            .did_you_mean("taks", ["tasks", "vars"])
            .to_string();
        assert!(text.contains("play.yml:2:3"), "{text}");
        assert!(text.contains("^^^^"), "{text}");
        assert!(text.contains("did you mean `tasks`?"), "{text}");
    }

    #[test]
    fn what_was_encrypted_is_not_shown() {
        let span = Span {
            source: Source::secret("vars.yml", "a: 1\npassword: hunter2\n"),
            start: 5,
            end: 13,
        };
        let text = Diagnostic::error(&span, "wrong").to_string();
        assert!(
            text.contains("vars.yml:2:1") && !text.contains("hunter2"),
            "{text}"
        );
    }

    #[test]
    fn near_names() {
        assert_eq!(near("tmeplate", ["template", "copy"]), Some("template"));
        assert_eq!(near("taks", ["tags", "tasks"]), Some("tasks"));
        assert_eq!(near("xyz", ["template", "copy"]), None);
    }
}
