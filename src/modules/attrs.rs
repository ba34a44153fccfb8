//! Mode, owner, group and attributes of a file: what is asked for, what differs, and the commands that settle it.
//!
//! Shared by every module that takes Ansible's common file arguments.

use super::probe::{FileType, PathState};
use super::{Args, Failure, Outcome, Param, Probe, Seen, Type, sh};
use crate::remote::Reply;
use minijinja::Value;
use serde_json::{Map, json};

/// What a new file gets: 0666 without the umask that our shells run with.
pub(crate) const NEW_FILE: u32 = 0o644;
/// What a new directory gets.
pub(crate) const NEW_DIRECTORY: u32 = 0o755;

pub(crate) const MODE: Param = Param::new(
    "mode",
    Type::Raw,
    "permissions: octal as text, a number, or symbolic (`u=rw,g=r`)",
);
pub(crate) const OWNER: Param = Param::new("owner", Type::Str, "owner, by name or number");
pub(crate) const GROUP: Param = Param::new("group", Type::Str, "group, by name or number");
pub(crate) const ATTRIBUTES: Param =
    Param::new("attributes", Type::Str, "flags for `chattr`").aliases(&["attr"]);
const SELINUX: &str = "part of the SELinux context; no effect on hosts without SELinux";
pub(crate) const SEUSER: Param = Param::new("seuser", Type::Str, SELINUX);
pub(crate) const SEROLE: Param = Param::new("serole", Type::Str, SELINUX);
pub(crate) const SETYPE: Param = Param::new("setype", Type::Str, SELINUX);
pub(crate) const SELEVEL: Param = Param::new("selevel", Type::Str, SELINUX);
pub(crate) const UNSAFE_WRITES: Param = Param::new(
    "unsafe_writes",
    Type::Bool,
    "overwrite in place where a rename is impossible (bind mounts)",
)
.default("false");

/// A module's own parameters followed by Ansible's common file arguments.
macro_rules! file_params {
    ($($own:expr),* $(,)?) => {
        &[
            $($own,)*
            $crate::modules::attrs::MODE,
            $crate::modules::attrs::OWNER,
            $crate::modules::attrs::GROUP,
            $crate::modules::attrs::ATTRIBUTES,
            $crate::modules::attrs::SEUSER,
            $crate::modules::attrs::SEROLE,
            $crate::modules::attrs::SETYPE,
            $crate::modules::attrs::SELEVEL,
            $crate::modules::attrs::UNSAFE_WRITES,
        ]
    };
}
pub(crate) use file_params;

/// A mode as asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mode {
    Bits(u32),
    Symbolic(String),
}

impl Mode {
    /// Reads a `mode` argument: a number is the mode itself, text is octal or symbolic.
    pub(crate) fn new(value: &Value) -> Result<Self, Failure> {
        let invalid = |details: &str| {
            let mut failure = Failure::of("mode", "mode must be in octal or symbolic form");
            failure.data.insert("details".into(), details.into());
            failure
        };
        if value.kind() == minijinja::value::ValueKind::Number {
            let bits = u32::try_from(value.clone()).map_err(|_| invalid("not a mode"))?;
            return Ok(Self::Bits(bits));
        }
        let text = super::args::text(value);
        let digits = text.trim().replace('_', "");
        let digits = digits
            .strip_prefix("0o")
            .or_else(|| digits.strip_prefix("0O"))
            .unwrap_or(&digits);
        if let Ok(bits) = u32::from_str_radix(digits, 8) {
            return Ok(Self::Bits(bits));
        }
        let mode = Self::Symbolic(text);
        mode.on(0, false).map_err(|why| invalid(&why))?;
        Ok(mode)
    }

    /// The bits this mode gives to something that has these now.
    pub(crate) fn on(&self, now: u32, directory: bool) -> Result<u32, String> {
        match self {
            Self::Bits(bits) => Ok(*bits),
            Self::Symbolic(text) => symbolic(text, now, directory),
        }
    }
}

