//! The secrets that this process knows. What it writes for people, programs or later runs is masked with [`mask`] first.
//!
//! There is one register for the process, so that whoever makes a [`crate::remote::Secret`] or opens a vault makes it known,
//! and an error message anywhere is masked without having been handed a list. Private keys and passwords in URLs are
//! recognised by their form, known or not.

use crate::diag::{Diagnostic, Source};
use crate::yaml::{Kind, Node};
use base64::Engine as _;
use minijinja::Value;
use minijinja::value::ValueKind;
use std::borrow::{Borrow, Cow};
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, LazyLock, PoisonError, RwLock};
use zeroize::Zeroizing;

/// What stands in place of a secret.
pub const MASK: &str = "********";

/// Anything shorter is in every text: a mask would tell more than it hides.
const SHORTEST: usize = 4;

/// The same for a whole line of a longer text.
const SHORTEST_LINE: usize = 6;

/// Known secrets.
#[derive(Default)]
struct Register {
    /// Found anywhere in a text.
    words: HashSet<Known>,
    /// Lines of longer secrets, found where a whole line is one.
    lines: HashSet<Known>,
}

/// A text that is wiped when it is dropped, and found by what it says.
#[derive(PartialEq, Eq)]
struct Known(Zeroizing<String>);

impl Known {
    fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }
}

impl Borrow<str> for Known {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Hash for Known {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

static REGISTER: LazyLock<RwLock<Register>> = LazyLock::new(RwLock::default);

/// Makes a secret known, in the forms in which programs quote it, too.
pub fn learn(secret: &str) {
    let whole = secret.trim();
    if whole.len() < SHORTEST {
        return;
    }
    let mut register = REGISTER.write().unwrap_or_else(PoisonError::into_inner);
    if register.words.contains(whole) {
        return;
    }
    for form in forms(whole) {
        register.words.insert(Known::new(form));
    }
    if whole.contains('\n') {
        // Texts are shown line by line, and a line may be taken out of them. Key material is told by its length.
        for line in whole.lines().map(str::trim) {
            if line.starts_with("-----") || line.len() < SHORTEST_LINE {
                continue;
            }
            let known = Known::new(line);
            if line.len() >= 32 && !line.contains(' ') {
                register.words.insert(known);
            } else {
                register.lines.insert(known);
            }
        }
    }
}

/// A secret as it is, in JSON, in single quotes of a shell, in a URL and in base64.
fn forms(secret: &str) -> Vec<String> {
    let json = serde_json::to_string(secret).unwrap_or_default();
    let mut forms = vec![
        json.trim_matches('"').to_owned(),
        secret.replace('\'', r"'\''"),
        percent(secret),
    ];
    // Without the end, which depends on what follows; short ones would be found by chance.
    let whole = secret.len() / 3 * 3;
    if whole >= 6 {
        let encoded = base64::engine::general_purpose::STANDARD.encode(&secret.as_bytes()[..whole]);
        forms.push(encoded);
    }
    forms.push(secret.to_owned());
    forms
}

fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}

/// Reads a file of variables; when it is encrypted, what it holds is known as secret from now on.
///
/// # Errors
/// As [`crate::yaml::load`].
pub fn load(source: &Arc<Source>) -> Result<Node, Diagnostic> {
    let node = crate::yaml::load(source)?;
    if source.secret {
        learn_tree(&node);
    }
    Ok(node)
}

/// Every text but templates: those are rendered from others.
fn learn_tree(node: &Node) {
    match &node.kind {
        Kind::Str(text) | Kind::Unsafe(text)
            if !text.contains("{{") && text.len() >= SHORTEST_LINE =>
        {
            learn(text);
        }
        Kind::Seq(items) => items.iter().for_each(learn_tree),
        Kind::Map(map) => map.iter().for_each(|(_, _, node)| learn_tree(node)),
        _ => {}
    }
}

/// The text without secrets.
#[must_use]
pub fn mask(text: &str) -> Cow<'_, str> {
    let mut found: Vec<Range<usize>> = Vec::new();
    {
        let register = REGISTER.read().unwrap_or_else(PoisonError::into_inner);
        for word in &register.words {
            found.extend(
                text.match_indices(word.0.as_str())
                    .map(|(at, _)| at..at + word.0.len()),
            );
        }
        if !register.lines.is_empty() {
            let mut at = 0;
            for line in text.split_inclusive('\n') {
                let bare = line.trim();
                if bare.len() >= SHORTEST_LINE && register.lines.contains(bare) {
                    let start = at + (line.len() - line.trim_start().len());
                    found.push(start..start + bare.len());
                }
                at += line.len();
            }
        }
    }
    by_form(text, &mut found);
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    found.sort_by_key(|range| range.start);
    let mut masked = String::with_capacity(text.len());
    let mut at = 0;
    for range in found {
        if range.start >= at {
            masked.push_str(&text[at..range.start]);
            masked.push_str(MASK);
        }
        at = at.max(range.end);
    }
    masked.push_str(&text[at..]);
    Cow::Owned(masked)
}

