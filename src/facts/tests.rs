//! The script run on this machine, and captured outputs.

use super::*;
use crate::modules::testing::act;
use crate::remote::Chunk;

fn here() -> IndexMap<String, Value> {
    let reply = act(&Chunk::new(script(&Subset::all(), "/nonexistent")));
    assert!(reply.ok(), "{}", reply.err());
    parse(&reply.stdout).unwrap().0
}

/// Facts that every Linux machine has.
#[test]
fn this_machine_has_facts() {
    let facts = here();
    for name in [
        "distribution",
        "distribution_version",
        "distribution_major_version",
        "os_family",
        "architecture",
        "machine",
        "kernel",
        "kernel_version",
        "system",
        "hostname",
        "nodename",
        "fqdn",
        "domain",
        "interfaces",
        "default_ipv4",
        "all_ipv4_addresses",
        "dns",
        "memtotal_mb",
        "memory_mb",
        "processor",
        "processor_vcpus",
        "processor_nproc",
        "mounts",
        "devices",
        "service_mgr",
        "pkg_mgr",
        "virtualization_type",
        "date_time",
        "env",
        "user_id",
        "user_dir",
        "uptime_seconds",
        "product_name",
        "selinux",
        "apparmor",
        "cmdline",
        "local",
        "is_chroot",
        "loadavg",
        "lo",
    ] {
        assert!(facts.contains_key(name), "{name}");
    }
    assert_eq!(facts["system"].as_str(), Some("Linux"));
}

#[test]
fn shells_read_the_script() {
    let script = script(&Subset::all(), "/etc/it's/facts.d");
    for shell in [&["dash"][..], &["bash", "--posix"], &["busybox", "sh"]] {
        let out = std::process::Command::new(shell[0])
            .args(&shell[1..])
            .args(["-n", "-c", &script])
            .output();
        let Ok(out) = out else { continue };
        assert!(
            out.status.success(),
            "{shell:?}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
    }
}

#[test]
fn subsets_are_read() {
    let read =
        |names: &[&str]| Subset::new(names).map(|s| (s.hardware, s.network, s.virtual_, s.general));
    assert_eq!(read(&["all"]), Ok((true, true, true, true)));
    assert_eq!(read(&["!all"]), Ok((false, false, false, false)));
    assert_eq!(read(&["!all", "network"]), Ok((false, true, false, false)));
    assert_eq!(read(&["network"]), Ok((false, true, false, false)));
    assert_eq!(read(&["all", "!hardware"]), Ok((false, true, true, true)));
    assert_eq!(read(&["!hardware"]), Ok((false, true, true, true)));
    assert_eq!(read(&["!all", "!min"]), Ok((false, false, false, false)));
    assert!(
        read(&["netwrok"])
            .unwrap_err()
            .contains("did you mean `network`")
    );
}

#[test]
fn a_cut_answer_is_an_error() {
    assert!(parse(b"\x1dfiles\n").is_err());
}

#[test]
fn local_facts_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("a.fact"), "[General]\nKey=1\n").unwrap();
    std::fs::write(path("b.fact"), "#!/bin/sh\necho '{\"x\": [1, 2]}'\n").unwrap();
    std::fs::write(path("c.fact"), "#!/bin/sh\necho bad >&2; exit 3\n").unwrap();
    for name in ["b.fact", "c.fact"] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(path(name), mode).unwrap();
    }
    let script = script(
        &Subset::new(&["!all"]).unwrap(),
        &dir.path().to_string_lossy(),
    );
    let (facts, warnings) = parse(&act(&Chunk::new(script)).stdout).unwrap();
    assert_eq!(text(&facts, "local.a.General.key"), "1");
    assert_eq!(text(&facts, "local.b.x.1"), "2");
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("rc: 3, err: bad"), "{warnings:?}");
}

/// A host's answer put together from sections.
fn told(sections: &[(&str, &str)]) -> IndexMap<String, Value> {
    let mut text = String::new();
    for (name, body) in sections {
        text.push_str(&format!("\x1d{name}\n{body}\n"));
    }
    text.push_str("\x1dend\n");
    parse(text.as_bytes()).unwrap().0
}

