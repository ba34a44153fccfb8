//! The connections of a run: one per host, opened when first needed, shared by all that delegate to it.

use super::context::HostContext;
use super::lock;
use super::prepare::{text, var};
use super::turn::Turn;
use crate::modules::args::to_bool;
use crate::remote::{
    BecomePassword, Boxed, Chunk, HostKeyChecking, Identity, Link, LinkError, LinkErrorKind, Reply,
    Secret, Stats, Target,
};
use crate::report::Event;
use crate::template::TemplateError;
use crate::vars::{Access, HostState, Layer, Parts, StepScope};
use minijinja::Value;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};

/// Opens connections: `remote::connect`, or a fake in tests.
pub type Connector =
    Arc<dyn Fn(Target) -> Boxed<'static, Result<Box<dyn Link>, LinkError>> + Send + Sync>;

/// Defaults below the inventory's connection variables: what the command line said.
#[derive(Debug, Clone, Default)]
pub struct ConnectionDefaults {
    /// `-u`.
    pub user: Option<String>,
    /// `-k`.
    pub password: Option<Secret>,
    /// `--private-key`.
    pub private_key: Option<PathBuf>,
    /// `--host-key-checking`.
    pub host_key_checking: HostKeyChecking,
    /// `-c`.
    pub connection: Option<String>,
    /// `--ssh-common-args`.
    pub ssh_args: Option<String>,
    /// `--timeout`.
    pub timeout: Option<Duration>,
}

enum Slot {
    Closed,
    /// The connection, and whether it leads to this machine.
    Open(Box<dyn Link>, bool),
}

/// See the module.
pub(crate) struct Links {
    slots: Mutex<HashMap<Arc<str>, Arc<AsyncMutex<Slot>>>>,
    spent: Mutex<HashMap<Arc<str>, Stats>>,
    connector: Connector,
    defaults: ConnectionDefaults,
    forks: Semaphore,
}

impl Links {
    pub(crate) fn new(connector: Connector, defaults: ConnectionDefaults, forks: usize) -> Self {
        Self {
            slots: Mutex::default(),
            spent: Mutex::default(),
            connector,
            defaults,
            forks: Semaphore::new(forks.max(1)),
        }
    }

