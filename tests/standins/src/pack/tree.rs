//! A file system tree in the making: what will be in a package or an archive.

use super::tool;
use anyhow::Context;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// The tree; gone with the value.
pub struct Tree {
    root: TempDir,
}

impl Tree {
    /// An empty tree.
    pub fn new() -> anyhow::Result<Self> {
        let root = TempDir::new().context("no temporary directory")?;
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755))?;
        Ok(Self { root })
    }

    /// Where it lies for now.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    fn at(&self, path: &str) -> anyhow::Result<PathBuf> {
        let full = self.root().join(path.trim_start_matches('/'));
        if let Some(parent) = full.parent() {
            fs::create_dir_all(parent)?;
        }
        Ok(full)
    }

    /// Adds a file.
    pub fn file(&self, path: &str, mode: u32, content: &str) -> anyhow::Result<&Self> {
        let full = self.at(path)?;
        fs::write(&full, content).with_context(|| format!("cannot write {path}"))?;
        fs::set_permissions(&full, fs::Permissions::from_mode(mode))?;
        Ok(self)
    }

    /// Adds a program, as a hard link where the file system allows one: archives hold its content once.
    pub fn program(&self, path: &str, program: &Path) -> anyhow::Result<&Self> {
        let full = self.at(path)?;
        let first = self.root().join(".program");
        if !first.exists() {
            fs::copy(program, &first)?;
            fs::set_permissions(&first, fs::Permissions::from_mode(0o755))?;
        }
        fs::hard_link(&first, &full)?;
        Ok(self)
    }

    /// Adds a symbolic link.
    pub fn link(&self, path: &str, target: &str) -> anyhow::Result<&Self> {
        std::os::unix::fs::symlink(target, self.at(path)?)
            .with_context(|| format!("cannot link {path}"))?;
        Ok(self)
    }

    /// Adds an empty directory.
    pub fn directory(&self, path: &str) -> anyhow::Result<&Self> {
        fs::create_dir_all(self.at(path)?)?;
        Ok(self)
    }

    /// The tree is complete: what only helped to make it goes.
    pub fn seal(&self) -> anyhow::Result<()> {
        let first = self.root().join(".program");
        if first.exists() {
            fs::remove_file(first)?;
        }
        Ok(())
    }

    /// Writes it as a tarball that is the same, byte for byte, whenever it is made.
    pub fn tarball(&self, file: &Path) -> anyhow::Result<()> {
        self.seal()?;
        let fixed = [
            "--sort=name",
            "--mtime=@1500000000",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
            "--format=gnu",
        ];
        let mut tar = Command::new("tar");
        tar.args(fixed)
            .args(["--use-compress-program", "gzip -n -1", "--create", "--file"])
            .arg(file);
        let mut names: Vec<_> = fs::read_dir(self.root())?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<std::io::Result<_>>()?;
        names.sort();
        tool(tar.arg("--directory").arg(self.root()).args(names))?;
        Ok(())
    }
}
