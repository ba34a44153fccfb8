//! A host that is a function: for tests and benchmarks of everything above the line.

use super::{BecomePassword, Boxed, Chunk, Identity, Link, LinkError, Reply, Stats};

/// What a fake host answers to one chunk.
pub trait Answer: FnMut(&Identity, &Chunk) -> Result<Reply, LinkError> + Send {}
impl<T: FnMut(&Identity, &Chunk) -> Result<Reply, LinkError> + Send> Answer for T {}

struct Fake<T> {
    answer: T,
    stats: Stats,
}

/// A link whose host is this function. It is asked chunk by chunk, as a shell runs them: after a failure the rest is
/// skipped where the chunk says so. One turn a call is counted, as many bytes up as the scripts have.
#[must_use]
pub fn link(answer: impl Answer + 'static) -> Box<dyn Link> {
    Box::new(Fake {
        answer,
        stats: Stats::default(),
    })
}

/// A reply with this exit status and output.
#[must_use]
pub fn reply(rc: i32, stdout: impl Into<Vec<u8>>) -> Reply {
    Reply {
        ran: true,
        rc,
        stdout: stdout.into(),
        ..Reply::default()
    }
}

impl<T: Answer> Link for Fake<T> {
    fn turn<'a>(
        &'a mut self,
        who: &'a Identity,
        chunks: Vec<Chunk>,
    ) -> Boxed<'a, Result<Vec<Reply>, LinkError>> {
        Box::pin(async move {
            let mut replies = vec![Reply::default(); chunks.len()];
            self.stats.turns += 1;
            for (chunk, reply) in chunks.iter().zip(&mut replies) {
                *reply = (self.answer)(who, chunk)?;
                reply.ran = true;
                self.stats.up += chunk.script.len() as u64;
                self.stats.down += (reply.stdout.len() + reply.stderr.len()) as u64;
                if reply.rc != 0 && chunk.stop_on_failure {
                    break;
                }
            }
            Ok(replies)
        })
    }

    fn set_become_password(&mut self, _: &Identity, _: BecomePassword) {}

    fn stats(&self) -> Stats {
        self.stats
    }

    fn close(self: Box<Self>) -> Boxed<'static, ()> {
        Box::pin(async {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_answers_as_a_shell_does() {
        let mut link = link(|_: &Identity, chunk: &Chunk| {
            Ok(reply(
                i32::from(chunk.script == "bad"),
                chunk.script.as_str(),
            ))
        });
        let chunks = ["a", "bad", "b"].map(Chunk::plain).to_vec();
        let replies = link.turn(&Identity::Login, chunks).await.unwrap();
        let seen: Vec<_> = replies.iter().map(|r| (r.ran, r.rc, r.out())).collect();
        assert_eq!(
            seen,
            [
                (true, 0, "a".into()),
                (true, 1, "bad".into()),
                (false, 0, String::new())
            ]
        );
        assert_eq!(link.stats().turns, 1);
    }
}
