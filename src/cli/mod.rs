//! CLI commands, one thin file each; the work is in the library modules.

/// Runs the program and says how it ended.
#[must_use]
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
