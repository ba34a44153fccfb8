//! What an apply costs in turns and bytes, counted by a relay between the program and an sshd: figures that the load of a
//! machine cannot change. Needs root and openssh-server; touches nothing but a folder of its own.

#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

#[path = "common/relay.rs"]
mod relay;
#[path = "common/sshd.rs"]
mod sshd;

use relay::{Counts, Relay};
use sshd::Sshd;
use std::fmt::Write as _;
use std::path::PathBuf;
use tokio::process::Command;

/// Runs that act on one host exclude each other, and all the hosts here are this machine.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

const PASSWORD: &str = "a word";

/// A host behind a relay, and a folder for what is done to it.
struct Bench {
    sshd: Sshd,
    relay: Relay,
    folder: tempfile::TempDir,
    /// More variables of the host.
    vars: String,
}

/// What one run of the program did.
#[derive(Debug)]
struct Run {
    cost: Counts,
    /// Turns by the program's own count.
    turns: u64,
    ok: u64,
    changed: u64,
}

impl Bench {
    async fn new() -> Self {
        Self::on(Sshd::start(), "").await
    }

    /// Logs in as somebody who needs a password to become root.
    async fn with_sudo() -> Self {
        let sshd = Sshd::with_users(
            &[("student", "/bin/bash", PASSWORD)],
            "root ALL=(ALL) ALL\nstudent ALL=(ALL) ALL\n",
        );
        let vars = format!(
            ", ansible_user: student, ansible_become: true, ansible_become_password: {PASSWORD}"
        );
        Self::on(sshd, &vars).await
    }

    async fn on(sshd: Sshd, vars: &str) -> Self {
        let relay = Relay::start(sshd.address).await;
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("host")).unwrap();
        Self {
            sshd,
            relay,
            folder,
            vars: vars.to_owned(),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Runs `mini-play COMMAND` on the playbook `play.yml`; its standard output.
    async fn run(&self, command: &str) -> (Counts, String) {
        let inventory = format!(
            "all:\n  hosts:\n    h1: {{ansible_host: 127.0.0.1, ansible_port: {}, tmp: {}, \
             ansible_ssh_private_key_file: {}{}}}\n",
            self.relay.address.port(),
            self.at("host").display(),
            self.sshd.key().display(),
            self.vars,
        );
        self.write("inventory.yaml", &inventory);
        let _alone = ONE_AT_A_TIME.lock().await;
        let before = self.relay.counts();
        let output = Command::new(env!("CARGO_BIN_EXE_mini-play"))
            .args([command, "--output", "json", "--ssh-common-args"])
            .arg(format!(
                "-o UserKnownHostsFile={} -o IdentitiesOnly=yes",
                self.sshd.known_hosts().display()
            ))
            .args([
                "--user",
                if self.vars.is_empty() {
                    "root"
                } else {
                    "student"
                },
            ])
            .arg("--playbook")
            .arg(self.at("play.yml"))
            .arg(self.at("inventory.yaml"))
            .env("MINI_PLAY_STATE", self.at("state"))
            .env("HOME", self.folder.path())
            .output()
            .await
            .unwrap();
        let after = self.relay.counts();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}\n{out}\n{err}");
        let cost = Counts {
            connections: after.connections - before.connections,
            turns: after.turns - before.turns,
            up: after.up - before.up,
            down: after.down - before.down,
        };
        assert_eq!(cost.connections, 1, "one connection per host and run");
        (cost, out)
    }

    /// Applies the tasks, which are indented by four.
    async fn apply(&self, tasks: &str) -> Run {
        self.play(&format!("- hosts: all\n  tasks:\n{tasks}")).await
    }

    async fn play(&self, text: &str) -> Run {
        self.write("play.yml", text);
        let (cost, out) = self.run("apply").await;
        let end: serde_json::Value = out
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .find(|event: &serde_json::Value| event["event"] == "run_end")
            .unwrap();
        let end = &end["hosts"][0];
        let figure = |name: &str| end[name].as_u64().unwrap();
        // What the recap says, but for the goodbye of a shell that has a private directory to remove, and for words that cross on
        // the way: the relay may take for one turn what the program took for two.
        assert!(cost.turns.abs_diff(figure("turns")) <= 1, "{cost:?} {end}");
        assert!(cost.up - figure("bytes_up") <= 100, "{cost:?} {end}");
        Run {
            cost,
            turns: figure("turns"),
            ok: figure("ok"),
            changed: figure("changed"),
        }
    }
}

