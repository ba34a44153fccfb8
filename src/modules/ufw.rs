//! `ufw`: rules of the uncomplicated firewall. What changed shows in its state and rules before and after.

use super::rule::{self, Act, Rule, Verdict};
use super::sh::{quote, strings};
use super::{
    Args, Chunk, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Seen,
    Spec, Step, Type,
};

/// `ufw`.
pub(crate) struct Ufw;

static UFW: Spec = Spec {
    name: "ufw",
    collection: "community.general",
    aliases: &[],
    doc: "Manages the uncomplicated firewall",
    params: &[
        Param::new("state", Type::Str, "on, off, again, or from scratch")
            .choices(&["enabled", "disabled", "reloaded", "reset"]),
        Param::new("default", Type::Str, "policy")
            .choices(&["allow", "deny", "reject"])
            .aliases(&["policy"]),
        Param::new("logging", Type::Str, "level of logging")
            .choices(&["full", "high", "low", "medium", "off", "on"]),
        Param::new("direction", Type::Str, "direction")
            .choices(&["in", "incoming", "out", "outgoing", "routed"]),
        Param::new("delete", Type::Bool, "remove the rule").default("false"),
        Param::new("route", Type::Bool, "a rule for forwarded packets").default("false"),
        Param::new("insert", Type::Int, "position of a new rule"),
        Param::new(
            "insert_relative_to",
            Type::Str,
            "from where the position counts",
        )
        .choices(&["zero", "first-ipv4", "last-ipv4", "first-ipv6", "last-ipv6"])
        .default("zero"),
        Param::new("rule", Type::Str, "the rule").choices(&["allow", "deny", "limit", "reject"]),
        Param::new("interface", Type::Str, "interface").aliases(&["if"]),
        Param::new("interface_in", Type::Str, "interface in").aliases(&["if_in"]),
        Param::new("interface_out", Type::Str, "interface out").aliases(&["if_out"]),
        Param::new("log", Type::Bool, "log new connections").default("false"),
        Param::new("from_ip", Type::Str, "source address")
            .aliases(&["from", "src"])
            .default("any"),
        Param::new("from_port", Type::Str, "source port"),
        Param::new("to_ip", Type::Str, "destination address")
            .aliases(&["dest", "to"])
            .default("any"),
        Param::new("to_port", Type::Str, "destination port").aliases(&["port"]),
        Param::new("proto", Type::Str, "protocol")
            .choices(&[
                "ah", "any", "esp", "ipv6", "tcp", "udp", "gre", "igmp", "vrrp",
            ])
            .aliases(&["protocol"]),
        Param::new("name", Type::Str, "application profile").aliases(&["app"]),
        Param::new("comment", Type::Str, "comment"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Ufw {
    fn spec(&self) -> &'static Spec {
        &UFW
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let commands = commands(args)?;
        let state = args.str("state");
        let logging = args.str("logging");
        let number = args
            .int("insert")
            .filter(|_| !args.bool("delete"))
            .map(|n| (n, args.text("insert_relative_to")));
        Rule::new(vec![Probe::Script(BEFORE.into())], move |seen: &Seen| {
            let (rc, before) = rule::script(seen, BEFORE)?;
            if rc != 0 {
                return Ok(Outcome::failed(before.trim()).into());
            }
            let insert = number
                .as_ref()
                .and_then(|(number, from)| position(&before, *number, from));
            let commands: Vec<String> = commands
                .iter()
                .map(|command| match insert {
                    Some(at) => command.replace("@INSERT@", &format!("insert {at} ")),
                    None => command.replace("@INSERT@", ""),
                })
                .collect();
            let shown = strings(
                commands
                    .iter()
                    .map(|command| format!("/usr/sbin/ufw {command}")),
            );
            let certain = matches!(state.as_deref(), Some("reloaded" | "reset"))
                || logging
                    .as_deref()
                    .is_some_and(|level| relogs(&before, level));
            let body: String = commands
                .iter()
                .map(|command| format!("ufw {command} </dev/null >/dev/null || exit\n"))
                .collect();
            let script = format!("PATH=$PATH:/usr/sbin:/sbin; export LANG=C\n{body}{STATE}");
            let outcome = Outcome::ok().with("commands", shown);
            let mut act = Act::change(
                vec![Chunk::new(script)],
                vec![Effect::Anything],
                outcome,
                "ufw",
            );
            act.outcome = act.outcome.with("certain", certain);
            act.opaque = !certain;
            Ok(Verdict::from(act))
        })
        .finish(|mut outcome, before, replies, _| {
            let after = replies.first().map(super::Reply::out).unwrap_or_default();
            let before = super::sh::answer(before, BEFORE).map_or_else(String::new, |(_, out)| out);
            let certain = outcome
                .data
                .shift_remove("certain")
                .is_some_and(|certain| certain.is_true());
            let state = |text: &str| {
                text.split("\n@numbers\n")
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            };
            outcome.changed = certain || state(&before) != state(&after);
            let shown = after
                .split("\n@rules\n")
                .next()
                .unwrap_or_default()
                .trim_end()
                .to_owned();
            outcome.msg(shown)
        })
        .step()
    }
}

/// The firewall's state, its rules, and their numbers.
const STATE: &str = "ufw status verbose; echo; echo @rules
grep -hs '^### tuple' /lib/ufw/user.rules /lib/ufw/user6.rules /etc/ufw/user.rules /etc/ufw/user6.rules /var/lib/ufw/user.rules /var/lib/ufw/user6.rules
echo; echo @numbers; ufw status numbered";
const BEFORE: &str = "PATH=$PATH:/usr/sbin:/sbin; export LANG=C
command -v ufw >/dev/null || { echo 'Failed to find required executable \"ufw\"'; exit 1; }
ufw status verbose; echo; echo @rules
grep -hs '^### tuple' /lib/ufw/user.rules /lib/ufw/user6.rules /etc/ufw/user.rules /etc/ufw/user6.rules /var/lib/ufw/user.rules /var/lib/ufw/user6.rules
echo; echo @numbers; ufw status numbered";

/// Whether the level of logging is another.
fn relogs(state: &str, wanted: &str) -> bool {
    let Some(line) = state
        .lines()
        .find_map(|line| line.strip_prefix("Logging: "))
    else {
        return true;
    };
    let (on, level) = line.split_once(' ').unwrap_or((line, ""));
    let level = level.trim_matches(['(', ')']);
    match wanted {
        "off" => on != "off",
        "on" => on == "off",
        wanted => on == "off" || wanted != level,
    }
}

/// The number that a position from somewhere means; none beyond the end.
fn position(state: &str, number: i64, from: &str) -> Option<i64> {
    if from == "zero" {
        return Some(number);
    }
    let lines: Vec<(i64, bool)> = state
        .lines()
        .filter_map(|line| {
            let (n, rest) = line.strip_prefix('[')?.split_once(']')?;
            Some((n.trim().parse().ok()?, rest.contains("(v6)")))
        })
        .collect();
    let last = lines.iter().map(|(n, _)| *n).max().unwrap_or(0);
    let last4 = lines.iter().filter(|(_, v6)| !v6).map(|(n, _)| *n).max();
    let has6 = lines.iter().any(|(_, v6)| *v6);
    let base = match from {
        "first-ipv4" => 1,
        "last-ipv4" => last4.unwrap_or(1),
        "first-ipv6" => last4.map_or(1, |n| n + 1),
        _ if has6 => last,
        _ => last + 1,
    };
    Some(number + base).filter(|at| *at <= last)
}

/// ufw's arguments, one command each. The rule's position comes later.
fn commands(args: &Args) -> Result<Vec<String>, Failure> {
    let direction = args.str("direction");
    if !["state", "default", "rule", "logging"]
        .iter()
        .any(|name| args.has(name))
    {
        return Err(Failure::new(
            "one of the following is required: state, default, rule, logging",
        ));
    }
    if args.has("interface") && direction.is_none() {
        return Err(Failure::of(
            "interface",
            "missing parameter(s) required by 'interface': direction",
        ));
    }
    if direction.is_some() && (args.has("interface_in") || args.has("interface_out")) {
        return Err(Failure::of(
            "direction",
            "parameters are mutually exclusive: direction|interface_in, direction|interface_out",
        ));
    }
    let mut commands = Vec::new();
    if let Some(state) = args.str("state") {
        let verb = match state.as_str() {
            "enabled" => "enable",
            "disabled" => "disable",
            "reloaded" => "reload",
            _ => "reset",
        };
        commands.push(format!("-f {verb}"));
    }
    if let Some(policy) = args.str("default") {
        if matches!(direction.as_deref(), Some("in" | "out")) {
            return Err(Failure::of(
                "direction",
                "For default, direction must be one of \"outgoing\", \"incoming\" and \"routed\", or direction must not be specified.",
            ));
        }
        let direction = direction
            .as_ref()
            .map_or(String::new(), |direction| format!(" {direction}"));
        commands.push(format!("default {policy}{direction}"));
    }
    if let Some(rule) = args.str("rule") {
        if matches!(
            direction.as_deref(),
            Some("incoming" | "outgoing" | "routed")
        ) {
            return Err(Failure::of(
                "direction",
                "For rules, direction must be one of \"in\" and \"out\", or direction must not be specified.",
            ));
        }
        if !args.bool("route") && args.has("interface_in") && args.has("interface_out") {
            return Err(Failure::new(
                "Only route rules can combine interface_in and interface_out",
            ));
        }
        let mut words = String::new();
        let mut word = |text: String| {
            if !words.is_empty() && !words.ends_with("@INSERT@") {
                words.push(' ');
            }
            words.push_str(&text);
        };
        if args.bool("route") {
            word("route".into());
        }
        if args.bool("delete") {
            word("delete".into());
        }
        if args.has("insert") && !args.bool("delete") {
            word("@INSERT@".into());
        }
        word(rule);
        if let Some(direction) = direction {
            word(direction);
        }
        for (name, text) in [
            ("interface", "on"),
            ("interface_in", "in on"),
            ("interface_out", "out on"),
        ] {
            if let Some(value) = args.str(name) {
                word(format!("{text} {}", quote(&value)));
            }
        }
        if args.bool("log") {
            word("log".into());
        }
        for (name, text) in [
            ("from_ip", "from"),
            ("from_port", "port"),
            ("to_ip", "to"),
            ("to_port", "port"),
            ("proto", "proto"),
            ("name", "app"),
            ("comment", "comment"),
        ] {
            if let Some(value) = args.str(name).filter(|value| !value.is_empty()) {
                word(format!("{text} {}", quote(&value)));
            }
        }
        commands.push(words);
    }
    if let Some(level) = args.str("logging") {
        commands.push(format!("logging {level}"));
    }
    Ok(commands)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::testing::args;
    use minijinja::Value;

    #[test]
    fn rules_of_ufw_are_in_the_long_form() {
        let of = |given: &[(&str, Value)]| commands(&args(&Ufw, given)).unwrap();
        assert_eq!(
            of(&[
                ("rule", "allow".into()),
                ("port", "22".into()),
                ("proto", "tcp".into()),
                ("comment", "a b".into())
            ]),
            ["allow from any to any port 22 proto tcp comment 'a b'"]
        );
        assert_eq!(
            of(&[
                ("rule", "deny".into()),
                ("insert", 1.into()),
                ("from_ip", "10.0.0.1".into())
            ]),
            ["@INSERT@deny from 10.0.0.1 to any"]
        );
        assert_eq!(
            of(&[("state", "enabled".into()), ("policy", "deny".into())]),
            ["-f enable", "default deny"]
        );
    }

    #[test]
    fn positions_count_from_somewhere() {
        let state = "[ 1] 22 ALLOW\n[ 2] 80 ALLOW\n[ 3] 22 (v6) ALLOW\n";
        assert_eq!(position(state, 0, "first-ipv6"), Some(3));
        assert_eq!(position(state, 0, "last-ipv4"), Some(2));
        assert_eq!(position(state, 1, "last-ipv6"), None);
        assert_eq!(position(state, 2, "zero"), Some(2));
    }
}
