//! Where files that tasks name are looked for, in Ansible's order.

use super::ast::{Action, Base, RoleUse};
use super::loader::{Loader, Place, clean};
use crate::diag::Diagnostic;
use crate::modules::Runs;
use crate::yaml::Node;
use std::path::{Path, PathBuf};

/// The file that `name` means, for `kind` (`files`, `templates`, `vars`): in each folder of `stack` below `kind` and
/// as it is. `stack` starts with what is nearest: the role, the roles that pulled it in, the task's folder, the playbook's.
///
/// # Errors
/// Everywhere it was looked for.
pub fn find(stack: &[PathBuf], kind: &str, name: &str) -> Result<PathBuf, Vec<PathBuf>> {
    let path = Path::new(name);
    if path.is_absolute() {
        let path = path.to_path_buf();
        return if path.exists() {
            Ok(path)
        } else {
            Err(vec![path])
        };
    }
    let named = path
        .components()
        .next()
        .is_some_and(|first| first.as_os_str() == kind);
    let mut tried = Vec::new();
    for dir in stack {
        let below = (!named).then(|| dir.join(kind).join(path));
        for candidate in below.into_iter().chain([dir.join(path)]) {
            let candidate = clean(&candidate);
            if candidate.exists() {
                return Ok(candidate);
            }
            if !tried.contains(&candidate) {
                tried.push(candidate);
            }
        }
    }
    Err(tried)
}

/// Folders in which a task's files are looked for.
#[must_use]
pub fn stack(role: Option<&RoleUse>, dir: &Path, playbook_dir: &Path) -> Vec<PathBuf> {
    let roles = role.into_iter().flat_map(|used| {
        std::iter::once(&used.role)
            .chain(&used.parents)
            .map(|role| role.path.clone())
    });
    let mut stack: Vec<PathBuf> = Vec::new();
    for dir in roles.chain([dir.to_path_buf(), playbook_dir.to_path_buf()]) {
        if !stack.contains(&dir) {
            stack.push(dir);
        }
    }
    stack
}

/// The file of tasks that an include or import names.
///
/// # Errors
/// Everywhere it was looked for.
pub fn find_tasks(
    name: &str,
    role: Option<&RoleUse>,
    dir: &Path,
    playbook_dir: &Path,
    handlers: bool,
) -> Result<PathBuf, Vec<PathBuf>> {
    let mut dirs = vec![dir.to_path_buf()];
    if let Some(used) = role {
        let path = &used.role.path;
        if handlers {
            dirs.push(path.join("handlers"));
        }
        dirs.extend([path.join("tasks"), path.clone()]);
    }
    dirs.extend([playbook_dir.join("tasks"), playbook_dir.to_path_buf()]);
    let mut tried = Vec::new();
    for candidate in dirs.iter().map(|dir| clean(&dir.join(name))) {
        if candidate.is_file() {
            return Ok(candidate);
        }
        if !tried.contains(&candidate) {
            tried.push(candidate);
        }
    }
    Err(tried)
}

/// "looked in a, b and c", for hints.
pub(super) fn looked_in(tried: &[PathBuf]) -> String {
    let names: Vec<String> = tried
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    format!("looked for {}", names.join(", "))
}

/// Modules whose literal `src` is a file here, and the folder of a role it is in.
const SOURCES: &[(&str, &str)] = &[
    ("copy", "files"),
    ("template", "templates"),
    ("script", "files"),
    ("unarchive", "files"),
    ("assemble", "files"),
];

impl Loader<'_> {
    /// A literal `src` must be there, unless a task may make it here.
    pub(super) fn check_files(&mut self, action: &Action, base: &Base, place: &Place) {
        let Some(spec) = action.spec else { return };
        let here = |node: &Option<Node>, names: &[&str]| {
            node.as_ref()
                .and_then(Node::as_str)
                .is_some_and(|name| names.contains(&name))
        };
        let local = here(&base.delegate_to, &["localhost", "127.0.0.1"])
            || here(&base.connection, &["local", "ansible.builtin.local"]);
        if spec.name == "fetch" || (local && spec.runs == Runs::Host && spec.name != "stat") {
            self.makes_files = true;
        }
        let Some((_, kind)) = SOURCES.iter().find(|(name, _)| *name == spec.name) else {
            return;
        };
        let Some(map) = action.args.as_map() else {
            return;
        };
        let key = if spec.name == "script" {
            "_raw_params"
        } else {
            "src"
        };
        let Some(src) = map.get(key).filter(|node| !node.is_template()) else {
            return;
        };
        let remote_default = spec.name == "assemble";
        let flag = |key: &str, default: bool| {
            map.get(key).map_or(default, |node| {
                crate::modules::args::to_bool(&crate::yaml::plain(node)).unwrap_or(true)
            })
        };
        // It may be on the host, or be made by an earlier task here.
        if flag("remote_src", remote_default) || !flag("copy", true) || place.tolerant {
            return;
        }
        let Some(name) = source_name(spec.name, src) else {
            return;
        };
        if Path::new(name).is_absolute() || name.contains("://") || name.starts_with('~') {
            return;
        }
        let stack = stack(place.role.as_deref(), &place.dir, &self.playbook_dir);
        let found = find(&stack, kind, name);
        if let (true, Ok(path)) = (self.options.lint && spec.name == "template", &found) {
            self.lint_template(path);
        }
        if place.guarded || base.delegate_to.is_some() {
            return;
        }
        if let Err(tried) = found {
            self.missing.push(
                Diagnostic::error(
                    &src.span,
                    format!("there is no file `{name}` to {}", verb(spec.name)),
                )
                .hint(looked_in(&tried)),
            );
        }
    }
}

fn verb(module: &str) -> &str {
    match module {
        "template" => "render",
        "script" => "run",
        "unarchive" => "unpack",
        "assemble" => "assemble",
        _ => "copy",
    }
}

/// The file's name in a `src`; a script's is its first word.
fn source_name<'a>(module: &str, src: &'a Node) -> Option<&'a str> {
    let text = src.as_str()?.trim();
    let name = if module == "script" {
        text.split_whitespace().next()?
    } else {
        text
    };
    (!name.is_empty()).then(|| name.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_folder_comes_first_and_all_places_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir_all(root.join("role/files")).unwrap();
        std::fs::write(root.join("role/files/a"), "").unwrap();
        std::fs::write(root.join("role/a"), "").unwrap();
        std::fs::write(root.join("b"), "").unwrap();
        let stack = [root.join("role"), root.to_path_buf()];
        assert_eq!(find(&stack, "files", "a"), Ok(root.join("role/files/a")));
        assert_eq!(
            find(&stack, "files", "files/a"),
            Ok(root.join("role/files/a"))
        );
        assert_eq!(find(&stack, "files", "b"), Ok(root.join("b")));
        assert_eq!(find(&stack, "files", "c").unwrap_err().len(), 4);
    }
}
