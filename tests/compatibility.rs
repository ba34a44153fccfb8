//! `docs/compatibility.md` is what the tables say: `UPDATE_DOCS=1 cargo test --test compatibility` writes it anew.

use std::path::Path;
use std::process::Command;

#[test]
fn the_page_is_what_the_tables_say() {
    let output = Command::new(env!("CARGO_BIN_EXE_mini-play"))
        .args(["doc", "--compatibility"])
        .output()
        .unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/compatibility.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        kept == text,
        "docs/compatibility.md is stale: UPDATE_DOCS=1 cargo test --test compatibility writes it anew"
    );
}
