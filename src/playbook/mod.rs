//! What: plays, roles, blocks and tasks, typed, validated, each node with its place.
//!
//! [`ast`] is what the engine walks. Static imports (`import_playbook`, `import_tasks`, `import_role`, `roles:`) are
//! resolved by the loader; dynamic includes are tasks that the engine loads when it reaches them, though
//! the loader reads and checks them beforehand where their name is literal.

pub mod ast;
