//! `copy` of a folder of the controller: many files, folders and links as one step.

use super::attrs::{self, Attrs, Mode, Unsettled};
use super::probe::FileType;
use super::put::{self, Put, join};
use super::{
    Args, Controller, Decision, Effect, Failure, Outcome, Plan, Probe, Seen, Step, copy, sh, write,
};
use crate::remote::{Chunk, Reply};
use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A folder and what is in it.
pub(crate) struct Tree {
    src: String,
    dest: String,
    files: Vec<Put>,
    folders: Vec<String>,
    links: Vec<(String, String)>,
    /// For folders.
    attrs: Attrs,
}

impl Tree {
    pub(crate) fn new(
        src: &Path,
        only_inside: bool,
        args: &Args,
        controller: &dyn Controller,
        directory_mode: Option<Mode>,
    ) -> Result<Self, Failure> {
        let dest = args.text("dest").trim_end_matches('/').to_owned();
        let top = match src.file_name() {
            Some(name) if !only_inside => join(&dest, &name.to_string_lossy()),
            _ => dest.clone(),
        };
        let mut walk = Walk {
            follow: args.bool("local_follow"),
            ..Walk::default()
        };
        walk.folder(src, &top, &[identity(src)?])?;
        let mut tree = Self {
            src: format!("{}{}", src.display(), if only_inside { "/" } else { "" }),
            dest,
            files: Vec::new(),
            folders: walk.folders,
            links: walk.links,
            attrs: Attrs {
                mode: directory_mode,
                ..Attrs::new(args)?
            },
        };
        for (path, dest) in walk.files {
            let mut put = Put::new(args, copy::read(&path, args, controller)?, controller)?;
            put.src = Some(path.to_string_lossy().into_owned());
            put.dest = dest;
            put.follow = put.follow && tree.folders.is_empty();
            copy::preserve(args, &path, &mut put.attrs)?;
            tree.files.push(put);
        }
        Ok(tree)
    }

    /// Folders that files or links are in but that are not in the source's list: `dest` itself.
    fn parents(&self) -> Vec<&str> {
        let mut seen: HashSet<&str> = self.folders.iter().map(String::as_str).collect();
        let files = self.files.iter().map(|put| put.dest.as_str());
        files
            .chain(self.links.iter().map(|(path, _)| path.as_str()))
            .filter_map(|path| path.rsplit_once('/').map(|(folder, _)| folder))
            .filter(|folder| !folder.is_empty() && seen.insert(folder))
            .collect()
    }

    /// What is to be done, in order.
    fn work(&self, seen: &Seen) -> Result<Plan, Unsettled> {
        let mut plan = Plan {
            actions: Vec::new(),
            effects: vec![Effect::Path(self.dest.clone())],
            predicted: Outcome::changed()
                .with("dest", self.dest.clone())
                .with("src", self.src.clone()),
            opaque: false,
        };
        let mut ask = Vec::new();
        let mut script = String::new();
        for folder in self.parents() {
            if seen.stat(folder, true).is_none() {
                script.push_str(&put::folders(folder, &self.attrs)?);
            }
        }
        for folder in &self.folders {
            match seen.stat(folder, true) {
                None => script.push_str(&put::folders(folder, &self.attrs)?),
                Some(now) if now.kind != FileType::Directory => {
                    let msg = format!("{folder} already exists as a {}", attrs::state(now));
                    return Err(Unsettled::failed(msg));
                }
                Some(now) => match self.attrs.differ(folder, now, seen) {
                    Ok(fix) => script.push_str(&fix.commands(&sh::expanding(folder, false))),
                    Err(Unsettled::Ask(probes)) => ask.extend(probes),
                    Err(unsettled) => return Err(unsettled),
                },
            }
        }
        for (path, target) in &self.links {
            let now = seen.path(path);
            if now.is_some_and(|now| now.target.as_deref() == Some(target)) {
                continue;
            }
            let (link, to) = (sh::expanding(path, false), sh::quote(target));
            if now.is_some_and(|now| now.kind == FileType::Directory) {
                script.push_str(&format!("rmdir -- {link} || exit\n"));
            }
            script.push_str(&format!("ln -sfn -- {to} {link} || exit\n"));
        }
        if !script.is_empty() {
            plan.actions.push(Chunk::plain(script));
        }
        for put in &self.files {
            match put.decide(seen) {
                Decision::Look(probes) => ask.extend(probes),
                Decision::Done(outcome) if outcome.failed => return Err(outcome.into()),
                Decision::Done(_) => {}
                Decision::Act(one) => {
                    plan.actions.extend(one.actions);
                    plan.effects.extend(one.effects);
                    plan.predicted.diff.extend(one.predicted.diff);
                }
            }
        }
        if ask.is_empty() {
            Ok(plan)
        } else {
            Err(Unsettled::Ask(ask))
        }
    }
}

