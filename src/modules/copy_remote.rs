//! `copy` with `remote_src`: from one place of the host to another.

use super::attrs::{self, Attrs, Mode};
use super::probe::{FileType, PathState};
use super::put::{self, join};
use super::write::{self, Source, Write};
use super::{Args, Decision, Effect, Failure, Outcome, Plan, Probe, Seen, Step, sh};
use crate::remote::{Chunk, Reply};

/// A file or folder of the host to be present in another place.
pub(crate) struct RemoteCopy {
    src: String,
    dest: String,
    attrs: Attrs,
    /// `mode: preserve`.
    preserve: bool,
    directory_mode: Option<Mode>,
    checksum: Option<String>,
    follow: bool,
    local_follow: bool,
    force: bool,
    backup: bool,
    validate: Option<String>,
    unsafe_writes: bool,
}

impl RemoteCopy {
    pub(crate) fn new(
        src: String,
        args: &Args,
        directory_mode: Option<Mode>,
    ) -> Result<Self, Failure> {
        Ok(Self {
            src,
            dest: args.text("dest"),
            attrs: Attrs::new(args)?,
            preserve: args.str("mode").as_deref() == Some("preserve"),
            directory_mode,
            checksum: args.str("checksum"),
            follow: args.bool("follow"),
            local_follow: args.bool("local_follow"),
            force: args.bool("force"),
            backup: args.bool("backup"),
            validate: args.str("validate"),
            unsafe_writes: args.bool("unsafe_writes"),
        })
    }

    fn name(&self) -> &str {
        self.src
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default()
    }

    fn below(&self) -> String {
        join(&self.dest, self.name())
    }

    fn is_dir(seen: &Seen, path: &str) -> bool {
        seen.stat(path, true)
            .is_some_and(|now| now.kind == FileType::Directory)
    }

    /// Where to.
    fn target(&self, seen: &Seen) -> String {
        let inside_only = self.src.ends_with('/') && Self::is_dir(seen, &self.src);
        let folder = self.dest.ends_with('/')
            || Self::is_dir(seen, &self.dest)
            || Self::is_dir(seen, &self.src);
        if folder && !inside_only {
            self.below()
        } else {
            self.dest.clone()
        }
    }

    fn attrs(&self, from: &PathState) -> Attrs {
        let mut attrs = self.attrs.clone();
        if self.preserve {
            attrs.mode = Some(Mode::Bits(from.mode));
        }
        attrs
    }

    /// Lists what differs below two folders: one line for each thing that would be copied or given away.
    fn comparison(&self, target: &str) -> String {
        let (src, dest) = (
            sh::expanding(&self.src, false),
            sh::expanding(target, false),
        );
        let follow = if self.local_follow { "-L" } else { "-P" };
        let owner = self
            .attrs
            .owner
            .as_ref()
            .map(|owner| format!("! -user {}", sh::quote(owner)));
        let group = self
            .attrs
            .group
            .as_ref()
            .map(|group| format!("! -group {}", sh::quote(group)));
        let mut text = format!(
            "s={src} d={dest}\n[ -d \"$s\" ] || exit 0\n[ -d \"$d\" ] || {{ echo new; exit; }}\n\
             d=$(cd -- \"$d\" && pwd) && cd -- \"$s\" || exit\n\
             find {follow} . -type f -exec sh -c 'd=$1; shift; for f; do cmp -s -- \"$f\" \"$d/$f\" || echo \"$f\"; done' sh \"$d\" {{}} +\n\
             find {follow} . ! -type f -exec sh -c 'd=$1; shift; for f; do [ -e \"$d/$f\" ] || [ -L \"$d/$f\" ] || echo \"$f\"; done' sh \"$d\" {{}} +\n"
        );
        for test in owner.into_iter().chain(group) {
            text.push_str(&format!("find \"$d\" {test}\n"));
        }
        text
    }

    fn folder(&self, seen: &Seen, target: &str) -> Decision {
        let script = self.comparison(target);
        let Some((rc, out)) = sh::answer(seen, &script) else {
            return Decision::Look(vec![Probe::Script(script)]);
        };
        if rc != 0 {
            return Decision::Done(Outcome::failed(format!(
                "{} cannot be compared with {target}",
                self.src
            )));
        }
        let mut fix = String::new();
        if let Some(now) = seen.stat(target, true) {
            match self.attrs.differ(target, now, seen) {
                Ok(found) => fix = found.commands("\"$d\""),
                Err(unsettled) => return unsettled.decision(),
            }
        } else if let Ok(all) = self.attrs.commands("\"$d\"", attrs::NEW_DIRECTORY, true) {
            fix = all;
        }
        if out.is_empty() && fix.is_empty() {
            return Decision::Done(self.result(Outcome::ok(), seen, target, None));
        }
        let links = if self.local_follow { "-L" } else { "-P" };
        let owner = Attrs {
            mode: None,
            attributes: None,
            ..self.attrs.clone()
        };
        let owner = owner
            .commands("\"$d\"", 0, true)
            .unwrap_or_default()
            .replace("chown -h ", "chown -hR ");
        let script = format!(
            "s={} d={}\nmkdir -p -- \"$d\" || exit\ncp -R -p {links} -- \"$s/.\" \"$d/\" || exit\n{owner}{fix}",
            sh::expanding(&self.src, false),
            sh::expanding(target, false)
        );
        Decision::Act(Plan {
            actions: vec![Chunk::plain(script)],
            effects: vec![Effect::Path(target.to_owned())],
            predicted: self.result(Outcome::changed(), seen, target, None),
            opaque: false,
        })
    }

