//! `mini-play init`: write the bundle out, to be edited.

use super::bundle;
use anyhow::Result;
use clap::Args;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

/// Arguments of `init`.
#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Folder, made when needed; files that are there already are kept
    #[arg(default_value = ".")]
    dir: PathBuf,
}

/// Runs it.
pub(super) fn run(args: &InitArgs) -> Result<ExitCode> {
    let kept = bundle::write_to(&args.dir)?;
    let mut out = std::io::stdout().lock();
    for path in &kept {
        writeln!(out, "kept {}", path.display())?;
    }
    writeln!(
        out,
        "wrote playbooks/, roles/ and inventory.example.yaml to {}",
        args.dir.display()
    )?;
    writeln!(
        out,
        "next: copy inventory.example.yaml to inventory.yaml, name your hosts, and run `mini-play apply inventory.yaml`"
    )?;
    Ok(ExitCode::SUCCESS)
}
