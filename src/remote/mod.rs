//! How: transports, the kept shell, framing, sudo and transfer.
//!
//! One [`Link`] per host and run. The engine speaks in *turns*: it hands over a list of [`Chunk`]s for one
//! [`Identity`], the link sends them in one go into the shell it keeps for that identity, and gives
//! back a [`Reply`] for each. This module knows nothing of playbooks.

mod actor;
mod escalate;
pub mod fake;
mod frames;
pub(crate) mod kept;
mod local;
mod queue;
mod shells;
pub(crate) mod ssh;

pub use ssh::{Shown, Standing};

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

/// A boxed future, so that [`Link`] can be a trait object.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A string that must not be shown: `Debug` hides it and it is wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(zeroize::Zeroizing<String>);

impl Secret {
    /// Wraps a secret text, and makes it known as one.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        let text = zeroize::Zeroizing::new(text.into());
        crate::secrets::learn(&text);
        Self(text)
    }

    /// The text itself: only for the wire.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("********")
    }
}

/// How host keys are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostKeyChecking {
    /// A key must be known.
    #[default]
    Strict,
    /// An unknown key is added to known_hosts; a changed one is refused.
    AcceptNew,
    /// No check.
    Off,
}

/// Where and how to connect.
#[derive(Debug, Clone, Default)]
pub struct Target {
    /// Name in the inventory.
    pub name: String,
    /// `ssh` or `local`.
    pub local: bool,
    /// Address or name; an alias of `~/.ssh/config` when nothing else is said.
    pub host: String,
    /// Port, when set by the inventory.
    pub port: Option<u16>,
    /// Login name, when set.
    pub user: Option<String>,
    /// Login password, when set.
    pub password: Option<Secret>,
    /// Private key files to try before the agent and the defaults.
    pub private_keys: Vec<PathBuf>,
    /// Passphrase of the private key, when set.
    pub passphrase: Option<Secret>,
    /// Options in OpenSSH's words, from `ansible_ssh_common_args` and friends, e.g. `UserKnownHostsFile=/x`, `ProxyJump=bastion`.
    pub options: Vec<(String, String)>,
    /// Host key policy.
    pub host_key_checking: HostKeyChecking,
    /// Limit for connecting and authenticating.
    pub connect_timeout: Option<Duration>,
}

/// Whose shell a chunk runs in.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub enum Identity {
    /// The login user.
    #[default]
    Login,
    /// Through `become`.
    Become {
        /// The user to become.
        user: String,
        /// `sudo` or `su`.
        method: String,
        /// Extra flags, e.g. from `ansible_become_flags`.
        flags: String,
    },
}

/// The password for becoming somebody else; kept apart from [`Identity`] so that it is never a map key.
pub type BecomePassword = Option<Secret>;

/// Bytes that a chunk reads on its standard input.
#[derive(Debug, Clone)]
pub enum Payload {
    /// Bytes at hand.
    Bytes(std::sync::Arc<[u8]>),
    /// A file of the controller, streamed.
    File(PathBuf),
}

/// One piece of POSIX sh to run, in a subshell of its own.
#[derive(Debug, Clone)]
pub struct Chunk {
    /// The script. It sees `LC_ALL=C` (unless it sets its own), umask 022, the home directory as working directory, and in
    /// `$MP_TMP` a private 0700 directory of this identity on the host.
    pub script: String,
    /// Standard input; `None` is `/dev/null`.
    pub input: Option<Payload>,
    /// After this long it is ended: the process group of a contained chunk is killed on the host; for a plain one we give up
    /// its shell, and it ends when it next writes.
    pub timeout: Option<Duration>,
    /// Whether the following chunks of the turn are skipped when this one exits non-zero.
    pub stop_on_failure: bool,
    /// Bytes kept of each output stream; the rest is counted and dropped.
    pub keep: usize,
    /// Whether it may run programs that we do not know. Such a chunk gets a session and pipes of its own: what it leaves in
    /// the background neither holds it up nor writes into later output. It costs a few processes on the host, so our
    /// own probes and file writes go without.
    pub contained: bool,
}

impl Chunk {
    /// A chunk of this script: no input, no limit in time, later chunks skipped when it fails, 16 MiB of output kept.
    #[must_use]
    pub fn new(script: impl Into<String>) -> Self {
        Self {
            script: script.into(),
            input: None,
            timeout: None,
            stop_on_failure: true,
            keep: 16 << 20,
            contained: true,
        }
    }

    /// The same for a script of our own making that leaves nothing in the background: cheaper on the host.
    pub fn plain(script: impl Into<String>) -> Self {
        Self {
            contained: false,
            ..Self::new(script)
        }
    }
}

