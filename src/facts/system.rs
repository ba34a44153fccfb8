//! Facts that every run has: platform, distribution, date, user, environment and other small things.

use super::{Facts, Told, base};
use regex::Regex;
use serde_json::{Map, Value as Json, json};

pub(super) fn add(told: &Told, facts: &mut Facts) {
    distribution(told, facts);
    platform(told, facts);
    date_time(told, facts);
    environment(told, facts);
    cmdline(told, facts);
    dns(told, facts);
    managers(told, facts);
    security(told, facts);
    ssh_keys(told, facts);
    if told.sections.contains_key("general") {
        general(told, facts);
    }
}

/// A `KEY=value` line's value without quotes.
fn setting(text: &str, key: &str) -> Option<String> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
}

const DEBIAN: &[&str] = &[
    "Debian",
    "Ubuntu",
    "Raspbian",
    "Neon",
    "KDE neon",
    "Linux Mint",
    "SteamOS",
    "Devuan",
    "Kali",
    "Cumulus Linux",
    "Pop!_OS",
    "Parrot",
    "Pardus GNU/Linux",
    "Uos",
    "Deepin",
    "OSMC",
    "Linux Mint Debian Edition",
];
const RED_HAT: &[&str] = &[
    "RedHat",
    "Fedora",
    "CentOS",
    "OracleLinux",
    "Amazon",
    "AlmaLinux",
    "Rocky",
    "openEuler",
];

fn distribution(told: &Told, facts: &mut Facts) {
    let os = told.file("/etc/os-release").unwrap_or_default();
    let lsb = told.file("/etc/lsb-release").unwrap_or_default();
    let debian_version = told.file("/etc/debian_version").unwrap_or_default();
    let id = setting(&os, "ID").unwrap_or_default();
    let name = setting(&os, "NAME").unwrap_or_default();
    let version_id = setting(&os, "VERSION_ID");
    let numbers = Regex::new(r"(\d+)\.(\d+)")
        .ok()
        .and_then(|regex| regex.captures(&debian_version).map(|c| c[2].to_owned()));
    let (mut version, mut minor) = (version_id.clone().unwrap_or_else(|| "NA".into()), None);
    let mut release = setting(&os, "VERSION_CODENAME")
        .or_else(|| setting(&os, "UBUNTU_CODENAME"))
        .or_else(|| setting(&lsb, "DISTRIB_CODENAME"));
    let in_brackets = || {
        let pretty = setting(&os, "PRETTY_NAME")?;
        let (_, rest) = pretty.split_once('(')?;
        Some(rest.split(')').next()?.to_owned())
    };
    let distribution = match id.as_str() {
        "debian" | "raspbian" => {
            release = in_brackets().or(release);
            // os-release has no minor version, debian_version has.
            if numbers.is_some() {
                version.clone_from(&debian_version);
            }
            minor = numbers;
            "Debian".to_owned()
        }
        "ubuntu" => "Ubuntu".into(),
        "linuxmint" => "Linux Mint".into(),
        "devuan" => "Devuan".into(),
        "kali" => "Kali".into(),
        "pop" => "Pop!_OS".into(),
        "rhel" => "RedHat".into(),
        "centos" => "CentOS".into(),
        "almalinux" => "AlmaLinux".into(),
        "rocky" => "Rocky".into(),
        "ol" => "OracleLinux".into(),
        "amzn" => "Amazon".into(),
        "alpine" => "Alpine".into(),
        "arch" => "Archlinux".into(),
        _ if name.is_empty() => "NA".into(),
        _ => name,
    };
    let like = setting(&os, "ID_LIKE").unwrap_or_default();
    let family = if DEBIAN.contains(&distribution.as_str()) {
        "Debian"
    } else if RED_HAT.contains(&distribution.as_str()) {
        "RedHat"
    } else if distribution.to_lowercase().contains("suse") || like.contains("suse") {
        "Suse"
    } else {
        &distribution
    };
    let major = version.split('.').next().unwrap_or("NA").to_owned();
    facts.insert("distribution".into(), json!(distribution));
    facts.insert("distribution_version".into(), json!(version));
    facts.insert(
        "distribution_release".into(),
        json!(release.clone().unwrap_or_else(|| "NA".into())),
    );
    facts.insert("distribution_major_version".into(), json!(major));
    facts.insert("distribution_file_path".into(), json!("/etc/os-release"));
    facts.insert(
        "distribution_file_variety".into(),
        json!(if family == "Debian" {
            "Debian"
        } else {
            &distribution
        }),
    );
    facts.insert("distribution_file_parsed".into(), json!(true));
    if let Some(minor) = minor {
        facts.insert("distribution_minor_version".into(), json!(minor));
    }
    facts.insert("os_family".into(), json!(family));
    facts.insert(
        "lsb".into(),
        lsb_facts(told, &os, &lsb, version_id, release),
    );
}