/// The workload of the benchmarks, for one folder: 44 tasks that run and 4 that are skipped.
///
/// The packages are there on every Debian and the service is asked about by the process that we are talking to, so this
/// machine stays as it is.
fn workload(folder: &str) -> String {
    let mut tasks = String::new();
    let mut task = |text: &str| writeln!(tasks, "    - {text}").unwrap();
    for name in "base-files coreutils dash dpkg grep sed tar gzip".split(' ') {
        task(&format!("apt: {{name: {name}, state: present}}"));
    }
    let at = format!("{{{{ tmp }}}}/{folder}");
    for n in 0..6 {
        task(&format!(
            "file: {{path: '{at}/d{n}', state: directory, mode: '0755'}}"
        ));
    }
    for n in 0..12 {
        task(&format!(
            "template: {{src: t.j2, dest: '{at}/d0/t{n}.conf', mode: '0644'}}"
        ));
    }
    for n in 0..6 {
        task(&format!(
            "copy: {{src: c.txt, dest: '{at}/d1/c{n}.txt', mode: '0600'}}"
        ));
    }
    for n in 0..8 {
        let when = if n < 4 {
            "true"
        } else {
            "ansible_os_family == 'Plan 9'"
        };
        task(&format!(
            "{{lineinfile: {{path: '{at}/d1/l.txt', create: true, line: 'key{n} = {n}', regexp: '^key{n} '}}, when: {when}}}"
        ));
    }
    for n in 0..4 {
        task(&format!(
            "command: {{cmd: 'touch {at}/d2/done{n}', creates: '{at}/d2/done{n}'}}"
        ));
    }
    // One question four times: a script, where a unit of systemd would be a word.
    for _ in 0..4 {
        task("service: {name: ssh, state: started, use: sysvinit, pattern: sshd}");
    }
    tasks
}

fn files(bench: &Bench) {
    bench.write(
        "templates/t.j2",
        "# {{ ansible_distribution }} {{ ansible_processor_vcpus }}\nname = {{ inventory_hostname }}\n",
    );
    bench.write("files/c.txt", &"copied\n".repeat(100));
}

