//! `service`: systemd where there is systemd, else upstart jobs and SysV scripts.
//!
//! Which one it is says the fact `service_mgr`; where facts were not gathered, the host is asked.

use super::sh::{answer, join, quote};
use super::systemd::Unit;
use super::{
    Args, Chunk, Controller, Decision, Effect, Failure, FreeForm, Module, Outcome, Param, Plan,
    Probe, Reply, Runs, Seen, Spec, Step, Type,
};

/// `service`.
pub(crate) struct Service;

static SPEC: Spec = Spec {
    name: "service",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Controls services by whatever manages them",
    params: &[
        Param::new(
            "name",
            Type::Str,
            "the service; may be left out to reload systemd itself",
        ),
        Param::new(
            "state",
            Type::Str,
            "wanted state; `restarted` and `reloaded` always change",
        )
        .choices(&["reloaded", "restarted", "started", "stopped", "running"]),
        Param::new("enabled", Type::Bool, "whether it starts at boot"),
        Param::new(
            "sleep",
            Type::Int,
            "seconds between stop and start of a restart, without systemd",
        ),
        Param::new(
            "pattern",
            Type::Str,
            "text in the process list that says it runs, without systemd",
        ),
        Param::new("runlevel", Type::Str, "for OpenRC, which is not supported").default("default"),
        Param::new(
            "arguments",
            Type::Str,
            "more words for the service script, without systemd",
        )
        .aliases(&["args"]),
        Param::new("use", Type::Str, "the service manager").default("auto"),
        Param::new(
            "daemon_reload",
            Type::Bool,
            "with systemd: run daemon-reload first",
        )
        .aliases(&["daemon-reload"]),
        Param::new(
            "daemon_reexec",
            Type::Bool,
            "with systemd: run daemon-reexec first",
        )
        .aliases(&["daemon-reexec"]),
        Param::new("masked", Type::Bool, "with systemd: whether it is masked"),
        Param::new(
            "force",
            Type::Bool,
            "with systemd: overwrite existing symbolic links",
        ),
        Param::new(
            "no_block",
            Type::Bool,
            "with systemd: do not wait for the operation to finish",
        ),
        Param::new("scope", Type::Str, "with systemd: whose service manager")
            .choices(&["system", "user", "global"]),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

/// Tells who manages services: `systemd`, `upstart` or `sysvinit`, the way Ansible's fact does.
pub(crate) const MANAGER: &str = "\
if command -v systemctl >/dev/null 2>&1 && { [ -d /run/systemd/system ] || \
{ read -r comm </proc/1/comm; [ \"$comm\" = systemd ]; }; } 2>/dev/null; then echo systemd
elif command -v initctl >/dev/null 2>&1 && [ -d /etc/init ]; then echo upstart
elif [ -x /sbin/openrc ]; then echo openrc
else case $(readlink /sbin/init 2>/dev/null) in
  *systemd) echo systemd ;;
  *) [ -d /etc/init.d ] && echo sysvinit || echo service ;;
  esac
fi";

impl Module for Service {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        if !args.has("state")
            && !args.has("enabled")
            && !["masked", "daemon_reload", "daemon_reexec"]
                .iter()
                .any(|name| args.has(name))
        {
            return Err(Failure::new(
                "one of the following is required: state, enabled",
            ));
        }
        let of_unit = ["state", "enabled", "masked"];
        if !args.has("name") && of_unit.iter().any(|name| args.has(name)) {
            return Err(Failure::new("module `service` needs the parameter `name`"));
        }
        let mut args = args.clone();
        let mut warnings = Vec::new();
        if args.text("state") == "running" {
            warnings.push("`state: running` is an old spelling of `started`".to_owned());
            args = args.replace("state", "started".into());
        }
        let manager = match args.text("use").rsplit('.').next().unwrap_or_default() {
            "auto" => controller.fact("service_mgr").as_str().map(str::to_owned),
            "systemd" | "systemd_service" => Some("systemd".into()),
            other => Some(other.to_owned()),
        };
        Ok(Box::new(Choice {
            manager,
            systemd: Unit::new(&args, controller.check_mode())?,
            unused: ["pattern", "sleep", "arguments"]
                .into_iter()
                .filter(|name| args.has(name))
                .collect(),
            legacy: Legacy::new(&args, controller.check_mode()),
            warnings,
        }))
    }
}

