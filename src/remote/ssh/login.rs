//! From a line to an authenticated session.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use ssh2::{Error, ErrorCode, KeyboardInteractivePrompt, Prompt};

use super::session::{Fault, Live};
use crate::remote::{LinkError, LinkErrorKind, Secret};

/// What there is to log in with.
pub(crate) struct Credentials {
    pub(crate) user: String,
    /// Key files that were asked for: not being able to use one is worth a word.
    pub(crate) keys: Vec<PathBuf>,
    pub(crate) passphrase: Option<Secret>,
    /// Whether keys other than those asked for may be tried.
    pub(crate) only_keys: bool,
    /// Socket of the agent.
    pub(crate) agent: Option<PathBuf>,
    /// Key files that everybody has.
    pub(crate) default_keys: Vec<PathBuf>,
    pub(crate) password: Option<Secret>,
}

/// How long the server may think about one answer of ours.
const PATIENCE: Duration = Duration::from_secs(20);

/// Logs in. Methods are tried without asking the server first which it offers: that would cost a turn.
pub(crate) async fn login(live: &mut Live, with: &Credentials) -> Result<(), LinkError> {
    let mut tried = Tried::default();
    for path in &with.keys {
        if file_key(live, with, path, true, &mut tried).await? {
            return Ok(());
        }
    }
    if agent(live, with, &mut tried).await? {
        return Ok(());
    }
    if !with.only_keys {
        for path in with
            .default_keys
            .iter()
            .filter(|path| !with.keys.contains(path))
        {
            if file_key(live, with, path, false, &mut tried).await? {
                return Ok(());
            }
        }
    }
    if let Some(password) = &with.password {
        if let Some(true) = tried
            .attempt(live, "the password", &mut |session| {
                session.userauth_password(&with.user, password.reveal())
            })
            .await?
        {
            return Ok(());
        }
        let mut answers = Answers(password.clone());
        let kept = tried.names.len();
        if let Some(true) = tried
            .attempt(
                live,
                "the password (keyboard-interactive)",
                &mut |session| session.userauth_keyboard_interactive(&with.user, &mut answers),
            )
            .await?
        {
            return Ok(());
        }
        tried.names.truncate(kept.max(1));
    }
    Err(tried.refused(live, with).await)
}

/// What was tried so far.
#[derive(Default)]
struct Tried {
    names: Vec<String>,
    /// Keys that could not be used at all.
    unusable: Vec<String>,
    offered: Option<String>,
}

impl Tried {
    /// One attempt: `Some(true)` when it let us in, `None` when the attempt itself was not possible.
    async fn attempt(
        &mut self,
        live: &mut Live,
        name: &str,
        operation: &mut (dyn FnMut(&mut ssh2::Session) -> Result<(), Error> + Send),
    ) -> Result<Option<bool>, LinkError> {
        self.names.push(name.to_owned());
        match tokio::time::timeout(PATIENCE, live.run(operation)).await {
            Ok(Ok(())) if live.session.authenticated() => Ok(Some(true)),
            Ok(Err(fault)) if fault.is_line() => Err(self.cut(&fault)),
            // LIBSSH2_ERROR_FILE and LIBSSH2_ERROR_METHOD_NONE and the like: we could not even ask.
            Ok(Err(Fault::Ssh(e))) if matches!(e.code(), ErrorCode::Session(-16 | -17 | -34)) => {
                Ok(None)
            }
            // The host takes the key, and we cannot sign with it.
            Ok(Err(Fault::Ssh(e))) if e.message().starts_with("Callback returned error") => {
                Ok(None)
            }
            Ok(_) => Ok(Some(false)),
            Err(_) => Err(LinkError::new(
                LinkErrorKind::Unreachable,
                format!("no answer to {name} within {} s", PATIENCE.as_secs()),
            )),
        }
    }

    /// The server hung up while we logged in.
    fn cut(&self, fault: &Fault) -> LinkError {
        LinkError::new(
            LinkErrorKind::Auth,
            format!(
                "the host hung up during the login ({fault}) after {}",
                self.words()
            ),
        )
        .hint("it may allow few attempts (MaxAuthTries): name one key with ansible_ssh_private_key_file, or set IdentitiesOnly=yes")
    }

