//! Where a host is in its play: a stack of frames over the playbook's tree.
//!
//! The walk is a value: planning ahead clones it and goes on with assumed results. It knows nothing of hosts
//! or templates; it only says which task is next, and where a failure leads.

use super::chain::Chain;
use crate::playbook::ast::{Block, Item, Play, Task};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A place in the play that two hosts can compare: who is further. Grows monotonically along a walk.
pub(crate) type Place = Vec<u32>;

/// The list a frame goes through.
#[derive(Debug, Clone)]
enum Items {
    Pre(Arc<Play>),
    Roles(Arc<Play>),
    Tasks(Arc<Play>),
    Post(Arc<Play>),
    Body(Arc<Block>),
    Rescue(Arc<Block>),
    Always(Arc<Block>),
    Loaded(Arc<Vec<Item>>),
}

impl Items {
    fn get(&self, at: usize) -> Option<&Item> {
        let list = match self {
            Self::Pre(play) => &play.pre_tasks,
            Self::Roles(play) => &play.roles,
            Self::Tasks(play) => &play.tasks,
            Self::Post(play) => &play.post_tasks,
            Self::Body(block) => &block.body,
            Self::Rescue(block) => &block.rescue,
            Self::Always(block) => &block.always,
            Self::Loaded(items) => items,
        };
        list.get(at)
    }
}

/// Which part of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Body,
    Rescue,
    Always,
}

#[derive(Debug, Clone)]
enum Kind {
    /// A plain list.
    List,
    /// A block; `failure` waits for the end of `always`.
    Block {
        block: Arc<Block>,
        section: Section,
        failed: bool,
    },
    /// Handlers being flushed; `at` counts through the handler list.
    Flush,
}

#[derive(Debug, Clone)]
struct Frame {
    items: Items,
    at: usize,
    chain: Arc<Chain>,
    kind: Kind,
}

/// A handler as the play knows it.
#[derive(Debug, Clone)]
pub(crate) struct Handler {
    /// The task, or an include inside the handlers.
    pub task: Arc<Task>,
    /// What it inherits.
    pub chain: Arc<Chain>,
}

/// A task the walk stands at.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    /// The task.
    pub task: Arc<Task>,
    /// What it inherits.
    pub chain: Arc<Chain>,
    /// Whether it runs as a handler.
    pub handler: bool,
}

/// What a failure led to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fallout {
    /// A `rescue` takes over.
    Rescued,
    /// An `always` runs, then the failure goes on.
    Delayed,
    /// The host is out of the play.
    Dead,
}

/// The walk.
#[derive(Debug, Clone)]
pub(crate) struct Walk {
    play: Arc<Play>,
    top: Arc<Chain>,
    frames: Vec<Frame>,
    phase: u32,
    gather: Option<Arc<Task>>,
    current: Option<Stop>,
    /// What comes when the current task is left, if not the next one in its list.
    waiting: Option<Stop>,
    handlers: Arc<Vec<Handler>>,
    notified: BTreeSet<usize>,
    /// Handlers that were begun and have not ended well.
    unfinished: BTreeSet<usize>,
    running: Option<usize>,
    /// Handlers that may have been notified by steps whose result is only assumed.
    pub maybe_notified: bool,
    /// Handlers were flushed while some may have been notified: what follows is not certain.
    pub doubtful: bool,
    /// Set when the host failed: nothing more to do.
    pub dead: bool,
    /// Run notified handlers even after a failure.
    pub force_handlers: bool,
}

impl Walk {
    /// At the start of a play. `gather` is the task that gathers facts, if wanted.
    pub(crate) fn new(
        play: &Arc<Play>,
        top: &Arc<Chain>,
        gather: Option<Arc<Task>>,
        force_handlers: bool,
    ) -> Self {
        let mut walk = Self {
            play: Arc::clone(play),
            top: Arc::clone(top),
            frames: Vec::new(),
            phase: 0,
            gather,
            current: None,
            waiting: None,
            handlers: Arc::default(),
            notified: BTreeSet::new(),
            unfinished: BTreeSet::new(),
            running: None,
            maybe_notified: false,
            doubtful: false,
            dead: false,
            force_handlers,
        };
        walk.add_handlers(&play.handlers, top);
        walk
    }

    /// Makes handlers known (also those of roles included at run time).
    pub(crate) fn add_handlers(&mut self, items: &[Item], chain: &Arc<Chain>) {
        let mut found = Vec::new();
        collect(items, chain, &mut found);
        let known = Arc::make_mut(&mut self.handlers);
        for handler in found {
            if !known.iter().any(|k| Arc::ptr_eq(&k.task, &handler.task)) {
                known.push(handler);
            }
        }
    }

