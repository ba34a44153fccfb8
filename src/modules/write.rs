//! Writing one file: bytes as payload into a temporary file beside the target, final owner and mode, fsync, rename.
//!
//! Nobody ever sees a half-written or wrongly owned file, and contents are never part of a script.

use super::attrs::{Attrs, NEW_FILE};
use super::probe::PathState;
use super::{Failure, Outcome, sh};
use crate::remote::{Chunk, Payload, Reply};
use md5::Digest as _;
use std::fmt::Write as _;
use std::path::PathBuf;

/// Exit status of an action whose `validate` command refused the file.
const INVALID: i32 = 90;
/// Contents above this are streamed from the controller's file instead of being kept.
const KEEP: usize = 4 << 20;

/// Bytes to be written, with the digests that Ansible reports.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    pub(crate) payload: Payload,
    pub(crate) size: u64,
    pub(crate) sha1: String,
    pub(crate) md5: String,
}

impl Content {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self {
            size: bytes.len() as u64,
            sha1: hex(&sha1::Sha1::digest(&bytes)),
            md5: hex(&md5::Md5::digest(&bytes)),
            payload: Payload::Bytes(bytes.into()),
        }
    }

    /// A file of the controller: its bytes, which are not kept when they are many and just the file's.
    pub(crate) fn of_file(path: PathBuf, bytes: Vec<u8>) -> Self {
        let same = std::fs::metadata(&path).is_ok_and(|meta| meta.len() == bytes.len() as u64);
        let many = bytes.len() > KEEP;
        let mut content = Self::new(bytes);
        if many && same {
            content.payload = Payload::File(path);
        }
        content
    }

    /// The bytes as text, when they are at hand and text.
    pub(crate) fn text(&self) -> Option<String> {
        match &self.payload {
            Payload::Bytes(bytes) => String::from_utf8(bytes.to_vec()).ok(),
            Payload::File(_) => None,
        }
    }
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Where the new bytes come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The controller.
    Payload(Payload),
    /// A command of shell that writes them to the file named by `"$t"`.
    Command(String),
}

/// One file to be written.
#[derive(Debug, Clone)]
pub(crate) struct Write<'a> {
    pub(crate) path: &'a str,
    pub(crate) from: Source,
    pub(crate) attrs: &'a Attrs,
    /// What is replaced, the link's target when `follow`.
    pub(crate) old: Option<&'a PathState>,
    /// Whether a link is written through instead of replaced.
    pub(crate) follow: bool,
    /// Whether the old file's mode and owner stay where nothing else is asked for.
    pub(crate) keep: bool,
    /// Mode that a symbolic one starts from when the old file's is not kept.
    pub(crate) base: u32,
    pub(crate) backup: bool,
    pub(crate) validate: Option<&'a str>,
    pub(crate) unsafe_writes: bool,
    /// Commands before anything else, e.g. making folders.
    pub(crate) before: String,
}

impl<'a> Write<'a> {
    pub(crate) fn new(
        path: &'a str,
        from: Source,
        attrs: &'a Attrs,
        old: Option<&'a PathState>,
    ) -> Self {
        Self {
            path,
            from,
            attrs,
            old,
            follow: false,
            keep: true,
            base: NEW_FILE,
            backup: false,
            validate: None,
            unsafe_writes: false,
            before: String::new(),
        }
    }

    /// The action.
    pub(crate) fn chunk(self) -> Result<Chunk, Failure> {
        let mut text = self.before;
        let _ = writeln!(text, "p={}", sh::expanding(self.path, false));
        if self.follow {
            text.push_str("p=$(readlink -f -- \"$p\" || echo \"$p\")\n");
        }
        text.push_str(
            "case $p in */*) d=${p%/*}/ ;; *) d=./ ;; esac\n\
             [ -d \"$d\" ] || { echo \"!msg Destination directory ${d%/} does not exist\" >&2; exit 1; }\n\
             t=$(mktemp \"$d.mini-play.XXXXXX\") || { echo \"!msg Destination ${d%/} not writable\" >&2; exit 1; }\n\
             trap 'rm -f -- \"$t\"' EXIT\ntrap 'exit 143' HUP INT TERM PIPE\n",
        );
        let mut input = None;
        match self.from {
            Source::Payload(payload) => {
                // A transfer that is cut ends the shell and all that it runs.
                text.push_str("cat >\"$t\" || exit\n");
                input = Some(payload);
            }
            Source::Command(command) => {
                let _ = writeln!(text, "{command} || exit");
            }
        }
        let old = self.old.filter(|_| self.keep);
        if let Some(old) = old {
            // Only root may give files away; for others the old owner is kept as far as it can be.
            let _ = writeln!(text, "chown {}:{} \"$t\" 2>/dev/null", old.uid, old.gid);
        }
        let mode = old.map_or(self.base, |old| old.mode);
        if self.keep && self.attrs.mode.is_none() {
            let _ = writeln!(text, "chmod {mode:04o} \"$t\" || exit");
        }
        let mut attrs = self.attrs.clone();
        let attributes = attrs.attributes.take();
        let wanted = attrs.commands("\"$t\"", mode, false);
        text.push_str(&wanted.map_err(|why| Failure::of("mode", why))?);
        if let Some(validate) = self.validate {
            text.push_str(&validation(validate, self.path)?);
        }
        if self.backup && self.old.is_some() {
            text.push_str(BACKUP);
        }
        text.push_str("sync -- \"$t\" 2>/dev/null\n");
        text.push_str(if self.unsafe_writes {
            "mv -f -- \"$t\" \"$p\" 2>/dev/null || cat \"$t\" >\"$p\" || exit\n"
        } else {
            "mv -f -- \"$t\" \"$p\" || exit\n"
        });
        if let Some(attributes) = attributes {
            let only = Attrs {
                attributes: Some(attributes),
                ..Attrs::default()
            };
            text.push_str(&only.commands("\"$p\"", 0, false).map_err(Failure::new)?);
        }
        text.push_str("exit 0\n");
        let mut chunk = Chunk::plain(text);
        chunk.input = input;
        Ok(chunk)
    }
}

