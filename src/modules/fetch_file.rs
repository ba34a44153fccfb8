//! `fetch`: a file of the host to the controller.

use super::slurp;
use super::write::hex;
use super::{
    Args, Controller, Decision, Effect, Failure, FreeForm, Module, Outcome, Param, Plan, Probe,
    Runs, Seen, Spec, Step, Type,
};
use crate::remote::Reply;
use md5::Digest as _;
use std::path::{Component, Path, PathBuf};

/// See the module's own documentation.
pub(crate) struct Fetch;

static SPEC: Spec = Spec {
    name: "fetch",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Copy a file from the host to the controller",
    params: &[
        Param::new("src", Type::Path, "the file on the host").required(),
        Param::new(
            "dest",
            Type::Path,
            "folder of the controller; below it one for each host",
        )
        .required(),
        Param::new(
            "flat",
            Type::Bool,
            "`dest` is the file itself, or its folder with `/` at the end",
        )
        .default("false"),
        Param::new(
            "fail_on_missing",
            Type::Bool,
            "fail when there is no such file",
        )
        .default("true"),
        Param::new(
            "validate_checksum",
            Type::Bool,
            "ignored: what arrives is what was read",
        )
        .default("true"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Fetch {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn only_looks(&self) -> bool {
        true
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let src = args.text("src");
        let base = super::args::text(&controller.variable("playbook_dir"));
        let host = super::args::text(&controller.variable("inventory_hostname"));
        let given = args.text("dest");
        let dest = Path::new(&base).join(home(&given));
        let flat = args.bool("flat");
        if flat && dest.is_dir() && !given.ends_with('/') {
            return Err(Failure::of(
                "dest",
                "dest is an existing directory, use a trailing slash if you want to fetch src into that directory",
            ));
        }
        let name = src.rsplit('/').next().unwrap_or_default();
        let path = match (flat, given.ends_with('/')) {
            (true, false) => dest.clone(),
            (true, true) => dest.join(name),
            (false, _) => dest.join(host).join(src.trim_start_matches(['/', '~'])),
        };
        let path = tidy(&path);
        if !flat && !path.starts_with(tidy(&dest)) {
            return Err(Failure::of(
                "src",
                format!(
                    "Detected directory traversal, expected to be contained in '{}' but got '{}'",
                    dest.display(),
                    path.display()
                ),
            ));
        }
        Ok(Box::new(FetchStep {
            src,
            old: std::fs::read(&path)
                .ok()
                .map(|bytes| hex(&sha1::Sha1::digest(&bytes))),
            path,
            fail_on_missing: args.bool("fail_on_missing"),
            check: controller.check_mode(),
        }))
    }
}

/// A leading `~` of the controller.
fn home(path: &str) -> PathBuf {
    match (path.strip_prefix('~'), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
            Path::new(&home).join(rest.trim_start_matches('/'))
        }
        _ => PathBuf::from(path),
    }
}

/// A path without `.` and `..`.
fn tidy(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop();
            }
            part => out.push(part),
        }
    }
    out
}

struct FetchStep {
    src: String,
    path: PathBuf,
    /// Digest of what the controller has.
    old: Option<String>,
    fail_on_missing: bool,
    check: bool,
}

impl FetchStep {
    fn told(&self, outcome: Outcome, bytes: &[u8]) -> Outcome {
        let (sha1, md5) = (
            hex(&sha1::Sha1::digest(bytes)),
            hex(&md5::Md5::digest(bytes)),
        );
        let outcome = outcome
            .with("dest", self.path.to_string_lossy().into_owned())
            .with("checksum", sha1.clone())
            .with("md5sum", md5);
        if outcome.changed {
            outcome
                .with("remote_checksum", sha1)
                .with("remote_md5sum", ())
        } else {
            outcome.with("file", self.src.clone())
        }
    }

    /// Writes what was read to the controller, beside its place first.
    fn save(&self, bytes: &[u8]) -> std::io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        std::io::Write::write_all(&mut file, bytes)?;
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(mode)?;
        file.persist(&self.path).map_err(|why| why.error)?;
        Ok(())
    }
}

impl Step for FetchStep {
    fn probes(&self) -> Vec<Probe> {
        slurp::probes(&self.src)
    }

    fn decide(&self, seen: &Seen) -> Decision {
        if self.check {
            let outcome = Outcome {
                skipped: true,
                ..Outcome::ok()
            };
            return Decision::Done(outcome.msg("check mode not (yet) supported for this module"));
        }
        let bytes = match slurp::contents(&self.src, seen) {
            Ok(bytes) => bytes,
            Err(why) => {
                let msg = if why.starts_with("file not found") {
                    "the remote file does not exist, not transferring, ignored".to_owned()
                } else if why.starts_with("source is a directory") {
                    "remote file is a directory, fetch cannot work on directories".to_owned()
                } else {
                    why
                };
                let outcome = Outcome {
                    failed: self.fail_on_missing,
                    ..Outcome::ok()
                };
                return Decision::Done(outcome.msg(msg).with("file", self.src.clone()));
            }
        };
        let sha1 = hex(&sha1::Sha1::digest(bytes));
        if self.old.as_ref() == Some(&sha1) {
            return Decision::Done(self.told(Outcome::ok(), bytes));
        }
        Decision::Act(Plan {
            actions: Vec::new(),
            effects: vec![Effect::Nothing],
            predicted: self.told(Outcome::changed(), bytes),
            opaque: false,
        })
    }

    fn finish(&self, before: &Seen, _: &[Reply], _: &Seen) -> Outcome {
        match slurp::contents(&self.src, before) {
            Err(why) => Outcome::failed(why),
            Ok(bytes) => match self.save(bytes) {
                Ok(()) => self.told(Outcome::changed(), bytes),
                Err(why) => Outcome::failed(format!(
                    "Failed to fetch the file: {}: {why}",
                    self.path.display()
                )),
            },
        }
    }
}
