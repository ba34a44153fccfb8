//! `file`: type, owner, mode and times of a path.

mod links;
mod recurse;
mod times;

use super::attrs::{self, Attrs, Fix, Unsettled, file_params};
use super::probe::{FileType, PathState};
use super::put::{failed, folders};
use super::{
    Args, Controller, Decision, Effect, Failure, FreeForm, Module, Outcome, Param, Plan, Probe,
    Runs, Seen, Spec, Step, Type, sh,
};
use crate::remote::{Chunk, Reply};
use serde_json::json;
use times::Times;

pub(crate) use recurse::combination;

/// See the module's own documentation.
pub(crate) struct File;

static SPEC: Spec = Spec {
    name: "file",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Set type, owner, mode and times of a path",
    params: file_params![
        Param::new("path", Type::Path, "the path")
            .required()
            .aliases(&["dest", "name"]),
        Param::new("state", Type::Str, "what it shall be").choices(&[
            "absent",
            "directory",
            "file",
            "hard",
            "link",
            "touch"
        ]),
        Param::new("src", Type::Path, "what a link points to"),
        Param::new(
            "recurse",
            Type::Bool,
            "set owner and mode of everything below a folder"
        )
        .default("false"),
        Param::new(
            "force",
            Type::Bool,
            "make links to what is not there, or in place of files"
        )
        .default("false"),
        Param::new("follow", Type::Bool, "act on what a link points to").default("true"),
        Param::new(
            "modification_time",
            Type::Str,
            "`preserve`, `now` or a time"
        ),
        Param::new(
            "modification_time_format",
            Type::Str,
            "how `modification_time` is written"
        )
        .default("%Y%m%d%H%M.%S"),
        Param::new("access_time", Type::Str, "`preserve`, `now` or a time"),
        Param::new(
            "access_time_format",
            Type::Str,
            "how `access_time` is written"
        )
        .default("%Y%m%d%H%M.%S"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for File {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let step = FileStep::new(args)?;
        let path = step.path.clone();
        let wrong = |msg: &str| {
            let mut failure = Failure::new(msg);
            failure.data.insert("path".into(), path.clone().into());
            Err(failure)
        };
        let state = step.state.as_deref();
        if step.recurse && state.is_some_and(|state| state != "directory") {
            return wrong("recurse option requires state to be 'directory'");
        }
        if step.src.is_some() && state.is_some_and(|state| !["link", "hard"].contains(&state)) {
            return wrong("src option requires state to be 'link' or 'hard'");
        }
        Ok(Box::new(step))
    }
}

/// `file` with its arguments; also what `copy` and others use for single paths.
pub(crate) struct FileStep {
    path: String,
    state: Option<String>,
    src: Option<String>,
    recurse: bool,
    force: bool,
    follow: bool,
    attrs: Attrs,
    times: Times,
}

/// One path in the state it was seen in, and what is wanted of it.
struct Case<'a> {
    step: &'a FileStep,
    seen: &'a Seen,
    /// The path acted on.
    path: String,
    now: Option<&'a PathState>,
    state: String,
}

impl FileStep {
    fn new(args: &Args) -> Result<Self, Failure> {
        let state = args.str("state");
        Ok(Self {
            path: args.text("path"),
            times: Times::new(args, state.as_deref() == Some("touch"))?,
            state,
            src: args.str("src"),
            recurse: args.bool("recurse"),
            force: args.bool("force"),
            follow: args.bool("follow"),
            attrs: Attrs::new(args)?,
        })
    }

    /// The path inside, when `path` is a folder and a hard link of this name is meant.
    fn inside(&self) -> Option<String> {
        let src = self.src.as_ref()?;
        (self.state.as_deref() == Some("hard"))
            .then(|| super::put::join(&self.path, src.rsplit('/').next().unwrap_or_default()))
    }

    fn case<'a>(&'a self, seen: &'a Seen) -> Case<'a> {
        let mut path = self.path.clone();
        if let Some(inside) = self.inside()
            && seen
                .stat(&path, true)
                .is_some_and(|now| now.kind == FileType::Directory)
        {
            path = inside;
        }
        let now = seen.path(&path);
        let state = self.state.clone().unwrap_or_else(|| match now {
            Some(now) => attrs::state(now).to_owned(),
            None if self.recurse => "directory".into(),
            None => "file".into(),
        });
        Case {
            step: self,
            seen,
            path,
            now,
            state,
        }
    }
}

impl Step for FileStep {
    fn probes(&self) -> Vec<Probe> {
        let both = |path: &str| {
            [false, true].map(|follow| Probe::Path {
                path: path.into(),
                follow,
            })
        };
        let mut probes = both(&self.path).to_vec();
        probes.extend(self.attrs.probes(&self.path));
        if let Some(inside) = self.inside() {
            probes.extend(both(&inside));
        }
        if let Some(target) = self.link_target() {
            probes.extend(both(&target));
        }
        if self.recurse && !self.attrs.is_empty() {
            probes.push(Probe::Script(self.listing()));
        }
        if sh::expands(&self.path) {
            probes.push(Probe::Expand(self.path.clone()));
        }
        probes.extend(self.times.probes());
        probes
    }

    fn decide(&self, seen: &Seen) -> Decision {
        if let Some(why) = seen.unknown(&Probe::Path {
            path: self.path.clone(),
            follow: false,
        }) {
            return Decision::Done(Outcome::failed(format!("{}: {why}", self.path)));
        }
        let case = self.case(seen);
        if self.recurse && case.state != "directory" {
            return case.fail("recurse option requires state to be 'directory'");
        }
        if self.src.is_some() && !["link", "hard"].contains(&case.state.as_str()) {
            return case.fail("src option requires state to be 'link' or 'hard'");
        }
        let decided = match case.state.as_str() {
            "absent" => Ok(case.absent()),
            "directory" => case.directory(),
            "link" => case.link(),
            "hard" if self.state.is_some() => case.hard(),
            "touch" => case.touch(),
            _ => case.file(),
        };
        decided.unwrap_or_else(Unsettled::decision)
    }

    fn finish(&self, before: &Seen, replies: &[Reply], after: &Seen) -> Outcome {
        let case = self.case(before);
        if let Some(outcome) = attrs::failure(replies, before.expanded(&case.path)) {
            return outcome;
        }
        case.result(Outcome::changed(), after)
    }
}

impl<'a> Case<'a> {
    fn fail(&self, msg: &str) -> Decision {
        Decision::Done(Outcome::failed(msg).with("path", self.shown()))
    }

    fn shown(&self) -> String {
        self.seen.expanded(&self.path).to_owned()
    }

    fn is_link(&self) -> bool {
        self.now.is_some_and(|now| now.kind == FileType::Link)
    }

    /// What Ansible calls the present state.
    fn previous(&self) -> &'static str {
        self.now.map_or("absent", attrs::state)
    }

    /// The result as Ansible words it for this state.
    fn result(&self, outcome: Outcome, seen: &Seen) -> Outcome {
        let path = self.shown();
        match self.state.as_str() {
            "absent" => return outcome.with("path", path).with("state", "absent"),
            "touch" => return attrs::info(outcome.with("dest", path), seen.path(&self.path)),
            "link" | "hard" => {
                let old = self.now.and_then(|now| now.target.clone());
                let src = self.step.src.clone().or(old);
                let outcome = outcome.with("dest", path);
                let outcome = match src {
                    Some(src) => outcome.with("src", src),
                    None => outcome,
                };
                let now = seen.path(&self.path);
                // Ansible tells nothing of a link to nowhere.
                let shown = now.filter(|now| {
                    now.kind != FileType::Link || seen.stat(&self.path, true).is_some()
                });
                return attrs::info(outcome, shown);
            }
            _ => {}
        }
        if self.step.follow && self.is_link() {
            let outcome = outcome.with("path", self.resolved());
            return attrs::info(outcome, seen.stat(&self.path, true));
        }
        attrs::info(outcome.with("path", path), seen.path(&self.path))
    }

    /// Where the link at the path leads.
    fn resolved(&self) -> String {
        let target = self
            .now
            .and_then(|now| now.target.as_deref())
            .unwrap_or_default();
        links::beside(&self.shown(), target)
    }

    fn act(
        &self,
        script: &str,
        fix: Fix,
        more: &[(&str, serde_json::Value, serde_json::Value)],
    ) -> Decision {
        let (mut before, mut after) = (fix.before, fix.after);
        let new = match self.state.as_str() {
            "touch" if self.now.is_some() => self.previous(),
            state => state,
        };
        if self.previous() != new && self.previous() != "hard" {
            before.insert("state".into(), json!(self.previous()));
            after.insert("state".into(), json!(new));
        }
        for (name, old, new) in more {
            before.insert((*name).into(), old.clone());
            after.insert((*name).into(), new.clone());
        }
        let predicted = attrs::diff(Outcome::changed(), &self.shown(), before, after);
        let mut effects = vec![Effect::Path(self.step.path.clone())];
        if self.path != self.step.path {
            effects.push(Effect::Path(self.path.clone()));
        }
        if self.step.follow && (self.is_link() || self.state == "link") {
            effects.extend(self.step.link_target().map(Effect::Path));
            effects.push(Effect::Path(self.resolved()));
        }
        Decision::Act(Plan {
            actions: vec![Chunk::plain(format!(
                "p={}\n{script}exit 0\n",
                sh::expanding(&self.path, false)
            ))],
            effects,
            predicted: self.result(predicted, self.seen),
            opaque: false,
        })
    }

    fn absent(&self) -> Decision {
        match self.now {
            None => Decision::Done(self.result(Outcome::ok(), self.seen)),
            Some(now) if now.kind == FileType::Directory => {
                self.act("rm -rf -- \"$p\" || exit\n", Fix::default(), &[])
            }
            Some(_) => self.act("rm -f -- \"$p\" || exit\n", Fix::default(), &[]),
        }
    }

    /// The settled path: attributes and times of something that is there, or nothing to do.
    fn settle(
        &self,
        path: &str,
        now: &PathState,
        word: &str,
        mut script: String,
        changed: bool,
    ) -> Result<Decision, Unsettled> {
        let fix = self.step.attrs.differ(path, now, self.seen)?;
        script.push_str(&fix.commands(word));
        let times = self.step.times.commands(now, self.seen, word)?;
        script.push_str(&times);
        if fix.is_empty() && times.is_empty() && !changed {
            return Ok(Decision::Done(self.result(Outcome::ok(), self.seen)));
        }
        Ok(self.act(&script, fix, &[]))
    }

    fn file(&self) -> Result<Decision, Unsettled> {
        let followed = self.step.follow && self.is_link();
        let now = self.seen.stat(&self.path, followed);
        let refuse = |path: String, state: &str| {
            let msg = format!("file ({path}) is {state}, cannot continue");
            Decision::Done(Outcome::failed(msg).with("path", path).with("state", state))
        };
        let path = if followed {
            self.resolved()
        } else {
            self.shown()
        };
        match now {
            None => Ok(refuse(path, "absent")),
            Some(now) if matches!(now.kind, FileType::Directory | FileType::Link) => {
                Ok(refuse(path, attrs::state(now)))
            }
            Some(now) => self.settle(&self.path, now, self.word(followed), String::new(), false),
        }
    }

    fn word(&self, followed: bool) -> &'static str {
        if followed {
            "\"$(readlink -f -- \"$p\")\""
        } else {
            "\"$p\""
        }
    }

    fn directory(&self) -> Result<Decision, Unsettled> {
        let followed = self.step.follow && self.is_link();
        let Some(now) = self.seen.stat(&self.path, followed) else {
            let path = if followed {
                self.resolved()
            } else {
                self.path.clone()
            };
            let path = path.trim_end_matches('/');
            return Ok(match folders(path, &self.step.attrs) {
                Ok(script) => self.act(&script, Fix::default(), &[]),
                Err(failure) => Decision::Done(failed(failure)),
            });
        };
        if now.kind != FileType::Directory {
            let msg = format!("{} already exists as a {}", self.shown(), attrs::state(now));
            return Ok(self.fail(&msg));
        }
        let word = self.word(followed);
        let mut below = String::new();
        if self.step.recurse && !self.step.attrs.is_empty() {
            below = self.step.below(self.seen, word)?;
        }
        let changed = !below.is_empty();
        self.settle(&self.path, now, word, below, changed)
    }

    fn touch(&self) -> Result<Decision, Unsettled> {
        let followed = self.step.follow && self.is_link();
        let word = self.word(followed);
        match self.seen.stat(&self.path, followed) {
            Some(now) => self.settle(&self.path, now, word, String::new(), false),
            None => {
                let all = self.step.attrs.commands(word, attrs::NEW_FILE, false);
                let all = all.map_err(Unsettled::failed)?;
                let fresh = PathState::default();
                let times = self.step.times.commands(&fresh, self.seen, word)?;
                // Ansible takes the new file away again when it cannot be given away.
                let script = format!(
                    "true >\"$p\" || {{ echo '!msg Error, could not touch target.' >&2; exit 1; }}\n\
                     trap '[ $? = 0 ] || rm -f -- \"$p\"' EXIT\n{all}{times}"
                );
                Ok(self.act(&script, Fix::default(), &[]))
            }
        }
    }
}
