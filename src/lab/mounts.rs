//! What is mounted where, and removing directories without reaching through a mount.

use super::run::run;
use anyhow::{Context as _, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Mount points at or under a directory, the deepest first.
pub(crate) fn under(dir: &Path) -> Result<Vec<PathBuf>> {
    let text = fs::read_to_string("/proc/self/mountinfo").context("cannot read the mounts")?;
    Ok(parse(&text, dir))
}

fn parse(mountinfo: &str, dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = mountinfo
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .map(|place| PathBuf::from(unescape(place)))
        .filter(|place| place.starts_with(dir))
        .collect();
    // Later mounts lie over earlier ones.
    found.reverse();
    found.sort_by_key(|place| std::cmp::Reverse(place.components().count()));
    found
}

/// The kernel writes blanks and backslashes as `\040` and so on.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        match after.get(..3).and_then(|d| u8::from_str_radix(d, 8).ok()) {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &after[3..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out + rest
}

/// Unmounts everything at or under a directory.
pub(crate) fn unmount(dir: &Path) -> Result<()> {
    for place in under(dir)? {
        let attempt = || run("umount").arg(&place).ok();
        // A dying host may hold it for a moment; detaching at last leaves nothing that can be seen.
        let gone = (0..20).any(|_| {
            let done = attempt().is_ok();
            if !done {
                std::thread::sleep(Duration::from_millis(50));
            }
            done
        });
        if !gone {
            run("umount").arg("--lazy").arg(&place).ok()?;
        }
    }
    Ok(())
}

/// Removes a directory with all in it, unmounting first; one that is not there is fine.
pub(crate) fn remove_dir(dir: &Path) -> Result<()> {
    unmount(dir)?;
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deepest_and_latest_first() {
        let text = "1 0 8:1 / / rw - ext4 x rw\n\
                    2 1 0:1 / /lab/a rw - overlay x rw\n\
                    3 1 0:1 / /lab/a/b\\040c rw - tmpfs x rw\n\
                    4 1 0:1 / /lab2 rw - tmpfs x rw\n";
        assert_eq!(
            parse(text, Path::new("/lab")),
            [Path::new("/lab/a/b c"), Path::new("/lab/a")]
        );
    }
}