/// What came of one chunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// Whether it ran at all (false: an earlier one failed).
    pub ran: bool,
    /// Exit status; 128 + n for a signal; 124 for a timeout.
    pub rc: i32,
    /// Standard output, up to the chunk's limit.
    pub stdout: Vec<u8>,
    /// Standard error, up to the chunk's limit.
    pub stderr: Vec<u8>,
    /// Bytes dropped past the limit, both streams together.
    pub dropped: u64,
    /// Whether the time limit ended it.
    pub timed_out: bool,
    /// How long it ran, as the controller saw it.
    pub elapsed: Duration,
}

impl Reply {
    /// Whether it ran and exited 0.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.ran && self.rc == 0
    }

    /// Standard output as text, invalid UTF-8 replaced.
    #[must_use]
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text, invalid UTF-8 replaced.
    #[must_use]
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }
}

/// What the line cost so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Turns: times the client spoke after the server spoke, the handshake included.
    pub turns: u64,
    /// Bytes sent.
    pub up: u64,
    /// Bytes received.
    pub down: u64,
}

/// Why a link cannot be used (any more). `Display` is one lower-case line; [`LinkError::hint`] says what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkError {
    /// The class of fault.
    pub kind: LinkErrorKind,
    /// What happened, in words.
    pub message: String,
    /// What to do about it, one sentence.
    pub hint: Option<String>,
    /// Replies of the turn's chunks that had ended before the line broke.
    pub ended: Vec<Reply>,
    /// Whether the host may have begun with the chunks that follow those.
    pub begun: bool,
}

/// Classes of faults of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkErrorKind {
    /// Name not found, refused, no route, timeout, no SSH server.
    Unreachable,
    /// The host key is unknown, changed or revoked.
    HostKey,
    /// The login was refused.
    Auth,
    /// `sudo` or `su` did not let us.
    Become,
    /// Another run holds the host.
    Locked,
    /// The line broke after it had worked.
    Lost,
    /// The remote side does not follow our protocol (no sh, output cut).
    Protocol,
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for LinkError {}

impl LinkError {
    /// An error of this kind.
    pub fn new(kind: LinkErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            ended: Vec::new(),
            begun: false,
        }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Opens links; shared by all hosts of a run.
#[derive(Debug, Default)]
pub struct Connector {
    ssh: ssh::Shared,
}

impl Connector {
    /// A connector for one run. A connection takes three descriptors, so the process is allowed as many as it can get.
    #[must_use]
    pub fn new() -> Self {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = limit.maximum;
        // Where that is refused, connecting to very many hosts at once will say so.
        let _ = setrlimit(Resource::Nofile, limit);
        Self::default()
    }

    /// Connects to a host and logs in. Handshakes to one place are paced; wait for the result in as many tasks as you like.
    ///
    /// # Errors
    /// One error for each cause, with a hint: see [`LinkErrorKind`].
    pub async fn connect(&self, target: &Target) -> Result<Box<dyn Link>, LinkError> {
        if target.local {
            let counters = std::sync::Arc::default();
            let shells = shells::Shells::new(
                local::Local::new(std::sync::Arc::clone(&counters)),
                Duration::from_secs(10),
            );
            return Ok(actor::start(shells, counters));
        }
        self.ssh.connect(target).await
    }

    /// The key that a host shows, and what is known of it. Nobody logs in.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn look(&self, target: &Target) -> Result<Shown, LinkError> {
        self.ssh.look(target).await
    }

    /// Takes a host's keys out of the user's known_hosts files; what was removed, a line each.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn forget(&self, target: &Target) -> Result<Vec<String>, LinkError> {
        self.ssh.forget(target)
    }
}

/// A connection to one host.
pub trait Link: Send {
    /// Runs chunks in order in the shell kept for `who`, in one turn. Opens that shell first when needed.
    ///
    /// # Errors
    /// When the line broke or `who` cannot be become. A failing script is not an error.
    fn turn<'a>(
        &'a mut self,
        who: &'a Identity,
        chunks: Vec<Chunk>,
    ) -> Boxed<'a, Result<Vec<Reply>, LinkError>>;

    /// The password that `become` may need; set before the first turn of such an identity.
    fn set_become_password(&mut self, who: &Identity, password: BecomePassword);

    /// What it cost so far.
    fn stats(&self) -> Stats;

    /// Removes the private directories and closes the connection; bounded in time.
    fn close(self: Box<Self>) -> Boxed<'static, ()>;
}