/// Passwords in URLs, and private keys.
fn by_form(text: &str, found: &mut Vec<Range<usize>>) {
    for (at, _) in text.match_indices("://") {
        let rest = &text[at + 3..];
        let end = rest.find(|c: char| c.is_whitespace() || "/?#\"'<>".contains(c));
        let Some((login, _)) = rest[..end.unwrap_or(rest.len())].rsplit_once('@') else {
            continue;
        };
        if let Some((user, password)) = login.split_once(':')
            && !password.is_empty()
        {
            let from = at + 3 + user.len() + 1;
            found.push(from..from + password.len());
        }
    }
    for (at, _) in text.match_indices("PRIVATE KEY-----") {
        let from = at + "PRIVATE KEY-----".len();
        let head = text[..at].rfind("-----").map_or("", |head| &text[head..at]);
        if head.starts_with("-----BEGIN ") {
            let rest = &text[from..];
            let end = rest.find("-----END ").unwrap_or(rest.len());
            let key = rest[..end].trim();
            if !key.is_empty() {
                let start = from + (rest.len() - rest.trim_start().len());
                found.push(start..start + key.len());
            }
        }
    }
}

/// The value without secrets; `None` when there are none in it.
#[must_use]
pub fn mask_value(value: &Value) -> Option<Value> {
    match value.kind() {
        ValueKind::String => match mask(value.as_str()?) {
            Cow::Borrowed(_) => None,
            Cow::Owned(masked) => Some(masked.into()),
        },
        ValueKind::Seq => {
            let items: Vec<Value> = value.try_iter().ok()?.collect();
            let masked: Vec<Option<Value>> = items.iter().map(mask_value).collect();
            if masked.iter().all(Option::is_none) {
                return None;
            }
            let both = masked.into_iter().zip(items);
            Some(both.map(|(masked, item)| masked.unwrap_or(item)).collect())
        }
        ValueKind::Map => {
            let mut any = false;
            let mut pairs = Vec::new();
            for key in value.try_iter().ok()? {
                let item = value.get_item(&key).unwrap_or_default();
                let masked = mask_value(&item);
                any |= masked.is_some();
                pairs.push((key, masked.unwrap_or(item)));
            }
            any.then(|| Value::from_pairs(pairs))
        }
        _ => None,
    }
}

/// Standard error without secrets, for logs.
pub struct Stderr;

impl std::io::Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        std::io::Write::write_all(&mut std::io::stderr().lock(), mask(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::Write::flush(&mut std::io::stderr().lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The register is that of the process, so each test has secrets of its own.

    #[test]
    fn what_was_learned_is_masked() {
        learn("hunter2-in-masks\n");
        learn("er2-in-masks-too");
        learn("abc");
        let text = mask("p=hunter2-in-masks, hunter2-in-masks-too abc");
        assert_eq!(text, "p=********, ******** abc");
        assert!(matches!(mask("nothing"), Cow::Borrowed("nothing")));
    }

    #[test]
    fn quoted_and_encoded_forms_are_masked() {
        let secret = "it's \"q\u{fc}ot\u{eb}d\"/%";
        learn(secret);
        let quoted = crate::modules::sh::quote(secret);
        assert_eq!(mask(&quoted), "'********'");
        let json = serde_json::to_string(&[secret]).unwrap();
        assert_eq!(mask(&json), "[\"********\"]");
        assert_eq!(mask(&percent(secret)), MASK);
        let base64 = base64::engine::general_purpose::STANDARD.encode(secret);
        assert!(mask(&base64).starts_with(MASK), "{base64}");
    }

    #[test]
    fn lines_of_longer_texts_are_masked() {
        let key = format!("{}{}", "k3y".repeat(12), "==");
        learn(&format!(
            "-----BEGIN X-----\n{key}\nsecret line\nx\n-----END X-----\n"
        ));
        assert_eq!(mask(&format!("a: {key};")), "a: ********;");
        assert_eq!(
            mask("  secret line\nno secret line\n"),
            "  ********\nno secret line\n"
        );
        assert_eq!(mask("-----BEGIN X-----"), "-----BEGIN X-----");
    }

    #[test]
    fn urls_and_private_keys_are_known_by_their_form() {
        for (text, masked) in [
            ("https://u:p@h/x@y", "https://u:********@h/x@y"),
            (
                "git clone https://u:p:q%40@h, http://h:80/a",
                "git clone https://u:********@h, http://h:80/a",
            ),
            (
                "http://u@h http://h/?q=a:b@c",
                "http://u@h http://h/?q=a:b@c",
            ),
            ("x://", "x://"),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nMII\nabc\n-----END RSA PRIVATE KEY-----\n",
                "-----BEGIN RSA PRIVATE KEY-----\n********\n-----END RSA PRIVATE KEY-----\n",
            ),
            (
                "-----BEGIN PRIVATE KEY-----\ncut",
                "-----BEGIN PRIVATE KEY-----\n********",
            ),
            ("PRIVATE KEY----- x", "PRIVATE KEY----- x"),
        ] {
            assert_eq!(mask(text), masked);
        }
    }

    #[test]
    fn values_are_masked_in_depth() {
        learn("deep-secret");
        let value: Value =
            serde_json::from_value(serde_json::json!({"a": [1, {"b": "x deep-secret"}], "c": "y"}))
                .unwrap();
        let masked = mask_value(&value).unwrap();
        assert_eq!(
            serde_json::to_value(&masked).unwrap(),
            serde_json::json!({"a": [1, {"b": "x ********"}], "c": "y"})
        );
        assert!(mask_value(&Value::from("y")).is_none());
    }
}
