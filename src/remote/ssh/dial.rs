//! Lines to hosts: TCP, a command, a channel of a jump host.

use std::net::SocketAddr;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Join, ReadBuf};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::wire::Line;
use crate::remote::{LinkError, LinkErrorKind};

fn unreachable(text: String) -> LinkError {
    LinkError::new(LinkErrorKind::Unreachable, text)
}

/// The addresses of a name.
pub(crate) async fn resolve(
    host: &str,
    port: u16,
    limit: Duration,
) -> Result<Vec<SocketAddr>, LinkError> {
    let found = tokio::time::timeout(limit, tokio::net::lookup_host((host, port))).await;
    let addresses: Vec<SocketAddr> = match found {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(_)) => Vec::new(),
        Err(_) => {
            return Err(unreachable(format!(
                "the name {host} could not be looked up within {} s",
                limit.as_secs()
            ))
            .hint("do the name servers of this machine answer?"));
        }
    };
    if addresses.is_empty() {
        return Err(unreachable(format!("the name {host} is not known"))
            .hint("check the spelling, or set ansible_host to an address"));
    }
    Ok(addresses)
}

/// Opens a TCP connection to the first address that takes one.
pub(crate) async fn tcp(
    host: &str,
    addresses: &[SocketAddr],
    limit: Duration,
) -> Result<Box<dyn Line>, LinkError> {
    let each = limit / u32::try_from(addresses.len()).unwrap_or(1).max(1);
    let mut last = unreachable(format!("the name {host} has no address"));
    for address in addresses {
        let port = address.port();
        last = match tokio::time::timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(Box::new(stream));
            }
            Ok(Err(e)) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
                unreachable(format!("port {port} of {host} is closed"))
                    .hint("is sshd running there, and on this port?")
            }
            Ok(Err(e)) => unreachable(format!("no way to {host} port {port}: {e}"))
                .hint("is the host up, and is there a route to it?"),
            Err(_) => unreachable(format!(
                "no answer from {host} port {port} within {} s",
                limit.as_secs()
            ))
            .hint("is the host up, and does a firewall drop the port?"),
        };
    }
    Err(last)
}

/// A child process whose standard input and output are the line.
struct Piped {
    /// Killed when dropped.
    _child: Child,
    pipes: Join<ChildStdout, ChildStdin>,
}

/// Starts a `ProxyCommand`.
pub(crate) fn command(text: &str) -> Result<Box<dyn Line>, LinkError> {
    let fail = |why: &str| unreachable(format!("cannot run ProxyCommand {text:?}: {why}"));
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("exec {text}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| fail(&e.to_string()))?;
    let (Some(stdout), Some(stdin)) = (child.stdout.take(), child.stdin.take()) else {
        return Err(fail("it has no pipes"));
    };
    Ok(Box::new(Piped {
        _child: child,
        pipes: tokio::io::join(stdout, stdin),
    }))
}

impl AsyncRead for Piped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.pipes).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Piped {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.pipes).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.pipes).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.pipes).poll_shutdown(cx)
    }
}
