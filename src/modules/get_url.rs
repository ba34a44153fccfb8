//! `get_url`: a file from HTTP, HTTPS or FTP.

use super::attrs::{self, Attrs, Unsettled};
use super::http::{Request, http_params};
use super::probe::{FileType, PathState};
use super::write::{self, Source, Write};
use super::{
    Args, Controller, Decision, Effect, Failure, FreeForm, Module, Outcome, Param, Plan, Probe,
    Runs, Seen, Spec, Step, Type, download, put, sh,
};
use crate::remote::{Chunk, Reply};
use std::collections::HashMap;

/// See the module's own documentation.
pub(crate) struct GetUrl;

static SPEC: Spec = Spec {
    name: "get_url",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Download a file",
    params: http_params![
        Param::new("dest", Type::Path, "where to write it, or a folder").required(),
        Param::new(
            "force",
            Type::Bool,
            "download it even when the file is there"
        )
        .default("false")
        .aliases(&["thirsty"]),
        Param::new(
            "checksum",
            Type::Str,
            "`algorithm:digest`, or `algorithm:URL` of a list of digests"
        )
        .default(""),
        Param::new(
            "sha256sum",
            Type::Str,
            "the same as `checksum` with `sha256:` (old)"
        ),
        Param::new("backup", Type::Bool, "keep a dated copy of the old file").default("false"),
        Param::new("timeout", Type::Int, "seconds without an answer").default("10"),
        Param::new(
            "tmp_dest",
            Type::Path,
            "ignored: the download is written beside its destination"
        ),
        Param::new("url_username", Type::Str, "user").aliases(&["username"]),
        Param::new("url_password", Type::Str, "password")
            .aliases(&["password"])
            .secret(),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for GetUrl {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let given = match args.str("sha256sum") {
            Some(sum) if !sum.is_empty() => format!("sha256:{sum}"),
            _ => args.text("checksum"),
        };
        let checksum = checksum(&given)?;
        // A list of digests pins nothing when it comes over the same line.
        match &checksum {
            Some((_, Sum::List(list))) => download::check("checksum", list, false, controller)?,
            sum => download::check("url", &args.text("url"), sum.is_some(), controller)?,
        }
        let mut request = Request::new(args)?;
        let allowed = download::allowed(controller);
        request.pinned = checksum.is_some() || allowed;
        Ok(Box::new(Download {
            request,
            allowed,
            dest: args.text("dest"),
            force: args.bool("force"),
            checksum,
            backup: args.bool("backup"),
            attrs: Attrs::new(args)?,
            unsafe_writes: args.bool("unsafe_writes"),
        }))
    }
}

/// A digest the download must have.
enum Sum {
    Digest(String),
    /// In the list behind this URL.
    List(String),
}

struct Download {
    request: Request,
    /// Whether plain `http` may pass.
    allowed: bool,
    dest: String,
    force: bool,
    checksum: Option<(&'static str, Sum)>,
    backup: bool,
    attrs: Attrs,
    unsafe_writes: bool,
}

fn checksum(given: &str) -> Result<Option<(&'static str, Sum)>, Failure> {
    if given.is_empty() {
        return Ok(None);
    }
    let (algorithm, sum) = given.split_once(':').ok_or_else(|| {
        Failure::of(
            "checksum",
            "The checksum parameter has to be in format <algorithm>:<checksum>",
        )
    })?;
    let known = super::stat::ALGORITHMS
        .iter()
        .find(|known| known.eq_ignore_ascii_case(algorithm.trim()));
    let algorithm = known.ok_or_else(|| {
        Failure::of(
            "checksum",
            format!(
                "unsupported algorithm `{algorithm}`: use one of {}",
                super::stat::ALGORITHMS.join(", ")
            ),
        )
    })?;
    if ["http://", "https://", "ftp://", "file://"]
        .iter()
        .any(|scheme| sum.starts_with(scheme))
    {
        return Ok(Some((algorithm, Sum::List(sum.to_owned()))));
    }
    Ok(Some((algorithm, Sum::Digest(tidy(sum)?))))
}

fn tidy(sum: &str) -> Result<String, Failure> {
    let digest: String = sum
        .chars()
        .filter(|c| c.is_alphanumeric() || *c == '_')
        .collect::<String>()
        .to_lowercase();
    if digest.is_empty() || !digest.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(Failure::of("checksum", "The checksum format is invalid"));
    }
    Ok(digest)
}

/// The digest of a file in a list, in the words of GNU or BSD tools, or just the digest alone.
fn listed(list: &str, name: &str) -> Option<String> {
    let lines: Vec<&str> = list.lines().collect();
    if let [line] = lines[..]
        && line.split_whitespace().count() == 1
    {
        return Some(line.trim().to_owned());
    }
    lines.iter().find_map(|line| {
        if let Some((head, digest)) = line.rsplit_once(" = ").or_else(|| line.rsplit_once("= "))
            && let Some((_, path)) = head.trim_end().trim_end_matches(')').split_once('(')
        {
            return (path == name).then(|| digest.trim().to_owned());
        }
        let (digest, path) = line.split_once(char::is_whitespace)?;
        let path = path
            .trim_start()
            .trim_start_matches('*')
            .trim_start_matches(['.', '/']);
        (path == name).then(|| digest.to_owned())
    })
}

impl Download {
    /// The script that prints the list of digests.
    fn list(&self) -> Option<String> {
        let Some((_, Sum::List(url))) = &self.checksum else {
            return None;
        };
        let request = Request {
            url: url.clone(),
            pinned: self.allowed,
            ..self.request.clone()
        };
        Some(format!(
            "{}get \"$MP_TMP/list\" || {{ cat \"$MP_TMP/err\" >&2; rm -f \"$MP_TMP/err\" \"$MP_TMP/list\"; exit 1; }}\n\
             [ \"$s\" = 200 ] || echo \"status $s\" >&2\n\
             cat \"$MP_TMP/list\"; rm -f \"$MP_TMP/list\" \"$MP_TMP/err\"; [ \"$s\" = 200 ]",
            request.getter()
        ))
    }

    /// The digest that is wanted.
    fn wanted(&self, seen: &Seen) -> Result<Option<(&'static str, String)>, Unsettled> {
        match &self.checksum {
            None => Ok(None),
            Some((algorithm, Sum::Digest(digest))) => Ok(Some((algorithm, digest.clone()))),
            Some((algorithm, Sum::List(url))) => {
                let name = self.request.file_name();
                let script = self.list().unwrap_or_default();
                let (rc, list) = sh::answer(seen, &script).unwrap_or((1, String::new()));
                if rc != 0 {
                    return Err(self
                        .told(Outcome::failed(format!("Request failed: {url}")))
                        .into());
                }
                let digest = listed(&list, &name).ok_or_else(|| {
                    self.told(Outcome::failed(format!(
                        "Unable to find a checksum for file '{name}' in '{url}'"
                    )))
                })?;
                tidy(&digest)
                    .map(|digest| Some((*algorithm, digest)))
                    .map_err(Unsettled::from)
            }
        }
    }

    fn told(&self, outcome: Outcome) -> Outcome {
        outcome
            .with("url", self.request.shown())
            .with("dest", self.dest.clone())
    }

    fn is_dir(&self, seen: &Seen) -> bool {
        seen.stat(&self.dest, true)
            .is_some_and(|now| now.kind == FileType::Directory)
    }

    fn target(&self, seen: &Seen) -> String {
        if self.is_dir(seen) {
            put::join(&self.dest, &self.request.file_name())
        } else {
            self.dest.clone()
        }
    }

    fn probes_of(&self, path: &str) -> Vec<Probe> {
        let mut probes = vec![
            Probe::Path {
                path: path.into(),
                follow: true,
            },
            Probe::Digest {
                path: path.into(),
                algorithm: "sha1",
            },
        ];
        if let Some((algorithm, _)) = &self.checksum {
            probes.push(Probe::Digest {
                path: path.into(),
                algorithm,
            });
        }
        if sh::expands(path) {
            probes.push(Probe::Expand(path.into()));
        }
        probes.extend(self.attrs.probes(path));
        probes
    }

    /// Only the attributes of a file that is there.
    fn keep(&self, target: &str, now: &PathState, seen: &Seen) -> Decision {
        let fix = match self.attrs.differ(target, now, seen) {
            Ok(fix) => fix,
            Err(unsettled) => return unsettled.decision(),
        };
        let told = |outcome: Outcome, msg: &str| {
            let outcome = outcome
                .msg(msg)
                .with("dest", seen.expanded(target))
                .with("url", self.request.shown())
                .with("elapsed", 0)
                .with("checksum_src", ())
                .with("checksum_dest", ());
            attrs::info(outcome, Some(now))
        };
        if fix.is_empty() {
            return Decision::Done(told(Outcome::ok(), "file already exists"));
        }
        let script = format!(
            "p=$(readlink -f -- {})\n{}",
            sh::expanding(target, false),
            fix.commands("\"$p\"")
        );
        let predicted = attrs::diff(Outcome::changed(), target, fix.before, fix.after);
        Decision::Act(Plan {
            actions: vec![Chunk::new(script)],
            effects: vec![Effect::Path(target.to_owned())],
            predicted: told(predicted, "file already exists but file attributes changed"),
            opaque: false,
        })
    }
}

impl Step for Download {
    fn probes(&self) -> Vec<Probe> {
        let mut probes = self.probes_of(&self.dest);
        probes.extend(self.list().map(Probe::Script));
        if self.dest.ends_with('/') {
            probes.extend(self.probes_of(&put::join(&self.dest, &self.request.file_name())));
        }
        probes
    }

    fn decide(&self, seen: &Seen) -> Decision {
        let wanted = match self.wanted(seen) {
            Ok(wanted) => wanted,
            Err(unsettled) => return unsettled.decision(),
        };
        let target = self.target(seen);
        let whole = Probe::Path {
            path: target.clone(),
            follow: true,
        };
        if seen.get(&whole).is_none() {
            return Decision::Look(self.probes_of(&target));
        }
        let now = seen.stat(&target, true);
        let same = |(algorithm, digest): &(&'static str, String)| {
            seen.digest(&target, algorithm) == Some(digest)
        };
        if let Some(now) = now
            && !self.force
            && !self.is_dir(seen)
            && wanted.as_ref().is_none_or(same)
        {
            return self.keep(&target, now, seen);
        }
        let mut fix = String::new();
        if let Some(now) = now {
            match self.attrs.differ(&target, now, seen) {
                Ok(found) => fix = found.commands("\"$p\""),
                Err(unsettled) => return unsettled.decision(),
            }
        }
        // Only HTTP has a status of its own for "here it is".
        let check = if self.request.url.starts_with("http") {
            "[ \"$s\" = 200 ] || { echo \"!status $s\"; exit 1; }\n"
        } else {
            ""
        };
        let mut fetch = format!(
            "{}b=$(date +%s)\nif get \"$t\"; then rm -f \"$MP_TMP/err\"; else\n\
             [ \"${{s:-0}}\" -gt 0 ] 2>/dev/null || s=-1\n\
             cat \"$MP_TMP/err\" >&2; rm -f \"$MP_TMP/err\"; echo \"!status $s\"; exit 1\nfi\n\
             {check}echo \"!status $s\"\necho \"!elapsed $(($(date +%s) - b))\"\n",
            self.request.getter()
        );
        if let Some((algorithm, digest)) = &wanted {
            fetch.push_str(&format!(
                "o=$({algorithm}sum <\"$t\"); o=${{o%% *}}\n\
                 [ \"$o\" = {digest} ] || {{ echo \"!msg The checksum for $p did not match {digest}; it was $o.\" >&2; exit 1; }}\n"
            ));
        }
        fetch.push_str(&format!(
            "o=$(sha1sum <\"$t\"); echo \"!sha1 ${{o%% *}}\"\no=$(md5sum <\"$t\"); echo \"!md5 ${{o%% *}}\"\necho \"!size $(($(wc -c <\"$t\")))\"\n\
             if cmp -s -- \"$t\" \"$p\"; then\n{fix}exit 0\nfi\necho '!changed'\ntrue"
        ));
        let chunk = Write {
            backup: self.backup && now.is_some(),
            unsafe_writes: self.unsafe_writes,
            ..Write::new(&target, Source::Command(fetch), &self.attrs, now)
        }
        .chunk();
        match chunk {
            Err(failure) => Decision::Done(put::failed(failure)),
            Ok(chunk) => Decision::Act(Plan {
                actions: vec![chunk],
                effects: vec![Effect::Path(target.clone())],
                predicted: self.told(Outcome::changed()),
                opaque: false,
            }),
        }
    }

    fn finish(&self, before: &Seen, replies: &[Reply], after: &Seen) -> Outcome {
        let target = self.target(before);
        let path = before.expanded(&target).to_owned();
        let out = replies.first().map(Reply::out).unwrap_or_default();
        let notes: HashMap<&str, &str> = out
            .lines()
            .filter_map(|line| line.strip_prefix('!'))
            .map(|line| line.split_once(' ').unwrap_or((line, "")))
            .collect();
        let number = |name: &str| notes.get(name).and_then(|text| text.parse::<i64>().ok());
        if let Some(failed) = write::failure(replies, &path) {
            let status = number("status");
            let failed = match (status, failed.msg.as_deref()) {
                (Some(200) | None, _) => failed,
                (Some(status), _) => {
                    let err = replies.iter().map(Reply::err).collect::<String>();
                    let response = err
                        .lines()
                        .rev()
                        .find(|line| !line.trim().is_empty())
                        .unwrap_or_default()
                        .trim()
                        .to_owned();
                    Outcome::failed("Request failed")
                        .with("status_code", status)
                        .with("response", response)
                }
            };
            return self.told(failed);
        }
        let now = after.stat(&target, true);
        let Some(size) = number("size") else {
            // Only the attributes were settled.
            let outcome = Outcome::changed().msg("file already exists but file attributes changed");
            return attrs::info(self.told(outcome), now);
        };
        let settled = before.stat(&target, true).is_none_or(|old| {
            self.attrs
                .differ(&target, old, before)
                .is_ok_and(|fix| !fix.is_empty())
        });
        let changed = notes.contains_key("changed") || settled;
        let text = |name: &str| notes.get(name).map(|text| (*text).to_owned());
        let outcome = Outcome {
            changed,
            ..Outcome::default()
        }
        .msg(format!("OK ({size} bytes)"))
        .with("dest", path)
        .with("url", self.request.shown())
        .with("status_code", number("status"))
        .with("elapsed", number("elapsed"))
        .with("checksum_src", text("sha1"))
        .with(
            "checksum_dest",
            before.digest(&target, "sha1").map(str::to_owned),
        )
        .with("md5sum", text("md5"));
        attrs::info(write::with_backup(outcome, replies), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_found_in_lists() {
        for (list, want) in [
            ("abc", Some("abc")),
            ("abc  x.tgz\n", Some("abc")),
            ("123  y\nabc *x.tgz\n", Some("abc")),
            ("123  y\nabc  ./x.tgz\n", Some("abc")),
            ("SHA256 (x.tgz) = abc\n", Some("abc")),
            ("123  y\n", None),
        ] {
            assert_eq!(listed(list, "x.tgz").as_deref(), want, "{list}");
        }
    }

    #[test]
    fn checksums_are_checked() {
        assert!(checksum("").unwrap().is_none());
        assert!(checksum("abc").is_err());
        assert!(checksum("crc:abc").is_err());
        assert!(checksum("sha256:xyz").is_err());
        assert!(checksum("SHA256: ABC").is_ok());
    }
}
