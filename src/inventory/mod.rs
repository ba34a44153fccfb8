//! Who: hosts, groups, patterns, ranges, host_vars and group_vars.
//!
//! An inventory is read from one or several sources: YAML, INI, programs, CSV rosters, folders of those. The order of
//! hosts and groups is Ansible's, because playbooks count on it (`groups['zookeeper'] | first`).

mod address;
mod ini;
mod literal;
mod pattern;
mod ranges;
mod roster;
mod script;
mod sources;
mod vars;
mod yaml;

use crate::diag::{Diagnostic, Source, Span};
use crate::playbook::ast::VarMap;
use crate::vault::Vault;
use crate::yaml::{Kind, Node};
use indexmap::{IndexMap, IndexSet};
use std::collections::HashMap;
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
    /// `ansible_group_priority`: of groups as deep as each other the one with more wins.
    priority: i64,
}

/// All hosts and groups. `all` and `ungrouped` always exist.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    hosts: IndexMap<String, VarMap>,
    groups: IndexMap<String, Group>,
    /// `group_vars` and `host_vars` folders' files: weakest first (beside the inventory, then beside the playbook).
    files: Vec<vars::Files>,
    /// Passwords for encrypted files.
    vault: Vault,
    /// For each host the groups it is in, weakest first, without `all`.
    memberships: HashMap<String, Vec<String>>,
}

