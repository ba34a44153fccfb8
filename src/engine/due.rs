//! Handlers that are due, kept on disk until they have run.
//!
//! A change that notifies a handler and a run that breaks off before the handler: in Ansible the handler is lost, for the
//! next run finds nothing to change. Here the handler is written down before the change is made, and struck out when it
//! has run. What is left the next run of the same play picks up. Running a handler once too often is the lesser evil.

use super::walk::Handler;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Handlers of one host by play.
type Book = BTreeMap<String, BTreeSet<String>>;

/// What is due on one host in one play.
#[derive(Debug, Default)]
pub(crate) struct Due {
    path: Option<PathBuf>,
    play: String,
    book: Book,
    /// Left by an earlier run, and not yet found among the play's handlers.
    owed: BTreeSet<String>,
    /// How many handlers the play had when last looked at.
    looked_at: usize,
}

impl Due {
    /// What an earlier run left of this play. With no folder nothing is kept.
    pub(crate) fn open(folder: Option<&Path>, host: &str, play: String) -> Self {
        let Some(folder) = folder else {
            return Self::default();
        };
        let path = folder.join(format!("{}.json", host.replace(['/', '\0'], "_")));
        let book: Book = std::fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Self {
            owed: book.get(&play).cloned().unwrap_or_default(),
            path: Some(path),
            play,
            book,
            looked_at: 0,
        }
    }

    /// Handlers of an earlier run that are among these, by number and name.
    pub(crate) fn claim(&mut self, handlers: &[Handler]) -> Vec<(usize, String)> {
        if self.owed.is_empty() || self.looked_at == handlers.len() {
            return Vec::new();
        }
        self.looked_at = handlers.len();
        let named = handlers.iter().enumerate();
        named
            .map(|(index, handler)| (index, name(handler)))
            .filter(|(_, name)| self.owed.remove(name))
            .collect()
    }

    /// Writes down what is due now, if that is news.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn keep(
        &mut self,
        due: impl IntoIterator<Item = usize>,
        handlers: &[Handler],
    ) -> std::io::Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let mut names: BTreeSet<String> = due
            .into_iter()
            .filter_map(|index| handlers.get(index).map(name))
            .collect();
        names.extend(self.owed.iter().cloned());
        if self
            .book
            .get(&self.play)
            .map_or(names.is_empty(), |known| *known == names)
        {
            return Ok(());
        }
        if names.is_empty() {
            self.book.remove(&self.play);
        } else {
            self.book.insert(self.play.clone(), names);
        }
        write(path, &self.book)
    }

    /// Gives up handlers that the play has no more; their names.
    pub(crate) fn give_up(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.owed)
    }
}

/// A file that is the old or the new one whenever the run breaks off.
fn write(path: &Path, book: &Book) -> std::io::Result<()> {
    if book.is_empty() {
        return match std::fs::remove_file(path) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(why),
            _ => Ok(()),
        };
    }
    let part = path.with_extension("part");
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(0o600)
        .open(&part)?;
    serde_json::to_writer_pretty(&mut file, book)?;
    file.flush()?;
    std::fs::rename(part, path)
}

/// What a handler is known by from run to run: its role and its name as written, or its place.
fn name(handler: &Handler) -> String {
    let task = &handler.task;
    let own = match task.base.name.as_ref().and_then(|node| node.as_str()) {
        Some(name) => name.to_owned(),
        None => task.span.to_string(),
    };
    match &handler.chain.role {
        Some(used) => format!("{} : {own}", used.role.name),
        None => own,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_survives_until_it_is_done() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a_b.json");
        let book = Book::from([("play".to_owned(), BTreeSet::from(["h".to_owned()]))]);
        write(&path, &book).unwrap();
        let due = Due::open(Some(dir.path()), "a/b", "play".into());
        assert_eq!(due.owed, BTreeSet::from(["h".to_owned()]));
        let mut other = Due::open(Some(dir.path()), "a/b", "another".into());
        assert!(other.owed.is_empty());
        other.keep([], &[]).unwrap();
        assert!(path.exists(), "another play's are kept");
        let mut due = due;
        assert_eq!(due.give_up().len(), 1);
        due.keep([], &[]).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn without_a_folder_nothing_is_kept() {
        let mut due = Due::open(None, "a", "play".into());
        assert!(due.claim(&[]).is_empty());
        due.keep([], &[]).unwrap();
    }
}
