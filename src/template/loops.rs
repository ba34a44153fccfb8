//! Lookups as the engine calls them: `with_<name>`.

use super::eval::call::Args;
use super::eval::{Machine, finish};
use super::names::bare;
use super::value::data;
use super::value::undefined::{Origin, Res};
use super::{Engine, Scope, TemplateError, lookups};
use crate::yaml::{Kind, Node};
use minijinja::Value;
use std::sync::Arc;

/// Lookups whose terms old playbooks give as bare names of variables.
const BARE: &[&str] = &[
    "cartesian",
    "dict",
    "flattened",
    "indexed_items",
    "items",
    "list",
    "nested",
    "random_choice",
    "subelements",
    "together",
];

impl Engine {
    /// Items of `with_<name>: <node>`.
    ///
    /// The name of a variable without braces is taken for the variable, with a note, if there is one.
    /// Options are passed on as named arguments; `first_found` takes `_subdir` (`vars`, `templates`, …).
    ///
    /// # Errors
    /// What is undefined, pending or wrong; an unknown name.
    pub fn with_items(
        &self,
        name: &str,
        node: &Node,
        options: Vec<(String, Value)>,
        scope: &Arc<dyn Scope>,
    ) -> Result<Vec<Value>, TemplateError> {
        let terms = self.terms(name, node, scope)?;
        self.lookup(name, terms, options, scope)
    }

    fn terms(
        &self,
        name: &str,
        node: &Node,
        scope: &Arc<dyn Scope>,
    ) -> Result<Vec<Value>, TemplateError> {
        if let Some(value) = self.bare(name, node, scope)? {
            return Ok(spread(value));
        }
        // Parts that fail must not fail here: `first_found` passes over names not known.
        if let Kind::Seq(items) = &node.kind {
            let mut terms = Vec::with_capacity(items.len());
            for item in items.iter() {
                // In a list of `with_items` a bare name is a text.
                let named = match bare(name) {
                    "items" => None,
                    _ => self.bare(name, item, scope)?,
                };
                let term = match named {
                    Some(value) => value,
                    None => match self.lazy(item, scope) {
                        Ok(value) => value,
                        Err(error @ TemplateError::Undefined { .. }) => super::value::Undef::value(
                            super::value::undefined::Why::Inner(error),
                            None,
                        ),
                        Err(error) => return Err(error),
                    },
                };
                if !super::is_omit(&term) {
                    terms.push(term);
                }
            }
            return Ok(terms);
        }
        self.lazy(node, scope).map(spread)
    }

    /// The value of a variable named without braces.
    fn bare(
        &self,
        name: &str,
        node: &Node,
        scope: &Arc<dyn Scope>,
    ) -> Result<Option<Value>, TemplateError> {
        let Kind::Str(text) = &node.kind else {
            return Ok(None);
        };
        let root = text.split(['.', '[']).next().unwrap_or_default();
        let path = root.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
            && text
                .chars()
                .all(|c| c == '_' || c.is_ascii_alphanumeric() || ".[]'\"".contains(c));
        if !path || !BARE.contains(&bare(name)) || scope.get(root)?.is_none() {
            return Ok(None);
        }
        self.note(
            Some(&node.span),
            &format!("a variable is written `{{{{ {text} }}}}`"),
        );
        self.eval(text, Some(&node.span), scope).map(Some)
    }

    /// Runs a lookup for its list.
    ///
    /// # Errors
    /// What is undefined, pending or wrong; an unknown name.
    pub fn lookup(
        &self,
        name: &str,
        terms: Vec<Value>,
        options: Vec<(String, Value)>,
        scope: &Arc<dyn Scope>,
    ) -> Result<Vec<Value>, TemplateError> {
        let run = || -> Res<Vec<Value>> {
            let text: Arc<str> = Arc::from("");
            let mut machine = Machine::new(self, scope, &text, Origin::Nowhere);
            let args = Args {
                pos: terms,
                kw: options
                    .into_iter()
                    .map(|(k, v)| (Arc::from(k), v))
                    .collect(),
            };
            lookups::run(&mut machine, name, args, true)?
                .into_iter()
                .map(finish::result)
                .collect()
        };
        run().map_err(|fault| fault.into_error(scope.as_ref()))
    }
}

/// A list as its items, anything else as one term.
fn spread(value: Value) -> Vec<Value> {
    if data::is_seq(&value) {
        return data::items(&value).unwrap_or_default();
    }
    vec![value]
}
