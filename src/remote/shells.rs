//! The kept shells of one host: one for each identity, opened when it is first needed, opened again when one is gone.

use std::collections::HashMap;
use std::future::Future;
use std::time::{Duration, Instant};

use super::escalate::{self, Start};
use super::kept::{End, Kept, Progress, too_much_to_drop};
use super::{Chunk, Identity, LinkError, LinkErrorKind, Reply, Secret};

/// What carries the streams of remote commands: SSH channels, or child processes.
pub(crate) trait Transport: Send + 'static {
    /// A running command.
    type Port: Send;

    /// Whether commands run where the controller stands, not in the user's home.
    const STAYS: bool = false;

    /// Starts a command for `sh`-like login shells; it need not have been answered yet.
    fn open(&mut self, start: &Start)
    -> impl Future<Output = Result<Self::Port, LinkError>> + Send;

    /// Moves bytes between a command and its kept shell; returns when some were moved, or the command ended.
    fn step(
        &mut self,
        port: &mut Self::Port,
        kept: &mut Kept,
    ) -> impl Future<Output = Result<(), LinkError>> + Send;

    /// Takes in what a command said meanwhile, without waiting.
    fn catch_up(&mut self, port: &mut Self::Port, kept: &mut Kept) -> Result<(), LinkError>;

    /// Ends a command's input.
    fn finish(&mut self, port: &mut Self::Port) -> impl Future<Output = ()> + Send;

    /// Keeps the line alive while nothing is asked of it; returns only when it broke.
    fn idle(&mut self) -> impl Future<Output = LinkError> + Send;

    /// The name of the user who logged in, if known.
    fn user(&self) -> Option<&str>;
}

/// The shells of one host.
pub(crate) struct Shells<T: Transport> {
    transport: T,
    open: HashMap<Identity, (T::Port, Kept)>,
    tmp: HashMap<Identity, String>,
    passwords: HashMap<Identity, Secret>,
    start_limit: Duration,
}

impl<T: Transport> Shells<T> {
    pub(crate) fn new(transport: T, start_limit: Duration) -> Self {
        Self {
            transport,
            open: HashMap::new(),
            tmp: HashMap::new(),
            passwords: HashMap::new(),
            start_limit,
        }
    }

    pub(crate) fn set_password(&mut self, who: Identity, password: Option<Secret>) {
        match password {
            Some(password) => self.passwords.insert(who, password),
            None => self.passwords.remove(&who),
        };
    }

    pub(crate) async fn idle(&mut self) -> LinkError {
        self.transport.idle().await
    }

    /// See [`super::Link::turn`].
    pub(crate) async fn turn(
        &mut self,
        who: &Identity,
        mut chunks: Vec<Chunk>,
    ) -> Result<Vec<Reply>, LinkError> {
        let login = Identity::Login;
        let shell = if escalate::needed(who, self.transport.user()) {
            who
        } else {
            &login
        };
        let total = chunks.len();
        let mut replies: Vec<Reply> = Vec::with_capacity(total);
        // A script that no shell can hold is refused alone; the others do not suffer.
        if let Some(bad) = chunks.iter().position(|chunk| chunk.script.contains('\0')) {
            return Box::pin(self.turn_around(who, chunks, bad)).await;
        }
        let mut stuck = 0;
        while !chunks.is_empty() {
            let progress = match self.once(shell, who, &chunks).await {
                Ok(progress) => progress,
                Err(error) => return Err(self.broken_off(shell, error, replies)),
            };
            let Some((_, kept)) = self.open.get_mut(shell) else {
                break;
            };
            let (mut some, mut done) = kept.replies();
            let failed = |reply: &Reply, chunk: &Chunk| reply.rc != 0 && chunk.stop_on_failure;
            if progress == Progress::Gone {
                // The chunk that was running took the shell with it.
                let rc = kept.end.as_ref().and_then(|end| end.rc).unwrap_or(137);
                let reply = &mut some[done];
                reply.ran = true;
                reply.rc = if rc == 0 { 137 } else { rc };
                reply.timed_out = reply.rc == 124 && chunks[done].timeout.is_some();
                if !reply.timed_out {
                    reply.stderr.extend_from_slice(
                        b"\nmini-play: the remote shell was ended while this ran\n",
                    );
                }
                done += 1;
            }
            if kept.usable() && !(too_much_to_drop(&chunks[done..])) {
                if let Some(tmp) = &kept.tmp {
                    self.tmp.insert(shell.clone(), tmp.clone());
                }
            } else {
                self.forget(shell);
            }
            stuck = if done == 0 { stuck + 1 } else { 0 };
            if stuck > 2 {
                return Err(LinkError::new(
                    LinkErrorKind::Protocol,
                    "the remote shell ends before it runs anything",
                ));
            }
            let over = progress == Progress::Done
                || some[..done]
                    .iter()
                    .zip(&chunks)
                    .any(|(reply, chunk)| failed(reply, chunk));
            some.truncate(done);
            replies.append(&mut some);
            if over {
                break;
            }
            chunks.drain(..done);
        }
        replies.resize(total, Reply::default());
        Ok(replies)
    }

