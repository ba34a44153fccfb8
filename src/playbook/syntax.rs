//! The syntax of templates and conditions, checked at load.

use super::ast::Action;
use super::base::list;
use super::loader::Loader;
use crate::diag::Diagnostic;
use crate::yaml::{Kind, Node};

impl Loader<'_> {
    /// Checks the syntax of every template in a value.
    pub(super) fn check_templates(&mut self, node: &Node) {
        match &node.kind {
            Kind::Str(text) if node.is_template() => {
                if let Err(why) = balanced(text) {
                    self.report(Diagnostic::error(&node.span, why));
                }
            }
            Kind::Seq(items) => items.iter().for_each(|item| self.check_templates(item)),
            Kind::Map(map) => map
                .iter()
                .for_each(|(_, _, item)| self.check_templates(item)),
            _ => {}
        }
    }

    /// Checks the syntax of a condition or another expression written without braces.
    pub(super) fn check_expression(&mut self, node: &Node) {
        if node.is_template() {
            self.check_templates(node);
        }
    }
}

/// Whether every `{{` and `{%` is closed.
fn balanced(text: &str) -> Result<(), &'static str> {
    for (open, close, message) in [
        ("{{", "}}", "`{{` is not closed by `}}`"),
        ("{%", "%}", "`{%` is not closed by `%}`"),
    ] {
        if let Some(at) = text.rfind(open)
            && !text[at..].contains(close)
        {
            return Err(message);
        }
    }
    Ok(())
}

/// Arguments that are expressions written without braces.
const EXPRESSIONS: &[(&str, &str)] = &[("assert", "that"), ("debug", "var")];

impl Loader<'_> {
    /// Checks arguments that are expressions.
    pub(super) fn check_expressions(&mut self, action: &Action) {
        let (Some(spec), Some(map)) = (action.spec, action.args.as_map()) else {
            return;
        };
        for (_, param) in EXPRESSIONS
            .iter()
            .filter(|(module, _)| *module == spec.name)
        {
            if let Some(node) = map.get(param) {
                for expression in list(node) {
                    self.check_expression(&expression);
                }
            }
        }
    }
}
