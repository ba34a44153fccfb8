//! `mount`: lines of fstab, and what is mounted.

use super::attrs::Attrs;
use super::rule::{self, Act, Known, Rule, Verdict};
use super::sh::{join, quote};
use super::{
    Args, Chunk, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Seen,
    Spec, Step, Type,
};

/// `mount`.
pub(crate) struct Mount;

static SPEC: Spec = Spec {
    name: "mount",
    collection: "ansible.posix",
    aliases: &[],
    doc: "Manages mount points and fstab",
    params: &[
        Param::new("path", Type::Path, "the mount point")
            .required()
            .aliases(&["name"]),
        Param::new("src", Type::Path, "what to mount"),
        Param::new("fstype", Type::Str, "type of the file system"),
        Param::new("opts", Type::Str, "options"),
        Param::new("opts_no_log", Type::Bool, "do not show options").default("false"),
        Param::new("dump", Type::Str, "for dump").default("0"),
        Param::new("passno", Type::Str, "for fsck").default("0"),
        Param::new("state", Type::Str, "wanted state")
            .required()
            .choices(&[
                "absent",
                "absent_from_fstab",
                "mounted",
                "present",
                "unmounted",
                "remounted",
                "ephemeral",
            ]),
        Param::new("fstab", Type::Str, "the file, if not /etc/fstab"),
        Param::new("boot", Type::Bool, "mount it at boot").default("true"),
        Param::new("backup", Type::Bool, "keep the old fstab").default("false"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Mount {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let state = args.text("state");
        let (src, fstype) = (args.str("src"), args.str("fstype"));
        if matches!(state.as_str(), "mounted" | "present" | "ephemeral")
            && (src.is_none() || fstype.is_none())
        {
            return Err(Failure::of(
                "state",
                format!("state is {state} but all of the following are missing: src, fstype"),
            ));
        }
        let mut opts = args.str("opts").unwrap_or_else(|| "defaults".into());
        let noauto = opts.split(',').any(|opt| opt == "noauto");
        let boot = args.bool("boot");
        let mut warnings = Vec::new();
        if boot && noauto {
            warnings.push("Ignore the 'boot' due to 'opts' contains 'noauto'.".to_owned());
        } else if !boot {
            opts.push_str(",noauto");
        }
        let wanted = Wanted {
            path: args.text("path"),
            src,
            fstype,
            opts,
            dump: args.text("dump"),
            passno: args.text("passno"),
            own_fstab: args.str("fstab"),
            backup: args.bool("backup"),
            boot,
            state,
            warnings,
        };
        let probes = vec![
            rule::content(wanted.fstab()),
            rule::stat(wanted.fstab()),
            rule::stat(&wanted.path),
            Probe::Script(MOUNTS.into()),
        ];
        Rule::new(probes, move |seen| wanted.judge(seen))
            .finish(|outcome, _, replies, _| super::write::with_backup(outcome, replies))
            .step()
    }
}

const MOUNTS: &str = "cat /proc/self/mountinfo";

struct Wanted {
    path: String,
    src: Option<String>,
    fstype: Option<String>,
    opts: String,
    dump: String,
    passno: String,
    own_fstab: Option<String>,
    backup: bool,
    boot: bool,
    state: String,
    warnings: Vec<String>,
}

/// As fstab writes it.
fn escape(text: &str) -> String {
    text.replace('\\', "\\134")
        .replace(' ', "\\040")
        .replace('&', "\\046")
}

impl Wanted {
    fn fstab(&self) -> &str {
        self.own_fstab.as_deref().unwrap_or("/etc/fstab")
    }

    /// Whether a line of fstab is this mount's. Swap has no path: there the source counts.
    fn is_ours(&self, fields: &[&str]) -> bool {
        let swap = fields[1] == "none"
            && fields[2] == "swap"
            && self.src.as_deref().is_some_and(|src| src != fields[0]);
        fields[1] == escape(&self.path) && !swap
    }

    /// fstab with this mount's line as wanted.
    fn with_line(&self, old: &str) -> String {
        let field = |text: &Option<String>| escape(text.as_deref().unwrap_or_default());
        let line = [
            field(&self.src),
            escape(&self.path),
            field(&self.fstype),
            escape(&self.opts),
            escape(&self.dump),
            escape(&self.passno),
        ];
        let mut found = false;
        let mut text = String::new();
        for old_line in old.lines() {
            let mut fields: Vec<&str> = old_line
                .split('#')
                .next()
                .unwrap_or_default()
                .split_whitespace()
                .collect();
            if (4..=6).contains(&fields.len()) && self.is_ours(&fields) {
                found = true;
                fields.resize(6, "0");
                if fields != line {
                    text.push_str(&(line.join(" ") + "\n"));
                    continue;
                }
            }
            text.push_str(&format!("{old_line}\n"));
        }
        if !found {
            text.push_str(&(line.join(" ") + "\n"));
        }
        text
    }

    fn without_line(&self, old: &str) -> String {
        let ours = |line: &&str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields.len() == 6 && !fields[0].starts_with('#') && self.is_ours(&fields)
        };
        old.split_inclusive('\n')
            .filter(|line| !ours(line))
            .collect()
    }

    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let (_, table) = rule::script(seen, MOUNTS)?;
        let mounted = mounted(&table, &self.path);
        let old = rule::text(seen, self.fstab())?.unwrap_or_default();
        let exists = seen.stat(&self.path, true).is_some();
        let mut outcome = Outcome::ok();
        outcome.warnings.clone_from(&self.warnings);
        for (key, value) in [
            ("name", Some(self.path.clone())),
            ("src", self.src.clone()),
            ("fstype", self.fstype.clone()),
            ("opts", Some(self.opts.clone())),
            ("dump", Some(self.dump.clone())),
            ("passno", Some(self.passno.clone())),
            ("fstab", Some(self.fstab().to_owned())),
            (
                "boot",
                Some(if self.boot { "yes" } else { "no" }.to_owned()),
            ),
        ] {
            if let Some(value) = value {
                outcome = outcome.with(key, value);
            }
        }
        let text = match self.state.as_str() {
            "absent" | "absent_from_fstab" => self.without_line(&old),
            "mounted" | "present" => self.with_line(&old),
            _ => old.clone(),
        };
        let mut actions = Vec::new();
        if text != old {
            actions.push(self.write(seen, &text)?);
            outcome = outcome.diff(self.fstab(), old.clone(), text.clone());
        }
        let word = quote(&self.path);
        let what = match self.state.as_str() {
            "absent" if text != old => {
                let umount = if mounted.is_some() {
                    format!("umount {word} || exit\n")
                } else {
                    String::new()
                };
                let rmdir = if exists {
                    format!("rmdir {word}")
                } else {
                    ":".into()
                };
                actions.push(Chunk::new(format!("{umount}{rmdir}")));
                "Error unmounting"
            }
            "unmounted" if mounted.is_some() => {
                actions.push(Chunk::new(format!("umount {word}")));
                "Error unmounting"
            }
            "mounted" if mounted.is_none() => {
                actions.push(self.attempt(
                    &old,
                    text != old,
                    &format!("mount{} {word}", self.fstab_option()),
                ));
                "Error mounting"
            }
            "mounted" if text != old => {
                let again = format!("umount {word} && mount{} {word}", self.fstab_option());
                actions.push(Chunk::new(format!(
                    "mount -o remount{} {word} 2>/dev/null || {{ {again}; }}",
                    self.fstab_option()
                )));
                "Error mounting"
            }
            "remounted" => {
                let opts = if self.opts == "defaults" {
                    String::new()
                } else {
                    format!(",{}", self.opts)
                };
                let again = if opts.is_empty() {
                    format!(
                        " 2>/dev/null || {{ umount {word} && mount{} {word}; }}",
                        self.fstab_option()
                    )
                } else {
                    String::new()
                };
                actions.push(Chunk::new(format!(
                    "mount -o {}{} {word}{again}",
                    quote(&format!("remount{opts}")),
                    self.fstab_option()
                )));
                "Error remounting"
            }
            "ephemeral" => {
                let same = mounted
                    .as_ref()
                    .is_some_and(|src| Some(src) == self.src.as_ref());
                if mounted.is_some() && !same {
                    let msg = "Ephemeral mount point is already mounted with a different source than the specified one. \
                               Failing in order to prevent an unwanted unmount or override operation.";
                    return Ok(Outcome::failed(msg).into());
                }
                let mut words = vec!["-t".to_owned(), self.fstype.clone().unwrap_or_default()];
                let opts = if self.opts == "defaults" {
                    String::new()
                } else {
                    self.opts.clone()
                };
                let remount = if same { "remount" } else { "" };
                let opts: Vec<&str> = [remount, &opts]
                    .into_iter()
                    .filter(|o| !o.is_empty())
                    .collect();
                if !opts.is_empty() {
                    words.extend(["-o".into(), opts.join(",")]);
                }
                words.extend([self.src.clone().unwrap_or_default(), self.path.clone()]);
                actions.push(self.attempt(&old, false, &format!("mount {}", join(&words))));
                "Error mounting"
            }
            _ => "writing fstab",
        };
        if actions.is_empty() {
            return Ok(outcome.into());
        }
        let effects = vec![
            Effect::Path(self.fstab().to_owned()),
            Effect::Path(self.path.clone()),
        ];
        Ok(Act::change(actions, effects, outcome, format!("{what} {}", self.path)).into())
    }

    fn fstab_option(&self) -> String {
        match &self.own_fstab {
            Some(file) if file != "/etc/fstab" => format!(" -T {}", quote(file)),
            _ => String::new(),
        }
    }

    fn write(&self, seen: &Seen, text: &str) -> Known<Chunk> {
        let attrs = Attrs::default();
        let bytes: std::sync::Arc<[u8]> = text.as_bytes().into();
        let from = super::write::Source::Payload(crate::remote::Payload::Bytes(bytes));
        let mut write =
            super::write::Write::new(self.fstab(), from, &attrs, seen.stat(self.fstab(), true));
        write.backup = self.backup;
        if let Some((dir, _)) = self
            .fstab()
            .rsplit_once('/')
            .filter(|(dir, _)| !dir.is_empty())
        {
            write.before = format!("mkdir -p -- {} || exit\n", quote(dir));
        }
        Ok(write.chunk()?)
    }

    /// Mounts on a directory that is made for it; when that fails, both that and fstab are as before.
    fn attempt(&self, old: &str, wrote: bool, command: &str) -> Chunk {
        let word = quote(&self.path);
        let back = if wrote {
            format!("; cat >{}", quote(self.fstab()))
        } else {
            String::new()
        };
        rule::fed(
            format!(
                "made=\n[ -e {word} ] || {{ mkdir -p -- {word} && made=1; }} || exit\n{command} </dev/null && exit\nrc=$?\n\
                 [ -z \"$made\" ] || rmdir {word}{back}\nexit $rc"
            ),
            if wrote { old } else { "" },
        )
    }
}

