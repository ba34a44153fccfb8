//! From the `verify.yml` files of a playbook's roles to one play of checks.

use crate::diag::{Diagnostic, Source, Span};
use crate::inventory::Inventory;
use crate::modules;
use crate::playbook::ast::{
    Action, Base, Block, Item, Origin, Play, Playbook, Role, RoleUse, Task, VarMap,
};
use crate::report::Receipt;
use crate::yaml::{Kind, Map, Node};
use indexmap::IndexMap;
use minijinja::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What to run to verify.
pub struct Plan {
    /// One play of checks.
    pub playbook: Playbook,
    /// What each host carries, and what the last apply left on it.
    pub host_vars: HashMap<String, VarMap>,
    /// Facts that the last apply gathered.
    pub facts: HashMap<String, IndexMap<String, Value>>,
}

/// Sections of `verify.yml` and the check each entry is.
const SECTIONS: [(&str, &str); 6] = [
    ("processes", "process"),
    ("ports", "port"),
    ("http", "http"),
    ("tcp", "tcp"),
    ("units", "unit"),
    ("files", "file"),
];

/// Key of `verify.yml` that is no check: on how many hosts at a time `mini-play service` acts.
pub(crate) const SERIAL: &str = "serial";

/// Variable that says which plays a host is part of.
const CARRIES: &str = "_mini_play_carries";
/// Variable with the files that the last apply left.
const FILES: &str = "_mini_play_files";

