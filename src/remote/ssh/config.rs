//! The part of OpenSSH's client configuration that we follow: `Host` blocks, simple `Match` blocks, `Include`.
//!
//! As there, the first value found counts, and `IdentityFile` adds up. What we do not know is skipped, for most of it does
//! not concern us; a `Match` that we cannot judge is an error when it could set something we use.

use std::path::{Path, PathBuf};

use super::known_hosts::wildcard;

/// Words we use; any other is skipped.
const USED: &[&str] = &[
    "hostname",
    "user",
    "port",
    "identityfile",
    "identitiesonly",
    "identityagent",
    "proxyjump",
    "proxycommand",
    "userknownhostsfile",
    "globalknownhostsfile",
    "stricthostkeychecking",
    "hashknownhosts",
    "connecttimeout",
    "hostkeyalias",
    "serveraliveinterval",
    "serveralivecountmax",
];

/// Deepest nesting of `Include`, as in OpenSSH.
const DEEPEST: usize = 16;

/// One line.
#[derive(Debug)]
enum Item {
    Host(Vec<String>),
    Match(Vec<String>, String),
    Set(String, Vec<String>),
    Include(Vec<Vec<Item>>),
}

/// Files, read once for a run.
#[derive(Debug, Default)]
pub(crate) struct Config {
    items: Vec<Item>,
}

/// What the configuration says for one host: lower-case words and their arguments, in order of precedence.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Words(Vec<(String, Vec<String>)>);

impl Words {
    /// From words given elsewhere, such as `-o` options.
    pub(crate) fn given(options: &[(String, String)]) -> Self {
        Self(
            options
                .iter()
                .map(|(key, value)| {
                    let key = key.to_lowercase();
                    let args = arguments(&key, value);
                    (key, args)
                })
                .collect(),
        )
    }

    fn is_set(&self, key: &str) -> bool {
        self.0.iter().any(|(k, _)| k == key)
    }

    /// The first argument of a word.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        let (_, args) = self.0.iter().find(|(k, _)| k == key)?;
        args.first().map(String::as_str)
    }

    /// All arguments of every line with this word.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a [String]> {
        self.0
            .iter()
            .filter(move |(k, _)| k == key)
            .map(|(_, args)| args.as_slice())
    }
}

impl Config {
    /// Reads the user's and the system's files; those that are not there are empty.
    pub(crate) fn load(home: &Path) -> Result<Self, String> {
        let mut config = Self::default();
        for (file, base) in [
            (home.join(".ssh/config"), home.join(".ssh")),
            (
                PathBuf::from("/etc/ssh/ssh_config"),
                PathBuf::from("/etc/ssh"),
            ),
        ] {
            // Each file starts outside of any block.
            config.items.push(Item::Host(vec!["*".to_owned()]));
            config.items.append(&mut file_items(&file, &base, home, 0)?);
        }
        Ok(config)
    }

    /// What holds for the host called `name`, given what is set already.
    pub(crate) fn words(&self, name: &str, given: Words) -> Result<Words, String> {
        let mut words = given;
        let mut active = true;
        collect(&self.items, name, &mut words, &mut active)?;
        Ok(words)
    }
}

