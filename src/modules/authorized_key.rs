//! `authorized_key`: keys that may log in, in a user's `~/.ssh/authorized_keys`.

use super::rule::{self, Act, Known, Rule, Verdict};
use super::sh::quote;
use super::{
    Args, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Seen, Spec,
    Step, Type, fetch,
};
use base64::Engine as _;

/// `authorized_key`.
pub(crate) struct AuthorizedKey;

static SPEC: Spec = Spec {
    name: "authorized_key",
    collection: "ansible.posix",
    aliases: &[],
    doc: "Manages SSH keys that may log in",
    params: &[
        Param::new("user", Type::Str, "whose account").required(),
        Param::new(
            "key",
            Type::Str,
            "the keys, one a line; an address or `file://` path of them",
        )
        .required(),
        Param::new(
            "path",
            Type::Path,
            "the file, if not ~/.ssh/authorized_keys",
        ),
        Param::new(
            "manage_dir",
            Type::Bool,
            "make the folder, with owner and mode",
        )
        .default("true"),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["absent", "present"])
            .default("present"),
        Param::new("key_options", Type::Str, "options before the key"),
        Param::new("exclusive", Type::Bool, "remove all other keys").default("false"),
        Param::new("comment", Type::Str, "comment of the key"),
        Param::new(
            "validate_certs",
            Type::Bool,
            "no effect: certificates are always checked",
        )
        .default("true"),
        Param::new("follow", Type::Bool, "write through a link").default("false"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for AuthorizedKey {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        super::download::check("key", args.text("key").trim(), false, controller)?;
        let wanted = Wanted {
            user: args.text("user"),
            key: args.text("key"),
            path: args.str("path"),
            manage_dir: args.bool("manage_dir"),
            present: args.text("state") == "present",
            options: args.str("key_options"),
            exclusive: args.bool("exclusive"),
            comment: args.str("comment"),
            follow: args.bool("follow"),
        };
        let probes = vec![Probe::User(wanted.user.clone())];
        Rule::new(probes, move |seen| wanted.judge(seen)).step()
    }
}

const TYPES: &[&str] = &[
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "webauthn-sk-ecdsa-sha2-nistp256@openssh.com",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp256-cert-v01@openssh.com",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp384-cert-v01@openssh.com",
    "ecdsa-sha2-nistp521",
    "ecdsa-sha2-nistp521-cert-v01@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "sk-ssh-ed25519-cert-v01@openssh.com",
    "ssh-ed25519",
    "ssh-ed25519-cert-v01@openssh.com",
    "ssh-dss",
    "ssh-rsa",
    "ssh-xmss@openssh.com",
    "ssh-xmss-cert-v01@openssh.com",
    "rsa-sha2-256",
    "rsa-sha2-512",
    "ssh-rsa-cert-v01@openssh.com",
    "rsa-sha2-256-cert-v01@openssh.com",
    "rsa-sha2-512-cert-v01@openssh.com",
    "ssh-dss-cert-v01@openssh.com",
];

/// A line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Key {
        key: String,
        kind: String,
        options: Vec<String>,
        comment: String,
    },
    /// A comment, or what is no key.
    Other(String),
}

impl Line {
    fn parse(line: &str) -> Self {
        let text = line.replace("\\#", "#");
        let words: Vec<&str> = text.split_whitespace().collect();
        let other = || Self::Other(line.to_owned());
        if words.first().is_none_or(|word| word.starts_with('#')) {
            return other();
        }
        let Some(at) = words.iter().position(|word| TYPES.contains(word)) else {
            return other();
        };
        let Some(key) = words.get(at + 1) else {
            return other();
        };
        Self::Key {
            key: (*key).into(),
            kind: words[at].into(),
            options: options(&words[..at].join(" ")),
            comment: words.get(at + 2..).unwrap_or_default().join(" "),
        }
    }

    fn key(&self) -> Option<&str> {
        match self {
            Self::Key { key, .. } => Some(key),
            Self::Other(_) => None,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Other(text) => text.clone(),
            Self::Key {
                key,
                kind,
                options,
                comment,
            } => {
                let gap = if options.is_empty() { "" } else { " " };
                format!("{}{gap}{kind} {key} {comment}", options.join(","))
            }
        }
    }
}

