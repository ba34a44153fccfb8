//! `stat`: everything about a path.

use super::probe::{FileType, PathState};
use super::{
    Args, Controller, Decision, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Seen, Spec,
    Step, Type, sh,
};
use crate::remote::Reply;
use indexmap::IndexMap;
use minijinja::Value;

/// See the module's own documentation.
pub(crate) struct Stat;

pub(crate) const ALGORITHMS: &[&str] = &["md5", "sha1", "sha224", "sha256", "sha384", "sha512"];

static SPEC: Spec = Spec {
    name: "stat",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Tell everything about a path",
    params: &[
        Param::new("path", Type::Path, "the path")
            .required()
            .aliases(&["dest", "name"]),
        Param::new("follow", Type::Bool, "tell about what a link points to").default("false"),
        Param::new("get_checksum", Type::Bool, "tell a digest of the contents").default("true"),
        Param::new("checksum_algorithm", Type::Str, "which digest")
            .default("sha1")
            .choices(ALGORITHMS)
            .aliases(&["checksum", "checksum_algo"]),
        Param::new(
            "get_mime",
            Type::Bool,
            "tell the MIME type, where `file` is installed",
        )
        .default("true")
        .aliases(&["mime", "mime_type", "mime-type"]),
        Param::new("get_attributes", Type::Bool, "tell the flags of `lsattr`")
            .default("true")
            .aliases(&["attr", "attributes"]),
        // Dropped by Ansible; old roles still have it.
        Param::new("get_md5", Type::Bool, "ignored"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Stat {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn only_looks(&self) -> bool {
        true
    }

    fn plan(&self, args: &Args, _: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        Ok(Box::new(StatStep {
            path: args.text("path"),
            follow: args.bool("follow"),
            algorithm: args
                .bool("get_checksum")
                .then(|| algorithm(args, "checksum_algorithm")),
            mime: args.bool("get_mime"),
            flags: args.bool("get_attributes"),
        }))
    }
}

/// The digest a parameter names.
pub(crate) fn algorithm(args: &Args, name: &str) -> &'static str {
    let given = args.text(name);
    ALGORITHMS
        .iter()
        .find(|known| **known == given)
        .copied()
        .unwrap_or("sha1")
}

struct StatStep {
    path: String,
    follow: bool,
    algorithm: Option<&'static str>,
    mime: bool,
    flags: bool,
}

impl Step for StatStep {
    fn probes(&self) -> Vec<Probe> {
        let path = || self.path.clone();
        let mut probes = vec![
            Probe::Path {
                path: path(),
                follow: self.follow,
            },
            Probe::Access(path()),
        ];
        if !self.follow {
            probes.push(Probe::Real(path()));
        }
        if let Some(algorithm) = self.algorithm {
            probes.push(Probe::Digest {
                path: path(),
                algorithm,
            });
        }
        if self.mime {
            probes.push(Probe::Mime(path()));
        }
        if self.flags {
            probes.push(Probe::Flags(path()));
        }
        if sh::expands(&self.path) {
            probes.push(Probe::Expand(path()));
        }
        probes
    }

    fn decide(&self, seen: &Seen) -> Decision {
        let probe = Probe::Path {
            path: self.path.clone(),
            follow: self.follow,
        };
        if seen.unknown(&probe).is_some() {
            return Decision::Done(Outcome::failed("Permission denied"));
        }
        let Some(now) = seen.stat(&self.path, self.follow) else {
            let stat = Value::from_pairs([("exists", false)]);
            return Decision::Done(Outcome::ok().with("stat", stat));
        };
        let path = seen.expanded(&self.path);
        let mut stat = IndexMap::from([("exists", Value::from(true)), ("path", Value::from(path))]);
        stat.extend(fields(now));
        let access = seen.access(&self.path);
        for (name, bit) in [("readable", 4), ("writeable", 2), ("executable", 1)] {
            stat.insert(name, (access & bit != 0).into());
        }
        if now.kind == FileType::Link {
            let target = now.target.clone().unwrap_or_default();
            let real = seen
                .text(&Probe::Real(self.path.clone()))
                .unwrap_or(&target)
                .to_owned();
            stat.insert("lnk_source", real.into());
            stat.insert("lnk_target", target.into());
        }
        for (key, name) in [("pw_name", &now.user), ("gr_name", &now.group)] {
            if !name.is_empty() {
                stat.insert(key, name.as_str().into());
            }
        }
        if let Some(algorithm) = self.algorithm
            && now.kind == FileType::File
            && let Some(digest) = seen.digest(&self.path, algorithm)
        {
            stat.insert("checksum", digest.into());
        }
        if self.mime {
            let text = seen
                .text(&Probe::Mime(self.path.clone()))
                .unwrap_or_default();
            let (kind, charset) = text
                .split_once(';')
                .unwrap_or(("unknown", "charset=unknown"));
            let charset = charset.trim().trim_start_matches("charset=");
            stat.insert("mimetype", kind.trim().into());
            stat.insert("charset", charset.into());
        }
        if self.flags {
            stat.extend(flags(seen.text(&Probe::Flags(self.path.clone()))));
        }
        Decision::Done(Outcome::ok().with("stat", Value::from_pairs(stat)))
    }

    fn finish(&self, _: &Seen, _: &[Reply], _: &Seen) -> Outcome {
        Outcome::ok()
    }
}

/// The fields that `stat` and `find` have in common.
pub(crate) fn fields(now: &PathState) -> Vec<(&'static str, Value)> {
    let mut out: Vec<(&'static str, Value)> = vec![("mode", format!("{:04o}", now.mode).into())];
    for (name, is) in [
        ("isdir", now.kind == FileType::Directory),
        ("ischr", now.kind == FileType::Other('c')),
        ("isblk", now.kind == FileType::Other('b')),
        ("isreg", now.kind == FileType::File),
        ("isfifo", now.kind == FileType::Other('p')),
        ("islnk", now.kind == FileType::Link),
        ("issock", now.kind == FileType::Other('s')),
    ] {
        out.push((name, is.into()));
    }
    out.extend([
        ("uid", now.uid.into()),
        ("gid", now.gid.into()),
        ("size", now.size.into()),
        ("inode", now.inode.into()),
        ("dev", now.dev.into()),
        ("nlink", now.nlink.into()),
        ("atime", now.atime.into()),
        ("mtime", now.mtime.into()),
        ("ctime", now.ctime.into()),
    ]);
    for (name, bit) in [
        ("wusr", 0o200),
        ("rusr", 0o400),
        ("xusr", 0o100),
        ("wgrp", 0o020),
        ("rgrp", 0o040),
        ("xgrp", 0o010),
        ("woth", 0o002),
        ("roth", 0o004),
        ("xoth", 0o001),
        ("isuid", 0o4000),
        ("isgid", 0o2000),
    ] {
        out.push((name, (now.mode & bit != 0).into()));
    }
    out.extend([
        ("blocks", now.blocks.into()),
        ("block_size", now.block_size.into()),
        ("device_type", now.rdev.into()),
    ]);
    out
}

/// `version`, `attributes` and `attr_flags` from a line of `lsattr -v`.
fn flags(text: Option<&str>) -> Vec<(&'static str, Value)> {
    let (version, letters) = match text.and_then(|text| text.split_once(' ')) {
        Some((version, letters)) => (Value::from(version), letters.replace('-', "")),
        None => (Value::from(()), String::new()),
    };
    let names: Vec<Value> = letters
        .chars()
        .filter_map(|c| FLAGS.iter().find(|(letter, _)| *letter == c))
        .map(|(_, name)| Value::from(*name))
        .collect();
    vec![
        ("version", version),
        ("attributes", names.into()),
        ("attr_flags", letters.into()),
    ]
}

/// What the letters of `lsattr` stand for.
const FLAGS: &[(char, &str)] = &[
    ('A', "noatime"),
    ('a', "append"),
    ('c', "compressed"),
    ('C', "nocow"),
    ('d', "nodump"),
    ('D', "dirsync"),
    ('e', "extents"),
    ('E', "encrypted"),
    ('h', "blocksize"),
    ('i', "immutable"),
    ('I', "indexed"),
    ('j', "journalled"),
    ('N', "inline"),
    ('s', "zero"),
    ('S', "synchronous"),
    ('t', "notail"),
    ('T', "blockroot"),
    ('u', "undelete"),
    ('X', "compressedraw"),
    ('Z', "compresseddirty"),
];

/// A path's `stat` line as the fields of a result, for `find`.
pub(crate) fn named(now: &PathState) -> Vec<(&'static str, Value)> {
    let mut out = fields(now);
    out.retain(|(name, _)| !["blocks", "block_size", "device_type"].contains(name));
    out.push(("gr_name", now.group.as_str().into()));
    out.push(("pw_name", now.user.as_str().into()));
    out
}
