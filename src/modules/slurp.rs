//! `slurp`: a file's bytes as base64.

use super::probe::FileType;
use super::{
    Args, Controller, Decision, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Seen, Spec,
    Step, Type, sh,
};
use crate::remote::Reply;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// See the module's own documentation.
pub(crate) struct Slurp;

/// Larger files are refused.
pub(crate) const LIMIT: u64 = 64 << 20;

static SPEC: Spec = Spec {
    name: "slurp",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Fetch a file's contents as base64",
    params: &[Param::new("src", Type::Path, "the file")
        .required()
        .aliases(&["path"])],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Slurp {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn only_looks(&self) -> bool {
        true
    }

    fn plan(&self, args: &Args, _: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        Ok(Box::new(SlurpStep {
            src: args.text("src"),
        }))
    }
}

struct SlurpStep {
    src: String,
}

/// The probes for a file's whole contents.
pub(crate) fn probes(src: &str) -> Vec<Probe> {
    let mut probes = vec![
        Probe::Path {
            path: src.into(),
            follow: true,
        },
        Probe::Content {
            path: src.into(),
            limit: LIMIT,
        },
    ];
    if let Some(folder) = folder(src) {
        probes.push(Probe::Path {
            path: folder.into(),
            follow: true,
        });
    }
    if sh::expands(src) {
        probes.push(Probe::Expand(src.into()));
    }
    probes
}

/// The folder of a path.
fn folder(src: &str) -> Option<&str> {
    let (folder, _) = src.trim_end_matches('/').rsplit_once('/')?;
    (!folder.is_empty()).then_some(folder)
}

/// A file's whole contents, or why not, in Ansible's words.
pub(crate) fn contents<'a>(src: &str, seen: &'a Seen) -> Result<&'a [u8], String> {
    let path = seen.expanded(src);
    let denied = probes(src)
        .iter()
        .any(|probe| seen.unknown(probe).is_some());
    match seen.stat(src, true) {
        _ if denied => Err(format!("file is not readable: {path}")),
        None if folder(src)
            .and_then(|folder| seen.stat(folder, true))
            .is_some_and(|now| now.kind != FileType::Directory) =>
        {
            Err(format!(
                "unable to slurp file: [Errno 20] Not a directory: '{path}'"
            ))
        }
        None => Err(format!("file not found: {path}")),
        Some(now) if now.kind == FileType::Directory => {
            Err(format!("source is a directory and must be a file: {path}"))
        }
        Some(_) => seen.content(src, LIMIT).ok_or_else(|| {
            format!(
                "{path} is no regular file, or larger than {} MiB",
                LIMIT >> 20
            )
        }),
    }
}

impl Step for SlurpStep {
    fn probes(&self) -> Vec<Probe> {
        probes(&self.src)
    }

    fn decide(&self, seen: &Seen) -> Decision {
        Decision::Done(match contents(&self.src, seen) {
            Ok(bytes) => Outcome::ok()
                .with("content", STANDARD.encode(bytes))
                .with("source", seen.expanded(&self.src))
                .with("encoding", "base64"),
            Err(why) => Outcome::failed(why),
        })
    }

    fn finish(&self, _: &Seen, _: &[Reply], _: &Seen) -> Outcome {
        Outcome::ok()
    }
}
