//! The relay that other tests stand on: what it counts, and what it does to a stream.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/relay.rs"]
mod relay;

use relay::{Counts, Relay};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that says everything back.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                tokio::io::copy(&mut from, &mut to).await
            });
        }
    });
    address
}

/// Says something and wants to hear it.
async fn say(stream: &mut TcpStream, bytes: &[u8]) {
    let (mut from, mut to) = stream.split();
    let mut heard = vec![0; bytes.len()];
    let (said, read) = tokio::join!(to.write_all(bytes), from.read_exact(&mut heard));
    said.unwrap();
    read.unwrap();
    assert!(heard == bytes, "{} bytes came back changed", bytes.len());
}

async fn client(relay: &Relay) -> TcpStream {
    TcpStream::connect(relay.address).await.unwrap()
}

#[tokio::test]
async fn connections_turns_and_bytes_are_counted() {
    let relay = Relay::start(echo().await).await;
    assert_eq!(relay.counts(), Counts::default());
    let mut one = client(&relay).await;
    for _ in 0..3 {
        say(&mut one, b"four").await;
    }
    // Spoken twice without an answer in between: one turn.
    relay.delay(Duration::from_millis(100));
    one.write_all(b"ab").await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    say(&mut one, b"").await;
    one.write_all(b"cd").await.unwrap();
    let mut heard = [0; 4];
    one.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"abcd");
    let mut two = client(&relay).await;
    say(&mut two, b"x").await;
    let want = Counts {
        connections: 2,
        turns: 5,
        up: 17,
        down: 17,
    };
    assert_eq!(relay.counts(), want);
}

#[tokio::test]
async fn a_stream_survives_everything_that_is_done_to_it() {
    let relay = Relay::start(echo().await).await;
    let bytes: Vec<u8> = (0..=255u8).cycle().take(5_000).collect();
    relay.jitter(Duration::from_millis(3));
    for longest in [1, 7, 300, 0] {
        relay.split(longest);
        say(&mut client(&relay).await, &bytes).await;
    }
    assert_eq!(relay.counts().up, 20_000);
    assert_eq!(relay.counts().down, 20_000);
}

/// Only that it takes at least as long: no load of the machine can break that.
#[tokio::test]
async fn delay_and_rate_take_their_time() {
    let relay = Relay::start(echo().await).await;
    let mut stream = client(&relay).await;
    relay.delay(Duration::from_millis(30));
    let clock = Instant::now();
    say(&mut stream, b"x").await;
    assert!(clock.elapsed() >= Duration::from_millis(60));
    relay.delay(Duration::ZERO);
    relay.rate(100_000);
    let clock = Instant::now();
    say(&mut stream, &[7; 20_000]).await;
    assert!(clock.elapsed() >= Duration::from_millis(200));
}

#[tokio::test]
async fn a_line_is_stalled_and_cut() {
    let relay = Relay::start(echo().await).await;
    let mut stream = client(&relay).await;
    say(&mut stream, b"x").await;
    relay.stall(true);
    stream.write_all(b"y").await.unwrap();
    let mut byte = [0];
    let waited = tokio::time::timeout(Duration::from_millis(100), stream.read_exact(&mut byte));
    assert!(waited.await.is_err(), "something came through");
    relay.stall(false);
    stream.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"y");
    relay.cut();
    assert_eq!(stream.read(&mut byte).await.unwrap_or(0), 0);
    say(&mut client(&relay).await, b"another line").await;
}
