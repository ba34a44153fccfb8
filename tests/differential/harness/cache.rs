//! What ansible-core did, kept for developers (`DIFFERENTIAL_CACHE=1`): it does not change while its topic does not.

use super::Side;
use super::topic::Topic;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// The folder, if it is wanted.
pub struct Cache {
    folder: Option<PathBuf>,
    /// What every topic of the group may use.
    shared: Vec<u8>,
}

impl Cache {
    /// For topics of one group.
    pub fn open(topics: &[Topic]) -> Self {
        let wanted = std::env::var_os("DIFFERENTIAL_CACHE").is_some();
        let folder =
            wanted.then(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/differential/cache"));
        let mut shared = Vec::new();
        if let (Some(folder), Some(topic)) = (&folder, topics.first()) {
            std::fs::create_dir_all(folder).unwrap();
            for name in ["files", "templates", "vars", "tasks", "roles"] {
                read(&topic.path.with_file_name(name), &mut shared);
            }
        }
        Self { folder, shared }
    }

    fn path(&self, topic: &Topic) -> Option<PathBuf> {
        let mut hash = Sha256::new();
        hash.update(std::fs::read(&topic.path).unwrap());
        hash.update(&self.shared);
        let sum: String = hash
            .finalize()
            .iter()
            .take(8)
            .map(|b| format!("{b:02x}"))
            .collect();
        Some(
            self.folder
                .as_ref()?
                .join(format!("{}-{sum}.json", topic.name)),
        )
    }

    /// Its two runs, if they are there.
    pub fn has(&self, topic: &Topic) -> Option<Vec<Side>> {
        let text = std::fs::read(self.path(topic)?).ok()?;
        let sides: Vec<Side> = serde_json::from_slice(&text).ok()?;
        (sides.len() == 2).then_some(sides)
    }

    /// One run of a topic.
    pub fn get(&self, round: usize, topic: &Topic) -> Side {
        self.has(topic)
            .map(|mut sides| sides.swap_remove(round))
            .unwrap_or_default()
    }

    /// Keeps what these topics did.
    pub fn keep(&self, round: usize, topics: &[&Topic], side: &Side) {
        for topic in topics {
            let Some(path) = self.path(topic) else { return };
            let old = std::fs::read(&path).ok();
            let mut sides: Vec<Side> = old
                .and_then(|text| serde_json::from_slice(&text).ok())
                .unwrap_or_default();
            sides.truncate(round);
            sides.push(side.part(topic));
            std::fs::write(path, serde_json::to_vec(&sides).unwrap()).unwrap();
        }
    }
}

fn read(path: &Path, into: &mut Vec<u8>) {
    if let Ok(entries) = std::fs::read_dir(path) {
        let mut paths: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| path.join(entry.file_name()))
            .collect();
        paths.sort();
        for path in paths {
            read(&path, into);
        }
    } else if let Ok(text) = std::fs::read(path) {
        into.extend(path.as_os_str().as_encoded_bytes());
        into.extend(text);
    }
}