/// The step for each manager, and which one it is when that is known.
struct Choice {
    manager: Option<String>,
    systemd: Unit,
    legacy: Legacy,
    unused: Vec<&'static str>,
    warnings: Vec<String>,
}

impl Choice {
    fn step(&self, seen: &Seen) -> Option<&dyn Step> {
        let asked = answer(seen, MANAGER).map(|(_, text)| text.trim().to_owned());
        match self.manager.clone().or(asked)?.as_str() {
            "systemd" => Some(&self.systemd),
            _ => Some(&self.legacy),
        }
    }

    fn warn(&self, mut outcome: Outcome, systemd: bool) -> Outcome {
        outcome.warnings.extend(self.warnings.iter().cloned());
        if systemd {
            outcome.warnings.extend(
                self.unused
                    .iter()
                    .map(|name| format!("ignoring `{name}` as it is not used with systemd")),
            );
        }
        outcome
    }

    fn is_systemd(&self, seen: &Seen) -> bool {
        self.manager.as_deref() == Some("systemd")
            || answer(seen, MANAGER).is_some_and(|(_, text)| text.trim() == "systemd")
    }
}

impl Step for Choice {
    fn probes(&self) -> Vec<Probe> {
        match self.manager.as_deref() {
            Some("systemd") => self.systemd.probes(),
            Some(_) => self.legacy.probes(),
            None => vec![Probe::Script(MANAGER.into())],
        }
    }

    fn decide(&self, seen: &Seen) -> Decision {
        let Some(step) = self.step(seen) else {
            return Decision::Look(vec![Probe::Script(MANAGER.into())]);
        };
        let missing: Vec<Probe> = step
            .probes()
            .into_iter()
            .filter(|probe| seen.get(probe).is_none())
            .collect();
        if !missing.is_empty() {
            return Decision::Look(missing);
        }
        match step.decide(seen) {
            Decision::Done(outcome) => Decision::Done(self.warn(outcome, self.is_systemd(seen))),
            other => other,
        }
    }

    fn finish(&self, before: &Seen, replies: &[Reply], after: &Seen) -> Outcome {
        let outcome = self.step(before).map_or_else(
            || Outcome::failed("could not detect which service manager to use"),
            |step| step.finish(before, replies, after),
        );
        self.warn(outcome, self.is_systemd(before))
    }
}

/// Upstart jobs and SysV scripts.
pub(crate) struct Legacy {
    name: String,
    state: Option<String>,
    enabled: Option<bool>,
    sleep: i64,
    pattern: Option<String>,
    arguments: String,
    check: bool,
}

/// What the host told of a service without systemd.
struct Looks {
    /// `initctl`, `service` or a script's path; `None` when there is no such service.
    control: Option<String>,
    upstart: bool,
    /// Whether an `S` link or no `manual` stanza lets it start at boot.
    starts: bool,
    /// Whether it has `K` links.
    stops: bool,
    /// Whether the job's own file says `manual`.
    manual: bool,
    running: Option<bool>,
}

impl Legacy {
    /// From the arguments of `service` or `sysvinit`.
    pub(crate) fn new(args: &Args, check: bool) -> Self {
        Self {
            name: args.text("name"),
            state: args.str("state"),
            enabled: args.has("enabled").then(|| args.bool("enabled")),
            sleep: args.int("sleep").unwrap_or(0),
            pattern: args.str("pattern"),
            arguments: join(shlex::split(&args.text("arguments")).unwrap_or_default()),
            check,
        }
    }