fn collect(items: &[Item], name: &str, words: &mut Words, active: &mut bool) -> Result<(), String> {
    // Inside a Match that we cannot judge: where it is.
    let mut doubtful: Option<&str> = None;
    for item in items {
        match item {
            Item::Host(patterns) => {
                doubtful = None;
                *active = list(patterns.iter().map(String::as_str), name);
            }
            Item::Match(criteria, place) => {
                let judged = judge(criteria, name, words);
                doubtful = judged.is_none().then_some(place);
                *active = judged == Some(true);
            }
            Item::Set(key, args) => {
                if let Some(place) = doubtful
                    && (key == "identityfile" || !words.is_set(key))
                {
                    return Err(format!(
                        "{place}: this Match block may set {key} for {name}, and its conditions are not supported"
                    ));
                }
                // Only the first of each, but every identity.
                if *active && (key == "identityfile" || !words.is_set(key)) {
                    words.0.push((key.clone(), args.clone()));
                }
            }
            Item::Include(files) => {
                if *active {
                    for file in files {
                        let mut inner = true;
                        collect(file, name, words, &mut inner)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Patterns of a `Host` line, or a comma-separated list: one must match, and none with `!` may.
fn list<'a>(patterns: impl Iterator<Item = &'a str>, text: &str) -> bool {
    let mut found = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(pattern) if wildcard(pattern, text) => return false,
            Some(_) => {}
            None => found |= wildcard(pattern, text),
        }
    }
    found
}

/// Whether a `Match` holds; `None` when that cannot be told.
fn judge(criteria: &[String], name: &str, words: &Words) -> Option<bool> {
    let mut sure = true;
    let mut rest = criteria.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        let lower = word.to_lowercase();
        let (not, what) = match lower.strip_prefix('!') {
            Some(what) => (true, what),
            None => (false, lower.as_str()),
        };
        if what == "all" {
            continue;
        }
        if matches!(what, "canonical" | "final") {
            sure = false;
            continue;
        }
        let pattern = rest.next().unwrap_or("");
        let value = match what {
            "originalhost" => Some(name.to_owned()),
            "host" => Some(words.get("hostname").unwrap_or(name).replace("%h", name)),
            "user" => words.get("user").map(str::to_owned).or_else(local_user),
            "localuser" => local_user(),
            _ => None,
        };
        match value {
            Some(value) if list(pattern.split(','), &value) == not => return Some(false),
            Some(_) => {}
            None => sure = false,
        }
    }
    sure.then_some(true)
}

/// The user who runs us.
pub(crate) fn local_user() -> Option<String> {
    ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok())
        .filter(|user| !user.is_empty())
}

fn file_items(file: &Path, base: &Path, home: &Path, depth: usize) -> Result<Vec<Item>, String> {
    if depth > DEEPEST {
        return Err(format!("{}: Include is nested too deeply", file.display()));
    }
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(format!("cannot read {}: {e}", file.display())),
    };
    parse(&text, file, base, home, depth)
}

fn parse(
    text: &str,
    file: &Path,
    base: &Path,
    home: &Path,
    depth: usize,
) -> Result<Vec<Item>, String> {
    let mut items = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let end = line
            .find(|c: char| c.is_whitespace() || c == '=')
            .unwrap_or(line.len());
        let key = line[..end].to_lowercase();
        let args = arguments(&key, line[end..].trim_start().trim_start_matches('='));
        let place = || format!("{}:{}", file.display(), at + 1);
        match key.as_str() {
            "host" => items.push(Item::Host(args)),
            "match" => items.push(Item::Match(args, place())),
            "include" => {
                let mut files = Vec::new();
                for arg in &args {
                    for file in expand(arg, base, home) {
                        files.push(file_items(&file, base, home, depth + 1)?);
                    }
                }
                items.push(Item::Include(files));
            }
            key if USED.contains(&key) => {
                if args.is_empty() {
                    return Err(format!("{}: {key} has no value", place()));
                }
                items.push(Item::Set(key.to_owned(), args));
            }
            _ => {}
        }
    }
    Ok(items)
}

/// What a text says for one host.
#[cfg(any(test, fuzzing))]
pub(crate) fn words_of(text: &str, name: &str) -> Result<Words, String> {
    let base = Path::new("/nonexistent");
    let items = parse(text, Path::new("config"), base, base, 0)?;
    Config { items }.words(name, Words::default())
}

/// A word's arguments; a command is one, as it is written.
fn arguments(key: &str, text: &str) -> Vec<String> {
    match key {
        "proxycommand" => vec![text.trim().to_owned()],
        _ => split(text),
    }
}

