//! What an inventory path means: a file in one of the formats, a program, a folder of those, a list of hosts.

use super::{Inventory, ini, roster, script, yaml};
use crate::diag::{Diagnostic, Source};
use crate::playbook::ast::VarMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Endings of files in an inventory folder that are no inventories.
const IGNORED: &[&str] = &[
    "pyc", "pyo", "swp", "bak", "rpm", "md", "txt", "rst", "orig", "ini", "cfg", "retry", "pub",
    "pem", "key",
];

/// Adds what a path means, and the folders whose `group_vars` and `host_vars` belong to it.
pub(super) fn read(
    inventory: &mut Inventory,
    path: &Path,
    dirs: &mut Vec<PathBuf>,
    problems: &mut Vec<Diagnostic>,
) {
    let text = path.to_string_lossy();
    if text.contains(',') && !path.exists() {
        // `-i host1,host2,`
        dirs.push(PathBuf::from("."));
        let source = Source::new("<command line>", text.as_ref());
        let span = crate::diag::Span::head(&source);
        for name in text
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
        {
            match super::address::expand(name) {
                Ok((names, port)) => {
                    inventory.add_hosts("ungrouped", &names, port, &VarMap::new(), &span);
                }
                Err(why) => problems.push(Diagnostic::plain(format!("range in `{name}`: {why}"))),
            }
        }
        return;
    }
    if path.is_dir() {
        dirs.push(path.to_path_buf());
        for file in entries(path) {
            let name = file
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default();
            let ending = file
                .extension()
                .and_then(|ending| ending.to_str())
                .unwrap_or("");
            let skip = name.starts_with('.')
                || name.ends_with('~')
                || IGNORED.contains(&ending)
                || matches!(name.as_str(), "group_vars" | "host_vars");
            if skip {
                continue;
            }
            if file.is_dir() {
                read(inventory, &file, dirs, problems);
            } else {
                one(inventory, &file, problems);
            }
        }
        return;
    }
    dirs.push(match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_path_buf(),
        _ => PathBuf::from("."),
    });
    one(inventory, path, problems);
}

/// Entries of a folder, sorted; none when it does not exist.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(dir)
        .map(|list| list.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    all.sort();
    all
}

/// Reads one file in its format.
fn one(inventory: &mut Inventory, path: &Path, problems: &mut Vec<Diagnostic>) {
    if is_program(path) {
        script::read(inventory, path, problems);
        return;
    }
    let source = match inventory.vault.source(path) {
        Ok(source) => source,
        Err(problem) => {
            problems.push(problem);
            return;
        }
    };
    match format(path, &source) {
        Format::Ini => ini::read(inventory, &source, problems),
        Format::Csv => roster::read(inventory, &source, problems),
        Format::Yaml => match crate::yaml::load(&source) {
            Ok(node) => yaml::read(inventory, &node, problems),
            Err(problem) => problems.push(problem),
        },
    }
}

#[derive(Debug, PartialEq)]
enum Format {
    Yaml,
    Ini,
    Csv,
}

/// By the ending, else by the first line that says something.
fn format(path: &Path, source: &Arc<Source>) -> Format {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("yml" | "yaml" | "json") => return Format::Yaml,
        Some("csv") => return Format::Csv,
        Some("ini" | "cfg") => return Format::Ini,
        _ => {}
    }
    let first = source
        .text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with(['#', ';']))
        .unwrap_or("");
    let word = first.split_whitespace().next().unwrap_or("");
    if first == "---"
        || first.starts_with('{')
        || (word.ends_with(':') && word.len() == first.len())
    {
        Format::Yaml
    } else {
        Format::Ini
    }
}

/// Whether a file is to be run: it may be, and says what runs it (or is no text).
fn is_program(path: &Path) -> bool {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    let executable = std::fs::metadata(path)
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0);
    if !executable {
        return false;
    }
    let mut head = [0u8; 4];
    let read = std::fs::File::open(path).and_then(|mut file| file.read(&mut head));
    read.is_ok_and(|n| head[..n].starts_with(b"#!") || head[..n].starts_with(b"\x7fELF"))
}
