//! The options of a container: how the command line says them, and where `docker inspect` tells them.

use super::{pairs, scalar};
use crate::modules::Args;
use serde_json::Value as Json;

/// How an option is said and compared.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// One value.
    Text,
    /// Bytes, with units.
    Bytes,
    /// A number.
    Number,
    /// There or not.
    Flag,
    /// Values, all of which must be there.
    Set,
    /// Keys and values with `=`, in a list.
    Env,
    /// Keys and values, in an object.
    Labels,
    /// Keys and values joined with `:`, in a list.
    Hosts,
    /// Paths, with `:rw` when nothing is said.
    Binds,
}

/// An option: parameter, flag, where it is told, how.
pub(super) type Setting = (&'static str, &'static str, &'static str, Kind);

/// All of them.
pub(super) const OPTIONS: &[Setting] = &[
    ("hostname", "--hostname", "/Config/Hostname", Kind::Text),
    (
        "domainname",
        "--domainname",
        "/Config/Domainname",
        Kind::Text,
    ),
    ("user", "--user", "/Config/User", Kind::Text),
    ("working_dir", "--workdir", "/Config/WorkingDir", Kind::Text),
    (
        "stop_signal",
        "--stop-signal",
        "/Config/StopSignal",
        Kind::Text,
    ),
    (
        "network_mode",
        "--network",
        "/HostConfig/NetworkMode",
        Kind::Text,
    ),
    ("ipc_mode", "--ipc", "/HostConfig/IpcMode", Kind::Text),
    ("pid_mode", "--pid", "/HostConfig/PidMode", Kind::Text),
    ("uts", "--uts", "/HostConfig/UTSMode", Kind::Text),
    (
        "userns_mode",
        "--userns",
        "/HostConfig/UsernsMode",
        Kind::Text,
    ),
    (
        "cgroup_parent",
        "--cgroup-parent",
        "/HostConfig/CgroupParent",
        Kind::Text,
    ),
    (
        "cpuset_cpus",
        "--cpuset-cpus",
        "/HostConfig/CpusetCpus",
        Kind::Text,
    ),
    (
        "cpuset_mems",
        "--cpuset-mems",
        "/HostConfig/CpusetMems",
        Kind::Text,
    ),
    (
        "log_driver",
        "--log-driver",
        "/HostConfig/LogConfig/Type",
        Kind::Text,
    ),
    ("runtime", "--runtime", "/HostConfig/Runtime", Kind::Text),
    (
        "volume_driver",
        "--volume-driver",
        "/HostConfig/VolumeDriver",
        Kind::Text,
    ),
    ("memory", "--memory", "/HostConfig/Memory", Kind::Bytes),
    (
        "memory_reservation",
        "--memory-reservation",
        "/HostConfig/MemoryReservation",
        Kind::Bytes,
    ),
    (
        "memory_swap",
        "--memory-swap",
        "/HostConfig/MemorySwap",
        Kind::Bytes,
    ),
    ("shm_size", "--shm-size", "/HostConfig/ShmSize", Kind::Bytes),
    (
        "cpu_shares",
        "--cpu-shares",
        "/HostConfig/CpuShares",
        Kind::Number,
    ),
    (
        "cpu_period",
        "--cpu-period",
        "/HostConfig/CpuPeriod",
        Kind::Number,
    ),
    (
        "cpu_quota",
        "--cpu-quota",
        "/HostConfig/CpuQuota",
        Kind::Number,
    ),
    (
        "oom_score_adj",
        "--oom-score-adj",
        "/HostConfig/OomScoreAdj",
        Kind::Number,
    ),
    (
        "pids_limit",
        "--pids-limit",
        "/HostConfig/PidsLimit",
        Kind::Number,
    ),
    (
        "memory_swappiness",
        "--memory-swappiness",
        "/HostConfig/MemorySwappiness",
        Kind::Number,
    ),
    (
        "stop_timeout",
        "--stop-timeout",
        "/Config/StopTimeout",
        Kind::Number,
    ),
    (
        "privileged",
        "--privileged",
        "/HostConfig/Privileged",
        Kind::Flag,
    ),
    (
        "read_only",
        "--read-only",
        "/HostConfig/ReadonlyRootfs",
        Kind::Flag,
    ),
    ("auto_remove", "--rm", "/HostConfig/AutoRemove", Kind::Flag),
    ("init", "--init", "/HostConfig/Init", Kind::Flag),
    (
        "interactive",
        "--interactive",
        "/Config/OpenStdin",
        Kind::Flag,
    ),
    ("tty", "--tty", "/Config/Tty", Kind::Flag),
    (
        "oom_killer",
        "--oom-kill-disable",
        "/HostConfig/OomKillDisable",
        Kind::Flag,
    ),
    ("capabilities", "--cap-add", "/HostConfig/CapAdd", Kind::Set),
    ("cap_drop", "--cap-drop", "/HostConfig/CapDrop", Kind::Set),
    ("dns_servers", "--dns", "/HostConfig/Dns", Kind::Set),
    (
        "dns_opts",
        "--dns-option",
        "/HostConfig/DnsOptions",
        Kind::Set,
    ),
    (
        "dns_search_domains",
        "--dns-search",
        "/HostConfig/DnsSearch",
        Kind::Set,
    ),
    ("groups", "--group-add", "/HostConfig/GroupAdd", Kind::Set),
    (
        "security_opts",
        "--security-opt",
        "/HostConfig/SecurityOpt",
        Kind::Set,
    ),
    (
        "volumes_from",
        "--volumes-from",
        "/HostConfig/VolumesFrom",
        Kind::Set,
    ),
    ("volumes", "--volume", "/HostConfig/Binds", Kind::Binds),
    ("env", "--env", "/Config/Env", Kind::Env),
    ("labels", "--label", "/Config/Labels", Kind::Labels),
    (
        "log_options",
        "--log-opt",
        "/HostConfig/LogConfig/Config",
        Kind::Labels,
    ),
    ("sysctls", "--sysctl", "/HostConfig/Sysctls", Kind::Labels),
    (
        "storage_opts",
        "--storage-opt",
        "/HostConfig/StorageOpt",
        Kind::Labels,
    ),
    (
        "etc_hosts",
        "--add-host",
        "/HostConfig/ExtraHosts",
        Kind::Hosts,
    ),
];

/// Bytes of a size such as `512M`.
pub(super) fn bytes(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: f64 = digits.parse().ok()?;
    let unit = text[digits.len()..].to_lowercase();
    let power = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return None,
    };
    #[allow(clippy::cast_possible_truncation)]
    Some((number * f64::from(1024_i32).powi(power)) as i64)
}

