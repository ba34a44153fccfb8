//! The package `mesos`, as mesosphere's were: both daemons in one, every file of /etc a conffile, both units enabled on install.

use super::deb::Deb;
use super::tree::Tree;
use crate::version::Version;
use std::path::Path;

/// The releases offered, oldest first: before and after 1.0, and one to upgrade to.
pub const VERSIONS: [&str; 3] = [
    "0.28.3-2.0.1.standin1",
    "1.9.0-2.0.1.standin1",
    "1.11.0-2.0.1.standin1",
];

/// The releases of the fork that are offered, as `aventer-mesos`.
pub const CLUSTERD_VERSIONS: [&str; 1] = ["1.11.0-0.10.0.standin1"];

/// Like the real ones, except that Java and -dev packages are left out: nothing here needs them and hosts are many.
const FIELDS: &str =
    "Depends: libsvn1, bsdutils\nRecommends: zookeeper, zookeeperd, zookeeper-bin\n";

/// One release.
pub fn package(program: &Path, version: &'static str) -> anyhow::Result<Deb> {
    let later = Version::parse(version).is_some_and(|version| version >= Version(1, 0, 0));
    let tree = Tree::new()?;
    let wrapper = include_str!("../../assets/mesos/mesos-init-wrapper")
        .replace("@LATER@", if later { "yes" } else { "no" });
    tree.program("usr/sbin/mesos-master", program)?
        .file("usr/bin/mesos-init-wrapper", 0o755, &wrapper)?
        .file("usr/share/standins/mesos.version", 0o644, version)?
        .file("usr/share/java/mesos-standin.jar", 0o644, "")?
        .file(
            "usr/lib/libmesos.so",
            0o644,
            "A stand-in: programs that load libmesos look for this file.\n",
        )?
        .link("usr/local/lib/libmesos.so", "../../lib/libmesos.so")?
        .file(
            "lib/systemd/system/mesos-master.service",
            0o644,
            include_str!("../../assets/mesos/mesos-master.service"),
        )?
        .file(
            "lib/systemd/system/mesos-slave.service",
            0o644,
            include_str!("../../assets/mesos/mesos-slave.service"),
        )?
        .file(
            "etc/default/mesos",
            0o644,
            "LOGS=/var/log/mesos\nULIMIT=\"-n 8192\"\n",
        )?
        .file(
            "etc/default/mesos-master",
            0o644,
            "PORT=5050\nZK=`cat /etc/mesos/zk`\n",
        )?
        .file(
            "etc/default/mesos-slave",
            0o644,
            "MASTER=`cat /etc/mesos/zk`\n",
        )?
        .file("etc/mesos/zk", 0o644, "zk://localhost:2181/mesos\n")?
        .file("etc/mesos-master/work_dir", 0o644, "/var/lib/mesos\n")?
        .file("etc/mesos-master/quorum", 0o644, "1\n")?
        .directory("etc/mesos-slave")?
        .directory("var/lib/mesos")?
        .directory("var/log/mesos")?;
    if later {
        tree.program("usr/sbin/mesos-agent", program)?
            .link("usr/sbin/mesos-slave", "mesos-agent")?
            .file("etc/mesos-slave/work_dir", 0o644, "/var/lib/mesos\n")?;
    } else {
        tree.program("usr/sbin/mesos-slave", program)?;
    }
    let scripts = vec![
        ("postinst", include_str!("../../assets/mesos/postinst")),
        ("postrm", include_str!("../../assets/mesos/postrm")),
    ];
    Ok(Deb {
        name: "mesos",
        version,
        fields: FIELDS,
        description: "Cluster resource manager with efficient resource isolation",
        scripts,
        tree,
    })
}

/// One release of ClusterD's package: programs, wrapper and units, and nothing else; whoever installs it makes the directories and
/// enables the units. Its libmesos has no Java binding, so there is none here.
pub fn clusterd_package(program: &Path, version: &'static str) -> anyhow::Result<Deb> {
    let tree = Tree::new()?;
    tree.program("usr/bin/mesos-master", program)?
        .program("usr/bin/mesos-agent", program)?
        .file(
            "usr/bin/mesos-init-wrapper",
            0o755,
            include_str!("../../assets/mesos/clusterd-init-wrapper"),
        )?
        .file(
            "usr/share/standins/mesos.version",
            0o644,
            &format!("{version}.clusterd"),
        )?
        .file(
            "lib/systemd/system/mesos-master.service",
            0o644,
            include_str!("../../assets/mesos/mesos-master.service"),
        )?
        .file(
            "lib/systemd/system/mesos-agent.service",
            0o644,
            include_str!("../../assets/mesos/mesos-agent.service"),
        )?;
    Ok(Deb {
        name: "aventer-mesos",
        version,
        fields: "Conflicts: mesos\n",
        description: "ClusterD, the fork of Apache Mesos",
        scripts: Vec::new(),
        tree,
    })
}