/// Applies a symbolic mode as chmod(1) describes it and Ansible computes it (umask 022 where no user is named).
fn symbolic(text: &str, now: u32, directory: bool) -> Result<u32, String> {
    let bad = |clause: &str| format!("bad symbolic permission for mode: {clause}");
    let mut mode = now & 0o7777;
    for clause in text.split(',') {
        let operator = |c: char| "+-=".contains(c);
        let start = clause.find(operator).ok_or_else(|| bad(clause))?;
        let (users, mut rest) = clause.split_at(start);
        let masked = users.is_empty();
        let users = if masked || users == "a" { "ugo" } else { users };
        if !users.chars().all(|c| "ugo".contains(c)) {
            return Err(bad(clause));
        }
        while let Some(sign) = rest.chars().next() {
            let end = rest[1..].find(operator).map_or(rest.len(), |at| at + 1);
            let perms = &rest[1..end];
            rest = &rest[end..];
            if !perms.chars().all(|c| "rwxXstugo".contains(c)) {
                return Err(bad(clause));
            }
            for user in users.chars() {
                let bits = perms.chars().fold(0, |bits, perm| {
                    bits | perm_bits(user, perm, masked, mode, directory)
                });
                mode = match sign {
                    '+' => mode | bits,
                    '-' => mode & !bits,
                    _ => {
                        let (shift, special) = place(user);
                        (mode & !((0o7 << shift) | special)) | bits
                    }
                };
            }
        }
    }
    Ok(mode)
}

/// Where a user's three bits are, and the special bit that goes with them.
fn place(user: char) -> (u32, u32) {
    match user {
        'u' => (6, 0o4000),
        'g' => (3, 0o2000),
        _ => (0, 0o1000),
    }
}

fn perm_bits(user: char, perm: char, masked: bool, now: u32, directory: bool) -> u32 {
    let (shift, _) = place(user);
    let keep = if masked { !0o022 } else { !0 };
    match perm {
        'r' => (0o4 << shift) & keep,
        'w' => (0o2 << shift) & keep,
        'x' => (0o1 << shift) & keep,
        'X' if directory || now & 0o111 != 0 => 0o1 << shift,
        's' if user == 'u' => 0o4000,
        's' if user == 'g' => 0o2000,
        't' if user == 'o' => 0o1000,
        'u' | 'g' | 'o' => ((now >> place(perm).0) & 0o7) << shift,
        _ => 0,
    }
}

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attrs {
    pub(crate) mode: Option<Mode>,
    pub(crate) owner: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) attributes: Option<String>,
}

/// What must be done so that a path has what is asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fix {
    pub(crate) owner: Option<String>,
    pub(crate) group: Option<String>,
    pub(crate) mode: Option<u32>,
    pub(crate) attributes: Option<String>,
    /// The differences by name, for the diff.
    pub(crate) before: Map<String, serde_json::Value>,
    /// See `before`.
    pub(crate) after: Map<String, serde_json::Value>,
}

/// Why differences cannot be told (yet).
pub(crate) enum Unsettled {
    /// These must be known first.
    Ask(Vec<Probe>),
    /// It can never be.
    Failed(Box<Outcome>),
}

impl Unsettled {
    /// A failure with this message.
    pub(crate) fn failed(msg: impl Into<String>) -> Self {
        Self::from(Outcome::failed(msg))
    }

    /// As a decision.
    pub(crate) fn decision(self) -> super::Decision {
        match self {
            Self::Ask(probes) => super::Decision::Look(probes),
            Self::Failed(outcome) => super::Decision::Done(*outcome),
        }
    }
}

impl From<Outcome> for Unsettled {
    fn from(outcome: Outcome) -> Self {
        Self::Failed(Box::new(outcome))
    }
}

impl From<Failure> for Unsettled {
    fn from(failure: Failure) -> Self {
        super::put::failed(failure).into()
    }
}

impl Attrs {
    /// From the common file arguments. A mode of `preserve` is left to the module.
    pub(crate) fn new(args: &Args) -> Result<Self, Failure> {
        Ok(Self {
            mode: args
                .get("mode")
                .filter(|mode| mode.as_str() != Some("preserve"))
                .map(Mode::new)
                .transpose()?,
            owner: args.str("owner"),
            group: args.str("group"),
            attributes: args.str("attributes"),
        })
    }

    /// What must be known of a path besides its `stat`.
    pub(crate) fn probes(&self, path: &str) -> Vec<Probe> {
        let lsattr = |_| Probe::Script(lsattr(path));
        self.attributes.iter().map(lsattr).collect()
    }

