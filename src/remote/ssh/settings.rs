//! What a target, its options and OpenSSH's configuration come to, for one connection.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::config::{Config, Words, local_user};
use super::login::Credentials;
use super::transport::Alive;
use crate::remote::{HostKeyChecking, LinkError, LinkErrorKind, Target};

/// Limit for connecting when nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How the line to the host is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Way {
    Direct,
    /// Through these hosts, in order.
    Jump(Vec<Hop>),
    /// A command whose standard input and output are the line.
    Command(String),
}

/// One host on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) user: Option<String>,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
}

/// All there is to know for connecting.
pub(crate) struct Settings {
    /// The host's name in the inventory.
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) way: Way,
    pub(crate) limit: Duration,
    pub(crate) alive: Alive,
    pub(crate) credentials: Credentials,
    pub(crate) checking: HostKeyChecking,
    /// Name and port that known_hosts files are asked for.
    pub(crate) known_as: (String, u16),
    pub(crate) known_hosts: Vec<PathBuf>,
    /// Where a new key is written; hashed or not.
    pub(crate) new_keys: Option<PathBuf>,
    pub(crate) hash_names: bool,
    /// Only the host's key is wanted: nobody logs in.
    pub(crate) only_greet: bool,
}

impl Settings {
    pub(crate) fn resolve(
        target: &Target,
        config: &Config,
        home: &Path,
    ) -> Result<Self, LinkError> {
        let bad = |text: String| {
            LinkError::new(LinkErrorKind::Unreachable, text)
                .hint("this comes from the SSH options in the inventory or from ~/.ssh/config")
        };
        let words = config
            .words(&target.host, Words::given(&target.options))
            .map_err(bad)?;
        let number = |key: &str| match words.get(key) {
            None => Ok(None),
            Some(text) => text
                .parse::<u16>()
                .map(Some)
                .map_err(|_| bad(format!("{key} is {text:?}, which is not a number in range"))),
        };
        let port = match target.port {
            Some(port) => port,
            None => number("port")?.unwrap_or(22),
        };
        let local = local_user().unwrap_or_else(|| "root".to_owned());
        let user = target
            .user
            .clone()
            .or_else(|| words.get("user").map(str::to_owned))
            .unwrap_or_else(|| local.clone());
        let tokens = |text: &str, host: &str| {
            expand(
                text,
                &[
                    ('h', host),
                    ('n', &target.host),
                    ('p', &port.to_string()),
                    ('r', &user),
                    ('u', &local),
                    ('d', &home.to_string_lossy()),
                ],
            )
        };
        let host = match words.get("hostname") {
            Some(text) => tokens(text, &target.host),
            None => target.host.clone(),
        };
        let path = |text: &str| {
            let text = tokens(text, &host);
            match text.strip_prefix("~/") {
                Some(rest) => home.join(rest),
                None => PathBuf::from(text),
            }
        };
        let files = |key: &str, default: &[&str]| -> Vec<PathBuf> {
            match words.all(key).next() {
                Some([none]) if none == "none" => Vec::new(),
                Some(args) => args.iter().map(|arg| path(arg)).collect(),
                None => default.iter().map(|arg| path(arg)).collect(),
            }
        };
        let user_files = files(
            "userknownhostsfile",
            &["~/.ssh/known_hosts", "~/.ssh/known_hosts2"],
        );
        let new_keys = user_files.first().cloned();
        let mut known_hosts = user_files;
        known_hosts.extend(files(
            "globalknownhostsfile",
            &["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"],
        ));
        let mut keys = target.private_keys.clone();
        for key in words.all("identityfile").filter_map(|args| args.first()) {
            let key = path(key);
            if key.as_os_str() != "none" && !keys.contains(&key) {
                keys.push(key);
            }
        }
        let agent = match words.get("identityagent") {
            Some("none") => None,
            None | Some("SSH_AUTH_SOCK") => std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from),
            Some(text) => match text.strip_prefix('$') {
                Some(name) => std::env::var_os(name).map(PathBuf::from),
                None => Some(path(text)),
            },
        };
        let interval = number("serveraliveinterval")?
            .filter(|&n| n > 0)
            .unwrap_or(10);
        let known_as = match words.get("hostkeyalias") {
            Some(alias) => (alias.to_owned(), 22),
            None => (host.clone(), port),
        };
        Ok(Self {
            name: target.name.clone(),
            only_greet: false,
            way: way(&words, &tokens, &host).map_err(bad)?,
            limit: match target.connect_timeout {
                Some(limit) => limit,
                None => number("connecttimeout")?
                    .map_or(TIMEOUT, |seconds| Duration::from_secs(seconds.into())),
            },
            alive: Alive {
                interval: Duration::from_secs(interval.into()),
                count: number("serveralivecountmax")?.unwrap_or(3).into(),
            },
            credentials: Credentials {
                user,
                keys,
                passphrase: target.passphrase.clone(),
                only_keys: words.get("identitiesonly") == Some("yes"),
                agent,
                default_keys: ["id_ed25519", "id_ecdsa", "id_rsa"]
                    .map(|name| home.join(".ssh").join(name))
                    .to_vec(),
                password: target.password.clone(),
            },
            checking: checking(target, &words),
            known_as,
            known_hosts,
            new_keys,
            hash_names: words.get("hashknownhosts") == Some("yes"),
            host,
            port,
        })
    }
}

