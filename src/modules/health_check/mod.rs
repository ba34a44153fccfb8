//! `health_check` (ours): one check of a running service, read-only. `verify` is made of these; a playbook may use it with `until`.
//!
//! Everything is asked from the host itself with what every Debian and Ubuntu has: `ps`, `ss` (or /proc/net), bash's `/dev/tcp`.

mod net;
pub(super) mod port;
mod process;

use super::probe::{Answer, FileType};
use super::{
    Args, Controller, Decision, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Seen, Spec,
    Step, Type,
};
use crate::remote::Reply;
use fancy_regex::Regex;

/// The module.
pub struct HealthCheck;

const PARAMS: &[Param] = &[
    Param::new("check", Type::Str, "what is checked")
        .required()
        .choices(&["process", "port", "http", "tcp", "unit", "file"]),
    Param::new(
        "name",
        Type::Raw,
        "what the check is about, for people; for `unit` the unit",
    ),
    Param::new(
        "pattern",
        Type::Str,
        "process: regular expression on the command column of `ps axuf`",
    ),
    Param::new(
        "user",
        Type::Str,
        "process: the user it runs as, or a regular expression on the whole name",
    ),
    Param::new("count", Type::Str, "process: how many, `N` or `>=N`").default(">=1"),
    Param::new("port", Type::Int, "port and tcp: the number"),
    Param::new("proto", Type::Str, "port: tcp or udp")
        .default("tcp")
        .choices(&["tcp", "udp"]),
    Param::new("address", Type::Str, "port: the address it listens on"),
    Param::new(
        "process",
        Type::Str,
        "port: regular expression on the owner's command",
    ),
    Param::new(
        "url",
        Type::Str,
        "http: what is fetched, from the host itself",
    ),
    Param::new("status", Type::List, "http: accepted status codes").default("200"),
    Param::new("body", Type::Str, "http: regular expression on the body"),
    Param::new(
        "json",
        Type::Dict,
        "http: dotted paths into a JSON body and their values",
    ),
    Param::new("host", Type::Str, "tcp: where to connect to").default("127.0.0.1"),
    Param::new("send", Type::Str, "tcp: what is sent"),
    Param::new("expect", Type::Str, "tcp: regular expression on the answer"),
    Param::new("state", Type::Str, "unit: active or inactive").choices(&["active", "inactive"]),
    Param::new("enabled", Type::Bool, "unit: whether it starts at boot"),
    Param::new("path", Type::Str, "file: the path"),
    Param::new(
        "contains",
        Type::Str,
        "file: regular expression on its content",
    ),
    Param::new(
        "checksum",
        Type::Str,
        "file: `ALGORITHM:DIGEST`, or `-` for no such file",
    ),
    Param::new("timeout", Type::Int, "http and tcp: seconds").default("10"),
];

