//! `alternatives`: by `update-alternatives`.

use super::rule::{self, Act, Known, Rule, Verdict};
use super::sh::join;
use super::{
    Args, Chunk, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Seen,
    Spec, Step, Type,
};
use indexmap::IndexMap;

/// `alternatives`.
pub(crate) struct Alternatives;

static SPEC: Spec = Spec {
    name: "alternatives",
    collection: "community.general",
    aliases: &[],
    doc: "Manages alternative programs",
    params: &[
        Param::new("name", Type::Str, "generic name, e.g. java").required(),
        Param::new("path", Type::Path, "the program"),
        Param::unsupported("family", "families are Red Hat's"),
        Param::new("link", Type::Path, "the link that leads to it"),
        Param::new("priority", Type::Int, "priority of the alternative"),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["absent", "auto", "present", "selected"])
            .default("selected"),
        Param::new(
            "subcommands",
            Type::List,
            "links that go with it: name, path, link",
        )
        .aliases(&["slaves"]),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Alternatives {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let Some(path) = args.str("path") else {
            return Err(Failure::new(
                "one of the following is required: path, family",
            ));
        };
        let subcommands = args.has("subcommands").then(|| {
            let field = |item: &minijinja::Value, key: &str| {
                item.get_attr(key)
                    .map(|v| super::args::text(&v))
                    .unwrap_or_default()
            };
            let all = args.list("subcommands");
            all.iter()
                .map(|item| Sub {
                    name: field(item, "name"),
                    path: field(item, "path"),
                    link: field(item, "link"),
                })
                .collect::<Vec<_>>()
        });
        let wanted = Wanted {
            name: args.text("name"),
            link: args.str("link"),
            priority: args.int("priority"),
            state: args.text("state"),
            subcommands,
            path,
        };
        let probes = vec![Probe::Script(wanted.display()), rule::stat(&wanted.path)];
        Rule::new(probes, move |seen| wanted.judge(seen)).step()
    }
}

/// A link that follows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sub {
    name: String,
    path: String,
    link: String,
}

/// What `update-alternatives --query` says.
#[derive(Debug, Default)]
struct Now {
    link: Option<String>,
    auto: bool,
    current: Option<String>,
    /// Priority and followers by path.
    all: IndexMap<String, (i64, Vec<Sub>)>,
}

impl Now {
    fn parse(text: &str) -> Self {
        let mut now = Self::default();
        let mut links: IndexMap<&str, &str> = IndexMap::new();
        let mut path: Option<&str> = None;
        let mut in_slaves = false;
        for line in text.lines() {
            if line.starts_with(' ') {
                let Some((name, target)) = line.trim().split_once(' ') else {
                    continue;
                };
                match path {
                    None if in_slaves => {
                        links.insert(name, target);
                    }
                    Some(path) if in_slaves => {
                        let link = links.get(name).copied().unwrap_or_default();
                        let sub = Sub {
                            name: name.into(),
                            path: target.into(),
                            link: link.into(),
                        };
                        now.all.entry(path.into()).or_default().1.push(sub);
                    }
                    _ => {}
                }
                continue;
            }
            let (key, value) = line.split_once(':').unwrap_or((line, ""));
            let value = value.trim();
            in_slaves = key == "Slaves";
            match key {
                "Link" => now.link = Some(value.into()),
                "Status" => now.auto = value == "auto",
                "Value" => now.current = Some(value.into()).filter(|value| value != "none"),
                "Alternative" => {
                    path = Some(value);
                    now.all.entry(value.into()).or_default();
                }
                "Priority" => {
                    if let Some(path) = path {
                        now.all.entry(path.into()).or_default().0 = value.parse().unwrap_or(0);
                    }
                }
                _ => {}
            }
        }
        now
    }
}

struct Wanted {
    name: String,
    path: String,
    link: Option<String>,
    priority: Option<i64>,
    state: String,
    subcommands: Option<Vec<Sub>>,
}