/// What `lsb_release -a` would say, without running it.
fn lsb_facts(
    told: &Told,
    os: &str,
    lsb: &str,
    version: Option<String>,
    release: Option<String>,
) -> Json {
    if !told.has("base", "lsb_release") && lsb.is_empty() {
        return json!({});
    }
    let id = setting(lsb, "DISTRIB_ID").or_else(|| match setting(os, "ID")?.as_str() {
        "debian" => Some("Debian".into()),
        "ubuntu" => Some("Ubuntu".into()),
        "raspbian" => Some("Raspbian".into()),
        _ => setting(os, "NAME"),
    });
    let description = setting(lsb, "DISTRIB_DESCRIPTION").or_else(|| setting(os, "PRETTY_NAME"));
    let number = setting(lsb, "DISTRIB_RELEASE").or(version);
    let codename = setting(lsb, "DISTRIB_CODENAME").or(release);
    let mut map = Map::new();
    let major = number
        .as_ref()
        .and_then(|number| number.split('.').next())
        .map(str::to_owned);
    for (key, value) in [
        ("id", id),
        ("description", description),
        ("release", number),
        ("codename", codename),
        ("major_release", major),
    ] {
        if let Some(value) = value {
            map.insert(key.into(), json!(value));
        }
    }
    Json::Object(map)
}

/// The Python that a host happens to have; nothing of ours needs it.
fn python(told: &Told, facts: &mut Facts) {
    let Some((path, version)) = told
        .word("base", "python")
        .and_then(|text| text.rsplit_once(" Python "))
    else {
        return;
    };
    let mut numbers = version.split('.').map(|part| {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().unwrap_or(0)
    });
    let [major, minor, micro] = std::array::from_fn(|_| numbers.next().unwrap_or(0));
    facts.insert(
        "python".into(),
        json!({
            "executable": path,
            "has_sslcontext": true,
            "type": "cpython",
            "version": {"major": major, "minor": minor, "micro": micro, "releaselevel": "final", "serial": 0},
            "version_info": [major, minor, micro, "final", 0],
        }),
    );
    facts.insert("python_version".into(), json!(version));
}

