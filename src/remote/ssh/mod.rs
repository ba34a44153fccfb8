//! SSH: from a [`Target`] to a link.

pub(crate) mod config;
mod dial;
mod hostkey;
mod jump;
mod known_hosts;
mod login;
mod session;
mod settings;
mod transport;
mod trust;
pub(crate) mod wire;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ssh2::ErrorCode;
use tokio::sync::Semaphore;

use config::Config;
use session::{Fault, Live};
use settings::{Hop, Settings, Way};
use transport::Ssh;
pub use trust::{Shown, Standing};
use wire::{Counters, Line};

use super::shells::Shells;
use super::{Boxed, Link, LinkError, LinkErrorKind, Target, actor};

/// Handshakes under way at one place: sshd begins to refuse at ten (`MaxStartups`).
const AT_ONCE: usize = 8;

/// Times a host that hangs up before it greets is tried: that is how sshd refuses when too many knock.
const KNOCKS: u32 = 4;

/// Deepest chain of jump hosts.
const HOPS: usize = 8;

/// What all connections of a run share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    config: OnceLock<Result<Config, String>>,
    places: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Shared {
    /// Connects and logs in.
    pub(crate) async fn connect(&self, target: &Target) -> Result<Box<dyn Link>, LinkError> {
        let settings = self.settings(target)?;
        let counters = Arc::new(Counters::default());
        let live = self
            .session(target, &settings, counters.clone(), None, 0)
            .await?;
        // A host under load takes its time to start a shell; the handshake was the test whether it answers.
        let limit = settings.limit * 3;
        let ssh = Ssh::new(live, settings.credentials.user, settings.alive);
        Ok(actor::start(Shells::new(ssh, limit), counters))
    }

    fn settings(&self, target: &Target) -> Result<Settings, LinkError> {
        let home = home();
        let config = self.config.get_or_init(|| Config::load(&home));
        let config = config.as_ref().map_err(|text| {
            LinkError::new(LinkErrorKind::Unreachable, text.clone())
                .hint("mini-play reads OpenSSH's client configuration")
        })?;
        Settings::resolve(target, config, &home)
    }

    /// An authenticated session, over a given line or one of its own.
    fn session<'a>(
        &'a self,
        target: &'a Target,
        settings: &'a Settings,
        counters: Arc<Counters>,
        over: Option<Box<dyn Line>>,
        depth: usize,
    ) -> Boxed<'a, Result<Live, LinkError>> {
        Box::pin(async move {
            if let Some(line) = over {
                return enter(line, settings, counters).await.map_err(|e| e.error);
            }
            let mut knocks = 0;
            loop {
                knocks += 1;
                let tried = self.once(target, settings, counters.clone(), depth).await;
                match tried {
                    Err(refused) if refused.again && knocks < KNOCKS => {
                        // Not all at the same moment: the port number is as good as chance.
                        let spread = u64::from(std::process::id()) * 7919 % 200;
                        let pause = Duration::from_millis(200 * u64::from(knocks) + spread);
                        tokio::time::sleep(pause).await;
                    }
                    other => return other.map_err(|e| e.error),
                }
            }
        })
    }

    /// One attempt over a line of its own.
    async fn once(
        &self,
        target: &Target,
        settings: &Settings,
        counters: Arc<Counters>,
        depth: usize,
    ) -> Result<Live, Refused> {
        match &settings.way {
            Way::Direct => {
                let (host, port) = (&settings.host, settings.port);
                let addresses = dial::resolve(host, port, settings.limit).await?;
                let place = match addresses.first() {
                    Some(address) if address.ip().is_loopback() => "loopback".to_owned(),
                    Some(address) => address.ip().to_string(),
                    None => host.clone(),
                };
                let place = self.place(place);
                let _turn = place.acquire().await;
                let line = dial::tcp(host, &addresses, settings.limit).await?;
                enter(line, settings, counters).await
            }
            Way::Command(command) => enter(dial::command(command)?, settings, counters).await,
            Way::Jump(hops) => {
                let line = self.through(target, settings, hops, depth).await?;
                enter(line, settings, counters).await
            }
        }
    }

    /// A line through jump hosts.
    async fn through(
        &self,
        target: &Target,
        settings: &Settings,
        hops: &[Hop],
        depth: usize,
    ) -> Result<Box<dyn Line>, LinkError> {
        if depth + hops.len() > HOPS {
            return Err(LinkError::new(
                LinkErrorKind::Unreachable,
                format!("more than {HOPS} jump hosts, or jump hosts in a circle"),
            ));
        }
        let mut line = None;
        for (at, hop) in hops.iter().enumerate() {
            let name = |mut error: LinkError| {
                error.message = format!("jump host {}: {}", hop.host, error.message);
                error
            };
            let via = Target {
                name: hop.host.clone(),
                host: hop.host.clone(),
                port: hop.port,
                user: hop.user.clone(),
                // Keys and passwords belong to the target; trust in host keys is the user's choice for the run.
                options: target
                    .options
                    .iter()
                    .filter(|(key, _)| {
                        let key = key.to_lowercase();
                        key.ends_with("knownhostsfile") || key == "stricthostkeychecking"
                    })
                    .cloned()
                    .collect(),
                host_key_checking: target.host_key_checking,
                connect_timeout: target.connect_timeout,
                ..Target::default()
            };
            let mut hop_settings = self.settings(&via).map_err(name)?;
            if line.is_some() {
                // Only the first hop may have a way of its own.
                hop_settings.way = Way::Direct;
            }
            let live = self
                .session(&via, &hop_settings, Arc::default(), line, depth + 1 + at)
                .await
                .map_err(name)?;
            let (host, port) = match hops.get(at + 1) {
                Some(next) => {
                    let next = self.settings(&Target {
                        host: next.host.clone(),
                        port: next.port,
                        ..Target::default()
                    })?;
                    (next.host, next.port)
                }
                None => (settings.host.clone(), settings.port),
            };
            let forwarded = jump::forward(live, &host, port, settings.limit).await;
            line = Some(forwarded.map_err(name)?);
        }
        line.ok_or_else(|| LinkError::new(LinkErrorKind::Unreachable, "ProxyJump names no host"))
    }

    fn place(&self, name: String) -> Arc<Semaphore> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places
            .entry(name)
            .or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE)))
            .clone()
    }
}

