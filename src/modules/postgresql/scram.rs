//! Whether a stored password is of this one.

use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// Whether a text is a password's hash already.
pub(super) fn is_hash(password: &str) -> bool {
    password.starts_with("SCRAM-SHA-256$") || (password.starts_with("md5") && password.len() == 35)
}

/// Whether what the server keeps of an account's password is of this one, and by the method that the server would use today.
pub(super) fn matches(kept: Option<&str>, password: &str, account: &str, method: &str) -> bool {
    let Some(kept) = kept else {
        return password.is_empty();
    };
    if password.is_empty() || is_hash(password) {
        return kept == password;
    }
    match kept.strip_prefix("SCRAM-SHA-256$") {
        Some(rest) => scram(rest, password).unwrap_or(false),
        None if kept.starts_with("md5") => method == "md5" && kept == md5(password, account),
        None => kept == password,
    }
}

/// The server's form of an MD5 password.
fn md5(password: &str, account: &str) -> String {
    use md5::Digest as _;
    let digest = md5::Md5::digest(format!("{password}{account}").as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("md5{hex}")
}

/// `ITERATIONS:SALT$STORED:SERVER`, RFC 5802's server key computed again.
fn scram(kept: &str, password: &str) -> Option<bool> {
    let (head, keys) = kept.split_once('$')?;
    let (rounds, salt) = head.split_once(':')?;
    let (_, server) = keys.split_once(':')?;
    let base64 = base64::engine::general_purpose::STANDARD;
    let salt = base64.decode(salt).ok()?;
    let salted =
        pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), &salt, rounds.parse().ok()?);
    let mut mac = Hmac::<Sha256>::new_from_slice(&salted).ok()?;
    mac.update(b"Server Key");
    Some(base64.decode(server).ok()? == mac.finalize().into_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn kept_passwords_are_recognised() {
        // md5 of "pwjoe".
        let md5 = "md51336ddf712b53e2c9f51af2f7c5af6c2";
        assert!(matches(Some(md5), "pw", "joe", "md5"));
        assert!(!matches(Some(md5), "pw", "jim", "md5"));
        assert!(!matches(Some(md5), "pw", "joe", "scram-sha-256"));
        assert!(matches(Some(md5), md5, "joe", "scram-sha-256"));
        // RFC 7677's example: pencil.
        let kept = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        assert!(matches(Some(kept), "pencil", "user", "md5"));
        assert!(!matches(Some(kept), "pen", "user", "md5"));
        assert!(matches(None, "", "user", "md5"));
        assert!(!matches(None, "x", "user", "md5"));
    }
}