/// Words of a line; double quotes hold blanks, `#` begins a comment.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '#' if !quoted && word.is_none() => break,
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Files that an `Include` names; wildcards only in the last part.
fn expand(arg: &str, base: &Path, home: &Path) -> Vec<PathBuf> {
    let path = match arg.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => base.join(arg),
    };
    let Some(last) = path.file_name().and_then(|name| name.to_str()) else {
        return Vec::new();
    };
    if !last.contains(['*', '?']) {
        return vec![path];
    }
    let dir = path.parent().unwrap_or(base);
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| {
            let name = file.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| !name.starts_with('.') && wildcard(last, name))
        })
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let base = Path::new("/nonexistent");
        Config {
            items: parse(text, Path::new("config"), base, base, 0).unwrap(),
        }
    }

    #[test]
    fn first_value_counts_and_patterns_exclude() {
        let config = config(
            "# comment\nPort 2200\nHost web* !web9 \"quo ted\"\n  User = deploy\n\tIdentityFile ~/a\n  Port 1\n\
             Host *\n IdentityFile=\"~/b c\"\n User other\n ForwardAgent yes\n",
        );
        for (name, user, keys) in [
            ("web1", "deploy", vec!["~/a", "~/b c"]),
            ("web9", "other", vec!["~/b c"]),
            ("quo ted", "deploy", vec!["~/a", "~/b c"]),
        ] {
            let words = config.words(name, Words::default()).unwrap();
            assert_eq!(words.get("user"), Some(user), "{name}");
            assert_eq!(words.get("port"), Some("2200"), "{name}");
            let seen: Vec<&str> = words.all("identityfile").map(|a| a[0].as_str()).collect();
            assert_eq!(seen, keys, "{name}");
        }
    }

    #[test]
    fn options_come_first() {
        let given = Words::given(&[("User".into(), "given".into())]);
        let words = config("User configured\nPort 3").words("h", given).unwrap();
        assert_eq!(
            (words.get("user"), words.get("port")),
            (Some("given"), Some("3"))
        );
    }

    #[test]
    fn match_blocks() {
        for (text, want) in [
            ("Match all\n User a", Ok(Some("a"))),
            ("Match host h*\n User a", Ok(Some("a"))),
            ("Match !host h*\n User a", Ok(None)),
            ("Match originalhost x,h1\n User a", Ok(Some("a"))),
            ("HostName real\nMatch host real\n User a", Ok(Some("a"))),
            // A condition that fails makes the others irrelevant.
            ("Match host other exec \"true\"\n User a", Ok(None)),
            ("Match exec \"true\"\n User a", Err(())),
            // It could not change anything we use.
            ("Match exec \"true\"\n ForwardAgent yes", Ok(None)),
            ("User b\nMatch exec \"true\"\n User a", Ok(Some("b"))),
            (
                "Match exec x\n ForwardAgent yes\nHost h1\n User c",
                Ok(Some("c")),
            ),
        ] {
            let words = config(text).words("h1", Words::default());
            let seen = words
                .as_ref()
                .map(|words| words.get("user"))
                .map_err(|_| ());
            assert_eq!(seen, want, "{text}");
        }
    }

    #[test]
    fn includes_are_part_of_their_block() {
        let dir = tempfile::tempdir().unwrap();
        let ssh = dir.path().join(".ssh");
        std::fs::create_dir_all(ssh.join("d")).unwrap();
        std::fs::write(ssh.join("d/1.conf"), "User one\nHost other\nPort 1\n").unwrap();
        std::fs::write(ssh.join("d/2.conf"), "User two\nPort 2\n").unwrap();
        std::fs::write(ssh.join("loop"), "Include loop\n").unwrap();
        std::fs::write(
            ssh.join("config"),
            "Host h\nInclude d/*.conf missing\nConnectTimeout 3\n",
        )
        .unwrap();
        let config = Config::load(dir.path()).unwrap();
        let words = config.words("h", Words::default()).unwrap();
        assert_eq!(words.get("user"), Some("one"));
        assert_eq!(words.get("port"), Some("2"));
        assert_eq!(words.get("connecttimeout"), Some("3"));
        assert_eq!(
            config.words("g", Words::default()).unwrap().get("user"),
            None
        );
        std::fs::write(ssh.join("config"), "Include loop\n").unwrap();
        assert!(
            Config::load(dir.path())
                .unwrap_err()
                .contains("nested too deeply")
        );
    }
}
