//! `script`: a script of the controller, run on the host.

use super::write::Content;
use super::{
    Args, Controller, Decision, Effect, Failure, FreeForm, Module, Outcome, Param, Plan, Probe,
    Runs, Seen, Spec, Step, Type, sh,
};
use crate::remote::{Chunk, Reply};

/// See the module's own documentation.
pub(crate) struct Script;

static SPEC: Spec = Spec {
    name: "script",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Run a script of the controller on the host",
    params: &[
        Param::new(
            "_raw_params",
            Type::Raw,
            "the script, searched in `files/`, and its arguments",
        ),
        Param::new("cmd", Type::Str, "the same"),
        Param::new("creates", Type::Path, "do nothing when this is there"),
        Param::new("removes", Type::Path, "do nothing when this is not there"),
        Param::new("chdir", Type::Path, "folder to run it in, absolute"),
        Param::new("executable", Type::Str, "what runs it"),
        Param::new("decrypt", Type::Bool, "decrypt a vaulted script").default("true"),
    ],
    free_form: FreeForm::Raw,
    runs: Runs::Host,
};

impl Module for Script {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let raw = match (args.str("_raw_params"), args.str("cmd")) {
            (Some(_), Some(_)) => {
                return Err(Failure::of(
                    "cmd",
                    "parameters are mutually exclusive: _raw_params|cmd",
                ));
            }
            (raw, cmd) => raw.or(cmd).filter(|raw| !raw.trim().is_empty()),
        };
        let raw =
            raw.ok_or_else(|| Failure::new("one of the following is required: _raw_params, cmd"))?;
        let raw = raw.trim();
        let words =
            shlex::split(raw).ok_or_else(|| Failure::new("the command has unbalanced quotes"))?;
        let name = words.first().cloned().unwrap_or_default();
        let chdir = args.str("chdir");
        if let Some(chdir) = chdir.as_ref().filter(|chdir| !chdir.starts_with('/')) {
            return Err(Failure::of(
                "chdir",
                format!("chdir {chdir} must be an absolute path for a Unix-aware remote node"),
            ));
        }
        let path = controller.find("files", &name)?;
        let content = Content::of_file(path.clone(), controller.read(&path)?);
        let file = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        // As in Ansible the arguments stay as they were written, for the host's shell.
        let command = raw.replacen(&name, "\"$MP_SCRIPT\"", 1);
        let command = command
            .replace("'\"$MP_SCRIPT\"'", "\"$MP_SCRIPT\"")
            .replace("\"\"$MP_SCRIPT\"\"", "\"$MP_SCRIPT\"");
        Ok(Box::new(ScriptStep {
            content,
            file,
            command: match args.str("executable") {
                Some(executable) => format!("{executable} {command}"),
                None => command,
            },
            chdir,
            creates: args.str("creates"),
            removes: args.str("removes"),
            keep_locale: controller
                .environment()
                .iter()
                .any(|(name, _)| name == "LC_ALL"),
        }))
    }
}

struct ScriptStep {
    content: Content,
    file: String,
    command: String,
    chdir: Option<String>,
    creates: Option<String>,
    removes: Option<String>,
    keep_locale: bool,
}

impl Step for ScriptStep {
    fn probes(&self) -> Vec<Probe> {
        self.creates
            .iter()
            .chain(&self.removes)
            .map(|path| Probe::Path {
                path: path.clone(),
                follow: true,
            })
            .collect()
    }

    fn decide(&self, seen: &Seen) -> Decision {
        let skipped = |msg: String| {
            Decision::Done(
                Outcome {
                    skipped: true,
                    ..Outcome::ok()
                }
                .msg(msg),
            )
        };
        if let Some(path) = &self.creates
            && seen.stat(path, true).is_some()
        {
            return skipped(format!("{path} exists, matching creates option"));
        }
        if let Some(path) = &self.removes
            && seen.stat(path, true).is_none()
        {
            return skipped(format!("{path} does not exist, matching removes option"));
        }
        let cd = self.chdir.as_ref().map_or(String::new(), |path| {
            format!("cd -- {} || exit\n", sh::quote(path))
        });
        let locale = if self.keep_locale {
            ""
        } else {
            "unset LC_ALL\n"
        };
        let script = format!(
            "MP_SCRIPT=$MP_TMP/script.$$\nmkdir -m 700 -- \"$MP_SCRIPT\" || exit\ntrap 'rm -rf -- \"$MP_TMP/script.$$\"' EXIT\n\
             MP_SCRIPT=$MP_SCRIPT/{}\ncat >\"$MP_SCRIPT\" && chmod 700 \"$MP_SCRIPT\" || exit\n\
             [ \"$(($(wc -c <\"$MP_SCRIPT\")))\" -eq {} ] || {{ echo 'the transfer was cut' >&2; exit 1; }}\n\
             {locale}{cd}{{ {}\n}} </dev/null\n",
            sh::quote(&self.file),
            self.content.size,
            self.command,
        );
        let mut chunk = Chunk::new(script);
        chunk.input = Some(self.content.payload.clone());
        let guarded = self.creates.is_some() || self.removes.is_some();
        let predicted = Outcome {
            changed: guarded,
            skipped: !guarded,
            ..Outcome::default()
        };
        Decision::Act(Plan {
            actions: vec![chunk],
            effects: vec![Effect::Anything],
            predicted,
            opaque: !guarded,
        })
    }

    fn finish(&self, _: &Seen, replies: &[Reply], _: &Seen) -> Outcome {
        let Some(reply) = replies.first() else {
            return Outcome::failed("it was not run");
        };
        let outcome = Outcome {
            changed: true,
            failed: reply.rc != 0,
            ..Outcome::default()
        };
        let outcome = if reply.rc == 0 {
            outcome
        } else {
            outcome.msg("non-zero return code")
        };
        sh::streams(outcome.with("rc", reply.rc), &reply.out(), &reply.err())
    }
}
