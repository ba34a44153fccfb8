//! `find`: paths below folders, by name, type, age, size, mode and contents.

use super::attrs::Mode;
use super::probe::{self, FileType, PathState};
use super::regex::{self, Encoding, Flags};
use super::stat::{self, ALGORITHMS};
use super::{
    Args, Controller, Decision, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Seen, Spec,
    Step, Type, sh,
};
use crate::remote::Reply;
use fancy_regex::Regex;
use indexmap::IndexMap;
use minijinja::Value;

/// See the module's own documentation.
pub(crate) struct Find;

/// Larger files contain nothing.
const LIMIT: u64 = 32 << 20;

static SPEC: Spec = Spec {
    name: "find",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "List paths below folders that meet conditions",
    params: &[
        Param::new("paths", Type::List, "folders to look in")
            .required()
            .aliases(&["name", "path"]),
        Param::new("patterns", Type::List, "what names match, one of these").aliases(&["pattern"]),
        Param::new("excludes", Type::List, "what names do not match").aliases(&["exclude"]),
        Param::new("use_regex", Type::Bool, "patterns are regular expressions").default("false"),
        Param::new("contains", Type::Str, "pattern that a line starts with"),
        Param::new(
            "read_whole_file",
            Type::Bool,
            "`contains` may match anywhere in the file",
        )
        .default("false"),
        Param::new("encoding", Type::Str, "of the files, for `contains`"),
        Param::new("file_type", Type::Str, "what is listed")
            .default("file")
            .choices(&["any", "directory", "file", "link"]),
        Param::new("recurse", Type::Bool, "look into folders below").default("false"),
        Param::new("depth", Type::Int, "how deep"),
        Param::new("follow", Type::Bool, "look into linked folders").default("false"),
        Param::new("hidden", Type::Bool, "list names that start with a dot").default("false"),
        Param::new(
            "age",
            Type::Str,
            "at least so old (`2d`), at most when negative",
        ),
        Param::new("age_stamp", Type::Str, "which time counts")
            .default("mtime")
            .choices(&["atime", "ctime", "mtime"]),
        Param::new(
            "size",
            Type::Str,
            "at least so large (`10m`), at most when negative",
        ),
        Param::new("mode", Type::Raw, "permissions, octal or symbolic, as text"),
        Param::new(
            "exact_mode",
            Type::Bool,
            "the mode is just this, not one that has some of its bits",
        )
        .default("true"),
        Param::new("get_checksum", Type::Bool, "tell a digest of each file").default("false"),
        Param::new("checksum_algorithm", Type::Str, "which digest")
            .default("sha1")
            .choices(ALGORITHMS)
            .aliases(&["checksum", "checksum_algo"]),
        Param::new("limit", Type::Int, "stop at so many"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Find {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn only_looks(&self) -> bool {
        true
    }

    fn plan(&self, args: &Args, _: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let limit = args.int("limit");
        if let Some(limit) = limit
            && limit <= 0
        {
            return Err(Failure::of(
                "limit",
                format!("limit cannot be {limit} (use None for unlimited)"),
            ));
        }
        let mode = match args.get("mode") {
            None => None,
            Some(mode) if mode.as_str().is_none() => {
                let msg = "argument 'mode' is not a string and conversion is not allowed";
                return Err(Failure::of("mode", msg));
            }
            Some(mode) => Some(
                Mode::new(mode)?
                    .on(0, false)
                    .map_err(|why| Failure::of("mode", why))?,
            ),
        };
        let use_regex = args.bool("use_regex");
        let names = |name: &str| -> Result<Vec<Name>, Failure> {
            args.strings(name)
                .iter()
                .map(|text| Name::new(text, use_regex).map_err(|why| Failure::of(name, why)))
                .collect()
        };
        let contains = args
            .str("contains")
            .map(|pattern| {
                let anchored = if args.bool("read_whole_file") {
                    pattern
                } else {
                    anchor(&pattern)
                };
                regex::compile(&anchored, Flags::default())
                    .map_err(|why| Failure::of("contains", why))
            })
            .transpose()?;
        Ok(Box::new(FindStep {
            paths: args.strings("paths"),
            patterns: names("patterns")?,
            excludes: names("excludes")?,
            contains,
            whole: args.bool("read_whole_file"),
            file_type: args.text("file_type"),
            recurse: args.bool("recurse"),
            depth: args.int("depth").filter(|depth| *depth > 0),
            follow: args.bool("follow"),
            hidden: args.bool("hidden"),
            age: measure(
                args,
                "age",
                &[
                    ('s', 1),
                    ('m', 60),
                    ('h', 3600),
                    ('d', 86_400),
                    ('w', 604_800),
                ],
            )?,
            age_stamp: args.text("age_stamp"),
            size: measure(
                args,
                "size",
                &[
                    ('b', 1),
                    ('k', 1 << 10),
                    ('m', 1 << 20),
                    ('g', 1 << 30),
                    ('t', 1 << 40),
                ],
            )?,
            mode,
            exact_mode: args.bool("exact_mode"),
            algorithm: args
                .bool("get_checksum")
                .then(|| stat::algorithm(args, "checksum_algorithm")),
            limit: limit.and_then(|limit| usize::try_from(limit).ok()),
        }))
    }
}

/// A number with a unit.
fn measure(args: &Args, name: &str, units: &[(char, i64)]) -> Result<Option<i64>, Failure> {
    let Some(text) = args.str(name) else {
        return Ok(None);
    };
    let lower = text.to_lowercase();
    let unit = units.iter().find(|(unit, _)| lower.ends_with(*unit));
    let number = unit.map_or(lower.as_str(), |_| &lower[..lower.len() - 1]);
    let number: i64 = number.parse().map_err(|_| {
        let mut failure = Failure::of(name, format!("failed to process {name}"));
        failure.data.insert(name.into(), text.clone().into());
        failure
    })?;
    Ok(Some(number * unit.map_or(1, |(_, factor)| *factor)))
}

/// A pattern as `re.match` uses it.
fn anchor(pattern: &str) -> String {
    match pattern
        .strip_prefix("(?")
        .and_then(|rest| rest.split_once(')'))
    {
        Some((flags, rest)) if flags.chars().all(|c| "aimsux".contains(c)) && !flags.is_empty() => {
            format!("(?{flags})\\A(?:{rest})")
        }
        _ => format!("\\A(?:{pattern})"),
    }
}

/// A pattern for names.
enum Name {
    Glob(String),
    Pattern(Box<Regex>),
}

impl Name {
    fn new(text: &str, use_regex: bool) -> Result<Self, String> {
        if !use_regex {
            return Ok(Self::Glob(text.to_owned()));
        }
        regex::compile(&anchor(text), Flags::default()).map(|regex| Self::Pattern(Box::new(regex)))
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Glob(glob) => sh::fnmatch(glob, name),
            Self::Pattern(regex) => regex::search(regex, name),
        }
    }
}

struct FindStep {
    paths: Vec<String>,
    patterns: Vec<Name>,
    excludes: Vec<Name>,
    contains: Option<Regex>,
    whole: bool,
    file_type: String,
    recurse: bool,
    depth: Option<i64>,
    follow: bool,
    hidden: bool,
    age: Option<i64>,
    age_stamp: String,
    size: Option<i64>,
    mode: Option<u32>,
    exact_mode: bool,
    algorithm: Option<&'static str>,
    limit: Option<usize>,
}

/// Something below a folder.
struct Entry {
    path: String,
    now: PathState,
}

impl FindStep {
    /// The script that lists one folder: the time, then a record for each entry behind a byte that no name has.
    fn listing(&self, path: &str) -> String {
        let links = if self.follow { "-L" } else { "-P" };
        let depth = match (self.recurse, self.depth) {
            (false, _) => "-maxdepth 1".into(),
            (true, Some(depth)) => format!("-maxdepth {depth}"),
            (true, None) => String::new(),
        };
        format!(
            "d={}\n[ -d \"$d\" ] || exit 9\ndate +%s\no=$(printf '\\001')\n\
             find {links} \"${{d%/}}/\" -mindepth 1 {depth} -exec stat -c \"$o{}/%n\" {{}} +\nexit 0\n",
            sh::expanding(path, false),
            probe::STAT
        )
    }

    fn wanted(&self, entry: &Entry, now: f64) -> bool {
        let name = entry.path.rsplit('/').next().unwrap_or_default();
        if name.starts_with('.') && !self.hidden {
            return false;
        }
        let kind = match entry.now.kind {
            FileType::File => "file",
            FileType::Directory => "directory",
            FileType::Link => "link",
            FileType::Other(_) => "other",
        };
        if self.file_type != "any" && self.file_type != kind {
            return false;
        }
        if !self.patterns.is_empty() && !self.patterns.iter().any(|pattern| pattern.matches(name))
            || self.excludes.iter().any(|pattern| pattern.matches(name))
        {
            return false;
        }
        let stamp = match self.age_stamp.as_str() {
            "atime" => entry.now.atime,
            "ctime" => entry.now.ctime,
            _ => entry.now.mtime,
        };
        #[allow(clippy::cast_precision_loss)]
        let old = self.age.is_none_or(|age| {
            let limit = age.abs() as f64;
            if age >= 0 {
                now - stamp >= limit
            } else {
                now - stamp <= limit
            }
        });
        let sized = kind != "file"
            || self.size.is_none_or(|size| {
                let limit = size.unsigned_abs();
                if size >= 0 {
                    entry.now.size >= limit
                } else {
                    entry.now.size <= limit
                }
            });
        let moded = self.mode.is_none_or(|mode| {
            if self.exact_mode {
                entry.now.mode == mode
            } else {
                entry.now.mode & mode != 0
            }
        });
        old && sized && moded
    }

    /// Whether a file has what is looked for; `None` when it was not read yet.
    fn has(&self, path: &str, seen: &Seen) -> Option<bool> {
        let Some(regex) = &self.contains else {
            return Some(true);
        };
        seen.get(&Probe::Content {
            path: path.into(),
            limit: LIMIT,
        })?;
        let Some(bytes) = seen.content(path, LIMIT) else {
            return Some(false);
        };
        let text = Encoding::of(bytes).decode(bytes);
        Some(if self.whole {
            regex::search(regex, &text)
        } else {
            text.split_inclusive('\n')
                .any(|line| regex::search(regex, line))
        })
    }
}

fn entries(listed: &[u8]) -> (f64, Vec<Entry>) {
    let text = String::from_utf8_lossy(listed);
    let (time, records) = text.split_once('\n').unwrap_or(("0", ""));
    let mut entries: Vec<Entry> = records
        .split('\u{1}')
        .filter_map(|record| {
            // The names of owner and group hold no slash, the path starts with one or a dot.
            let (stat, path) = record.strip_suffix('\n')?.split_once('/')?;
            Some(Entry {
                path: tidy(path),
                now: probe::path_state(stat)?,
            })
        })
        .collect();
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    (time.parse().unwrap_or(0.0), entries)
}

/// `os.path.normpath`, as far as `find` makes it needed.
fn tidy(path: &str) -> String {
    let mut out = path.to_owned();
    while out.contains("//") {
        out = out.replace("//", "/");
    }
    out
}

impl Step for FindStep {
    fn probes(&self) -> Vec<Probe> {
        self.paths
            .iter()
            .map(|path| Probe::Script(self.listing(path)))
            .collect()
    }

    fn decide(&self, seen: &Seen) -> Decision {
        let (mut files, mut examined, mut ask) = (Vec::new(), 0, Vec::new());
        let mut outcome = Outcome::ok();
        let mut skipped: IndexMap<String, Value> = IndexMap::new();
        let mut msg = "All paths examined";
        for path in &self.paths {
            let (rc, listed) = seen.script(&self.listing(path)).unwrap_or((9, &[]));
            if rc != 0 {
                let why = format!("'{path}' is not a directory");
                outcome.warnings.push(format!(
                    "Skipped '{path}' path due to this access issue: {why}\n"
                ));
                skipped.insert(path.clone(), why.into());
                continue;
            }
            let (now, entries) = entries(listed);
            examined += entries.len();
            for entry in entries {
                if self.limit.is_some_and(|limit| files.len() >= limit) {
                    msg = "Limit of matches reached";
                    break;
                }
                if !self.wanted(&entry, now) {
                    continue;
                }
                if entry.now.kind == FileType::File && self.file_type == "file" {
                    match self.has(&entry.path, seen) {
                        Some(true) => {}
                        Some(false) => continue,
                        None => {
                            ask.push(Probe::Content {
                                path: entry.path.clone(),
                                limit: LIMIT,
                            });
                            continue;
                        }
                    }
                }
                let mut fields = vec![("path", Value::from(entry.path.as_str()))];
                fields.extend(stat::named(&entry.now));
                if let Some(algorithm) = self.algorithm
                    && entry.now.kind == FileType::File
                {
                    let probe = Probe::Digest {
                        path: entry.path.clone(),
                        algorithm,
                    };
                    if seen.get(&probe).is_none() {
                        ask.push(probe);
                    }
                    fields.push(("checksum", seen.digest(&entry.path, algorithm).into()));
                }
                files.push(Value::from_pairs(fields));
            }
        }
        if !ask.is_empty() {
            return Decision::Look(ask);
        }
        if !skipped.is_empty() {
            msg = "Not all paths examined, check warnings for details";
        }
        let matched = files.len();
        Decision::Done(
            outcome
                .msg(msg)
                .with("files", files)
                .with("matched", matched)
                .with("examined", examined)
                .with("skipped_paths", Value::from_pairs(skipped)),
        )
    }

    fn finish(&self, _: &Seen, _: &[Reply], _: &Seen) -> Outcome {
        Outcome::ok()
    }
}
