//! Names of filters, tests, lookups and functions: which are ours, which are Ansible's, which are typos.

use super::value::Fault;
use super::value::undefined::fault;
use super::{filters, lookups, tests};
use crate::diag::near;

/// Collections whose names are taken with or without their prefix.
const COLLECTIONS: &[&str] = &[
    "ansible.builtin.",
    "ansible.legacy.",
    "ansible.utils.",
    "ansible.netcommon.",
    "ansible.posix.",
    "community.general.",
    "community.crypto.",
    "community.docker.",
];

/// A name without the prefix of its collection.
pub(crate) fn bare(name: &str) -> &str {
    COLLECTIONS
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

/// Filters that exist elsewhere and not here.
pub(crate) const OTHER_FILTERS: &[&str] = &[
    "cidr_merge",
    "consolidate",
    "crc32",
    "dns_rr",
    "fact_diff",
    "get_path",
    "hash_salt",
    "hashids_decode",
    "hashids_encode",
    "hwaddr",
    "index_of",
    "in_any_network",
    "in_network",
    "in_one_network",
    "ip4_hex",
    "ipv4_hex",
    "ipmath",
    "ipsubnet",
    "ipv6form",
    "jc",
    "json_diff",
    "json_patch",
    "json_patch_recipe",
    "lists",
    "macaddr",
    "network_in_network",
    "network_in_usable",
    "next_nth_usable",
    "nthhost",
    "openssl_csr_info",
    "openssl_privatekey_info",
    "openssl_publickey_info",
    "param_list_compare",
    "parse_cli",
    "parse_cli_textfsm",
    "parse_serial",
    "parse_xml",
    "previous_nth_usable",
    "random_mac",
    "reduce_on_network",
    "reveal_ansible_type",
    "slaac",
    "split_pem",
    "to_paths",
    "to_prettytable",
    "to_serial",
    "to_xml",
    "to_yaml_old",
    "type5_pw",
    "unicode_normalize",
    "usable_range",
    "validate",
    "vlan_expander",
    "vlan_parser",
    "x509_certificate_info",
    "x509_crl_info",
    "lipsum",
    "unvault",
    "vault",
    "xmlattr",
];

/// Tests that exist elsewhere and not here.
pub(crate) const OTHER_TESTS: &[&str] = &[
    "a_module",
    "ansible_type",
    "fqdn_valid",
    "in_any_network",
    "in_network",
    "in_one_network",
    "ip",
    "ip_address",
    "ipv4",
    "ipv4_address",
    "ipv4_hostmask",
    "ipv4_netmask",
    "ipv6",
    "ipv6_address",
    "ipv6_ipv4_mapped",
    "ipv6_sixtofour",
    "ipv6_teredo",
    "loopback",
    "mac",
    "multicast",
    "private",
    "public",
    "reserved",
    "resolvable",
    "subnet_of",
    "supernet_of",
    "unspecified",
    "validate",
];

/// Lookups that exist elsewhere and not here.
pub(crate) const OTHER_LOOKUPS: &[&str] = &[
    "aws_secret",
    "aws_ssm",
    "binary_file",
    "bitwarden",
    "bitwarden_secrets_manager",
    "chef_databag",
    "collection_version",
    "conjur_variable",
    "consul_kv",
    "credstash",
    "cyberarkpassword",
    "dependent",
    "dig",
    "dnstxt",
    "dsv",
    "etcd",
    "etcd3",
    "filetree",
    "get_path",
    "github_app_access_token",
    "hashi_vault",
    "hiera",
    "index_of",
    "k8s",
    "keyring",
    "lastpass",
    "lmdb_kv",
    "manifold",
    "merge_variables",
    "mongodb",
    "onepassword",
    "onepassword_doc",
    "onepassword_raw",
    "openssh_keypair",
    "passwordstore",
    "random_pet",
    "random_string",
    "random_words",
    "redis",
    "revbitspss",
    "shelvefile",
    "ssh_config",
    "to_paths",
    "tss",
    "validate",
    "vault_kv2_get",
];

/// What is wrong with a name.
#[derive(Debug, Clone)]
pub(crate) struct Unknown {
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Unknown {
    pub(crate) fn into_fault(self) -> Box<Fault> {
        let error = fault(self.message);
        match self.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

fn unknown<'a>(
    what: &str,
    name: &str,
    others: &[&'a str],
    ours: impl Iterator<Item = &'a str>,
) -> Unknown {
    let short = bare(name);
    if others.contains(&short) {
        return Unknown {
            message: format!("{what} `{name}` is not supported"),
            hint: Some(format!("Ansible has this {what}; mini-play does not")),
        };
    }
    Unknown {
        message: format!("unknown {what} `{name}`"),
        hint: near(
            short,
            ours.chain(others.iter().copied()).collect::<Vec<_>>(),
        )
        .map(|best| format!("did you mean `{best}`?")),
    }
}

pub(crate) fn unknown_filter(name: &str) -> Unknown {
    unknown("filter", name, OTHER_FILTERS, filters::names())
}

pub(crate) fn unknown_test(name: &str) -> Unknown {
    unknown("test", name, OTHER_TESTS, tests::names())
}

pub(crate) fn unknown_lookup(name: &str) -> Unknown {
    unknown("lookup", name, OTHER_LOOKUPS, lookups::names())
}

/// Filters, tests and lookups: what they are, the names we have, and those that are known and refused.
pub(crate) fn supported() -> [(&'static str, Vec<&'static str>, Vec<&'static str>); 3] {
    let sorted = |names: &mut dyn Iterator<Item = &'static str>| {
        let mut names: Vec<&str> = names.collect();
        names.sort_unstable();
        names.dedup();
        names
    };
    let of = |what, ours: &mut dyn Iterator<Item = &'static str>, others: &[&'static str]| {
        (what, sorted(ours), sorted(&mut others.iter().copied()))
    };
    [
        of("Filters", &mut filters::names(), OTHER_FILTERS),
        of("Tests", &mut tests::names(), OTHER_TESTS),
        of("Lookups", &mut lookups::names(), OTHER_LOOKUPS),
    ]
}

/// Whether a name may stand behind `|`; tests may, as they once did.
pub(crate) fn filter_exists(name: &str) -> bool {
    filters::find(name).is_some() || tests::find(name).is_some()
}

/// Whether a filter of that name is supported.
#[must_use]
pub fn is_filter(name: &str) -> bool {
    filter_exists(name)
}

/// Whether a test of that name is supported.
#[must_use]
pub fn is_test(name: &str) -> bool {
    tests::find(name).is_some()
}

/// Whether a lookup of that name is supported (also as `with_<name>`).
#[must_use]
pub fn is_lookup(name: &str) -> bool {
    lookups::find(name).is_some()
}
