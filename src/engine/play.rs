//! One play: its hosts in batches, each host at its own pace.

use super::board::Board;
use super::chain::Chain;
use super::context::{HostContext, RunContext, flat};
use super::host::{self, Back, Left};
use super::listing::{StartAt, starts_in};
use super::position::Position;
use super::prepare::find_file;
use super::turn::Cache;
use super::walk::Walk;
use crate::diag::Diagnostic;
use crate::modules;
use crate::playbook::ast::{Action, Base, Item, Play, Task};
use crate::report::Event;
use crate::report::event::HostRecap;
use crate::template::{Scope, TemplateError};
use crate::vars::{Access, HostState, Layer, Magic, Parts, StepScope, Values};
use crate::yaml::{Kind, Node};
use minijinja::Value;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use tokio::task::JoinSet;

/// What the plays of a run hand on to each other.
#[derive(Default)]
pub(crate) struct Carried {
    /// What each host has learned.
    pub states: HashMap<Arc<str>, HostState>,
    /// What was observed of each host at the end of its last play.
    pub caches: HashMap<Arc<str>, (std::time::Instant, Cache)>,
    /// Hosts that are out: failed or unreachable.
    pub out: HashSet<Arc<str>>,
    /// The task to start at, until its play has come.
    pub start: Option<StartAt>,
    /// Whether the user stopped the run.
    pub interrupted: bool,
    /// Whether a play ended everything (`any_errors_fatal`, `max_fail_percentage`).
    pub fatal: bool,
}

/// Runs a play. `told` gets each host's figures.
pub(crate) async fn run_play(
    run: &Arc<RunContext>,
    index: usize,
    carried: &mut Carried,
    told: &mut impl FnMut(&HostRecap, Left),
) -> Result<(), Diagnostic> {
    let Some(play) = run.plays.get(index) else {
        return Ok(());
    };
    let scope = play_scope(run, play);
    let patterns = flat(&run.engine.render(&play.hosts, &scope).map_err(plain)?);
    let hosts = select(run, play, &patterns)?;
    let name = title(run, play, &scope);
    let shown = hosts.iter().map(ToString::to_string).collect();
    run.emit(Event::PlayStart {
        name: name.clone(),
        hosts: shown,
    });
    if hosts.is_empty() {
        let groups = run.inventory.groups();
        // A group that is there but empty is the inventory's own way to say "nobody".
        if !patterns
            .iter()
            .all(|name| groups.iter().any(|(group, _)| group == name))
        {
            run.emit(Event::Warning {
                host: None,
                text: format!("no host matches `{}`", patterns.join(",")),
            });
        }
        return Ok(());
    }
    // Everything before the task to start at is passed over.
    let start = match carried.start.take() {
        Some(start) if starts_in(run, play, &start) => Some(Arc::new(start)),
        None => None,
        passed => {
            carried.start = passed;
            return Ok(());
        }
    };
    let prompted = prompt(run, play, &scope).await?;
    let everyone: Vec<Arc<str>> = hosts
        .iter()
        .filter(|h| !carried.out.contains(*h))
        .cloned()
        .collect();
    let fatal = setting(run, &scope, play.base.any_errors_fatal.as_ref())?;
    let percentage = percent(run, &scope, play)?;
    for batch in batches(run, play, &scope, &everyone)? {
        let (backs, cut, absolved) = run_batch(
            run,
            (index, start.as_ref()),
            &name,
            &everyone,
            batch,
            &prompted,
            carried,
        )
        .await;
        for recap in cut {
            carried.interrupted = true;
            let left = if recap.failed > 0 {
                Left::Failed
            } else {
                Left::Interrupted
            };
            told(&recap, left);
        }
        let all = backs.len();
        let mut bad = 0;
        let mut end_play = false;
        if absolved.is_some() {
            carried.out.retain(|host| !hosts.contains(host));
        }
        for mut back in backs {
            let host: Arc<str> = back.recap.host.as_str().into();
            if absolved.as_ref().is_some_and(|all| all.contains(&host)) {
                back.left = Left::Done;
            }
            match back.left {
                Left::Done => {}
                Left::Interrupted => carried.interrupted = true,
                Left::Failed | Left::Unreachable => {
                    bad += 1;
                    carried.out.insert(Arc::clone(&host));
                }
            }
            end_play |= back.end_play;
            carried.caches.insert(
                Arc::clone(&host),
                (std::time::Instant::now(), back.cache.clone()),
            );
            carried.states.insert(host, back.position.state.clone());
            told(&back.recap, back.left);
        }
        let too_many = percentage.is_some_and(|limit| bad * 100 > limit * all);
        if (fatal && bad > 0) || too_many {
            carried.fatal = true;
        }
        // As in Ansible: a batch that failed whole ends the play.
        if carried.fatal || carried.interrupted || end_play || bad == all {
            break;
        }
    }
    Ok(())
}

