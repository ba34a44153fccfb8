//! TODO

use super::Test;

pub(super) const TESTS: &[Test] = &[];
