//! Templates in the names of static imports: rendered at load, over variables that are known then.

use super::ast::VarMap;
use crate::yaml;
use minijinja::{Environment, UndefinedBehavior, Value};
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

/// How often a variable may lead to a variable.
const DEPTH: usize = 10;

/// Renders a name; later layers win.
///
/// # Errors
/// In words, when a variable is not known.
pub(super) fn render(
    text: &str,
    layers: &[Arc<VarMap>],
    playbook_dir: &Path,
    role_path: Option<&Path>,
) -> Result<String, String> {
    let mut context: HashMap<&str, Value> = HashMap::new();
    context.insert("playbook_dir", Value::from(super::absolute(playbook_dir)));
    if let Some(path) = role_path {
        context.insert("role_path", Value::from(super::absolute(path)));
    }
    for (name, node) in layers.iter().flat_map(|layer| layer.iter()) {
        context.insert(name, yaml::plain(node));
    }
    let context = Value::from_pairs(context);
    let mut env = Environment::new();
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.set_fuel(Some(100_000));
    let mut text = text.to_owned();
    for _ in 0..DEPTH {
        if !yaml::has_template(&text) {
            return Ok(text);
        }
        text = env.render_str(&text, &context).map_err(|error| {
            error
                .detail()
                .map_or_else(|| error.kind().to_string(), str::to_owned)
        })?;
    }
    Err(format!("`{text}` leads to itself"))
}
