//! `sysvinit`: scripts of `/etc/init.d`, whatever else manages services.

use super::service::Legacy;
use super::{
    Args, Controller, Decision, Failure, FreeForm, Module, Outcome, Param, Probe, Reply, Runs,
    Seen, Spec, Step, Type,
};
use minijinja::Value;

/// `sysvinit`.
pub(crate) struct Sysvinit;

static SPEC: Spec = Spec {
    name: "sysvinit",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Controls SysV services",
    params: &[
        Param::new("name", Type::Str, "the service")
            .required()
            .aliases(&["service"]),
        Param::new("state", Type::Str, "wanted state").choices(&[
            "started",
            "stopped",
            "restarted",
            "reloaded",
        ]),
        Param::new("enabled", Type::Bool, "whether it starts at boot"),
        Param::new(
            "sleep",
            Type::Int,
            "seconds between stop and start of a restart",
        )
        .default("1"),
        Param::new(
            "pattern",
            Type::Str,
            "text in the process list that says it runs",
        ),
        Param::new("arguments", Type::Str, "more words for the script").aliases(&["args"]),
        Param::unsupported("runlevels", "services are enabled in their own run levels"),
        Param::new(
            "daemonize",
            Type::Bool,
            "no effect: scripts cannot hold us up",
        )
        .default("false"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Sysvinit {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let state = args.str("state");
        if state.is_none() && !args.has("enabled") {
            return Err(Failure::new(
                "one of the following is required: state, enabled",
            ));
        }
        Ok(Box::new(Shaped {
            legacy: Legacy::new(args, controller.check_mode()),
            state,
        }))
    }
}

/// The step of `service`, with this module's form of result.
struct Shaped {
    legacy: Legacy,
    state: Option<String>,
}

impl Shaped {
    fn shape(&self, outcome: Outcome) -> Outcome {
        if outcome.failed {
            return outcome;
        }
        let part = |changed: bool| {
            Value::from_pairs([("changed", Value::from(changed)), ("rc", Value::from(()))])
        };
        let mut status = vec![(
            "enabled".to_owned(),
            part(outcome.changed && self.state.is_none()),
        )];
        status.extend(
            self.state
                .iter()
                .map(|state| (state.clone(), part(outcome.changed))),
        );
        let mut shaped = Outcome {
            data: indexmap::IndexMap::new(),
            ..outcome.clone()
        };
        shaped = shaped.with(
            "name",
            outcome.data.get("name").cloned().unwrap_or_default(),
        );
        shaped.with("status", Value::from_pairs(status))
    }
}

impl Step for Shaped {
    fn probes(&self) -> Vec<Probe> {
        self.legacy.probes()
    }

    fn decide(&self, seen: &Seen) -> Decision {
        match self.legacy.decide(seen) {
            Decision::Done(outcome) => Decision::Done(self.shape(outcome)),
            Decision::Act(mut plan) => {
                plan.predicted = self.shape(plan.predicted);
                Decision::Act(plan)
            }
            look @ Decision::Look(_) => look,
        }
    }

    fn finish(&self, before: &Seen, replies: &[Reply], after: &Seen) -> Outcome {
        self.shape(self.legacy.finish(before, replies, after))
    }
}
