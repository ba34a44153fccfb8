//! Walks a tree for the names in it.

use super::Problem;
use crate::template::jinja::At;
use crate::template::jinja::ast::{Args, Expr, ExprKind, Macro, Stmt, StmtKind, Target};
use crate::template::names::{self, Unknown};
use crate::template::{functions, lookups, tests};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Walks a tree for names.
#[derive(Default)]
pub(super) struct Walk {
    pub(super) unknown: Vec<(At, Unknown)>,
    /// Variables not set in the template itself.
    pub(super) free: BTreeSet<String>,
    set: Vec<Arc<str>>,
}

impl Walk {
    pub(super) fn problems(&self, out: &mut Vec<Problem>) {
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

    pub(super) fn body(&mut self, body: &[Stmt]) {
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

    fn macro_body(&mut self, decl: &Macro) {
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

    pub(super) fn expr(&mut self, expr: &Expr) {
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
