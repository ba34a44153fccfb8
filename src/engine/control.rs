//! Modules that are the engine's own: variables, messages and control flow. They never touch a host.

use super::chain;
use super::context::{HostContext, flat};
use super::position::Position;
use super::prepare::{find_file, not_found};
use super::reboot::Wait;
use super::result::StepResult;
use super::walk::Stop;
use crate::diag::Diagnostic;
use crate::modules::{self, Args, Failure, Outcome, Spec};
use crate::playbook::ast::{Item, Task};
use crate::template::{Scope, TemplateError};
use crate::vars::Layer;
use crate::yaml::Node;
use minijinja::Value;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// What the engine must do.
pub(crate) enum Control {
    /// Take over a result.
    Result(Box<StepResult>),
    /// A loop over nothing.
    EmptyLoop,
    /// Go into tasks.
    Include {
        /// The tasks.
        items: Arc<Vec<Item>>,
        /// What they inherit.
        chain: Arc<chain::Chain>,
        /// Handlers that come with them.
        handlers: Vec<Item>,
        /// Roles whose variables become visible to the whole play.
        public: Vec<Arc<crate::playbook::ast::Role>>,
        /// The file or role, for people.
        what: String,
    },
    /// Run notified handlers now.
    Flush,
    /// This host is done with the play.
    EndHost,
    /// All hosts are done with their batch, or with the play.
    EndAll {
        /// Whether the batches that are to come run.
        batch: bool,
    },
    /// Hosts that have failed take part again from the next play on.
    ClearErrors,
    /// This host is done with the role.
    EndRole,
    /// Forget the host's facts.
    ClearFacts,
    /// Close and reopen the connection.
    ResetConnection,
    /// Nothing.
    Noop,
    /// Wait.
    Pause(Duration),
    /// Wait for the host, perhaps after a reboot.
    Wait(Box<Wait>),
    /// Ask the user.
    Prompt {
        /// The text.
        text: String,
        /// Whether the answer shows.
        echo: bool,
    },
    /// A new host in the inventory.
    AddHost {
        /// Its name.
        name: String,
        /// Its groups.
        groups: Vec<String>,
        /// Its variables.
        vars: Vec<(String, Value)>,
    },
    /// Put the host into groups.
    GroupBy {
        /// The group.
        group: String,
        /// Groups above it.
        parents: Vec<String>,
    },
}

/// Why it cannot be done.
pub(crate) enum Refused {
    Template(TemplateError),
    Failure(Failure),
    Files(Vec<Diagnostic>),
}

