//! What a page's reader types into a shell, and what it prints.

use std::path::Path;
use std::process::Command;

/// Runs a command line as typed in `folder`, where `mini-play` is found and keeps its state: both its outputs as one text.
pub fn typed(command: &str, folder: &Path, lab: &str) -> String {
    let programs = Path::new(env!("CARGO_BIN_EXE_mini-play")).parent().unwrap();
    let others = std::env::var("PATH").unwrap_or_default();
    let output = Command::new("bash")
        .args(["-c", &format!("{{ {command}; }} 2>&1")])
        .current_dir(folder)
        .env("MINI_PLAY_LAB", lab)
        .env("MINI_PLAY_STATE", folder.join("state"))
        .env("PATH", format!("{}:{others}", programs.display()))
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