    fn slot(&self, host: &Arc<str>) -> Arc<AsyncMutex<Slot>> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = slots
            .entry(Arc::clone(host))
            .or_insert_with(|| Arc::new(AsyncMutex::new(Slot::Closed)));
        Arc::clone(slot)
    }

    /// One turn on a host; connects first when needed.
    pub(crate) async fn turn(
        &self,
        cx: &HostContext,
        target: &Arc<str>,
        who: &Identity,
        turn: &Turn,
    ) -> Result<Vec<Reply>, LinkError> {
        let acts = !turn.segments.is_empty();
        self.talk(cx, target, who, turn.password.clone(), turn.chunks(), acts)
            .await
    }

    /// Runs chunks on a host, under its lock when they act; connects first when needed.
    pub(crate) async fn talk(
        &self,
        cx: &HostContext,
        target: &Arc<str>,
        who: &Identity,
        password: BecomePassword,
        mut chunks: Vec<Chunk>,
        acts: bool,
    ) -> Result<Vec<Reply>, LinkError> {
        let slot = self.slot(target);
        let mut slot = slot.lock().await;
        // Never closed: the semaphores live as long as the run.
        let _working = self.forks.acquire().await;
        if let Slot::Closed = *slot {
            let described = self.describe(cx, target).map_err(|error| {
                LinkError::new(
                    LinkErrorKind::Unreachable,
                    format!("connection variables: {error}"),
                )
            })?;
            let local = described.local;
            *slot = Slot::Open((self.connector)(described).await?, local);
        }
        let Slot::Open(link, local) = &mut *slot else {
            return Err(LinkError::new(
                LinkErrorKind::Lost,
                "the connection is closed",
            ));
        };
        link.set_become_password(who, password);
        // Whoever is at work on this machine is in nobody's way, as with other programs here.
        let lock = cx.run.options.lock.as_ref();
        let lock = lock.filter(|_| !*local && acts);
        if let Some(lock) = lock {
            chunks.insert(0, lock::chunk(&lock.run, &lock.who));
        }
        let mut result = link.turn(who, chunks).await;
        if let (Ok(replies), Some(_)) = (&mut result, lock)
            && !replies.is_empty()
        {
            match lock::taken(&replies.remove(0)) {
                Ok(None) => {}
                Ok(Some(text)) => cx.run.emit(Event::Warning {
                    host: Some(Arc::clone(&cx.host)),
                    text,
                }),
                Err(held) => result = Err(held),
            }
        }
        if let (Err(error), Some(_)) = (&mut result, lock)
            && !error.ended.is_empty()
        {
            error.ended.remove(0);
        }
        self.note(target, link.stats());
        if let Err(error) = &result
            && matches!(error.kind, LinkErrorKind::Lost | LinkErrorKind::Protocol)
            && let Slot::Open(link, _) = std::mem::replace(&mut *slot, Slot::Closed)
        {
            self.settle(target);
            link.close().await;
        }
        result
    }

    /// Runs a chunk over a connection of its own: whether a host still lets us in. The one in use is left alone.
    pub(crate) async fn anew(
        &self,
        cx: &HostContext,
        target: &Arc<str>,
        (who, password): (&Identity, BecomePassword),
        chunk: Chunk,
    ) -> Result<Reply, LinkError> {
        let described = self
            .describe(cx, target)
            .map_err(|error| LinkError::new(LinkErrorKind::Unreachable, error.to_string()))?;
        let mut link = (self.connector)(described).await?;
        link.set_become_password(who, password);
        let replies = link.turn(who, vec![chunk]).await;
        link.close().await;
        Ok(replies?.pop().unwrap_or_default())
    }

    /// What the line of a host cost, all connections together.
    pub(crate) fn stats(&self, host: &str) -> Stats {
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = |mut total: Stats, key: &str| {
            if let Some(one) = spent.get(key) {
                total.turns += one.turns;
                total.up += one.up;
                total.down += one.down;
            }
            total
        };
        sum(sum(Stats::default(), host), &earlier(host))
    }

    fn note(&self, host: &Arc<str>, stats: Stats) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        spent.insert(Arc::clone(host), stats);
    }

    /// Moves the figures of a broken connection to the host's earlier ones.
    fn settle(&self, host: &Arc<str>) {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = spent.remove(host) {
            let total = spent.entry(earlier(host).into()).or_default();
            total.turns += last.turns;
            total.up += last.up;
            total.down += last.down;
        }
    }

    /// Closes a host's connection; the next turn opens a new one.
    pub(crate) async fn reset(&self, host: &Arc<str>) {
        let slot = self.slot(host);
        let mut slot = slot.lock().await;
        if let Slot::Open(link, _) = std::mem::replace(&mut *slot, Slot::Closed) {
            self.settle(host);
            link.close().await;
        }
    }

    /// Closes all connections.
    pub(crate) async fn close(&self) {
        let slots: Vec<_> = {
            let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
            slots.drain().map(|(_, slot)| slot).collect()
        };
        let mut closing = tokio::task::JoinSet::new();
        for slot in slots {
            closing.spawn(async move {
                if let Slot::Open(link, _) =
                    std::mem::replace(&mut *slot.lock().await, Slot::Closed)
                {
                    link.close().await;
                }
            });
        }
        while closing.join_next().await.is_some() {}
    }

    /// The variables that describe the connection to a host; `None` for a host nobody knows.
    pub(crate) fn scope_of(&self, cx: &HostContext, host: &Arc<str>) -> Option<Arc<StepScope>> {
        let own = *host == cx.host;
        if !own && cx.run.shared.layers(host).is_none() {
            return None;
        }
        Some(StepScope::new(Parts {
            engine: Arc::clone(&cx.run.engine),
            shared: Arc::clone(&cx.run.shared),
            host: Arc::clone(host),
            magic: Arc::default(),
            state: if own {
                HostState::default()
            } else {
                cx.run.shared.state(host)
            },
            defaults: if own {
                cx.play_defaults.clone()
            } else {
                Vec::new()
            },
            layers: if own {
                cx.play_vars.clone()
            } else {
                Vec::<Layer>::new()
            },
            above: Vec::new(),
            extra: cx.run.extra.clone(),
            access: Access::Everything,
            roll: None,
            search: Vec::new(),
        }))
    }

    /// Whether a host is this machine.
    pub(crate) fn is_local(&self, cx: &HostContext, host: &Arc<str>) -> bool {
        self.describe(cx, host).is_ok_and(|target| target.local)
    }

    /// How a host is reached when no variable says it: the play's keyword, the command line, or what its name means.
    pub(crate) fn kind<'a>(&'a self, keyword: Option<&'a str>, host: &str) -> &'a str {
        let said = keyword.or(self.defaults.connection.as_deref());
        match said.map(|kind| kind.rsplit('.').next().unwrap_or(kind)) {
            Some(kind) => kind,
            None if is_local_name(host) => "local",
            None => "ssh",
        }
    }

    /// Host, port and user of a host at hand, unless it is this machine; what cannot be told is nobody's.
    pub(crate) fn address(&self, cx: &HostContext) -> Option<(String, String, String)> {
        let scope = self.scope_of(cx, &cx.host)?;
        let said = |names: &[&str]| var(&scope, names).ok().flatten();
        let keyword = cx.play.base.connection.as_ref();
        let connection = said(&["ansible_connection"])
            .or_else(|| keyword.and_then(|node| text(cx, &scope, node).ok().flatten()));
        if self.kind(connection.as_deref(), &cx.host) == "local" {
            return None;
        }
        Some((
            said(&["ansible_host", "ansible_ssh_host"]).unwrap_or_else(|| cx.host.to_string()),
            said(&["ansible_port", "ansible_ssh_port"]).unwrap_or_default(),
            said(&["ansible_user", "ansible_ssh_user"]).unwrap_or_default(),
        ))
    }

    /// Where and how to connect, from the inventory, the play and the command line.
    fn describe(&self, cx: &HostContext, host: &Arc<str>) -> Result<Target, TemplateError> {
        let defaults = &self.defaults;
        let Some(scope) = self.scope_of(cx, host) else {
            // A host that is not in the inventory, e.g. the target of `delegate_to`.
            return Ok(Target {
                name: host.to_string(),
                local: is_local_name(host),
                host: host.to_string(),
                user: defaults.user.clone(),
                password: defaults.password.clone(),
                private_keys: defaults.private_key.iter().cloned().collect(),
                host_key_checking: defaults.host_key_checking,
                connect_timeout: defaults.timeout,
                ..Target::default()
            });
        };
        let own = *host == cx.host;
        let base = &cx.play.base;
        let keyword = |node: Option<&crate::yaml::Node>| match node {
            Some(node) if own => text(cx, &scope, node),
            _ => Ok(None),
        };
        let connection = var(&scope, &["ansible_connection"])?
            .or(keyword(base.connection.as_ref())?)
            .or_else(|| defaults.connection.clone());
        let local = match connection.as_deref() {
            Some("local" | "ansible.builtin.local") => true,
            Some(_) => false,
            None => is_local_name(host),
        };
        let user = var(&scope, &["ansible_user", "ansible_ssh_user"])?
            .or(keyword(base.remote_user.as_ref())?)
            .or_else(|| defaults.user.clone());
        let port =
            var(&scope, &["ansible_port", "ansible_ssh_port"])?.or(keyword(base.port.as_ref())?);
        let key = var(
            &scope,
            &["ansible_private_key_file", "ansible_ssh_private_key_file"],
        )?
        .map(|path| expand_home(&path))
        .or_else(|| defaults.private_key.clone());
        let mut options = Vec::new();
        let args = [
            "ansible_ssh_args",
            "ansible_ssh_common_args",
            "ansible_ssh_extra_args",
        ];
        for name in args {
            if let Some(words) = var(&scope, &[name])? {
                options.extend(ssh_options(&words));
            }
        }
        options.extend(
            defaults
                .ssh_args
                .iter()
                .flat_map(|words| ssh_options(words)),
        );
        let checking = var(
            &scope,
            &["ansible_host_key_checking", "ansible_ssh_host_key_checking"],
        )?;
        let off = checking.is_some_and(|text| to_bool(&Value::from(text)) == Some(false));
        let timeout = var(&scope, &["ansible_timeout", "ansible_ssh_timeout"])?
            .and_then(|text| text.parse::<f64>().ok())
            .map(Duration::from_secs_f64);
        Ok(Target {
            name: host.to_string(),
            local,
            host: var(&scope, &["ansible_host", "ansible_ssh_host"])?
                .unwrap_or_else(|| host.to_string()),
            port: port.and_then(|text| text.trim().parse().ok()),
            user,
            password: var(
                &scope,
                &[
                    "ansible_password",
                    "ansible_ssh_pass",
                    "ansible_ssh_password",
                ],
            )?
            .map(Secret::new)
            .or_else(|| defaults.password.clone()),
            private_keys: key.into_iter().collect(),
            passphrase: var(&scope, &["ansible_ssh_private_key_passphrase"])?.map(Secret::new),
            options,
            host_key_checking: if off {
                HostKeyChecking::Off
            } else {
                defaults.host_key_checking
            },
            connect_timeout: timeout.or(defaults.timeout),
        })
    }
}