/// How long observations are believed from one play to the next.
const BELIEVED: std::time::Duration = std::time::Duration::from_secs(20);

async fn run_batch(
    run: &Arc<RunContext>,
    (index, start): (usize, Option<&Arc<StartAt>>),
    name: &str,
    everyone: &[Arc<str>],
    batch: Vec<Arc<str>>,
    prompted: &Layer,
    carried: &mut Carried,
) -> (Vec<Back>, Vec<HostRecap>, Option<Vec<Arc<str>>>) {
    let board = Arc::new(Board::new(batch.clone()));
    let Some(play) = run.plays.get(index) else {
        return (Vec::new(), Vec::new(), None);
    };
    let mut running = JoinSet::new();
    for host in &batch {
        let mut state = carried.states.get(host).cloned().unwrap_or_default();
        state.public_roles.clear();
        let magic = magic(run, play, name, host, everyone, &batch, carried);
        let cache = carried
            .caches
            .remove(host)
            .filter(|(when, _)| when.elapsed() < BELIEVED);
        let cache = cache.map(|(_, cache)| cache).unwrap_or_default();
        let shared = Arc::clone(&board);
        let (cx, position) = place(
            run,
            index,
            Arc::clone(host),
            shared,
            magic,
            prompted.clone(),
            state,
        );
        let mut position = position;
        match run.options.resume.get(&**host) {
            Some(point) if point.play > index => position.walk.end(),
            Some(point) if point.play == index => point.take(&cx, &mut position),
            _ => {}
        }
        if let Some(start) = start {
            position.start_at(&cx, start);
        }
        running.spawn(host::drive(Arc::new(cx), position, cache));
    }
    let mut backs = Vec::new();
    loop {
        tokio::select! {
            joined = running.join_next() => match joined {
                Some(Ok(back)) => backs.push(back),
                Some(Err(_)) => {}
                None => break,
            },
            () = run.stop.until_now() => {
                running.shutdown().await;
                break;
            }
        }
    }
    let order: HashMap<&str, usize> = batch.iter().enumerate().map(|(i, h)| (&**h, i)).collect();
    backs.sort_by_key(|back| order.get(back.recap.host.as_str()).copied());
    let absolved = backs.iter().filter_map(|back| back.absolved.as_ref()).max();
    let absolved = absolved.map(|place| board.left_before(place));
    (backs, board.take_cut(), absolved)
}

/// The next play that a host is part of, seen from the one it is in; for planning ahead.
pub(crate) fn upcoming(cx: &HostContext, state: &HostState) -> Option<(HostContext, Position)> {
    let run = &cx.run;
    let (index, play) = run
        .plays
        .iter()
        .enumerate()
        .skip(cx.index + 1)
        .find(|(_, play)| {
            let scope = play_scope(run, play);
            let Ok(patterns) = run.engine.render(&play.hosts, &scope) else {
                return false;
            };
            let patterns = flat(&patterns);
            run.inventory
                .select(&patterns.join(","), run.options.limit.as_deref())
                .is_ok_and(|hosts| hosts.iter().any(|host| *host == *cx.host))
        })?;
    // What a file or the user says is not known beforehand.
    if !play.vars_files.is_empty() || !play.vars_prompt.is_empty() {
        return None;
    }
    let all: Vec<Arc<str>> = cx.board.hosts().to_vec();
    let magic = magic(run, play, "", &cx.host, &all, &all, &Carried::default());
    let nothing = Layer::Values("vars_prompt", Arc::default());
    let mut state = state.clone();
    state.public_roles.clear();
    Some(place(
        run,
        index,
        Arc::clone(&cx.host),
        Arc::clone(&cx.board),
        magic,
        nothing,
        state,
    ))
}