impl From<TemplateError> for Refused {
    fn from(error: TemplateError) -> Self {
        Self::Template(error)
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

/// The spec of a task's module, if it is supported.
pub(crate) fn spec(task: &Task) -> Option<&'static Spec> {
    task.action.spec
}

/// Whether the tags of the run select a task. Handlers are not filtered.
pub(crate) fn selected(cx: &HostContext, position: &Position, stop: &Stop) -> bool {
    if stop.handler {
        return true;
    }
    let options = &cx.run.options;
    let tags = tags_of(&stop.chain, &stop.task, |node| {
        cx.texts(position, stop, node)
    });
    tags_select(&tags, &options.tags, &options.skip_tags)
}

/// All tags of a task, inherited ones first.
pub(crate) fn tags_of(
    chain: &chain::Chain,
    task: &Task,
    texts: impl Fn(&Node) -> Vec<String>,
) -> Vec<String> {
    chain
        .all(task, |base| &base.tags)
        .into_iter()
        .flat_map(texts)
        .flat_map(|text| {
            text.split(',')
                .map(|tag| tag.trim().to_owned())
                .collect::<Vec<_>>()
        })
        .filter(|tag| !tag.is_empty())
        .collect()
}

/// Ansible's rules for tags.
pub(crate) fn tags_select(tags: &[String], only: &[String], skip: &[String]) -> bool {
    let has = |name: &str| tags.iter().any(|tag| tag == name);
    let says = |list: &[String], name: &str| list.iter().any(|tag| tag == name);
    let named = |list: &[String]| {
        tags.iter().any(|tag| says(list, tag)) || (tags.is_empty() && says(list, "untagged"))
    };
    let run = has("always")
        || ((only.is_empty() || says(only, "all")) && !has("never"))
        || named(only)
        || (says(only, "tagged") && !tags.is_empty() && !has("never"));
    let skipped = if says(skip, "all") {
        !has("always") || says(skip, "always")
    } else {
        named(skip) || (says(skip, "tagged") && !tags.is_empty())
    };
    run && !skipped
}

/// Carries out one of the engine's own modules.
pub(crate) fn carry_out(
    cx: &HostContext,
    position: &mut Position,
    stop: &Stop,
    scope: &Arc<dyn Scope>,
    spec: &'static Spec,
) -> Result<Control, Refused> {
    let given = |position: &Position| position.args_map(cx, stop, scope, spec);
    let checked =
        |position: &Position| -> Result<Args, Refused> { Ok(Args::new(spec, given(position)?)?) };
    let done = |outcome: Outcome| Control::Result(Box::new(StepResult::of(outcome)));
    Ok(match spec.name {
        "debug" => done(debug(
            cx,
            &position.arguments(cx, stop, scope, spec)?,
            scope,
        )?),
        "assert" => done(assert(
            cx,
            &position.arguments(cx, stop, scope, spec)?,
            scope,
        )?),
        "fail" => {
            let msg = match checked(position)?.get("msg") {
                Some(msg) => msg.clone(),
                None => Value::from("Failed as requested from task"),
            };
            // It keeps its type.
            done(Outcome::failed(crate::template::to_text(&msg)).with("msg", msg))
        }
        "set_fact" => set_fact(&checked_names(cx, given(position)?, scope)?)?,
        "include_vars" => super::include_vars::include_vars(cx, position, stop, scope, spec)?,
        "include_tasks" | "include" => include_tasks(cx, position, stop, scope, spec)?,
        "include_role" => include_role(cx, position, stop, scope, spec)?,
        "meta" => meta(&raw(&given(position)?))?,
        "pause" => pause(&checked(position)?),
        "reboot" => Control::Wait(Box::new(Wait::reboot(&checked(position)?))),
        "wait_for_connection" => Control::Wait(Box::new(Wait::connection(&checked(position)?))),
        "add_host" => add_host(given(position)?)?,
        "group_by" => {
            let args = checked(position)?;
            let named = |name: &String| name.replace(' ', "-");
            Control::GroupBy {
                group: named(&args.text("key")),
                parents: args.strings("parents").iter().map(named).collect(),
            }
        }
        "set_stats" => {
            let args = checked(position)?;
            let data = args.get("data").cloned().unwrap_or_default();
            let stats = [
                ("data", data),
                ("per_host", Value::from(args.bool("per_host"))),
                ("aggregate", Value::from(args.bool("aggregate"))),
            ];
            done(Outcome::ok().with("ansible_stats", Value::from_pairs(stats)))
        }
        "validate_argument_spec" => done(validate(&checked(position)?, scope)?),
        other => {
            return Err(Failure::new(format!("module `{other}` cannot be used here")).into());
        }
    })
}

/// Arguments of `set_fact` whose names are templates, under the names they make.
fn checked_names(
    cx: &HostContext,
    given: indexmap::IndexMap<String, Value>,
    scope: &Arc<dyn Scope>,
) -> Result<Vec<(String, Value)>, Refused> {
    let mut facts = Vec::new();
    for (name, value) in given {
        let name = if crate::yaml::has_template(&name) {
            modules::args::text(&cx.run.engine.render_str(&name, None, scope)?)
        } else {
            name
        };
        if !valid_name(&name) {
            let text = format!(
                "The variable name '{name}' is not valid. Variables must start with a letter or underscore character, and contain only letters, numbers and underscores."
            );
            return Err(Failure::of(&name, text).into());
        }
        facts.push((name, value));
    }
    Ok(facts)
}

fn set_fact(given: &[(String, Value)]) -> Result<Control, Refused> {
    let cacheable = given
        .iter()
        .any(|(name, value)| name == "cacheable" && modules::args::to_bool(value).unwrap_or(false));
    let facts: Vec<(String, Value)> = given
        .iter()
        .filter(|(name, _)| name != "cacheable")
        .cloned()
        .collect();
    if facts.is_empty() {
        let text =
            "No key/value pairs provided, at least one is required for this action to succeed";
        return Err(Failure::new(text).into());
    }
    let mut outcome = Outcome::ok();
    if cacheable {
        // A cached fact is one of `ansible_facts` too.
        outcome.facts.extend(facts.iter().cloned());
    } else {
        let shown = Value::from_pairs(facts.iter().cloned());
        outcome.data.insert("ansible_facts".into(), shown);
    }
    let mut result = StepResult::of(outcome);
    result.sets = facts;
    Ok(Control::Result(Box::new(result)))
}

/// `add_host`: name, groups and variables; a port may stand behind the name.
fn add_host(mut given: indexmap::IndexMap<String, Value>) -> Result<Control, Failure> {
    let mut take = |names: &[&str]| names.iter().find_map(|name| given.shift_remove(*name));
    let name = take(&["name", "hostname", "host"])
        .map(|value| modules::args::text(&value))
        .filter(|name| !name.is_empty())
        .ok_or_else(|| Failure::new("name, host or hostname needs to be provided"))?;
    let groups = take(&["groupname", "groups", "group"]);
    let list = |value: &Value| match value.kind() {
        _ if value.as_str().is_some() => Ok(flat(value)),
        minijinja::value::ValueKind::Seq | minijinja::value::ValueKind::Iterable => Ok(flat(value)),
        minijinja::value::ValueKind::None | minijinja::value::ValueKind::Undefined => {
            Ok(Vec::new())
        }
        _ => Err(Failure::new("Groups must be specified as a list.")),
    };
    let mut unique: Vec<String> = Vec::new();
    for text in groups.as_ref().map_or_else(|| Ok(Vec::new()), list)? {
        for group in text.split(',').map(str::trim) {
            if !group.is_empty() && !unique.iter().any(|known| known == group) {
                unique.push(group.to_owned());
            }
        }
    }
    let mut vars: Vec<(String, Value)> = given.into_iter().collect();
    let port = name
        .rsplit_once(':')
        .filter(|(host, port)| !host.contains(':') && !port.is_empty())
        .and_then(|(host, port)| Some((host.to_owned(), port.parse::<u16>().ok()?)));
    let name = match port {
        Some((host, port)) => {
            vars.push(("ansible_ssh_port".into(), Value::from(port)));
            host
        }
        None => name,
    };
    Ok(Control::AddHost {
        name,
        groups: unique,
        vars,
    })
}

fn valid_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
}