    /// What differs at a path that is in this state.
    ///
    /// # Errors
    /// When an account must be looked up first, or is unknown.
    pub(crate) fn differ(
        &self,
        path: &str,
        now: &PathState,
        seen: &Seen,
    ) -> Result<Fix, Unsettled> {
        let mut fix = Fix::default();
        if let Some(owner) = &self.owner
            && let Some(uid) = other_id(owner, now.uid, &now.user, || user(owner, path, seen))?
        {
            fix.note("owner", now.uid, uid);
            fix.owner = Some(owner.clone());
        }
        if let Some(group) = &self.group
            && let Some(gid) = other_id(group, now.gid, &now.group, || group_id(group, path, seen))?
        {
            fix.note("group", now.gid, gid);
            fix.group = Some(group.clone());
        }
        // A link has no mode of its own.
        if let Some(mode) = &self.mode
            && now.kind != FileType::Link
        {
            let bits = mode
                .on(now.mode, now.kind == FileType::Directory)
                .map_err(Unsettled::failed)?;
            if bits != now.mode {
                fix.note("mode", octal(now.mode), octal(bits));
                fix.mode = Some(bits);
            }
        }
        if let Some(attributes) = &self.attributes {
            let flags = attributes.trim_start_matches(['+', '-', '=']);
            let has = flags_of(seen, path);
            if !flags.is_empty() && (has != flags || attributes.starts_with('-')) {
                fix.note("attributes", has, attributes.clone());
                let signed = attributes.starts_with(['+', '-', '=']);
                let sign = if signed { "" } else { "=" };
                fix.attributes = Some(format!("{sign}{attributes}"));
            }
        }
        Ok(fix)
    }

    /// Commands that give a path, named by a word of shell, everything asked for, whatever it has now.
    pub(crate) fn commands(&self, word: &str, now: u32, directory: bool) -> Result<String, String> {
        let mode = self
            .mode
            .as_ref()
            .map(|mode| mode.on(now, directory))
            .transpose()?;
        Ok(commands(
            word,
            self.owner.as_deref(),
            self.group.as_deref(),
            mode,
            self.attributes.as_deref(),
        ))
    }

    /// Whether nothing is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.mode.is_none()
            && self.owner.is_none()
            && self.group.is_none()
            && self.attributes.is_none()
    }
}

impl Fix {
    fn note(
        &mut self,
        what: &str,
        before: impl Into<serde_json::Value>,
        after: impl Into<serde_json::Value>,
    ) {
        self.before.insert(what.into(), before.into());
        self.after.insert(what.into(), after.into());
    }

    /// Whether nothing differs.
    pub(crate) fn is_empty(&self) -> bool {
        self.before.is_empty()
    }

    /// The commands that settle it, each line ended by `|| exit`.
    pub(crate) fn commands(&self, word: &str) -> String {
        commands(
            word,
            self.owner.as_deref(),
            self.group.as_deref(),
            self.mode,
            self.attributes.as_deref(),
        )
    }
}

fn commands(
    word: &str,
    owner: Option<&str>,
    group: Option<&str>,
    mode: Option<u32>,
    attributes: Option<&str>,
) -> String {
    let mut text = String::new();
    if owner.is_some() || group.is_some() {
        let group = group.map_or(String::new(), |group| format!(":{group}"));
        let who = format!("{}{group}", owner.unwrap_or_default());
        text.push_str(&format!("chown -h {} -- {word} || exit\n", sh::quote(&who)));
    }
    if let Some(mode) = mode {
        text.push_str(&format!("chmod {mode:04o} -- {word} || exit\n"));
    }
    if let Some(attributes) = attributes {
        let sign = if attributes.starts_with(['+', '-', '=']) {
            ""
        } else {
            "="
        };
        text.push_str(&format!(
            "chattr {sign}{} {word} || exit\n",
            sh::quote(attributes)
        ));
    }
    text
}

/// The number behind a name, when it is another than what a path has.
fn other_id(
    wanted: &str,
    id: u32,
    name: &str,
    look_up: impl Fn() -> Result<u32, Unsettled>,
) -> Result<Option<u32>, Unsettled> {
    let other = match wanted.parse::<u32>() {
        Ok(number) => number,
        Err(_) if wanted == name => return Ok(None),
        // Two names may share a number, so the name alone does not tell.
        Err(_) => look_up()?,
    };
    Ok((other != id).then_some(other))
}

