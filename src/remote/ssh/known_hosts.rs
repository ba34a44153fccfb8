//! Host keys: what known_hosts files say about a host, and adding to them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{KeyInit, Mac};
use sha2::Digest;

/// A line that names the host.
#[derive(Debug, Clone)]
struct Line {
    file: PathBuf,
    number: usize,
    marker: Option<String>,
    kind: String,
    key: Vec<u8>,
}

/// All lines that name one host.
#[derive(Debug, Default)]
pub(crate) struct Known {
    lines: Vec<Line>,
    /// Lines for the host without its port: they may vouch for a key, no more.
    portless: Vec<Line>,
    /// Files that are there but cannot be read.
    pub(crate) unreadable: Vec<String>,
}

/// What the files say about a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Known,
    Unknown,
    /// Another key is known for the host.
    Changed {
        place: String,
        old: String,
    },
    Revoked {
        place: String,
    },
    /// Only a certificate authority is known for the host.
    Authority {
        place: String,
    },
}

/// The name under which a host and port are written in the file.
pub(crate) fn name(host: &str, port: u16) -> String {
    let host = host.to_lowercase();
    if port == 22 {
        host
    } else {
        format!("[{host}]:{port}")
    }
}

/// A key's fingerprint as OpenSSH shows it.
pub(crate) fn fingerprint(key: &[u8]) -> String {
    format!(
        "SHA256:{}",
        STANDARD_NO_PAD.encode(sha2::Sha256::digest(key))
    )
}

/// A key's type and fingerprint, for people.
pub(crate) fn shown(key: &[u8]) -> String {
    format!("{} {}", kind(key), fingerprint(key))
}

/// The key's own name of its type.
pub(crate) fn kind(key: &[u8]) -> &str {
    let len = key
        .first_chunk::<4>()
        .map_or(0, |len| u32::from_be_bytes(*len) as usize);
    key.get(4..4 + len)
        .and_then(|name| std::str::from_utf8(name).ok())
        .unwrap_or("unknown")
}

impl Known {
    /// Reads what the files say about `host` at `port`, or about an alias of it (`port` 22).
    pub(crate) fn read(files: &[PathBuf], host: &str, port: u16) -> Self {
        let mut known = Self::default();
        for file in files {
            match std::fs::read_to_string(file) {
                Ok(text) => known.scan(file, &text, host, port),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => known.unreadable.push(format!("{}: {e}", file.display())),
            }
        }
        known
    }

