//! A lab and a folder with its inventory. All gone when it is dropped.
#![allow(dead_code)]

use super::folder::Folder;
use mini_play::lab::{self, Lab, LabOptions};
use std::process::Stdio;

/// See the module.
pub struct Bench {
    pub lab: Lab,
    pub folder: Folder,
}

impl Drop for Bench {
    fn drop(&mut self) {
        Lab::down(self.lab.name(), &|_| ()).unwrap();
    }
}

impl Bench {
    /// With so many hosts, where this machine can; says so and gives nothing where it cannot, unless
    /// `MINI_PLAY_LAB_TESTS=1` says that it must.
    pub fn up(name: &str, hosts: u32, folder: Folder) -> Option<Self> {
        match lab::check_machine(None) {
            Ok(()) => {}
            Err(why) if std::env::var_os("MINI_PLAY_LAB_TESTS").is_some_and(|v| v == "1") => {
                panic!("lab tests must run here but cannot: {why}")
            }
            Err(why) => {
                println!("skipped: {why}");
                return None;
            }
        }
        // What an earlier run left behind is in nobody's way.
        Lab::down(name, &|_| ()).unwrap();
        let options = LabOptions {
            name: name.into(),
            hosts: Some(hosts),
            ..LabOptions::default()
        };
        let lab = Lab::up(&options, &|text| println!("lab: {text}")).unwrap();
        std::fs::copy(lab.inventory(), folder.at("inventory.yaml")).unwrap();
        Some(Self { lab, folder })
    }

    /// Runs a script on a host beside `mini-play`; what it said.
    pub fn on(&self, host: &str, script: &str) -> Result<String, String> {
        if script.is_empty() {
            return Ok(String::new());
        }
        // A start-up file may be part of the test; another shell than the login's reads none.
        let script = format!("exec /bin/sh -c {}", shlex::try_quote(script).unwrap());
        let mut tries = 0;
        loop {
            let output = self.lab.ssh(host, std::slice::from_ref(&script)).unwrap();
            let output = { output }.stdin(Stdio::null()).output().unwrap();
            tries += 1;
            // sshd may still be starting: 255 is ssh's own failure.
            if output.status.code() == Some(255) && tries < 20 {
                std::thread::sleep(std::time::Duration::from_millis(500));
                continue;
            }
            let text = [&output.stdout[..], &output.stderr].concat();
            let text = String::from_utf8_lossy(&text).trim().to_owned();
            return if output.status.success() {
                Ok(text)
            } else {
                Err(format!("{}: {text}", output.status))
            };
        }
    }
}
