//! The per-host executor: observe, decide, act.
//!
//! - `walk` says which task is next; `chain` what it inherits; `position` is a walk with what was learned.
//! - `prepare` renders the task at a position into a step; `control` carries out the modules that are the engine's own.
//! - `turn` plans ahead over a copy of the position and packs probes and actions into one script.
//! - `lock` keeps two runs from changing one host at the same time.
//! - `interrupt` is Ctrl-C; `resume` is where a host goes on that an earlier run left in the middle.
//! - `outage` is a line that broke, until there is another.
//! - `guard` has a host put a change back that nobody confirms.
//! - `due` keeps the handlers that are due from run to run.
//! - `twins` finds two names of one machine.
//! - `host` is the loop that takes turns; `play` runs the hosts of a play; `board` is where they wait for each other.

mod background;
mod board;
mod chain;
mod context;
mod control;
mod due;
mod explain;
mod fingerprint;
mod flight;
mod guard;
mod host;
mod include_vars;
mod includes;
mod interrupt;
mod links;
mod listing;
mod lock;
mod outage;
mod play;
mod position;
mod prepare;
mod reboot;
mod result;
mod resume;
mod run;
mod steps;
mod turn;
mod twins;
mod walk;

pub use context::{Lock, Options};
pub use explain::explain;
pub use interrupt::Interrupt;
pub use links::{ConnectionDefaults, Connector};
pub use listing::{Listing, list};
pub use resume::{Point, Task as ResumeTask};
pub use run::{Run, Summary, run};
