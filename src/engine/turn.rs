//! Planning a turn: walk ahead over a copy of the position, decide what can be decided, and pack the actions that
//! are certain, and the probes that come next, into one script.
//!
//! Walking ahead is only about batching. What happens is decided again, in order, when the answers are in; so a wrong
//! guess costs bytes, never correctness. Actions are sent only while every step before them is decided and expected
//! to succeed; the script stops at the first that fails.

use super::context::HostContext;
use super::control::Control;
use super::position::{Key, Position};
use super::prepare::{HostStep, Prepared, judge};
use super::result::StepResult;
use crate::modules::probe::FileType;
use crate::modules::{Decision, Effect, Plan, Probe, Seen, probe};
use crate::remote::{BecomePassword, Chunk, Identity, Reply};
use indexmap::{IndexMap, IndexSet};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Whose view of which host.
pub(crate) type View = (Arc<str>, Identity);

/// Steps walked ahead at most; enough for any play, a bound for endless ones.
const HORIZON: usize = 5000;

/// What was observed and is still believed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cache {
    views: HashMap<View, Seen>,
    /// What was believed once: good for guesses about what to ask, for nothing else.
    once: HashMap<View, Seen>,
}

impl Cache {
    /// What is known from a view.
    pub(crate) fn view(&self, view: &View) -> Option<&Seen> {
        self.views.get(view)
    }

    /// Adds answers.
    pub(crate) fn learn(&mut self, view: &View, seen: &Seen) {
        let known = self.views.entry(view.clone()).or_default();
        for (probe, answer) in seen.iter() {
            known.insert(probe.clone(), answer.clone());
        }
    }

    /// Forgets what an effect on a host may have changed.
    pub(crate) fn forget(&mut self, target: &str, effect: &Effect) {
        let effect = self.widened(target, effect);
        for (view, seen) in &mut self.views {
            if &*view.0 == target {
                let once = self.once.entry(view.clone()).or_default();
                for (probe, answer) in seen.iter().filter(|(probe, _)| stale(effect, probe)) {
                    once.insert(probe.clone(), answer.clone());
                }
                seen.retain(|probe| !stale(effect, probe));
            }
        }
    }

    /// An effect on a file that has more names than one reaches all of them.
    fn widened<'a>(&self, target: &str, effect: &'a Effect) -> &'a Effect {
        let Effect::Path(changed) = effect else {
            return effect;
        };
        let mut views = self.views.iter().filter(|(view, _)| &*view.0 == target);
        let shared = views.any(|(_, seen)| {
            let Some(own) = seen
                .stat(changed, false)
                .or_else(|| seen.stat(changed, true))
            else {
                return false;
            };
            own.kind == FileType::File
                && (own.nlink > 1 || seen.others(own).any(|other| other.nlink > 1))
        });
        if shared { &Effect::Anything } else { effect }
    }

    /// Forgets everything of a host.
    pub(crate) fn forget_all(&mut self, target: &str) {
        self.forget(target, &Effect::Anything);
    }

    /// The answers to some probes, if all are known.
    pub(crate) fn answers(&self, view: &View, probes: &[Probe]) -> Option<Seen> {
        let mut found = Seen::default();
        if probes.is_empty() {
            return Some(found);
        }
        let known = self.views.get(view)?;
        for probe in probes {
            found.insert(probe.clone(), known.get(probe)?.clone());
        }
        Some(found)
    }
}

impl Cache {
    /// The answers to some probes as they are or were.
    fn guess(&self, view: &View, probes: &[Probe]) -> Option<Seen> {
        let both = [self.views.get(view), self.once.get(view)];
        let mut found = Seen::default();
        for probe in probes {
            let answer = both.iter().flatten().find_map(|seen| seen.get(probe))?;
            found.insert(probe.clone(), answer.clone());
        }
        Some(found)
    }
}

/// Whether something that a plan does may change any answer.
fn wide(plan: &Plan) -> bool {
    plan.effects
        .iter()
        .any(|effect| !matches!(effect, Effect::Path(_) | Effect::Nothing))
}

