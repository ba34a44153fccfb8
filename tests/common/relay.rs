//! A TCP relay for tests: it counts connections, turns and bytes; it adds delay and jitter, limits the rate, cuts the
//! stream into small pieces, stalls, and cuts the line.
//!
//! A *turn* is counted when the client speaks after the server spoke (or first). Unlike seconds, turns do not depend on
//! how busy the machine is. What a relay does to the stream holds for all its connections, from the moment it is set.
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
    /// The turn whose answer is not passed on any more; 0: none.
    last_turn: AtomicU64,
    /// Microseconds each way.
    delay: AtomicU64,
    /// Microseconds at most on top of the delay.
    jitter: AtomicU64,
    /// Bytes a second each way; 0: no limit.
    rate: AtomicU64,
    /// Longest piece that is passed on at once; 0: as it comes.
    piece: AtomicU64,
    /// State of the dice.
    dice: AtomicU64,
}

impl State {
    /// A number below `end`, the same sequence in every run.
    fn below(&self, end: u64) -> u64 {
        let seed = self.dice.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
        let mixed = (seed ^ (seed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 29)) % end.max(1)
    }

    /// How many of the next bytes are passed on at once.
    fn piece(&self, bytes: usize) -> usize {
        let longest = match self.piece.load(Ordering::SeqCst) {
            // A slow line carries small pieces: twenty a second.
            0 => match self.rate.load(Ordering::SeqCst) {
                0 => return bytes,
                rate => return bytes.min(usize::try_from(rate / 20).unwrap_or(bytes).max(1)),
            },
            longest => longest,
        };
        bytes.min(usize::try_from(1 + self.below(longest)).unwrap_or(bytes))
    }
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
        self.state.delay.store(micros(one_way), Ordering::SeqCst);
    }

    /// Delays what comes by anything up to this on top; the order stays.
    pub fn jitter(&self, most: Duration) {
        self.state.jitter.store(micros(most), Ordering::SeqCst);
    }

    /// Carries no more than this many bytes a second each way; 0: no limit.
    pub fn rate(&self, bytes: u64) {
        self.state.rate.store(bytes, Ordering::SeqCst);
    }

    /// Cuts the stream into pieces of any length up to this; 1: byte by byte; 0: as it comes.
    pub fn split(&self, longest: u64) {
        self.state.piece.store(longest, Ordering::SeqCst);
    }

    /// From now on nothing is passed on, and nothing is said about it.
    pub fn stall(&self, on: bool) {
        self.state.stalled.store(on, Ordering::SeqCst);
    }

    /// The host falls silent: its answer to this turn, and all that follows, is not passed on.
    pub fn silent_from(&self, turn: u64) {
        self.state.last_turn.store(turn, Ordering::SeqCst);
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

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
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
    let (queue, mut queued) = mpsc::channel::<(Instant, Vec<u8>)>(256);
    let reader_state = state.clone();
    let read = async move {
        let state = reader_state;
        let mut buffer = vec![0; 64 << 10];
        let mut last = Instant::now();
        loop {
            let Ok(count @ 1..) = from.read(&mut buffer).await else {
                return;
            };
            if up {
                state.up.fetch_add(count as u64, Ordering::SeqCst);
                if heard.swap(false, Ordering::SeqCst) {
                    let turn = state.turns.fetch_add(1, Ordering::SeqCst) + 1;
                    if turn == state.last_turn.load(Ordering::SeqCst) {
                        state.stalled.store(true, Ordering::SeqCst);
                    }
                }
            } else {
                state.down.fetch_add(count as u64, Ordering::SeqCst);
                heard.store(true, Ordering::SeqCst);
            }
            let delay = state.delay.load(Ordering::SeqCst);
            let jitter = state.below(state.jitter.load(Ordering::SeqCst) + 1);
            last = last.max(Instant::now() + Duration::from_micros(delay + jitter));
            if queue.send((last, buffer[..count].to_vec())).await.is_err() {
                return;
            }
        }
    };
    let write = async move {
        // When the line has room again.
        let mut free = Instant::now();
        while let Some((due, bytes)) = queued.recv().await {
            tokio::time::sleep_until(due).await;
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                while state.stalled.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                let (piece, more) = rest.split_at(state.piece(rest.len()));
                rest = more;
                let rate = state.rate.load(Ordering::SeqCst);
                if let Some(micros) = (piece.len() as u64 * 1_000_000).checked_div(rate) {
                    free = free.max(Instant::now()) + Duration::from_micros(micros);
                    tokio::time::sleep_until(free).await;
                }
                if to.write_all(piece).await.is_err() {
                    return;
                }
                if state.piece.load(Ordering::SeqCst) > 0 {
                    // Now and then long enough for the other side to have read what there is.
                    match state.below(8) {
                        0 => tokio::time::sleep(Duration::from_millis(1)).await,
                        _ => tokio::task::yield_now().await,
                    }
                }
            }
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(read, write);
}