/// The texts of an option's list.
fn texts(args: &Args, param: &str, kind: Kind) -> Vec<String> {
    match kind {
        Kind::Env | Kind::Labels => pairs(args.get(param))
            .into_iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect(),
        Kind::Hosts => pairs(args.get(param))
            .into_iter()
            .map(|(key, value)| format!("{key}:{value}"))
            .collect(),
        _ => args.list(param).iter().map(scalar).collect(),
    }
}

/// The words of an option for `docker create`.
pub(super) fn words(args: &Args, (param, flag, _, kind): &Setting) -> Vec<String> {
    if !args.has(param) {
        return Vec::new();
    }
    match kind {
        Kind::Text | Kind::Bytes | Kind::Number => {
            let text = args.text(param);
            if text.is_empty() {
                Vec::new()
            } else {
                vec![format!("{flag}={text}")]
            }
        }
        Kind::Flag if args.bool(param) => vec![(*flag).to_owned()],
        Kind::Flag => Vec::new(),
        kind => texts(args, param, *kind)
            .into_iter()
            .flat_map(|text| [(*flag).to_owned(), text])
            .collect(),
    }
}

/// Whether a container has an option as it is wanted.
pub(super) fn same(args: &Args, (param, _, place, kind): &Setting, now: &Json) -> bool {
    if !args.has(param) {
        return true;
    }
    let have = now.pointer(place).unwrap_or(&Json::Null);
    let list: Vec<&str> = have
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Json::as_str)
        .collect();
    let text = args.text(param);
    let wanted = texts(args, param, *kind);
    match kind {
        Kind::Text if *param == "network_mode" && text == "default" => {
            matches!(have.as_str(), Some("default" | "bridge"))
        }
        Kind::Text => have.as_str().unwrap_or_default() == text,
        Kind::Bytes if text.is_empty() => true,
        Kind::Bytes => have.as_i64().unwrap_or(0) == bytes(&text).unwrap_or(-1),
        Kind::Number => have.as_i64() == text.parse().ok(),
        Kind::Flag => have.as_bool().unwrap_or(false) == args.bool(param),
        Kind::Set | Kind::Env | Kind::Hosts => {
            wanted.iter().all(|text| list.contains(&text.as_str()))
        }
        Kind::Labels => super::holds(have, &pairs(args.get(param))),
        Kind::Binds => {
            let full = |text: &str| match text.split(':').count() {
                2 => format!("{text}:rw"),
                _ => text.to_owned(),
            };
            let have: Vec<String> = list.iter().map(|text| full(text)).collect();
            // A path alone is an anonymous volume.
            wanted.iter().all(|text| match text.contains(':') {
                true => have.contains(&full(text)),
                false => now
                    .pointer("/Config/Volumes")
                    .is_some_and(|v| v.get(text).is_some()),
            })
        }
    }
}

/// A published port as `[ip:]host:inside/protocol`, in its parts.
pub(super) fn port(text: &str) -> Option<(String, String, String)> {
    let (text, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (outside, inside) = text.rsplit_once(':')?;
    let (address, outside) = outside.rsplit_once(':').unwrap_or(("", outside));
    let address = address.trim_matches(['[', ']']);
    let address = if address == "0.0.0.0" { "" } else { address };
    Some((
        format!("{inside}/{protocol}"),
        address.to_owned(),
        outside.to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use super::{bytes, port};

    #[test]
    fn sizes_are_read() {
        assert_eq!(bytes("512M"), Some(512 << 20));
        assert_eq!(bytes("1.5g"), Some(3 << 29));
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes("100"), Some(100));
        assert_eq!(bytes("1x"), None);
    }

    #[test]
    fn ports_are_taken_apart() {
        let parts = |text| port(text).map(|(a, b, c)| format!("{a} {b} {c}"));
        assert_eq!(parts("80:8080").as_deref(), Some("8080/tcp  80"));
        assert_eq!(
            parts("127.0.0.1:53:53/udp").as_deref(),
            Some("53/udp 127.0.0.1 53")
        );
        assert_eq!(parts("0.0.0.0:80:80").as_deref(), Some("80/tcp  80"));
        assert_eq!(parts("80"), None);
    }
}