/// A host at the start of a play, as if it were there alone: for looking at its variables.
pub(super) fn at_start(
    run: &Arc<RunContext>,
    index: usize,
    host: &Arc<str>,
) -> (HostContext, Position) {
    let all = [Arc::clone(host)];
    let magic = magic(
        run,
        &run.plays[index],
        "",
        host,
        &all,
        &all,
        &Carried::default(),
    );
    place(
        run,
        index,
        Arc::clone(host),
        Arc::new(Board::new(all.to_vec())),
        magic,
        Layer::Values("vars_prompt", Arc::default()),
        HostState::default(),
    )
}

/// A host at the start of a play.
fn place(
    run: &Arc<RunContext>,
    index: usize,
    host: Arc<str>,
    board: Arc<Board>,
    magic: Arc<Magic>,
    prompted: Layer,
    state: HostState,
) -> (HostContext, Position) {
    let run = Arc::clone(run);
    let play = Arc::clone(&run.plays[index]);
    let mut play_vars = vec![Layer::Play(Arc::clone(&play)), prompted];
    let mut cx = HostContext {
        run,
        play_defaults: play
            .role_list
            .iter()
            .map(|role| Layer::Defaults(Arc::clone(role)))
            .collect(),
        play_vars: Vec::new(),
        host,
        board,
        index,
        play: Arc::clone(&play),
    };
    cx.play_defaults.retain(|layer| !layer.is_empty());
    let files = vars_files(&cx, &magic, &state, &play_vars);
    let (files, missing) = match files {
        Ok(files) => (files, None),
        Err(diagnostic) => (Vec::new(), Some(diagnostic)),
    };
    play_vars.extend(files);
    play_vars.extend(
        play.role_list
            .iter()
            .map(|role| Layer::RoleVars(Arc::clone(role))),
    );
    play_vars.retain(|layer| !layer.is_empty());
    cx.play_vars = play_vars;
    let chain = Chain::of_play(&play, magic);
    let force = play.force_handlers.as_ref().and_then(|node| {
        let value = cx
            .run
            .engine
            .render(node, &play_scope(&cx.run, &play))
            .ok()?;
        modules::args::to_bool(&value)
    });
    let force = force.unwrap_or(cx.run.options.force_handlers);
    let gather = gather(&cx, &play).then(|| gather_task(&play));
    let mut walk = Walk::new(&play, &chain, gather, force);
    if let Some(diagnostic) = missing {
        cx.run.emit(Event::Warning {
            host: Some(Arc::clone(&cx.host)),
            text: diagnostic.to_string(),
        });
        walk.end();
        walk.dead = true;
    }
    (cx, Position::new(walk, state))
}

/// Whether the play gathers facts: unless it says no.
fn gather(cx: &HostContext, play: &Play) -> bool {
    match &play.gather_facts {
        None => true,
        Some(node) => match &node.kind {
            Kind::Bool(value) => *value,
            _ => {
                let scope = play_scope(&cx.run, play);
                cx.run
                    .engine
                    .render(node, &scope)
                    .is_ok_and(|v| modules::args::to_bool(&v).unwrap_or_else(|| v.is_true()))
            }
        },
    }
}

/// The task that gathers facts.
fn gather_task(play: &Arc<Play>) -> Arc<Task> {
    let mut args = crate::yaml::Map::default();
    for (key, node) in [
        ("gather_subset", &play.gather_subset),
        ("fact_path", &play.fact_path),
    ] {
        if let Some(node) = node {
            args.insert(key.into(), play.span.clone(), node.clone());
        }
    }
    Arc::new(Task {
        span: play.span.clone(),
        base: Base {
            name: Some(Node::string("Gathering Facts", &play.span)),
            // As in Ansible: a play with tags gathers only for those.
            tags: if play.base.tags.is_empty() {
                vec![Node::string("always", &play.span)]
            } else {
                Vec::new()
            },
            ..Base::default()
        },
        action: Action {
            spec: modules::spec_of("setup"),
            name: "setup".into(),
            span: play.span.clone(),
            args: Node {
                kind: Kind::Map(Arc::new(args)),
                span: play.span.clone(),
            },
        },
        looped: None,
        register: None,
        until: Vec::new(),
        retries: None,
        delay: None,
        changed_when: None,
        failed_when: None,
        notify: Vec::new(),
        listen: Vec::new(),
        r#async: None,
        confirm: None,
        poll: None,
        apply: None,
        preloaded: None,
        dir: play.dir.clone(),
    })
}

