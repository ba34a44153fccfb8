//! Files of the controller.

use super::{Lookup, lookup, with_markers};
use crate::diag::Source;
use crate::template::eval::Machine;
use crate::template::eval::call::Args;
use crate::template::filters::path::{expand_user, glob_files, join_parts};
use crate::template::lookups::overlay::Overlay;
use crate::template::value::data::{self, described, is_map, is_seq, is_str, items, pairs};
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Fault, Res, check, fault, undef};
use crate::template::{Scope, TemplateOptions};
use minijinja::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(super) const LOOKUPS: &[Lookup] = &[
    lookup("file", file),
    lookup("unvault", |m, args| {
        let mut out = Vec::new();
        for term in &args.pos {
            let path = find(m, "files", &str_of(term)?)?;
            out.push(Value::from(read(m, &path)?));
        }
        Ok(out)
    }),
    lookup("fileglob", fileglob),
    lookup("template", template),
    with_markers("first_found", first_found),
];

/// Where a relative name may be: in each folder of the search path, in its subfolder first.
pub(super) fn candidates(m: &Machine<'_>, subdirs: &[&str], name: &str) -> Vec<PathBuf> {
    if name.starts_with('~') {
        return vec![PathBuf::from(expand_user(name))];
    }
    if name.starts_with('/') {
        return vec![PathBuf::from(name)];
    }
    let mut out = Vec::new();
    for folder in m.scope.search_paths() {
        for subdir in subdirs {
            if name.split('/').next() != Some(subdir) {
                out.push(folder.join(subdir).join(name));
            }
        }
        out.push(folder.join(name));
    }
    out
}

/// A file by name.
pub(super) fn find(m: &Machine<'_>, subdir: &str, name: &str) -> Res<PathBuf> {
    let all = candidates(m, &[subdir], name);
    match all.iter().find(|path| path.exists()) {
        Some(path) => Ok(path.clone()),
        None => {
            let places: Vec<String> = all.iter().map(|p| p.display().to_string()).collect();
            Err(fault(format!("there is no file `{name}`"))
                .hint(format!("looked for {}", places.join(", "))))
        }
    }
}

/// The text of a file, decrypted if it is vaulted.
pub(super) fn read(m: &Machine<'_>, path: &Path) -> Res<String> {
    let bytes = std::fs::read(path)
        .map_err(|error| fault(format!("cannot read {}: {error}", path.display())))?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if text.starts_with("$ANSIBLE_VAULT;") {
        let span = crate::diag::Span::head(&Source::new(path.display().to_string(), ""));
        return m
            .engine
            .decrypt(&text, &span)
            .map(|value| value.to_string())
            .map_err(|error| Box::new(Fault::Template(error)));
    }
    Ok(text)
}

fn file(m: &mut Machine<'_>, args: &mut Args) -> Res<Vec<Value>> {
    let lstrip = args.take("lstrip").is_some_and(|v| v.is_true());
    let rstrip = args.take("rstrip").is_none_or(|v| v.is_true());
    let mut out = Vec::new();
    for term in &args.pos {
        let path = find(m, "files", &str_of(term)?)?;
        let text = read(m, &path)?;
        let mut text = text.as_str();
        if lstrip {
            text = text.trim_start();
        }
        if rstrip {
            text = text.trim_end();
        }
        out.push(Value::from(text));
    }
    Ok(out)
}

fn fileglob(m: &mut Machine<'_>, args: &mut Args) -> Res<Vec<Value>> {
    let mut out = Vec::new();
    for term in &args.pos {
        let term = str_of(term)?;
        for pattern in candidates(m, &["files"], &term) {
            let found = glob_files(&pattern.display().to_string())?;
            if !found.is_empty() {
                out.extend(
                    found
                        .into_iter()
                        .map(|p| Value::from(p.display().to_string())),
                );
                break;
            }
        }
    }
    Ok(out)
}

fn template(m: &mut Machine<'_>, args: &mut Args) -> Res<Vec<Value>> {
    let mut text = |name: &str| {
        args.take(name)
            .filter(|v| !v.is_none())
            .map(|v| v.to_string())
    };
    let mut options = TemplateOptions::default();
    if let Some(mark) = text("variable_start_string") {
        options.variable.0 = mark;
    }
    if let Some(mark) = text("variable_end_string") {
        options.variable.1 = mark;
    }
    if let Some(mark) = text("comment_start_string") {
        options.comment.0 = mark;
    }
    if let Some(mark) = text("comment_end_string") {
        options.comment.1 = mark;
    }
    if let Some(trim) = args.take("trim_blocks") {
        options.trim_blocks = trim.is_true();
    }
    let vars = args.take("template_vars");
    // Of no meaning any more.
    args.take("convert_data");
    args.take("jinja2_native");
    let mut own: Vec<(String, Value)> = Vec::new();
    if let Some(vars) = vars {
        for (key, value) in pairs(&vars)? {
            own.push((key.to_string(), value));
        }
    }
    let mut out = Vec::new();
    for term in &args.pos {
        let name = str_of(term)?;
        let path = find(m, "templates", &name)?;
        let source = read(m, &path)?;
        let shown = path.display().to_string();
        let mut all = own.clone();
        all.push(("template_path".to_owned(), Value::from(name.as_str())));
        all.push(("template_fullpath".to_owned(), Value::from(shown.as_str())));
        if !matches!(m.scope.get("ansible_managed"), Ok(Some(_))) {
            all.push(("ansible_managed".to_owned(), Value::from("Ansible managed")));
        }
        let scope: Arc<dyn Scope> = Arc::new(Overlay::new(all, Arc::clone(m.scope)));
        options.name.clone_from(&shown);
        options.folders = template_folders(m, &path);
        let value = m
            .engine
            .render_file_value(&source, &options, &scope)
            .map_err(|error| Box::new(Fault::Template(error)))?;
        out.push(value);
    }
    Ok(out)
}

