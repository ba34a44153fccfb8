//! The kept shell as the controller sees it: what to write into it, and what its output means. No I/O in here but
//! reading files that are sent.

use std::time::{Duration, Instant};

use super::frames::{BadMark, Piece, Scanner};
use super::queue::Queue;
use super::{Chunk, LinkError, LinkErrorKind, Payload, Reply, Secret};

/// What a host runs to become a kept shell: it reads the length of a script, then the script. In one line, without
/// single quotes, backslashes and `!`, so that any login shell hands it on as it is.
pub(crate) const READER: &str =
    r#"read -r n && eval "$(dd bs=$n count=1 iflag=fullblock 2>/dev/null)""#;

/// The shell's own script, without comments and indentation: what comes before the first turn, and what after.
static BOOTSTRAP: std::sync::LazyLock<(String, String)> = std::sync::LazyLock::new(|| {
    let all = include_str!("bootstrap.sh");
    let (before, after) = all
        .split_once("# The first turn goes here.\n")
        .unwrap_or((all, ""));
    let dense = |text: &str| {
        text.lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .flat_map(|line| [line, "\n"])
            .collect()
    };
    (dense(before), dense(after))
});

/// Most bytes of input after a failed chunk that the shell reads and drops; with more it ends itself. As in bootstrap.sh.
const DROPPED: u64 = 1 << 20;

/// Output that is kept has on average at least so many bytes to a line.
const SHORT: usize = 32;

/// What is said before the shell runs is kept up to this, for the error message.
const NOISE: usize = 16 << 10;

/// Text in single quotes for POSIX sh.
pub(crate) fn single(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A random word that nothing on the host can guess.
pub(crate) fn nonce() -> Result<String, LinkError> {
    use std::fmt::Write as _;
    use std::io::Read as _;
    let mut bytes = [0u8; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|e| {
            LinkError::new(
                LinkErrorKind::Protocol,
                format!("cannot read /dev/urandom: {e}"),
            )
        })?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

/// What stands between the start of the remote command and our shell.
#[derive(Default)]
pub(crate) struct Gate {
    /// A text on standard output that says that the shell reads now; without one the shell's script is sent at once.
    pub(crate) hello: Option<String>,
    /// A text on standard error that asks for the password.
    pub(crate) prompt: Option<String>,
    /// The answer.
    pub(crate) password: Option<Secret>,
}

/// How a shell ended, as far as the transport knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct End {
    /// Exit status, 128 + n for a signal.
    pub(crate) rc: Option<i32>,
}

/// How far a turn is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Not through.
    Running,
    /// Every chunk has its reply, or was skipped after a failure.
    Done,
    /// The shell left on its own; the chunks without reply did not begin.
    Left,
    /// The shell is gone; the first chunk without reply may have run in part.
    Gone,
}

struct Turn {
    chunks: Vec<Rules>,
    replies: Vec<Reply>,
    /// Chunks ended on standard output and on standard error.
    ended: [usize; 2],
    /// Lines kept of the chunk at hand, on either.
    lines: [usize; 2],
    since: Instant,
    stopped: bool,
}

/// What of a chunk matters when its output comes in.
struct Rules {
    stop: bool,
    keep: usize,
    limit: Option<Duration>,
    contained: bool,
}

/// One kept shell.
pub(crate) struct Kept {
    nonce: String,
    gate: Gate,
    /// Times the password was asked for.
    pub(crate) asked: u32,
    greeted: bool,
    /// Whether the shell has begun on either stream.
    begun: [bool; 2],
    scanners: [Scanner; 2],
    /// What came on either stream before the shell was ready.
    pub(crate) noise: [Vec<u8>; 2],
    /// What is to be written to the shell.
    pub(crate) queue: Queue,
    waiting: Queue,
    /// The shell's script, which is sent together with the first turn: that saves the host a process.
    opening: Option<String>,
    turn: Option<Turn>,
    left: bool,
    /// How it ended, once it has.
    pub(crate) end: Option<End>,
    /// The private directory, once there is one.
    pub(crate) tmp: Option<String>,
    /// A violation of the protocol.
    fault: Option<LinkError>,
}

