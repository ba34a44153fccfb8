//! The package `marathon` in its two shapes, and the archive of the later one.

use super::deb::Deb;
use super::tree::Tree;
use super::{Archive, sha256};
use crate::version::Version;
use std::path::Path;

/// The releases offered, oldest first: one of each shape, and one to upgrade to.
pub const VERSIONS: [&str; 3] = [
    "1.1.5-1.0.501.standin1",
    "1.6.352-0.1.20180412.standin1",
    "1.8.222-0.1.20190826.standin1",
];

/// The release that is offered as an archive.
const ARCHIVE: (&str, &str) = ("1.8.222", "86475ddac");

const FIELDS: &str = "Depends: java8-runtime-headless | java-runtime-headless, bsdutils, passwd\n";

/// One release.
pub fn package(program: &Path, version: &'static str) -> anyhow::Result<Deb> {
    let number = Version::parse(version).unwrap_or(Version(0, 0, 0));
    let tree = Tree::new()?;
    tree.file("usr/share/standins/marathon.version", 0o644, version)?;
    let prerm = ("prerm", include_str!("../../assets/marathon/prerm"));
    let scripts = if number < Version(1, 5, 0) {
        // No /etc/marathon/conf: whoever wants it makes it.
        tree.program("usr/libexec/marathon-standin/java", program)?
            .file(
                "usr/bin/marathon",
                0o755,
                include_str!("../../assets/marathon/marathon-old"),
            )?
            .file(
                "etc/init/marathon.conf",
                0o644,
                include_str!("../../assets/marathon/marathon-old.upstart"),
            )?
            .file(
                "lib/systemd/system/marathon.service",
                0o644,
                include_str!("../../assets/marathon/marathon-old.service"),
            )?;
        vec![
            (
                "postinst",
                include_str!("../../assets/marathon/postinst-old"),
            ),
            prerm,
        ]
    } else {
        home(&tree, "usr/share/marathon", program, &number.to_string())?;
        tree.file(
            "etc/default/marathon",
            0o644,
            include_str!("../../assets/marathon/marathon-new.default"),
        )?
        .file(
            "lib/systemd/system/marathon.service",
            0o644,
            include_str!("../../assets/marathon/marathon-new.service"),
        )?;
        vec![
            ("preinst", include_str!("../../assets/marathon/preinst-new")),
            (
                "postinst",
                include_str!("../../assets/marathon/postinst-new"),
            ),
            prerm,
        ]
    };
    Ok(Deb {
        name: "marathon",
        version,
        fields: FIELDS,
        description: "Cluster-wide init and control system for services",
        scripts,
        tree,
    })
}

/// The tarball that downloads.mesosphere.io had: one folder with `bin/marathon` in it.
pub fn archive(program: &Path, www: &Path) -> anyhow::Result<Archive> {
    let (version, commit) = ARCHIVE;
    let folder = format!("marathon-{version}-{commit}");
    let tree = Tree::new()?;
    home(&tree, &folder, program, version)?;
    tree.file(
        &format!("{folder}/share/standins/marathon.version"),
        0o644,
        version,
    )?;
    let name = format!("{folder}.tgz");
    tree.tarball(&www.join(&name))?;
    let sha256 = sha256(&www.join(&name))?;
    std::fs::write(
        www.join(format!("{name}.sha256")),
        format!("{sha256}  {name}\n"),
    )?;
    Ok(Archive { name, sha256 })
}

fn home(tree: &Tree, home: &str, program: &Path, version: &str) -> anyhow::Result<()> {
    let script = include_str!("../../assets/marathon/marathon-new").replace("@VERSION@", version);
    tree.program(&format!("{home}/libexec/java"), program)?
        .file(&format!("{home}/bin/marathon"), 0o755, &script)?
        .file(
            &format!("{home}/lib/mesosphere.marathon.marathon-{version}.jar"),
            0o644,
            "",
        )?;
    Ok(())
}
