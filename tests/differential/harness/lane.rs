//! A pair of twins and the group of topics that runs on them.

use super::cache::Cache;
use super::compare::{self, Difference};
use super::topic::{self, Topic};
use super::{Side, ansible, ours, state};
use mini_play::lab::{Lab, LabHost};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A group's hosts.
pub struct Lane<'a> {
    /// The lab of all lanes.
    pub lab: &'a Lab,
    /// Ansible's host.
    pub theirs: LabHost,
    /// Our host.
    pub ours: LabHost,
    /// ansible-core's programs.
    pub bin: &'a Path,
}

/// What serves HTTP on a host's loopback.
const SERVER: &str = include_str!("../server.py");

impl Lane<'_> {
    /// Runs all topics of a group twice on both hosts; where they differ.
    pub fn run(&self, group: &str) -> Vec<Difference> {
        let scratch = tempfile::tempdir().unwrap();
        let topics = topic::of_group(group);
        let mut found = Vec::new();
        self.prepare(&topics);
        let cache = Cache::open(&topics);
        let fresh: Vec<&Topic> = topics
            .iter()
            .filter(|topic| cache.has(topic).is_none())
            .collect();
        for round in 0..2 {
            let began = Instant::now();
            let (mut theirs, ours) = std::thread::scope(|scope| {
                let theirs = scope.spawn(|| self.theirs(&fresh, scratch.path()));
                let ours = self.ours(&topics, scratch.path());
                (theirs.join().unwrap(), ours)
            });
            cache.keep(round, &fresh, &theirs);
            let mut states = compare::states(&theirs.state, &ours.state);
            if fresh.len() < topics.len() {
                // What is not in a topic's folder can only be compared when all of them ran.
                let kept = |topic: &&Topic| !fresh.iter().any(|other| other.name == topic.name);
                for topic in topics.iter().filter(kept) {
                    theirs.add(cache.get(round, topic));
                }
                states = compare::states(&theirs.folders(&topics), &ours.folders(&topics));
            }
            let mut differ = compare::results(&theirs.records, &ours.records);
            differ.extend(states);
            found.extend(
                differ
                    .into_iter()
                    .map(|(place, what)| (place, format!("{what}  (run {})", round + 1))),
            );
            if std::env::var_os("DIFFERENTIAL_CACHE").is_some() {
                for (place, what) in &found {
                    println!("{place}: {what}");
                }
            }
            println!(
                "{group}: {} topics, {} tasks, run {}: {:.0} s",
                topics.len(),
                ours.records.len(),
                round + 1,
                began.elapsed().as_secs_f64()
            );
        }
        found
    }

    fn theirs(&self, topics: &[&Topic], scratch: &Path) -> Side {
        let inventory = self.inventory(&self.theirs, scratch);
        let (alone, together): (Vec<&Topic>, Vec<&Topic>) = topics.iter().partition(|t| t.alone);
        let mut records = Vec::new();
        if !together.is_empty() {
            records = ansible::play(self.bin, &inventory, scratch, &together);
        }
        for topic in alone {
            records.extend(ansible::play(self.bin, &inventory, scratch, &[topic]));
        }
        Side {
            records,
            state: state::look(self.lab, &self.theirs.name),
        }
    }

    fn ours(&self, topics: &[Topic], scratch: &Path) -> Side {
        let inventory = self.inventory(&self.ours, scratch);
        let (alone, together): (Vec<&Topic>, Vec<&Topic>) = topics.iter().partition(|t| t.alone);
        let records = together
            .into_iter()
            .chain(alone)
            .flat_map(|topic| ours::play(&inventory, scratch, topic))
            .collect();
        Side {
            records,
            state: state::look(self.lab, &self.ours.name),
        }
    }

    /// Both twins carry one name, and know nothing of the other hosts.
    fn prepare(&self, topics: &[Topic]) {
        let folders: Vec<String> = topics
            .iter()
            .map(|topic| format!("/srv/{}", topic.name))
            .collect();
        let folders = folders.join(" ");
        for host in [&self.theirs, &self.ours] {
            let script = format!(
                "mkdir -p {folders}; echo twin >/etc/hostname; hostname twin; printf '127.0.0.1 localhost\\n127.0.1.1 twin\\n' >/etc/hosts; \
                 cat >/usr/local/lib/server.py <<'EOF'\n{SERVER}\nEOF\n\
                 systemctl is-active -q server || systemd-run -q --unit=server python3 /usr/local/lib/server.py"
            );
            state::run(self.lab, &host.name, &script);
        }
    }

    fn inventory(&self, host: &LabHost, scratch: &Path) -> PathBuf {
        let dir = self.lab.dir().display();
        let text = format!(
            "all:
  vars:
    ansible_host: {}
    ansible_user: root
    ansible_ssh_private_key_file: {dir}/key
    ansible_ssh_common_args: -o UserKnownHostsFile={dir}/known_hosts -o IdentitiesOnly=yes
    ansible_python_interpreter: /usr/bin/python3
    here: \"/srv/{{{{ ansible_play_name }}}}\"
  children:
    main:
      hosts:
        twin:
    aside:
      hosts:
        second:
        third:
",
            host.address
        );
        let path = scratch.join(format!("{}.yml", host.name));
        std::fs::write(&path, text).unwrap();
        path
    }
}
