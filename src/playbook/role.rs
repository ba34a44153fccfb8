//! Roles: where they are, what their folder holds, and what one use of them brings into a play.

use super::ast::{Action, Base, Block, Item, Origin, Role, RoleUse, Task, VarMap};
use super::include::var_map;
use super::keywords::{self, ROLE};
use super::loader::{Loader, Place, clean};
use super::search::looked_in;
use crate::diag::{Diagnostic, Span};
use crate::yaml::{Kind, Map, Node};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Which files of a role take part; `None` is `main`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RoleParts {
    /// `tasks_from`.
    pub tasks: Option<String>,
    /// `vars_from`.
    pub vars: Option<String>,
    /// `defaults_from`.
    pub defaults: Option<String>,
    /// `handlers_from`.
    pub handlers: Option<String>,
    /// `rolespec_validate: false`: its argument specification is not checked.
    pub unchecked: bool,
}

/// A role that something asks for.
pub(super) struct Wanted {
    pub name: String,
    pub span: Span,
    pub params: VarMap,
    pub parts: RoleParts,
    /// Whether it runs even when it ran already.
    pub again: bool,
}

/// A role's folder as read.
#[derive(Clone)]
pub(super) struct Loaded {
    role: Arc<Role>,
    tasks: Option<(PathBuf, Node)>,
    handlers: Option<(PathBuf, Node)>,
    dependencies: Vec<Node>,
    /// Whether its meta file names collections.
    collections: bool,
}

/// What one use of a role brings.
pub(super) struct Brought {
    /// Its dependencies' blocks, then its own.
    pub items: Vec<Item>,
    pub used: Arc<RoleUse>,
    pub handlers: Vec<Item>,
}

/// Endings of a role's files, in order.
const ENDINGS: &[&str] = &["yml", "yaml", "json"];