/// Plans the checks of a playbook for the hosts of its plays.
///
/// # Errors
/// What is wrong with a `verify.yml` or a pattern; that there is nothing to verify.
pub fn plan(
    playbook: &Playbook,
    inventory: &Inventory,
    limit: Option<&str>,
    state: &Path,
) -> Result<Plan, Vec<Diagnostic>> {
    let mut body = Vec::new();
    let mut carries: IndexMap<String, Vec<String>> = IndexMap::new();
    let mut roles = Vec::new();
    let mut problems = Vec::new();
    for (index, play) in playbook.plays.iter().enumerate() {
        let mut checks = Vec::new();
        collect(&play.roles, &mut checks, &mut problems);
        if checks.is_empty() {
            continue;
        }
        let hosts = match inventory.select(&pattern(&play.hosts), limit) {
            Ok(hosts) => hosts,
            Err(diagnostic) => {
                problems.push(diagnostic);
                continue;
            }
        };
        let mark = format!("play{index}");
        for host in hosts {
            carries.entry(host).or_default().push(mark.clone());
        }
        let mut base = play.base.clone();
        base.when
            .push(Node::string(format!("'{mark}' in {CARRIES}"), &play.span));
        roles.extend(play.role_list.iter().cloned());
        body.push(Item::Block(Arc::new(block(
            &play.span, &play.dir, base, checks,
        ))));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let Some(first) = playbook
        .plays
        .first()
        .filter(|_| !body.is_empty() && !carries.is_empty())
    else {
        let text = format!(
            "there is nothing to verify: no role of {} has a verify.yml",
            playbook.path.display()
        );
        return Err(vec![
            Diagnostic::plain(text).hint("checks are written in roles/NAME/verify.yml"),
        ]);
    };
    let mut host_vars = HashMap::new();
    let mut facts = HashMap::new();
    let source = Source::new("<verify>", "");
    let span = Span::head(&source);
    let mut gather = false;
    for host in inventory.host_names() {
        let receipt = Receipt::load(state, &host)
            .map_err(|why| vec![Diagnostic::plain(format!("{why:#}"))])?;
        let known = !receipt.facts.is_empty();
        if known {
            // Those of hosts that are not looked at too: `hostvars` may lead there.
            facts.insert(host.clone(), receipt.known_facts());
        }
        let Some(marks) = carries.get(&host) else {
            continue;
        };
        gather |= !known;
        let marks = marks
            .iter()
            .map(|mark| Node::string(mark.as_str(), &span))
            .collect();
        let files = receipt
            .files
            .iter()
            .map(|(path, sum)| file(path, sum, &span))
            .collect();
        let seq = |nodes: Vec<Node>| Node {
            kind: Kind::Seq(nodes.into()),
            span: span.clone(),
        };
        host_vars.insert(
            host,
            VarMap::from_iter([(CARRIES.into(), seq(marks)), (FILES.into(), seq(files))]),
        );
    }
    body.push(Item::Block(Arc::new(left_by_apply(&span, &first.base))));
    let names: Vec<&str> = carries.keys().map(String::as_str).collect();
    let base = Base {
        name: Some(Node::string("verify", &span)),
        connection: first.base.connection.clone(),
        remote_user: first.base.remote_user.clone(),
        port: first.base.port.clone(),
        ..Base::default()
    };
    let play = Play {
        role_list: roles,
        ..play(&span, &first.dir, &names.join(","), base, gather, body)
    };
    Ok(Plan {
        playbook: Playbook {
            path: playbook.path.clone(),
            plays: vec![Arc::new(play)],
            notes: Vec::new(),
            unsupported: Vec::new(),
        },
        host_vars,
        facts,
    })
}

/// A play of these tasks.
pub(crate) fn play(
    span: &Span,
    dir: &Path,
    hosts: &str,
    base: Base,
    gather: bool,
    tasks: Vec<Item>,
) -> Play {
    Play {
        span: span.clone(),
        dir: dir.to_path_buf(),
        hosts: Node::string(hosts, span),
        base,
        gather_facts: Some(Node {
            kind: Kind::Bool(gather),
            span: span.clone(),
        }),
        gather_subset: None,
        vars_files: Vec::new(),
        vars_prompt: Vec::new(),
        serial: None,
        strategy: None,
        order: None,
        force_handlers: None,
        max_fail_percentage: None,
        fact_path: None,
        pre_tasks: Vec::new(),
        roles: Vec::new(),
        tasks,
        post_tasks: Vec::new(),
        handlers: Vec::new(),
        role_list: Vec::new(),
    }
}

/// A play's `hosts` as one pattern.
pub(crate) fn pattern(node: &Node) -> String {
    match node.as_seq() {
        Some(list) => list
            .iter()
            .filter_map(Node::as_str)
            .collect::<Vec<_>>()
            .join(","),
        None => node.as_str().unwrap_or_default().to_owned(),
    }
}

/// A block around these.
pub(crate) fn block(span: &Span, dir: &Path, base: Base, body: Vec<Item>) -> Block {
    Block {
        span: span.clone(),
        base,
        body,
        rescue: Vec::new(),
        always: Vec::new(),
        role: None,
        origin: Origin::Written,
        dir: dir.to_path_buf(),
        handlers: Vec::new(),
    }
}

/// The roles of a play, dependencies included, as blocks of checks.
fn collect(items: &[Item], checks: &mut Vec<Item>, problems: &mut Vec<Diagnostic>) {
    for item in items {
        let Item::Block(found) = item else { continue };
        if let Some(used) = &found.role {
            match of_role(used) {
                Ok(tasks) if tasks.is_empty() => {}
                Ok(tasks) => {
                    let mut base = found.base.clone();
                    base.tags.clear();
                    let mut own = block(&found.span, &found.dir, base, tasks);
                    own.role = Some(Arc::clone(used));
                    checks.push(Item::Block(Arc::new(own)));
                }
                Err(mut found) => problems.append(&mut found),
            }
        }
        collect(&found.body, checks, problems);
    }
}

/// The `verify.yml` of a role; `None` when it has none.
pub(crate) fn sections(role: &Role) -> Result<Option<(PathBuf, Arc<Map>)>, Diagnostic> {
    let path = role.path.join("verify.yml");
    let Ok(text) = std::fs::read_to_string(&path) else {
        return Ok(None);
    };
    let source = Source::new(path.display().to_string(), text);
    let node = crate::yaml::load(&source)?;
    match node.kind {
        Kind::Map(map) => Ok(Some((path, map))),
        _ => Err(Diagnostic::error(
            &node.span,
            "verify.yml must be a mapping of sections",
        )),
    }
}

/// The checks of a role.
pub(crate) fn of_role(used: &Arc<RoleUse>) -> Result<Vec<Item>, Vec<Diagnostic>> {
    let Some((path, map)) = sections(&used.role).map_err(|diagnostic| vec![diagnostic])? else {
        return Ok(Vec::new());
    };
    let mut tasks = Vec::new();
    let mut problems = Vec::new();
    for (name, span, section) in map.iter().filter(|(name, ..)| &***name != SERIAL) {
        let Some((_, check)) = SECTIONS.iter().find(|(known, _)| *known == &**name) else {
            problems.push(
                Diagnostic::error(span, format!("unknown section `{name}` of verify.yml"))
                    .did_you_mean(
                        name,
                        SECTIONS.iter().map(|(known, _)| *known).chain([SERIAL]),
                    ),
            );
            continue;
        };
        let Some(list) = section.as_seq() else {
            problems.push(Diagnostic::error(
                &section.span,
                format!("`{name}` must be a list of checks"),
            ));
            continue;
        };
        for entry in list {
            match task(entry, check, &path) {
                Ok(task) => tasks.push(Item::Task(Arc::new(task))),
                Err(diagnostic) => problems.push(diagnostic),
            }
        }
    }
    if problems.is_empty() {
        Ok(tasks)
    } else {
        Err(problems)
    }
}

/// One entry as a `health_check` task.
fn task(entry: &Node, check: &str, path: &Path) -> Result<Task, Diagnostic> {
    let Some(map) = entry.as_map() else {
        return Err(Diagnostic::error(
            &entry.span,
            format!("a check is a mapping, this is {}", entry.describe()),
        ));
    };
    let known: Vec<&str> = modules::spec_of("health_check")
        .into_iter()
        .flat_map(|spec| spec.params)
        .map(|p| p.name)
        .collect();
    let mut base = Base::default();
    let mut args = Map::default();
    args.insert(
        "check".into(),
        entry.span.clone(),
        Node::string(check, &entry.span),
    );
    for (key, span, node) in map.iter() {
        match &**key {
            "when" => {
                base.when = node
                    .as_seq()
                    .map_or_else(|| vec![node.clone()], <[Node]>::to_vec);
            }
            name if known.contains(&name) => {
                args.insert(Arc::clone(key), span.clone(), node.clone());
            }
            name => {
                return Err(
                    Diagnostic::error(span, format!("unknown key `{name}` of a check"))
                        .did_you_mean(name, known.iter().copied().chain(["when"])),
                );
            }
        }
    }
    let subject = ["name", "pattern", "url", "port", "path"]
        .iter()
        .find_map(|key| map.get(key));
    let label = subject.map(|node| {
        node.as_str()
            .map_or_else(|| node.span.text().to_owned(), str::to_owned)
    });
    base.name = Some(Node::string(
        format!("{check}: {}", label.unwrap_or_default()),
        &entry.span,
    ));
    Ok(plain_task(
        base,
        Node {
            kind: Kind::Map(Arc::new(args)),
            span: entry.span.clone(),
        },
        path,
    ))
}

fn plain_task(mut base: Base, args: Node, path: &Path) -> Task {
    let span = args.span.clone();
    // Every check is made, whatever the others say.
    base.ignore_errors = Some(Node {
        kind: Kind::Bool(true),
        span: span.clone(),
    });
    Task {
        base,
        action: Action {
            spec: modules::spec_of("health_check"),
            name: "health_check".into(),
            span: span.clone(),
            args,
        },
        span,
        looped: None,
        register: None,
        until: Vec::new(),
        retries: None,
        delay: None,
        changed_when: None,
        failed_when: None,
        notify: Vec::new(),
        listen: Vec::new(),
        r#async: None,
        confirm: None,
        poll: None,
        apply: None,
        preloaded: None,
        dir: path.parent().map(Path::to_path_buf).unwrap_or_default(),
    }
}

/// The files that the last apply left, as one looped task.
fn left_by_apply(span: &Span, like: &Base) -> Block {
    let string = |text: &str| Node::string(text, span);
    let mut args = Map::default();
    args.insert("check".into(), span.clone(), string("file"));
    args.insert("path".into(), span.clone(), string("{{ item.path }}"));
    args.insert(
        "checksum".into(),
        span.clone(),
        string("{{ item.checksum }}"),
    );
    let base = Base {
        name: Some(string("file: as the last apply left it")),
        ..Base::default()
    };
    let mut task = plain_task(
        base,
        Node {
            kind: Kind::Map(Arc::new(args)),
            span: span.clone(),
        },
        Path::new(""),
    );
    task.looped = Some(crate::playbook::ast::Loop {
        over: string(&format!("{{{{ {FILES} }}}}")),
        kind: crate::playbook::ast::LoopKind::Loop,
        var: "item".into(),
        index_var: None,
        label: Some(string("{{ item.path }}")),
        pause: None,
        extended: false,
        break_when: Vec::new(),
    });
    let base = Base {
        r#become: like.r#become.clone(),
        become_user: like.become_user.clone(),
        become_method: like.become_method.clone(),
        vars: like.vars.clone(),
        ..Base::default()
    };
    block(span, Path::new(""), base, vec![Item::Task(Arc::new(task))])
}

fn file(path: &str, checksum: &str, span: &Span) -> Node {
    let literal = |text: &str| Node {
        kind: Kind::Unsafe(text.into()),
        span: span.clone(),
    };
    let mut map = Map::default();
    map.insert("path".into(), span.clone(), literal(path));
    map.insert("checksum".into(), span.clone(), literal(checksum));
    Node {
        kind: Kind::Map(Arc::new(map)),
        span: span.clone(),
    }
}
