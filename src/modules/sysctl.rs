//! `sysctl`: kernel parameters, in a file and, when asked, in the running kernel.

use super::attrs::Attrs;
use super::rule::{self, Act, Known, Rule, Verdict};
use super::sh::quote;
use super::{
    Args, Chunk, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Seen,
    Spec, Step, Type,
};

/// `sysctl`.
pub(crate) struct Sysctl;

static SPEC: Spec = Spec {
    name: "sysctl",
    collection: "ansible.posix",
    aliases: &[],
    doc: "Manages kernel parameters",
    params: &[
        Param::new("name", Type::Str, "the parameter, e.g. net.ipv4.ip_forward")
            .required()
            .aliases(&["key"]),
        Param::new("value", Type::Raw, "its value").aliases(&["val"]),
        Param::new("state", Type::Str, "whether the file has it")
            .choices(&["present", "absent"])
            .default("present"),
        Param::new("reload", Type::Bool, "load the file after a change").default("true"),
        Param::new("sysctl_set", Type::Bool, "set it in the running kernel too").default("false"),
        Param::new(
            "ignoreerrors",
            Type::Bool,
            "ignore parameters that the kernel does not know",
        )
        .default("false"),
        Param::new("sysctl_file", Type::Path, "the file").default("/etc/sysctl.conf"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Sysctl {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let present = args.text("state") == "present";
        let value = args
            .get("value")
            .map(|value| match super::args::to_bool(value) {
                // `1` and `0` are numbers first, but so they stay what they are.
                Some(yes) => (if yes { "1" } else { "0" }).to_owned(),
                None => super::args::text(value).trim().to_owned(),
            });
        let name = args.text("name").trim().to_owned();
        if name.is_empty() {
            return Err(Failure::of("name", "name cannot be blank"));
        }
        if present && value.as_deref().is_none_or(str::is_empty) {
            return Err(Failure::of("value", "value cannot be blank"));
        }
        let wanted = Wanted {
            name,
            value: value.unwrap_or_default(),
            present,
            reload: args.bool("reload"),
            set: args.bool("sysctl_set"),
            ignore: args.bool("ignoreerrors"),
            file: args.text("sysctl_file"),
        };
        let probes = vec![
            rule::content(&wanted.file),
            rule::stat(&wanted.file),
            Probe::Script(wanted.current()),
        ];
        Rule::new(probes, move |seen| wanted.judge(seen)).step()
    }
}

struct Wanted {
    name: String,
    value: String,
    present: bool,
    reload: bool,
    set: bool,
    ignore: bool,
    file: String,
}

impl Wanted {
    /// The kernel's file of this parameter. A name that starts with a dotted part has `/` for dots within parts.
    fn path(&self) -> String {
        let slash_first = self
            .name
            .find(['.', '/'])
            .is_some_and(|at| self.name[at..].starts_with('/'));
        let path: String = if slash_first {
            self.name.clone()
        } else {
            self.name
                .chars()
                .map(|c| match c {
                    '.' => '/',
                    '/' => '.',
                    c => c,
                })
                .collect()
        };
        format!("/proc/sys/{path}")
    }

    fn current(&self) -> String {
        format!("cat {} 2>/dev/null", quote(&self.path()))
    }

    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let old = rule::text(seen, &self.file)?;
        let (rc, current) = rule::script(seen, &self.current())?;
        let current = (rc == 0).then_some(current);
        let mut in_file = old
            .iter()
            .flat_map(|text| text.lines())
            .filter_map(setting)
            .filter(|(k, _)| *k == self.name);
        let in_file = in_file.next_back().map(|(_, value)| value.to_owned());
        let equal = |a: &str| a.split_whitespace().eq(self.value.split_whitespace());
        let right = current.as_deref().is_some_and(equal);
        let write = match (&in_file, self.present) {
            (None, present) => present,
            (Some(_), false) => true,
            (Some(value), true) => *value != self.value,
        };
        let set = self.set && self.present && !right;
        let stale = self.present && self.reload && !write && !right;
        let outcome = Outcome::ok();
        if !write && !set && !stale {
            return Ok(outcome.into());
        }
        let mut actions = Vec::new();
        let mut outcome = outcome;
        if set && current.is_some() {
            actions.push(Chunk::new(self.set_script()));
        }
        if write {
            let text = self.fixed(old.as_deref().unwrap_or_default());
            actions.push(rule::write(
                &self.file,
                seen.stat(&self.file, true),
                &text,
                &Attrs::default(),
            )?);
            outcome = outcome.diff(&self.file, old.unwrap_or_default(), text);
        }
        if self.reload {
            actions.push(Chunk::new(self.reload_script()));
        }
        Ok(Act::change(
            actions,
            vec![
                Effect::Path(self.file.clone()),
                Effect::Path("/proc/sys".into()),
            ],
            outcome,
            format!("setting {} failed", self.name),
        )
        .into())
    }

    /// The file's text with this parameter, and each parameter once.
    fn fixed(&self, old: &str) -> String {
        let mut text = String::new();
        let mut seen: Vec<&str> = Vec::new();
        for line in old.lines().map(str::trim) {
            match setting(line) {
                None => text.push_str(&format!("{line}\n")),
                Some((key, _)) if seen.contains(&key) => {}
                Some((key, value)) => {
                    seen.push(key);
                    if key != self.name {
                        text.push_str(&format!("{key}={value}\n"));
                    } else if self.present {
                        text.push_str(&format!("{key}={}\n", self.value));
                    }
                }
            }
        }
        if self.present && !seen.contains(&self.name.as_str()) {
            text.push_str(&format!("{}={}\n", self.name, self.value));
        }
        text
    }

    fn set_script(&self) -> String {
        let or = if self.ignore { " || :" } else { "" };
        format!(
            "printf '%s\\n' {} >{}{or}",
            quote(&self.value),
            quote(&self.path())
        )
    }

    /// Loads the file with `sysctl`, or by hand where there is none.
    fn reload_script(&self) -> String {
        let file = quote(&self.file);
        let ignore = if self.ignore { " -e" } else { "" };
        let or = if self.ignore { "|| :" } else { "|| exit 1" };
        format!(
            "PATH=$PATH:/usr/sbin:/sbin\n\
             if command -v sysctl >/dev/null; then\n \
             o=$(sysctl{ignore} -p {file} 2>&1) && ! printf '%s\\n' \"$o\" | grep -qE '^sysctl: setting key \"[^\"]+\"(, ignoring)?: (Invalid argument|Read-only file system)$' && exit 0\n \
             printf '%s\\n' \"$o\" | grep -v = >&2; exit 1\n\
             fi\n\
             while IFS='=' read -r k v; do\n \
             k=${{k# }} k=${{k% }}; case $k in '' | '#'* | ';'*) continue ;; esac\n \
             p=/proc/sys/$(printf %s \"$k\" | tr ./ /.); [ -e \"$p\" ] || continue\n \
             printf '%s\\n' \"${{v# }}\" >\"$p\" {or}\n\
             done <{file}"
        )
    }
}

/// A line's parameter and value, unless it is empty or a comment.
fn setting(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    if line.starts_with(['#', ';']) {
        return None;
    }
    let (key, value) = line.split_once('=')?;
    Some((key.trim(), value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str, value: &str, present: bool) -> Wanted {
        Wanted {
            name: name.into(),
            value: value.into(),
            present,
            reload: true,
            set: false,
            ignore: false,
            file: "/etc/sysctl.conf".into(),
        }
    }

    #[test]
    fn lines_are_fixed_as_by_ansible() {
        let old = "# c\nvm.swappiness = 60\n\nvm.swappiness=10\nb = 2\n";
        assert_eq!(
            wanted("vm.swappiness", "5", true).fixed(old),
            "# c\nvm.swappiness=5\n\nb=2\n"
        );
        assert_eq!(
            wanted("b", "2", false).fixed(old),
            "# c\nvm.swappiness=60\n\n"
        );
        assert_eq!(wanted("new", "1", true).fixed(""), "new=1\n");
    }

    #[test]
    fn names_lead_to_files() {
        assert_eq!(
            wanted("net.ipv4.conf.eth0/1.rp", "", true).path(),
            "/proc/sys/net/ipv4/conf/eth0.1/rp"
        );
        assert_eq!(
            wanted("net/ipv4/ip_forward", "", true).path(),
            "/proc/sys/net/ipv4/ip_forward"
        );
    }
}
