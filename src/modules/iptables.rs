//! `iptables`: rules of the firewall, checked with `-C` before they are touched.

use super::rule::{self, Act, Known, Rule};
use super::sh::{join, quote};
use super::{
    Args, Chunk, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Spec,
    Step, Type,
};

/// `iptables`.
pub(crate) struct Iptables;

static IPTABLES: Spec = Spec {
    name: "iptables",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Manages rules of iptables",
    params: &[
        Param::new("table", Type::Str, "table")
            .choices(&["filter", "nat", "mangle", "raw", "security"])
            .default("filter"),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["absent", "present"])
            .default("present"),
        Param::new("action", Type::Str, "where a new rule goes")
            .choices(&["append", "insert"])
            .default("append"),
        Param::new("rule_num", Type::Str, "position to insert at"),
        Param::new("ip_version", Type::Str, "which protocol")
            .choices(&["ipv4", "ipv6", "both"])
            .default("ipv4"),
        Param::new("chain", Type::Str, "chain"),
        Param::new("protocol", Type::Str, "protocol"),
        Param::new("wait", Type::Str, "seconds to wait for the lock"),
        Param::new("source", Type::Str, "source address"),
        Param::new("to_source", Type::Str, "for SNAT"),
        Param::new("destination", Type::Str, "destination address"),
        Param::new("to_destination", Type::Str, "for DNAT"),
        Param::new("match", Type::List, "extensions to load"),
        Param::new("tcp_flags", Type::Dict, "flags and flags_set"),
        Param::new("jump", Type::Str, "target"),
        Param::new("gateway", Type::Str, "for TEE"),
        Param::new("log_prefix", Type::Str, "for LOG"),
        Param::new("log_level", Type::Str, "for LOG").choices(&[
            "0", "1", "2", "3", "4", "5", "6", "7", "emerg", "alert", "crit", "error", "warning",
            "notice", "info", "debug",
        ]),
        Param::new("goto", Type::Str, "chain to go to"),
        Param::new("in_interface", Type::Str, "interface in"),
        Param::new("out_interface", Type::Str, "interface out"),
        Param::new("fragment", Type::Str, "fragments"),
        Param::new("set_counters", Type::Str, "counters of a new rule"),
        Param::new("source_port", Type::Str, "source port"),
        Param::new("destination_port", Type::Str, "destination port"),
        Param::new("destination_ports", Type::List, "destination ports"),
        Param::new("to_ports", Type::Str, "for REDIRECT"),
        Param::new("set_dscp_mark", Type::Str, "for DSCP"),
        Param::new("set_dscp_mark_class", Type::Str, "for DSCP"),
        Param::new("comment", Type::Str, "comment"),
        Param::new("ctstate", Type::List, "states of the connection"),
        Param::new("src_range", Type::Str, "range of source addresses"),
        Param::new("dst_range", Type::Str, "range of destination addresses"),
        Param::new("match_set", Type::Str, "set of ipset"),
        Param::new("match_set_flags", Type::Str, "which address is in the set")
            .choices(&["src", "dst", "src,dst", "dst,src", "src,src", "dst,dst"]),
        Param::new("limit", Type::Str, "rate"),
        Param::new("limit_burst", Type::Str, "burst of the rate"),
        Param::new("uid_owner", Type::Str, "user that sends"),
        Param::new("gid_owner", Type::Str, "group that sends"),
        Param::new("reject_with", Type::Str, "how to reject"),
        Param::new("icmp_type", Type::Str, "type of ICMP"),
        Param::new("syn", Type::Str, "first packets of connections")
            .choices(&["ignore", "match", "negate"])
            .default("ignore"),
        Param::new("flush", Type::Bool, "remove all rules").default("false"),
        Param::new("policy", Type::Str, "policy of the chain")
            .choices(&["ACCEPT", "DROP", "QUEUE", "RETURN"]),
        Param::new("chain_management", Type::Bool, "make or remove the chain").default("false"),
        Param::new(
            "numeric",
            Type::Bool,
            "no effect: names are never looked up",
        )
        .default("false"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Iptables {
    fn spec(&self) -> &'static Spec {
        &IPTABLES
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let flush = args.bool("flush");
        if !flush && !args.has("chain") {
            return Err(Failure::new(
                "flush is False but all of the following are missing: chain",
            ));
        }
        if flush && args.has("policy") {
            return Err(Failure::new(
                "parameters are mutually exclusive: flush|policy",
            ));
        }
        let tee = args.text("jump").eq_ignore_ascii_case("tee");
        if tee && !args.has("gateway") {
            return Err(Failure::of(
                "gateway",
                "jump is TEE but all of the following are missing: gateway",
            ));
        }
        let mut args = args.clone();
        if args.has("log_prefix") || args.has("log_level") {
            match args.str("jump").as_deref() {
                None => args = args.replace("jump", "LOG".into()),
                Some("LOG") => {}
                Some(_) => {
                    return Err(Failure::of(
                        "jump",
                        "Logging options can only be used with the LOG jump target.",
                    ));
                }
            }
        }
        let tools: &[&str] = match args.text("ip_version").as_str() {
            "both" => &["iptables", "ip6tables"],
            "ipv6" => &["ip6tables"],
            _ => &["iptables"],
        };
        let tables: Vec<Table> = tools.iter().map(|tool| Table::new(tool, &args)).collect();
        let outcome = Outcome::ok()
            .with("ip_version", args.text("ip_version"))
            .with("table", args.text("table"))
            .with("chain", args.str("chain"))
            .with("flush", flush)
            .with("rule", tables.first().map(|table| table.rule.join(" ")))
            .with("state", args.text("state"))
            .with("chain_management", args.bool("chain_management"))
            .with("wait", args.str("wait"));
        let probes = tables
            .iter()
            .map(|table| Probe::Script(table.look()))
            .collect();
        Rule::new(probes, move |seen| {
            let mut actions = Vec::new();
            let mut differs = false;
            for table in &tables {
                let (rc, out) = rule::script(seen, &table.look())?;
                if rc == 127 {
                    return Ok(Outcome::failed(format!(
                        "Failed to find required executable \"{}\"",
                        table.tool
                    ))
                    .into());
                }
                let (other, script) = table.judge(rc == 0, &out)?;
                differs |= other;
                actions.extend(script.map(Chunk::new));
            }
            if actions.is_empty() {
                let mut outcome = outcome.clone();
                // A chain that Ansible is not told to manage counts as changed all the same.
                outcome.changed = differs;
                return Ok(outcome.into());
            }
            Ok(Act::change(actions, vec![Effect::Anything], outcome.clone(), "iptables").into())
        })
        .step()
    }
}

/// What is wanted of one protocol's tables.
struct Table {
    tool: &'static str,
    prefix: String,
    chain: String,
    rule: Vec<String>,
    number: Option<String>,
    insert: bool,
    present: bool,
    flush: bool,
    policy: Option<String>,
    manage: bool,
}

impl Table {
    fn new(tool: &'static str, args: &Args) -> Self {
        let wait = args
            .str("wait")
            .map_or(String::new(), |seconds| format!(" -w {}", quote(&seconds)));
        Self {
            tool,
            prefix: format!(
                "PATH=$PATH:/usr/sbin:/sbin; {tool}{wait} -t {}",
                args.text("table")
            ),
            chain: args
                .str("chain")
                .map_or(String::new(), |chain| quote(&chain)),
            rule: rule(args, tool == "ip6tables"),
            number: args.str("rule_num"),
            insert: args.text("action") == "insert",
            present: args.text("state") == "present",
            flush: args.bool("flush"),
            policy: args.str("policy"),
            manage: args.bool("chain_management"),
        }
    }

    /// Whether it is as wanted: a rule is checked, a chain listed.
    fn look(&self) -> String {
        let check = if self.flush {
            ":".to_owned()
        } else if self.policy.is_some() || self.rule.is_empty() {
            format!("{} -n -L {}", self.prefix, self.chain)
        } else {
            format!("{} -C {} {}", self.prefix, self.chain, join(&self.rule))
        };
        format!(
            "PATH=$PATH:/usr/sbin:/sbin; command -v {} >/dev/null || exit 127\n{check} 2>/dev/null",
            self.tool
        )
    }

    /// Whether it differs, and the command that settles it.
    fn judge(&self, there: bool, out: &str) -> Known<(bool, Option<String>)> {
        let command = |rest: String| Some(format!("{} {rest}", self.prefix));
        if self.flush {
            return Ok((true, command(format!("-F {}", self.chain))));
        }
        if let Some(policy) = &self.policy {
            let head = out.lines().next().unwrap_or_default();
            let current = head
                .split_once("(policy ")
                .and_then(|(_, rest)| rest.split([' ', ')']).next());
            let Some(current) = current else {
                return Err(Outcome::failed("Can't detect current policy").into());
            };
            if current == policy {
                return Ok((false, None));
            }
            return Ok((true, command(format!("-P {} {policy}", self.chain))));
        }
        if there == self.present {
            return Ok((false, None));
        }
        if self.rule.is_empty() {
            let verb = if self.present { "-N" } else { "-X" };
            return Ok((
                true,
                command(format!("{verb} {}", self.chain)).filter(|_| self.manage),
            ));
        }
        let number = self
            .number
            .as_deref()
            .filter(|_| self.insert)
            .map_or(String::new(), |n| format!(" {n}"));
        let verb = match (self.present, self.insert) {
            (false, _) => "-D",
            (true, true) => "-I",
            (true, false) => "-A",
        };
        Ok((
            true,
            command(format!(
                "{verb} {}{number} {}",
                self.chain,
                join(&self.rule)
            )),
        ))
    }
}

/// A rule's words, in Ansible's order.
fn rule(args: &Args, v6: bool) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let matches = args.strings("match");
    let matched = |name: &str| matches.iter().any(|m| m == name);
    let jump = args.str("jump");
    let flag = |words: &mut Vec<String>, flag: &str, value: Option<String>| {
        if let Some(value) = value {
            if let Some(rest) = value.strip_prefix('!') {
                words.extend(["!".into(), flag.into(), rest.to_owned()]);
            } else {
                words.extend([flag.to_owned(), value]);
            }
        }
    };
    let given = |name: &str| args.str(name).filter(|value| !value.is_empty());
    let load = |words: &mut Vec<String>, wanted: bool, name: &str| {
        if wanted {
            words.extend(["-m".into(), name.to_owned()]);
        }
    };
    let csv = |name: &str| Some(args.strings(name).join(",")).filter(|list| !list.is_empty());
    flag(&mut words, "-p", given("protocol"));
    flag(&mut words, "-s", given("source"));
    flag(&mut words, "-d", given("destination"));
    for name in &matches {
        flag(&mut words, "-m", Some(name.clone()));
    }
    if let Some(flags) = args.get("tcp_flags") {
        let list = |key: &str| {
            let items = flags
                .get_attr(key)
                .ok()
                .and_then(|items| items.try_iter().ok().map(Iterator::collect::<Vec<_>>));
            items.map(|items| {
                items
                    .iter()
                    .map(super::args::text)
                    .collect::<Vec<_>>()
                    .join(",")
            })
        };
        if let (Some(all), Some(set)) = (list("flags"), list("flags_set")) {
            words.extend(["--tcp-flags".into(), all, set]);
        }
    }
    flag(&mut words, "-j", jump.clone());
    if jump
        .as_deref()
        .is_some_and(|jump| jump.eq_ignore_ascii_case("tee"))
    {
        flag(&mut words, "--gateway", given("gateway"));
    }
    flag(&mut words, "--log-prefix", given("log_prefix"));
    flag(&mut words, "--log-level", given("log_level"));
    flag(&mut words, "--to-destination", given("to_destination"));
    load(&mut words, csv("destination_ports").is_some(), "multiport");
    if let Some(ports) = csv("destination_ports") {
        words.extend(["--dports".into(), ports]);
    }
    for (name, option) in [
        ("to_source", "--to-source"),
        ("goto", "-g"),
        ("in_interface", "-i"),
        ("out_interface", "-o"),
        ("fragment", "-f"),
        ("set_counters", "-c"),
        ("source_port", "--source-port"),
        ("destination_port", "--destination-port"),
        ("to_ports", "--to-ports"),
        ("set_dscp_mark", "--set-dscp"),
        ("set_dscp_mark_class", "--set-dscp-class"),
    ] {
        flag(&mut words, option, given(name));
    }
    match args.text("syn").as_str() {
        "match" => words.push("--syn".into()),
        "negate" => words.extend(["!".into(), "--syn".into()]),
        _ => {}
    }
    if let Some(states) = csv("ctstate") {
        let option = if !matched("conntrack") && matched("state") {
            "--state"
        } else {
            "--ctstate"
        };
        load(
            &mut words,
            !matched("conntrack") && !matched("state"),
            "conntrack",
        );
        words.extend([option.into(), states]);
    }
    let ranged = args.has("src_range") || args.has("dst_range");
    load(&mut words, ranged && !matched("iprange"), "iprange");
    flag(&mut words, "--src-range", given("src_range"));
    flag(&mut words, "--dst-range", given("dst_range"));
    load(&mut words, args.has("match_set") && !matched("set"), "set");
    flag(&mut words, "--match-set", given("match_set"));
    words.extend(given("match_set_flags").filter(|_| args.has("match_set")));
    load(
        &mut words,
        args.has("limit") || args.has("limit_burst"),
        "limit",
    );
    flag(&mut words, "--limit", given("limit"));
    flag(&mut words, "--limit-burst", given("limit_burst"));
    for (name, option) in [("uid_owner", "--uid-owner"), ("gid_owner", "--gid-owner")] {
        load(&mut words, args.has(name), "owner");
        flag(&mut words, option, given(name));
    }
    if jump.is_none() && args.has("reject_with") {
        words.extend(["-j".into(), "REJECT".into()]);
    }
    flag(&mut words, "--reject-with", given("reject_with"));
    flag(
        &mut words,
        if v6 { "--icmpv6-type" } else { "--icmp-type" },
        given("icmp_type"),
    );
    load(&mut words, args.has("comment"), "comment");
    flag(&mut words, "--comment", given("comment"));
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::testing::args;

    #[test]
    fn rules_of_iptables_are_in_ansibles_order() {
        let given = args(
            &Iptables,
            &[
                ("chain", "INPUT".into()),
                ("protocol", "tcp".into()),
                ("source", "!10.0.0.0/8".into()),
                ("destination_ports", vec!["80", "443"].into()),
                ("ctstate", vec!["NEW", "ESTABLISHED"].into()),
                ("jump", "ACCEPT".into()),
                ("comment", "web it".into()),
            ],
        );
        let table = Table::new("iptables", &given);
        assert_eq!(
            table.rule.join(" "),
            "-p tcp ! -s 10.0.0.0/8 -j ACCEPT -m multiport --dports 80,443 -m conntrack --ctstate NEW,ESTABLISHED -m comment --comment web it"
        );
        let (differs, script) = table.judge(false, "").ok().unwrap();
        assert!(differs && script.unwrap().contains("-t filter -A INPUT -p tcp"));
        assert!(table.judge(true, "").ok().unwrap().1.is_none());
    }
}
