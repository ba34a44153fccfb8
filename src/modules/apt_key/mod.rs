//! `apt_key`: keys that apt trusts for everything, without apt-key and without gpg.
//!
//! Keys are read and written here, as packets: the host only tells and keeps bytes.

mod openpgp;

use self::openpgp::Key;
use super::rule::{self, Act, Known, Rule, Verdict};
use super::sh::{quote, strings};
use super::{
    Args, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Seen, Spec,
    Step, Type, fetch,
};
use crate::remote::{Chunk, Payload};
use base64::Engine as _;

/// `apt_key`.
pub(crate) struct AptKey;

static SPEC: Spec = Spec {
    name: "apt_key",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Manages keys that apt trusts",
    params: &[
        Param::new("id", Type::Str, "the key: 8, 16 or more hexadecimal digits"),
        Param::new("data", Type::Str, "the key itself"),
        Param::new("file", Type::Path, "file of the key on the host"),
        Param::new("url", Type::Str, "address of the key"),
        Param::new("keyserver", Type::Str, "server to take the key `id` from"),
        Param::new("keyring", Type::Path, "file to keep it in"),
        Param::new(
            "validate_certs",
            Type::Bool,
            "no effect: certificates are always checked",
        )
        .default("true"),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["absent", "present"])
            .default("present"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for AptKey {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let source = match ["data", "file", "url", "keyserver"].map(|name| args.str(name)) {
            [Some(data), None, None, None] => Some(Source::Data(data)),
            [None, Some(file), None, None] => Some(Source::File(file)),
            [None, None, Some(url), None] => Some(Source::Url(url)),
            [None, None, None, Some(server)] => {
                Some(Source::Url(lookup(&server, &args.text("id"))?))
            }
            [None, None, None, None] => None,
            _ => {
                return Err(Failure::new(
                    "parameters are mutually exclusive: data|file|keyserver|url",
                ));
            }
        };
        let id = args.str("id").map(|id| parse_id(&id)).transpose()?;
        if id.is_none() && source.is_none() {
            return Err(Failure::new(
                "Invalid key_id: one of id, data, file, url is needed",
            ));
        }
        let full = id.as_ref().is_some_and(|id| id.len() >= 40);
        if let Some(Source::Url(url)) = &source {
            super::download::check("id", url, full, controller)?;
        }
        let wanted = Wanted {
            id,
            source,
            keyring: args.str("keyring"),
            present: args.text("state") == "present",
        };
        let probes = vec![Probe::Script(wanted.list())];
        Rule::new(probes, move |seen| wanted.judge(seen)).step()
    }
}

/// Where a key server serves a key.
fn lookup(server: &str, id: &str) -> Result<String, Failure> {
    if id.is_empty() {
        return Err(Failure::of(
            "keyserver",
            "Missing key_id, required with keyserver.",
        ));
    }
    let host = server
        .split_once("://")
        .map_or(server, |(_, host)| host)
        .trim_end_matches('/');
    let host = host.split(':').next().unwrap_or(host);
    let id = parse_id(id)?;
    Ok(format!(
        "https://{host}/pks/lookup?op=get&options=mr&search=0x{id}"
    ))
}

fn parse_id(id: &str) -> Result<String, Failure> {
    let upper = id.trim().to_uppercase().replace(' ', "");
    let digits = upper.strip_prefix("0X").unwrap_or(&upper);
    if !digits.chars().all(|c| c.is_ascii_hexdigit()) || !(digits.len() == 8 || digits.len() >= 16)
    {
        return Err(Failure::of(
            "id",
            "Invalid key_id: it must be 8, 16, or more hexadecimal characters in length",
        ));
    }
    Ok(digits.into())
}

enum Source {
    Data(String),
    File(String),
    Url(String),
}

struct Wanted {
    id: Option<String>,
    source: Option<Source>,
    keyring: Option<String>,
    present: bool,
}

/// A keyring and the keys in it.
type Ring = (String, Vec<Key>);

impl Wanted {
    /// Prints whether there is an apt-key, and every keyring's path and bytes.
    fn list(&self) -> String {
        let files = self.keyring.as_deref().map_or(
            "/etc/apt/trusted.gpg /etc/apt/trusted.gpg.d/*.gpg /etc/apt/trusted.gpg.d/*.asc".into(),
            |file| super::sh::expanding(file, false),
        );
        format!(
            "command -v apt-key >/dev/null && echo apt-key\n\
             for f in {files}; do [ -s \"$f\" ] && echo \"ring $f\" && base64 -w 0 \"$f\" && echo; done\n:"
        )
    }

    fn rings(&self, seen: &Seen) -> Known<(bool, Vec<Ring>)> {
        let (_, out) = rule::script(seen, &self.list())?;
        let mut rings: Vec<Ring> = Vec::new();
        for line in out.lines() {
            if let Some(path) = line.strip_prefix("ring ") {
                rings.push((path.into(), Vec::new()));
            } else if let Some((_, keys)) = rings.last_mut() {
                *keys = openpgp::keys(&decode(line));
            }
        }
        Ok((out.starts_with("apt-key\n"), rings))
    }

    /// The keys to add.
    fn given(&self, seen: &Seen) -> Known<Vec<Key>> {
        let (script, what) = match &self.source {
            Some(Source::Data(data)) => return Ok(openpgp::keys(data.as_bytes())),
            Some(Source::File(file)) => (
                format!("base64 {}", super::sh::expanding(file, false)),
                file,
            ),
            Some(Source::Url(url)) => (fetch::print(url), url),
            None => return Ok(Vec::new()),
        };
        let (rc, out) = rule::script(seen, &script)?;
        if rc != 0 {
            return Err(Outcome::failed(format!(
                "Failed to download key at {what}: {}",
                out.trim()
            ))
            .into());
        }
        let keys = openpgp::keys(&decode(&out));
        if keys.is_empty() {
            return Err(Outcome::failed(format!("Unable to extract key from '{what}'")).into());
        }
        Ok(keys)
    }

    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let (has_apt_key, rings) = self.rings(seen)?;
        // With an id the key itself is needed only when it is missing.
        let mut given = None;
        let id = match &self.id {
            Some(id) => id.clone(),
            None => {
                let keys = self.given(seen)?;
                let id = keys
                    .first()
                    .and_then(|key| key.ids().next())
                    .map(str::to_owned);
                given = Some(keys);
                match id {
                    Some(id) => id,
                    None => {
                        return Ok(
                            Outcome::failed("Unable to extract key from 'inline data'").into()
                        );
                    }
                }
            }
        };
        let short = id.len() == 8;
        let ids = |rings: &[Ring]| -> Vec<String> {
            let ids = rings.iter().flat_map(|(_, keys)| keys).flat_map(Key::ids);
            ids.map(|id| if short { &id[8..] } else { id }.to_owned())
                .collect()
        };
        let outcome = Outcome::ok()
            .with("id", id.as_str())
            .with("short_id", &id[id.len() - 8..])
            .with("fp", &id[id.len().saturating_sub(16)..])
            .with("key_id", id.as_str())
            .with("before", strings(ids(&rings)));
        let mut outcome = outcome;
        if short && self.present {
            outcome.warnings.push(format!(
                "the id {id} of a key is short, and keys with the same one are easily made: give the fingerprint of 40 digits"
            ));
        }
        let known = rings
            .iter()
            .any(|(_, keys)| keys.iter().any(|key| key.is(&id)));
        if known == self.present {
            if known {
                let there = rings.iter().flat_map(|(_, keys)| keys);
                outcome.warnings.extend(expired(there, &id));
            }
            return Ok(outcome.into());
        }
        if !self.present {
            return Ok(remove(rings, &id, outcome));
        }
        let keys = match given {
            Some(keys) => keys,
            None => self.given(seen)?,
        };
        if !keys.iter().any(|key| key.is(&id)) {
            return Ok(Outcome::failed(format!(
                "failed to add the key: the key {id} is not in what was given (check that the id is correct)"
            ))
            .into());
        }
        outcome.warnings.extend(expired(&keys, &id));
        let ring = self.keyring.clone().unwrap_or_else(|| {
            if has_apt_key {
                "/etc/apt/trusted.gpg".into()
            } else {
                format!("/etc/apt/trusted.gpg.d/{id}.gpg")
            }
        });
        let mut after = ids(&rings);
        after.extend(ids(&[(ring.clone(), keys.clone())]));
        let bytes: Vec<u8> = keys.into_iter().flat_map(|key| key.bytes).collect();
        let mut chunk = Chunk::new(format!(
            "umask 022; cat >>{}",
            super::sh::expanding(&ring, false)
        ));
        chunk.input = Some(Payload::Bytes(bytes.into()));
        let outcome = outcome.with("after", strings(after));
        Ok(Act::change(
            vec![chunk],
            vec![Effect::Path(ring), Effect::Packages],
            outcome,
            "Unable to add a key",
        )
        .into())
    }
}

