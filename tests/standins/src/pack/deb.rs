//! A Debian package from a tree.

use super::tool;
use super::tree::Tree;
use anyhow::Context;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A package.
pub struct Deb {
    /// `Package:`
    pub name: &'static str,
    /// `Version:`
    pub version: &'static str,
    /// More fields, one a line: `Depends: …`.
    pub fields: &'static str,
    /// One line for people.
    pub description: &'static str,
    /// Maintainer scripts by name.
    pub scripts: Vec<(&'static str, &'static str)>,
    /// What it installs. Every file below /etc is a conffile.
    pub tree: Tree,
}

impl Deb {
    /// `name_version_architecture.deb`
    pub fn file_name(&self, architecture: &str) -> String {
        format!("{}_{}_{architecture}.deb", self.name, self.version)
    }

    /// The control file, which the repository's index repeats.
    pub fn control(&self, architecture: &str) -> String {
        let Self {
            name,
            version,
            fields,
            description,
            ..
        } = self;
        format!(
            "Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: mini-play tests <standins@lab.invalid>\n\
             Section: misc\nPriority: extra\n{fields}Description: {description}\n A stand-in for tests, not the real program.\n"
        )
    }

    /// Writes the package.
    pub fn write(&self, architecture: &str, file: &Path) -> anyhow::Result<()> {
        self.tree.seal()?;
        let conffiles = self.conffiles()?;
        self.tree
            .file("DEBIAN/control", 0o644, &self.control(architecture))?;
        if !conffiles.is_empty() {
            self.tree.file("DEBIAN/conffiles", 0o644, &conffiles)?;
        }
        for (name, script) in &self.scripts {
            self.tree.file(&format!("DEBIAN/{name}"), 0o755, script)?;
        }
        let mut build = Command::new("dpkg-deb");
        build
            .args(["--root-owner-group", "-Zgzip", "-z1", "--build"])
            .arg(self.tree.root())
            .arg(file);
        tool(&mut build).with_context(|| format!("cannot build {}", self.name))?;
        Ok(())
    }

    fn conffiles(&self) -> anyhow::Result<String> {
        let mut found = Vec::new();
        let mut open = vec![self.tree.root().join("etc")];
        while let Some(directory) = open.pop().filter(|directory| directory.exists()) {
            for entry in fs::read_dir(directory)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    open.push(entry.path());
                } else {
                    found.push(format!(
                        "/{}\n",
                        entry.path().strip_prefix(self.tree.root())?.display()
                    ));
                }
            }
        }
        found.sort();
        Ok(found.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_has_its_fields_and_conffiles() {
        let tree = Tree::new().unwrap();
        tree.file("etc/thing/zk", 0o644, "x\n")
            .unwrap()
            .file("usr/bin/thing", 0o755, "#!/bin/sh\n")
            .unwrap();
        let deb = Deb {
            name: "thing",
            version: "1.0",
            fields: "Depends: dash\n",
            description: "a thing",
            scripts: vec![("postinst", "#!/bin/sh\n")],
            tree,
        };
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(deb.file_name("amd64"));
        deb.write("amd64", &file).unwrap();
        let ask = |arguments: &[&str]| {
            String::from_utf8(tool(Command::new("dpkg-deb").args(arguments).arg(&file)).unwrap())
                .unwrap()
        };
        assert!(ask(&["--field"]).contains("Depends: dash"));
        assert_eq!(deb.conffiles().unwrap(), "/etc/thing/zk\n");
        assert!(ask(&["--contents"]).contains("-rwxr-xr-x root/root"));
    }
}