    fn scan(&mut self, file: &Path, text: &str, host: &str, port: u16) {
        let full = name(host, port);
        let bare = name(host, 22);
        for (at, line) in text.lines().enumerate() {
            let mut words = line.split_whitespace().peekable();
            let marker = words.next_if(|word| word.starts_with('@'));
            let (Some(names), Some(kind), Some(key)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if names.starts_with('#') {
                continue;
            }
            let list = if names_match(names, &full) {
                &mut self.lines
            } else if full != bare && names_match(names, &bare) {
                &mut self.portless
            } else {
                continue;
            };
            let Ok(key) = STANDARD.decode(key) else {
                continue;
            };
            list.push(Line {
                file: file.to_owned(),
                number: at + 1,
                marker: marker.map(str::to_owned),
                kind: kind.to_owned(),
                key,
            });
        }
    }

    /// Algorithms in the order of preference that shows a key we know, if there is one; `None` for any order.
    pub(crate) fn algorithms(&self) -> Option<String> {
        const ALL: [(&str, &str); 5] = [
            ("ssh-ed25519", "ssh-ed25519"),
            ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
            ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
            ("ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521"),
            ("ssh-rsa", "rsa-sha2-512,rsa-sha2-256"),
        ];
        let all = self.lines.iter().chain(&self.portless);
        let plain: Vec<&str> = all
            .filter(|line| line.marker.is_none())
            .map(|line| line.kind.as_str())
            .collect();
        if plain.is_empty() {
            return None;
        }
        let mut list = ALL;
        list.sort_by_key(|(kind, _)| !plain.contains(kind));
        Some(list.map(|(_, algorithms)| algorithms).join(","))
    }

    /// What is known about this key of the host.
    pub(crate) fn judge(&self, key: &[u8]) -> Verdict {
        let place = |line: &Line| format!("{}:{}", line.file.display(), line.number);
        let all = || self.lines.iter().chain(&self.portless);
        if let Some(line) =
            all().find(|line| line.marker.as_deref() == Some("@revoked") && line.key == key)
        {
            return Verdict::Revoked { place: place(line) };
        }
        if all().any(|line| line.marker.is_none() && line.key == key) {
            return Verdict::Known;
        }
        let others = || self.lines.iter().filter(|line| line.marker.is_none());
        // A key of another type is another key too: the types we know were asked for first.
        if let Some(line) = others()
            .find(|line| line.kind == kind(key))
            .or_else(|| others().next())
        {
            return Verdict::Changed {
                place: place(line),
                old: format!("{} {}", line.kind, fingerprint(&line.key)),
            };
        }
        match all().find(|line| line.marker.as_deref() == Some("@cert-authority")) {
            Some(line) => Verdict::Authority { place: place(line) },
            None => Verdict::Unknown,
        }
    }
}

/// Whether the first column of a line names the host.
fn names_match(names: &str, host: &str) -> bool {
    if let Some(hashed) = names.strip_prefix("|1|") {
        return hash_matches(hashed, host) == Some(true);
    }
    let mut found = false;
    for pattern in names.split(',') {
        match pattern.strip_prefix('!') {
            Some(pattern) if wildcard(pattern, host) => return false,
            Some(_) => {}
            None => found |= wildcard(pattern, host),
        }
    }
    found
}

/// `salt|digest` of the host's name.
fn hash_matches(hashed: &str, host: &str) -> Option<bool> {
    let (salt, digest) = hashed.split_once('|')?;
    let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(&STANDARD.decode(salt).ok()?).ok()?;
    mac.update(host.as_bytes());
    Some(mac.verify_slice(&STANDARD.decode(digest).ok()?).is_ok())
}

/// A pattern of OpenSSH: `*` and `?`, case ignored.
pub(crate) fn wildcard(pattern: &str, text: &str) -> bool {
    fn step(pattern: &[u8], text: &[u8]) -> bool {
        let (mut p, mut t) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while t < text.len() {
            match pattern.get(p) {
                Some(b'*') => {
                    star = Some((p, t));
                    p += 1;
                }
                Some(&c) if c == b'?' || c.eq_ignore_ascii_case(&text[t]) => {
                    p += 1;
                    t += 1;
                }
                _ => {
                    let Some((at, from)) = star else { return false };
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
            }
        }
        pattern[p..].iter().all(|&c| c == b'*')
    }
    step(pattern.as_bytes(), text.as_bytes())
}

/// Adds a key to the file, made private when it is new.
pub(crate) fn add(
    file: &Path,
    host: &str,
    port: u16,
    key: &[u8],
    hashed: bool,
) -> std::io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if let Some(dir) = file.parent()
        && !dir.exists()
    {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)?;
    }
    let mut name = name(host, port);
    if hashed {
        let mut salt = [0; 20];
        std::io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut salt)?;
        let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(&salt)
            .map_err(|e| std::io::Error::other(e.to_string()))?;
        mac.update(name.as_bytes());
        let digest = mac.finalize().into_bytes();
        name = format!("|1|{}|{}", STANDARD.encode(salt), STANDARD.encode(digest));
    }
    let mut line = format!("{name} {} {}\n", kind(key), STANDARD.encode(key));
    // A last line that somebody left without its end must not swallow ours.
    if let Ok(text) = std::fs::read(file)
        && text.last().is_some_and(|&last| last != b'\n')
    {
        line.insert(0, '\n');
    }
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(file)?
        .write_all(line.as_bytes())
}

