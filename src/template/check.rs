//! Checks templates before anything runs: grammar, and names of filters, tests, lookups and functions.

use super::jinja::ast::{Args, Expr, ExprKind, Stmt, StmtKind, Target, Template};
use super::jinja::{At, Syntax, SyntaxError, parser};
use super::names::{self, Unknown};
use super::value::undefined::{Origin, Place};
use super::{TemplateOptions, filters, functions, lookups, options, tests};
use crate::diag::{Diagnostic, Span};
use crate::yaml::{Kind, Node, has_template};
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

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

/// Walks a tree for names.
#[derive(Default)]
struct Walk {
    unknown: Vec<(At, Unknown)>,
    /// Variables not set in the template itself.
    free: BTreeSet<String>,
    set: Vec<Arc<str>>,
}

impl Walk {
    fn problems(&self, out: &mut Vec<Problem>) {
        out.extend(
            self.unknown
                .iter()
                .map(|(at, u)| Problem::name(u.clone(), *at)),
        );
    }

    fn name(&mut self, name: &Arc<str>) {
        if !self.set.contains(name) {
            self.free.insert(name.to_string());
        }
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::Name(name) => self.set.push(Arc::clone(name)),
            Target::Attr(..) => {}
            Target::Tuple(all) => all.iter().for_each(|t| self.target(t)),
        }
    }

    fn body(&mut self, body: &[Stmt]) {
        body.iter().for_each(|stmt| self.stmt(stmt));
    }

    fn scope(&mut self, run: impl FnOnce(&mut Self)) {
        let len = self.set.len();
        run(self);
        self.set.truncate(len);
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            StmtKind::Data(_) | StmtKind::Break | StmtKind::Continue => {}
            StmtKind::Output(expr) | StmtKind::Do(expr) | StmtKind::Extends(expr) => {
                self.expr(expr);
            }
            StmtKind::If(arms, otherwise) => {
                for (test, body) in arms {
                    self.expr(test);
                    self.body(body);
                }
                self.body(otherwise);
            }
            StmtKind::For(it) => {
                self.expr(&it.iter);
                self.scope(|w| {
                    w.set.push(Arc::from("loop"));
                    w.target(&it.target);
                    if let Some(test) = &it.test {
                        w.expr(test);
                    }
                    w.body(&it.body);
                });
                self.scope(|w| w.body(&it.otherwise));
            }
            StmtKind::Set(target, expr) => {
                self.expr(expr);
                self.target(target);
            }
            StmtKind::SetBlock(target, filter, body) => {
                if let Some(filter) = filter {
                    self.expr(filter);
                }
                self.scope(|w| w.body(body));
                self.target(target);
            }
            StmtKind::With(pairs, body) => {
                pairs.iter().for_each(|(_, expr)| self.expr(expr));
                self.scope(|w| {
                    pairs.iter().for_each(|(target, _)| w.target(target));
                    w.body(body);
                });
            }
            StmtKind::Macro(decl) => {
                self.set.push(Arc::clone(&decl.name));
                self.macro_body(decl);
            }
            StmtKind::CallBlock(call, decl) => {
                self.expr(call);
                self.macro_body(decl);
            }
            StmtKind::FilterBlock(filter, body) => {
                self.expr(filter);
                self.scope(|w| w.body(body));
            }
            StmtKind::Scope(body) => self.scope(|w| w.body(body)),
            StmtKind::Block(block) => self.scope(|w| w.body(&block.body)),
            StmtKind::Include { name, .. } => self.expr(name),
            StmtKind::Import { name, target, .. } => {
                self.expr(name);
                self.set.push(Arc::clone(target));
            }
            StmtKind::FromImport { name, names, .. } => {
                self.expr(name);
                self.set.extend(names.iter().map(|(_, to)| Arc::clone(to)));
            }
        }
    }

    fn macro_body(&mut self, decl: &super::jinja::ast::Macro) {
        for default in decl.params.iter().filter_map(|(_, d)| d.as_ref()) {
            self.expr(default);
        }
        self.scope(|w| {
            for name in ["varargs", "kwargs", "caller"] {
                w.set.push(Arc::from(name));
            }
            w.set
                .extend(decl.params.iter().map(|(name, _)| Arc::clone(name)));
            w.body(&decl.body);
        });
    }

    fn args(&mut self, args: &Args) {
        args.pos.iter().for_each(|e| self.expr(e));
        args.kw.iter().for_each(|(_, e)| self.expr(e));
        args.star
            .iter()
            .chain(&args.star_kw)
            .for_each(|e| self.expr(e));
    }

    /// Names given as text: `map('upper')`, `select('match', …)`, `lookup('file', …)`.
    fn literal(
        &mut self,
        args: &Args,
        n: usize,
        known: fn(&str) -> bool,
        make: fn(&str) -> Unknown,
    ) {
        if let Some(Expr {
            kind: ExprKind::Const(value),
            at,
        }) = args.pos.get(n)
            && let Some(name) = value.as_str()
            && !known(name)
        {
            self.unknown.push((*at, make(name)));
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Const(_) | ExprKind::Captured => {}
            ExprKind::Name(name) => self.name(name),
            ExprKind::List(all) | ExprKind::Tuple(all) | ExprKind::Concat(all) => {
                all.iter().for_each(|e| self.expr(e));
            }
            ExprKind::Dict(pairs) => {
                for (key, value) in pairs {
                    self.expr(key);
                    self.expr(value);
                }
            }
            ExprKind::Attr(base, _) => self.expr(base),
            ExprKind::Item(base, index) => {
                self.expr(base);
                self.expr(index);
            }
            ExprKind::Slice(base, parts) => {
                self.expr(base);
                parts.iter().flatten().for_each(|e| self.expr(e));
            }
            ExprKind::Call(callee, args) => self.call(callee, args),
            ExprKind::Filter(call) => {
                self.expr(&call.subject);
                if !names::filter_exists(&call.name) {
                    self.unknown
                        .push((call.name_at, names::unknown_filter(&call.name)));
                }
                match names::bare(&call.name) {
                    "map" => {
                        self.literal(&call.args, 0, names::filter_exists, names::unknown_filter);
                    }
                    "select" | "reject" => {
                        self.literal(&call.args, 0, names::is_test, names::unknown_test);
                    }
                    "selectattr" | "rejectattr" => {
                        self.literal(&call.args, 1, names::is_test, names::unknown_test);
                    }
                    _ => {}
                }
                self.args(&call.args);
            }
            ExprKind::Test(call) => {
                self.expr(&call.subject);
                if call.test.is_none() && tests::find(&call.name).is_none() {
                    self.unknown
                        .push((call.name_at, names::unknown_test(&call.name)));
                }
                self.args(&call.args);
            }
            ExprKind::Not(inner) | ExprKind::Neg(inner) | ExprKind::Pos(inner) => self.expr(inner),
            ExprKind::Bin(_, pair) | ExprKind::And(pair) | ExprKind::Or(pair) => {
                self.expr(&pair.0);
                self.expr(&pair.1);
            }
            ExprKind::Compare(first, rest) => {
                self.expr(first);
                rest.iter().for_each(|(_, e)| self.expr(e));
            }
            ExprKind::Cond(pair, otherwise) => {
                self.expr(&pair.0);
                self.expr(&pair.1);
                otherwise.iter().for_each(|e| self.expr(e));
            }
        }
    }

    fn call(&mut self, callee: &Expr, args: &Args) {
        match &callee.kind {
            ExprKind::Name(name) if functions::find(name).is_some() => {
                if matches!(name.as_ref(), "lookup" | "query" | "q") {
                    self.literal(
                        args,
                        0,
                        |name| lookups::find(name).is_some(),
                        names::unknown_lookup,
                    );
                }
            }
            ExprKind::Name(name) if matches!(name.as_ref(), "super" | "caller" | "loop") => {}
            _ => self.expr(callee),
        }
        self.args(args);
    }
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
mod unit {
    use super::*;

