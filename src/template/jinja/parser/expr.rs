//! Expressions, by precedence from `if … else` down to names and literals.

use super::super::ast::{BinOp, CmpOp, Expr, ExprKind};
use super::{Parsed, Parser, SyntaxError, Tok};
use minijinja::Value;
use std::sync::Arc;

/// Methods that change what they are called on.
const MUTATORS: &[&str] = &[
    "append",
    "extend",
    "insert",
    "pop",
    "popitem",
    "remove",
    "clear",
    "update",
    "setdefault",
    "sort",
    "reverse",
];

/// A literal integer in the smallest type that holds it.
fn int_value(n: i128) -> Value {
    i64::try_from(n).map_or_else(|_| Value::from(n), Value::from)
}

/// Makes an operation of its two sides.
type MakePair = fn(Box<(Expr, Expr)>) -> ExprKind;

impl Parser<'_> {
    /// An expression, or several with commas between them as a tuple.
    pub(super) fn tuple(&mut self, cond: bool, ends: &[&str]) -> Parsed<Expr> {
        let start = self.at();
        let mut items = Vec::new();
        let mut is_tuple = false;
        loop {
            if !items.is_empty() {
                self.expect_op(",")?;
            }
            if matches!(self.peek(), None | Some(Tok::VariableEnd | Tok::BlockEnd))
                || self.op(")")
                || ends.iter().any(|word| self.word(word))
            {
                break;
            }
            items.push(if cond { self.condexpr()? } else { self.or()? });
            if !self.op(",") {
                break;
            }
            is_tuple = true;
        }
        match (is_tuple, items.pop()) {
            (false, Some(only)) => Ok(only),
            (_, Some(last)) => {
                items.push(last);
                Ok(Expr {
                    kind: ExprKind::Tuple(items),
                    at: start.to(self.last()),
                })
            }
            (_, None) => Err(self.unexpected("an expression")),
        }
    }

    pub(super) fn condexpr(&mut self) -> Parsed<Expr> {
        self.deeper(Self::condexpr_inner)
    }

    fn condexpr_inner(&mut self) -> Parsed<Expr> {
        let mut expr = self.or()?;
        while self.skip_word("if") {
            let test = self.or()?;
            let otherwise = if self.skip_word("else") {
                Some(Box::new(self.condexpr()?))
            } else {
                None
            };
            expr = Expr {
                at: expr.at.to(self.last()),
                kind: ExprKind::Cond(Box::new((test, expr)), otherwise),
            };
        }
        Ok(expr)
    }

    /// A chain of one binary operator, from the left.
    fn chain(
        &mut self,
        next: fn(&mut Self) -> Parsed<Expr>,
        op: fn(&Self) -> Option<MakePair>,
    ) -> Parsed<Expr> {
        let mut left = next(self)?;
        while let Some(make) = op(self) {
            self.pos += 1;
            let right = next(self)?;
            left = Expr {
                at: left.at.to(right.at),
                kind: make(Box::new((left, right))),
            };
        }
        Ok(left)
    }

    pub(super) fn or(&mut self) -> Parsed<Expr> {
        self.chain(Self::and, |p| p.word("or").then_some(ExprKind::Or as _))
    }

    fn and(&mut self) -> Parsed<Expr> {
        self.chain(Self::not, |p| p.word("and").then_some(ExprKind::And as _))
    }

    fn not(&mut self) -> Parsed<Expr> {
        if !self.word("not") {
            return self.compare();
        }
        let start = self.at();
        self.pos += 1;
        let inner = self.deeper(Self::not)?;
        Ok(Expr {
            at: start.to(inner.at),
            kind: ExprKind::Not(Box::new(inner)),
        })
    }

    fn compare(&mut self) -> Parsed<Expr> {
        let left = self.math1()?;
        let mut ops = Vec::new();
        loop {
            let op = match self.peek() {
                Some(Tok::Op("==")) => CmpOp::Eq,
                Some(Tok::Op("!=")) => CmpOp::Ne,
                Some(Tok::Op("<")) => CmpOp::Lt,
                Some(Tok::Op("<=")) => CmpOp::Le,
                Some(Tok::Op(">")) => CmpOp::Gt,
                Some(Tok::Op(">=")) => CmpOp::Ge,
                Some(Tok::Name(word)) if word == "in" => CmpOp::In,
                Some(Tok::Name(word)) if word == "not" && self.next_word("in") => {
                    self.pos += 1;
                    CmpOp::NotIn
                }
                Some(Tok::Op("=")) => {
                    let error = SyntaxError::new("unexpected `=` in an expression", self.at());
                    return Err(error.hint("comparing is `==`"));
                }
                _ => break,
            };
            self.pos += 1;
            ops.push((op, self.math1()?));
        }
        if ops.is_empty() {
            return Ok(left);
        }
        Ok(Expr {
            at: left.at.to(self.last()),
            kind: ExprKind::Compare(Box::new(left), ops),
        })
    }

    fn math1(&mut self) -> Parsed<Expr> {
        self.chain(Self::concat, |p| match p.peek() {
            Some(Tok::Op("+")) => Some(|pair| ExprKind::Bin(BinOp::Add, pair)),
            Some(Tok::Op("-")) => Some(|pair| ExprKind::Bin(BinOp::Sub, pair)),
            _ => None,
        })
    }

    fn concat(&mut self) -> Parsed<Expr> {
        let first = self.math2()?;
        if !self.op("~") {
            return Ok(first);
        }
        let start = first.at;
        let mut items = vec![first];
        while self.skip_op("~") {
            items.push(self.math2()?);
        }
        Ok(Expr {
            kind: ExprKind::Concat(items),
            at: start.to(self.last()),
        })
    }

    fn math2(&mut self) -> Parsed<Expr> {
        self.chain(Self::pow, |p| match p.peek() {
            Some(Tok::Op("*")) => Some(|pair| ExprKind::Bin(BinOp::Mul, pair)),
            Some(Tok::Op("/")) => Some(|pair| ExprKind::Bin(BinOp::Div, pair)),
            Some(Tok::Op("//")) => Some(|pair| ExprKind::Bin(BinOp::FloorDiv, pair)),
            Some(Tok::Op("%")) => Some(|pair| ExprKind::Bin(BinOp::Mod, pair)),
            _ => None,
        })
    }

    fn pow(&mut self) -> Parsed<Expr> {
        self.chain(Self::unary_filtered, |p| match p.peek() {
            Some(Tok::Op("**")) => Some(|pair| ExprKind::Bin(BinOp::Pow, pair)),
            _ => None,
        })
    }

    fn unary_filtered(&mut self) -> Parsed<Expr> {
        let expr = self.unary()?;
        self.filters(expr)
    }

    fn unary(&mut self) -> Parsed<Expr> {
        let start = self.at();
        let make: fn(Box<Expr>) -> ExprKind = match self.peek() {
            Some(Tok::Op("-")) => ExprKind::Neg,
            Some(Tok::Op("+")) => ExprKind::Pos,
            _ => {
                let primary = self.primary()?;
                return self.postfix(primary);
            }
        };
        self.pos += 1;
        let inner = self.deeper(Self::unary)?;
        let expr = Expr {
            at: start.to(inner.at),
            kind: make(Box::new(inner)),
        };
        self.postfix(expr)
    }

    pub(super) fn primary(&mut self) -> Parsed<Expr> {
        let at = self.at();
        let Some(tok) = self.peek().cloned() else {
            return Err(self.unexpected("an expression"));
        };
        self.pos += 1;
        let kind = match tok {
            Tok::Name(name) => match name.as_str() {
                "true" | "True" => ExprKind::Const(Value::from(true)),
                "false" | "False" => ExprKind::Const(Value::from(false)),
                "none" | "None" => ExprKind::Const(Value::from(())),
                "not" | "and" | "or" | "in" | "is" | "if" | "else" => {
                    self.pos -= 1;
                    return Err(self.unexpected("an expression"));
                }
                _ => ExprKind::Name(Arc::from(name)),
            },
            Tok::Str(mut text) => {
                while let Some(Tok::Str(more)) = self.peek() {
                    text.push_str(more);
                    self.pos += 1;
                }
                ExprKind::Const(Value::from(text))
            }
            Tok::Int(n) => ExprKind::Const(int_value(n)),
            Tok::Float(n) => ExprKind::Const(Value::from(n)),
            Tok::Op("(") => {
                if self.skip_op(")") {
                    ExprKind::Tuple(Vec::new())
                } else {
                    let inner = self.deeper(|p| p.tuple(true, &[]))?;
                    self.expect_op(")")?;
                    return Ok(Expr {
                        kind: inner.kind,
                        at: at.to(self.last()),
                    });
                }
            }
            Tok::Op("[") => ExprKind::List(self.items("]", Self::condexpr)?),
            Tok::Op("{") => ExprKind::Dict(self.items("}", |p| {
                let key = p.condexpr()?;
                p.expect_op(":")?;
                Ok((key, p.condexpr()?))
            })?),
            _ => {
                self.pos -= 1;
                return Err(self.unexpected("an expression"));
            }
        };
        Ok(Expr {
            kind,
            at: at.to(self.last()),
        })
    }

    /// Items with commas between them, up to and over the closing bracket.
    fn items<T>(&mut self, close: &str, item: fn(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut items = Vec::new();
        while !self.op(close) {
            if !items.is_empty() {
                self.expect_op(",")?;
                if self.op(close) {
                    break;
                }
            }
            items.push(item(self)?);
        }
        self.expect_op(close)?;
        Ok(items)
    }

    pub(super) fn postfix(&mut self, mut expr: Expr) -> Parsed<Expr> {
        loop {
            let kind = if self.skip_op(".") {
                let at = self.at();
                match self.peek().cloned() {
                    Some(Tok::Name(name)) => {
                        self.pos += 1;
                        if MUTATORS.contains(&name.as_str()) && self.op("(") {
                            self.mutates = true;
                        }
                        ExprKind::Attr(Box::new(expr), Arc::from(name))
                    }
                    Some(Tok::Int(n)) => {
                        self.pos += 1;
                        let index = Expr {
                            kind: ExprKind::Const(int_value(n)),
                            at,
                        };
                        ExprKind::Item(Box::new(expr), Box::new(index))
                    }
                    _ => return Err(self.unexpected("a name or a number")),
                }
            } else if self.skip_op("[") {
                self.subscript(expr)?
            } else if self.op("(") {
                ExprKind::Call(Box::new(expr), self.args()?)
            } else {
                return Ok(expr);
            };
            let start = match &kind {
                ExprKind::Attr(inner, _)
                | ExprKind::Item(inner, _)
                | ExprKind::Slice(inner, _)
                | ExprKind::Call(inner, _) => inner.at,
                _ => self.last(),
            };
            expr = Expr {
                kind,
                at: start.to(self.last()),
            };
        }
    }

    fn subscript(&mut self, expr: Expr) -> Parsed<ExprKind> {
        let mut parts: [Option<Expr>; 3] = [None, None, None];
        let mut colons = 0;
        loop {
            if self.op("]") {
                break;
            }
            if self.skip_op(":") {
                colons += 1;
                if colons > 2 {
                    return Err(self.unexpected("`]`"));
                }
                continue;
            }
            if parts[colons].is_some() {
                return Err(self.unexpected("`]`"));
            }
            parts[colons] = Some(if colons == 0 {
                self.tuple_in_brackets()?
            } else {
                self.condexpr()?
            });
        }
        let at = self.at();
        self.expect_op("]")?;
        if colons > 0 {
            return Ok(ExprKind::Slice(Box::new(expr), Box::new(parts)));
        }
        match parts {
            [Some(index), _, _] => Ok(ExprKind::Item(Box::new(expr), Box::new(index))),
            _ => Err(SyntaxError::new("expected an index", at)),
        }
    }

    fn tuple_in_brackets(&mut self) -> Parsed<Expr> {
        let first = self.condexpr()?;
        if !self.op(",") {
            return Ok(first);
        }
        let start = first.at;
        let mut items = vec![first];
        while self.skip_op(",") {
            items.push(self.condexpr()?);
        }
        Ok(Expr {
            kind: ExprKind::Tuple(items),
            at: start.to(self.last()),
        })
    }
}
