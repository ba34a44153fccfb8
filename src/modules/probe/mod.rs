//! What can be asked of a host, and the answers.
//!
//! Probes are typed, so that equal ones are asked once and all of a batch travel in one script:
//! one `stat`, one `sha256sum`, one `dpkg-query`, one `systemctl show`. [`script`] writes that script,
//! [`parse`] reads its output.

mod layout;
mod parse;
mod script;
#[cfg(test)]
mod tests;

pub use parse::parse;
pub(crate) use parse::path_state;
pub(crate) use script::STAT;
pub use script::{chunk, script};

use std::collections::HashMap;
use std::sync::Arc;

/// One question.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Probe {
    /// `stat` of a path; not following a last symbolic link unless told.
    Path {
        /// The path; absolute, or starting with `~`.
        path: String,
        /// Whether a symbolic link is followed.
        follow: bool,
    },
    /// A regular file's digest in hexadecimal (following links).
    Digest {
        /// The path.
        path: String,
        /// `sha256`, `sha1`, `md5`, `sha512`, `sha224`, `sha384`.
        algorithm: &'static str,
    },
    /// A regular file's bytes (following links), up to a limit; beyond it the answer is `None`.
    Content {
        /// The path.
        path: String,
        /// Bytes.
        limit: u64,
    },
    /// What the executing user may do with a path (following links): read 4, write 2, execute or search 1.
    Access(String),
    /// A path without any symbolic link in it, as `readlink -f` tells it; asked of links only.
    Real(String),
    /// Version and flags of a path, as `lsattr -vd` tells them.
    Flags(String),
    /// MIME type and encoding of a path, as `file` tells them where it is installed.
    Mime(String),
    /// A path with `~`, `~user` and `$VAR` resolved by the executing user's shell; see [`Seen::expanded`].
    Expand(String),
    /// A package by dpkg: `name` or `name:arch`.
    Package(String),
    /// A unit's state as `systemctl show` tells it, or the SysV/upstart equivalent.
    Unit(String),
    /// An account by name, as `getent passwd`, with its groups and whether it has a password hash.
    User(String),
    /// A group by name, as `getent group`.
    Group(String),
    /// Anything else: a read-only script; the answer is its exit status and output.
    Script(String),
}

/// Type of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    /// Regular.
    File,
    /// Directory.
    Directory,
    /// Symbolic link.
    Link,
    /// Anything else: fifo, socket, device.
    Other(char),
}

/// What `stat` told. Times in seconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub struct PathState {
    /// Type.
    pub kind: FileType,
    /// Permission bits, 0 to 0o7777.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Owner's name, empty if none.
    pub user: String,
    /// Group.
    pub gid: u32,
    /// Group's name, empty if none.
    pub group: String,
    /// Bytes.
    pub size: u64,
    /// Last change of the content.
    pub mtime: f64,
    /// Last access.
    pub atime: f64,
    /// Last change of the inode.
    pub ctime: f64,
    /// Inode number.
    pub inode: u64,
    /// Device number.
    pub dev: u64,
    /// Hard links.
    pub nlink: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Preferred size of reads and writes.
    pub block_size: u64,
    /// Device number of a device file.
    pub rdev: u64,
    /// Where a symbolic link points, as stored.
    pub target: Option<String>,
}

impl Default for PathState {
    /// An empty regular file of root, mode 0644.
    fn default() -> Self {
        Self {
            kind: FileType::File,
            mode: 0o644,
            uid: 0,
            user: "root".into(),
            gid: 0,
            group: "root".into(),
            size: 0,
            mtime: 0.0,
            atime: 0.0,
            ctime: 0.0,
            inode: 0,
            dev: 0,
            nlink: 1,
            blocks: 0,
            block_size: 4096,
            rdev: 0,
            target: None,
        }
    }
}

/// What dpkg told of a package.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PackageState {
    /// Status words, e.g. `install ok installed`, `deinstall ok config-files`, `hold ok installed`.
    pub status: String,
    /// Version.
    pub version: String,
    /// Architecture.
    pub arch: String,
    /// Whether apt believes that it installed it by itself.
    pub automatic: bool,
}

