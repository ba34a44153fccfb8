//! The commands that `user` runs.

use super::{About, Account, Action, Key};
use crate::modules::probe::UserState;
use crate::modules::sh::{join, quote};
use crate::remote::Secret;

const PATH: &str = "PATH=$PATH:/usr/sbin:/sbin";

/// A moment's day, counted from 1970.
#[allow(clippy::cast_possible_truncation)] // far beyond any account's life
pub(super) fn day(seconds: f64) -> i64 {
    (seconds / 86_400.0).floor() as i64
}

/// A moment's day as `usermod -e` takes it.
pub(super) fn date(seconds: f64) -> String {
    if seconds < 0.0 {
        return String::new();
    }
    time::OffsetDateTime::from_unix_timestamp(day(seconds) * 86_400)
        .map(|t| format!("{:04}-{:02}-{:02}", t.year(), u8::from(t.month()), t.day()))
        .unwrap_or_default()
}

impl Account {
    /// Tells what getent's line of the account does not: home, groups, key.
    pub(super) fn about_script(&self) -> String {
        let name = quote(&self.name);
        let mut asked: Vec<&String> = self.groups.iter().flatten().chain(&self.group).collect();
        asked.push(&self.name);
        asked.sort();
        asked.dedup();
        let home = self.home.as_deref().map_or("$h".to_owned(), quote);
        let key = self.key.as_ref().map_or(String::new(), |key| {
            format!(
                "f={}; case $f in /*) ;; *) f=$h/$f ;; esac; echo \"file $f\"\n\
                 [ -e \"$f\" ] && echo key && echo \"fingerprint $(ssh-keygen -l -f \"$f\" 2>&1)\"\n\
                 [ -r \"$f.pub\" ] && echo \"public $(cat \"$f.pub\")\"\n",
                quote(&key.file)
            )
        });
        // Names of accounts hold nothing that means something to grep but dots and `$`.
        let pattern = self.name.replace('.', "\\.").replace('$', "\\$");
        format!(
            "h=$(getent passwd {name}) && {{ h=${{h%:*}}; h=${{h##*:}}; }}\n\
             [ -n \"$h\" ] && [ -e {home} ] && echo home\n\
             getent group | grep -E {} | sed 's/^/member /'\n\
             getent group {} | sed 's/^/group /'\n{key}:",
            quote(&format!("[:,]{pattern}(,|$)")),
            join(asked),
            home = if self.home.is_some() {
                home
            } else {
                "\"$h\"".into()
            },
        )
    }

    pub(super) fn tool(&self, tool: &str, words: &[String]) -> String {
        format!("{PATH} {tool} {} {}", join(words), quote(&self.name))
    }

    pub(super) fn userdel(&self) -> String {
        let mut words = Vec::new();
        if self.force {
            words.push("-f".to_owned());
        }
        if self.remove {
            words.push("-r".to_owned());
        }
        self.tool("userdel", &words)
    }

    pub(super) fn useradd(&self, about: &About) -> String {
        let mut words: Vec<String> = Vec::new();
        let mut option = |flag: &str, value: Option<String>| {
            if let Some(value) = value {
                words.extend([flag.to_owned(), value]);
            }
        };
        option("-u", self.uid.map(|uid| uid.to_string()));
        option("-g", self.group.clone());
        let primary = self
            .group
            .as_ref()
            .and_then(|group| about.group(group))
            .map(|(_, gid)| *gid);
        let groups: Vec<String> = self
            .groups
            .iter()
            .flatten()
            .filter(|group| {
                about
                    .group(group)
                    .is_none_or(|(_, gid)| Some(*gid) != primary)
            })
            .cloned()
            .collect();
        option("-G", (!groups.is_empty()).then(|| groups.join(",")));
        option("-c", self.comment.clone());
        option("-d", self.home.clone());
        option("-s", self.shell.clone());
        option("-e", self.expires.map(date));
        option("-f", self.inactive.map(|days| days.to_string()));
        if self.create_home {
            option("-k", self.skeleton.clone());
            option(
                "-K",
                self.umask.as_ref().map(|umask| format!("UMASK={umask}")),
            );
        }
        for (key, number) in self.range {
            option("-K", number.map(|number| format!("{key}={number}")));
        }
        words.push(if self.create_home { "-m" } else { "-M" }.into());
        if self.uid.is_some() && self.non_unique {
            words.push("-o".into());
        }
        // useradd would stumble over a group of the same name.
        if self.group.is_none() && about.group(&self.name).is_some() {
            words.push("-N".into());
        }
        if self.system {
            words.push("-r".into());
        }
        let parent = self
            .home
            .as_deref()
            .filter(|_| self.create_home)
            .and_then(|home| home.trim_end_matches('/').rsplit_once('/'))
            .map(|(parent, _)| parent)
            .filter(|parent| !parent.is_empty());
        let parent = parent.map_or(String::new(), |parent| {
            format!("mkdir -p -- {} || exit\n", quote(parent))
        });
        let lock = if self.lock == Some(true) && self.password.is_none() {
            format!(" && {}", self.tool("usermod", &["-L".into()]))
        } else {
            String::new()
        };
        format!("{parent}{}{lock}", self.tool("useradd", &words))
    }

