//! Reads what the script of [`super::script`] printed, in the order of the same layout.

use super::layout::{Batch, Layout, Question, is_account, is_package, sendable};
use super::{
    Answer, FileType, GroupState, PackageState, PathState, Probe, Seen, UnitState, UserState,
};
use std::collections::HashMap;
use std::sync::Arc;

/// Reads the output of the script for these probes: an answer to each of them.
///
/// # Errors
/// When the output is cut or not of that script.
pub fn parse(probes: &[Probe], stdout: &[u8]) -> Result<Seen, String> {
    let layout = Layout::new(probes);
    let facts = Facts::read(&layout, &mut Cursor { rest: stdout })?;
    let mut seen = Seen::default();
    for probe in probes {
        seen.insert(probe.clone(), facts.answer(probe));
    }
    Ok(seen)
}

/// What was told about one thing.
type Told<T> = Result<Option<T>, String>;

const DENIED: &str = "permission denied";
const MOVED: &str = "it changed while it was looked at";

/// Everything the output says, by name.
#[derive(Default)]
struct Facts<'a> {
    expanded: HashMap<&'a str, String>,
    stat: HashMap<&'a str, Told<PathState>>,
    follow: HashMap<&'a str, Told<PathState>>,
    targets: HashMap<&'a str, Told<String>>,
    access: HashMap<&'a str, u8>,
    texts: HashMap<(Question, &'a str), String>,
    digests: HashMap<(&'a str, &'a str), Told<String>>,
    contents: HashMap<&'a str, Told<Arc<[u8]>>>,
    packages: HashMap<String, Vec<PackageState>>,
    no_packages: Option<String>,
    native: String,
    units: HashMap<&'a str, Result<UnitState, String>>,
    passwd: Vec<Vec<String>>,
    shadow: Vec<Vec<String>>,
    memberships: HashMap<&'a str, Vec<String>>,
    groups: Vec<Vec<String>>,
    scripts: HashMap<&'a str, Answer>,
}

/// Output not read yet.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Everything up to a byte, which is dropped.
    fn until(&mut self, end: u8) -> Result<&'a [u8], String> {
        let at = self
            .rest
            .iter()
            .position(|byte| *byte == end)
            .ok_or("the host's answer was cut")?;
        let (head, tail) = self.rest.split_at(at);
        self.rest = &tail[1..];
        Ok(head)
    }

    fn line(&mut self) -> Result<String, String> {
        self.until(b'\n')
            .map(|line| String::from_utf8_lossy(line).into_owned())
    }

    /// Lines up to the one that starts with `=`, and what follows that sign.
    fn block(&mut self) -> Result<(Vec<String>, String), String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line()?;
            if let Some(end) = line.strip_prefix('=') {
                return Ok((lines, end.to_owned()));
            }
            lines.push(line);
        }
    }

    /// Everything up to a mark, which is dropped.
    fn marked(&mut self, mark: &[u8]) -> Result<&'a [u8], String> {
        let at = memchr::memmem::find(self.rest, mark).ok_or("the host's answer was cut")?;
        let (head, tail) = self.rest.split_at(at);
        self.rest = &tail[mark.len()..];
        Ok(head)
    }
}

impl<'a> Facts<'a> {
    fn read(layout: &Layout<'a>, cursor: &mut Cursor) -> Result<Self, String> {
        let mut facts = Self::default();
        // The first line says how bytes of files and output of scripts end.
        let mark = if layout.marked() {
            format!("\u{2}{}", cursor.line()?)
        } else {
            String::new()
        };
        for batch in &layout.batches {
            facts.paths(batch, cursor, &mark)?;
        }
        for _ in &layout.packages {
            facts.packages(cursor)?;
        }
        for names in &layout.units {
            facts.units(names, cursor)?;
        }
        for name in &layout.odd_units {
            facts.units(&[name], cursor)?;
        }
        for names in &layout.users {
            facts.passwd.extend(records(cursor)?);
            facts.shadow.extend(records(cursor)?);
            for name in names {
                let groups = cursor
                    .line()?
                    .split_whitespace()
                    .map(str::to_owned)
                    .collect();
                facts.memberships.insert(name, groups);
            }
        }
        for _ in &layout.groups {
            facts.groups.extend(records(cursor)?);
        }
        facts.scripts(layout, cursor, &mark)?;
        if cursor.rest.is_empty() {
            Ok(facts)
        } else {
            Err("the host's answer has more than was asked".into())
        }
    }

