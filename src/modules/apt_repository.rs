//! `apt_repository`: one-line sources in `/etc/apt/sources.list` and `/etc/apt/sources.list.d/*.list`.

use super::apt::update_script;
use super::attrs::{Attrs, Mode};
use super::fetch;
use super::rule::{self, Act, Known, Rule, Verdict};
use super::sh::{quote, strings};
use super::{
    Args, Chunk, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Seen,
    Spec, Step, Type,
};
use regex::Regex;

/// `apt_repository`.
pub(crate) struct AptRepository;

static SPEC: Spec = Spec {
    name: "apt_repository",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Manages one-line package sources",
    params: &[
        Param::new(
            "repo",
            Type::Str,
            "the source: `deb …`, or `ppa:owner/name`",
        )
        .required(),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["absent", "present"])
            .default("present"),
        Param::new("mode", Type::Raw, "mode of a new file"),
        Param::new(
            "update_cache",
            Type::Bool,
            "fetch package lists after a change",
        )
        .aliases(&["update-cache"])
        .default("true"),
        Param::new(
            "update_cache_retries",
            Type::Int,
            "how often to try fetching them",
        )
        .default("5"),
        Param::new(
            "update_cache_retry_max_delay",
            Type::Int,
            "longest pause between two tries, in seconds",
        )
        .default("12"),
        Param::new(
            "filename",
            Type::Str,
            "name of the file below sources.list.d, without `.list`",
        ),
        Param::new(
            "install_python_apt",
            Type::Bool,
            "no effect: nothing is needed",
        )
        .default("true"),
        Param::new(
            "validate_certs",
            Type::Bool,
            "no effect: certificates are always checked",
        )
        .default("true"),
        Param::new(
            "codename",
            Type::Str,
            "release to use for a PPA; the host's own if not given",
        ),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for AptRepository {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let repo = args.text("repo");
        if repo.trim().is_empty() {
            return Err(Failure::of(
                "repo",
                "Please set argument 'repo' to a non-empty value",
            ));
        }
        let wanted = Wanted {
            present: args.text("state") == "present",
            filename: args.str("filename"),
            codename: args.str("codename"),
            update: args.bool("update_cache").then(|| {
                update_script(
                    args.int("update_cache_retries").unwrap_or(5),
                    args.int("update_cache_retry_max_delay").unwrap_or(12),
                )
            }),
            attrs: Attrs {
                mode: args.get("mode").map(Mode::new).transpose()?,
                ..Attrs::default()
            },
            repo,
        };
        Rule::new(vec![Probe::Script(FILES.into())], move |seen| {
            wanted.judge(seen)
        })
        .step()
    }
}

/// Prints the release, then every file of sources after a line with a GS and its path.
const FILES: &str = "sed -n 's/^VERSION_CODENAME=//p' /etc/os-release
for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
  [ -f \"$f\" ] && printf '\\035%s\\n' \"$f\" && cat \"$f\"
done
:";

/// A line of a file of sources.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    valid: bool,
    enabled: bool,
    source: String,
    comment: String,
    /// As it was, for lines that are not touched.
    raw: Option<String>,
}