fn text(facts: &IndexMap<String, Value>, path: &str) -> String {
    let mut parts = path.split('.');
    let mut value = facts[parts.next().unwrap()].clone();
    for part in parts {
        value = match part.parse::<usize>() {
            Ok(index) => value.get_item_by_index(index).unwrap(),
            Err(_) => value.get_attr(part).unwrap(),
        };
    }
    value.to_string()
}

#[test]
fn distributions_are_told_apart() {
    for (os, lsb, debian, expected) in [
        (
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nID=debian",
            "",
            "12.11",
            ["Debian", "12.11", "bookworm", "12", "Debian"],
        ),
        (
            "PRETTY_NAME=\"Debian GNU/Linux trixie/sid\"\nNAME=\"Debian GNU/Linux\"\nVERSION_CODENAME=trixie\nID=debian",
            "",
            "trixie/sid",
            ["Debian", "NA", "trixie", "NA", "Debian"],
        ),
        (
            "NAME=\"Ubuntu\"\nVERSION=\"22.04.4 LTS (Jammy Jellyfish)\"\nID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"22.04\"\nVERSION_CODENAME=jammy",
            "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=22.04\nDISTRIB_CODENAME=jammy\nDISTRIB_DESCRIPTION=\"Ubuntu 22.04.4 LTS\"",
            "bookworm/sid",
            ["Ubuntu", "22.04", "jammy", "22", "Debian"],
        ),
        (
            "NAME=\"Ubuntu\"\nVERSION=\"14.04.6 LTS, Trusty Tahr\"\nID=ubuntu\nVERSION_ID=\"14.04\"",
            "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=14.04\nDISTRIB_CODENAME=trusty",
            "jessie/sid",
            ["Ubuntu", "14.04", "trusty", "14", "Debian"],
        ),
    ] {
        let prefix = |path: &str, text: &str| -> String {
            text.lines()
                .map(|line| format!("{path}:{line}\n"))
                .collect()
        };
        let files = prefix("/etc/os-release", os)
            + &prefix("/etc/lsb-release", lsb)
            + &prefix("/etc/debian_version", debian);
        let facts = told(&[("files", &files), ("base", "")]);
        let got = [
            "distribution",
            "distribution_version",
            "distribution_release",
            "distribution_major_version",
            "os_family",
        ]
        .map(|name| text(&facts, name));
        assert_eq!(got, expected);
    }
}

const SYS: &str = "/sys/class/net/eth0/address:02:fc:00:00:00:01\n/sys/class/net/eth0/mtu:1400\n\
                   /sys/class/net/eth0/operstate:up\n/sys/class/net/eth0/type:1\n/sys/class/net/eth0/flags:0x1003\n\
                   /sys/class/net/lo/address:00:00:00:00:00:00\n/sys/class/net/lo/mtu:65536\n/sys/class/net/lo/type:772\n";

#[test]
fn addresses_are_read_from_ip() {
    let facts = told(&[
        ("files", SYS),
        ("net", "eth0\nlo"),
        (
            "ip",
            "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever\n\
             2: eth0    inet 192.0.2.2/24 brd 192.0.2.255 scope global eth0\\       valid_lft forever\n\
             2: eth0    inet 192.0.2.9/24 brd 192.0.2.255 scope global secondary eth0:1\\       valid_lft forever\n\
             2: eth0    inet6 fd00::2/64 scope global \\       valid_lft forever\n\
             8.8.8.8 via 192.0.2.1 dev eth0 src 192.0.2.2 uid 0 \\    cache \n\
             local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1 \n\
             local 192.0.2.2 dev eth0 table local proto kernel scope host src 192.0.2.2 \n",
        ),
    ]);
    for (path, expected) in [
        ("default_ipv4.address", "192.0.2.2"),
        ("default_ipv4.gateway", "192.0.2.1"),
        ("default_ipv4.interface", "eth0"),
        ("default_ipv4.netmask", "255.255.255.0"),
        ("default_ipv4.network", "192.0.2.0"),
        ("default_ipv4.prefix", "24"),
        ("default_ipv4.macaddress", "02:fc:00:00:00:01"),
        ("default_ipv4.mtu", "1400"),
        ("default_ipv4.type", "ether"),
        ("default_ipv4.alias", "eth0"),
        ("eth0.ipv4.address", "192.0.2.2"),
        ("eth0.ipv4_secondaries.0.address", "192.0.2.9"),
        ("eth0_1.ipv4_secondaries.0.address", "192.0.2.9"),
        ("eth0.ipv6.0.scope", "global"),
        ("lo.ipv4.broadcast", ""),
        ("all_ipv4_addresses", "['192.0.2.2', '192.0.2.9']"),
        ("locally_reachable_ips.ipv4", "['127.0.0.0/8', '192.0.2.2']"),
    ] {
        assert_eq!(text(&facts, path), expected, "{path}");
    }
}