    /// The error of a turn that broke off, with what had ended by then.
    fn broken_off(
        &mut self,
        shell: &Identity,
        mut error: LinkError,
        mut ended: Vec<Reply>,
    ) -> LinkError {
        if error.kind != LinkErrorKind::Lost {
            return error;
        }
        if let Some((_, kept)) = self.open.get_mut(shell) {
            error.begun = kept.in_turn();
            let (some, done) = kept.replies();
            ended.extend(some.into_iter().take(done));
        }
        error.ended = ended;
        error
    }

    /// A turn in which chunk number `bad` cannot be run.
    async fn turn_around(
        &mut self,
        who: &Identity,
        mut chunks: Vec<Chunk>,
        bad: usize,
    ) -> Result<Vec<Reply>, LinkError> {
        let total = chunks.len();
        let after = chunks.split_off(bad + 1);
        let stop = chunks.pop().is_some_and(|chunk| chunk.stop_on_failure);
        let before_stops =
            |replies: &[Reply], chunks: usize| replies.iter().take(chunks).any(|reply| !reply.ran);
        let last_stop = chunks.last().is_some_and(|chunk| chunk.stop_on_failure);
        let mut replies = self.turn(who, chunks).await?;
        let failed = before_stops(&replies, bad)
            || replies
                .last()
                .is_some_and(|reply| reply.rc != 0 && last_stop);
        if !failed {
            replies.push(Reply {
                ran: true,
                rc: 126,
                stderr: b"mini-play: the script holds a NUL byte".to_vec(),
                ..Reply::default()
            });
            if !stop {
                replies.append(&mut self.turn(who, after).await?);
            }
        }
        replies.resize(total, Reply::default());
        Ok(replies)
    }

    /// Sends chunks to a shell and waits until it is through with them or gone.
    async fn once(
        &mut self,
        shell: &Identity,
        who: &Identity,
        chunks: &[Chunk],
    ) -> Result<Progress, LinkError> {
        if let Some((port, kept)) = self.open.get_mut(shell) {
            self.transport.catch_up(port, kept)?;
            if !kept.usable() {
                self.forget(shell);
            }
        }
        if !self.open.contains_key(shell) {
            let password = self.passwords.get(who).cloned();
            let start = Start::new(shell, self.transport.user(), password)?;
            let tmp = self.tmp.get(shell).cloned();
            let kept = Kept::new(start.gate(), tmp, T::STAYS)?;
            let port = self.transport.open(&start).await?;
            self.open.insert(shell.clone(), (port, kept));
        }
        let Some((port, kept)) = self.open.get_mut(shell) else {
            return Ok(Progress::Left);
        };
        kept.begin(chunks).await?;
        let started = Instant::now();
        let limit = self.start_limit;
        let outcome = loop {
            match kept.progress() {
                Ok(Progress::Running) => {}
                Ok(Progress::Gone) if !kept.ready() => break Err(escalate::fault(shell, kept)),
                other => break other,
            }
            if kept.refused() {
                break Err(escalate::fault(shell, kept));
            }
            let deadline = if kept.ready() {
                kept.overdue()
            } else {
                started.checked_add(limit)
            };
            let step = self.transport.step(port, kept);
            let Some(deadline) = deadline else {
                step.await?;
                continue;
            };
            // Asked after each step too: a shell that never falls silent leaves the timer no moment.
            match tokio::time::timeout_at(deadline.into(), step).await {
                Ok(stepped) if Instant::now() < deadline => stepped?,
                Ok(Err(lost)) => return Err(lost),
                _ if kept.ready() => kept.ended(End { rc: Some(124) }),
                _ => break Err(escalate::silent(shell, kept, limit)),
            }
        };
        if outcome.is_err() {
            self.forget(shell);
        }
        outcome
    }

    /// Lets go of a shell; its private directory is used by the next one.
    fn forget(&mut self, shell: &Identity) {
        if let Some((_, Kept { tmp: Some(tmp), .. })) = self.open.remove(shell) {
            self.tmp.insert(shell.clone(), tmp);
        }
    }

    /// Ends all shells. Waits, but not long, for those which have a private directory to remove.
    pub(crate) async fn close(mut self) {
        // A shell that was reopened and ended in between left its directory to a successor that never came.
        let orphans: Vec<Identity> = self
            .tmp
            .keys()
            .filter(|who| !self.open.contains_key(*who))
            .cloned()
            .collect();
        for who in orphans {
            let rest = self.turn(&who, vec![Chunk::plain(":")]);
            let _ = tokio::time::timeout(Duration::from_secs(3), rest).await;
        }
        // The others end by themselves when the line closes, and saying goodbye would cost a turn.
        let busy = self
            .open
            .values_mut()
            .filter(|(_, kept)| kept.tmp.is_some());
        for (port, kept) in busy {
            self.transport.finish(port).await;
            let _ = tokio::time::timeout(Duration::from_secs(2), async {
                while kept.end.is_none() && self.transport.step(port, kept).await.is_ok() {}
            })
            .await;
        }
    }
}
