//! `group`: by `groupadd`, `groupmod` and `groupdel`.

use super::sh::{join, quote};
use super::{
    Args, Chunk, Controller, Decision, Effect, Failure, FreeForm, Module, Outcome, Param, Plan,
    Probe, Reply, Runs, Seen, Spec, Step, Type,
};

/// `group`.
pub(crate) struct Group;

static SPEC: Spec = Spec {
    name: "group",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Manages groups",
    params: &[
        Param::new("name", Type::Str, "the group").required(),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["absent", "present"])
            .default("present"),
        Param::new("gid", Type::Int, "its number"),
        Param::new(
            "system",
            Type::Bool,
            "number from the range of system groups",
        )
        .default("false"),
        Param::new(
            "force",
            Type::Bool,
            "remove it even when it is a user's primary group",
        )
        .default("false"),
        Param::new(
            "local",
            Type::Bool,
            "an error tells which group has the number",
        )
        .default("false"),
        Param::new(
            "non_unique",
            Type::Bool,
            "allow a number that another group has",
        )
        .default("false"),
        Param::new("gid_min", Type::Int, "lowest number to choose"),
        Param::new("gid_max", Type::Int, "highest number to choose"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Group {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let step = Wanted {
            name: args.text("name"),
            present: args.text("state") == "present",
            gid: args.int("gid"),
            system: args.bool("system"),
            force: args.bool("force"),
            non_unique: args.bool("non_unique"),
            local: args.bool("local"),
            range: [
                ("GID_MIN", args.int("gid_min")),
                ("GID_MAX", args.int("gid_max")),
            ],
        };
        if step.non_unique && step.gid.is_none() {
            return Err(Failure::of(
                "non_unique",
                "`non_unique` is true but `gid` is missing",
            ));
        }
        if args.bool("local") && (step.force || step.range.iter().any(|(_, n)| n.is_some())) {
            return Err(Failure::of(
                "local",
                "`force`, `gid_min` and `gid_max` cannot be used with `local`",
            ));
        }
        Ok(Box::new(step))
    }
}

struct Wanted {
    name: String,
    present: bool,
    gid: Option<i64>,
    system: bool,
    force: bool,
    non_unique: bool,
    local: bool,
    range: [(&'static str, Option<i64>); 2],
}

impl Wanted {
    /// The command that makes it so; `None` when it is so.
    fn command(&self, seen: &Seen) -> Option<String> {
        let mut words: Vec<String> = Vec::new();
        let gid = |words: &mut Vec<String>| {
            if let Some(gid) = self.gid {
                words.extend(["-g".into(), gid.to_string()]);
                if self.non_unique {
                    words.push("-o".into());
                }
            }
        };
        match seen.group(&self.name) {
            Some(_) if !self.present => {
                words.push("groupdel".into());
                if self.force {
                    words.push("-f".into());
                }
            }
            Some(now) => {
                if self.gid.is_none_or(|gid| gid == i64::from(now.gid)) {
                    return None;
                }
                words.push("groupmod".into());
                gid(&mut words);
            }
            None if !self.present => return None,
            None => {
                words.push("groupadd".into());
                gid(&mut words);
                if self.system {
                    words.push("-r".into());
                }
                for (key, number) in self.range {
                    if let Some(number) = number {
                        words.extend(["-K".into(), format!("{key}={number}")]);
                    }
                }
            }
        }
        Some(format!(
            "PATH=$PATH:/usr/sbin:/sbin {} {}",
            join(words),
            quote(&self.name)
        ))
    }

    /// Asks who has the number, when that must not be another group.
    fn same_number(&self) -> Option<String> {
        let gid = self
            .gid
            .filter(|_| self.local && self.present && !self.non_unique)?;
        Some(format!("getent group {gid}"))
    }

    /// The other group that has the number.
    fn other(&self, seen: &Seen) -> Option<String> {
        let (_, line) = super::sh::answer(seen, &self.same_number()?)?;
        let name = line.split(':').next()?.trim().to_owned();
        (!name.is_empty() && name != self.name).then_some(name)
    }

    fn outcome(&self, changed: bool, after: &Seen) -> Outcome {
        let mut outcome = Outcome::ok()
            .with("name", self.name.as_str())
            .with("state", if self.present { "present" } else { "absent" });
        outcome.changed = changed;
        if let Some(group) = after.group(&self.name).filter(|_| self.present) {
            outcome = outcome.with("system", self.system).with("gid", group.gid);
        }
        outcome
    }
}

impl Step for Wanted {
    fn probes(&self) -> Vec<Probe> {
        let mut probes = vec![Probe::Group(self.name.clone())];
        probes.extend(self.same_number().map(Probe::Script));
        probes
    }

    fn decide(&self, seen: &Seen) -> Decision {
        if let Some(other) = self.other(seen) {
            let gid = self.gid.unwrap_or_default();
            return Decision::Done(Outcome::failed(format!(
                "GID '{gid}' already exists with group '{other}'"
            )));
        }
        match self.command(seen) {
            None => Decision::Done(self.outcome(false, seen)),
            Some(command) => Decision::Act(Plan {
                actions: vec![Chunk::new(command)],
                effects: vec![Effect::Accounts],
                predicted: self.outcome(true, seen),
                opaque: false,
            }),
        }
    }

    fn finish(&self, _before: &Seen, replies: &[Reply], after: &Seen) -> Outcome {
        match replies.iter().find(|reply| reply.ran && reply.rc != 0) {
            Some(reply) => Outcome::failed(reply.err().trim())
                .with("name", self.name.as_str())
                .with("rc", reply.rc),
            None => self.outcome(true, after),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::probe::{Answer, GroupState};
    use crate::modules::testing::{Fake, plan, scripts};
    use minijinja::Value;

    fn decide(args: &[(&str, Value)], now: Option<u32>) -> String {
        let mut given = vec![("name", Value::from("g"))];
        given.extend_from_slice(args);
        let step = plan(&Group, &given, &Fake::default());
        let mut seen = Seen::default();
        let state = now.map(|gid| GroupState {
            name: "g".into(),
            gid,
            members: Vec::new(),
        });
        seen.insert(Probe::Group("g".into()), Answer::Group(state));
        scripts(&step.decide(&seen))
            .remove(0)
            .replace("PATH=$PATH:/usr/sbin:/sbin ", "")
    }

    #[test]
    fn states_lead_to_commands() {
        let gid = |n: i64| ("gid", Value::from(n));
        let absent = ("state", Value::from("absent"));
        assert_eq!(decide(&[], None), "groupadd g");
        assert_eq!(
            decide(&[("system", true.into()), gid(5)], None),
            "groupadd -g 5 -r g"
        );
        assert_eq!(decide(&[gid(5)], Some(5)), "done: ");
        assert_eq!(
            decide(&[gid(5), ("non_unique", true.into())], Some(6)),
            "groupmod -g 5 -o g"
        );
        assert_eq!(decide(std::slice::from_ref(&absent), Some(6)), "groupdel g");
        assert_eq!(decide(&[absent], None), "done: ");
    }
}
