//! Paths of files, as `os.path` and `ntpath` take them apart.

use super::{Filter, filter, listed, text_or};
use crate::template::eval::call::Call;
use crate::template::value::data::{is_seq, items, tuple};
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, fault};
use minijinja::Value;
use std::path::{Path, PathBuf};

pub(super) const FILTERS: &[Filter] = &[
    filter("basename", |c| with(c, |p| split(p, "/").1.to_owned())),
    filter("dirname", |c| with(c, |p| split(p, "/").0.to_owned())),
    filter("expanduser", |c| with(c, expand_user)),
    filter("expandvars", |c| with(c, expand_vars)),
    filter("normpath", |c| with(c, normal)),
    filter("realpath", |c| with(c, |p| real(p).display().to_string())),
    filter("abspath", |c| {
        with(c, |p| absolute(p).display().to_string())
    }),
    filter("relpath", relative),
    filter("splitext", |c| {
        c.no_args()?;
        let path = str_of(&c.subject)?;
        let (root, ext) = split_ext(&path);
        Ok(tuple(vec![root.into(), ext.into()]))
    }),
    filter("path_join", join),
    filter("commonpath", common),
    filter("fileglob", |c| {
        c.no_args()?;
        let found = glob_files(&str_of(&c.subject)?)?;
        Ok(listed(
            found
                .into_iter()
                .map(|p| Value::from(p.display().to_string())),
        ))
    }),
    filter("win_basename", |c| with(c, |p| win_split(p).1.to_owned())),
    filter("win_dirname", |c| with(c, |p| win_split(p).0.to_owned())),
    filter("win_splitdrive", |c| {
        c.no_args()?;
        let path = str_of(&c.subject)?;
        let cut = if path.as_bytes().get(1) == Some(&b':') {
            2
        } else {
            0
        };
        Ok(tuple(vec![path[..cut].into(), path[cut..].into()]))
    }),
];

fn with(c: &mut Call<'_, '_>, change: fn(&str) -> String) -> Res<Value> {
    c.no_args()?;
    Ok(Value::from(change(&str_of(&c.subject)?)))
}

/// Folder and name. The folder keeps no slash at its end, unless it is the root.
fn split<'a>(path: &'a str, seps: &str) -> (&'a str, &'a str) {
    let cut = path.rfind(|c| seps.contains(c)).map_or(0, |n| n + 1);
    let (head, tail) = path.split_at(cut);
    let bare = head.trim_end_matches(|c| seps.contains(c));
    (if bare.is_empty() { head } else { bare }, tail)
}

fn win_split(path: &str) -> (&str, &str) {
    let (head, tail) = split(path, "/\\");
    // `C:\` stays what it is.
    if head.ends_with(':') && path.len() > head.len() {
        return (&path[..=head.len()], tail);
    }
    (head, tail)
}

fn split_ext(path: &str) -> (&str, &str) {
    let name = path.rfind('/').map_or(0, |n| n + 1);
    let dots = path[name..].len() - path[name..].trim_start_matches('.').len();
    match path[name + dots..].rfind('.') {
        Some(n) => path.split_at(name + dots + n),
        None => (path, ""),
    }
}

/// `~` and `~user` at the start.
pub(crate) fn expand_user(path: &str) -> String {
    let Some(rest) = path.strip_prefix('~') else {
        return path.to_owned();
    };
    let (user, tail) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let home = if user.is_empty() {
        std::env::var("HOME").ok()
    } else {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        passwd.lines().find_map(|line| {
            let fields: Vec<_> = line.split(':').collect();
            (fields.first() == Some(&user)).then(|| fields.get(5).map(|h| (*h).to_owned()))?
        })
    };
    match home {
        Some(home) => format!("{}{tail}", home.trim_end_matches('/')),
        None => path.to_owned(),
    }
}