impl PackageState {
    /// Whether it is fully installed.
    #[must_use]
    pub fn installed(&self) -> bool {
        self.status.ends_with(" installed")
    }
}

/// What the service manager told of a unit, by property: for systemd `LoadState ActiveState SubState UnitFileState
/// MainPID NeedDaemonReload FragmentPath Names …`; for others the same names filled in as far as they can be known.
/// Three more are ours: `Manager` (`systemd`, `upstart`, `sysv` or empty), and for a unit with a script in `/etc/init.d`
/// `InitScript` and `InitEnabled` (`yes` or `no`: an `S` link in any run level).
pub type UnitState = HashMap<String, String>;

/// An account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserState {
    /// Name.
    pub name: String,
    /// Number.
    pub uid: u32,
    /// Primary group's number.
    pub gid: u32,
    /// Comment (GECOS).
    pub comment: String,
    /// Home directory.
    pub home: String,
    /// Login shell.
    pub shell: String,
    /// Names of all groups, primary first.
    pub groups: Vec<String>,
    /// The password field of shadow, when it could be read.
    pub password: Option<String>,
    /// The rest of the shadow line: last change, min, max, warn, inactive, expire.
    pub shadow: Vec<String>,
}

/// A group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupState {
    /// Name.
    pub name: String,
    /// Number.
    pub gid: u32,
    /// Members.
    pub members: Vec<String>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To [`Probe::Path`]: `None` when it does not exist.
    Path(Option<PathState>),
    /// To [`Probe::Digest`]: `None` when it is no readable regular file.
    Digest(Option<String>),
    /// To [`Probe::Content`]: `None` when it is no readable regular file or too large.
    Content(Option<Arc<[u8]>>),
    /// To [`Probe::Expand`], [`Probe::Real`], [`Probe::Flags`] and [`Probe::Mime`]; empty when there is nothing to tell.
    Text(String),
    /// To [`Probe::Access`].
    Access(u8),
    /// To [`Probe::Package`]: `None` when dpkg does not know it.
    Package(Option<PackageState>),
    /// To [`Probe::Unit`].
    Unit(UnitState),
    /// To [`Probe::User`].
    User(Option<UserState>),
    /// To [`Probe::Group`].
    Group(Option<GroupState>),
    /// To [`Probe::Script`]: exit status, output, error output.
    Script {
        /// Exit status.
        rc: i32,
        /// Standard output.
        stdout: Arc<[u8]>,
        /// Standard error, without the ends of lines at its end.
        stderr: Arc<[u8]>,
    },
    /// It could not be asked, e.g. permission denied on a parent directory.
    Unknown(String),
}

/// What is known of a host: the fingerprint of the steps that asked.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    answers: HashMap<Probe, Answer>,
}

impl Probe {
    /// The path it is about, if it is about one.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        match self {
            Self::Path { path, .. }
            | Self::Digest { path, .. }
            | Self::Content { path, .. }
            | Self::Access(path)
            | Self::Real(path)
            | Self::Flags(path)
            | Self::Mime(path)
            | Self::Expand(path) => Some(path),
            Self::Package(_) | Self::Unit(_) | Self::User(_) | Self::Group(_) | Self::Script(_) => {
                None
            }
        }
    }
}

impl Seen {
    /// Adds an answer.
    pub fn insert(&mut self, probe: Probe, answer: Answer) {
        self.answers.insert(probe, answer);
    }

    /// The answer to a probe, if it was asked.
    #[must_use]
    pub fn get(&self, probe: &Probe) -> Option<&Answer> {
        self.answers.get(probe)
    }

