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

    const STAYS: bool = true;

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

#[cfg(test)]
mod tests {
    use super::super::kept::{Progress, READER};
    use super::super::{Chunk, Payload, Reply};
    use super::*;
    use std::time::Duration;

    /// Runs chunks in a kept shell of this program.
    async fn run(shell: &str, chunks: &[Chunk]) -> (Progress, Vec<Reply>) {
        let mut local = Local::new(Arc::default());
        let start = Start::plain(format!("exec {shell} -c '{READER}'"));
        let mut kept = Kept::new(start.gate(), None, true).unwrap();
        let mut port = local.open(&start).await.unwrap();
        kept.begin(chunks).await.unwrap();
        while kept.progress().unwrap() == Progress::Running {
            local.step(&mut port, &mut kept).await.unwrap();
        }
        let progress = kept.progress().unwrap();
        (progress, kept.replies().0)
    }

    fn feed(mut chunk: Chunk, input: &[u8]) -> Chunk {
        chunk.input = Some(Payload::Bytes(input.into()));
        chunk
    }

    fn go_on(mut chunk: Chunk) -> Chunk {
        chunk.stop_on_failure = false;
        chunk
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_shell_script_is_the_same_everywhere() {
        let every: Vec<u8> = (0..=255).cycle().take(200_000).collect();
        let mut late = go_on(Chunk::new("sleep 20 | cat"));
        late.timeout = Some(Duration::from_millis(300));
        let chunks = [
            Chunk::plain("printf 'o\\1'; echo e >&2; set -e; cd /; umask 0"),
            feed(Chunk::plain("umask; cat"), &every),
            feed(Chunk::new("umask; cat"), &every),
            go_on(feed(Chunk::plain("exit 3"), b"unread")),
            go_on(feed(
                Chunk::new("echo x >&2; exec sh -c 'exit 4'"),
                b"unread",
            )),
            go_on(Chunk::new("syntax ( error")),
            go_on(Chunk::plain("syntax ( error")),
            late,
            Chunk::new("kill -9 $PPID; :"),
            feed(Chunk::plain("never"), b"dropped"),
        ];
        let want = [b"0022\n".as_slice(), &every].concat();
        for shell in ["dash", "bash --posix", "bash", "busybox sh"] {
            let (progress, replies) = run(shell, &chunks).await;
            let rc: Vec<i32> = replies.iter().map(|reply| reply.rc).collect();
            assert_eq!(progress, Progress::Done, "{shell} {rc:?}");
            assert_eq!(
                (replies[0].out(), replies[0].err()),
                ("o\x01".into(), "e\n".into())
            );
            assert_eq!(replies[1].stdout, want, "{shell}");
            assert_eq!(replies[2].stdout, want, "{shell}");
            assert_eq!(
                (rc[3], rc[4], replies[4].err()),
                (3, 4, "x\n".into()),
                "{shell}"
            );
            assert!(rc[5] != 0 && rc[6] != 0 && replies[6].ran, "{shell} {rc:?}");
            assert_eq!((rc[7], replies[7].timed_out), (124, true), "{shell}");
            assert_eq!((rc[8], replies[9].ran), (137, false), "{shell} {rc:?}");
        }
    }

    #[test]
    fn the_shell_script_is_clean() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/remote/bootstrap.sh");
        let output = std::process::Command::new("shellcheck")
            .arg(script)
            .output()
            .expect("run shellcheck");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}
