//! The engine: renders nodes, expressions, conditions and files; keeps what it parsed.

mod condition;
mod file;
mod kept;

use super::eval::{Files, Machine, Out, finish};
use super::jinja::ast::{Expression, StmtKind, Template};
use super::jinja::{Syntax, SyntaxError, parser};
use super::value::lazy::LazyNode;
use super::value::undefined::{Origin, Place, Res, fault};
use super::{Scope, TemplateError, is_omit, options, to_text};
use crate::diag::{Diagnostic, Span};
use crate::yaml::{Kind, Node, has_template};
use indexmap::IndexMap;
use kept::Kept;
use minijinja::Value;
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Decrypts the armoured text of a vault.
type Decrypt = Box<dyn Fn(&str) -> Result<String, String> + Send + Sync>;

/// Renders templates. Cheap to clone; one serves all hosts.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    templates: Kept<Template>,
    expressions: Kept<Expression>,
    files: Mutex<HashMap<Syntax, Arc<Kept<Template>>>>,
    inline: Syntax,
    plain: Syntax,
    decrypt: OnceLock<Decrypt>,
    notes: Mutex<IndexMap<String, Diagnostic>>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Engine")
    }
}

impl Default for Engine {
    fn default() -> Self {
        Self::new()
    }
}

/// Where an inline text stands.
fn origin(span: Option<&Span>) -> Origin {
    span.map_or(Origin::Nowhere, |span| Origin::Yaml(span.clone()))
}