/// `vars_files`: each the first that exists of its alternatives.
fn vars_files(
    cx: &HostContext,
    magic: &Arc<Magic>,
    state: &HostState,
    below: &[Layer],
) -> Result<Vec<Layer>, Diagnostic> {
    let mut layers: Vec<Layer> = Vec::new();
    for node in &cx.play.vars_files {
        let scope: Arc<dyn Scope> = StepScope::new(Parts {
            engine: Arc::clone(&cx.run.engine),
            shared: Arc::clone(&cx.run.shared),
            host: Arc::clone(&cx.host),
            magic: Arc::clone(magic),
            state: state.clone(),
            defaults: cx.play_defaults.clone(),
            layers: below.iter().chain(&layers).cloned().collect(),
            above: Vec::new(),
            extra: cx.run.extra.clone(),
            access: Access::Everything,
            roll: None,
            search: vec![cx.play.dir.clone()],
        });
        let names = flat(&cx.run.engine.render(node, &scope).map_err(plain)?);
        let found = names
            .iter()
            .find_map(|name| find_file(std::slice::from_ref(&cx.play.dir), "vars", name).0);
        let Some(path) = found else {
            return Err(Diagnostic::error(
                &node.span,
                format!("no variables file `{}`", names.join("`, `")),
            )
            .hint(format!(
                "looked beside the playbook, in {}",
                cx.play.dir.display()
            )));
        };
        let vars = cx.run.includes.vars(&path).map_err(|mut all| {
            all.pop()
                .unwrap_or_else(|| Diagnostic::error(&node.span, "cannot be read"))
        })?;
        layers.push(Layer::Nodes(path.display().to_string().into(), vars));
    }
    Ok(layers)
}

/// Names of roles that are there only because others depend on them.
fn dependent<'a>(items: &'a [Item], names: &mut HashSet<&'a str>) {
    for item in items {
        let Item::Block(block) = item else { continue };
        if let Some(used) = &block.role
            && !used.parents.is_empty()
            && used.includers.is_empty()
        {
            names.insert(used.role.name.as_str());
        }
        dependent(&block.body, names);
    }
}

/// Magic variables of a host in a play.
fn magic(
    run: &Arc<RunContext>,
    play: &Play,
    name: &str,
    host: &Arc<str>,
    everyone: &[Arc<str>],
    batch: &[Arc<str>],
    carried: &Carried,
) -> Arc<Magic> {
    let names = |list: &[Arc<str>]| -> Value { list.iter().map(|h| Value::from(&**h)).collect() };
    let alive: Vec<_> = everyone
        .iter()
        .filter(|h| !carried.out.contains(*h))
        .cloned()
        .collect();
    let options = &run.options;
    let texts =
        |list: &[String]| -> Value { list.iter().map(|t| Value::from(t.as_str())).collect() };
    let mut values: Values = run.magic.values.clone();
    let mut dependencies = HashSet::new();
    dependent(&play.roles, &mut dependencies);
    let names_of_roles = play.role_list.iter().map(|role| role.name.as_str());
    let (pulled, own): (Vec<&str>, Vec<&str>) =
        names_of_roles.partition(|name| dependencies.contains(name));
    let tags = if options.tags.is_empty() {
        vec!["all".to_owned()]
    } else {
        options.tags.clone()
    };
    values.extend([
        ("inventory_hostname".into(), Value::from(&**host)),
        ("ansible_play_name".into(), Value::from(name)),
        ("ansible_play_hosts".into(), names(&alive)),
        ("ansible_play_hosts_all".into(), names(everyone)),
        ("ansible_play_batch".into(), names(batch)),
        ("play_hosts".into(), names(&alive)),
        (
            "playbook_dir".into(),
            Value::from(crate::playbook::absolute(&play.dir)),
        ),
        ("role_names".into(), own.iter().copied().collect()),
        (
            "ansible_play_role_names".into(),
            own.iter().copied().collect(),
        ),
        (
            "ansible_dependent_role_names".into(),
            pulled.iter().copied().collect(),
        ),
        (
            "ansible_role_names".into(),
            own.iter().chain(&pulled).copied().collect(),
        ),
        ("ansible_check_mode".into(), Value::from(options.check)),
        ("ansible_diff_mode".into(), Value::from(options.diff)),
        ("ansible_forks".into(), Value::from(options.forks)),
        (
            "ansible_verbosity".into(),
            Value::from(u32::from(options.verbosity)),
        ),
        ("ansible_run_tags".into(), texts(&tags)),
        ("ansible_skip_tags".into(), texts(&options.skip_tags)),
    ]);
    if let Some(limit) = &options.limit {
        values.insert("ansible_limit".into(), Value::from(limit.as_str()));
    }
    let keyword = play
        .base
        .connection
        .as_ref()
        .and_then(crate::yaml::Node::as_str);
    let connection = run.links.kind(keyword, host);
    Arc::new(Magic {
        values,
        connection: Some(connection.into()),
    })
}

