//! CSV rosters: one host a line, the first line names the columns. Ours, for class lists out of a spreadsheet.
//!
//! `name` is the host; `groups` its groups (split at spaces or semicolons); `address`, `user` and `port` are short
//! for the connection variables; every other column is a variable.

use super::{Inventory, address};
use crate::diag::{Diagnostic, Source, Span};
use crate::playbook::ast::VarMap;
use crate::yaml::{Node, parse_scalar};
use std::sync::Arc;

/// Adds a file's hosts; collects what is wrong with it.
pub(super) fn read(
    inventory: &mut Inventory,
    source: &Arc<Source>,
    problems: &mut Vec<Diagnostic>,
) {
    let rows = match rows(source) {
        Ok(rows) => rows,
        Err(problem) => {
            problems.push(problem);
            return;
        }
    };
    let mut rows = rows.into_iter();
    let Some(header) = rows.next() else { return };
    let columns: Vec<&str> = header.iter().map(|cell| column(&cell.0)).collect();
    let Some(name_at) = columns.iter().position(|name| *name == "name") else {
        let at = header
            .first()
            .map_or_else(|| Span::head(source), |cell| cell.1.clone());
        problems.push(Diagnostic::error(&at, "no column `name`").hint(
            "the first line of a roster names its columns, for example `name,address,groups`",
        ));
        return;
    };
    for row in rows {
        let Some((name, span)) = row.get(name_at).filter(|cell| !cell.0.trim().is_empty()) else {
            if row.iter().any(|cell| !cell.0.trim().is_empty()) {
                problems.push(Diagnostic::error(&row[0].1, "this line has no name"));
            }
            continue;
        };
        let mut vars = VarMap::new();
        let mut groups = vec!["ungrouped".to_owned()];
        for (key, (text, span)) in columns.iter().zip(&row) {
            let text = text.trim();
            match *key {
                "name" => {}
                _ if text.is_empty() => {}
                "groups" => {
                    let names = text.split([';', ' ', '|']).filter(|name| !name.is_empty());
                    groups = names.map(str::to_owned).collect();
                }
                key => {
                    let node = Node {
                        kind: parse_scalar(text),
                        span: span.clone(),
                    };
                    vars.insert(key.into(), node);
                }
            }
        }
        if let Some(extra) = row.get(columns.len()) {
            problems.push(Diagnostic::error(&extra.1, "more cells than columns"));
        }
        match address::expand(name.trim()) {
            Ok((names, port)) => {
                for group in &groups {
                    inventory.group(group);
                    inventory.add_hosts(group, &names, port, &vars, span);
                }
            }
            Err(why) => problems.push(Diagnostic::error(span, format!("range in `{name}`: {why}"))),
        }
    }
}

/// The variable that a column means.
fn column(written: &str) -> &str {
    match written.trim() {
        "host" | "hostname" | "inventory_hostname" => "name",
        "group" => "groups",
        "address" | "ip" => "ansible_host",
        "user" => "ansible_user",
        "port" => "ansible_port",
        other => other,
    }
}

type Row = Vec<(String, Span)>;

/// Rows of cells with their places (RFC 4180); empty lines and those that start with `#` are left out.
fn rows(source: &Arc<Source>) -> Result<Vec<Row>, Diagnostic> {
    let text = &source.text;
    let span = |start: usize, end: usize| Span {
        source: Arc::clone(source),
        start,
        end,
    };
    let (mut rows, mut row) = (Vec::new(), Row::new());
    let mut cell = String::new();
    let mut start = 0;
    let mut quoted = false;
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' if quoted && chars.peek().is_some_and(|(_, next)| *next == '"') => {
                cell.push('"');
                chars.next();
            }
            '"' if quoted || cell.is_empty() => quoted = !quoted,
            ',' if !quoted => {
                row.push((std::mem::take(&mut cell), span(start, at)));
                start = at + 1;
            }
            '\n' if !quoted => {
                row.push((std::mem::take(&mut cell), span(start, at)));
                start = at + 1;
                rows.push(std::mem::take(&mut row));
            }
            '\r' | '\u{feff}' if !quoted => {}
            _ => cell.push(c),
        }
    }
    if quoted {
        return Err(Diagnostic::error(
            &span(start, start + 1),
            "a quote is not closed",
        ));
    }
    if !cell.is_empty() || !row.is_empty() {
        row.push((cell, span(start, text.len())));
        rows.push(row);
    }
    rows.retain(|row| {
        let first = row[0].0.trim();
        !first.starts_with('#') && (row.len() > 1 || !first.is_empty())
    });
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_groups_and_variables() {
        let mut inventory = Inventory::empty();
        let mut problems = Vec::new();
        let text = "name,address,groups,seat\nanna,10.0.0.1,web db,\"a \"\"b\"\", c\"\nben,10.0.0.2,web,7\ncleo,,,\n";
        read(
            &mut inventory,
            &Source::new("class.csv", text),
            &mut problems,
        );
        inventory.finish();
        assert!(problems.is_empty(), "{problems:?}");
        assert_eq!(inventory.members("web"), ["anna", "ben"]);
        assert_eq!(inventory.members("ungrouped"), ["cleo"]);
        let layers = inventory.host_vars_layers("anna");
        let vars = &layers.last().unwrap().1;
        assert_eq!(vars["seat"].as_str(), Some("a \"b\", c"));
        assert_eq!(vars["ansible_host"].as_str(), Some("10.0.0.1"));
    }
}
