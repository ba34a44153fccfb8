//! What the parser's errors mean to someone who writes playbooks.

use crate::diag::{Diagnostic, Span};
use std::sync::Arc;

/// A diagnostic from the parser's message: its place, and the usual reasons.
pub(super) fn explain(at: &Span, info: &str) -> Diagnostic {
    let text = &at.source.text;
    let line_start = text[..at.start].rfind('\n').map_or(0, |n| n + 1);
    // Some errors are noticed only at the start of the next line.
    let blank = text[line_start..at.start].trim().is_empty() && line_start > 0;
    let previous = text[..line_start.saturating_sub(1)]
        .rfind('\n')
        .map_or(0, |n| n + 1);
    let line_at = |start: usize| text[start..].lines().next().unwrap_or("");
    let candidates = [Some(line_start), blank.then_some(previous)];

    for start in candidates.into_iter().flatten() {
        let line = line_at(start);
        if let Some(column) = bare_braces(line) {
            let place = Span {
                source: Arc::clone(&at.source),
                start: start + column + 1,
                end: start + line.trim_end().len(),
            };
            return quote_it(Diagnostic::error(&place, info));
        }
    }
    // A plain scalar that a tab ends is blamed at its start.
    let mut line_start = line_start;
    if info.contains("found a tab")
        && let Some(next) = text[at.start..].find("\n\t")
    {
        line_start = at.start + next + 1;
    }
    let line = line_at(line_start);
    let indent = &line[..line.len() - line.trim_start().len()];
    if let Some(tab) = indent.find('\t').filter(|_| !line.trim().is_empty()) {
        let place = Span {
            source: Arc::clone(&at.source),
            start: line_start + tab,
            end: line_start + tab + 1,
        };
        return Diagnostic::error(&place, "a tab in the indentation")
            .hint("indent with spaces: YAML does not allow tabs there");
    }
    let error = Diagnostic::error(at, format!("not valid YAML: {info}"));
    if info.contains("mapping values are not allowed") || info.contains("simple key") {
        return error.hint("check the indentation, and quote a value that holds `: `");
    }
    error
}

/// Where `{{` starts a value without quotes, if it does.
fn bare_braces(line: &str) -> Option<usize> {
    [": {{", "- {{"]
        .iter()
        .filter_map(|mark| line.find(mark))
        .map(|at| at + 2)
        .min()
}

/// Whether a flow mapping is the inner half of an unquoted `{{ … }}`.
pub(super) fn inside_braces(span: &Span) -> bool {
    let before = span.source.text.get(..span.start).unwrap_or("");
    span.text().starts_with('{') && before.ends_with('{')
}

/// The place of the outer brace, and what to do.
pub(super) fn quote_it(mut error: Diagnostic) -> Diagnostic {
    error.message = "a value that starts with `{{` must be quoted".into();
    if let Some(span) = &mut error.span {
        span.start -= 1;
        let rest = span.source.text.get(span.start..).unwrap_or("");
        let line = rest.lines().next().unwrap_or("").trim_end();
        span.end = span.start + line.len();
        error.hint = Some(format!("write \"{}\"", line.replace('"', "'")));
    }
    error
}