impl Line {
    fn parse(raw: &str) -> Self {
        let mut text = raw.trim();
        let enabled = !text.starts_with('#');
        if !enabled {
            text = &text[1..];
        }
        let mut comment = "";
        if let Some(at) = text.find('#').filter(|at| *at > 0) {
            comment = text[at + 1..].trim();
            text = &text[..at];
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let valid = matches!(words.first(), Some(&"deb" | &"deb-src"));
        Self {
            valid,
            enabled,
            source: if valid {
                words.join(" ")
            } else {
                text.trim().into()
            },
            comment: comment.into(),
            raw: Some(raw.into()),
        }
    }

    fn text(&self) -> String {
        if let Some(raw) = &self.raw {
            return raw.clone();
        }
        let off = if self.enabled { "" } else { "# " };
        let comment = if self.comment.is_empty() {
            String::new()
        } else {
            format!(" # {}", self.comment)
        };
        format!("{off}{}{comment}", self.source)
    }
}

struct Wanted {
    repo: String,
    present: bool,
    filename: Option<String>,
    codename: Option<String>,
    update: Option<String>,
    attrs: Attrs,
}

impl Wanted {
    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let (_, out) = rule::script(seen, FILES)?;
        let (codename, rest) = out.split_once('\x1d').unwrap_or((&out, ""));
        let codename = self
            .codename
            .as_deref()
            .unwrap_or(codename.trim().trim_matches('"'));
        let mut files: Vec<(String, Vec<Line>)> = rest
            .split('\x1d')
            .filter_map(|part| part.split_once('\n'))
            .map(|(path, text)| (path.to_owned(), text.lines().map(Line::parse).collect()))
            .collect();
        let ppa = self
            .repo
            .trim()
            .strip_prefix("ppa:")
            .map(|name| Ppa::new(name, codename));
        let line = Line::parse(ppa.as_ref().map_or(&self.repo, |ppa| &ppa.line));
        if !line.valid || !line.enabled {
            return Ok(Outcome::failed(format!("Invalid repository string: {}", self.repo)).into());
        }
        let touched = if self.present {
            let name = ppa.as_ref().map_or(line.source.clone(), |_| {
                format!("{}_{codename}", self.repo.trim())
            });
            self.add(&mut files, &line, &name)
        } else {
            remove(&mut files, &line.source)
        };
        let outcome = Outcome::ok()
            .with("repo", self.repo.as_str())
            .with("state", if self.present { "present" } else { "absent" });
        let Some(path) = touched.first().cloned() else {
            return Ok(outcome
                .with("sources_added", strings(Vec::<String>::new()))
                .with("sources_removed", strings(Vec::<String>::new()))
                .into());
        };
        self.change(
            seen,
            &touched,
            &files,
            outcome,
            ppa.filter(|_| self.present),
        )
        .map_err(|verdict| match verdict {
            Verdict::Done(outcome) if outcome.msg.is_none() => {
                Verdict::from(Outcome::failed(format!("{path} cannot be written")))
            }
            other => other,
        })
    }

    /// Enables the line where it is, or adds it to a file of its own. Tells which files were touched.
    fn add(&self, files: &mut Vec<(String, Vec<Line>)>, line: &Line, name: &str) -> Vec<String> {
        let mut found = false;
        let mut touched = Vec::new();
        for (path, lines) in files.iter_mut() {
            for known in lines
                .iter_mut()
                .filter(|known| known.valid && known.source == line.source)
            {
                found = true;
                if !known.enabled {
                    known.enabled = true;
                    known.raw = None;
                    touched.push(path.clone());
                }
            }
        }
        if found {
            return touched;
        }
        let path = self.file(name);
        let line = Line {
            raw: None,
            comment: String::new(),
            ..line.clone()
        };
        match files.iter_mut().find(|(known, _)| *known == path) {
            Some((_, lines)) => lines.push(line),
            None => files.push((path.clone(), vec![line])),
        }
        vec![path]
    }

    /// The file's name that Ansible derives from a source.
    fn file(&self, source: &str) -> String {
        let name = match &self.filename {
            Some(name) => name.clone(),
            None => {
                let clean = |pattern: &str, text: &str| {
                    Regex::new(pattern).map_or_else(
                        |_| text.to_owned(),
                        |r| r.replace_all(text, "").into_owned(),
                    )
                };
                let source = clean(r"\w+://", &clean(r"\[[^\]]+\]", source));
                let first = source
                    .split_whitespace()
                    .find(|word| !matches!(*word, "deb" | "deb-src"))
                    .unwrap_or_default();
                let first = first.split_once('@').map_or(first, |(_, host)| host);
                first
                    .split(|c: char| !c.is_ascii_alphanumeric())
                    .filter(|part| !part.is_empty())
                    .collect::<Vec<_>>()
                    .join("_")
            }
        };
        if name.contains('/') {
            format!("{name}.list")
        } else {
            format!("/etc/apt/sources.list.d/{name}.list")
        }
    }

