//! The line under an SSH session.
//!
//! libssh2 wants a socket of its own and blocks, or asks to be polled, in ways that fit no async runtime. So it gets one end
//! of a socket pair that serves as a plain queue of bytes: libssh2 becomes a state machine that never waits, and this
//! file moves bytes between the queue and the real line, which may be TCP, a channel of a jump host or a child
//! process. What goes over the line is counted here.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::remote::Stats;

/// Anything that carries bytes both ways.
pub(crate) trait Line: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// What a line cost, shared with whoever asks.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    turns: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

impl Counters {
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            turns: self.turns.load(Ordering::Relaxed),
            up: self.up.load(Ordering::Relaxed),
            down: self.down.load(Ordering::Relaxed),
        }
    }

    /// Counts bytes sent; `turn`: the other side had spoken before.
    pub(crate) fn sent(&self, bytes: usize, turn: bool) {
        self.up.fetch_add(bytes as u64, Ordering::Relaxed);
        self.turns.fetch_add(u64::from(turn), Ordering::Relaxed);
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.down.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Above this nothing new is handed to libssh2 for sending.
const FULL: usize = 256 << 10;

thread_local! {
    /// One buffer a thread, not one a host: it is used only between two awaits.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; 128 << 10]);
}

/// Lends the thread's buffer. Must not be nested.
pub(crate) fn with_buffer<T>(f: impl FnOnce(&mut [u8]) -> T) -> T {
    BUFFER.with_borrow_mut(|buffer| f(buffer))
}

/// The line and our end of the queue.
pub(crate) struct Wire {
    line: Box<dyn Line>,
    near: UnixStream,
    /// On its way to the line.
    back: Vec<u8>,
    sent: usize,
    /// On its way to libssh2.
    fore: Vec<u8>,
    counters: Arc<Counters>,
    heard: bool,
    /// When something last came over the line.
    pub(crate) last_heard: Instant,
}

impl Wire {
    /// A wire on this line, and the end of the queue that libssh2 gets.
    pub(crate) fn new(
        line: Box<dyn Line>,
        counters: Arc<Counters>,
    ) -> io::Result<(Self, UnixStream)> {
        let (near, far) = UnixStream::pair()?;
        near.set_nonblocking(true)?;
        far.set_nonblocking(true)?;
        let wire = Self {
            line,
            near,
            back: Vec::new(),
            sent: 0,
            fore: Vec::new(),
            counters,
            heard: true,
            last_heard: Instant::now(),
        };
        Ok((wire, far))
    }

    /// Whether enough is under way.
    pub(crate) fn full(&self) -> bool {
        self.back.len() - self.sent >= FULL
    }

    /// Takes what libssh2 wrote, so that it can always write on: it must never be left with half a packet.
    pub(crate) fn drain(&mut self) -> io::Result<()> {
        with_buffer(|buffer| {
            loop {
                match self.near.read(buffer) {
                    Ok(0) => return Ok(()),
                    Ok(count) => self.back.extend_from_slice(&buffer[..count]),
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
        })
    }

    /// Writes to the line what it takes; says whether that was anything.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = false;
        while self.sent < self.back.len() {
            let Poll::Ready(count) =
                Pin::new(&mut self.line).poll_write(cx, &self.back[self.sent..])
            else {
                return Ok(moved);
            };
            let count = count?;
            if count == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.counters.sent(count, std::mem::take(&mut self.heard));
            self.sent += count;
            moved = true;
        }
        self.sent = 0;
        if self.back.capacity() > 16 << 10 {
            self.back = Vec::new();
        } else {
            self.back.clear();
        }
        if moved {
            // Only lines with buffers of their own, such as a channel of a jump host, do anything here.
            if let Poll::Ready(flushed) = Pin::new(&mut self.line).poll_flush(cx) {
                flushed?;
            }
        }
        Ok(moved)
    }

    /// Hands to libssh2 what the line has, as much as the queue takes; says whether that was anything.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut moved = false;
        if !self.fore.is_empty() {
            let taken = put(&mut self.near, &self.fore)?;
            self.fore.drain(..taken);
            moved = taken > 0;
            if !self.fore.is_empty() {
                return Ok(moved);
            }
            self.fore = Vec::new();
        }
        with_buffer(|buffer| {
            let mut buffer = ReadBuf::new(buffer);
            let Poll::Ready(read) = Pin::new(&mut self.line).poll_read(cx, &mut buffer) else {
                return Ok(moved);
            };
            read?;
            let bytes = buffer.filled();
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.counters.received(bytes.len());
            self.heard = true;
            self.last_heard = Instant::now();
            let taken = put(&mut self.near, bytes)?;
            self.fore.extend_from_slice(&bytes[taken..]);
            Ok(true)
        })
    }

    /// Moves bytes both ways without waiting.
    pub(crate) fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.drain()?;
        let out = self.poll_flush(cx)?;
        let back = self.poll_fill(cx)?;
        if out || back {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Whether all that is to be sent is one unencrypted packet with a key exchange offer (20) or "new keys" (21).
    pub(crate) fn can_hold(&self) -> bool {
        match &self.back[self.sent..] {
            [a, b, c, d, _padding, 20 | 21, rest @ ..] => {
                u32::from_be_bytes([*a, *b, *c, *d]) as usize == rest.len() + 2
            }
            _ => false,
        }
    }

    /// Waits for the other side without sending anything.
    pub(crate) async fn listen(&mut self) -> io::Result<()> {
        poll_fn(|cx| match self.poll_fill(cx) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(e) => Poll::Ready(Err(e)),
        })
        .await
    }

    /// Waits until something was moved either way.
    pub(crate) async fn exchange(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_exchange(cx)).await
    }

    /// Sends everything that libssh2 wrote.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| {
            self.drain()?;
            self.poll_flush(cx)?;
            if self.back.is_empty() {
                Poll::Ready(Ok(()))
            } else {
                Poll::Pending
            }
        })
        .await
    }
}

/// Writes to the queue as much as it takes.
fn put(near: &mut UnixStream, mut bytes: &[u8]) -> io::Result<usize> {
    let all = bytes.len();
    while !bytes.is_empty() {
        match near.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(all - bytes.len())
}
