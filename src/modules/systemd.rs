//! `systemd` (`systemd_service`): units, by one `systemctl` call for each thing that must change.

use super::sh::{answer, quote};
use super::{
    Args, Chunk, Controller, Decision, Effect, Failure, FreeForm, Module, Outcome, Param, Plan,
    Probe, Reply, Runs, Seen, Spec, Step, Type,
};
use minijinja::Value;
use std::collections::HashMap;

/// `systemd`.
pub(crate) struct Systemd;

static SPEC: Spec = Spec {
    name: "systemd",
    collection: "ansible.builtin",
    aliases: &["systemd_service"],
    doc: "Controls systemd units",
    params: &[
        Param::new("name", Type::Str, "the unit; `.service` is understood")
            .aliases(&["service", "unit"]),
        Param::new(
            "state",
            Type::Str,
            "wanted state; `restarted` and `reloaded` always change",
        )
        .choices(&["reloaded", "restarted", "started", "stopped"]),
        Param::new("enabled", Type::Bool, "whether it starts at boot"),
        Param::new("force", Type::Bool, "overwrite existing symbolic links"),
        Param::new("masked", Type::Bool, "whether it is masked"),
        Param::new("daemon_reload", Type::Bool, "run daemon-reload first")
            .aliases(&["daemon-reload"])
            .default("false"),
        Param::new("daemon_reexec", Type::Bool, "run daemon-reexec first")
            .aliases(&["daemon-reexec"])
            .default("false"),
        Param::new("scope", Type::Str, "whose service manager")
            .choices(&["system", "user", "global"])
            .default("system"),
        Param::new(
            "no_block",
            Type::Bool,
            "do not wait for the operation to finish",
        )
        .default("false"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Systemd {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        Ok(Box::new(Unit::new(args, controller.check_mode())?))
    }
}

/// What is wanted of a unit.
pub(crate) struct Unit {
    name: Option<String>,
    state: Option<String>,
    enabled: Option<bool>,
    masked: Option<bool>,
    reload: bool,
    reexec: bool,
    scope: String,
    flags: String,
    check: bool,
}

impl Unit {
    /// From the arguments of `systemd` or `service`.
    pub(crate) fn new(args: &Args, check: bool) -> Result<Self, Failure> {
        let wanted = |name: &str| args.has(name).then(|| args.bool(name));
        let scope = args.str("scope").unwrap_or_else(|| "system".into());
        let mut flags = String::new();
        if scope != "system" {
            flags.push_str(&format!(" --{scope}"));
        }
        if args.bool("no_block") {
            flags.push_str(" --no-block");
        }
        if args.bool("force") {
            flags.push_str(" --force");
        }
        let unit = Self {
            name: args.str("name"),
            state: args.str("state"),
            enabled: wanted("enabled"),
            masked: wanted("masked"),
            reload: args.bool("daemon_reload"),
            reexec: args.bool("daemon_reexec"),
            scope,
            flags,
            check,
        };
        let asks = unit.state.is_some() || unit.enabled.is_some() || unit.masked.is_some();
        if !asks && !unit.reload && !unit.reexec {
            return Err(Failure::new(
                "one of the following is required: state, enabled, masked, daemon_reload, daemon_reexec",
            ));
        }
        match &unit.name {
            None if asks => Err(Failure::new(
                "missing parameter `name`, required by `state`, `enabled` and `masked`",
            )),
            Some(name) if name.contains(['*', '?', '[']) => Err(Failure::of(
                "name",
                format!("glob patterns are not supported in service names: `{name}`"),
            )),
            _ => Ok(unit),
        }
    }

    fn systemctl(&self, verb: &str) -> String {
        format!("{}systemctl{} {verb}", self.session(), self.flags)
    }

    /// A user's manager is found through this variable, which only a login session sets.
    fn session(&self) -> &'static str {
        if self.scope == "user" {
            "export XDG_RUNTIME_DIR=\"${XDG_RUNTIME_DIR:-/run/user/$(id -u)}\"; "
        } else {
            ""
        }
    }

    fn show(&self, name: &str) -> Probe {
        if self.scope == "system" {
            Probe::Unit(name.into())
        } else {
            Probe::Script(self.systemctl(&format!("show -- {}", quote(name))))
        }
    }

    fn status(&self, seen: &Seen, name: &str) -> HashMap<String, String> {
        match self.show(name) {
            Probe::Script(script) => {
                answer(seen, &script).map_or_else(HashMap::new, |(_, out)| parse_show(&out))
            }
            _ => seen.unit(name).cloned().unwrap_or_default(),
        }
    }

    /// What systemd does not tell: a SysV script of that name, and whether we are in a chroot.
    fn around(&self, name: &str) -> String {
        let name = quote(name);
        format!(
            "[ -x /etc/init.d/{name} ] && echo script\n\
             for f in /etc/rc?.d/S??{name}; do [ -L \"$f\" ] || [ -e \"$f\" ] && echo links; break; done\n\
             echo \"is-enabled $({systemctl} is-enabled -- {name} 2>/dev/null)\"\n\
             [ \"$({systemctl} is-enabled -l -- {name} 2>/dev/null | wc -l)\" -gt 1 ] && echo linked\n\
             [ -n \"$debian_chroot$SYSTEMD_OFFLINE\" ] || ! [ / -ef /proc/1/root/. ] && echo offline\n:",
            systemctl = self.systemctl("").trim_end(),
        )
    }
}

/// Properties as `systemctl show` prints them; those named `Exec…` may span lines within braces.
pub(crate) fn parse_show(text: &str) -> HashMap<String, String> {
    let mut parsed = HashMap::new();
    let mut open: Option<(String, Vec<&str>)> = None;
    for line in text.split('\n') {
        if let Some((_, values)) = &mut open {
            values.push(line);
            if line.trim_end().ends_with('}')
                && let Some((key, values)) = open.take()
            {
                parsed.insert(key, values.join("\n").trim().to_owned());
            }
        } else if let Some((key, value)) = line.split_once('=') {
            if key.starts_with("Exec")
                && value.trim_start().starts_with('{')
                && !value.trim_end().ends_with('}')
            {
                open = Some((key.to_owned(), vec![value]));
            } else {
                parsed.insert(key.to_owned(), value.trim().to_owned());
            }
        }
    }
    parsed
}

/// One thing to do.
struct Action {
    /// `daemon-reload`, `mask`, `enable`, `start`…
    verb: &'static str,
    script: String,
}

/// What follows for a unit.
enum Verdict {
    Fail(Box<Outcome>),
    Look(Probe),
    Do(Vec<Action>, Box<Outcome>),
}

impl Unit {
    fn action(&self, verb: &'static str, name: &str) -> Action {
        Action {
            verb,
            script: self.systemctl(&format!("{verb} -- {}", quote(name))),
        }
    }

    fn judge(&self, seen: &Seen) -> Verdict {
        let mut actions = Vec::new();
        for (wanted, verb) in [
            (self.reload, "daemon-reload"),
            (self.reexec, "daemon-reexec"),
        ] {
            if wanted {
                actions.push(Action {
                    verb,
                    script: self.systemctl(verb),
                });
            }
        }
        let outcome = Outcome::ok();
        let Some(name) = &self.name else {
            let outcome = outcome
                .with("name", ())
                .with("status", Value::from_pairs(Vec::<(String, Value)>::new()));
            return Verdict::Do(actions, Box::new(outcome));
        };
        let status = self.status(seen, name);
        let get = |key: &str| status.get(key).map_or("", String::as_str);
        let (load, active) = (get("LoadState"), get("ActiveState"));
        let outcome = outcome.with("name", name.as_str()).with(
            "status",
            Value::from_pairs(sorted(&status).map(|(k, v)| (k.clone(), Value::from(v.as_str())))),
        );
        let known = !load.is_empty() && load != "not-found";
        let file = get("UnitFileState");
        let plain = known && !matches!(file, "" | "generated" | "bad" | "indirect" | "alias");
        let around = self.around(name);
        let around = if plain || self.scope != "system" && known {
            None
        } else {
            match answer(seen, &around) {
                Some((_, text)) => Some(text),
                None => return Verdict::Look(Probe::Script(around)),
            }
        };
        let says = |what: &str| {
            around
                .as_ref()
                .is_some_and(|text| text.lines().any(|line| line == what))
        };
        let is_enabled = around.as_ref().and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("is-enabled "))
        });
        let (script, links, offline) = (says("script"), says("links"), says("offline"));
        let file = match is_enabled {
            Some(text) if file.is_empty() || file == "bad" => text,
            _ => file,
        };
        // A reload may make a unit known, so that its absence now says nothing.
        let maybe = self.reload && !self.check;
        let found = known || script || (!file.is_empty() && load.is_empty());
        let mut outcome = outcome;
        if script && !known {
            outcome.warnings.push(format!(
                "the service ({name}) is actually an init script but the system is managed by systemd"
            ));
        }
        if known && load != "masked" && !get("LoadError").is_empty() {
            let msg = format!("Error loading unit file '{name}': {}", get("LoadError"));
            return Verdict::Fail(Box::new(Outcome::failed(msg)));
        }

        let is_masked = file == "masked";
        let mut masked_after = is_masked;
        if let Some(masked) = self.masked {
            masked_after = masked;
            if masked != is_masked {
                outcome.changed = true;
                actions.push(self.action(if masked { "mask" } else { "unmask" }, name));
            }
        }
        if (self.enabled.is_some() || self.state.is_some()) && !found && !maybe {
            let msg = format!("Could not find the requested service {name}: host");
            return Verdict::Fail(Box::new(Outcome::failed(msg)));
        }
        if let Some(wanted) = self.enabled {
            let enabled = match file {
                _ if masked_after => false,
                "generated" if script => links,
                "enabled" | "static" | "generated" | "transient" => true,
                "disabled" => false,
                // Enabled when links to it, or to another instance, are in place.
                "indirect" | "alias" => says("linked"),
                _ => self.scope == "system" && script && links,
            };
            // Below a mask that goes away now, anything may be.
            if enabled != wanted || (is_masked && !masked_after) {
                outcome.changed = true;
                actions.push(self.action(if wanted { "enable" } else { "disable" }, name));
            }
            outcome.data.insert("enabled".into(), wanted.into());
        }
        if let Some(wanted) = &self.state {
            let running = matches!(active, "active" | "activating");
            let mut state = wanted.as_str();
            let verb = match wanted.as_str() {
                "started" => (!running).then_some("start"),
                "stopped" => (running || active == "deactivating").then_some("stop"),
                bounce => {
                    state = "started";
                    Some(match (running, bounce) {
                        (false, _) => "start",
                        (true, "reloaded") => "reload",
                        (true, _) => "restart",
                    })
                }
            };
            outcome.data.insert("state".into(), state.into());
            if active.is_empty() && offline {
                outcome.warnings.push(
                    "the target is a chroot or systemd is offline: this can lead to false positives or prevent the init system's tools from working".into(),
                );
            } else if active.is_empty() && !maybe {
                outcome.failed = true;
                outcome.msg = Some("Service is in unknown state".into());
                return Verdict::Fail(Box::new(outcome));
            } else if let Some(verb) = verb {
                outcome.changed = true;
                actions.push(self.action(verb, name));
            }
        }
        // Nothing of this unit's changed on disk or is to change: reloading would show nothing new about it.
        if known && !outcome.changed && get("NeedDaemonReload") == "no" {
            actions.retain(|action| action.verb != "daemon-reload");
        }
        Verdict::Do(actions, Box::new(outcome))
    }

    /// Ansible's words for an action that failed.
    fn failure(&self, verb: &str, reply: &Reply) -> Outcome {
        let name = self.name.as_deref().unwrap_or_default();
        let (out, err) = (reply.out(), reply.err());
        let missing = err.contains("not found") || err.contains("does not exist");
        let msg = match verb {
            "daemon-reload" | "daemon-reexec" => {
                format!("failure {} during {verb}: {err}", reply.rc)
            }
            "mask" | "unmask" => {
                format!("Failed to {verb} the service ({name}): {}", err.trim())
            }
            _ if missing && self.reload => {
                format!("Could not find the requested service {name}: host")
            }
            "enable" | "disable" => format!("Unable to {verb} service {name}: {out}{err}"),
            _ => format!("Unable to {verb} service {name}: {err}"),
        };
        Outcome::failed(msg).with("rc", reply.rc)
    }
}

