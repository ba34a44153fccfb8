//! A task's module and its arguments, in all the forms Ansible takes, checked against the module's spec.

use super::ast::Action;
use super::keywords::{self, TASK};
use super::known::{self, Known};
use super::loader::{Loader, Place};
use crate::diag::{Diagnostic, Span};
use crate::modules::{FreeForm, Param, Spec, args, control};
use crate::yaml::{Kind, Map, Node, kv, plain};
use std::sync::Arc;

/// Name of the parameter that holds a free form.
const RAW: &str = "_raw_params";

/// What a task says about its action: the module's key and value, and `args:`.
pub(super) struct Given<'a> {
    pub name: &'a str,
    pub span: &'a Span,
    pub value: &'a Node,
    /// `action:` or `local_action:`: the value holds the module's name too.
    pub old: bool,
    pub args: Option<&'a Node>,
}

impl Loader<'_> {
    /// The action that a task's keys give; `None` when it is not known which module is meant.
    pub(super) fn action(&mut self, given: &Given<'_>, place: &Place) -> Option<Action> {
        let (name, span, value) = if given.old {
            self.old_form(given)?
        } else {
            (
                given.name.to_owned(),
                given.span.clone(),
                given.value.clone(),
            )
        };
        let spec = if crate::yaml::has_template(&name) {
            None
        } else {
            match self.module(&name, place) {
                Known::Supported(spec) => Some(spec),
                Known::Unsupported => {
                    self.lacks(
                        Diagnostic::error(&span, format!("module `{name}` is not supported"))
                            .hint("Ansible has this module; mini-play does not"),
                    );
                    None
                }
                Known::Unknown => {
                    self.unknown_module(&name, &span);
                    return None;
                }
            }
        };
        let mut map = Map::default();
        let mut template = None;
        match given.args.map(|node| (&node.kind, node)) {
            None | Some((Kind::Null, _)) => {}
            Some((Kind::Map(more), _)) => more.iter().for_each(|(key, span, node)| {
                map.insert(Arc::clone(key), span.clone(), node.clone());
            }),
            Some((_, node)) if node.is_template() => template = Some(node.clone()),
            Some((_, node)) => self.error(
                &node.span,
                format!("`args` must be a mapping, not {}", node.describe()),
            ),
        }
        self.arguments(&name, spec, &value, (&mut map, &mut template), place)?;
        self.check_arguments(&name, spec, &map, template.is_some(), &span, place);
        let args = match template {
            Some(node) if map.is_empty() => node,
            template => {
                if let Some(node) = template {
                    map.insert("_variable_params".into(), node.span.clone(), node);
                }
                let at = if value.is_null() { &span } else { &value.span };
                Node {
                    kind: Kind::Map(Arc::new(map)),
                    span: at.clone(),
                }
            }
        };
        Some(Action {
            spec,
            name: name.into(),
            span,
            args,
        })
    }

    /// `action: copy src=a dest=b` and `action: {module: copy, src: a}`: the name, its place, and the rest.
    fn old_form(&mut self, given: &Given<'_>) -> Option<(String, Span, Node)> {
        let value = given.value;
        match &value.kind {
            Kind::Str(text) => match kv::split(text) {
                Ok(words) if !words.is_empty() => {
                    let name = words[0].trim().to_owned();
                    let span = place_of(&value.span, &name, 0).0;
                    let rest = Node::string(kv::join(&words[1..]), &value.span);
                    Some((name, span, rest))
                }
                Ok(_) => {
                    self.error(&value.span, format!("`{}` names no module", given.name));
                    None
                }
                Err(why) => {
                    self.error(&value.span, format!("cannot split the arguments: {why}"));
                    None
                }
            },
            Kind::Map(map) => {
                let Some(module) = map.get("module").filter(|node| node.as_str().is_some()) else {
                    self.hinted(
                        &value.span,
                        format!("`{}` names no module", given.name),
                        "write the module's name as the task's key",
                    );
                    return None;
                };
                let text = module.as_str().unwrap_or_default();
                let words = kv::split(text).unwrap_or_default();
                let name = words.first().map_or("", |word| word.trim()).to_owned();
                let mut rest = Map::default();
                if let Ok(found) = kv::parse(&kv::join(words.get(1..).unwrap_or_default()), false) {
                    for (key, text) in found.pairs {
                        rest.insert(
                            key.into(),
                            module.span.clone(),
                            Node::string(text, &module.span),
                        );
                    }
                }
                for (key, span, node) in map.iter().filter(|(key, ..)| &***key != "module") {
                    rest.insert(Arc::clone(key), span.clone(), node.clone());
                }
                let node = Node {
                    kind: Kind::Map(Arc::new(rest)),
                    span: value.span.clone(),
                };
                Some((name, module.span.clone(), node))
            }
            _ => {
                self.error(
                    if value.is_null() {
                        given.span
                    } else {
                        &value.span
                    },
                    format!(
                        "`{}` must be a string, not {}",
                        given.name,
                        value.describe()
                    ),
                );
                None
            }
        }
    }

    /// Takes the value of a module's key into `map`; stronger than what is there.
    fn arguments(
        &mut self,
        name: &str,
        spec: Option<&'static Spec>,
        value: &Node,
        (map, template): (&mut Map, &mut Option<Node>),
        place: &Place,
    ) -> Option<()> {
        let takes_raw = spec.is_none_or(|spec| find(spec, RAW).is_some());
        let free = spec.map_or(FreeForm::Pairs, |spec| spec.free_form);
        match &value.kind {
            Kind::Null => {}
            Kind::Map(given) => {
                for (key, span, node) in given.iter() {
                    self.check_templates(node);
                    map.insert(Arc::clone(key), span.clone(), node.clone());
                }
            }
            Kind::Str(text) if free == FreeForm::Whole => {
                self.check_templates(value);
                map.insert(
                    RAW.into(),
                    value.span.clone(),
                    Node::string(&**text, &value.span),
                );
            }
            // One template for all arguments.
            Kind::Str(text) if !takes_raw && whole_template(text) => {
                self.check_templates(value);
                *template = Some(value.clone());
            }
            Kind::Str(text) => {
                self.check_templates(value);
                let found = match kv::parse(text, free == FreeForm::Raw) {
                    Ok(found) => found,
                    Err(why) => {
                        self.hinted(
                            &value.span,
                            format!("cannot split the arguments of `{name}`: {why}"),
                            "write them as a mapping, one `name: value` a line",
                        );
                        return None;
                    }
                };
                let mut from = 0;
                for (key, text) in found.pairs {
                    let (span, next) = place_of(&value.span, &format!("{key}="), from);
                    from = next;
                    let key_span = Span {
                        end: span.end.saturating_sub(1).max(span.start),
                        ..span
                    };
                    map.insert(key.into(), key_span.clone(), Node::string(text, &key_span));
                }
                if let Some(raw) = found.raw.filter(|raw| !raw.trim().is_empty()) {
                    if !takes_raw && !place.tolerant {
                        self.hinted(
                            &value.span,
                            format!("`{}` is not an argument of `{name}`", raw.trim()),
                            "arguments are `name: value`, one a line",
                        );
                        return None;
                    }
                    let node = Node::string(raw, &value.span);
                    map.insert(RAW.into(), value.span.clone(), node);
                }
            }
            Kind::Unsafe(_) | Kind::Vault(_) => {
                map.insert(RAW.into(), value.span.clone(), value.clone());
            }
            _ => {
                self.error(
                    &value.span,
                    format!(
                        "the arguments of `{name}` must be a mapping, not {}",
                        value.describe()
                    ),
                );
                return None;
            }
        }
        Some(())
    }

    /// Names always; values where they are literal; what is required where all names are known.
    fn check_arguments(
        &mut self,
        name: &str,
        spec: Option<&'static Spec>,
        map: &Map,
        more: bool,
        span: &Span,
        place: &Place,
    ) {
        let Some(spec) = spec else { return };
        let open = find(spec, control::ANY).is_some();
        let mut complete = !more && !place.defaults;
        for (key, key_span, node) in map.iter() {
            if crate::yaml::has_template(key) {
                complete = false;
                continue;
            }
            let Some(param) = find(spec, key) else {
                if !open && !place.tolerant {
                    self.unknown_parameter(spec, name, key, key_span, place);
                }
                continue;
            };
            if param.unsupported {
                let text = format!("parameter `{key}` of module `{name}` is not supported");
                self.lacks(Diagnostic::error(key_span, text).hint(param.doc));
            }
            if param.unsupported || place.tolerant {
                continue;
            }
            if is_literal(node)
                && !node.is_null()
                && let Err(failure) = args::check(spec, key, &plain(node))
            {
                self.report(Diagnostic::error(&node.span, failure.msg));
            }
        }
        if !complete || place.tolerant {
            return;
        }
        for param in spec.params.iter().filter(|param| param.required) {
            let names = param.aliases.iter().chain([&param.name]);
            if !names.into_iter().any(|name| map.get(name).is_some()) {
                let text = format!(
                    "module `{}` needs the parameter `{}`",
                    spec.name, param.name
                );
                self.report(Diagnostic::error(span, text));
            }
        }
    }

    /// What no parameter is like is an error of the task only when it is reached: behind a `when` it may be meant for another
    /// system's module, which `package` and `service` stand for there.
    fn unknown_parameter(
        &mut self,
        spec: &Spec,
        name: &str,
        key: &str,
        span: &Span,
        place: &Place,
    ) {
        let error = Diagnostic::error(
            span,
            format!("unknown parameter `{key}` of module `{name}`"),
        );
        let names = spec
            .params
            .iter()
            .flat_map(|p| p.aliases.iter().chain([&p.name]));
        let near = crate::diag::near(key, names.copied().filter(|name| !name.starts_with('_')));
        let error = match near {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None if keywords::find(key, TASK).is_some() => error.hint(format!(
                "`{key}` is a keyword of the task: indent it like the module's name"
            )),
            None if place.guarded => return self.lacks(error),
            None => error,
        };
        self.report(error);
    }

    pub(super) fn unknown_module(&mut self, name: &str, span: &Span) {
        let error = Diagnostic::error(span, format!("unknown module `{name}`"));
        let keyword = crate::diag::near(name, keywords::names(TASK));
        self.report(match (known::near(name), keyword) {
            (Some(near), _) => error.hint(format!("did you mean `{near}`?")),
            (None, Some(near)) => error.hint(format!("did you mean the keyword `{near}`?")),
            (None, None) => error.hint("`mini-play doc` lists the modules"),
        });
    }
}

/// The parameter of a name or alias.
fn find(spec: &'static Spec, name: &str) -> Option<&'static Param> {
    spec.params
        .iter()
        .find(|param| param.name == name || param.aliases.contains(&name))
}

/// Whether a value holds no template and nothing encrypted.
pub(super) fn is_literal(node: &Node) -> bool {
    match &node.kind {
        Kind::Seq(items) => items.iter().all(is_literal),
        Kind::Map(map) => map
            .iter()
            .all(|(key, _, node)| !crate::yaml::has_template(key) && is_literal(node)),
        Kind::Vault(_) => false,
        _ => !node.is_template(),
    }
}

/// Whether a text is one template from end to end.
fn whole_template(text: &str) -> bool {
    let text = text.trim();
    text.starts_with("{{") && text.ends_with("}}") && text.matches("{{").count() == 1
}

/// Where a word stands in a scalar as written, from an offset on; the whole scalar when it is not found as it is.
fn place_of(span: &Span, word: &str, from: usize) -> (Span, usize) {
    match span.text().get(from..).and_then(|rest| rest.find(word)) {
        Some(at) => {
            let start = from + at;
            (span.sub(start, start + word.len()), start + word.len())
        }
        None => (span.clone(), from),
    }
}