static SPEC: Spec = Spec {
    name: "health_check",
    collection: "mini_play.builtin",
    aliases: &[],
    doc: "check that a process runs, a port listens or answers, a unit or file is as wanted; changes nothing",
    params: PARAMS,
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for HealthCheck {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn only_looks(&self) -> bool {
        true
    }

    fn plan(&self, args: &Args, _: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        Ok(Box::new(Check {
            what: What::new(args)?,
        }))
    }
}

/// What is checked.
enum What {
    Process(process::Wanted),
    Port(port::Wanted),
    Http(net::Http),
    Tcp(net::Tcp),
    Unit {
        name: String,
        active: Option<bool>,
        enabled: Option<bool>,
    },
    File {
        path: String,
        contains: Option<Regex>,
        checksum: Option<String>,
    },
}

impl What {
    fn new(args: &Args) -> Result<Self, Failure> {
        let need = |name: &str| {
            args.str(name)
                .ok_or_else(|| Failure::new(format!("this check needs the parameter `{name}`")))
        };
        Ok(match args.text("check").as_str() {
            "process" => Self::Process(process::Wanted {
                pattern: pattern("pattern", &need("pattern")?)?,
                user: args
                    .str("user")
                    .map(|user| pattern("user", &format!("^(?:{user})$")))
                    .transpose()?,
                count: process::Count::parse(&args.text("count"))?,
            }),
            "port" => Self::Port(port::Wanted {
                port: number(args)?,
                udp: args.text("proto") == "udp",
                address: args.str("address"),
                process: optional(args, "process")?,
            }),
            "http" => Self::Http(net::Http::new(args, &need("url")?)?),
            "tcp" => Self::Tcp(net::Tcp {
                host: args.text("host"),
                port: number(args)?,
                send: args.str("send"),
                expect: optional(args, "expect")?,
                timeout: args.int("timeout").unwrap_or(10),
            }),
            "unit" => Self::Unit {
                name: need("name")?,
                active: args.str("state").map(|state| state == "active"),
                enabled: args.has("enabled").then(|| args.bool("enabled")),
            },
            _ => Self::File {
                path: need("path")?,
                contains: optional(args, "contains")?,
                checksum: args.str("checksum"),
            },
        })
    }
}

fn number(args: &Args) -> Result<u16, Failure> {
    args.int("port")
        .and_then(|port| u16::try_from(port).ok())
        .ok_or_else(|| Failure::of("port", "a port is a number from 1 to 65535"))
}

fn optional(args: &Args, name: &str) -> Result<Option<Regex>, Failure> {
    args.str(name).map(|text| pattern(name, &text)).transpose()
}

fn pattern(name: &str, text: &str) -> Result<Regex, Failure> {
    Regex::new(text)
        .map_err(|why| Failure::of(name, format!("`{text}` is not a regular expression: {why}")))
}

/// Whether a pattern is found; one that backtracks without end is not.
fn found(pattern: &Regex, text: &str) -> bool {
    pattern.is_match(text).unwrap_or(false)
}

/// Bytes of a file that are looked at.
const LIMIT: u64 = 4 << 20;

struct Check {
    what: What,
}

/// What was expected, and what was seen instead.
struct Wrong {
    expected: String,
    seen: String,
}

fn wrong(expected: impl Into<String>, seen: impl Into<String>) -> Result<(), Wrong> {
    Err(Wrong {
        expected: expected.into(),
        seen: seen.into(),
    })
}

fn algorithm(name: &str) -> Option<&'static str> {
    ["sha256", "sha1", "sha512", "sha224", "sha384", "md5"]
        .into_iter()
        .find(|known| *known == name)
}

impl Step for Check {
    fn probes(&self) -> Vec<Probe> {
        match &self.what {
            What::Process(_) => vec![Probe::Script(process::SCRIPT.into())],
            What::Port(_) => vec![
                Probe::Script(port::SCRIPT.into()),
                Probe::Script(process::SCRIPT.into()),
            ],
            What::Http(http) => vec![Probe::Script(http.script())],
            What::Tcp(tcp) => vec![Probe::Script(tcp.script())],
            What::Unit { name, .. } => vec![Probe::Unit(name.clone())],
            What::File {
                path,
                contains,
                checksum,
            } => {
                let mut probes = vec![Probe::Path {
                    path: path.clone(),
                    follow: true,
                }];
                if contains.is_some() {
                    probes.push(Probe::Content {
                        path: path.clone(),
                        limit: LIMIT,
                    });
                }
                if let Some(algorithm) = checksum
                    .as_ref()
                    .and_then(|c| algorithm(c.split(':').next()?))
                {
                    probes.push(Probe::Digest {
                        path: path.clone(),
                        algorithm,
                    });
                }
                probes
            }
        }
    }

