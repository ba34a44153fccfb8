//! Hostile strings through real shells: as arguments, contents, paths, environment and user names. Bytes are compared.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use mini_play::modules::sh::{join, quote};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// What means something to some shell, some tool, or some reader of lines.
const PIECES: &[&str] = &[
    "'",
    "''",
    "\"",
    "\\",
    "\\\\",
    "`",
    "`touch canary`",
    "$",
    "$(touch canary)",
    "${IFS}",
    "$HOME",
    "$'x'",
    "$((1))",
    "\n",
    "\r",
    "\t",
    " ",
    "  ",
    ";",
    ";touch canary;",
    "&",
    "&&",
    "|",
    "||",
    "<",
    ">",
    ">canary",
    "*",
    "?",
    "[a-z]",
    "~",
    "~root",
    "!",
    "!!",
    "#",
    "%",
    "%s",
    "%n",
    "=",
    "-",
    "--",
    "-rf",
    "{a,b}",
    "(",
    ")",
    "/",
    "..",
    ".",
    "^",
    ":",
    "\u{1}",
    "\u{7f}",
    "\u{1b}[31m",
    "\u{e9}",
    "\u{1f600}",
    "\u{202e}",
    "\u{2028}",
    "\\n",
    "\\0",
    "a",
    "b c",
    "0",
];

const SHELLS: [&[&str]; 3] = [&["dash"], &["bash", "--posix"], &["busybox", "sh"]];

/// The same strings at every run.
fn strings(count: usize) -> Vec<String> {
    let mut state: u64 = 0x5eed_0001;
    let mut next = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut strings: Vec<String> = PIECES.iter().map(|piece| (*piece).to_owned()).collect();
    strings.push(String::new());
    while strings.len() < count {
        let pieces = 1 + next(6);
        strings.push((0..pieces).map(|_| PIECES[next(PIECES.len())]).collect());
    }
    strings
}

/// Runs a script in a shell, in this folder; standard output.
fn run(shell: &[&str], dir: &Path, script: &str) -> Vec<u8> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), script).unwrap();
    let output = Command::new(shell[0])
        .args(&shell[1..])
        .arg(file.path())
        .current_dir(dir)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shell:?}: {said}");
    output.stdout
}

fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts: Vec<&[u8]> = bytes.split(|byte| *byte == 0).collect();
    parts.pop();
    parts
}

#[test]
fn words_come_out_as_they_went_in() {
    let all = strings(10_000);
    let bytes: Vec<&[u8]> = all.iter().map(String::as_bytes).collect();
    for shell in SHELLS {
        let dir = tempfile::tempdir().unwrap();
        // Arguments, one by one and joined.
        let mut script = String::new();
        for part in all.chunks(500) {
            writeln!(script, "printf '%s\\0' {}", join(part)).unwrap();
        }
        let out = run(shell, dir.path(), &script);
        assert!(split(&out) == bytes, "{shell:?}: arguments");
        // The environment of another program.
        let mut script = String::new();
        for (at, part) in all.chunks(500).enumerate() {
            writeln!(script, "(").unwrap();
            for (n, text) in part.iter().enumerate() {
                writeln!(
                    script,
                    "X{:06}={}; export X{0:06}",
                    at * 500 + n,
                    quote(text)
                )
                .unwrap();
            }
            writeln!(script, "env -0)").unwrap();
        }
        let out = run(shell, dir.path(), &script);
        let seen: BTreeMap<&[u8], &[u8]> = split(&out)
            .into_iter()
            .filter(|entry| entry.starts_with(b"X0"))
            .map(|entry| (&entry[..7], &entry[8..]))
            .collect();
        assert!(
            seen.into_values().collect::<Vec<_>>() == bytes,
            "{shell:?}: environment"
        );
        // Contents and paths: a name has no slash in it, and at most 255 bytes.
        let names: BTreeMap<String, &String> = all
            .iter()
            .map(|text| (text.replace('/', "_"), text))
            .filter(|(name, _)| !matches!(name.as_str(), "" | "." | "..") && name.len() < 256)
            .collect();
        let mut script = String::new();
        for (name, text) in &names {
            writeln!(
                script,
                "printf %s {} >{}",
                quote(text),
                quote(&format!("./{name}"))
            )
            .unwrap();
        }
        run(shell, dir.path(), &script);
        let mut made = 0;
        for entry in std::fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            let name = String::from_utf8(path.file_name().unwrap().as_bytes().to_vec()).unwrap();
            let text = names
                .get(&name)
                .unwrap_or_else(|| panic!("{shell:?} made {name:?}"));
            assert_eq!(
                std::fs::read(&path).unwrap(),
                text.as_bytes(),
                "{shell:?}: {name:?}"
            );
            made += 1;
        }
        assert_eq!(made, names.len(), "{shell:?}");
    }
}

