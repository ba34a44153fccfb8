//! `assemble`: one file out of the fragments in a folder, of the host or of the controller.

use super::attrs::file_params;
use super::put::Put;
use super::regex::{self, Flags};
use super::write::Content;
use super::{
    Args, Controller, Decision, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Seen, Spec,
    Step, Type, sh,
};
use crate::remote::Reply;
use fancy_regex::Regex;

/// See the module's own documentation.
pub(crate) struct Assemble;

static SPEC: Spec = Spec {
    name: "assemble",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Put a file together from the files of a folder",
    params: file_params![
        Param::new("src", Type::Path, "folder of the fragments").required(),
        Param::new("dest", Type::Path, "the file").required(),
        Param::new("remote_src", Type::Bool, "`src` is on the host").default("true"),
        Param::new("delimiter", Type::Str, "what stands between fragments"),
        Param::new("regexp", Type::Str, "pattern of the fragments' names"),
        Param::new(
            "ignore_hidden",
            Type::Bool,
            "leave out names that start with a dot"
        )
        .default("false"),
        Param::new("backup", Type::Bool, "keep a dated copy of the old file").default("false"),
        Param::new(
            "validate",
            Type::Str,
            "command that must accept the file, `%s` is its path"
        ),
        Param::new("decrypt", Type::Bool, "decrypt vaulted fragments").default("true"),
        Param::new("follow", Type::Bool, "write through a link").default("false"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Assemble {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let pattern = args
            .str("regexp")
            .map(|pattern| {
                regex::compile(&pattern, Flags::default()).map_err(|why| {
                    Failure::of("regexp", format!("Invalid Regexp ({why}) in \"{pattern}\""))
                })
            })
            .transpose()?;
        if let Some(validate) = args.str("validate")
            && !validate.contains("%s")
        {
            return Err(Failure::of(
                "validate",
                format!("validate must contain %s: {validate}"),
            ));
        }
        let src = args.text("src");
        let mut put = Put::new(args, Content::new(Vec::new()), controller)?;
        put.force = true;
        let step = AssembleStep {
            src: src.clone(),
            delimiter: args.str("delimiter").map(|delimiter| unescape(&delimiter)),
            pattern,
            ignore_hidden: args.bool("ignore_hidden"),
            put,
        };
        if args.bool("remote_src") {
            return Ok(Box::new(step));
        }
        let folder = controller.find("files", &src)?;
        if !folder.is_dir() {
            return Err(Failure::of(
                "src",
                format!("Source ({}) is not a directory", folder.display()),
            ));
        }
        let mut fragments = Vec::new();
        let entries =
            std::fs::read_dir(&folder).map_err(|why| Failure::of("src", why.to_string()))?;
        for entry in entries.flatten().filter(|entry| entry.path().is_file()) {
            let name = entry.file_name().to_string_lossy().into_owned();
            fragments.push((name, controller.read(&entry.path())?));
        }
        let mut put = step.put.clone();
        put.content = Content::new(step.join(fragments));
        put.src = Some(folder.to_string_lossy().into_owned());
        Ok(Box::new(put))
    }
}

struct AssembleStep {
    src: String,
    delimiter: Option<Vec<u8>>,
    pattern: Option<Regex>,
    ignore_hidden: bool,
    put: Put,
}

/// Python's escapes in a bytes literal, the usual ones.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        let escaped = if c == '\\' { chars.next() } else { None };
        let byte = match escaped {
            Some('n') => b'\n',
            Some('t') => b'\t',
            Some('r') => b'\r',
            Some('\\') => b'\\',
            Some('\'') => b'\'',
            Some('"') => b'"',
            Some('0') => 0,
            other => {
                let mut buffer = [0; 4];
                out.extend(c.encode_utf8(&mut buffer).bytes());
                out.extend(
                    other
                        .map(|c| c.to_string().into_bytes())
                        .unwrap_or_default(),
                );
                continue;
            }
        };
        out.push(byte);
    }
    out
}

