//! Checks templates before anything runs: grammar, and names of filters, tests, lookups and functions.

mod walk;

use super::jinja::ast::{Expr, Template};
use super::jinja::{At, Syntax, SyntaxError, parser};
use super::names::Unknown;
use super::value::undefined::{Origin, Place};
use super::{TemplateOptions, filters, lookups, options, tests};
use crate::diag::{Diagnostic, Span};
use crate::yaml::{Kind, Node, has_template};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use walk::Walk;

/// Something wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where in the text, in bytes.
    pub range: Range<usize>,
    /// What.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    fn syntax(error: SyntaxError) -> Self {
        Self {
            range: error.at.range(),
            message: error.message,
            hint: error.hint,
        }
    }

    fn name(unknown: Unknown, at: At) -> Self {
        Self {
            range: at.range(),
            message: unknown.message,
            hint: unknown.hint,
        }
    }

    /// As a diagnostic about the scalar of that text at `span`.
    #[must_use]
    pub fn diagnostic(&self, text: &str, span: &Span) -> Diagnostic {
        let place = Place {
            origin: Origin::Yaml(span.clone()),
            text: Arc::from(text),
            at: At::new(self.range.start, self.range.end),
        };
        let mut diagnostic =
            Diagnostic::error(place.span().as_ref().unwrap_or(span), self.message.clone());
        diagnostic.hint.clone_from(&self.hint);
        diagnostic
    }
}

/// Checks a text that may hold templates.
///
/// # Errors
/// The first thing wrong with it.
pub fn check_syntax(text: &str) -> Result<(), Problem> {
    let mut problems = Vec::new();
    if let Err(error) = with_template(text, &mut |walk| walk.problems(&mut problems)) {
        return Err(Problem::syntax(error));
    }
    problems.into_iter().next().map_or(Ok(()), Err)
}

/// Checks a bare expression, as `when` takes it.
///
/// # Errors
/// The first thing wrong with it.
pub fn check_expr(text: &str) -> Result<(), Problem> {
    // Old conditions are templates: the engine takes them, too.
    if has_template(text) && parse_expr(text).is_err() {
        return check_syntax(text);
    }
    let expr = parse_expr(text).map_err(Problem::syntax)?;
    let mut problems = Vec::new();
    let mut walk = Walk::default();
    walk.expr(&expr);
    walk.problems(&mut problems);
    problems.into_iter().next().map_or(Ok(()), Err)
}

/// Checks everything in a node; places are in its file.
#[must_use]
pub fn check_node(node: &Node) -> Vec<Diagnostic> {
    let mut out = Vec::new();
    nodes(node, &mut |text, span| {
        if has_template(text)
            && let Err(problem) = check_syntax(text)
        {
            out.push(problem.diagnostic(text, span));
        }
    });
    out
}

/// Checks the text of a template file.
#[must_use]
pub fn check_file(source: &str, options: &TemplateOptions) -> Vec<Diagnostic> {
    let name: Arc<str> = Arc::from(options.name.as_str());
    let source = source.replace("\r\n", "\n");
    let at = |head: &str, body: &str, at: At, message: &str, hint: &Option<String>| {
        let place = Place {
            origin: Origin::File(Arc::clone(&name), Arc::from(head)),
            text: Arc::from(body),
            at,
        };
        let mut diagnostic = match place.span() {
            Some(span) => Diagnostic::error(&span, message),
            None => Diagnostic::plain(message),
        };
        diagnostic.hint.clone_from(hint);
        diagnostic
    };
    let (skip, syntax) = match options::header(&source, options.syntax()) {
        Ok(found) => found,
        Err(message) => {
            return vec![at(
                "",
                &source,
                At::new(0, "#jinja2:".len()),
                &message,
                &None,
            )];
        }
    };
    let (head, body) = source.split_at(skip);
    match parser::template(&Arc::from(body), None, &syntax) {
        Err(error) => vec![at(head, body, error.at, &error.message, &error.hint)],
        Ok(template) => {
            let mut walk = Walk::default();
            walk.body(&template.body);
            walk.unknown
                .iter()
                .map(|(place, unknown)| at(head, body, *place, &unknown.message, &unknown.hint))
                .collect()
        }
    }
}

fn nodes(node: &Node, see: &mut dyn FnMut(&str, &Span)) {
    match &node.kind {
        Kind::Str(text) => see(text, &node.span),
        Kind::Seq(items) => items.iter().for_each(|item| nodes(item, see)),
        Kind::Map(map) => {
            for (key, span, item) in map.iter() {
                see(key, span);
                nodes(item, see);
            }
        }
        _ => {}
    }
}

/// Names of the variables a text (`expr`: a bare expression) may read, as far as they stand in it.
#[must_use]
pub fn variables(text: &str, expr: bool) -> BTreeSet<String> {
    let mut walk = Walk::default();
    if expr && let Ok(expr) = parse_expr(text) {
        walk.expr(&expr);
        return walk.free;
    }
    let mut free = BTreeSet::new();
    let _ = with_template(text, &mut |walk| free.clone_from(&walk.free));
    free
}

fn parse_expr(text: &str) -> Result<Expr, SyntaxError> {
    let syntax = Syntax {
        raw_backslashes: false,
        ..Syntax::default()
    };
    parser::expression(&Arc::from(text), &syntax).map(|parsed| parsed.expr)
}

fn with_template(text: &str, see: &mut dyn FnMut(&Walk)) -> Result<(), SyntaxError> {
    let mut skip = 0;
    let mut syntax = Syntax::default();
    if text.starts_with("#jinja2:") {
        (skip, syntax) = options::header(text, syntax)
            .map_err(|message| SyntaxError::new(message, At::new(0, "#jinja2:".len())))?;
    } else if !has_template(text) {
        return Ok(());
    }
    let shift = |at: At| At::new(at.start as usize + skip, at.end as usize + skip);
    let template: Template =
        parser::template(&Arc::from(&text[skip..]), None, &syntax).map_err(|error| {
            SyntaxError {
                at: shift(error.at),
                ..error
            }
        })?;
    let mut walk = Walk::default();
    walk.body(&template.body);
    for (at, _) in &mut walk.unknown {
        *at = shift(*at);
    }
    see(&walk);
    Ok(())
}

/// Names of all filters, for completion and documentation.
#[must_use]
pub fn filter_names() -> Vec<&'static str> {
    sorted(filters::names())
}

/// Names of all tests.
#[must_use]
pub fn test_names() -> Vec<&'static str> {
    sorted(tests::names())
}

/// Names of all lookups.
#[must_use]
pub fn lookup_names() -> Vec<&'static str> {
    sorted(lookups::names())
}

fn sorted(names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
#[path = "check/tests.rs"]
mod unit;
