//! Building what the roles install: real packages, a signed apt repository, tarballs, and the variables that point at them.

mod bamboo;
mod deb;
mod marathon;
mod mesos;
mod program;
mod repository;
mod tree;
mod vars;

use anyhow::Context;
use repository::Repository;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};

/// What is built, below one directory.
pub struct Shop {
    /// What is served.
    pub www: PathBuf,
    /// Ansible variables for a run that uses it.
    pub vars: PathBuf,
}

/// An archive as a role wants it: a path below `www` and the sum to check.
pub struct Archive {
    /// File name.
    pub name: String,
    /// Its sha256 sum in hex.
    pub sha256: String,
}

/// Builds everything below `directory`, to be reached as `url`. What the same program built before is kept.
pub fn build(directory: &Path, url: &str) -> anyhow::Result<Shop> {
    let program = program::own()?;
    let shop = Shop {
        www: directory.join("www"),
        vars: directory.join("vars.yaml"),
    };
    let stamp = format!("{} {url}\n", sha256(&program)?);
    let stamp_file = directory.join("stamp");
    if fs::read_to_string(&stamp_file).is_ok_and(|known| known == stamp) && shop.vars.exists() {
        return Ok(shop);
    }
    if shop.www.exists() {
        fs::remove_file(&stamp_file).or_else(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                Ok(())
            } else {
                Err(error)
            }
        })?;
        fs::remove_dir_all(&shop.www)?;
    }
    fs::create_dir_all(&shop.www)?;
    let mut repository = Repository::new(directory, &shop.www)?;
    for version in mesos::VERSIONS {
        repository.add(&mesos::package(&program, version)?)?;
    }
    for version in mesos::CLUSTERD_VERSIONS {
        repository.add(&mesos::clusterd_package(&program, version)?)?;
    }
    for version in marathon::VERSIONS {
        repository.add(&marathon::package(&program, version)?)?;
    }
    let key = repository.finish()?;
    let marathon = marathon::archive(&program, &shop.www)?;
    let bamboo = bamboo::archive(&program, &shop.www)?;
    let vars = vars::render(&vars::Offer {
        url,
        repository: &repository,
        key: &key,
        marathon: &marathon,
        bamboo: &bamboo,
    });
    fs::write(&shop.vars, &vars)?;
    fs::write(shop.www.join("vars.yaml"), vars)?;
    fs::write(&stamp_file, stamp)
        .with_context(|| format!("cannot write {}", stamp_file.display()))?;
    Ok(shop)
}

/// The sum of a file, in hex.
fn sha256(file: &Path) -> anyhow::Result<String> {
    let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    Ok(hex(&Sha256::digest(content)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs a tool that must succeed.
fn tool(command: &mut std::process::Command) -> anyhow::Result<Vec<u8>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot run {name}"))?;
    if !output.status.success() {
        anyhow::bail!(
            "{name} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}
