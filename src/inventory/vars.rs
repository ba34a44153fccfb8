//! `group_vars` and `host_vars` folders.

use crate::diag::Diagnostic;
use crate::playbook::ast::VarMap;
use crate::vault::Vault;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Found = BTreeMap<String, Vec<(PathBuf, VarMap)>>;

/// The files of one `group_vars` and one `host_vars` folder, by group and host.
#[derive(Debug, Clone, Default)]
pub(super) struct Files {
    groups: Found,
    hosts: Found,
}

impl Files {
    /// Reads both folders below `dir`; missing ones are empty.
    pub(super) fn read(dir: &Path, vault: &Vault) -> Result<Self, Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let files = Self {
            groups: folder(&dir.join("group_vars"), vault, &mut problems),
            hosts: folder(&dir.join("host_vars"), vault, &mut problems),
        };
        if problems.is_empty() {
            Ok(files)
        } else {
            Err(problems)
        }
    }

    /// The files of a group, weakest first.
    pub(super) fn of_group(&self, name: &str) -> &[(PathBuf, VarMap)] {
        self.groups.get(name).map_or(&[], Vec::as_slice)
    }

    /// The files of a host, weakest first.
    pub(super) fn of_host(&self, name: &str) -> &[(PathBuf, VarMap)] {
        self.hosts.get(name).map_or(&[], Vec::as_slice)
    }
}

/// Names and their files: `NAME`, `NAME.yml`, `NAME.yaml`, `NAME.json`, or all files below a folder `NAME`.
fn folder(dir: &Path, vault: &Vault, problems: &mut Vec<Diagnostic>) -> Found {
    let mut found = Found::new();
    for path in entries(dir) {
        let name = if path.is_dir() {
            path.file_name()
        } else {
            path.file_stem()
        };
        let Some(name) = name.map(|name| name.to_string_lossy().into_owned()) else {
            continue;
        };
        let mut files = Vec::new();
        below(&path, true, &mut files);
        for file in files {
            match vars(&file, vault) {
                Ok(vars) => found.entry(name.clone()).or_default().push((file, vars)),
                Err(diagnostic) => problems.push(diagnostic),
            }
        }
    }
    found
}

/// Entries of a folder, sorted; none when it does not exist.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(dir)
        .map(|list| list.flatten().map(|e| e.path()).collect())
        .unwrap_or_default();
    all.retain(|path| {
        let name = path
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        !name.starts_with('.') && !name.ends_with('~')
    });
    all.sort();
    all
}

/// Files of variables at or below a path.
fn below(path: &Path, top: bool, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        entries(path)
            .iter()
            .for_each(|entry| below(entry, false, files));
        return;
    }
    let fits = match path.extension().and_then(|ext| ext.to_str()) {
        None => true,
        Some(ext) => {
            matches!(ext, "yml" | "yaml" | "json") || (top && path.is_file() && ext.is_empty())
        }
    };
    if fits {
        files.push(path.to_path_buf());
    }
}

fn vars(path: &Path, vault: &Vault) -> Result<VarMap, Diagnostic> {
    let node = crate::secrets::load(&vault.source(path)?)?;
    if node.is_null() {
        return Ok(VarMap::new());
    }
    let Some(map) = node.as_map() else {
        return Err(Diagnostic::error(
            &node.span,
            format!(
                "a file of variables must be a mapping, this is {}",
                node.describe()
            ),
        ));
    };
    Ok(map
        .iter()
        .map(|(name, _, node)| (Arc::clone(name), node.clone()))
        .collect())
}
