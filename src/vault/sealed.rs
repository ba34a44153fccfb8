//! One encrypted text: keys from PBKDF2-HMAC-SHA256, AES-256 in counter mode, HMAC-SHA256 over the ciphertext.

use super::HEAD;
use ctr::cipher::{KeyIvInit as _, StreamCipher as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Rounds of the key derivation.
const ROUNDS: u32 = 10_000;

/// Bytes of a salt.
const SALT: usize = 32;

/// Bytes of a cipher block.
const BLOCK: usize = 16;

/// Digits in a line.
const WIDTH: usize = 80;

type Cipher = ctr::Ctr128BE<aes::Aes256>;

/// An armoured text taken apart.
pub(super) struct Sealed {
    /// Whose password it wants.
    pub(super) label: Option<String>,
    salt: Vec<u8>,
    mac: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl Sealed {
    /// Reads an armoured text.
    pub(super) fn parse(armoured: &str) -> Result<Self, String> {
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

    /// Encrypts bytes under a salt of its own.
    pub(super) fn seal(plain: &[u8], password: &[u8], label: Option<&str>) -> Result<Self, String> {
        let mut salt = vec![0u8; SALT];
        // So few bytes always come in one go.
        rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty())
            .map_err(|why| format!("the system has no random numbers: {why}"))?;
        let keys = Keys::derive(password, &salt);
        // PKCS#7: as many bytes as fill the block, each saying how many.
        let padding = BLOCK - plain.len() % BLOCK;
        let mut ciphertext = Vec::with_capacity(plain.len() + padding);
        ciphertext.extend_from_slice(plain);
        ciphertext.resize(
            plain.len() + padding,
            u8::try_from(padding).unwrap_or_default(),
        );
        keys.cipher()?.apply_keystream(&mut ciphertext);
        let mut mac = keys.mac()?;
        mac.update(&ciphertext);
        Ok(Self {
            label: label.map(str::to_owned),
            salt,
            mac: mac.finalize().into_bytes().to_vec(),
            ciphertext,
        })
    }

    /// The plain bytes; `None` when the password is another one.
    pub(super) fn open(&self, password: &[u8]) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        let keys = Keys::derive(password, &self.salt);
        let mut mac = keys.mac()?;
        mac.update(&self.ciphertext);
        if mac.verify_slice(&self.mac).is_err() {
            return Ok(None);
        }
        let mut plain = Zeroizing::new(self.ciphertext.clone());
        keys.cipher()?.apply_keystream(&mut plain);
        // PKCS#7: the last byte says how many were added.
        let padding = usize::from(plain.last().copied().unwrap_or_default());
        if padding == 0 || padding > BLOCK || padding > plain.len() {
            return Err("the vault is damaged: its padding is wrong".into());
        }
        let length = plain.len() - padding;
        plain.truncate(length);
        Ok(Some(plain))
    }
}

/// The armoured text: three parts in hexadecimal on lines of their own, and that in hexadecimal again.
impl std::fmt::Display for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.label {
            Some(label) => writeln!(f, "{HEAD}1.2;AES256;{label}")?,
            None => writeln!(f, "{HEAD}1.1;AES256")?,
        }
        let inner = [&self.salt, &self.mac, &self.ciphertext].map(|part| hex(part));
        let body = hex(inner.join("\n").as_bytes());
        for line in body.as_bytes().chunks(WIDTH) {
            writeln!(f, "{}", String::from_utf8_lossy(line))?;
        }
        Ok(())
    }
}

/// What is derived of a password: two keys and the first block of the counter.
struct Keys(Zeroizing<[u8; 80]>);

impl Keys {
    fn derive(password: &[u8], salt: &[u8]) -> Self {
        let mut keys = Zeroizing::new([0u8; 80]);
        pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, ROUNDS, &mut *keys);
        Self(keys)
    }

    fn mac(&self) -> Result<Hmac<Sha256>, String> {
        Hmac::<Sha256>::new_from_slice(&self.0[32..64]).map_err(|_| internal())
    }

    fn cipher(&self) -> Result<Cipher, String> {
        Cipher::new_from_slices(&self.0[..32], &self.0[64..]).map_err(|_| internal())
    }
}

fn internal() -> String {
    "the vault's keys have the wrong length".to_owned()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
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
