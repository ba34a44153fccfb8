//! `include_vars`: files of variables, or whole folders of them.

use super::context::HostContext;
use super::control::{Control, Refused};
use super::includes::under;
use super::position::Position;
use super::prepare::{find_file, not_found};
use super::result::StepResult;
use super::run::node_of;
use super::walk::Stop;
use crate::modules::{self, Args, Failure, Outcome, Spec};
use crate::playbook::ast::VarMap;
use crate::template::Scope;
use crate::yaml::{Kind, Map, Node};
use minijinja::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What makes no sense with `file`.
const OF_DIR: [&str; 6] = [
    "dir",
    "depth",
    "files_matching",
    "ignore_files",
    "extensions",
    "ignore_unknown_extensions",
];

/// Carries out the task at hand.
pub(super) fn include_vars(
    cx: &HostContext,
    position: &Position,
    stop: &Stop,
    scope: &Arc<dyn Scope>,
    spec: &'static Spec,
) -> Result<Control, Refused> {
    let mut given = position.args_map(cx, stop, scope, spec)?;
    if let Some(file) = given.shift_remove("_raw_params") {
        let file = modules::args::text(&file);
        given.insert("file".into(), Value::from(file.trim_end_matches('\n')));
    }
    if given.contains_key("file") && OF_DIR.iter().any(|name| given.contains_key(*name)) {
        let text = "You are mixing file only and dir only arguments, these are incompatible";
        return Err(Failure::new(text).into());
    }
    let args = Args::new(spec, given)?;
    let dir = args.str("dir");
    let found = match &dir {
        Some(dir) => files_below(&folder(stop, dir), &args),
        None => {
            let file = args.text("file");
            let dirs = stop.chain.search(&stop.task, &cx.play.dir);
            let (found, tried) = find_file(&dirs, "vars", &file);
            match found.filter(|_| !file.is_empty()) {
                Some(path) => Ok(vec![path]),
                None => Err(not_found(&file, &tried)),
            }
        }
    };
    let files = match found {
        Ok(files) => files,
        Err(failure) => return Ok(failed(&failure.msg)),
    };
    let mut read: Vec<(Arc<str>, Arc<VarMap>)> = Vec::new();
    for path in &files {
        let vars = cx.run.includes.vars(path).map_err(Refused::Files)?;
        read.push((path.display().to_string().into(), vars));
    }
    let merge = args.str("hash_behaviour").is_some_and(|how| how == "merge");
    if merge || args.has("name") {
        read = vec![gathered(&read, args.str("name"), merge.then_some(scope))?];
    }
    let mut result = StepResult::of(Outcome::ok());
    result.includes = read;
    let names = files
        .iter()
        .map(|path| std::path::absolute(path).unwrap_or_else(|_| path.clone()))
        .map(|path| Value::from(path.display().to_string()));
    let data = &mut result.outcome.data;
    data.insert("ansible_included_var_files".into(), names.collect());
    // A plain view of what was read; templates in it stay as written.
    let facts = result.includes.iter().flat_map(|(_, vars)| vars.iter());
    let facts = facts.map(|(name, node)| (name.to_string(), crate::yaml::plain(node)));
    data.insert("ansible_facts".into(), Value::from_pairs(facts));
    Ok(Control::Result(Box::new(result)))
}

/// Ansible has the text in `message` here.
fn failed(text: &str) -> Control {
    let outcome = Outcome::failed(text).with("message", text);
    let none = Value::from(Vec::<Value>::new());
    let outcome = outcome.with("ansible_included_var_files", none);
    Control::Result(Box::new(StepResult::of(outcome)))
}

/// What several files define as one, later ones winning; below a name, and merged into what there is, where that is wanted.
fn gathered(
    read: &[(Arc<str>, Arc<VarMap>)],
    name: Option<String>,
    merge_into: Option<&Arc<dyn Scope>>,
) -> Result<(Arc<str>, Arc<VarMap>), Refused> {
    let mut all = VarMap::new();
    for (_, vars) in read {
        all.extend(
            vars.iter()
                .map(|(key, node)| (Arc::clone(key), node.clone())),
        );
    }
    if let Some(name) = name {
        all = under(&name, &all);
    }
    if let Some(scope) = merge_into {
        for (key, node) in &mut all {
            if let Some(known) = scope.get(key)? {
                *node = merged(&node_of(&known, &node.span), node);
            }
        }
    }
    let source = read
        .last()
        .map_or_else(|| "include_vars".into(), |(source, _)| Arc::clone(source));
    Ok((source, Arc::new(all)))
}