    fn change(
        &self,
        seen: &Seen,
        touched: &[String],
        files: &[(String, Vec<Line>)],
        outcome: Outcome,
        ppa: Option<Ppa>,
    ) -> Known<Verdict> {
        let mut actions: Vec<Chunk> = ppa
            .map(|ppa| Chunk::new(ppa.key_script()))
            .into_iter()
            .collect();
        let mut outcome = outcome;
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        let mut restore = Vec::new();
        for path in touched {
            let old = rule::text(seen, path)?;
            let lines = files
                .iter()
                .find(|(known, _)| known == path)
                .map_or(&[][..], |(_, lines)| lines);
            let text: String = lines.iter().map(|line| line.text() + "\n").collect();
            if lines.is_empty() {
                actions.push(Chunk::new(format!("rm -f -- {}", quote(path))));
                removed.push(path.clone());
            } else {
                let attrs = if old.is_none() {
                    self.attrs.clone()
                } else {
                    Attrs::default()
                };
                actions.push(rule::write(path, seen.stat(path, true), &text, &attrs)?);
                if old.is_none() {
                    added.push(path.clone());
                }
            }
            restore.push((path.clone(), old.clone()));
            outcome = outcome.diff(path, old.unwrap_or_default(), text);
        }
        if let Some(update) = &self.update {
            actions.push(with_way_back(update, &restore));
        }
        let outcome = outcome
            .with("sources_added", strings(added))
            .with("sources_removed", strings(removed));
        let mut effects: Vec<Effect> = touched.iter().cloned().map(Effect::Path).collect();
        effects.push(Effect::Packages);
        Ok(Act::change(actions, effects, outcome, "Failed to update apt cache").into())
    }
}

/// The update; when it fails, the files are as they were before. Old texts come on standard input: they may hold passwords.
fn with_way_back(update: &str, restore: &[(String, Option<String>)]) -> Chunk {
    let mut input = String::new();
    let mut back = String::new();
    for (path, old) in restore {
        let path = quote(path);
        match old {
            None => back.push_str(&format!("rm -f -- {path}; ")),
            Some(text) => {
                back.push_str(&format!("head -c {} >{path}; ", text.len()));
                input.push_str(text);
            }
        }
    }
    rule::fed(
        format!("( {update}\n) && exit\nmp_rc=$?\n{back}exit $mp_rc"),
        &input,
    )
}

/// Drops every enabled line of this source; tells which files were touched.
fn remove(files: &mut [(String, Vec<Line>)], source: &str) -> Vec<String> {
    let mut touched = Vec::new();
    for (path, lines) in files {
        let before = lines.len();
        lines.retain(|line| !(line.valid && line.enabled && line.source == source));
        if lines.len() != before {
            touched.push(path.clone());
        }
    }
    touched
}

/// A personal package archive of Launchpad's.
struct Ppa {
    owner: String,
    name: String,
    line: String,
}

impl Ppa {
    fn new(name: &str, codename: &str) -> Self {
        let (owner, name) = name.split_once('/').unwrap_or((name, "ppa"));
        Self {
            owner: owner.into(),
            name: name.into(),
            line: format!(
                "deb https://ppa.launchpadcontent.net/{owner}/{name}/ubuntu {codename} main"
            ),
        }
    }