impl Loader<'_> {
    /// The entries of `roles:`.
    pub(super) fn roles(&mut self, node: &Node, place: &Place) -> Vec<Item> {
        let Some(entries) = node.as_seq() else {
            if !node.is_null() {
                let error = Diagnostic::error(
                    &node.span,
                    format!("`roles` must be a list, not {}", node.describe()),
                );
                self.report(error.hint("start each role with `- `"));
            }
            return Vec::new();
        };
        let mut items = Vec::new();
        for entry in entries {
            let Some((wanted, base)) = self.role_entry(entry, place) else {
                continue;
            };
            if let Some(brought) = self.role_use(&wanted, &base, place) {
                items.extend(brought.items);
                self.role_handlers.extend(brought.handlers);
            }
        }
        items
    }

    /// One entry of `roles:` or of a role's dependencies: a name, or a mapping with keywords and parameters.
    fn role_entry(&mut self, entry: &Node, place: &Place) -> Option<(Wanted, Base)> {
        let mut base = Base::default();
        let mut params = VarMap::new();
        let name = match &entry.kind {
            Kind::Str(_) | Kind::Int(_) => {
                Node::string(entry.span.text().trim_matches(['"', '\'']), &entry.span)
            }
            Kind::Map(map) => {
                let Some(name) = map
                    .get("role")
                    .or_else(|| map.get("name"))
                    .or_else(|| map.get("src"))
                else {
                    self.hinted(
                        &entry.span,
                        "this entry names no role",
                        "write `- role: name`",
                    );
                    return None;
                };
                for (key, span, value) in map.iter() {
                    match &**key {
                        "role" | "name" | "src" | "version" | "scm" => {}
                        _ if keywords::find(key, ROLE).is_some() => {
                            if self.keyword(key, span, value, ROLE).is_some() {
                                self.check_templates(value);
                                self.shared(&mut base, key, span, value);
                            }
                        }
                        _ => {
                            self.check_templates(value);
                            params.insert(Arc::clone(key), value.clone());
                        }
                    }
                }
                name.clone()
            }
            _ => {
                self.error(
                    &entry.span,
                    format!(
                        "a role must be a name or a mapping, not {}",
                        entry.describe()
                    ),
                );
                return None;
            }
        };
        params.extend(std::mem::take(&mut base.vars));
        let text = self.static_text(&name, &params, place, "the role's name")?;
        let wanted = Wanted {
            name: text,
            span: name.span.clone(),
            params,
            parts: RoleParts::default(),
            again: false,
        };
        Some((wanted, base))
    }

    /// A role as one block, its dependencies inside: for `import_role` and `include_role`.
    pub(super) fn imported_role(
        &mut self,
        wanted: &Wanted,
        span: &Span,
        base: Base,
        place: &Place,
    ) -> Option<Arc<Block>> {
        let brought = self.role_named(wanted, &Base::default(), place, true)?;
        self.role_handlers.extend(brought.handlers.iter().cloned());
        Some(Arc::new(Block {
            span: span.clone(),
            base,
            body: brought.items,
            rescue: Vec::new(),
            always: Vec::new(),
            role: None,
            origin: Origin::Role,
            dir: place.dir.clone(),
            handlers: brought.handlers,
        }))
    }

    /// What one use of a role brings, in `roles:` or as a dependency; `None` when it cannot be read or ran already.
    pub(super) fn role_use(
        &mut self,
        wanted: &Wanted,
        base: &Base,
        place: &Place,
    ) -> Option<Brought> {
        self.role_named(wanted, base, place, false)
    }

    /// The same; `by_task` when a task includes or imports it.
    pub(super) fn role_named(
        &mut self,
        wanted: &Wanted,
        base: &Base,
        place: &Place,
        by_task: bool,
    ) -> Option<Brought> {
        let Some(path) = self.role_path(&wanted.name, place) else {
            self.no_role(&wanted.name, &wanted.span, place);
            return None;
        };
        let loaded = self.role_at(&path, &wanted.name, &wanted.parts, &wanted.span)?;
        let role = &loaded.role;
        let mut params = place
            .role
            .as_ref()
            .map(|used| used.params.clone())
            .unwrap_or_default();
        params.extend(wanted.params.clone());
        let signature = format!(
            "{}\0{:?}\0{}\0{}",
            path.display(),
            wanted.parts,
            written(params.values()),
            written(base.when.iter().chain(&base.tags)),
        );
        if !self.once.insert(signature) && !role.allow_duplicates && !wanted.again {
            return None;
        }
        let (mut parents, mut includers) = (Vec::new(), Vec::new());
        if let Some(used) = &place.role {
            parents.push(Arc::clone(&used.role));
            parents.extend(used.parents.iter().cloned());
            if by_task {
                includers.push(Arc::clone(&used.role));
                includers.extend(used.includers.iter().cloned());
            }
        }
        let used = Arc::new(RoleUse {
            role: Arc::clone(role),
            params,
            parents,
            includers,
        });
        if !self.role_list.iter().any(|known| Arc::ptr_eq(known, role)) {
            self.role_list.push(Arc::clone(role));
        }
        let outer = super::task::inside(place, base);
        let inner = Place {
            dir: path.join("tasks"),
            role: Some(Arc::clone(&used)),
            handlers: false,
            collections: outer.collections || loaded.collections,
            ..outer
        };
        self.within(&entry_of(&path, &wanted.parts), &wanted.span, |loader| {
            let mut items = Vec::new();
            let mut handlers = Vec::new();
            for entry in &loaded.dependencies {
                let Some((dependency, inner_base)) = loader.role_entry(entry, &inner) else {
                    continue;
                };
                if let Some(brought) = loader.role_use(&dependency, &inner_base, &inner) {
                    // A dependency inherits the keywords of what pulls it in.
                    items.push(wrap(&wanted.span, base.clone(), brought.items, None, &path));
                    handlers.push(wrap(
                        &wanted.span,
                        base.clone(),
                        brought.handlers,
                        None,
                        &path,
                    ));
                }
            }
            let mut body = Vec::new();
            body.extend(validation(&used, &wanted.parts, &wanted.span, &path));
            if let Some((file, node)) = &loaded.tasks {
                body.extend(loader.part(file, node, &wanted.span, &inner));
            }
            items.push(wrap(
                &wanted.span,
                base.clone(),
                body,
                Some(Arc::clone(&used)),
                &path,
            ));
            if let Some((file, node)) = &loaded.handlers {
                let inner = Place {
                    handlers: true,
                    ..inner.clone()
                };
                let own = loader.part(file, node, &wanted.span, &inner);
                handlers.push(wrap(
                    &wanted.span,
                    base.clone(),
                    own,
                    Some(Arc::clone(&used)),
                    &path,
                ));
            }
            Some(Brought {
                items,
                used,
                handlers,
            })
        })
    }

    /// The tasks or handlers of a role's file.
    fn part(&mut self, file: &Path, node: &Node, span: &Span, place: &Place) -> Vec<Item> {
        let place = Place {
            dir: file.parent().map(Path::to_path_buf).unwrap_or_default(),
            ..place.clone()
        };
        self.within(file, span, |loader| Some(loader.items(node, &place)))
            .unwrap_or_default()
    }

    /// Folders in which roles are looked for.
    fn role_dirs(&self, place: &Place) -> Vec<PathBuf> {
        let mut dirs = vec![self.playbook_dir.join("roles")];
        dirs.extend(self.options.roles_path.iter().cloned());
        dirs.push(PathBuf::from("roles"));
        if let Some(home) = std::env::var_os("HOME") {
            dirs.push(Path::new(&home).join(".ansible/roles"));
        }
        dirs.extend(["/usr/share/ansible/roles", "/etc/ansible/roles"].map(PathBuf::from));
        // Beside the role that asks.
        if let Some(parent) = place.role.as_ref().and_then(|used| used.role.path.parent()) {
            dirs.push(parent.to_path_buf());
        }
        dirs.push(self.playbook_dir.clone());
        let mut all: Vec<PathBuf> = Vec::new();
        for dir in dirs.iter().map(|dir| clean(dir)) {
            if !all.contains(&dir) {
                all.push(dir);
            }
        }
        all
    }

    /// The folder of a role.
    pub(super) fn role_path(&self, name: &str, place: &Place) -> Option<PathBuf> {
        let mut candidates: Vec<PathBuf> = self
            .role_dirs(place)
            .iter()
            .map(|dir| dir.join(name))
            .collect();
        candidates.extend(collection_role(name, &self.playbook_dir));
        // A path of its own, from where the user stands.
        candidates.push(PathBuf::from(name));
        candidates
            .iter()
            .map(|path| clean(path))
            .find(|path| path.is_dir())
    }

    /// Says that a role is nowhere, and which one may be meant.
    pub(super) fn no_role(&mut self, name: &str, span: &Span, place: &Place) {
        let dirs = self.role_dirs(place);
        let there: Vec<String> = dirs
            .iter()
            .filter(|dir| **dir != self.playbook_dir)
            .filter_map(|dir| std::fs::read_dir(dir).ok())
            .flat_map(|entries| entries.filter_map(Result::ok))
            .filter(|entry| entry.path().is_dir())
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        let error = Diagnostic::error(span, format!("there is no role `{name}`"));
        let error = match crate::diag::near(name, there.iter().map(String::as_str)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(looked_in(&dirs).replace("looked for", "looked in")),
        };
        self.report(error);
    }

    /// Reads a role's folder.
    fn role_at(
        &mut self,
        path: &Path,
        name: &str,
        parts: &RoleParts,
        span: &Span,
    ) -> Option<Loaded> {
        let key = format!("{}\0{parts:?}", path.display());
        if let Some(known) = self.roles.get(&key) {
            return known.clone();
        }
        let loaded = self.read_role(path, name, parts, span);
        self.roles.insert(key, loaded.clone());
        loaded
    }

    fn read_role(
        &mut self,
        path: &Path,
        name: &str,
        parts: &RoleParts,
        span: &Span,
    ) -> Option<Loaded> {
        let meta = self
            .role_file(path, "meta", None, span)
            .map(|(_, node)| node)
            .filter(|node| !node.is_null());
        let meta_map = meta.as_ref().and_then(Node::as_map);
        if let (Some(node), None) = (&meta, meta_map) {
            self.error(
                &node.span,
                format!(
                    "a role's meta file must be a mapping, not {}",
                    node.describe()
                ),
            );
        }
        let specs = self
            .role_file(path, "meta", Some("argument_specs"), span)
            .and_then(|(_, node)| {
                node.as_map()
                    .and_then(|map| map.get("argument_specs").cloned())
            })
            .or_else(|| meta_map.and_then(|map| map.get("argument_specs").cloned()));
        let get = |key: &str| meta_map.and_then(|map| map.get(key));
        let allow_duplicates = get("allow_duplicates")
            .and_then(|node| crate::modules::args::to_bool(&crate::yaml::plain(node)))
            .unwrap_or(false);
        let dependencies = match get("dependencies") {
            None => Vec::new(),
            Some(node) if node.is_null() => Vec::new(),
            Some(node) => match node.as_seq() {
                Some(items) => items.to_vec(),
                None => {
                    self.error(
                        &node.span,
                        format!("`dependencies` must be a list, not {}", node.describe()),
                    );
                    Vec::new()
                }
            },
        };
        let collections = get("collections").is_some_and(|node| !node.is_null());
        let role_name = Path::new(name).file_name().map_or_else(
            || name.to_owned(),
            |base| base.to_string_lossy().into_owned(),
        );
        let role_name = if name.starts_with(['/', '.']) {
            role_name
        } else {
            name.to_owned()
        };
        let defaults = self.role_vars(path, "defaults", parts.defaults.as_deref(), span);
        let vars = self.role_vars(path, "vars", parts.vars.as_deref(), span);
        Some(Loaded {
            role: Arc::new(Role {
                name: role_name,
                path: path.to_path_buf(),
                defaults,
                vars,
                allow_duplicates,
                argument_specs: specs,
            }),
            tasks: self.role_file(path, "tasks", parts.tasks.as_deref(), span),
            handlers: self.role_file(path, "handlers", parts.handlers.as_deref(), span),
            dependencies,
            collections,
        })
    }

    /// One file of a role; a diagnostic when it was asked for by name and is not there.
    fn role_file(
        &mut self,
        path: &Path,
        part: &str,
        from: Option<&str>,
        span: &Span,
    ) -> Option<(PathBuf, Node)> {
        let file = role_files(path, part, from, false).into_iter().next();
        let Some(file) = file else {
            if let Some(from) = from.filter(|_| part != "meta" && part != "handlers") {
                self.error(
                    span,
                    format!(
                        "the role has no file {}",
                        path.join(part).join(from).display()
                    ),
                );
            }
            return None;
        };
        let node = self.read(&file, Some(span))?;
        Some((file, node))
    }

    /// Variables of a role, from a file or all files of a folder.
    fn role_vars(&mut self, path: &Path, part: &str, from: Option<&str>, span: &Span) -> VarMap {
        let files = role_files(path, part, from, true);
        if let (true, Some(from)) = (files.is_empty(), from) {
            self.error(
                span,
                format!(
                    "the role has no file {}",
                    path.join(part).join(from).display()
                ),
            );
        }
        let mut vars = VarMap::new();
        for file in files {
            let Some(node) = self.read(&file, Some(span)) else {
                continue;
            };
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
            vars.extend(var_map(&node));
        }
        vars
    }
}

