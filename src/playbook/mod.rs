//! What: plays, roles, blocks and tasks, typed, validated, each node with its place.
//!
//! [`ast`] is what the engine walks. Static imports (`import_playbook`, `import_tasks`, `import_role`, `roles:`) are
//! resolved by the loader; dynamic includes are tasks that the engine loads when it reaches them, though
//! the loader reads and checks them beforehand where their name is literal. Loading collects every diagnostic,
//! not only the first.

mod action;
pub mod ast;
mod base;
mod include;
pub mod keywords;
pub mod known;
mod loader;
mod play;
mod role;
pub mod search;
mod statics;
mod syntax;
mod task;

use crate::diag::{Diagnostic, Span};
use crate::yaml::Node;
use ast::{Block, Item, Playbook, RoleUse};
use loader::{Loader, Place};
use std::path::Path;
use std::sync::Arc;

pub use loader::LoadOptions;
pub use role::RoleParts;

/// Reads a playbook with all it imports, and checks everything that can be checked before a host is reached.
///
/// # Errors
/// Everything that is wrong, with the notes that were made.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Playbook, Vec<Diagnostic>> {
    let mut loader = Loader::new(options, &play::dir_of(path));
    let plays = loader.playbook(path);
    if plays.as_ref().is_some_and(Vec::is_empty) && loader.found.is_empty() {
        let message = format!("the playbook {} is empty", path.display());
        loader.report(Diagnostic::plain(message));
    }
    playbook(loader, plays, path)
}

/// Checks a playbook that was made rather than read: `node` is the list of its plays, `path` where it would stand (files are
/// looked for beside it).
///
/// # Errors
/// Everything that is wrong in it.
pub fn of_node(
    node: &Node,
    path: &Path,
    options: &LoadOptions,
) -> Result<Playbook, Vec<Diagnostic>> {
    let mut loader = Loader::new(options, &play::dir_of(path));
    let plays = loader.made(node, path);
    playbook(loader, plays, path)
}

/// What was loaded as a playbook, or everything that is wrong in it.
fn playbook(
    mut loader: Loader<'_>,
    plays: Option<Vec<Arc<ast::Play>>>,
    path: &Path,
) -> Result<Playbook, Vec<Diagnostic>> {
    let unsupported = std::mem::take(&mut loader.unsupported);
    let (plays, notes) = loader.finish(plays)?;
    Ok(Playbook {
        path: path.to_path_buf(),
        plays,
        notes,
        unsupported,
    })
}

/// Reads a file of tasks at run time, as `include_tasks` does. `path` is what [`search::find_tasks`] gave.
///
/// # Errors
/// Everything that is wrong in it.
pub fn load_tasks(
    path: &Path,
    role: Option<&Arc<RoleUse>>,
    playbook_dir: &Path,
    handlers: bool,
    options: &LoadOptions,
) -> Result<Vec<Item>, Vec<Diagnostic>> {
    let mut loader = Loader::new(options, playbook_dir);
    let place = Place {
        role: role.cloned(),
        handlers,
        ..Place::new(&play::dir_of(path))
    };
    let span = Span::head(&crate::diag::Source::new(path.display().to_string(), ""));
    let items = loader.tasks_of(path, &span, &place);
    loader.finish(items).map(|(items, _)| items)
}

/// Reads a role at run time, as `include_role` does: the role, a block with its dependencies and tasks, its handlers.
/// `within` is the role that asks for it.
///
/// # Errors
/// Everything that is wrong in it, or that there is none; located at `by`.
pub fn load_role(
    name: &str,
    parts: &RoleParts,
    within: Option<&Arc<RoleUse>>,
    playbook_dir: &Path,
    by: &Span,
    options: &LoadOptions,
) -> Result<(Arc<RoleUse>, Block, Vec<Item>), Vec<Diagnostic>> {
    let mut loader = Loader::new(options, playbook_dir);
    let place = Place {
        role: within.cloned(),
        ..Place::new(playbook_dir)
    };
    let wanted = role::Wanted {
        name: name.to_owned(),
        span: by.clone(),
        params: ast::VarMap::new(),
        parts: parts.clone(),
        again: true,
    };
    let brought = loader.role_named(&wanted, &ast::Base::default(), &place, true);
    let (brought, _) = loader.finish(brought)?;
    let block = Block {
        span: by.clone(),
        base: ast::Base::default(),
        body: brought.items,
        rescue: Vec::new(),
        always: Vec::new(),
        role: None,
        origin: ast::Origin::Role,
        dir: playbook_dir.to_path_buf(),
        handlers: brought.handlers.clone(),
    };
    Ok((brought.used, block, brought.handlers))
}

/// A path as playbooks see it, in `playbook_dir` and the like: absolute, as in Ansible.
pub(crate) fn absolute(path: &std::path::Path) -> String {
    std::path::absolute(path)
        .unwrap_or_else(|_| path.to_path_buf())
        .display()
        .to_string()
}
