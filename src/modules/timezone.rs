//! `timezone`: `/etc/localtime`, `/etc/timezone`, and the hardware clock.

use super::rule::{self, Act, Rule};
use super::sh::quote;
use super::{
    Args, Chunk, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Spec,
    Step, Type,
};

/// `timezone`.
pub(crate) struct Timezone;

static SPEC: Spec = Spec {
    name: "timezone",
    collection: "community.general",
    aliases: &[],
    doc: "Sets the time zone",
    params: &[
        Param::new("name", Type::Str, "the zone, e.g. Europe/Berlin"),
        Param::new("hwclock", Type::Str, "what the hardware clock keeps")
            .choices(&["local", "UTC"])
            .aliases(&["rtc"]),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Timezone {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let (zone, clock) = (args.str("name"), args.str("hwclock"));
        if zone.is_none() && clock.is_none() {
            return Err(Failure::new(
                "one of the following is required: hwclock, name",
            ));
        }
        let file = format!("/usr/share/zoneinfo/{}", zone.as_deref().unwrap_or("UTC"));
        let script = format!(
            "[ -d /run/systemd/system ] && timedatectl >/dev/null 2>&1 && echo systemd || echo files\n\
             [ -f {file} ] && echo known || echo unknown\n\
             l=$(readlink /etc/localtime) && echo \"${{l##*/zoneinfo/}}\" || {{ cmp -s /etc/localtime {file} && echo {zone} || echo n/a; }}\n\
             cat /etc/timezone 2>/dev/null || echo -\n\
             sed -n 3p /etc/adjtime 2>/dev/null",
            file = quote(&file),
            zone = quote(zone.as_deref().unwrap_or("n/a")),
        );
        Rule::new(vec![Probe::Script(script.clone())], move |seen| {
            let (_, out) = rule::script(seen, &script)?;
            let mut lines = out.lines().map(str::trim);
            let mut next = || lines.next().unwrap_or_default();
            let (systemd, known, link, written, adjust) = (next() == "systemd", next() == "known", next(), next(), next());
            let mut outcome = Outcome::ok();
            let mut scripts = Vec::new();
            let mut messages = Vec::new();
            if let Some(zone) = &zone {
                // The link counts; the other file must agree where it is.
                let now = if link == zone && written != "-" && written != zone && !systemd { written } else { link };
                if now != zone {
                    if !known {
                        return Ok(Outcome::failed(format!("Error message:\ngiven timezone \"{zone}\" is not available")).into());
                    }
                    let zone_word = quote(zone);
                    scripts.push(if systemd {
                        messages.push(format!("executed `timedatectl set-timezone {zone}`"));
                        format!("timedatectl set-timezone {zone_word}")
                    } else {
                        format!("ln -sf {} /etc/localtime && printf '%s\\n' {zone_word} >/etc/timezone", quote(&file))
                    });
                    outcome = outcome.diff("name", format!("{now}\n"), format!("{zone}\n"));
                }
            }
            if let Some(clock) = &clock {
                let now = if adjust == "LOCAL" { "local" } else { "UTC" };
                if now != clock {
                    scripts.push(if systemd {
                        let yes = if clock == "local" { "yes" } else { "no" };
                        messages.push(format!("executed `timedatectl set-local-rtc {yes}`"));
                        format!("timedatectl set-local-rtc {yes}")
                    } else {
                        let kind = clock.to_uppercase();
                        format!(
                            "[ -e /etc/adjtime ] || printf '0.0 0 0.0\\n0\\nUTC\\n' >/etc/adjtime\nsed -i '3s/.*/{kind}/' /etc/adjtime"
                        )
                    });
                    outcome = outcome.diff("hwclock", format!("{now}\n"), format!("{clock}\n"));
                }
            }
            outcome.msg = Some(messages.join("\n"));
            if scripts.is_empty() {
                return Ok(outcome.into());
            }
            let effects = vec![Effect::Path("/etc/localtime".into()), Effect::Path("/etc/timezone".into())];
            let actions = scripts.into_iter().map(Chunk::new).collect();
            Ok(Act::change(actions, effects, outcome, "setting the time zone").into())
        })
        .step()
    }
}