/// Copies `$p` beside itself as Ansible names it, and says so.
pub(crate) const BACKUP: &str = "b=$p.$$.$(date +%Y-%m-%d@%H:%M:%S~)\ncp -p --remove-destination -- \"$p\" \"$b\" || exit\nprintf '\\n!backup %s\\n' \"$b\"\n";

/// Runs a `validate` command on a copy of `$t` that has the target's suffix.
fn validation(command: &str, path: &str) -> Result<String, Failure> {
    if !command.contains("%s") {
        return Err(Failure::of(
            "validate",
            format!("validate must contain %s: {command}"),
        ));
    }
    let words = shlex::split(command).ok_or_else(|| {
        Failure::of(
            "validate",
            format!("validate has unbalanced quotes: {command}"),
        )
    })?;
    let line: Vec<String> = words
        .iter()
        .map(|word| {
            word.replace("%%", "%")
                .split("%s")
                .map(|part| {
                    if part.is_empty() {
                        String::new()
                    } else {
                        sh::expanding(part, false)
                    }
                })
                .collect::<Vec<_>>()
                .join("\"$v\"")
        })
        .collect();
    let name = path.rsplit('/').next().unwrap_or_default();
    let suffix = name
        .rfind('.')
        .filter(|at| *at > 0)
        .map_or("", |at| &name[at..]);
    Ok(format!(
        "v=$MP_TMP/validate{}\ncp -pf -- \"$t\" \"$v\" || exit\n{} </dev/null\nr=$?\nrm -f -- \"$v\"\n\
         [ $r = 0 ] || {{ printf '\\n%s' $r; exit {INVALID}; }}\n",
        sh::quote(suffix),
        line.join(" "),
    ))
}

/// The failed outcome of a write, if it failed.
pub(crate) fn failure(replies: &[Reply], path: &str) -> Option<Outcome> {
    if let Some(bad) = replies
        .iter()
        .find(|reply| reply.ran && reply.rc == INVALID)
    {
        let out = bad.out();
        let (out, status) = out.rsplit_once('\n').unwrap_or((&out, ""));
        let status: i32 = status.parse().unwrap_or(INVALID);
        let outcome = Outcome::failed("failed to validate").with("exit_status", status);
        return Some(sh::streams(outcome, out, &bad.err()));
    }
    super::attrs::failure(replies, path)
}

/// Where the backup went, if one was made.
pub(crate) fn backup_file(replies: &[Reply]) -> Option<String> {
    replies.iter().find_map(|reply| {
        reply
            .out()
            .lines()
            .find_map(|line| line.strip_prefix("!backup ").map(str::to_owned))
    })
}

/// The result with `backup_file`, if a backup was made.
pub(crate) fn with_backup(outcome: Outcome, replies: &[Reply]) -> Outcome {
    match backup_file(replies) {
        Some(path) => outcome.with("backup_file", path),
        None => outcome,
    }
}

/// Whether bytes look binary to Ansible: a NUL in the first 8 KiB.
pub(crate) fn binary(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(8192)].contains(&0)
}

/// Largest file shown in a diff.
pub(crate) const DIFF_LIMIT: u64 = 104_448;

/// A text for the diff: a note instead of bytes that are no text.
pub(crate) fn diff_text(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => String::new(),
        Some(bytes) if binary(bytes) => "(a binary file)\n".into(),
        Some(bytes) => String::from_utf8_lossy(bytes).into_owned(),
    }
}