/// The files that are a part of a role: one, or for variables all of a folder `main`.
fn role_files(path: &Path, part: &str, from: Option<&str>, folders: bool) -> Vec<PathBuf> {
    let dir = path.join(part);
    let plain = dir.join(from.unwrap_or("main"));
    let with_ending = ENDINGS.iter().map(|ending| {
        let mut name = plain.clone().into_os_string();
        name.push(".");
        name.push(ending);
        PathBuf::from(name)
    });
    let candidates: Vec<PathBuf> = if from.is_some() {
        std::iter::once(plain.clone()).chain(with_ending).collect()
    } else {
        with_ending.chain([plain.clone()]).collect()
    };
    for candidate in candidates {
        if candidate.is_file() {
            return vec![candidate];
        }
        if folders && candidate.is_dir() {
            return files_below(&candidate);
        }
    }
    Vec::new()
}

/// Where a role of an installed collection is: `namespace.collection.role`.
fn collection_role(name: &str, playbook_dir: &Path) -> Vec<PathBuf> {
    let [namespace, collection, role] = name.split('.').collect::<Vec<_>>()[..] else {
        return Vec::new();
    };
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".ansible/collections"));
    let inner = ["ansible_collections", namespace, collection, "roles", role];
    [
        Some(playbook_dir.join("collections")),
        home,
        Some("/usr/share/ansible/collections".into()),
    ]
    .into_iter()
    .flatten()
    .map(|base| base.join(inner.iter().collect::<PathBuf>()))
    .collect()
}