impl Inventory {
    /// Reads an inventory, and the `group_vars` and `host_vars` beside it and beside the playbook.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(path: &Path, playbook: Option<&Path>) -> Result<Self, Vec<Diagnostic>> {
        Self::load_all(&[path.to_path_buf()], playbook, &Vault::default())
    }

    /// Reads several sources into one inventory; later ones win. The vault opens encrypted ones.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load_all(
        paths: &[PathBuf],
        playbook: Option<&Path>,
        vault: &Vault,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut inventory = Self::empty();
        inventory.vault = vault.clone();
        let mut problems = Vec::new();
        let mut dirs = Vec::new();
        for path in paths {
            sources::read(&mut inventory, path, &mut dirs, &mut problems);
        }
        if let Some(playbook) = playbook {
            dirs.push(match playbook.parent() {
                Some(dir) if !dir.as_os_str().is_empty() => dir.to_path_buf(),
                _ => PathBuf::from("."),
            });
        }
        let mut seen = Vec::new();
        for dir in dirs {
            let full = dir.canonicalize().unwrap_or_else(|_| dir.clone());
            if seen.contains(&full) {
                continue;
            }
            seen.push(full);
            match vars::Files::read(&dir, vault) {
                Ok(files) => inventory.files.push(files),
                Err(mut found) => problems.append(&mut found),
            }
        }
        inventory.finish();
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
        inventory.group("all");
        inventory.group("ungrouped");
        inventory.group("all").children.insert("ungrouped".into());
        inventory
    }

    /// Names of all hosts, in the order written.
    #[must_use]
    pub fn host_names(&self) -> Vec<String> {
        self.hosts.keys().cloned().collect()
    }

    /// Every group with all hosts in it or below it, in Ansible's order.
    #[must_use]
    pub fn groups(&self) -> Vec<(String, Vec<String>)> {
        self.groups
            .keys()
            .map(|name| (name.clone(), self.members(name)))
            .collect()
    }

    /// All hosts in a group or below it: its own first, then those of its children, level by level.
    #[must_use]
    pub fn members(&self, group: &str) -> Vec<String> {
        let mut hosts: IndexSet<&str> = IndexSet::new();
        let mut order: IndexSet<&str> = IndexSet::from([group]);
        let mut at = 0;
        while let Some(name) = order.get_index(at).copied() {
            if let Some(group) = self.groups.get(name) {
                hosts.extend(group.hosts.iter().map(String::as_str));
                order.extend(group.children.iter().map(String::as_str));
            }
            at += 1;
        }
        hosts.into_iter().map(str::to_owned).collect()
    }

    /// The groups a host is in, weakest first: by depth, `ansible_group_priority` and name; `all` left out.
    #[must_use]
    pub fn groups_of(&self, host: &str) -> &[String] {
        self.memberships.get(host).map_or(&[], Vec::as_slice)
    }

    /// Hosts of a pattern that are also in the limit, in the order in which the pattern names them.
    ///
    /// # Errors
    /// When the limit names a host or group that does not exist.
    pub fn select(&self, pattern: &str, limit: Option<&str>) -> Result<Vec<String>, Diagnostic> {
        let mut hosts = pattern::select(self, pattern, false)?;
        if let Some(limit) = limit {
            let allowed: IndexSet<String> =
                pattern::select(self, limit, true)?.into_iter().collect();
            hosts.retain(|host| allowed.contains(host));
        }
        Ok(hosts)
    }

    /// Warnings about the terms of a pattern that match no host and no group.
    #[must_use]
    pub fn unmatched(&self, pattern: &str, span: &Span) -> Vec<Diagnostic> {
        pattern::unmatched(self, pattern)
            .into_iter()
            .map(|term| {
                let names = self.hosts.keys().chain(self.groups.keys());
                Diagnostic::warning(
                    span,
                    format!("no host or group of the inventory matches `{term}`"),
                )
                .did_you_mean(&term, names.map(String::as_str))
            })
            .collect()
    }

    /// A host's definitions with a word on where each layer is from, weakest first: `all`, groups by depth,
    /// priority and name, the host; in each the inventory's own before the files beside it and beside the playbook.
    #[must_use]
    pub fn host_vars_layers(&self, host: &str) -> Vec<(String, Arc<VarMap>)> {
        self.host_vars_layers_in(host, &[])
    }

    /// The same for a host that the run put into more groups, weakest first.
    #[must_use]
    pub fn host_vars_layers_in(&self, host: &str, more: &[Arc<str>]) -> Vec<(String, Arc<VarMap>)> {
        let mut layers = Vec::new();
        let mut add = |what: String, vars: &VarMap| {
            if !vars.is_empty() {
                layers.push((what, Arc::new(vars.clone())));
            }
        };
        let own = self.groups_of(host);
        let groups = || {
            let more = more
                .iter()
                .filter(|name| !own.iter().any(|known| **known == ***name));
            std::iter::once("all")
                .chain(own.iter().map(String::as_str))
                .chain(more.map(AsRef::as_ref))
        };
        // As in Ansible: all group variables of the inventory file first, then the folders, `all` before the others.
        for name in groups() {
            if let Some(group) = self.groups.get(name) {
                add(format!("group {name} in the inventory"), &group.vars);
            }
        }
        for only_all in [true, false] {
            for files in &self.files {
                for name in groups().filter(|name| (*name == "all") == only_all) {
                    for (path, vars) in files.of_group(name) {
                        add(path.display().to_string(), vars);
                    }
                }
            }
        }
        match self.hosts.get(host) {
            Some(vars) => add(format!("host {host} in the inventory"), vars),
            None if is_local(host) => add("implicit localhost".into(), &implicit()),
            None => {}
        }
        for files in &self.files {
            for (path, vars) in files.of_host(host) {
                add(path.display().to_string(), vars);
            }
        }
        layers
    }

    /// The group of a name, made when there is none.
    fn group(&mut self, name: &str) -> &mut Group {
        self.groups.entry(name.to_owned()).or_default()
    }

    /// Puts a group below another, unless that would put it below itself.
    fn add_child(
        &mut self,
        parent: &str,
        child: &str,
        span: &Span,
        problems: &mut Vec<Diagnostic>,
    ) {
        let mut below: IndexSet<&str> = IndexSet::from([child]);
        let mut at = 0;
        while let Some(name) = below.get_index(at).copied() {
            if let Some(group) = self.groups.get(name) {
                below.extend(group.children.iter().map(String::as_str));
            }
            at += 1;
        }
        if below.contains(parent) {
            problems.push(
                Diagnostic::error(span, format!("group `{parent}` is below itself")).hint(format!(
                    "`{child}` holds `{parent}`, so it cannot be one of its children"
                )),
            );
            return;
        }
        self.group(parent).children.insert(child.to_owned());
    }

    /// Adds hosts to a group; later variables win.
    fn add_hosts(
        &mut self,
        group: &str,
        names: &[String],
        port: Option<u16>,
        vars: &VarMap,
        span: &Span,
    ) {
        for host in names {
            let known = self.hosts.entry(host.clone()).or_default();
            if let Some(port) = port {
                let kind = Kind::Int(i128::from(port));
                let span = span.clone();
                known.insert("ansible_port".into(), Node { kind, span });
            }
            known.extend(
                vars.iter()
                    .map(|(key, node)| (Arc::clone(key), node.clone())),
            );
            self.group(group).hosts.insert(host.clone());
        }
    }

    /// Adds variables of a host that may be in no group yet.
    fn set_host_vars(&mut self, host: &str, vars: VarMap) {
        self.hosts.entry(host.to_owned()).or_default().extend(vars);
    }

    /// What holds once everything is read: who is ungrouped, what is below `all`, which groups a host is in.
    fn finish(&mut self) {
        let special = |name: &str| name == "all" || name == "ungrouped";
        let children: IndexSet<String> = self
            .groups
            .values()
            .flat_map(|group| group.children.iter().cloned())
            .collect();
        let tops: Vec<String> = self
            .groups
            .keys()
            .filter(|name| *name != "all" && !children.contains(*name))
            .cloned()
            .collect();
        self.group("all").children.extend(tops);
        let grouped: IndexSet<&String> = self
            .groups
            .iter()
            .filter(|(name, _)| !special(name))
            .flat_map(|(_, group)| &group.hosts)
            .collect();
        let ungrouped: IndexSet<String> = {
            let before = self.groups.get("ungrouped").map(|group| &group.hosts);
            let names = before.into_iter().flatten().chain(self.hosts.keys());
            names
                .filter(|host| !grouped.contains(host))
                .cloned()
                .collect()
        };
        self.group("ungrouped").hosts = ungrouped;
        for group in self.groups.values_mut() {
            let said = group.vars.shift_remove("ansible_group_priority");
            group.priority = said.map_or(1, |node| priority(&node));
        }
        self.memberships = self.find_memberships();
    }

    fn find_memberships(&self) -> HashMap<String, Vec<String>> {
        let depths = self.depths();
        let mut names: Vec<&String> = self.groups.keys().filter(|name| *name != "all").collect();
        let priority = |name: &String| self.groups.get(name).map(|group| group.priority);
        names.sort_by_key(|name| (depths.get(name.as_str()), priority(name), *name));
        let mut memberships: HashMap<String, Vec<String>> = HashMap::new();
        for name in names {
            for host in self.members(name) {
                memberships.entry(host).or_default().push(name.clone());
            }
        }
        memberships
    }

    /// How far each group is below `all`: the longest way down.
    fn depths(&self) -> HashMap<&str, usize> {
        let mut depths: HashMap<&str, usize> = HashMap::new();
        let mut todo = vec![("all", 0usize)];
        while let Some((name, depth)) = todo.pop() {
            // There are no loops, so no way is longer than there are groups.
            if depths.get(name).is_some_and(|known| *known >= depth) || depth > self.groups.len() {
                continue;
            }
            depths.insert(name, depth);
            let children = self
                .groups
                .get(name)
                .into_iter()
                .flat_map(|group| &group.children);
            todo.extend(children.map(|child| (child.as_str(), depth + 1)));
        }
        depths
    }
}

/// The number that `ansible_group_priority` says.
fn priority(node: &Node) -> i64 {
    match &node.kind {
        Kind::Int(n) => i64::try_from(*n).unwrap_or(i64::MAX),
        Kind::Str(text) => text.trim().parse().unwrap_or(1),
        _ => 1,
    }
}

/// Names that mean this machine even when no inventory has them.
fn is_local(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1")
}

/// What Ansible knows of a `localhost` that no inventory has.
fn implicit() -> VarMap {
    let span = Span::head(&Source::new("<implicit localhost>", ""));
    VarMap::from_iter([("ansible_connection".into(), Node::string("local", &span))])
}

/// A mapping as variables; nothing for anything else.
fn vars_of(node: &Node) -> VarMap {
    node.as_map().map_or_else(VarMap::new, |map| {
        map.iter()
            .map(|(name, _, node)| (Arc::clone(name), node.clone()))
            .collect()
    })
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