/// Variables for a play's own keywords: no host's.
pub(super) fn play_scope(run: &Arc<RunContext>, play: &Play) -> Arc<dyn Scope> {
    let vars = Layer::Nodes("vars of the play".into(), Arc::new(play.base.vars.clone()));
    StepScope::new(Parts {
        engine: Arc::clone(&run.engine),
        shared: Arc::clone(&run.shared),
        host: "localhost".into(),
        magic: Arc::clone(&run.magic),
        state: HostState::default(),
        defaults: Vec::new(),
        layers: vec![vars],
        above: Vec::new(),
        extra: run.extra.clone(),
        access: Access::Everything,
        roll: None,
        search: vec![play.dir.clone()],
    })
}

pub(super) fn title(run: &Arc<RunContext>, play: &Play, scope: &Arc<dyn Scope>) -> String {
    let name = play
        .base
        .name
        .as_ref()
        .and_then(|node| run.engine.render(node, scope).ok());
    name.or_else(|| run.engine.render(&play.hosts, scope).ok())
        .map(|value| flat(&value).join(","))
        .unwrap_or_default()
}

/// Hosts of the pattern, within the limit, in the play's order.
pub(super) fn select(
    run: &Arc<RunContext>,
    play: &Play,
    patterns: &[String],
) -> Result<Vec<Arc<str>>, Diagnostic> {
    let pattern = patterns.join(",");
    let selected = run
        .inventory
        .select(&pattern, run.options.limit.as_deref())
        .map_err(|d| {
            if d.span.is_some() {
                d
            } else {
                Diagnostic {
                    span: Some(play.hosts.span.clone()),
                    ..d
                }
            }
        })?;
    let mut hosts: Vec<Arc<str>> = selected
        .into_iter()
        .map(|host| host.as_str().into())
        .collect();
    // Hosts and groups that the run itself added (`add_host`, `group_by`).
    let groups = run.shared.groups();
    for name in pattern.split([',', ':']).map(str::trim) {
        let added = groups
            .get(name)
            .into_iter()
            .flatten()
            .chain(run.shared.hosts().iter().find(|h| &***h == name))
            .cloned()
            .collect::<Vec<_>>();
        for host in added {
            if !hosts.contains(&host) && run.options.limit.is_none() {
                hosts.push(host);
            }
        }
    }
    let order = match &play.order {
        Some(node) => Some(modules::args::text(
            &run.engine
                .render(node, &play_scope(run, play))
                .map_err(plain)?,
        )),
        None => None,
    };
    match order.as_deref() {
        Some("reverse_inventory") => hosts.reverse(),
        Some("sorted") => hosts.sort(),
        Some("reverse_sorted") => {
            hosts.sort();
            hosts.reverse();
        }
        _ => {}
    }
    Ok(hosts)
}

