//! Files of `mini-play vault`: read, replaced whole, changed in an editor; what is plain lies nowhere longer than it must.

use anyhow::{Context as _, Result, bail};
use std::fs::{File, OpenOptions, Permissions};
use std::io::{IsTerminal as _, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use zeroize::Zeroizing;

/// The name of standard input and output.
pub(super) const STDIO: &str = "-";

/// Reads a file, or standard input.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    let read = if path == Path::new(STDIO) {
        if std::io::stdin().is_terminal() {
            eprintln!("Reading from standard input (Ctrl-D ends it)");
        }
        std::io::stdin().read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    read.with_context(|| format!("failed to read {}", path.display()))?;
    Ok(bytes)
}

/// Replaces a file, or writes to standard output. Owner and mode stay; a new file is for its owner alone.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let context = || format!("failed to write {}", path.display());
    if path == Path::new(STDIO) {
        let mut out = std::io::stdout().lock();
        return out
            .write_all(bytes)
            .and_then(|()| out.flush())
            .context("failed to write to standard output");
    }
    // Through a symbolic link to the file itself.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let old = OpenOptions::new().write(true).open(&target).ok();
    let dir = match target.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let mut file = tempfile::NamedTempFile::new_in(dir).with_context(context)?;
    file.write_all(bytes).with_context(context)?;
    if let Some(old) = &old {
        let meta = old.metadata().with_context(context)?;
        if !meta.is_file() {
            bail!("{} is not a file", path.display());
        }
        // Only root may give files away.
        let _ = std::os::unix::fs::fchown(file.as_file(), Some(meta.uid()), Some(meta.gid()));
        let mode = Permissions::from_mode(meta.mode() & 0o7777);
        file.as_file().set_permissions(mode).with_context(context)?;
    }
    file.as_file().sync_all().with_context(context)?;
    file.persist(&target)
        .map_err(|why| why.error)
        .with_context(context)?;
    old.map_or(Ok(()), |old| wipe(&old)).with_context(context)
}

/// Overwrites what a file held that has no name any more.
fn wipe(mut file: &File) -> std::io::Result<()> {
    let meta = file.metadata()?;
    if meta.nlink() > 0 {
        return Ok(());
    }
    file.rewind()?;
    std::io::copy(&mut std::io::repeat(0).take(meta.len()), &mut file)?;
    file.sync_data()
}

/// Lets the user change a text in the editor, and gives what it has become. It lies in memory where the system offers
/// that, in a folder for its owner alone.
pub(super) fn edited(name: &Path, text: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let base = ["XDG_RUNTIME_DIR", "TMPDIR"]
        .into_iter()
        .filter_map(|name| std::env::var_os(name).map(PathBuf::from))
        .find(|dir| dir.is_dir())
        .unwrap_or_else(std::env::temp_dir);
    let dir = tempfile::Builder::new()
        .prefix("mini-play-vault-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(base)
        .context("failed to make a folder for the editor")?;
    // With its own name, for the editor to know what it is.
    let path = dir
        .path()
        .join(name.file_name().unwrap_or("vault".as_ref()));
    OpenOptions::new()
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(text))
        .context("failed to write for the editor")?;
    let editor = std::env::var("EDITOR")
        .ok()
        .filter(|text| !text.trim().is_empty());
    let editor = editor.unwrap_or_else(|| "vi".to_owned());
    let words = shlex::split(&editor).unwrap_or_default();
    let [program, args @ ..] = words.as_slice() else {
        bail!("the editor `{editor}` of $EDITOR makes no sense");
    };
    let status = Command::new(program).args(args).arg(&path).status();
    let new = read(&path);
    // Whatever happened, nothing plain stays behind.
    for entry in std::fs::read_dir(dir.path())
        .into_iter()
        .flatten()
        .flatten()
    {
        if let Ok(file) = OpenOptions::new().write(true).open(entry.path())
            && std::fs::remove_file(entry.path()).is_ok()
        {
            let _ = wipe(&file);
        }
    }
    let status = status.with_context(|| format!("failed to run the editor `{editor}`"))?;
    if !status.success() {
        bail!("the editor `{editor}` failed: {status}; nothing was written");
    }
    new
}

/// Shows a text, in a pager on a terminal.
pub(super) fn show(text: &[u8]) -> Result<()> {
    if !std::io::stdout().is_terminal() {
        return write(Path::new(STDIO), text);
    }
    let pager = std::env::var("PAGER").unwrap_or_else(|_| "less".to_owned());
    let started = Command::new("/bin/sh")
        .args([
            "-c",
            &format!("command -v {} >/dev/null && exec {pager}", first(&pager)),
        ])
        .env(
            "LESS",
            std::env::var("LESS").unwrap_or_else(|_| "FRX".into()),
        )
        .stdin(Stdio::piped())
        .spawn();
    if let Ok(mut child) = started {
        // A pager that is left early has shown enough.
        let wrote = child.stdin.take().map(|mut pipe| pipe.write_all(text));
        if child.wait().is_ok_and(|status| status.success()) && wrote.is_some() {
            return Ok(());
        }
    }
    write(Path::new(STDIO), text)
}

fn first(words: &str) -> &str {
    words.split_whitespace().next().unwrap_or("less")
}

/// Asks on the terminal.
pub(super) fn ask(prompt: &str, echo: bool) -> Result<Zeroizing<String>> {
    let context = "failed to ask (there is no terminal)";
    if !echo {
        return rpassword::prompt_password(prompt)
            .map(Zeroizing::new)
            .context(context);
    }
    let tty = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/tty")
        .context(context)?;
    (&tty).write_all(prompt.as_bytes()).context(context)?;
    let mut line = Zeroizing::new(String::new());
    std::io::BufRead::read_line(&mut std::io::BufReader::new(&tty), &mut line).context(context)?;
    Ok(Zeroizing::new(
        line.trim_end_matches(['\n', '\r']).to_owned(),
    ))
}