/// Mappings merged at every depth; anything else is replaced.
fn merged(below: &Node, above: &Node) -> Node {
    let (Kind::Map(old), Kind::Map(new)) = (&below.kind, &above.kind) else {
        return above.clone();
    };
    let mut map: Map = (**old).clone();
    for (key, span, node) in new.iter() {
        let node = match old.get(key) {
            Some(known) => merged(known, node),
            None => node.clone(),
        };
        map.insert(Arc::clone(key), span.clone(), node);
    }
    Node {
        kind: Kind::Map(Arc::new(map)),
        span: above.span.clone(),
    }
}

/// The folder meant: below the role's `vars/`, or beside the file of the task.
fn folder(stop: &Stop, dir: &str) -> PathBuf {
    let Some(used) = &stop.chain.role else {
        return stop.task.dir.join(dir);
    };
    let role = &used.role.path;
    if dir.split('/').next() == Some("vars") {
        let own = role.join(dir);
        return if own.exists() { own } else { dir.into() };
    }
    role.join("vars").join(dir)
}

/// Files of variables of a folder: each folder's sorted by name, the folders sorted by path.
fn files_below(dir: &Path, args: &Args) -> Result<Vec<PathBuf>, Failure> {
    let shown = dir.display();
    if !dir.exists() {
        return Err(Failure::new(format!("{shown} directory does not exist")));
    }
    if !dir.is_dir() {
        return Err(Failure::new(format!("{shown} is not a directory")));
    }
    let mut extensions = args.strings("extensions");
    if extensions.is_empty() {
        extensions = ["yaml", "yml", "json"].map(str::to_owned).to_vec();
    }
    let regex = |param: &str, text: &str| {
        fancy_regex::Regex::new(text).map_err(|why| Failure::of(param, why.to_string()))
    };
    let pattern = match args.str("files_matching") {
        Some(text) => Some(regex("files_matching", &text)?),
        None => None,
    };
    let mut ignored = Vec::new();
    for text in args.strings("ignore_files") {
        ignored.push(regex("ignore_files", &format!("{text}$"))?);
    }
    let hits = |pattern: &fancy_regex::Regex, name: &str| pattern.is_match(name).unwrap_or(false);
    let only_known = args.bool("ignore_unknown_extensions");
    let depth = args.int("depth").unwrap_or(0);
    let mut folders = Vec::new();
    walk(dir, 1, depth, &mut folders)?;
    folders.sort();
    let mut found = Vec::new();
    for folder in folders {
        let mut names: Vec<String> = entries(&folder)?
            .filter(|entry| !entry.path().is_dir())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        for name in names {
            if pattern
                .as_ref()
                .is_some_and(|pattern| !hits(pattern, &name))
                || ignored.iter().any(|pattern| hits(pattern, &name))
            {
                continue;
            }
            let path = folder.join(&name);
            let extension = path.extension().unwrap_or_default().to_string_lossy();
            if extensions.iter().any(|known| *known == extension) {
                found.push(path);
            } else if !only_known {
                return Err(Failure::new(format!(
                    "{} does not have a valid extension: {}",
                    path.display(),
                    extensions.join(", ")
                )));
            }
        }
    }
    Ok(found)
}

/// A folder and those below it, as deep as wanted; links are followed.
fn walk(dir: &Path, level: i64, depth: i64, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    found.push(dir.to_path_buf());
    if depth != 0 && level >= depth || level > DEEPEST {
        return Ok(());
    }
    for entry in entries(dir)?.filter(|entry| entry.path().is_dir()) {
        walk(&entry.path(), level + 1, depth, found)?;
    }
    Ok(())
}

/// A bound for links that lead back.
const DEEPEST: i64 = 40;

fn entries(dir: &Path) -> Result<impl Iterator<Item = std::fs::DirEntry> + use<>, Failure> {
    std::fs::read_dir(dir)
        .map(Iterator::flatten)
        .map_err(|why| Failure::of("dir", format!("cannot read {}: {why}", dir.display())))
}
