//! Ansible's INI inventories: `[group]`, `[group:children]`, `[group:vars]`, hosts with `key=value` variables.

use super::{Inventory, address, literal};
use crate::diag::{Diagnostic, Source, Span};
use crate::playbook::ast::VarMap;
use indexmap::IndexMap;
use std::sync::Arc;

/// What the lines of a section are.
#[derive(Clone, Copy, PartialEq)]
enum Part {
    Hosts,
    Children,
    Vars,
    /// Of an unknown kind.
    Skipped,
}

/// Adds a file's groups; collects what is wrong with it.
pub(super) fn read(
    inventory: &mut Inventory,
    source: &Arc<Source>,
    problems: &mut Vec<Diagnostic>,
) {
    let mut reader = Reader {
        inventory,
        problems,
        group: "ungrouped".into(),
        part: Part::Hosts,
        mentioned: IndexMap::new(),
        declared: Vec::new(),
    };
    let mut at = 0;
    for line in source.text.split_inclusive('\n') {
        let trimmed = line.trim();
        if !trimmed.is_empty() && !trimmed.starts_with([';', '#']) {
            let start = at + line.find(trimmed).unwrap_or(0);
            let span = Span {
                source: Arc::clone(source),
                start,
                end: start + trimmed.len(),
            };
            reader.line(trimmed, &span);
        }
        at += line.len();
    }
    reader.finish();
}

struct Reader<'a> {
    inventory: &'a mut Inventory,
    problems: &'a mut Vec<Diagnostic>,
    group: String,
    part: Part,
    /// Groups that `:children` or `:vars` name, and where.
    mentioned: IndexMap<String, (Span, &'static str)>,
    declared: Vec<String>,
}

impl Reader<'_> {
    fn line(&mut self, line: &str, span: &Span) {
        if line.starts_with('[')
            && let Some((header, rest)) = line[1..].split_once(']')
            && (rest.trim().is_empty() || rest.trim_start().starts_with('#'))
        {
            self.section(header, &span.sub(1, 1 + header.len()));
            return;
        }
        match self.part {
            Part::Hosts => self.host(line, span),
            Part::Vars => self.var(line, span),
            Part::Skipped => {}
            Part::Children => {
                let name = line.split(['#', ' ', '\t']).next().unwrap_or(line);
                let span = span.sub(0, name.len());
                self.mentioned
                    .entry(name.to_owned())
                    .or_insert_with(|| (span.clone(), "children"));
                let group = self.group.clone();
                self.inventory.group(name);
                self.inventory.add_child(&group, name, &span, self.problems);
            }
        }
    }

    fn section(&mut self, header: &str, span: &Span) {
        let (name, part) = header.split_once(':').unwrap_or((header, "hosts"));
        self.part = match part {
            "hosts" => Part::Hosts,
            "children" => Part::Children,
            "vars" => Part::Vars,
            _ => {
                let start = name.len() + 1;
                self.problems.push(
                    Diagnostic::error(
                        &span.sub(start, start + part.len()),
                        format!("unknown kind of section `{part}`"),
                    )
                    .did_you_mean(part, ["hosts", "children", "vars"])
                    .or_hint("a section is `[group]`, `[group:children]` or `[group:vars]`"),
                );
                Part::Skipped
            }
        };
        if name.is_empty() || name.contains(char::is_whitespace) {
            self.problems.push(
                Diagnostic::error(span, format!("`{name}` is not a group's name"))
                    .hint("write `[group]` without spaces"),
            );
        }
        name.clone_into(&mut self.group);
        self.inventory.group(name);
        if self.part == Part::Vars {
            self.mentioned
                .entry(name.to_owned())
                .or_insert_with(|| (span.sub(0, name.len()), "vars"));
        } else {
            self.declared.push(name.to_owned());
        }
    }

    fn host(&mut self, line: &str, span: &Span) {
        let Some(words) = words(line) else {
            self.problems
                .push(Diagnostic::error(span, "a quote is not closed"));
            return;
        };
        let mut words = words.into_iter();
        let Some((name, _)) = words.next() else {
            return;
        };
        let name_span = span.sub(0, name.len());
        let mut vars = VarMap::new();
        for (word, at) in words {
            let span = span.sub(at, at + word.len());
            match word.split_once('=') {
                Some((key, value)) => {
                    vars.insert(key.into(), literal::value(value, &span));
                }
                None => self.problems.push(
                    Diagnostic::error(&span, format!("`{word}` is not key=value"))
                        .hint("a host's name is followed by its variables; every host has a line of its own"),
                ),
            }
        }
        let looks_yaml = name.ends_with(':') || name == "---" || name == "-";
        match address::expand(&name) {
            _ if looks_yaml => self.problems.push(
                Diagnostic::error(&name_span, format!("`{name}` is not a host's name"))
                    .hint("if this is YAML, name the file `.yaml`"),
            ),
            Ok((names, port)) => {
                self.inventory
                    .add_hosts(&self.group, &names, port, &vars, &name_span);
            }
            Err(why) => self.problems.push(
                Diagnostic::error(&name_span, format!("range in `{name}`: {why}"))
                    .hint("write `node[01:20]`, `node[a:f]` or `node[0:10:2]`"),
            ),
        }
    }

    fn var(&mut self, line: &str, span: &Span) {
        let Some((key, value)) = line.split_once('=') else {
            self.problems.push(
                Diagnostic::error(span, format!("`{line}` is not key=value"))
                    .hint("variables of a group are `name=value`, one a line"),
            );
            return;
        };
        let start = line.len() - value.trim_start().len();
        let at = span.sub(start, line.len());
        let node = literal::value(value.trim(), &at);
        let group = self.group.clone();
        self.inventory
            .group(&group)
            .vars
            .insert(key.trim().into(), node);
    }

    /// Groups that are only named by others are mistyped.
    fn finish(self) {
        let groups: Vec<&str> = self.declared.iter().map(String::as_str).collect();
        for (name, (span, part)) in &self.mentioned {
            if name != "all" && name != "ungrouped" && !groups.contains(&name.as_str()) {
                let problem = match *part {
                    "vars" => format!("variables of the group `{name}`, which is nowhere"),
                    _ => format!("there is no group `{name}`"),
                };
                self.problems.push(
                    Diagnostic::error(span, problem)
                        .did_you_mean(name, groups.iter().copied())
                        .or_hint(format!("add a section `[{name}]`")),
                );
            }
        }
    }
}

