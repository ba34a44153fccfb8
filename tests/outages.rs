//! Lines that break under a run, over a real sshd and the relay: what ended is told, what can be observed is observed again,
//! and a command that may have run is not run twice.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "common/folder.rs"]
mod folder;
#[path = "common/relay.rs"]
mod relay;
#[path = "common/sshd.rs"]
mod sshd;

use folder::{Folder, said};
use relay::Relay;
use sshd::Sshd;
use std::time::Duration;

/// A host behind the relay, whose silence is noticed within seconds.
struct Place {
    sshd: Sshd,
    relay: Relay,
    folder: Folder,
}

const APPLY: [&str; 4] = ["apply", "-p", "play.yml", "--no-lock"];

impl Place {
    async fn new(tasks: &str) -> Self {
        let sshd = Sshd::start();
        let relay = Relay::start(sshd.address).await;
        let inventory = format!(
            "all: {{hosts: {{h1: {{ansible_host: 127.0.0.1, ansible_port: {}, ansible_user: root,\n  \
             ansible_private_key_file: {}, ansible_ssh_common_args: '-o UserKnownHostsFile={} -o IdentityAgent=none \
             -o ServerAliveInterval=1 -o ServerAliveCountMax=2'}}}}}}\n",
            relay.address.port(),
            sshd.key().display(),
            sshd.known_hosts().display(),
        );
        let play = format!(
            "- hosts: all\n  gather_facts: false\n  vars: {{here: '{{{{ playbook_dir }}}}'}}\n  tasks:\n{tasks}"
        );
        let folder = Folder::new(&[("inventory.yaml", &inventory), ("play.yml", &play)]);
        Self {
            sshd,
            relay,
            folder,
        }
    }