fn raw(given: &indexmap::IndexMap<String, Value>) -> String {
    given
        .get("_raw_params")
        .or_else(|| given.values().next())
        .map(modules::args::text)
        .unwrap_or_default()
}

fn debug(
    cx: &HostContext,
    given: &indexmap::IndexMap<Arc<str>, Node>,
    scope: &Arc<dyn Scope>,
) -> Result<Outcome, Refused> {
    let node = |name: &str| given.get(name);
    if let Some(verbosity) = node("verbosity") {
        let level = cx.run.engine.render(verbosity, scope)?;
        let level: i64 = modules::args::text(&level).trim().parse().unwrap_or(0);
        if level > i64::from(cx.run.options.verbosity) {
            let mut outcome = Outcome {
                skipped: true,
                ..Outcome::default()
            };
            outcome.data.insert(
                "skipped_reason".into(),
                Value::from("Verbosity threshold not met."),
            );
            return Ok(outcome);
        }
    }
    if let Some(var) = node("var") {
        let expression = cx.run.engine.render(var, scope)?;
        let value = match expression.as_str() {
            // A name or an expression; a template has already become its value.
            Some(text) if !var.is_template() || is_name(text) => {
                match cx.run.engine.eval(text, Some(&var.span), scope) {
                    Ok(value) => value,
                    Err(TemplateError::Undefined { .. }) => Value::from("VARIABLE IS NOT DEFINED!"),
                    Err(error) => return Err(error.into()),
                }
            }
            _ => expression.clone(),
        };
        let name = var
            .as_str()
            .map_or_else(|| crate::template::to_text(&expression), str::to_owned);
        return Ok(Outcome::ok().with(&name, value));
    }
    let msg = match node("msg") {
        Some(node) => cx.run.engine.render(node, scope)?,
        None => Value::from("Hello world!"),
    };
    let mut outcome = Outcome::ok();
    outcome.data.insert("msg".into(), msg);
    Ok(outcome)
}