/// The command line and the inventory decide; only where they leave the strict default do options count.
fn checking(target: &Target, words: &Words) -> HostKeyChecking {
    match (target.host_key_checking, words.get("stricthostkeychecking")) {
        (HostKeyChecking::Strict, Some("no" | "off")) => HostKeyChecking::Off,
        (HostKeyChecking::Strict, Some("accept-new")) => HostKeyChecking::AcceptNew,
        (given, _) => given,
    }
}

fn way(words: &Words, tokens: &dyn Fn(&str, &str) -> String, host: &str) -> Result<Way, String> {
    if let Some(jump) = words.get("proxyjump")
        && jump != "none"
    {
        let hops = words
            .all("proxyjump")
            .next()
            .unwrap_or(&[])
            .iter()
            .flat_map(|arg| arg.split(','))
            .map(hop);
        return Ok(Way::Jump(hops.collect::<Result<_, _>>()?));
    }
    Ok(match words.get("proxycommand") {
        None | Some("none") => Way::Direct,
        Some(command) => Way::Command(tokens(command, host)),
    })
}

/// `[user@]host[:port]`, also as `ssh://…`, the host in brackets when it is an IPv6 address.
fn hop(text: &str) -> Result<Hop, String> {
    let bad = || format!("ProxyJump {text:?} is not [user@]host[:port]");
    let rest = text.strip_prefix("ssh://").unwrap_or(text);
    let rest = rest.trim_end_matches('/');
    let (user, rest) = match rest.rsplit_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, rest),
    };
    let (host, port) = if let Some(inner) = rest.strip_prefix('[') {
        let (host, tail) = inner.split_once(']').ok_or_else(bad)?;
        (host, tail.strip_prefix(':'))
    } else {
        match rest.split_once(':') {
            // More than one colon: an address without brackets.
            Some((_, port)) if port.contains(':') => (rest, None),
            Some((host, port)) => (host, Some(port)),
            None => (rest, None),
        }
    };
    if host.is_empty() || user.as_deref() == Some("") {
        return Err(bad());
    }
    Ok(Hop {
        user,
        host: host.to_owned(),
        port: port
            .map(|port| port.parse().map_err(|_| bad()))
            .transpose()?,
    })
}

/// Replaces `%x` tokens; one that is not known stays.
fn expand(text: &str, tokens: &[(char, &str)]) -> String {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        match rest.next() {
            None | Some('%') => out.push('%'),
            Some(c) => match tokens.iter().find(|(token, _)| *token == c) {
                Some((_, value)) => out.push_str(value),
                None => out.extend(['%', c]),
            },
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(options: &[(&str, &str)], change: impl FnOnce(&mut Target)) -> Settings {
        let mut target = Target {
            host: "h".into(),
            options: options
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            ..Target::default()
        };
        change(&mut target);
        Settings::resolve(&target, &Config::default(), Path::new("/home/me"))
            .unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn hops() {
        let want = |user: Option<&str>, host: &str, port| {
            Ok(Hop {
                user: user.map(str::to_owned),
                host: host.to_owned(),
                port,
            })
        };
        for (text, want) in [
            ("b", want(None, "b", None)),
            ("u@b:2", want(Some("u"), "b", Some(2))),
            ("ssh://u@b:2/", want(Some("u"), "b", Some(2))),
            ("[::1]:22", want(None, "::1", Some(22))),
            ("fe80::1", want(None, "fe80::1", None)),
        ] {
            assert_eq!(hop(text), want, "{text}");
        }
        for text in ["", "u@", "@b", "b:x", "b:99999", "[::1"] {
            assert!(hop(text).is_err(), "{text}");
        }
    }

    #[test]
    fn options_and_targets() {
        let s = settings(
            &[
                ("HostName", "real-%h"),
                ("Port", "2200"),
                ("User", "opt"),
                ("IdentityFile", "~/k_%r"),
                ("UserKnownHostsFile", "/a ~/b"),
                ("ProxyCommand", "nc \"%h\" %p %%"),
                ("StrictHostKeyChecking", "accept-new"),
                ("ConnectTimeout", "3"),
            ],
            |target| target.user = Some("given".into()),
        );
        assert_eq!((s.host.as_str(), s.port), ("real-h", 2200));
        assert_eq!(s.credentials.user, "given");
        assert_eq!(s.credentials.keys, [PathBuf::from("/home/me/k_given")]);
        assert_eq!(
            s.known_hosts[..2],
            [PathBuf::from("/a"), PathBuf::from("/home/me/b")]
        );
        assert_eq!(s.new_keys, Some(PathBuf::from("/a")));
        assert_eq!(s.way, Way::Command("nc \"real-h\" 2200 %".into()));
        assert_eq!(s.checking, HostKeyChecking::AcceptNew);
        assert_eq!(s.limit, Duration::from_secs(3));
        assert_eq!(s.known_as, ("real-h".into(), 2200));
    }

    #[test]
    fn the_command_line_decides_on_host_keys() {
        for (option, given, want) in [
            ("no", HostKeyChecking::Strict, HostKeyChecking::Off),
            (
                "yes",
                HostKeyChecking::AcceptNew,
                HostKeyChecking::AcceptNew,
            ),
            ("no", HostKeyChecking::AcceptNew, HostKeyChecking::AcceptNew),
            ("ask", HostKeyChecking::Strict, HostKeyChecking::Strict),
        ] {
            let s = settings(&[("StrictHostKeyChecking", option)], |target| {
                target.host_key_checking = given;
            });
            assert_eq!(s.checking, want, "{option} {given:?}");
        }
    }
}
