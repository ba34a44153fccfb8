//! Ansible's YAML inventories: groups with `hosts`, `children` and `vars`.

use super::{Inventory, ranges};
use crate::diag::Diagnostic;
use crate::playbook::ast::VarMap;
use crate::yaml::Node;
use std::sync::Arc;

const KEYS: [&str; 3] = ["hosts", "children", "vars"];

/// Adds a file's groups; collects what is wrong with it.
pub(super) fn read(inventory: &mut Inventory, root: &Node, problems: &mut Vec<Diagnostic>) {
    if root.is_null() {
        return;
    }
    let Some(map) = root.as_map() else {
        problems.push(
            Diagnostic::error(
                &root.span,
                format!(
                    "an inventory is a mapping of groups, this is {}",
                    root.describe()
                ),
            )
            .hint("start with `all:` and, below it, `hosts:`"),
        );
        return;
    };
    for (name, span, node) in map.iter() {
        if KEYS.contains(&&**name) {
            problems.push(
                Diagnostic::error(span, format!("`{name}` stands where a group's name should"))
                    .hint("put it below `all:`"),
            );
            continue;
        }
        group(inventory, name, node, problems);
    }
}

fn group(inventory: &mut Inventory, name: &Arc<str>, node: &Node, problems: &mut Vec<Diagnostic>) {
    inventory.groups.entry(name.to_string()).or_default();
    if node.is_null() {
        return;
    }
    let Some(map) = node.as_map() else {
        problems.push(
            Diagnostic::error(
                &node.span,
                format!(
                    "group `{name}` must be a mapping, this is {}",
                    node.describe()
                ),
            )
            .hint("a group has `hosts:`, `children:` and `vars:`"),
        );
        return;
    };
    for (key, span, part) in map.iter() {
        if !KEYS.contains(&&**key) {
            problems.push(
                Diagnostic::error(span, format!("unknown key `{key}` of group `{name}`"))
                    .did_you_mean(key, KEYS)
                    .or_hint("a group has `hosts:`, `children:` and `vars:`"),
            );
            continue;
        }
        if part.is_null() {
            continue;
        }
        // A single name instead of a mapping is accepted, as in Ansible.
        if let (Some(one), "hosts") = (part.as_str(), &**key) {
            add_hosts(
                inventory,
                name,
                one,
                &Node::string("", &part.span),
                problems,
            );
            continue;
        }
        let Some(entries) = part.as_map() else {
            problems.push(
                Diagnostic::error(
                    &part.span,
                    format!("`{key}` must be a mapping, this is {}", part.describe()),
                )
                .hint(format!(
                    "write each name with a colon: `{key}:` and, below it, `name:`"
                )),
            );
            continue;
        };
        match &**key {
            "vars" => {
                let vars: VarMap = entries
                    .iter()
                    .map(|(k, _, v)| (Arc::clone(k), v.clone()))
                    .collect();
                if let Some(group) = inventory.groups.get_mut(&**name) {
                    group.vars.extend(vars);
                }
            }
            "children" => {
                for (child, _, node) in entries.iter() {
                    if let Some(group) = inventory.groups.get_mut(&**name) {
                        group.children.insert(child.to_string());
                    }
                    group(inventory, child, node, problems);
                }
            }
            _ => {
                for (host, span, vars) in entries.iter() {
                    if !vars.is_null() && vars.as_map().is_none() {
                        problems.push(
                            Diagnostic::error(
                                &vars.span,
                                format!(
                                    "host `{host}` must be a mapping of variables, this is {}",
                                    vars.describe()
                                ),
                            )
                            .hint("for example `ansible_host: 192.0.2.7`"),
                        );
                        continue;
                    }
                    let at = Node {
                        kind: vars.kind.clone(),
                        span: span.clone(),
                    };
                    add_hosts(inventory, name, host, &at, problems);
                }
            }
        }
    }
}

/// Adds the hosts that a name or range means to a group.
fn add_hosts(
    inventory: &mut Inventory,
    group: &str,
    name: &str,
    vars: &Node,
    problems: &mut Vec<Diagnostic>,
) {
    let names = match ranges::expand(name) {
        Ok(names) => names,
        Err(why) => {
            problems.push(
                Diagnostic::error(&vars.span, format!("range in `{name}`: {why}"))
                    .hint("write `node[01:20]`, `node[a:f]` or `node[0:10:2]`"),
            );
            return;
        }
    };
    for host in names {
        let known = inventory.hosts.entry(host.clone()).or_default();
        if let Some(map) = vars.as_map() {
            known.extend(map.iter().map(|(k, _, v)| (Arc::clone(k), v.clone())));
        }
        if let Some(group) = inventory.groups.get_mut(group) {
            group.hosts.insert(host);
        }
    }
}
