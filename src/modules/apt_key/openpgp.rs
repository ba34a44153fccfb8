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
}

impl Key {
    /// Whether an id of 8, 16 or more hexadecimal digits names it or a subkey of it.
    pub(super) fn is(&self, id: &str) -> bool {
        self.fingerprints
            .iter()
            .any(|fingerprint| fingerprint.ends_with(id) || id.ends_with(fingerprint.as_str()))
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
    while let Some((tag, body, whole)) = packet(rest) {
        rest = &rest[whole..];
        let packet_bytes = &binary[binary.len() - rest.len() - whole..binary.len() - rest.len()];
        if tag == 6 {
            keys.push(Key {
                fingerprints: Vec::new(),
                bytes: Vec::new(),
            });
        }
        let Some(key) = keys.last_mut() else { continue };
        // Trust packets are a keyring's own business.
        if tag != 12 {
            key.bytes.extend_from_slice(packet_bytes);
        }
        if tag == 6 || tag == 14 {
            key.fingerprints.extend(fingerprint(body));
        }
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
    let (tag, start, length) = if head & 0x40 != 0 {
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
    Some((tag, data.get(start..start + length)?, start + length))
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
    Some(crate::modules::write::hex(&hash).to_uppercase())
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

    #[test]
    fn armor_is_taken_off() {
        let text = b"-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: x\n\nAAEC\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n";
        assert_eq!(dearmor(text), [0, 1, 2]);
        assert_eq!(dearmor(&[0x99, 0, 255]), [0x99, 0, 255]);
    }
}
