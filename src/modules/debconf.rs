//! `debconf` and `dpkg_selections`: answers to packages' questions, and what dpkg shall do with packages.

use super::rule::{self, Act, Rule};
use super::sh::{quote, streams};
use super::{
    Args, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Spec, Step,
    Type,
};
use minijinja::Value;
use minijinja::value::ValueKind;

/// `debconf`.
pub(crate) struct Debconf;
/// `dpkg_selections`.
pub(crate) struct DpkgSelections;

static DEBCONF: Spec = Spec {
    name: "debconf",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Answers packages' questions",
    params: &[
        Param::new("name", Type::Str, "the package")
            .required()
            .aliases(&["pkg"]),
        Param::new("question", Type::Str, "the question").aliases(&["selection", "setting"]),
        Param::new("vtype", Type::Str, "type of the answer").choices(&[
            "boolean",
            "error",
            "multiselect",
            "note",
            "password",
            "seen",
            "select",
            "string",
            "text",
            "title",
        ]),
        Param::new("value", Type::Raw, "the answer").aliases(&["answer"]),
        Param::new("unseen", Type::Bool, "do not mark the question as seen").default("false"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

static SELECTIONS: Spec = Spec {
    name: "dpkg_selections",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Sets what dpkg shall do with a package",
    params: &[
        Param::new("name", Type::Str, "the package").required(),
        Param::new("selection", Type::Str, "what to do")
            .choices(&["install", "hold", "deinstall", "purge"])
            .required(),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

/// What a value says to debconf.
fn answer(kind: &str, value: &Value) -> String {
    match kind {
        "boolean" => super::args::text(value).to_lowercase(),
        "multiselect" if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) => {
            let mut items: Vec<String> = value
                .try_iter()
                .map(|items| items.map(|item| super::args::text(&item)).collect())
                .unwrap_or_default();
            items.sort();
            items.join(", ")
        }
        _ => crate::template::to_text(value),
    }
}

impl Module for Debconf {
    fn spec(&self) -> &'static Spec {
        &DEBCONF
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let package = args.text("name");
        let given = (
            args.str("question"),
            args.str("vtype"),
            args.get("value").cloned(),
        );
        let wanted = match given {
            (Some(question), Some(kind), Some(value)) => {
                let text = answer(&kind, &value);
                Some((question, kind, text))
            }
            (None, None, None) => None,
            _ => {
                return Err(Failure::new(
                    "parameters are required together: question, vtype, value",
                ));
            }
        };
        let list = wanted
            .as_ref()
            .is_some_and(|(_, kind, _)| kind == "multiselect");
        let unseen = if args.bool("unseen") { " -u" } else { "" };
        // Passwords are shown only by debconf's own interface, and only to root.
        let password = wanted.as_ref().filter(|(_, kind, _)| kind == "password").map(|(question, ..)| {
            format!("\nprintf 'GET %s\\n' {} | debconf-communicate {} 2>/dev/null | sed 's/^/password /'", quote(question), quote(&package))
        });
        let script = format!(
            "PATH=$PATH:/usr/sbin; debconf-show {} 2>&1{}",
            quote(&package),
            password.unwrap_or_default()
        );
        Rule::new(vec![Probe::Script(script.clone())], move |seen| {
            let (rc, out) = rule::script(seen, &script)?;
            if rc != 0 {
                return Ok(Outcome::failed(out.trim()).into());
            }
            let previous: Vec<(String, Value)> = out
                .lines()
                .filter(|line| !line.starts_with("password "))
                .filter_map(|line| line.split_once(':'))
                .map(|(key, value)| {
                    (
                        key.trim_matches(['*', ' ']).to_owned(),
                        Value::from(value.trim()),
                    )
                })
                .collect();
            let Some((question, kind, value)) = &wanted else {
                return Ok(Outcome::ok()
                    .msg("")
                    .with("current", Value::from_pairs(previous))
                    .into());
            };
            let known = previous
                .iter()
                .find(|(key, _)| key == question)
                .map(|(_, value)| super::args::text(value));
            let existing = match kind.as_str() {
                "password" => out
                    .lines()
                    .find_map(|line| line.strip_prefix("password 0 "))
                    .map(str::to_owned),
                "boolean" => known.clone().map(|value| value.to_lowercase()),
                "multiselect" if list => known.clone().map(|value| {
                    let mut items: Vec<&str> = value.split(',').map(str::trim).collect();
                    items.sort_unstable();
                    items.join(", ")
                }),
                _ => known.clone(),
            };
            if existing.as_ref() == Some(value) {
                return Ok(Outcome::ok()
                    .msg("")
                    .with("current", Value::from_pairs(previous))
                    .into());
            }
            let line = format!("{package} {question} {kind} {value}\n");
            let shown = if kind == "password" {
                "********"
            } else {
                value
            };
            let mut outcome = Outcome::ok()
                .msg("")
                .with(
                    "current",
                    Value::from_pairs([(question.clone(), Value::from(shown))]),
                )
                .with(
                    "previous",
                    Value::from_pairs([(
                        question.clone(),
                        Value::from(known.clone().unwrap_or_default()),
                    )]),
                );
            if kind != "password" {
                outcome = outcome.diff(
                    question,
                    known.unwrap_or_default() + "\n",
                    format!("{value}\n"),
                );
            }
            let action = rule::fed(
                format!("PATH=$PATH:/usr/sbin debconf-set-selections{unseen}"),
                &line,
            );
            Ok(Act::change(
                vec![action],
                vec![Effect::Packages],
                outcome,
                "setting the answer",
            )
            .into())
        })
        .step()
    }
}

impl Module for DpkgSelections {
    fn spec(&self) -> &'static Spec {
        &SELECTIONS
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let (name, wanted) = (args.text("name"), args.text("selection"));
        let list = format!("dpkg --get-selections {}", quote(&name));
        Rule::new(vec![Probe::Script(list.clone())], move |seen| {
            let (_, out) = rule::script(seen, &list)?;
            let Some(before) = out.split_whitespace().nth(1) else {
                return Ok(Outcome::failed(format!(
                    "Failed to find package '{name}' to perform selection '{wanted}'."
                ))
                .into());
            };
            let outcome = Outcome::ok()
                .with("before", before)
                .with("after", wanted.as_str());
            if before == wanted {
                return Ok(outcome.into());
            }
            let outcome = outcome.diff(&name, format!("{before}\n"), format!("{wanted}\n"));
            let action = rule::fed("dpkg --set-selections", &format!("{name} {wanted}\n"));
            Ok(Act::change(
                vec![action],
                vec![Effect::Packages],
                outcome,
                "setting the selection",
            )
            .into())
        })
        .finish(|outcome, _, replies, _| {
            let reply = replies.first().cloned().unwrap_or_default();
            streams(outcome, &reply.out(), &reply.err())
        })
        .step()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_told_as_debconf_keeps_them() {
        assert_eq!(answer("boolean", &Value::from(true)), "true");
        assert_eq!(answer("boolean", &Value::from("True")), "true");
        assert_eq!(answer("multiselect", &Value::from(vec!["b", "a"])), "a, b");
        assert_eq!(answer("string", &Value::from("x y")), "x y");
    }
}
