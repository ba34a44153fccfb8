//! What a playbook would do, without doing it: its hosts, tasks and tags, written as Ansible writes them.

use super::chain::Chain;
use super::context::{RunContext, flat};
use super::control::{tags_of, tags_select};
use super::play::{plain, play_scope, select, title};
use super::run::{Run, context};
use crate::diag::Diagnostic;
use crate::playbook::ast::{Block, Item, Play, Task};
use crate::template::Scope;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

/// What a listing shows of each play.
#[derive(Debug, Clone, Copy, Default)]
pub struct Listing {
    /// Its hosts.
    pub hosts: bool,
    /// Its tasks, with their tags.
    pub tasks: bool,
    /// All tags of its tasks.
    pub tags: bool,
}

/// Lists the plays of a playbook in Ansible's form. Connects to nothing.
///
/// # Errors
/// A play whose pattern or name cannot be rendered.
pub fn list(mut run: Run, what: Listing) -> Result<String, Diagnostic> {
    // Without a choice of tags all of them are listed, `never` too.
    if what.tags && run.options.tags.is_empty() && run.options.skip_tags.is_empty() {
        run.options.tags = vec!["never".into(), "all".into()];
    }
    let mut text = format!("\nplaybook: {}\n", run.playbook.path.display());
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    let run = context(run, events);
    for (index, play) in run.plays.iter().enumerate() {
        let scope = play_scope(&run, play);
        let patterns = flat(&run.engine.render(&play.hosts, &scope).map_err(plain)?);
        let chain = Chain::of_play(play, Arc::clone(&run.magic));
        let own = unique(
            play.base
                .tags
                .iter()
                .flat_map(|node| rendered(&run, node, &scope)),
        );
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "\n  play #{} ({}): {}\tTAGS: [{}]",
            index + 1,
            patterns.join(","),
            title(&run, play, &scope),
            own.join(",")
        );
        if what.hosts {
            let hosts = select(&run, play, &patterns)?;
            let quoted: Vec<String> = patterns.iter().map(|name| format!("'{name}'")).collect();
            let _ = writeln!(text, "    pattern: [{}]", quoted.join(", "));
            let _ = writeln!(text, "    hosts ({}):", hosts.len());
            for host in hosts {
                let _ = writeln!(text, "      {host}");
            }
        }
        let mut lister = Lister {
            run: &run,
            scope,
            tasks: String::new(),
            tags: own.into_iter().collect(),
        };
        for part in [&play.pre_tasks, &play.roles, &play.tasks, &play.post_tasks] {
            lister.items(part, &chain);
        }
        if what.tasks {
            let _ = write!(text, "    tasks:\n{}", lister.tasks);
        }
        if what.tags {
            let tags: Vec<String> = lister.tags.into_iter().collect();
            let _ = writeln!(text, "      TASK TAGS: [{}]", tags.join(", "));
        }
    }
    Ok(text)
}

/// Goes through the tasks of a play. As in Ansible those of `rescue` and `always` are not listed.
struct Lister<'a> {
    run: &'a Arc<RunContext>,
    scope: Arc<dyn Scope>,
    tasks: String,
    tags: BTreeSet<String>,
}

impl Lister<'_> {
    fn items(&mut self, items: &[Item], chain: &Arc<Chain>) {
        for item in items {
            match item {
                Item::Task(task) => self.task(task, chain),
                Item::Block(block) => self.items(&block.body, &chain.block(block)),
            }
        }
    }

    fn task(&mut self, task: &Task, chain: &Arc<Chain>) {
        let tags = tags_of(chain, task, |node| rendered(self.run, node, &self.scope));
        let options = &self.run.options;
        if !tags_select(&tags, &options.tags, &options.skip_tags) {
            return;
        }
        let sorted: BTreeSet<String> = tags.into_iter().collect();
        let shown: Vec<&str> = sorted.iter().map(String::as_str).collect();
        let name = written_name(task).map_or_else(
            || task.action.name.to_string(),
            |name| full_name(&name, task, chain),
        );
        let _ = writeln!(self.tasks, "      {name}\tTAGS: [{}]", shown.join(", "));
        self.tags.extend(sorted);
    }
}