/// `serial`: numbers and percentages of all hosts, the last one repeated.
fn batches(
    run: &Arc<RunContext>,
    play: &Play,
    scope: &Arc<dyn Scope>,
    hosts: &[Arc<str>],
) -> Result<Vec<Vec<Arc<str>>>, Diagnostic> {
    let Some(node) = &play.serial else {
        return Ok(vec![hosts.to_vec()]);
    };
    let value = run.engine.render(node, scope).map_err(plain)?;
    if crate::template::is_omit(&value) || value.is_none() {
        return Ok(vec![hosts.to_vec()]);
    }
    let sizes: Vec<usize> = flat_numbers(&value)
        .iter()
        .map(|text| {
            let number = |text: &str| text.trim().parse::<usize>();
            match text.strip_suffix('%') {
                Some(percent) => number(percent).map(|n| (hosts.len() * n / 100).max(1)),
                None => number(text).map(|n| if n == 0 { hosts.len() } else { n }),
            }
            .map_err(|_| {
                Diagnostic::error(
                    &node.span,
                    format!("`serial` needs numbers or percentages, not `{text}`"),
                )
            })
        })
        .collect::<Result<_, _>>()?;
    let mut rest = hosts;
    let mut batches = Vec::new();
    let mut sizes = sizes.into_iter();
    let mut size = sizes.next().unwrap_or(hosts.len());
    while !rest.is_empty() {
        let (batch, more) = rest.split_at(size.clamp(1, rest.len()));
        batches.push(batch.to_vec());
        rest = more;
        size = sizes.next().unwrap_or(size);
    }
    if batches.is_empty() {
        batches.push(Vec::new());
    }
    Ok(batches)
}

fn flat_numbers(value: &Value) -> Vec<String> {
    match value.kind() {
        minijinja::value::ValueKind::Seq | minijinja::value::ValueKind::Iterable => value
            .try_iter()
            .into_iter()
            .flatten()
            .map(|item| modules::args::text(&item))
            .collect(),
        _ => vec![modules::args::text(value)],
    }
}

fn setting(
    run: &Arc<RunContext>,
    scope: &Arc<dyn Scope>,
    node: Option<&Node>,
) -> Result<bool, Diagnostic> {
    let Some(node) = node else { return Ok(false) };
    let value = run.engine.render(node, scope).map_err(plain)?;
    Ok(modules::args::to_bool(&value).unwrap_or_else(|| value.is_true()))
}

fn percent(
    run: &Arc<RunContext>,
    scope: &Arc<dyn Scope>,
    play: &Play,
) -> Result<Option<usize>, Diagnostic> {
    let Some(node) = &play.max_fail_percentage else {
        return Ok(None);
    };
    let value = run.engine.render(node, scope).map_err(plain)?;
    let text = modules::args::text(&value);
    text.trim()
        .trim_end_matches('%')
        .parse()
        .map(Some)
        .map_err(|_| {
            Diagnostic::error(
                &node.span,
                format!("`max_fail_percentage` needs a number, not `{text}`"),
            )
        })
}

/// `vars_prompt`: asked once, unless `-e` says the value.
async fn prompt(
    run: &Arc<RunContext>,
    play: &Play,
    scope: &Arc<dyn Scope>,
) -> Result<Layer, Diagnostic> {
    let mut values = Values::new();
    for prompt in &play.vars_prompt {
        if run.extra.get(&prompt.name).is_some() {
            continue;
        }
        let default = match &prompt.default {
            Some(node) => Some(run.engine.render(node, scope).map_err(plain)?),
            None => None,
        };
        let mut text = prompt.prompt.clone();
        if let Some(default) = &default
            && !prompt.private
        {
            text = format!("{text} [{default}]");
        }
        let failed = |why: String| {
            Diagnostic::error(
                &play.span,
                format!("cannot ask for `{}`: {why}", prompt.name),
            )
            .hint(format!("give it with `-e {}=VALUE`", prompt.name))
        };
        let answer = match run.ask(&text, !prompt.private).await {
            Ok(answer) => answer,
            Err(_) if default.is_some() => String::new(),
            Err(why) => return Err(failed(why)),
        };
        if prompt.confirm {
            let again = run
                .ask(&format!("confirm {text}"), !prompt.private)
                .await
                .map_err(failed)?;
            if again != answer {
                return Err(failed("the two answers differ".into()));
            }
        }
        let value = if answer.is_empty() {
            default.unwrap_or_default()
        } else {
            Value::from(answer)
        };
        values.insert(prompt.name.as_str().into(), value);
    }
    Ok(Layer::Values("vars_prompt", Arc::new(values)))
}

pub(super) fn plain(error: TemplateError) -> Diagnostic {
    match error {
        TemplateError::Undefined { diagnostic, .. } | TemplateError::Other(diagnostic) => {
            *diagnostic
        }
        TemplateError::Pending(what) => Diagnostic::plain(format!("{what} is not known here")),
    }
}
