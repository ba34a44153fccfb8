//! Names of modules that Ansible knows, supported here or not.
//!
//! An unknown name is an error at load; a known one that we do not support is an error only when a host
//! is about to run it, because roles name other systems' modules behind a `when`.

use crate::modules;

/// Collections and their modules, one line each; generated from ansible-core 2.19's routing table.
static TABLE: &str = include_str!("known_modules.txt");

/// What is known of a module's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Supported.
    Supported(&'static modules::Spec),
    /// Known to Ansible, not supported here.
    Unsupported,
    /// Nobody knows it.
    Unknown,
}

impl PartialEq for modules::Spec {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for modules::Spec {}

/// Looks a module's name up, short or with its collection.
#[must_use]
pub fn module(name: &str) -> Known {
    if let Some(spec) = modules::spec_of(name) {
        return Known::Supported(spec);
    }
    let parts: Vec<&str> = name.split('.').collect();
    let known = match parts[..] {
        [short] | ["ansible", "builtin" | "legacy", short] => {
            lines().any(|(_, mut names)| names.any(|n| n == short))
        }
        // A collection's modules are not all listed: the collection's name must do.
        [namespace, collection, _] => {
            let name = format!("{namespace}.{collection}");
            let listed = lines().any(|(c, _)| c == name);
            listed || crate::diag::near(&name, lines().map(|(c, _)| c)).is_none()
        }
        _ => false,
    };
    if known {
        Known::Unsupported
    } else {
        Known::Unknown
    }
}

/// Names to compare a mistyped one with: the supported modules first, then Ansible's own, each in the same form as the name.
#[must_use]
pub fn near(name: &str) -> Option<String> {
    let (collection, short) = name
        .rsplit_once('.')
        .map_or((None, name), |(c, s)| (Some(c), s));
    let supported = modules::specs().flat_map(|spec| spec.aliases.iter().chain([&spec.name]));
    let builtin = lines()
        .filter(|(c, _)| *c == "ansible.builtin")
        .flat_map(|(_, names)| names);
    let best =
        crate::diag::near(short, supported.copied()).or_else(|| crate::diag::near(short, builtin));
    let Some(collection) = collection else {
        return best.map(str::to_owned);
    };
    let near_collection = crate::diag::near(collection, lines().map(|(c, _)| c));
    let exact = lines().any(|(c, _)| c == collection || collection == "ansible.legacy");
    match (exact, near_collection, best) {
        (true, _, best) => best.map(|best| format!("{collection}.{best}")),
        (false, Some(collection), best) => Some(format!("{collection}.{}", best.unwrap_or(short))),
        (false, None, _) => None,
    }
}

/// The modules of ansible-core itself.
pub fn builtin() -> impl Iterator<Item = &'static str> {
    lines()
        .filter(|(collection, _)| *collection == "ansible.builtin")
        .flat_map(|(_, names)| names)
}

fn lines() -> impl Iterator<Item = (&'static str, impl Iterator<Item = &'static str>)> {
    TABLE
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(": "))
        .map(|(collection, names)| (collection, names.split(' ')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_unsupported_or_unknown() {
        assert!(matches!(module("set_fact"), Known::Supported(_)));
        assert!(matches!(
            module("ansible.builtin.set_fact"),
            Known::Supported(_)
        ));
        for name in [
            "dnf",
            "ansible.builtin.dnf",
            "ansible.legacy.seboolean",
            "seboolean",
            "docker",
            "a.b.c",
        ] {
            assert_eq!(module(name), Known::Unsupported, "{name}");
        }
        for name in [
            "set_fcat",
            "ansible.builtin.sebolean",
            "ansible.bultin.dnf",
            "a.b",
        ] {
            assert_eq!(module(name), Known::Unknown, "{name}");
        }
    }

    #[test]
    fn near_names_keep_the_form() {
        assert_eq!(near("set_fcat").as_deref(), Some("set_fact"));
        assert_eq!(
            near("ansible.bultin.debg").as_deref(),
            Some("ansible.builtin.debug")
        );
        assert_eq!(near("zzzzzz"), None);
    }
}