#[test]
fn addresses_are_known_without_ip() {
    let facts = told(&[
        ("files", SYS),
        ("net", "eth0\nlo"),
        (
            "proc-net",
            "/proc/net/route:Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
             /proc/net/route:eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
             /proc/net/route:eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
             /proc/net/if_inet6:fe800000000000000000000000000001 02 40 20 80     eth0",
        ),
        (
            "fib",
            "           |-- 127.0.0.1\n              /32 host LOCAL\n--\n           |-- 192.0.2.2\n              /32 host LOCAL",
        ),
    ]);
    for (path, expected) in [
        ("default_ipv4.address", "192.0.2.2"),
        ("default_ipv4.gateway", "192.0.2.1"),
        ("default_ipv4.netmask", "255.255.255.0"),
        ("eth0.ipv4.broadcast", "192.0.2.255"),
        ("eth0.ipv6.0.address", "fe80::1"),
        ("eth0.ipv6.0.scope", "link"),
        ("lo.ipv4.netmask", "255.0.0.0"),
    ] {
        assert_eq!(text(&facts, path), expected, "{path}");
    }
}

#[test]
fn processors_and_memory_are_counted() {
    let cpu = |n: u32, socket: u32, core: u32| {
        format!(
            "/proc/cpuinfo:processor\t: {n}\n/proc/cpuinfo:vendor_id\t: GenuineIntel\n/proc/cpuinfo:model name\t: X\n\
             /proc/cpuinfo:physical id\t: {socket}\n/proc/cpuinfo:siblings\t: 4\n/proc/cpuinfo:core id\t\t: {core}\n\
             /proc/cpuinfo:cpu cores\t: 2\n"
        )
    };
    let stats = (0..8).map(|n| cpu(n, n / 4, n % 2)).collect::<String>()
        + "/proc/meminfo:MemTotal:       24684000 kB\n/proc/meminfo:MemFree:        1024000 kB\n\
           /proc/meminfo:Buffers: 1024 kB\n/proc/meminfo:Cached: 2048 kB\n";
    let facts = told(&[
        ("files", ""),
        ("base", "machine x86_64"),
        ("stats", &stats),
        ("blocks", ""),
        ("cpu", "nproc: 8"),
    ]);
    for (path, expected) in [
        ("processor_count", "2"),
        ("processor_cores", "2"),
        ("processor_threads_per_core", "2"),
        ("processor_vcpus", "8"),
        ("processor_nproc", "8"),
        ("processor.2", "X"),
        ("memtotal_mb", "24105"),
        ("memory_mb.nocache.free", "1003"),
    ] {
        assert_eq!(text(&facts, path), expected, "{path}");
    }
}

#[test]
fn filters_select_by_name() {
    let facts = told(&[("files", ""), ("base", "")]);
    let names = |filters: &[&str]| -> Vec<String> {
        let filters: Vec<String> = filters.iter().map(|f| (*f).to_owned()).collect();
        select(&facts, &filters).into_keys().collect()
    };
    assert_eq!(names(&["ansible_pkg_*"]), ["pkg_mgr", "module_setup"]);
    assert_eq!(names(&["service_mgr"]), ["service_mgr", "module_setup"]);
    assert_eq!(names(&[]).len(), facts.len());
}
