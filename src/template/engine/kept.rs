//! Parsed texts, kept for the next host.

use crate::template::jinja::SyntaxError;
use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

/// Parsed texts kept at most; then all are forgotten.
const MAX_KEPT: usize = 50_000;

/// Parsed texts by text.
pub(super) struct Kept<T>(RwLock<HashMap<Arc<str>, Arc<T>>>);

impl<T> Kept<T> {
    pub(super) fn new() -> Self {
        Self(RwLock::new(HashMap::new()))
    }

    pub(super) fn get(
        &self,
        text: &str,
        parse: impl FnOnce(&Arc<str>) -> Result<T, SyntaxError>,
    ) -> Result<Arc<T>, SyntaxError> {
        if let Some(found) = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(text)
        {
            return Ok(Arc::clone(found));
        }
        let text: Arc<str> = Arc::from(text);
        let parsed = Arc::new(parse(&text)?);
        let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MAX_KEPT {
            kept.clear();
        }
        kept.insert(text, Arc::clone(&parsed));
        Ok(parsed)
    }
}
