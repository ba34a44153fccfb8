//! The lock on a host: two runs do not change one host at the same time.
//!
//! It is taken by the script that carries the first actions, so it costs no turn; runs that change nothing take none.

use crate::remote::{Chunk, LinkError, LinkErrorKind, Reply};
use std::sync::LazyLock;

/// The script, without comments.
static SCRIPT: LazyLock<String> = LazyLock::new(|| {
    include_str!("lock.sh")
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .flat_map(|line| [line, "\n"])
        .collect()
});

/// The chunk that takes the lock for a run, in front of actions. `who` is told to whoever comes in between.
pub(crate) fn chunk(run: &str, who: &str) -> Chunk {
    let quote = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    Chunk::plain(format!(
        "run={} who={}\n{}",
        quote(&run.replace(char::is_whitespace, "_")),
        quote(&who.replace(char::is_control, " ")),
        *SCRIPT
    ))
}

/// What came of it: what there is to tell, if anything.
///
/// # Errors
/// That another run holds the host.
pub(crate) fn taken(reply: &Reply) -> Result<Option<String>, LinkError> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if reply.rc == 0 {
        return Ok(Some(text(&reply.stdout)).filter(|told| !told.is_empty()));
    }
    Err(
        LinkError::new(LinkErrorKind::Locked, text(&reply.stderr)).hint(
            "wait for it to end; a lock whose run is gone is taken over by itself. `--no-lock` goes ahead regardless",
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::{BufRead as _, BufReader};
    use std::process::{Child, Command, Stdio};

    /// A kept shell that took the lock, or was told why not, and lives on until its input ends.
    struct Shell(Child, i32, String);

    impl Shell {
        fn new(shell: &[&str], dir: &std::path::Path, run: &str) -> Self {
            let chunk = chunk(run, &format!("the run {run}"));
            let script = chunk
                .script
                .replace("/run/lock", &dir.display().to_string());
            let mut child = Command::new(shell[0])
                .args(&shell[1..])
                .arg("-c")
                .arg(format!("( {script} ) 2>&1\necho \"rc $?\"\nread -r end"))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut told = String::new();
            for line in BufReader::new(child.stdout.take().unwrap()).lines() {
                let line = line.unwrap();
                if let Some(rc) = line.strip_prefix("rc ") {
                    return Self(child, rc.parse().unwrap(), told);
                }
                told.push_str(&line);
            }
            child.wait().unwrap();
            panic!("{told}");
        }

        fn end(mut self) {
            drop(self.0.stdin.take());
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn one_run_at_a_time() {
        for shell in [&["sh"][..], &["bash", "--posix"], &["busybox", "sh"]] {
            let dir = tempfile::tempdir().unwrap();
            let first = Shell::new(shell, dir.path(), "1");
            assert_eq!((first.1, &*first.2), (0, ""), "{shell:?}");
            let second = Shell::new(shell, dir.path(), "2");
            assert_eq!(
                (second.1, &*second.2),
                (1, "another run is at work on this host: the run 1"),
                "{shell:?}"
            );
            // Another identity's shell of the same run.
            let same = Shell::new(shell, dir.path(), "1");
            assert_eq!((same.1, &*same.2), (0, ""), "{shell:?}");
            first.end();
            let third = Shell::new(shell, dir.path(), "3");
            assert_eq!(
                (third.1, &*third.2),
                (0, "took over the lock of a run that is gone: the run 1"),
                "{shell:?}"
            );
            let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().collect();
            assert_eq!(left.len(), 1, "{left:?}");
            [second, same, third].into_iter().for_each(Shell::end);
        }
    }

    /// What somebody else put there neither holds us up, nor leads us elsewhere, nor passes for ours.
    #[test]
    fn what_is_planted_at_its_place_is_taken_away() {
        for shell in [&["sh"][..], &["bash", "--posix"], &["busybox", "sh"]] {
            for plant in [
                "mkfifo mini-play.lock",
                "ln -s folder mini-play.lock; mkdir folder",
                "ln -s precious mini-play.lock",
                // A link to what looks like ours.
                "echo \"1 $PPID 1 x\" >precious; ln -s precious mini-play.lock",
                "ln -s nowhere mini-play.lock",
                "mkdir mini-play.lock",
                ": >mini-play.lock",
            ] {
                let dir = tempfile::tempdir().unwrap();
                let script = format!("echo kept >precious; {plant}; cp precious before");
                let made = Command::new("sh")
                    .args(["-c", &script])
                    .current_dir(dir.path())
                    .status();
                assert!(made.unwrap().success(), "{plant}");
                let run = Shell::new(shell, dir.path(), "1");
                let told = format!(
                    "took away {}/mini-play.lock, which was no lock of ours",
                    dir.path().display()
                );
                assert_eq!((run.1, &run.2), (0, &told), "{shell:?}: {plant}");
                let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
                assert!(read("mini-play.lock").starts_with(b"1 "), "{plant}");
                assert_eq!(read("precious"), read("before"), "{plant}");
                assert!(!dir.path().join("nowhere").exists(), "{plant}");
                run.end();
            }
        }
    }

    #[test]
    fn the_shell_script_is_clean() {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/engine/lock.sh");
        let output = Command::new("shellcheck").arg(script).output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        let chunk = chunk("a b", "it's\nme");
        assert!(
            chunk.script.starts_with("run='a_b' who='it'\\''s me'\n"),
            "{}",
            chunk.script
        );
        assert!(!chunk.script.contains("\n#"), "no comments travel");
    }
}