    #[test]
    fn names_and_grammar_are_checked_before_anything_runs() {
        for (text, message, at) in [
            (
                "{{ a | defualt(1) }}",
                "unknown filter `defualt`",
                "defualt",
            ),
            ("{{ a is defned }}", "unknown test `defned`", "defned"),
            (
                "{{ lookup('fiel', 'x') }}",
                "unknown lookup `fiel`",
                "'fiel'",
            ),
            ("{{ a | map('uper') }}", "unknown filter `uper`", "'uper'"),
            (
                "{{ a | selectattr('x', 'matches', 'y') }}",
                "unknown test `matches`",
                "'matches'",
            ),
            (
                "{{ a | json_diff }}",
                "filter `json_diff` is not supported",
                "json_diff",
            ),
            ("{{ a ", "this tag has no `}}`", "{{"),
            ("{{ a b }}", "expected `}}`, found `b`", "b"),
            ("{% if a %}x", "this `if` has no `endif`", "if"),
            (
                "{% if a %}x{% endfor %}",
                "`endfor` does not belong into `if`",
                "endfor",
            ),
            ("{% fi a %}", "unknown statement `fi`", "fi"),
            ("{{ (a }}", "unexpected `}`, expected `)`", "}"),
            ("{{ 'a }}", "this string has no end", "'"),
            ("{{ a = 1 }}", "unexpected `=` in an expression", "="),
        ] {
            let problem = check_syntax(text).unwrap_err();
            assert_eq!(problem.message, message, "{text}");
            assert_eq!(&text[problem.range.clone()], at, "{text}");
        }
        for text in [
            "plain",
            "{{ a | ansible.builtin.combine(b) | community.general.json_query('x') }}",
            "{{ a | success }}{{ a|version_compare('1', '<') }}{{ x is ansible.builtin.version('1', '<') }}",
            "{% for a, b in c %}{{ loop.index }}{% endfor %}",
        ] {
            assert_eq!(check_syntax(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn conditions_may_be_expressions_or_old_templates() {
        for text in [
            "a is defined",
            "{{ a }}",
            "'{{ a }}' == 'b'",
            "{{ a }} == 1",
        ] {
            assert_eq!(check_expr(text), Ok(()), "{text}");
        }
        assert!(check_expr("a is is defined").is_err());
        assert!(check_expr("a ==").is_err());
    }

    #[test]
    fn variables_of_a_template() {
        let text = "{% set x = a %}{{ x }}{% for i in b.c %}{{ i }}{{ d[e] }}{% endfor %}{{ lookup('env', f) }}";
        let found: Vec<_> = variables(text, false).into_iter().collect();
        assert_eq!(found, ["a", "b", "d", "e", "f"]);
    }
}
