//! The per-host executor: observe, decide, act.
