//! A scope with a few variables on top of another.

use crate::template::{Scope, TemplateError};
use minijinja::Value;
use std::path::PathBuf;
use std::sync::Arc;

/// Own variables first, then those below.
#[derive(Debug)]
pub(crate) struct Overlay {
    own: Vec<(String, Value)>,
    below: Arc<dyn Scope>,
}

impl Overlay {
    pub(crate) fn new(own: Vec<(String, Value)>, below: Arc<dyn Scope>) -> Self {
        Self { own, below }
    }
}

impl Scope for Overlay {
    fn get(&self, name: &str) -> Result<Option<Value>, TemplateError> {
        match self.own.iter().find(|(n, _)| n == name) {
            Some((_, value)) => Ok(Some(value.clone())),
            None => self.below.get(name),
        }
    }

    fn names(&self) -> Vec<String> {
        let mut names = self.below.names();
        names.extend(self.own.iter().map(|(n, _)| n.clone()));
        names
    }

    fn search_paths(&self) -> Vec<PathBuf> {
        self.below.search_paths()
    }
}
