//! `modprobe`: kernel modules, now and at boot.

use super::attrs::Attrs;
use super::rule::{self, Act, Known, Rule, Verdict};
use super::sh::{join, quote};
use super::{
    Args, Chunk, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Seen,
    Spec, Step, Type,
};

/// `modprobe`.
pub(crate) struct Modprobe;

static SPEC: Spec = Spec {
    name: "modprobe",
    collection: "community.general",
    aliases: &[],
    doc: "Loads and unloads kernel modules",
    params: &[
        Param::new("name", Type::Str, "the module").required(),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["absent", "present"])
            .default("present"),
        Param::new("params", Type::Str, "its parameters").default(""),
        Param::new("persistent", Type::Str, "whether it is loaded at boot")
            .choices(&["disabled", "present", "absent"])
            .default("disabled"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Modprobe {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let wanted = Wanted {
            name: args.text("name"),
            state: args.text("state"),
            params: args.text("params"),
            persistent: args.text("persistent"),
        };
        let probes = vec![Probe::Script(wanted.look())];
        Rule::new(probes, move |seen| wanted.judge(seen)).step()
    }
}

struct Wanted {
    name: String,
    state: String,
    params: String,
    persistent: String,
}

impl Wanted {
    /// Whether it is loaded or built in, then the files that load it or set its parameters.
    fn look(&self) -> String {
        let file = quote(&format!("^{} ", self.name.replace('-', "_")));
        let built_in = quote(&format!("/{}.ko", self.name));
        format!(
            "grep -q {file} /proc/modules && echo loaded\n\
             grep -qsF -- {built_in} \"/lib/modules/$(uname -r)/modules.builtin\" && echo loaded\n\
             for f in /etc/modules-load.d/* /etc/modprobe.d/*; do [ -f \"$f\" ] && grep -qs -- {name} \"$f\" && printf '\\035%s\\n' \"$f\" && cat \"$f\"; done\n:",
            name = quote(&self.name)
        )
    }

    /// Whether a line loads the module.
    fn loads(&self, line: &str) -> bool {
        line.trim_start_matches(' ')
            .strip_prefix(&self.name)
            .is_some_and(|rest| {
                rest.trim_start().is_empty() || rest.trim_start().starts_with(['#', ';'])
            })
    }

    /// The parameter that a line sets.
    fn option<'a>(&self, line: &'a str) -> Option<&'a str> {
        let rest = line
            .strip_prefix("options ")?
            .strip_prefix(&self.name)?
            .strip_prefix(' ')?;
        let (option, comment) = rest
            .trim_end()
            .split_once(' ')
            .unwrap_or((rest.trim_end(), ""));
        let comment = comment.trim_start();
        (option.contains('=') && (comment.is_empty() || comment.starts_with(['#', ';'])))
            .then_some(option)
    }

    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let (_, out) = rule::script(seen, &self.look())?;
        let (head, files) = out.split_once('\x1d').unwrap_or((&out, ""));
        let loaded = head.contains("loaded");
        let files: Vec<(&str, &str)> = files
            .split('\x1d')
            .filter_map(|part| part.split_once('\n'))
            .collect();
        let outcome = Outcome::ok()
            .with("name", self.name.as_str())
            .with("params", self.params.as_str())
            .with("state", self.state.as_str());
        let mut actions = Vec::new();
        let mut effects = Vec::new();
        let modprobe = |words: Vec<String>| {
            Chunk::new(format!(
                "PATH=$PATH:/usr/sbin:/sbin modprobe {}",
                join(words)
            ))
        };
        match (self.state.as_str(), loaded) {
            ("present", false) => {
                let mut words = vec![self.name.clone()];
                words.extend(shlex::split(&self.params).unwrap_or_default());
                actions.push(modprobe(words));
            }
            ("absent", true) => actions.push(modprobe(vec!["-r".into(), self.name.clone()])),
            _ => {}
        }
        let at_boot = files
            .iter()
            .any(|(_, text)| text.lines().any(|line| self.loads(line)));
        let set: Vec<&str> = files
            .iter()
            .flat_map(|(_, text)| text.lines())
            .filter_map(|line| self.option(line))
            .collect();
        let wanted: Vec<&str> = self.params.split_whitespace().collect();
        let right = set.iter().all(|option| wanted.contains(option))
            && wanted.iter().all(|option| set.contains(option));
        let mut write = |path: String, text: String| -> Known<()> {
            actions.push(rule::write(&path, None, &text, &Attrs::default())?);
            effects.push(Effect::Path(path));
            Ok(())
        };
        let commented = |drop: &dyn Fn(&str) -> bool, folder: &str| -> Vec<(String, String)> {
            files
                .iter()
                .filter(|(path, text)| path.starts_with(folder) && text.lines().any(drop))
                .map(|(path, text)| {
                    let mark =
                        |line: &str| format!("{}{line}\n", if drop(line) { "#" } else { "" });
                    ((*path).to_owned(), text.lines().map(mark).collect())
                })
                .collect()
        };
        let is_option = |line: &str| self.option(line).is_some();
        match self.persistent.as_str() {
            "present" => {
                if !at_boot {
                    write(
                        format!("/etc/modules-load.d/{}.conf", self.name),
                        format!("{}\n", self.name),
                    )?;
                }
                if !right {
                    let own = format!("/etc/modprobe.d/{}.conf", self.name);
                    for (path, text) in commented(&is_option, "/etc/modprobe.d") {
                        if path != own {
                            write(path, text)?;
                        }
                    }
                    let text: String = wanted
                        .iter()
                        .map(|option| format!("options {} {option}\n", self.name))
                        .collect();
                    write(own, text)?;
                }
            }
            "absent" => {
                for (path, text) in commented(&|line| self.loads(line), "/etc/modules-load.d") {
                    write(path, text)?;
                }
                for (path, text) in commented(&is_option, "/etc/modprobe.d") {
                    write(path, text)?;
                }
            }
            _ => {}
        }
        if actions.is_empty() {
            return Ok(outcome.into());
        }
        effects.push(Effect::Path("/proc/modules".into()));
        Ok(Act::change(actions, effects, outcome, format!("modprobe {}", self.name)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        let wanted = Wanted {
            name: "dummy".into(),
            state: String::new(),
            params: String::new(),
            persistent: String::new(),
        };
        assert!(
            wanted.loads(" dummy # x")
                && wanted.loads("dummy")
                && !wanted.loads("dummy2")
                && !wanted.loads("#dummy")
        );
        assert_eq!(
            wanted.option("options dummy numdummies=2 # x"),
            Some("numdummies=2")
        );
        assert_eq!(wanted.option("options dummy2 a=1"), None);
    }
}