    fn decide(&self, seen: &Seen) -> Decision {
        let script = |script: &str| match seen.script(script) {
            Some((rc, out)) => (rc, String::from_utf8_lossy(out).into_owned()),
            None => (127, String::new()),
        };
        let checked = match &self.what {
            What::Process(wanted) => wanted.check(&process::parse(&script(process::SCRIPT).1)),
            What::Port(wanted) => {
                let processes = process::parse(&script(process::SCRIPT).1);
                wanted.check(&port::parse(&script(port::SCRIPT).1), &processes)
            }
            What::Http(http) => {
                let (rc, out) = script(&http.script());
                http.check(rc, &out)
            }
            What::Tcp(tcp) => {
                let (rc, out) = script(&tcp.script());
                tcp.check(rc, &out)
            }
            What::Unit {
                name,
                active,
                enabled,
            } => unit(seen, name, *active, *enabled),
            What::File {
                path,
                contains,
                checksum,
            } => file(seen, path, contains.as_ref(), checksum.as_deref()),
        };
        Decision::Done(match checked {
            Ok(()) => Outcome::ok(),
            Err(Wrong { expected, seen }) => {
                Outcome::failed(format!("expected {expected}; seen: {seen}"))
                    .with("expected", expected)
                    .with("seen", seen)
            }
        })
    }

    fn finish(&self, _: &Seen, _: &[Reply], _: &Seen) -> Outcome {
        // Never acts.
        Outcome::ok()
    }
}

fn unit(seen: &Seen, name: &str, active: Option<bool>, enabled: Option<bool>) -> Result<(), Wrong> {
    let empty = super::probe::UnitState::new();
    let state = seen.unit(name).unwrap_or(&empty);
    let get = |key: &str| state.get(key).map_or("", String::as_str);
    let now = get("ActiveState");
    if let Some(wanted) = active {
        let is = matches!(now, "active" | "reloading");
        if is != wanted {
            let missing = get("LoadState") == "not-found";
            let text = if missing {
                "no such unit".to_owned()
            } else {
                format!("{now} ({})", get("SubState"))
            };
            return wrong(
                format!("unit {name} {}", if wanted { "active" } else { "inactive" }),
                text,
            );
        }
    }
    if let Some(wanted) = enabled {
        let file = get("UnitFileState");
        let is = matches!(
            file,
            "enabled" | "enabled-runtime" | "static" | "alias" | "generated" | "indirect"
        );
        // A generated unit (a SysV script) says nothing of rc.d; the probe tells that apart.
        let is = if file == "generated" {
            get("SysvEnabled") != "no"
        } else {
            is
        };
        // A missing unit is not enabled.
        if is != wanted && (wanted || !file.is_empty()) {
            return wrong(
                format!(
                    "unit {name} {}",
                    if wanted { "enabled" } else { "not enabled" }
                ),
                file,
            );
        }
    }
    Ok(())
}

fn file(
    seen: &Seen,
    path: &str,
    contains: Option<&Regex>,
    checksum: Option<&str>,
) -> Result<(), Wrong> {
    let state = seen.stat(path, true);
    if checksum == Some("-") {
        return match state {
            None => Ok(()),
            Some(_) => wrong(format!("no file {path}"), "it is there"),
        };
    }
    match state.map(|state| state.kind) {
        None => return wrong(format!("file {path}"), "no such file"),
        Some(FileType::File) => {}
        Some(_) => return wrong(format!("file {path}"), "it is no regular file"),
    }
    if let Some(pattern) = contains {
        let Some(bytes) = seen.content(path, LIMIT) else {
            return wrong(format!("file {path} to be readable"), "it cannot be read");
        };
        if !found(pattern, &String::from_utf8_lossy(bytes)) {
            return wrong(
                format!("file {path} to contain /{}/", pattern.as_str()),
                "it does not",
            );
        }
    }
    if let Some((name, digest)) = checksum.and_then(|c| c.split_once(':'))
        && let Some(algorithm) = algorithm(name)
    {
        let now = seen.digest(path, algorithm).unwrap_or("unreadable");
        if now != digest {
            return wrong(
                format!("file {path} as the last apply left it"),
                format!("another content ({name} {})", short(now)),
            );
        }
    }
    let unknown = seen.iter().find_map(|(_, answer)| match answer {
        Answer::Unknown(why) => Some(why.clone()),
        _ => None,
    });
    unknown.map_or(Ok(()), |why| wrong(format!("file {path} to be seen"), why))
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
