//! Files of the controller to be present on the host: the step behind `copy` and `template`.

use super::attrs::{self, Attrs, Mode};
use super::probe::{FileType, PathState};
use super::write::{self, Content, Source, Write};
use super::{Args, Controller, Decision, Effect, Failure, Outcome, Plan, Probe, Seen, Step, sh};
use crate::remote::Reply;

/// One file.
#[derive(Debug, Clone)]
pub(crate) struct Put {
    /// Where to: a path, or a folder with a `/` at its end.
    pub(crate) dest: String,
    /// Name below `dest` when that is a folder; none for contents given in the playbook.
    pub(crate) name: Option<String>,
    pub(crate) content: Content,
    /// What the result calls its source.
    pub(crate) src: Option<String>,
    pub(crate) attrs: Attrs,
    /// Mode of the folders made for a `dest` that ends with `/`.
    pub(crate) directory_mode: Option<Mode>,
    pub(crate) follow: bool,
    pub(crate) force: bool,
    pub(crate) backup: bool,
    pub(crate) validate: Option<String>,
    pub(crate) unsafe_writes: bool,
    /// Whether contents are shown: only then are they fetched.
    pub(crate) diff: bool,
}

impl Put {
    /// With what `copy` and `template` have in common.
    pub(crate) fn new(
        args: &Args,
        content: Content,
        controller: &dyn Controller,
    ) -> Result<Self, Failure> {
        Ok(Self {
            dest: args.text("dest"),
            name: None,
            content,
            src: None,
            attrs: Attrs::new(args)?,
            directory_mode: None,
            follow: args.bool("follow"),
            force: args.bool("force"),
            backup: args.bool("backup"),
            validate: args.str("validate"),
            unsafe_writes: args.bool("unsafe_writes"),
            diff: controller.diff(),
        })
    }

    /// The path meant, once it is known whether `dest` is a folder.
    fn target(&self, seen: &Seen) -> Result<String, &'static str> {
        let folder = self.dest.ends_with('/')
            || seen
                .stat(&self.dest, true)
                .is_some_and(|now| now.kind == FileType::Directory);
        match (&self.name, folder) {
            (_, false) => Ok(self.dest.clone()),
            (Some(name), true) => Ok(join(&self.dest, name)),
            (None, true) => Err("can not use content with a dir as dest"),
        }
    }

    fn probes_of(&self, path: &str) -> Vec<Probe> {
        let mut probes = vec![
            Probe::Path {
                path: path.into(),
                follow: false,
            },
            Probe::Path {
                path: path.into(),
                follow: true,
            },
            Probe::Digest {
                path: path.into(),
                algorithm: "sha1",
            },
        ];
        if sh::expands(path) {
            probes.push(Probe::Expand(path.into()));
        }
        if self.diff {
            probes.push(Probe::Content {
                path: path.into(),
                limit: write::DIFF_LIMIT,
            });
        }
        probes.extend(self.attrs.probes(path));
        probes
    }

    /// The state that counts: of a link's target when it is followed.
    fn now<'a>(&self, target: &str, seen: &'a Seen) -> Option<&'a PathState> {
        seen.stat(target, self.follow)
    }

    fn same(&self, target: &str, seen: &Seen) -> bool {
        seen.digest(target, "sha1") == Some(&self.content.sha1)
    }

    fn result(
        &self,
        outcome: Outcome,
        target: &str,
        seen: &Seen,
        now: Option<&PathState>,
    ) -> Outcome {
        let dest = seen.expanded(target).to_owned();
        let outcome = outcome
            .with("dest", dest.clone())
            .with("checksum", self.content.sha1.clone());
        let outcome = if outcome.changed && !self.same(target, seen) {
            let outcome = outcome.with("md5sum", self.content.md5.clone());
            match &self.src {
                Some(src) => outcome.with("src", src.clone()),
                None => outcome,
            }
        } else {
            outcome.with("path", dest)
        };
        attrs::info(outcome, now)
    }

    /// Makes the folders of a `dest` that ends with `/`.
    fn folders(&self) -> Result<String, Failure> {
        if !self.dest.ends_with('/') {
            return Ok(String::new());
        }
        let attrs = Attrs {
            mode: self.directory_mode.clone(),
            ..self.attrs.clone()
        };
        folders(self.dest.trim_end_matches('/'), &attrs)
    }
}

impl Step for Put {
    fn probes(&self) -> Vec<Probe> {
        if self.dest.ends_with('/') {
            let name = self.name.as_deref().unwrap_or_default();
            return self.probes_of(&join(&self.dest, name));
        }
        let mut probes = self.probes_of(&self.dest);
        // `dest` may turn out to be a folder: asked in the same breath.
        if let Some(name) = &self.name {
            probes.extend(self.probes_of(&join(&self.dest, name)));
        }
        probes
    }

