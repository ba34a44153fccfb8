//! Playbooks and plays.

use super::ast::{Base, Play, Prompt, VarMap};
use super::base::list;
use super::keywords::{self, PLAY, Shape};
use super::loader::{Loader, Place, clean};
use super::search::looked_in;
use crate::diag::{Diagnostic, Span};
use crate::modules::args::to_bool;
use crate::yaml::{Kind, Map, Node, plain};
use std::path::Path;
use std::sync::Arc;

/// What an `import_playbook` hands on to the plays it brings.
#[derive(Default, Clone)]
struct Handed {
    tags: Vec<Node>,
    when: Vec<Node>,
    vars: VarMap,
}

/// Keys of `import_playbook` beside it.
const IMPORT_KEYS: &[&str] = &["import_playbook", "name", "vars", "tags", "when"];

impl Loader<'_> {
    /// The plays of a file, imported ones spliced in.
    pub(super) fn playbook(&mut self, path: &Path) -> Option<Vec<Arc<Play>>> {
        self.plays_of(path, None, &Handed::default())
    }

    /// The plays of a playbook that is no file.
    pub(super) fn made(&mut self, node: &Node, path: &Path) -> Option<Vec<Arc<Play>>> {
        self.plays(node, path, &Handed::default())
    }

    fn plays_of(
        &mut self,
        path: &Path,
        by: Option<&Span>,
        handed: &Handed,
    ) -> Option<Vec<Arc<Play>>> {
        let node = self.read(path, by)?;
        let at = by.unwrap_or(&node.span).clone();
        let saved = self.playbook_dir.clone();
        let plays = self.within(path, &at, |loader| {
            loader.playbook_dir = dir_of(path);
            loader.plays(&node, path, handed)
        });
        self.playbook_dir = saved;
        plays
    }

    fn plays(&mut self, node: &Node, path: &Path, handed: &Handed) -> Option<Vec<Arc<Play>>> {
        let Some(entries) = node.as_seq() else {
            let error = Diagnostic::error(
                &node.span,
                format!(
                    "a playbook must be a list of plays, not {}",
                    node.describe()
                ),
            );
            self.report(match &node.kind {
                Kind::Map(map) if map.get("hosts").is_some() => {
                    error.hint("start the play with `- hosts:`")
                }
                Kind::Map(map) if map.get("all").is_some() => {
                    error.hint("this looks like an inventory")
                }
                _ => error.hint("start each play with `- hosts:`"),
            });
            return None;
        };
        let mut plays = Vec::new();
        for entry in entries {
            match &entry.kind {
                Kind::Map(map) => plays.extend(self.play_or_import(entry, map, path, handed)),
                Kind::Null => {}
                _ => self.error(
                    &entry.span,
                    format!("a play must be a mapping, not {}", entry.describe()),
                ),
            }
        }
        Some(plays)
    }

    fn play_or_import(
        &mut self,
        node: &Node,
        map: &Map,
        path: &Path,
        handed: &Handed,
    ) -> Vec<Arc<Play>> {
        let import = map.iter().find_map(|(key, span, value)| {
            let short = key.rsplit_once('.').map_or(&**key, |(collection, short)| {
                if matches!(collection, "ansible.builtin" | "ansible.legacy") {
                    short
                } else {
                    key
                }
            });
            let old = short == "include" && map.get("hosts").is_none();
            (short == "import_playbook" || old).then_some((key, span, value, old))
        });
        let Some((key, span, value, old)) = import else {
            return self.play(node, map, handed).into_iter().collect();
        };
        if old {
            self.report(
                Diagnostic::note(span, "`include` of a playbook is an old spelling")
                    .hint("write `import_playbook`"),
            );
        }
        let mut base = Base::default();
        for (name, span, value) in map.iter().filter(|(name, ..)| *name != key) {
            // Other keywords of a play are taken and mean nothing, as in Ansible; `hosts` is a mistake.
            let known =
                IMPORT_KEYS.contains(&&**name) || keywords::find(name, keywords::ROLE).is_some();
            if known {
                self.shared(&mut base, name, span, value);
            } else {
                self.report(
                    Diagnostic::error(
                        span,
                        format!("unknown keyword `{name}` of an imported playbook"),
                    )
                    .did_you_mean(name, IMPORT_KEYS.iter().copied()),
                );
            }
        }
        let place = Place::new(&self.playbook_dir);
        let Some(text) = self.static_text(value, &base.vars, &place, "the imported playbook")
        else {
            return Vec::new();
        };
        // Old forms carry variables behind the name.
        let mut words = text.split_whitespace();
        let name = words.next().unwrap_or_default();
        for (key, text) in words.filter_map(|word| word.split_once('=')) {
            base.vars
                .insert(key.into(), Node::string(text, &value.span));
        }
        let file = clean(&dir_of(path).join(name));
        if !file.is_file() {
            self.report(
                Diagnostic::error(&value.span, format!("there is no playbook `{name}`"))
                    .hint(looked_in(&[file])),
            );
            return Vec::new();
        }
        let mut inner = handed.clone();
        inner.tags.extend(base.tags);
        inner.when.extend(base.when);
        inner.vars.extend(base.vars);
        self.plays_of(&file, Some(&value.span), &inner)
            .unwrap_or_default()
    }

    fn play(&mut self, node: &Node, map: &Map, handed: &Handed) -> Option<Arc<Play>> {
        let Some(hosts) = map.get("hosts") else {
            let task = map
                .iter()
                .find(|(key, ..)| crate::modules::spec_of(key).is_some());
            let error = Diagnostic::error(&node.span, "this play has no `hosts`");
            let near = crate::diag::near("hosts", map.iter().map(|(key, ..)| &**key));
            self.report(match (task, near) {
                (_, Some(near)) => {
                    let span = map.key_span(near).unwrap_or(&node.span);
                    Diagnostic::error(span, format!("unknown keyword `{near}` of a play"))
                        .hint("did you mean `hosts`?")
                }
                (Some(_), None) => {
                    error.hint("this looks like a task: put it below `tasks:` of a play")
                }
                (None, None) => error.hint("add `hosts: all`, or the name of a group"),
            });
            return None;
        };
        let mut base = Base::default();
        for (key, span, value) in map.iter() {
            let Some(keyword) = self.keyword(key, span, value, PLAY) else {
                continue;
            };
            if keyword.shape != Shape::Tasks {
                self.check_templates(value);
                self.shared(&mut base, key, span, value);
            }
        }
        self.hosts(hosts, map.key_span("hosts").unwrap_or(&hosts.span));
        base.tags.extend(handed.tags.iter().cloned());
        base.when.extend(handed.when.iter().cloned());
        base.vars.extend(handed.vars.clone());
        let outer = self.statics.len();
        self.statics.push(Arc::new(base.vars.clone()));
        self.static_vars_files(map);

        let place = super::task::inside(&Place::new(&self.playbook_dir), &base);
        let get = |key: &str| map.get(key).filter(|node| !node.is_null()).cloned();
        let tasks = |loader: &mut Self, key: &str, handlers: bool| {
            let place = Place {
                handlers,
                ..place.clone()
            };
            map.get(key)
                .filter(|node| node.as_seq().is_some())
                .map(|node| loader.items(node, &place))
                .unwrap_or_default()
        };
        // In the order they run, so that what runs once runs first.
        let pre_tasks = tasks(self, "pre_tasks", false);
        let roles = map
            .get("roles")
            .map(|node| self.roles(node, &place))
            .unwrap_or_default();
        let main = tasks(self, "tasks", false);
        let post_tasks = tasks(self, "post_tasks", false);
        let mut handlers = tasks(self, "handlers", true);
        handlers.append(&mut self.role_handlers);
        let play = Play {
            span: node.span.clone(),
            dir: self.playbook_dir.clone(),
            hosts: hosts.clone(),
            gather_facts: get("gather_facts"),
            gather_subset: get("gather_subset"),
            vars_files: map.get("vars_files").map(list).unwrap_or_default(),
            vars_prompt: map
                .get("vars_prompt")
                .map(|node| self.prompts(node))
                .unwrap_or_default(),
            serial: get("serial"),
            strategy: get("strategy"),
            order: get("order"),
            force_handlers: get("force_handlers"),
            max_fail_percentage: get("max_fail_percentage"),
            fact_path: get("fact_path"),
            pre_tasks,
            roles,
            tasks: main,
            post_tasks,
            handlers,
            role_list: std::mem::take(&mut self.role_list),
            base,
        };
        self.check_choice(
            play.strategy.as_ref(),
            "strategy",
            &["linear", "free", "host_pinned", "debug"],
        );
        self.check_choice(
            play.order.as_ref(),
            "order",
            &[
                "inventory",
                "reverse_inventory",
                "sorted",
                "reverse_sorted",
                "shuffle",
            ],
        );
        self.statics.truncate(outer);
        self.once.clear();
        self.preloaded.clear();
        Some(Arc::new(play))
    }

    fn hosts(&mut self, node: &Node, key: &Span) {
        match &node.kind {
            Kind::Null => self.hinted(
                key,
                "`hosts` is empty",
                "write `hosts: all`, or the name of a group",
            ),
            Kind::Str(text) if text.trim().is_empty() => self.error(&node.span, "`hosts` is empty"),
            Kind::Seq(items) if items.is_empty() => self.error(&node.span, "`hosts` is empty"),
            Kind::Seq(items) => {
                for item in items.iter().filter(|item| item.as_str().is_none()) {
                    self.error(
                        &item.span,
                        format!(
                            "`hosts` must be a list of names, this is {}",
                            item.describe()
                        ),
                    );
                }
            }
            _ => {}
        }
    }

    /// Literal `vars_files` that are there give names to static imports; a literal one that is not there is an error.
    fn static_vars_files(&mut self, map: &Map) {
        let Some(node) = map.get("vars_files") else {
            return;
        };
        for entry in list(node) {
            let alternatives = list(&entry);
            let mut tried = Vec::new();
            let mut open = false;
            for name in &alternatives {
                let Some(text) = name.as_str().filter(|_| !name.is_template()) else {
                    open = true;
                    break;
                };
                let found =
                    super::search::find(std::slice::from_ref(&self.playbook_dir), "vars", text);
                match found {
                    Ok(path) => {
                        open = true;
                        if let Some(node) = self.read(&path, Some(&name.span)) {
                            if node.as_map().is_none() && !node.is_null() {
                                self.error(
                                    &node.span,
                                    format!(
                                        "a file of variables must be a mapping, not {}",
                                        node.describe()
                                    ),
                                );
                            }
                            self.check_templates(&node);
                            self.statics.push(Arc::new(super::include::var_map(&node)));
                        }
                        break;
                    }
                    Err(places) => tried.extend(places),
                }
            }
            if !open && !alternatives.is_empty() {
                self.report(
                    Diagnostic::error(&entry.span, "there is no such file of variables")
                        .hint(looked_in(&tried)),
                );
            }
        }
    }

    fn check_choice(&mut self, node: Option<&Node>, key: &str, choices: &[&str]) {
        let Some(text) = node
            .filter(|node| !node.is_template())
            .and_then(Node::as_str)
        else {
            return;
        };
        let short = text.rsplit('.').next().unwrap_or(text);
        if !choices.contains(&short)
            && let Some(node) = node
        {
            let error = Diagnostic::error(
                &node.span,
                format!(
                    "`{key}` must be one of {}, not `{text}`",
                    choices.join(", ")
                ),
            );
            self.report(error.did_you_mean(short, choices.iter().copied()));
        }
    }

    fn prompts(&mut self, node: &Node) -> Vec<Prompt> {
        let mut prompts = Vec::new();
        for entry in list(node) {
            let Some(map) = entry.as_map() else {
                self.error(
                    &entry.span,
                    format!("a prompt must be a mapping, not {}", entry.describe()),
                );
                continue;
            };
            let known = ["name", "prompt", "default", "private", "confirm", "unsafe"];
            for (key, span, _) in map.iter() {
                if ["encrypt", "salt", "salt_size"].contains(&&**key) {
                    self.hinted(
                        span,
                        format!("`{key}` of a prompt is not supported"),
                        "use the filter `password_hash` where the answer is used",
                    );
                } else if !known.contains(&&**key) {
                    self.report(
                        Diagnostic::error(span, format!("unknown key `{key}` of a prompt"))
                            .did_you_mean(key, known),
                    );
                }
            }
            let Some(name) = map.get("name").and_then(Node::as_str) else {
                self.error(&entry.span, "this prompt has no `name`");
                continue;
            };
            let flag = |key: &str, default: bool| {
                map.get(key)
                    .and_then(|node| to_bool(&plain(node)))
                    .unwrap_or(default)
            };
            prompts.push(Prompt {
                name: name.to_owned(),
                prompt: map
                    .get("prompt")
                    .and_then(Node::as_str)
                    .unwrap_or(name)
                    .to_owned(),
                private: flag("private", true),
                default: map.get("default").cloned(),
                confirm: flag("confirm", false),
            });
        }
        prompts
    }
}

/// A file's folder.
pub(super) fn dir_of(path: &Path) -> std::path::PathBuf {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir.to_path_buf(),
        _ => std::path::PathBuf::from("."),
    }
}