impl Step for Tree {
    fn probes(&self) -> Vec<Probe> {
        let mut probes: Vec<Probe> = self.files.iter().flat_map(Put::probes).collect();
        for folder in self
            .folders
            .iter()
            .map(String::as_str)
            .chain(self.parents())
        {
            probes.push(Probe::Path {
                path: folder.into(),
                follow: true,
            });
            probes.extend(self.attrs.probes(folder));
        }
        for (path, _) in &self.links {
            probes.push(Probe::Path {
                path: path.clone(),
                follow: false,
            });
        }
        probes
    }

    fn decide(&self, seen: &Seen) -> Decision {
        match self.work(seen) {
            Err(unsettled) => unsettled.decision(),
            Ok(plan) if plan.actions.is_empty() => Decision::Done(self.result(Outcome::ok(), seen)),
            Ok(plan) => Decision::Act(plan),
        }
    }

    fn finish(&self, before: &Seen, replies: &[Reply], after: &Seen) -> Outcome {
        write::failure(replies, before.expanded(&self.dest))
            .unwrap_or_else(|| self.result(Outcome::changed(), after))
    }
}

impl Tree {
    /// Ansible reports the file itself when there is just one.
    fn result(&self, outcome: Outcome, seen: &Seen) -> Outcome {
        if let [put] = &self.files[..] {
            let outcome = outcome
                .with("dest", seen.expanded(&put.dest))
                .with("checksum", put.content.sha1.clone());
            return attrs::info(outcome, seen.path(&put.dest));
        }
        outcome
            .with("dest", format!("{}/", seen.expanded(&self.dest)))
            .with("src", self.src.clone())
    }
}

#[derive(Default)]
struct Walk {
    follow: bool,
    files: Vec<(PathBuf, String)>,
    folders: Vec<String>,
    links: Vec<(String, String)>,
}

impl Walk {
    fn folder(&mut self, path: &Path, dest: &str, above: &[(u64, u64)]) -> Result<(), Failure> {
        let mut entries: Vec<PathBuf> = fs::read_dir(path)
            .and_then(|entries| {
                entries
                    .map(|entry| entry.map(|entry| entry.path()))
                    .collect()
            })
            .map_err(|why| unreadable(path, &why))?;
        entries.sort();
        for entry in entries {
            let name = entry
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let dest = join(dest, &name);
            let link = fs::symlink_metadata(&entry)
                .map_err(|why| unreadable(&entry, &why))?
                .is_symlink();
            let meta = fs::metadata(&entry).ok();
            let is_dir = meta.as_ref().is_some_and(fs::Metadata::is_dir);
            let circle =
                is_dir && meta.is_some_and(|meta| above.contains(&(meta.dev(), meta.ino())));
            if link && (!self.follow || !entry.exists() || circle) {
                let target = fs::read_link(&entry).map_err(|why| unreadable(&entry, &why))?;
                self.links
                    .push((dest, target.to_string_lossy().into_owned()));
            } else if is_dir {
                self.folders.push(dest.clone());
                let above = [above, &[identity(&entry)?]].concat();
                self.folder(&entry, &dest, &above)?;
            } else {
                self.files.push((entry, dest));
            }
        }
        Ok(())
    }
}

fn identity(path: &Path) -> Result<(u64, u64), Failure> {
    let meta = fs::metadata(path).map_err(|why| unreadable(path, &why))?;
    Ok((meta.dev(), meta.ino()))
}

fn unreadable(path: &Path, why: &std::io::Error) -> Failure {
    Failure::of("src", format!("cannot read {}: {why}", path.display()))
}
