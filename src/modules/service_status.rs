//! `service_status` (ours): a service as an operator sees it: its state, its processes with their children, its ports. Read-only.

use super::health_check::port;
use super::rule::{self, Rule};
use super::{
    Args, Controller, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Spec, Step, Type, sh,
};
use minijinja::Value;

/// The module.
pub(crate) struct ServiceStatus;

static SPEC: Spec = Spec {
    name: "service_status",
    collection: "mini_play.builtin",
    aliases: &[],
    doc: "Tell a service's state, since when, its processes, their memory and ports; changes nothing",
    params: &[Param::new(
        "name",
        Type::Str,
        "the unit, upstart's job or the init script",
    )
    .required()],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

/// Every process: pid, parent, user, resident KiB, when it started (five words), command.
const PROCESSES: &str =
    "ps axww -o pid= -o ppid= -o user:32= -o rss= -o lstart= -o args= 2>/dev/null || :";

/// Pids of a unit: what its control group holds, or what a pid file names.
fn pids(name: &str) -> String {
    format!(
        "u={}\nif [ -d /run/systemd/system ]; then\n\
         g=$(systemctl show -p ControlGroup -- \"$u\") g=${{g#ControlGroup=}}\n\
         [ \"$g\" ] && find \"/sys/fs/cgroup$g\" \"/sys/fs/cgroup/systemd$g\" -name cgroup.procs -exec cat '{{}}' + 2>/dev/null\n\
         else cat \"/var/run/$u.pid\" \"/var/run/$u/$u.pid\" 2>/dev/null; fi\n:",
        sh::quote(name.trim_end_matches(".service"))
    )
}

impl Module for ServiceStatus {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let name = args.text("name");
        let of_unit = pids(&name);
        let probes = vec![
            Probe::Unit(name.clone()),
            Probe::Script(PROCESSES.into()),
            Probe::Script(port::SCRIPT.into()),
            Probe::Script(of_unit.clone()),
        ];
        Rule::new(probes, move |seen| {
            let empty = super::probe::UnitState::new();
            let unit = seen.unit(&name).unwrap_or(&empty);
            let get = |key: &str| unit.get(key).map_or("", String::as_str);
            let rows = parse(&rule::script(seen, PROCESSES)?.1);
            let main: u32 = get("MainPID").parse().unwrap_or(0);
            let mut pids: Vec<u32> = rule::script(seen, &of_unit)?
                .1
                .lines()
                .filter_map(|line| line.trim().parse().ok())
                .collect();
            if pids.is_empty() && main != 0 {
                pids.push(main);
            }
            let tree = tree(&rows, &pids);
            let main = tree
                .iter()
                .find(|(row, _)| row.pid == main)
                .or(tree.first());
            let mut ports: Vec<String> = port::parse(&rule::script(seen, port::SCRIPT)?.1)
                .iter()
                .filter(|listener| !listener.passing())
                .filter(|listener| listener.of(|pid| tree.iter().any(|(row, _)| row.pid == pid)))
                .map(port::Listener::told)
                .collect();
            ports.sort_by_key(|told| (told.rsplit(':').next().map(str::len), told.clone()));
            ports.dedup();
            let state = match (get("LoadState"), get("ActiveState")) {
                ("not-found" | "", "inactive" | "") => "absent",
                (_, "") => "unknown",
                (_, state) => state,
            };
            let memory: u64 = tree.iter().map(|(row, _)| row.memory).sum();
            Ok(Outcome::ok()
                .with("name", name.clone())
                .with("state", state)
                .with("enabled", get("UnitFileState"))
                .with("pid", main.map(|(row, _)| row.pid))
                .with("since", main.map(|(row, _)| row.since.clone()))
                .with("memory", memory)
                .with("ports", ports)
                .with(
                    "processes",
                    tree.iter()
                        .map(|(row, depth)| row.value(*depth))
                        .collect::<Vec<_>>(),
                )
                .into())
        })
        .step()
    }
}

/// A process.
struct Row {
    pid: u32,
    parent: u32,
    user: String,
    /// Bytes.
    memory: u64,
    since: String,
    command: String,
}

impl Row {
    fn value(&self, depth: usize) -> Value {
        Value::from_pairs([
            ("pid", Value::from(self.pid)),
            ("user", Value::from(self.user.clone())),
            ("memory", Value::from(self.memory)),
            ("depth", Value::from(depth)),
            ("command", Value::from(self.command.clone())),
        ])
    }
}

fn parse(text: &str) -> Vec<Row> {
    text.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row> {
    let mut rest = line;
    let mut word = || {
        let text = rest.trim_start();
        let (word, after) = text.split_at(text.find(' ').unwrap_or(text.len()));
        rest = after;
        word
    };
    let (pid, parent) = (word().parse().ok()?, word().parse().ok()?);
    let user = word().to_owned();
    let memory = word().parse::<u64>().ok()? * 1024;
    let [_, month, day, time, year] = [word(), word(), word(), word(), word()];
    let since = moment(month, day, time, year)?;
    Some(Row {
        pid,
        parent,
        user,
        memory,
        since,
        command: rest.trim().to_owned(),
    })
}

/// `2026-11-22 23:11:57`.
fn moment(month: &str, day: &str, time: &str, year: &str) -> Option<String> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let month = MONTHS.find(month)? / 3 + 1;
    let day: u8 = day.parse().ok()?;
    Some(format!("{year}-{month:02}-{day:02} {time}"))
}

/// The processes with these pids and all below them, parents before children, with their depth.
fn tree<'a>(rows: &'a [Row], pids: &[u32]) -> Vec<(&'a Row, usize)> {
    let roots = rows.iter().filter(|row| {
        // What has its parent among them stands below it.
        pids.contains(&row.pid) && !pids.contains(&row.parent)
    });
    let mut open: Vec<(&Row, usize)> = roots.map(|row| (row, 0)).collect();
    open.reverse();
    let mut tree: Vec<(&Row, usize)> = Vec::new();
    while let Some((row, depth)) = open.pop() {
        if tree.iter().any(|(known, _)| known.pid == row.pid) {
            continue;
        }
        tree.push((row, depth));
        let children = rows.iter().rev().filter(|child| child.parent == row.pid);
        open.extend(children.map(|child| (child, depth + 1)));
    }
    tree
}