/// Options between commas that are not within quotes.
fn options(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut quoted = None;
    for c in text.chars() {
        match quoted {
            None if c == ',' => {
                all.push(String::new());
                continue;
            }
            None if c == '"' || c == '\'' => quoted = Some(c),
            Some(open) if c == open => quoted = None,
            _ => {}
        }
        if let Some(last) = all.last_mut() {
            last.push(c);
        }
    }
    all.retain(|option| !option.is_empty());
    all
}

struct Wanted {
    user: String,
    key: String,
    path: Option<String>,
    manage_dir: bool,
    present: bool,
    options: Option<String>,
    exclusive: bool,
    comment: Option<String>,
    follow: bool,
}

impl Wanted {
    /// The keys as given, or what their address has.
    fn keys(&self, seen: &Seen) -> Known<Vec<Line>> {
        let text = if self.key.starts_with("http") {
            let (rc, out) = rule::script(seen, &fetch::print(&self.key))?;
            let encoded: String = out.split_whitespace().collect();
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(encoded)
                .unwrap_or_default();
            if rc != 0 || bytes.is_empty() {
                return Err(
                    Outcome::failed(format!("Error getting key from: {}", self.key)).into(),
                );
            }
            String::from_utf8_lossy(&bytes).into_owned()
        } else if let Some(path) = self.key.strip_prefix("file://") {
            match rule::text(seen, path)? {
                Some(text) => text,
                None => {
                    return Err(
                        Outcome::failed(format!("Path to a key file not found: {path}")).into(),
                    );
                }
            }
        } else {
            self.key.clone()
        };
        let mut keys = Vec::new();
        for line in text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let mut parsed = Line::parse(line);
            match &mut parsed {
                Line::Other(_) => {
                    return Err(Outcome::failed(format!("invalid key specified: {line}")).into());
                }
                Line::Key {
                    options: own,
                    comment,
                    ..
                } => {
                    if let Some(given) = &self.options {
                        *own = options(given);
                    }
                    if let Some(given) = &self.comment {
                        comment.clone_from(given);
                    }
                }
            }
            keys.push(parsed);
        }
        Ok(keys)
    }

    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let Some(user) = seen.user(&self.user) else {
            let msg = format!(
                "Failed to lookup user {}: 'getpwnam(): name not found: {}'",
                self.user, self.user
            );
            return Ok(Outcome::failed(msg).into());
        };
        let file = self
            .path
            .clone()
            .unwrap_or_else(|| format!("{}/.ssh/authorized_keys", user.home.trim_end_matches('/')));
        let keys = self.keys(seen)?;
        let old = rule::text(seen, &file)?.unwrap_or_default();
        let mut lines: Vec<Line> = Vec::new();
        for line in old.lines().map(Line::parse) {
            // A key counts once: its last line.
            lines.retain(|known| known.key().is_none() || known.key() != line.key());
            lines.push(line);
        }
        let before = lines.clone();
        for key in &keys {
            let at = lines.iter().position(|known| known.key() == key.key());
            match (at, self.present) {
                (Some(at), true) if lines[at] == *key => {}
                (Some(at), true) => {
                    lines.remove(at);
                    lines.push(key.clone());
                }
                (None, true) => lines.push(key.clone()),
                (Some(at), false) => {
                    lines.remove(at);
                }
                (None, false) => {}
            }
        }
        if self.present && self.exclusive {
            let wanted: Vec<Option<&str>> = keys.iter().map(Line::key).collect();
            lines.retain(|line| line.key().is_some() && wanted.contains(&line.key()));
        }
        let outcome = self.outcome(&file);
        if lines == before {
            return Ok(outcome.into());
        }
        let text: String = lines.iter().map(|line| line.text() + "\n").collect();
        let chunk = rule::fed(self.script(&file, user.uid, user.gid), &text);
        let outcome = outcome.diff(&file, old, text);
        Ok(Act::change(
            vec![chunk],
            vec![Effect::Path(file.clone())],
            outcome,
            format!("Failed to write to file {file}"),
        )
        .into())
    }

    fn outcome(&self, file: &str) -> Outcome {
        Outcome::ok()
            .with("user", self.user.as_str())
            .with("key", self.key.as_str())
            .with("path", self.path.clone())
            .with("keyfile", file)
            .with("manage_dir", self.manage_dir)
            .with("state", if self.present { "present" } else { "absent" })
            .with("key_options", self.options.clone())
            .with("exclusive", self.exclusive)
            .with("comment", self.comment.clone())
            .with("follow", self.follow)
    }

    /// Writes the file beside itself and renames it; makes the folder the user's own.
    fn script(&self, file: &str, uid: u32, gid: u32) -> String {
        let follow = if self.follow {
            "f=$(readlink -f -- \"$f\" || echo \"$f\")\n"
        } else {
            ""
        };
        let dir = if self.manage_dir {
            format!(
                "[ -e \"$d\" ] || mkdir -m 700 -- \"$d\" || exit\nchown {uid}:{gid} -- \"$d\" && chmod 700 -- \"$d\" || exit\n"
            )
        } else {
            "mkdir -p -- \"$d\" || exit\n".into()
        };
        format!(
            "f={}\nd=${{f%/*}}\n{dir}{follow}umask 077\nt=$(mktemp \"${{f%/*}}/.authorized_keys.XXXXXX\") || exit\n\
             trap 'rm -f \"$t\"' EXIT\ncat >\"$t\" && chown {uid}:{gid} \"$t\" && chmod 600 \"$t\" && mv -f -- \"$t\" \"$f\"",
            quote(file)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::Decision;
    use crate::modules::probe::{Answer, PathState, UserState};
    use crate::modules::testing::{Fake, plan};
    use minijinja::Value;

    fn after(given: &[(&str, Value)], text: &str) -> String {
        let mut all = vec![("user", Value::from("u"))];
        all.extend_from_slice(given);
        let step = plan(&AuthorizedKey, &all, &Fake::default());
        let mut seen = Seen::default();
        let mut wanted = step.probes();
        loop {
            for probe in wanted {
                let answer = match &probe {
                    Probe::User(_) => Answer::User(Some(UserState {
                        home: "/home/u".into(),
                        ..UserState::default()
                    })),
                    Probe::Path { path, .. } => {
                        assert_eq!(path, "/home/u/.ssh/authorized_keys");
                        Answer::Path(Some(PathState::default()))
                    }
                    _ => Answer::Content(Some(text.as_bytes().into())),
                };
                seen.insert(probe, answer);
            }
            match step.decide(&seen) {
                Decision::Look(more) => wanted = more,
                Decision::Act(plan) => return plan.predicted.diff[0].after.clone(),
                Decision::Done(outcome) => return outcome.msg.unwrap_or("same".into()),
            }
        }
    }

    #[test]
    fn keys_come_and_go() {
        let key = |key: &str| ("key", Value::from(key));
        let absent = ("state", Value::from("absent"));
        let file = "# mine\nssh-rsa AAA me\nno-pty,from=\"a,b\" ssh-ed25519 BBB you\n";
        assert_eq!(after(&[key("ssh-rsa AAA me")], file), "same");
        assert_eq!(
            after(&[key("ssh-rsa CCC me")], "ssh-rsa AAA me\n"),
            "ssh-rsa AAA me\nssh-rsa CCC me\n"
        );
        assert_eq!(
            after(&[key("ssh-rsa AAA new")], file),
            "# mine\nno-pty,from=\"a,b\" ssh-ed25519 BBB you\nssh-rsa AAA new\n"
        );
        assert_eq!(
            after(&[key("ssh-rsa AAA other"), absent], file),
            "# mine\nno-pty,from=\"a,b\" ssh-ed25519 BBB you\n"
        );
        assert_eq!(
            after(
                &[
                    key("ssh-rsa CCC me\nssh-rsa AAA me"),
                    ("exclusive", true.into())
                ],
                file
            ),
            "ssh-rsa AAA me\nssh-rsa CCC me\n"
        );
        assert_eq!(
            after(
                &[
                    key("ssh-rsa DDD"),
                    ("key_options", "no-pty".into()),
                    ("comment", "c".into())
                ],
                ""
            ),
            "no-pty ssh-rsa DDD c\n"
        );
        assert_eq!(
            after(&[key("nonsense")], ""),
            "invalid key specified: nonsense"
        );
    }
}
