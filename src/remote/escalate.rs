//! `become`: how a shell of another user is started, and what it means when none comes.

use std::time::Duration;

use super::kept::{Gate, Kept, READER, nonce, single};
use super::{Identity, LinkError, LinkErrorKind, Secret};

/// How to start a kept shell.
pub(crate) struct Start {
    /// The command, fit for any login shell.
    pub(crate) command: String,
    hello: Option<String>,
    prompt: Option<String>,
    password: Option<Secret>,
}

/// Whether this identity needs more than the login shell.
pub(crate) fn needed(who: &Identity, login: Option<&str>) -> bool {
    match who {
        Identity::Login => false,
        Identity::Become { user, .. } => login != Some(user.as_str()),
    }
}

impl Start {
    /// How to start the shell of `who` for someone logged in as `login`.
    pub(crate) fn new(
        who: &Identity,
        login: Option<&str>,
        password: Option<Secret>,
    ) -> Result<Self, LinkError> {
        let Identity::Become {
            user,
            method,
            flags,
        } = who
        else {
            return Ok(Self::plain(format!("exec /bin/sh -c '{READER}'")));
        };
        let bad = |what: &str| LinkError::new(LinkErrorKind::Become, what.to_owned());
        let printable = |text: &str| !text.contains(['\0', '\n', '\'', '\\', '!']);
        if user.is_empty() || user.starts_with('-') || !printable(user) {
            return Err(bad(&format!(
                "cannot become user {user:?}: not a user name"
            )));
        }
        if !printable(flags) {
            return Err(bad("become_flags hold a quote, a backslash or `!`"));
        }
        let user = single(user);
        let as_root = login == Some("root");
        match method.as_str() {
            "sudo" if as_root => Ok(Self::plain(wrap(&format!(
                "if command -v sudo >/dev/null; then exec sudo -n -H {flags} -u {user} -- /bin/sh -c {reader}; \
                 else exec runuser -u {user} -- /bin/sh -c {reader}; fi",
                reader = single(READER)
            )))),
            "sudo" => match password {
                // Nobody can answer, so nothing is asked and the script can be sent at once.
                None => Ok(Self::plain(wrap(&format!(
                    "exec sudo -n -H {flags} -u {user} -- /bin/sh -c {}",
                    single(READER)
                )))),
                Some(password) => {
                    let (hello, prompt) = (nonce()?, nonce()?);
                    let reader = single(&format!("printf %s {hello} && {READER}"));
                    Ok(Self {
                        command: wrap(&format!(
                            "exec sudo -S -p {prompt} -H {flags} -u {user} -- /bin/sh -c {reader}"
                        )),
                        hello: Some(hello),
                        prompt: Some(prompt),
                        password: Some(password),
                    })
                }
            },
            // From root, su asks nothing.
            "su" if as_root => Ok(Self::plain(wrap(&format!(
                "exec su {flags} -s /bin/sh -c {} {user}",
                single(READER)
            )))),
            "su" => {
                let hello = nonce()?;
                let reader = single(&format!("printf %s {hello} && {READER}"));
                Ok(Self {
                    command: wrap(&format!("exec su {flags} -s /bin/sh -c {reader} {user}")),
                    hello: Some(hello),
                    // PAM's own words, in English as we asked for; it reads no more than the line it gets.
                    prompt: Some("Password: ".to_owned()),
                    password,
                })
            }
            other => {
                Err(bad(&format!("become_method {other} is not supported")).hint("use sudo or su"))
            }
        }
    }

    pub(crate) fn plain(command: String) -> Self {
        Self {
            command,
            hello: None,
            prompt: None,
            password: None,
        }
    }

    /// What stands between the command and the shell.
    pub(crate) fn gate(&self) -> Gate {
        Gate {
            hello: self.hello.clone(),
            prompt: self.prompt.clone(),
            password: self.password.clone(),
        }
    }
}

/// A script as a command for any login shell, messages in English.
fn wrap(script: &str) -> String {
    format!(
        "exec /bin/sh -c {}",
        single(&format!("LC_ALL=C; export LC_ALL; {script}"))
    )
}

/// Why a shell ended, or asked again, before it was there.
pub(crate) fn fault(who: &Identity, kept: &Kept) -> LinkError {
    let said = kept.said();
    let last = said.lines().last().unwrap_or("").trim().to_owned();
    let rc = kept.end.as_ref().and_then(|end| end.rc);
    let Identity::Become { user, method, .. } = who else {
        let words = if last.is_empty() {
            format!("exit status {}", rc.unwrap_or(0))
        } else {
            last
        };
        return LinkError::new(
            LinkErrorKind::Protocol,
            format!("the login shell ended before /bin/sh began: {words}"),
        )
        .hint("check the user's login shell and its start-up files: `ssh HOST true` must print nothing and exit 0");
    };
    let error = |text: String| LinkError::new(LinkErrorKind::Become, text);
    let has = |words: &str| said.contains(words);
    // The words of sudo, of sudo-rs and of su.
    if kept.unanswered()
        || has("password is required")
        || has("a terminal is required")
        || has("interactive authentication is required")
    {
        return error(format!("{method} asks for a password and none was given"))
            .hint("give it with -K or ansible_become_password, or let the host not ask (NOPASSWD in sudoers)");
    }
    if kept.refused() || has("ncorrect password") || has("Authentication failure") {
        return error(format!("{method} refused the password for becoming {user}"))
            .hint("check the become password (-K, ansible_become_password)");
    }
    if has("must have a tty") {
        return error(format!("{method} wants a terminal (requiretty)"))
            .hint("remove `Defaults requiretty` from sudoers, or except this user from it");
    }
    if has("not in the sudoers")
        || has("is not allowed to")
        || has("may not run")
        || has("I'm afraid I can't do that")
    {
        return error(format!("{method} does not allow becoming {user}: {last}"))
            .hint("add the login user to the sudo group or to sudoers");
    }
    if has("unknown user") || has("does not exist") || (has(": user '") && has("' not found")) {
        return error(format!("there is no user {user} to become: {last}"));
    }
    if rc == Some(127) || has("not found") {
        return error(format!("{method} is not installed on the host"))
            .hint("install it, or log in as the user that is needed");
    }
    let words = if last.is_empty() {
        format!("exit status {}", rc.unwrap_or(0))
    } else {
        last
    };
    error(format!("{method} did not let us become {user}: {words}"))
}

/// A shell that does not answer in time.
pub(crate) fn silent(who: &Identity, kept: &Kept, limit: Duration) -> LinkError {
    let said = kept.said();
    let said = match said.lines().last() {
        Some(line) => format!("; it said: {line}"),
        None => String::new(),
    };
    match who {
        Identity::Login => LinkError::new(
            LinkErrorKind::Protocol,
            format!("no shell within {} s of the login{said}", limit.as_secs()),
        )
        .hint("a start-up file of the login shell may wait for input or start another program"),
        Identity::Become { user, method, .. } => LinkError::new(
            LinkErrorKind::Become,
            format!(
                "{method} gave no shell of {user} within {} s{said}",
                limit.as_secs()
            ),
        )
        .hint("try it by hand on the host: it may wait for a second factor or a name server"),
    }
}