    fn paths(&mut self, batch: &Batch<'a>, cursor: &mut Cursor, mark: &str) -> Result<(), String> {
        for (question, groups) in &batch.questions {
            let paths = batch.paths(groups);
            if *question == Question::Expand {
                for path in paths {
                    let text = String::from_utf8_lossy(cursor.until(0)?).into_owned();
                    self.expanded.insert(path, text);
                }
                continue;
            }
            let flags: Vec<char> = cursor.line()?.chars().collect();
            if flags.len() != paths.len() {
                return Err("the host's answer does not fit the question".into());
            }
            let told = paths.iter().copied().zip(flags.iter().copied());
            match question {
                Question::Expand => {}
                Question::Access => {
                    let bits = flags.iter().map(|flag| match flag {
                        '1'..='7' => *flag as u8 - b'0',
                        _ => 0,
                    });
                    self.access.extend(paths.iter().copied().zip(bits));
                }
                Question::Real => {
                    for (path, _) in told.filter(|(_, flag)| *flag == '+') {
                        let text = String::from_utf8_lossy(cursor.until(0)?).into_owned();
                        self.texts.insert((Question::Real, path), text);
                    }
                    cursor.block()?;
                }
                Question::Flags | Question::Mime => {
                    let (lines, _) = cursor.block()?;
                    let asked = told.filter(|(_, flag)| *flag == '+').map(|(path, _)| path);
                    for (path, text) in describe(*question, &lines, asked.collect()) {
                        self.texts.insert((*question, path), text);
                    }
                }
                Question::Stat => fill(&mut self.stat, told, &cursor.block()?.0, path_state),
                Question::Follow => fill(&mut self.follow, told, &cursor.block()?.0, path_state),
                Question::Readlink => {
                    let links = flags.iter().filter(|flag| **flag == '+').count();
                    let targets = targets(cursor, links)?;
                    fill(&mut self.targets, told, &targets, |target| {
                        Some(target.to_owned())
                    });
                    cursor.block()?;
                }
                Question::Digest(algorithm) => {
                    let lines = digest_lines(&cursor.block()?.0, &paths, &flags);
                    let mut answers = HashMap::new();
                    fill(&mut answers, told, &lines, digest);
                    for (path, answer) in answers {
                        self.digests.insert((path, algorithm), answer);
                    }
                }
                Question::Content(_) => {
                    for (path, flag) in told {
                        let told = match flag {
                            '+' => content(cursor, mark)?,
                            '?' => Err(DENIED.into()),
                            _ => Ok(None),
                        };
                        self.contents.insert(path, told);
                    }
                }
            }
        }
        Ok(())
    }

    fn packages(&mut self, cursor: &mut Cursor) -> Result<(), String> {
        let (lines, status) = cursor.block()?;
        if status == "127" {
            self.no_packages = Some("dpkg-query was not found".into());
        }
        for line in lines {
            let mut fields = line.splitn(4, ' ');
            let mut field = || fields.next().unwrap_or_default().to_owned();
            let (name, arch, version, status) = (field(), field(), field(), field());
            if name == "dpkg" {
                self.native.clone_from(&arch);
            }
            self.packages.entry(name).or_default().push(PackageState {
                status,
                version,
                arch,
                automatic: false,
            });
        }
        let (lines, _) = cursor.block()?;
        let mut name = "";
        for line in &lines {
            if let Some(found) = line.strip_prefix("Package: ") {
                name = found;
            } else if line == "Auto-Installed: 1" {
                for package in self.packages.get_mut(name).into_iter().flatten() {
                    package.automatic = true;
                }
                name = "";
            }
        }
        Ok(())
    }