    fn decide(&self, seen: &Seen) -> Decision {
        let target = match self.target(seen) {
            Ok(target) => target,
            Err(msg) => return Decision::Done(Outcome::failed(msg)),
        };
        let link = seen
            .path(&target)
            .is_some_and(|now| now.kind == FileType::Link);
        let now = self.now(&target, seen);
        if now.is_some() && !self.force {
            let outcome = Outcome::ok().with("dest", seen.expanded(&self.dest));
            let outcome = attrs::info(outcome, seen.path(&target));
            return Decision::Done(match &self.src {
                Some(src) => outcome.with("src", src.clone()),
                None => outcome,
            });
        }
        // The right bytes behind a link are right: Ansible follows it then.
        if self.same(&target, seen)
            && let Some(now) = seen.stat(&target, true)
        {
            let fix = match self.attrs.differ(&target, now, seen) {
                Ok(fix) => fix,
                Err(unsettled) => return unsettled.decision(),
            };
            if fix.is_empty() {
                return Decision::Done(self.result(Outcome::ok(), &target, seen, Some(now)));
            }
            let mut script = format!("p={}\n", sh::expanding(&target, false));
            if link {
                script.push_str("p=$(readlink -f -- \"$p\")\n");
            }
            script.push_str(&fix.commands("\"$p\""));
            let predicted = attrs::diff(Outcome::changed(), &target, fix.before, fix.after);
            let predicted = self.result(predicted, &target, seen, Some(now));
            return act(script, target, predicted);
        }
        if now.is_some_and(|now| now.kind == FileType::Directory) {
            return Decision::Done(Outcome::failed(format!("{target} is a directory")));
        }
        let before = match self.folders() {
            Ok(before) => before,
            Err(failure) => return Decision::Done(failed(failure)),
        };
        let from = Source::Payload(self.content.payload.clone());
        let chunk = Write {
            follow: self.follow,
            backup: self.backup && seen.stat(&target, true).is_some(),
            validate: self.validate.as_deref(),
            unsafe_writes: self.unsafe_writes,
            before,
            ..Write::new(
                &target,
                from,
                &self.attrs,
                now.filter(|_| self.follow || !link),
            )
        }
        .chunk();
        let mut predicted = Outcome::changed();
        if self.diff {
            let old = seen.content(&target, write::DIFF_LIMIT);
            let new = self
                .content
                .text()
                .unwrap_or_else(|| "(not shown)\n".into());
            predicted = predicted.diff(&target, write::diff_text(old), new);
        }
        let predicted = self.result(predicted, &target, seen, now);
        match chunk {
            Err(failure) => Decision::Done(failed(failure)),
            Ok(chunk) => Decision::Act(Plan {
                actions: vec![chunk],
                effects: effects(&self.dest, &target),
                predicted,
                opaque: false,
            }),
        }
    }

    fn finish(&self, before: &Seen, replies: &[Reply], after: &Seen) -> Outcome {
        let target = match self.target(before) {
            Ok(target) => target,
            Err(msg) => return Outcome::failed(msg),
        };
        if let Some(outcome) = write::failure(replies, before.expanded(&target)) {
            return outcome;
        }
        let outcome = write::with_backup(Outcome::changed(), replies);
        let written = !self.same(&target, before);
        let now = after.stat(&target, self.follow || !written);
        let mut outcome = self.result(outcome, &target, before, now);
        if written {
            outcome.data.shift_remove("path");
        }
        outcome
    }
}

fn effects(dest: &str, target: &str) -> Vec<Effect> {
    let mut effects = vec![Effect::Path(target.to_owned())];
    if dest.ends_with('/') {
        effects.push(Effect::Path(dest.trim_end_matches('/').to_owned()));
    }
    effects
}

fn act(script: String, path: String, predicted: Outcome) -> Decision {
    Decision::Act(Plan {
        actions: vec![crate::remote::Chunk::new(script)],
        effects: vec![Effect::Path(path)],
        predicted,
        opaque: false,
    })
}

/// A failure of planning as an outcome.
pub(crate) fn failed(failure: Failure) -> Outcome {
    let mut outcome = Outcome::failed(failure.msg);
    outcome.data = failure.data;
    outcome
}

/// A name below a folder.
pub(crate) fn join(folder: &str, name: &str) -> String {
    format!("{}/{name}", folder.trim_end_matches('/'))
}

/// Shell that makes a folder and those above it, giving what is asked for to each one made.
pub(crate) fn folders(path: &str, attrs: &Attrs) -> Result<String, Failure> {
    let fix = attrs
        .commands("\"$c\"", attrs::NEW_DIRECTORY, true)
        .map_err(|why| Failure::of("mode", why))?;
    Ok(format!(
        "p={}\ncase $p in /*) c= ;; *) c=. ;; esac\nr=${{p#/}}/\n\
         while [ \"$r\" ]; do\nc=$c/${{r%%/*}}\nr=${{r#*/}}\n[ -d \"$c\" ] && continue\n\
         mkdir -- \"$c\" || exit\n{fix}done\n",
        sh::expanding(path, false)
    ))
}
