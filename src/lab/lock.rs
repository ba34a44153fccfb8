//! Lock files that leave nothing behind: taken with `flock`, removed by their holder.

use anyhow::{Context as _, Result};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Held until dropped; the kernel drops it when the process dies.
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

impl Lock {
    /// Takes the lock, waiting for whoever holds it; `waiting` is called before a wait.
    pub(crate) fn take(path: &Path, waiting: impl Fn()) -> Result<Self> {
        loop {
            if let Some(lock) = Self::try_take(path)? {
                return Ok(lock);
            }
            waiting();
            // Wait on the file that is there now; whether it still counts then, the next try sees.
            if let Ok(file) = File::open(path) {
                file.lock().with_context(|| context(path))?;
            }
        }
    }

    /// Takes the lock unless somebody holds it.
    pub(crate) fn try_take(path: &Path) -> Result<Option<Self>> {
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .with_context(|| context(path))?;
        if file.try_lock().is_err() {
            return Ok(None);
        }
        // A holder that ended meanwhile removed the file: then this lock guards nothing.
        let ours = file.metadata().with_context(|| context(path))?.ino();
        if fs::metadata(path).is_ok_and(|now| now.ino() == ours) {
            return Ok(Some(Self {
                path: path.to_owned(),
                _file: file,
            }));
        }
        Self::try_take(path)
    }
}

fn context(path: &Path) -> String {
    format!("cannot lock {}", path.display())
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn one_at_a_time_and_no_file_left() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.lock");
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let _lock = Lock::take(&path, || ()).unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    std::thread::sleep(std::time::Duration::from_millis(2));
                    inside.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert!(!path.exists());
    }
}
