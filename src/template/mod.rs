//! The Jinja2 environment with Ansible's filters, tests and lookups.

use crate::diag::Diagnostic;
use minijinja::Value;
use std::fmt::Debug;
use std::path::PathBuf;

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
    value.to_string()
}