fn is_name(text: &str) -> bool {
    text.split('.').all(valid_name)
}

fn assert(
    cx: &HostContext,
    given: &indexmap::IndexMap<Arc<str>, Node>,
    scope: &Arc<dyn Scope>,
) -> Result<Outcome, Refused> {
    let node = |names: &[&str]| names.iter().find_map(|name| given.get(*name));
    let that =
        node(&["that"]).ok_or_else(|| Failure::new("`assert` needs the parameter `that`"))?;
    let conditions: Vec<Node> = match that.as_seq() {
        Some(list) => list.to_vec(),
        None => vec![that.clone()],
    };
    let text = |node: Option<&Node>, default: &str| -> Result<Value, TemplateError> {
        node.map_or_else(
            || Ok(Value::from(default)),
            |node| cx.run.engine.render(node, scope),
        )
    };
    for condition in &conditions {
        if !cx.run.engine.truth(condition, scope)? {
            let msg = text(node(&["fail_msg", "msg"]), "Assertion failed")?;
            let shown = condition
                .as_str()
                .map_or_else(|| "False".to_owned(), str::to_owned);
            let mut outcome = Outcome::failed(crate::template::to_text(&msg));
            outcome.data.insert("assertion".into(), Value::from(shown));
            outcome
                .data
                .insert("evaluated_to".into(), Value::from(false));
            return Ok(outcome);
        }
    }
    let msg = text(node(&["success_msg"]), "All assertions passed")?;
    Ok(Outcome::ok().msg(crate::template::to_text(&msg)))
}

/// What `meta` does for all hosts at once: the first one decides, also with `when`.
pub(crate) const FOR_ALL: [&str; 4] = ["end_play", "end_batch", "clear_host_errors", "clear_facts"];

/// What a `meta` task says.
pub(crate) fn meta_word(task: &Task) -> Option<&str> {
    if task.action.name.rsplit('.').next() != Some("meta") {
        return None;
    }
    let args = &task.action.args;
    let node = args
        .as_map()
        .map_or(Some(args), |map| map.get("_raw_params"))?;
    node.as_str().map(str::trim)
}

fn meta(action: &str) -> Result<Control, Refused> {
    Ok(match action.trim() {
        "flush_handlers" => Control::Flush,
        "end_host" => Control::EndHost,
        "end_play" => Control::EndAll { batch: false },
        "end_batch" => Control::EndAll { batch: true },
        "clear_host_errors" => Control::ClearErrors,
        "end_role" => Control::EndRole,
        "clear_facts" => Control::ClearFacts,
        "reset_connection" => Control::ResetConnection,
        "noop" | "refresh_inventory" => Control::Noop,
        other => return Err(Failure::new(format!("unknown `meta` action `{other}`")).into()),
    })
}

fn pause(args: &Args) -> Control {
    let seconds =
        args.float("seconds").unwrap_or(0.0) + args.float("minutes").unwrap_or(0.0) * 60.0;
    if args.has("seconds") || args.has("minutes") {
        return Control::Pause(Duration::from_secs_f64(seconds.max(0.0)));
    }
    let text = args
        .str("prompt")
        .unwrap_or_else(|| "Press enter to continue".into());
    let echo = !args.has("echo") || args.bool("echo");
    Control::Prompt { text, echo }
}

fn include_tasks(
    cx: &HostContext,
    position: &Position,
    stop: &Stop,
    scope: &Arc<dyn Scope>,
    spec: &Spec,
) -> Result<Control, Refused> {
    let given = position.args_map(cx, stop, scope, spec)?;
    let file = given
        .get("file")
        .or_else(|| given.get("_raw_params"))
        .map(modules::args::text)
        .ok_or_else(|| Failure::new("`include_tasks` needs a file"))?;
    bounded(position, &file)?;
    let dirs = stop.chain.search(&stop.task, &cx.play.dir);
    // Beside the including file first, then in the role's tasks.
    let mut places: Vec<PathBuf> = vec![stop.task.dir.clone()];
    places.extend(dirs);
    let (found, tried) = find_file(&places, "tasks", &file);
    let path = found.ok_or_else(|| not_found(&file, &tried))?;
    let items = cx
        .run
        .includes
        .tasks(&path, stop.chain.role.as_ref(), &cx.play.dir, stop.handler)
        .map_err(Refused::Files)?;
    Ok(Control::Include {
        items,
        chain: stop
            .chain
            .include(&stop.task, include_vars_layers(position, stop)),
        handlers: Vec::new(),
        public: Vec::new(),
        what: path.display().to_string(),
    })
}