    fn probe(&self) -> String {
        let name = quote(&self.name);
        let args = &self.arguments;
        let status = match (&self.state, &self.pattern) {
            (None, _) => String::new(),
            (Some(_), Some(pattern)) => format!(
                "list=$(ps auxww) && case $list in *{}*) echo 'running 1' ;; *) echo 'running 0' ;; esac\n",
                quote(pattern)
            ),
            (Some(_), None) => format!(
                "case $control in\n initctl) text=$(initctl status {name} {args} 2>&1) ;;\n \
                 service) text=$(service {name} status {args} 2>/dev/null) ;;\n \
                 *) text=$(\"$control\" status {args} 2>/dev/null) ;;\nesac\n\
                 echo \"status $?\"; echo \"$text\"\n"
            ),
        };
        format!(
            "PATH=$PATH:/sbin:/usr/sbin\n\
             control=\n\
             if command -v initctl >/dev/null && [ -e /etc/init/{name}.conf ]; then control=initctl\n \
             grep -qix 'manual[[:space:]]*' /etc/init/{name}.conf && echo manual\n \
             grep -qixs 'manual[[:space:]]*' /etc/init/{name}.override || echo starts\n\
             elif [ -f /etc/init.d/{name} ]; then\n \
             if command -v service >/dev/null; then control=service; else control=/etc/init.d/{name}; fi\n \
             for f in /etc/rc?.d/S??{name}; do [ -L \"$f\" ] && echo starts; break; done\n \
             for f in /etc/rc?.d/K??{name}; do [ -L \"$f\" ] && echo stops; break; done\n\
             fi\n\
             [ -n \"$control\" ] || exit 0\necho \"control $control\"\n{status}:"
        )
    }

    fn looks(&self, text: &str) -> Looks {
        let (head, status) = text
            .split_once("status ")
            .map_or((text, None), |(head, rest)| (head, Some(rest)));
        let has = |word: &str| head.lines().any(|line| line == word);
        let control = head
            .lines()
            .find_map(|line| line.strip_prefix("control "))
            .map(str::to_owned);
        let running = if has("running 1") {
            Some(true)
        } else if has("running 0") {
            Some(false)
        } else {
            status.and_then(|rest| {
                let (rc, output) = rest.split_once('\n').unwrap_or((rest, ""));
                self.running(rc.trim().parse().unwrap_or(255), output)
            })
        };
        Looks {
            upstart: control.as_deref() == Some("initctl"),
            control,
            starts: has("starts"),
            stops: has("stops"),
            manual: has("manual"),
            running,
        }
    }

    /// Whether a status command's result means that the service runs, by Ansible's rules.
    fn running(&self, rc: i32, output: &str) -> Option<bool> {
        if output.contains("stop/waiting") {
            return Some(false);
        }
        if output.contains("start/running") {
            return Some(true);
        }
        if matches!(rc, 1..=4 | 69) {
            return Some(false);
        }
        if output.trim_end().lines().count() <= 1 {
            let clean = output.to_lowercase().replace(&self.name.to_lowercase(), "");
            let not = clean.contains("not ");
            if clean.contains("stop") {
                return Some(false);
            }
            if clean.contains("run") {
                return Some(!not);
            }
            if clean.contains("start") && !not {
                return Some(true);
            }
            let dead = [
                "could not access pid file",
                "is dead and pid file exists",
                "dead but subsys locked",
                "dead but pid file exists",
            ];
            if dead.iter().any(|text| clean.contains(text)) {
                return Some(false);
            }
        }
        (rc == 0).then_some(true)
    }

