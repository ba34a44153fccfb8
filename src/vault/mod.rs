//! Ansible's vault: encrypted files and values, and the passwords that open them.
//!
//! An armoured text is `$ANSIBLE_VAULT;1.1;AES256` (or `1.2` with a label behind the cipher) and lines of hexadecimal: salt, MAC and
//! ciphertext. Keys come from PBKDF2-HMAC-SHA256, the cipher is AES-256 in counter mode, the MAC is HMAC-SHA256 over the ciphertext.

mod sealed;

use crate::diag::{Diagnostic, Source, Span};
use crate::secrets;
use sealed::Sealed;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// How an armoured text begins.
pub const HEAD: &str = "$ANSIBLE_VAULT;";

/// The label of a password that has none of its own.
pub const DEFAULT: &str = "default";

/// A password and its label.
pub type Labelled = (String, Zeroizing<String>);

/// What was opened: the plain bytes, the password that did it, and the label that stands in the text, if one does.
pub struct Opened<'a> {
    /// The plain bytes.
    pub plain: Zeroizing<Vec<u8>>,
    /// The password.
    pub password: &'a Labelled,
    /// The label.
    pub label: Option<String>,
}

/// Encrypts bytes into an armoured text. A label of its own is written into the first line, as in Ansible.
///
/// # Errors
/// In words, when the system has no random numbers, or the label cannot stand in the first line.
pub fn seal(plain: &[u8], password: &str, label: Option<&str>) -> Result<String, String> {
    let label = label.filter(|label| *label != DEFAULT);
    if let Some(label) = label.filter(|label| label.contains([';', '\n', '\r'])) {
        return Err(format!(
            "the label `{}` cannot be written into a vault",
            label.escape_debug()
        ));
    }
    Ok(Sealed::seal(plain, password.as_bytes(), label)?.to_string())
}

/// Passwords by label, in the order in which they are tried. Clones share them.
#[derive(Clone, Default)]
pub struct Vault {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    passwords: Vec<Labelled>,
    /// What was opened already: deriving keys is slow on purpose.
    opened: Mutex<HashMap<String, Arc<Zeroizing<Vec<u8>>>>>,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({} passwords)", self.inner.passwords.len())
    }
}

impl Vault {
    /// With these passwords, each with its label (`default` when it has none of its own).
    #[must_use]
    pub fn new(passwords: Vec<Labelled>) -> Self {
        for (_, password) in &passwords {
            secrets::learn(password);
        }
        Self {
            inner: Arc::new(Inner {
                passwords,
                opened: Mutex::default(),
            }),
        }
    }

    /// The passwords.
    #[must_use]
    pub fn passwords(&self) -> &[Labelled] {
        &self.inner.passwords
    }

    /// The plain bytes of an armoured text.
    ///
    /// # Errors
    /// In words, when it is not one, or no password opens it.
    pub fn decrypt(&self, armoured: &str) -> Result<Arc<Zeroizing<Vec<u8>>>, String> {
        let opened = || {
            let lock = self.inner.opened.lock();
            lock.unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(known) = opened().get(armoured) {
            return Ok(Arc::clone(known));
        }
        let plain = Arc::new(self.unseal(armoured)?.plain);
        opened().insert(armoured.to_owned(), Arc::clone(&plain));
        Ok(plain)
    }

    /// Opens an armoured text, and says with which password.
    ///
    /// # Errors
    /// As [`Vault::decrypt`].
    pub fn unseal(&self, armoured: &str) -> Result<Opened<'_>, String> {
        let sealed = Sealed::parse(armoured)?;
        if self.inner.passwords.is_empty() {
            return Err("it is encrypted, and there is no vault password".into());
        }
        let fits = |label: &str| sealed.label.as_deref() == Some(label);
        let (first, others): (Vec<_>, Vec<_>) = self
            .inner
            .passwords
            .iter()
            .partition(|(label, _)| fits(label));
        for password in first.into_iter().chain(others) {
            if let Some(plain) = sealed.open(password.1.as_bytes())? {
                return Ok(Opened {
                    plain,
                    password,
                    label: sealed.label,
                });
            }
        }
        let label = sealed
            .label
            .map(|label| format!(" (it is labelled `{label}`)"));
        Err(format!(
            "no vault password opens it{}",
            label.unwrap_or_default()
        ))
    }

    /// The plain text of an armoured value, which is known as a secret from now on.
    ///
    /// # Errors
    /// As [`Vault::decrypt`], or when it is not UTF-8.
    pub fn text(&self, armoured: &str) -> Result<String, String> {
        let text = self.plain(armoured)?;
        secrets::learn(&text);
        Ok(text)
    }

