//! `deb822_repository`: `/etc/apt/sources.list.d/NAME.sources`, written exactly as Ansible does.

use super::attrs::{Attrs, Mode};
use super::rule::{self, Act, Known, Rule, Verdict};
use super::sh::quote;
use super::{
    Args, Chunk, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Seen,
    Spec, Step, Type, fetch,
};
use base64::Engine as _;
use minijinja::Value;
use minijinja::value::ValueKind;

/// `deb822_repository`.
pub(crate) struct Deb822Repository;

static SPEC: Spec = Spec {
    name: "deb822_repository",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Manages package sources in the deb822 format",
    params: &[
        Param::new(
            "allow_downgrade_to_insecure",
            Type::Bool,
            "accept a source that is no longer signed",
        ),
        Param::new(
            "allow_insecure",
            Type::Bool,
            "accept a source that is not signed",
        ),
        Param::new("allow_weak", Type::Bool, "accept weak digests"),
        Param::new("architectures", Type::List, "architectures"),
        Param::new("by_hash", Type::Bool, "fetch indexes by their hash"),
        Param::new("check_date", Type::Bool, "check dates"),
        Param::new("check_valid_until", Type::Bool, "check for replay"),
        Param::new("components", Type::List, "components, e.g. main"),
        Param::new(
            "date_max_future",
            Type::Int,
            "seconds a source may be ahead",
        ),
        Param::new("enabled", Type::Bool, "whether it is used"),
        Param::new("exclude", Type::List, "packages never taken from it"),
        Param::new("include", Type::List, "packages taken from it"),
        Param::new("inrelease_path", Type::Str, "where InRelease is"),
        Param::new(
            "install_python_debian",
            Type::Bool,
            "no effect: nothing is needed",
        ),
        Param::new("languages", Type::List, "languages of descriptions"),
        Param::new("mode", Type::Raw, "mode of the file").default("0644"),
        Param::new("name", Type::Str, "name of the source and of its files").required(),
        Param::new("pdiffs", Type::Bool, "fetch differences"),
        Param::new(
            "signed_by",
            Type::Str,
            "key: a URL, a file on the host, fingerprints, or an ASCII armored block",
        ),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["absent", "present"])
            .default("present"),
        Param::new("suites", Type::List, "suites, e.g. bookworm"),
        Param::new("targets", Type::List, "targets to fetch"),
        Param::new(
            "trusted",
            Type::Bool,
            "whether it is trusted without a signature",
        ),
        Param::new("types", Type::List, "kinds of packages")
            .choices(&["deb", "deb-src"])
            .default("deb"),
        Param::new("uris", Type::List, "addresses"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

const KEYRINGS: &str = "/etc/apt/keyrings";

impl Module for Deb822Repository {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        super::download::check("signed_by", &args.text("signed_by"), false, controller)?;
        let slug = slug(&args.text("name"));
        let file = format!("/etc/apt/sources.list.d/{slug}.sources");
        if args.text("state") == "absent" {
            return absent(&slug, file);
        }
        let mode = args
            .get("mode")
            .cloned()
            .unwrap_or_else(|| Value::from("0644"));
        let source = Source {
            attrs: Attrs {
                mode: Some(Mode::new(&mode)?),
                ..Attrs::default()
            },
            args: args.clone(),
            file,
            slug,
        };
        let probes = vec![rule::content(&source.file), rule::stat(&source.file)];
        Rule::new(probes, move |seen| source.judge(seen)).step()
    }
}

/// The name of the files: lower case, `-` for blanks and `_`, nothing but letters and digits.
fn slug(name: &str) -> String {
    let mut out = String::new();
    let mut gap = false;
    for c in name.to_lowercase().chars() {
        if c == '_' || c.is_whitespace() {
            if !gap {
                out.push('-');
            }
            gap = true;
        } else {
            gap = false;
            if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' {
                out.push(c);
            }
        }
    }
    out
}

