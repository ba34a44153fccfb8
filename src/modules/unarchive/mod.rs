//! `unarchive`: a tar or zip archive unpacked into a folder.
//!
//! An archive that is on the host is compared there before anything is decided. One that comes from the controller or
//! from a URL must travel first: it is compared and unpacked in one action, unless `creates` says it is there.

mod script;

use super::attrs::{self, Attrs, Unsettled};
use super::http::Request;
use super::probe::FileType;
use super::write::Content;
use super::{
    Args, Controller, Decision, Effect, Failure, FreeForm, Module, Outcome, Param, Plan, Probe,
    Runs, Seen, Spec, Step, Type, sh,
};
use crate::remote::{Chunk, Reply};
use minijinja::Value;
use script::Options;

/// See the module's own documentation.
pub(crate) struct Unarchive;

static SPEC: Spec = Spec {
    name: "unarchive",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Unpack an archive",
    params: super::attrs::file_params![
        Param::new(
            "src",
            Type::Path,
            "archive, searched in `files/`; with `remote_src` a path or URL of the host"
        )
        .required(),
        Param::new("dest", Type::Path, "folder to unpack into").required(),
        Param::new("remote_src", Type::Bool, "`src` is on the host").default("false"),
        Param::new("copy", Type::Bool, "the opposite of `remote_src` (old)"),
        Param::new("creates", Type::Path, "do nothing when this is there"),
        Param::new("exclude", Type::List, "names to leave out"),
        Param::new("include", Type::List, "names to unpack, and no others"),
        Param::new(
            "keep_newer",
            Type::Bool,
            "keep files that are newer than those in the archive"
        )
        .default("false"),
        Param::new("extra_opts", Type::List, "more options for tar or unzip"),
        Param::new("list_files", Type::Bool, "tell the names in the archive").default("false"),
        Param::new(
            "validate_certs",
            Type::Bool,
            "check the certificate of a URL's server"
        )
        .default("true"),
        Param::new("decrypt", Type::Bool, "decrypt a vaulted source").default("true"),
        Param::new("io_buffer_size", Type::Int, "ignored"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Unarchive {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        if args.has("copy") && args.has("remote_src") && args.bool("remote_src") {
            return Err(Failure::of(
                "copy",
                "parameters are mutually exclusive: ('copy', 'remote_src')",
            ));
        }
        if args.has("include") && args.has("exclude") {
            return Err(Failure::of(
                "include",
                "parameters are mutually exclusive: include|exclude",
            ));
        }
        let src = args.text("src");
        let remote = args.bool("remote_src") || args.has("copy") && !args.bool("copy");
        let archive = match (remote, src.contains("://")) {
            (true, true) => {
                super::download::check("src", &src, false, controller)?;
                let mut request = Request::plain(&src, args.bool("validate_certs"))?;
                request.pinned = super::download::allowed(controller);
                Archive::Url(Box::new(request))
            }
            (true, false) => Archive::Host(src.clone()),
            (false, true) => {
                let msg = format!(
                    "Unsupported option, an URI src ({src}) is only supported when remote_src is True"
                );
                return Err(Failure::of("src", msg));
            }
            (false, false) => {
                let path = controller.find("files", &src)?;
                let bytes = if args.bool("decrypt") {
                    controller.read(&path)?
                } else {
                    controller.read_as_is(&path)?
                };
                if bytes.is_empty() {
                    return Err(Failure::of(
                        "src",
                        format!("Invalid archive '{src}', the file is 0 bytes"),
                    ));
                }
                Archive::Controller(Box::new(Content::of_file(path, bytes)))
            }
        };
        let attrs = Attrs::new(args)?;
        Ok(Box::new(Unpack {
            src,
            archive,
            dest: args.text("dest"),
            creates: args.str("creates"),
            list_files: args.bool("list_files"),
            options: Options {
                owner: attrs.owner.clone(),
                group: attrs.group.clone(),
                mode: attrs.mode.is_some(),
                keep_newer: args.bool("keep_newer"),
                exclude: args.strings("exclude"),
                include: args.strings("include"),
                extra: args.strings("extra_opts"),
            },
            attrs,
        }))
    }
}

/// Where the archive is.
enum Archive {
    Controller(Box<Content>),
    Host(String),
    Url(Box<Request>),
}

struct Unpack {
    src: String,
    archive: Archive,
    dest: String,
    creates: Option<String>,
    list_files: bool,
    options: Options,
    attrs: Attrs,
}

/// What a comparison on the host told.
struct Compared {
    handler: String,
    differs: bool,
    /// Types, modes and owners of what is there.
    found: Vec<String>,
    names: Vec<String>,
}

impl Unpack {
    /// The read-only script that compares an archive of the host with the folder.
    fn comparison(&self, src: &str) -> String {
        format!(
            "s={} d={}\n[ -r \"$s\" ] && [ -d \"$d\" ] || exit 0\n{}list\n\
             if differs; then r=differs; else r=same; fi\necho \"$h $r\"\n\
             each stat -c '%f %u %g %U:%G' -- 2>/dev/null | sort -u\necho =\ncat \"$MP_TMP/names\"\nrm -f \"$MP_TMP/names\"\n",
            sh::expanding(src, false),
            sh::expanding(&self.dest, false),
            self.options.functions()
        )
    }

    /// Commands that give every unpacked path what is asked for, saying so when it had not.
    fn settle(&self) -> String {
        let mut text = String::new();
        let mut push = |command: String| {
            text.push_str(&format!("each {command} -- >\"$MP_TMP/changes\" || {{ rm -f \"$MP_TMP/names\" \"$MP_TMP/changes\"; exit 1; }}\n[ ! -s \"$MP_TMP/changes\" ] || echo '!changed'\n"));
        };
        let group = self.attrs.group.as_ref().map(|group| format!(":{group}"));
        if self.attrs.owner.is_some() || group.is_some() {
            let owner = self.attrs.owner.clone().unwrap_or_default();
            push(format!(
                "chown -hc {}",
                sh::quote(&format!("{owner}{}", group.unwrap_or_default()))
            ));
        }
        // A link of the archive may lead anywhere: its target's mode is not ours to change.
        let chmod = |mode: &str| {
            format!(
                "sh -c 'm=$1; shift 2; for f; do [ -L \"$f\" ] || chmod -c \"$m\" -- \"$f\" || exit; done' sh {}",
                sh::quote(mode)
            )
        };
        match &self.attrs.mode {
            Some(attrs::Mode::Bits(bits)) => push(chmod(&format!("{bits:04o}"))),
            Some(attrs::Mode::Symbolic(mode)) => push(chmod(mode)),
            None => {}
        }
        if text.is_empty() {
            text
        } else {
            format!("{text}rm -f \"$MP_TMP/changes\"\n")
        }
    }

    /// The action: fetch the archive if it is elsewhere, compare unless that was done, unpack, settle.
    fn action(&self, unpack: &str) -> Chunk {
        let mut text = format!("d={}\n", sh::expanding(&self.dest, false));
        let mut input = None;
        match &self.archive {
            Archive::Host(src) => text.push_str(&format!("s={}\n", sh::expanding(src, false))),
            Archive::Controller(content) => {
                text.push_str(&format!(
                    "s=$MP_TMP/archive\ntrap 'rm -rf -- \"$s\"' EXIT\n(umask 077; cat >\"$s\") || exit\n\
                     [ \"$(($(wc -c <\"$s\")))\" -eq {} ] || {{ echo 'the transfer was cut' >&2; exit 1; }}\n",
                    content.size
                ));
                input = Some(content.payload.clone());
            }
            Archive::Url(request) => text.push_str(&format!(
                "s=$MP_TMP/archive\ntrap 'rm -rf -- \"$MP_TMP/archive\"' EXIT\n{}a=$s\nget \"$a\" || s=0$s\n\
                 rm -f \"$MP_TMP/err\"\n[ \"$s\" = 200 ] || {{ echo \"!msg Failure downloading {}, status $s\" >&2; exit 1; }}\ns=$a\n",
                request.getter(),
                request.shown().replace(['"', '$', '`', '\\'], ""),
            )),
        }
        text.push_str(&self.options.functions());
        text.push_str("list\necho \"!handler $h\"\n");
        text.push_str(unpack);
        text.push_str(&self.settle());
        text.push_str("echo '!names'\ncat \"$MP_TMP/names\"\nrm -f \"$MP_TMP/names\"\n");
        let mut chunk = Chunk::new(text);
        chunk.input = input;
        chunk
    }

    fn compared(&self, seen: &Seen) -> Option<Result<Compared, Outcome>> {
        let Archive::Host(src) = &self.archive else {
            return None;
        };
        let script = self.comparison(src);
        let path = seen.expanded(src);
        if seen.stat(src, true).is_none() {
            return Some(Err(Outcome::failed(format!(
                "Source '{path}' does not exist"
            ))));
        }
        let Some(super::probe::Answer::Script { rc, stdout, stderr }) =
            seen.get(&Probe::Script(script))
        else {
            return Some(Err(Outcome::failed(format!(
                "Source '{path}' not readable"
            ))));
        };
        if *rc != 0 {
            let reply = Reply {
                ran: true,
                rc: *rc,
                stdout: stdout.to_vec(),
                stderr: stderr.to_vec(),
                ..Reply::default()
            };
            return attrs::failure(&[reply], path).map(Err);
        }
        let text = String::from_utf8_lossy(stdout).into_owned();
        let mut lines = text.lines();
        let Some((handler, state)) = lines.next().and_then(|line| line.split_once(' ')) else {
            return Some(Err(Outcome::failed(format!(
                "Source '{path}' not readable"
            ))));
        };
        Some(Ok(Compared {
            handler: handler.to_owned(),
            differs: state == "differs",
            found: lines
                .by_ref()
                .take_while(|line| *line != "=")
                .map(str::to_owned)
                .collect(),
            names: lines.map(str::to_owned).collect(),
        }))
    }

    /// Whether something that is there has not what is asked for.
    fn unsettled(&self, compared: &Compared, seen: &Seen) -> Result<bool, Unsettled> {
        for line in &compared.found {
            if let Some((_, now)) = super::file::combination(line)
                && !self.attrs.differ(&self.dest, &now, seen)?.is_empty()
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn result(&self, outcome: Outcome, handler: &str, names: &[String], seen: &Seen) -> Outcome {
        let outcome = outcome
            .with("dest", seen.expanded(&self.dest))
            .with("src", seen.expanded(&self.src))
            .with("handler", handler);
        let outcome = if self.list_files {
            outcome.with("files", sh::strings(names.iter().cloned()))
        } else {
            outcome
        };
        attrs::info(outcome, seen.path(&self.dest))
    }
}

/// Unpacks, unless what is there is what the archive holds.
const UNPACK_IF_NEEDED: &str =
    "if differs; then unpack || { rm -f \"$MP_TMP/names\"; exit 1; }; echo '!changed'; fi\n";
const UNPACK: &str = "unpack || { rm -f \"$MP_TMP/names\"; exit 1; }\necho '!changed'\n";

impl Step for Unpack {
    fn probes(&self) -> Vec<Probe> {
        let mut probes = vec![
            Probe::Path {
                path: self.dest.clone(),
                follow: false,
            },
            Probe::Path {
                path: self.dest.clone(),
                follow: true,
            },
        ];
        if let Some(path) = &self.creates {
            probes.push(Probe::Path {
                path: path.clone(),
                follow: true,
            });
        }
        if sh::expands(&self.dest) {
            probes.push(Probe::Expand(self.dest.clone()));
        }
        if let Archive::Host(src) = &self.archive {
            probes.push(Probe::Path {
                path: src.clone(),
                follow: true,
            });
            if sh::expands(src) {
                probes.push(Probe::Expand(src.clone()));
            }
            // Comparing costs something, so not when it may be spared.
            if self.creates.is_none() {
                probes.push(Probe::Script(self.comparison(src)));
            }
        }
        probes
    }

    fn decide(&self, seen: &Seen) -> Decision {
        if let Some(path) = &self.creates
            && seen.stat(path, true).is_some()
        {
            let outcome = Outcome {
                skipped: true,
                ..Outcome::ok()
            };
            return Decision::Done(outcome.msg(format!("skipped, since {path} exists")));
        }
        if seen
            .stat(&self.dest, true)
            .is_none_or(|now| now.kind != FileType::Directory)
        {
            let msg = format!(
                "dest '{}' must be an existing dir",
                seen.expanded(&self.dest)
            );
            return Decision::Done(Outcome::failed(msg));
        }
        if let Archive::Host(src) = &self.archive {
            let probe = Probe::Script(self.comparison(src));
            if seen.get(&probe).is_none() {
                return Decision::Look(vec![probe]);
            }
        }
        let (unpack, predicted, opaque) = match self.compared(seen) {
            None => (UNPACK_IF_NEEDED, Outcome::changed(), true),
            Some(Err(outcome)) => return Decision::Done(outcome),
            Some(Ok(compared)) => {
                let unsettled = match self.unsettled(&compared, seen) {
                    Ok(unsettled) => unsettled,
                    Err(unsettled) => return unsettled.decision(),
                };
                if !compared.differs && !unsettled {
                    return Decision::Done(self.result(
                        Outcome::ok(),
                        &compared.handler,
                        &compared.names,
                        seen,
                    ));
                }
                let predicted =
                    self.result(Outcome::changed(), &compared.handler, &compared.names, seen);
                (if compared.differs { UNPACK } else { "" }, predicted, false)
            }
        };
        Decision::Act(Plan {
            actions: vec![self.action(unpack)],
            effects: vec![Effect::Path(self.dest.clone())],
            predicted,
            opaque,
        })
    }

    fn finish(&self, before: &Seen, replies: &[Reply], after: &Seen) -> Outcome {
        let dest = before.expanded(&self.dest);
        if let Some(outcome) = attrs::failure(replies, dest) {
            let own = outcome
                .msg
                .as_deref()
                .is_some_and(|msg| !msg.starts_with(dest));
            let msg = format!("failed to unpack {} to {dest}", self.src);
            return if own { outcome } else { outcome.msg(msg) };
        }
        let out = replies.first().map(Reply::out).unwrap_or_default();
        let (notes, names) = out.split_once("!names\n").unwrap_or((&out, ""));
        let handler = notes
            .lines()
            .find_map(|line| line.strip_prefix("!handler "))
            .unwrap_or_default();
        let changed = notes.lines().any(|line| line == "!changed");
        let names: Vec<String> = names.lines().map(str::to_owned).collect();
        let outcome = self.result(
            Outcome {
                changed,
                ..Outcome::default()
            },
            handler,
            &names,
            after,
        );
        if !changed {
            return outcome;
        }
        let err = replies.first().map(Reply::err).unwrap_or_default();
        let results = Value::from_pairs([
            ("rc", Value::from(0)),
            ("out", "".into()),
            ("err", err.into()),
        ]);
        outcome.with("extract_results", results)
    }
}
