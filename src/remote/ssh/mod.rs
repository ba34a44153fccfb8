//! SSH: from a [`Target`] to a link.

mod login;
mod session;
mod transport;
pub(crate) mod wire;

use std::sync::Arc;
use std::time::Duration;

use login::Credentials;
use session::{Fault, Live};
use transport::{Alive, Ssh};
use wire::{Counters, Line};

use super::shells::Shells;
use super::{Link, LinkError, LinkErrorKind, Target, actor};

/// Limit for connecting when nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Connects and logs in.
pub(crate) async fn connect(target: &Target) -> Result<Box<dyn Link>, LinkError> {
    let limit = target.connect_timeout.unwrap_or(TIMEOUT);
    let counters = Arc::new(Counters::default());
    let port = target.port.unwrap_or(22);
    let line = dial(&target.host, port, limit).await?;
    let mut live = greet(line, counters.clone(), None, limit).await?;
    let home = std::env::home_dir().unwrap_or_default();
    let user = target
        .user
        .clone()
        .or_else(|| std::env::var("USER").ok())
        .unwrap_or_else(|| "root".to_owned());
    let with = Credentials {
        user: user.clone(),
        keys: target.private_keys.clone(),
        passphrase: target.passphrase.clone(),
        only_keys: false,
        agent: std::env::var_os("SSH_AUTH_SOCK").map(Into::into),
        default_keys: ["id_ed25519", "id_ecdsa", "id_rsa"]
            .map(|name| home.join(".ssh").join(name))
            .to_vec(),
        password: target.password.clone(),
    };
    login::login(&mut live, &with).await?;
    let alive = Alive {
        interval: Duration::from_secs(10),
        count: 3,
    };
    let shells = Shells::new(Ssh::new(live, user, alive), limit.max(TIMEOUT));
    Ok(actor::start(shells, counters))
}

/// Opens a TCP connection, trying every address of a name.
async fn dial(host: &str, port: u16, limit: Duration) -> Result<Box<dyn Line>, LinkError> {
    let unreachable = |text: String| LinkError::new(LinkErrorKind::Unreachable, text);
    let attempt = async {
        let addresses = tokio::net::lookup_host((host, port)).await.map_err(|_| {
            unreachable(format!("the name {host} is not known"))
                .hint("check the spelling, or set ansible_host to an address")
        })?;
        let mut last = None;
        for address in addresses {
            match tokio::net::TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(e) => last = Some(e),
            }
        }
        Err(match last {
            Some(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => {
                unreachable(format!("port {port} of {host} is closed"))
                    .hint("is sshd running there, and on this port?")
            }
            Some(e) => unreachable(format!("cannot connect to {host} port {port}: {e}"))
                .hint("is the host up, and is there a route to it?"),
            None => unreachable(format!("the name {host} has no address")),
        })
    };
    let stream = tokio::time::timeout(limit, attempt).await.map_err(|_| {
        unreachable(format!(
            "no answer from {host} port {port} within {} s",
            limit.as_secs()
        ))
        .hint("is the host up, and does a firewall drop the port?")
    })??;
    let _ = stream.set_nodelay(true);
    Ok(Box::new(stream))
}

/// The handshake.
async fn greet(
    line: Box<dyn Line>,
    counters: Arc<Counters>,
    host_keys: Option<&str>,
    limit: Duration,
) -> Result<Live, LinkError> {
    let unreachable = |text: String| LinkError::new(LinkErrorKind::Unreachable, text);
    let mut live = Live::new(line, counters, host_keys)
        .map_err(|fault| unreachable(format!("cannot start a session: {fault}")))?;
    match tokio::time::timeout(limit, live.run(ssh2::Session::handshake)).await {
        Ok(Ok(())) => Ok(live),
        Ok(Err(Fault::Line(e))) => Err(unreachable(format!(
            "the host hung up during the handshake: {}",
            Fault::Line(e)
        ))),
        Ok(Err(fault)) => Err(unreachable(format!("the handshake failed: {fault}"))),
        Err(_) => Err(unreachable(format!(
            "the host accepts connections but does not speak SSH within {} s",
            limit.as_secs()
        ))),
    }
}
