//! Ansible's vault: encrypted files and values, and the passwords that open them.
//!
//! An armoured text is `$ANSIBLE_VAULT;1.1;AES256` (or `1.2` with a label behind the cipher) and lines of hexadecimal: salt, MAC and
//! ciphertext. Keys come from PBKDF2-HMAC-SHA256, the cipher is AES-256 in counter mode, the MAC is HMAC-SHA256 over the ciphertext.

use crate::diag::{Diagnostic, Source, Span};
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use zeroize::Zeroizing;

/// How an armoured text begins.
pub const HEAD: &str = "$ANSIBLE_VAULT;";

/// Rounds of the key derivation.
const ROUNDS: u32 = 10_000;

type Cipher = ctr::Ctr128BE<aes::Aes256>;

/// Passwords by label, in the order in which they are tried. Clones share them.
#[derive(Clone, Default)]
pub struct Vault {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    passwords: Vec<(String, Zeroizing<String>)>,
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
    pub fn new(passwords: Vec<(String, Zeroizing<String>)>) -> Self {
        Self {
            inner: Arc::new(Inner {
                passwords,
                opened: Mutex::default(),
            }),
        }
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
        for (_, password) in first.into_iter().chain(others) {
            if let Some(plain) = sealed.open(password.as_bytes())? {
                let plain = Arc::new(plain);
                opened().insert(armoured.to_owned(), Arc::clone(&plain));
                return Ok(plain);
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

    /// The plain text of an armoured value.
    ///
    /// # Errors
    /// As [`Vault::decrypt`], or when it is not UTF-8.
    pub fn text(&self, armoured: &str) -> Result<String, String> {
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
        self.decrypt(&armoured).map(|plain| plain.to_vec())
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
        match self.text(&text) {
            Ok(plain) => Ok(Source::secret(name, plain)),
            Err(why) => {
                let span = Span::head(&Source::new(name, text));
                Err(Diagnostic::error(&span, why)
                    .hint("give it with `--vault-password-file FILE` or `--ask-vault-pass`"))
            }
        }
    }
}

/// An armoured text taken apart.
struct Sealed {
    label: Option<String>,
    salt: Vec<u8>,
    mac: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl Sealed {
    fn parse(armoured: &str) -> Result<Self, String> {
        let mut lines = armoured.lines().map(str::trim);
        let head: Vec<&str> = lines.next().unwrap_or_default().split(';').collect();
        let (cipher, label) = match head[..] {
            ["$ANSIBLE_VAULT", "1.0" | "1.1", cipher, ..] => (cipher, None),
            ["$ANSIBLE_VAULT", "1.2", cipher, label] => (cipher, Some(label.to_owned())),
            _ => return Err("the first line is not that of a vault".into()),
        };
        if cipher != "AES256" {
            return Err(format!(
                "the vault's cipher `{cipher}` is not supported, only AES256"
            ));
        }
        let broken = || "the vault is damaged: its text is not what was encrypted".to_owned();
        let body: String = lines.collect();
        let inner = unhex(body.as_bytes()).ok_or_else(broken)?;
        let parts: Option<Vec<Vec<u8>>> = inner.split(|byte| *byte == b'\n').map(unhex).collect();
        let Ok([salt, mac, ciphertext]) = <[Vec<u8>; 3]>::try_from(parts.ok_or_else(broken)?)
        else {
            return Err(broken());
        };
        Ok(Self {
            label,
            salt,
            mac,
            ciphertext,
        })
    }

    /// The plain bytes; `None` when the password is another one.
    fn open(&self, password: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        let mut keys = Zeroizing::new([0u8; 80]);
        pbkdf2::pbkdf2_hmac::<Sha256>(password, &self.salt, ROUNDS, &mut *keys);
        let (key, rest) = keys.split_at(32);
        let (mac_key, iv) = rest.split_at(32);
        let internal = |_| "the vault's keys have the wrong length".to_owned();
        let mut mac = Hmac::<Sha256>::new_from_slice(mac_key)
            .map_err(|_| "the vault's keys have the wrong length".to_owned())?;
        mac.update(&self.ciphertext);
        if mac.verify_slice(&self.mac).is_err() {
            return Ok(None);
        }
        let mut plain = Zeroizing::new(self.ciphertext.clone());
        let mut cipher = Cipher::new_from_slices(key, iv).map_err(internal)?;
        cipher.apply_keystream(&mut plain);
        // PKCS#7: the last byte says how many were added.
        let padding = usize::from(plain.last().copied().unwrap_or_default());
        if padding == 0 || padding > 16 || padding > plain.len() {
            return Err("the vault is damaged: its padding is wrong".into());
        }
        let length = plain.len() - padding;
        plain.truncate(length);
        Ok(Some(plain))
    }
}

fn unhex(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|n| u8::try_from(n).ok())
    };
    text.chunks_exact(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?))
        .collect()
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
}