    /// Starts a run, and does something to the line when `when` holds.
    async fn broken(
        &mut self,
        when: impl Fn(&Self) -> bool,
        then: impl AsyncFn(&mut Self),
    ) -> (i32, String) {
        let child = self.folder.start(&APPLY);
        let ended = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
        for _ in 0..3000 {
            if when(self) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(when(self), "it did not come that far");
        then(self).await;
        said(&ended.await.unwrap())
    }
}

fn there(name: &'static str) -> impl Fn(&Place) -> bool {
    move |place| place.folder.at(name).exists()
}

/// Names of what a file write leaves in the making.
fn parts(folder: &Folder) -> Vec<String> {
    let names = std::fs::read_dir(folder.path()).unwrap().flatten();
    names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.starts_with(".mini-play"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_in_transfer_is_written_after_all() {
    let tasks =
        "    - copy: {src: big, dest: '{{ here }}/copy'}\n    - command: touch {{ here }}/after\n";
    let mut place = Place::new(tasks).await;
    let big: Vec<u8> = (0..=255u8).cycle().take(8_000_000).collect();
    std::fs::write(place.folder.at("big"), &big).unwrap();
    place.folder.write("copy", "old");
    place.relay.rate(1_000_000);
    let (code, text) = place
        .broken(
            |place| place.relay.counts().up > 2_000_000,
            async |place: &mut Place| {
                place.relay.cut();
                assert_eq!(place.folder.read("copy"), "old");
                place.relay.rate(0);
            },
        )
        .await;
    assert_eq!(code, 0, "{text}");
    for part in ["the connection was lost:", "; connecting again (1 of 3)"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(std::fs::read(place.folder.at("copy")).unwrap() == big);
    assert!(place.folder.at("after").exists());
    // The shell of the broken line tidies up when it notices.
    for _ in 0..100 {
        if parts(&place.folder).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(parts(&place.folder), Vec::<String>::new());
}

/// One that ends, one that is under way when the line breaks, one after it; `more` are keywords of the second.
fn commands(more: &str) -> String {
    format!(
        "    - name: first\n      shell: echo x >>{{{{ here }}}}/first\n    \
             - name: second\n      shell: echo x >>{{{{ here }}}}/second; sleep 3\n{more}    \
             - name: third\n      shell: echo x >>{{{{ here }}}}/third\n"
    )
}

fn counts(folder: &Folder) -> [usize; 3] {
    ["first", "second", "third"].map(|name| folder.read(name).lines().count())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_under_way_is_not_run_twice() {
    for silent in [false, true] {
        let mut place = Place::new(&commands("")).await;
        let (code, text) = place
            .broken(there("second"), async |place: &mut Place| {
                // The end of the first is on its way.
                tokio::time::sleep(Duration::from_millis(700)).await;
                if silent {
                    place.relay.stall(true);
                    tokio::time::sleep(Duration::from_secs(8)).await;
                    place.relay.cut();
                    place.relay.stall(false);
                } else {
                    place.relay.cut();
                }
            })
            .await;
        assert_eq!(code, 4, "{text}");
        // What ended before is told.
        assert!(text.contains("changed     h1  first"), "{text}");
        assert!(
            text.contains("while this was under way; it may have run"),
            "{text}"
        );
        assert_eq!(counts(&place.folder)[..2], [1, 1], "{text}");
        // The user decides that it is to run again.
        tokio::time::sleep(Duration::from_secs(4)).await;
        let third = counts(&place.folder)[2];
        let again = [&APPLY[..], &["--resume"]].concat();
        let (code, text) = place.folder.run(&again);
        assert_eq!(code, 0, "{text}");
        assert_eq!(counts(&place.folder), [1, 2, third + 1]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_allow_a_command_to_run_again() {
    let mut place = Place::new(&commands("      retries: 1\n      delay: 1\n")).await;
    let (code, text) = place
        .broken(there("second"), async |place: &mut Place| place.relay.cut())
        .await;
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("it may have run; it is tried again"),
        "{text}"
    );
    let [first, second, third] = counts(&place.folder);
    assert_eq!((first, second), (1, 2), "{text}");
    assert!(third >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_starts_again_is_awaited() {
    let tasks = "    - copy: {src: big, dest: '{{ here }}/copy'}\n";
    let mut place = Place::new(tasks).await;
    std::fs::write(place.folder.at("big"), vec![b'x'; 4_000_000]).unwrap();
    place.relay.rate(1_000_000);
    let (code, text) = place
        .broken(
            |place| place.relay.counts().up > 1_000_000,
            async |place: &mut Place| {
                place.sshd.stop();
                place.relay.cut();
                place.relay.rate(0);
                // Longer than one look.
                tokio::time::sleep(Duration::from_secs(7)).await;
                place.sshd.start_again();
            },
        )
        .await;
    assert_eq!(code, 0, "{text}");
    assert_eq!(place.folder.read("copy").len(), 4_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_breaks_again_and_again_is_given_up() {
    let tasks = "    - copy: {src: big, dest: '{{ here }}/copy'}\n";
    let mut place = Place::new(tasks).await;
    std::fs::write(place.folder.at("big"), vec![b'x'; 4_000_000]).unwrap();
    place.folder.write("copy", "old");
    place.relay.rate(500_000);
    let (code, text) = place
        .broken(
            |place| place.relay.counts().up > 200_000,
            async |place: &mut Place| {
                for _ in 0..4 {
                    let before = place.relay.counts().up;
                    for _ in 0..3000 {
                        if place.relay.counts().up >= before + 200_000 {
                            break;
                        }
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    place.relay.cut();
                }
            },
        )
        .await;
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("connecting again (3 of 3)"), "{text}");
    assert_eq!(place.folder.read("copy"), "old");
}

#[test]
fn keys_of_hosts_are_compared_trusted_and_forgotten() {
    let mut sshd = Sshd::start();
    let inventory = |sshd: &Sshd| {
        let common = format!(
            "-o UserKnownHostsFile=kh -o GlobalKnownHostsFile=none -o IdentityAgent=none -i {}",
            sshd.key().display()
        );
        let port = sshd.address.port();
        let host = |address: &str| {
            format!("{{ansible_host: {address}, ansible_port: {port}, ansible_user: root}}")
        };
        format!(
            "all: {{vars: {{ansible_ssh_common_args: '{common}'}}, hosts: {{h1: {}, h2: {}, h3: {}}}}}\n",
            host("127.0.0.1"),
            host("localhost"),
            "{ansible_host: 127.0.0.1, ansible_port: 1}",
        )
    };
    let play = "- {hosts: 'h1', gather_facts: false, tasks: [{ping: }]}\n";
    let folder = Folder::new(&[("inventory.yaml", &inventory(&sshd)), ("play.yml", play)]);
    let hosts = |args: &[&str]| folder.run(&[&["hosts"], args].concat());
    let print = |sshd: &Sshd| {
        let output = std::process::Command::new("ssh-keygen")
            .args([
                "-lf",
                &sshd
                    .dir
                    .path()
                    .join("host_ed25519.pub")
                    .display()
                    .to_string(),
            ])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_whitespace().nth(1).unwrap().to_owned()
    };
    let old = print(&sshd);

    // Unknown: refused, and the hint leads here.
    let (code, text) = folder.run(&APPLY);
    assert_eq!(code, 4, "{text}");
    assert!(
        text.contains("is not known") && text.contains("`mini-play hosts trust h1`"),
        "{text}"
    );
    // Nobody agrees to anything without a terminal.
    let (code, text) = hosts(&["trust", "all"]);
    assert_eq!(code, 2, "{text}");
    for line in [
        format!("h1  new          ssh-ed25519 {old}"),
        format!("h2  new          ssh-ed25519 {old}"),
        "h3  unreachable  port 1 of 127.0.0.1 is closed".to_owned(),
    ] {
        assert!(text.contains(&line), "{line}: {text}");
    }
    assert!(!folder.at("kh").exists());
    let (code, text) = hosts(&["trust", "h1", "h2", "--yes"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(folder.read("kh").lines().count(), 2);
    assert!(hosts(&["trust", "h1"]).1.contains("h1  known"));
    assert_eq!(folder.run(&APPLY).0, 0);

    // Installed anew.
    sshd.stop();
    for name in ["host_ed25519", "host_ed25519.pub"] {
        std::fs::remove_file(sshd.dir.path().join(name)).unwrap();
    }
    sshd::keygen(&sshd.dir.path().join("host_ed25519"), "ed25519", "");
    sshd.start_again();
    let new = print(&sshd);
    let (code, text) = folder.run(&APPLY);
    assert_eq!(code, 4);
    for part in [
        format!(
            "the host key has changed: kh:1 has ssh-ed25519 {old}, the host shows ssh-ed25519 {new}"
        ),
        "`mini-play hosts forget h1` and `mini-play hosts trust h1`".to_owned(),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }
    let (code, text) = hosts(&["trust", "h1", "--yes"]);
    assert_eq!(code, 2);
    assert!(
        text.contains(&format!(
            "h1  changed      ssh-ed25519 {new}; kh:1 has ssh-ed25519 {old}"
        )),
        "{text}"
    );
    let (code, text) = hosts(&["forget", "h1"]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains(&format!("h1: forgot ssh-ed25519 {old} (kh:1)")),
        "{text}"
    );
    assert_eq!(folder.read("kh").lines().count(), 1, "h2's stays");
    assert_eq!(hosts(&["trust", "h1", "--yes"]).0, 0);
    assert_eq!(folder.run(&APPLY).0, 0);

    // Revoked.
    folder.write("kh", &format!("@revoked * {}", sshd.host_key()));
    let (code, text) = hosts(&["trust", "h1", "--yes"]);
    assert_eq!(code, 2);
    assert!(
        text.contains(&format!("h1  revoked      ssh-ed25519 {new} (kh:1)")),
        "{text}"
    );
}
