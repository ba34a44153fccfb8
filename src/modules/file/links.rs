//! `file` with `state: link` and `state: hard`.

use super::{Case, FileStep};
use crate::modules::attrs::{self, Fix, Unsettled};
use crate::modules::probe::{FileType, PathState};
use crate::modules::{Decision, Outcome, sh};
use serde_json::json;

/// What a link's target means, seen from the folder the link is in.
pub(super) fn beside(link: &str, target: &str) -> String {
    if target.starts_with(['/', '~']) {
        return target.to_owned();
    }
    match link.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{target}"),
        None => target.to_owned(),
    }
}

impl FileStep {
    /// The path that `src` means, when one is given.
    pub(super) fn link_target(&self) -> Option<String> {
        let src = self.src.as_ref()?;
        match self.state.as_deref() {
            Some("hard") => Some(src.clone()),
            _ => Some(beside(&self.path, src)),
        }
    }
}

/// Puts a new link in place of what is there, in one step.
fn replace(make: &str) -> String {
    format!(
        "case $p in */*) t=${{p%/*}}/ ;; *) t=./ ;; esac\nt=$(mktemp -u \"$t.mini-play.XXXXXX\") || exit\n\
         {make} \"$t\" && mv -fT -- \"$t\" \"$p\" 2>/dev/null || {{ rm -f -- \"$t\"; echo '!msg Error while replacing' >&2; exit 1; }}\n"
    )
}

impl Case<'_> {
    pub(super) fn link(&self) -> Result<Decision, Unsettled> {
        let step = self.step;
        let old = self.now.and_then(|now| now.target.as_deref());
        let wanted = step.src.as_deref();
        let target = step.link_target();
        let target_now = match &target {
            Some(target) => self.seen.stat(target, true),
            None => self.seen.stat(&self.path, true),
        };
        if let Some(target) = &target
            && target_now.is_none()
            && !step.force
        {
            let msg = format!(
                "src file does not exist, use 'force=yes' if you really want to create the link: {target}"
            );
            return Ok(Decision::Done(
                Outcome::failed(msg)
                    .with("path", self.shown())
                    .with("src", wanted.unwrap_or_default()),
            ));
        }
        let kind = self.now.map(|now| now.kind);
        if kind.is_some_and(|kind| kind != FileType::Link) && !step.force {
            let msg = format!(
                "refusing to convert from {} to symlink for {}",
                self.previous(),
                self.shown()
            );
            return Ok(self.fail(&msg));
        }
        let Some(src) = wanted.or(old) else {
            return Ok(self.fail("src is required for creating new symlinks"));
        };
        let changed = old != Some(src);
        let mut script = String::new();
        if changed {
            let to = sh::quote(src);
            if kind == Some(FileType::Directory) {
                script = "rmdir -- \"$p\" 2>/dev/null || { echo \"!msg the directory $p is not empty, refusing to convert it\" >&2; exit 1; }\n".into();
            }
            script.push_str(&match kind {
                None | Some(FileType::Directory) => format!("ln -sT -- {to} \"$p\" || exit\n"),
                Some(_) => replace(&format!("ln -sT -- {to}")),
            });
        }
        // Attributes are those of what the link points to, unless links are not followed.
        let (path, now, word) = if step.follow {
            (
                target.as_deref().unwrap_or(&self.path),
                target_now,
                "\"$(readlink -f -- \"$p\")\"",
            )
        } else {
            (self.path.as_str(), self.now.filter(|_| !changed), "\"$p\"")
        };
        let mut fix = Fix::default();
        match now {
            Some(now) => fix = step.attrs.differ(path, now, self.seen)?,
            None if step.follow => {}
            None => {
                let mut own = step.attrs.clone();
                own.mode = None;
                let all = own.commands(word, 0, false);
                script.push_str(&all.map_err(Unsettled::failed)?);
            }
        }
        script.push_str(&fix.commands(word));
        let times = match now {
            Some(now) => step.times.commands(now, self.seen, word)?,
            None => String::new(),
        };
        script.push_str(&times);
        let warn = step.follow && target_now.is_none();
        let mut decision = if changed || !fix.is_empty() || !times.is_empty() {
            let mut more = Vec::new();
            if changed && let Some(old) = old {
                more.push(("src", json!(old), json!(src)));
            }
            self.act(&script, fix, &more)
        } else {
            Decision::Done(self.result(Outcome::ok(), self.seen))
        };
        if warn {
            let text = "Cannot set fs attributes on a non-existent symlink target. follow should be set to False to avoid this.";
            match &mut decision {
                Decision::Done(outcome) => outcome.warnings.push(text.into()),
                Decision::Act(plan) => plan.predicted.warnings.push(text.into()),
                Decision::Look(_) => {}
            }
        }
        Ok(decision)
    }

    pub(super) fn hard(&self) -> Result<Decision, Unsettled> {
        let step = self.step;
        let previous = self.previous();
        let Some(src) = step.src.as_deref() else {
            return match self.now {
                Some(now) if previous == "hard" => {
                    self.settle(&self.path, now, "\"$p\"", String::new(), false)
                }
                _ => Ok(self.fail("src is required for creating new hardlinks")),
            };
        };
        let wrong = |msg: String| {
            Ok(Decision::Done(
                Outcome::failed(msg)
                    .with("dest", self.shown())
                    .with("src", src),
            ))
        };
        let Some(source) = self.seen.stat(src, true) else {
            return wrong("src does not exist".into());
        };
        let same = |now: &PathState| now.inode == source.inode && now.dev == source.dev;
        let changed = match self.now {
            None => true,
            Some(now) if now.kind == FileType::Link => now.target.as_deref() != Some(src),
            Some(now) if same(now) => false,
            Some(_) if step.force => true,
            Some(_) if previous == "file" => {
                return wrong("Cannot link, file exists at destination".into());
            }
            Some(now) if now.kind == FileType::Directory => {
                return wrong("Cannot link: different hard link exists at destination".into());
            }
            Some(_) => {
                return wrong("Cannot link, different hard link exists at destination".into());
            }
        };
        let mut script = String::new();
        if changed {
            let from = sh::expanding(src, false);
            let make = if step.follow {
                format!("ln -LT -- {from}")
            } else {
                format!("ln -PT -- {from}")
            };
            script = if self.now.is_some() {
                replace(&make)
            } else {
                format!("{make} \"$p\" || exit\n")
            };
        }
        // Once linked, the path is what the source is.
        let now = if changed {
            source
        } else {
            self.now.unwrap_or(source)
        };
        let fix = step.attrs.differ(&self.path, now, self.seen)?;
        script.push_str(&fix.commands("\"$p\""));
        script.push_str(&step.times.commands(now, self.seen, "\"$p\"")?);
        if script.is_empty() {
            return Ok(Decision::Done(attrs::info(
                Outcome::ok().with("dest", self.shown()).with("src", src),
                self.now,
            )));
        }
        Ok(self.act(&script, fix, &[]))
    }
}
