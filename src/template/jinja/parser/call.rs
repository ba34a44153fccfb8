//! Arguments, filters and tests.

use super::super::ast::{Args, Expr, ExprKind, FilterCall, TestCall};
use super::{Parsed, Parser, SyntaxError, Tok};
use crate::template::{filters, tests};
use std::sync::Arc;

impl Parser<'_> {
    pub(super) fn args(&mut self) -> Parsed<Args> {
        self.expect_op("(")?;
        let mut args = Args::default();
        let mut first = true;
        while !self.op(")") {
            if !first {
                self.expect_op(",")?;
                if self.op(")") {
                    break;
                }
            }
            first = false;
            let at = self.at();
            if self.skip_op("**") {
                args.star_kw = Some(Box::new(self.condexpr()?));
            } else if self.skip_op("*") {
                args.star = Some(Box::new(self.condexpr()?));
            } else if let (Some(Tok::Name(name)), Some(Tok::Op("="))) = (self.peek(), self.look()) {
                let name: Arc<str> = Arc::from(name.as_str());
                self.pos += 2;
                args.kw.push((name, self.condexpr()?));
            } else if args.kw.is_empty() && args.star_kw.is_none() {
                args.pos.push(self.condexpr()?);
            } else {
                return Err(SyntaxError::new(
                    "a positional argument behind a named one",
                    at,
                ));
            }
        }
        self.expect_op(")")?;
        Ok(args)
    }

    /// A name that may be qualified with dots.
    fn dotted(&mut self) -> Parsed<Arc<str>> {
        let mut name = self.expect_name()?.to_string();
        while self.skip_op(".") {
            name.push('.');
            name.push_str(&self.expect_name()?);
        }
        Ok(Arc::from(name))
    }

    pub(super) fn filters(&mut self, mut expr: Expr) -> Parsed<Expr> {
        loop {
            if self.skip_op("|") {
                expr = self.filter(expr)?;
            } else if self.word("is") {
                expr = self.test(expr)?;
            } else if self.op("(") {
                let start = expr.at;
                let args = self.args()?;
                expr = Expr {
                    kind: ExprKind::Call(Box::new(expr), args),
                    at: start.to(self.last()),
                };
            } else {
                return Ok(expr);
            }
        }
    }

    fn filter(&mut self, subject: Expr) -> Parsed<Expr> {
        let start = self.at();
        let name = self.dotted()?;
        let name_at = start.to(self.last());
        let args = if self.op("(") {
            self.args()?
        } else {
            Args::default()
        };
        Ok(Expr {
            at: subject.at.to(self.last()),
            kind: ExprKind::Filter(Box::new(FilterCall {
                subject,
                filter: filters::find(&name),
                name,
                name_at,
                args,
            })),
        })
    }

    /// Filters that apply to a block's text.
    pub(super) fn filter_chain(&mut self, inline: bool) -> Parsed<Expr> {
        let mut expr = Expr {
            kind: ExprKind::Captured,
            at: self.at(),
        };
        if inline {
            expr = self.filter(expr)?;
        }
        while self.skip_op("|") {
            expr = self.filter(expr)?;
        }
        Ok(expr)
    }

    fn test(&mut self, subject: Expr) -> Parsed<Expr> {
        self.pos += 1;
        let negated = self.skip_word("not");
        let start = self.at();
        let name = self.dotted()?;
        let name_at = start.to(self.last());
        let mut args = Args::default();
        if self.op("(") {
            args = self.args()?;
        } else {
            let literal = matches!(
                self.peek(),
                Some(Tok::Name(_) | Tok::Str(_) | Tok::Int(_) | Tok::Float(_))
            ) || self.op("[")
                || self.op("{");
            if self.word("is") {
                return Err(SyntaxError::new(
                    "tests cannot be chained with `is`",
                    self.at(),
                ));
            }
            let follows = ["else", "or", "and", "if", "in", "not"]
                .iter()
                .any(|word| self.word(word));
            if literal && !follows {
                let primary = self.primary()?;
                args.pos.push(self.postfix(primary)?);
            }
        }
        let test = Expr {
            at: subject.at.to(self.last()),
            kind: ExprKind::Test(Box::new(TestCall {
                subject,
                test: tests::find(&name),
                name,
                name_at,
                args,
            })),
        };
        Ok(if negated {
            Expr {
                at: test.at,
                kind: ExprKind::Not(Box::new(test)),
            }
        } else {
            test
        })
    }
}
