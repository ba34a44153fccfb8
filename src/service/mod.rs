//! Operating services: which hosts carry what, in which order, and one play for each.
//!
//! A service is a unit that a role's `verify.yml` wants active. The order of a playbook's plays is the order of dependency: services
//! start in it and stop in the reverse. Behind each the role's own checks are awaited before the next is touched.

mod carried;
mod logs;
mod plan;
mod table;

pub use carried::{Carried, Service};
pub use logs::Tail;
pub use plan::{Act, Plan};
pub use table::Table;