    /// What all tasks of the play inherit.
    pub(crate) fn top(&self) -> &Arc<Chain> {
        &self.top
    }

    /// All handlers, in the order of their definition.
    pub(crate) fn handlers(&self) -> &Arc<Vec<Handler>> {
        &self.handlers
    }

    /// Marks a handler as notified.
    pub(crate) fn notify(&mut self, index: usize) {
        self.notified.insert(index);
    }

    /// The handler at hand has ended well.
    pub(crate) fn handled(&mut self) {
        if let Some(index) = self.running.take() {
            self.unfinished.remove(&index);
        }
    }

    /// Handlers that have yet to run, and those that failed.
    pub(crate) fn due(&self) -> impl Iterator<Item = usize> + '_ {
        self.notified.union(&self.unfinished).copied()
    }

    /// Forgets what is due: the play was ended on purpose.
    pub(crate) fn forgive(&mut self) {
        self.notified.clear();
        self.unfinished.clear();
    }

    /// The task to do next; `None` at the end of the play.
    pub(crate) fn stop(&mut self) -> Option<Stop> {
        loop {
            if self.current.is_some() {
                return self.current.clone();
            }
            if self.dead && self.frames.is_empty() {
                return None;
            }
            let Some(frame) = self.frames.last_mut() else {
                if !self.next_phase() {
                    return None;
                }
                continue;
            };
            if matches!(frame.kind, Kind::Flush) {
                self.next_handler();
                continue;
            }
            match frame.items.get(frame.at).cloned() {
                Some(Item::Task(task)) => {
                    frame.at += 1;
                    let chain = Arc::clone(&frame.chain);
                    self.current = Some(Stop {
                        task,
                        chain,
                        handler: self.in_flush(),
                    });
                }
                Some(Item::Block(block)) => {
                    frame.at += 1;
                    let chain = frame.chain.block(&block);
                    if !block.handlers.is_empty() {
                        self.add_handlers(&block.handlers, &chain);
                    }
                    self.frames.push(Frame {
                        items: Items::Body(Arc::clone(&block)),
                        at: 0,
                        chain,
                        kind: Kind::Block {
                            block,
                            section: Section::Body,
                            failed: false,
                        },
                    });
                }
                None => self.end_of_list(),
            }
        }
    }

    /// Leaves the current task.
    pub(crate) fn leave(&mut self) {
        self.current = self.waiting.take();
    }

    /// Passes over the task that is current, or waits behind the one that gathers facts.
    pub(crate) fn pass_current(&mut self) {
        if self.waiting.take().is_none() {
            self.current = None;
        }
    }

    /// The task that gathers facts, if it is still to come; it will not come by itself then.
    pub(crate) fn take_gather(&mut self) -> Option<Arc<Task>> {
        self.gather.take()
    }

    /// Puts a task of the play before the current one.
    pub(crate) fn before(&mut self, task: Arc<Task>) {
        let chain = Arc::clone(&self.top);
        self.waiting = self.current.replace(Stop {
            task,
            chain,
            handler: false,
        });
    }

    /// Goes into tasks that an include brought.
    pub(crate) fn enter(&mut self, items: Arc<Vec<Item>>, chain: Arc<Chain>) {
        self.frames.push(Frame {
            items: Items::Loaded(items),
            at: 0,
            chain,
            kind: Kind::List,
        });
    }

    /// How many includes the walk is inside of.
    pub(crate) fn includes(&self) -> usize {
        let loaded = |frame: &&Frame| matches!(frame.items, Items::Loaded(_));
        self.frames.iter().filter(loaded).count()
    }

    /// Runs notified handlers now (`meta: flush_handlers`).
    pub(crate) fn flush(&mut self) {
        self.frames.push(Frame {
            items: Items::Loaded(Arc::default()),
            at: 0,
            chain: Arc::clone(&self.top),
            kind: Kind::Flush,
        });
    }

    /// Ends the play for this host (`meta: end_host`).
    pub(crate) fn end(&mut self) {
        self.frames.clear();
        self.current = None;
        self.waiting = None;
        self.phase = u32::MAX;
    }

    /// Ends the innermost role (`meta: end_role`).
    pub(crate) fn end_role(&mut self) {
        self.current = None;
        while let Some(frame) = self.frames.pop() {
            if matches!(&frame.kind, Kind::Block { block, .. } if block.role.is_some()) {
                break;
            }
        }
    }

    /// The current task failed: where does that lead?
    pub(crate) fn fail(&mut self) -> Fallout {
        self.current = None;
        if self.waiting.take().is_some() {
            // What failed stood before everything else.
            self.frames.clear();
        }
        while let Some(frame) = self.frames.last_mut() {
            if let Kind::Block {
                block,
                section,
                failed,
            } = &mut frame.kind
            {
                let rescue = *section == Section::Body && !block.rescue.is_empty();
                let always = *section != Section::Always && !block.always.is_empty();
                if rescue {
                    *section = Section::Rescue;
                    frame.items = Items::Rescue(Arc::clone(block));
                    frame.at = 0;
                    return Fallout::Rescued;
                }
                if always {
                    *section = Section::Always;
                    *failed = true;
                    frame.items = Items::Always(Arc::clone(block));
                    frame.at = 0;
                    return Fallout::Delayed;
                }
            }
            self.frames.pop();
        }
        self.dead = true;
        if self.force_handlers && !self.notified.is_empty() {
            self.flush();
        }
        Fallout::Dead
    }

    /// Where the walk stands, for comparing hosts.
    pub(crate) fn place(&self) -> Place {
        if self.waiting.is_some() {
            return vec![0];
        }
        let mut place = vec![self.phase];
        for frame in &self.frames {
            place.push(match &frame.kind {
                Kind::Block { section, .. } => *section as u32,
                Kind::List | Kind::Flush => 0,
            });
            place.push(u32::try_from(frame.at).unwrap_or(u32::MAX));
        }
        place
    }

    /// Whether the current task stands in the playbook itself, where a run can start: not in what an include brings, a
    /// `rescue` or a handler.
    pub(crate) fn is_fixed(&self) -> bool {
        let fixed = |frame: &Frame| {
            !matches!(frame.kind, Kind::Flush)
                && !matches!(frame.items, Items::Loaded(_) | Items::Rescue(_))
        };
        self.waiting.is_none() && !self.frames.is_empty() && self.frames.iter().all(fixed)
    }

    /// Whether handlers are being run.
    pub(crate) fn in_flush(&self) -> bool {
        self.frames
            .iter()
            .any(|frame| matches!(frame.kind, Kind::Flush))
    }

    /// Phases: facts, pre_tasks, handlers, roles, tasks, handlers, post_tasks, handlers.
    fn next_phase(&mut self) -> bool {
        if self.phase == u32::MAX {
            return false;
        }
        self.phase += 1;
        let play = Arc::clone(&self.play);
        let items = match self.phase {
            1 => {
                if let Some(task) = self.gather.take() {
                    let chain = Arc::clone(&self.top);
                    self.current = Some(Stop {
                        task,
                        chain,
                        handler: false,
                    });
                }
                return true;
            }
            2 => Items::Pre(play),
            4 => Items::Roles(play),
            5 => Items::Tasks(play),
            7 => Items::Post(play),
            3 | 6 | 8 => {
                self.flush();
                return true;
            }
            _ => return false,
        };
        let chain = Arc::clone(&self.top);
        self.frames.push(Frame {
            items,
            at: 0,
            chain,
            kind: Kind::List,
        });
        true
    }

    fn next_handler(&mut self) {
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        let next = self.notified.range(frame.at..).next().copied();
        let Some(index) = next else {
            self.doubtful |= self.maybe_notified;
            self.frames.pop();
            return;
        };
        frame.at = index + 1;
        self.doubtful |= self.maybe_notified;
        self.notified.remove(&index);
        self.unfinished.insert(index);
        self.running = Some(index);
        if let Some(handler) = self.handlers.get(index) {
            self.current = Some(Stop {
                task: Arc::clone(&handler.task),
                chain: Arc::clone(&handler.chain),
                handler: true,
            });
        }
    }

    fn end_of_list(&mut self) {
        let Some(frame) = self.frames.last_mut() else {
            return;
        };
        if let Kind::Block { block, section, .. } = &mut frame.kind
            && *section != Section::Always
            && !block.always.is_empty()
        {
            *section = Section::Always;
            frame.items = Items::Always(Arc::clone(block));
            frame.at = 0;
            return;
        }
        let failed = matches!(frame.kind, Kind::Block { failed: true, .. });
        self.frames.pop();
        if failed {
            self.fail();
        }
    }
}

/// Handlers in blocks inherit the block's keywords.
fn collect(items: &[Item], chain: &Arc<Chain>, found: &mut Vec<Handler>) {
    for item in items {
        match item {
            Item::Task(task) => {
                found.push(Handler {
                    task: Arc::clone(task),
                    chain: Arc::clone(chain),
                });
            }
            Item::Block(block) => {
                let inner = chain.block(block);
                collect(&block.body, &inner, found);
                collect(&block.handlers, &inner, found);
            }
        }
    }
}