    fn units(&mut self, names: &[&'a str], cursor: &mut Cursor) -> Result<(), String> {
        let head = cursor.line()?;
        let (flags, manager) = head.split_once(' ').unwrap_or((&head, ""));
        let (lines, _) = cursor.block()?;
        let blocks: Vec<UnitState> = lines
            .split(String::is_empty)
            .filter(|lines| !lines.is_empty())
            .map(|lines| {
                lines
                    .iter()
                    .filter_map(|line| line.split_once('='))
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect()
            })
            .collect();
        let whole = blocks.len() == names.len();
        for (at, name) in names.iter().enumerate() {
            let mut state = if whole {
                blocks[at].clone()
            } else if names.len() == 1 {
                HashMap::from([("LoadState".to_owned(), "not-found".to_owned())])
            } else {
                self.units
                    .insert(name, Err("systemctl did not tell".into()));
                continue;
            };
            state.insert("Manager".into(), manager.into());
            match flags.chars().nth(at) {
                Some(flag @ ('n' | 'e')) => {
                    state.insert("InitScript".into(), "yes".into());
                    let enabled = if flag == 'e' { "yes" } else { "no" };
                    state.insert("InitEnabled".into(), enabled.into());
                }
                _ => {
                    state.insert("InitScript".into(), "no".into());
                }
            }
            self.units.insert(name, Ok(state));
        }
        Ok(())
    }

    fn scripts(
        &mut self,
        layout: &Layout<'a>,
        cursor: &mut Cursor,
        mark: &str,
    ) -> Result<(), String> {
        for script in &layout.scripts {
            let stdout = cursor.marked(format!("{mark} ").as_bytes())?.into();
            let rc = cursor.line()?.parse();
            let rc = rc.map_err(|_| "an exit status is no number")?;
            let stderr = cursor.marked(format!("{mark}\n").as_bytes())?.into();
            self.scripts
                .insert(script, Answer::Script { rc, stdout, stderr });
        }
        Ok(())
    }

    fn answer(&self, probe: &Probe) -> Answer {
        match probe {
            Probe::Path { path, .. } if !sendable(path) => Answer::Path(None),
            Probe::Digest { path, .. } if !sendable(path) => Answer::Digest(None),
            Probe::Content { path, .. } if !sendable(path) => Answer::Content(None),
            probe if probe.path().is_some_and(|path| !sendable(path)) => {
                Answer::Text(String::new())
            }
            Probe::Access(path) => {
                Answer::Access(self.access.get(path.as_str()).copied().unwrap_or(0))
            }
            Probe::Real(path) => self.text(Question::Real, path),
            Probe::Flags(path) => self.text(Question::Flags, path),
            Probe::Mime(path) => self.text(Question::Mime, path),
            Probe::Path { path, follow } => told(self.path(path, *follow), Answer::Path),
            Probe::Digest { path, algorithm } => told(
                self.digests.get(&(path.as_str(), *algorithm)).cloned(),
                Answer::Digest,
            ),
            Probe::Content { path, limit } => told(
                self.contents.get(path.as_str()).cloned().map(|told| {
                    told.map(|bytes| bytes.filter(|bytes| bytes.len() as u64 <= *limit))
                }),
                Answer::Content,
            ),
            Probe::Expand(path) => {
                Answer::Text(self.expanded.get(path.as_str()).unwrap_or(path).clone())
            }
            Probe::Package(name) => match &self.no_packages {
                Some(why) => Answer::Unknown(why.clone()),
                None => Answer::Package(self.package(name)),
            },
            Probe::Unit(name) => match self.units.get(name.as_str()) {
                Some(Ok(state)) => Answer::Unit(state.clone()),
                Some(Err(why)) => Answer::Unknown(why.clone()),
                None => Answer::Unknown("no name of a unit".into()),
            },
            Probe::User(name) => Answer::User(self.user(name)),
            Probe::Group(name) => Answer::Group(self.group(name)),
            Probe::Script(script) => self
                .scripts
                .get(script.as_str())
                .cloned()
                .unwrap_or_else(|| Answer::Unknown("it was not asked".into())),
        }
    }

    fn text(&self, question: Question, path: &str) -> Answer {
        Answer::Text(
            self.texts
                .get(&(question, path))
                .cloned()
                .unwrap_or_default(),
        )
    }

    fn path(&self, path: &str, follow: bool) -> Option<Told<PathState>> {
        let own = self.stat.get(path)?;
        let link = matches!(own, Ok(Some(state)) if state.kind == FileType::Link);
        if follow && link {
            return self.follow.get(path).cloned();
        }
        let mut own = own.clone();
        if link && let (Ok(Some(state)), Some(target)) = (&mut own, self.targets.get(path)) {
            match target {
                Ok(target) => state.target.clone_from(target),
                Err(why) => return Some(Err(why.clone())),
            }
        }
        Some(own)
    }

    /// A package without an architecture means the native one, then any installed one.
    fn package(&self, name: &str) -> Option<PackageState> {
        if !is_package(name) {
            return None;
        }
        let (stem, arch) = name
            .split_once(':')
            .map_or((name, None), |(n, a)| (n, Some(a)));
        let all = self.packages.get(stem)?;
        let native = |state: &&PackageState| state.arch == self.native || state.arch == "all";
        match arch {
            Some("any") => all.iter().find(|state| state.installed()).or(all.first()),
            Some("native") => all.iter().find(native),
            Some(arch) => all
                .iter()
                .find(|state| state.arch == arch || (state.arch == "all" && arch == self.native)),
            None => all
                .iter()
                .filter(native)
                .chain(all.iter())
                .find(|state| state.installed())
                .or_else(|| all.iter().find(native))
                .or(all.first()),
        }
        .cloned()
    }

    fn user(&self, name: &str) -> Option<UserState> {
        if !is_account(name) {
            return None;
        }
        let line = record(&self.passwd, name, 7)?;
        let shadow = record(&self.shadow, &line[0], 2);
        Some(UserState {
            name: line[0].clone(),
            uid: line[2].parse().ok()?,
            gid: line[3].parse().ok()?,
            comment: line[4].clone(),
            home: line[5].clone(),
            shell: line[6].clone(),
            groups: self.memberships.get(name).cloned().unwrap_or_default(),
            password: shadow.map(|fields| fields[1].clone()),
            shadow: shadow
                .map(|fields| fields[2..].to_vec())
                .unwrap_or_default(),
        })
    }

    fn group(&self, name: &str) -> Option<GroupState> {
        if !is_account(name) {
            return None;
        }
        let line = record(&self.groups, name, 4)?;
        Some(GroupState {
            name: line[0].clone(),
            gid: line[2].parse().ok()?,
            members: line[3]
                .split(',')
                .filter(|member| !member.is_empty())
                .map(str::to_owned)
                .collect(),
        })
    }
}

/// The bytes of a file, as far as they could be read.
fn content(cursor: &mut Cursor, mark: &str) -> Result<Told<Arc<[u8]>>, String> {
    let bytes = cursor.marked(format!("{mark} ").as_bytes())?;
    Ok(match cursor.line()?.as_str() {
        "0" => Ok(Some(bytes.into())),
        _ => Err("it cannot be read".into()),
    })
}

fn told<T>(told: Option<Told<T>>, answer: impl Fn(Option<T>) -> Answer) -> Answer {
    match told {
        Some(Ok(value)) => answer(value),
        Some(Err(why)) => Answer::Unknown(why),
        None => answer(None),
    }
}

/// Gives each path that passed its record. A count that does not fit means that something vanished or came in between.
fn fill<'a, T>(
    into: &mut HashMap<&'a str, Told<T>>,
    told: impl Iterator<Item = (&'a str, char)>,
    records: &[String],
    read: impl Fn(&str) -> Option<T>,
) {
    let told: Vec<_> = told.collect();
    let whole = told.iter().filter(|(_, flag)| *flag == '+').count() == records.len();
    let mut records = records.iter();
    for (path, flag) in told {
        let answer = match flag {
            '+' if whole => match records.next().and_then(|record| read(record)) {
                Some(value) => Ok(Some(value)),
                None => Err(MOVED.to_owned()),
            },
            '+' => Err(MOVED.to_owned()),
            '?' => Err(DENIED.to_owned()),
            _ => Ok(None),
        };
        into.insert(path, answer);
    }
}

/// Targets of so many links. An empty item, which no target is, ends them; behind it the status of `readlink`, and
/// when that is bad all of them once more, one by one.
fn targets(cursor: &mut Cursor, links: usize) -> Result<Vec<String>, String> {
    let mut items = Vec::new();
    if links == 0 {
        return Ok(items);
    }
    let item = |cursor: &mut Cursor| {
        cursor
            .until(0)
            .map(|item| String::from_utf8_lossy(item).into_owned())
    };
    loop {
        let target = item(cursor)?;
        if target.is_empty() {
            break;
        }
        items.push(target);
    }
    if item(cursor)? == "0" {
        return Ok(items);
    }
    (0..links).map(|_| item(cursor)).collect()
}

/// Lines of `lsattr` and `file`: the first leaves out what it cannot tell but names the rest, the second tells of all.
fn describe<'a>(
    question: Question,
    lines: &[String],
    paths: Vec<&'a str>,
) -> Vec<(&'a str, String)> {
    if question == Question::Mime {
        let whole = lines.len() == paths.len();
        let pairs = paths.into_iter().zip(lines.iter().cloned());
        return pairs.filter(|_| whole).collect();
    }
    let mut lines = lines.iter().peekable();
    let mut out = Vec::new();
    for path in paths {
        // What the shell made of a `~` is not known here: the name's end must do.
        let name = path.rsplit('/').next().unwrap_or(path);
        if let Some(line) = lines.next_if(|line| line.ends_with(name)) {
            let fields: Vec<&str> = line.split_whitespace().take(2).collect();
            out.push((path, fields.join(" ")));
        }
    }
    out
}

