//! `git`: a checkout at a version, by the host's own git.

use super::rule::{self, Act, Known, Rule, Verdict};
use super::sh::{expanding, quote};
use super::{
    Args, Chunk, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Seen,
    Spec, Step, Type,
};

/// `git`.
pub(crate) struct Git;

static SPEC: Spec = Spec {
    name: "git",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Checks out a git repository",
    params: &[
        Param::new("repo", Type::Str, "its address")
            .required()
            .aliases(&["name"]),
        Param::new("dest", Type::Path, "where to check it out"),
        Param::new("version", Type::Str, "branch, tag or commit").default("HEAD"),
        Param::new("remote", Type::Str, "name of the remote").default("origin"),
        Param::new("refspec", Type::Str, "more references to fetch"),
        Param::new("reference", Type::Str, "repository to borrow objects from"),
        Param::new("force", Type::Bool, "throw local changes away").default("false"),
        Param::new("depth", Type::Int, "commits of history to fetch"),
        Param::new("clone", Type::Bool, "clone when it is missing").default("true"),
        Param::new("update", Type::Bool, "fetch new commits").default("true"),
        Param::unsupported("verify_commit", "signatures are not checked"),
        Param::unsupported("gpg_allowlist", "signatures are not checked"),
        Param::unsupported("archive", "use a command"),
        Param::unsupported("archive_prefix", "use a command"),
        Param::unsupported("separate_git_dir", "use a command"),
        Param::new("accept_hostkey", Type::Bool, "accept any host key").default("false"),
        Param::new("accept_newhostkey", Type::Bool, "accept new host keys").default("false"),
        Param::new("key_file", Type::Path, "private key to log in with"),
        Param::new("ssh_opts", Type::Str, "options for ssh"),
        Param::new("executable", Type::Path, "git itself"),
        Param::new("bare", Type::Bool, "no checkout").default("false"),
        Param::new("recursive", Type::Bool, "submodules too").default("true"),
        Param::new("single_branch", Type::Bool, "only the one branch").default("false"),
        Param::new(
            "track_submodules",
            Type::Bool,
            "submodules at the end of their branches",
        )
        .default("false"),
        Param::new("umask", Type::Raw, "umask for the checkout"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Git {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let bool = |name: &str| args.bool(name);
        if bool("accept_hostkey") && bool("accept_newhostkey") {
            return Err(Failure::new(
                "parameters are mutually exclusive: accept_hostkey|accept_newhostkey",
            ));
        }
        let dest = args.str("dest");
        if dest.is_none() && bool("clone") {
            return Err(Failure::of(
                "dest",
                "the destination directory must be specified unless clone=no",
            ));
        }
        let mut ssh = args.str("ssh_opts").unwrap_or_default();
        if !ssh.contains("StrictHostKeyChecking=") {
            if bool("accept_hostkey") {
                ssh.push_str(" -o StrictHostKeyChecking=no");
            } else if bool("accept_newhostkey") {
                ssh.push_str(" -o StrictHostKeyChecking=accept-new");
            }
        }
        if let Some(key) = args.str("key_file") {
            ssh = format!("-i {} -o IdentitiesOnly=yes {ssh}", quote(&key));
        }
        let (repo, login) = login(args.text("repo"));
        let umask = args.get("umask").map(|umask| {
            let text = super::args::text(umask);
            if text.chars().all(|c| ('0'..='7').contains(&c)) {
                Ok(text)
            } else {
                Err(Failure::of("umask", "umask must be an octal integer"))
            }
        });
        let wanted = Wanted {
            dest: dest.unwrap_or_default(),
            repo: if repo.starts_with('/') {
                format!("file://{repo}")
            } else {
                repo
            },
            login,
            version: args.text("version"),
            remote: args.text("remote"),
            refspec: args.str("refspec"),
            reference: args.str("reference"),
            force: bool("force"),
            depth: args.int("depth"),
            clone: bool("clone"),
            update: bool("update"),
            bare: bool("bare"),
            recursive: bool("recursive"),
            single: bool("single_branch"),
            track: bool("track_submodules"),
            git: args.str("executable").unwrap_or_else(|| "git".into()),
            ssh,
            umask: umask.transpose()?,
        };
        let probes = vec![Probe::Script(wanted.look())];
        Rule::new(probes, move |seen| wanted.judge(seen))
            .finish(|outcome, before, replies, _| {
                let _ = before;
                let out: String = replies.iter().map(super::Reply::out).collect();
                let after = |key: &str| {
                    out.lines()
                        .rev()
                        .find_map(|line| line.strip_prefix(key))
                        .map(str::to_owned)
                };
                let commit = after("after ");
                let submodules = out.lines().any(|line| line == "submodules changed");
                let same = outcome
                    .data
                    .get("before")
                    .and_then(|v| v.as_str())
                    .map(str::to_owned)
                    == commit;
                let forced = outcome.msg.is_some()
                    || outcome
                        .data
                        .get("remote_url_changed")
                        .is_some_and(minijinja::Value::is_true);
                let mut outcome = outcome.with("after", commit);
                outcome.changed = !same || submodules || forced;
                if submodules {
                    outcome = outcome.with("submodules_changed", true);
                }
                outcome
            })
            .step()
    }
}

/// A name and password are taken out of an address that goes over HTTP: arguments of programs are for all to see, and
/// what is written into the clone stays there.
fn login(repo: String) -> (String, Option<(String, String)>) {
    if !repo.starts_with("http://") && !repo.starts_with("https://") {
        return (repo, None);
    }
    let (bare, login) = super::http::split_login(&repo);
    if let Some((user, password)) = &login {
        // A token may stand alone, as the name.
        let secret = if password.is_empty() && user.len() >= 16 {
            user
        } else {
            password
        };
        crate::secrets::learn(secret);
    }
    (bare, login)
}

struct Wanted {
    /// Without name and password.
    repo: String,
    login: Option<(String, String)>,
    dest: String,
    version: String,
    remote: String,
    refspec: Option<String>,
    reference: Option<String>,
    force: bool,
    depth: Option<i64>,
    clone: bool,
    update: bool,
    bare: bool,
    recursive: bool,
    single: bool,
    track: bool,
    git: String,
    ssh: String,
    umask: Option<String>,
}

impl Wanted {
    fn prelude(&self) -> String {
        let ssh = if self.ssh.trim().is_empty() {
            String::new()
        } else {
            format!(
                "export GIT_SSH_COMMAND={}\n",
                quote(&format!("ssh -o BatchMode=yes {}", self.ssh.trim()))
            )
        };
        let umask = self
            .umask
            .as_ref()
            .map_or(String::new(), |umask| format!("umask {umask}\n"));
        // A checkout of another user's is read as it is.
        format!(
            "export LC_ALL=C GIT_TERMINAL_PROMPT=0\n{}{ssh}{umask}g={} d={} r={} v={} u={}\n\
             command -v \"$g\" >/dev/null || {{ echo 'Failed to find required executable \"git\"' >&2; exit 9; }}\n",
            self.askpass(),
            quote(&self.git),
            expanding(&self.dest, false),
            quote(&self.remote),
            quote(&self.version),
            quote(&self.repo),
        )
    }

    /// Shell that makes the program which git asks for name and password; it answers for this server only.
    fn askpass(&self) -> String {
        let Some((user, password)) = &self.login else {
            return String::new();
        };
        let host = self.repo.split("://").nth(1).unwrap_or_default();
        let host = quote(host.split('/').next().unwrap_or_default());
        let program = format!(
            "#!/bin/sh\nh={host}\ncase $1 in *\"://$h'\"* | *\"@$h'\"* | *\"://$h/\"* | *\"@$h/\"*) ;; *) exit 1 ;; esac\n\
             case $1 in Username*) printf '%s\\n' {} ;; Password*) printf '%s\\n' {} ;; *) exit 1 ;; esac\n",
            quote(user),
            quote(password),
        );
        format!(
            "trap 'rm -f -- \"$MP_TMP/askpass\"' EXIT\n(umask 077; printf %s {} >\"$MP_TMP/askpass\" && chmod 700 \"$MP_TMP/askpass\") || exit\n\
             export GIT_ASKPASS=\"$MP_TMP/askpass\"\n",
            quote(&program)
        )
    }

    fn config(&self) -> &'static str {
        if self.bare {
            "\"$d/config\""
        } else {
            "\"$d/.git\""
        }
    }

    /// Lines: `before COMMIT`, `dirty`, `url URL`, `remote COMMIT`, `error …`.
    fn look(&self) -> String {
        let dirty = if self.bare {
            ""
        } else {
            "[ -z \"$(\"$g\" status --porcelain 2>/dev/null | grep -v '^??')\" ] || echo dirty\n"
        };
        let from = "if [ -n \"$c\" ]; then w=$r; else w=$u; fi";
        format!(
            "{prelude}c=\n\
             if [ -n \"$d\" ] && [ -e {config} ]; then cd \"$d\" || exit\nc=1; echo \"before $(\"$g\" rev-parse HEAD 2>/dev/null)\"\n\
             echo \"url $(\"$g\" config --get \"remote.$r.url\")\"\n{dirty}fi\n{from}\n\
             if [ \"$v\" = HEAD ]; then\n\
              b=HEAD; [ -n \"$c\" ] && {{ b=$(\"$g\" symbolic-ref -q HEAD || \"$g\" symbolic-ref -q \"refs/remotes/$r/HEAD\"); b=${{b##*/}}; b=refs/heads/${{b:-HEAD}}; }}\n\
              o=$(\"$g\" ls-remote \"$w\" \"$b\" 2>&1) || {{ echo \"error $o\"; exit; }}\n\
             else\n\
              o=$(\"$g\" ls-remote \"$w\" \"refs/heads/$v\" \"refs/tags/$v\" \"refs/tags/$v^{{}}\" 2>&1) || {{ echo \"error $o\"; exit; }}\n\
             fi\n\
             printf '%s\\n' \"$o\" | sed 's/^/ref /'\n:",
            prelude = self.prelude(),
            config = self.config(),
        )
    }

    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let (rc, out) = rule::script(seen, &self.look())?;
        if rc == 9 {
            return Ok(Outcome::failed("Failed to find required executable \"git\"").into());
        }
        let line = |key: &str| {
            out.lines()
                .find_map(|line| line.strip_prefix(key))
                .map(str::trim)
        };
        let before = line("before ").filter(|commit| !commit.is_empty());
        let cloned = line("before").is_some();
        let mut outcome = Outcome::ok().with("before", before);
        let head = self.head(&out);
        if !cloned {
            if !self.clone {
                outcome.changed = true;
                return Ok(outcome.with("after", head).into());
            }
            if let Some(error) = line("error ") {
                return Ok(
                    Outcome::failed(format!("Failed to clone {}: {error}", self.repo)).into(),
                );
            }
            let outcome = outcome.with("after", head);
            return Ok(self.act(self.clone_script(), outcome));
        }
        if !self.update {
            return Ok(outcome.with("after", before).into());
        }
        let dirty = out.lines().any(|line| line == "dirty");
        if dirty {
            let msg = format!(
                "Local modifications exist in the destination: {}",
                self.dest
            );
            if !self.force {
                return Ok(Outcome::failed(format!("{msg} (force=no)."))
                    .with("before", before)
                    .into());
            }
            outcome.msg = Some(msg);
        }
        let url = line("url ").unwrap_or_default();
        // A clone that something else made may have the password in it.
        let moved = !url.is_empty() && login(url.to_owned()).0 != self.repo;
        let outcome = outcome.with("remote_url_changed", moved);
        if let Some(error) = line("error ").filter(|_| !moved) {
            return Ok(Outcome::failed(format!(
                "Failed to download remote objects and refs: {error}"
            ))
            .with("before", before)
            .into());
        }
        let there = head.is_some() && head.as_deref() == before;
        // A commit's own name needs no remote.
        let commit = before
            .is_some_and(|before| self.version.len() >= 7 && before.starts_with(&self.version));
        if !dirty && !moved && (there || commit) && !(self.recursive && self.track) {
            return Ok(outcome.with("after", before).into());
        }
        let outcome = outcome.with("after", head.or_else(|| before.map(str::to_owned)));
        Ok(self.act(self.update_script(dirty), outcome))
    }

    /// The commit that the remote has for the version.
    fn head(&self, out: &str) -> Option<String> {
        let refs: Vec<(&str, &str)> = out
            .lines()
            .filter_map(|line| line.strip_prefix("ref "))
            .filter_map(|line| line.split_once('\t'))
            .collect();
        let find = |name: &str| {
            refs.iter()
                .find(|(_, known)| *known == name)
                .map(|(commit, _)| (*commit).to_owned())
        };
        if self.version == "HEAD" {
            return refs.first().map(|(commit, _)| (*commit).to_owned());
        }
        find(&format!("refs/heads/{}", self.version))
            .or_else(|| find(&format!("refs/tags/{}^{{}}", self.version)))
            .or_else(|| find(&format!("refs/tags/{}", self.version)))
    }

    fn act(&self, script: String, outcome: Outcome) -> Verdict {
        let what = format!("Failed to update {} from {}", self.dest, self.repo);
        Act::change(
            vec![Chunk::new(script)],
            vec![Effect::Path(self.dest.clone())],
            outcome,
            what,
        )
        .into()
    }

    fn depth(&self) -> String {
        self.depth
            .map_or(String::new(), |depth| format!(" --depth {depth}"))
    }

    fn clone_script(&self) -> String {
        let mut flags = self.depth();
        if self.bare {
            flags.push_str(" --bare");
        } else {
            flags.push_str(" --origin \"$r\"");
        }
        if self.single {
            flags.push_str(" --single-branch");
        }
        if let Some(reference) = &self.reference {
            flags.push_str(&format!(" --reference {}", quote(reference)));
        }
        // With little history only the wanted branch or tag comes along.
        let branch = if (self.depth.is_some() || self.single) && self.version != "HEAD" {
            " $(\"$g\" ls-remote --exit-code \"$u\" \"refs/heads/$v\" \"refs/tags/$v\" >/dev/null 2>&1 && printf '%s' \"--branch $v\")"
        } else {
            ""
        };
        let remote = if self.bare {
            "\"$g\" remote add \"$r\" \"$u\" 2>/dev/null\n"
        } else {
            ""
        };
        format!(
            "{}p=${{d%/*}}; [ -z \"$p\" ] || mkdir -p -- \"$p\" || exit\n\
             \"$g\" clone -q{flags}{branch} -- \"$u\" \"$d\" >/dev/null || exit\ncd \"$d\" || exit\n{remote}{}",
            self.prelude(),
            self.rest(),
        )
    }

    fn update_script(&self, dirty: bool) -> String {
        let reset = if dirty {
            "\"$g\" reset -q --hard HEAD >/dev/null || exit\n"
        } else {
            ""
        };
        let depth = self.depth();
        let fetch = if self.bare {
            format!(
                "\"$g\" fetch -q{depth} \"$r\" '+refs/heads/*:refs/heads/*' '+refs/tags/*:refs/tags/*' || exit\n"
            )
        } else if self.depth.is_some() {
            format!(
                "\"$g\" fetch -q{depth} --force \"$r\" \"+refs/heads/$v:refs/remotes/$r/$v\" 2>/dev/null || \
                 \"$g\" fetch -q{depth} --force \"$r\" \"+refs/tags/$v:refs/tags/$v\" 2>/dev/null || \"$g\" fetch -q{depth} --force \"$r\" || exit\n"
            )
        } else {
            "\"$g\" fetch -q --tags --force \"$r\" \"+refs/heads/*:refs/remotes/$r/*\" || exit\n"
                .into()
        };
        format!(
            "{}cd \"$d\" || exit\n{reset}[ \"$(\"$g\" config --get \"remote.$r.url\")\" = \"$u\" ] || \"$g\" remote set-url \"$r\" \"$u\" 2>/dev/null || \"$g\" remote add \"$r\" \"$u\" || exit\n{fetch}{}",
            self.prelude(),
            self.rest(),
        )
    }

    /// Switches to the version and tells what came of it.
    fn rest(&self) -> String {
        let mut text = String::new();
        if let Some(refspec) = &self.refspec {
            text.push_str(&format!(
                "\"$g\" fetch -q{} \"$r\" {} || exit\n",
                self.depth(),
                quote(refspec)
            ));
        }
        if !self.bare {
            text.push_str(
                "if [ \"$v\" = HEAD ]; then\n \
                 b=$(\"$g\" symbolic-ref -q --short HEAD) || { b=$(\"$g\" symbolic-ref -q \"refs/remotes/$r/HEAD\"); b=${b##*/}; }\n \
                 \"$g\" checkout -q --force \"$b\" && \"$g\" reset -q --hard \"$r/$b\" -- || { echo \"Failed to checkout branch $b\" >&2; exit 1; }\n\
                 elif \"$g\" show-ref -q --verify \"refs/remotes/$r/$v\"; then\n \
                 if \"$g\" show-ref -q --verify \"refs/heads/$v\"; then \"$g\" checkout -q --force \"$v\" && \"$g\" reset -q --hard \"$r/$v\" --\n \
                 else \"$g\" checkout -q --force --track -b \"$v\" \"$r/$v\"; fi || { echo \"Failed to checkout $v\" >&2; exit 1; }\n\
                 else \"$g\" checkout -q --force \"$v\" || { echo \"Failed to checkout $v\" >&2; exit 1; }\nfi\n",
            );
            if self.recursive {
                let track = if self.track { " --remote" } else { "" };
                text.push_str(&format!(
                    "if [ -f .gitmodules ]; then\n s=$(\"$g\" submodule status --recursive)\n \
                     \"$g\" submodule -q sync --recursive && \"$g\" submodule -q update --init --recursive{track}{} || {{ echo 'Failed to init/update submodules' >&2; exit 1; }}\n \
                     [ \"$s\" = \"$(\"$g\" submodule status --recursive)\" ] || echo 'submodules changed'\nfi\n",
                    if self.force { " --force" } else { "" }
                ));
            }
        }
        text.push_str("echo \"after $(\"$g\" rev-parse HEAD)\"");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::testing::{Fake, args, local};
    use minijinja::Value;
    use std::path::Path;
    use std::process::Command;

    fn git(dir: &Path, words: &[&str]) -> bool {
        Command::new("git")
            .args([
                "-c",
                "user.name=t",
                "-c",
                "user.email=t@t",
                "-c",
                "protocol.file.allow=always",
            ])
            .args(words)
            .current_dir(dir)
            .output()
            .is_ok_and(|out| out.status.success())
    }

    #[test]
    fn checkouts_follow_their_repository() {
        let dir = tempfile::tempdir().unwrap();
        let (origin, dest) = (dir.path().join("origin"), dir.path().join("x/y"));
        std::fs::create_dir(&origin).unwrap();
        if !git(&origin, &["init", "-q", "-b", "main"]) {
            return;
        }
        std::fs::write(origin.join("f"), "1").unwrap();
        assert!(
            git(&origin, &["add", "f"])
                && git(&origin, &["commit", "-q", "-m", "1"])
                && git(&origin, &["tag", "v1"])
        );
        let run = |more: &[(&str, Value)]| {
            let mut given = vec![
                ("repo", Value::from(origin.to_string_lossy())),
                ("dest", Value::from(dest.to_string_lossy())),
            ];
            given.extend_from_slice(more);
            local(&Git, &args(&Git, &given), &Fake::default())
        };
        let first = run(&[]);
        assert!(first.changed && !first.failed, "{first:?}");
        assert!(!run(&[]).changed);
        assert!(!run(&[("version", "v1".into())]).changed);
        std::fs::write(origin.join("f"), "2").unwrap();
        assert!(git(&origin, &["commit", "-q", "-a", "-m", "2"]));
        let second = run(&[]);
        assert!(
            second.changed && second.data["before"] == first.data["after"],
            "{second:?}"
        );
        assert_eq!(std::fs::read_to_string(dest.join("f")).unwrap(), "2");
        std::fs::write(dest.join("f"), "mine").unwrap();
        let refused = run(&[]);
        assert!(refused.failed && refused.msg.unwrap().ends_with("(force=no)."));
        let forced = run(&[("force", true.into()), ("version", "v1".into())]);
        assert!(forced.changed && !forced.failed, "{forced:?}");
        assert_eq!(std::fs::read_to_string(dest.join("f")).unwrap(), "1");
        assert!(run(&[("version", "nope".into())]).failed);
    }

    /// What git is called with, and what it is told when it asks, by a program in its place.
    #[test]
    fn passwords_of_addresses_are_no_arguments() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let (program, log) = (dir.path().join("git"), dir.path().join("log"));
        let script = format!(
            "#!/bin/sh\nexec >>'{log}' 2>&1\nprintf '<%s>' \"$@\"\necho\nfor h in h.example:8 evil.example; do for w in Username Password; do\n\
             echo \"$w $h $(\"$GIT_ASKPASS\" \"$w for 'https://$h': \")\"; done; done\n[ \"$1\" != ls-remote ]\n",
            log = log.display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let given = [
            (
                "repo",
                Value::from("https://us%27er:p%20a'ss@h.example:8/x.git"),
            ),
            ("dest", Value::from(dir.path().join("d").to_string_lossy())),
            ("executable", Value::from(program.to_string_lossy())),
        ];
        assert!(local(&Git, &args(&Git, &given), &Fake::default()).failed);
        let log = std::fs::read_to_string(log).unwrap();
        let words = log.lines().next().unwrap();
        assert_eq!(words, "<ls-remote><https://h.example:8/x.git><HEAD>");
        assert!(
            log.contains("Username h.example:8 us'er\nPassword h.example:8 p a'ss\n"),
            "{log}"
        );
        assert!(
            log.contains("Username evil.example \nPassword evil.example \n"),
            "{log}"
        );
    }
}
