//! Kept shells over SSH: one channel each.

use std::io::{Read, Write};
use std::time::Duration;

use ssh2::Channel;

use super::session::{Fault, Live, again, dead};
use super::wire::with_buffer;
use crate::remote::escalate::Start;
use crate::remote::kept::{End, Kept};
use crate::remote::shells::Transport;
use crate::remote::{LinkError, LinkErrorKind};

/// How the line is watched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alive {
    /// A question after this long without a word.
    pub(crate) interval: Duration,
    /// So many without an answer end the line.
    pub(crate) count: u32,
}

/// An authenticated session.
pub(crate) struct Ssh {
    live: Live,
    user: String,
    alive: Alive,
    /// Any channel: libssh2 reads a session only through one.
    any: Option<Channel>,
}

/// A command on a channel.
pub(crate) struct Port {
    channel: Channel,
    command: String,
    started: bool,
    eof: bool,
}

impl Ssh {
    pub(crate) fn new(live: Live, user: String, alive: Alive) -> Self {
        Self {
            live,
            user,
            alive,
            any: None,
        }
    }

    /// Waits for the line, asking the host for a sign of life when it is silent.
    async fn wait(&mut self) -> Result<(), LinkError> {
        let Alive { interval, count } = self.alive;
        let lost = |fault: Fault| fault.lost();
        loop {
            match tokio::time::timeout(interval, self.live.wire.exchange()).await {
                Ok(moved) => return moved.map_err(|e| lost(Fault::Line(e))),
                Err(_) if self.live.wire.last_heard.elapsed() >= interval * (count + 1) => {
                    return Err(LinkError::new(
                        LinkErrorKind::Lost,
                        format!(
                            "the connection was lost: no sign of life for {} s",
                            self.live.wire.last_heard.elapsed().as_secs()
                        ),
                    ));
                }
                Err(_) => match self.live.session.keepalive_send() {
                    Err(e) if !again(&e) => return Err(lost(Fault::Ssh(e))),
                    _ => {}
                },
            }
        }
    }

    /// Reads and writes what can be without waiting; says whether anything moved.
    fn move_bytes(&mut self, port: &mut Port, kept: &mut Kept) -> Result<bool, Fault> {
        let mut moved = false;
        if !port.started {
            match port.channel.exec(&port.command) {
                Ok(()) => {
                    port.started = true;
                    moved = true;
                }
                // The request is sent; what follows need not wait for the answer.
                Err(e) if again(&e) => {}
                Err(e) => return Err(Fault::Ssh(e)),
            }
        }
        while !self.live.wire.full() && !kept.queue.next().is_empty() && !port.eof {
            match port.channel.write(kept.queue.next()) {
                Ok(0) => break,
                Ok(count) => {
                    kept.queue.wrote(count);
                    moved = true;
                }
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    self.live.wire.drain().map_err(Fault::Line)?;
                    if self.live.session.block_directions() == ssh2::BlockDirections::Inbound {
                        break;
                    }
                }
                Err(_) if port.channel.eof() => {
                    kept.queue.clear();
                    break;
                }
                Err(e) => return Err(Fault::Line(e)),
            }
            self.live.wire.drain().map_err(Fault::Line)?;
        }
        moved |= read(port, kept)?;
        self.live.wire.drain().map_err(Fault::Line)?;
        Ok(moved)
    }
}

/// Reads what has come for a channel.
fn read(port: &mut Port, kept: &mut Kept) -> Result<bool, Fault> {
    let mut moved = false;
    with_buffer(|buffer| {
        for stream in [0, 1] {
            for _ in 0..8 {
                match port.channel.stream(stream).read(buffer) {
                    Ok(0) => break,
                    Ok(count) => {
                        let which = usize::from(stream == 1);
                        kept.output(which, &buffer[..count]);
                        moved = true;
                    }
                    Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => break,
                    Err(e) => return Err(Fault::Line(e)),
                }
            }
        }
        Ok(())
    })?;
    if !port.eof && port.channel.eof() {
        port.eof = true;
        moved = true;
    }
    Ok(moved)
}

