//! An SSH session that never blocks: libssh2 on a [`Wire`].

use std::io;
use std::sync::Arc;
use std::time::Duration;

use ssh2::{Error, ErrorCode, MethodType, Session};

use super::wire::{Counters, Line, Wire};
use crate::remote::{LinkError, LinkErrorKind};

/// libssh2's "would block".
const AGAIN: ErrorCode = ErrorCode::Session(-37);

/// Key exchanges that take one round trip come first; all of libssh2's.
const KEX: &str = "curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,ecdh-sha2-nistp384,\
    ecdh-sha2-nistp521,diffie-hellman-group14-sha256,diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,\
    diffie-hellman-group-exchange-sha256";

/// Ciphers that processors help with come first.
const CIPHERS: &str = "aes128-gcm@openssh.com,aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,\
    aes128-ctr,aes192-ctr,aes256-ctr";

/// A session and its line. The wire is dropped first, so that libssh2 finds the queue closed and does not wait.
pub(crate) struct Live {
    pub(crate) wire: Wire,
    pub(crate) session: Session,
}

/// Why an operation failed: the line broke, or libssh2 refused.
#[derive(Debug)]
pub(crate) enum Fault {
    Line(io::Error),
    Ssh(Error),
}

impl Fault {
    /// Whether the line is gone, whoever noticed.
    pub(crate) fn is_line(&self) -> bool {
        match self {
            Self::Line(_) => true,
            Self::Ssh(e) => dead(e),
        }
    }

    /// As the loss of a line that had worked.
    pub(crate) fn lost(&self) -> LinkError {
        LinkError::new(
            LinkErrorKind::Lost,
            format!("the connection was lost: {self}"),
        )
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(e) if e.kind() == io::ErrorKind::UnexpectedEof => {
                f.write_str("the other side closed it")
            }
            Self::Line(e) => write!(f, "{e}"),
            Self::Ssh(e) => f.write_str(e.message()),
        }
    }
}

/// Whether an operation has to be tried again later.
pub(crate) fn again(e: &Error) -> bool {
    e.code() == AGAIN
}

/// Whether libssh2 says that the line is gone: socket none, send, disconnect, receive, bad socket.
pub(crate) fn dead(e: &Error) -> bool {
    matches!(e.code(), ErrorCode::Session(-1 | -7 | -13 | -43 | -45))
}

impl Live {
    /// A session on this line, before the handshake.
    pub(crate) fn new(
        line: Box<dyn Line>,
        counters: Arc<Counters>,
        host_keys: Option<&str>,
    ) -> Result<Self, Fault> {
        let (wire, far) = Wire::new(line, counters).map_err(Fault::Line)?;
        let mut session = Session::new().map_err(Fault::Ssh)?;
        session.set_blocking(false);
        session.set_tcp_stream(far);
        session.set_keepalive(true, 2);
        let prefer = |method, list: &str| session.method_pref(method, list).map_err(Fault::Ssh);
        prefer(MethodType::Kex, KEX)?;
        prefer(MethodType::CryptCs, CIPHERS)?;
        prefer(MethodType::CryptSc, CIPHERS)?;
        if let Some(list) = host_keys {
            prefer(MethodType::HostKey, list)?;
        }
        Ok(Self { wire, session })
    }

    /// The handshake.
    pub(crate) async fn handshake(&mut self) -> Result<(), Fault> {
        loop {
            match self.session.handshake() {
                Ok(()) => return Ok(()),
                Err(e) if again(&e) => {}
                Err(e) => return Err(Fault::Ssh(e)),
            }
            // Either side sends its key exchange offer and its "new keys" without waiting for the other's, so the
            // server's is on its way when libssh2 writes ours. Sent together with what follows, each is one turn less. A
            // server that does wait gets ours a moment later.
            self.wire.drain().map_err(Fault::Line)?;
            if self.wire.can_hold() {
                let heard = tokio::time::timeout(Duration::from_millis(30), self.wire.listen());
                if let Ok(heard) = heard.await {
                    heard.map_err(Fault::Line)?;
                    continue;
                }
            }
            self.wire.exchange().await.map_err(Fault::Line)?;
        }
    }

    /// Runs an operation of libssh2 to its end.
    pub(crate) async fn run<T>(
        &mut self,
        mut operation: impl FnMut(&mut Session) -> Result<T, Error>,
    ) -> Result<T, Fault> {
        loop {
            match operation(&mut self.session) {
                Ok(value) => return Ok(value),
                Err(e) if again(&e) => self.wire.exchange().await.map_err(Fault::Line)?,
                Err(e) => return Err(Fault::Ssh(e)),
            }
        }
    }
}
