//! ansible-core in an environment of its own, and its runs.

use super::Record;
use super::topic::{Topic, suite};
use serde_json::Value;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const CORE: &str = "ansible-core==2.19.14";
/// The release that has the collections; only these of them are unpacked.
const RELEASE: &str = "ansible==12.3.0";
const COLLECTIONS: &str = "
import glob, sys, zipfile
wheel = zipfile.ZipFile(glob.glob(sys.argv[1] + '/ansible-*.whl')[0])
kept = ('ansible/posix/', 'community/general/', 'community/docker/', 'community/library_inventory_filtering_v1/')
names = [n for n in wheel.namelist() if n.startswith(tuple('ansible_collections/' + k for k in kept)) and '/tests/' not in n]
wheel.extractall(sys.argv[2], names)
";

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

/// Its programs' folder; installed when it is not there.
pub fn install() -> PathBuf {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/differential");
    let venv = home.join("venv");
    let done = home.join("installed");
    let versions = format!("{CORE} {RELEASE}");
    if std::fs::read_to_string(&done).is_ok_and(|text| text == versions) {
        return venv.join("bin");
    }
    let _ = std::fs::remove_dir_all(&home);
    std::fs::create_dir_all(&home).unwrap();
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv));
    let pip = || Command::new(venv.join("bin/pip"));
    run(pip().args(["install", "-q", CORE]));
    run(pip()
        .args(["download", "-q", "--no-deps", "-d"])
        .arg(&home)
        .arg(RELEASE));
    run(Command::new("python3")
        .args(["-c", COLLECTIONS])
        .arg(&home)
        .arg(home.join("collections")));
    std::fs::write(&done, versions).unwrap();
    venv.join("bin")
}

/// Runs playbooks in one process; their results. Panics when it ends before the last of them.
pub fn play(bin: &Path, inventory: &Path, scratch: &Path, topics: &[&Topic]) -> Vec<Record> {
    let results = scratch.join("results.jsonl");
    let home = bin.join("../..");
    // Files, not pipes: ssh's master processes live on and would hold a pipe open.
    let said_path = scratch.join("said");
    let said_file = File::create(&said_path).unwrap();
    let status = Command::new(bin.join("ansible-playbook"))
        .current_dir(topics[0].path.parent().unwrap())
        .arg("-i")
        .arg(inventory)
        .args(topics.iter().map(|topic| &topic.path))
        .env("DIFFERENTIAL_RESULTS", &results)
        .env("ANSIBLE_CALLBACK_PLUGINS", suite().join("callback"))
        .env("ANSIBLE_STDOUT_CALLBACK", "results")
        .env("ANSIBLE_PIPELINING", "1")
        .env("ANSIBLE_COLLECTIONS_PATH", home.join("collections"))
        .env("ANSIBLE_HOME", scratch.join("home"))
        .env("ANSIBLE_RETRY_FILES_ENABLED", "0")
        .env(
            "ANSIBLE_SSH_ARGS",
            "-o ControlMaster=auto -o ControlPersist=60s -o BatchMode=yes",
        )
        .env("LC_ALL", "C.UTF-8")
        .env_remove("ANSIBLE_CONFIG")
        .stdin(Stdio::null())
        .stdout(said_file.try_clone().unwrap())
        .stderr(said_file)
        .status()
        .unwrap();
    let text = std::fs::read_to_string(&results).unwrap_or_default();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let ended = |topic: &Topic| {
        lines
            .iter()
            .any(|line| line["topic"] == topic.name.as_str() && line["recap"].is_object())
    };
    for topic in topics {
        assert!(
            ended(topic),
            "ansible-playbook ({status}) did not come to the end of {}: {}{:#}",
            topic.name,
            std::fs::read_to_string(&said_path).unwrap(),
            lines.last().unwrap_or(&Value::Null),
        );
    }
    lines
        .iter()
        .filter_map(|line| {
            Record::read(line["topic"].as_str()?, line).filter(|r| !r.host.is_empty())
        })
        .collect()
}