    /// Fetches the archive's key, unless it is there.
    fn key_script(&self) -> String {
        let (owner, name) = (&self.owner, &self.name);
        // Where the key is to be had is known only on the host: its fingerprint stands between the quotes of a word of shell.
        let key = fetch::to(
            "https://keyserver.ubuntu.com/pks/lookup?op=get&options=mr&search=0x@KEY@",
            "\"$MP_TMP/ppa.asc\"",
        );
        format!(
            "f={}\n[ -e \"$f\" ] && exit 0\n\
             {} || {{ echo 'failed to fetch PPA information' >&2; exit 1; }}\n\
             k=$(grep -o '\"signing_key_fingerprint\": *\"[0-9A-F]*\"' \"$MP_TMP/ppa.json\") && k=${{k%\\\"}} && k=${{k##*\\\"}}\n\
             {} || {{ echo 'Unable to get required signing key' >&2; exit 1; }}\n\
             install -m 644 \"$MP_TMP/ppa.asc\" \"$f\"",
            quote(&format!("/etc/apt/trusted.gpg.d/{owner}-{name}.asc")),
            fetch::to(
                &format!("https://api.launchpad.net/1.0/~{owner}/+archive/{name}"),
                "\"$MP_TMP/ppa.json\""
            ),
            key.replace("@KEY@", "'\"$k\"'"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::Decision;
    use crate::modules::probe::{Answer, PathState};
    use crate::modules::testing::{Fake, plan};
    use minijinja::Value;

    const LIST: &str = "bookworm\n\x1d/etc/apt/sources.list\n# deb-src http://x/debian bookworm main\ndeb  http://x/debian bookworm main # own\n\
                        \x1d/etc/apt/sources.list.d/only.list\ndeb http://only/ ./\n";

    /// Path and text of what is written, `rm` for removals, and whether lists are fetched.
    fn decide(args: &[(&str, Value)]) -> Vec<String> {
        let step = plan(&AptRepository, args, &Fake::default());
        let mut seen = Seen::default();
        let mut wanted = step.probes();
        loop {
            for probe in wanted {
                let answer = match &probe {
                    Probe::Content { path, .. } => {
                        let text = LIST
                            .split('\x1d')
                            .find_map(|part| part.strip_prefix(&format!("{path}\n")));
                        Answer::Content(text.map(|text| text.as_bytes().into()))
                    }
                    Probe::Path { path, .. } => {
                        Answer::Path(LIST.contains(path.as_str()).then(PathState::default))
                    }
                    _ => Answer::Script {
                        rc: 0,
                        stdout: LIST.as_bytes().into(),
                        stderr: [].into(),
                    },
                };
                seen.insert(probe, answer);
            }
            match step.decide(&seen) {
                Decision::Look(more) => wanted = more,
                Decision::Done(outcome) => return vec![outcome.msg.unwrap_or("ok".into())],
                Decision::Act(plan) => {
                    let diff = plan
                        .predicted
                        .diff
                        .iter()
                        .map(|diff| format!("{}: {}", diff.header, diff.after));
                    let update = plan.actions.len() > plan.predicted.diff.len();
                    return diff.chain(update.then(|| "update".to_owned())).collect();
                }
            }
        }
    }

    #[test]
    fn sources_are_added_and_removed() {
        let repo = |repo: &str| ("repo", Value::from(repo));
        let absent = ("state", Value::from("absent"));
        let quiet = ("update_cache", Value::from(false));
        assert_eq!(
            decide(&[repo("deb http://x/debian   bookworm main")]),
            ["ok"]
        );
        assert_eq!(
            decide(&[repo("deb [arch=amd64] https://u:p@a.b/c-d stable main")]),
            [
                "/etc/apt/sources.list.d/a_b_c_d.list: deb [arch=amd64] https://u:p@a.b/c-d stable main\n",
                "update"
            ]
        );
        assert_eq!(
            decide(&[
                repo("deb http://y ./"),
                ("filename", "my".into()),
                quiet.clone()
            ]),
            ["/etc/apt/sources.list.d/my.list: deb http://y ./\n"]
        );
        assert_eq!(
            decide(&[repo("deb-src http://x/debian bookworm main"), quiet.clone()]),
            [
                "/etc/apt/sources.list: deb-src http://x/debian bookworm main\ndeb  http://x/debian bookworm main # own\n"
            ]
        );
        assert_eq!(
            decide(&[repo("deb http://only/ ./"), absent.clone(), quiet]),
            ["/etc/apt/sources.list.d/only.list: "]
        );
        assert_eq!(decide(&[repo("deb http://none/ ./"), absent]), ["ok"]);
        assert_eq!(
            decide(&[repo("rpm x")]),
            ["Invalid repository string: rpm x"]
        );
        assert!(
            decide(&[repo("ppa:own/nm")])[0]
                .starts_with("/etc/apt/sources.list.d/ppa_own_nm_bookworm.list: deb https://ppa.launchpadcontent.net/own/nm/ubuntu")
        );
    }
}
