//! As much of OpenPGP as a keyring needs: packets, fingerprints, ASCII armor. So the host needs no gpg.

use base64::Engine as _;
use sha1::Digest as _;

/// A public key with everything that belongs to it: user names, signatures, subkeys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    /// Fingerprints in upper-case hexadecimal, the primary key's first.
    pub(super) fingerprints: Vec<String>,
    /// All its packets.
    pub(super) bytes: Vec<u8>,
    /// The first user name.
    pub(super) name: String,
    /// When it was made, in seconds since 1970.
    created: u64,
    /// By the newest signature of the key on itself: when that was, and how long the key is good for (0: for ever).
    lasts: (u64, u64),
}

impl Key {
    /// Whether an id of 8, 16 or more hexadecimal digits names it or a subkey of it.
    pub(super) fn is(&self, id: &str) -> bool {
        self.fingerprints
            .iter()
            .any(|fingerprint| fingerprint.ends_with(id) || id.ends_with(fingerprint.as_str()))
    }

    /// When it expires, in seconds since 1970. This is what the key says, signatures are not checked.
    pub(super) fn expires(&self) -> Option<u64> {
        (self.lasts.1 > 0).then(|| self.created + self.lasts.1)
    }

    /// Takes in a signature on the key or on a name of it.
    fn signature(&mut self, body: &[u8]) -> Option<()> {
        let kind = *body.get(1)?;
        if body.first() != Some(&4) || !matches!(kind, 0x10..=0x13 | 0x1f) {
            return None;
        }
        let (hashed, rest) = area(body.get(4..)?)?;
        let (unhashed, _) = area(rest)?;
        let own = self.fingerprints.first()?;
        let mut by_itself = false;
        let (mut when, mut lasts) = (0, 0);
        for (kind, data) in subpackets(hashed).chain(subpackets(unhashed)) {
            match kind {
                2 => when = number(data) as u64,
                9 => lasts = number(data) as u64,
                16 => by_itself |= own.ends_with(&hex(data)),
                33 => by_itself |= *own == hex(data.get(1..)?),
                _ => {}
            }
        }
        if by_itself && when >= self.lasts.0 {
            self.lasts = (when, lasts);
        }
        Some(())
    }

    /// Ids of 16 digits.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.fingerprints
            .iter()
            .map(|f| &f[f.len().saturating_sub(16)..])
    }
}

/// The keys in binary or armored data.
pub(super) fn keys(data: &[u8]) -> Vec<Key> {
    let binary = dearmor(data);
    let mut keys: Vec<Key> = Vec::new();
    let mut rest = &binary[..];
    let mut subkeys = false;
    while let Some((tag, body, whole)) = packet(rest) {
        rest = &rest[whole..];
        let packet_bytes = &binary[binary.len() - rest.len() - whole..binary.len() - rest.len()];
        if tag == 6 {
            keys.push(Key {
                fingerprints: Vec::new(),
                bytes: Vec::new(),
                name: String::new(),
                created: number(body.get(1..5).unwrap_or_default()) as u64,
                lasts: (0, 0),
            });
            subkeys = false;
        }
        let Some(key) = keys.last_mut() else { continue };
        // Trust packets are a keyring's own business.
        if tag != 12 {
            key.bytes.extend_from_slice(packet_bytes);
        }
        match tag {
            6 | 14 => key.fingerprints.extend(fingerprint(body)),
            13 if key.name.is_empty() => key.name = String::from_utf8_lossy(body).into_owned(),
            2 if !subkeys => drop(key.signature(body)),
            _ => {}
        }
        subkeys |= tag == 14;
    }
    keys.retain(|key| !key.fingerprints.is_empty());
    keys
}

/// Tag and body of the first packet, and the length of it all.
fn packet(data: &[u8]) -> Option<(u8, &[u8], usize)> {
    let head = *data.first()?;
    if head & 0x80 == 0 {
        return None;
    }
    let (tag, start, length): (u8, usize, usize) = if head & 0x40 != 0 {
        let one = usize::from(*data.get(1)?);
        match one {
            0..=191 => (head & 0x3f, 2, one),
            192..=223 => (
                head & 0x3f,
                3,
                ((one - 192) << 8) + usize::from(*data.get(2)?) + 192,
            ),
            255 => (head & 0x3f, 6, number(data.get(2..6)?)),
            // Partial lengths are for data, not for keys.
            _ => return None,
        }
    } else {
        let tag = (head >> 2) & 0x0f;
        match head & 3 {
            0 => (tag, 2, number(data.get(1..2)?)),
            1 => (tag, 3, number(data.get(1..3)?)),
            2 => (tag, 5, number(data.get(1..5)?)),
            _ => (tag, 1, data.len() - 1),
        }
    };
    let whole = start.checked_add(length)?;
    Some((tag, data.get(start..whole)?, whole))
}

