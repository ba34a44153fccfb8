//! Digests and password hashes.

use super::{Filter, filter, int_or, size_or, text_or};
use crate::template::eval::call::Call;
use crate::template::random::Random;
use crate::template::value::data::is_str;
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, fault};
use md5::Md5;
use minijinja::Value;
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};
use std::fmt::Write;

pub(super) const FILTERS: &[Filter] = &[
    filter("md5", |c| named(c, "md5")),
    filter("sha1", |c| named(c, "sha1")),
    filter("checksum", |c| named(c, "sha1")),
    filter("hash", |c| {
        let [name] = c.bind(["hashtype"])?;
        let name = text_or(name.as_ref(), "sha1", "the type")?;
        named(c, &name)
    }),
    filter("password_hash", password_hash),
];

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn named(c: &mut Call<'_, '_>, name: &str) -> Res<Value> {
    c.no_args()?;
    let text = str_of(&c.subject)?;
    let data = text.as_bytes();
    Ok(Value::from(match name.to_lowercase().as_str() {
        "md5" => hex(&Md5::digest(data)),
        "sha1" => hex(&Sha1::digest(data)),
        "sha224" => hex(&Sha224::digest(data)),
        "sha256" => hex(&Sha256::digest(data)),
        "sha384" => hex(&Sha384::digest(data)),
        "sha512" => hex(&Sha512::digest(data)),
        other => {
            return Err(fault(format!("unsupported hash type {other}"))
                .hint("one of md5, sha1, sha224, sha256, sha384, sha512"));
        }
    }))
}

/// The alphabet of `crypt`.
const CRYPT: &[u8] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Letters of a salt.
const SALT: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789./";

/// A random salt.
pub(crate) fn random_salt(len: usize) -> String {
    let mut random = Random::System;
    (0..len)
        .map(|_| char::from(SALT[random.index(SALT.len())]))
        .collect()
}

/// Bytes in groups of three, in the order `crypt` shuffles them.
fn crypt_text(groups: &[(Option<u8>, Option<u8>, u8)]) -> String {
    let mut out = String::new();
    for (high, middle, low) in groups {
        let word = u32::from(high.unwrap_or(0)) << 16
            | u32::from(middle.unwrap_or(0)) << 8
            | u32::from(*low);
        let digits = match (high, middle) {
            (Some(_), _) => 4,
            (None, Some(_)) => 3,
            (None, None) => 2,
        };
        for n in 0..digits {
            out.push(char::from(CRYPT[(word >> (6 * n) & 0x3f) as usize]));
        }
    }
    out
}

/// Hashes a password for /etc/shadow.
pub(crate) fn crypt(password: &str, scheme: &str, salt: &str, rounds: Option<u32>) -> Res<String> {
    let legal = |max: usize| -> Res<()> {
        if salt.len() > max {
            return Err(fault(format!("the salt is longer than {max} characters")));
        }
        if let Some(bad) = salt.bytes().find(|b| !CRYPT.contains(b)) {
            return Err(fault(format!(
                "the salt has a character that may not be in it: '{}'",
                char::from(bad)
            )));
        }
        Ok(())
    };
    match scheme {
        "sha512" | "sha512_crypt" => {
            legal(16)?;
            let rounds = rounds.unwrap_or(656_000);
            let params =
                sha_crypt::Params::new(rounds).map_err(|_| fault("`rounds` is out of range"))?;
            let h = sha_crypt::sha512_crypt(password.as_bytes(), salt.as_bytes(), params);
            let mut groups = Vec::new();
            let (mut a, mut b, mut c) = (0, 21, 42);
            for _ in 0..21 {
                groups.push((Some(h[a]), Some(h[b]), h[c]));
                (a, b, c) = (b + 1, c + 1, a + 1);
            }
            groups.push((None, None, h[63]));
            Ok(format!(
                "$6${}{salt}${}",
                shown(rounds),
                crypt_text(&groups)
            ))
        }
        "sha256" | "sha256_crypt" => {
            legal(16)?;
            let rounds = rounds.unwrap_or(535_000);
            let params =
                sha_crypt::Params::new(rounds).map_err(|_| fault("`rounds` is out of range"))?;
            let h = sha_crypt::sha256_crypt(password.as_bytes(), salt.as_bytes(), params);
            let mut groups = Vec::new();
            let (mut a, mut b, mut c) = (0, 10, 20);
            for _ in 0..10 {
                groups.push((Some(h[a]), Some(h[b]), h[c]));
                (a, b, c) = (c + 1, a + 1, b + 1);
            }
            groups.push((None, Some(h[31]), h[30]));
            Ok(format!(
                "$5${}{salt}${}",
                shown(rounds),
                crypt_text(&groups)
            ))
        }
        "md5" | "md5_crypt" | "apr_md5_crypt" => {
            legal(8)?;
            let magic = if scheme == "apr_md5_crypt" {
                "$apr1$"
            } else {
                "$1$"
            };
            let hash = md5_crypt(password.as_bytes(), salt.as_bytes(), magic);
            Ok(format!("{magic}{salt}${hash}"))
        }
        "blowfish" | "bcrypt" => {
            Err(fault("password hashes with bcrypt are not supported").hint("use sha512 or sha256"))
        }
        other => {
            Err(fault(format!("unknown password hash '{other}'"))
                .hint("one of sha512, sha256, md5"))
        }
    }
}