fn platform(told: &Told, facts: &mut Facts) {
    let text = |path: &str| told.file(path).unwrap_or_default();
    let machine = told.word("base", "machine").unwrap_or_default();
    let bits = told.word("base", "bits").unwrap_or("64");
    let node = text("/proc/sys/kernel/hostname");
    let short = node.split('.').next().unwrap_or_default().to_owned();
    let x86_32 = ["i386", "i486", "i586", "i686"].contains(&machine);
    facts.insert("system".into(), json!(text("/proc/sys/kernel/ostype")));
    facts.insert("kernel".into(), json!(text("/proc/sys/kernel/osrelease")));
    facts.insert(
        "kernel_version".into(),
        json!(text("/proc/sys/kernel/version")),
    );
    facts.insert("machine".into(), json!(machine));
    facts.insert(
        "architecture".into(),
        json!(if x86_32 { "i386" } else { machine }),
    );
    facts.insert("userspace_bits".into(), json!(bits));
    python(told, facts);
    if machine == "x86_64" || x86_32 {
        let userspace = if bits == "32" { "i386" } else { "x86_64" };
        facts.insert("userspace_architecture".into(), json!(userspace));
    }
    let fqdn = fqdn(told, &node);
    let domain = fqdn.split_once('.').map_or("", |(_, domain)| domain);
    facts.insert("domain".into(), json!(domain));
    facts.insert("hostname".into(), json!(short));
    facts.insert("nodename".into(), json!(node));
    facts.insert("fqdn".into(), json!(fqdn));
    let id = told
        .file("/var/lib/dbus/machine-id")
        .or_else(|| told.file("/etc/machine-id"));
    if let Some(id) = id {
        facts.insert(
            "machine_id".into(),
            json!(id.lines().next().unwrap_or_default()),
        );
    }
    let ids = |word: &str| -> (i64, i64) {
        let mut numbers = told
            .word("base", word)
            .unwrap_or_default()
            .split(' ')
            .filter_map(|n| n.parse().ok());
        (numbers.next().unwrap_or(-1), numbers.next().unwrap_or(-1))
    };
    let (uid, gid) = (ids("uid"), ids("gid"));
    if let Some(line) = told.lines("user").first() {
        let fields: Vec<&str> = line.split(':').collect();
        let field = |i: usize| fields.get(i).copied().unwrap_or_default();
        facts.insert("user_id".into(), json!(field(0)));
        facts.insert(
            "user_uid".into(),
            json!(field(2).parse::<i64>().unwrap_or(uid.1)),
        );
        facts.insert(
            "user_gid".into(),
            json!(field(3).parse::<i64>().unwrap_or(gid.1)),
        );
        facts.insert("user_gecos".into(), json!(field(4)));
        facts.insert("user_dir".into(), json!(field(5)));
        facts.insert("user_shell".into(), json!(field(6)));
    }
    facts.insert("real_user_id".into(), json!(uid.0));
    facts.insert("effective_user_id".into(), json!(uid.1));
    facts.insert("real_group_id".into(), json!(gid.0));
    facts.insert("effective_group_id".into(), json!(gid.1));
}

/// Python's `getfqdn`: the first name with a dot that the host's own address has, else its canonical name.
fn fqdn(told: &Told, node: &str) -> String {
    let names: Vec<&str> = told
        .lines("hosts")
        .first()
        .map(|line| line.split_whitespace().skip(1).collect())
        .unwrap_or_default();
    names
        .iter()
        .find(|name| name.contains('.'))
        .or(names.first())
        .map_or_else(|| node.to_owned(), |name| (*name).to_owned())
}

fn date_time(told: &Told, facts: &mut Facts) {
    let lines = told.lines("date");
    let words: Vec<&str> = lines
        .first()
        .map(|line| line.split(' ').collect())
        .unwrap_or_default();
    let word = |i: usize| words.get(i).copied().unwrap_or_default();
    let micros: String = word(1)
        .chars()
        .filter(char::is_ascii_digit)
        .take(6)
        .collect();
    let (epoch, tz, offset) = (word(0), word(11), word(12));
    let [
        year,
        month,
        weekday,
        number,
        week,
        day,
        hour,
        minute,
        second,
    ] = [2, 3, 4, 5, 6, 7, 8, 9, 10].map(word);
    let utc = epoch
        .parse::<i64>()
        .ok()
        .and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok())
        .map(|t| {
            format!(
                "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}",
                t.year(),
                u8::from(t.month()),
                t.day(),
                t.hour(),
                t.minute(),
                t.second()
            )
        })
        .unwrap_or_default();
    // The zone's other name: that of the half of the year with the larger offset.
    let dst = lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(' '))
        .max_by_key(|(_, offset)| offset.parse::<i32>().unwrap_or(0))
        .map_or(tz, |(name, _)| name);
    facts.insert(
        "date_time".into(),
        json!({
            "year": year, "month": month, "weekday": weekday, "weekday_number": number, "weeknumber": week,
            "day": day, "hour": hour, "minute": minute, "second": second, "epoch": epoch, "epoch_int": epoch,
            "date": format!("{year}-{month}-{day}"),
            "time": format!("{hour}:{minute}:{second}"),
            "iso8601_micro": format!("{utc}.{micros}Z"),
            "iso8601": format!("{utc}Z"),
            "iso8601_basic": format!("{year}{month}{day}T{hour}{minute}{second}{micros}"),
            "iso8601_basic_short": format!("{year}{month}{day}T{hour}{minute}{second}"),
            "tz": tz, "tz_dst": dst, "tz_offset": offset,
        }),
    );
}