/// Whether an effect may have changed the answer to a probe.
///
/// Package scripts and services may touch anything. A path's effect reaches what is below it, its folder, and
/// what reads it unseen: scripts, units (their files), accounts and packages (their databases).
pub(crate) fn stale(effect: &Effect, probe: &Probe) -> bool {
    let changed = match effect {
        Effect::Nothing => return false,
        Effect::Path(path) => real(path),
        Effect::Packages | Effect::Unit(_) | Effect::Accounts | Effect::Anything => return true,
    };
    let within = |dir: &str, path: &str| {
        path == dir
            || path
                .strip_prefix(dir.trim_end_matches('/'))
                .is_some_and(|rest| rest.starts_with('/'))
    };
    match probe {
        Probe::Path { path, .. }
        | Probe::Digest { path, .. }
        | Probe::Content { path, .. }
        | Probe::Access(path)
        | Probe::Real(path)
        | Probe::Flags(path)
        | Probe::Mime(path) => {
            let asked = real(path);
            let parent = std::path::Path::new(&changed)
                .parent()
                .map(|p| p.display().to_string());
            within(&changed, &asked)
                || parent.is_some_and(|parent| parent == asked.trim_end_matches('/'))
                || asked.starts_with('~')
                || changed.starts_with('~')
        }
        Probe::Script(_) | Probe::Expand(_) => true,
        Probe::Unit(_) => changed.contains("/systemd/") || changed.contains("/init"),
        Probe::User(_) | Probe::Group(_) => within("/etc", &changed),
        Probe::Package(_) => within("/var/lib/dpkg", &changed),
    }
}

/// A path with the links of every Debian and Ubuntu followed, so that two names of one file compare equal.
fn real(path: &str) -> String {
    const LINKS: [(&str, &str); 5] = [
        ("/lib/", "/usr/lib/"),
        ("/bin/", "/usr/bin/"),
        ("/sbin/", "/usr/sbin/"),
        ("/var/run/", "/run/"),
        ("/var/lock/", "/run/lock/"),
    ];
    let path = path.trim_end_matches('/');
    LINKS
        .iter()
        .find_map(|(from, to)| path.strip_prefix(from).map(|rest| format!("{to}{rest}")))
        .unwrap_or_else(|| path.to_owned())
}

/// A step whose actions are part of a turn.
pub(crate) struct Segment {
    /// The step.
    pub step: HostStep,
    /// What it does.
    pub plan: Plan,
    /// What was known when it was decided.
    pub before: Seen,
    /// Its probes, asked again behind its actions.
    pub probes: Vec<Probe>,
    /// Handlers that are due when it changes something.
    pub notifies: Vec<usize>,
}

/// What to do in one exchange with one view of one host.
pub(crate) struct Turn {
    /// The view.
    pub view: View,
    /// Password for becoming that user.
    pub password: BecomePassword,
    /// Steps that act, in order.
    pub segments: Vec<Segment>,
    /// Probes asked at the end.
    pub ahead: Vec<Probe>,
}

/// What planning ahead found.
pub(crate) struct Ahead {
    /// Exchanges; the first one is the step the host stands at.
    pub turns: Vec<Turn>,
    /// Steps rendered on the way, to be used when the host gets there.
    pub ready: HashMap<Key, HostStep>,
}

/// Extra probes that steps asked for after a first look.
pub(crate) type Looked = HashMap<Key, Vec<Probe>>;

struct Planner<'a> {
    cx: Arc<HostContext>,
    cache: &'a Cache,
    looked: &'a Looked,
    position: Position,
    /// Effects of the segments so far, on the first view's host.
    effects: Vec<Effect>,
    /// Whether every step so far is decided.
    certain: bool,
    first: View,
    password: BecomePassword,
    segments: Vec<Segment>,
    ahead: IndexMap<View, (BecomePassword, IndexSet<Probe>)>,
    ready: HashMap<Key, HostStep>,
    /// Whether it has gone on into the next play.
    beyond: bool,
    /// Raised when something of other hosts was read that may still change.
    guessed: Arc<AtomicBool>,
}