fn earlier(host: &str) -> String {
    format!("{host}\0earlier")
}

fn is_local_name(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1")
}

fn expand_home(path: &str) -> PathBuf {
    match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => PathBuf::from(path),
    }
}

/// OpenSSH command-line words as option pairs.
fn ssh_options(words: &str) -> Vec<(String, String)> {
    let words = shlex::split(words).unwrap_or_default();
    let mut options = Vec::new();
    let mut words = words.into_iter();
    let short = |flag: &str| match flag {
        "-J" => Some("ProxyJump"),
        "-i" => Some("IdentityFile"),
        "-p" => Some("Port"),
        "-l" => Some("User"),
        "-F" => Some("ConfigFile"),
        _ => None,
    };
    while let Some(word) = words.next() {
        if let Some(rest) = word.strip_prefix("-o") {
            let pair = if rest.is_empty() {
                words.next().unwrap_or_default()
            } else {
                rest.to_owned()
            };
            let (key, value) = pair.split_once(['=', ' ']).unwrap_or((&pair, ""));
            options.push((key.trim().to_owned(), value.trim().to_owned()));
        } else if let Some(name) = word.get(..2).and_then(short) {
            let rest = &word[2..];
            let value = if rest.is_empty() {
                words.next().unwrap_or_default()
            } else {
                rest.to_owned()
            };
            options.push((name.to_owned(), value));
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::ssh_options;

    #[test]
    fn ssh_words_become_options() {
        let options = ssh_options(
            "-o UserKnownHostsFile=/x -oPort=22 -J bastion -i '/a b' -v -o 'ProxyCommand ssh -W %h:%p j'",
        );
        let pairs: Vec<(&str, &str)> = options
            .iter()
            .map(|(a, b)| (a.as_str(), b.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("UserKnownHostsFile", "/x"),
                ("Port", "22"),
                ("ProxyJump", "bastion"),
                ("IdentityFile", "/a b"),
                ("ProxyCommand", "ssh -W %h:%p j"),
            ]
        );
    }
}
