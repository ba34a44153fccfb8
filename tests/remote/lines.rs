//! Lines that break, fall silent, or cut the stream in any way.

use super::*;

/// One connection through a relay that does what it was told to: input and output of some size, twice.
async fn talks(sshd: &Sshd, relay: &Relay, longest: u64) {
    let to = target(sshd, relay.address.port());
    let mut link = match Connector::new().connect(&to).await {
        Ok(link) => link,
        Err(e) => panic!("connect: {e}"),
    };
    // No more than goes through in a moment.
    let most = usize::try_from(longest * 2_000).unwrap_or(0);
    for size in [300, most.min(70_000)] {
        let bytes: Vec<u8> = (0..=255u8).cycle().take(size).collect();
        let mut echo = Chunk::plain("cat; echo err >&2");
        echo.input = Some(Payload::Bytes(bytes.clone().into()));
        let next = Chunk::new("echo next");
        let replies = link.turn(&Identity::Login, vec![echo, next]).await;
        let replies = replies.unwrap_or_else(|e| panic!("{size}: {e}"));
        assert!(replies[0].stdout == bytes, "{size}: {:?}", replies[0].err());
        assert_eq!(
            (replies[0].err(), replies[1].out()),
            ("err\n".into(), "next\n".into())
        );
    }
    link.close().await;
}

/// What is sent arrives in any pieces, at any time: whole, however it is cut, and never waited for in vain.
#[tokio::test(flavor = "multi_thread")]
async fn any_cut_of_the_stream_gives_the_same() {
    let settings = [
        "",
        "Ciphers chacha20-poly1305@openssh.com",
        "Ciphers aes256-ctr",
    ];
    for settings in settings {
        let sshd = Sshd::with(settings);
        let relay = Relay::start(sshd.address).await;
        relay.jitter(Duration::from_millis(2));
        for longest in [1, 3, 33, 1_000, 40_000] {
            relay.split(longest);
            let one =
                || tokio::time::timeout(Duration::from_secs(60), talks(&sshd, &relay, longest));
            let (a, b) = tokio::join!(one(), one());
            assert!(a.is_ok() && b.is_ok(), "stuck at {longest}, {settings:?}");
        }
    }
}

/// Wherever a host falls silent while it is connected to, that is noticed and said, in bounded time.
#[tokio::test(flavor = "multi_thread")]
async fn silence_is_noticed_at_every_turn() {
    let sshd = Sshd::start();
    let silent = |turn: u64| {
        let sshd = &sshd;
        async move {
            let relay = Relay::start(sshd.address).await;
            relay.silent_from(turn);
            let mut to = target(sshd, relay.address.port());
            to.connect_timeout = Some(Duration::from_secs(2));
            to.options.push(("ServerAliveInterval".into(), "1".into()));
            to.options.push(("ServerAliveCountMax".into(), "1".into()));
            let mut link = Connector::new().connect(&to).await?;
            let chunk = Chunk::plain("echo hi");
            let replies = link.turn(&Identity::Login, vec![chunk]).await?;
            assert_eq!(replies[0].out(), "hi\n");
            assert_eq!(relay.counts().turns, 8);
            Ok::<(), LinkError>(())
        }
    };
    let limit = Duration::from_secs(120);
    let all = async {
        tokio::join!(
            async { (silent(1).await, silent(2).await, silent(3).await) },
            silent(4),
            silent(5),
            async { (silent(6).await, silent(7).await, silent(8).await) },
            silent(9),
        )
    };
    let seen = tokio::time::timeout(limit, all).await.expect("it hangs");
    let ((one, two, three), four, five, (six, seven, eight), nine) = seen;
    for (seen, words) in [
        (one, "does not speak SSH within 2 s"),
        (two, "stopped answering during the handshake"),
        (three, "stopped answering during the handshake"),
        (four, "no answer to key"),
        (five, "no answer to key"),
        (six, "no sign of life"),
        (seven, "no sign of life"),
        (eight, "no sign of life"),
    ] {
        let error = seen.expect_err(words);
        assert!(error.message.contains(words), "{words:?}: {error:?}");
    }
    nine.expect("nothing was held back");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_exchanged_anew_under_way() {
    let sshd = Sshd::with("RekeyLimit 1M");
    let mut link = over_ssh(&sshd).await;
    for _ in 0..2 {
        let mut chunk = Chunk::plain("tee /dev/stderr");
        let bytes: Vec<u8> = (0..=255u8).cycle().take(12_000_001).collect();
        chunk.input = Some(Payload::Bytes(bytes.clone().into()));
        let reply = one(&mut link, chunk).await;
        assert!(reply.stdout == bytes && reply.stderr == bytes);
    }
    link.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_line_is_noticed() {
    let sshd = Sshd::start();
    let relay = Relay::start(sshd.address).await;
    // A file that was being written is the old one still, not the part that came.
    let file = sshd.dir.path().join("file");
    for contained in [false, true] {
        std::fs::write(&file, "old").unwrap();
        let to = target(&sshd, relay.address.port());
        let mut link = Connector::new().connect(&to).await.expect("connect");
        let path = file.display();
        let mut chunk = Chunk::new(format!("cat >{path}.new && mv {path}.new {path}"));
        chunk.contained = contained;
        chunk.input = Some(Payload::Bytes(vec![b'n'; 50_000_000].into()));
        let sending = async {
            link.turn(&Identity::Login, vec![chunk])
                .await
                .expect_err("cut")
        };
        let breaking = async {
            while relay.counts().up < 2_000_000 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            relay.cut();
        };
        let (error, ()) = tokio::join!(sending, breaking);
        assert_eq!(error.kind, LinkErrorKind::Lost);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(std::fs::read(&file).unwrap(), b"old");
        link.close().await;
    }

    let mut to = target(&sshd, relay.address.port());
    to.options.push(("ServerAliveInterval".into(), "1".into()));
    to.options.push(("ServerAliveCountMax".into(), "1".into()));
    for (silent, words) in [(false, "closed it"), (true, "no sign of life")] {
        let mut link = Connector::new().connect(&to).await.expect("connect");
        one(&mut link, Chunk::plain("echo $MP_TMP")).await;
        let waiting = async {
            let chunk = Chunk::plain("sleep 60");
            link.turn(&Identity::Login, vec![chunk])
                .await
                .expect_err("cut")
        };
        let breaking = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            if silent {
                relay.stall(true);
            } else {
                relay.cut();
            }
        };
        let clock = Instant::now();
        let (error, ()) = tokio::join!(waiting, breaking);
        relay.stall(false);
        check(&error, LinkErrorKind::Lost, &[words]);
        assert!(clock.elapsed() < Duration::from_secs(30));
        let again = link.turn(&Identity::Login, vec![Chunk::plain(":")]).await;
        assert_eq!(again.expect_err("still lost").kind, LinkErrorKind::Lost);
        link.close().await;
    }
}