/// Plans the turn for the step a host stands at (`first`), and as far ahead as can be seen, unless it is to stay `alone`.
pub(crate) fn plan(
    cx: &Arc<HostContext>,
    position: &Position,
    first: &HostStep,
    cache: &Cache,
    looked: &Looked,
    alone: bool,
) -> Ahead {
    let guessed = Arc::new(AtomicBool::new(false));
    let mut position = position.clone();
    position.guess = Some(Arc::clone(&guessed));
    let mut planner = Planner {
        cx: Arc::clone(cx),
        cache,
        looked,
        position,
        beyond: false,
        guessed,
        effects: Vec::new(),
        certain: true,
        first: (Arc::clone(&first.target), first.who.clone()),
        password: first.password.clone(),
        segments: Vec::new(),
        ahead: IndexMap::new(),
        ready: HashMap::new(),
    };
    let mut go_on = planner.step(first.clone());
    for _ in 0..HORIZON {
        // What the user has not agreed to yet is not done.
        if !go_on || alone || cx.run.steps.asking() {
            break;
        }
        go_on = planner.next();
    }
    planner.finish()
}

impl Planner<'_> {
    /// Looks at the next task; false at the horizon.
    fn next(&mut self) -> bool {
        self.guessed.store(false, Ordering::Relaxed);
        // What comes after a pause is for later.
        self.certain &= !self.position.pauses();
        let prepared = self.position.prepare(&self.cx);
        let guessed = self.guessed.load(Ordering::Relaxed);
        // Handlers that may or may not have run lie behind us, or other hosts may have more to say.
        self.certain &= !self.position.walk.doubtful && !guessed;
        match prepared {
            Prepared::End => self.next_play(),
            Prepared::Pending(_) | Prepared::Once => {
                self.certain = false;
                self.position.put_off();
                true
            }
            Prepared::Done(result) => self.take(*result),
            Prepared::Control(control) => self.control(*control),
            Prepared::Host(step) => {
                if !self.position.tainted && !guessed && !self.beyond {
                    self.ready.insert(step.key.clone(), (*step).clone());
                }
                self.step(*step)
            }
        }
    }

    /// Goes on into the next play of this host, for its probes only: the other hosts end this play first.
    fn next_play(&mut self) -> bool {
        self.certain = false;
        // While a host is being changed, what lies that far ahead would be asked again and again.
        if !self.segments.is_empty() || self.position.walk.dead {
            return false;
        }
        let Some((cx, mut position)) = super::play::upcoming(&self.cx, &self.position.state) else {
            return false;
        };
        position.guess = Some(Arc::clone(&self.guessed));
        self.cx = Arc::new(cx);
        self.position = position;
        self.beyond = true;
        true
    }

    /// A known result. A failure ends the plan: what follows it is for later.
    fn take(&mut self, mut result: StepResult) -> bool {
        if judge(&self.cx, &self.position, &mut result).is_err() {
            return false;
        }
        if self.position.retry_wanted(&self.cx, &result) {
            return false;
        }
        let ended = self.position.commit(&self.cx, result);
        ended.task.is_none_or(|end| end.fallout.is_none())
    }

    fn control(&mut self, control: Control) -> bool {
        match control {
            Control::Pause(_)
            | Control::Prompt { .. }
            | Control::Wait(_)
            | Control::ResetConnection
            | Control::AddHost { .. }
            | Control::GroupBy { .. }
            | Control::ClearErrors
            | Control::EndAll { .. } => false,
            control => self.position.apply(&self.cx, control).is_some(),
        }
    }

    fn step(&mut self, step: HostStep) -> bool {
        let view: View = (Arc::clone(&step.target), step.who.clone());
        let mut probes = step.step.probes();
        probes.extend(self.looked.get(&step.key).into_iter().flatten().cloned());
        let fresh = |probe: &Probe| !self.effects.iter().any(|effect| stale(effect, probe));
        let known = match self.cache.answers(&view, &probes) {
            Some(seen) if probes.iter().all(fresh) => Some(seen),
            _ => None,
        };
        let Some(before) = known else {
            // Something acts in this turn. If this step will act as widely, what lies beyond it would be asked again, and again
            // behind each of its kind.
            let last = !self.segments.is_empty()
                && self.cache.guess(&view, &probes).is_some_and(
                    |seen| matches!(step.step.decide(&seen), Decision::Act(plan) if wide(&plan)),
                );
            return self.ask(&view, &step, probes) && !last;
        };
        match step.step.decide(&before) {
            // A step before this one may still act and change what was seen: the result is no more than a guess.
            Decision::Done(_) if !self.certain => {
                self.position.assume(&self.cx, None);
                true
            }
            Decision::Done(outcome) => self.take(step.result(outcome)),
            Decision::Look(more) => self.ask(&view, &step, more),
            Decision::Act(plan) if step.check => self.take(step.predicted(plan)),
            Decision::Act(plan) => {
                let wide = wide(&plan);
                if !self.certain || view != self.first {
                    self.certain = false;
                    // Whatever is asked beyond a wide effect would be asked again.
                    if wide {
                        return false;
                    }
                    self.position.assume(&self.cx, None);
                    return true;
                }
                let judged = self.position.progress.as_ref().is_some_and(|p| {
                    p.stop.task.changed_when.is_some() || p.stop.task.failed_when.is_some()
                });
                let barrier = step.barrier;
                let effects = plan.effects.iter();
                self.effects
                    .extend(effects.map(|effect| self.cache.widened(&view.0, effect).clone()));
                let notifies = self.position.would_notify(&self.cx);
                self.segments.push(Segment {
                    notifies,
                    step,
                    plan,
                    before,
                    probes,
                });
                self.position.assume(&self.cx, (!judged).then_some(true));
                if barrier {
                    self.certain = false;
                }
                true
            }
        }
    }

    /// The step needs answers first.
    fn ask(&mut self, view: &View, step: &HostStep, probes: Vec<Probe>) -> bool {
        self.certain = false;
        let wanted = self
            .ahead
            .entry(view.clone())
            .or_insert_with(|| (step.password.clone(), IndexSet::new()));
        let known = self.cache.view(view);
        for probe in probes {
            let fresh = known.is_some_and(|seen| seen.get(&probe).is_some())
                && !self.effects.iter().any(|effect| stale(effect, &probe));
            if !fresh {
                wanted.1.insert(probe);
            }
        }
        self.position.assume(&self.cx, None);
        true
    }

    fn finish(mut self) -> Ahead {
        let own = self
            .ahead
            .shift_remove(&self.first)
            .map(|(_, probes)| probes)
            .unwrap_or_default();
        let acting = !self.segments.is_empty();
        let mut turns = vec![Turn {
            view: self.first,
            password: self.password,
            segments: self.segments,
            ahead: own.into_iter().collect(),
        }];
        if !acting {
            turns.extend(
                self.ahead
                    .into_iter()
                    .filter(|(_, (_, probes))| !probes.is_empty())
                    .map(|(view, (password, probes))| Turn {
                        view,
                        password,
                        segments: Vec::new(),
                        ahead: probes.into_iter().collect(),
                    }),
            );
        }
        Ahead {
            turns,
            ready: self.ready,
        }
    }
}