    /// The scripts to run and the result after them.
    fn judge(&self, looks: &Looks) -> Result<(Vec<String>, Outcome), String> {
        let name = quote(&self.name);
        let mut scripts = Vec::new();
        let mut outcome = Outcome::ok().with("name", self.name.as_str());
        let Some(control) = &looks.control else {
            return Err(format!(
                "Could not find the requested service {}: host",
                self.name
            ));
        };
        if let Some(enabled) = self.enabled {
            if looks.upstart && looks.manual {
                return Err("manual stanza not supported in a .conf file".into());
            }
            if enabled != looks.starts {
                outcome.changed = true;
                scripts.push(match (looks.upstart, enabled) {
                    (true, true) => format!(
                        "f=/etc/init/{name}.override; sed -i '/^[Mm][Aa][Nn][Uu][Aa][Ll][[:space:]]*$/d' \"$f\""
                    ),
                    (true, false) => format!("echo manual >>/etc/init/{name}.override"),
                    (false, true) if !looks.stops => format!(
                        "PATH=$PATH:/sbin:/usr/sbin; update-rc.d {name} defaults && update-rc.d {name} enable"
                    ),
                    (false, true) => {
                        format!("PATH=$PATH:/sbin:/usr/sbin; update-rc.d {name} enable")
                    }
                    (false, false) => {
                        format!("PATH=$PATH:/sbin:/usr/sbin; update-rc.d {name} disable")
                    }
                });
            }
            outcome = outcome.with("enabled", enabled);
        }
        let Some(state) = &self.state else {
            return Ok((scripts, outcome));
        };
        let Some(running) = looks.running else {
            return Err("failed determining service state, possible typo of service name?".into());
        };
        let verb = match (state.as_str(), running) {
            ("started", true) | ("stopped", false) => None,
            ("started", false) | ("reloaded", false) => Some("start"),
            ("stopped", true) => Some("stop"),
            ("reloaded", true) => Some("reload"),
            _ => Some("restart"),
        };
        outcome = outcome.with(
            "state",
            if state == "stopped" {
                "stopped"
            } else {
                "started"
            },
        );
        if let Some(verb) = verb {
            outcome.changed = true;
            scripts.push(self.control(control, verb));
        }
        Ok((scripts, outcome))
    }

    /// Runs a verb with its output in files, so that a daemon that keeps its descriptors holds nobody up.
    fn control(&self, control: &str, verb: &str) -> String {
        let name = quote(&self.name);
        let args = &self.arguments;
        let call = match control {
            "initctl" => format!("initctl \"$1\" {name} {args}"),
            "service" => format!("service {name} \"$1\" {args}"),
            script => format!("{} \"$1\" {args}", quote(script)),
        };
        let run = match verb {
            "restart" => {
                let sleep = if self.sleep > 0 {
                    format!("sleep {}\n", self.sleep)
                } else {
                    String::new()
                };
                format!(
                    "mp_run stop; mp_one=$?\n{sleep}mp_run start; mp_two=$?\n\
                         [ $mp_two -eq 0 ] && exit 0; exit $((mp_one + mp_two))"
                )
            }
            verb => format!("mp_run {verb}"),
        };
        format!(
            "PATH=$PATH:/sbin:/usr/sbin\n\
             mp_run() {{ {call} >\"$MP_TMP/service.out\" 2>\"$MP_TMP/service.err\" </dev/null; mp_rc=$?\n \
             cat \"$MP_TMP/service.out\"; cat \"$MP_TMP/service.err\" >&2; return $mp_rc; }}\n{run}"
        )
    }

    fn judged(&self, seen: &Seen) -> Option<Result<(Vec<String>, Outcome), String>> {
        let (_, text) = answer(seen, &self.probe())?;
        Some(self.judge(&self.looks(&text)))
    }
}

impl Step for Legacy {
    fn probes(&self) -> Vec<Probe> {
        vec![Probe::Script(self.probe())]
    }