fn shown(rounds: u32) -> String {
    if rounds == 5000 {
        return String::new();
    }
    format!("rounds={rounds}$")
}

/// The oldest of them.
fn md5_crypt(password: &[u8], salt: &[u8], magic: &str) -> String {
    let inner = Md5::new()
        .chain_update(password)
        .chain_update(salt)
        .chain_update(password)
        .finalize();
    let mut first = Md5::new();
    first.update(password);
    first.update(magic);
    first.update(salt);
    for n in 0..password.len() {
        first.update([inner[n % 16]]);
    }
    let mut n = password.len();
    while n > 0 {
        if n & 1 == 1 {
            first.update([0]);
        } else {
            first.update(&password[..1]);
        }
        n >>= 1;
    }
    let mut h = first.finalize();
    for n in 0..1000 {
        let mut round = Md5::new();
        if n & 1 == 1 {
            round.update(password);
        } else {
            round.update(h);
        }
        if n % 3 != 0 {
            round.update(salt);
        }
        if n % 7 != 0 {
            round.update(password);
        }
        if n & 1 == 1 {
            round.update(h);
        } else {
            round.update(password);
        }
        h = round.finalize();
    }
    let mut groups: Vec<_> = [(0, 6, 12), (1, 7, 13), (2, 8, 14), (3, 9, 15), (4, 10, 5)]
        .into_iter()
        .map(|(a, b, c)| (Some(h[a]), Some(h[b]), h[c]))
        .collect();
    groups.push((None, None, h[11]));
    crypt_text(&groups)
}

fn password_hash(c: &mut Call<'_, '_>) -> Res<Value> {
    let [scheme, salt, salt_size, rounds, ident] =
        c.bind(["hashtype", "salt", "salt_size", "rounds", "ident"])?;
    if ident.is_some_and(|i| !i.is_none()) {
        return Err(fault("`ident` is not supported"));
    }
    let scheme = text_or(scheme.as_ref(), "sha512", "the type")?;
    let max = if scheme.starts_with("md5") { 8 } else { 16 };
    let salt = match salt {
        Some(salt) if !salt.is_none() => str_of(&salt)?,
        _ => random_salt(size_or(salt_size.as_ref(), max, "`salt_size`")?),
    };
    let rounds = match int_or(rounds.as_ref(), 0, "`rounds`")? {
        0 => None,
        n => Some(u32::try_from(n).map_err(|_| fault("`rounds` is out of range"))?),
    };
    if !is_str(&c.subject) {
        return Err(fault("the password must be a string"));
    }
    crypt(
        c.subject.as_str().unwrap_or_default(),
        &scheme,
        &salt,
        rounds,
    )
    .map(Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_as_crypt_hashes_them() {
        for (scheme, rounds, want) in [
            (
                "sha512",
                Some(10_000),
                "$6$rounds=10000$mysalt$6XuVj3bGG6EB8Kzr0i4J3Rkd/.56s8ZQ0T9pj76DUvYv04jYPYnOzcM4IEtnhBLgTs84dTfUNfLNGVksrni8..",
            ),
            ("md5", None, "$1$mysalt$NGiHoaB55Akiz8nsOoh8J/"),
        ] {
            assert_eq!(crypt("pw", scheme, "mysalt", rounds).unwrap(), want);
        }
    }
}