/// Where a template's includes are looked for.
fn template_folders(m: &Machine<'_>, path: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = path.parent().map(Path::to_path_buf).into_iter().collect();
    for folder in m.scope.search_paths() {
        out.push(folder.join("templates"));
        out.push(folder);
    }
    out
}

/// Undefined values dropped, at any depth: with `with_first_found` they are names not known.
fn defined(value: &Value, drop: bool) -> Res<Option<Value>> {
    if let Some(u) = undef(value) {
        if drop && !u.is_failure() {
            return Ok(None);
        }
        check(value)?;
    }
    if is_seq(value) {
        let mut out = Vec::new();
        for item in items(value)? {
            out.extend(defined(&item, drop)?);
        }
        return Ok(Some(data::list(out)));
    }
    if is_map(value) {
        let mut out = data::Dict::new();
        for (key, item) in pairs(value)? {
            if let Some(item) = defined(&item, drop)? {
                out.insert(key, item);
            }
        }
        return Ok(Some(data::dict(out)));
    }
    Ok(Some(value.clone()))
}

/// A string cut at separators, or a list of such.
fn cut(value: Option<&Value>, seps: &[char]) -> Res<Vec<String>> {
    let mut out = Vec::new();
    match value {
        None => {}
        Some(value) if value.is_none() => {}
        Some(value) if is_seq(value) => {
            for item in items(value)? {
                out.extend(cut(Some(&item), seps)?);
            }
        }
        Some(value) => out.extend(str_of(value)?.split(seps).map(|s| s.trim().to_owned())),
    }
    Ok(out)
}

fn names(
    terms: &[Value],
    files: Option<&Value>,
    paths: Option<&Value>,
    skip: &mut bool,
) -> Res<Vec<String>> {
    let mut out = Vec::new();
    let mut add = |files: Vec<String>, paths: Vec<String>| {
        if paths.is_empty() {
            out.extend(files);
            return;
        }
        for path in &paths {
            for file in &files {
                out.push(join_parts(&[path.clone(), file.clone()]));
            }
        }
    };
    if terms.is_empty() {
        add(cut(files, &[',', ';'])?, cut(paths, &[',', ':', ';'])?);
        return Ok(out);
    }
    for term in terms {
        if is_map(term) {
            if let Some(value) = data::get_str(term, "skip") {
                *skip = crate::template::filters::logic_bool(&value).unwrap_or(false);
            }
            let own_paths = data::get_str(term, "paths").or_else(|| paths.cloned());
            add(
                cut(data::get_str(term, "files").as_ref(), &[',', ';'])?,
                cut(own_paths.as_ref(), &[',', ':', ';'])?,
            );
        } else if is_seq(term) {
            let inner = names(&items(term)?, files, paths, skip)?;
            add(inner, Vec::new());
        } else if is_str(term) {
            add(cut(Some(term), &[',', ';'])?, cut(paths, &[',', ':', ';'])?);
        } else {
            return Err(fault(format!(
                "expected a string, a mapping or a list, got {}",
                described(term)
            )));
        }
    }
    Ok(out)
}

fn first_found(m: &mut Machine<'_>, args: &mut Args) -> Res<Vec<Value>> {
    let with = args.take("_with").is_some_and(|v| v.is_true());
    let subdir = args.take("_subdir").map(|v| v.to_string());
    let files = args.take("files");
    let paths = args.take("paths");
    let mut skip = args.take("skip").is_some_and(|v| v.is_true());
    let mut terms = Vec::new();
    for term in &args.pos {
        terms.extend(defined(term, with)?);
    }
    let names = names(&terms, files.as_ref(), paths.as_ref(), &mut skip)?;
    let subdirs: Vec<&str> = match &subdir {
        Some(subdir) => vec![subdir.as_str()],
        None if with => vec!["templates", "vars", "files", "tasks"],
        None => vec!["files"],
    };
    for name in &names {
        let found = candidates(m, &subdirs, name)
            .into_iter()
            .find(|p| p.exists());
        if let Some(path) = found {
            return Ok(vec![Value::from(path.display().to_string())]);
        }
    }
    if skip {
        return Ok(Vec::new());
    }
    Err(fault("none of the files exists").hint(format!("looked for {}", names.join(", "))))
}
