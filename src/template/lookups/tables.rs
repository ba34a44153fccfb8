//! Values out of INI, properties and CSV files.

use super::files::{find, read};
use super::{Lookup, lookup};
use crate::template::eval::Machine;
use crate::template::eval::call::Args;
use crate::template::filters::regex::{Flags, is_match};
use crate::template::value::data::{as_int, is_seq, items};
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, fault};
use minijinja::Value;

pub(super) const LOOKUPS: &[Lookup] = &[lookup("ini", ini), lookup("csvfile", csvfile)];

/// Sections and their options, as Python's `configparser` reads them.
type Sections = Vec<(String, Vec<(String, Option<String>)>)>;

pub(crate) fn parse_ini(text: &str, case_sensitive: bool) -> Sections {
    let mut sections: Sections = vec![("DEFAULT".to_owned(), Vec::new())];
    for line in text.lines() {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = bare.strip_prefix('[').and_then(|l| l.split_once(']')) {
            sections.push((name.0.to_owned(), Vec::new()));
            continue;
        }
        let Some((_, options)) = sections.last_mut() else {
            continue;
        };
        if line.starts_with([' ', '\t'])
            && let Some((_, Some(value))) = options.last_mut()
        {
            value.push('\n');
            value.push_str(bare);
            continue;
        }
        let (name, value) = match bare.find(['=', ':']) {
            Some(n) => (bare[..n].trim(), Some(bare[n + 1..].trim().to_owned())),
            None => (bare, None),
        };
        let name = if case_sensitive {
            name.to_owned()
        } else {
            name.to_lowercase()
        };
        options.push((name, value));
    }
    sections
}

fn ini(m: &mut Machine<'_>, args: &mut Args) -> Res<Vec<Value>> {
    let mut given = |name: &str| args.take(name).filter(|v| !v.is_none());
    let common_file = given("file");
    let common_section = given("section");
    let common_kind = given("type");
    let common_re = given("re");
    let default = given("default");
    let case_sensitive = given("case_sensitive").is_some_and(|v| v.is_true());
    let optional = given("allow_no_value").or_else(|| given("allow_none"));
    let optional = optional.is_some_and(|v| v.is_true());
    args.take("encoding");
    args.take("interpolation");
    if let Some((name, _)) = args.kw.first() {
        return Err(fault(format!("`{name}` is not a valid option")));
    }
    let mut out = Vec::new();
    for term in &args.pos {
        let (key, inline) = super::key_values(&str_of(term)?)?;
        let option = |name: &str, common: &Option<Value>, default: &str| {
            inline
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.clone())
                .or_else(|| common.as_ref().map(Value::to_string))
                .unwrap_or_else(|| default.to_owned())
        };
        let file = option("file", &common_file, "ansible.ini");
        let properties = option("type", &common_kind, "ini") == "properties";
        let section = if properties {
            "DEFAULT".to_owned()
        } else {
            option("section", &common_section, "global")
        };
        let regex = matches!(
            option("re", &common_re, "False").to_lowercase().as_str(),
            "true" | "yes" | "1"
        );
        let default = inline
            .iter()
            .find(|(n, _)| n == "default")
            .map(|(_, v)| Value::from(v.as_str()))
            .or_else(|| default.clone());
        let path = find(m, "files", &file)?;
        let sections = parse_ini(&read(m, &path)?, case_sensitive);
        let mut options: Vec<(String, Option<String>)> = Vec::new();
        let mut found = section == "DEFAULT";
        for (name, all) in &sections {
            if *name == section || name == "DEFAULT" {
                found |= *name == section;
                for (key, value) in all {
                    options.retain(|(k, _)| k != key);
                    options.push((key.clone(), value.clone()));
                }
            }
        }
        if !found {
            return Err(fault(format!("no section '{section}' in '{file}'")));
        }
        let text = |value: &Option<String>| match value {
            Some(text) => Ok(Value::from(text.as_str())),
            None if optional => Ok(Value::from(())),
            None => Err(fault(format!("'{file}' has an option without value"))),
        };
        if regex {
            for (name, value) in &options {
                if is_match(&key, name, Flags::default(), true, false)? {
                    out.push(text(value)?);
                }
            }
            continue;
        }
        let wanted = if case_sensitive {
            key.clone()
        } else {
            key.to_lowercase()
        };
        let value = match options.iter().find(|(name, _)| *name == wanted) {
            Some((_, value)) => text(value)?,
            None => default.unwrap_or_else(|| Value::from("")),
        };
        if is_seq(&value) {
            out.extend(items(&value)?);
        } else if !value.is_none() {
            out.push(value);
        }
    }
    Ok(out)
}

