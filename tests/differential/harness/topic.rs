//! Topics: playbooks `settled/GROUP/TOPIC.yml`.

use std::path::{Path, PathBuf};

/// A playbook about one thing.
#[derive(Debug, Clone)]
pub struct Topic {
    /// Its file's name without the end; its folder on the hosts is `/srv/NAME`.
    pub name: String,
    /// The playbook.
    pub path: PathBuf,
    /// It ends in a failure, so it is run by a process of its own (its first line says `# alone`).
    pub alone: bool,
}

/// The suite's folder.
pub fn suite() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential")
}

/// Groups with topics to run; each has a pair of twins of its own.
pub fn groups() -> Vec<String> {
    let mut names: Vec<String> = ["settled", "open"]
        .into_iter()
        .flat_map(|kind| std::fs::read_dir(suite().join(kind)).unwrap())
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|group| !of_group(group).is_empty())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// The topics of a group, in order of their names; `DIFFERENTIAL=name,name` picks some.
pub fn of_group(group: &str) -> Vec<Topic> {
    let mut kinds = vec!["settled"];
    if std::env::var_os("DIFFERENTIAL_OPEN").is_some() {
        kinds.push("open");
    }
    let mut topics: Vec<Topic> = kinds
        .into_iter()
        .flat_map(|kind| playbooks(&suite().join(kind).join(group)))
        .collect();
    topics.sort_by(|one, other| one.name.cmp(&other.name));
    if let Some(picked) = picked() {
        topics.retain(|topic| picked.contains(&topic.name));
    }
    topics
}

/// The names that a developer asked for.
pub fn picked() -> Option<Vec<String>> {
    let names = std::env::var("DIFFERENTIAL").ok()?;
    Some(names.split(',').map(str::to_owned).collect())
}

fn playbooks(folder: &Path) -> Vec<Topic> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| folder.join(entry.file_name()))
        .filter(|path| path.extension().is_some_and(|end| end == "yml"))
        .map(|path| Topic {
            name: path.file_stem().unwrap().to_string_lossy().into_owned(),
            alone: std::fs::read_to_string(&path)
                .unwrap()
                .starts_with("# alone"),
            path,
        })
        .collect()
}