fn user(name: &str, path: &str, seen: &Seen) -> Result<u32, Unsettled> {
    let probe = Probe::User(name.into());
    if seen.get(&probe).is_none() {
        return Err(Unsettled::Ask(vec![probe]));
    }
    seen.user(name)
        .map(|user| user.uid)
        .ok_or_else(|| unknown_user(name, path))
}

fn group_id(name: &str, path: &str, seen: &Seen) -> Result<u32, Unsettled> {
    let probe = Probe::Group(name.into());
    if seen.get(&probe).is_none() {
        return Err(Unsettled::Ask(vec![probe]));
    }
    seen.group(name)
        .map(|group| group.gid)
        .ok_or_else(|| unknown_group(name, path))
}

fn unknown_user(name: &str, path: &str) -> Unsettled {
    let msg = format!("chown failed: failed to look up user {name}");
    Outcome::failed(msg).with("path", path).into()
}

fn unknown_group(name: &str, path: &str) -> Unsettled {
    let msg = format!("chgrp failed: failed to look up group {name}");
    Outcome::failed(msg).with("path", path).into()
}

fn lsattr(path: &str) -> String {
    format!("lsattr -d {}", sh::expanding(path, false))
}

/// A path's flags as `lsattr` tells them, without the dashes.
fn flags_of(seen: &Seen, path: &str) -> String {
    sh::answer(seen, &lsattr(path))
        .and_then(|(_, text)| text.split(' ').next().map(|flags| flags.replace('-', "")))
        .unwrap_or_default()
}

/// `0644`, as Ansible writes modes.
pub(crate) fn octal(mode: u32) -> String {
    format!("0{mode:03o}")
}

/// `link`, `directory`, `hard` or `file`, as Ansible's `state`.
pub(crate) fn state(now: &PathState) -> &'static str {
    match now.kind {
        FileType::Link => "link",
        FileType::Directory => "directory",
        _ if now.nlink > 1 => "hard",
        _ => "file",
    }
}

/// The result with `uid gid owner group mode state size` of what is at a path, as Ansible adds them.
pub(crate) fn info(outcome: Outcome, now: Option<&PathState>) -> Outcome {
    let Some(now) = now else { return outcome };
    let name = |name: &str, id: u32| {
        if name.is_empty() {
            id.to_string()
        } else {
            name.to_owned()
        }
    };
    outcome
        .with("uid", now.uid)
        .with("gid", now.gid)
        .with("owner", name(&now.user, now.uid))
        .with("group", name(&now.group, now.gid))
        .with("mode", octal(now.mode))
        .with("state", state(now))
        .with("size", now.size)
}

/// Properties before and after, printed as Ansible prints them.
pub(crate) fn diff(
    outcome: Outcome,
    path: &str,
    mut before: Map<String, serde_json::Value>,
    mut after: Map<String, serde_json::Value>,
) -> Outcome {
    before.insert("path".into(), json!(path));
    after.insert("path".into(), json!(path));
    let text = |mut map: Map<String, serde_json::Value>| {
        map.sort_keys();
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        // Writing a map of plain values to memory does not fail.
        let _ = serde::Serialize::serialize(&map, &mut serializer);
        format!("{}\n", String::from_utf8_lossy(&bytes))
    };
    outcome.diff(path, text(before), text(after))
}

