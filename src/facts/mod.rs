//! Facts about a host, gathered without Python: one script ([`script`]) and its reader ([`parse`]).
//!
//! Names and values are those of ansible-core on the same host, without the `ansible_` prefix; those about
//! Python are there too, though the host needs none.

mod hardware;
mod local;
mod network;
mod python;
mod script;
mod system;
mod virtual_;

use crate::modules::sh::fnmatch;
use indexmap::IndexMap;
use minijinja::Value;
use serde_json::Value as Json;
use std::collections::HashMap;

/// Facts while they are made.
type Facts = serde_json::Map<String, Json>;

/// Kinds of facts, as `gather_subset` names them. What Ansible calls `min` is always gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subset {
    hardware: bool,
    network: bool,
    virtual_: bool,
    general: bool,
}

const HARDWARE: &[&str] = &[
    "hardware",
    "devices",
    "dmi",
    "mounts",
    "processor",
    "processor_cores",
    "processor_count",
];
const NETWORK: &[&str] = &[
    "network",
    "interfaces",
    "default_ipv4",
    "default_ipv6",
    "all_ipv4_addresses",
    "all_ipv6_addresses",
    "iscsi",
    "fibre_channel_wwn",
    "nvme",
];
const VIRTUAL: &[&str] = &[
    "virtual",
    "virtualization_type",
    "virtualization_role",
    "virtualization_tech_guest",
    "virtualization_tech_host",
];
const GENERAL: &[&str] = &["chroot", "is_chroot", "loadavg", "systemd"];
const MINIMAL: &[&str] = &[
    "min",
    "apparmor",
    "caps",
    "cmdline",
    "date_time",
    "distribution",
    "distribution_major_version",
    "distribution_release",
    "distribution_version",
    "dns",
    "effective_group_ids",
    "effective_user_id",
    "env",
    "facter",
    "fips",
    "local",
    "lsb",
    "machine",
    "machine_id",
    "ohai",
    "os_family",
    "architecture",
    "kernel",
    "kernel_version",
    "pkg_mgr",
    "platform",
    "python",
    "python_version",
    "real_user_id",
    "selinux",
    "service_mgr",
    "ssh_host_key_dsa_public",
    "ssh_host_key_ecdsa_public",
    "ssh_host_key_ed25519_public",
    "ssh_host_key_rsa_public",
    "ssh_host_pub_keys",
    "ssh_pub_keys",
    "system",
    "system_capabilities",
    "system_capabilities_enforced",
    "user",
    "user_dir",
    "user_gecos",
    "user_gid",
    "user_id",
    "user_shell",
    "user_uid",
];

impl Subset {
    /// Reads `gather_subset`.
    ///
    /// # Errors
    /// When it names a subset that Ansible does not know.
    pub fn new<S: AsRef<str>>(names: &[S]) -> Result<Self, String> {
        let none = Self {
            hardware: false,
            network: false,
            virtual_: false,
            general: false,
        };
        let mut subset = none;
        let mut only_excluded = true;
        let mut excluded = Vec::new();
        for name in names {
            let name = name.as_ref().trim();
            if let Some(name) = name.strip_prefix('!') {
                excluded.push(name);
                continue;
            }
            only_excluded = false;
            match name {
                "all" => {
                    subset = Self {
                        hardware: true,
                        network: true,
                        virtual_: true,
                        general: true,
                    }
                }
                name if HARDWARE.contains(&name) => subset.hardware = true,
                name if NETWORK.contains(&name) => subset.network = true,
                name if VIRTUAL.contains(&name) => subset.virtual_ = true,
                name if GENERAL.contains(&name) => subset.general = true,
                name if MINIMAL.contains(&name) => {}
                name => {
                    let known = [HARDWARE, NETWORK, VIRTUAL, GENERAL, MINIMAL].concat();
                    let near = crate::diag::near(name, known.iter().copied())
                        .map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                    return Err(format!("unknown subset of facts `{name}`{near}"));
                }
            }
        }
        // `!hardware` alone means all but that; after a name that was asked for, it only takes away.
        if only_excluded
            && !excluded.contains(&"all")
            && !(names.is_empty())
            && excluded.iter().any(|n| *n != "min")
            || names.is_empty()
        {
            subset = Self {
                hardware: true,
                network: true,
                virtual_: true,
                general: true,
            };
        }
        let asked = |group: &[&str]| {
            names
                .iter()
                .any(|name| group.contains(&name.as_ref().trim()))
        };
        for name in excluded {
            let all = name == "all";
            subset.hardware &= !(all || name == "hardware") || asked(HARDWARE);
            subset.network &= !(all || name == "network") || asked(NETWORK);
            subset.virtual_ &= !(all || name == "virtual") || asked(VIRTUAL);
            subset.general &= !all || asked(GENERAL);
        }
        Ok(subset)
    }

    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Self {
            hardware: true,
            network: true,
            virtual_: true,
            general: true,
        }
    }
}

