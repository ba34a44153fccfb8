//! `known_hosts`: host keys, plain or with hashed names.

use super::attrs::Attrs;
use super::rule::{self, Act, Known, Rule, Verdict};
use super::{
    Args, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Runs, Seen, Spec, Step,
    Type,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha1::{Digest as _, Sha1};

/// `known_hosts`.
pub(crate) struct KnownHosts;

static SPEC: Spec = Spec {
    name: "known_hosts",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Manages known host keys",
    params: &[
        Param::new("name", Type::Str, "the host")
            .required()
            .aliases(&["host"]),
        Param::new("key", Type::Str, "its line: name, type and key"),
        Param::new("path", Type::Path, "the file").default("~/.ssh/known_hosts"),
        Param::new("hash_host", Type::Bool, "hash the name").default("false"),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["absent", "present"])
            .default("present"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for KnownHosts {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let wanted = Wanted {
            host: args.text("name").to_lowercase(),
            key: args
                .str("key")
                .map(|key| key.trim().to_owned())
                .filter(|key| !key.is_empty()),
            path: args.text("path"),
            hash: args.bool("hash_host"),
            present: args.text("state") == "present",
        };
        if let Some(key) = &wanted.key {
            if wanted.host.contains(',') {
                return Err(Failure::of(
                    "name",
                    "Comma separated list of names is not supported. Please pass a single name to lookup in the known_hosts file.",
                ));
            }
            let entry = Entry::parse(key)
                .ok_or_else(|| Failure::of("key", "the key must be `host type key`"))?;
            if !entry.is_of(&wanted.host) {
                return Err(Failure::of(
                    "key",
                    "Host parameter does not match hashed host field in supplied key",
                ));
            }
        } else if wanted.present {
            return Err(Failure::of("key", "No key specified when adding a host"));
        }
        let path = wanted.path.clone();
        Rule::new(vec![rule::content(&path), rule::stat(&path)], move |seen| {
            wanted.judge(seen)
        })
        .step()
    }
}

/// A line's parts.
#[derive(Debug, PartialEq)]
struct Entry<'a> {
    marker: Option<&'a str>,
    host: &'a str,
    kind: &'a str,
    key: &'a str,
}

impl<'a> Entry<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split_whitespace().peekable();
        let marker = words.next_if(|word| word.starts_with('@'));
        let host = words.next().filter(|word| !word.starts_with('#'))?;
        Some(Self {
            marker,
            host,
            kind: words.next()?,
            key: words.next()?,
        })
    }

    /// Whether it is about this host, by name or by hash.
    fn is_of(&self, host: &str) -> bool {
        match self
            .host
            .strip_prefix("|1|")
            .and_then(|rest| rest.split_once('|'))
        {
            Some((salt, hash)) => BASE64
                .decode(salt)
                .is_ok_and(|salt| BASE64.encode(hmac(&salt, host)) == hash),
            None => self
                .host
                .split(',')
                .any(|name| name.eq_ignore_ascii_case(host)),
        }
    }
}

/// HMAC-SHA1, as ssh hashes names.
fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut block = [0_u8; 64];
    block[..key.len().min(64)].copy_from_slice(&key[..key.len().min(64)]);
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha1::new()
        .chain_update(pad(0x36))
        .chain_update(text)
        .finalize();
    Sha1::new()
        .chain_update(pad(0x5c))
        .chain_update(inner)
        .finalize()
        .to_vec()
}

struct Wanted {
    host: String,
    key: Option<String>,
    path: String,
    hash: bool,
    present: bool,
}

