//! `acl`, `xattr` and `capabilities`: what `setfacl`, `setfattr` and `setcap` keep beside a file's mode.

use super::{
    Args, Controller, Decision, Effect, Failure, FreeForm, Module, Outcome, Param, Plan, Probe,
    Runs, Seen, Spec, Step, Type, attrs, sh,
};
use crate::remote::{Chunk, Reply};
use indexmap::IndexMap;
use minijinja::Value;

/// See the modules' own documentation.
pub(crate) struct Acl;
/// See the modules' own documentation.
pub(crate) struct Xattr;
/// See the modules' own documentation.
pub(crate) struct Capabilities;

static ACL: Spec = Spec {
    name: "acl",
    collection: "ansible.posix",
    aliases: &[],
    doc: "Set access control lists",
    params: &[
        Param::new("path", Type::Path, "the path")
            .required()
            .aliases(&["name"]),
        Param::new("entry", Type::Str, "the whole entry, as setfacl takes it"),
        Param::new("entity", Type::Str, "user or group").default(""),
        Param::new("etype", Type::Str, "what the entry is about")
            .choices(&["group", "mask", "other", "user"]),
        Param::new("permissions", Type::Str, "`rwx`"),
        Param::new("state", Type::Str, "whether the entry is there")
            .default("query")
            .choices(&["absent", "present", "query"]),
        Param::new("follow", Type::Bool, "act on what a link points to").default("true"),
        Param::new("default", Type::Bool, "the default entry of a folder").default("false"),
        Param::new("recursive", Type::Bool, "everything below")
            .default("false")
            .aliases(&["recurse"]),
        Param::new("recalculate_mask", Type::Str, "what becomes of the mask")
            .default("default")
            .choices(&["default", "mask", "no_mask"]),
        Param::unsupported("use_nfsv4_acls", "lists of NFSv4 are not supported"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

static XATTR: Spec = Spec {
    name: "xattr",
    collection: "community.general",
    aliases: &[],
    doc: "Set extended attributes",
    params: &[
        Param::new("path", Type::Path, "the path")
            .required()
            .aliases(&["name"]),
        Param::new("namespace", Type::Str, "what stands before the key").default("user"),
        Param::new("key", Type::Str, "name of the attribute"),
        Param::new("value", Type::Str, "its value"),
        Param::new("state", Type::Str, "what to do")
            .default("read")
            .choices(&["absent", "all", "keys", "present", "read"]),
        Param::new("follow", Type::Bool, "act on what a link points to").default("true"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

static CAPABILITIES: Spec = Spec {
    name: "capabilities",
    collection: "community.general",
    aliases: &[],
    doc: "Set a program's capabilities",
    params: &[
        Param::new("path", Type::Str, "the program")
            .required()
            .aliases(&["key"]),
        Param::new("capability", Type::Str, "like `cap_net_raw+ep`")
            .required()
            .aliases(&["cap"]),
        Param::new("state", Type::Str, "whether it has it")
            .default("present")
            .choices(&["absent", "present"]),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

/// One property of a path: a script that tells how it is, what follows from that, and the result it makes.
struct Property {
    path: String,
    /// Prints the present state.
    tell: String,
    /// Prints `same` when nothing would change; then `change` is not run. Empty: only what is told counts.
    same: Option<String>,
    kind: Kind,
    missing: &'static str,
}

enum Kind {
    Acl {
        msg: String,
        change: Option<String>,
    },
    Xattr {
        key: Option<String>,
        value: Option<String>,
        state: String,
        follow: bool,
    },
    Capability {
        wanted: Cap,
        present: bool,
    },
}

impl Module for Acl {
    fn spec(&self) -> &'static Spec {
        &ACL
    }

    fn plan(&self, args: &Args, _: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let path = args.text("path");
        let state = args.text("state");
        let given = |name: &str| args.str(name).filter(|text| !text.is_empty());
        let mut default = args.bool("default");
        let (mut etype, mut entity, mut permissions) =
            (given("etype"), args.text("entity"), given("permissions"));
        let recalculate = args.text("recalculate_mask");
        let no = |msg: &str| Err(Failure::new(msg));
        if state == "query" && args.bool("recursive") {
            return no("'recursive' MUST NOT be set when 'state=query'.");
        }
        if state == "query" && recalculate != "default" {
            return no(
                "'recalculate_mask' MUST NOT be set to 'mask' or 'no_mask' when 'state=query'.",
            );
        }
        match given("entry") {
            None if state == "absent" && permissions.is_some() => {
                return no("'permissions' MUST NOT be set when 'state=absent'.");
            }
            None if state == "absent" && entity.is_empty() => {
                return no("'entity' MUST be set when 'state=absent'.");
            }
            None if state != "query" && etype.is_none() => {
                return Err(Failure::new(format!(
                    "'etype' MUST be set when 'state={state}'."
                )));
            }
            None => {}
            Some(_) if etype.is_some() || !entity.is_empty() || permissions.is_some() => {
                return no(
                    "'entry' MUST NOT be set when 'entity', 'etype' or 'permissions' are set.",
                );
            }
            Some(_) if state == "query" => {
                return no("'entry' MUST NOT be set when 'state=query'.");
            }
            Some(entry) => {
                let colons = entry.matches(':').count();
                if state == "present" && !(2..=3).contains(&colons) {
                    return no(
                        "'entry' MUST have 3 or 4 sections divided by ':' when 'state=present'.",
                    );
                }
                if state == "absent" && !(1..=2).contains(&colons) {
                    return no(
                        "'entry' MUST have 2 or 3 sections divided by ':' when 'state=absent'.",
                    );
                }
                let mut parts: Vec<&str> = entry.split(':').collect();
                if entry.to_lowercase().starts_with('d') {
                    default = true;
                    parts.remove(0);
                }
                let kinds = [("u", "user"), ("g", "group"), ("m", "mask"), ("o", "other")];
                let first = parts
                    .first()
                    .map(|part| part.to_lowercase())
                    .unwrap_or_default();
                etype = kinds
                    .iter()
                    .find(|(start, _)| first.starts_with(start))
                    .map(|(_, kind)| (*kind).to_owned());
                entity = parts
                    .get(1)
                    .map(|part| (*part).to_owned())
                    .unwrap_or_default();
                permissions = parts
                    .get(2)
                    .map(|part| (*part).to_owned())
                    .filter(|part| !part.is_empty());
            }
        }
        let mut entry = format!("{}:{entity}", etype.unwrap_or_default());
        let mut options = String::new();
        for (on, option) in [
            (args.bool("recursive"), " --recursive"),
            (!args.bool("follow"), " --physical"),
            (default, " -d"),
        ] {
            if on {
                options.push_str(option);
            }
        }
        let mask = match recalculate.as_str() {
            "mask" => " --mask",
            "no_mask" => " --no-mask",
            _ => "",
        };
        let word = sh::expanding(&path, false);
        let (action, msg) = match state.as_str() {
            "present" => {
                if let Some(permissions) = &permissions {
                    entry = format!("{entry}:{permissions}");
                }
                (Some("-m"), format!("{entry} is present"))
            }
            "absent" => (Some("-x"), format!("{entry} is absent")),
            _ => (None, "current acl".into()),
        };
        let change = action.map(|action| {
            format!(
                "setfacl{options}{mask} {action} {} -- {word}",
                sh::quote(&entry)
            )
        });
        Ok(Box::new(Property {
            tell: format!("getfacl --absolute-names --omit-header{options} -- {word}"),
            same: change.as_ref().map(|change| {
                format!(
                    "o=$({}) || exit\ncase $o in *'*,*') echo same ;; esac",
                    change.replacen("setfacl", "setfacl --test", 1)
                )
            }),
            kind: Kind::Acl { msg, change },
            path,
            missing: "Path not found or not accessible.",
        }))
    }
}

impl Module for Xattr {
    fn spec(&self) -> &'static Spec {
        &XATTR
    }

    fn plan(&self, args: &Args, _: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let (path, state) = (args.text("path"), args.text("state"));
        let namespace = args.text("namespace");
        let key = args.str("key").map(|key| {
            if namespace.is_empty() || namespace == "user" && key.starts_with("user.") {
                key
            } else {
                format!("{namespace}.{key}")
            }
        });
        if key.is_none() && ["absent", "present"].contains(&state.as_str()) {
            return Err(Failure::new(format!("{state} needs a key parameter")));
        }
        let value = args.str("value");
        let follow = args.bool("follow");
        let h = if follow { "" } else { "-h " };
        let what = match (&key, state.as_str()) {
            (_, "keys") => String::new(),
            (Some(key), "read" | "present" | "absent") => format!("-n {} ", sh::quote(key)),
            (Some(key), _) if value.is_some() => format!("-n {} ", sh::quote(key)),
            _ => "-d ".into(),
        };
        Ok(Box::new(Property {
            tell: format!(
                "command -v getfattr >/dev/null || {{ echo 'getfattr was not found' >&2; exit 127; }}\ngetfattr --absolute-names {h}{what}-- {}\nexit 0",
                sh::expanding(&path, false)
            ),
            same: None,
            kind: Kind::Xattr {
                key,
                value,
                state,
                follow,
            },
            path,
            missing: "path not found or not accessible!",
        }))
    }
}

/// A capability: name, operator, flags.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cap(String, String, String);

impl Cap {
    fn new(text: &str) -> Option<Self> {
        let at = ['=', '-', '+']
            .iter()
            .find_map(|operator| text.find(*operator))?;
        Some(Self(
            text[..at].to_owned(),
            text[at..=at].to_owned(),
            text[at + 1..].to_owned(),
        ))
    }
}

impl Module for Capabilities {
    fn spec(&self) -> &'static Spec {
        &CAPABILITIES
    }

    fn plan(&self, args: &Args, _: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let path = args.text("path").trim().to_owned();
        let text = args.text("capability").trim().to_lowercase();
        let present = args.text("state") == "present";
        let wanted = match Cap::new(&text) {
            Some(cap) => cap,
            None if present => {
                return Err(Failure::of(
                    "capability",
                    "Couldn't find operator (one of: ('=', '-', '+'))",
                ));
            }
            None => Cap(text, String::new(), String::new()),
        };
        Ok(Box::new(Property {
            tell: format!("PATH=$PATH:/usr/sbin:/sbin getcap -v {}", sh::quote(&path)),
            same: None,
            kind: Kind::Capability { wanted, present },
            path,
            missing: "path not found or not accessible!",
        }))
    }
}

/// What `getcap -v` told.
fn caps(path: &str, told: &str) -> Vec<Cap> {
    let rest = told.trim().strip_prefix(path).unwrap_or_default().trim();
    let rest = rest
        .strip_prefix("= ")
        .or(rest.strip_prefix('=').filter(|rest| rest.is_empty()))
        .unwrap_or(rest);
    let mut out = Vec::new();
    for group in rest.to_lowercase().split_whitespace() {
        let Some(last) = Cap::new(group) else {
            continue;
        };
        for name in last.0.split(',') {
            // libcap 2.26 and later write `=` for what was set with `+`.
            let operator = last.1.replace('=', "+");
            out.push(Cap(name.to_owned(), operator, last.2.clone()));
        }
    }
    out
}

/// `key="value"` lines of `getfattr`.
fn attributes(told: &str) -> IndexMap<String, Value> {
    told.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| match line.split_once('=') {
            Some((key, value)) => (key.to_owned(), Value::from(value.trim_matches('"'))),
            None => (line.to_owned(), Value::from("")),
        })
        .collect()
}

impl Property {
    /// The result of what was told, and the command that changes it, if any.
    fn settle(&self, told: &str, same: bool) -> (Outcome, Option<String>) {
        let word = sh::expanding(&self.path, false);
        match &self.kind {
            Kind::Acl { msg, change } => {
                let lines: Vec<&str> = told
                    .trim_end()
                    .lines()
                    .map(str::trim)
                    .filter(|line| !line.starts_with('#'))
                    .collect();
                let outcome = Outcome::ok().msg(msg).with("acl", sh::strings(lines));
                (outcome, change.clone().filter(|_| !same))
            }
            Kind::Xattr {
                key,
                value,
                state,
                follow,
            } => {
                let found = attributes(told);
                let name = key.clone().unwrap_or_default();
                let old = found
                    .get(&name)
                    .and_then(|value| value.as_str().map(str::to_owned));
                let h = if *follow { "" } else { "-h " };
                let quoted = sh::quote(&name);
                let wanted = value.clone().or((state == "present").then(String::new));
                let (msg, change) = match (state.as_str(), wanted) {
                    (_, Some(value)) => {
                        let set =
                            format!("setfattr {h}-n {quoted} -v {} -- {word}", sh::quote(&value));
                        let differs = old.as_deref() != Some(&value);
                        (format!("{name} set to {value}"), differs.then_some(set))
                    }
                    ("absent", _) => {
                        let remove = format!("setfattr {h}-x {quoted} -- {word}");
                        (
                            format!("{name} removed"),
                            found.contains_key(&name).then_some(remove),
                        )
                    }
                    ("keys", _) => ("returning all keys".into(), None),
                    ("all", _) => ("dumping all".into(), None),
                    _ => (format!("returning {name}"), None),
                };
                (
                    Outcome::ok()
                        .msg(msg)
                        .with("xattr", Value::from_pairs(found)),
                    change,
                )
            }
            Kind::Capability { wanted, present } => {
                let mut now = caps(&self.path, told);
                let sum = Cap(
                    wanted.0.clone(),
                    wanted.1.replace('=', "+"),
                    wanted.2.clone(),
                );
                let has = now.contains(&sum);
                let named = now.iter().any(|cap| cap.0 == wanted.0);
                let outcome =
                    Outcome::ok().with("state", if *present { "present" } else { "absent" });
                if *present && has || !*present && !named {
                    return (outcome, None);
                }
                now.retain(|cap| cap.0 != wanted.0);
                if *present {
                    now.push(wanted.clone());
                }
                let line: Vec<String> = now
                    .iter()
                    .map(|Cap(name, operator, flags)| format!("{name}{operator}{flags}"))
                    .collect();
                let change = format!(
                    "PATH=$PATH:/usr/sbin:/sbin setcap {} {}",
                    sh::quote(&line.join(" ")),
                    sh::quote(&self.path)
                );
                (outcome.msg("capabilities changed"), Some(change))
            }
        }
    }

    fn told(&self, seen: &Seen) -> Result<(String, bool), Box<Outcome>> {
        if seen.stat(&self.path, true).is_none() {
            return Err(Outcome::failed(self.missing).into());
        }
        let same = match &self.same {
            None => false,
            Some(script) => seen
                .script(script)
                .is_some_and(|(rc, out)| rc == 0 && out.starts_with(b"same")),
        };
        match seen.get(&Probe::Script(self.tell.clone())) {
            Some(super::probe::Answer::Script { rc: 0, stdout, .. }) => {
                Ok((String::from_utf8_lossy(stdout).into_owned(), same))
            }
            Some(super::probe::Answer::Script { stderr, .. }) => {
                let text = String::from_utf8_lossy(stderr);
                let last = text.lines().last().unwrap_or("it cannot be read");
                Err(Outcome::failed(last.to_owned()).into())
            }
            _ => Err(Outcome::failed("it cannot be read").into()),
        }
    }
}

impl Step for Property {
    fn probes(&self) -> Vec<Probe> {
        let mut probes = vec![
            Probe::Path {
                path: self.path.clone(),
                follow: true,
            },
            Probe::Script(self.tell.clone()),
        ];
        probes.extend(self.same.clone().map(Probe::Script));
        probes
    }

    fn decide(&self, seen: &Seen) -> Decision {
        let (told, same) = match self.told(seen) {
            Ok(told) => told,
            Err(outcome) => return Decision::Done(*outcome),
        };
        let (mut outcome, change) = self.settle(&told, same);
        let Some(change) = change else {
            return Decision::Done(outcome);
        };
        outcome.changed = true;
        Decision::Act(Plan {
            actions: vec![Chunk::new(change)],
            effects: vec![Effect::Path(self.path.clone())],
            predicted: outcome,
            opaque: false,
        })
    }

    fn finish(&self, before: &Seen, replies: &[Reply], after: &Seen) -> Outcome {
        if let Some(outcome) = attrs::failure(replies, &self.path) {
            return outcome;
        }
        let Ok((old, same)) = self.told(before) else {
            return Outcome::changed();
        };
        let (mut outcome, _) = self.settle(&old, same);
        outcome.changed = true;
        if let (Kind::Acl { .. }, Ok((new, _))) = (&self.kind, self.told(after)) {
            outcome.data = self.settle(&new, true).0.data;
        }
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_of_both_libcaps_are_read() {
        let cap = |name: &str| Cap(name.into(), "+".into(), "ep".into());
        assert_eq!(
            caps("/x", "/x = cap_net_raw,cap_chown+ep\n"),
            [cap("cap_net_raw"), cap("cap_chown")]
        );
        assert_eq!(caps("/x", "/x cap_net_raw=ep\n"), [cap("cap_net_raw")]);
        assert!(caps("/x", "/x\n").is_empty() && caps("/x", "/x =\n").is_empty());
    }
}
