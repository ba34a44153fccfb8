//! The syntax of templates and conditions, checked at load.

use super::ast::Action;
use super::base::list;
use super::loader::Loader;
use crate::diag::Diagnostic;
use crate::template;
use crate::yaml::{Kind, Node};
use std::path::Path;

/// Arguments that are expressions written without braces.
const EXPRESSIONS: &[(&str, &str)] = &[("assert", "that"), ("debug", "var")];

/// Folders of a role or playbook with filters and tests of its own.
const PLUGINS: &[&str] = &["filter_plugins", "test_plugins", "lookup_plugins"];

impl Loader<'_> {
    /// Checks the syntax of every template in a value.
    pub(super) fn check_templates(&mut self, node: &Node) {
        for problem in template::check_node(node) {
            self.syntax(problem);
        }
    }

    /// Checks the syntax of a condition or another expression written without braces; an empty one holds.
    pub(super) fn check_expression(&mut self, node: &Node) {
        if let Kind::Str(text) = &node.kind
            && !text.trim().is_empty()
            && let Err(problem) = template::check_expr(text)
        {
            self.syntax(problem.diagnostic(text, &node.span));
        }
    }

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

    /// A mistake in a template is an error. What Ansible has and is not supported here stops a run only where a host comes
    /// to it; so does an unknown name that may be a plugin of the role's, the playbook's or a collection's own.
    fn syntax(&mut self, problem: Diagnostic) {
        let unknown = problem.message.starts_with("unknown ");
        let elsewhere = problem.message.matches('.').count() == 2;
        let unsupported = problem.message.ends_with(" is not supported");
        if unsupported || unknown && (elsewhere || self.has_plugins()) {
            self.lacks(problem);
        } else if !self.lenient {
            self.report(problem);
        }
    }

    /// What a template file holds that is not supported; its other mistakes are left to show when it is used.
    pub(super) fn lint_template(&mut self, path: &Path) {
        let Ok(text) = std::fs::read_to_string(path) else {
            return;
        };
        let options = template::TemplateOptions {
            name: path.display().to_string(),
            ..template::TemplateOptions::default()
        };
        for problem in template::check_file(&text, &options) {
            self.lacks(problem);
        }
    }

    fn has_plugins(&self) -> bool {
        let roles = self.role_list.iter().map(|role| role.path.as_path());
        roles
            .chain([self.playbook_dir.as_path()])
            .any(|dir| PLUGINS.iter().any(|plugins| dir.join(plugins).is_dir()))
    }
}
