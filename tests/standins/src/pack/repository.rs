//! A signed apt repository, `deb URL/apt stable main`, with a key made on the spot and kept for the next time.

use super::deb::Deb;
use super::{sha256, tool};
use anyhow::Context;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use time::OffsetDateTime;
use time::macros::format_description;

/// The suite's name.
pub const SUITE: &str = "stable";

/// The component's name.
pub const COMPONENT: &str = "main";

/// Who signs; nobody would take it for a real key.
const SIGNER: &str = "mini-play stand-ins <standins@lab.invalid>";

/// A repository in the making.
pub struct Repository {
    gnupg: PathBuf,
    www: PathBuf,
    architecture: String,
    index: String,
}

/// The public key, as it lies in `www`.
pub struct Key {
    /// File name.
    pub name: &'static str,
    /// Fingerprint in hex.
    pub fingerprint: String,
    /// The file's sum.
    pub sha256: String,
}

impl Repository {
    /// An empty repository below `www/apt`; the secret key stays in `directory/gnupg`.
    pub fn new(directory: &Path, www: &Path) -> anyhow::Result<Self> {
        let architecture =
            String::from_utf8(tool(Command::new("dpkg").arg("--print-architecture"))?)?
                .trim()
                .to_owned();
        fs::create_dir_all(www.join("apt/pool"))?;
        Ok(Self {
            gnupg: directory.join("gnupg"),
            www: www.to_owned(),
            architecture,
            index: String::new(),
        })
    }

    /// Where the file of a package is, below `www`.
    pub fn path_of(&self, name: &str, version: &str) -> String {
        format!("apt/pool/{name}_{version}_{}.deb", self.architecture)
    }

    /// The sum of a package's file.
    pub fn sum_of(&self, name: &str, version: &str) -> anyhow::Result<String> {
        sha256(&self.www.join(self.path_of(name, version)))
    }

    /// Builds a package and lists it.
    pub fn add(&mut self, deb: &Deb) -> anyhow::Result<()> {
        let path = format!("pool/{}", deb.file_name(&self.architecture));
        let file = self.www.join("apt").join(&path);
        deb.write(&self.architecture, &file)?;
        let size = fs::metadata(&file)?.len();
        let control = deb.control(&self.architecture);
        writeln!(
            self.index,
            "{control}Filename: {path}\nSize: {size}\nSHA256: {}\n",
            sha256(&file)?
        )?;
        Ok(())
    }

    /// Writes and signs the index, and puts the key beside it.
    pub fn finish(&mut self) -> anyhow::Result<Key> {
        let suite = self.www.join("apt/dists").join(SUITE);
        let listed = format!("{COMPONENT}/binary-{}/Packages", self.architecture);
        let packages = suite.join(&listed);
        fs::create_dir_all(packages.parent().context("a path without parent")?)?;
        fs::write(&packages, &self.index)?;
        let release = suite.join("Release");
        let size = self.index.len();
        fs::write(
            &release,
            self.release(&format!(" {} {size} {listed}\n", sha256(&packages)?))?,
        )?;
        self.make_key()?;
        let sign = |arguments: &[&str], file: &str| -> anyhow::Result<()> {
            tool(
                self.gpg()
                    .args(["--yes", "--output"])
                    .arg(suite.join(file))
                    .args(arguments)
                    .arg(&release),
            )?;
            Ok(())
        };
        sign(&["--clearsign"], "InRelease")?;
        sign(&["--armor", "--detach-sign"], "Release.gpg")?;
        let key = self.export_key()?;
        tool(
            Command::new("gpgconf")
                .arg("--homedir")
                .arg(&self.gnupg)
                .args(["--kill", "all"]),
        )?;
        Ok(key)
    }

    fn release(&self, sums: &str) -> anyhow::Result<String> {
        let format = format_description!(
            "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] UTC"
        );
        Ok(format!(
            "Origin: mini-play\nLabel: mini-play stand-ins\nSuite: {SUITE}\nCodename: {SUITE}\nDate: {}\nArchitectures: {}\nComponents: {COMPONENT}\n\
             Description: Stand-ins for tests\nSHA256:\n{sums}",
            OffsetDateTime::now_utc().format(format)?,
            self.architecture
        ))
    }

    fn gpg(&self) -> Command {
        let mut gpg = Command::new("gpg");
        gpg.arg("--homedir").arg(&self.gnupg).args([
            "--batch",
            "--quiet",
            "--no-tty",
            "--pinentry-mode",
            "loopback",
            "--passphrase",
            "",
        ]);
        gpg
    }

    fn make_key(&self) -> anyhow::Result<()> {
        if self.gnupg.exists() {
            return Ok(());
        }
        fs::create_dir_all(&self.gnupg)?;
        fs::set_permissions(
            &self.gnupg,
            std::os::unix::fs::PermissionsExt::from_mode(0o700),
        )?;
        tool(
            self.gpg()
                .args(["--quick-generate-key", SIGNER, "rsa3072", "sign", "never"]),
        )
        .context("cannot make a key")?;
        Ok(())
    }

    fn export_key(&self) -> anyhow::Result<Key> {
        let name = "standins.asc";
        let file = self.www.join(name);
        fs::write(&file, tool(self.gpg().args(["--armor", "--export"]))?)?;
        let listing = String::from_utf8(tool(self.gpg().args(["--with-colons", "--list-keys"]))?)?;
        let fingerprint = listing
            .lines()
            .find_map(|line| line.strip_prefix("fpr:"))
            .context("no key")?
            .trim_matches(':')
            .to_owned();
        Ok(Key {
            name,
            fingerprint,
            sha256: sha256(&file)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tree::Tree;
    use super::*;

    #[test]
    fn a_repository_is_signed_by_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let www = directory.path().join("www");
        let mut repository = Repository::new(directory.path(), &www).unwrap();
        let tree = Tree::new().unwrap();
        tree.file("usr/bin/thing", 0o755, "#!/bin/sh\n").unwrap();
        repository
            .add(&Deb {
                name: "thing",
                version: "1.0",
                fields: "",
                description: "a thing",
                scripts: Vec::new(),
                tree,
            })
            .unwrap();
        let key = repository.finish().unwrap();
        assert_eq!(key.fingerprint.len(), 40);
        let suite = www.join("apt/dists/stable");
        let keyring = directory.path().join("key.gpg");
        tool(
            Command::new("gpg")
                .args(["--batch", "--yes", "--dearmor", "--output"])
                .arg(&keyring)
                .arg(www.join(key.name)),
        )
        .unwrap();
        tool(
            Command::new("gpgv")
                .arg("--keyring")
                .arg(&keyring)
                .arg(suite.join("InRelease")),
        )
        .unwrap();
        assert!(www.join(repository.path_of("thing", "1.0")).exists());
        assert!(repository.index.contains("\nFilename: pool/thing_1.0_"));
    }
}