/// A task's name as written, templates and all.
fn written_name(task: &Task) -> Option<String> {
    let node = task.base.name.as_ref()?;
    Some(crate::modules::args::text(&crate::yaml::plain(node))).filter(|name| !name.is_empty())
}

/// With the role before it; an `include_role` belongs to no role's tasks in this.
fn full_name(name: &str, task: &Task, chain: &Chain) -> String {
    match &chain.role {
        Some(used)
            if task
                .action
                .spec
                .is_none_or(|spec| spec.name != "include_role") =>
        {
            format!("{} : {name}", used.role.name)
        }
        _ => name.to_owned(),
    }
}

fn rendered(run: &RunContext, node: &crate::yaml::Node, scope: &Arc<dyn Scope>) -> Vec<String> {
    match run.engine.render(node, scope) {
        Ok(value) => flat(&value),
        Err(_) => node.as_str().map(str::to_owned).into_iter().collect(),
    }
}

fn unique(texts: impl Iterator<Item = String>) -> Vec<String> {
    let set: indexmap::IndexSet<String> = texts.collect();
    set.into_iter().collect()
}

/// Where a run starts in the middle.
pub(crate) enum StartAt {
    /// `--start-at-task`: a task's name, with or without its role, or a glob, if the tags select it.
    Wanted(String, Option<globset::GlobMatcher>),
    /// `--resume`: the task of this name, with its role.
    Name(String),
    /// `--resume`: the task at this place, if it still has this name or one that is only known on a host.
    Place(String, String),
}

impl StartAt {
    /// For the name or glob that the user gave.
    pub(crate) fn new(wanted: &str) -> Self {
        let glob = globset::Glob::new(wanted).ok();
        Self::Wanted(wanted.to_owned(), glob.map(|glob| glob.compile_matcher()))
    }

    /// Whether to start at this task.
    pub(crate) fn is(&self, task: &Task, chain: &Chain) -> bool {
        let module = task.action.name.to_string();
        let name = written_name(task);
        let full = full_name(name.as_deref().unwrap_or(&module), task, chain);
        match self {
            Self::Wanted(wanted, glob) => name.iter().chain([&full]).any(|name| {
                name == wanted || glob.as_ref().is_some_and(|glob| glob.is_match(name))
            }),
            Self::Name(wanted) => full == *wanted,
            Self::Place(place, name) => {
                let node = task.base.name.as_ref();
                task.span.to_string() == *place
                    && (full == *name || node.is_some_and(crate::yaml::Node::is_template))
            }
        }
    }

    /// Whether the task must be one that the tags select.
    pub(crate) fn minds_tags(&self) -> bool {
        matches!(self, Self::Wanted(..))
    }

    /// Whether a play has the task, `rescue` left out: nothing has failed when a run starts.
    pub(crate) fn in_play(
        &self,
        play: &Arc<Play>,
        top: &Arc<Chain>,
        chosen: &impl Fn(&Task, &Arc<Chain>) -> bool,
    ) -> bool {
        [&play.pre_tasks, &play.roles, &play.tasks, &play.post_tasks]
            .into_iter()
            .any(|items| self.in_items(items, top, chosen))
    }

    fn in_items(
        &self,
        items: &[Item],
        chain: &Arc<Chain>,
        chosen: &impl Fn(&Task, &Arc<Chain>) -> bool,
    ) -> bool {
        let inside = |block: &Arc<Block>| {
            let inner = chain.block(block);
            self.in_items(&block.body, &inner, chosen)
                || self.in_items(&block.always, &inner, chosen)
        };
        items.iter().any(|item| match item {
            Item::Task(task) => self.is(task, chain) && chosen(task, chain),
            Item::Block(block) => inside(block),
        })
    }
}

/// Whether a play has a task to start at that its tags select.
pub(crate) fn starts_in(run: &Arc<RunContext>, play: &Arc<Play>, start: &StartAt) -> bool {
    let scope = play_scope(run, play);
    let chain = Chain::of_play(play, Arc::clone(&run.magic));
    start.in_play(play, &chain, &|task, chain| {
        let tags = tags_of(chain, task, |node| rendered(run, node, &scope));
        tags_select(&tags, &run.options.tags, &run.options.skip_tags)
    })
}
