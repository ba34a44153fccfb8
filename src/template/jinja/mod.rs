//! The Jinja2 grammar: text to tokens to tree. Knows nothing of variables or values beyond literals.
//!
//! minijinja's own engine is not used for rendering: Ansible's rules for undefined values, native
//! types, `%`, list methods that change a list, and backslashes inside `{{ }}` are decided in the
//! grammar and the evaluator, where minijinja offers no hook. Its [`minijinja::Value`] is our data.

pub(crate) mod ast;
pub(crate) mod lexer;
pub(crate) mod parser;

/// A range of bytes in a template's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct At {
    /// First byte.
    pub(crate) start: u32,
    /// One past the last.
    pub(crate) end: u32,
}

impl At {
    pub(crate) fn new(start: usize, end: usize) -> Self {
        let cut = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            start: cut(start),
            end: cut(end),
        }
    }

    /// From the start of this one to the end of the other.
    pub(crate) fn to(self, other: Self) -> Self {
        Self {
            start: self.start,
            end: other.end.max(self.start),
        }
    }

    pub(crate) fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// A text that is no Jinja.
#[derive(Debug, Clone)]
pub(crate) struct SyntaxError {
    pub(crate) message: String,
    pub(crate) at: At,
    pub(crate) hint: Option<String>,
}

impl SyntaxError {
    pub(crate) fn new(message: impl Into<String>, at: At) -> Self {
        Self {
            message: message.into(),
            at,
            hint: None,
        }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Delimiters and whitespace rules.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Syntax {
    pub(crate) block: (String, String),
    pub(crate) variable: (String, String),
    pub(crate) comment: (String, String),
    pub(crate) line_statement: Option<String>,
    pub(crate) line_comment: Option<String>,
    /// The newline behind a block tag is dropped.
    pub(crate) trim_blocks: bool,
    /// Blanks before a block tag that stands first on its line are dropped.
    pub(crate) lstrip_blocks: bool,
    /// What a newline becomes in the output.
    pub(crate) newline: String,
    /// Whether one newline at the end of the text stays.
    pub(crate) keep_trailing_newline: bool,
    /// Backslashes in strings inside `{{ }}` stand for themselves: YAML has already read them once.
    pub(crate) raw_backslashes: bool,
}

impl Default for Syntax {
    /// Ansible's rules for a template inside a YAML file.
    fn default() -> Self {
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        Self {
            block: pair("{%", "%}"),
            variable: pair("{{", "}}"),
            comment: pair("{#", "#}"),
            line_statement: None,
            line_comment: None,
            trim_blocks: true,
            lstrip_blocks: false,
            newline: "\n".to_owned(),
            keep_trailing_newline: false,
            raw_backslashes: true,
        }
    }
}