/// Includes inside of includes at most: beyond, something includes itself without an end.
const DEEPEST: usize = 100;

/// Refuses an include that goes round in a circle.
fn bounded(position: &Position, what: &str) -> Result<(), Failure> {
    if position.walk.includes() < DEEPEST {
        return Ok(());
    }
    Err(Failure::new(format!(
        "`{what}` is included more than {DEEPEST} levels deep: it includes itself"
    )))
}

/// `vars:` of an include and its loop variable, seen by what it includes.
fn include_vars_layers(position: &Position, stop: &Stop) -> Vec<Layer> {
    let mut vars = vec![chain::params("vars of the include", &stop.task.base.vars)];
    vars.extend(position.loop_vars());
    vars
}

fn include_role(
    cx: &HostContext,
    position: &Position,
    stop: &Stop,
    scope: &Arc<dyn Scope>,
    spec: &'static Spec,
) -> Result<Control, Refused> {
    let given = position.args_map(cx, stop, scope, spec)?;
    let args = Args::new(spec, given)?;
    let role = cx
        .run
        .includes
        .role(&args, stop, &cx.play.dir)
        .map_err(Refused::Files)?;
    bounded(position, &role.used.role.name)?;
    let public = args.bool("public").then(|| Arc::clone(&role.used.role));
    Ok(Control::Include {
        items: Arc::new(vec![Item::Block(Arc::clone(&role.block))]),
        chain: stop
            .chain
            .include(&stop.task, include_vars_layers(position, stop)),
        handlers: role.handlers.clone(),
        public: public.into_iter().collect(),
        what: role.used.role.name.clone(),
    })
}

/// `validate_argument_spec`: a role's `argument_specs` against its variables.
fn validate(args: &Args, scope: &Arc<dyn Scope>) -> Result<Outcome, Refused> {
    let spec = args.get("argument_spec").cloned().unwrap_or_default();
    let provided = args.get("provided_arguments").cloned().unwrap_or_default();
    let mut errors = Vec::new();
    for key in spec.try_iter().into_iter().flatten() {
        let name = key.to_string();
        let rule = spec.get_item(&key).unwrap_or_default();
        let value = match provided.get_item(&key) {
            Ok(value) if !value.is_undefined() => Some(value),
            _ => scope.get(&name)?,
        };
        super::includes::check_argument(&name, &rule, value.as_ref(), &mut errors);
    }
    if errors.is_empty() {
        let context = Value::from_pairs(Vec::<(&str, Value)>::new());
        return Ok(Outcome::ok()
            .msg("The arg spec validation passed")
            .with("validate_args_context", context));
    }
    let list: Value = errors.iter().map(|e| Value::from(e.as_str())).collect();
    Ok(Outcome::failed(format!(
        "Validation of arguments failed:\n{}",
        errors.join("\n")
    ))
    .with("argument_errors", list))
}

#[cfg(test)]
mod tests {
    use super::tags_select;

    fn select(tags: &[&str], only: &[&str], skip: &[&str]) -> bool {
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        tags_select(&own(tags), &own(only), &own(skip))
    }

    #[test]
    fn tags_follow_ansible() {
        assert!(select(&[], &[], &[]));
        assert!(select(&["a"], &["a"], &[]));
        assert!(!select(&["a"], &["b"], &[]));
        assert!(!select(&[], &["b"], &[]));
        assert!(select(&["always"], &["b"], &[]));
        assert!(!select(&["always"], &["b"], &["always"]));
        assert!(!select(&["never"], &[], &[]));
        assert!(select(&["never", "debug"], &["debug"], &[]));
        assert!(!select(&["never", "debug"], &["x"], &[]));
        assert!(!select(&["a"], &[], &["a"]));
        assert!(select(&["a"], &["tagged"], &[]));
        assert!(!select(&[], &["tagged"], &[]));
        assert!(select(&[], &["untagged"], &[]));
        assert!(select(&["a"], &["all"], &[]));
        assert!(!select(&["a", "always"], &[], &["a"]));
    }
}
