//! Executable inventories: a program that prints JSON for `--list` and `--host NAME`.

use super::Inventory;
use super::vars_of;
use crate::diag::{Diagnostic, Source, Span};
use crate::playbook::ast::VarMap;
use crate::yaml::{Kind, Node, from_json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Runs a program and adds its groups.
pub(super) fn read(inventory: &mut Inventory, path: &Path, problems: &mut Vec<Diagnostic>) {
    match list(inventory, path, problems) {
        Ok(()) => {}
        Err(problem) => problems.push(problem),
    }
}

fn list(
    inventory: &mut Inventory,
    path: &Path,
    problems: &mut Vec<Diagnostic>,
) -> Result<(), Diagnostic> {
    let data = run(path, &["--list"])?;
    let Some(groups) = data.as_map() else {
        return Err(wrong(path, "it did not print a mapping of groups"));
    };
    let meta = groups
        .get("_meta")
        .and_then(|meta| meta.as_map()?.get("hostvars"));
    let mut named = Vec::new();
    for (name, _, group) in groups.iter().filter(|(name, ..)| &***name != "_meta") {
        inventory.group(name);
        let hosts = match &group.kind {
            // The oldest form: a list of hosts.
            Kind::Seq(_) => Some(group.clone()),
            Kind::Map(map) => {
                let at = Span::head(&group.span.source);
                for child in map
                    .get("children")
                    .and_then(Node::as_seq)
                    .unwrap_or_default()
                {
                    if let Some(child) = child.as_str() {
                        inventory.group(child);
                        inventory.add_child(name, child, &at, problems);
                    }
                }
                if let Some(vars) = map.get("vars") {
                    inventory.group(name).vars.extend(vars_of(vars));
                }
                map.get("hosts").cloned()
            }
            _ => {
                return Err(wrong(
                    path,
                    &format!("group `{name}` is {}", group.describe()),
                ));
            }
        };
        for host in hosts.as_ref().and_then(Node::as_seq).unwrap_or_default() {
            let Some(host) = host.as_str() else { continue };
            inventory.add_hosts(name, &[host.to_owned()], None, &VarMap::new(), &group.span);
            named.push(host.to_owned());
        }
    }
    if let Some(vars) = meta {
        for (host, _, vars) in vars.as_map().into_iter().flat_map(crate::yaml::Map::iter) {
            inventory.set_host_vars(host, vars_of(vars));
        }
        return Ok(());
    }
    // Without `_meta` each host is asked for.
    named.sort();
    named.dedup();
    for host in named {
        let vars = run(path, &["--host", &host])?;
        inventory.set_host_vars(&host, vars_of(&vars));
    }
    Ok(())
}

fn run(path: &Path, args: &[&str]) -> Result<Node, Diagnostic> {
    let full = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let output = Command::new(full)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|why| wrong(path, &format!("it cannot be run: {why}")))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let last = text
            .trim()
            .lines()
            .last()
            .unwrap_or("no message")
            .to_owned();
        return Err(wrong(path, &format!("{}: {last}", output.status)));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let json: serde_json::Value = serde_json::from_str(text.trim())
        .map_err(|why| wrong(path, &format!("it did not print JSON: {why}")))?;
    let name = format!("{} {}", path.display(), args.join(" "));
    let source: Arc<Source> = Source::new(name, text);
    Ok(from_json(&json, &Span::head(&source)))
}

fn wrong(path: &Path, why: &str) -> Diagnostic {
    Diagnostic::plain(format!("inventory program {}: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn inventory(script: &str) -> Result<Inventory, Vec<Diagnostic>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dynamic");
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        Inventory::load(&path, None)
    }

    #[test]
    fn lists_with_and_without_meta() {
        let inventory = inventory(
            "#!/bin/sh\ncase $1 in\n--list) echo '{\"web\": {\"hosts\": [\"a\"], \"vars\": {\"p\": 1}}, \"old\": [\"b\"], \"up\": {\"children\": [\"web\"]}}' ;;\n\
             --host) echo \"{\\\"name\\\": \\\"$2\\\"}\" ;;\nesac\n",
        )
        .unwrap();
        assert_eq!(inventory.host_names(), ["a", "b"]);
        assert_eq!(inventory.members("up"), ["a"]);
        let layers = inventory.host_vars_layers("b");
        assert_eq!(layers.last().unwrap().1["name"].as_str(), Some("b"));
    }

    #[test]
    fn what_fails_says_why() {
        let problems = inventory("#!/bin/sh\necho no cloud >&2; exit 3\n").unwrap_err();
        assert!(problems[0].message.ends_with("no cloud"), "{}", problems[0]);
    }
}
