//! What all loading shares: options, files read so far, and every diagnostic found.

use super::ast::{Item, Role, RoleUse, VarMap};
use super::known::{self, Known};
use super::role::Loaded;
use super::statics;
use crate::diag::{Diagnostic, Level, Span};
use crate::vault::Vault;
use crate::yaml::{self, Node};
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Deepest chain of imports, includes and role dependencies.
const DEPTH: usize = 64;

/// What loading may depend on besides the files.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// More folders to look for roles in, after `roles/` beside the playbook.
    pub roles_path: Vec<PathBuf>,
    /// More folders to look for `ansible_collections/` in, after `collections/` beside the playbook.
    pub collections_path: Vec<PathBuf>,
    /// Extra variables: the names of static imports may use them.
    pub extra: VarMap,
    /// Passwords for encrypted files.
    pub vault: Vault,
    /// Also look into template files for what is not supported.
    pub lint: bool,
}

/// Where the loader is: what holds for everything read here.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// Folder of the file being read.
    pub dir: PathBuf,
    /// The role it belongs to.
    pub role: Option<Arc<RoleUse>>,
    /// Whether these are handlers.
    pub handlers: bool,
    /// Whether a failure here is handled (`ignore_errors`, `rescue`): then wrong arguments are left to fail at run time.
    pub tolerant: bool,
    /// Whether `module_defaults` may supply arguments.
    pub defaults: bool,
    /// Whether a condition guards it: what is missing may be missing on purpose.
    pub guarded: bool,
    /// Whether `collections` names some whose modules we cannot list.
    pub collections: bool,
}

impl Place {
    pub(super) fn new(dir: &Path) -> Self {
        Self {
            dir: dir.to_path_buf(),
            role: None,
            handlers: false,
            tolerant: false,
            defaults: false,
            guarded: false,
            collections: false,
        }
    }
}

/// The loader: collects all diagnostics of everything it reads.
pub(super) struct Loader<'a> {
    pub options: &'a LoadOptions,
    /// Folder of the playbook.
    pub playbook_dir: PathBuf,
    pub found: Vec<Diagnostic>,
    /// What Ansible has and we do not: no mistake until a host comes to it.
    pub unsupported: Vec<Diagnostic>,
    /// Variables that the names of static imports may use, weakest first.
    pub statics: Vec<Arc<VarMap>>,
    /// Files on the way to the current one.
    stack: Vec<PathBuf>,
    /// Depths of the stack at which a dynamic include was entered.
    asides: Vec<usize>,
    /// Whether what is read beforehand was cut where it includes itself.
    cut: bool,
    /// Files read, `None` when broken.
    files: HashMap<PathBuf, Option<Node>>,
    /// Roles read by folder and parts.
    pub roles: HashMap<String, Option<Loaded>>,
    /// Task files that dynamic includes name, by file and role.
    pub preloaded: HashMap<String, Arc<Vec<Item>>>,
    /// Every role that became part of the play, in order.
    pub role_list: Vec<Arc<Role>>,
    /// Handlers of roles that static imports brought.
    pub role_handlers: Vec<Item>,
    /// Whether mistakes in templates are left to run time, where a failure is handled.
    pub lenient: bool,
    /// Literal files that are not there.
    pub missing: Vec<Diagnostic>,
    /// Whether a task makes files here, so that those may be there by then.
    pub makes_files: bool,
    /// What ran already and runs only once a play.
    pub once: HashSet<String>,
}

impl<'a> Loader<'a> {
    pub(super) fn new(options: &'a LoadOptions, playbook_dir: &Path) -> Self {
        Self {
            options,
            playbook_dir: playbook_dir.to_path_buf(),
            found: Vec::new(),
            unsupported: Vec::new(),
            statics: vec![Arc::new(options.extra.clone())],
            stack: Vec::new(),
            asides: Vec::new(),
            cut: false,
            files: HashMap::new(),
            roles: HashMap::new(),
            preloaded: HashMap::new(),
            role_list: Vec::new(),
            role_handlers: Vec::new(),
            lenient: false,
            missing: Vec::new(),
            makes_files: false,
            once: HashSet::new(),
        }
    }