/// Rows of a CSV text.
pub(crate) fn rows(text: &str, delimiter: char) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut cell = String::new();
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if quoted {
            if c == '"' {
                if chars.next_if_eq(&'"').is_some() {
                    cell.push('"');
                } else {
                    quoted = false;
                }
            } else {
                cell.push(c);
            }
        } else if c == '"' && cell.is_empty() {
            quoted = true;
        } else if c == delimiter {
            row.push(std::mem::take(&mut cell));
        } else if c == '\n' {
            if cell.ends_with('\r') {
                cell.pop();
            }
            if !(row.is_empty() && cell.is_empty()) {
                row.push(std::mem::take(&mut cell));
            }
            rows.push(std::mem::take(&mut row));
        } else {
            cell.push(c);
        }
    }
    if !(row.is_empty() && cell.is_empty()) {
        row.push(cell);
        rows.push(row);
    }
    rows
}

fn csvfile(m: &mut Machine<'_>, args: &mut Args) -> Res<Vec<Value>> {
    let mut given = |name: &str| args.take(name).filter(|v| !v.is_none());
    let common: Vec<(&str, Option<Value>)> = ["file", "delimiter", "default", "col", "keycol"]
        .into_iter()
        .map(|name| (name, given(name)))
        .collect();
    args.take("encoding");
    if let Some((name, _)) = args.kw.first() {
        return Err(fault(format!("unknown option `{name}`")));
    }
    if args.pos.is_empty() {
        return Err(fault("Search key is required but was not found"));
    }
    let mut out = Vec::new();
    for term in &args.pos {
        let (key, inline) = super::key_values(&str_of(term)?)?;
        let option = |name: &str| {
            let own = inline.iter().find(|(n, _)| n == name);
            own.map(|(_, v)| Value::from(v.as_str())).or_else(|| {
                common
                    .iter()
                    .find(|(n, _)| *n == name)
                    .and_then(|(_, v)| v.clone())
            })
        };
        let number = |name: &str, default: usize| -> Res<usize> {
            match option(name) {
                None => Ok(default),
                Some(value) => as_int(&value)
                    .and_then(|n| usize::try_from(n).ok())
                    .or_else(|| value.to_string().parse().ok())
                    .ok_or_else(|| fault(format!("`{name}` must be a number"))),
            }
        };
        let file = option("file").map_or_else(|| "ansible.csv".to_owned(), |v| v.to_string());
        let delimiter = option("delimiter").map_or_else(|| "TAB".to_owned(), |v| v.to_string());
        let delimiter = match delimiter.as_str() {
            "TAB" | "\\t" => '\t',
            text => text.chars().next().unwrap_or('\t'),
        };
        let (col, keycol) = (number("col", 1)?, number("keycol", 0)?);
        let path = find(m, "files", &file)?;
        let rows = rows(&read(m, &path)?, delimiter);
        match rows.iter().find(|row| row.get(keycol) == Some(&key)) {
            Some(row) => match row.get(col) {
                Some(cell) => out.push(Value::from(cell.as_str())),
                None => return Err(fault(format!("the row of '{key}' has no column {col}"))),
            },
            None => match option("default") {
                Some(value) if is_seq(&value) => out.extend(items(&value)?),
                Some(value) => out.push(value),
                None => {}
            },
        }
    }
    Ok(out)
}
