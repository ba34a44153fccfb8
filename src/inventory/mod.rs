//! Who: hosts, groups, patterns, ranges, host_vars and group_vars.

mod pattern;
mod ranges;
mod vars;
mod yaml;

use crate::diag::{Diagnostic, Source};
use crate::playbook::ast::VarMap;
use crate::yaml::Node;
use indexmap::{IndexMap, IndexSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A group.
#[derive(Debug, Clone, Default)]
pub struct Group {
    /// Hosts named in it, in order.
    pub hosts: IndexSet<String>,
    /// Groups below it, in order.
    pub children: IndexSet<String>,
    /// Its variables in the inventory file.
    pub vars: VarMap,
}

/// All hosts and groups. `all` and `ungrouped` always exist.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    hosts: IndexMap<String, VarMap>,
    groups: IndexMap<String, Group>,
    /// `group_vars` and `host_vars` folders' files: weakest first (beside the inventory, then beside the playbook).
    files: Vec<vars::Files>,
}

impl Inventory {
    /// Reads an inventory, and the `group_vars` and `host_vars` beside it and beside the playbook.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path, playbook: Option<&Path>) -> Result<Self, Vec<Diagnostic>> {
        let mut inventory = Self::empty();
        let mut problems = Vec::new();
        for file in sources(path).map_err(|diagnostic| vec![diagnostic])? {
            match read(&file) {
                Ok(node) => yaml::read(&mut inventory, &node, &mut problems),
                Err(diagnostic) => problems.push(diagnostic),
            }
        }
        inventory.find_ungrouped();
        inventory.check_loops(&mut problems);
        let beside = |path: &Path| path.parent().map(Path::to_path_buf).unwrap_or_default();
        let mut dirs = vec![if path.is_dir() {
            path.to_path_buf()
        } else {
            beside(path)
        }];
        if let Some(playbook) = playbook {
            dirs.push(beside(playbook));
        }
        dirs.dedup();
        for dir in dirs {
            match vars::Files::read(&dir) {
                Ok(files) => inventory.files.push(files),
                Err(mut found) => problems.append(&mut found),
            }
        }
        if problems.is_empty() {
            Ok(inventory)
        } else {
            Err(problems)
        }
    }

    /// Only `all` and `ungrouped`.
    #[must_use]
    pub fn empty() -> Self {
        let mut inventory = Self::default();
        inventory.groups.insert("all".into(), Group::default());
        inventory
            .groups
            .insert("ungrouped".into(), Group::default());
        inventory
    }

    /// Names of all hosts, in the order written.
    #[must_use]
    pub fn host_names(&self) -> Vec<String> {
        self.hosts.keys().cloned().collect()
    }

    /// Every group with all hosts in it or below it, in inventory order.
    #[must_use]
    pub fn groups(&self) -> Vec<(String, Vec<String>)> {
        self.groups
            .keys()
            .map(|name| (name.clone(), self.members(name)))
            .collect()
    }

    /// All hosts in a group or below it, in inventory order.
    #[must_use]
    pub fn members(&self, group: &str) -> Vec<String> {
        if group == "all" {
            return self.host_names();
        }
        let mut found = IndexSet::new();
        let mut todo = vec![group];
        let mut seen = IndexSet::new();
        while let Some(name) = todo.pop() {
            if !seen.insert(name) {
                continue;
            }
            if let Some(group) = self.groups.get(name) {
                found.extend(group.hosts.iter().cloned());
                todo.extend(group.children.iter().map(String::as_str));
            }
        }
        self.hosts
            .keys()
            .filter(|host| found.contains(*host))
            .cloned()
            .collect()
    }

    /// Hosts of a pattern that are also in the limit, in inventory order.
    ///
    /// # Errors
    /// When the limit names a host or group that does not exist.
    pub fn select(&self, pattern: &str, limit: Option<&str>) -> Result<Vec<String>, Diagnostic> {
        let mut hosts = pattern::select(self, pattern, false)?;
        if let Some(limit) = limit {
            let allowed = pattern::select(self, limit, true)?;
            hosts.retain(|host| allowed.contains(host));
        }
        Ok(hosts)
    }

    /// A host's definitions with a word on where each layer is from, weakest first: `all`, groups by depth,
    /// priority and name, the host; in each the inventory's own before the files beside it and beside the playbook.
    #[must_use]
    pub fn host_vars_layers(&self, host: &str) -> Vec<(String, Arc<VarMap>)> {
        let mut layers = Vec::new();
        let groups = self.groups_by_precedence(host);
        let mut add = |what: String, vars: &VarMap| {
            if !vars.is_empty() {
                layers.push((what, Arc::new(vars.clone())));
            }
        };
        // As in Ansible: all group variables of the inventory file first, then the folders, `all` before the others.
        for name in &groups {
            if let Some(group) = self.groups.get(name) {
                add(format!("group {name} in the inventory"), &group.vars);
            }
        }
        for only_all in [true, false] {
            for files in &self.files {
                for name in groups.iter().filter(|name| (*name == "all") == only_all) {
                    for (path, vars) in files.of_group(name) {
                        add(path.display().to_string(), vars);
                    }
                }
            }
        }
        if let Some(vars) = self.hosts.get(host) {
            add(format!("host {host} in the inventory"), vars);
        }
        for files in &self.files {
            for (path, vars) in files.of_host(host) {
                add(path.display().to_string(), vars);
            }
        }
        layers
    }

    /// `all` first, then the host's groups by depth, `ansible_group_priority` and name.
    fn groups_by_precedence(&self, host: &str) -> Vec<String> {
        let mut own: Vec<(usize, i64, &String)> = self
            .groups
            .keys()
            .filter(|name| *name != "all" && self.members(name).iter().any(|member| member == host))
            .map(|name| (self.depth(name), self.priority(name), name))
            .collect();
        own.sort();
        std::iter::once("all".to_owned())
            .chain(own.into_iter().map(|(_, _, name)| name.clone()))
            .collect()
    }

    /// How far below `all`: the longest way down.
    fn depth(&self, group: &str) -> usize {
        let parents = self
            .groups
            .iter()
            .filter(|(_, g)| g.children.contains(group));
        parents
            .map(|(name, _)| {
                if name == "all" {
                    1
                } else {
                    self.depth(name) + 1
                }
            })
            .max()
            .unwrap_or(1)
    }

    fn priority(&self, group: &str) -> i64 {
        let value = self
            .groups
            .get(group)
            .and_then(|g| g.vars.get("ansible_group_priority"));
        match value.map(|node| &node.kind) {
            Some(crate::yaml::Kind::Int(n)) => *n,
            Some(crate::yaml::Kind::Str(text)) => text.parse().unwrap_or(1),
            _ => 1,
        }
    }

    /// Puts the hosts that are in no other group into `ungrouped`.
    fn find_ungrouped(&mut self) {
        let special = |name: &str| name == "all" || name == "ungrouped";
        let grouped: IndexSet<String> = self
            .groups
            .iter()
            .filter(|(name, _)| !special(name))
            .flat_map(|(_, group)| group.hosts.iter().cloned())
            .collect();
        let alone: Vec<String> = self
            .hosts
            .keys()
            .filter(|host| !grouped.contains(*host))
            .cloned()
            .collect();
        if let Some(ungrouped) = self.groups.get_mut("ungrouped") {
            ungrouped.hosts.extend(alone);
        }
    }

    /// Groups that are below themselves.
    fn check_loops(&mut self, problems: &mut Vec<Diagnostic>) {
        let names: Vec<String> = self.groups.keys().cloned().collect();
        for start in &names {
            let mut todo: Vec<&str> = self.children(start);
            let mut seen = IndexSet::new();
            while let Some(name) = todo.pop() {
                if name == start {
                    problems.push(Diagnostic::plain(format!(
                        "group `{start}` is below itself"
                    )));
                    // Without the loop the rest can still be looked at.
                    if let Some(group) = self.groups.get_mut(start) {
                        group.children.clear();
                    }
                    break;
                }
                if seen.insert(name) {
                    todo.extend(self.children(name));
                }
            }
        }
    }

    fn children(&self, group: &str) -> Vec<&str> {
        self.groups
            .get(group)
            .map(|g| g.children.iter().map(String::as_str).collect())
            .unwrap_or_default()
    }
}

