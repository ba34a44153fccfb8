//! `pip`: Python packages, by the host's own pip.

use super::rule::{self, Act, Known, Rule, Verdict};
use super::sh::{expanding, join, quote, streams, strings};
use super::{
    Args, Chunk, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Probe, Reply, Runs,
    Seen, Spec, Step, Type,
};
use std::cmp::Ordering;

/// `pip`.
pub(crate) struct Pip;

static SPEC: Spec = Spec {
    name: "pip",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Manages Python packages",
    params: &[
        Param::new(
            "name",
            Type::List,
            "packages, with demands on versions; or addresses",
        ),
        Param::new("version", Type::Str, "version of the one package"),
        Param::new(
            "requirements",
            Type::Str,
            "file of requirements on the host",
        ),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["absent", "forcereinstall", "latest", "present"])
            .default("present"),
        Param::new(
            "virtualenv",
            Type::Path,
            "virtual environment, made when missing",
        ),
        Param::new(
            "virtualenv_site_packages",
            Type::Bool,
            "let it see the system's packages",
        )
        .default("false"),
        Param::new("virtualenv_command", Type::Path, "what makes it").default("virtualenv"),
        Param::new("virtualenv_python", Type::Str, "Python to make it with"),
        Param::new("extra_args", Type::Str, "more options for pip"),
        Param::new("editable", Type::Bool, "install in place").default("false"),
        Param::new("chdir", Type::Path, "change into this directory before"),
        Param::new("executable", Type::Path, "pip itself"),
        Param::new("umask", Type::Str, "umask for pip"),
        Param::new(
            "break_system_packages",
            Type::Bool,
            "touch packages that apt manages",
        )
        .default("false"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Pip {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let mut names = recover(&args.strings("name"));
        let requirements = args.str("requirements");
        let state = args.text("state");
        match (names.is_empty(), &requirements) {
            (true, None) if !args.has("name") => {
                return Err(Failure::new(
                    "one of the following is required: name, requirements",
                ));
            }
            (false, Some(_)) => {
                return Err(Failure::new(
                    "parameters are mutually exclusive: name|requirements",
                ));
            }
            _ => {}
        }
        if args.has("executable") && args.has("virtualenv") {
            return Err(Failure::new(
                "parameters are mutually exclusive: executable|virtualenv",
            ));
        }
        let version = args.str("version");
        if let Some(version) = &version {
            if state == "latest" {
                return Err(Failure::of(
                    "version",
                    "version is incompatible with state=latest",
                ));
            }
            let [name] = &mut names[..] else {
                return Err(Failure::of(
                    "version",
                    "'version' argument is ambiguous when installing multiple package distributions. Please specify version restrictions next to each package in 'name' argument.",
                ));
            };
            let plain = version.trim_start();
            let sign = if plain.starts_with(|c: char| c.is_ascii_digit()) {
                "=="
            } else {
                ""
            };
            *name = format!("{name}{sign}{plain}");
        }
        let mut extra = shlex::split(&args.text("extra_args"))
            .ok_or_else(|| Failure::of("extra_args", "unbalanced quotes in `extra_args`"))?;
        if args.bool("editable") && !extra.iter().any(|arg| arg == "-e") {
            extra.push("-e".into());
        }
        let wanted = Wanted {
            names,
            given: args.strings("name"),
            version,
            requirements,
            state,
            env: args.str("virtualenv"),
            site: args.bool("virtualenv_site_packages"),
            command: args.text("virtualenv_command"),
            python: args.str("virtualenv_python"),
            extra,
            chdir: args.str("chdir"),
            executable: args.str("executable"),
            umask: args.str("umask"),
            break_system: args.bool("break_system_packages"),
        };
        if wanted.python.is_some()
            && (wanted.command.contains("-m venv") || wanted.command.contains("pyvenv"))
        {
            return Err(Failure::of(
                "virtualenv_python",
                "virtualenv_python should not be used when using the venv module or pyvenv as virtualenv_command",
            ));
        }
        let probes = vec![Probe::Script(wanted.look())];
        Rule::new(probes, move |seen| wanted.judge(seen))
            .finish(|outcome, _, replies, _| finish(outcome, replies))
            .step()
    }
}

/// Names with their demands, which commas may have torn apart.
fn recover(items: &[String]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut open = false;
    for part in items.iter().flat_map(|item| item.split(',')) {
        let demand = part.trim_start().starts_with(['<', '>', '=', '!', '~']);
        match names.last_mut() {
            Some(last) if demand || open => {
                last.push(',');
                last.push_str(part);
            }
            _ => names.push(part.to_owned()),
        }
        open = (open || part.contains('[')) && !part.contains(']');
    }
    names.retain(|name| !name.trim().is_empty());
    names
}

/// A package's name as Python compares it.
fn canonical(name: &str) -> String {
    let mut out = String::new();
    for c in name.to_lowercase().chars() {
        if !matches!(c, '-' | '_' | '.') {
            out.push(c);
        } else if !out.ends_with('-') {
            out.push('-');
        }
    }
    out
}

/// Name and demands of a requirement; `None` for addresses, paths and what has conditions.
fn requirement(text: &str) -> Option<(String, Vec<(&str, &str)>)> {
    if text.contains([':', '/', ';', '@']) {
        return None;
    }
    let end = text
        .find(['<', '>', '=', '!', '~', '[', ' '])
        .unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let rest = rest.trim_start();
    let rest = if rest.starts_with('[') {
        rest.split_once(']')?.1
    } else {
        rest
    };
    let demands = rest
        .split(',')
        .map(str::trim)
        .filter(|demand| !demand.is_empty())
        .map(|demand| {
            let at = demand
                .find(|c: char| !"<>=!~".contains(c))
                .unwrap_or(demand.len());
            let (sign, version) = demand.split_at(at);
            (sign, version.trim())
        })
        .collect();
    Some((canonical(name), demands))
}

/// A version's numbers, with what comes before or after a release folded in.
fn version_key(version: &str) -> (Vec<u64>, i64, u64) {
    let version = version.trim().trim_start_matches('v').to_lowercase();
    let version = version.split('+').next().unwrap_or_default();
    let end = version
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(version.len());
    let (numbers, tail) = version.split_at(end);
    let mut release: Vec<u64> = numbers.split('.').filter_map(|n| n.parse().ok()).collect();
    while release.last() == Some(&0) {
        release.pop();
    }
    let tail = tail.trim_start_matches(['.', '-', '_']);
    let number: u64 = tail
        .chars()
        .filter(char::is_ascii_digit)
        .collect::<String>()
        .parse()
        .unwrap_or(0);
    let phase = match tail.chars().next() {
        None => 0,
        Some('d') => -4,
        Some('a') => -3,
        Some('b') => -2,
        Some('r' | 'c') => -1,
        Some(_) => 1,
    };
    (release, phase, number)
}

/// Whether a version meets a demand, by the rules of PEP 440.
fn meets(version: &str, sign: &str, wanted: &str) -> bool {
    if let Some(prefix) = wanted.strip_suffix(".*") {
        let starts = version == prefix || version.starts_with(&format!("{prefix}."));
        return if sign == "!=" { !starts } else { starts };
    }
    let order = version_key(version).cmp(&version_key(wanted));
    match sign {
        "==" | "===" => order == Ordering::Equal,
        "!=" => order != Ordering::Equal,
        ">=" => order != Ordering::Less,
        "<=" => order != Ordering::Greater,
        ">" => order == Ordering::Greater,
        "<" => order == Ordering::Less,
        "~=" => {
            let prefix = wanted.rsplit_once('.').map_or(wanted, |(prefix, _)| prefix);
            order != Ordering::Less && meets(version, "==", &format!("{prefix}.*"))
        }
        _ => false,
    }
}

struct Wanted {
    names: Vec<String>,
    given: Vec<String>,
    version: Option<String>,
    requirements: Option<String>,
    state: String,
    env: Option<String>,
    site: bool,
    command: String,
    python: Option<String>,
    extra: Vec<String>,
    chdir: Option<String>,
    executable: Option<String>,
    umask: Option<String>,
    break_system: bool,
}

impl Wanted {
    /// Changes into the directory and finds pip as `$1…`.
    fn prelude(&self) -> String {
        let mut text = format!(
            "PATH=$PATH:/usr/local/bin:/usr/bin; export LC_ALL=C.UTF-8 PIP_DISABLE_PIP_VERSION_CHECK=1\ncd {} || exit\n",
            self.chdir
                .as_deref()
                .map_or("\"${TMPDIR:-/tmp}\"".into(), |dir| expanding(dir, false))
        );
        if let Some(umask) = &self.umask {
            text.push_str(&format!("umask {}\n", quote(umask)));
        }
        if self.break_system {
            text.push_str("export PIP_BREAK_SYSTEM_PACKAGES=1\n");
        }
        match (&self.env, &self.executable) {
            (Some(env), _) => text.push_str(&format!(
                "e={}\ncase $e in /*) ;; *) e=$PWD/$e ;; esac\nexport PATH=\"$e/bin:$PATH\"\n",
                expanding(env, false)
            )),
            (None, Some(pip)) => text.push_str(&format!("set -- {}\n", expanding(pip, false))),
            (None, None) => text.push_str(
                "if python3 -c 'import pip' 2>/dev/null; then set -- python3 -m pip; elif command -v pip3 >/dev/null; then set -- pip3; else set -- pip; fi\n",
            ),
        }
        text
    }

    fn env_pip(&self) -> &'static str {
        if self.env.is_some() {
            "if [ -x \"$e/bin/pip3\" ]; then set -- \"$e/bin/pip3\"; else set -- \"$e/bin/pip\"; fi\n"
        } else {
            ""
        }
    }

    const MISSING: &str = "command -v \"$1\" >/dev/null || { echo 'Unable to find any of pip3 to use.  pip needs to be installed.' >&2; exit 9; }\n";

    /// Installed packages, or `new` when the environment is missing.
    fn look(&self) -> String {
        let env = if self.env.is_some() {
            "[ -e \"$e/bin/activate\" ] || { echo new; exit; }\n"
        } else {
            ""
        };
        format!(
            "{}{env}{}{}\"$@\" list --format=freeze 2>/dev/null || \"$@\" freeze 2>/dev/null",
            self.prelude(),
            self.env_pip(),
            Self::MISSING.replace(">&2; exit 9", "; exit 9"),
        )
    }

    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let (rc, out) = rule::script(seen, &self.look())?;
        if rc == 9 {
            return Ok(Outcome::failed(out.trim()).into());
        }
        let new = out.trim() == "new";
        let installed: Vec<(String, &str)> = out
            .lines()
            .filter_map(|line| line.split_once("=="))
            .map(|(name, version)| (canonical(name), version.trim()))
            .collect();
        let present = |name: &String| {
            requirement(name).map(|(name, demands)| {
                installed.iter().any(|(known, version)| {
                    *known == name
                        && demands
                            .iter()
                            .all(|(sign, wanted)| meets(version, sign, wanted))
                })
            })
        };
        let known: Vec<Option<bool>> = self.names.iter().map(present).collect();
        let in_sync = match self.state.as_str() {
            "present" => self.extra.is_empty() && known.iter().all(|known| *known == Some(true)),
            "absent" => known.iter().all(|known| *known == Some(false)),
            _ => false,
        };
        let outcome = Outcome::ok()
            .with(
                "name",
                (!self.given.is_empty()).then(|| strings(self.given.iter().cloned())),
            )
            .with("version", self.version.clone())
            .with("state", self.state.as_str())
            .with("requirements", self.requirements.clone())
            .with("virtualenv", self.env.clone());
        if !new && self.requirements.is_none() && in_sync {
            return Ok(outcome.into());
        }
        let certain = new || known.contains(&Some(false)) && self.state == "present";
        let mut act = Act::change(
            vec![Chunk::new(self.script(new))],
            vec![Effect::Anything],
            outcome,
            "pip",
        );
        act.outcome.changed = certain || self.state != "present" || self.requirements.is_some();
        act.opaque = !certain;
        Ok(act.into())
    }

    fn script(&self, new: bool) -> String {
        let mut text = self.prelude();
        if new {
            let mut words =
                shlex::split(&self.command).unwrap_or_else(|| vec![self.command.clone()]);
            if self.site {
                words.push("--system-site-packages".into());
            }
            let venv = self.command.contains("-m venv") || self.command.contains("pyvenv");
            if !venv {
                words.push(format!("-p{}", self.python.as_deref().unwrap_or("python3")));
            }
            text.push_str(&format!(
                "{} \"$e\" || exit\necho '!created'\n",
                join(words)
            ));
        }
        text.push_str(self.env_pip());
        text.push_str(Self::MISSING);
        let verb: &[&str] = match self.state.as_str() {
            "absent" => &["uninstall", "-y"],
            "latest" => &["install", "-U"],
            "forcereinstall" => &["install", "-U", "--force-reinstall"],
            _ => &["install"],
        };
        let mut words: Vec<String> = verb.iter().map(|word| (*word).to_owned()).collect();
        words.extend(self.extra.iter().cloned());
        words.extend(self.names.iter().cloned());
        if let Some(file) = &self.requirements {
            words.extend(["-r".into(), file.clone()]);
        }
        let vcs = self.requirements.is_some()
            || self
                .names
                .iter()
                .any(|name| name.contains("+") && name.contains("://"));
        let (before, after) = if vcs {
            (
                "mp_before=$(\"$@\" freeze 2>/dev/null)\n",
                "[ \"$mp_before\" = \"$(\"$@\" freeze 2>/dev/null)\" ] || echo '!changed'\n",
            )
        } else {
            ("", "")
        };
        text.push_str(&format!(
            "{before}echo \"!cmd $* {}\"\n\"$@\" {} </dev/null; mp_rc=$?\n{after}exit $mp_rc",
            join(&words).replace(['"', '`', '$', '\\'], ""),
            join(&words)
        ));
        text
    }
}

