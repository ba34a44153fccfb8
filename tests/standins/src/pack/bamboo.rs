//! Bamboo's archive: one folder with the program, its example configuration, its template and its pages.

use super::tree::Tree;
use super::{Archive, sha256};
use std::path::Path;

/// The release that is played.
pub const VERSION: &str = "0.3.1";

/// Writes `bamboo-VERSION.tar.gz`.
pub fn archive(program: &Path, www: &Path) -> anyhow::Result<Archive> {
    let folder = format!("bamboo-{VERSION}");
    let inside = |path: &str| format!("{folder}/{path}");
    let tree = Tree::new()?;
    tree.program(&inside("bamboo"), program)?
        .file(&inside("VERSION"), 0o644, &format!("{VERSION}\n"))?
        .file(
            &inside("config/production.example.json"),
            0o644,
            include_str!("../../assets/bamboo/production.example.json"),
        )?
        .file(
            &inside("config/haproxy_template.cfg"),
            0o644,
            include_str!("../../assets/bamboo/haproxy_template.cfg"),
        )?
        .file(
            &inside("webapp/index.html"),
            0o644,
            include_str!("../../assets/bamboo/index.html"),
        )?;
    let name = format!("{folder}.tar.gz");
    tree.tarball(&www.join(&name))?;
    let sha256 = sha256(&www.join(&name))?;
    Ok(Archive { name, sha256 })
}
