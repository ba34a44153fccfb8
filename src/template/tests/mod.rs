//! Tests (`is …`): one static table a family.

use super::eval::call::Call;
use super::names::bare;
use super::value::Res;
use std::collections::HashMap;
use std::sync::LazyLock;

mod compare;
mod files;
mod results;
mod strings;
mod types;
pub(crate) mod version;

/// A test.
#[derive(Debug)]
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Call<'_, '_>) -> Res<bool>,
    /// Whether it is given undefined values; otherwise they are an error.
    pub(crate) markers: bool,
}

const fn test(name: &'static str, run: fn(&mut Call<'_, '_>) -> Res<bool>) -> Test {
    Test {
        name,
        run,
        markers: false,
    }
}

/// All families.
static FAMILIES: &[&[Test]] = &[
    compare::TESTS,
    files::TESTS,
    results::TESTS,
    strings::TESTS,
    types::TESTS,
    version::TESTS,
];

static BY_NAME: LazyLock<HashMap<&'static str, &'static Test>> = LazyLock::new(|| {
    let all = FAMILIES.iter().copied().flatten();
    all.map(|test| (test.name, test)).collect()
});

/// A test by its name, qualified or not.
pub(crate) fn find(name: &str) -> Option<&'static Test> {
    BY_NAME.get(bare(name)).copied()
}

/// All names.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().copied().flatten().map(|test| test.name)
}
