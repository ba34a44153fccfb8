//! `reboot` and `wait_for_connection`: the line is given up, and opened again until the host answers.

use super::context::HostContext;
use super::prepare::StepFrame;
use crate::modules::{Args, Outcome};
use crate::remote::{BecomePassword, Chunk, Identity, LinkError, Reply};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Tells one boot of a host from another.
const BOOT: &str = "cat /proc/sys/kernel/random/boot_id";
/// Pause between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// What is waited for, and whom for.
pub(crate) struct Wait {
    /// The reboot before it; without one it is `wait_for_connection`.
    reboot: Option<Reboot>,
    connect: Duration,
    delay: Duration,
    sleep: Duration,
    timeout: Duration,
    /// The host.
    pub target: Arc<str>,
    /// As whom.
    pub who: Identity,
    /// Their password.
    pub password: BecomePassword,
    /// Whether it only predicts.
    pub check: bool,
    /// How its result is judged.
    pub frame: StepFrame,
}

struct Reboot {
    boot: String,
    command: String,
    test: String,
    after: Duration,
}

fn seconds(args: &Args, name: &str, default: f64) -> Duration {
    let seconds = args.float(name).unwrap_or(default);
    Duration::from_secs_f64(seconds.clamp(0.0, 604_800.0))
}

impl Wait {
    fn with(args: &Args, reboot: Option<Reboot>, timeout: &str) -> Self {
        Self {
            reboot,
            connect: seconds(args, "connect_timeout", 5.0),
            delay: seconds(args, "delay", 0.0),
            sleep: seconds(args, "sleep", 1.0),
            timeout: seconds(args, timeout, 600.0),
            target: "".into(),
            who: Identity::Login,
            password: None,
            check: false,
            frame: StepFrame::default(),
        }
    }

    /// `wait_for_connection` with these arguments.
    pub(crate) fn connection(args: &Args) -> Self {
        Self::with(args, None, "timeout")
    }

    /// `reboot` with these arguments.
    pub(crate) fn reboot(args: &Args) -> Self {
        let paths = args.strings("search_paths").join(":");
        let minutes = seconds(args, "pre_reboot_delay", 0.0).as_secs() / 60;
        let command = args.str("reboot_command").unwrap_or_else(|| {
            let msg = crate::modules::sh::quote(&args.text("msg"));
            format!(
                "PATH={}; shutdown -r {minutes} {msg}",
                crate::modules::sh::quote(&paths)
            )
        });
        let reboot = Reboot {
            boot: args.str("boot_time_command").unwrap_or_else(|| BOOT.into()),
            command,
            test: args.text("test_command"),
            after: seconds(args, "post_reboot_delay", 0.0),
        };
        Self::with(args, Some(reboot), "reboot_timeout")
    }

    /// One command on the host, within the time for a try.
    async fn say(&self, cx: &HostContext, script: &str) -> Result<Reply, LinkError> {
        let limit = self.connect.max(Duration::from_secs(1)) + Duration::from_secs(10);
        let links = &cx.run.links;
        let chunks = vec![Chunk::new(script)];
        let talk = links.talk(
            cx,
            &self.target,
            &self.who,
            self.password.clone(),
            chunks,
            false,
        );
        let lost = || LinkError::new(crate::remote::LinkErrorKind::Lost, "no answer in time");
        let mut replies = tokio::time::timeout(limit, talk)
            .await
            .map_err(|_| lost())??;
        replies.pop().ok_or_else(lost)
    }

    /// Tries until the answer is right; what the last try brought when the time is over.
    async fn until(
        &self,
        cx: &HostContext,
        script: &str,
        end: Instant,
        right: impl Fn(&Reply) -> bool,
    ) -> Result<Reply, String> {
        loop {
            let why = match self.say(cx, script).await {
                Ok(reply) if right(&reply) => return Ok(reply),
                Ok(reply) if reply.rc == 0 => "the host has not gone down yet".to_owned(),
                Ok(reply) => format!("`{script}` exited with {}", reply.rc),
                Err(error) => error.message,
            };
            cx.run.links.reset(&self.target).await;
            if cx.run.stop.wanted() || Instant::now() + self.sleep >= end {
                return Err(why);
            }
            cx.run
                .rest(self.sleep.max(Duration::from_millis(100)))
                .await;
        }
    }

    /// Carries it out.
    pub(crate) async fn run(&self, cx: &HostContext) -> Outcome {
        let start = Instant::now();
        let elapsed = || start.elapsed().as_secs();
        let Some(reboot) = &self.reboot else {
            if self.check {
                return Outcome::ok().with("elapsed", 0);
            }
            cx.run.rest(self.delay).await;
            cx.run.links.reset(&self.target).await;
            let end = start + self.timeout;
            return match self.until(cx, "exit 0", end, Reply::ok).await {
                Ok(_) => Outcome::ok().with("elapsed", elapsed()),
                Err(why) => Outcome::failed(format!("timed out waiting for the host: {why}"))
                    .with("elapsed", elapsed()),
            };
        };
        if cx.run.links.is_local(cx, &self.target) {
            return Outcome::failed(
                "Running reboot with local connection would reboot the control node.",
            )
            .with("rebooted", false)
            .with("elapsed", 0);
        }
        if self.check {
            return Outcome::changed().with("elapsed", 0).with("rebooted", true);
        }
        let failed = |text: String| {
            Outcome::failed(text)
                .with("rebooted", false)
                .with("elapsed", start.elapsed().as_secs())
        };
        let before = match self.say(cx, &reboot.boot).await {
            Ok(reply) if reply.ok() => reply.stdout,
            Ok(reply) => {
                let text = "cannot tell when the host was started";
                return failed(format!("{text}: {}", reply.err().trim()));
            }
            Err(error) => return failed(error.message),
        };
        // A line that breaks here is what was asked for.
        if let Ok(reply) = self.say(cx, &reboot.command).await
            && reply.ran
            && !matches!(reply.rc, 0 | 124 | 128..)
        {
            let mut text = reply.err();
            text.push_str(&reply.out());
            return failed(format!("Reboot command failed: {}", text.trim())).with("rc", reply.rc);
        }
        cx.run.links.reset(&self.target).await;
        cx.run.rest(reboot.after.max(PAUSE)).await;
        let end = start + reboot.after + self.timeout;
        let other = |reply: &Reply| reply.ok() && reply.stdout != before;
        if let Err(why) = self.until(cx, &reboot.boot, end, other).await {
            return failed(format!(
                "Timed out waiting for the host to come back: {why}"
            ));
        }
        match self.until(cx, &reboot.test, end, Reply::ok).await {
            Ok(_) => Outcome::changed()
                .with("elapsed", elapsed())
                .with("rebooted", true),
            Err(why) => {
                let text = "Timed out waiting for the test command after the reboot";
                Outcome::failed(format!("{text}: {why}"))
                    .with("rebooted", true)
                    .with("elapsed", elapsed())
            }
        }
    }
}
