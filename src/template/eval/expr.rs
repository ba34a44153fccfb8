//! Expressions.

use super::Machine;
use crate::template::jinja::At;
use crate::template::jinja::ast::{CmpOp, Expr, ExprKind};
use crate::template::value::data;
use crate::template::value::mutable::{List, Map};
use crate::template::value::text::write_str;
use crate::template::value::undefined::{Res, Undef, Why, check, undef};
use crate::template::value::{lazy, ops};
use indexmap::IndexMap;
use minijinja::Value;

impl Machine<'_> {
    /// A value; undefined ones pass.
    pub(crate) fn expr(&mut self, expr: &Expr) -> Res<Value> {
        let at = expr.at;
        match &expr.kind {
            ExprKind::Const(value) => self.constant(value, at),
            ExprKind::Name(name) => self.variable(name, at),
            ExprKind::Captured => Ok(self.captured.clone().unwrap_or_else(|| Value::from(""))),
            ExprKind::List(items) => {
                let items = self.all(items)?;
                Ok(if self.mutable {
                    List::value(items)
                } else {
                    data::list(items)
                })
            }
            ExprKind::Tuple(items) => Ok(data::tuple(self.all(items)?)),
            ExprKind::Dict(pairs) => {
                let mut map = IndexMap::with_capacity(pairs.len());
                for (key, value) in pairs {
                    let name = self.expr(key)?;
                    check(&name)?;
                    map.insert(name, self.expr(value)?);
                }
                Ok(if self.mutable {
                    Map::value(map)
                } else {
                    data::dict(map)
                })
            }
            ExprKind::Attr(base, name) => {
                let base = self.expr(base)?;
                self.attr(&base, name, at)
            }
            ExprKind::Item(base, index) => {
                let base = self.expr(base)?;
                let index = self.expr(index)?;
                self.item(&base, &index, at)
            }
            ExprKind::Slice(base, parts) => {
                let base = self.expr(base)?;
                let mut bounds = [None, None, None];
                for (bound, part) in bounds.iter_mut().zip(parts.iter()) {
                    if let Some(part) = part {
                        *bound = Some(self.expr(part)?);
                    }
                }
                super::access::slice(&base, &bounds).map_err(|fault| fault.at(|| self.place(at)))
            }
            ExprKind::Call(callee, args) => self
                .call(callee, args, at)
                .map_err(|fault| fault.at(|| self.place(at))),
            ExprKind::Filter(call) => {
                let subject = self.expr(&call.subject)?;
                self.filter(call, subject)
                    .map_err(|fault| fault.at(|| self.place(call.name_at)))
            }
            ExprKind::Test(call) => {
                let subject = self.expr(&call.subject)?;
                self.test(call, subject)
                    .map(Value::from)
                    .map_err(|fault| fault.at(|| self.place(call.name_at)))
            }
            ExprKind::Not(inner) => Ok(Value::from(!self.truth(inner)?)),
            ExprKind::Neg(inner) => {
                let value = self.expr(inner)?;
                ops::negate(&value).map_err(|fault| fault.at(|| self.place(at)))
            }
            ExprKind::Pos(inner) => {
                let value = self.expr(inner)?;
                ops::positive(&value).map_err(|fault| fault.at(|| self.place(at)))
            }
            ExprKind::Bin(op, pair) => {
                let left = self.expr(&pair.0)?;
                let right = self.expr(&pair.1)?;
                ops::binary(*op, &left, &right).map_err(|fault| fault.at(|| self.place(at)))
            }
            ExprKind::And(pair) => {
                let left = self.expr(&pair.0)?;
                if data::truth(&left)? {
                    self.expr(&pair.1)
                } else {
                    Ok(left)
                }
            }
            ExprKind::Or(pair) => {
                let left = self.expr(&pair.0)?;
                if data::truth(&left)? {
                    Ok(left)
                } else {
                    self.expr(&pair.1)
                }
            }
            ExprKind::Compare(first, rest) => self
                .compare(first, rest)
                .map_err(|fault| fault.at(|| self.place(at))),
            ExprKind::Concat(items) => {
                let mut text = String::new();
                for item in items {
                    let value = self.expr(item)?;
                    write_str(&mut text, &value)?;
                }
                Ok(Value::from(text))
            }
            ExprKind::Cond(pair, otherwise) => {
                if self.truth(&pair.0)? {
                    return self.expr(&pair.1);
                }
                match otherwise {
                    Some(expr) => self.expr(expr),
                    None => Ok(Undef::value(Why::Nothing, Some(self.place(at)))),
                }
            }
        }
    }

    fn all(&mut self, exprs: &[Expr]) -> Res<Vec<Value>> {
        let mut values = Vec::with_capacity(exprs.len());
        for expr in exprs {
            values.push(self.expr(expr)?);
        }
        Ok(values)
    }

    /// A literal; in conditionals one that holds a template is rendered, as Ansible does.
    fn constant(&mut self, value: &Value, _at: At) -> Res<Value> {
        if self.render_consts
            && let Some(text) = value.as_str()
            && crate::yaml::has_template(text)
        {
            return self.embedded(text);
        }
        Ok(value.clone())
    }

    /// A template inside a literal.
    pub(super) fn embedded(&mut self, text: &str) -> Res<Value> {
        self.engine
            .render_str(text, None, self.scope)
            .map_err(|error| Box::new(crate::template::value::Fault::Template(error)))
    }

    fn compare(&mut self, first: &Expr, rest: &[(CmpOp, Expr)]) -> Res<Value> {
        let mut left = self.expr(first)?;
        for (op, expr) in rest {
            let right = self.expr(expr)?;
            if !ops::compare(*op, &left, &right)? {
                return Ok(Value::from(false));
            }
            left = right;
        }
        Ok(Value::from(true))
    }

    pub(super) fn truth(&mut self, expr: &Expr) -> Res<bool> {
        let value = self.expr(expr)?;
        data::truth(&value)
    }

    /// The value of an expression that may be `omit` or lazy, on its way out.
    pub(crate) fn finished(&mut self, expr: &Expr) -> Res<Value> {
        let value = self.expr(expr)?;
        // What a variable holds has been finished when it was set.
        let path = matches!(
            &expr.kind,
            ExprKind::Name(_) | ExprKind::Attr(..) | ExprKind::Item(..)
        );
        if path && self.locals.is_empty() && undef(&value).is_none() && !is_container(&value) {
            return Ok(value);
        }
        super::finish::result(value)
    }
}

fn is_container(value: &Value) -> bool {
    value.as_object().is_some() && {
        value.downcast_object_ref::<lazy::LazyNode>().is_some()
            || value.downcast_object_ref::<lazy::ScopeMap>().is_some()
            || value.downcast_object_ref::<List>().is_some()
            || value.downcast_object_ref::<Map>().is_some()
            || value.is_tuple()
    }
}