fn sorted(status: &HashMap<String, String>) -> impl Iterator<Item = (&String, &String)> {
    let mut pairs: Vec<_> = status.iter().collect();
    pairs.sort();
    pairs.into_iter()
}

impl Step for Unit {
    fn probes(&self) -> Vec<Probe> {
        self.name.iter().map(|name| self.show(name)).collect()
    }

    fn decide(&self, seen: &Seen) -> Decision {
        let (actions, outcome) = match self.judge(seen) {
            Verdict::Fail(outcome) => return Decision::Done(*outcome),
            Verdict::Look(probe) => return Decision::Look(vec![probe]),
            Verdict::Do(actions, outcome) => (actions, *outcome),
        };
        if actions.is_empty() || (self.check && !outcome.changed) {
            return Decision::Done(outcome);
        }
        let only_links = actions
            .iter()
            .all(|action| matches!(action.verb, "mask" | "unmask" | "enable" | "disable"));
        // A service that starts may change anything; so may units that are read again.
        let effects = match &self.name {
            Some(name) if only_links => vec![
                Effect::Unit(name.clone()),
                Effect::Path("/etc/systemd".into()),
            ],
            _ => vec![Effect::Anything],
        };
        Decision::Act(Plan {
            actions: actions
                .into_iter()
                .map(|action| Chunk::new(action.script))
                .collect(),
            effects,
            predicted: outcome,
            opaque: false,
        })
    }