/// What stands for a role and its entry point on the stack: a role may import another part of itself.
pub(super) fn entry_of(path: &Path, parts: &RoleParts) -> PathBuf {
    let entry = parts.tasks.as_deref().unwrap_or("main");
    PathBuf::from(format!("{} ({entry})", path.display()))
}

/// Files of variables in a folder, sorted, hidden ones and backups left out.
pub(crate) fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir)
        .map(|entries| {
            entries
                .filter_map(Result::ok)
                .map(|entry| entry.path())
                .collect()
        })
        .unwrap_or_default();
    entries.sort();
    let mut files = Vec::new();
    for path in entries {
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        if name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        let ending = path
            .extension()
            .map(|ending| ending.to_string_lossy().into_owned());
        match ending {
            None if path.is_dir() => files.extend(files_below(&path)),
            None => files.push(path),
            Some(ending) if ENDINGS.contains(&ending.as_str()) && path.is_file() => {
                files.push(path);
            }
            Some(_) => {}
        }
    }
    files
}

fn wrap(span: &Span, base: Base, body: Vec<Item>, role: Option<Arc<RoleUse>>, path: &Path) -> Item {
    Item::Block(Arc::new(Block {
        span: span.clone(),
        base,
        body,
        rescue: Vec::new(),
        always: Vec::new(),
        role,
        origin: Origin::Role,
        dir: path.join("tasks"),
        handlers: Vec::new(),
    }))
}