    fn decide(&self, seen: &Seen) -> Decision {
        match self.judged(seen) {
            None => Decision::Look(self.probes()),
            Some(Err(msg)) => Decision::Done(Outcome::failed(msg)),
            Some(Ok((scripts, outcome))) if scripts.is_empty() => Decision::Done(outcome),
            Some(Ok((scripts, predicted))) => Decision::Act(Plan {
                actions: scripts.into_iter().map(Chunk::new).collect(),
                effects: vec![Effect::Anything],
                predicted: if self.check && self.state.is_some() {
                    predicted.msg("service state changed")
                } else {
                    predicted
                },
                opaque: false,
            }),
        }
    }

    fn finish(&self, before: &Seen, replies: &[Reply], _after: &Seen) -> Outcome {
        let bad = replies.iter().find(|reply| {
            reply.ran && reply.rc != 0 && !reply.err().contains("Job is already running")
        });
        if let Some(reply) = bad {
            let err = reply.err();
            let msg = if err.trim().is_empty() {
                reply.out()
            } else {
                err
            };
            return Outcome::failed(msg.trim()).with("rc", reply.rc);
        }
        match self.judged(before) {
            Some(Ok((_, outcome))) => outcome,
            Some(Err(msg)) => Outcome::failed(msg),
            None => Outcome::failed("the service's state is not known"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::probe::Answer;
    use crate::modules::testing::{Fake, ask, plan, scripts};
    use minijinja::Value;

    fn decide(args: &[(&str, Value)], text: &str) -> Vec<String> {
        let mut given = vec![("name", Value::from("x"))];
        given.extend_from_slice(args);
        let step = plan(
            &Service,
            &given,
            &Fake::default().fact("service_mgr", "sysvinit"),
        );
        let mut seen = Seen::default();
        for probe in step.probes() {
            seen.insert(
                probe,
                Answer::Script {
                    rc: 0,
                    stdout: text.as_bytes().into(),
                    stderr: [].into(),
                },
            );
        }
        scripts(&step.decide(&seen))
    }

    #[test]
    fn scripts_of_sysv_are_started_and_enabled() {
        let up = "starts\ncontrol service\nstatus 0\n * x is running\n";
        let down = "control service\nstatus 3\n * x is not running\n";
        let started = ("state", Value::from("started"));
        assert_eq!(decide(std::slice::from_ref(&started), up), ["done: "]);
        let run = decide(&[started, ("enabled", true.into())], down);
        assert!(run[0].contains("update-rc.d x defaults"), "{run:?}");
        assert!(run[1].ends_with("mp_run start"), "{run:?}");
        let run = decide(&[("state", "restarted".into())], down);
        assert!(run[0].contains("mp_run stop; mp_one=$?"), "{run:?}");
    }

    #[test]
    fn jobs_of_upstart_are_enabled_by_their_override() {
        let up = "starts\ncontrol initctl\nstatus 0\nx start/running, process 1\n";
        assert_eq!(decide(&[("enabled", true.into())], up), ["done: "]);
        let run = decide(&[("enabled", false.into())], up);
        assert_eq!(run, ["echo manual >>/etc/init/x.override"]);
        assert!(decide(&[("state", "stopped".into())], up)[0].contains("initctl \"$1\" x"));
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        assert_eq!(
            decide(&[("state", "started".into())], ""),
            ["done: Could not find the requested service x: host"]
        );
    }

    #[test]
    fn the_probe_runs_here() {
        let step = plan(
            &Service,
            &[("name", "nope".into()), ("state", "started".into())],
            &Fake::default().fact("service_mgr", "sysvinit"),
        );
        let probes = step.probes();
        let seen = ask(&probes);
        let answer = seen.get(&probes[0]);
        assert!(
            matches!(answer, Some(Answer::Script { rc: 0, stderr, .. }) if stderr.is_empty()),
            "{answer:?}"
        );
        assert!(scripts(&step.decide(&seen))[0].contains("Could not find"));
    }

    #[test]
    fn without_facts_the_host_is_asked() {
        let step = plan(
            &Service,
            &[("name", "x".into()), ("state", "started".into())],
            &Fake::default(),
        );
        assert_eq!(step.probes(), [Probe::Script(MANAGER.into())]);
    }
}
