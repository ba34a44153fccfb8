//! External commands: one small way to run them, with errors that say which command failed and why.

use anyhow::{Context as _, Result, bail};
use std::ffi::OsStr;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Where system tools live, for the end of a search path.
pub(crate) const SBIN: &str = ":/usr/local/sbin:/usr/sbin:/sbin";

/// A command to run to its end.
pub(crate) struct Run {
    command: Command,
    input: Option<String>,
}

/// `run("ip").args([...])`: a command that is not started yet.
pub(crate) fn run(program: &str) -> Run {
    // After a plain `su` root's path may lack the directories where `nft` and others live.
    let path = std::env::var("PATH").unwrap_or_default() + SBIN;
    let mut command = Command::new(program);
    command.env("LC_ALL", "C.UTF-8").env("PATH", path);
    Run {
        command,
        input: None,
    }
}

impl Run {
    pub(crate) fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// Text for its standard input (the only place for secrets and long texts).
    pub(crate) fn input(mut self, text: impl Into<String>) -> Self {
        self.input = Some(text.into());
        self
    }

    /// Runs it and gives its standard output; anything but exit 0 is an error.
    pub(crate) fn output(mut self) -> Result<String> {
        let shown = self.shown();
        let stdin = if self.input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        };
        let mut child = self
            .command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run `{shown}`"))?;
        let writer = self.input.take().zip(child.stdin.take());
        let output = std::thread::scope(|scope| {
            if let Some((text, mut pipe)) = writer {
                // A command may end without reading all of it: its exit status tells the story.
                scope.spawn(move || pipe.write_all(text.as_bytes()).ok());
            }
            child.wait_with_output()
        })
        .with_context(|| format!("cannot wait for `{shown}`"))?;
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let said = if stderr.trim().is_empty() {
                tail(&stdout, 8)
            } else {
                tail(&stderr, 8)
            };
            bail!("`{shown}` failed ({}): {said}", output.status);
        }
        Ok(stdout)
    }

    /// Runs it for its effect.
    pub(crate) fn ok(self) -> Result<()> {
        self.output().map(drop)
    }

    /// The command as a person would type it, cut where it gets long.
    fn shown(&self) -> String {
        let words = std::iter::once(self.command.get_program()).chain(self.command.get_args());
        let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
        let text = words.join(" ");
        match text.char_indices().nth(160) {
            Some((cut, _)) => format!("{}…", &text[..cut]),
            None => text,
        }
    }
}

/// The last lines that say something.
pub(crate) fn tail(text: &str, lines: usize) -> String {
    let said: Vec<_> = text.lines().filter(|l| !l.trim().is_empty()).collect();
    said[said.len().saturating_sub(lines)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_names_command_and_reason() {
        let error = run("sh").args(["-c", "echo why >&2; exit 3"]).ok();
        let text = error.unwrap_err().to_string();
        assert!(text.contains("`sh -c"), "{text}");
        assert!(text.contains("exit status: 3"), "{text}");
        assert!(text.ends_with("why"), "{text}");
    }

    #[test]
    fn input_reaches_the_command() {
        assert_eq!(run("cat").input("hello").output().unwrap(), "hello");
    }

    #[test]
    fn tail_skips_blank_lines() {
        assert_eq!(tail("a\n\nb\nc\n\n", 2), "b\nc");
    }
}