fn environment(told: &Told, facts: &mut Facts) {
    let env: Map<String, Json> = told
        .lines("env")
        .iter()
        .filter_map(|line| line.split_once('='))
        // These are the kept shell's own.
        .filter(|(key, value)| *key != "MP_TMP" && !(*key == "LC_ALL" && *value == "C"))
        .map(|(key, value)| (key.to_owned(), json!(value.replace('\x1e', "\n"))))
        .collect();
    facts.insert("env".into(), Json::Object(env));
}

fn cmdline(told: &Told, facts: &mut Facts) {
    let Some(text) = told.file("/proc/cmdline") else {
        return;
    };
    let (mut last, mut all) = (Map::new(), Map::new());
    for word in words(&text) {
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key.to_owned(), json!(value)),
            None => (word, json!(true)),
        };
        last.insert(key.clone(), value.clone());
        match all.get_mut(&key) {
            Some(Json::Array(list)) => list.push(value),
            Some(_) if value == json!(true) => {}
            Some(first) => *first = json!([first.clone(), value]),
            None => {
                all.insert(key, value);
            }
        }
    }
    facts.insert("cmdline".into(), Json::Object(last));
    facts.insert("proc_cmdline".into(), Json::Object(all));
}

/// Words between blanks; quotes hold words together and stay.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in text.chars() {
        match quote {
            None if c.is_whitespace() => {
                words.push(String::new());
                continue;
            }
            None if c == '"' || c == '\'' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        if let Some(word) = words.last_mut() {
            word.push(c);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn dns(told: &Told, facts: &mut Facts) {
    let mut dns = Map::new();
    let mut servers = Vec::new();
    for line in told.file("/etc/resolv.conf").unwrap_or_default().lines() {
        if line.starts_with(['#', ';']) {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some((key, rest)) = words.split_first() else {
            continue;
        };
        match *key {
            "nameserver" => {
                servers.extend(rest.iter().map(|word| json!(word)));
                dns.insert("nameservers".into(), Json::Array(servers.clone()));
            }
            "domain" if !rest.is_empty() => {
                dns.insert("domain".into(), json!(rest[0]));
            }
            "search" | "sortlist" => {
                dns.insert((*key).into(), json!(rest));
            }
            "options" => {
                let options: Map<String, Json> = rest
                    .iter()
                    .map(|option| match option.split_once(':') {
                        Some((name, value)) if !value.is_empty() => (name.to_owned(), json!(value)),
                        Some((name, _)) => (name.to_owned(), json!(true)),
                        None => ((*option).to_owned(), json!(true)),
                    })
                    .collect();
                dns.insert("options".into(), Json::Object(options));
            }
            _ => {}
        }
    }
    facts.insert("dns".into(), Json::Object(dns));
}

fn managers(told: &Told, facts: &mut Facts) {
    let first = told.file("/proc/1/comm").unwrap_or_default();
    let first = base(&first);
    let has = |line: &str| told.has("base", line);
    let service = match first {
        "" | "init" => None,
        name if name.ends_with("sh") => None,
        "procd" => Some("openwrt_init"),
        "runit-init" => Some("runit"),
        "svscan" => Some("svc"),
        "openrc-init" => Some("openrc"),
        name => Some(name),
    };
    let service = service.unwrap_or(if has("systemctl") && has("booted") {
        "systemd"
    } else if has("upstart") {
        "upstart"
    } else if has("openrc") {
        "openrc"
    } else if has("systemctl")
        && told
            .word("base", "init")
            .is_some_and(|init| base(init) == "systemd")
    {
        "systemd"
    } else if has("sysvinit") {
        "sysvinit"
    } else {
        "service"
    });
    facts.insert("service_mgr".into(), json!(service));
    let debian = facts.get("os_family") == Some(&json!("Debian"));
    let tool = told
        .lines("base")
        .iter()
        .filter_map(|line| line.strip_prefix("pkg "))
        .next_back();
    let packages = match tool {
        _ if debian => "apt",
        Some("apt-get") => "apt",
        Some("yum" | "dnf-3") => "dnf",
        Some("rpm-ostree") => "atomic_container",
        Some(other) => other,
        None => "unknown",
    };
    facts.insert("pkg_mgr".into(), json!(packages));
}

fn security(told: &Told, facts: &mut Facts) {
    let apparmor = if told.has("base", "apparmor") {
        "enabled"
    } else {
        "disabled"
    };
    facts.insert("apparmor".into(), json!({"status": apparmor}));
    let selinux = match told.word("base", "selinux") {
        Some(mode) => {
            let mode = if mode == "1" {
                "enforcing"
            } else {
                "permissive"
            };
            json!({"status": "enabled", "mode": mode, "config_mode": mode, "policyvers": "unknown", "type": "unknown"})
        }
        None => json!({"status": "disabled"}),
    };
    facts.insert("selinux".into(), selinux);
    facts.insert("selinux_python_present".into(), json!(true));
    let fips = told.file("/proc/sys/crypto/fips_enabled").as_deref() == Some("1");
    facts.insert("fips".into(), json!(fips));
    let (enforced, capabilities) = match told
        .lines("caps")
        .first()
        .and_then(|line| line.strip_prefix("Current:"))
    {
        Some(text) if text.trim() == "=ep" => (json!("False"), json!([])),
        Some(text) => {
            let list: Vec<&str> = text
                .split('=')
                .nth(1)
                .unwrap_or_default()
                .split(',')
                .map(str::trim)
                .collect();
            (json!("True"), json!(list))
        }
        None => (json!("N/A"), json!("N/A")),
    };
    facts.insert("system_capabilities_enforced".into(), enforced);
    facts.insert("system_capabilities".into(), capabilities);
}

fn ssh_keys(told: &Told, facts: &mut Facts) {
    for algorithm in ["dsa", "rsa", "ecdsa", "ed25519"] {
        let Some(line) = told.file(&format!("/etc/ssh/ssh_host_{algorithm}_key.pub")) else {
            continue;
        };
        let mut words = line.split_whitespace();
        if let (Some(kind), Some(key)) = (words.next(), words.next()) {
            facts.insert(format!("ssh_host_key_{algorithm}_public"), json!(key));
            facts.insert(
                format!("ssh_host_key_{algorithm}_public_keytype"),
                json!(kind),
            );
        }
    }
}

fn general(told: &Told, facts: &mut Facts) {
    facts.insert("is_chroot".into(), json!(told.has("general", "chroot")));
    if let Some(text) = told.file("/proc/loadavg") {
        let loads: Vec<f64> = text
            .split(' ')
            .take(3)
            .filter_map(|n| n.parse().ok())
            .collect();
        if let [one, five, fifteen] = loads[..] {
            facts.insert(
                "loadavg".into(),
                json!({"1m": one, "5m": five, "15m": fifteen}),
            );
        }
    }
    if let [head, features, ..] = told.lines("systemd") {
        let version = head.split(' ').nth(1).and_then(|n| n.parse::<i64>().ok());
        facts.insert(
            "systemd".into(),
            json!({"features": features, "version": version}),
        );
    }
}