/// Values as they were written, to tell two uses of a role apart.
fn written<'a>(nodes: impl Iterator<Item = &'a Node>) -> String {
    nodes
        .map(|node| node.span.text())
        .collect::<Vec<_>>()
        .join("\0")
}

/// The task that checks a role's arguments before its own tasks, as Ansible puts one there.
fn validation(used: &Arc<RoleUse>, parts: &RoleParts, span: &Span, path: &Path) -> Option<Item> {
    if parts.unchecked {
        return None;
    }
    let entry = parts.tasks.as_deref().unwrap_or("main");
    let entry = entry.strip_suffix(".yml").unwrap_or(entry);
    let spec = used
        .role
        .argument_specs
        .as_ref()?
        .as_map()?
        .get(entry)?
        .as_map()?;
    let text = |text: &str| Node::string(text, span);
    let map = |entries: Vec<(&str, Node)>| {
        let mut map = Map::default();
        for (key, node) in entries {
            map.insert(key.into(), span.clone(), node);
        }
        Node {
            kind: Kind::Map(Arc::new(map)),
            span: span.clone(),
        }
    };
    let about = spec
        .get("short_description")
        .and_then(Node::as_str)
        .map_or(String::new(), |about| format!(" - {about}"));
    let context = map(vec![
        ("type", text("role")),
        ("name", text(&used.role.name)),
        ("argument_spec_name", text(entry)),
        ("path", text(&path.display().to_string())),
    ]);
    let provided = map(used
        .params
        .iter()
        .map(|(key, node)| (&**key, node.clone()))
        .collect());
    let args = map(vec![
        (
            "argument_spec",
            spec.get("options")
                .cloned()
                .unwrap_or_else(|| map(Vec::new())),
        ),
        ("provided_arguments", provided),
        ("validate_args_context", context),
    ]);
    let name = "ansible.builtin.validate_argument_spec";
    Some(Item::Task(Arc::new(Task {
        span: span.clone(),
        base: Base {
            name: Some(text(&format!(
                "Validating arguments against arg spec '{entry}'{about}"
            ))),
            tags: vec![text("always")],
            ..Base::default()
        },
        action: Action {
            spec: crate::modules::spec_of(name),
            name: name.into(),
            span: span.clone(),
            args,
        },
        dir: path.join("tasks"),
        ..Task::bare(span)
    })))
}