impl Kept {
    /// A shell to be started behind this gate, going on with the private directory of an earlier one. With `stay` commands
    /// run where it is started, otherwise in the user's home.
    pub(crate) fn new(gate: Gate, tmp: Option<String>, stay: bool) -> Result<Self, LinkError> {
        let nonce = nonce()?;
        let opening = format!(
            "mp_n={nonce}\nMP_TMP={}\nmp_stay={}\n{}",
            single(tmp.as_deref().unwrap_or("")),
            if stay { "1" } else { "" },
            BOOTSTRAP.0
        );
        Ok(Self {
            scanners: [Scanner::new(&nonce), Scanner::new(&nonce)],
            nonce,
            greeted: gate.hello.is_none(),
            gate,
            asked: 0,
            begun: [false, false],
            noise: [Vec::new(), Vec::new()],
            queue: Queue::default(),
            waiting: Queue::default(),
            opening: Some(opening),
            turn: None,
            left: false,
            end: None,
            tmp,
            fault: None,
        })
    }

    /// Queues a turn.
    pub(crate) async fn begin(&mut self, chunks: &[Chunk]) -> Result<(), LinkError> {
        let mut program = String::new();
        let mut input = Queue::default();
        let trailer = || format!("{}\n", self.nonce).into_bytes();
        for (at, chunk) in chunks.iter().enumerate() {
            let len = match &chunk.input {
                None => None,
                Some(Payload::Bytes(bytes)) => {
                    input.shared(bytes.clone());
                    input.bytes(trailer());
                    Some(bytes.len() as u64)
                }
                Some(Payload::File(path)) => {
                    let meta = tokio::fs::metadata(path).await.map_err(|e| {
                        LinkError::new(
                            LinkErrorKind::Protocol,
                            format!("cannot send {}: {e}", path.display()),
                        )
                    })?;
                    input.file(path.clone(), meta.len());
                    input.bytes(trailer());
                    Some(meta.len())
                }
            };
            program.push_str(&line(at, chunk, len));
        }
        let mut all = Queue::default();
        let head = match self.opening.take() {
            Some(opening) => {
                let script = format!("{opening}{program}{}", BOOTSTRAP.1);
                format!("{}\n{script}", script.len())
            }
            None => format!("{} {}\n{program}", program.len(), self.nonce),
        };
        all.bytes(head.into_bytes());
        all.append(input);
        if self.greeted {
            self.queue.append(all);
        } else {
            self.waiting.append(all);
        }
        self.turn = Some(Turn {
            chunks: chunks
                .iter()
                .map(|chunk| Rules {
                    stop: chunk.stop_on_failure,
                    keep: chunk.keep,
                    limit: chunk.timeout,
                    contained: chunk.contained,
                })
                .collect(),
            replies: vec![Reply::default(); chunks.len()],
            ended: [0, 0],
            lines: [0, 0],
            since: Instant::now(),
            stopped: false,
        });
        Ok(())
    }

    /// The word that marks what is ours.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Takes in output: `stream` 0 is standard output, 1 standard error.
    pub(crate) fn output(&mut self, stream: usize, bytes: &[u8]) {
        let mut scanner = std::mem::replace(&mut self.scanners[stream], Scanner::new(""));
        let fed = scanner.feed(bytes, &mut |piece| match piece {
            Piece::Data(data) => {
                self.data(stream, data);
                true
            }
            Piece::Mark(words) => {
                if self.mark(stream, words).is_none() {
                    self.break_protocol();
                }
                self.fault.is_none()
            }
        });
        self.scanners[stream] = scanner;
        if fed == Err(BadMark) {
            self.break_protocol();
        }
    }

    /// Notes that the shell has ended, after all of its output.
    pub(crate) fn ended(&mut self, end: End) {
        self.end = Some(end);
    }

