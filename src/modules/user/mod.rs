//! `user`: by `useradd`, `usermod`, `userdel`, `chage`, and `chpasswd` for what must not be seen.

mod script;
#[cfg(test)]
mod tests;

use super::sh::answer;
use super::{
    Args, Chunk, Controller, Decision, Effect, Failure, FreeForm, Module, Outcome, Param, Plan,
    Probe, Reply, Runs, Seen, Spec, Step, Type,
};
use crate::modules::probe::UserState;
use crate::remote::{Payload, Secret};

/// `user`.
pub(crate) struct User;

static SPEC: Spec = Spec {
    name: "user",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Manages user accounts",
    params: &[
        Param::new("name", Type::Str, "the account")
            .required()
            .aliases(&["user"]),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["absent", "present"])
            .default("present"),
        Param::new("uid", Type::Int, "its number"),
        Param::new(
            "non_unique",
            Type::Bool,
            "allow a number that another account has",
        )
        .default("false"),
        Param::new("group", Type::Str, "primary group, by name or number"),
        Param::new(
            "groups",
            Type::List,
            "other groups; all others are left unless `append`",
        ),
        Param::new("append", Type::Bool, "add to `groups` and leave none").default("false"),
        Param::new("comment", Type::Str, "description, usually the full name"),
        Param::new("home", Type::Path, "home directory"),
        Param::new("shell", Type::Path, "login shell"),
        Param::new("password", Type::Str, "hash of the password").secret(),
        Param::new("update_password", Type::Str, "when to set the password")
            .choices(&["always", "on_create"])
            .default("always"),
        Param::new("password_lock", Type::Bool, "lock or unlock the password"),
        Param::new(
            "password_expire_max",
            Type::Int,
            "most days between changes of the password",
        ),
        Param::new(
            "password_expire_min",
            Type::Int,
            "fewest days between changes of the password",
        ),
        Param::new(
            "password_expire_warn",
            Type::Int,
            "days of warning before the password expires",
        ),
        Param::new(
            "password_expire_account_disable",
            Type::Int,
            "days after expiry until the account is disabled",
        ),
        Param::new(
            "expires",
            Type::Float,
            "when the account expires, in seconds since 1970; negative for never",
        ),
        Param::new("create_home", Type::Bool, "create a missing home directory")
            .aliases(&["createhome"])
            .default("true"),
        Param::new(
            "move_home",
            Type::Bool,
            "move the old home directory to `home`",
        )
        .default("false"),
        Param::new(
            "skeleton",
            Type::Str,
            "directory to fill a new home directory from",
        ),
        Param::new("umask", Type::Str, "umask for a new home directory"),
        Param::new(
            "system",
            Type::Bool,
            "number from the range of system accounts",
        )
        .default("false"),
        Param::new("uid_min", Type::Int, "lowest number to choose"),
        Param::new("uid_max", Type::Int, "highest number to choose"),
        Param::new(
            "remove",
            Type::Bool,
            "with `absent`: remove home directory and mail too",
        )
        .default("false"),
        Param::new(
            "force",
            Type::Bool,
            "with `absent`: remove even when logged in; with `generate_ssh_key`: overwrite",
        )
        .default("false"),
        Param::new("generate_ssh_key", Type::Bool, "generate an SSH key pair"),
        Param::new(
            "ssh_key_bits",
            Type::Int,
            "bits of the key; 0 for ssh-keygen's default",
        )
        .default("0"),
        Param::new("ssh_key_type", Type::Str, "type of the key").default("rsa"),
        Param::new(
            "ssh_key_file",
            Type::Path,
            "file of the key, from the home directory",
        ),
        Param::new("ssh_key_comment", Type::Str, "comment of the key"),
        Param::new("ssh_key_passphrase", Type::Str, "passphrase of the key").secret(),
        Param::new(
            "local",
            Type::Bool,
            "no effect: accounts are always made locally",
        ),
        Param::new("login_class", Type::Str, "no effect on Linux"),
        Param::new("hidden", Type::Bool, "no effect on Linux"),
        Param::new("profile", Type::Str, "no effect on Linux"),
        Param::new("authorization", Type::Str, "no effect on Linux"),
        Param::new("role", Type::Str, "no effect on Linux"),
        Param::unsupported("seuser", "SELinux is not managed"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for User {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let mut warnings = Vec::new();
        let password = args.str("password");
        if password.as_deref().is_some_and(looks_plain) {
            warnings.push(
                "The input password appears not to have been hashed. The 'password' argument must be encrypted for this module to work properly."
                    .to_owned(),
            );
        }
        let groups = args.has("groups").then(|| {
            let names = args.strings("groups");
            names
                .iter()
                .map(|name| name.trim().to_owned())
                .filter(|name| !name.is_empty())
                .collect()
        });
        if groups.is_none() && args.bool("append") {
            warnings.push("'append' is set, but no 'groups' are specified. Use 'groups' for appending new groups.".into());
        }
        let given = |name: &str| args.has(name).then(|| args.bool(name));
        let kind = args.text("ssh_key_type");
        Ok(Box::new(Account {
            name: args.text("name"),
            present: args.text("state") == "present",
            uid: args.int("uid"),
            non_unique: args.bool("non_unique"),
            group: args.str("group"),
            groups,
            append: args.bool("append"),
            comment: args.str("comment"),
            home: args.str("home"),
            shell: args.str("shell"),
            password: password.map(Secret::new),
            always: args.text("update_password") == "always",
            lock: given("password_lock"),
            ages: [
                ("-m", 1, args.int("password_expire_min")),
                ("-M", 2, args.int("password_expire_max")),
                ("-W", 3, args.int("password_expire_warn")),
            ],
            inactive: args.int("password_expire_account_disable"),
            expires: args.float("expires"),
            create_home: args.bool("create_home"),
            move_home: args.bool("move_home"),
            skeleton: args.str("skeleton"),
            umask: args.str("umask"),
            system: args.bool("system"),
            range: [
                ("UID_MIN", args.int("uid_min")),
                ("UID_MAX", args.int("uid_max")),
            ],
            remove: args.bool("remove"),
            force: args.bool("force"),
            key: args.bool("generate_ssh_key").then(|| Key {
                bits: args.int("ssh_key_bits").unwrap_or(0),
                file: args
                    .str("ssh_key_file")
                    .unwrap_or_else(|| format!(".ssh/id_{kind}")),
                kind,
                comment: args.str("ssh_key_comment"),
                passphrase: args.str("ssh_key_passphrase").map(Secret::new),
            }),
            warnings,
        }))
    }
}

/// Whether a password does not look like a hash, by Ansible's rules.
fn looks_plain(password: &str) -> bool {
    if matches!(password, "*" | "!" | "*************" | "") {
        return false;
    }
    let fields: Vec<&str> = password.split('$').collect();
    let (Some(kind), Some(hash)) = (fields.get(1), fields.last()) else {
        return true;
    };
    let right_length = match *kind {
        "1" => hash.len() == 22,
        "5" | "y" => hash.len() == 43,
        "6" => hash.len() == 86,
        _ => true,
    };
    fields.len() < 3
        || password.contains([':', '*', '!'])
        || !right_length
        || !hash
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '/')
}