/// Says of a key that has expired so, in words: with it apt trusts nothing.
fn expired<'a>(keys: impl IntoIterator<Item = &'a Key>, id: &str) -> Option<String> {
    let key = keys.into_iter().find(|key| key.is(id))?;
    let expires =
        time::UtcDateTime::from_unix_timestamp(i64::try_from(key.expires()?).ok()?).ok()?;
    (expires < time::UtcDateTime::now()).then(|| {
        format!(
            "the key {} of {} has expired on {}: apt refuses what it has signed",
            key.fingerprints[0],
            key.name,
            expires.date()
        )
    })
}

/// Writes keyrings without a key; one that has no other is removed.
fn remove(rings: Vec<Ring>, id: &str, outcome: Outcome) -> Verdict {
    let mut actions = Vec::new();
    let mut effects = vec![Effect::Packages];
    for (path, keys) in rings {
        if !keys.iter().any(|key| key.is(id)) {
            continue;
        }
        let rest: Vec<u8> = keys
            .into_iter()
            .filter(|key| !key.is(id))
            .flat_map(|key| key.bytes)
            .collect();
        let quoted = quote(&path);
        if rest.is_empty() {
            actions.push(Chunk::new(format!("rm -f -- {quoted}")));
        } else {
            // What was armored stays armored.
            let (head, tail) = if path.ends_with(".asc") {
                (
                    "-----BEGIN PGP PUBLIC KEY BLOCK-----\\n\\n",
                    "-----END PGP PUBLIC KEY BLOCK-----\\n",
                )
            } else {
                ("", "")
            };
            let write = if head.is_empty() {
                format!("cat >{quoted}.new")
            } else {
                format!("{{ printf '{head}'; base64; printf '{tail}'; }} >{quoted}.new")
            };
            let mut chunk = Chunk::new(format!(
                "{write} && chmod --reference={quoted} {quoted}.new && mv -f {quoted}.new {quoted}"
            ));
            chunk.input = Some(Payload::Bytes(rest.into()));
            actions.push(chunk);
        }
        effects.push(Effect::Path(path));
    }
    Act::change(actions, effects, outcome, "Unable to remove a key").into()
}

fn decode(text: &str) -> Vec<u8> {
    let encoded: String = text.split_whitespace().collect();
    base64::engine::general_purpose::STANDARD
        .decode(encoded)
        .unwrap_or_default()
}
