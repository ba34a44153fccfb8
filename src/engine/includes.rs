//! Files read at run time: tasks, roles and variables that an include names. Each file is read once for all hosts.

use super::walk::Stop;
use crate::diag::Diagnostic;
use crate::modules::{Args, args};
use crate::playbook::ast::{Block, Item, RoleUse, VarMap};
use crate::playbook::{self, LoadOptions, RoleParts};
use crate::vault::Vault;
use crate::yaml::Node;
use minijinja::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

type Read<T> = Result<T, Vec<Diagnostic>>;
/// A file, the role it is read for, and whether its tasks are handlers.
type TasksKey = (PathBuf, PathBuf, bool);

/// A role read at run time.
#[derive(Clone)]
pub(crate) struct IncludedRole {
    /// The role at this place.
    pub used: Arc<RoleUse>,
    /// Its tasks.
    pub block: Arc<Block>,
    /// Its handlers.
    pub handlers: Vec<Item>,
}

/// See the module.
pub(crate) struct Includes {
    options: LoadOptions,
    tasks: Mutex<HashMap<TasksKey, Arc<Vec<Item>>>>,
    roles: Mutex<HashMap<String, IncludedRole>>,
    vars: Mutex<HashMap<PathBuf, Arc<VarMap>>>,
}

impl Includes {
    pub(crate) fn new(options: LoadOptions) -> Self {
        Self {
            options,
            tasks: Mutex::default(),
            roles: Mutex::default(),
            vars: Mutex::default(),
        }
    }

    /// The tasks of a file.
    pub(crate) fn tasks(
        &self,
        path: &Path,
        role: Option<&Arc<RoleUse>>,
        playbook_dir: &Path,
        handlers: bool,
    ) -> Read<Arc<Vec<Item>>> {
        let key = (
            path.to_path_buf(),
            role.map(|used| used.role.path.clone()).unwrap_or_default(),
            handlers,
        );
        if let Some(known) = lock(&self.tasks).get(&key) {
            return Ok(Arc::clone(known));
        }
        let items = Arc::new(playbook::load_tasks(
            path,
            role,
            playbook_dir,
            handlers,
            &self.options,
        )?);
        lock(&self.tasks).insert(key, Arc::clone(&items));
        Ok(items)
    }

    /// A role by the arguments of `include_role`.
    pub(crate) fn role(&self, args: &Args, stop: &Stop, playbook_dir: &Path) -> Read<IncludedRole> {
        let parts = RoleParts {
            tasks: args.str("tasks_from"),
            vars: args.str("vars_from"),
            defaults: args.str("defaults_from"),
            handlers: args.str("handlers_from"),
            unchecked: !args.bool("rolespec_validate"),
        };
        let name = args.text("name");
        let within = stop
            .chain
            .role
            .as_ref()
            .map(|used| used.role.path.clone())
            .unwrap_or_default();
        let key = format!("{name}\0{}\0{parts:?}", within.display());
        if let Some(known) = lock(&self.roles).get(&key) {
            return Ok(known.clone());
        }
        let (used, block, handlers) = playbook::load_role(
            &name,
            &parts,
            stop.chain.role.as_ref(),
            playbook_dir,
            &stop.task.span,
            &self.options,
        )?;
        let role = IncludedRole {
            used,
            block: Arc::new(block),
            handlers,
        };
        lock(&self.roles).insert(key, role.clone());
        Ok(role)
    }

    /// Passwords for encrypted files.
    pub(crate) fn vault(&self) -> &Vault {
        &self.options.vault
    }

    /// The variables of a file.
    pub(crate) fn vars(&self, path: &Path) -> Read<Arc<VarMap>> {
        if let Some(known) = lock(&self.vars).get(path) {
            return Ok(Arc::clone(known));
        }
        let vars =
            Arc::new(read_vars(path, &self.options.vault).map_err(|diagnostic| vec![diagnostic])?);
        lock(&self.vars).insert(path.to_path_buf(), Arc::clone(&vars));
        Ok(vars)
    }
}