    fn finish(&self, before: &Seen, replies: &[Reply], _after: &Seen) -> Outcome {
        match self.judge(before) {
            Verdict::Do(actions, mut outcome) => {
                for (action, reply) in actions.iter().zip(replies) {
                    if reply.ok() {
                        continue;
                    }
                    let err = reply.err();
                    let offline = err.contains("not been booted with systemd")
                        || err.contains("Running in chroot");
                    if action.verb.starts_with("daemon") && offline {
                        outcome.warnings.push(format!(
                            "{} failed, but the target is a chroot or systemd is offline. Continuing. Error was: {} / {err}",
                            action.verb, reply.rc
                        ));
                        continue;
                    }
                    return self.failure(action.verb, reply);
                }
                *outcome
            }
            Verdict::Fail(outcome) => *outcome,
            Verdict::Look(_) => Outcome::failed("the unit's state is not known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::probe::Answer;
    use crate::modules::testing::{Fake, plan, scripts};

    fn seen(unit: &str, properties: &[(&str, &str)]) -> Seen {
        let mut seen = Seen::default();
        let state = properties
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        seen.insert(Probe::Unit(unit.into()), Answer::Unit(state));
        seen
    }

    const UP: &[(&str, &str)] = &[
        ("LoadState", "loaded"),
        ("ActiveState", "active"),
        ("UnitFileState", "enabled"),
        ("NeedDaemonReload", "no"),
    ];
    const DOWN: &[(&str, &str)] = &[
        ("LoadState", "loaded"),
        ("ActiveState", "inactive"),
        ("UnitFileState", "disabled"),
        ("NeedDaemonReload", "no"),
    ];
    const STARTING: &[(&str, &str)] = &[
        ("LoadState", "loaded"),
        ("ActiveState", "activating"),
        ("UnitFileState", "static"),
    ];
    const MASKED: &[(&str, &str)] = &[
        ("LoadState", "masked"),
        ("ActiveState", "inactive"),
        ("UnitFileState", "masked"),
    ];

    /// What systemctl is told to do, and whether it changes.
    fn verbs(args: &[(&str, Value)], properties: &[(&str, &str)]) -> (Vec<String>, bool) {
        let mut given = vec![("name", Value::from("x"))];
        given.extend_from_slice(args);
        let step = plan(&Systemd, &given, &Fake::default());
        let decision = step.decide(&seen("x", properties));
        let changed = match &decision {
            Decision::Act(plan) => plan.predicted.changed,
            Decision::Done(outcome) => outcome.changed,
            Decision::Look(_) => false,
        };
        let verbs = scripts(&decision)
            .iter()
            .map(|script| script.replace("systemctl ", "").replace(" -- x", ""))
            .collect();
        (verbs, changed)
    }

    #[test]
    fn states_lead_to_actions() {
        let state = |s: &str| ("state", Value::from(s));
        let yes = |s: &'static str| (s, Value::from(true));
        let no = |s: &'static str| (s, Value::from(false));
        type Case<'a> = (
            Vec<(&'a str, Value)>,
            &'a [(&'a str, &'a str)],
            &'a [&'a str],
            bool,
        );
        let cases: &[Case] = &[
            (vec![state("started")], UP, &["done: "], false),
            (vec![state("started")], DOWN, &["start"], true),
            (vec![state("started")], STARTING, &["done: "], false),
            (vec![state("stopped")], UP, &["stop"], true),
            (vec![state("stopped")], DOWN, &["done: "], false),
            (vec![state("restarted")], UP, &["restart"], true),
            (vec![state("restarted")], DOWN, &["start"], true),
            (vec![state("reloaded")], UP, &["reload"], true),
            (vec![yes("enabled")], UP, &["done: "], false),
            (vec![yes("enabled")], STARTING, &["done: "], false),
            (
                vec![yes("enabled"), state("started")],
                DOWN,
                &["enable", "start"],
                true,
            ),
            (
                vec![no("enabled"), state("stopped")],
                UP,
                &["disable", "stop"],
                true,
            ),
            (vec![yes("masked")], UP, &["mask"], true),
            (vec![yes("masked")], MASKED, &["done: "], false),
            (
                vec![no("masked"), yes("enabled")],
                MASKED,
                &["unmask", "enable"],
                true,
            ),
            (
                vec![yes("daemon_reload"), state("started")],
                UP,
                &["done: "],
                false,
            ),
            (
                vec![yes("daemon_reload"), state("started")],
                DOWN,
                &["daemon-reload", "start"],
                true,
            ),
        ];
        for (args, properties, expected, changed) in cases {
            assert_eq!(
                verbs(args, properties),
                (expected.iter().map(|v| (*v).to_owned()).collect(), *changed),
                "{args:?} {properties:?}"
            );
        }
    }

    #[test]
    fn a_missing_unit_is_an_error_unless_a_reload_may_find_it() {
        let missing = [("LoadState", "not-found"), ("ActiveState", "inactive")];
        let step = plan(
            &Systemd,
            &[("name", "x".into()), ("state", "started".into())],
            &Fake::default(),
        );
        let mut seen = seen("x", &missing);
        let Decision::Look(more) = step.decide(&seen) else {
            panic!("a SysV script of that name may exist");
        };
        seen.insert(
            more[0].clone(),
            Answer::Script {
                rc: 0,
                stdout: b"is-enabled \n".as_slice().into(),
                stderr: [].into(),
            },
        );
        assert_eq!(
            scripts(&step.decide(&seen)),
            ["done: Could not find the requested service x: host"]
        );
        let step = plan(
            &Systemd,
            &[
                ("name", "x".into()),
                ("state", "started".into()),
                ("daemon_reload", true.into()),
            ],
            &Fake::default(),
        );
        assert_eq!(
            scripts(&step.decide(&seen)),
            ["systemctl daemon-reload", "systemctl start -- x"]
        );
    }

    #[test]
    fn exec_properties_span_lines() {
        let parsed = parse_show("A=1\nExecStart={ path=/x ;\nargv[]=y }\nDescription={ odd\nB=2\n");
        assert_eq!(parsed["ExecStart"], "{ path=/x ;\nargv[]=y }");
        assert_eq!(parsed["Description"], "{ odd");
        assert_eq!(parsed["B"], "2");
    }
}