fn absent(slug: &str, file: String) -> Result<Box<dyn Step>, Failure> {
    let files = [
        file.clone(),
        format!("{KEYRINGS}/{slug}.asc"),
        format!("{KEYRINGS}/{slug}.gpg"),
    ];
    let probe = |path: &String| Probe::Path {
        path: path.clone(),
        follow: false,
    };
    Rule::new(files.iter().map(probe).collect(), move |seen| {
        let there: Vec<&String> = files
            .iter()
            .filter(|path| seen.path(path).is_some())
            .collect();
        let outcome = Outcome::ok()
            .with("repo", ())
            .with("dest", file.as_str())
            .with("key_filename", files[2].as_str());
        if there.is_empty() {
            return Ok(outcome.into());
        }
        let script = format!("rm -f -- {}", super::sh::join(&there));
        let effects = there
            .iter()
            .map(|path| Effect::Path((*path).clone()))
            .collect();
        Ok(Act::change(
            vec![Chunk::new(script)],
            effects,
            outcome,
            format!("removing {file}"),
        )
        .into())
    })
    .step()
}

struct Source {
    args: Args,
    attrs: Attrs,
    slug: String,
    file: String,
}

/// A key that goes into a file of its own.
struct Key {
    path: String,
    bytes: Vec<u8>,
}

impl Source {
    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let (signed_by, key) = self.key(seen)?;
        let text = self.render(signed_by.as_deref());
        let now = rule::text(seen, &self.file)?;
        let old = seen.stat(&self.file, true);
        let mut actions = Vec::new();
        let mut effects = Vec::new();
        let path = key.as_ref().map(|key| key.path.clone());
        if let Some(key) = key {
            actions.extend(self.install_key(&key, seen)?);
            effects.push(Effect::Path(key.path));
        }
        let fix = old
            .map(|old| self.attrs.differ(&self.file, old, seen))
            .transpose();
        let fix = fix.map_err(|unsettled| match unsettled {
            super::attrs::Unsettled::Ask(probes) => Verdict::Look(probes),
            super::attrs::Unsettled::Failed(outcome) => Verdict::Done(outcome),
        })?;
        if now.as_deref() != Some(&text) {
            actions.push(rule::write(&self.file, old, &text, &self.attrs)?);
        } else if let Some(fix) = fix.filter(|fix| !fix.is_empty()) {
            actions.push(Chunk::new(fix.commands(&quote(&self.file))));
        }
        let mut outcome = Outcome::ok()
            .with("repo", text.as_str())
            .with("dest", self.file.as_str())
            .with("key_filename", path);
        if actions.is_empty() {
            return Ok(outcome.into());
        }
        if now.as_deref() != Some(&text) {
            outcome = outcome.diff(&self.file, now.unwrap_or_default(), text);
        }
        effects.push(Effect::Path(self.file.clone()));
        Ok(Act::change(actions, effects, outcome, format!("writing {}", self.file)).into())
    }

    /// What `Signed-By` says, and the key when it must be brought here.
    fn key(&self, seen: &Seen) -> Known<(Option<String>, Option<Key>)> {
        let Some(wanted) = self.args.str("signed_by") else {
            return Ok((None, None));
        };
        let scheme = wanted.split("://").next().unwrap_or_default();
        let is_url = wanted.contains("://")
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '+');
        if !is_url {
            return Ok((Some(wanted), None));
        }
        let (rc, out) = rule::script(seen, &fetch::print(&wanted))?;
        if rc != 0 {
            return Err(
                Outcome::failed(format!("Could not fetch signed_by key: {}", out.trim())).into(),
            );
        }
        let encoded: String = out.split_whitespace().collect();
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(encoded)
            .map_err(|_| Outcome::failed("Could not fetch signed_by key: the download was cut"))?;
        let armored =
            String::from_utf8_lossy(&bytes).contains("-----BEGIN PGP PUBLIC KEY BLOCK-----");
        let extension = if armored { "asc" } else { "gpg" };
        let path = format!("{KEYRINGS}/{}.{extension}", self.slug);
        Ok((Some(path.clone()), Some(Key { path, bytes })))
    }

    fn install_key(&self, key: &Key, seen: &Seen) -> Known<Option<Chunk>> {
        let unasked: Vec<Probe> = [rule::content(&key.path), rule::stat(&key.path)]
            .into_iter()
            .filter(|probe| seen.get(probe).is_none())
            .collect();
        if !unasked.is_empty() {
            return Err(Verdict::Look(unasked));
        }
        let same = match seen.get(&rule::content(&key.path)) {
            Some(super::probe::Answer::Content(Some(bytes))) => **bytes == key.bytes[..],
            _ => false,
        };
        let old = seen.stat(&key.path, true);
        if same && old.is_some_and(|old| old.mode == 0o644) {
            return Ok(None);
        }
        let attrs = Attrs {
            mode: Some(Mode::Bits(0o644)),
            ..Attrs::default()
        };
        let payload = crate::remote::Payload::Bytes(key.bytes.clone().into());
        let from = super::write::Source::Payload(payload);
        let mut write = super::write::Write::new(&key.path, from, &attrs, old);
        write.before = format!("[ -d {KEYRINGS} ] || mkdir -m 755 {KEYRINGS} || exit\n");
        Ok(Some(write.chunk()?))
    }

    /// The file's text: fields in the order of the parameters' names.
    fn render(&self, signed_by: Option<&str>) -> String {
        let mut text = String::new();
        for param in SPEC.params {
            if matches!(param.name, "mode" | "state" | "install_python_debian") {
                continue;
            }
            let Some(value) = self.args.get(param.name) else {
                continue;
            };
            let value = match value.kind() {
                ValueKind::Bool => (if value.is_true() { "yes" } else { "no" }).to_owned(),
                _ if param.ty == Type::List => self.args.strings(param.name).join(" "),
                _ if param.name == "signed_by" => signed_by.unwrap_or_default().to_owned(),
                _ => self.args.text(param.name),
            };
            let field = field(param.name);
            if value.contains('\n') {
                text.push_str(&format!("{field}:\n"));
                for line in value.trim().lines() {
                    let line = line.trim();
                    text.push_str(&format!(
                        "    {}\n",
                        if line.is_empty() { "." } else { line }
                    ));
                }
            } else {
                text.push_str(&format!("{field}: {value}\n"));
            }
        }
        text
    }
}

