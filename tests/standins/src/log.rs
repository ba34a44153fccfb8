//! Log lines as the daemons write them: glog's for Mesos, plain ones with a time for the others; always on standard error,
//! and in `--log_dir` where one is set.

use anyhow::Context;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;
use time::OffsetDateTime;
use time::macros::format_description;

static FILE: OnceLock<File> = OnceLock::new();

/// Also writes to `DIRECTORY/NAME.INFO` from now on.
pub fn into_directory(directory: &str, name: &str) -> anyhow::Result<()> {
    let directory = Path::new(directory);
    std::fs::create_dir_all(directory).with_context(|| {
        format!(
            "Could not initialize logging: Failed to create directory {}",
            directory.display()
        )
    })?;
    into_file(&directory.join(format!("{name}.INFO")))
}

/// Also writes to this file from now on.
pub fn into_file(path: &Path) -> anyhow::Result<()> {
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path);
    // A second call keeps the first file.
    let _ = FILE.set(file.with_context(|| format!("cannot open {}", path.display()))?);
    Ok(())
}

/// An informational line.
pub fn info(text: &str) {
    line('I', text);
}

/// A warning.
pub fn warning(text: &str) {
    line('W', text);
}

/// What the daemon dies of. Mesos writes these bare, so that they are found in syslog as they stand.
pub fn fatal(text: &str) {
    write(text);
}

fn line(level: char, text: &str) {
    let now = OffsetDateTime::now_utc();
    let stamp = now
        .format(format_description!(
            "[month][day] [hour]:[minute]:[second].[subsecond digits:6]"
        ))
        .unwrap_or_default();
    write(&format!(
        "{level}{stamp} {:5} standin.rs:1] {text}",
        std::process::id()
    ));
}

fn write(text: &str) {
    // A closed log must not stop a daemon.
    let _ = writeln!(std::io::stderr(), "{text}");
    if let Some(mut file) = FILE.get() {
        let _ = writeln!(file, "{text}");
    }
}
