//! `mini-play doc`: what a module does and takes, from the table of modules.

use crate::diag::Diagnostic;
use crate::modules::{self, Spec};
use anyhow::Result;
use clap::Args;
use std::io::Write;
use std::process::ExitCode;

/// Arguments of `doc`.
#[derive(Debug, Args)]
pub(super) struct DocArgs {
    /// Module; without it all are listed
    module: Option<String>,
    /// Print what of Ansible is supported, what differs and what is refused, as Markdown (docs/compatibility.md)
    #[arg(long, conflicts_with = "module")]
    compatibility: bool,
}

/// Runs it.
pub(super) fn run(args: &DocArgs) -> Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    match &args.module {
        None if args.compatibility => write!(out, "{}", super::compatibility::page())?,
        None => {
            let mut specs: Vec<&Spec> = modules::specs().collect();
            specs.sort_by_key(|spec| spec.name);
            for spec in specs {
                writeln!(out, "{:<22} {}", spec.name, spec.doc)?;
            }
        }
        Some(name) => {
            let Some(spec) = modules::spec_of(name) else {
                let names = modules::specs().map(|spec| spec.name);
                let error = Diagnostic::plain(format!("there is no module `{name}`"))
                    .did_you_mean(name, names);
                return Err(error.into());
            };
            show(&mut out, spec)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(out: &mut impl Write, spec: &Spec) -> std::io::Result<()> {
    writeln!(out, "{}.{}: {}", spec.collection, spec.name, spec.doc)?;
    if !spec.aliases.is_empty() {
        writeln!(out, "also: {}", spec.aliases.join(", "))?;
    }
    for param in spec
        .params
        .iter()
        .filter(|param| !param.name.starts_with('_'))
    {
        let mut facts = vec![format!("{:?}", param.ty).to_lowercase()];
        if param.required {
            facts.push("required".into());
        }
        if let Some(default) = param.default {
            facts.push(format!("default {default}"));
        }
        if !param.choices.is_empty() {
            facts.push(format!("one of {}", param.choices.join(", ")));
        }
        if !param.aliases.is_empty() {
            facts.push(format!("also {}", param.aliases.join(", ")));
        }
        if param.unsupported {
            facts.push("not supported".into());
        }
        writeln!(
            out,
            "\n  {} ({})\n      {}",
            param.name,
            facts.join("; "),
            param.doc
        )?;
    }
    Ok(())
}