/// One POSIX sh script that prints what [`parse`] reads. `fact_path` is the folder of local facts, empty for none.
#[must_use]
pub fn script(subset: &Subset, fact_path: &str) -> String {
    script::write(subset, fact_path)
}

/// The facts in the script's output, without the `ansible_` prefix, and warnings about local facts that could not be read.
///
/// # Errors
/// When the output is cut or not of that script.
pub fn parse(stdout: &[u8]) -> Result<(IndexMap<String, Value>, Vec<String>), String> {
    let text = String::from_utf8_lossy(stdout);
    let told = Told::read(&text)?;
    let mut facts = Facts::new();
    let mut warnings = Vec::new();
    system::add(&told, &mut facts);
    python::add(&told, &mut facts);
    local::add(&told, &mut facts, &mut warnings);
    if told.sections.contains_key("blocks") {
        hardware::add(&told, &mut facts);
    }
    if told.sections.contains_key("net") {
        network::add(&told, &mut facts);
    }
    if told.sections.contains_key("virtual") {
        virtual_::add(&told, &mut facts);
    }
    facts.insert("module_setup".into(), true.into());
    let facts = facts
        .into_iter()
        .map(|(name, value)| (name, Value::from(minijinja::value::Serde(value))))
        .collect();
    Ok((facts, warnings))
}

/// The facts that `filter` of `setup` asks for: patterns of names, with or without `ansible_`.
#[must_use]
pub fn select(facts: &IndexMap<String, Value>, filters: &[String]) -> IndexMap<String, Value> {
    let filters: Vec<&String> = filters.iter().filter(|filter| !filter.is_empty()).collect();
    facts
        .iter()
        .filter(|(name, _)| {
            filters.is_empty()
                || matches!(name.as_str(), "module_setup" | "gather_subset")
                || filters.iter().any(|filter| {
                    fnmatch(filter, name) || fnmatch(filter, &format!("ansible_{name}"))
                })
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The script's output, in sections, and the small files it printed.
struct Told<'a> {
    sections: HashMap<&'a str, Vec<&'a str>>,
    /// Local facts: whether executable, exit status, file name, text.
    local: Vec<(&'a str, &'a str)>,
    files: HashMap<&'a str, Vec<&'a str>>,
}

impl<'a> Told<'a> {
    fn read(text: &'a str) -> Result<Self, String> {
        let mut told = Self {
            sections: HashMap::new(),
            local: Vec::new(),
            files: HashMap::new(),
        };
        for part in text.split(script::MARK).skip(1) {
            let (name, body) = part.split_once('\n').unwrap_or((part, ""));
            if let Some(head) = name.strip_prefix("local ") {
                told.local.push((head, body));
            } else {
                told.sections.insert(name, body.lines().collect());
            }
        }
        if !told.sections.contains_key("end") {
            return Err("the host's answer about its facts was cut".into());
        }
        for section in ["files", "stats", "block-files", "proc-net"] {
            for line in told.sections.get(section).into_iter().flatten() {
                if let Some((path, content)) = line.split_once(':') {
                    told.files.entry(path).or_default().push(content);
                }
            }
        }
        Ok(told)
    }

    /// Lines of a section.
    fn lines(&self, section: &str) -> &[&'a str] {
        self.sections.get(section).map_or(&[], Vec::as_slice)
    }

    /// What follows a word at the start of a line of a section.
    fn word(&self, section: &str, word: &str) -> Option<&'a str> {
        self.lines(section)
            .iter()
            .find_map(|line| line.strip_prefix(word)?.strip_prefix(' '))
            .map(str::trim)
    }

    /// Whether a section has this line.
    fn has(&self, section: &str, line: &str) -> bool {
        self.lines(section).contains(&line)
    }

    /// A file's text, stripped; `None` when it is missing or empty, as Ansible's `get_file_content`.
    fn file(&self, path: &str) -> Option<String> {
        let text = self.files.get(path)?.join("\n").trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    /// A file that holds an integer.
    fn number(&self, path: &str) -> Option<i64> {
        self.file(path)?.parse().ok()
    }

    /// Symbolic links that `ls -l` printed: path and target.
    fn links(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.lines("links").iter().filter_map(|line| {
            let (left, target) = line.rsplit_once(" -> ")?;
            let at = left.find(" /")?;
            Some((&left[at + 1..], target))
        })
    }

    /// The lines of a file that were asked for.
    fn file_lines(&self, path: &str) -> &[&'a str] {
        self.files.get(path).map_or(&[], Vec::as_slice)
    }
}

/// The last part of a path.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests;
