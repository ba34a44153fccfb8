//! Statements.

use super::objects::{Loop, MacroValue, Namespace};
use super::{Machine, Out};
use crate::template::jinja::At;
use crate::template::jinja::ast::{Expr, For, Stmt, StmtKind, Target};
use crate::template::value::data::{self, type_name};
use crate::template::value::undefined::{Res, fault};
use minijinja::Value;
use std::sync::Arc;

/// What a statement leaves to its loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    Next,
    Break,
    Continue,
    /// The template extends another: what follows yields nothing.
    Stop,
}

impl Machine<'_> {
    pub(crate) fn body(&mut self, body: &[Stmt], out: &mut Out) -> Res<Flow> {
        for stmt in body {
            let flow = self.stmt(stmt, out)?;
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn stmt(&mut self, stmt: &Stmt, out: &mut Out) -> Res<Flow> {
        match &stmt.kind {
            StmtKind::Data(text) => out.push(text.clone())?,
            StmtKind::Output(expr) => {
                let value = self.expr(expr)?;
                out.push(value)
                    .map_err(|fault| fault.at(|| self.place(expr.at)))?;
            }
            StmtKind::If(arms, otherwise) => {
                for (test, body) in arms {
                    if self.truth(test)? {
                        return self.body(body, out);
                    }
                }
                return self.body(otherwise, out);
            }
            StmtKind::For(it) => return self.for_loop(it, out),
            StmtKind::Set(target, expr) => {
                let value = self.expr(expr)?;
                self.assign(target, value, expr.at)?;
            }
            StmtKind::SetBlock(target, filter, body) => {
                let mut value = self.capture(body)?;
                if let Some(filter) = filter {
                    value = self.filtered(filter, value)?;
                }
                self.assign(target, value, stmt.at)?;
            }
            StmtKind::With(pairs, body) => {
                let mut values = Vec::with_capacity(pairs.len());
                for (target, expr) in pairs {
                    values.push((target, self.expr(expr)?, expr.at));
                }
                return self.scoped(|m| {
                    for (target, value, at) in values {
                        m.assign(target, value, at)?;
                    }
                    m.body(body, out)
                });
            }
            StmtKind::Scope(body) => return self.scoped(|m| m.body(body, out)),
            StmtKind::Macro(decl) => {
                let value = MacroValue::value(self.closure(), &self.top, decl, self.here());
                self.set(&decl.name, value);
            }
            StmtKind::CallBlock(call, decl) => {
                let caller = MacroValue::value(self.closure(), &self.top, decl, self.here());
                let value = self.call_with_caller(call, caller)?;
                out.push(value)?;
            }
            StmtKind::FilterBlock(filter, body) => {
                let text = self.capture(body)?;
                let value = self.filtered(filter, text)?;
                out.push(value)?;
            }
            StmtKind::Do(expr) => {
                self.expr(expr)?;
            }
            StmtKind::Break => return Ok(Flow::Break),
            StmtKind::Continue => return Ok(Flow::Continue),
            StmtKind::Block(block) => self.block(&block.name, 0, out)?,
            StmtKind::Extends(name) => {
                self.extends(name, out)?;
                return Ok(Flow::Stop);
            }
            StmtKind::Include {
                name,
                ignore_missing,
                with_context,
            } => self.include(name, *ignore_missing, *with_context, out)?,
            StmtKind::Import {
                name,
                target,
                with_context,
            } => {
                let module = self.import(name, *with_context)?;
                self.set(target, module);
            }
            StmtKind::FromImport {
                name,
                names,
                with_context,
            } => self.import_names(name, names, *with_context)?,
        }
        Ok(Flow::Next)
    }

    /// Output of a body.
    pub(super) fn capture(&mut self, body: &[Stmt]) -> Res<Value> {
        let mut out = Out::default();
        self.scoped(|m| m.body(body, &mut out))?;
        Ok(out.value())
    }

    fn filtered(&mut self, filter: &Expr, text: Value) -> Res<Value> {
        let outer = self.captured.replace(text);
        let value = self.expr(filter);
        self.captured = outer;
        value
    }

    pub(super) fn assign(&mut self, target: &Target, value: Value, at: At) -> Res<()> {
        match target {
            Target::Name(name) => self.set(name, value),
            Target::Attr(name, attr) => {
                let base = self.variable(name, at)?;
                let Some(space) = base.downcast_object_ref::<Namespace>() else {
                    return Err(fault(format!("`{name}` is no namespace")).at(|| self.place(at)));
                };
                space.set(attr, value);
            }
            Target::Tuple(targets) => {
                let values = data::items(&value).map_err(|fault| fault.at(|| self.place(at)))?;
                if values.len() != targets.len() {
                    let message = format!(
                        "expected {} values to unpack, got {} of a {}",
                        targets.len(),
                        values.len(),
                        type_name(&value)
                    );
                    return Err(fault(message).at(|| self.place(at)));
                }
                for (target, value) in targets.iter().zip(values) {
                    self.assign(target, value, at)?;
                }
            }
        }
        Ok(())
    }

    fn for_loop(&mut self, it: &Arc<For>, out: &mut Out) -> Res<Flow> {
        let iter = self.expr(&it.iter)?;
        self.run_loop(it, &iter, 0, out)
    }

    pub(super) fn run_loop(
        &mut self,
        it: &Arc<For>,
        iter: &Value,
        depth: usize,
        out: &mut Out,
    ) -> Res<Flow> {
        let mut items = data::items(iter).map_err(|fault| fault.at(|| self.place(it.iter.at)))?;
        if let Some(test) = &it.test {
            let mut kept = Vec::with_capacity(items.len());
            for item in items {
                let keep = self.scoped(|m| {
                    m.assign(&it.target, item.clone(), it.iter.at)?;
                    m.truth(test)
                })?;
                if keep {
                    kept.push(item);
                }
            }
            items = kept;
        }
        if items.is_empty() {
            return self.scoped(|m| m.body(&it.otherwise, out));
        }
        let items: Arc<[Value]> = items.into();
        let state = Arc::new(Loop::new(
            Arc::clone(&items),
            depth,
            it.recursive.then(|| Arc::clone(it)),
        ));
        let name: Arc<str> = Arc::from("loop");
        for (n, item) in items.iter().enumerate() {
            state.at(n);
            let flow = self.scoped(|m| {
                let value = Value::from_dyn_object(Arc::clone(&state));
                m.locals.push((Arc::clone(&name), value));
                m.assign(&it.target, item.clone(), it.iter.at)?;
                m.body(&it.body, out)
            })?;
            match flow {
                Flow::Break => break,
                Flow::Stop => return Ok(Flow::Stop),
                Flow::Next | Flow::Continue => {}
            }
        }
        Ok(Flow::Next)
    }
}
