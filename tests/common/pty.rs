//! A program on a terminal of its own: what it shows, and answers typed when it asks.
#![allow(dead_code)]

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus};

/// A running program.
pub struct Pty {
    child: Child,
    terminal: File,
    seen: String,
    /// Up to here `seen` has been searched.
    at: usize,
}

impl Pty {
    /// Starts a program with these arguments, as leader of a session on a new terminal.
    pub fn start(program: &str, args: &[&str], prepare: impl FnOnce(&mut Command)) -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("openpt");
        grantpt(&terminal).expect("grantpt");
        unlockpt(&terminal).expect("unlockpt");
        let name = ptsname(&terminal, Vec::new()).expect("ptsname");
        let side = || {
            let mut open = OpenOptions::new();
            open.read(true).write(true);
            std::os::unix::fs::OpenOptionsExt::custom_flags(&mut open, 0o400);
            open.open(name.to_str().expect("a name"))
                .expect("the terminal")
        };
        // `setsid -c` makes standard input the controlling terminal.
        let mut command = Command::new("setsid");
        command.args(["-c", "-w", program]).args(args);
        command.stdin(side()).stdout(side()).stderr(side());
        prepare(&mut command);
        Self {
            child: command.spawn().expect("setsid"),
            terminal: terminal.into(),
            seen: String::new(),
            at: 0,
        }
    }

    /// Waits until the program shows this text.
    pub fn expect(&mut self, text: &str) -> &mut Self {
        loop {
            if let Some(found) = self.seen[self.at..].find(text) {
                self.at += found + text.len();
                return self;
            }
            assert!(self.more(), "no `{text}` in:\n{}", self.seen);
        }
    }

    /// Types a line.
    pub fn line(&mut self, text: &str) -> &mut Self {
        self.terminal
            .write_all(format!("{text}\n").as_bytes())
            .expect("type");
        self
    }

    /// Types a line as soon as the program has turned echo off.
    pub fn secret(&mut self, text: &str) -> &mut Self {
        use rustix::termios::{LocalModes, tcgetattr};
        let echoes = |terminal: &File| {
            let modes = tcgetattr(terminal).expect("tcgetattr").local_modes;
            modes.contains(LocalModes::ECHO)
        };
        let limit = std::time::Instant::now() + std::time::Duration::from_secs(60);
        while echoes(&self.terminal) {
            assert!(limit > std::time::Instant::now(), "echo stays on");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        self.line(text)
    }

    /// Waits for the end; all that was shown.
    pub fn end(mut self) -> (ExitStatus, String) {
        while self.more() {}
        let status = self.child.wait().expect("the program's end");
        (status, self.seen)
    }

    fn more(&mut self) -> bool {
        let mut bytes = [0u8; 4096];
        // The terminal is gone (EIO) when the program is.
        let count = self.terminal.read(&mut bytes).unwrap_or(0);
        self.seen
            .push_str(&String::from_utf8_lossy(&bytes[..count]));
        count > 0
    }
}
