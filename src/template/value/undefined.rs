//! Undefined values and failures of an evaluation.
//!
//! An undefined value is an object in the data, as in Ansible 2.19 ("marker"): it may be tested,
//! defaulted, put into a list or handed on, and its attributes are undefined too. Whoever *uses* it
//! (prints, compares, iterates, …) trips over it with [`check`]. A variable whose own definition
//! fails becomes such a value as well, so that the failure travels through minijinja's objects,
//! which have no channel for errors, and comes out unchanged.

use crate::diag::{Diagnostic, Source, Span, near};
use crate::template::jinja::At;
use crate::template::{Scope, TemplateError};
use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};
use std::sync::Arc;

/// A place in a template, kept cheap until a diagnostic needs it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) origin: Origin,
    pub(crate) text: Arc<str>,
    pub(crate) at: At,
}

/// Where a template's text comes from.
#[derive(Debug, Clone, Default)]
pub(crate) enum Origin {
    /// A scalar of a YAML file.
    Yaml(Span),
    /// A template file: its name, and the header line that stands before the text.
    File(Arc<str>, Arc<str>),
    /// Nowhere people can look.
    #[default]
    Nowhere,
}

impl Place {
    /// The span in a user's file, as exactly as can be known.
    pub(crate) fn span(&self) -> Option<Span> {
        match &self.origin {
            Origin::Yaml(span) => Some(in_scalar(span, &self.text, self.at)),
            Origin::File(name, head) => {
                let source = Source::new(name.as_ref(), format!("{head}{}", self.text));
                let at = self.at.range();
                Some(Span {
                    source,
                    start: at.start + head.len(),
                    end: at.end + head.len(),
                })
            }
            Origin::Nowhere => None,
        }
    }
}

/// Maps a range of a scalar's text to its place in the YAML source.
fn in_scalar(span: &Span, text: &str, at: At) -> Span {
    let source = span.text();
    let range = at.range();
    // Plain and simply quoted scalars stand in the source as they are.
    let inner = source
        .strip_prefix(['"', '\''])
        .and_then(|s| s.strip_suffix(['"', '\'']));
    if source == text {
        return span.sub(range.start, range.end);
    }
    if inner == Some(text) {
        return span.sub(range.start + 1, range.end + 1);
    }
    // Folded, indented or escaped ones: the same words, counted.
    let Some(words) = text.get(range.clone()).filter(|w| !w.is_empty()) else {
        return span.clone();
    };
    let words = words.lines().next().unwrap_or(words);
    let before = text[..range.start].matches(words).count();
    match source.match_indices(words).nth(before) {
        Some((start, _)) => span.sub(start, start + words.len()),
        None => span.clone(),
    }
}

/// Why a value is undefined.
#[derive(Debug, Clone)]
pub(crate) enum Why {
    /// No such variable, or no such attribute of the value given.
    Missing(String, Option<Value>),
    /// What a variable's own definition ran into.
    Inner(TemplateError),
    /// `undef(hint=…)` and its like.
    Said(String),
    /// An inline `if` without `else`: prints nothing.
    Nothing,
}

/// An undefined value.
#[derive(Debug)]
pub(crate) struct Undef {
    pub(crate) why: Why,
    pub(crate) place: Option<Place>,
}

impl Object for Undef {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, _key: &Value) -> Option<Value> {
        Some(Value::from_dyn_object(Arc::clone(self)))
    }

    fn is_true(self: &Arc<Self>) -> bool {
        false
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("")
    }
}

impl Undef {
    pub(crate) fn value(why: Why, place: Option<Place>) -> Value {
        Value::from_object(Self { why, place })
    }

    /// Whether it stands for a failure rather than for something that is not there.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(
            &self.why,
            Why::Inner(TemplateError::Pending(_) | TemplateError::Other(_))
        )
    }
}

/// The undefined value in a value.
pub(crate) fn undef(value: &Value) -> Option<&Undef> {
    value.downcast_object_ref::<Undef>()
}

/// Whether a value is defined; a failure in its definition comes out.
pub(crate) fn is_defined(value: &Value) -> Res<bool> {
    match undef(value) {
        Some(u) if u.is_failure() => Err(trip(value)),
        Some(_) => Ok(false),
        None => Ok(!value.is_undefined()),
    }
}

/// Trips over an undefined value.
pub(crate) fn check(value: &Value) -> Res<()> {
    if value.as_object().is_some() && undef(value).is_some() || value.is_undefined() {
        return Err(trip(value));
    }
    Ok(())
}

/// The failure an undefined value causes when used.
#[cold]
pub(crate) fn trip(value: &Value) -> Box<Fault> {
    Box::new(match undef(value) {
        Some(u) => match &u.why {
            Why::Inner(error) => Fault::Template(error.clone()),
            why => Fault::Undefined(why.clone(), u.place.clone()),
        },
        None => Fault::Undefined(Why::Said("an undefined value was used".to_owned()), None),
    })
}

/// Why an evaluation ended early.
#[derive(Debug)]
pub(crate) enum Fault {
    /// From a variable's definition, unchanged.
    Template(TemplateError),
    /// An undefined value was used.
    Undefined(Why, Option<Place>),
    /// Anything else; the evaluator adds the place.
    Error {
        message: String,
        hint: Option<String>,
        place: Option<Place>,
    },
}

/// Result of an evaluation. Boxed: failures are rare and large.
pub(crate) type Res<T> = Result<T, Box<Fault>>;

