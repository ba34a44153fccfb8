//! How a set of probes is grouped: the order in which [`super::script`] asks and [`super::parse`] reads.
//!
//! Both are driven by the same [`Layout`], so the output needs no names: records come in the order asked.

use super::Probe;
use std::collections::{BTreeMap, BTreeSet};

/// Operands of one command: well below every limit on an argument list.
const BATCH_BYTES: usize = 64 << 10;
const BATCH_WORDS: usize = 1000;

/// What is asked about a path. Paths with the same questions are one group, so that each path travels once.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Asked {
    pub nofollow: bool,
    pub follow: bool,
    pub expand: bool,
    pub access: bool,
    pub real: bool,
    pub flags: bool,
    pub mime: bool,
    pub digests: BTreeSet<&'static str>,
    pub content: Option<u64>,
}

/// One question about many paths, answered by one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Question {
    Expand,
    Stat,
    Follow,
    Readlink,
    Access,
    Real,
    Flags,
    Mime,
    Digest(&'static str),
    Content(u64),
}

impl Asked {
    fn questions(&self) -> Vec<Question> {
        let mut questions = Vec::new();
        if self.expand {
            questions.push(Question::Expand);
        }
        if self.nofollow || self.follow {
            questions.push(Question::Stat);
        }
        if self.follow {
            questions.push(Question::Follow);
        }
        if self.nofollow {
            questions.push(Question::Readlink);
        }
        for (asked, question) in [
            (self.access, Question::Access),
            (self.real, Question::Real),
            (self.flags, Question::Flags),
            (self.mime, Question::Mime),
        ] {
            if asked {
                questions.push(question);
            }
        }
        questions.extend(
            self.digests
                .iter()
                .map(|algorithm| Question::Digest(algorithm)),
        );
        questions.extend(self.content.map(Question::Content));
        questions
    }
}

/// Some paths, few enough for one command line.
#[derive(Debug, Default)]
pub(super) struct Batch<'a> {
    /// Groups of paths of which the same is asked.
    pub groups: Vec<Vec<&'a str>>,
    /// Questions in order, each with the indices of its groups.
    pub questions: BTreeMap<Question, Vec<usize>>,
}

impl<'a> Batch<'a> {
    /// The paths of a question, in the order its answers come.
    pub(super) fn paths(&self, groups: &[usize]) -> Vec<&'a str> {
        groups
            .iter()
            .flat_map(|group| self.groups[*group].iter().copied())
            .collect()
    }
}

/// All probes, grouped.
#[derive(Debug, Default)]
pub(super) struct Layout<'a> {
    pub batches: Vec<Batch<'a>>,
    pub packages: Vec<Vec<&'a str>>,
    /// Units whose names `systemctl` takes literally, many to one call.
    pub units: Vec<Vec<&'a str>>,
    /// Other unit names, one to a call: globs and templates may give no or several answers.
    pub odd_units: Vec<&'a str>,
    pub users: Vec<Vec<&'a str>>,
    pub groups: Vec<Vec<&'a str>>,
    pub scripts: Vec<&'a str>,
}

impl<'a> Layout<'a> {
    /// Whether something is asked whose answer may hold anything, so that only a mark can end it.
    pub(super) fn marked(&self) -> bool {
        let content = |question: &Question| matches!(question, Question::Content(_));
        let mut asked = self.batches.iter().flat_map(|batch| batch.questions.keys());
        !self.scripts.is_empty() || asked.any(content)
    }

    pub(super) fn new(probes: &'a [Probe]) -> Self {
        let probes: BTreeSet<&Probe> = probes.iter().collect();
        let mut paths: BTreeMap<&str, Asked> = BTreeMap::new();
        let (mut packages, mut units, mut users, mut groups) = (vec![], vec![], vec![], vec![]);
        let mut layout = Self::default();
        for probe in probes {
            match probe {
                probe if probe.path().is_some_and(|path| !sendable(path)) => {}
                Probe::Path { path, follow: true } => paths.entry(path).or_default().follow = true,
                Probe::Path {
                    path,
                    follow: false,
                } => {
                    paths.entry(path).or_default().nofollow = true;
                }
                Probe::Digest { path, algorithm } => {
                    paths.entry(path).or_default().digests.insert(algorithm);
                }
                Probe::Content { path, limit } => {
                    let content = &mut paths.entry(path).or_default().content;
                    *content = Some(content.unwrap_or(0).max(*limit));
                }
                Probe::Access(path) => paths.entry(path).or_default().access = true,
                Probe::Real(path) => paths.entry(path).or_default().real = true,
                Probe::Flags(path) => paths.entry(path).or_default().flags = true,
                Probe::Mime(path) => paths.entry(path).or_default().mime = true,
                Probe::Expand(path) => paths.entry(path).or_default().expand = true,
                Probe::Package(name) if is_package(name) => packages.push(name.as_str()),
                Probe::Unit(name) if is_unit(name) => units.push(name.as_str()),
                Probe::Unit(name) if sendable(name) && !name.starts_with('-') => {
                    layout.odd_units.push(name);
                }
                Probe::User(name) if is_account(name) => users.push(name.as_str()),
                Probe::Group(name) if is_account(name) => groups.push(name.as_str()),
                Probe::Script(script) => layout.scripts.push(script),
                Probe::Package(_) | Probe::Unit(_) | Probe::User(_) | Probe::Group(_) => {}
            }
        }
        layout.packages = cut(packages);
        layout.units = cut(units);
        layout.users = cut(users);
        layout.groups = cut(groups);
        let names: Vec<&str> = paths.keys().copied().collect();
        layout.batches = cut(names)
            .into_iter()
            .map(|names| batch(&names, &paths))
            .collect();
        layout
    }
}

fn batch<'a>(names: &[&'a str], paths: &BTreeMap<&str, Asked>) -> Batch<'a> {
    let mut by_mask: BTreeMap<&Asked, Vec<&str>> = BTreeMap::new();
    for name in names {
        by_mask.entry(&paths[name]).or_default().push(name);
    }
    let mut batch = Batch::default();
    for (asked, names) in by_mask {
        for question in asked.questions() {
            batch
                .questions
                .entry(question)
                .or_default()
                .push(batch.groups.len());
        }
        batch.groups.push(names);
    }
    batch
}

/// Cuts words into runs that fit one command line.
fn cut(words: Vec<&str>) -> Vec<Vec<&str>> {
    let mut runs: Vec<Vec<&str>> = Vec::new();
    let mut bytes = 0;
    for word in words {
        bytes += word.len();
        match runs.last_mut() {
            Some(run) if bytes < BATCH_BYTES && run.len() < BATCH_WORDS => run.push(word),
            _ => {
                bytes = word.len();
                runs.push(vec![word]);
            }
        }
    }
    runs
}

/// Whether a text can be a word of a command at all, and names something.
pub(super) fn sendable(text: &str) -> bool {
    !text.is_empty() && !text.contains('\0')
}

/// What dpkg-query takes literally (no pattern, no option).
pub(super) fn is_package(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "+-.:_".contains(c))
}

/// What systemctl takes literally and can load.
pub(super) fn is_unit(name: &str) -> bool {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && !stem.ends_with('@')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ":-_.@".contains(c))
}

/// What can be a user's or group's name.
pub(super) fn is_account(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('-') && !name.contains([':', '\n', '\0', '/'])
}