/// A parameter's name as a field's.
fn field(name: &str) -> String {
    match name {
        "name" => "X-Repolib-Name".into(),
        "uris" => "URIs".into(),
        name => name
            .split('_')
            .map(|word| {
                let (first, rest) = word.split_at(1);
                first.to_uppercase() + rest
            })
            .collect::<Vec<_>>()
            .join("-"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::testing::args;

    #[test]
    fn files_are_named_as_by_ansible() {
        assert_eq!(slug("My  Repo_x.y!"), "my-repo-xy");
    }

    #[test]
    fn fields_are_in_ansibles_order_and_form() {
        let args = args(
            &Deb822Repository,
            &[
                ("name", "example".into()),
                ("uris", "https://example.com".into()),
                ("suites", "stable".into()),
                ("components", vec!["main", "contrib"].into()),
                ("by_hash", true.into()),
                ("signed_by", "-----BEGIN\n\nabc\n-----END".into()),
            ],
        );
        let source = Source {
            args,
            attrs: Attrs::default(),
            slug: String::new(),
            file: String::new(),
        };
        assert_eq!(
            source.render(Some("-----BEGIN\n\nabc\n-----END")),
            "By-Hash: yes\nComponents: main contrib\nX-Repolib-Name: example\nSigned-By:\n    -----BEGIN\n    .\n    abc\n    -----END\n\
             Suites: stable\nTypes: deb\nURIs: https://example.com\n"
        );
    }
}
