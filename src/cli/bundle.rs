//! The bundled playbooks and roles, embedded in the binary.

use anyhow::{Context as _, Result};
use include_dir::{Dir, include_dir};
use sha2::{Digest as _, Sha256};
use std::path::{Path, PathBuf};

static PLAYBOOKS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/playbooks");
static ROLES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/roles");
const EXAMPLE: &str = include_str!("../../inventory.example.yaml");

/// Writes everything below a folder. Existing files are left alone and reported.
pub(super) fn write_to(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut kept = Vec::new();
    let parts = [("playbooks", &PLAYBOOKS), ("roles", &ROLES)];
    for (name, part) in parts {
        write_dir(part, &dir.join(name), &mut kept)?;
    }
    write_file(
        &dir.join("inventory.example.yaml"),
        EXAMPLE.as_bytes(),
        &mut kept,
    )?;
    Ok(kept)
}

fn write_dir(part: &Dir<'_>, dir: &Path, kept: &mut Vec<PathBuf>) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("failed to make {}", dir.display()))?;
    for file in part.files() {
        if let Some(name) = file.path().file_name() {
            write_file(&dir.join(name), file.contents(), kept)?;
        }
    }
    for inner in part.dirs() {
        if let Some(name) = inner.path().file_name() {
            write_dir(inner, &dir.join(name), kept)?;
        }
    }
    Ok(())
}

fn write_file(path: &Path, contents: &[u8], kept: &mut Vec<PathBuf>) -> Result<()> {
    if path.exists() {
        kept.push(path.to_path_buf());
        return Ok(());
    }
    std::fs::write(path, contents).with_context(|| format!("failed to write {}", path.display()))
}

/// Whether this is the name of a bundled playbook, `playbooks/demo-apps.yml`.
pub(super) fn has(path: &Path) -> bool {
    path.strip_prefix("playbooks")
        .is_ok_and(|name| PLAYBOOKS.get_file(name).is_some())
}

/// The bundle as files, for running it from any folder: unpacked once per version into the user's cache.
pub(super) fn unpacked() -> Result<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cache")))
        .unwrap_or_else(std::env::temp_dir)
        .join("mini-play");
    let mut hash = Sha256::new();
    for part in [&PLAYBOOKS, &ROLES] {
        digest(part, &mut hash);
    }
    let key: String = hash
        .finalize()
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let dir = cache.join(format!("bundle-{key}"));
    if dir.is_dir() {
        return Ok(dir);
    }
    std::fs::create_dir_all(&cache)
        .with_context(|| format!("failed to make {}", cache.display()))?;
    let part = tempfile::tempdir_in(&cache).context("failed to make a folder in the cache")?;
    write_to(part.path())?;
    let part = part.keep();
    if let Err(why) = std::fs::rename(&part, &dir) {
        // Another run may have been faster.
        let _ = std::fs::remove_dir_all(&part);
        if !dir.is_dir() {
            return Err(why).with_context(|| format!("failed to make {}", dir.display()));
        }
    }
    Ok(dir)
}

fn digest(part: &Dir<'_>, hash: &mut Sha256) {
    for file in part.files() {
        hash.update(file.path().as_os_str().as_encoded_bytes());
        hash.update(file.contents());
    }
    part.dirs().for_each(|inner| digest(inner, hash));
}