/// The files an inventory path means: itself, or those in the folder but for variables and backups.
fn sources(path: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    if !path.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let unreadable = |why| {
        Diagnostic::plain(format!(
            "cannot read the inventory {}: {why}",
            path.display()
        ))
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        let name = file
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let fits = file
            .extension()
            .is_some_and(|ext| ext == "yml" || ext == "yaml" || ext == "json");
        if file.is_file() && fits && !name.starts_with('.') {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

/// A file as a node.
fn read(path: &Path) -> Result<Node, Diagnostic> {
    let text = std::fs::read_to_string(path)
        .map_err(|why| Diagnostic::plain(format!("cannot read {}: {why}", path.display())))?;
    crate::yaml::load(&Source::new(path.display().to_string(), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Inventory, Vec<Diagnostic>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("inventory.yaml");
        std::fs::write(&path, text).unwrap();
        Inventory::load(&path, None)
    }

    const TEXT: &str = "
all:
  vars: {a: 1}
  hosts:
    solo:
  children:
    web:
      hosts:
        node[01:03]:
        db1: {ansible_host: 10.0.0.9}
      vars: {a: 2}
    east:
      children:
        web:
      vars: {a: 3, b: 3}
";

    #[test]
    fn hosts_groups_and_ranges() {
        let inventory = load(TEXT).unwrap();
        assert_eq!(
            inventory.host_names(),
            ["solo", "node01", "node02", "node03", "db1"]
        );
        assert_eq!(
            inventory.members("east"),
            ["node01", "node02", "node03", "db1"]
        );
        assert_eq!(inventory.members("ungrouped"), ["solo"]);
    }

    #[test]
    fn patterns() {
        let inventory = load(TEXT).unwrap();
        let select = |pattern: &str| inventory.select(pattern, None).unwrap().join(" ");
        assert_eq!(select("web:!db1"), "node01 node02 node03");
        assert_eq!(select("node*,&east"), "node01 node02 node03");
        assert_eq!(select("web[0:1]"), "node01 node02");
        assert_eq!(select("web[-1]"), "db1");
        assert_eq!(select("~node0[12]"), "node01 node02");
        assert_eq!(inventory.select("all", Some("node02")).unwrap(), ["node02"]);
        let wrong = inventory.select("all", Some("node20")).unwrap_err();
        assert!(wrong.message.contains("node20"));
    }

    #[test]
    fn deeper_groups_win() {
        let inventory = load(TEXT).unwrap();
        let layers = inventory.host_vars_layers("node01");
        let names: Vec<&str> = layers.iter().map(|(what, _)| what.as_str()).collect();
        assert_eq!(
            names,
            [
                "group all in the inventory",
                "group east in the inventory",
                "group web in the inventory"
            ]
        );
    }

    #[test]
    fn mistakes_have_a_place() {
        let wrong = load("all:\n  hots:\n    a:\n").unwrap_err();
        assert!(
            wrong[0].to_string().contains("inventory.yaml:2:3"),
            "{}",
            wrong[0]
        );
        assert_eq!(wrong[0].hint.as_deref(), Some("did you mean `hosts`?"));
        let wrong = load("all:\n  hosts: [a, b]\n").unwrap_err();
        assert!(wrong[0].message.contains("mapping"), "{}", wrong[0]);
        let wrong = load("a:\n  children:\n    b:\n      children:\n        a:\n").unwrap_err();
        assert!(wrong[0].message.contains("below itself"));
    }
}