impl Transport for Ssh {
    type Port = Port;

    async fn open(&mut self, start: &Start) -> Result<Port, LinkError> {
        let channel = loop {
            match self.live.session.channel_session() {
                Ok(channel) => break channel,
                // A host may let us in and then fall silent; its login can hang as long as it likes.
                Err(e) if again(&e) => self.wait().await?,
                Err(e) if dead(&e) => return Err(Fault::Ssh(e).lost()),
                Err(e) => {
                    return Err(LinkError::new(
                        LinkErrorKind::Protocol,
                        format!("the host opens no session: {}", e.message()),
                    )
                    .hint("check MaxSessions in its sshd_config; it must be at least 2 where become is used"));
                }
            }
        };
        self.any = Some(channel.clone());
        Ok(Port {
            channel,
            command: start.command.clone(),
            started: false,
            eof: false,
        })
    }

    async fn step(&mut self, port: &mut Port, kept: &mut Kept) -> Result<(), LinkError> {
        if port.eof {
            // The exit status follows the end of the output.
            let closed = async {
                loop {
                    match port.channel.wait_close() {
                        Ok(()) => return true,
                        Err(e) if again(&e) => {
                            if self.live.wire.exchange().await.is_err() {
                                return false;
                            }
                        }
                        Err(_) => return false,
                    }
                }
            };
            let closed = tokio::time::timeout(Duration::from_secs(2), closed).await;
            kept.ended(End {
                rc: (closed == Ok(true)).then(|| exit_status(&port.channel)),
            });
            return Ok(());
        }
        kept.queue.fill().await?;
        match self.move_bytes(port, kept) {
            Ok(true) => {
                // Sends on what was written without waiting for more.
                std::future::poll_fn(|cx| match self.live.wire.poll_exchange(cx) {
                    std::task::Poll::Ready(Err(e)) => std::task::Poll::Ready(Err(e)),
                    _ => std::task::Poll::Ready(Ok(())),
                })
                .await
                .map_err(|e| Fault::Line(e).lost())
            }
            Ok(false) => self.wait().await,
            Err(Fault::Ssh(e)) if !port.started && !dead(&e) => Err(LinkError::new(
                LinkErrorKind::Protocol,
                format!("the host runs no commands for this user: {}", e.message()),
            )),
            Err(fault) => Err(fault.lost()),
        }
    }

    fn catch_up(&mut self, port: &mut Port, kept: &mut Kept) -> Result<(), LinkError> {
        read(port, kept).map_err(|fault| fault.lost())?;
        if port.eof {
            kept.ended(End { rc: None });
        }
        Ok(())
    }

    async fn finish(&mut self, port: &mut Port) {
        if self.live.run(|_| port.channel.send_eof()).await.is_ok() {
            let _ = self.live.wire.flush().await;
        }
    }

    async fn idle(&mut self) -> LinkError {
        loop {
            if let Err(error) = self.wait().await {
                return error;
            }
            if let Some(any) = &mut self.any {
                // Reads the session, which answers what the host asks; it is no error that the channel goes on.
                let _ = any.wait_eof();
            }
        }
    }

    fn user(&self) -> Option<&str> {
        Some(&self.user)
    }
}

/// Exit status as a shell gives it; libssh2 tells 0 for a command killed by a signal, so that is asked first.
fn exit_status(channel: &Channel) -> i32 {
    let signal = channel.exit_signal().ok().and_then(|s| s.exit_signal);
    match signal.as_deref() {
        Some("HUP") => 129,
        Some("INT") => 130,
        Some("QUIT") => 131,
        Some("TERM") => 143,
        Some(_) => 137,
        None => channel.exit_status().unwrap_or(0),
    }
}