    /// Sets the hash; it travels on standard input, never in an argument.
    pub(super) fn set_password(&self) -> Option<Action> {
        let hash = self.password.as_ref()?;
        let lock = if self.lock == Some(true) { "!" } else { "" };
        if hash.reveal().is_empty() && lock.is_empty() {
            return Some(Action::new(format!(
                "{PATH} passwd -d {} >/dev/null",
                quote(&self.name)
            )));
        }
        Some(Action {
            script: format!("{PATH} chpasswd -e"),
            input: Some(Secret::new(format!(
                "{}:{lock}{}\n",
                self.name,
                hash.reveal()
            ))),
        })
    }

    /// A home directory as useradd makes it, for an account that exists.
    pub(super) fn make_home(&self, now: &UserState) -> String {
        let home = quote(self.home.as_deref().unwrap_or(&now.home));
        let skeleton = quote(self.skeleton.as_deref().unwrap_or("/etc/skel"));
        format!(
            "mkdir -p -- {home} || exit\n\
             if [ -d {skeleton} ]; then cp -R -P -- {skeleton}/. {home} || exit; fi\n\
             mode=755\n\
             while read -r key value _; do\n \
             case $key in\n HOME_MODE) mode=$value; break ;;\n \
             UMASK) case $value in *[!0-7]* | '') ;; *) mode=$(printf %o $((0777 & ~0$value))) ;; esac ;;\n esac\n\
             done </etc/login.defs\n\
             chmod \"$mode\" {home} && chown -R -h \"$(id -u {name}):$(id -g {name})\" {home}",
            name = quote(&self.name)
        )
    }

    pub(super) fn keygen(&self, key: &Key) -> Action {
        let name = quote(&self.name);
        let mut words: Vec<String> = vec!["-q".into(), "-t".into(), key.kind.clone()];
        if key.bits > 0 {
            words.extend(["-b".into(), key.bits.to_string()]);
        }
        let comment = key
            .comment
            .as_deref()
            .map_or("\"ansible-generated on $(uname -n)\"".to_owned(), quote);
        // ssh-keygen asks a program for the passphrase when it has no terminal.
        let (secret, phrase) = match &key.passphrase {
            Some(_) => (
                "umask 077; cat >\"$MP_TMP/passphrase\"\n\
                 printf '#!/bin/sh\\ncat \"%s/passphrase\"\\n' \"$MP_TMP\" >\"$MP_TMP/askpass\"; chmod 700 \"$MP_TMP/askpass\"\n\
                 trap 'rm -f \"$MP_TMP/passphrase\" \"$MP_TMP/askpass\"' EXIT\n\
                 export SSH_ASKPASS=\"$MP_TMP/askpass\" SSH_ASKPASS_REQUIRE=force DISPLAY=:0\n",
                "",
            ),
            None => ("", " -N ''"),
        };
        let script = format!(
            "h=$(getent passwd {name}) && h=${{h%:*}} && h=${{h##*:}}\n\
             f={file}; case $f in /*) ;; *) f=$h/$f; [ -d \"$h\" ] || {{ echo 'User {plain} home directory does not exist' >&2; exit 1; }} ;; esac\n\
             o=\"$(id -u {name}):$(id -g {name})\"\n\
             d=${{f%/*}}; [ -d \"$d\" ] || {{ mkdir -m 700 -- \"$d\" && chown \"$o\" \"$d\"; }} || exit\n\
             {secret}rm -f \"$f\" \"$f.pub\"\n\
             ssh-keygen {} -C {comment} -f \"$f\"{phrase} </dev/null >/dev/null && chown \"$o\" \"$f\" \"$f.pub\"",
            join(words),
            file = quote(&key.file),
            plain = self.name.replace('\'', ""),
        );
        Action {
            script,
            input: key.passphrase.clone(),
        }
    }

    /// Ages of the password that are not as wanted.
    pub(super) fn chage(&self, now: Option<&UserState>) -> Option<String> {
        let mut words = Vec::new();
        for (flag, field, wanted) in self.ages {
            let current = now
                .and_then(|now| now.shadow.get(field))
                .and_then(|days| days.parse::<i64>().ok());
            if let Some(wanted) = wanted.filter(|wanted| current != Some(*wanted)) {
                words.extend([flag.to_owned(), wanted.to_string()]);
            }
        }
        (!words.is_empty()).then(|| self.tool("chage", &words))
    }
}