    /// How far the turn is.
    pub(crate) fn progress(&self) -> Result<Progress, LinkError> {
        if let Some(fault) = &self.fault {
            return Err(fault.clone());
        }
        let Some(turn) = &self.turn else {
            return Ok(Progress::Done);
        };
        Ok(if turn.stopped || turn.done() == turn.chunks.len() {
            Progress::Done
        } else if self.left {
            Progress::Left
        } else if self.end.is_some() {
            Progress::Gone
        } else {
            Progress::Running
        })
    }

    /// Whether another turn can be sent to this shell after the one that is done.
    pub(crate) fn usable(&self) -> bool {
        !self.left && self.end.is_none()
    }

    /// Whether the shell answered.
    pub(crate) fn ready(&self) -> bool {
        self.begun[0]
    }

    /// The first of what was said before the shell began, standard error first; for error messages.
    pub(crate) fn said(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.noise[1]).into_owned();
        text.push_str(&String::from_utf8_lossy(&self.noise[0]));
        for hidden in [&self.gate.hello, &self.gate.prompt].into_iter().flatten() {
            text = text.replace(hidden.as_str(), "");
        }
        text.trim().to_owned()
    }

    /// Whether a turn was sent to it.
    pub(crate) fn in_turn(&self) -> bool {
        self.turn.is_some()
    }

    /// Whether the password that was given has been refused, or one was asked for and none is there.
    pub(crate) fn refused(&self) -> bool {
        self.asked > u32::from(self.gate.password.is_some())
    }

    /// The replies, and how many chunks have one in full.
    pub(crate) fn replies(&mut self) -> (Vec<Reply>, usize) {
        match self.turn.take() {
            Some(turn) => {
                let done = turn.done();
                (turn.replies, done)
            }
            None => (Vec::new(), 0),
        }
    }

    /// Whether a password was asked for and none is there.
    pub(crate) fn unanswered(&self) -> bool {
        self.asked > 0 && self.gate.password.is_none()
    }

    /// When the running chunk has had its time; the host gets some more to end a contained one by itself.
    pub(crate) fn overdue(&self) -> Option<Instant> {
        let turn = self.turn.as_ref()?;
        let rules = turn.chunks.get(turn.done())?;
        let grace = Duration::from_secs(if rules.contained { 20 } else { 0 });
        turn.since.checked_add(rules.limit?)?.checked_add(grace)
    }

    fn data(&mut self, stream: usize, data: &[u8]) {
        if !self.begun[stream] {
            self.noise(stream, data);
            return;
        }
        let Some(turn) = &mut self.turn else { return };
        let at = turn.ended[stream];
        let (Some(reply), Some(rules)) = (turn.replies.get_mut(at), turn.chunks.get(at)) else {
            return;
        };
        let kept = if stream == 0 {
            &mut reply.stdout
        } else {
            &mut reply.stderr
        };
        // A line costs more than its bytes once it is a value of its own: of short ones fewer bytes are kept.
        let (most, lines) = ((rules.keep / SHORT).max(1000), &mut turn.lines[stream]);
        let mut room = 0;
        if *lines < most {
            room = rules.keep.saturating_sub(kept.len()).min(data.len());
            let mut ends = memchr::memchr_iter(b'\n', &data[..room]);
            match ends.nth(most - *lines - 1) {
                Some(last) => (room, *lines) = (last + 1, most),
                None => *lines += memchr::memchr_iter(b'\n', &data[..room]).count(),
            }
        }
        kept.extend_from_slice(&data[..room]);
        reply.dropped += (data.len() - room) as u64;
    }

    /// Output before the shell is there: a greeting, a prompt, or what start-up files say.
    fn noise(&mut self, stream: usize, data: &[u8]) {
        let noise = &mut self.noise[stream];
        let from = noise.len();
        let room = NOISE.saturating_sub(noise.len()).min(data.len());
        noise.extend_from_slice(&data[..room]);
        let sought = if stream == 0 {
            &self.gate.hello
        } else {
            &self.gate.prompt
        };
        let Some(sought) = sought.as_ref().map(String::as_bytes) else {
            return;
        };
        let start = from.saturating_sub(sought.len().saturating_sub(1));
        let found = noise[start..]
            .windows(sought.len())
            .filter(|window| *window == sought)
            .count();
        for _ in 0..found {
            if stream == 0 && !self.greeted {
                self.greeted = true;
                self.queue.append(std::mem::take(&mut self.waiting));
            } else if stream == 1 {
                self.asked += 1;
                if let (1, Some(password)) = (self.asked, &self.gate.password) {
                    let mut answer = password.reveal().as_bytes().to_vec();
                    answer.push(b'\n');
                    self.queue.bytes(answer);
                }
            }
        }
    }

    /// Reads a mark; `None` when it makes no sense.
    fn mark(&mut self, stream: usize, words: &str) -> Option<()> {
        let mut word = words.splitn(2, ' ');
        match (word.next()?, stream) {
            ("r", _) => {
                self.begun[stream] = true;
                if let Some(turn) = &mut self.turn {
                    turn.since = Instant::now();
                }
            }
            ("t", 0) => self.tmp = Some(word.next()?.to_owned()),
            ("x", 0) => self.left = true,
            ("e", _) => {
                let mut word = word.next()?.split(' ');
                let at: usize = word.next()?.parse().ok()?;
                let turn = self.turn.as_mut()?;
                if at != turn.ended[stream] || at >= turn.chunks.len() {
                    return None;
                }
                if stream == 0 {
                    turn.replies[at].rc = word.next()?.parse().ok()?;
                }
                turn.end(stream);
            }
            _ => return None,
        }
        Some(())
    }

    fn break_protocol(&mut self) {
        self.fault.get_or_insert_with(|| {
            LinkError::new(
                LinkErrorKind::Protocol,
                "the host's answer does not follow our protocol",
            )
            .hint("something on the host writes into our shell's output, or the host is not to be trusted")
        });
    }
}