    /// Notes one thing wrong, once.
    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        if !self.found.contains(&diagnostic) {
            self.found.push(diagnostic);
        }
    }

    /// Notes something that Ansible has and we do not, once.
    pub(super) fn lacks(&mut self, diagnostic: Diagnostic) {
        if !self.unsupported.contains(&diagnostic) {
            self.unsupported.push(diagnostic);
        }
    }

    /// Notes an error at a place.
    pub(super) fn error(&mut self, span: &Span, message: impl Into<String>) {
        self.report(Diagnostic::error(span, message));
    }

    /// Notes an error with what to do about it.
    pub(super) fn hinted(
        &mut self,
        span: &Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.report(Diagnostic::error(span, message).hint(hint));
    }

    /// The result, or all diagnostics when one of them is an error.
    pub(super) fn finish<T>(
        mut self,
        made: Option<T>,
    ) -> Result<(T, Vec<Diagnostic>), Vec<Diagnostic>> {
        if !self.makes_files {
            for missing in std::mem::take(&mut self.missing) {
                self.report(missing);
            }
        }
        let bad = self.found.iter().any(|d| d.level == Level::Error);
        match made {
            Some(made) if !bad => Ok((made, self.found)),
            _ => Err(self.found),
        }
    }

    /// Reads a file's tree and checks the syntax of its templates; null when it is empty. `by` is what names it.
    pub(super) fn read(&mut self, path: &Path, by: Option<&Span>) -> Option<Node> {
        if let Some(known) = self.files.get(path) {
            return known.clone();
        }
        let node = self.read_new(path, by);
        self.files.insert(path.to_path_buf(), node.clone());
        node
    }

    fn read_new(&mut self, path: &Path, by: Option<&Span>) -> Option<Node> {
        let source = match self.options.vault.source(path) {
            Ok(source) => source,
            Err(mut diagnostic) => {
                // What cannot be read is told where it is named.
                if diagnostic.span.is_none() {
                    diagnostic.span = by.cloned();
                }
                self.report(diagnostic);
                return None;
            }
        };
        // A key given twice is the author's business in a role, and ours in a playbook.
        let node = if self.stack.len() > 1 || !path.starts_with(&self.playbook_dir) {
            yaml::load_lenient(&source, &mut self.found)
        } else {
            yaml::load(&source)
        };
        match node {
            Ok(node) => Some(node),
            Err(error) => {
                self.report(error);
                None
            }
        }
    }

    /// Runs `inside` with a file on the stack; an error when it is there already or the chain is too long.
    pub(super) fn within<T>(
        &mut self,
        path: &Path,
        by: &Span,
        inside: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Option<T> {
        if let Some(at) = self.stack.iter().position(|open| open == path) {
            // Through a dynamic include it may end at run time.
            if self.asides.iter().any(|depth| *depth > at) {
                self.cut = true;
                return None;
            }
            self.hinted(
                by,
                format!("{} imports itself", path.display()),
                "use `include_tasks` with a condition that ends the recursion",
            );
            return None;
        }
        if self.stack.len() >= DEPTH {
            self.error(by, format!("imports nested more than {DEPTH} levels deep"));
            return None;
        }
        self.stack.push(path.to_path_buf());
        let made = inside(self);
        self.stack.pop();
        made
    }

    /// Reads something that is not part of the play yet; `None` when it includes itself.
    pub(super) fn aside<T>(&mut self, inside: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let (list, handlers, once) = (
            self.role_list.clone(),
            self.role_handlers.clone(),
            self.once.clone(),
        );
        let cut = std::mem::take(&mut self.cut);
        self.asides.push(self.stack.len());
        let made = inside(self);
        self.asides.pop();
        self.role_list = list;
        self.role_handlers = handlers;
        self.once = once;
        let whole = !std::mem::replace(&mut self.cut, cut);
        made.filter(|_| whole)
    }

    /// Whether a file is being read.
    pub(super) fn is_open(&self, path: &Path) -> bool {
        self.stack.iter().any(|open| open == path) || self.stack.len() >= DEPTH
    }

    /// What is known of a module's name here: a role or playbook may bring modules of its own.
    pub(super) fn module(&self, name: &str, place: &Place) -> Known {
        let known = known::module(name);
        let own = || {
            let current = place
                .role
                .iter()
                .flat_map(|used| used.parents.iter().chain([&used.role]));
            let roles = self
                .role_list
                .iter()
                .chain(current)
                .map(|role| role.path.as_path());
            roles.chain([self.playbook_dir.as_path()]).any(|dir| {
                let folders = ["library", "action_plugins"].map(|folder| dir.join(folder));
                ["py", "ps1", "sh", ""].iter().any(|ending| {
                    folders
                        .iter()
                        .any(|folder| folder.join(name).with_extension(ending).is_file())
                })
            })
        };
        if known == Known::Unknown && !name.contains(['.', '/']) && (place.collections || own()) {
            return Known::Unsupported;
        }
        known
    }

    /// A name that must be known at load: literal, or a template over variables that are known then.
    pub(super) fn static_text(
        &mut self,
        node: &Node,
        vars: &VarMap,
        place: &Place,
        what: &str,
    ) -> Option<String> {
        let Some(text) = node.as_str() else {
            self.error(
                &node.span,
                format!("{what} must be a string, not {}", node.describe()),
            );
            return None;
        };
        if !node.is_template() {
            return Some(text.to_owned());
        }
        let mut layers = self.statics.clone();
        if let Some(used) = &place.role {
            layers.insert(0, Arc::new(used.role.defaults.clone()));
            layers.push(Arc::new(used.role.vars.clone()));
            layers.push(Arc::new(used.params.clone()));
        }
        layers.push(Arc::new(vars.clone()));
        layers.push(Arc::new(self.options.extra.clone()));
        let role_path = place.role.as_ref().map(|used| used.role.path.as_path());
        match statics::render(text, &layers, &self.playbook_dir, role_path) {
            Ok(text) => Some(text),
            Err(why) => {
                self.hinted(
                    &node.span,
                    format!("{what} is not known at load: {why}"),
                    "static imports see only play variables, role variables and `-e`: use the `include_` form for the others",
                );
                None
            }
        }
    }
}

/// A name cleaned of `.` and `..` parts, without asking the file system.
pub(super) fn clean(path: &Path) -> PathBuf {
    use std::path::Component;
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if out
                    .components()
                    .next_back()
                    .is_some_and(|last| matches!(last, Component::Normal(_))) =>
            {
                out.pop();
            }
            other => out.push(other),
        }
    }
    if out.as_os_str().is_empty() {
        out.push(".");
    }
    out
}
