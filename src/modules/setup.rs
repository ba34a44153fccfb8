//! `setup` and `gather_facts`: everything about a host, as one question; and `ping`, which asks nothing.

use super::sh::answer;
use super::{
    Args, Controller, Decision, Failure, FreeForm, Module, Outcome, Param, Probe, Reply, Runs,
    Seen, Spec, Step, Type,
};
use crate::facts::{self, Subset};
use minijinja::Value;

/// `setup`.
pub(crate) struct Setup;
/// `ping`.
pub(crate) struct Ping;

static SETUP: Spec = Spec {
    name: "setup",
    collection: "ansible.builtin",
    aliases: &["gather_facts"],
    doc: "Gathers facts about a host",
    params: &[
        Param::new(
            "gather_subset",
            Type::List,
            "kinds of facts; `!kind` leaves one out",
        )
        .default("all"),
        Param::new(
            "gather_timeout",
            Type::Int,
            "no effect: slow sources have limits of their own",
        )
        .default("10"),
        Param::new("filter", Type::List, "patterns of names of facts to return"),
        Param::new("fact_path", Type::Path, "folder of local facts")
            .default("/etc/ansible/facts.d"),
        Param::new(
            "parallel",
            Type::Bool,
            "no effect: there is one source of facts",
        ),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

static PING: Spec = Spec {
    name: "ping",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Says `pong` when the host can be reached",
    params: &[Param::new("data", Type::Str, "what to say instead; `crash` fails").default("pong")],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Setup {
    fn spec(&self) -> &'static Spec {
        &SETUP
    }

    fn only_looks(&self) -> bool {
        true
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let names = args.strings("gather_subset");
        let subset = Subset::new(&names).map_err(|why| Failure::of("gather_subset", why))?;
        Ok(Box::new(Gather {
            script: facts::script(&subset, &args.text("fact_path")),
            names,
            filter: args.strings("filter"),
        }))
    }
}

struct Gather {
    script: String,
    names: Vec<String>,
    filter: Vec<String>,
}

impl Step for Gather {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Script(self.script.clone())]
    }

    fn decide(&self, seen: &Seen) -> Decision {
        let Some((_, text)) = answer(seen, &self.script) else {
            return Decision::Look(self.probes());
        };
        Decision::Done(match facts::parse(text.as_bytes()) {
            Ok((mut all, warnings)) => {
                all.insert(
                    "gather_subset".into(),
                    self.names.iter().map(|n| Value::from(n.as_str())).collect(),
                );
                // Results show them as the variables are called.
                let shown = facts::select(&all, &self.filter)
                    .into_iter()
                    .map(|(name, value)| match name.as_str() {
                        "gather_subset" | "module_setup" => (name, value),
                        _ => (format!("ansible_{name}"), value),
                    });
                Outcome {
                    facts: shown.collect(),
                    warnings,
                    ..Outcome::ok()
                }
            }
            Err(why) => Outcome::failed(why),
        })
    }

    fn finish(&self, before: &Seen, _replies: &[Reply], _after: &Seen) -> Outcome {
        match self.decide(before) {
            Decision::Done(outcome) => outcome,
            _ => Outcome::failed("the facts were not gathered"),
        }
    }
}

impl Module for Ping {
    fn spec(&self) -> &'static Spec {
        &PING
    }

    fn only_looks(&self) -> bool {
        true
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        Ok(Box::new(Pong(args.text("data"))))
    }
}

struct Pong(String);

/// A question that only a host can answer.
const PING_SCRIPT: &str = ":";

impl Step for Pong {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Script(PING_SCRIPT.into())]
    }

    fn decide(&self, _seen: &Seen) -> Decision {
        Decision::Done(if self.0 == "crash" {
            // What Ansible's module does on purpose.
            Outcome::failed("MODULE FAILURE\nSee stdout/stderr for the exact error")
                .with("module_stdout", "")
                .with("module_stderr", "Exception: boom\n")
                .with("rc", 1)
        } else {
            Outcome::ok().with("ping", self.0.as_str())
        })
    }

    fn finish(&self, _before: &Seen, _replies: &[Reply], _after: &Seen) -> Outcome {
        Outcome::ok().with("ping", self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::testing::{Fake, args, local};

    #[test]
    fn facts_are_gathered_and_filtered() {
        let given = [
            ("gather_subset", "!all".into()),
            ("filter", "ansible_sys*".into()),
        ];
        let outcome = local(&Setup, &args(&Setup, &given), &Fake::default());
        assert!(!outcome.failed && !outcome.changed, "{outcome:?}");
        let names: Vec<&String> = outcome.facts.keys().collect();
        assert!(
            names.contains(&&"ansible_system".to_owned())
                && !names.contains(&&"ansible_kernel".to_owned()),
            "{names:?}"
        );
    }

    #[test]
    fn pong() {
        let outcome = local(&Ping, &args(&Ping, &[]), &Fake::default());
        assert_eq!(outcome.data["ping"].as_str(), Some("pong"));
    }
}