/// Takes all keys of a host out of the file; what was removed, a line each. Revoked keys, certificate authorities and
/// lines whose patterns are for other hosts too stay.
pub(crate) fn remove(file: &Path, host: &str, port: u16) -> std::io::Result<Vec<String>> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(why) if why.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(why) => return Err(why),
    };
    let name = name(host, port);
    let mut gone = Vec::new();
    let mut kept = String::new();
    for (at, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace();
        let names = words.next().unwrap_or_default();
        let key = words.nth(1).and_then(|key| STANDARD.decode(key).ok());
        let own = |one: &str| one.eq_ignore_ascii_case(&name);
        let left: Vec<&str> = match names.strip_prefix("|1|") {
            Some(hashed) if hash_matches(hashed, &name) == Some(true) => Vec::new(),
            Some(_) => vec![names],
            None => names.split(',').filter(|one| !own(one)).collect(),
        };
        let touched = left.len() < names.split(',').count() && !names.starts_with(['@', '#']);
        let Some(key) = key.filter(|_| touched) else {
            kept.push_str(line);
            kept.push('\n');
            continue;
        };
        gone.push(format!("{} ({}:{})", shown(&key), file.display(), at + 1));
        if !left.is_empty() {
            kept.push_str(&left.join(","));
            kept.push_str(&line[names.len()..]);
            kept.push('\n');
        }
    }
    if !gone.is_empty() {
        let part = file.with_extension("mini-play");
        std::fs::write(&part, kept)?;
        std::fs::set_permissions(&part, std::fs::metadata(file)?.permissions())?;
        std::fs::rename(&part, file)?;
    }
    Ok(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key blob of this type with this content.
    fn key(kind: &str, content: &str) -> Vec<u8> {
        let mut blob = u32::try_from(kind.len()).unwrap().to_be_bytes().to_vec();
        blob.extend_from_slice(kind.as_bytes());
        blob.extend_from_slice(content.as_bytes());
        blob
    }

    fn judge(text: &str, host: &str, port: u16, key: &[u8]) -> Verdict {
        let mut known = Known::default();
        known.scan(Path::new("kh"), text, host, port);
        known.judge(key)
    }

    #[test]
    fn a_host_is_forgotten_and_others_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("known_hosts");
        let blob = STANDARD.encode(key("ssh-ed25519", "k"));
        let rest = format!("ssh-ed25519 {blob} a comment");
        add(&file, "web1", 22, &key("ssh-ed25519", "hashed"), true).unwrap();
        let mut text = std::fs::read_to_string(&file).unwrap();
        for names in [
            "web1",
            "web2,WEB1,10.0.0.1",
            "web1*",
            "# web1",
            "[web1]:2200",
        ] {
            text.push_str(&format!("{names} {rest}\n"));
        }
        text.push_str(&format!("@revoked web1 {rest}\n"));
        std::fs::write(&file, &text).unwrap();
        let gone = remove(&file, "web1", 22).unwrap();
        assert_eq!(gone.len(), 3, "{gone:?}");
        assert!(gone[1].starts_with("ssh-ed25519 SHA256:") && gone[1].contains("known_hosts:2"));
        let left = std::fs::read_to_string(&file).unwrap();
        let names = [
            "web2,10.0.0.1",
            "web1*",
            "# web1",
            "[web1]:2200",
            "@revoked web1",
        ];
        let want: Vec<String> = names
            .iter()
            .map(|names| format!("{names} {rest}"))
            .collect();
        assert_eq!(left.lines().collect::<Vec<_>>(), want);
        assert_eq!(remove(&file, "web1", 2200).unwrap().len(), 1);
        assert_eq!(remove(&file, "web9", 22).unwrap().len(), 0);
        assert_eq!(
            remove(Path::new("/nonexistent/x"), "web1", 22)
                .unwrap()
                .len(),
            0
        );
    }

    #[test]
    fn patterns() {
        for (pattern, text, want) in [
            ("*", "a", true),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("?b", "ab", true),
            ("10.0.*.1", "10.0.23.1", true),
            ("HOST", "host", true),
            ("", "", true),
            ("", "x", false),
            ("*.x*", "a.b.xy", true),
        ] {
            assert_eq!(wildcard(pattern, text), want, "{pattern} {text}");
        }
    }

    #[test]
    fn verdicts() {
        let (good, other) = (key("ssh-ed25519", "good"), key("ssh-ed25519", "other"));
        let rsa = key("ssh-rsa", "r");
        let line =
            |names: &str, key: &[u8]| format!("{names} {} {}\n", kind(key), STANDARD.encode(key));
        let changed = |number: usize, old: &[u8]| Verdict::Changed {
            place: format!("kh:{number}"),
            old: format!("{} {}", kind(old), fingerprint(old)),
        };
        // As `ssh-keygen -H` hashes a name.
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kh");
        add(&file, "hashed", 2222, &good, true).unwrap();
        let hashed = std::fs::read_to_string(&file).unwrap();
        assert!(hashed.starts_with("|1|"), "{hashed}");
        for (text, host, port, shown, want) in [
            (line("h", &good), "h", 22, &good, Verdict::Known),
            (line("h", &good), "H", 22, &good, Verdict::Known),
            (line("h", &good), "g", 22, &good, Verdict::Unknown),
            (line("h,g", &good), "g", 22, &other, changed(1, &good)),
            (line("h", &rsa), "h", 22, &good, changed(1, &rsa)),
            (line("*,!g", &good), "g", 22, &good, Verdict::Unknown),
            (line("[h]:2222", &good), "h", 2222, &good, Verdict::Known),
            (line("[h]:2222", &good), "h", 22, &good, Verdict::Unknown),
            // A key known without port vouches for another port, but its absence says nothing.
            (line("h", &good), "h", 2222, &good, Verdict::Known),
            (line("h", &other), "h", 2222, &good, Verdict::Unknown),
            (
                format!("#x\n\n{}", line("h", &other)) + &line("h", &good),
                "h",
                22,
                &good,
                Verdict::Known,
            ),
            (
                line("h", &good) + "@revoked " + &line("*", &good),
                "h",
                22,
                &good,
                Verdict::Revoked {
                    place: "kh:2".into(),
                },
            ),
            (
                format!("@cert-authority {}", line("*.x", &good)),
                "h.x",
                22,
                &other,
                Verdict::Authority {
                    place: "kh:1".into(),
                },
            ),
            (hashed.clone(), "hashed", 2222, &good, Verdict::Known),
            (hashed.clone(), "hashed", 22, &good, Verdict::Unknown),
        ] {
            assert_eq!(
                judge(&text, host, port, shown),
                want,
                "{host} {port}\n{text}"
            );
        }
    }

    #[test]
    fn a_new_file_is_private_and_a_cut_line_is_ended() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("new/known_hosts");
        add(&file, "a", 22, &key("ssh-ed25519", "1"), false).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::write(&file, "cut").unwrap();
        add(&file, "a", 22, &key("ssh-ed25519", "1"), false).unwrap();
        assert!(
            std::fs::read_to_string(&file)
                .unwrap()
                .starts_with("cut\na ssh-ed25519 ")
        );
    }

    #[test]
    fn known_types_come_first() {
        let mut known = Known::default();
        assert_eq!(known.algorithms(), None);
        known.scan(Path::new("kh"), "h ssh-rsa AAAA\n", "h", 22);
        let order = known.algorithms().unwrap();
        assert!(
            order.starts_with("rsa-sha2-512,rsa-sha2-256,ssh-ed25519"),
            "{order}"
        );
    }
}
