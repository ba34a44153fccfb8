//! A step as one function: what follows from what is seen. For modules that need no more than that.

use super::attrs::Attrs;
use super::probe::{FileType, PathState};
use super::write::{Source, Write};
use super::{Chunk, Decision, Effect, Failure, Outcome, Plan, Probe, Reply, Seen, Step};
use crate::remote::Payload;
use std::sync::Arc;

/// What follows.
pub(crate) enum Verdict {
    /// These must be known first.
    Look(Vec<Probe>),
    /// Nothing to do, or failed.
    Done(Box<Outcome>),
    /// Something to do.
    Act(Box<Act>),
}

/// What to do, and the result when it worked.
pub(crate) struct Act {
    pub(crate) actions: Vec<Chunk>,
    pub(crate) effects: Vec<Effect>,
    pub(crate) outcome: Outcome,
    /// Starts the message when it fails.
    pub(crate) what: String,
    /// Whether check mode cannot say.
    pub(crate) opaque: bool,
}

impl Act {
    /// A change by these actions.
    pub(crate) fn change(
        actions: Vec<Chunk>,
        effects: Vec<Effect>,
        outcome: Outcome,
        what: impl Into<String>,
    ) -> Self {
        Self {
            actions,
            effects,
            outcome: Outcome {
                changed: true,
                ..outcome
            },
            what: what.into(),
            opaque: false,
        }
    }
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        Self::Done(Box::new(outcome))
    }
}

impl From<Act> for Verdict {
    fn from(act: Act) -> Self {
        if act.actions.is_empty() {
            Self::Done(Box::new(act.outcome))
        } else {
            Self::Act(Box::new(act))
        }
    }
}

impl From<Failure> for Verdict {
    fn from(failure: Failure) -> Self {
        super::put::failed(failure).into()
    }
}

/// Something known, or what must come first.
pub(crate) type Known<T> = Result<T, Verdict>;

type Judge = dyn Fn(&Seen) -> Known<Verdict> + Send + Sync;
type Finish = dyn Fn(Outcome, &Seen, &[Reply], &Seen) -> Outcome + Send + Sync;

/// A step made of a function.
pub(crate) struct Rule {
    probes: Vec<Probe>,
    judge: Box<Judge>,
    finish: Option<Box<Finish>>,
}

impl Rule {
    /// A step that asks for these and then decides.
    pub(crate) fn new(
        probes: Vec<Probe>,
        judge: impl Fn(&Seen) -> Known<Verdict> + Send + Sync + 'static,
    ) -> Self {
        Self {
            probes,
            judge: Box::new(judge),
            finish: None,
        }
    }

    /// The same with a last word on the result: what was seen before, the replies, what is seen after.
    pub(crate) fn finish(
        mut self,
        finish: impl Fn(Outcome, &Seen, &[Reply], &Seen) -> Outcome + Send + Sync + 'static,
    ) -> Self {
        self.finish = Some(Box::new(finish));
        self
    }

    /// As a step.
    pub(crate) fn step(self) -> Result<Box<dyn Step>, Failure> {
        Ok(Box::new(self))
    }

    fn verdict(&self, seen: &Seen) -> Verdict {
        (self.judge)(seen).unwrap_or_else(|first| first)
    }
}

impl Step for Rule {
    fn probes(&self) -> Vec<Probe> {
        self.probes.clone()
    }

    fn decide(&self, seen: &Seen) -> Decision {
        match self.verdict(seen) {
            Verdict::Look(probes) => Decision::Look(probes),
            Verdict::Done(outcome) => Decision::Done(*outcome),
            Verdict::Act(act) => Decision::Act(Plan {
                actions: act.actions,
                effects: act.effects,
                predicted: act.outcome,
                opaque: act.opaque,
            }),
        }
    }

    fn finish(&self, before: &Seen, replies: &[Reply], after: &Seen) -> Outcome {
        match self.verdict(before) {
            Verdict::Done(outcome) => *outcome,
            Verdict::Look(_) => Outcome::failed("the host's state is not known"),
            Verdict::Act(act) => {
                if let Some(failed) = Outcome::from_replies(replies, &act.what) {
                    return failed;
                }
                match &self.finish {
                    Some(finish) => finish(act.outcome, before, replies, after),
                    None => act.outcome,
                }
            }
        }
    }
}

/// Exit status and output of a script.
pub(crate) fn script(seen: &Seen, script: &str) -> Known<(i32, String)> {
    super::sh::answer(seen, script).ok_or_else(|| Verdict::Look(vec![Probe::Script(script.into())]))
}

/// Most bytes of a configuration file.
const LIMIT: u64 = 8 << 20;

/// The question for a file's text.
pub(crate) fn content(path: &str) -> Probe {
    Probe::Content {
        path: path.into(),
        limit: LIMIT,
    }
}

/// The question for a file's state, behind links.
pub(crate) fn stat(path: &str) -> Probe {
    Probe::Path {
        path: path.into(),
        follow: true,
    }
}

/// A file's text and state; `None` when there is no such file.
pub(crate) fn text(seen: &Seen, path: &str) -> Known<Option<String>> {
    let unasked: Vec<Probe> = [content(path), stat(path)]
        .into_iter()
        .filter(|probe| seen.get(probe).is_none())
        .collect();
    if !unasked.is_empty() {
        return Err(Verdict::Look(unasked));
    }
    match seen.stat(path, true) {
        None => Ok(None),
        Some(now) if now.kind != FileType::File => {
            Err(Outcome::failed(format!("{path} is not a regular file")).into())
        }
        Some(_) => match seen.content(path, LIMIT) {
            Some(bytes) => Ok(Some(String::from_utf8_lossy(bytes).into_owned())),
            None => Err(Outcome::failed(format!("{path} cannot be read")).into()),
        },
    }
}

/// The action that gives a file this text; its owner and mode stay unless others are asked for.
pub(crate) fn write(
    path: &str,
    old: Option<&PathState>,
    text: &str,
    attrs: &Attrs,
) -> Known<Chunk> {
    let bytes: Arc<[u8]> = text.as_bytes().into();
    let from = Source::Payload(Payload::Bytes(bytes));
    let mut write = Write::new(path, from, attrs, old);
    write.follow = true;
    Ok(write.chunk()?)
}

/// An action with something on its standard input.
pub(crate) fn fed(script: impl Into<String>, input: &str) -> Chunk {
    let mut chunk = Chunk::new(script);
    chunk.input = Some(Payload::Bytes(input.as_bytes().into()));
    chunk
}
