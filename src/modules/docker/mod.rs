//! `docker_container`, `docker_image`, `docker_network` and `docker_volume` through the docker command: what is there is
//! read from `docker inspect`, compared here, and changed by the commands that a person would type.

mod container;
mod image;
mod network;
mod options;
mod volume;

pub(crate) use container::DockerContainer;
pub(crate) use image::DockerImage;
pub(crate) use network::DockerNetwork;
pub(crate) use volume::DockerVolume;

use super::rule::{self, Known, Verdict};
use super::sh::{join, quote};
use super::{Args, Chunk, Outcome, Seen};
use minijinja::Value;
use serde_json::Value as Json;

/// The parameters that all of them share, and some more.
macro_rules! docker_params {
    ($($more:expr),* $(,)?) => {{
        use $crate::modules::{Param, Type};
        &[
            $($more,)*
            Param::new("docker_host", Type::Str, "where the daemon listens")
                .aliases(&["docker_url"]),
            Param::new("api_version", Type::Str, "version of the API").aliases(&["docker_api_version"]),
            Param::new("timeout", Type::Int, "no effect: the docker command waits as long as it takes"),
            Param::new("tls", Type::Bool, "use TLS").aliases(&["docker_tls"]),
            Param::new("validate_certs", Type::Bool, "use TLS and check the daemon's certificate")
                .aliases(&["tls_verify"]),
            Param::new("ca_path", Type::Path, "file of the authority's certificate")
                .aliases(&["ca_cert", "cacert_path", "tls_ca_cert"]),
            Param::new("client_cert", Type::Path, "file of the client's certificate")
                .aliases(&["cert_path", "tls_client_cert"]),
            Param::new("client_key", Type::Path, "file of the client's key")
                .aliases(&["key_path", "tls_client_key"]),
            Param::unsupported("tls_hostname", "the docker command cannot be told another name"),
            Param::unsupported("use_ssh_client", "use `docker_host: ssh://…`"),
            Param::unsupported("debug", "nothing more is told"),
        ]
    }};
}
pub(crate) use docker_params;

/// How to call the docker command.
#[derive(Clone)]
pub(super) struct Docker(String);

impl Docker {
    /// From a step's arguments.
    pub(super) fn new(args: &Args) -> Self {
        let mut words = vec!["docker".to_owned()];
        let mut option = |flag: &str, param: &str| {
            if let Some(value) = args.str(param) {
                words.extend([flag.to_owned(), value]);
            }
        };
        option("-H", "docker_host");
        option("--tlscacert", "ca_path");
        option("--tlscert", "client_cert");
        option("--tlskey", "client_key");
        if args.bool("validate_certs") {
            words.push("--tlsverify".into());
        } else if args.bool("tls") {
            words.push("--tls".into());
        }
        let version = args.str("api_version").filter(|version| version != "auto");
        let env = version.map_or(String::new(), |version| {
            format!("DOCKER_API_VERSION={} ", quote(&version))
        });
        Self(format!("{env}{}", join(words)))
    }

    /// The command with these words.
    pub(super) fn words<I>(&self, words: I) -> String
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        format!("{} {}", self.0, join(words))
    }

    /// An action.
    pub(super) fn act<I>(&self, words: I) -> Chunk
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        Chunk::new(self.words(words))
    }

    /// The question for an object; nothing is written when there is none.
    pub(super) fn inspect(&self, kind: &str, name: &str) -> String {
        format!(
            "command -v docker >/dev/null || {{ echo 'the docker command is not installed'; exit 3; }}\n\
             e=$({} 2>&1 >\"$MP_TMP/docker\") && cat \"$MP_TMP/docker\" && exit 0\n\
             case $e in *'No such'*|*'not found'*|*'no such'*) exit 0 ;; esac\nprintf '%s\\n' \"$e\"; exit 4",
            self.words([kind, "inspect", name])
        )
    }

    /// The object; `None` when there is none.
    pub(super) fn seen(&self, seen: &Seen, kind: &str, name: &str) -> Known<Option<Json>> {
        let (rc, out) = rule::script(seen, &self.inspect(kind, name))?;
        if rc != 0 {
            let last = out.trim().lines().last().unwrap_or("no message");
            return Err(Verdict::from(Outcome::failed(format!(
                "cannot ask the docker daemon: {last}"
            ))));
        }
        let found: Json = serde_json::from_str(&out).unwrap_or_default();
        Ok(found.get(0).filter(|one| !one.is_null()).cloned())
    }
}

/// What `docker inspect` told, for results.
pub(super) fn value(json: &Json) -> Value {
    Value::from(minijinja::value::Serde(json.clone()))
}

/// A mapping's entries as text.
pub(super) fn pairs(value: Option<&Value>) -> Vec<(String, String)> {
    let Some(map) = value else { return Vec::new() };
    let keys = map.try_iter().into_iter().flatten();
    keys.map(|key| {
        let value = map.get_item(&key).unwrap_or_default();
        (key.to_string(), scalar(&value))
    })
    .collect()
}

/// A value as docker's command line takes it.
pub(super) fn scalar(value: &Value) -> String {
    match value.kind() {
        minijinja::value::ValueKind::Bool => value.is_true().to_string(),
        _ => crate::modules::args::text(value),
    }
}

/// Whether all these entries are in an object of text.
pub(super) fn holds(object: &Json, wanted: &[(String, String)]) -> bool {
    wanted
        .iter()
        .all(|(key, value)| object.get(key).and_then(Json::as_str) == Some(value))
}
