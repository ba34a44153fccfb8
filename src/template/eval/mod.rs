//! Runs a parsed template: variables, statements, output.

pub(crate) mod access;
pub(crate) mod call;
mod expr;
pub(crate) mod finish;
mod include;
pub(crate) mod methods;
pub(crate) mod objects;
mod output;
mod stmt;

use super::jinja::At;
use super::jinja::ast::{Block, Template};
use super::value::undefined::{Origin, Place, Res, Undef, Why};
use super::{Engine, Scope, TemplateError};
use minijinja::Value;
use objects::Top;
pub(crate) use output::Out;
use std::collections::HashMap;
use std::sync::Arc;

/// Deeper calls of macros and includes than this are refused.
const MAX_CALLS: usize = 60;

/// A block and the template that defines it.
type Placed = (Arc<Block>, Arc<Template>);

/// One evaluation.
pub(crate) struct Machine<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) scope: &'a Arc<dyn Scope>,
    /// What is being run, for places.
    text: Arc<str>,
    origin: Origin,
    /// Names set inside blocks, innermost last.
    locals: Vec<(Arc<str>, Value)>,
    /// Where the innermost scope starts in `locals`.
    scope_start: usize,
    /// Names set at the template's top.
    top: Arc<Top>,
    /// Imported templates that must live as long as their macros.
    modules: Vec<Arc<Top>>,
    /// Whether lists and mappings are made changeable.
    mutable: bool,
    /// Constants that hold templates are rendered: conditionals.
    render_consts: bool,
    /// Text of the block a filter chain stands on.
    captured: Option<Value>,
    /// Blocks by name, the most derived first, and where `super()` goes.
    blocks: HashMap<Arc<str>, Vec<Placed>>,
    current_block: Option<(Arc<str>, usize)>,
    calls: usize,
    /// Files a template may include: folders searched, and how they are read.
    files: Option<&'a include::Files>,
}

pub(crate) use include::Files;

impl<'a> Machine<'a> {
    pub(crate) fn new(
        engine: &'a Engine,
        scope: &'a Arc<dyn Scope>,
        text: &Arc<str>,
        origin: Origin,
    ) -> Self {
        Self {
            engine,
            scope,
            text: Arc::clone(text),
            origin,
            locals: Vec::new(),
            scope_start: 0,
            top: Top::shared(engine),
            modules: Vec::new(),
            mutable: false,
            render_consts: false,
            captured: None,
            blocks: HashMap::new(),
            current_block: None,
            calls: 0,
            files: None,
        }
    }

    pub(crate) fn mutable(mut self, yes: bool) -> Self {
        if yes {
            self.mutable = true;
        }
        self
    }

    pub(crate) fn render_consts(mut self) -> Self {
        self.render_consts = true;
        self
    }

    pub(crate) fn files(mut self, files: &'a Files) -> Self {
        self.files = Some(files);
        self
    }

    pub(crate) fn place(&self, at: At) -> Place {
        Place {
            origin: self.origin.clone(),
            text: Arc::clone(&self.text),
            at,
        }
    }

    /// A mapping, changeable if anything in the template changes one.
    pub(crate) fn new_dict(&self, map: super::value::data::Dict) -> Value {
        if self.mutable {
            super::value::mutable::Map::value(map)
        } else {
            super::value::data::dict(map)
        }
    }

    fn missing(&self, at: At, base: Option<Value>) -> Value {
        let name = self.text.get(at.range()).unwrap_or_default().to_owned();
        Undef::value(Why::Missing(name, base), Some(self.place(at)))
    }

    // --- variables ---

    fn local(&self, name: &str) -> Option<Value> {
        self.locals
            .iter()
            .rev()
            .find(|(n, _)| n.as_ref() == name)
            .map(|(_, value)| value.clone())
            .or_else(|| self.top.get(name))
    }

    /// A variable by name, wherever it is.
    pub(crate) fn variable(&self, name: &str, at: At) -> Res<Value> {
        if let Some(value) = self.local(name) {
            return Ok(value);
        }
        match self.scope.get(name) {
            Ok(Some(value)) if !value.is_undefined() => Ok(value),
            Ok(_) => Ok(super::functions::constant(name, self.scope)
                .unwrap_or_else(|| self.missing(at, None))),
            Err(error @ TemplateError::Undefined { .. }) => {
                Ok(Undef::value(Why::Inner(error), Some(self.place(at))))
            }
            Err(error) => Err(Box::new(super::value::Fault::Template(error))),
        }
    }

    /// Sets a name in the innermost scope.
    fn set(&mut self, name: &Arc<str>, value: Value) {
        if self.scope_start == 0 && self.locals.is_empty() {
            self.top.set(name, value);
            return;
        }
        let inner = &mut self.locals[self.scope_start..];
        match inner.iter_mut().rev().find(|(n, _)| n == name) {
            Some((_, slot)) => *slot = value,
            None => self.locals.push((Arc::clone(name), value)),
        }
    }

    /// Puts a value where a name was found, or at the top when it came from outside.
    fn replace(&mut self, name: &Arc<str>, value: Value) {
        match self.locals.iter_mut().rev().find(|(n, _)| n == name) {
            Some((_, slot)) => *slot = value,
            None => self.top.set(name, value),
        }
    }

    /// Runs something in a scope of its own.
    fn scoped<T>(&mut self, run: impl FnOnce(&mut Self) -> Res<T>) -> Res<T> {
        let (start, len) = (self.scope_start, self.locals.len());
        // A scope must be told from the top even when it holds no name yet.
        self.locals.push((Arc::from(""), Value::UNDEFINED));
        self.scope_start = self.locals.len();
        let done = run(self);
        self.locals.truncate(len);
        self.scope_start = start;
        done
    }

    /// Runs something with other locals: a macro, an import.
    fn isolated<T>(
        &mut self,
        locals: Vec<(Arc<str>, Value)>,
        top: Arc<Top>,
        run: impl FnOnce(&mut Self) -> Res<T>,
    ) -> Res<T> {
        self.calls += 1;
        if self.calls > MAX_CALLS {
            return Err(super::value::fault(
                "macros or includes call each other without end",
            ));
        }
        let start = std::mem::replace(&mut self.scope_start, locals.len());
        let locals = std::mem::replace(&mut self.locals, locals);
        let top = std::mem::replace(&mut self.top, top);
        let done = run(self);
        self.locals = locals;
        self.scope_start = start;
        self.top = top;
        self.calls -= 1;
        done
    }

    /// Runs something in another text.
    fn elsewhere<T>(
        &mut self,
        text: &Arc<str>,
        origin: Origin,
        run: impl FnOnce(&mut Self) -> Res<T>,
    ) -> Res<T> {
        let text = std::mem::replace(&mut self.text, Arc::clone(text));
        let origin = std::mem::replace(&mut self.origin, origin);
        let done = run(self).map_err(|fault| fault.at(|| self.place(At::default())));
        self.text = text;
        self.origin = origin;
        done
    }
}
