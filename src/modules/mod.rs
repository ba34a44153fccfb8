//! One file per module and one static table of them.