/// The same through a whole run on this machine: tasks take the strings from variables.
#[test]
fn variables_reach_programs_and_files_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let some = strings(160);
    let files: Vec<_> = some
        .iter()
        .map(|text| text.replace('/', "_"))
        // A path may hold variables of the environment, as in Ansible.
        .filter(|name| !name.is_empty() && !name.contains('$'))
        .take(60)
        .collect();
    let environment: BTreeMap<String, &String> = some
        .iter()
        .enumerate()
        .map(|(at, text)| (format!("MP_X{at}"), text))
        .collect();
    let vars = serde_json::json!({ "strings": some, "files": files, "variables": environment });
    // As JSON it is YAML, and `!unsafe` is not needed: nothing in it looks like a template.
    std::fs::write(at("vars.json"), vars.to_string()).unwrap();
    std::fs::create_dir(at("made")).unwrap();
    std::fs::write(
        at("play.yml"),
        r#"
- hosts: all
  gather_facts: false
  vars: {here: "{{ playbook_dir }}"}
  tasks:
    - command:
        expand_argument_vars: false
        argv: "{{ ['sh', '-c', 'printf \"%s\\\\0\" \"$@\" >' ~ here ~ '/arguments', 'sh'] + strings }}"
    - shell: 'env -0 >{{ here }}/environment'
      environment: "{{ variables }}"
    - copy: {content: "{{ item }}", dest: "{{ here }}/made/x{{ item }}"}
      loop: "{{ files }}"
    - file: {path: "{{ here }}/made/d{{ item }}", state: directory}
      loop: "{{ files[:30] }}"
    - file: {path: "{{ here }}/play.yml", owner: "{{ item }}-nobody"}
      loop: "{{ strings[:30] }}"
      register: owners
      ignore_errors: true
    - assert: {that: "owners.results | select('failed') | length == 30"}
    - command: {argv: [touch, "canary\0"]}
      register: nul_argument
      ignore_errors: true
    - copy: {content: x, dest: "{{ here }}/canary\0"}
      register: nul_path
      ignore_errors: true
    - command: touch canary
      environment: {X: "a\0b"}
      register: nul_value
      ignore_errors: true
    - command: 'true'
      environment: "{{ {'X=1; touch canary; Y': '1'} }}"
      register: name
      ignore_errors: true
    - assert: {that: nul_argument is failed and nul_path is failed and nul_value is failed and name is failed}
    - copy: {content: "a\0b", dest: "{{ here }}/bytes"}
"#,
    )
    .unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_mini-play"))
        .current_dir(dir.path())
        .args([
            "apply",
            "localhost,",
            "-c",
            "local",
            "-p",
            "play.yml",
            "-e",
            "@vars.json",
        ])
        .env("MINI_PLAY_STATE", at("state"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let bytes: Vec<&[u8]> = some.iter().map(String::as_bytes).collect();
    let out = std::fs::read(at("arguments")).unwrap();
    assert!(split(&out) == bytes, "arguments");
    let out = std::fs::read(at("environment")).unwrap();
    let seen: BTreeMap<usize, &[u8]> = split(&out)
        .into_iter()
        .filter_map(|entry| entry.strip_prefix(b"MP_X"))
        .map(|entry| {
            let cut = entry.iter().position(|byte| *byte == b'=').unwrap();
            let number = std::str::from_utf8(&entry[..cut]).unwrap().parse().unwrap();
            (number, &entry[cut + 1..])
        })
        .collect();
    assert!(
        seen.into_values().collect::<Vec<_>>() == bytes,
        "environment"
    );
    for name in &files {
        let path = at("made").join(format!("x{name}"));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), *name);
    }
    assert!(
        files[..30]
            .iter()
            .all(|name| at("made").join(format!("d{name}")).is_dir())
    );
    assert_eq!(std::fs::read(at("bytes")).unwrap(), b"a\0b");
    for name in ["canary", "made/canary"] {
        assert!(!at(name).exists(), "{name}");
    }
}
