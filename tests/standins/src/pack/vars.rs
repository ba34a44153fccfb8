//! Variables for the bundled roles: everything that makes a run use the stand-ins. Give them to a run with `-e @vars.yaml`.

use super::repository::{COMPONENT, Key, Repository, SUITE};
use super::{Archive, bamboo, marathon, mesos};

/// What is offered, and where.
pub struct Offer<'a> {
    /// The server.
    pub url: &'a str,
    /// The apt repository.
    pub repository: &'a Repository,
    /// Its key.
    pub key: &'a Key,
    /// Marathon's archive.
    pub marathon: &'a Archive,
    /// Bamboo's archive.
    pub bamboo: &'a Archive,
}

/// The file's text. Values are plain words and URLs, so quotes suffice.
pub fn render(offer: &Offer) -> String {
    let Offer {
        url,
        repository,
        key,
        marathon: archive,
        bamboo: tarball,
    } = offer;
    let list = |versions: &[&str]| {
        versions
            .iter()
            .map(|version| format!("\"{version}\""))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let newest = mesos::VERSIONS[mesos::VERSIONS.len() - 1];
    let mut lines = vec![
        "---".to_owned(),
        "# Stand-ins for packages that tests cannot have. Written by `standins serve`.".to_owned(),
        "mesos_package: mesos".to_owned(),
        format!("mesos_repo_url: \"{url}/apt\""),
        format!("mesos_repo_suite: {SUITE}"),
        format!("mesos_repo_components: {COMPONENT}"),
        format!("mesos_repo_key_url: \"{url}/{}\"", key.name),
        format!("mesos_repo_key_checksum: \"sha256:{}\"", key.sha256),
        format!("bamboo_version: \"{}\"", bamboo::VERSION),
        format!("bamboo_archive_url: \"{url}/{}\"", tarball.name),
        format!("bamboo_archive_checksum: \"sha256:{}\"", tarball.sha256),
        "bamboo_archive_strip: 1".to_owned(),
        String::new(),
        "# For tests of upgrades, of the older shapes, and of sources without a repository."
            .to_owned(),
        format!("standins_url: \"{url}\""),
        format!("standins_key_fingerprint: {}", key.fingerprint),
        format!("standins_mesos_versions: [{}]", list(&mesos::VERSIONS)),
        format!(
            "standins_clusterd_versions: [{}]",
            list(&mesos::CLUSTERD_VERSIONS)
        ),
        format!(
            "standins_marathon_versions: [{}]",
            list(&marathon::VERSIONS)
        ),
        format!(
            "standins_mesos_deb_url: \"{url}/{}\"",
            repository.path_of("mesos", newest)
        ),
    ];
    if let Ok(sum) = repository.sum_of("mesos", newest) {
        lines.push(format!("standins_mesos_deb_checksum: \"sha256:{sum}\""));
    }
    lines.push(format!(
        "standins_marathon_archive_url: \"{url}/{}\"",
        archive.name
    ));
    lines.push(format!(
        "standins_marathon_archive_checksum: \"sha256:{}\"",
        archive.sha256
    ));
    lines.push(String::new());
    lines.join("\n")
}
