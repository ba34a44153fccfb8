//! TODO

use super::Filter;

pub(super) const FILTERS: &[Filter] = &[];
