//! `tempfile`: a new temporary file or folder.

use super::{
    Args, Controller, Decision, Effect, Failure, FreeForm, Module, Outcome, Param, Plan, Probe,
    Runs, Seen, Spec, Step, Type, sh,
};
use crate::remote::{Chunk, Reply};

/// See the module's own documentation.
pub(crate) struct Tempfile;

static SPEC: Spec = Spec {
    name: "tempfile",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Make a temporary file or folder",
    params: &[
        Param::new("state", Type::Str, "what to make")
            .default("file")
            .choices(&["directory", "file"]),
        Param::new(
            "path",
            Type::Path,
            "folder to make it in; the system's by default",
        ),
        Param::new("prefix", Type::Str, "start of its name").default("ansible."),
        Param::new("suffix", Type::Str, "end of its name").default(""),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Tempfile {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let (prefix, suffix) = (args.text("prefix"), args.text("suffix"));
        for (name, text) in [("prefix", &prefix), ("suffix", &suffix)] {
            if text.contains('/') {
                return Err(Failure::of(
                    name,
                    format!("{name} must be a valid file name component, got '{text}'"),
                ));
            }
        }
        let folder = args.str("path");
        let folder = folder.map_or("\"${TMPDIR:-/tmp}\"".into(), |path| {
            sh::expanding(&path, false)
        });
        let (test, make, what) = if args.text("state") == "directory" {
            ("mkdir -m 700 --", "", "directory")
        } else {
            ("(umask 077; set -C; true >", ")", "file")
        };
        // The name is made here: not every mktemp knows suffixes.
        let script = format!(
            "d={folder}\n[ -d \"$d\" ] && [ -w \"$d\" ] || {{ echo \"cannot make a temporary {what} in $d\" >&2; exit 1; }}\n\
             i=0\nwhile [ $i -lt 100 ]; do\n\
             r=$(od -An -N6 -tx1 /dev/urandom | tr -d ' \\n')\n\
             p=$d/{}$r{}\n{test} \"$p\"{make} 2>/dev/null && {{ stat -c '%u %g %U %G %a %s' -- \"$p\"; printf %s \"$p\"; exit 0; }}\n\
             i=$((i + 1))\ndone\nexit 1\n",
            sh::quote(&prefix),
            sh::quote(&suffix)
        );
        Ok(Box::new(TempfileStep {
            script,
            state: what,
        }))
    }
}

struct TempfileStep {
    script: String,
    state: &'static str,
}

impl Step for TempfileStep {
    fn probes(&self) -> Vec<Probe> {
        Vec::new()
    }

    fn decide(&self, _: &Seen) -> Decision {
        Decision::Act(Plan {
            actions: vec![Chunk::new(&*self.script)],
            effects: vec![Effect::Nothing],
            predicted: Outcome::changed(),
            opaque: true,
        })
    }

    fn finish(&self, _: &Seen, replies: &[Reply], _: &Seen) -> Outcome {
        Outcome::from_replies(replies, "tempfile").unwrap_or_else(|| {
            let told = replies.first().map(Reply::out).unwrap_or_default();
            let (stat, path) = told.split_once('\n').unwrap_or(("", &told));
            let words: Vec<&str> = stat.split_whitespace().collect();
            let number = |at: usize| words.get(at).and_then(|word| word.parse::<i64>().ok());
            let text = |at: usize| words.get(at).copied().unwrap_or_default();
            Outcome::changed()
                .with("path", path)
                .with("state", self.state)
                .with("uid", number(0))
                .with("gid", number(1))
                .with("owner", text(2))
                .with("group", text(3))
                .with("mode", format!("{:0>4}", text(4)))
                .with("size", number(5))
        })
    }
}
