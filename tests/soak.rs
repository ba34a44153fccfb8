//! Many runs in a row under random faults, each followed by one without: in the end every host is as after one clean run, file by
//! file, and nothing is left behind.
//!
//! Short here; `make soak` runs the long one. The seed is printed, and `SOAK_SEED` repeats it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout
)]

#[path = "common/bench.rs"]
mod bench;
#[path = "common/folder.rs"]
mod folder;
#[path = "common/relay.rs"]
mod relay;

use bench::Bench;
use folder::{Folder, said};
use relay::Relay;
use std::process::{Child, Command};
use std::time::Duration;

/// Files, an edit, a folder that comes and goes, a user, packages, a service with its handler: each round wants others.
const PLAY: &str = "
- hosts: all
  vars: {odd: '{{ round | int % 2 }}'}
  tasks:
    - name: package files are there
      command: /usr/local/bin/deb soaked {{ odd }}
      args: {creates: '/srv/soaked_{{ odd }}.deb'}
    - copy: {dest: '/etc/soak-{{ item }}', content: \"{{ item }} of {{ round }}\\n\", mode: '064{{ odd }}'}
      loop: [a, b, c, d]
      notify: Restart cron
    - copy: {src: big, dest: /srv/big}
      when: odd == '1'
    - file: {path: /srv/big, state: absent}
      when: odd == '0'
    - lineinfile: {path: /etc/environment, regexp: '^ROUND=', line: 'ROUND={{ round }}'}
    - file: {path: /srv/folder/below, state: \"{{ 'directory' if odd == '1' else 'absent' }}\"}
    - user: {name: soak, comment: 'round {{ round }}', shell: /bin/sh}
    - template: {src: unit.j2, dest: /etc/systemd/system/soak.service}
      notify: Restart soak
    - apt: {deb: '/srv/soaked_{{ odd }}.deb', allow_downgrade: true}
    - copy: {dest: /mnt/small/file, content: \"{{ 'x' * 20000 }}{{ round }}\"}
    - systemd_service: {name: soak, enabled: true, state: started, daemon_reload: true}
  handlers:
    - name: Restart soak
      systemd_service: {name: soak, state: restarted, daemon_reload: true}
    - name: Restart cron
      shell: echo {{ round }} >/etc/soak-handled
";

const UNIT: &str = "[Service]\nEnvironment=ROUND={{ round }}\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";

/// Builds `/srv/NAME_VERSION.deb` whose postinst takes a moment.
const DEB: &str = r#"#!/bin/sh
set -e
d=$(mktemp -d); mkdir -p "$d/DEBIAN" "$d/etc" /srv
printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: x <x@example.org>\nDescription: x\n' "$1" "$2" >"$d/DEBIAN/control"
echo "$1 $2" >"$d/etc/$1.txt"; printf '#!/bin/sh\nsleep 0.5\n' >"$d/DEBIAN/postinst"; chmod 755 "$d/DEBIAN/postinst"
find "$d" -exec touch -d @0 {} +
dpkg-deb -b --root-owner-group "$d" "/srv/.$1_$2" >/dev/null; mv "/srv/.$1_$2" "/srv/$1_$2.deb"; rm -r "$d"
"#;

/// Everything of a host that runs may change, without what differs by itself.
const LISTING: &str = r"cd / && find etc srv root usr/local mnt home var/lib/dpkg/info -xdev \
  ! -path 'etc/ssh/*' ! -name hostname ! -name hosts ! -name machine-id ! -name resolv.conf ! -name '*-' ! -name .updated ! -name '*soaked_*' ! -name '*mini-play-lab*' ! -path 'root/.ssh*' \
  ! -name ld.so.cache ! -path 'etc/.pwd.lock' ! -path 'etc/subuid*' ! -path 'etc/subgid*' -printf '%p %y %m %u %g %l ' \
  \( -type f -exec sha256sum {} \; -o -print \) | sort; dpkg-query -W; systemctl is-active soak";

/// What must not be there between runs: our files, locks, timers and processes; anything half-way in dpkg.
const LEFT: &str = r"find /tmp /var/tmp /root /etc /srv /mnt /run /var/lib -xdev -name '*mini-play*' ! -name '*mini-play-lab*' ! -path '/run/systemd/*'
  find /run/lock -name '*mini-play*'; find /var/lib/dpkg/updates -type f; dpkg --audit
  ps -eo args | grep -E 'mp_n=|MP_TMP|mini-play' | grep -v grep; true";

/// Chance, by a seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

fn signal(child: &Child, name: &str) {
    let _ = Command::new("kill")
        .args([name, &child.id().to_string()])
        .status();
}

/// A run with a fault in the middle of it. Faults of hosts are gone afterwards.
async fn disturbed(bench: &Bench, relays: &[Relay], dice: &mut Dice, args: &[&str]) -> String {
    let host = format!("node{}", 1 + dice.below(relays.len() as u64));
    let relay = &relays[usize::try_from(dice.below(relays.len() as u64)).unwrap()];
    let pause = Duration::from_millis(200 + dice.below(3000));
    let kind = dice.below(8);
    if kind == 7 {
        bench
            .on(&host, "head -c 1000000 /dev/zero >/mnt/small/full; true")
            .unwrap();
    }
    let child = bench.folder.start(args);
    tokio::time::sleep(pause).await;
    let what = match kind {
        0 | 1 => {
            signal(&child, "-KILL");
            "controller killed".to_owned()
        }
        2 => {
            signal(&child, "-INT");
            tokio::time::sleep(Duration::from_millis(100)).await;
            signal(&child, "-INT");
            "interrupted twice".to_owned()
        }
        3 => {
            relay.cut();
            "line cut".to_owned()
        }
        4 => {
            relay.stall(true);
            tokio::time::sleep(Duration::from_secs(4)).await;
            relay.cut();
            relay.stall(false);
            "line silent".to_owned()
        }
        5 => {
            let _ = bench.on(&host, "pkill -KILL -x dpkg; pkill -KILL -x apt-get; true");
            format!("dpkg of {host} killed")
        }
        6 => {
            // All but the one that carries this.
            let _ = bench.on(
                &host,
                "for p in $(pgrep -x sh); do [ $p = $$ ] || kill -KILL $p; done; true",
            );
            format!("shells of {host} killed")
        }
        _ => format!("disk of {host} full"),
    };
    let (code, _) = tokio::task::spawn_blocking(move || said(&child.wait_with_output().unwrap()))
        .await
        .unwrap();
    if kind == 7 {
        bench.on(&host, "rm /mnt/small/full").unwrap();
    }
    format!("{what} after {pause:?}: exit code {code}")
}

/// A run without a fault. A shell whose run was killed may hold its host until its last command ends.
async fn calm(bench: &Bench, args: &[&str]) {
    let mut text = String::new();
    for _ in 0..20 {
        let (code, said) = bench.folder.run(args);
        if code == 0 {
            return;
        }
        text = said;
        if !text.contains("another run is at work on this host") {
            break;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    panic!("a run without a fault: {text}");
}

fn prepare(bench: &Bench, host: &str) {
    let script = format!(
        "cat >/usr/local/bin/deb <<'E'\n{DEB}E\nchmod 755 /usr/local/bin/deb; mkdir -p /mnt/small && mount -t tmpfs -o size=200k none /mnt/small"
    );
    bench.on(host, &script).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_end_all_is_as_after_one_clean_run() {
    let hosts = u32::try_from(setting("SOAK_HOSTS", 2)).unwrap();
    let rounds = setting("SOAK_ROUNDS", 4);
    let seed = setting("SOAK_SEED", 7);
    println!("SOAK_SEED={seed}");
    let mut dice = Dice(seed);
    let folder = Folder::new(&[("play.yml", PLAY), ("unit.j2", UNIT)]);
    std::fs::write(folder.at("big"), vec![7; 3_000_000]).unwrap();
    let Some(bench) = Bench::up("soak", hosts, folder) else {
        return;
    };
    // Each host behind a relay of its own.
    let mut relays = Vec::new();
    let mut inventory = String::from("all:\n  hosts:\n");
    let lab = bench.lab.dir();
    for host in bench.lab.hosts() {
        let relay = Relay::start((host.address, 22).into()).await;
        inventory.push_str(&format!(
            "    {}: {{ansible_host: 127.0.0.1, ansible_port: {}, ansible_user: root, ansible_private_key_file: {}, ansible_ssh_common_args: \
             '-o UserKnownHostsFile={} -o HostKeyAlias={} -o ServerAliveInterval=1 -o ServerAliveCountMax=2'}}\n",
            host.name,
            relay.address.port(),
            lab.join("key").display(),
            lab.join("known_hosts").display(),
            host.address,
        ));
        relays.push(relay);
        prepare(&bench, &host.name);
    }
    bench.folder.write("inventory.yaml", &inventory);
    let last = 2 * rounds + 1;
    for round in 1..=rounds {
        let round = format!("round={round}");
        let args = ["apply", "-p", "play.yml", "-e", &round];
        println!(
            "{round}: {}",
            disturbed(&bench, &relays, &mut dice, &args).await
        );
        calm(&bench, &args).await;
    }
    let end = format!("round={last}");
    let args = ["apply", "-p", "play.yml", "-e", &end];
    calm(&bench, &args).await;
    let mut soaked = Vec::new();
    for host in bench.lab.hosts() {
        // Shells of broken lines end when their last command does.
        let mut left = String::new();
        for _ in 0..20 {
            left = bench.on(&host.name, LEFT).unwrap();
            if left.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert_eq!(left, "", "left on {}", host.name);
        soaked.push((host.name.clone(), bench.on(&host.name, LISTING).unwrap()));
    }
    // A fresh host, and one run.
    bench.lab.reset(&["node1".to_owned()], &|_| ()).unwrap();
    prepare(&bench, "node1");
    calm(&bench, &args).await;
    let clean = bench.on("node1", LISTING).unwrap();
    assert!(
        clean.contains("etc/soak-handled") && clean.contains("soaked\t1"),
        "{clean}"
    );
    for (host, listing) in soaked {
        let differ: Vec<&str> = diff(&clean, &listing);
        assert!(
            differ.is_empty(),
            "{host} differs (seed {seed}):\n{}",
            differ.join("\n")
        );
    }
    let due = std::fs::read_dir(bench.folder.at("state"))
        .unwrap()
        .flatten();
    let due = due.flat_map(|state| {
        std::fs::read_dir(state.path().join("due"))
            .into_iter()
            .flatten()
    });
    assert_eq!(due.count(), 0, "handlers that are still due");
}

/// Lines that only one of two has.
fn diff<'a>(a: &'a str, b: &'a str) -> Vec<&'a str> {
    let only = |x: &'a str, y: &'a str| {
        let there: std::collections::HashSet<&str> = y.lines().collect();
        x.lines()
            .filter(move |line| !there.contains(line))
            .collect::<Vec<_>>()
    };
    [only(a, b), only(b, a)].concat()
}