/// Words of a host's line as a POSIX shell splits them, comments left out, and where each starts.
fn words(line: &str) -> Option<Vec<(String, usize)>> {
    let mut words = Vec::new();
    let mut word: Option<(String, usize)> = None;
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ' ' | '\t' => words.extend(word.take()),
            '#' if word.is_none() => return Some(words),
            '\'' | '"' => {
                let (text, _) = word.get_or_insert((String::new(), at));
                loop {
                    let (_, inner) = chars.next()?;
                    match inner {
                        _ if inner == c => break,
                        '\\' if c == '"' => match chars.next()?.1 {
                            same @ ('"' | '\\') => text.push(same),
                            other => {
                                text.push('\\');
                                text.push(other);
                            }
                        },
                        _ => text.push(inner),
                    }
                }
            }
            '\\' => {
                let (text, _) = word.get_or_insert((String::new(), at));
                text.push(chars.next()?.1);
            }
            _ => word.get_or_insert((String::new(), at)).0.push(c),
        }
    }
    words.extend(word);
    Some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Inventory, String> {
        let mut inventory = Inventory::empty();
        let mut problems = Vec::new();
        read(&mut inventory, &Source::new("hosts", text), &mut problems);
        inventory.finish();
        match problems.first() {
            None => Ok(inventory),
            Some(problem) => Err(format!(
                "{} {}",
                problem.span.clone().unwrap(),
                problem.message
            )),
        }
    }

    fn var(inventory: &Inventory, host: &str, name: &str) -> String {
        let layers = inventory.host_vars_layers(host);
        let node = layers
            .iter()
            .rev()
            .find_map(|(_, vars)| vars.get(name))
            .unwrap();
        crate::template::to_text(&crate::yaml::plain(node))
    }

    #[test]
    fn groups_children_and_variables() {
        let inventory = load(
            "alone\n\n[web]\nnode[1:2] http_port=80 motd='hello world' # first\nb:2222\n\n[db]\nb ansible_host=10.0.0.9\n\n\
             [east:children]\nweb\ndb\n\n[east:vars]\nproxy = http://p:3128\nflags=['x', 1]\n",
        )
        .unwrap();
        assert_eq!(inventory.members("ungrouped"), ["alone"]);
        assert_eq!(inventory.members("east"), ["node1", "node2", "b"]);
        assert_eq!(var(&inventory, "node1", "http_port"), "80");
        assert_eq!(var(&inventory, "node2", "motd"), "hello world");
        assert_eq!(var(&inventory, "b", "ansible_port"), "2222");
        assert_eq!(var(&inventory, "b", "ansible_host"), "10.0.0.9");
        assert_eq!(var(&inventory, "b", "proxy"), "http://p:3128");
        assert_eq!(var(&inventory, "b", "flags"), "['x', 1]");
    }

    #[test]
    fn mistakes_are_located() {
        for (text, expected) in [
            (
                "[web:chidlren]\na\n",
                "hosts:1:6 unknown kind of section `chidlren`",
            ),
            (
                "[web]\na\n[all:children]\nwbe\n",
                "hosts:4:1 there is no group `wbe`",
            ),
            (
                "[wbe:vars]\na=1\n",
                "hosts:1:2 variables of the group `wbe`, which is nowhere",
            ),
            ("[web]\na b\n", "hosts:2:3 `b` is not key=value"),
            ("[web]\na b='c\n", "hosts:2:1 a quote is not closed"),
            (
                "[web]\na[3:1]\n",
                "hosts:2:1 range in `a[3:1]`: it ends before it starts",
            ),
            ("[web:vars]\nx\n[web]\n", "hosts:2:1 `x` is not key=value"),
            ("all:\n  hosts:\n", "hosts:1:1 `all:` is not a host's name"),
            (
                "[a:children]\nb\n[b:children]\na\n",
                "hosts:4:1 group `b` is below itself",
            ),
        ] {
            assert_eq!(load(text).unwrap_err(), expected, "{text}");
        }
    }
}
