//! Decisions by data: `tests/cases/<module>/<name>.yaml`, one case a file.
//!
//! A case gives arguments and what was seen of the host; everything behind the line `expect:` is what the module
//! decides, in words. Write a case without `expect:`, run `UPDATE_CASES=1 cargo test --test cases`, read what was
//! added and commit it. After a wanted change the same command rewrites the expectations: read the difference.
//!
//! ```yaml
//! about: what is special here          # optional
//! module: copy                         # default: the folder's name
//! args: {dest: /etc/x, content: hi}    # or a string: the free form
//! check: false                         # likewise: diff, facts, environment
//! files: {a.conf: text, d/: "", l: {link: a.conf}}   # of the controller
//! seen:                                # what is not said here is absent
//!   paths:
//!     /etc/x: {type: file, mode: "0644", user: root, uid: 0, group: root, gid: 0, content: hello}
//!     # also: inode, nlink, mtime, access (0-7), real, flags (of lsattr -v), mime
//!     /etc/l: {type: link, target: x}  # type: file (default), directory, link, fifo, denied
//!   packages: {nginx: {status: install ok installed, version: "1.2", arch: amd64}}
//!   units: {nginx: {LoadState: loaded, ActiveState: active, UnitFileState: enabled}}
//!   users: {bob: {uid: 1000, gid: 1000, home: /home/bob, shell: /bin/sh, groups: [bob], password: "!"}}
//!   groups: {www: {gid: 33, members: [bob]}}
//!   scripts: [{has: lsattr, rc: 0, stdout: "", stderr: ""}]   # the first whose `has` is part of the script
//! expect:
//!   …
//! ```

#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{Fake, data, field, given, map, text};
use md5::Digest as _;
use mini_play::modules::probe::{
    Answer, FileType, GroupState, PackageState, PathState, Probe, Seen, UserState,
};
use mini_play::modules::{Decision, Outcome, Plan};
use mini_play::remote::Payload;
use minijinja::Value;
use std::fmt::Write as _;
use std::path::Path;

