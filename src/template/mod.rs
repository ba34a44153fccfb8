//! The Jinja2 environment with Ansible's filters, tests and lookups.
//!
//! [`Engine`] renders what users wrote ([`crate::yaml::Node`]) to values. Variables are found through a
//! [`Scope`], one at a time and only when needed. The grammar is in `jinja`, the evaluator in `eval`,
//! Python's view of values in `value`; filters, tests and lookups are static tables, one file a family.

use crate::diag::Diagnostic;
use minijinja::Value;
use std::fmt::Debug;
use std::path::PathBuf;

mod check;
#[cfg(test)]
mod conformance;
mod datetime;
mod engine;
mod eval;
mod filters;
mod format;
mod functions;
mod jinja;
mod lookups;
mod loops;
mod names;
mod options;
mod random;
mod tests;
mod value;

pub use check::{
    Problem, check_expr, check_file, check_node, check_syntax, filter_names, lookup_names,
    test_names, variables,
};
pub use engine::Engine;
pub(crate) use filters::hash::{crypt, random_salt};
pub use names::{is_filter, is_lookup, is_test};
pub use options::TemplateOptions;

/// Where a template finds its variables. Resolving one may need to render another.
pub trait Scope: Send + Sync + Debug {
    /// A variable's value; `None` when there is none of that name.
    ///
    /// # Errors
    /// When its definition does not render, or is not known yet.
    fn get(&self, name: &str) -> Result<Option<Value>, TemplateError>;

    /// Names of all variables, for `vars`, `lookup('varnames')` and near matches.
    fn names(&self) -> Vec<String>;

    /// Folders of the controller where lookups search files, most specific first: those of the role and of the playbook.
    fn search_paths(&self) -> Vec<PathBuf>;
}

/// Why something did not render.
#[derive(Debug, Clone)]
pub enum TemplateError {
    /// It needs the result of a step that has not run yet. Not an error: the engine ends its batch here.
    Pending(String),
    /// A variable is undefined; some callers (`default`, `when` on a skipped register) treat it apart.
    Undefined {
        /// The dotted path as far as it is known, e.g. `foo.bar`.
        name: String,
        /// The same in Ansible's words, which playbooks look for in results.
        said: String,
        /// The diagnostic for people.
        diagnostic: Box<Diagnostic>,
    },
    /// Anything else.
    Other(Box<Diagnostic>),
}

impl TemplateError {
    /// The diagnostic, unless it is pending.
    #[must_use]
    pub fn diagnostic(&self) -> Option<&Diagnostic> {
        match self {
            Self::Pending(_) => None,
            Self::Undefined { diagnostic, .. } | Self::Other(diagnostic) => Some(diagnostic),
        }
    }
}

impl std::fmt::Display for TemplateError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pending(what) => write!(f, "{what} is not known yet"),
            Self::Undefined { diagnostic, .. } | Self::Other(diagnostic) => {
                f.write_str(&diagnostic.message)
            }
        }
    }
}

impl std::error::Error for TemplateError {}

/// A value as text, the way Python prints it inside a string: `True`, `None`, `['a', 1]`, `{'k': 'v'}`.
#[must_use]
pub fn to_text(value: &Value) -> String {
    value::str_of(value).unwrap_or_default()
}

/// The value of the variable `omit`: whoever finds it drops the argument it was given for.
#[must_use]
pub fn omit() -> Value {
    functions::omit()
}

/// Whether a value is `omit`.
#[must_use]
pub fn is_omit(value: &Value) -> bool {
    functions::is_omit(value)
}

/// A scope as a value: `hostvars['web1']` is the scope of that host, read one variable at a time.
///
/// Failures of a variable come out where it is used, unchanged. Render such a value before it is kept.
#[must_use]
pub fn scope_value(scope: std::sync::Arc<dyn Scope>) -> Value {
    Value::from_object(value::lazy::ScopeMap(scope))
}

/// Whether parts of a value are rendered only when they are looked at. Such a value must not be kept.
#[must_use]
pub fn is_lazy(value: &Value) -> bool {
    eval::finish::is_lazy(value)
}