impl Wanted {
    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let old = rule::text(seen, &self.path)?.unwrap_or_default();
        let mut outcome = Outcome::ok()
            .with("name", self.host.as_str())
            .with("key", self.key.clone())
            .with("path", self.path.as_str())
            .with("hash_host", self.hash)
            .with("state", if self.present { "present" } else { "absent" });
        let Some(text) = self.text(&old) else {
            return Ok(outcome.into());
        };
        let mut write = rule::write(
            &self.path,
            seen.stat(&self.path, true),
            &text,
            &Attrs::default(),
        )?;
        if self.path.starts_with("~/.ssh/") {
            write.script = format!(
                "[ -d ~/.ssh ] || mkdir -m 700 ~/.ssh || exit\n{}",
                write.script
            );
        }
        outcome = outcome.diff(&self.path, old, text);
        Ok(Act::change(
            vec![write],
            vec![Effect::Path(self.path.clone())],
            outcome,
            format!("writing {}", self.path),
        )
        .into())
    }

    /// The file's new text, unless it is as wanted.
    fn text(&self, old: &str) -> Option<String> {
        let lines: Vec<&str> = old.split_inclusive('\n').collect();
        let of_host = |line: &&str| Entry::parse(line).is_some_and(|entry| entry.is_of(&self.host));
        let Some(key) = &self.key else {
            let rest: String = lines
                .iter()
                .filter(|line| !of_host(line))
                .copied()
                .collect();
            return (rest != old).then_some(rest);
        };
        let new = Entry::parse(key)?;
        // The line with the same key, or else the first with a key of the same type.
        let found = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| of_host(line))
            .find_map(|(i, line)| {
                let entry = Entry::parse(line)?;
                let hashed = entry.host.starts_with("|1|");
                let same_name = entry.host == new.host
                    || (hashed && (self.hash || new.host.starts_with("|1|")));
                let same = entry.kind == new.kind
                    && entry.key == new.key
                    && entry.marker == new.marker
                    && same_name;
                let renamed = if self.hash { hashed } else { same_name };
                (same && renamed).then_some((i, true)).or_else(|| {
                    (entry.marker.is_none() && entry.kind == new.kind).then_some((i, false))
                })
            });
        let without = |at: Option<usize>| -> String {
            lines
                .iter()
                .enumerate()
                .filter(|(i, _)| Some(*i) != at)
                .map(|(_, line)| *line)
                .collect()
        };
        match (found, self.present) {
            (Some((_, true)), true) | (None, false) => None,
            (Some((at, _)), false) => Some(without(Some(at))),
            (found, true) => {
                let mut text = without(found.map(|(at, _)| at));
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push('\n');
                }
                Some(text + &self.line(key, &new) + "\n")
            }
        }
    }

    /// The line to add. The salt is made of the key: the same key gets the same line.
    fn line(&self, key: &str, entry: &Entry) -> String {
        if !self.hash || entry.host.starts_with("|1|") {
            return key.to_owned();
        }
        let salt = hmac(
            key.as_bytes().get(..64).unwrap_or(key.as_bytes()),
            &self.host,
        );
        let name = format!(
            "|1|{}|{}",
            BASE64.encode(&salt),
            BASE64.encode(hmac(&salt, &self.host))
        );
        let words: Vec<&str> = key
            .split_whitespace()
            .map(|word| {
                if word == entry.host {
                    name.as_str()
                } else {
                    word
                }
            })
            .collect();
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(host: &str, key: Option<&str>, hash: bool, present: bool) -> Wanted {
        Wanted {
            host: host.into(),
            key: key.map(str::to_owned),
            path: String::new(),
            hash,
            present,
        }
    }

    const FILE: &str = "a,1.2.3.4 ssh-rsa AAA\nb ssh-rsa BBB\nb ssh-ed25519 CCC\n";

    #[test]
    fn keys_come_and_go() {
        let text = |host, key, present| wanted(host, key, false, present).text(FILE);
        assert_eq!(text("b", Some("b ssh-rsa BBB"), true), None);
        assert_eq!(
            text("b", Some("b ssh-rsa NEW"), true).unwrap(),
            "a,1.2.3.4 ssh-rsa AAA\nb ssh-ed25519 CCC\nb ssh-rsa NEW\n"
        );
        assert_eq!(
            text("c", Some("c ssh-rsa X"), true).unwrap(),
            format!("{FILE}c ssh-rsa X\n")
        );
        assert_eq!(text("b", None, false).unwrap(), "a,1.2.3.4 ssh-rsa AAA\n");
        assert_eq!(
            text("b", Some("b ssh-rsa BBB"), false).unwrap(),
            "a,1.2.3.4 ssh-rsa AAA\nb ssh-ed25519 CCC\n"
        );
        assert_eq!(text("c", None, false), None);
    }

    #[test]
    fn names_are_hashed_as_ssh_does() {
        let text = wanted("h.example", Some("h.example ssh-rsa AAA"), true, true)
            .text("")
            .unwrap();
        assert!(text.starts_with("|1|"), "{text}");
        assert_eq!(
            wanted("h.example", Some("h.example ssh-rsa AAA"), true, true).text(&text),
            None
        );
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known_hosts");
        std::fs::write(&file, &text).unwrap();
        let Ok(out) = std::process::Command::new("ssh-keygen")
            .args(["-F", "h.example", "-f"])
            .arg(&file)
            .output()
        else {
            return;
        };
        assert!(String::from_utf8_lossy(&out.stdout).contains("found: line 1"));
    }
}