    /// All probes and answers.
    pub fn iter(&self) -> impl Iterator<Item = (&Probe, &Answer)> {
        self.answers.iter()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// Forgets what an effect may have changed.
    pub fn retain(&mut self, keep: impl Fn(&Probe) -> bool) {
        self.answers.retain(|probe, _| keep(probe));
    }

    /// `stat` of a path, not following links.
    #[must_use]
    pub fn path(&self, path: &str) -> Option<&PathState> {
        self.stat(path, false)
    }

    /// `stat` of a path.
    #[must_use]
    pub fn stat(&self, path: &str, follow: bool) -> Option<&PathState> {
        match self.answers.get(&Probe::Path {
            path: path.into(),
            follow,
        }) {
            Some(Answer::Path(state)) => state.as_ref(),
            _ => None,
        }
    }

    /// What is known of the same file under any name.
    pub(crate) fn others<'a>(&'a self, own: &'a PathState) -> impl Iterator<Item = &'a PathState> {
        self.answers
            .values()
            .filter_map(move |answer| match answer {
                Answer::Path(Some(state)) => {
                    Some(state).filter(|state| (state.inode, state.dev) == (own.inode, own.dev))
                }
                _ => None,
            })
    }

    /// Digest of a file.
    #[must_use]
    pub fn digest(&self, path: &str, algorithm: &'static str) -> Option<&str> {
        match self.answers.get(&Probe::Digest {
            path: path.into(),
            algorithm,
        }) {
            Some(Answer::Digest(digest)) => digest.as_deref(),
            _ => None,
        }
    }

    /// Bytes of a file, asked with this limit.
    #[must_use]
    pub fn content(&self, path: &str, limit: u64) -> Option<&[u8]> {
        match self.answers.get(&Probe::Content {
            path: path.into(),
            limit,
        }) {
            Some(Answer::Content(bytes)) => bytes.as_deref(),
            _ => None,
        }
    }

    /// A path as the host's shell resolved it; as it is when that was not asked.
    #[must_use]
    pub fn expanded<'a>(&'a self, path: &'a str) -> &'a str {
        match self.answers.get(&Probe::Expand(path.into())) {
            Some(Answer::Text(text)) => text,
            _ => path,
        }
    }

    /// The text of an answer to [`Probe::Real`], [`Probe::Flags`] or [`Probe::Mime`], if there is any.
    #[must_use]
    pub fn text(&self, probe: &Probe) -> Option<&str> {
        match self.answers.get(probe) {
            Some(Answer::Text(text)) if !text.is_empty() => Some(text),
            _ => None,
        }
    }

    /// What the executing user may do with a path.
    #[must_use]
    pub fn access(&self, path: &str) -> u8 {
        match self.answers.get(&Probe::Access(path.into())) {
            Some(Answer::Access(bits)) => *bits,
            _ => 0,
        }
    }

    /// Why a probe could not be answered.
    #[must_use]
    pub fn unknown(&self, probe: &Probe) -> Option<&str> {
        match self.answers.get(probe) {
            Some(Answer::Unknown(why)) => Some(why),
            _ => None,
        }
    }

    /// A package.
    #[must_use]
    pub fn package(&self, name: &str) -> Option<&PackageState> {
        match self.answers.get(&Probe::Package(name.into())) {
            Some(Answer::Package(state)) => state.as_ref(),
            _ => None,
        }
    }

    /// A unit's properties.
    #[must_use]
    pub fn unit(&self, name: &str) -> Option<&UnitState> {
        match self.answers.get(&Probe::Unit(name.into())) {
            Some(Answer::Unit(state)) => Some(state),
            _ => None,
        }
    }

    /// An account.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&UserState> {
        match self.answers.get(&Probe::User(name.into())) {
            Some(Answer::User(state)) => state.as_ref(),
            _ => None,
        }
    }

    /// A group.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&GroupState> {
        match self.answers.get(&Probe::Group(name.into())) {
            Some(Answer::Group(state)) => state.as_ref(),
            _ => None,
        }
    }

    /// Exit status and output of a script.
    #[must_use]
    pub fn script(&self, script: &str) -> Option<(i32, &[u8])> {
        match self.answers.get(&Probe::Script(script.into())) {
            Some(Answer::Script { rc, stdout, .. }) => Some((*rc, stdout)),
            _ => None,
        }
    }
}
