//! `mini-play lint`: what a playbook uses that Ansible has and mini-play does not.

use super::common::Diagnostics;
use super::exit;
use super::vault::VaultArgs;
use crate::diag::Level;
use crate::playbook::{self, LoadOptions};
use anyhow::Result;
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Arguments of `lint`.
#[derive(Debug, Args)]
pub(super) struct LintArgs {
    /// Playbooks
    #[arg(required = true, value_name = "PLAYBOOK")]
    playbooks: Vec<PathBuf>,
    /// Extra variables, for the names of static imports: k=v, JSON, YAML or @FILE
    #[arg(short, long, value_name = "VARS")]
    extra_vars: Vec<String>,
    /// More folders of roles
    #[arg(long, value_name = "DIR")]
    roles_path: Vec<PathBuf>,
    /// More folders of collections: `DIR/ansible_collections/NAMESPACE/NAME/roles/ROLE`
    #[arg(long, value_name = "DIR")]
    collections_path: Vec<PathBuf>,
    #[command(flatten)]
    vault: VaultArgs,
}

/// Runs it.
pub(super) fn run(args: &LintArgs) -> Result<ExitCode> {
    let vault = args.vault.open()?;
    let mut extra = playbook::ast::VarMap::new();
    for text in &args.extra_vars {
        extra.extend(crate::yaml::extra_vars(text, &vault)?);
    }
    let mut lacking = 0;
    for path in &args.playbooks {
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut roles_path = vec![dir.join("roles"), dir.join("../roles"), "roles".into()];
        roles_path.extend_from_slice(&args.roles_path);
        let options = LoadOptions {
            roles_path,
            collections_path: args.collections_path.clone(),
            extra: extra.clone(),
            vault: vault.clone(),
            lint: true,
        };
        let playbook = playbook::load(path, &options).map_err(Diagnostics)?;
        for found in playbook.unsupported.iter().chain(&playbook.notes) {
            let text = found.render(super::common::color());
            println!("{}\n", crate::secrets::mask(&text));
        }
        let errors = playbook
            .unsupported
            .iter()
            .filter(|d| d.level == Level::Error);
        let count = errors.count();
        println!(
            "{}: {}",
            path.display(),
            match count {
                0 => "everything it uses is supported".to_owned(),
                1 => "1 thing is not supported; it fails when a host comes to it".to_owned(),
                n => format!("{n} things are not supported; each fails when a host comes to it"),
            }
        );
        lacking += count;
    }
    Ok(ExitCode::from(if lacking == 0 {
        exit::OK
    } else {
        exit::BAD_INPUT
    }))
}
