//! The least that a run over SSH can cost: one thread a host, libssh2, one script written by hand, nothing else.
//!
//! `floor SCRIPT KEY USER ADDRESS:PORT…` prints nothing; it fails when a host does. Hosts are taken in turn by as many
//! threads as `FLOOR_THREADS` says, ten when it says nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Mutex;

fn ask(
    script: &str,
    key: &Path,
    user: &str,
    address: &str,
) -> Result<usize, Box<dyn std::error::Error>> {
    let line = TcpStream::connect(address)?;
    line.set_nodelay(true)?;
    let mut session = ssh2::Session::new()?;
    session.set_tcp_stream(line);
    session.handshake()?;
    session.userauth_pubkey_file(user, None, key, None)?;
    let mut channel = session.channel_session()?;
    channel.exec("/bin/sh")?;
    channel.write_all(script.as_bytes())?;
    channel.send_eof()?;
    let mut out = Vec::new();
    channel.read_to_end(&mut out)?;
    channel.wait_close()?;
    if channel.exit_status()? != 0 || out.is_empty() {
        return Err(format!("the script failed on {address}").into());
    }
    Ok(out.len())
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let [_, script, key, user, hosts @ ..] = &args[..] else {
        panic!("floor SCRIPT KEY USER ADDRESS:PORT...");
    };
    let script = std::fs::read_to_string(script).expect("the script");
    let threads = std::env::var("FLOOR_THREADS").map_or(10, |n| n.parse().expect("a number"));
    let left = Mutex::new(hosts.iter());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let next = left.lock().unwrap().next();
                    let Some(address) = next else { return };
                    ask(&script, Path::new(key), user, address).expect(address);
                }
            });
        }
    });
}
