//! Bytes of a stranger for each parser: nothing may panic, run without end, or fill the memory.
//!
//! The fuzzers of `fuzz/` come in here. `tests/inputs/parsers/NAME` holds what they start from for the function of that name; a test feeds
//! it whole, cut, and damaged. What once broke something goes there.

use crate::diag::{Diagnostic, Source};
use crate::inventory::Inventory;
use crate::modules::probe::{Probe, parse};
use crate::remote::kept::{Gate, Kept};
use crate::remote::ssh::config;
use crate::remote::{Chunk, LinkError};
use crate::report::Receipt;
use crate::vault::Vault;
use std::path::PathBuf;
use std::sync::LazyLock;
use zeroize::Zeroizing;

/// A user's YAML: the tree with its places, or an error that can be shown.
pub fn yaml(data: &[u8]) {
    let source = Source::new("fuzz.yml", String::from_utf8_lossy(data));
    if let Err(diagnostic) = crate::yaml::load_all(&source) {
        shown(&diagnostic);
    }
}

fn shown(diagnostic: &Diagnostic) {
    assert!(!diagnostic.render(false).is_empty());
}

/// A pattern of hosts.
pub fn inventory(data: &[u8]) {
    static HOSTS: LazyLock<Option<Inventory>> = LazyLock::new(|| {
        let hosts = PathBuf::from("web[1:9],db1.example,10.0.0.1,");
        Inventory::load_all(&[hosts], None, &Vault::default()).ok()
    });
    let pattern = String::from_utf8_lossy(data);
    if let Some(Err(diagnostic)) = HOSTS.as_ref().map(|hosts| hosts.select(&pattern, None)) {
        shown(&diagnostic);
    }
}

/// What a kept shell says: pieces between bytes 255, on its two streams in turn. `NONCE` stands for its nonce.
pub fn frames(data: &[u8]) {
    let said = async {
        let mut kept = Kept::new(Gate::default(), None, false)?;
        kept.begin(&[Chunk::plain(":"), Chunk::new(":")]).await?;
        for (at, piece) in data.split(|byte| *byte == 255).enumerate() {
            let mut rest = piece;
            while let Some(found) = rest.windows(5).position(|five| five == b"NONCE") {
                kept.output(at % 2, &rest[..found]);
                let nonce = kept.nonce().to_owned();
                kept.output(at % 2, nonce.as_bytes());
                rest = &rest[found + 5..];
            }
            kept.output(at % 2, rest);
        }
        drop(kept.progress());
        drop(kept.replies());
        Ok::<(), LinkError>(())
    };
    if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() {
        drop(runtime.block_on(said));
    }
}

/// What the observing script says.
pub fn probes(data: &[u8]) {
    let path = |path: &str, follow| Probe::Path {
        path: path.into(),
        follow,
    };
    let probes = [
        path("/etc/passwd", true),
        path("/a b", false),
        Probe::Digest {
            path: "/etc/passwd".into(),
            algorithm: "sha1",
        },
        Probe::User("bob".into()),
        Probe::Script("echo".into()),
        Probe::Expand("~/x".into()),
    ];
    drop(parse(&probes, data));
}

/// An encrypted text.
pub fn vault(data: &[u8]) {
    let vault = Vault::new(vec![("default".into(), Zeroizing::new("password".into()))]);
    drop(vault.text(&String::from_utf8_lossy(data)));
}

/// OpenSSH's client configuration. Other files are not read.
pub fn ssh_config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if !text.to_lowercase().contains("include") {
        drop(config::words_of(&text, "web1"));
    }
}

/// JSON of a host or of an earlier run, and what HTTP tools say around it.
pub fn json(data: &[u8]) {
    drop(crate::modules::http_answer(data));
    drop(serde_json::from_slice::<Receipt>(data));
    if let Ok(value) = serde_json::from_slice::<serde_json::Value>(data) {
        let span = crate::diag::Span::head(&Source::new("fuzz.json", ""));
        drop(crate::yaml::plain(&crate::yaml::from_json(&value, &span)));
    }
}

/// A parser's name, which is that of its folder, and its entrance.
pub type Target = (&'static str, fn(&[u8]));

/// Every parser.
pub const TARGETS: &[Target] = &[
    ("yaml", yaml),
    ("inventory", inventory),
    ("frames", frames),
    ("probes", probes),
    ("vault", vault),
    ("ssh_config", ssh_config),
    ("json", json),
];

#[cfg(test)]
mod tests {
    use super::TARGETS;
    use std::path::Path;

    #[test]
    fn strangers_break_nothing() {
        let inputs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inputs/parsers");
        for (name, target) in TARGETS {
            let mut count = 0;
            for entry in std::fs::read_dir(inputs.join(name)).unwrap() {
                let data = std::fs::read(entry.unwrap().path()).unwrap();
                target(&data);
                for at in (0..data.len().min(400)).step_by(7) {
                    target(&data[..at]);
                    let mut bad = data.clone();
                    bad[at] ^= 0x55;
                    // Deriving keys is slow on purpose.
                    if *name != "vault" {
                        target(&bad);
                    }
                }
                count += 1;
            }
            assert!(count > 0, "{name}");
        }
    }
}
