//! A channel of a jump host as a line.
//!
//! Every target has a session of its own on the jump host, as with OpenSSH: libssh2 opens one channel at a time, and
//! a target that does not answer must not hold up the others.

use std::io::{Read, Write};
use std::task::Poll;
use std::time::Duration;

use ssh2::Channel;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::session::{Live, again};
use super::wire::Line;
use crate::remote::{LinkError, LinkErrorKind};

/// Bytes under way in each direction.
const PIECE: usize = 64 << 10;

/// Opens a connection from the jump host on.
pub(crate) async fn forward(
    mut live: Live,
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<Box<dyn Line>, LinkError> {
    let unreachable = |text: String| LinkError::new(LinkErrorKind::Unreachable, text);
    let opening = live.run(|session| session.channel_direct_tcpip(host, port, None));
    let channel = match tokio::time::timeout(limit, opening).await {
        Ok(Ok(channel)) => channel,
        Ok(Err(fault)) => {
            return Err(unreachable(format!(
                "the jump host cannot connect to {host} port {port}: {fault}"
            ))
            .hint(
                "is the host up as seen from there, and does its sshd allow AllowTcpForwarding?",
            ));
        }
        Err(_) => {
            return Err(unreachable(format!(
                "the jump host got no answer from {host} port {port} within {} s",
                limit.as_secs()
            )));
        }
    };
    let (ours, theirs) = tokio::io::duplex(PIECE);
    tokio::spawn(carry(live, channel, theirs));
    Ok(Box::new(ours))
}

/// Carries bytes between the channel and the target's session until either ends.
async fn carry(mut live: Live, mut channel: Channel, stream: DuplexStream) {
    let (mut from, mut to) = tokio::io::split(stream);
    let mut up = Vec::with_capacity(PIECE);
    let mut sent = 0;
    let mut down = vec![0; PIECE];
    loop {
        // Up: what the target's session wrote.
        while sent < up.len() && !live.wire.full() {
            match channel.write(&up[sent..]) {
                Ok(0) => break,
                Ok(count) => sent += count,
                Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                    if live.wire.drain().is_err() {
                        return;
                    }
                    if live.session.block_directions() == ssh2::BlockDirections::Inbound {
                        break;
                    }
                }
                Err(_) => return,
            }
        }
        if sent == up.len() {
            up.clear();
            sent = 0;
        }
        // Down: what the channel has.
        match channel.read(&mut down) {
            Ok(0) if channel.eof() => return,
            Ok(count) => {
                if to.write_all(&down[..count]).await.is_err() {
                    return;
                }
                continue;
            }
            Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
        let idle = up.is_empty();
        tokio::select! {
            moved = live.wire.exchange() => if moved.is_err() { return },
            read = from.read_buf(&mut up), if idle => if !matches!(read, Ok(1..)) { return },
            () = tokio::time::sleep(Duration::from_secs(10)) => {
                if live.session.keepalive_send().is_err_and(|e| !again(&e)) {
                    return;
                }
            }
        }
        // What was just written must not wait for the other side to speak.
        let pushed = std::future::poll_fn(|cx| match live.wire.poll_exchange(cx) {
            Poll::Ready(Err(e)) => Poll::Ready(Err(e)),
            _ => Poll::Ready(Ok(())),
        });
        if pushed.await.is_err() {
            return;
        }
    }
}
