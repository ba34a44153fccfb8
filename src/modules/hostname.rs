//! `hostname`: the running and the permanent name.

use super::rule::{self, Act, Rule};
use super::sh::quote;
use super::{
    Args, Chunk, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Spec,
    Step, Type,
};
use minijinja::Value;

/// `hostname`.
pub(crate) struct Hostname;

static SPEC: Spec = Spec {
    name: "hostname",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Sets the host's name",
    params: &[
        Param::new("name", Type::Str, "the name").required(),
        Param::new("use", Type::Str, "how; found out if not given").choices(&[
            "alpine", "debian", "freebsd", "generic", "macos", "macosx", "darwin", "openbsd",
            "openrc", "redhat", "sles", "solaris", "systemd",
        ]),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

/// The running name, whether there is a systemd to ask, the permanent name.
const NAMES: &str = "read -r n </proc/sys/kernel/hostname; echo \"$n\"
[ -d /run/systemd/system ] && command -v hostnamectl >/dev/null && echo systemd || echo files
cat /etc/hostname 2>/dev/null || :";

impl Module for Hostname {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let name = args.text("name");
        let how = args.str("use");
        if how
            .as_deref()
            .is_some_and(|how| !matches!(how, "systemd" | "debian" | "generic"))
        {
            return Err(Failure::of(
                "use",
                "only `systemd`, `debian` and `generic` are supported",
            ));
        }
        Rule::new(vec![Probe::Script(NAMES.into())], move |seen| {
            let (_, out) = rule::script(seen, NAMES)?;
            let mut lines = out.lines();
            let (running, found) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
            let permanent = lines.next().unwrap_or_default().trim();
            let systemd = match how.as_deref() {
                Some(how) => how == "systemd",
                None => found == "systemd",
            };
            let short = name.split('.').next().unwrap_or_default();
            let domain = name.split_once('.').map_or("", |(_, domain)| domain);
            let mut outcome = Outcome::ok().with("name", name.as_str());
            for (fact, value) in [("hostname", short), ("nodename", &name), ("fqdn", &name), ("domain", domain)] {
                outcome.facts.insert(fact.into(), Value::from(value));
            }
            let mut scripts = Vec::new();
            if running != name {
                scripts.push(if systemd {
                    format!("hostnamectl --transient set-hostname -- {}", quote(&name))
                } else {
                    format!("hostname -- {} || printf '%s\\n' {} >/proc/sys/kernel/hostname", quote(&name), quote(&name))
                });
            }
            if permanent != name {
                if systemd && name.len() > 64 {
                    return Ok(Outcome::failed("name cannot be longer than 64 characters on systemd servers, try a shorter name").into());
                }
                scripts.push(if systemd {
                    format!("hostnamectl --static set-hostname -- {}", quote(&name))
                } else {
                    format!("printf '%s\\n' {} >/etc/hostname", quote(&name))
                });
            }
            if scripts.is_empty() {
                return Ok(outcome.into());
            }
            let before = if running == name { permanent } else { running };
            let outcome = outcome.diff("hostname", format!("hostname = {before}\n"), format!("hostname = {name}\n"));
            let actions = scripts.into_iter().map(Chunk::new).collect();
            let effects = vec![Effect::Path("/etc/hostname".into())];
            Ok(Act::change(actions, effects, outcome, "setting the host's name").into())
        })
        .step()
    }
}