    fn words(&self) -> String {
        if self.names.is_empty() {
            "nothing was tried".to_owned()
        } else {
            self.names.join(", ")
        }
    }

    async fn refused(&self, live: &mut Live, with: &Credentials) -> LinkError {
        let user = &with.user;
        let offered = match &self.offered {
            Some(offered) => offered.clone(),
            None => {
                let asked = live.run(|session| session.auth_methods(user).map(str::to_owned));
                match tokio::time::timeout(PATIENCE, asked).await {
                    Ok(Ok(methods)) => methods,
                    _ => String::new(),
                }
            }
        };
        let mut message = if self.names.is_empty() {
            format!("login as {user} is not possible: there is no usable key and no password")
        } else {
            format!("login as {user} refused; tried {}", self.words())
        };
        for why in &self.unusable {
            message.push_str("; ");
            message.push_str(why);
        }
        if !offered.is_empty() {
            message.push_str("; the host accepts ");
            message.push_str(&offered);
        }
        let hint = match (&with.password, self.names.is_empty()) {
            (None, _) if offered.contains("password") || offered.contains("keyboard") => {
                "give a password with -k or ansible_password, or a key with ansible_ssh_private_key_file"
            }
            (Some(_), _) => "check ansible_user and the password",
            _ => "check ansible_user and that the public key is in the user's authorized_keys",
        };
        LinkError::new(LinkErrorKind::Auth, message).hint(hint)
    }
}

/// Tries a private key file; true when it let us in.
async fn file_key(
    live: &mut Live,
    with: &Credentials,
    path: &Path,
    asked_for: bool,
    tried: &mut Tried,
) -> Result<bool, LinkError> {
    let shown = path.display();
    let key = match tokio::fs::read_to_string(path).await {
        Ok(key) => zeroize::Zeroizing::new(key),
        Err(e) => {
            if asked_for || e.kind() != std::io::ErrorKind::NotFound {
                tried.unusable.push(format!("cannot read key {shown}: {e}"));
            }
            return Ok(false);
        }
    };
    crate::secrets::learn(&key);
    let container = container(&key);
    let locked = encrypted(&key, container.as_ref().map(|body| body.as_slice()));
    if locked && with.passphrase.is_none() {
        // The agent may hold it.
        tried.unusable.push(format!(
            "key {shown} is encrypted and no passphrase is given"
        ));
        return Ok(false);
    }
    let passphrase = with.passphrase.as_ref().filter(|_| locked);
    // A key that is not locked says at once what its public half is; else OpenSSL opens it twice. A locked one has to be opened
    // before it is offered: a passphrase that does not fit is not to look like a key that was refused.
    let public = container.filter(|_| !locked).and_then(|body| public(&body));
    let name = format!("key {shown}");
    let outcome = tried
        .attempt(live, &name, &mut |session| {
            let passphrase = passphrase.map(Secret::reveal);
            session.userauth_pubkey_memory(&with.user, public.as_deref(), &key, passphrase)
        })
        .await?;
    if outcome.is_none() {
        tried.names.pop();
        tried.unusable.push(if locked {
            format!("key {shown} does not open with the passphrase given")
        } else {
            format!("key {shown} is not a private key we can read")
        });
    }
    Ok(outcome == Some(true))
}

/// What OpenSSH's own format holds, from the name of the cipher on.
fn container(key: &str) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    let body: String = key
        .lines()
        .skip_while(|line| !line.contains("BEGIN OPENSSH PRIVATE KEY"))
        .skip(1)
        .take_while(|line| !line.starts_with("-----"))
        .map(str::trim)
        .collect();
    let body = zeroize::Zeroizing::new(body);
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(body.as_bytes())
        .ok()?;
    let bytes = zeroize::Zeroizing::new(bytes);
    let rest = bytes.strip_prefix(b"openssh-key-v1\0")?;
    Some(zeroize::Zeroizing::new(rest.to_vec()))
}

