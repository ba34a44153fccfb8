//! `wait_for`: a port, a file, or just some time. Waits on the host, in bash, which knows sockets.

use super::rule::{Act, Rule};
use super::sh::{quote, strings};
use super::{
    Args, Chunk, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Runs, Spec, Step,
    Type,
};
use minijinja::Value;

/// `wait_for`.
pub(crate) struct WaitFor;

static SPEC: Spec = Spec {
    name: "wait_for",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Waits for a port, a file or a while",
    params: &[
        Param::new("host", Type::Str, "whose port").default("127.0.0.1"),
        Param::new("timeout", Type::Int, "most seconds to wait").default("300"),
        Param::new(
            "connect_timeout",
            Type::Int,
            "most seconds for one connection",
        )
        .default("5"),
        Param::new("delay", Type::Int, "seconds before the first look").default("0"),
        Param::new("port", Type::Int, "port to look at"),
        Param::new(
            "active_connection_states",
            Type::List,
            "states of connections that count for `drained`",
        )
        .default("ESTABLISHED,FIN_WAIT1,FIN_WAIT2,SYN_RECV,SYN_SENT,TIME_WAIT"),
        Param::new("path", Type::Path, "file to look for"),
        Param::new(
            "search_regex",
            Type::Str,
            "what the file or the port's answer must match",
        ),
        Param::new("state", Type::Str, "what to wait for")
            .choices(&["absent", "drained", "present", "started", "stopped"])
            .default("started"),
        Param::new(
            "exclude_hosts",
            Type::List,
            "hosts whose connections do not count for `drained`",
        ),
        Param::new("sleep", Type::Int, "seconds between two looks").default("1"),
        Param::new("msg", Type::Str, "message when it takes too long"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

const STATES: &[(&str, &str)] = &[
    ("ESTABLISHED", "01"),
    ("SYN_SENT", "02"),
    ("SYN_RECV", "03"),
    ("FIN_WAIT1", "04"),
    ("FIN_WAIT2", "05"),
    ("TIME_WAIT", "06"),
];

impl Module for WaitFor {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn only_looks(&self) -> bool {
        true
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let state = args.text("state");
        let (port, path) = (args.int("port"), args.str("path"));
        if port.is_some() && path.is_some() {
            return Err(Failure::new(
                "port and path parameter can not both be passed to wait_for",
            ));
        }
        if path.is_some() && matches!(state.as_str(), "stopped" | "drained") {
            return Err(Failure::of(
                "state",
                format!(
                    "state={state} should only be used for checking a port in the wait_for module"
                ),
            ));
        }
        if args.has("exclude_hosts") && state != "drained" {
            return Err(Failure::of(
                "exclude_hosts",
                "exclude_hosts should only be with state=drained",
            ));
        }
        let script = script(args, &state)?;
        let regex = args.str("search_regex");
        let late = args.str("msg").unwrap_or_else(|| {
            late(
                &state,
                &args.text("host"),
                port,
                path.as_deref(),
                regex.as_deref(),
            )
        });
        let check = controller.check_mode();
        let step = Rule::new(Vec::new(), move |_| {
            if check {
                let mut outcome =
                    Outcome::ok().msg("remote module (wait_for) does not support check mode");
                outcome.skipped = true;
                return Ok(outcome.into());
            }
            let outcome = Outcome::ok()
                .with("state", state.as_str())
                .with("port", port)
                .with("search_regex", regex.clone())
                .with("match_groups", strings(Vec::<String>::new()))
                .with(
                    "match_groupdict",
                    Value::from_pairs(Vec::<(String, Value)>::new()),
                )
                .with("path", path.clone());
            Ok(Act {
                // It only looks, but what it waits for may change anything.
                effects: vec![Effect::Anything],
                actions: vec![Chunk::new(script.as_str())],
                outcome,
                what: String::new(),
                opaque: true,
            }
            .into())
        })
        .finish(|outcome, _, replies, _| {
            let out = replies.first().map(super::Reply::out).unwrap_or_default();
            with_groups(outcome, &out)
        })
        .step()?;
        Ok(Box::new(Waiting { step, late }))
    }
}

/// The rule, with Ansible's words for its failures.
struct Waiting {
    step: Box<dyn Step>,
    late: String,
}

impl Step for Waiting {
    fn probes(&self) -> Vec<super::Probe> {
        self.step.probes()
    }

    fn decide(&self, seen: &super::Seen) -> super::Decision {
        self.step.decide(seen)
    }

    fn finish(
        &self,
        before: &super::Seen,
        replies: &[super::Reply],
        after: &super::Seen,
    ) -> Outcome {
        let Some(bad) = replies.iter().find(|reply| reply.ran && reply.rc != 0) else {
            return self.step.finish(before, replies, after);
        };
        let out = bad.out();
        let elapsed = out
            .lines()
            .find_map(|line| line.strip_prefix("elapsed ")?.parse::<i64>().ok());
        let cause = bad.err();
        let msg = if bad.rc == 75 || bad.timed_out || cause.trim().is_empty() {
            self.late.clone()
        } else {
            cause.trim().to_owned()
        };
        Outcome::failed(msg).with(
            "elapsed",
            elapsed.unwrap_or_else(|| bad.elapsed.as_secs().try_into().unwrap_or(0)),
        )
    }
}

fn late(
    state: &str,
    host: &str,
    port: Option<i64>,
    path: Option<&str>,
    regex: Option<&str>,
) -> String {
    match (state, port, path, regex) {
        ("drained", Some(port), ..) => format!("Timeout when waiting for {host}:{port} to drain"),
        ("absent" | "stopped", Some(port), ..) => {
            format!("Timeout when waiting for {host}:{port} to stop.")
        }
        ("absent" | "stopped", _, Some(path), _) => {
            format!("Timeout when waiting for {path} to be absent.")
        }
        (_, Some(port), _, Some(regex)) => {
            format!("Timeout when waiting for search string {regex} in {host}:{port}")
        }
        (_, Some(port), ..) => format!("Timeout when waiting for {host}:{port}"),
        (_, _, Some(path), Some(regex)) => {
            format!("Timeout when waiting for search string {regex} in {path}")
        }
        (_, _, Some(path), None) => format!("Timeout when waiting for file {path}"),
        _ => "Timeout".into(),
    }
}

/// Groups that the script printed: `group VALUE` and `named NAME VALUE` lines, and `elapsed`.
fn with_groups(mut outcome: Outcome, out: &str) -> Outcome {
    let mut groups = Vec::new();
    let mut named: Vec<(String, Value)> = Vec::new();
    for line in out.lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        match key {
            "elapsed" => outcome = outcome.with("elapsed", value.parse::<i64>().unwrap_or(0)),
            "group" => groups.push(value.to_owned()),
            "named" => {
                if let Some((name, value)) = value.split_once(' ') {
                    named.push((name.into(), Value::from(value)));
                }
            }
            _ => {}
        }
    }
    if !groups.is_empty() {
        outcome = outcome.with("match_groups", strings(groups));
    }
    if !named.is_empty() {
        outcome = outcome.with("match_groupdict", Value::from_pairs(named));
    }
    outcome
}

/// Python's and Perl's regular expressions differ little; named groups are read from both.
const MATCH: &str = r#"mp_match() {
  perl -e '
    my $re = shift; local $/; my $data = <STDIN>; $data = "" unless defined $data;
    $data =~ /$re/m or exit 1;
    for (1 .. $#+) { my $g = substr($data, $-[$_], $+[$_] - $-[$_]) if defined $-[$_]; $g = "" unless defined $g; $g =~ s/\n/ /g; print "group $g\n" }
    for (sort keys %+) { my $g = $+{$_}; $g =~ s/\n/ /g; print "named $_ $g\n" }' -- "$regex"
}
"#;

fn script(args: &Args, state: &str) -> Result<String, Failure> {
    let int = |name: &str| args.int(name).unwrap_or(0).max(0);
    let (delay, timeout, sleep) = (int("delay"), int("timeout"), int("sleep"));
    let mut text = String::from("SECONDS=0\ndone_() { echo \"elapsed $SECONDS\"; exit \"$1\"; }\n");
    if delay > 0 {
        text.push_str(&format!("sleep {delay}\n"));
    }
    let connect = int("connect_timeout").max(1);
    let host = quote(&args.text("host"));
    let regex = args.str("search_regex");
    if let Some(regex) = &regex {
        text.push_str(&format!("regex={}\n{MATCH}", quote(regex)));
    }
    let look = match (state, args.int("port"), args.str("path")) {
        ("drained", Some(port), _) => drained(args, port)?,
        (_, Some(port), _) => {
            // A socket is tried in a process of its own, which can be given up.
            let tcp = |body: &str| {
                format!(
                    "timeout {connect} bash -c 'exec 3<>\"/dev/tcp/$0/$1\" {body}' {host} {port} 2>/dev/null"
                )
            };
            match (state, &regex) {
                ("absent" | "stopped", _) => format!("! {}", tcp("")),
                (_, Some(_)) => {
                    let left = format!("timeout $(({timeout} - SECONDS + 1))");
                    format!(
                        "{{ {} 2>/dev/null; }} | mp_match",
                        format_args!(
                            "{left} bash -c 'exec 3<>\"/dev/tcp/$0/$1\" || exit; b=; while IFS= read -r -t 2 -d \"\" -n 1024 c <&3 || [ -n \"$c\" ]; do b=$b$c; printf %s \"$c\"; c=; done' {host} {port}"
                        )
                    )
                }
                _ => tcp(""),
            }
        }
        ("absent", None, Some(path)) => format!("[ ! -e {} ]", super::sh::expanding(&path, false)),
        (_, None, Some(path)) => {
            let path = super::sh::expanding(&path, false);
            match &regex {
                Some(_) => format!("[ -e {path} ] && mp_match <{path} 2>/dev/null"),
                None => format!("[ -e {path} ]"),
            }
        }
        (_, None, None) => {
            text.push_str(&format!("sleep {timeout}\ndone_ 0\n"));
            return Ok(in_bash(&text));
        }
    };
    text.push_str(&format!(
        "while [ $SECONDS -lt {timeout} ]; do\n  if {look}; then done_ 0; fi\n  sleep {sleep}\ndone\ndone_ 75\n"
    ));
    Ok(in_bash(&text))
}

/// The script in bash, without the files that it would read first.
fn in_bash(text: &str) -> String {
    format!("exec bash --norc --noprofile -c {}", quote(text))
}

/// Looks for connections of a port in the kernel's tables.
fn drained(args: &Args, port: i64) -> Result<String, Failure> {
    let mut states = Vec::new();
    for name in args.strings("active_connection_states") {
        let Some((_, code)) = STATES.iter().find(|(known, _)| *known == name) else {
            return Err(Failure::of(
                "active_connection_states",
                format!("unknown active_connection_state ({name}) defined"),
            ));
        };
        states.push(*code);
    }
    let excluded: Vec<String> = args
        .strings("exclude_hosts")
        .iter()
        .filter_map(|host| host.parse::<std::net::Ipv4Addr>().ok())
        .map(|ip| format!("{:08X}", u32::from_le_bytes(ip.octets())))
        .collect();
    let except = if excluded.is_empty() {
        String::new()
    } else {
        format!(
            " | grep -vE ' [0-9A-F]*({}):[0-9A-F]{{4}} '",
            excluded.join("|")
        )
    };
    Ok(format!(
        "! cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | grep -E '^ *[0-9]+: [0-9A-F]+:{port:04X} [0-9A-F]+:[0-9A-F]{{4}} ({}) '{except} | grep -q .",
        states.join("|")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::testing::{Fake, args, local};
    use std::net::TcpListener;

    fn run(given: &[(&str, Value)]) -> Outcome {
        local(&WaitFor, &args(&WaitFor, given), &Fake::default())
    }

    #[test]
    fn ports_open_and_close() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = Value::from(i64::from(listener.local_addr().unwrap().port()));
        let outcome = run(&[("port", port.clone()), ("timeout", 3.into())]);
        assert!(!outcome.failed && !outcome.changed, "{outcome:?}");
        let outcome = run(&[
            ("port", port.clone()),
            ("state", "stopped".into()),
            ("timeout", 1.into()),
        ]);
        assert!(outcome.failed);
        assert!(outcome.msg.unwrap().ends_with("to stop."));
        drop(listener);
        let outcome = run(&[
            ("port", port.clone()),
            ("state", "stopped".into()),
            ("timeout", 3.into()),
        ]);
        assert!(!outcome.failed, "{outcome:?}");
        let outcome = run(&[("port", port.clone()), ("timeout", 1.into())]);
        assert_eq!(
            outcome.msg,
            Some(format!("Timeout when waiting for 127.0.0.1:{port}"))
        );
        let outcome = run(&[
            ("port", port),
            ("state", "drained".into()),
            ("timeout", 3.into()),
            ("active_connection_states", "ESTABLISHED".into()),
        ]);
        assert!(!outcome.failed, "{outcome:?}");
    }

    #[test]
    fn an_answer_is_searched() {
        use std::io::Write as _;
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = Value::from(i64::from(listener.local_addr().unwrap().port()));
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"SSH-2.0-OpenSSH_9\n").unwrap();
        });
        let outcome = run(&[
            ("port", port),
            ("search_regex", "SSH-(?P<v>[0-9.]+)-(\\w+)".into()),
            ("timeout", 3.into()),
        ]);
        server.join().unwrap();
        assert!(!outcome.failed, "{outcome:?}");
        assert_eq!(
            outcome.data["match_groups"].to_string(),
            "['2.0', 'OpenSSH_9']"
        );
        assert_eq!(outcome.data["match_groupdict"].to_string(), "{'v': '2.0'}");
    }

    #[test]
    fn files_come_and_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a b");
        let value = Value::from(path.to_string_lossy());
        assert!(run(&[("path", value.clone()), ("timeout", 1.into())]).failed);
        assert!(!run(&[("path", value.clone()), ("state", "absent".into())]).failed);
        std::fs::write(&path, "x\nready 7\n").unwrap();
        let outcome = run(&[("path", value), ("search_regex", "^ready (\\d)$".into())]);
        assert_eq!(outcome.data["match_groups"].to_string(), "['7']");
        assert!(outcome.data.contains_key("elapsed"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let given = args(&WaitFor, &[("port", 1.into()), ("path", "/x".into())]);
        assert!(WaitFor.plan(&given, &Fake::default()).is_err());
    }
}