/// What a turn brought.
pub(crate) struct Brought {
    /// Segments that ran, with their replies and what was seen behind them.
    pub acted: Vec<Acted>,
    /// Answers to the probes at the end, if it came that far.
    pub ahead: Option<Seen>,
}

/// A step that acted.
pub(crate) struct Acted {
    /// The step, its plan and what was known before.
    pub segment: Segment,
    /// One reply for each of its actions.
    pub replies: Vec<Reply>,
    /// Its probes answered again; empty when an action failed.
    pub after: Seen,
}

impl Turn {
    /// The chunks to send.
    pub(crate) fn chunks(&self) -> Vec<Chunk> {
        let mut chunks = Vec::new();
        for segment in &self.segments {
            for action in &segment.plan.actions {
                let mut chunk = action.clone();
                if !segment.step.env.is_empty() {
                    chunk.script = format!("{}{}", segment.step.env, chunk.script);
                }
                chunk.timeout = segment.step.timeout.or(chunk.timeout);
                chunks.push(chunk);
            }
            if !segment.probes.is_empty() {
                chunks.push(observe(&segment.probes));
            }
        }
        if !self.ahead.is_empty() {
            chunks.push(observe(&self.ahead));
        }
        chunks
    }

    /// After the line broke: the steps that had ended all the same, by their replies so far, and the keys of those that
    /// cannot be observed and may have run since.
    pub(crate) fn salvage(mut self, replies: Vec<Reply>) -> (Vec<Acted>, Vec<Key>) {
        let chunks = |segment: &Segment| {
            segment.plan.actions.len() + usize::from(!segment.probes.is_empty())
        };
        let mut left = replies.len();
        let ended = self.segments.iter().take_while(|segment| {
            let whole = chunks(segment) <= left;
            left = left.saturating_sub(chunks(segment));
            whole
        });
        let rest = self.segments.split_off(ended.count());
        self.ahead.clear();
        let acted = self.read(replies).map(|brought| brought.acted);
        let opaque = rest.into_iter().filter(|segment| segment.plan.opaque);
        (
            acted.unwrap_or_default(),
            opaque.map(|segment| segment.step.key).collect(),
        )
    }