fn expand_vars(path: &str) -> String {
    let mut out = String::new();
    let mut rest = path;
    while let Some(n) = rest.find('$') {
        out.push_str(&rest[..n]);
        rest = &rest[n + 1..];
        let (name, after) = match rest.strip_prefix('{').and_then(|r| r.split_once('}')) {
            Some(found) => found,
            None => rest.split_at(
                rest.find(|c: char| !(c.is_alphanumeric() || c == '_'))
                    .unwrap_or(rest.len()),
            ),
        };
        match std::env::var(name) {
            Ok(value) if !name.is_empty() => out.push_str(&value),
            _ => {
                out.push('$');
                out.push_str(&rest[..rest.len() - after.len()]);
            }
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Python's `normpath`.
fn normal(path: &str) -> String {
    let root = if path.starts_with("//") && !path.starts_with("///") {
        "//"
    } else if path.starts_with('/') {
        "/"
    } else {
        ""
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|p| *p != "..") => {
                parts.pop();
            }
            ".." if !root.is_empty() => {}
            part => parts.push(part),
        }
    }
    let joined = format!("{root}{}", parts.join("/"));
    if joined.is_empty() {
        ".".to_owned()
    } else {
        joined
    }
}

fn absolute(path: &str) -> PathBuf {
    if path.starts_with('/') {
        return PathBuf::from(normal(path));
    }
    let here = std::env::current_dir().unwrap_or_default();
    PathBuf::from(normal(&format!("{}/{path}", here.display())))
}

/// Links followed as far as the path exists.
fn real(path: &str) -> PathBuf {
    let full = absolute(path);
    let mut tail = Vec::new();
    let mut head: &Path = &full;
    loop {
        if let Ok(real) = head.canonicalize() {
            return tail.iter().rev().fold(real, |path, name| path.join(name));
        }
        match (head.parent(), head.file_name()) {
            (Some(parent), Some(name)) => {
                tail.push(name);
                head = parent;
            }
            _ => return full.clone(),
        }
    }
}

fn relative(c: &mut Call<'_, '_>) -> Res<Value> {
    let [start] = c.bind(["start"])?;
    let start = text_or(start.as_ref(), ".", "the start")?;
    let (path, start) = (absolute(&str_of(&c.subject)?), absolute(&start));
    let (path, start): (Vec<_>, Vec<_>) =
        (path.components().collect(), start.components().collect());
    let same = path.iter().zip(&start).take_while(|(a, b)| a == b).count();
    let up = start[same..].iter().map(|_| "..".to_owned());
    let down = path[same..]
        .iter()
        .map(|p| p.as_os_str().to_string_lossy().into_owned());
    let parts: Vec<String> = up.chain(down).collect();
    Ok(Value::from(if parts.is_empty() {
        ".".to_owned()
    } else {
        parts.join("/")
    }))
}

/// Python's `os.path.join`.
pub(crate) fn join_parts(parts: &[String]) -> String {
    let mut out = String::new();
    for part in parts {
        if part.starts_with('/') || out.is_empty() {
            out.clone_from(part);
        } else {
            if !out.ends_with('/') {
                out.push('/');
            }
            out.push_str(part);
        }
    }
    out
}

fn join(c: &mut Call<'_, '_>) -> Res<Value> {
    c.no_args()?;
    if !is_seq(&c.subject) {
        return str_of(&c.subject).map(Value::from);
    }
    let parts: Res<Vec<String>> = items(&c.subject)?
        .iter()
        .map(|p| super::text(p, "a part"))
        .collect();
    Ok(Value::from(join_parts(&parts?)))
}

fn common(c: &mut Call<'_, '_>) -> Res<Value> {
    c.no_args()?;
    if !is_seq(&c.subject) {
        return Err(fault("expected a list of paths"));
    }
    let paths: Res<Vec<String>> = items(&c.subject)?.iter().map(str_of).collect();
    let paths = paths?;
    let first = paths.first().ok_or_else(|| fault("the list is empty"))?;
    if paths
        .iter()
        .any(|p| p.starts_with('/') != first.starts_with('/'))
    {
        return Err(fault("can't mix absolute and relative paths"));
    }
    let parts = |path: &str| -> Vec<String> {
        path.split('/')
            .filter(|p| !p.is_empty() && *p != ".")
            .map(str::to_owned)
            .collect()
    };
    let mut same = parts(first);
    for path in &paths {
        let other = parts(path);
        let n = same.iter().zip(&other).take_while(|(a, b)| a == b).count();
        same.truncate(n);
    }
    let root = if first.starts_with('/') { "/" } else { "" };
    Ok(Value::from(format!("{root}{}", same.join("/"))))
}

/// Regular files of the controller that match a pattern, in order.
pub(crate) fn glob_files(pattern: &str) -> Res<Vec<PathBuf>> {
    let (folder, name) = split(pattern, "/");
    let mut out = Vec::new();
    for folder in folders(folder)? {
        if !is_pattern(name) {
            let path = folder.join(name);
            if path.is_file() {
                out.push(path);
            }
            continue;
        }
        for path in entries(&folder, name)? {
            if path.is_file() {
                out.push(path);
            }
        }
    }
    Ok(out)
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// Folders that match a pattern.
fn folders(pattern: &str) -> Res<Vec<PathBuf>> {
    if !is_pattern(pattern) {
        return Ok(vec![PathBuf::from(pattern)]);
    }
    let (parent, name) = split(pattern, "/");
    let mut out = Vec::new();
    for parent in folders(parent)? {
        if is_pattern(name) {
            out.extend(entries(&parent, name)?.into_iter().filter(|p| p.is_dir()));
        } else {
            out.push(parent.join(name));
        }
    }
    Ok(out)
}

fn entries(folder: &Path, pattern: &str) -> Res<Vec<PathBuf>> {
    let glob = globset::GlobBuilder::new(pattern)
        .literal_separator(true)
        .backslash_escape(false)
        .build()
        .map_err(|error| fault(format!("invalid pattern '{pattern}': {error}")))?
        .compile_matcher();
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let mut out = Vec::new();
    for entry in std::fs::read_dir(here).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let hidden = name.to_string_lossy().starts_with('.') && !pattern.starts_with('.');
        if !hidden && glob.is_match(&name) {
            out.push(folder.join(name));
        }
    }
    out.sort();
    Ok(out)
}
