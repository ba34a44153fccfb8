//! Ansible's YAML inventories: groups with `hosts`, `children` and `vars`.

use super::{Inventory, address, vars_of};
use crate::diag::Diagnostic;
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
    if let Some(span) = map.key_span("plugin") {
        problems.push(
            Diagnostic::error(span, "inventory plugins of Ansible cannot run here")
                .hint("use a program that prints the inventory as JSON, or write it down as YAML"),
        );
        return;
    }
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
    inventory.group(name);
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
        match (part.as_str(), &**key) {
            (Some(one), "hosts") => {
                add_hosts(
                    inventory,
                    name,
                    one,
                    &Node::string("", &part.span),
                    problems,
                );
                continue;
            }
            (Some(one), "children") => {
                inventory.group(one);
                inventory.add_child(name, one, &part.span, problems);
                continue;
            }
            _ => {}
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
            "vars" => inventory.group(name).vars.extend(vars_of(part)),
            "children" => {
                for (child, span, node) in entries.iter() {
                    inventory.group(child);
                    inventory.add_child(name, child, span, problems);
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
    match address::expand(name) {
        Ok((names, port)) => inventory.add_hosts(group, &names, port, &vars_of(vars), &vars.span),
        Err(why) => problems.push(
            Diagnostic::error(&vars.span, format!("range in `{name}`: {why}"))
                .hint("write `node[01:20]`, `node[a:f]` or `node[0:10:2]`"),
        ),
    }
}
