//! `ansible.cfg` and the environment variables beside it: the settings that change what a run does.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Settings we take: section, key, environment variable.
const TAKEN: &[(&str, &str, &str)] = &[
    ("defaults", "inventory", "ANSIBLE_INVENTORY"),
    ("defaults", "roles_path", "ANSIBLE_ROLES_PATH"),
    ("defaults", "collections_path", "ANSIBLE_COLLECTIONS_PATH"),
    ("defaults", "forks", "ANSIBLE_FORKS"),
    ("defaults", "timeout", "ANSIBLE_TIMEOUT"),
    ("defaults", "remote_user", "ANSIBLE_REMOTE_USER"),
    ("defaults", "private_key_file", "ANSIBLE_PRIVATE_KEY_FILE"),
    ("defaults", "host_key_checking", "ANSIBLE_HOST_KEY_CHECKING"),
    (
        "defaults",
        "vault_password_file",
        "ANSIBLE_VAULT_PASSWORD_FILE",
    ),
    (
        "defaults",
        "vault_identity_list",
        "ANSIBLE_VAULT_IDENTITY_LIST",
    ),
    ("defaults", "ask_pass", "ANSIBLE_ASK_PASS"),
    ("defaults", "force_handlers", "ANSIBLE_FORCE_HANDLERS"),
    ("privilege_escalation", "become", "ANSIBLE_BECOME"),
    ("privilege_escalation", "become_user", "ANSIBLE_BECOME_USER"),
    (
        "privilege_escalation",
        "become_method",
        "ANSIBLE_BECOME_METHOD",
    ),
    (
        "privilege_escalation",
        "become_ask_pass",
        "ANSIBLE_BECOME_ASK_PASS",
    ),
    ("tags", "run", "ANSIBLE_RUN_TAGS"),
    ("tags", "skip", "ANSIBLE_SKIP_TAGS"),
];

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Config {
    /// The file, if there is one.
    pub path: Option<PathBuf>,
    values: HashMap<String, String>,
}

impl Config {
    /// Reads the first of `$ANSIBLE_CONFIG`, `./ansible.cfg`, `~/.ansible.cfg` and `/etc/ansible/ansible.cfg`; the environment
    /// is stronger.
    pub(super) fn read() -> Self {
        let home = std::env::home_dir().map(|home| home.join(".ansible.cfg"));
        let places = [
            std::env::var_os("ANSIBLE_CONFIG").map(PathBuf::from),
            Some(PathBuf::from("ansible.cfg")),
            home,
            Some(PathBuf::from("/etc/ansible/ansible.cfg")),
        ];
        let path = places.into_iter().flatten().find(|path| path.is_file());
        let text = path
            .as_ref()
            .and_then(|path| std::fs::read_to_string(path).ok())
            .unwrap_or_default();
        let mut config = Self {
            values: parse(&text),
            path,
        };
        let dir = config.path.as_deref().and_then(Path::parent);
        let dir = dir.map(Path::to_path_buf).unwrap_or_default();
        // Paths in the file are seen from its folder.
        let paths = [
            ("inventory", ','),
            ("roles_path", ':'),
            ("collections_path", ':'),
            ("private_key_file", '\n'),
            ("vault_password_file", '\n'),
        ];
        for (key, between) in paths {
            if let Some(value) = config.values.get_mut(key) {
                let full = |part: &str| expand(part, &dir).display().to_string();
                let parts: Vec<String> = value.split(between).map(str::trim).map(full).collect();
                *value = parts.join(&between.to_string());
            }
        }
        for (section, key, variable) in TAKEN {
            if let Ok(value) = std::env::var(variable) {
                config.values.insert(name_of(section, key), value);
            }
        }
        config
    }

    /// A setting as text.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }

    /// A setting as a truth.
    pub(super) fn truth(&self, key: &str) -> Option<bool> {
        crate::modules::args::to_bool(&minijinja::Value::from(self.get(key)?))
    }

    /// Names of the settings that were found.
    pub(super) fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.values.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }
}

/// The settings of a file that we take, by name.
fn parse(text: &str) -> HashMap<String, String> {
    let mut section = "";
    let mut values = HashMap::new();
    for line in text.lines() {
        // A comment behind a value starts with ` ;`, as in Python's configparser the way Ansible sets it up.
        let line = line.split(" ;").next().unwrap_or_default().trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            section = name.trim();
        } else if let Some((key, value)) = line.split_once(['=', ':']) {
            let key = key.trim();
            if TAKEN.iter().any(|(s, k, _)| *s == section && *k == key) {
                values.insert(name_of(section, key), value.trim().to_owned());
            }
        }
    }
    values
}

/// `run` and `skip` say little by themselves.
fn name_of(section: &str, key: &str) -> String {
    if section == "tags" {
        format!("{key}_tags")
    } else {
        key.to_owned()
    }
}

/// `~` is the home, the rest is seen from a folder; a list of hosts stays one.
fn expand(text: &str, dir: &Path) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        _ => dir.join(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_sections_it_knows() {
        let values = parse(
            "# c\n[defaults]\nforks = 7 ; many\nnocows=1\n[privilege_escalation]\nbecome: true\nforks=9\n[tags]\nskip=a,b\n",
        );
        let mut found: Vec<(&str, &str)> = values
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        found.sort_unstable();
        assert_eq!(
            found,
            [("become", "true"), ("forks", "7"), ("skip_tags", "a,b")]
        );
    }
}
