//! Stand-ins for packages that cannot be had in tests.
fn main() {}
