//! `raw`: a command as it is, in the shell.

use super::rule::{Act, Rule};
use super::sh::{self, quote};
use super::{
    Args, Chunk, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Reply, Runs, Seen,
    Spec, Step, Type,
};

/// `raw`.
pub(crate) struct Raw;

static SPEC: Spec = Spec {
    name: "raw",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Runs a command as it is",
    params: &[
        Param::new("_raw_params", Type::Str, "the command line").required(),
        Param::new("executable", Type::Path, "shell to use"),
    ],
    free_form: FreeForm::Raw,
    runs: Runs::Host,
};

impl Module for Raw {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let shell = args.str("executable").unwrap_or_else(|| "/bin/sh".into());
        let script = format!(
            "unset LC_ALL\n{} -c {}",
            quote(&shell),
            quote(&args.text("_raw_params"))
        );
        let step = Rule::new(Vec::new(), move |_| {
            let mut outcome = Outcome::ok();
            outcome.skipped = true;
            let mut act = Act {
                actions: vec![Chunk::new(script.as_str())],
                effects: vec![Effect::Anything],
                outcome,
                what: String::new(),
                opaque: true,
            };
            act.outcome.changed = false;
            Ok(act.into())
        });
        Ok(Box::new(Plain(step)))
    }
}

/// A failing command is a result like any other here.
struct Plain(Rule);

impl Step for Plain {
    fn probes(&self) -> Vec<super::Probe> {
        self.0.probes()
    }

    fn decide(&self, seen: &Seen) -> super::Decision {
        self.0.decide(seen)
    }

    fn finish(&self, _before: &Seen, replies: &[Reply], _after: &Seen) -> Outcome {
        let Some(reply) = replies.first() else {
            return Outcome::failed("the command was not run");
        };
        let mut outcome = sh::streams(
            Outcome::changed().with("rc", reply.rc),
            &reply.out(),
            &reply.err(),
        );
        if reply.rc != 0 {
            outcome.failed = true;
            outcome.msg = Some("non-zero return code".into());
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::testing::{Fake, args, local};

    #[test]
    fn what_it_says_is_told() {
        let given = args(
            &Raw,
            &[("_raw_params", "echo a; echo b >&2; exit 2".into())],
        );
        let outcome = local(&Raw, &given, &Fake::default());
        assert!(outcome.failed && outcome.changed);
        assert_eq!(outcome.data["stdout"].as_str(), Some("a\n"));
        assert_eq!(outcome.data["stderr"].as_str(), Some("b\n"));
        assert_eq!(outcome.msg.as_deref(), Some("non-zero return code"));
    }
}
