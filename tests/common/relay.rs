//! A TCP relay for tests: it counts connections, turns and bytes, adds delay, stalls and cuts.
//!
//! A *turn* is counted when the client speaks after the server spoke (or first). Unlike seconds, turns do not depend on
//! how busy the machine is.
#![allow(dead_code)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// What went through a relay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub connections: u64,
    pub turns: u64,
    pub up: u64,
    pub down: u64,
}

#[derive(Default)]
struct State {
    connections: AtomicU64,
    turns: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    stalled: AtomicBool,
    delay_ms: AtomicU64,
}

/// A relay in front of one address.
pub struct Relay {
    pub address: SocketAddr,
    state: Arc<State>,
    cut: watch::Sender<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Relay {
    /// Listens on a free port of 127.0.0.1 and connects through to `to`.
    pub async fn start(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("bind a relay");
        let address = listener.local_addr().expect("relay address");
        let state = Arc::new(State::default());
        let (cut, cuts) = watch::channel(0);
        let shared = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                let (state, mut cuts) = (shared.clone(), cuts.clone());
                cuts.mark_unchanged();
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(to).await else {
                        return;
                    };
                    tokio::select! {
                        () = carry(client, server, state) => {}
                        _ = cuts.changed() => {}
                    }
                });
            }
        });
        Self {
            address,
            state,
            cut,
            task,
        }
    }

    /// Delays every byte in each direction: half of the round trip time that is added.
    pub fn delay(&self, one_way: Duration) {
        let ms = u64::try_from(one_way.as_millis()).unwrap_or(0);
        self.state.delay_ms.store(ms, Ordering::SeqCst);
    }

    /// From now on nothing is passed on, and nothing is said about it.
    pub fn stall(&self, on: bool) {
        self.state.stalled.store(on, Ordering::SeqCst);
    }

    /// Closes all connections there are.
    pub fn cut(&self) {
        self.cut.send_modify(|n| *n += 1);
    }

    pub fn counts(&self) -> Counts {
        let read = |n: &AtomicU64| n.load(Ordering::SeqCst);
        Counts {
            connections: read(&self.state.connections),
            turns: read(&self.state.turns),
            up: read(&self.state.up),
            down: read(&self.state.down),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

/// Carries one connection both ways until either side ends it.
async fn carry(client: TcpStream, server: TcpStream, state: Arc<State>) {
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let heard = Arc::new(AtomicBool::new(true));
    tokio::join!(
        one_way(from_client, to_server, state.clone(), heard.clone(), true),
        one_way(from_server, to_client, state, heard, false),
    );
}

async fn one_way(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    state: Arc<State>,
    heard: Arc<AtomicBool>,
    up: bool,
) {
    let (queue, mut queued) = mpsc::channel::<(Instant, Vec<u8>)>(1024);
    let reader_state = state.clone();
    let read = async move {
        let state = reader_state;
        let mut buffer = vec![0; 256 << 10];
        loop {
            let Ok(count @ 1..) = from.read(&mut buffer).await else {
                return;
            };
            if up {
                state.up.fetch_add(count as u64, Ordering::SeqCst);
                if heard.swap(false, Ordering::SeqCst) {
                    state.turns.fetch_add(1, Ordering::SeqCst);
                }
            } else {
                state.down.fetch_add(count as u64, Ordering::SeqCst);
                heard.store(true, Ordering::SeqCst);
            }
            let due = Instant::now() + Duration::from_millis(state.delay_ms.load(Ordering::SeqCst));
            if queue.send((due, buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        while let Some((due, bytes)) = queued.recv().await {
            tokio::time::sleep_until(due).await;
            while state.stalled.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
