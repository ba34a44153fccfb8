//! Conditions: `when`, `until`, `changed_when`, `failed_when`, `that`.

use super::{Engine, origin, simple_error, syntax_error};
use crate::diag::Span;
use crate::template::eval::Machine;
use crate::template::jinja::parser;
use crate::template::{Scope, TemplateError};
use crate::yaml::{Kind, Node, has_template};
use minijinja::Value;
use std::sync::Arc;

impl Engine {
    /// Whether a condition (`when`, `until`, `changed_when`, …) holds: a boolean, an expression, or a list of such
    /// that must all hold.
    ///
    /// # Errors
    /// What is undefined, pending or wrong.
    pub fn truth(&self, node: &Node, scope: &Arc<dyn Scope>) -> Result<bool, TemplateError> {
        match &node.kind {
            Kind::Bool(b) => Ok(*b),
            Kind::Int(n) => Ok(*n != 0),
            Kind::Null => Ok(true),
            Kind::Str(text) | Kind::Unsafe(text) => self.condition(text, Some(&node.span), scope),
            Kind::Seq(items) => {
                for item in items.iter() {
                    if !self.truth(item, scope)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            _ => Err(simple_error(
                format!("a condition must be an expression, not {}", node.describe()),
                Some(&node.span),
            )),
        }
    }

    /// Whether a condition given as text holds.
    ///
    /// # Errors
    /// What is undefined, pending or wrong.
    pub fn condition(
        &self,
        text: &str,
        span: Option<&Span>,
        scope: &Arc<dyn Scope>,
    ) -> Result<bool, TemplateError> {
        let bare = text.trim();
        // As in Ansible: no condition holds.
        if bare.is_empty() {
            return Ok(true);
        }
        let wrapped = ["{{", "{%", "{#"].iter().any(|mark| bare.starts_with(mark));
        if wrapped && ["}}", "%}", "#}"].iter().any(|mark| bare.ends_with(mark)) {
            self.note(
                span,
                "a condition is an expression already: leave out `{{ }}`",
            );
            let value = self.render_str(text, span, scope)?;
            return match value.as_str() {
                Some(inner) if inner.trim().is_empty() => Ok(false),
                Some(inner) if inner.trim() != bare => self.condition(inner, span, scope),
                _ => Ok(value.is_true()),
            };
        }
        let parsed = self
            .inner
            .expressions
            .get(text, |text| parser::expression(text, &self.inner.plain));
        match parsed {
            Ok(parsed) => {
                let value = Machine::new(self, scope, &parsed.text, origin(span))
                    .mutable(parsed.mutates)
                    .render_consts()
                    .finished(&parsed.expr)
                    .map_err(|fault| fault.into_error(scope.as_ref()))?;
                self.as_condition(&value, span, scope)
            }
            Err(error) => {
                // `{{ a }} == {{ b }}`: old Ansible rendered it first.
                if has_template(text)
                    && let Ok(value) = self.render_str(text, span, scope)
                    && let Some(inner) = value.as_str()
                    && !has_template(inner)
                {
                    self.note(
                        span,
                        "a condition is an expression already: leave out `{{ }}`",
                    );
                    return self.condition(inner, span, scope);
                }
                Err(syntax_error(error, text, span))
            }
        }
    }

    /// What a condition's value means. Ansible 2.19 wants a boolean; older content relies on truth.
    fn as_condition(
        &self,
        value: &Value,
        span: Option<&Span>,
        _scope: &Arc<dyn Scope>,
    ) -> Result<bool, TemplateError> {
        if value.kind() == minijinja::value::ValueKind::Bool {
            return Ok(value.is_true());
        }
        self.note(
            span,
            "this condition is no boolean: test it with `| bool`, `| length > 0` or `is not none`",
        );
        Ok(value.is_true())
    }
}