impl Wanted {
    fn display(&self) -> String {
        format!(
            "PATH=$PATH:/usr/sbin update-alternatives --query {} 2>/dev/null",
            super::sh::quote(&self.name)
        )
    }

    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let (_, out) = rule::script(seen, &self.display())?;
        let now = Now::parse(&out);
        let mut messages = Vec::new();
        let mut commands: Vec<Vec<String>> = Vec::new();
        let known = now.all.get(&self.path);
        if self.state == "absent" {
            if known.is_some() {
                messages.push(format!(
                    "Remove alternative '{}' from '{}'.",
                    self.path, self.name
                ));
                commands.push(vec![
                    "--remove".into(),
                    self.name.clone(),
                    self.path.clone(),
                ]);
            }
        } else {
            let differs = known.is_none_or(|(priority, subs)| {
                self.priority.is_some_and(|wanted| wanted != *priority)
                    || self.subcommands.as_ref().is_some_and(|wanted| {
                        !wanted.iter().all(|sub| subs.contains(sub))
                            || !subs.iter().all(|sub| wanted.contains(sub))
                    })
            });
            if differs {
                if seen.stat(&self.path, true).is_none() {
                    return Ok(Outcome::failed(format!(
                        "Specified path {} does not exist",
                        self.path
                    ))
                    .into());
                }
                let Some(link) = self.link.as_ref().or(now.link.as_ref()) else {
                    let msg = "Needed to install the alternative, but unable to do so as we are missing the link";
                    return Ok(Outcome::failed(msg).into());
                };
                let priority = self
                    .priority
                    .or(known.map(|(priority, _)| *priority))
                    .unwrap_or(50);
                let mut words = vec![
                    "--install".into(),
                    link.clone(),
                    self.name.clone(),
                    self.path.clone(),
                    priority.to_string(),
                ];
                for sub in self
                    .subcommands
                    .as_ref()
                    .or(known.map(|(_, subs)| subs))
                    .into_iter()
                    .flatten()
                {
                    words.extend([
                        "--slave".into(),
                        sub.link.clone(),
                        sub.name.clone(),
                        sub.path.clone(),
                    ]);
                }
                messages.push(format!(
                    "Install alternative '{}' for '{}'.",
                    self.path, self.name
                ));
                commands.push(words);
            }
            if self.state == "selected" && now.current.as_ref() != Some(&self.path) {
                messages.push(format!(
                    "Set alternative '{}' for '{}'.",
                    self.path, self.name
                ));
                commands.push(vec!["--set".into(), self.name.clone(), self.path.clone()]);
            }
            if self.state == "auto" && !now.auto && !out.is_empty() {
                messages.push(format!("Set alternative to auto for '{}'.", self.name));
                commands.push(vec!["--auto".into(), self.name.clone()]);
            }
        }
        let outcome = Outcome::ok().msg(messages.join(" "));
        if commands.is_empty() {
            return Ok(outcome.into());
        }
        let actions = commands
            .iter()
            .map(|words| {
                Chunk::new(format!(
                    "PATH=$PATH:/usr/sbin update-alternatives {}",
                    join(words)
                ))
            })
            .collect();
        Ok(Act::change(
            actions,
            vec![Effect::Anything],
            outcome,
            "update-alternatives",
        )
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read() {
        let now = Now::parse(
            "Name: awk\nLink: /usr/bin/awk\nSlaves:\n awk.1.gz /usr/share/man/man1/awk.1.gz\nStatus: auto\nBest: /usr/bin/mawk\nValue: /usr/bin/mawk\n\n\
             Alternative: /usr/bin/mawk\nPriority: 5\nSlaves:\n awk.1.gz /usr/share/man/man1/mawk.1.gz\n",
        );
        assert_eq!(now.link.as_deref(), Some("/usr/bin/awk"));
        assert!(now.auto);
        let (priority, subs) = &now.all["/usr/bin/mawk"];
        assert_eq!(
            (*priority, subs[0].link.as_str()),
            (5, "/usr/share/man/man1/awk.1.gz")
        );
    }
}