/// A failure with a message.
#[cold]
pub(crate) fn fault(message: impl Into<String>) -> Box<Fault> {
    Box::new(Fault::Error {
        message: message.into(),
        hint: None,
        place: None,
    })
}

impl Fault {
    /// The same at a place, unless it has one.
    pub(crate) fn at(mut self: Box<Self>, place: impl FnOnce() -> Place) -> Box<Self> {
        if let Self::Error {
            place: slot @ None, ..
        } = self.as_mut()
        {
            *slot = Some(place());
        }
        self
    }

    /// The same with the name of what failed before it, unless it has a place: then that was inside.
    pub(crate) fn named(mut self: Box<Self>, name: &str) -> Box<Self> {
        if let Self::Error {
            message,
            place: None,
            ..
        } = self.as_mut()
        {
            *message = format!("{name}: {message}");
        }
        self
    }

    /// The same with a hint.
    pub(crate) fn hint(mut self: Box<Self>, text: impl Into<String>) -> Box<Self> {
        if let Self::Error { hint, .. } = self.as_mut() {
            *hint = Some(text.into());
        }
        self
    }

    /// The error for people.
    pub(crate) fn into_error(self, scope: &dyn Scope) -> TemplateError {
        match self {
            Self::Template(error) => error,
            Self::Undefined(why, place) => undefined_error(why, place.as_ref(), scope),
            Self::Error {
                message,
                hint,
                place,
            } => {
                let mut diagnostic = diagnostic(place.as_ref(), message);
                diagnostic.hint = hint;
                TemplateError::Other(Box::new(diagnostic))
            }
        }
    }
}

fn diagnostic(place: Option<&Place>, message: String) -> Diagnostic {
    match place.and_then(Place::span) {
        Some(span) => Diagnostic::error(&span, message),
        None => Diagnostic::plain(message),
    }
}

/// What Jinja2 says of something that is not there.
fn python(why: &Why) -> Option<String> {
    let Why::Missing(name, base) = why else {
        return None;
    };
    let Some(base) = base else {
        return Some(format!("'{name}' is undefined"));
    };
    let last = name.rsplit(['.', '[']).next().unwrap_or(name);
    let last = last.trim_end_matches(']');
    let what = if base.is_none() {
        "None".to_owned()
    } else {
        format!("'{} object'", super::data::type_name(base))
    };
    Some(match last.parse::<i64>() {
        Ok(index) => format!("{} has no element {index}", what.trim_matches('\'')),
        Err(_) => format!(
            "{what} has no attribute '{}'",
            last.trim_matches(['\'', '"'])
        ),
    })
}

fn undefined_error(why: Why, place: Option<&Place>, scope: &dyn Scope) -> TemplateError {
    let said = python(&why);
    let (name, message, hint) = match why {
        Why::Inner(error) => return error,
        Why::Missing(name, None) => {
            let names = scope.names();
            let functions = crate::template::functions::FUNCTIONS.iter().map(|f| f.name);
            let hint = near(&name, names.iter().map(String::as_str).chain(functions))
                .map(|best| format!("did you mean `{best}`?"));
            (name.clone(), format!("undefined variable `{name}`"), hint)
        }
        Why::Missing(name, Some(base)) => {
            let keys: Vec<String> = super::pairs(&base)
                .map(|all| all.into_iter().map(|(key, _)| key.to_string()).collect())
                .unwrap_or_default();
            let last = name
                .rsplit(['.', '['])
                .next()
                .unwrap_or(&name)
                .trim_matches(['\'', '"', ']']);
            let hint = near(last, keys.iter().map(String::as_str))
                .map(|best| format!("did you mean `{best}`?"));
            (name.clone(), format!("undefined variable `{name}`"), hint)
        }
        Why::Said(message) => (String::new(), message, None),
        Why::Nothing => (
            String::new(),
            "the condition is false and there is no `else`".to_owned(),
            Some("write `… if … else …`".to_owned()),
        ),
    };
    let mut diagnostic = diagnostic(place, message.clone());
    diagnostic.hint = hint;
    TemplateError::Undefined {
        said: said.unwrap_or(message),
        name,
        diagnostic: Box::new(diagnostic),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_map_into_yaml_scalars() {
        for (yaml, scalar, text, words) in [
            ("a: x {{ foo }}", "x {{ foo }}", "x {{ foo }}", "foo"),
            ("a: '{{ foo }}'", "'{{ foo }}'", "{{ foo }}", "foo"),
            (
                "a: |\n  x\n  {{ foo }}\n",
                "|\n  x\n  {{ foo }}\n",
                "x\n{{ foo }}\n",
                "foo",
            ),
            (
                "a: >\n  {{ foo }}\n  {{ foo }}\n",
                ">\n  {{ foo }}\n  {{ foo }}\n",
                "{{ foo }} {{ foo }}\n",
                "foo",
            ),
            (
                "a: \"{{ foo == \\\"x\\\" }}\"",
                "\"{{ foo == \\\"x\\\" }}\"",
                "{{ foo == \"x\" }}",
                "foo",
            ),
        ] {
            let source = Source::new("a.yml", yaml);
            let start = yaml.find(scalar).unwrap();
            let span = Span {
                source,
                start,
                end: start + scalar.len(),
            };
            let at = text.rfind(words).unwrap();
            let found = in_scalar(&span, text, At::new(at, at + words.len()));
            assert_eq!(found.start, yaml.rfind(words).unwrap(), "{yaml:?}");
        }
    }
}