fn read_vars(path: &Path, vault: &Vault) -> Result<VarMap, Diagnostic> {
    let node = crate::secrets::load(&vault.source(path)?)?;
    if node.is_null() {
        return Ok(VarMap::new());
    }
    let Some(map) = node.as_map() else {
        return Err(Diagnostic::error(
            &node.span,
            format!(
                "a file of variables must be a mapping, this is {}",
                node.describe()
            ),
        ));
    };
    Ok(map
        .iter()
        .map(|(name, _, node)| (Arc::clone(name), node.clone()))
        .collect())
}

/// All variables below one name (`include_vars: name`).
pub(crate) fn under(name: &str, vars: &VarMap) -> VarMap {
    let mut map = crate::yaml::Map::default();
    let mut span = None;
    for (key, node) in vars {
        map.insert(Arc::clone(key), node.span.clone(), node.clone());
        span.get_or_insert_with(|| node.span.clone());
    }
    let span = span.unwrap_or_else(|| {
        crate::diag::Span::head(&crate::diag::Source::new("<include_vars>", ""))
    });
    let node = Node {
        kind: crate::yaml::Kind::Map(Arc::new(map)),
        span,
    };
    VarMap::from_iter([(Arc::from(name), node)])
}

/// Checks one argument of a role against its rule in `argument_specs`.
pub(crate) fn check_argument(
    name: &str,
    rule: &Value,
    value: Option<&Value>,
    errors: &mut Vec<String>,
) {
    let get = |key: &str| {
        rule.get_attr(key)
            .ok()
            .filter(|v| !v.is_undefined() && !v.is_none())
    };
    let Some(value) = value.filter(|v| !v.is_undefined()) else {
        if get("required").is_some_and(|v| v.is_true()) {
            errors.push(format!("missing required arguments: {name}"));
        }
        return;
    };
    let ty = get("type").map_or_else(|| "str".to_owned(), |v| args::text(&v));
    let coerced = kind(&ty).map(|ty| args::coerce(ty, value));
    let value = match coerced {
        Some(Ok(value)) => value,
        Some(Err(why)) => {
            errors.push(format!(
                "argument '{name}' is of type {} and we were unable to convert to {ty}: {why}",
                value.kind()
            ));
            return;
        }
        None => value.clone(),
    };
    if let Some(choices) = get("choices") {
        let all: Vec<String> = choices
            .try_iter()
            .into_iter()
            .flatten()
            .map(|c| args::text(&c))
            .collect();
        let given = match value.kind() {
            minijinja::value::ValueKind::Seq => value
                .try_iter()
                .into_iter()
                .flatten()
                .map(|c| args::text(&c))
                .collect(),
            _ => vec![args::text(&value)],
        };
        for one in given.iter().filter(|one| !all.contains(one)) {
            errors.push(format!(
                "value of {name} must be one of: {}, got: {one}",
                all.join(", ")
            ));
        }
    }
    if let Some(element) = get("elements").and_then(|v| kind(&args::text(&v))) {
        for item in value.try_iter().into_iter().flatten() {
            if let Err(why) = args::coerce(element, &item) {
                errors.push(format!(
                    "Elements value for option '{name}' is wrong: {why}"
                ));
            }
        }
    }
    if let Some(options) = get("options") {
        let items: Vec<Value> = match value.kind() {
            minijinja::value::ValueKind::Map => vec![value.clone()],
            _ => value.try_iter().map(Iterator::collect).unwrap_or_default(),
        };
        for item in items {
            for key in options.try_iter().into_iter().flatten() {
                let rule = options.get_item(&key).unwrap_or_default();
                let inner = item.get_item(&key).ok().filter(|v| !v.is_undefined());
                check_argument(&format!("{name}.{key}"), &rule, inner.as_ref(), errors);
            }
        }
    }
}

fn kind(name: &str) -> Option<crate::modules::Type> {
    use crate::modules::Type;
    Some(match name {
        "str" => Type::Str,
        "path" => Type::Path,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "float" => Type::Float,
        "list" => Type::List,
        "dict" => Type::Dict,
        "raw" => Type::Raw,
        _ => return None,
    })
}

/// The maps are whole even if a thread panicked while holding the lock.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
