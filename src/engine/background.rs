//! `async` and `async_status`: tasks with a limit in time, and commands that go on while the play does.
//!
//! A command started with `poll: 0` runs in a session of its own on the host; its output and exit status go into a folder below
//! `~/.ansible_async`, and `async_status` looks there. Other modules observe, decide and act as always and are finished when they
//! return: what follows sees the same results, only later.

use crate::modules::{Args, Decision, Effect, Failure, Outcome, Plan, Probe, Seen, Step};
use crate::remote::{Chunk, Reply};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Modules whose one action can be left running: they need nothing afterwards but its output and exit status.
const LEFT: &[&str] = &["command", "shell", "raw"];

/// What is known of the jobs of a run.
#[derive(Default)]
pub(crate) struct Jobs {
    known: Mutex<HashMap<String, Job>>,
    count: AtomicU32,
}

/// One job.
#[derive(Clone)]
enum Job {
    /// On the host; the step makes a result of its output.
    Left(Arc<dyn Step>, Seen),
    /// Over when the task ended.
    Over(Box<Outcome>),
}

impl Jobs {
    /// A new job's id.
    fn id(&self) -> String {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!("j{}.{}{count}", now.as_micros(), std::process::id())
    }

    fn put(&self, id: &str, job: Job) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(id.to_owned(), job);
    }

    fn get(&self, id: &str) -> Option<Job> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(id).cloned()
    }
}

/// A step with `async`: its own, with the fields of a job.
pub(super) struct Timed {
    inner: Arc<dyn Step>,
    id: String,
    limit: Duration,
    /// Whether to leave it running.
    leave: bool,
    jobs: Arc<Jobs>,
}

impl Timed {
    /// Around a step of this module. `poll` 0 leaves it running where that can be done.
    pub(super) fn new(
        inner: Arc<dyn Step>,
        module: &str,
        (limit, poll): (f64, f64),
        jobs: &Arc<Jobs>,
    ) -> Self {
        Self {
            inner,
            id: jobs.id(),
            limit: Duration::from_secs_f64(limit.clamp(1.0, 86_400.0 * 365.0)),
            leave: poll <= 0.0 && LEFT.contains(&module),
            jobs: Arc::clone(jobs),
        }
    }

    /// The limit for its actions.
    pub(super) fn limit(&self) -> Option<Duration> {
        (!self.leave).then_some(self.limit)
    }

    fn over(&self, outcome: Outcome) -> Outcome {
        let outcome = fields(
            outcome,
            &self.id,
            &format!("~/.ansible_async/{}", self.id),
            true,
        );
        self.jobs
            .put(&self.id, Job::Over(Box::new(outcome.clone())));
        outcome
    }
}

impl Step for Timed {
    fn probes(&self) -> Vec<Probe> {
        self.inner.probes()
    }

    fn decide(&self, seen: &Seen) -> Decision {
        match self.inner.decide(seen) {
            Decision::Done(outcome) => Decision::Done(self.over(outcome)),
            Decision::Act(mut plan) if self.leave => {
                for action in &mut plan.actions {
                    action.script = start(&action.script, &self.id, self.limit.as_secs());
                }
                Decision::Act(plan)
            }
            other => other,
        }
    }

    fn finish(&self, before: &Seen, replies: &[Reply], after: &Seen) -> Outcome {
        if !self.leave {
            if replies.iter().any(|reply| reply.timed_out) {
                return self.over(Outcome::failed("Timeout exceeded"));
            }
            return self.over(self.inner.finish(before, replies, after));
        }
        match replies.first().filter(|reply| reply.ok()) {
            Some(reply) => {
                let job = Job::Left(Arc::clone(&self.inner), before.clone());
                self.jobs.put(&self.id, job);
                fields(Outcome::changed(), &self.id, reply.out().trim(), false)
            }
            None => Outcome::from_replies(replies, "the job was not started")
                .unwrap_or_else(|| Outcome::failed("the job was not started")),
        }
    }
}

/// Adds a job's fields.
fn fields(outcome: Outcome, id: &str, file: &str, finished: bool) -> Outcome {
    outcome
        .with("ansible_job_id", id)
        .with("started", true)
        .with("finished", finished)
        .with("results_file", file)
}