    fn result(
        &self,
        outcome: Outcome,
        seen: &Seen,
        target: &str,
        now: Option<&PathState>,
    ) -> Outcome {
        let mut outcome = outcome
            .with("dest", seen.expanded(target))
            .with("src", seen.expanded(&self.src));
        for (name, algorithm) in [("md5sum", "md5"), ("checksum", "sha1")] {
            let digest = seen.digest(&self.src, algorithm).map(str::to_owned);
            outcome = outcome.with(name, digest);
        }
        attrs::info(outcome, now.or_else(|| seen.path(target)))
    }
}

impl Step for RemoteCopy {
    fn probes(&self) -> Vec<Probe> {
        let mut probes = vec![
            Probe::Path {
                path: self.src.clone(),
                follow: true,
            },
            Probe::Digest {
                path: self.src.clone(),
                algorithm: "sha1",
            },
            Probe::Digest {
                path: self.src.clone(),
                algorithm: "md5",
            },
        ];
        for path in [self.dest.clone(), self.below()] {
            probes.extend([
                Probe::Path {
                    path: path.clone(),
                    follow: false,
                },
                Probe::Path {
                    path: path.clone(),
                    follow: true,
                },
                Probe::Digest {
                    path: path.clone(),
                    algorithm: "sha1",
                },
            ]);
            probes.extend(self.attrs.probes(&path));
            if sh::expands(&path) {
                probes.push(Probe::Expand(path));
            }
        }
        if sh::expands(&self.src) {
            probes.push(Probe::Expand(self.src.clone()));
        }
        probes
    }

    fn decide(&self, seen: &Seen) -> Decision {
        let Some(from) = seen.stat(&self.src, true) else {
            return Decision::Done(Outcome::failed(format!(
                "Source {} not found",
                seen.expanded(&self.src)
            )));
        };
        let target = self.target(seen);
        if from.kind == FileType::Directory {
            return self.folder(seen, &target);
        }
        let Some(digest) = seen.digest(&self.src, "sha1") else {
            return Decision::Done(Outcome::failed(format!(
                "Source {} not readable",
                seen.expanded(&self.src)
            )));
        };
        if let Some(expected) = &self.checksum
            && expected != digest
        {
            return Decision::Done(
                Outcome::failed(
                    "Copied file does not match the expected checksum. Transfer failed.",
                )
                .with("checksum", digest)
                .with("expected_checksum", expected.clone()),
            );
        }
        let link = seen
            .path(&target)
            .is_some_and(|now| now.kind == FileType::Link);
        let now = seen.stat(&target, true);
        if now.is_some() && !self.force {
            let outcome = self.result(Outcome::ok(), seen, &target, None);
            return Decision::Done(outcome.msg("file already exists"));
        }
        let attrs = self.attrs(from);
        if seen.digest(&target, "sha1") == Some(digest)
            && (!link || self.follow)
            && let Some(now) = now
        {
            let fix = match attrs.differ(&target, now, seen) {
                Ok(fix) => fix,
                Err(unsettled) => return unsettled.decision(),
            };
            if fix.is_empty() {
                return Decision::Done(self.result(Outcome::ok(), seen, &target, None));
            }
            let word = if link {
                "\"$(readlink -f -- \"$p\")\""
            } else {
                "\"$p\""
            };
            let script = format!(
                "p={}\n{}",
                sh::expanding(&target, false),
                fix.commands(word)
            );
            let predicted = attrs::diff(Outcome::changed(), &target, fix.before, fix.after);
            return Decision::Act(Plan {
                actions: vec![Chunk::plain(script)],
                effects: vec![Effect::Path(target.clone())],
                predicted: self.result(predicted, seen, &target, None),
                opaque: false,
            });
        }
        let mut before = String::new();
        if let Some((folder, _)) = target.rsplit_once('/')
            && self.dest.ends_with('/')
            && !folder.is_empty()
        {
            let attrs = Attrs {
                mode: self.directory_mode.clone(),
                ..self.attrs.clone()
            };
            match put::folders(folder, &attrs) {
                Ok(script) => before = script,
                Err(failure) => return Decision::Done(put::failed(failure)),
            }
        }
        // Like Ansible the new file has the source's mode and times.
        let cp = format!(
            "cp -f -- {0} \"$t\" && chmod {1:04o} \"$t\" && touch -r {0} -- \"$t\"",
            sh::expanding(&self.src, false),
            from.mode
        );
        let chunk = Write {
            follow: self.follow,
            keep: false,
            base: from.mode,
            backup: self.backup && now.is_some(),
            validate: self.validate.as_deref(),
            unsafe_writes: self.unsafe_writes,
            before,
            ..Write::new(&target, Source::Command(cp), &attrs, now)
        }
        .chunk();
        match chunk {
            Err(failure) => Decision::Done(put::failed(failure)),
            Ok(chunk) => Decision::Act(Plan {
                actions: vec![chunk],
                effects: vec![
                    Effect::Path(target.clone()),
                    Effect::Path(self.dest.trim_end_matches('/').to_owned()),
                ],
                predicted: self.result(Outcome::changed(), seen, &target, None),
                opaque: false,
            }),
        }
    }

    fn finish(&self, before: &Seen, replies: &[Reply], after: &Seen) -> Outcome {
        let target = self.target(before);
        if let Some(outcome) = write::failure(replies, before.expanded(&target)) {
            return outcome;
        }
        let outcome = write::with_backup(Outcome::changed(), replies);
        self.result(outcome, before, &target, after.path(&target))
    }
}
