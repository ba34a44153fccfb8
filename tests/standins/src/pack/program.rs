//! The program itself, which goes into every package: it must run on older releases than the one it was built on.

use anyhow::{Context, bail};
use std::path::PathBuf;

/// This program's file, when it is static.
pub fn own() -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe().context("where is this program?")?;
    let image = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if wants_loader(&image) {
        bail!(
            "{} is linked dynamically and would not start on older releases: build it with tests/standins/build.sh",
            path.display()
        );
    }
    Ok(path)
}

/// Whether a 64-bit little-endian ELF image names a dynamic loader (PT_INTERP).
fn wants_loader(image: &[u8]) -> bool {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, width: usize| -> usize {
        let bytes = image.get(at..at + width).unwrap_or_default();
        bytes
            .iter()
            .rev()
            .fold(0, |value, byte| value << 8 | usize::from(*byte))
    };
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).any(|entry| number(table + entry * size, 4) as u64 == PT_INTERP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_wants_a_loader_and_nothing_does_not() {
        assert!(wants_loader(&std::fs::read("/bin/sh").unwrap()));
        assert!(!wants_loader(&[]));
    }
}
