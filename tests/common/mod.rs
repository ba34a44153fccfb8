//! What the data-driven module tests share: reading cases, and a controller that has just what a case gives it.

#![allow(dead_code, missing_docs)]

pub mod http;

use indexmap::IndexMap;
use mini_play::diag::Source;
use mini_play::modules::{Args, Controller, Failure, Step, TemplateOptions, find};
use mini_play::yaml;
use minijinja::Value;
use std::path::{Path, PathBuf};

/// All `.yaml` files below a folder of `tests/`, in order.
pub fn cases(folder: &str) -> Vec<PathBuf> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let mut found = Vec::new();
    let mut folders = vec![top];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ext| ext == "yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A YAML text as data.
pub fn data(name: &Path, text: &str) -> Value {
    let source = Source::new(name.display().to_string(), text);
    match yaml::load(&source) {
        Ok(node) => yaml::plain(&node),
        Err(diagnostic) => panic!("{}: {}", name.display(), diagnostic.message),
    }
}

/// A field; undefined when there is none.
pub fn field(value: &Value, name: &str) -> Value {
    value.get_item(&Value::from(name)).unwrap_or_default()
}

pub fn given(value: &Value) -> bool {
    !value.is_undefined() && !value.is_none()
}

pub fn text(value: &Value) -> Option<String> {
    given(value).then(|| mini_play::modules::args::text(value))
}

/// A mapping, in order; empty when there is none.
pub fn map(value: &Value) -> IndexMap<String, Value> {
    value
        .try_iter()
        .into_iter()
        .flatten()
        .map(|key| {
            let item = value.get_item(&key).unwrap_or_default();
            (mini_play::modules::args::text(&key), item)
        })
        .collect()
}

/// A controller in a folder of its own.
pub struct Fake {
    pub folder: tempfile::TempDir,
    pub check: bool,
    pub diff: bool,
    pub facts: Value,
    pub environment: Vec<(String, String)>,
}

impl Fake {
    /// From the fields `check diff facts environment files` of a case.
    pub fn new(case: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, body) in map(&field(case, "files")) {
            let path = folder.path().join(&name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            if name.ends_with('/') {
                std::fs::create_dir_all(&path).unwrap();
            } else if let Some(target) = text(&field(&body, "link")) {
                std::os::unix::fs::symlink(target, &path).unwrap();
            } else {
                std::fs::write(&path, mini_play::modules::args::text(&body)).unwrap();
            }
        }
        Self {
            folder,
            check: field(case, "check").is_true(),
            diff: field(case, "diff").is_true(),
            facts: field(case, "facts"),
            environment: map(&field(case, "environment"))
                .into_iter()
                .map(|(key, value)| (key, mini_play::modules::args::text(&value)))
                .collect(),
        }
    }
}

impl Controller for Fake {
    fn check_mode(&self) -> bool {
        self.check
    }
    fn diff(&self) -> bool {
        self.diff
    }
    fn fact(&self, name: &str) -> Value {
        field(&self.facts, name)
    }
    fn find(&self, kind: &str, name: &str) -> Result<PathBuf, Failure> {
        let path = self.folder.path().join(name);
        if path.exists() {
            Ok(path)
        } else {
            Err(Failure::new(format!("could not find {name} in {kind}")))
        }
    }
    fn read(&self, path: &Path) -> Result<Vec<u8>, Failure> {
        std::fs::read(path).map_err(|why| Failure::new(why.to_string()))
    }
    /// No variables: what is tested is what becomes of the text.
    fn render(&self, path: &Path, _: &TemplateOptions) -> Result<String, Failure> {
        std::fs::read_to_string(path).map_err(|why| Failure::new(why.to_string()))
    }
    fn environment(&self) -> &[(String, String)] {
        &self.environment
    }
    fn user(&self) -> Option<String> {
        Some("root".into())
    }
    fn variable(&self, name: &str) -> Value {
        match name {
            "inventory_hostname" => "web1".into(),
            "playbook_dir" => self.folder.path().to_str().unwrap().into(),
            _ => Value::UNDEFINED,
        }
    }
}

/// A module's step with these arguments.
pub fn plan(module: &str, args: &Value, fake: &Fake) -> Result<Box<dyn Step>, Failure> {
    let module = find(module).unwrap_or_else(|| panic!("there is no module {module}"));
    let given = match args.as_str() {
        Some(raw) => IndexMap::from([("_raw_params".to_owned(), Value::from(raw))]),
        None => map(args),
    };
    module.plan(&Args::new(module.spec(), given)?, fake)
}