impl AssembleStep {
    /// Prints every file of the folder: its name, its length, its bytes.
    fn listing(&self) -> String {
        format!(
            "d={}\n[ -e \"$d\" ] || exit 9\n[ -d \"$d\" ] || exit 8\n\
             for f in \"$d\"/* \"$d\"/.[!.]* \"$d\"/..?*; do\n[ -f \"$f\" ] || continue\n\
             printf '%s\\0%s\\0' \"${{f##*/}}\" \"$(($(wc -c <\"$f\")))\"\ncat -- \"$f\" || exit 7\ndone\nexit 0",
            sh::expanding(&self.src, false)
        )
    }

    fn join(&self, mut fragments: Vec<(String, Vec<u8>)>) -> Vec<u8> {
        fragments.sort();
        let mut out: Vec<u8> = Vec::new();
        let mut first = true;
        for (name, bytes) in fragments {
            if self.ignore_hidden && name.starts_with('.')
                || self
                    .pattern
                    .as_ref()
                    .is_some_and(|pattern| !regex::search(pattern, &name))
            {
                continue;
            }
            if !first {
                if out.last() != Some(&b'\n') {
                    out.push(b'\n');
                }
                if let Some(delimiter) = self
                    .delimiter
                    .as_ref()
                    .filter(|delimiter| !delimiter.is_empty())
                {
                    out.extend(delimiter);
                    if delimiter.last() != Some(&b'\n') {
                        out.push(b'\n');
                    }
                }
            }
            first = false;
            out.extend(bytes);
        }
        out
    }

    /// The step for what was put together.
    fn assembled(&self, seen: &Seen) -> Result<Put, Box<Outcome>> {
        let (rc, mut rest) = seen.script(&self.listing()).unwrap_or((7, &[]));
        let wrong = match rc {
            0 => None,
            9 => Some("does not exist"),
            8 => Some("is not a directory"),
            _ => Some("cannot be read"),
        };
        if let Some(wrong) = wrong {
            return Err(Outcome::failed(format!("Source ({}) {wrong}", self.src)).into());
        }
        let mut fragments = Vec::new();
        while !rest.is_empty() {
            let mut parts = rest.splitn(3, |byte| *byte == 0);
            let (Some(name), Some(length), Some(tail)) = (parts.next(), parts.next(), parts.next())
            else {
                break;
            };
            let length: usize = String::from_utf8_lossy(length).parse().unwrap_or(0);
            let length = length.min(tail.len());
            fragments.push((
                String::from_utf8_lossy(name).into_owned(),
                tail[..length].to_vec(),
            ));
            rest = &tail[length..];
        }
        let mut put = self.put.clone();
        put.content = Content::new(self.join(fragments));
        Ok(put)
    }

    fn told(&self, outcome: Outcome, put: &Put) -> Outcome {
        if outcome.failed {
            return outcome;
        }
        outcome
            .msg("OK")
            .with("src", self.src.clone())
            .with("checksum", put.content.sha1.clone())
            .with("md5sum", put.content.md5.clone())
    }
}

impl Step for AssembleStep {
    fn probes(&self) -> Vec<Probe> {
        let mut probes = self.put.probes();
        probes.push(Probe::Script(self.listing()));
        probes
    }

    fn decide(&self, seen: &Seen) -> Decision {
        let put = match self.assembled(seen) {
            Ok(put) => put,
            Err(outcome) => return Decision::Done(*outcome),
        };
        match put.decide(seen) {
            Decision::Done(outcome) => Decision::Done(self.told(outcome, &put)),
            Decision::Act(mut plan) => {
                plan.predicted = self.told(plan.predicted, &put);
                Decision::Act(plan)
            }
            look @ Decision::Look(_) => look,
        }
    }

    fn finish(&self, before: &Seen, replies: &[Reply], after: &Seen) -> Outcome {
        match self.assembled(before) {
            Ok(put) => self.told(put.finish(before, replies, after), &put),
            Err(outcome) => *outcome,
        }
    }
}