    /// Takes the replies apart.
    ///
    /// # Errors
    /// When the host's answers to probes cannot be read.
    pub(crate) fn read(self, replies: Vec<Reply>) -> Result<Brought, String> {
        let mut replies = replies.into_iter();
        let mut acted = Vec::new();
        for segment in self.segments {
            let own: Vec<Reply> = replies.by_ref().take(segment.plan.actions.len()).collect();
            let after = if segment.probes.is_empty() {
                Seen::default()
            } else {
                match replies.next() {
                    Some(reply) if reply.ran => probe::parse(&segment.probes, &reply.stdout)
                        .map_err(|why| unreadable(&why, &reply))?,
                    _ => Seen::default(),
                }
            };
            if own.first().is_some_and(|reply| reply.ran) {
                acted.push(Acted {
                    segment,
                    replies: own,
                    after,
                });
            }
        }
        let ahead = match replies.next() {
            Some(reply) if reply.ran => Some(
                probe::parse(&self.ahead, &reply.stdout).map_err(|why| unreadable(&why, &reply))?,
            ),
            _ => None,
        };
        Ok(Brought { acted, ahead })
    }
}

fn unreadable(why: &str, reply: &Reply) -> String {
    let err = reply.err();
    let err = err.trim();
    if err.is_empty() {
        format!("the host's answers cannot be read: {why}")
    } else {
        format!("the host's answers cannot be read: {why}; it said: {err}")
    }
}

/// A chunk that asks probes. It never fails a turn, and it is bounded in time.
fn observe(probes: &[Probe]) -> Chunk {
    let mut chunk = Chunk::plain(probe::script(probes));
    chunk.stop_on_failure = false;
    chunk.keep = 256 << 20;
    chunk.timeout = Some(Duration::from_secs(300));
    chunk
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(path: &str) -> Probe {
        Probe::Path {
            path: path.into(),
            follow: false,
        }
    }

    #[test]
    fn a_path_stales_itself_what_is_below_and_its_folder() {
        let effect = Effect::Path("/etc/app".into());
        assert!(stale(&effect, &path("/etc/app")));
        assert!(stale(&effect, &path("/etc/app/x")));
        assert!(stale(&effect, &path("/etc")));
        assert!(!stale(&effect, &path("/etc/application")));
        assert!(!stale(&effect, &path("/etc/other")));
        assert!(!stale(&effect, &Probe::Package("app".into())));
    }

    #[test]
    fn two_names_of_one_file_are_one() {
        let effect = Effect::Path("/lib/systemd/system/a.service".into());
        assert!(stale(&effect, &path("/usr/lib/systemd/system/a.service")));
        assert!(stale(&effect, &Probe::Unit("a".into())));
    }

    #[test]
    fn packages_and_services_stale_everything() {
        assert!(stale(&Effect::Packages, &path("/x")));
        assert!(stale(&Effect::Unit("a".into()), &Probe::User("b".into())));
        assert!(!stale(&Effect::Nothing, &path("/x")));
    }
}