/// A field of subpackets behind its length, and what follows it.
fn area(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = number(data.get(..2)?);
    Some((data.get(2..2 + length)?, &data[2 + length..]))
}

/// Kinds and contents of subpackets, up to the first that is damaged.
fn subpackets(mut data: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    std::iter::from_fn(move || {
        let one = usize::from(*data.first()?);
        let (start, length): (usize, usize) = match one {
            0..=191 => (1, one),
            192..=254 => (2, ((one - 192) << 8) + usize::from(*data.get(1)?) + 192),
            _ => (5, number(data.get(1..5)?)),
        };
        let (kind, body) = data.get(start..start.checked_add(length)?)?.split_first()?;
        data = &data[start + length..];
        Some((kind & 0x7f, body))
    })
}

fn hex(bytes: &[u8]) -> String {
    crate::modules::write::hex(bytes).to_uppercase()
}

fn number(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .fold(0, |n, byte| (n << 8) | usize::from(*byte))
}

/// A version 4 key's fingerprint; version 6 keys have SHA-256 ones.
fn fingerprint(body: &[u8]) -> Option<String> {
    let hash: Vec<u8> = match *body.first()? {
        4 => {
            let length = u16::try_from(body.len()).ok()?.to_be_bytes();
            let hash = sha1::Sha1::new().chain_update([0x99]).chain_update(length);
            hash.chain_update(body).finalize().to_vec()
        }
        6 => {
            let length = u32::try_from(body.len()).ok()?.to_be_bytes();
            let hash = sha2::Sha256::new()
                .chain_update([0x9b])
                .chain_update(length);
            hash.chain_update(body).finalize().to_vec()
        }
        _ => return None,
    };
    Some(hex(&hash))
}

/// Binary data of an armored block, or the data as it is.
fn dearmor(data: &[u8]) -> Vec<u8> {
    const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
    let Ok(text) = std::str::from_utf8(data) else {
        return data.to_vec();
    };
    let mut binary = Vec::new();
    for block in text.split(BEGIN).skip(1) {
        let block = block.split("-----END").next().unwrap_or_default();
        // Headers end at an empty line; the last line that starts with `=` is a check sum.
        let mut lines = block
            .lines()
            .skip(1)
            .map(str::trim)
            .skip_while(|line| !line.is_empty());
        lines.next();
        let encoded: String = lines.take_while(|line| !line.starts_with('=')).collect();
        binary.extend(
            base64::engine::general_purpose::STANDARD
                .decode(encoded)
                .unwrap_or_default(),
        );
    }
    if binary.is_empty() {
        data.to_vec()
    } else {
        binary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Debian's own keys, where this machine has them, by gpg's account.
    #[test]
    fn fingerprints_are_gpgs() {
        let Ok(data) = std::fs::read("/usr/share/keyrings/debian-archive-keyring.gpg") else {
            return;
        };
        let keys = keys(&data);
        assert!(keys.len() > 3);
        assert!(
            keys.iter()
                .all(|key| key.fingerprints.iter().all(|f| f.len() == 40))
        );
        let bytes: Vec<u8> = keys.iter().flat_map(|key| key.bytes.clone()).collect();
        assert_eq!(super::keys(&bytes), keys);
        // bookworm's archive signing key
        let known = "B8B80B5B623EAB6AD8775C45B7C5D7D6350947F8";
        assert!(keys.iter().any(|key| key.fingerprints[0] == known
            && key.is("350947F8")
            && key.is("B7C5D7D6350947F8")));
    }

    /// Made by gpg: `gpg --quick-generate-key 'Old <old@example>' ed25519 sign 2020-01-02`, at a faked time of 2020-01-01.
    #[test]
    fn keys_say_when_they_expire() {
        let inputs = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/inputs/apt_key");
        let key = |name: &str| {
            let data = std::fs::read(format!("{inputs}/{name}")).unwrap();
            keys(&data).remove(0)
        };
        let old = key("expired.asc");
        assert_eq!(old.name, "Old <old@example>");
        let day = 24 * 60 * 60;
        let expires = old.expires().unwrap();
        // 2020-01-02, at whatever hour gpg takes for the end of it.
        assert!((18_263 * day..18_264 * day).contains(&expires), "{expires}");
        assert_eq!(key("lasting.asc").expires(), None);
        // Whatever is damaged is no reason to panic.
        let data = std::fs::read(format!("{inputs}/expired.asc")).unwrap();
        let binary = dearmor(&data);
        for at in 0..binary.len() {
            let mut bad = binary.clone();
            bad[at] ^= 0xff;
            drop(keys(&bad));
            drop(keys(&binary[..at]));
        }
    }

    #[test]
    fn armor_is_taken_off() {
        let text = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: x\n\nAAEC\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n";
        assert_eq!(dearmor(text), [0, 1, 2]);
        assert_eq!(dearmor(&[0x99, 0, 255]), [0x99, 0, 255]);
    }
}