impl Engine {
    /// An engine that has parsed nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let inline = Syntax::default();
        let plain = Syntax {
            raw_backslashes: false,
            ..inline.clone()
        };
        Self {
            inner: Arc::new(Inner {
                templates: Kept::new(),
                expressions: Kept::new(),
                files: Mutex::new(HashMap::new()),
                inline,
                plain,
                decrypt: OnceLock::new(),
                notes: Mutex::new(IndexMap::new()),
            }),
        }
    }

    /// Sets how vaulted strings are decrypted. The first one set stays.
    pub fn set_vault(
        &self,
        decrypt: impl Fn(&str) -> Result<String, String> + Send + Sync + 'static,
    ) {
        let _ = self.inner.decrypt.set(Box::new(decrypt));
    }

    /// Notes about old spellings met since the last call, each place once.
    #[must_use]
    pub fn take_notes(&self) -> Vec<Diagnostic> {
        let mut notes = self
            .inner
            .notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        notes.drain(..).map(|(_, note)| note).collect()
    }

    pub(super) fn note(&self, span: Option<&Span>, message: &str) {
        let Some(span) = span else { return };
        let mut notes = self
            .inner
            .notes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        notes
            .entry(format!("{span} {message}"))
            .or_insert_with(|| Diagnostic::note(span, message));
    }

    // --- nodes ---

    /// Renders a node, with everything in it. `omit` drops entries and items; at the top it is the result.
    ///
    /// # Errors
    /// What is undefined, pending or wrong.
    pub fn render(&self, node: &Node, scope: &Arc<dyn Scope>) -> Result<Value, TemplateError> {
        match &node.kind {
            Kind::Null => Ok(Value::from(())),
            Kind::Bool(b) => Ok(Value::from(*b)),
            Kind::Int(n) => Ok(crate::yaml::integer(*n)),
            Kind::Float(n) => Ok(Value::from(*n)),
            Kind::Unsafe(text) => Ok(Value::from(Arc::clone(text))),
            Kind::Str(text) if !is_template(text) => Ok(Value::from(Arc::clone(text))),
            Kind::Str(text) => self.render_str(text, Some(&node.span), scope),
            Kind::Vault(armoured) => self.decrypt(armoured, &node.span),
            Kind::Seq(items) => {
                let mut out = Vec::with_capacity(items.len());
                for item in items.iter() {
                    let value = self.render(item, scope)?;
                    if !is_omit(&value) {
                        out.push(value);
                    }
                }
                Ok(Value::from(out))
            }
            Kind::Map(map) => {
                let mut out: IndexMap<Value, Value> = IndexMap::with_capacity(map.len());
                for (key, span, item) in map.iter() {
                    let key = if has_template(key) {
                        self.render_str(key, Some(span), scope)?
                    } else {
                        map.key_value(key)
                    };
                    let value = self.render(item, scope)?;
                    if !is_omit(&value) {
                        out.insert(key, value);
                    }
                }
                Ok(Value::from_object(out))
            }
        }
    }

    /// Like [`Engine::render`], but lists and mappings render their parts when these are looked at.
    /// For the values of variables: `{{ config.port }}` must not fail for what else `config` holds.
    ///
    /// # Errors
    /// What is undefined, pending or wrong, if the node is a scalar.
    pub fn lazy(&self, node: &Node, scope: &Arc<dyn Scope>) -> Result<Value, TemplateError> {
        match &node.kind {
            Kind::Seq(_) | Kind::Map(_) => Ok(LazyNode::value(self, node, scope)),
            _ => self.render(node, scope),
        }
    }

    pub(crate) fn decrypt(&self, armoured: &str, span: &Span) -> Result<Value, TemplateError> {
        let fail =
            |message: String| TemplateError::Other(Box::new(Diagnostic::error(span, message)));
        match self.inner.decrypt.get() {
            Some(decrypt) => decrypt(armoured).map(Value::from).map_err(fail),
            None => Err(fail(
                "this value is encrypted and no vault password is known".to_owned(),
            )),
        }
    }

    /// Renders a template text that stands at `span`.
    ///
    /// # Errors
    /// What is undefined, pending or wrong.
    pub fn render_str(
        &self,
        text: &str,
        span: Option<&Span>,
        scope: &Arc<dyn Scope>,
    ) -> Result<Value, TemplateError> {
        if !is_template(text) {
            return Ok(Value::from(text));
        }
        let _level = Level::enter(span)?;
        if text.starts_with("#jinja2:") {
            return self.render_with_header(text, span, scope);
        }
        let template = self
            .inner
            .templates
            .get(text, |text| {
                parser::template(text, None, &self.inner.inline)
            })
            .map_err(|error| syntax_error(error, text, span))?;
        let value = self
            .run(&template, origin(span), scope)
            .map_err(|fault| fault.into_error(scope.as_ref()))?;
        Ok(pad_newlines(text, value, "\n"))
    }

    fn run(&self, template: &Arc<Template>, origin: Origin, scope: &Arc<dyn Scope>) -> Res<Value> {
        let mut machine =
            Machine::new(self, scope, &template.text, origin).mutable(template.mutates);
        if let [only] = template.body.as_slice()
            && let StmtKind::Output(expr) = &only.kind
        {
            return machine.finished(expr);
        }
        let folders = scope.search_paths();
        let files = Files {
            folders,
            syntax: Arc::new(self.inner.plain.clone()),
        };
        machine = machine.files(&files);
        let mut out = Out::default();
        machine.run(template, &mut out)?;
        finish::result(out.value())
    }

    fn render_with_header(
        &self,
        text: &str,
        span: Option<&Span>,
        scope: &Arc<dyn Scope>,
    ) -> Result<Value, TemplateError> {
        let (skip, syntax) = options::header(text, self.inner.inline.clone())
            .map_err(|message| simple_error(message, span))?;
        let body = &text[skip..];
        let template = self
            .parsed_file(body, None, &syntax)
            .map_err(|error| syntax_error(error, body, span))?;
        let value = self
            .run(&template, origin(span), scope)
            .map_err(|fault| fault.into_error(scope.as_ref()))?;
        Ok(pad_newlines(body, value, &syntax.newline))
    }

    /// Renders a node to text, as Python prints it.
    ///
    /// # Errors
    /// What is undefined, pending or wrong.
    pub fn text(&self, node: &Node, scope: &Arc<dyn Scope>) -> Result<String, TemplateError> {
        self.render(node, scope).map(|value| to_text(&value))
    }

    // --- expressions ---

    /// Evaluates a bare expression that stands at `span`.
    ///
    /// # Errors
    /// What is undefined, pending or wrong.
    pub fn eval(
        &self,
        expr: &str,
        span: Option<&Span>,
        scope: &Arc<dyn Scope>,
    ) -> Result<Value, TemplateError> {
        let parsed = self
            .inner
            .expressions
            .get(expr, |text| parser::expression(text, &self.inner.plain))
            .map_err(|error| syntax_error(error, expr, span))?;
        Machine::new(self, scope, &parsed.text, origin(span))
            .mutable(parsed.mutates)
            .finished(&parsed.expr)
            .map_err(|fault| fault.into_error(scope.as_ref()))
    }
}