impl Turn {
    fn done(&self) -> usize {
        self.ended[0].min(self.ended[1])
    }

    /// Ends the current chunk of a stream.
    fn end(&mut self, stream: usize) {
        let at = self.ended[stream];
        self.ended[stream] += 1;
        self.lines[stream] = 0;
        if self.done() <= at {
            return;
        }
        let now = Instant::now();
        let (reply, rules) = (&mut self.replies[at], &self.chunks[at]);
        reply.ran = true;
        reply.elapsed = now.duration_since(self.since);
        self.since = now;
        // 124 from `timeout`, 137 when it had to kill, 143 from a `timeout` that does not say 124.
        if rules.limit.is_some_and(|limit| reply.elapsed >= limit)
            && matches!(reply.rc, 124 | 137 | 143)
        {
            reply.timed_out = true;
            reply.rc = 124;
        }
        self.stopped |= rules.stop && reply.rc != 0;
    }
}

/// The line of a turn's program that runs a chunk; see bootstrap.sh.
fn line(at: usize, chunk: &Chunk, input: Option<u64>) -> String {
    let tmp = if chunk.script.contains("MP_TMP") {
        "mp_tmp\n"
    } else {
        ""
    };
    let stop = u8::from(chunk.stop_on_failure);
    let script = single(&chunk.script);
    let input = input.map_or_else(String::new, |len| format!(" {len}"));
    match chunk.timeout {
        _ if !chunk.contained => format!("{tmp}mp_p {at} {stop} {script}{input}\n"),
        limit => {
            let limit = limit.map_or_else(
                || "0".to_owned(),
                |limit| match limit.subsec_nanos() {
                    0 => limit.as_secs().max(1).to_string(),
                    _ => format!("{:.3}", limit.as_secs_f64().max(0.001)),
                },
            );
            format!("{tmp}mp_c {at} {stop} {script} {limit}{input}\n")
        }
    }
}

/// Whether the shell ends itself rather than read this much input of skipped chunks.
pub(crate) fn too_much_to_drop(chunks: &[Chunk]) -> bool {
    chunks.iter().any(|chunk| match &chunk.input {
        None => false,
        Some(Payload::Bytes(bytes)) => bytes.len() as u64 > DROPPED,
        Some(Payload::File(path)) => std::fs::metadata(path).is_ok_and(|m| m.len() > DROPPED),
    })
}
