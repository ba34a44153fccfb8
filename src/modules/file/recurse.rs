//! `file` with `recurse`: what differs below a folder.
//!
//! A tree may hold a million files, but few combinations of type, mode and owner: only these are listed, and each
//! combination that is not as wanted is set right by one `find`.

use super::FileStep;
use crate::modules::attrs::Unsettled;
use crate::modules::probe::{FileType, PathState};
use crate::modules::{Seen, sh};

impl FileStep {
    /// The script that lists the combinations: raw mode, numbers and names of owner and group.
    pub(super) fn listing(&self) -> String {
        let mut finds = vec![("-P", "-mindepth 1", "stat -c")];
        if self.follow {
            finds.push(("-L", "-mindepth 1 ! -type l", "stat -L -c"));
        }
        let lines: Vec<String> = finds
            .iter()
            .map(|(links, tests, stat)| {
                format!("find {links} \"$p/\" {tests} -exec {stat} '%f %u %g %U:%G' {{}} +")
            })
            .collect();
        format!(
            "p={}\n[ -d \"$p\" ] || exit 0\n{{ {}; }} | sort -u",
            sh::expanding(&self.path, false),
            lines.join("; ")
        )
    }

    /// The commands that set right what differs below the folder named by a word of shell.
    pub(super) fn below(&self, seen: &Seen, word: &str) -> Result<String, Unsettled> {
        let listed = sh::answer(seen, &self.listing())
            .map(|(_, text)| text)
            .unwrap_or_default();
        let mut script = String::new();
        for line in listed.lines() {
            let Some((letter, now)) = combination(line) else {
                let msg = format!("cannot read what is below {}", self.path);
                return Err(Unsettled::failed(msg));
            };
            let mut attrs = self.attrs.clone();
            attrs.attributes = None;
            let fix = attrs.differ(&self.path, &now, seen)?;
            if fix.is_empty() {
                continue;
            }
            let mode = if letter == 'l' {
                String::new()
            } else {
                format!("-perm {:04o} ", now.mode)
            };
            let tests = format!(
                "-mindepth 1 -type {letter} -user {} -group {} {mode}",
                now.uid, now.gid
            );
            let execs: String = fix
                .commands("{}")
                .lines()
                .map(|line| format!(" -exec {} +", line.trim_end_matches(" || exit")))
                .collect();
            script.push_str(&format!("find -P {word}/ {tests}{execs} || exit\n"));
            if self.follow && letter != 'l' {
                // What a link leads to, not the link.
                let execs = execs.replace("chown -h ", "chown ");
                script.push_str(&format!("find -L {word}/ {tests}{execs} || exit\n"));
            }
        }
        if let Some(attributes) = &self.attrs.attributes
            && !script.is_empty()
        {
            script.push_str(&format!(
                "chattr -R {} {word} || exit\n",
                sh::quote(attributes)
            ));
        }
        Ok(script)
    }
}

/// One listed combination: `find`'s letter for the type, and the rest as a state.
pub(crate) fn combination(line: &str) -> Option<(char, PathState)> {
    let mut fields = line.splitn(4, ' ');
    let raw = u32::from_str_radix(fields.next()?, 16).ok()?;
    let uid = fields.next()?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let (user, group) = fields.next()?.split_once(':')?;
    let (letter, kind) = match raw & 0o170_000 {
        0o100_000 => ('f', FileType::File),
        0o040_000 => ('d', FileType::Directory),
        0o120_000 => ('l', FileType::Link),
        0o010_000 => ('p', FileType::Other('p')),
        0o020_000 => ('c', FileType::Other('c')),
        0o060_000 => ('b', FileType::Other('b')),
        _ => ('s', FileType::Other('s')),
    };
    let state = PathState {
        kind,
        mode: raw & 0o7777,
        uid,
        gid,
        user: user.to_owned(),
        group: group.to_owned(),
        ..PathState::default()
    };
    Some((letter, state))
}