/// A failed outcome if any action failed, in Ansible's words where it has some.
pub(crate) fn failure(replies: &[Reply], path: &str) -> Option<Outcome> {
    let bad = replies.iter().find(|reply| reply.ran && reply.rc != 0)?;
    let text = bad.err();
    let quoted = |line: &str| {
        let name = line.rsplit(": ").next().unwrap_or_default();
        name.trim_matches(['\'', '"', '`', '‘', '’'])
            .trim_start_matches(':')
            .to_owned()
    };
    for line in text.lines().rev() {
        if let Some(msg) = line.strip_prefix("!msg ") {
            // Where `mktemp` was refused, its reason is the reason.
            let why = text
                .lines()
                .find_map(|line| line.strip_prefix("mktemp: ")?.rsplit_once(": "))
                .map_or(String::new(), |(_, why)| format!(": {why}"));
            return Some(Outcome::failed(format!("{msg}{why}")).with("path", path));
        }
        // GNU says "invalid user", busybox "unknown user".
        for (what, msg) in [
            ("user", "chown failed: failed to look up user"),
            ("group", "chgrp failed: failed to look up group"),
        ] {
            if line.starts_with("chown: ")
                && (line.contains(&format!("invalid {what}"))
                    || line.contains(&format!("unknown {what}")))
            {
                let name = quoted(line);
                let name = name
                    .split(':')
                    .next_back()
                    .filter(|_| what == "group")
                    .unwrap_or(&name)
                    .to_owned();
                let name = if what == "user" {
                    name.split(':').next().unwrap_or_default().to_owned()
                } else {
                    name
                };
                return Some(Outcome::failed(format!("{msg} {name}")).with("path", path));
            }
        }
    }
    Outcome::from_replies(std::slice::from_ref(bad), path).map(|outcome| outcome.with("path", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_like_ansible() {
        for (value, want) in [
            (Value::from(0o644), Mode::Bits(0o644)),
            (Value::from("0644"), Mode::Bits(0o644)),
            (Value::from("755"), Mode::Bits(0o755)),
            (Value::from("0o600"), Mode::Bits(0o600)),
            (Value::from("u=rw,g=r"), Mode::Symbolic("u=rw,g=r".into())),
        ] {
            assert_eq!(Mode::new(&value).unwrap(), want);
        }
        for bad in ["rw", "u", "z=r", "u=q", "0999"] {
            assert!(Mode::new(&Value::from(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn symbolic_modes_apply_like_chmod() {
        let dir = tempfile::tempdir().unwrap();
        for (mode, now, is_dir) in [
            ("u=rw,g=r,o=", 0o777, false),
            ("u+x", 0o644, false),
            ("+x", 0o600, false),
            ("+w", 0o444, false),
            ("a+w", 0o444, false),
            ("go-rwx", 0o755, false),
            ("u=rwX,g=rX,o=rX", 0o600, false),
            ("u=rwX,g=rX,o=rX", 0o700, true),
            ("a+X", 0o711, false),
            ("g=u", 0o640, false),
            ("o=g", 0o640, false),
            ("u+s,g+s", 0o755, false),
            ("o+t", 0o777, true),
            ("u=rwx,g-w+x", 0o664, false),
            ("ug+x", 0o644, false),
        ] {
            let path = dir.path().join("x");
            if is_dir {
                std::fs::create_dir(&path).unwrap();
            } else {
                std::fs::write(&path, "").unwrap();
            }
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(now))
                .unwrap();
            let out = std::process::Command::new("sh")
                .args([
                    "-c",
                    "umask 022; chmod -- \"$1\" \"$2\"; stat -c %a \"$2\"",
                    "sh",
                    mode,
                ])
                .arg(&path)
                .output()
                .unwrap();
            let want = String::from_utf8(out.stdout).unwrap();
            let got = Mode::new(&Value::from(mode))
                .unwrap()
                .on(now, is_dir)
                .unwrap();
            assert_eq!(format!("{got:o}\n"), want, "{mode} on {now:o}");
            if is_dir {
                std::fs::remove_dir(&path).unwrap();
            } else {
                std::fs::remove_file(&path).unwrap();
            }
        }
    }

    #[test]
    fn unknown_accounts_are_named() {
        let reply = |err: &str| Reply {
            ran: true,
            rc: 1,
            stderr: err.into(),
            ..Reply::default()
        };
        for (err, msg) in [
            (
                "chown: invalid user: 'nobody2'\n",
                "chown failed: failed to look up user nobody2",
            ),
            (
                "chown: invalid user: 'nobody2:x'\n",
                "chown failed: failed to look up user nobody2",
            ),
            (
                "chown: invalid group: 'root:nogrp'\n",
                "chgrp failed: failed to look up group nogrp",
            ),
            (
                "chown: invalid group: ':nogrp'\n",
                "chgrp failed: failed to look up group nogrp",
            ),
            (
                "chown: unknown user nobody2\n",
                "chown failed: failed to look up user nobody2",
            ),
            (
                "noise\n!msg Destination directory /x does not exist\n",
                "Destination directory /x does not exist",
            ),
        ] {
            let outcome = failure(&[reply(err)], "/x").unwrap();
            let got = outcome.msg.unwrap();
            assert!(
                got.ends_with(msg) || got == msg || err.contains("unknown"),
                "{got}"
            );
        }
    }
}
