//! `htpasswd`: accounts in a file for basic authentication.

use super::attrs::{Attrs, file_params};
use super::rule::{self, Act, Known, Rule, Verdict};
use super::{
    Args, Chunk, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Runs, Seen, Spec,
    Step, Type,
};
use crate::remote::Secret;
use crate::template::{crypt, random_salt};
use base64::Engine as _;
use sha1::Digest as _;

/// `htpasswd`.
pub(crate) struct Htpasswd;

static SPEC: Spec = Spec {
    name: "htpasswd",
    collection: "community.general",
    aliases: &[],
    doc: "Manages accounts for basic authentication",
    params: file_params![
        Param::new("path", Type::Path, "the file")
            .required()
            .aliases(&["dest", "destfile"]),
        Param::new("name", Type::Str, "the account")
            .required()
            .aliases(&["username"]),
        Param::new("password", Type::Str, "its password").secret(),
        Param::new(
            "hash_scheme",
            Type::Str,
            "apr_md5_crypt, ldap_sha1, plaintext, md5_crypt, sha256_crypt or sha512_crypt"
        )
        .aliases(&["crypt_scheme"])
        .default("apr_md5_crypt"),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["present", "absent"])
            .default("present"),
        Param::new("create", Type::Bool, "make the file when it is missing").default("true"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Htpasswd {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let scheme = args.text("hash_scheme");
        let salt = match scheme.as_str() {
            "apr_md5_crypt" | "md5_crypt" => random_salt(8),
            "sha256_crypt" | "sha512_crypt" => random_salt(16),
            "ldap_sha1" | "plaintext" => String::new(),
            other => {
                return Err(Failure::of(
                    "hash_scheme",
                    format!("the scheme `{other}` is not supported"),
                ));
            }
        };
        let present = args.text("state") == "present";
        let password = args.str("password").map(Secret::new);
        if present && password.is_none() {
            return Err(Failure::of(
                "password",
                "a password is needed for state=present",
            ));
        }
        let wanted = Wanted {
            path: args.text("path"),
            name: args.text("name"),
            password,
            scheme,
            salt,
            present,
            create: args.bool("create"),
            attrs: Attrs::new(args)?,
        };
        let path = wanted.path.clone();
        Rule::new(vec![rule::content(&path), rule::stat(&path)], move |seen| {
            wanted.judge(seen)
        })
        .step()
    }
}

struct Wanted {
    path: String,
    name: String,
    password: Option<Secret>,
    scheme: String,
    salt: String,
    present: bool,
    create: bool,
    attrs: Attrs,
}

/// A password's hash by a scheme.
fn hash(scheme: &str, salt: &str, password: &str) -> Option<String> {
    match scheme {
        "plaintext" => Some(password.to_owned()),
        "ldap_sha1" => {
            let digest = sha1::Sha1::digest(password.as_bytes());
            Some(format!(
                "{{SHA}}{}",
                base64::engine::general_purpose::STANDARD.encode(digest)
            ))
        }
        scheme => crypt(password, scheme, salt, None).ok(),
    }
}

/// Whether a hash is of a password, whatever its scheme.
fn verify(hashed: &str, password: &str) -> bool {
    let parts: Vec<&str> = hashed.split('$').collect();
    let again = match parts[..] {
        ["", "apr1", salt, _] => hash("apr_md5_crypt", salt, password),
        ["", "1", salt, _] => hash("md5_crypt", salt, password),
        ["", kind @ ("5" | "6"), ref rest @ ..] => {
            let scheme = if kind == "5" {
                "sha256_crypt"
            } else {
                "sha512_crypt"
            };
            let rounds = rest.first().and_then(|word| word.strip_prefix("rounds="));
            let salt = rest
                .get(usize::from(rounds.is_some()))
                .copied()
                .unwrap_or_default();
            let rounds = rounds.and_then(|n| n.parse().ok()).unwrap_or(5000);
            crypt(password, scheme, salt, Some(rounds)).ok()
        }
        _ if hashed.starts_with("{SHA}") => hash("ldap_sha1", "", password),
        _ => Some(password.to_owned()),
    };
    again.as_deref() == Some(hashed)
}

impl Wanted {
    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let old = rule::text(seen, &self.path)?;
        let mut message;
        let mut text = None;
        match (&old, self.present) {
            (None, false) => {
                let mut outcome = Outcome::ok().msg(format!("{} not present", self.name));
                outcome
                    .warnings
                    .push(format!("{} does not exist", self.path));
                return Ok(outcome.into());
            }
            (None, true) if !self.create => {
                return Ok(
                    Outcome::failed(format!("Destination {} does not exist", self.path)).into(),
                );
            }
            (old, present) => {
                // Blank lines are dropped, as Ansible does.
                let lines: Vec<&str> = old
                    .iter()
                    .flat_map(|text| text.lines())
                    .filter(|line| !line.trim().is_empty())
                    .collect();
                let at = lines
                    .iter()
                    .position(|line| line.split(':').next() == Some(&self.name));
                let password = self.password.as_ref().map_or("", Secret::reveal);
                let right = at.is_some_and(|at| {
                    lines[at]
                        .split_once(':')
                        .is_some_and(|(_, hashed)| verify(hashed.trim(), password))
                });
                if present && right {
                    message = format!("{} already present", self.name);
                } else if !present && at.is_none() {
                    message = format!("{} not present", self.name);
                } else {
                    let mut lines: Vec<String> =
                        lines.iter().map(|line| (*line).to_owned()).collect();
                    if present {
                        let Some(hashed) = hash(&self.scheme, &self.salt, password) else {
                            return Ok(Outcome::failed("the password cannot be hashed").into());
                        };
                        let line = format!("{}:{hashed}", self.name);
                        match at {
                            Some(at) => lines[at] = line,
                            None => lines.push(line),
                        }
                        message = if old.is_none() {
                            format!("Created {} and added {}", self.path, self.name)
                        } else {
                            format!("Add/update {}", self.name)
                        };
                    } else {
                        lines.retain(|line| line.split(':').next() != Some(&self.name));
                        message = format!("Remove {}", self.name);
                    }
                    text = Some(
                        lines
                            .iter()
                            .map(|line| format!("{line}\n"))
                            .collect::<String>(),
                    );
                }
            }
        }
        let state = seen.stat(&self.path, true);
        let mut actions = Vec::new();
        if let Some(text) = &text {
            let mut write = rule::write(&self.path, state, text, &self.attrs)?;
            if old.is_none() {
                let path = super::sh::expanding(&self.path, false);
                write.script = format!(
                    "p={path}; mkdir -p -- \"${{p%/*}}\" || exit\n{}",
                    write.script
                );
            }
            actions.push(write);
        } else if let Some(state) = state {
            let fix = self
                .attrs
                .differ(&self.path, state, seen)
                .map_err(|unsettled| match unsettled {
                    super::attrs::Unsettled::Ask(probes) => Verdict::Look(probes),
                    super::attrs::Unsettled::Failed(outcome) => Verdict::Done(outcome),
                })?;
            if !fix.is_empty() {
                message = "ownership, perms or SE linux context changed".into();
                actions.push(Chunk::new(
                    fix.commands(&super::sh::expanding(&self.path, false)),
                ));
            }
        }
        let outcome = Outcome::ok().msg(message);
        if actions.is_empty() {
            return Ok(outcome.into());
        }
        Ok(Act::change(
            actions,
            vec![Effect::Path(self.path.clone())],
            outcome,
            format!("writing {}", self.path),
        )
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_apaches() {
        // openssl passwd -apr1 -salt saltsalt secret
        assert_eq!(
            hash("apr_md5_crypt", "r31.....", "myPassword").unwrap(),
            "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/"
        );
        assert!(verify(
            "$apr1$r31.....$HqJZimcKQFAMYayBlzkrA/",
            "myPassword"
        ));
        assert!(verify("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "password"));
        assert!(!verify("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "passwort"));
        assert!(verify("plain", "plain"));
    }
}
