//! Encodings: base64, percent signs, UUIDs.

use super::{Filter, filter, flag, text_or};
use crate::template::eval::call::Call;
use crate::template::value::data::{Kind, items, kind, pairs};
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, fault};
use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use minijinja::Value;
use sha1::{Digest, Sha1};
use std::fmt::Write;

pub(super) const FILTERS: &[Filter] = &[
    filter("b64encode", encode),
    filter("b64decode", decode),
    filter("urlencode", urlencode),
    filter("urldecode", |c| {
        c.no_args()?;
        Ok(Value::from(unquote(&str_of(&c.subject)?)))
    }),
    filter("to_uuid", to_uuid),
];

fn codec(urlsafe: bool) -> GeneralPurpose {
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireCanonical);
    let config = config.with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(if urlsafe { &URL_SAFE } else { &STANDARD }, config)
}

/// Bytes of a text in an encoding that Python knows by that name.
fn to_bytes(text: &str, encoding: &str) -> Res<Vec<u8>> {
    match encoding.to_lowercase().replace('_', "-").as_str() {
        "utf-8" | "utf8" | "ascii" => Ok(text.as_bytes().to_vec()),
        "utf-16-le" => Ok(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        "utf-16-be" => Ok(text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        "utf-16" => Ok([0xff, 0xfe]
            .into_iter()
            .chain(text.encode_utf16().flat_map(u16::to_le_bytes))
            .collect()),
        "latin-1" | "iso-8859-1" => text
            .chars()
            .map(|c| u8::try_from(u32::from(c)).map_err(|_| fault("the text does not fit latin-1")))
            .collect(),
        other => Err(fault(format!("unknown encoding: {other}"))),
    }
}

fn from_bytes(bytes: Vec<u8>, encoding: &str) -> Res<String> {
    let wide = |from: fn([u8; 2]) -> u16, bytes: &[u8]| {
        let units: Vec<u16> = bytes.chunks_exact(2).map(|b| from([b[0], b[1]])).collect();
        String::from_utf16_lossy(&units)
    };
    match encoding.to_lowercase().replace('_', "-").as_str() {
        "utf-8" | "utf8" | "ascii" => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        "utf-16-le" => Ok(wide(u16::from_le_bytes, &bytes)),
        "utf-16-be" => Ok(wide(u16::from_be_bytes, &bytes)),
        "utf-16" => Ok(match bytes.strip_prefix(&[0xfe, 0xff]) {
            Some(rest) => wide(u16::from_be_bytes, rest),
            None => wide(
                u16::from_le_bytes,
                bytes.strip_prefix(&[0xff, 0xfe]).unwrap_or(&bytes),
            ),
        }),
        "latin-1" | "iso-8859-1" => Ok(bytes.into_iter().map(char::from).collect()),
        other => Err(fault(format!("unknown encoding: {other}"))),
    }
}

fn encode(c: &mut Call<'_, '_>) -> Res<Value> {
    let [encoding, urlsafe] = c.bind(["encoding", "urlsafe"])?;
    let encoding = text_or(encoding.as_ref(), "utf-8", "the encoding")?;
    let bytes = match (kind(&c.subject), c.subject.as_bytes()) {
        (Kind::Bytes, Some(bytes)) => bytes.to_vec(),
        _ => to_bytes(&str_of(&c.subject)?, &encoding)?,
    };
    Ok(Value::from(
        codec(flag(urlsafe.as_ref(), false)).encode(bytes),
    ))
}

fn decode(c: &mut Call<'_, '_>) -> Res<Value> {
    let [encoding, urlsafe] = c.bind(["encoding", "urlsafe"])?;
    let encoding = text_or(encoding.as_ref(), "utf-8", "the encoding")?;
    let urlsafe = flag(urlsafe.as_ref(), false);
    // Python skips what is not in the alphabet: newlines, above all.
    let extra = if urlsafe { "-_" } else { "+/" };
    let clean: String = str_of(&c.subject)?
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || *c == '=' || extra.contains(*c))
        .collect();
    let bytes = codec(urlsafe)
        .decode(clean.as_bytes())
        .map_err(|error| fault(format!("this is no base64: {error}")))?;
    from_bytes(bytes, &encoding).map(Value::from)
}

/// Python's `urllib.parse.quote`.
pub(crate) fn percent(text: &str, safe: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        let c = char::from(byte);
        if c.is_ascii_alphanumeric() || "_.-~".contains(c) || safe.contains(c) {
            out.push(c);
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// Percent signs decoded.
pub(crate) fn unquote(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let bytes = text.as_bytes();
    let mut n = 0;
    while n < bytes.len() {
        let code = (bytes[n] == b'%')
            .then(|| text.get(n + 1..n + 3))
            .flatten()
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        if let Some(code) = code {
            out.push(code);
            n += 3;
        } else {
            out.push(bytes[n]);
            n += 1;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn urlencode(c: &mut Call<'_, '_>) -> Res<Value> {
    c.no_args()?;
    let plus =
        |value: &Value| -> Res<String> { Ok(percent(&str_of(value)?, " ").replace(' ', "+")) };
    let all = match kind(&c.subject) {
        Kind::Dict => pairs(&c.subject)?,
        Kind::List | Kind::Tuple => {
            let mut out = Vec::new();
            for pair in items(&c.subject)? {
                match items(&pair)?.as_slice() {
                    [key, value] => out.push((key.clone(), value.clone())),
                    _ => return Err(fault("expected pairs of keys and values")),
                }
            }
            out
        }
        _ => return Ok(Value::from(percent(&str_of(&c.subject)?, "/"))),
    };
    let mut parts = Vec::new();
    for (key, value) in &all {
        parts.push(format!("{}={}", plus(key)?, plus(value)?));
    }
    Ok(Value::from(parts.join("&")))
}

/// The namespace of Ansible's UUIDs.
const ANSIBLE: &str = "361E6D51-FAEC-444A-9079-341386DA8E2E";

fn to_uuid(c: &mut Call<'_, '_>) -> Res<Value> {
    let [namespace] = c.bind(["namespace"])?;
    let namespace = text_or(namespace.as_ref(), ANSIBLE, "the namespace")?;
    let hex: String = namespace.chars().filter(char::is_ascii_hexdigit).collect();
    let bad = || fault(format!("invalid value '{namespace}' for 'namespace'"));
    if hex.len() != 32 {
        return Err(bad());
    }
    let mut hasher = Sha1::new();
    for n in (0..32).step_by(2) {
        let byte = u8::from_str_radix(&hex[n..n + 2], 16).map_err(|_| bad())?;
        hasher.update([byte]);
    }
    hasher.update(str_of(&c.subject)?.as_bytes());
    let digest = hasher.finalize();
    let mut bytes = [0_u8; 16];
    bytes.copy_from_slice(&digest[..16]);
    bytes[6] = (bytes[6] & 0x0f) | 0x50;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = super::hash::hex(&bytes);
    Ok(Value::from(format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )))
}