/// What is wanted of an account.
struct Account {
    name: String,
    present: bool,
    uid: Option<i64>,
    non_unique: bool,
    group: Option<String>,
    groups: Option<Vec<String>>,
    append: bool,
    comment: Option<String>,
    home: Option<String>,
    shell: Option<String>,
    password: Option<Secret>,
    always: bool,
    lock: Option<bool>,
    /// Options of `chage`, their fields in shadow, and what they should be.
    ages: [(&'static str, usize, Option<i64>); 3],
    inactive: Option<i64>,
    expires: Option<f64>,
    create_home: bool,
    move_home: bool,
    skeleton: Option<String>,
    umask: Option<String>,
    system: bool,
    range: [(&'static str, Option<i64>); 2],
    remove: bool,
    force: bool,
    key: Option<Key>,
    warnings: Vec<String>,
}

/// A key pair to generate.
struct Key {
    bits: i64,
    kind: String,
    file: String,
    comment: Option<String>,
    passphrase: Option<Secret>,
}

/// What the script of [`script::about`] told.
#[derive(Default)]
struct About {
    home: bool,
    key: bool,
    public: Option<String>,
    fingerprint: Option<String>,
    key_file: Option<String>,
    /// Groups that list the account as a member.
    member: Vec<String>,
    /// Name and number of groups that were asked for.
    groups: Vec<(String, u32)>,
}

impl About {
    fn read(text: &str) -> Self {
        let mut about = Self::default();
        for line in text.lines() {
            let (key, value) = line.split_once(' ').unwrap_or((line, ""));
            let mut fields = value.split(':');
            let name = fields.next().unwrap_or_default().to_owned();
            match key {
                "home" => about.home = true,
                "key" => about.key = true,
                "file" => about.key_file = Some(value.into()),
                "public" => about.public = Some(value.trim().into()),
                "fingerprint" => about.fingerprint = Some(value.trim().into()),
                "member" => about.member.push(name),
                "group" => {
                    let gid = fields.nth(1).and_then(|gid| gid.parse().ok()).unwrap_or(0);
                    about.groups.push((name, gid));
                }
                _ => {}
            }
        }
        about
    }

    /// A group by number or name.
    fn group(&self, wanted: &str) -> Option<&(String, u32)> {
        let by_number = wanted
            .parse::<u32>()
            .ok()
            .and_then(|gid| self.groups.iter().find(|(_, g)| *g == gid));
        by_number.or_else(|| self.groups.iter().find(|(name, _)| name == wanted))
    }
}

/// One action: its script, and what it reads.
struct Action {
    script: String,
    input: Option<Secret>,
}

impl Action {
    fn new(script: String) -> Self {
        Self {
            script,
            input: None,
        }
    }

    fn chunk(&self) -> Chunk {
        let mut chunk = Chunk::new(self.script.as_str());
        chunk.input = self
            .input
            .as_ref()
            .map(|text| Payload::Bytes(text.reveal().as_bytes().into()));
        chunk
    }
}

impl Account {
    fn about(&self, seen: &Seen) -> About {
        answer(seen, &self.about_script())
            .map_or_else(About::default, |(_, text)| About::read(&text))
    }

    /// What must be done, in order.
    ///
    /// # Errors
    /// When a group is missing.
    fn actions(&self, seen: &Seen) -> Result<Vec<Action>, String> {
        let about = self.about(seen);
        let now = seen.user(&self.name);
        if !self.present {
            return Ok(now
                .map(|_| Action::new(self.userdel()))
                .into_iter()
                .collect());
        }
        let wanted = self.groups.iter().flatten().chain(&self.group);
        for group in wanted {
            if about.group(group).is_none() {
                return Err(format!("Group {group} does not exist"));
            }
        }
        let mut actions = Vec::new();
        match now {
            None => {
                actions.push(Action::new(self.useradd(&about)));
                actions.extend(self.set_password());
                actions.extend(self.key.as_ref().map(|key| self.keygen(key)));
            }
            Some(now) => {
                let (words, password) = self.usermod(now, &about);
                if !words.is_empty() {
                    actions.push(Action::new(self.tool("usermod", &words)));
                }
                if password {
                    actions.extend(self.set_password());
                }
                let moved =
                    self.move_home && self.home.as_ref().is_some_and(|home| *home != now.home);
                if self.create_home && !about.home && !moved {
                    actions.push(Action::new(self.make_home(now)));
                }
                let overwrite = self.force || !about.key;
                actions.extend(
                    self.key
                        .as_ref()
                        .filter(|_| overwrite)
                        .map(|key| self.keygen(key)),
                );
            }
        }
        actions.extend(self.chage(now).map(Action::new));
        Ok(actions)
    }

    /// Options for `usermod`, and whether the password must be set.
    fn usermod(&self, now: &UserState, about: &About) -> (Vec<String>, bool) {
        let mut words: Vec<String> = Vec::new();
        if let Some(uid) = self.uid.filter(|uid| *uid != i64::from(now.uid)) {
            words.extend(["-u".into(), uid.to_string()]);
            if self.non_unique {
                words.push("-o".into());
            }
        }
        if let Some((_, gid)) = self.group.as_ref().and_then(|group| about.group(group))
            && *gid != now.gid
        {
            words.extend(["-g".into(), gid.to_string()]);
        }
        if let Some(groups) = self.other_groups(about) {
            if self.append {
                words.push("-a".into());
            }
            words.extend(["-G".into(), groups.join(",")]);
        }
        if let Some(comment) = self
            .comment
            .as_ref()
            .filter(|comment| **comment != now.comment)
        {
            words.extend(["-c".into(), comment.clone()]);
        }
        if let Some(home) = self.home.as_ref().filter(|home| **home != now.home) {
            words.extend(["-d".into(), home.clone()]);
            if self.move_home {
                words.push("-m".into());
            }
        }
        if let Some(shell) = self.shell.as_ref().filter(|shell| **shell != now.shell) {
            words.extend(["-s".into(), shell.clone()]);
        }
        let days = |field: usize| {
            now.shadow
                .get(field)
                .and_then(|days| days.parse::<i64>().ok())
        };
        if let Some(expires) = self.expires {
            let current = days(5).unwrap_or(-1);
            if expires < 0.0 {
                if current >= 0 {
                    words.extend(["-e".into(), String::new()]);
                }
            } else if current != script::day(expires) {
                words.extend(["-e".into(), script::date(expires)]);
            }
        }
        if let Some(inactive) = self
            .inactive
            .filter(|inactive| days(4).unwrap_or(-1) != *inactive)
        {
            words.extend(["-f".into(), inactive.to_string()]);
        }
        let current = now.password.as_deref().unwrap_or_default();
        let password = self.always
            && self.password.as_ref().is_some_and(|wanted| {
                wanted.reveal().trim_start_matches('!') != current.trim_start_matches('!')
            });
        // A new password is set locked or not at once.
        if !password {
            match self.lock {
                Some(true) if !current.starts_with('!') => words.push("-L".into()),
                Some(false) if current.starts_with('!') => words.push("-U".into()),
                _ => {}
            }
        }
        (words, password)
    }

    /// The groups to set, by name, when they are not as wanted.
    fn other_groups(&self, about: &About) -> Option<Vec<String>> {
        let wanted = self.groups.as_ref()?;
        let mut names: Vec<String> = wanted
            .iter()
            .filter_map(|group| about.group(group))
            .map(|(name, _)| name.clone())
            .collect();
        names.sort();
        names.dedup();
        let missing = names.iter().any(|name| !about.member.contains(name));
        let surplus = about.member.iter().any(|name| !names.contains(name));
        (missing || (surplus && !self.append)).then_some(names)
    }

    fn outcome(&self, changed: bool, before: &Seen, after: &Seen) -> Outcome {
        let mut outcome = Outcome::ok()
            .with("name", self.name.as_str())
            .with("state", if self.present { "present" } else { "absent" });
        outcome.changed = changed;
        outcome.warnings.clone_from(&self.warnings);
        let existed = before.user(&self.name).is_some();
        if !self.present {
            if existed {
                outcome = outcome
                    .with("force", self.force)
                    .with("remove", self.remove);
            }
            return outcome;
        }
        outcome = if existed {
            outcome
                .with("append", self.append)
                .with("move_home", self.move_home)
        } else {
            outcome
                .with("system", self.system)
                .with("create_home", self.create_home)
        };
        if self.password.is_some() {
            outcome = outcome.with("password", "NOT_LOGGING_PASSWORD");
        }
        let Some(now) = after.user(&self.name) else {
            return outcome;
        };
        outcome = outcome
            .with("uid", now.uid)
            .with("group", now.gid)
            .with("comment", now.comment.as_str())
            .with("home", now.home.as_str())
            .with("shell", now.shell.as_str());
        if let Some(groups) = &self.groups {
            outcome = outcome.with("groups", groups.join(","));
        }
        if self.key.is_some() {
            let about = self.about(after);
            if existed && self.about(before).key && !self.force {
                outcome.warnings.push(format!(
                    "Found existing ssh key private file \"{}\", no force, so skipping ssh-keygen generation",
                    about.key_file.as_deref().unwrap_or_default()
                ));
            }
            outcome = outcome
                .with("ssh_fingerprint", about.fingerprint)
                .with("ssh_key_file", about.key_file)
                .with("ssh_public_key", about.public);
        }
        outcome
    }
}

impl Step for Account {
    fn probes(&self) -> Vec<Probe> {
        let mut probes = vec![Probe::User(self.name.clone())];
        if self.present {
            probes.push(Probe::Script(self.about_script()));
        }
        probes
    }

    fn decide(&self, seen: &Seen) -> Decision {
        match self.actions(seen) {
            Err(msg) => Decision::Done(Outcome::failed(msg)),
            Ok(actions) if actions.is_empty() => Decision::Done(self.outcome(false, seen, seen)),
            Ok(actions) => Decision::Act(Plan {
                actions: actions.iter().map(Action::chunk).collect(),
                // Home directories come and go with accounts.
                effects: vec![Effect::Accounts, Effect::Anything],
                predicted: self.outcome(true, seen, seen),
                opaque: false,
            }),
        }
    }

    fn finish(&self, before: &Seen, replies: &[Reply], after: &Seen) -> Outcome {
        if let Some(reply) = replies.iter().find(|reply| reply.ran && reply.rc != 0) {
            return Outcome::failed(reply.err().trim())
                .with("name", self.name.as_str())
                .with("rc", reply.rc);
        }
        let mut outcome = self.outcome(true, before, after);
        for (key, text) in [
            ("stdout", replies.iter().map(Reply::out).collect::<String>()),
            ("stderr", replies.iter().map(Reply::err).collect::<String>()),
        ] {
            if !text.is_empty() {
                outcome = outcome.with(key, text.as_str()).with(
                    &format!("{key}_lines"),
                    super::sh::strings(super::sh::lines(&text)),
                );
            }
        }
        outcome
    }
}