#[test]
fn decisions() {
    let update = std::env::var_os("UPDATE_CASES").is_some();
    let only = std::env::var("CASE").unwrap_or_default();
    let mut wrong = Vec::new();
    for path in common::cases("cases") {
        if !path.to_string_lossy().contains(&only) {
            continue;
        }
        let whole = std::fs::read_to_string(&path).unwrap();
        let (input, expected) = split(&whole);
        let case = data(&path, input);
        let got = decide(&path, &case);
        if update {
            if got != expected {
                std::fs::write(&path, format!("{}\nexpect:\n{got}", input.trim_end())).unwrap();
            }
        } else if got != expected {
            let diff = similar::TextDiff::from_lines(expected, got.as_str());
            wrong.push(format!("{}\n{}", path.display(), diff.unified_diff()));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn split(whole: &str) -> (&str, &str) {
    whole.split_once("\nexpect:\n").unwrap_or((whole, ""))
}

/// What a module decides, in words.
fn decide(path: &Path, case: &Value) -> String {
    let folder = path
        .parent()
        .unwrap()
        .file_name()
        .unwrap()
        .to_string_lossy();
    let module = text(&field(case, "module")).unwrap_or_else(|| folder.into_owned());
    let fake = Fake::new(case);
    let mut out = String::new();
    let step = match common::plan(&module, &field(case, "args"), &fake) {
        Ok(step) => step,
        Err(failure) => {
            line(&mut out, "refused", &failure.msg);
            return hide(&out, &fake);
        }
    };
    let host = field(case, "seen");
    let mut seen = Seen::default();
    let mut wanted = step.probes();
    for round in 0.. {
        for probe in wanted {
            let answer = answer(&host, &probe);
            seen.insert(probe, answer);
        }
        match step.decide(&seen) {
            Decision::Look(more) if round < 5 => wanted = more,
            Decision::Look(more) => panic!("{}: asks again and again: {more:?}", path.display()),
            Decision::Done(outcome) => {
                looks(&mut out, round);
                tell(&mut out, &outcome);
                break;
            }
            Decision::Act(plan) => {
                looks(&mut out, round);
                act(&mut out, &plan);
                break;
            }
        }
    }
    hide(&out, &fake)
}

/// The controller's folder has another name each time.
fn hide(out: &str, fake: &Fake) -> String {
    out.replace(fake.folder.path().to_str().unwrap(), "FILES")
}

fn looks(out: &mut String, rounds: usize) {
    if rounds > 0 {
        let _ = writeln!(out, "  looked_again: {rounds}");
    }
}

fn act(out: &mut String, plan: &Plan) {
    tell(out, &plan.predicted);
    if plan.opaque {
        out.push_str("  opaque: true\n");
    }
    let effects: Vec<String> = plan
        .effects
        .iter()
        .map(|effect| format!("{effect:?}"))
        .collect();
    line(out, "effects", &effects.join(" "));
    out.push_str("  actions:\n");
    for chunk in &plan.actions {
        out.push_str("  - ");
        block(out, &chunk.script, "    ");
        match &chunk.input {
            Some(Payload::Bytes(bytes)) => {
                let _ = writeln!(out, "    # input: {:?}", String::from_utf8_lossy(bytes));
            }
            Some(Payload::File(path)) => {
                let _ = writeln!(out, "    # input: the file {}", path.display());
            }
            None => {}
        }
        if let Some(timeout) = chunk.timeout {
            let _ = writeln!(out, "    # timeout: {timeout:?}");
        }
    }
}

fn tell(out: &mut String, outcome: &Outcome) {
    let state = match outcome {
        Outcome { failed: true, .. } => "failed",
        Outcome { skipped: true, .. } => "skipped",
        Outcome { changed: true, .. } => "changed",
        _ => "ok",
    };
    line(out, "outcome", state);
    if let Some(msg) = &outcome.msg {
        line(out, "msg", msg);
    }
    if !outcome.data.is_empty() {
        out.push_str("  data:\n");
        for (key, value) in &outcome.data {
            let _ = writeln!(out, "    {key}: {}", serde_json::to_string(value).unwrap());
        }
    }
    if !outcome.facts.is_empty() {
        let _ = writeln!(
            out,
            "  facts: {}",
            serde_json::to_string(&outcome.facts).unwrap()
        );
    }
    for warning in &outcome.warnings {
        line(out, "warning", warning);
    }
    for diff in &outcome.diff {
        line(out, "diff", &diff.header);
        let text = similar::TextDiff::from_lines(&diff.before, &diff.after);
        out.push_str("    ");
        block(out, &text.unified_diff().to_string(), "    ");
    }
}

fn line(out: &mut String, key: &str, value: &str) {
    let _ = writeln!(out, "  {key}: {}", value.replace('\n', "\\n"));
}

fn block(out: &mut String, text: &str, indent: &str) {
    out.push_str("|\n");
    for line in text.lines() {
        if line.is_empty() {
            out.push('\n');
        } else {
            let _ = writeln!(out, "{indent}{line}");
        }
    }
}

fn number(value: &Value, otherwise: u32) -> u32 {
    u32::try_from(value.clone()).unwrap_or(otherwise)
}

fn strings(value: &Value) -> Vec<String> {
    value
        .try_iter()
        .into_iter()
        .flatten()
        .map(|item| item.to_string())
        .collect()
}

/// The answer of a case's host.
fn answer(host: &Value, probe: &Probe) -> Answer {
    let named = |kind: &str, name: &str| map(&field(host, kind)).swap_remove(name).filter(given);
    match probe {
        Probe::Path { path, follow } => match entry(host, path, *follow) {
            Some(entry) if kind(&entry) == "denied" => Answer::Unknown("permission denied".into()),
            entry => Answer::Path(entry.map(|entry| state(&entry))),
        },
        Probe::Digest { path, algorithm } => Answer::Digest(bytes(host, path).map(|bytes| {
            let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            match *algorithm {
                "md5" => hex(&md5::Md5::digest(&bytes)),
                "sha1" => hex(&sha1::Sha1::digest(&bytes)),
                "sha256" => hex(&sha2::Sha256::digest(&bytes)),
                "sha512" => hex(&sha2::Sha512::digest(&bytes)),
                other => format!("{other} of {} bytes", bytes.len()),
            }
        })),
        Probe::Content { path, limit } => Answer::Content(
            bytes(host, path)
                .filter(|bytes| bytes.len() as u64 <= *limit)
                .map(Into::into),
        ),
        Probe::Expand(path) => Answer::Text(match path.strip_prefix('~') {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("/root{rest}"),
            _ => path.replace("$HOME", "/root"),
        }),
        Probe::Access(path) => {
            let bits = entry(host, path, true).map(|entry| number(&field(&entry, "access"), 6));
            Answer::Access(u8::try_from(bits.unwrap_or(0)).unwrap())
        }
        Probe::Real(path) | Probe::Flags(path) | Probe::Mime(path) => {
            let key = match probe {
                Probe::Real(_) => "real",
                Probe::Flags(_) => "flags",
                _ => "mime",
            };
            let entry = entry(host, path, false).unwrap_or_default();
            Answer::Text(text(&field(&entry, key)).unwrap_or_default())
        }
        Probe::Package(name) => {
            Answer::Package(named("packages", name).map(|entry| PackageState {
                status: text(&field(&entry, "status")).unwrap_or("install ok installed".into()),
                version: text(&field(&entry, "version")).unwrap_or("1".into()),
                arch: text(&field(&entry, "arch")).unwrap_or("amd64".into()),
                automatic: false,
            }))
        }
        Probe::Unit(name) => {
            let entry =
                named("units", name).or_else(|| named("units", name.trim_end_matches(".service")));
            let mut unit: std::collections::HashMap<String, String> = entry.map_or_else(
                || [("LoadState".to_owned(), "not-found".to_owned())].into(),
                |entry| {
                    map(&entry)
                        .into_iter()
                        .map(|(k, v)| (k, v.to_string()))
                        .collect()
                },
            );
            unit.entry("Manager".into()).or_insert("systemd".into());
            Answer::Unit(unit)
        }
        Probe::User(name) => Answer::User(named("users", name).map(|entry| UserState {
            name: name.clone(),
            uid: number(&field(&entry, "uid"), 1000),
            gid: number(&field(&entry, "gid"), 1000),
            comment: text(&field(&entry, "comment")).unwrap_or_default(),
            home: text(&field(&entry, "home")).unwrap_or_default(),
            shell: text(&field(&entry, "shell")).unwrap_or_default(),
            groups: strings(&field(&entry, "groups")),
            password: text(&field(&entry, "password")),
            shadow: strings(&field(&entry, "shadow")),
        })),
        Probe::Group(name) => Answer::Group(named("groups", name).map(|entry| GroupState {
            name: name.clone(),
            gid: number(&field(&entry, "gid"), 1000),
            members: strings(&field(&entry, "members")),
        })),
        Probe::Script(script) => {
            let known = field(host, "scripts");
            let known = known.try_iter().into_iter().flatten();
            let entry = known
                .into_iter()
                .find(|entry| script.contains(&text(&field(entry, "has")).unwrap_or_default()))
                .unwrap_or_default();
            let out = |name: &str| {
                text(&field(&entry, name))
                    .unwrap_or_default()
                    .into_bytes()
                    .into()
            };
            Answer::Script {
                rc: i32::try_from(field(&entry, "rc")).unwrap_or(0),
                stdout: out("stdout"),
                stderr: out("stderr"),
            }
        }
    }
}

fn kind(entry: &Value) -> String {
    text(&field(entry, "type")).unwrap_or("file".into())
}

/// What is at a path, links followed if told.
fn entry(host: &Value, path: &str, follow: bool) -> Option<Value> {
    let mut path = path.to_owned();
    for _ in 0..8 {
        let trimmed = if path.len() > 1 {
            path.trim_end_matches('/')
        } else {
            &path
        };
        let entry = map(&field(host, "paths"))
            .swap_remove(trimmed)
            .filter(given)?;
        if !follow || kind(&entry) != "link" {
            return Some(entry);
        }
        let target = text(&field(&entry, "target")).unwrap_or_default();
        path = match target.strip_prefix('/') {
            Some(_) => target,
            None => format!(
                "{}/{target}",
                trimmed.rsplit_once('/').map_or("", |(folder, _)| folder)
            ),
        };
    }
    None
}

fn bytes(host: &Value, path: &str) -> Option<Vec<u8>> {
    let entry = entry(host, path, true).filter(|entry| kind(entry) == "file")?;
    Some(
        text(&field(&entry, "content"))
            .unwrap_or_default()
            .into_bytes(),
    )
}

fn state(entry: &Value) -> PathState {
    let name = |key: &str| text(&field(entry, key)).unwrap_or("root".into());
    let (kind, usual) = match kind(entry).as_str() {
        "directory" => (FileType::Directory, 0o755),
        "link" => (FileType::Link, 0o777),
        "fifo" => (FileType::Other('p'), 0o644),
        _ => (FileType::File, 0o644),
    };
    let content = text(&field(entry, "content")).unwrap_or_default();
    PathState {
        kind,
        mode: text(&field(entry, "mode"))
            .map_or(usual, |mode| u32::from_str_radix(&mode, 8).unwrap()),
        uid: number(&field(entry, "uid"), 0),
        user: name("user"),
        gid: number(&field(entry, "gid"), 0),
        group: name("group"),
        size: content.len() as u64,
        mtime: f64::try_from(field(entry, "mtime")).unwrap_or(1.0),
        inode: u64::from(number(&field(entry, "inode"), 7)),
        nlink: u64::from(number(&field(entry, "nlink"), 1)),
        target: text(&field(entry, "target")),
        ..PathState::default()
    }
}