/// An attempt that failed; `again` when another may do.
struct Refused {
    error: LinkError,
    again: bool,
}

impl From<LinkError> for Refused {
    fn from(error: LinkError) -> Self {
        Self {
            error,
            again: false,
        }
    }
}

fn home() -> PathBuf {
    std::env::home_dir().unwrap_or_default()
}

/// Handshake, host key, login.
async fn enter(
    line: Box<dyn Line>,
    settings: &Settings,
    counters: Arc<Counters>,
) -> Result<Live, Refused> {
    let known = hostkey::known(settings);
    let algorithms = known.algorithms();
    let mut live = greet(line, counters, algorithms.as_deref(), settings.limit).await?;
    if settings.only_greet {
        return Ok(live);
    }
    hostkey::check(&live, settings, &known)?;
    login::login(&mut live, &settings.credentials).await?;
    Ok(live)
}

/// The handshake.
async fn greet(
    line: Box<dyn Line>,
    counters: Arc<Counters>,
    host_keys: Option<&str>,
    limit: Duration,
) -> Result<Live, Refused> {
    let unreachable = |text: String| LinkError::new(LinkErrorKind::Unreachable, text);
    let mut live = Live::new(line, counters, host_keys)
        .map_err(|fault| unreachable(format!("cannot start a session: {fault}")))?;
    let outcome = tokio::time::timeout(limit, live.handshake()).await;
    let banner = live.session.banner();
    if banner.is_some_and(|banner| !banner.starts_with("SSH-")) {
        return Err(
            unreachable("what answers on this port is not an SSH server".to_owned())
                .hint("check ansible_port")
                .into(),
        );
    }
    let greeted = banner.is_some();
    let error = match outcome {
        Ok(Ok(())) => return Ok(live),
        Err(_) if greeted => unreachable(format!(
            "the SSH server stopped answering during the handshake ({} s)",
            limit.as_secs()
        )),
        Err(_) => unreachable(format!(
            "the port takes connections but does not speak SSH within {} s",
            limit.as_secs()
        ))
        .hint("is this the port of sshd, and is the host not overloaded?"),
        Ok(Err(fault)) if fault.is_line() && !greeted => {
            return Err(Refused {
                error: unreachable(format!("the host hung up before it greeted: {fault}"))
                    .hint("its sshd may refuse connections for now: MaxStartups, PerSourcePenalties, or a firewall"),
                again: true,
            });
        }
        Ok(Err(fault)) if fault.is_line() => {
            unreachable(format!("the host hung up during the handshake: {fault}"))
        }
        // LIBSSH2_ERROR_KEX_FAILURE.
        Ok(Err(Fault::Ssh(e))) if e.code() == ErrorCode::Session(-5) => unreachable(format!(
            "no agreement on algorithms with the SSH server: {}",
            e.message()
        ))
        .hint("a server that only knows SHA-1 (ssh-rsa, group14-sha1) is too old to be reached safely"),
        Ok(Err(fault)) => unreachable(format!("the SSH handshake failed: {fault}")),
    };
    Err(error.into())
}