fn finish(mut outcome: Outcome, replies: &[Reply]) -> Outcome {
    let reply = replies.first().cloned().unwrap_or_default();
    let out = reply.out();
    let marked = |mark: &str| out.lines().any(|line| line == mark);
    outcome.changed = out.contains("Successfully installed")
        || out.contains("Successfully uninstalled")
        || marked("!changed")
        || marked("!created");
    let cmd = out
        .lines()
        .find_map(|line| line.strip_prefix("!cmd "))
        .unwrap_or_default();
    let cmd = strings(cmd.split_whitespace());
    let shown: String = out
        .split_inclusive('\n')
        .filter(|line| !line.starts_with('!'))
        .collect();
    streams(outcome.with("cmd", cmd), &shown, &reply.err())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_put_together() {
        let all =
            |items: &[&str]| recover(&items.iter().map(|i| (*i).to_owned()).collect::<Vec<_>>());
        assert_eq!(
            all(&["django>1.11.1", "<1.11.3", "ipaddress"]),
            ["django>1.11.1,<1.11.3", "ipaddress"]
        );
        assert_eq!(all(&["a[x,y]>1", "b"]), ["a[x,y]>1", "b"]);
    }

    #[test]
    fn demands_are_met_as_pep_440_says() {
        for (version, sign, wanted, met) in [
            ("1.10", ">=", "1.9", true),
            ("1.0", "==", "1.0.0", true),
            ("1.0rc1", "<", "1.0", true),
            ("1.0.post1", ">", "1.0", true),
            ("2.3.4", "~=", "2.2", true),
            ("3.0", "~=", "2.2", false),
            ("1.4.2", "==", "1.4.*", true),
            ("1.5", "!=", "1.4.*", true),
        ] {
            assert_eq!(
                meets(version, sign, wanted),
                met,
                "{version} {sign} {wanted}"
            );
        }
        let (name, demands) = requirement("Foo_Bar[x]>=1, <2").unwrap();
        assert_eq!(
            (name.as_str(), demands),
            ("foo-bar", vec![(">=", "1"), ("<", "2")])
        );
        assert!(requirement("git+https://x/y").is_none());
    }
}
