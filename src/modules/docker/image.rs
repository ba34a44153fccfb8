//! `docker_image`: images, pulled, built, loaded or tagged.

use super::{Docker, docker_params, pairs, value};
use crate::modules::rule::{Act, Known, Rule, Verdict};
use crate::modules::{
    Args, Controller, Effect, Failure, FreeForm, Module, Outcome, Probe, Runs, Seen, Spec, Step,
};

/// `docker_image`.
pub(crate) struct DockerImage;

static SPEC: Spec = Spec {
    name: "docker_image",
    collection: "community.docker",
    aliases: &[],
    doc: "Manages images of Docker",
    params: docker_params![
        Param::new("name", Type::Str, "the image: name, name:tag or id").required(),
        Param::new("tag", Type::Str, "its tag").default("latest"),
        Param::new("source", Type::Str, "where it comes from")
            .choices(&["build", "load", "local", "pull"]),
        Param::new(
            "build",
            Type::Dict,
            "how it is built: path, dockerfile, args, pull, nocache, rm, target, network, platform, labels"
        ),
        Param::new("pull", Type::Dict, "how it is pulled: platform"),
        Param::new(
            "load_path",
            Type::Path,
            "archive on the host it is loaded from"
        ),
        Param::new(
            "archive_path",
            Type::Path,
            "archive on the host it is saved to"
        ),
        Param::new("repository", Type::Str, "another name it gets"),
        Param::new("push", Type::Bool, "push it under that name").default("false"),
        Param::new(
            "force_source",
            Type::Bool,
            "pull, build or load even when it is there"
        )
        .default("false"),
        Param::new(
            "force_absent",
            Type::Bool,
            "remove it even when containers use it"
        )
        .default("false"),
        Param::new(
            "force_tag",
            Type::Bool,
            "give the other name even when another image has it"
        )
        .default("false"),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["absent", "present"])
            .default("present"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

/// A name with its tag.
pub(super) fn tagged(name: &str, tag: &str) -> String {
    let last = name.rsplit('/').next().unwrap_or(name);
    if last.contains(':') || name.contains('@') || name.starts_with("sha256:") {
        name.to_owned()
    } else {
        format!("{name}:{tag}")
    }
}

/// Flags of a build by the keys of `build`.
const BUILD: &[(&str, &str)] = &[
    ("dockerfile", "--file"),
    ("target", "--target"),
    ("network", "--network"),
    ("platform", "--platform"),
    ("shm_size", "--shm-size"),
];

impl Module for DockerImage {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let present = args.text("state") == "present";
        if present && !args.has("source") {
            return Err(Failure::of(
                "source",
                "state is present but all of the following are missing: source",
            ));
        }
        let known = ["path", "args", "pull", "nocache", "rm", "labels"];
        for (key, _) in pairs(args.get("build")) {
            if !known.contains(&key.as_str()) && !BUILD.iter().any(|(name, _)| *name == key) {
                return Err(Failure::of(
                    "build",
                    format!("`build.{key}` is not supported"),
                ));
            }
        }
        let docker = Docker::new(args);
        let name = tagged(&args.text("name"), &args.text("tag"));
        let mut probes = vec![Probe::Script(docker.inspect("image", &name))];
        let other = args.str("repository").map(|name| tagged(&name, "latest"));
        if let Some(other) = &other {
            probes.push(Probe::Script(docker.inspect("image", other)));
        }
        let wanted = Image {
            docker: docker.clone(),
            name: name.clone(),
            other,
            present,
            args: args.clone(),
        };
        Rule::new(probes, move |seen| wanted.judge(seen))
            .finish(move |mut outcome, _, _, after| {
                if let Ok(Some(now)) = docker.seen(after, "image", &name) {
                    outcome.data.insert("image".into(), value(&now));
                }
                outcome
            })
            .step()
    }
}

struct Image {
    docker: Docker,
    name: String,
    other: Option<String>,
    present: bool,
    args: Args,
}

impl Image {
    fn build(&self) -> Known<Vec<String>> {
        let map = pairs(self.args.get("build"));
        let get = |key: &str| {
            map.iter()
                .find(|(name, _)| name == key)
                .map(|(_, text)| text.clone())
        };
        let path = get("path")
            .ok_or_else(|| Outcome::failed("`build.path` is needed to build an image"))?;
        let mut words = vec!["build".to_owned(), "--tag".into(), self.name.clone()];
        for (key, flag) in BUILD {
            if let Some(text) = get(key) {
                let in_folder = *key == "dockerfile" && !text.starts_with('/');
                let text = if in_folder {
                    format!("{path}/{text}")
                } else {
                    text
                };
                words.extend([(*flag).to_owned(), text]);
            }
        }
        for (key, flag) in [("pull", "--pull"), ("nocache", "--no-cache")] {
            if get(key).as_deref() == Some("true") {
                words.push(flag.into());
            }
        }
        for (key, flag) in [("args", "--build-arg"), ("labels", "--label")] {
            let inner = self
                .args
                .get("build")
                .and_then(|build| build.get_attr(key).ok());
            for (name, text) in pairs(inner.as_ref()) {
                words.extend([flag.to_owned(), format!("{name}={text}")]);
            }
        }
        words.push(path);
        Ok(words)
    }

    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let docker = &self.docker;
        let now = docker.seen(seen, "image", &self.name)?;
        let mut actions = Vec::new();
        let mut done = Vec::new();
        if !self.present {
            if now.is_some() {
                let force = self.args.bool("force_absent").then_some("--force");
                actions.push(
                    docker.act(
                        ["image", "rm"]
                            .into_iter()
                            .chain(force)
                            .chain([self.name.as_str()]),
                    ),
                );
                done.push(format!("Removed image {}", self.name));
            }
        } else {
            let fetch = now.is_none() || self.args.bool("force_source");
            match self.args.text("source").as_str() {
                "pull" if fetch => {
                    let platform = self
                        .args
                        .get("pull")
                        .and_then(|pull| pull.get_attr("platform").ok());
                    let platform = platform
                        .filter(|p| !p.is_undefined())
                        .map(|p| format!("--platform={p}"));
                    let words = ["pull".to_owned(), "--quiet".into()].into_iter();
                    actions.push(docker.act(words.chain(platform).chain([self.name.clone()])));
                    done.push(format!("Pulled image {}", self.name));
                }
                "build" if fetch => {
                    actions.push(docker.act(self.build()?));
                    done.push(format!("Built image {}", self.name));
                }
                "load" if fetch => {
                    let Some(path) = self.args.str("load_path") else {
                        return Ok(Outcome::failed("`load_path` is needed to load an image").into());
                    };
                    actions.push(docker.act(["load", "--quiet", "--input", path.as_str()]));
                    done.push(format!("Loaded image {} from {path}", self.name));
                }
                "local" if now.is_none() => {
                    let msg = format!("Cannot find the image {} locally.", self.name);
                    return Ok(Outcome::failed(msg).into());
                }
                _ => {}
            }
            if let Some(path) = self.args.str("archive_path") {
                actions.push(docker.act(["save", "--output", path.as_str(), self.name.as_str()]));
                done.push(format!("Archived image {} to {path}", self.name));
            }
            if let Some(other) = &self.other {
                let there = docker.seen(seen, "image", other)?;
                let id = |image: &Option<serde_json::Value>| {
                    image
                        .as_ref()
                        .and_then(|image| image["Id"].as_str().map(str::to_owned))
                };
                let free = there.is_none() || self.args.bool("force_tag");
                if fetch || (free && id(&there) != id(&now)) {
                    actions.push(docker.act(["tag", &self.name, other]));
                    done.push(format!("Tagged image {} to {other}", self.name));
                }
            }
            if self.args.bool("push") {
                let name = self.other.as_ref().unwrap_or(&self.name);
                actions.push(docker.act(["push", "--quiet", name]));
                done.push(format!("Pushed image {name}"));
            }
        }
        let shown: minijinja::Value = done.iter().map(String::as_str).collect();
        let mut outcome = Outcome::ok().with("actions", shown);
        if let Some(now) = &now {
            outcome = outcome.with("image", value(now));
        }
        if actions.is_empty() {
            return Ok(outcome.into());
        }
        Ok(Act::change(
            actions,
            vec![Effect::Anything],
            outcome,
            format!("image {}", self.name),
        )
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::tagged;

    #[test]
    fn names_get_their_tag() {
        assert_eq!(tagged("nginx", "latest"), "nginx:latest");
        assert_eq!(tagged("reg:5000/nginx", "1"), "reg:5000/nginx:1");
        assert_eq!(tagged("reg:5000/nginx:2", "1"), "reg:5000/nginx:2");
        assert_eq!(tagged("sha256:abc", "1"), "sha256:abc");
    }
}
