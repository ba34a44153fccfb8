//! Static imports, and dynamic includes whose name is literal: read and checked beforehand.

use super::ast::{Action, Base, Block, Item, Loop, Origin, Task, VarMap};
use super::keywords::BLOCK;
use super::loader::{Loader, Place};
use super::role::{RoleParts, Wanted, entry_of};
use super::search::{find_tasks, looked_in};
use crate::diag::{Diagnostic, Span};
use crate::yaml::{Map, Node};
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Loader<'_> {
    /// What a static import becomes: a block with its keywords.
    pub(super) fn import(
        &mut self,
        node: &Node,
        action: &Action,
        mut base: Base,
        looped: Option<&Loop>,
        place: &Place,
    ) -> Vec<Item> {
        let name = action.spec.map_or("", |spec| spec.name);
        if let Some(looped) = looped {
            self.hinted(
                &looped.over.span,
                format!("`{name}` cannot be looped over: it is read before the loop is known"),
                format!("use `{}`", name.replace("import", "include")),
            );
            return Vec::new();
        }
        let empty = Arc::new(Map::default());
        let args = match &action.args.kind {
            crate::yaml::Kind::Map(map) => map,
            _ => &empty,
        };
        match name {
            "import_playbook" => {
                self.hinted(
                    &action.span,
                    "`import_playbook` stands beside plays, not in a list of tasks",
                    "use `import_tasks` for a file of tasks",
                );
                Vec::new()
            }
            "import_role" => {
                let Some(wanted) = self.wanted(args, &base, place, true) else {
                    return Vec::new();
                };
                base.vars.clear();
                self.imported_role(&wanted, &node.span, base, place)
                    .into_iter()
                    .map(Item::Block)
                    .collect()
            }
            _ => {
                // Old includes carry variables beside the name.
                for (key, _, value) in args.iter() {
                    if !matches!(&**key, "_raw_params" | "file" | "static") {
                        base.vars.insert(Arc::clone(key), value.clone());
                    }
                }
                let Some(file) = args.get("_raw_params").or_else(|| args.get("file")) else {
                    self.error(&action.span, format!("`{}` names no file", action.name));
                    return Vec::new();
                };
                let Some(text) = self.static_text(file, &base.vars, place, "the imported file")
                else {
                    return Vec::new();
                };
                let Some(path) = self.tasks_file(&text, &file.span, place) else {
                    return Vec::new();
                };
                let body = self.tasks_of(&path, &file.span, place).unwrap_or_default();
                vec![Item::Block(Arc::new(Block {
                    span: node.span.clone(),
                    base,
                    body,
                    rescue: Vec::new(),
                    always: Vec::new(),
                    role: None,
                    origin: Origin::ImportTasks,
                    dir: place.dir.clone(),
                    handlers: Vec::new(),
                }))]
            }
        }
    }

    /// Reads what a dynamic include names when that is literal, and its `apply`.
    pub(super) fn include(&mut self, task: &mut Task, place: &Place) {
        let Some(map) = task.action.args.as_map() else {
            return;
        };
        let map = map.clone();
        if let Some(apply) = map.get("apply") {
            task.apply = self.apply(apply).map(Box::new);
        }
        // A loop or recursion is left to run time where names depend on it.
        if task
            .action
            .spec
            .is_some_and(|spec| spec.name == "include_role")
        {
            let literal = map.iter().all(|(key, _, node)| {
                !key.ends_with("_from") && !matches!(&**key, "name" | "role") || !node.is_template()
            });
            if literal {
                self.preload_role(task, &map, place);
            } else {
                self.unseen(&task.action);
            }
            return;
        }
        let Some(file) = map.get("_raw_params").or_else(|| map.get("file")) else {
            self.error(
                &task.action.span,
                format!("`{}` names no file", task.action.name),
            );
            return;
        };
        let Some(text) = file.as_str().filter(|_| !file.is_template()) else {
            self.unseen(&task.action);
            return;
        };
        let role = place.role.as_deref();
        match find_tasks(
            text.trim(),
            role,
            &place.dir,
            &self.playbook_dir,
            place.handlers,
        ) {
            Ok(path) => task.preloaded = self.preload_tasks(&path, &file.span, place),
            Err(_) if place.tolerant || place.guarded => {}
            Err(tried) => self.report(missing(text, &file.span, &tried)),
        }
    }

    /// An include whose name only the run will tell.
    fn unseen(&mut self, action: &Action) {
        let text = format!(
            "what this `{}` brings is known only in the run",
            action.name
        );
        self.lacks(Diagnostic::note(&action.span, text).hint("it was not looked into"));
    }

    fn preload_tasks(&mut self, path: &Path, span: &Span, place: &Place) -> Option<Arc<Vec<Item>>> {
        if self.is_open(path) {
            return None;
        }
        let role = place.role.as_ref().map(|used| used.role.path.clone());
        let key = format!("{}\0{role:?}\0{}", path.display(), place.handlers);
        if let Some(known) = self.preloaded.get(&key) {
            return Some(Arc::clone(known));
        }
        let items = self.aside(|loader| loader.tasks_of(path, span, place))?;
        let items = Arc::new(items);
        self.preloaded.insert(key, Arc::clone(&items));
        Some(items)
    }

    fn preload_role(&mut self, task: &mut Task, map: &Map, place: &Place) {
        let Some(wanted) = self.wanted(map, &task.base, place, false) else {
            return;
        };
        let span = task.span.clone();
        let Some(path) = self.role_path(&wanted.name, place) else {
            if !place.tolerant && !place.guarded {
                self.no_role(&wanted.name, &wanted.span, place);
            }
            return;
        };
        if self.is_open(&entry_of(&path, &wanted.parts)) {
            return;
        }
        let key = format!("{}\0{:?}", path.display(), wanted.parts);
        if let Some(known) = self.preloaded.get(&key) {
            task.preloaded = Some(Arc::clone(known));
            return;
        }
        let block =
            self.aside(|loader| loader.imported_role(&wanted, &span, Base::default(), place));
        if let Some(block) = block {
            let items = Arc::new(vec![Item::Block(block)]);
            self.preloaded.insert(key, Arc::clone(&items));
            task.preloaded = Some(items);
        }
    }

    /// Keywords that `apply` gives to what is included.
    fn apply(&mut self, node: &Node) -> Option<Base> {
        let Some(map) = node.as_map() else {
            if !node.is_template() {
                self.error(
                    &node.span,
                    format!(
                        "`apply` must be a mapping of keywords, not {}",
                        node.describe()
                    ),
                );
            }
            return None;
        };
        let mut base = Base::default();
        for (key, span, value) in map.iter() {
            if self.keyword(key, span, value, BLOCK).is_some() {
                self.shared(&mut base, key, span, value);
            }
        }
        Some(base)
    }

    /// What the arguments of `import_role` or `include_role` ask for.
    fn wanted(&mut self, args: &Map, base: &Base, place: &Place, check: bool) -> Option<Wanted> {
        let node = args.get("name").or_else(|| args.get("role"))?.clone();
        let mut text = |key: &str| {
            let node = args.get(key)?.clone();
            self.static_text(&node, &base.vars, place, key)
        };
        let parts = RoleParts {
            tasks: text("tasks_from"),
            vars: text("vars_from"),
            defaults: text("defaults_from"),
            handlers: text("handlers_from"),
            unchecked: flag(args, "rolespec_validate") == Some(false),
        };
        let name = self.static_text(&node, &base.vars, place, "the role's name")?;
        if check && let Some(apply) = args.get("apply") {
            self.hinted(
                &apply.span,
                "`import_role` takes no `apply`",
                "give the keywords to the task itself: an import hands them on",
            );
        }
        Some(Wanted {
            name,
            span: node.span.clone(),
            params: base.vars.clone(),
            parts,
            again: flag(args, "allow_duplicates").unwrap_or(true),
        })
    }

    /// The file of tasks that a name means, or a diagnostic.
    fn tasks_file(&mut self, name: &str, span: &Span, place: &Place) -> Option<PathBuf> {
        let role = place.role.as_deref();
        match find_tasks(
            name.trim(),
            role,
            &place.dir,
            &self.playbook_dir,
            place.handlers,
        ) {
            Ok(path) => Some(path),
            Err(tried) => {
                self.report(missing(name, span, &tried));
                None
            }
        }
    }

    /// The tasks of a file.
    pub(super) fn tasks_of(
        &mut self,
        path: &Path,
        span: &Span,
        place: &Place,
    ) -> Option<Vec<Item>> {
        self.within(path, span, |loader| {
            let node = loader.read(path, Some(span))?;
            let place = Place {
                dir: path.parent().map(Path::to_path_buf).unwrap_or_default(),
                ..place.clone()
            };
            Some(loader.items(&node, &place))
        })
    }
}

fn flag(args: &Map, key: &str) -> Option<bool> {
    crate::modules::args::to_bool(&crate::yaml::plain(args.get(key)?))
}

fn missing(name: &str, span: &Span, tried: &[PathBuf]) -> Diagnostic {
    Diagnostic::error(span, format!("there is no file `{}` of tasks", name.trim()))
        .hint(looked_in(tried))
}

/// Variables of a mapping node, for callers that have no loader.
pub(super) fn var_map(node: &Node) -> VarMap {
    node.as_map().map_or_else(VarMap::new, |map| {
        map.iter()
            .map(|(name, _, node)| (Arc::clone(name), node.clone()))
            .collect()
    })
}
