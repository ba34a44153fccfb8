//! `lookup('password', …)`: a random password kept in a file.

use super::{Lookup, lookup};
use crate::template::eval::Machine;
use crate::template::eval::call::Args;
use crate::template::filters::hash::{crypt, random_salt};
use crate::template::random::Random;
use crate::template::value::data::{as_int, is_seq, items};
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, fault};
use minijinja::Value;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub(super) const LOOKUPS: &[Lookup] = &[lookup("password", password)];

const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const DIGITS: &str = "0123456789";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// Characters to choose from: sets of Python's `string` by name, anything else as it is.
fn alphabet(specs: &[String]) -> String {
    let mut out = String::new();
    for spec in specs {
        match spec.as_str() {
            "ascii_letters" | "letters" => {
                out.push_str(LOWER);
                out.push_str(UPPER);
            }
            "ascii_lowercase" => out.push_str(LOWER),
            "ascii_uppercase" => out.push_str(UPPER),
            "digits" => out.push_str(DIGITS),
            "hexdigits" => out.push_str("0123456789abcdefABCDEF"),
            "octdigits" => out.push_str("01234567"),
            "punctuation" => out.push_str(PUNCTUATION),
            "whitespace" => out.push_str(" \t\n\r\x0b\x0c"),
            other => out.push_str(other),
        }
    }
    out.replace(['"', '\''], "")
}

struct Options {
    length: usize,
    chars: Vec<String>,
    encrypt: Option<String>,
    seed: Option<Value>,
}

/// `a,b,,c`: names and characters; two commas are one.
fn char_specs(value: &Value) -> Res<Vec<String>> {
    if is_seq(value) {
        return items(value)?.iter().map(str_of).collect();
    }
    let text = str_of(value)?;
    let mut out = Vec::new();
    if text.contains(",,") {
        out.push(",".to_owned());
    }
    out.extend(
        text.replace(",,", ",")
            .split(',')
            .filter(|s| !s.is_empty())
            .map(str::to_owned),
    );
    Ok(out)
}

impl Options {
    fn set(&mut self, name: &str, value: &Value) -> Res<()> {
        match name {
            "length" => {
                let n = as_int(value).or_else(|| value.to_string().parse().ok());
                self.length = n
                    .and_then(|n| usize::try_from(n).ok())
                    .ok_or_else(|| fault("`length` must be a number"))?;
            }
            "chars" => self.chars = char_specs(value)?,
            "encrypt" => {
                self.encrypt = Some(str_of(value)?).filter(|e| !value.is_none() && !e.is_empty());
            }
            "seed" => self.seed = Some(value.clone()).filter(|v| !v.is_none()),
            "ident" => return Err(fault("`ident` is not supported")),
            other => return Err(fault(format!("unrecognized parameter `{other}`"))),
        }
        Ok(())
    }

    fn random(&self) -> Res<String> {
        let alphabet: Vec<char> = alphabet(&self.chars).chars().collect();
        if alphabet.is_empty() {
            return Err(fault("there are no characters to choose from"));
        }
        let mut random = match &self.seed {
            Some(seed) => match as_int(seed) {
                Some(n) => Random::from_int(n),
                None => Random::from_text(&str_of(seed)?),
            },
            None => Random::System,
        };
        Ok((0..self.length)
            .map(|_| alphabet[random.index(alphabet.len())])
            .collect())
    }
}

/// A path as the playbook means it.
fn absolute(m: &Machine<'_>, path: &str) -> PathBuf {
    let path = PathBuf::from(crate::template::filters::path::expand_user(path));
    if path.is_absolute() {
        return path;
    }
    match m.scope.get("playbook_dir") {
        Ok(Some(folder)) => Path::new(&folder.to_string()).join(path),
        _ => path,
    }
}

fn write(path: &Path, content: &str) -> Res<()> {
    let failed = |error: std::io::Error| fault(format!("cannot write {}: {error}", path.display()));
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(parent)
            .map_err(failed)?;
    }
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(failed)?;
    writeln!(file, "{content}").map_err(failed)
}

fn password(m: &mut Machine<'_>, args: &mut Args) -> Res<Vec<Value>> {
    // Hosts are served side by side; a password is made once.
    static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let mut out = Vec::new();
    for term in &args.pos {
        let mut options = Options {
            length: 20,
            chars: vec![
                "ascii_letters".to_owned(),
                "digits".to_owned(),
                ".,:-_".to_owned(),
            ],
            encrypt: None,
            seed: None,
        };
        for (name, value) in &args.kw {
            options.set(name, value)?;
        }
        let (path, inline) = super::key_values(&str_of(term)?)?;
        for (name, value) in inline {
            options.set(&name, &Value::from(value))?;
        }
        let path = absolute(m, &path);
        let kept = path != Path::new("/dev/null");
        let _guard = LOCK
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let content = kept
            .then(|| std::fs::read_to_string(&path).ok())
            .flatten()
            .map(|text| text.trim_end().to_owned());
        let mut changed = content.is_none();
        let (plain, mut salt) = match content {
            Some(content) => match content.rsplit_once(" salt=") {
                Some((plain, salt)) => {
                    let salt = salt.split(" ident=").next().unwrap_or(salt);
                    (plain.to_owned(), Some(salt.to_owned()))
                }
                None => (content, None),
            },
            None => (options.random()?, None),
        };
        if let Some(scheme) = &options.encrypt
            && salt.is_none()
        {
            salt = Some(random_salt(if scheme.starts_with("md5") { 8 } else { 16 }));
            changed = true;
        }
        crate::secrets::learn(&plain);
        if changed && kept {
            match &salt {
                Some(salt) => write(&path, &format!("{plain} salt={salt}"))?,
                None => write(&path, &plain)?,
            }
        }
        out.push(Value::from(match &options.encrypt {
            Some(scheme) => crypt(&plain, scheme, salt.as_deref().unwrap_or_default(), None)?,
            None => plain,
        }));
    }
    Ok(out)
}