    fn plain(&self, armoured: &str) -> Result<String, String> {
        let plain = self.decrypt(armoured)?;
        std::str::from_utf8(&plain)
            .map(str::to_owned)
            .map_err(|_| "what was encrypted is not UTF-8".into())
    }

    /// A file's bytes, decrypted when it is encrypted.
    ///
    /// # Errors
    /// As [`Vault::decrypt`].
    pub fn open(&self, bytes: Vec<u8>) -> Result<Vec<u8>, String> {
        if !bytes.starts_with(HEAD.as_bytes()) {
            return Ok(bytes);
        }
        let armoured = String::from_utf8(bytes).map_err(|_| "it is no vault file".to_owned())?;
        let plain = self.decrypt(&armoured)?;
        if let Ok(text) = std::str::from_utf8(&plain) {
            secrets::learn(text);
        }
        Ok(plain.to_vec())
    }

    /// A file as source of a tree. Errors in what was encrypted have their place, but do not show the text.
    ///
    /// # Errors
    /// When it cannot be read or decrypted.
    pub fn source(&self, path: &Path) -> Result<Arc<Source>, Diagnostic> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|why| Diagnostic::plain(format!("cannot read {name}: {why}")))?;
        if !text.starts_with(HEAD) {
            return Ok(Source::new(name, text));
        }
        // Not all of it is secret; who reads it as variables makes those known.
        match self.plain(&text) {
            Ok(plain) => Ok(Source::secret(name, plain)),
            Err(why) => {
                let span = Span::head(&Source::new(name, text));
                Err(Diagnostic::error(&span, why)
                    .hint("give it with `--vault-password-file FILE` or `--ask-vault-pass`"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/inputs/vault")
            .join(name);
        std::fs::read_to_string(path).unwrap()
    }

    fn vault(passwords: &[(&str, &str)]) -> Vault {
        let secret = |(label, text): &(&str, &str)| {
            ((*label).to_owned(), Zeroizing::new((*text).to_owned()))
        };
        Vault::new(passwords.iter().map(secret).collect())
    }

    #[test]
    fn opens_what_ansible_vault_wrote() {
        let plain = vault(&[("default", "wrong"), ("default", "correct horse")]);
        assert_eq!(
            plain.text(&file("motd")).unwrap(),
            "Sealed motd: {{ sealed_name }}\n"
        );
        let labelled = vault(&[("dev", "wrong"), ("prod", "prod password")]);
        assert!(
            labelled
                .text(&file("labelled.yml"))
                .unwrap()
                .contains("labelled_secret")
        );
    }

    #[test]
    fn says_why_it_does_not_open() {
        let why = |vault: &Vault, text: &str| vault.text(text).unwrap_err();
        let right = vault(&[("default", "correct horse")]);
        assert!(why(&Vault::default(), &file("motd")).contains("no vault password"));
        assert!(why(&vault(&[("a", "b")]), &file("motd")).contains("no vault password opens it"));
        assert!(why(&right, &file("labelled.yml")).contains("`prod`"));
        assert!(why(&right, "$ANSIBLE_VAULT;1.1;AES\n00\n").contains("`AES`"));
        assert!(why(&right, "$ANSIBLE_VAULT;1.1;AES256\n0z\n").contains("damaged"));
        assert!(why(&right, "$ANSIBLE_VAULT;1.1;AES256\n00\n").contains("damaged"));
        // One byte of the ciphertext changed.
        let mut text = file("motd").trim_end().to_owned();
        let last = if text.ends_with('1') { '2' } else { '1' };
        text.pop();
        text.push(last);
        assert!(right.text(&text).is_err());
    }

    #[test]
    fn what_is_sealed_opens_again() {
        for plain in [&b""[..], b"x", b"sixteen bytes ok", &[0u8, 255].repeat(500)] {
            for label in [None, Some("default"), Some("prod")] {
                let armoured = seal(plain, "pass w\u{f6}rd", label).unwrap();
                let head = armoured.lines().next().unwrap();
                match label {
                    Some("prod") => assert_eq!(head, "$ANSIBLE_VAULT;1.2;AES256;prod"),
                    _ => assert_eq!(head, "$ANSIBLE_VAULT;1.1;AES256"),
                }
                assert!(armoured.ends_with('\n') && armoured.lines().all(|line| line.len() <= 80));
                let vault = vault(&[("a", "wrong"), ("b", "pass w\u{f6}rd")]);
                let opened = vault.unseal(&armoured).unwrap();
                assert_eq!(
                    (&opened.plain[..], opened.password.0.as_str()),
                    (plain, "b")
                );
                assert_ne!(armoured, seal(plain, "pass w\u{f6}rd", label).unwrap());
            }
        }
        assert!(seal(b"", "p", Some("a;b")).is_err());
    }
}
