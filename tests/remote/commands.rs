//! Commands that misbehave, on every kind of link.

use super::*;

/// Commands that misbehave, on every kind of link.
async fn survives(mut link: Box<dyn Link>) {
    // What stays in the background neither holds the chunk up nor gets into later output.
    let daemon = Chunk::new(
        "(while sleep 0.1; do echo noise; echo noise >&2; done) & echo $! >$MP_TMP/pid; echo started",
    );
    let clock = Instant::now();
    let replies = link
        .turn(
            &Identity::Login,
            vec![
                daemon,
                Chunk::plain("sleep 1; echo clean; kill $(cat $MP_TMP/pid) || :"),
            ],
        )
        .await
        .expect("turn");
    assert!(
        replies[0].out().starts_with("started\n"),
        "{:?}",
        replies[0]
    );
    assert_eq!(replies[1].out(), "clean\n");
    assert!(!replies[1].err().contains("noise"), "{:?}", replies[1]);
    assert!(clock.elapsed() < Duration::from_secs(20));
    assert_eq!(
        one(&mut link, Chunk::new("exec sh -c 'exit 5'")).await.rc,
        5
    );

    // Killing the parent, the group, and the kept shell itself.
    for script in ["kill -9 $PPID; sleep 1; exit 3", "kill -9 0; sleep 1"] {
        let mut chunk = Chunk::new(script);
        chunk.stop_on_failure = false;
        let replies = link
            .turn(&Identity::Login, vec![chunk, Chunk::plain("echo after")])
            .await
            .expect("turn");
        assert_ne!(replies[0].rc, 0, "{script}: {:?}", replies[0]);
        assert_eq!(replies[1].out(), "after\n", "{script}");
    }
    let reply = one(&mut link, Chunk::plain("kill -9 $$")).await;
    assert_ne!(reply.rc, 0);
    assert!(reply.err().contains("remote shell was ended"), "{reply:?}");
    assert_eq!(
        one(&mut link, Chunk::plain("exec echo still here"))
            .await
            .out(),
        "still here\n"
    );

    // The private directory outlives a shell that had to be left.
    let path = one(
        &mut link,
        Chunk::plain("echo kept > $MP_TMP/f; echo $MP_TMP"),
    )
    .await
    .out();
    let reply = one(&mut link, Chunk::new("sleep 3 & cat $MP_TMP/f")).await;
    assert_eq!(reply.out(), "kept\n");
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(
        one(&mut link, Chunk::plain("cat $MP_TMP/f")).await.out(),
        "kept\n"
    );

    // Input that nobody reads, little and much.
    for size in [10, 5_000_000] {
        for contained in [false, true] {
            let mut chunk = Chunk::new("echo unread; exit 4");
            chunk.contained = contained;
            chunk.stop_on_failure = false;
            chunk.input = Some(Payload::Bytes(vec![b'x'; size].into()));
            let replies = link
                .turn(&Identity::Login, vec![chunk, Chunk::plain("echo next")])
                .await
                .expect("turn");
            assert_eq!((replies[0].rc, replies[0].out()), (4, "unread\n".into()));
            assert_eq!(replies[1].out(), "next\n", "{size} {contained}");
        }
    }
    // Input of a chunk that is skipped.
    for size in [10, 5_000_000] {
        let mut skipped = Chunk::new("cat");
        skipped.input = Some(Payload::Bytes(vec![b'x'; size].into()));
        let replies = link
            .turn(&Identity::Login, vec![Chunk::plain("exit 1"), skipped])
            .await
            .expect("turn");
        assert_eq!((replies[0].rc, replies[1].ran), (1, false));
        assert_eq!(
            one(&mut link, Chunk::plain("echo alive")).await.out(),
            "alive\n"
        );
    }

    // Much output, within bounds; stdin is empty.
    let mut much = Chunk::new("cat; head -c 100000000 /dev/zero; echo end >&2");
    much.keep = 1000;
    let reply = one(&mut link, much).await;
    assert_eq!(
        (reply.stdout.len(), reply.dropped, reply.err()),
        (1000, 99_999_000, "end\n".into())
    );
    // Every byte there is, both ways.
    let bytes: Vec<u8> = (0..=255u8).cycle().take(70_000).collect();
    let mut echo = Chunk::new("cat");
    echo.input = Some(Payload::Bytes(bytes.clone().into()));
    assert_eq!(one(&mut link, echo).await.stdout, bytes);

    // A limit in time ends the whole group.
    let mut late = Chunk::new("sleep 300 & sleep 301 | cat");
    late.timeout = Some(Duration::from_millis(500));
    let reply = one(&mut link, late).await;
    assert_eq!((reply.rc, reply.timed_out), (124, true));
    let reply = one(
        &mut link,
        Chunk::plain("ps ax -o args | grep -c '^sleep 30[01]$'"),
    )
    .await;
    assert_eq!(reply.out(), "0\n");

    // For a chunk of our own making the limit is kept on this side.
    let mut stuck = Chunk::plain("echo begun; sleep 2; echo never");
    stuck.timeout = Some(Duration::from_millis(300));
    stuck.stop_on_failure = false;
    let replies = link
        .turn(&Identity::Login, vec![stuck, Chunk::plain("echo on")])
        .await
        .expect("turn");
    let reply = &replies[0];
    assert_eq!(
        (reply.rc, reply.timed_out, reply.out()),
        (124, true, "begun\n".into())
    );
    assert_eq!(replies[1].out(), "on\n");

    // Hostile text as a script.
    for script in ["echo 'it'\\''s'", "if", "echo )", "\u{1}\u{2}é"] {
        let reply = one(&mut link, Chunk::new(script)).await;
        assert!(reply.ran, "{script}");
        assert_eq!(
            one(&mut link, Chunk::plain("echo ok")).await.out(),
            "ok\n",
            "{script}"
        );
    }
    assert_eq!(one(&mut link, Chunk::new("echo a\0b")).await.rc, 126);
    link.close().await;
    assert!(
        !PathBuf::from(path.trim()).exists(),
        "{path} was left behind"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_link_survives() {
    survives(local().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ssh_link_survives() {
    let sshd = Sshd::start();
    survives(over_ssh(&sshd).await).await;
}