/// Whether a private key needs a passphrase.
fn encrypted(key: &str, container: Option<&[u8]>) -> bool {
    let named = container.map(|body| !body.starts_with(b"\0\0\0\x04none"));
    named.unwrap_or_else(|| key.contains("ENCRYPTED"))
}

/// The public half that such a container begins with, as a line of `authorized_keys`.
fn public(container: &[u8]) -> Option<String> {
    fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
        let (length, tail) = rest.split_first_chunk::<4>()?;
        let (text, tail) = tail.split_at_checked(u32::from_be_bytes(*length) as usize)?;
        *rest = tail;
        Some(text)
    }
    let mut rest = container;
    // The cipher, how its key is made, and with what.
    for _ in 0..3 {
        text(&mut rest)?;
    }
    // How many keys there are: always one.
    let mut blob = text(&mut rest.get(4..)?)?;
    let whole = base64::engine::general_purpose::STANDARD.encode(blob);
    let kind = std::str::from_utf8(text(&mut blob)?).ok()?;
    Some(format!("{kind} {whole}"))
}

/// Tries the keys of the agent. Talking to the agent blocks, and may wait for a person to touch a token, so it is done on a
/// thread for that.
async fn agent(live: &mut Live, with: &Credentials, tried: &mut Tried) -> Result<bool, LinkError> {
    let Some(socket) = with.agent.clone() else {
        return Ok(false);
    };
    let session = live.session.clone();
    let opened = tokio::task::spawn_blocking(move || {
        let mut agent = session.agent()?;
        agent.set_identity_path(&socket)?;
        agent.connect()?;
        agent.list_identities()?;
        let keys = agent.identities()?;
        Ok::<_, Error>((agent, keys))
    })
    .await;
    let Ok(Ok((mut agent, keys))) = opened else {
        tried
            .unusable
            .push("the ssh agent does not answer".to_owned());
        return Ok(false);
    };
    let wanted: Vec<Vec<u8>> = with
        .keys
        .iter()
        .filter_map(|path| public_half(path))
        .collect();
    let mut keys: Vec<_> = keys
        .into_iter()
        .filter(|key| !with.only_keys || wanted.iter().any(|blob| blob == key.blob()))
        .collect();
    // Those that were asked for first: a server counts attempts.
    keys.sort_by_key(|key| !wanted.iter().any(|blob| blob == key.blob()));
    for key in keys {
        tried.names.push(format!("agent key {}", key.comment()));
        let key = std::sync::Arc::new(key);
        loop {
            let (user, this, held) = (with.user.clone(), key.clone(), agent);
            let Ok((held, outcome)) = tokio::task::spawn_blocking(move || {
                let outcome = held.userauth(&user, &this);
                (held, outcome)
            })
            .await
            else {
                return Ok(false);
            };
            agent = held;
            match outcome {
                Ok(()) if live.session.authenticated() => return Ok(true),
                Err(e) if super::session::again(&e) => {
                    let moved = tokio::time::timeout(PATIENCE, live.wire.exchange()).await;
                    if let Ok(Err(e)) = moved {
                        return Err(tried.cut(&Fault::Line(e)));
                    }
                    if moved.is_err() {
                        return Ok(false);
                    }
                }
                Err(e) if super::session::dead(&e) => {
                    return Err(tried.cut(&Fault::Ssh(e)));
                }
                _ => break,
            }
        }
    }
    Ok(false)
}

/// The public key beside a private one, as the agent names it.
fn public_half(path: &Path) -> Option<Vec<u8>> {
    let mut name = path.as_os_str().to_owned();
    name.push(".pub");
    let line = std::fs::read_to_string(name).ok()?;
    let blob = line.split_whitespace().nth(1)?;
    base64::engine::general_purpose::STANDARD.decode(blob).ok()
}

/// Answers every hidden question with the password.
struct Answers(Secret);

impl KeyboardInteractivePrompt for Answers {
    fn prompt<'a>(&mut self, _: &str, _: &str, prompts: &[Prompt<'a>]) -> Vec<String> {
        prompts
            .iter()
            .map(|prompt| {
                if prompt.echo {
                    String::new()
                } else {
                    self.0.reveal().to_owned()
                }
            })
            .collect()
    }
}