/// One folder is applied, the others are copies of it: then nothing is to be done in any.
async fn no_change(bench: &Bench, folders: usize) -> Counts {
    files(bench);
    let first = bench.apply(&workload("f0")).await;
    assert_eq!((first.ok, first.changed), (45, 32), "{first:?}");
    let mut tasks = workload("f0");
    for folder in 1..folders {
        tasks.push_str(&workload(&format!("f{folder}")));
        let copied = std::process::Command::new("cp")
            .arg("-a")
            .arg(bench.at("host/f0"))
            .arg(bench.at(&format!("host/f{folder}")))
            .status();
        assert!(copied.unwrap().success());
    }
    let again = bench.apply(&tasks).await;
    let tasks = 1 + 44 * folders as u64;
    assert_eq!((again.ok, again.changed), (tasks, 0), "{again:?}");
    again.cost
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nothing_to_change_turns_do_not_grow_with_the_tasks() {
    for (folders, most) in [(1, 20_000), (10, 60_000)] {
        let bench = Bench::new().await;
        let cost = no_change(&bench, folders).await;
        assert!(cost.turns <= 10, "{folders}: {cost:?}");
        assert!(cost.up <= most, "{folders}: {cost:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn becoming_root_with_a_password_costs_three_turns_more_at_most() {
    let bench = Bench::with_sudo().await;
    // The folder is root's from now on, and anybody may look.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(bench.folder.path(), open).unwrap();
    let cost = no_change(&bench, 1).await;
    assert!(cost.turns <= 13, "{cost:?}");
}

/// Text that nothing makes shorter.
fn noise(seed: u64, bytes: usize) -> String {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut text = String::new();
    while text.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        writeln!(text, "{state:016x}").unwrap();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn content_travels_once_and_only_when_it_changed() {
    let bench = Bench::new().await;
    let mut tasks = String::new();
    let mut bytes = 0;
    for n in 0..32 {
        let text = noise(n + 1, 1_000);
        bytes += text.len() as u64;
        bench.write(&format!("files/f{n}"), &text);
        writeln!(
            tasks,
            "    - copy: {{src: f{n}, dest: '{{{{ tmp }}}}/f{n}'}}"
        )
        .unwrap();
    }
    let first = bench.apply(&tasks).await;
    assert_eq!(first.changed, 32);
    assert!(first.cost.turns <= 14, "{first:?}");
    let again = bench.apply(&tasks).await;
    assert_eq!(again.changed, 0);
    assert!(again.cost.turns <= 10, "{again:?}");
    assert!(again.cost.up <= 20_000, "{again:?}");
    // Once, and never back: two kilobytes of script for each file at most.
    let rest = first.cost.up - again.cost.up;
    assert!(
        rest >= bytes && rest <= bytes + 32 * 2_000,
        "{first:?} {again:?}"
    );
    assert!(again.cost.down <= 40_000, "{again:?}");
    // One that changed takes nobody else's content along.
    bench.write("files/f7", &noise(99, 1_000));
    let one = bench.apply(&tasks).await;
    assert_eq!(one.changed, 1);
    assert!(one.cost.turns <= again.cost.turns + 2, "{one:?} {again:?}");
    assert!(
        one.cost.up <= again.cost.up + 1_000 + 6_000,
        "{one:?} {again:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn verify_takes_nine_turns() {
    let bench = Bench::new().await;
    let port = bench.sshd.address.port();
    bench.write("roles/r/tasks/main.yml", "- debug: {msg: x}\n");
    bench.write(
        "roles/r/verify.yml",
        &format!(
            "processes:\n  - {{name: sshd, pattern: 'sshd -D'}}\nports:\n  - {{port: {port}, proto: tcp}}\n\
             tcp:\n  - {{port: {port}}}\nfiles:\n  - {{path: /etc/passwd, contains: root}}\n  - {{path: /etc/group}}\n"
        ),
    );
    bench.write("play.yml", "- hosts: all\n  roles: [r]\n");
    let (cost, out) = bench.run("verify").await;
    assert!(out.matches("\"ok\": true").count() >= 5, "{out}");
    assert!(cost.turns <= 9, "{cost:?}");
}

/// Turns that these tasks take in a play of their own: the fewest of three runs. A server that takes its time to greet makes
/// the handshake a turn longer, and that is not what is compared.
async fn turns(bench: &Bench, tasks: &str) -> u64 {
    let tasks = format!("    - stat: {{path: /etc}}\n{tasks}");
    let mut fewest = u64::MAX;
    for _ in 0..3 {
        fewest = fewest.min(bench.apply(&tasks).await.turns);
    }
    fewest
}

#[tokio::test(flavor = "multi_thread")]
async fn each_layer_of_what_depends_on_what_adds_one_turn() {
    let bench = Bench::new().await;
    let none = turns(&bench, "").await;
    let mut asking = String::from("    - {stat: {path: /etc/passwd}, register: s0}\n");
    let mut acting = String::from("    - {command: echo 0, register: r0}\n");
    assert_eq!(turns(&bench, &asking).await, none, "seen in one look");
    assert_eq!(turns(&bench, &acting).await, none + 1);
    for n in 1..4 {
        let last = n - 1;
        writeln!(
            asking,
            "    - {{stat: {{path: '{{{{ s{last}.stat.path | default(\"/etc\") }}}}{n}'}}, register: s{n}}}"
        )
        .unwrap();
        writeln!(
            acting,
            "    - {{command: echo {n}, register: r{n}, when: r{last}.rc == 0}}"
        )
        .unwrap();
        assert_eq!(turns(&bench, &asking).await, none + n, "{asking}");
        assert_eq!(turns(&bench, &acting).await, none + 1 + n, "{acting}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_in_a_row_travel_together() {
    let bench = Bench::new().await;
    let none = turns(&bench, "").await;
    let ten: String = (0..10)
        .map(|n| format!("    - command: echo {n}\n"))
        .collect();
    assert_eq!(turns(&bench, &ten).await, none + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_behind_many_commands_is_not_asked_behind_each() {
    let bench = Bench::new().await;
    let mut tasks = String::new();
    for n in 0..8 {
        let file = format!("{{{{ tmp }}}}/c{n}");
        writeln!(
            tasks,
            "    - command: {{cmd: 'touch {file}', creates: '{file}'}}"
        )
        .unwrap();
    }
    for n in 0..150 {
        writeln!(
            tasks,
            "    - stat: {{path: '{{{{ tmp }}}}/a/path/of/some/length/{n}'}}"
        )
        .unwrap();
    }
    let first = bench.apply(&tasks).await;
    let again = bench.apply(&tasks).await;
    assert_eq!((first.changed, again.changed), (8, 0));
    // At the beginning and once more, when the commands are through; not eight times.
    assert!(
        first.cost.turns <= again.cost.turns + 8,
        "{first:?} {again:?}"
    );
    let most = again.cost.up + 8 * 4_000 + 8_000;
    assert!(first.cost.up <= most, "{first:?} {again:?}");
}