/// One line a file; where a name with a line end was printed as it is (busybox), its further lines are dropped.
fn digest_lines(lines: &[String], paths: &[&str], flags: &[char]) -> Vec<String> {
    let mut lines = lines.iter();
    let mut out = Vec::new();
    for (path, _) in paths.iter().zip(flags).filter(|(_, flag)| **flag == '+') {
        let Some(line) = lines.next() else { break };
        if !line.starts_with('\\') {
            let _ = path.matches('\n').map(|_| lines.next()).count();
        }
        out.push(line.clone());
    }
    out.extend(lines.cloned());
    out
}

fn digest(line: &str) -> Option<String> {
    let hex = line.trim_start_matches('\\').split(' ').next()?;
    (hex.len() >= 32 && hex.chars().all(|c| c.is_ascii_hexdigit())).then(|| hex.to_owned())
}

/// Reads a line of `stat` in the format [`super::STAT`].
pub(crate) fn path_state(line: &str) -> Option<PathState> {
    let mut fields = line.splitn(15, ' ');
    let mut field = || fields.next();
    let raw = u32::from_str_radix(field()?, 16).ok()?;
    let (uid, gid) = (field()?.parse().ok()?, field()?.parse().ok()?);
    let size = field()?.parse().ok()?;
    let (atime, mtime, ctime) = (
        field()?.parse().ok()?,
        field()?.parse().ok()?,
        field()?.parse().ok()?,
    );
    let (inode, dev, nlink) = (
        field()?.parse().ok()?,
        field()?.parse().ok()?,
        field()?.parse().ok()?,
    );
    let (blocks, block_size) = (field()?.parse().ok()?, field()?.parse().ok()?);
    let major = u64::from_str_radix(field()?, 16).ok()?;
    let minor = u64::from_str_radix(field()?, 16).ok()?;
    let (user, group) = field()?.split_once(':')?;
    let name = |name: &str| {
        if name == "UNKNOWN" {
            String::new()
        } else {
            name.to_owned()
        }
    };
    Some(PathState {
        kind: match raw & 0o170_000 {
            0o100_000 => FileType::File,
            0o040_000 => FileType::Directory,
            0o120_000 => FileType::Link,
            0o010_000 => FileType::Other('p'),
            0o020_000 => FileType::Other('c'),
            0o060_000 => FileType::Other('b'),
            0o140_000 => FileType::Other('s'),
            _ => FileType::Other('?'),
        },
        mode: raw & 0o7777,
        uid,
        user: name(user),
        gid,
        group: name(group),
        size,
        mtime,
        atime,
        ctime,
        inode,
        dev,
        nlink,
        blocks,
        block_size,
        rdev: (minor & 0xff) | ((major & 0xfff) << 8) | ((minor & !0xff) << 12),
        target: None,
    })
}

/// Lines of a colon file.
fn records(cursor: &mut Cursor) -> Result<Vec<Vec<String>>, String> {
    let (lines, _) = cursor.block()?;
    Ok(lines
        .iter()
        .map(|line| line.split(':').map(str::to_owned).collect())
        .collect())
}

/// The line of a name, or else of a number, with at least so many fields.
fn record<'a>(lines: &'a [Vec<String>], name: &str, fields: usize) -> Option<&'a Vec<String>> {
    let mut whole = lines.iter().filter(|line| line.len() >= fields);
    whole
        .clone()
        .find(|line| line[0] == name)
        .or_else(|| whole.find(|line| fields > 2 && line[2] == name))
}
