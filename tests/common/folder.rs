//! A folder with a playbook and an inventory, and runs of the program in it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// See the module. The state folder is `state` in it.
pub struct Folder(tempfile::TempDir);

impl Folder {
    pub fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            folder.write(name, text);
        }
        folder
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.at(name), text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.at(name)).unwrap_or_default()
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.at(name)).unwrap();
    }

    /// `mini-play` with these arguments, to be started here.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mini-play"));
        command
            .args(args)
            .current_dir(self.path())
            .env("MINI_PLAY_STATE", self.at("state"));
        command
    }

    /// Runs it to its end: exit code, and what it said on both streams.
    pub fn run(&self, args: &[&str]) -> (i32, String) {
        said(&self.command(args).output().unwrap())
    }

    /// Starts it.
    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Waits until a file is there.
    #[track_caller]
    pub fn await_file(&self, name: &str) {
        let until = Instant::now() + Duration::from_secs(60);
        while !self.at(name).exists() {
            assert!(Instant::now() < until, "{name} does not come");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The events of the latest run: of one host, or of the `run`.
    pub fn journal(&self, of: &str) -> Vec<serde_json::Value> {
        let mut runs: Vec<PathBuf> = Vec::new();
        for inventory in std::fs::read_dir(self.at("state")).unwrap().flatten() {
            let folder = std::fs::read_dir(inventory.path().join("runs"));
            runs.extend(folder.into_iter().flatten().flatten().map(|e| e.path()));
        }
        runs.sort_by_key(|run| run.file_name().map(std::ffi::OsStr::to_owned));
        let file = runs.last().unwrap().join(format!("{of}.jsonl"));
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Exit code (-1 for a signal) and both streams.
pub fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    (output.status.code().unwrap_or(-1), text)
}