/// Variables that lead to variables, at most: a definition that leads to itself must not end the program.
const MAX_LEVELS: u32 = 100;

thread_local! {
    static LEVELS: Cell<u32> = const { Cell::new(0) };
}

/// Counts renderings inside renderings.
struct Level;

impl Level {
    fn enter(span: Option<&Span>) -> Result<Self, TemplateError> {
        if LEVELS.get() >= MAX_LEVELS {
            let message = "this template leads to itself, or through too many variables";
            return Err(simple_error(message.to_owned(), span));
        }
        LEVELS.set(LEVELS.get() + 1);
        Ok(Self)
    }
}

impl Drop for Level {
    fn drop(&mut self) {
        LEVELS.set(LEVELS.get().saturating_sub(1));
    }
}

/// Whether a text needs rendering.
fn is_template(text: &str) -> bool {
    // One pass for the usual case: no brace at all.
    (text.as_bytes().contains(&b'{') && has_template(text)) || text.starts_with("#jinja2:")
}

/// Newlines as Jinja sees them.
fn normalized(source: &str) -> std::borrow::Cow<'_, str> {
    if source.contains('\r') {
        return source.replace("\r\n", "\n").replace('\r', "\n").into();
    }
    source.into()
}

/// Jinja drops the newline at the end of a template; Ansible puts as many back as the text had.
fn pad_newlines(text: &str, value: Value, newline: &str) -> Value {
    if !text.ends_with('\n') {
        return value;
    }
    let Some(done) = value.as_str() else {
        return value;
    };
    let count = |text: &str| text.len() - text.trim_end_matches('\n').len();
    let missing = count(text).saturating_sub(count(done));
    if missing == 0 {
        return value;
    }
    Value::from(format!("{done}{}", newline.repeat(missing)))
}

fn simple_error(message: String, span: Option<&Span>) -> TemplateError {
    TemplateError::Other(Box::new(match span {
        Some(span) => Diagnostic::error(span, message),
        None => Diagnostic::plain(message),
    }))
}

fn place_error(error: SyntaxError, place: Place) -> TemplateError {
    let fault = fault(error.message).at(|| place);
    let fault = match error.hint {
        Some(hint) => fault.hint(hint),
        None => fault,
    };
    fault.into_error(&NoScope)
}

fn syntax_error(error: SyntaxError, text: &str, span: Option<&Span>) -> TemplateError {
    let place = Place {
        origin: origin(span),
        text: Arc::from(text),
        at: error.at,
    };
    place_error(error, place)
}

fn file_syntax_error(error: SyntaxError, body: &str, name: &Arc<str>, head: &str) -> TemplateError {
    let place = Place {
        origin: Origin::File(Arc::clone(name), Arc::from(head)),
        text: Arc::from(body),
        at: error.at,
    };
    place_error(error, place)
}

/// For diagnostics that need no variable.
#[derive(Debug)]
struct NoScope;

impl Scope for NoScope {
    fn get(&self, _name: &str) -> Result<Option<Value>, TemplateError> {
        Ok(None)
    }

    fn names(&self) -> Vec<String> {
        Vec::new()
    }

    fn search_paths(&self) -> Vec<std::path::PathBuf> {
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