/// What is mounted on a path: the source, or the path of a bind mount's source.
fn mounted(table: &str, path: &str) -> Option<String> {
    let unescape = |text: &str| {
        text.replace("\\040", " ")
            .replace("\\011", "\t")
            .replace("\\134", "\\")
    };
    let path = if path.len() > 1 {
        path.trim_end_matches('/')
    } else {
        path
    };
    table
        .lines()
        .rev()
        .map(|line| line.split(' ').collect::<Vec<_>>())
        .find(|fields| fields.get(4).is_some_and(|at| unescape(at) == path))
        .map(|fields| {
            let root = fields.get(3).copied().unwrap_or("/");
            if root == "/" {
                unescape(
                    fields
                        .get(fields.len().saturating_sub(2))
                        .copied()
                        .unwrap_or_default(),
                )
            } else {
                unescape(root)
            }
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(path: &str, src: &str) -> Wanted {
        Wanted {
            path: path.into(),
            src: Some(src.into()),
            fstype: Some("ext4".into()),
            opts: "noatime".into(),
            dump: "0".into(),
            passno: "2".into(),
            own_fstab: None,
            backup: false,
            boot: true,
            state: "mounted".into(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn lines_of_fstab_come_change_and_go() {
        let old = "# c\n/dev/sda1 / ext4 defaults 0 1\n/dev/sdb1 /data ext4 defaults\n";
        assert_eq!(
            wanted("/new dir", "/dev/sdc1").with_line(old),
            format!("{old}/dev/sdc1 /new\\040dir ext4 noatime 0 2\n")
        );
        assert_eq!(
            wanted("/data", "/dev/sdb1").with_line(old),
            "# c\n/dev/sda1 / ext4 defaults 0 1\n/dev/sdb1 /data ext4 noatime 0 2\n"
        );
        let same = "/dev/sdb1 /data ext4 noatime 0 2\n";
        assert_eq!(wanted("/data", "/dev/sdb1").with_line(same), same);
        assert_eq!(wanted("/data", "/dev/sdb1").without_line(same), "");
    }

    #[test]
    fn mounts_are_found() {
        let table = "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n30 22 0:5 / /mnt/a\\040b rw - tmpfs tmpfs rw\n31 22 8:1 /srv /mnt/c rw - ext4 /dev/sda1 rw\n";
        assert_eq!(mounted(table, "/mnt/a b").as_deref(), Some("tmpfs"));
        assert_eq!(mounted(table, "/mnt/c/").as_deref(), Some("/srv"));
        assert_eq!(mounted(table, "/nope"), None);
    }
}
