//! Kept shells on the controller itself: child processes.

use std::future::poll_fn;
use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::Poll;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::escalate::Start;
use super::kept::{End, Kept};
use super::shells::Transport;
use super::ssh::wire::{Counters, with_buffer};
use super::{LinkError, LinkErrorKind};

/// The controller as a host.
pub(crate) struct Local {
    user: Option<String>,
    counters: Arc<Counters>,
    heard: bool,
}

/// A child process.
pub(crate) struct Port {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
}

impl Local {
    pub(crate) fn new(counters: Arc<Counters>) -> Self {
        // Only ever compared with the user to become.
        let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME"));
        Self {
            user: user.ok(),
            counters,
            heard: true,
        }
    }
}

impl Transport for Local {
    type Port = Port;

    async fn open(&mut self, start: &Start) -> Result<Port, LinkError> {
        let mut child = Command::new("/bin/sh")
            .arg("-c")
            .arg(&start.command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C at our terminal is for us to handle.
            .process_group(0)
            .spawn()
            .map_err(|e| {
                LinkError::new(LinkErrorKind::Protocol, format!("cannot run /bin/sh: {e}"))
            })?;
        Ok(Port {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            stderr: child.stderr.take(),
            child,
        })
    }

    async fn step(&mut self, port: &mut Port, kept: &mut Kept) -> Result<(), LinkError> {
        kept.queue.fill().await?;
        poll_fn(|cx| {
            let mut moved = false;
            while let Some(stdin) = &mut port.stdin {
                let bytes = kept.queue.next();
                if bytes.is_empty() {
                    break;
                }
                match Pin::new(stdin).poll_write(cx, bytes) {
                    Poll::Ready(Ok(count)) => {
                        self.counters.sent(count, std::mem::take(&mut self.heard));
                        kept.queue.wrote(count);
                        moved = true;
                    }
                    Poll::Ready(Err(_)) => {
                        port.stdin = None;
                        kept.queue.clear();
                    }
                    Poll::Pending => break,
                }
            }
            with_buffer(|buffer| {
                let mut out = |stream: &mut dyn AsyncReadUnpin, which| {
                    let mut buffer = ReadBuf::new(buffer);
                    let Poll::Ready(read) = Pin::new(stream).poll_read(cx, &mut buffer) else {
                        return true;
                    };
                    moved = true;
                    let bytes = buffer.filled();
                    self.counters.received(bytes.len());
                    self.heard = true;
                    kept.output(which, bytes);
                    read.is_ok() && !bytes.is_empty()
                };
                if port.stdout.as_mut().is_some_and(|stream| !out(stream, 0)) {
                    port.stdout = None;
                }
                if port.stderr.as_mut().is_some_and(|stream| !out(stream, 1)) {
                    port.stderr = None;
                }
            });
            if moved || (port.stdout.is_none() && port.stderr.is_none()) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
        if port.stdout.is_none() && port.stderr.is_none() {
            let status = port.child.wait().await.ok();
            kept.ended(End {
                rc: status.and_then(|status| {
                    use std::os::unix::process::ExitStatusExt;
                    status.code().or(status.signal().map(|signal| 128 + signal))
                }),
            });
        }
        Ok(())
    }

    fn catch_up(&mut self, port: &mut Port, kept: &mut Kept) -> Result<(), LinkError> {
        if matches!(port.child.try_wait(), Ok(Some(_))) {
            kept.ended(End { rc: None });
        }
        Ok(())
    }

    async fn finish(&mut self, port: &mut Port) {
        port.stdin = None;
    }

    async fn idle(&mut self) -> LinkError {
        std::future::pending().await
    }

    fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }
}

trait AsyncReadUnpin: AsyncRead + Unpin {}
impl<T: AsyncRead + Unpin> AsyncReadUnpin for T {}