/// The script that leaves another one running and says where.
fn start(script: &str, id: &str, limit: u64) -> String {
    format!(
        r#"d=$HOME/.ansible_async/{id}
umask 077
mkdir -p "$d" && cat > "$d/in" || exit 1
cat > "$d/run" <<'mp_{id}'
umask 022
{script}
mp_{id}
cat > "$d/job" <<'mp_{id}'
timeout -k 5 {limit} sh "$1/run" < "$1/in" > "$1/out" 2> "$1/err"
echo $? > "$1/rc.new"; mv "$1/rc.new" "$1/rc"
mp_{id}
setsid sh "$d/job" "$d" < /dev/null > /dev/null 2>&1 &
echo "$d""#
    )
}

/// `async_status`.
pub(super) struct Status {
    id: String,
    cleanup: bool,
    job: Option<Job>,
}

impl Status {
    /// From its arguments.
    pub(super) fn new(args: &Args, jobs: &Jobs) -> Result<Self, Failure> {
        let id = args.text("jid");
        if id.is_empty() || id.contains(['/', '\n']) || id.starts_with('.') {
            return Err(Failure::of("jid", format!("`{id}` is not the id of a job")));
        }
        Ok(Self {
            job: jobs.get(&id),
            cleanup: args.text("mode") == "cleanup",
            id,
        })
    }

    /// A job's result from its exit status and output.
    fn ended(&self, rc: i32, stdout: &[u8], stderr: &[u8]) -> Outcome {
        // `timeout` ends with this.
        if rc == 124 || rc == 137 {
            return Outcome::failed("Timeout exceeded");
        }
        let reply = Reply {
            ran: true,
            rc,
            stdout: stdout.to_vec(),
            stderr: stderr.to_vec(),
            dropped: 0,
            timed_out: false,
            elapsed: Duration::ZERO,
        };
        if let Some(Job::Left(step, before)) = &self.job {
            return step.finish(before, &[reply], &Seen::default());
        }
        // Started by another run: the output as it is.
        let outcome = if rc == 0 {
            Outcome::changed()
        } else {
            Outcome::failed("non-zero return code")
        };
        outcome
            .with("rc", rc)
            .with("stdout", reply.out())
            .with("stderr", reply.err())
    }
}

impl Step for Status {
    fn probes(&self) -> Vec<Probe> {
        Vec::new()
    }

    fn decide(&self, _: &Seen) -> Decision {
        if let (Some(Job::Over(outcome)), false) = (&self.job, self.cleanup) {
            return Decision::Done((**outcome).clone());
        }
        let id = crate::modules::sh::quote(&self.id);
        let script = if self.cleanup {
            format!("d=$HOME/.ansible_async/{id}; rm -rf \"$d\"; printf 'erased\\n%s\\n' \"$d\"")
        } else {
            format!(
                r#"d=$HOME/.ansible_async/{id}
if ! [ -d "$d" ]; then printf 'missing\n%s\n' "$d"
elif ! [ -f "$d/rc" ]; then printf 'running\n%s\n' "$d"
else
  printf '%s\n' ended "$d" "$(cat "$d/rc")" "$(($(wc -c < "$d/out")))"
  cat "$d/out" "$d/err"
fi"#
            )
        };
        // An action, so that it is looked at when its turn comes and not when the play was planned.
        Decision::Act(Plan {
            actions: vec![Chunk::new(script)],
            effects: vec![Effect::Nothing],
            predicted: fields(Outcome::ok(), &self.id, "", true),
            opaque: false,
        })
    }

    fn finish(&self, _: &Seen, replies: &[Reply], _: &Seen) -> Outcome {
        if let Some(failed) = Outcome::from_replies(replies, "cannot look at the job") {
            return failed;
        }
        let all = replies
            .first()
            .map(|reply| reply.stdout.as_slice())
            .unwrap_or_default();
        let mut parts = all.splitn(5, |byte| *byte == b'\n');
        let mut line = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
        let (word, file) = (line(), line());
        match word.as_str() {
            "ended" => {
                let (rc, length) = (line(), line());
                let body = parts.next().unwrap_or_default();
                let length = length.trim().parse().unwrap_or(0usize).min(body.len());
                let (stdout, stderr) = body.split_at(length);
                let outcome = self.ended(rc.trim().parse().unwrap_or(1), stdout, stderr);
                fields(outcome, &self.id, &file, true)
            }
            "running" => fields(Outcome::ok(), &self.id, &file, false),
            "erased" => Outcome::ok()
                .with("ansible_job_id", self.id.as_str())
                .with("erased", file)
                .with("started", false)
                .with("finished", false),
            _ => fields(Outcome::failed("could not find job"), &self.id, &file, true),
        }
    }
}
