//! Facts about processors, memory, disks, mounts and what the firmware says.

use super::{Facts, Told, base};
use serde_json::{Map, Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn add(told: &Told, facts: &mut Facts) {
    memory(told, facts);
    processors(told, facts);
    firmware(told, facts);
    let links = Links::read(told);
    devices(told, &links, facts);
    mounts(told, &links, facts);
    if let Some(uptime) = told.file("/proc/uptime") {
        let seconds = uptime.split('.').next().and_then(|s| s.parse::<i64>().ok());
        facts.insert("uptime_seconds".into(), json!(seconds));
    }
    facts.insert("lvm".into(), json!("N/A"));
}

/// `key : value` lines of `/proc/meminfo`, `/proc/cpuinfo` and of our own.
fn stats<'a>(told: &'a Told) -> impl Iterator<Item = (&'a str, &'a str)> {
    told.file_lines("/proc/meminfo")
        .iter()
        .chain(told.file_lines("/proc/cpuinfo"))
        .chain(told.lines("cpu"))
        .filter_map(|line| line.split_once(':'))
        .map(|(key, value)| (key.trim(), value.trim()))
}

fn memory(told: &Told, facts: &mut Facts) {
    let mb = |wanted: &str| -> Option<i64> {
        let (_, value) = stats(told).find(|(key, _)| *key == wanted)?;
        Some(value.split(' ').next()?.parse::<i64>().ok()? / 1024)
    };
    let difference = |a: Option<i64>, b: Option<i64>| Some(a? - b?);
    for (fact, key) in [
        ("memtotal_mb", "MemTotal"),
        ("memfree_mb", "MemFree"),
        ("swaptotal_mb", "SwapTotal"),
        ("swapfree_mb", "SwapFree"),
    ] {
        if let Some(value) = mb(key) {
            facts.insert(fact.into(), json!(value));
        }
    }
    let (total, free) = (mb("MemTotal"), mb("MemFree"));
    let nocache = (|| Some(mb("Cached")? + free? + mb("Buffers")?))();
    facts.insert(
        "memory_mb".into(),
        json!({
            "real": {"total": total, "used": difference(total, free), "free": free},
            "nocache": {"free": nocache, "used": difference(total, nocache)},
            "swap": {
                "total": mb("SwapTotal"), "free": mb("SwapFree"),
                "used": difference(mb("SwapTotal"), mb("SwapFree")), "cached": mb("SwapCached"),
            },
        }),
    );
}

fn processors(told: &Told, facts: &mut Facts) {
    let mut list = Vec::new();
    let (mut vendors, mut models, mut numbers, mut named) = (0, 0, 0, 0);
    // Insertion order matters: the first socket and the first core speak for all.
    let mut sockets: Vec<(String, i64)> = Vec::new();
    let mut cores: Vec<(String, i64)> = Vec::new();
    let (mut socket, mut core) = (String::from("0"), String::from("0"));
    let put = |map: &mut Vec<(String, i64)>, key: &str, value: i64| match map
        .iter_mut()
        .find(|(k, _)| k == key)
    {
        Some(entry) => entry.1 = value,
        None => map.push((key.to_owned(), value)),
    };
    for (key, value) in stats(told) {
        match key {
            "model name" | "Processor" | "vendor_id" | "cpu" | "Vendor" | "processor" => {
                list.push(json!(value));
                named += 1;
                vendors += i64::from(key == "vendor_id");
                models += i64::from(key == "model name");
                numbers += i64::from(key == "processor");
            }
            "physical id" => {
                value.clone_into(&mut socket);
                if !sockets.iter().any(|(k, _)| k == value) {
                    put(&mut sockets, value, 1);
                }
            }
            "core id" => {
                value.clone_into(&mut core);
                if !sockets.iter().any(|(k, _)| k == value) {
                    put(&mut cores, value, 1);
                }
            }
            "cpu cores" => put(&mut sockets, &socket, value.parse().unwrap_or(1)),
            "siblings" => put(&mut cores, &core, value.parse().unwrap_or(1)),
            "flags" => {
                let flags: Vec<&str> = value.split_whitespace().collect();
                facts.insert("flags".into(), json!(flags));
            }
            _ => {}
        }
    }
    let architecture = facts
        .get("architecture")
        .and_then(Json::as_str)
        .unwrap_or_default();
    let count = if ["armv", "aarch", "ppc"]
        .iter()
        .any(|a| architecture.starts_with(a))
    {
        numbers
    } else if vendors > 0 && vendors == models {
        vendors
    } else {
        named
    };
    let count = if sockets.is_empty() {
        count
    } else {
        i64::try_from(sockets.len()).unwrap_or(1)
    };
    let per_socket = sockets.first().map_or(1, |(_, n)| *n).max(1);
    let siblings = cores.first().map_or(1, |(_, n)| *n);
    let threads = round_half_even(siblings, per_socket);
    let nproc = stats(told)
        .find(|(key, _)| *key == "nproc")
        .and_then(|(_, value)| value.parse::<i64>().ok())
        .unwrap_or(numbers);
    facts.insert("processor".into(), Json::Array(list));
    facts.insert("processor_count".into(), json!(count));
    facts.insert("processor_cores".into(), json!(per_socket));
    facts.insert("processor_threads_per_core".into(), json!(threads));
    facts.insert(
        "processor_vcpus".into(),
        json!(threads * count * per_socket),
    );
    facts.insert("processor_nproc".into(), json!(nproc));
}

/// Python's `round(a / b)`: halves go to the even neighbour.
fn round_half_even(a: i64, b: i64) -> i64 {
    let (whole, rest) = (a / b, a % b);
    match (rest * 2).cmp(&b) {
        std::cmp::Ordering::Less => whole,
        std::cmp::Ordering::Greater => whole + 1,
        std::cmp::Ordering::Equal => whole + whole % 2,
    }
}

const FORM_FACTORS: &[&str] = &[
    "Unknown",
    "Other",
    "Unknown",
    "Desktop",
    "Low Profile Desktop",
    "Pizza Box",
    "Mini Tower",
    "Tower",
    "Portable",
    "Laptop",
    "Notebook",
    "Hand Held",
    "Docking Station",
    "All In One",
    "Sub Notebook",
    "Space-saving",
    "Lunch Box",
    "Main Server Chassis",
    "Expansion Chassis",
    "Sub Chassis",
    "Bus Expansion Chassis",
    "Peripheral Chassis",
    "RAID Chassis",
    "Rack Mount Chassis",
    "Sealed-case PC",
    "Multi-system",
    "CompactPCI",
    "AdvancedTCA",
    "Blade",
    "Blade Enclosure",
    "Tablet",
    "Convertible",
    "Detachable",
    "IoT Gateway",
    "Embedded PC",
    "Mini PC",
    "Stick PC",
];

fn firmware(told: &Told, facts: &mut Facts) {
    for (fact, file) in [
        ("bios_date", "bios_date"),
        ("bios_vendor", "bios_vendor"),
        ("bios_version", "bios_version"),
        ("board_asset_tag", "board_asset_tag"),
        ("board_name", "board_name"),
        ("board_serial", "board_serial"),
        ("board_vendor", "board_vendor"),
        ("board_version", "board_version"),
        ("chassis_asset_tag", "chassis_asset_tag"),
        ("chassis_serial", "chassis_serial"),
        ("chassis_vendor", "chassis_vendor"),
        ("chassis_version", "chassis_version"),
        ("form_factor", "chassis_type"),
        ("product_name", "product_name"),
        ("product_serial", "product_serial"),
        ("product_uuid", "product_uuid"),
        ("product_version", "product_version"),
        ("system_vendor", "sys_vendor"),
    ] {
        let text = told.file(&format!("/sys/devices/virtual/dmi/id/{file}"));
        let text = match (fact, text) {
            (_, None) => "NA".to_owned(),
            ("form_factor", Some(number)) => number
                .parse::<usize>()
                .ok()
                .and_then(|n| FORM_FACTORS.get(n))
                .map_or_else(|| format!("unknown ({number})"), |name| (*name).to_owned()),
            (_, Some(text)) => text,
        };
        facts.insert(fact.into(), json!(text));
    }
}

/// Symbolic links to block devices.
#[derive(Default)]
struct Links {
    /// By kind (`ids`, `uuids`, `labels`, `masters`) and device.
    kinds: BTreeMap<&'static str, BTreeMap<String, BTreeSet<String>>>,
    /// `/dev/mapper/x` to `dm-0`.
    mapper: BTreeMap<String, String>,
}

impl Links {
    fn read(told: &Told) -> Self {
        let mut links = Self::default();
        for kind in ["ids", "uuids", "labels", "masters"] {
            links.kinds.insert(kind, BTreeMap::new());
        }
        for (path, target) in told.links() {
            let (kind, device, name) = if path.starts_with("/dev/mapper/") {
                links
                    .mapper
                    .insert(path.to_owned(), base(target).to_owned());
                continue;
            } else if path.starts_with("/dev/disk/by-id/") {
                ("ids", base(target), base(path))
            } else if path.starts_with("/dev/disk/by-uuid/") {
                ("uuids", base(target), base(path))
            } else if path.starts_with("/dev/disk/by-label/") {
                ("labels", base(target), base(path))
            } else if let Some(master) = path.strip_prefix("/sys/block/") {
                (
                    "masters",
                    base(path),
                    master.split('/').next().unwrap_or_default(),
                )
            } else {
                continue;
            };
            let devices = links.kinds.entry(kind).or_default();
            devices
                .entry(device.to_owned())
                .or_default()
                .insert(name.to_owned());
        }
        links
    }

    fn of(&self, device: &str) -> Json {
        self.kinds
            .iter()
            .map(|(kind, devices)| {
                let names: Vec<&String> = devices.get(device).into_iter().flatten().collect();
                ((*kind).to_owned(), json!(names))
            })
            .collect::<Map<_, _>>()
            .into()
    }

    fn uuid(&self, device: &str) -> Option<&str> {
        let device = self
            .mapper
            .get(device)
            .map_or_else(|| base(device), String::as_str);
        self.kinds
            .get("uuids")?
            .get(device)?
            .first()
            .map(String::as_str)
    }
}

fn devices(told: &Told, links: &Links, facts: &mut Facts) {
    let mut devices = Map::new();
    for block in told.lines("blocks") {
        let dir = format!("/sys/block/{block}");
        let file = |leaf: &str| told.file(&format!("{dir}/{leaf}"));
        let sector = file("queue/logical_block_size").unwrap_or_else(|| "512".into());
        let (sectors, size) = size(told, &format!("{dir}/size"), &sector);
        let scheduler = file("queue/scheduler").unwrap_or_default();
        let mode = scheduler
            .split_once('[')
            .and_then(|(_, rest)| rest.split_once(']'))
            .map_or("", |(mode, _)| mode);
        let discard = if file("queue/discard_max_hw_bytes").as_deref() == Some("0") {
            Some("0".into())
        } else {
            file("queue/discard_granularity")
        };
        let mut map = Map::new();
        map.insert("virtual".into(), json!(1));
        map.insert("links".into(), links.of(block));
        map.insert("vendor".into(), json!(file("device/vendor")));
        map.insert("model".into(), json!(file("device/model")));
        map.insert("sas_address".into(), Json::Null);
        map.insert("sas_device_handle".into(), Json::Null);
        if let Some(serial) = file("device/serial") {
            map.insert("serial".into(), json!(serial));
        }
        map.insert("removable".into(), json!(file("removable")));
        map.insert("support_discard".into(), json!(discard));
        map.insert("partitions".into(), partitions(told, links, block, &dir));
        map.insert("rotational".into(), json!(file("queue/rotational")));
        map.insert("scheduler_mode".into(), json!(mode));
        map.insert("sectors".into(), json!(sectors));
        map.insert("sectorsize".into(), json!(sector));
        map.insert("size".into(), json!(size));
        map.insert("host".into(), json!(""));
        let holders: Vec<String> = told
            .files
            .iter()
            .filter(|(path, _)| path.starts_with(&format!("{dir}/holders/")))
            .map(|(_, name)| name.join(""))
            .collect();
        map.insert("holders".into(), json!(holders));
        devices.insert((*block).into(), Json::Object(map));
    }
    facts.insert("devices".into(), Json::Object(devices));
    facts.insert("device_links".into(), json!(links.kinds));
}

fn partitions(told: &Told, links: &Links, block: &str, dir: &str) -> Json {
    let mut partitions = Map::new();
    let mut names: Vec<&str> = told
        .files
        .keys()
        .filter_map(|path| {
            path.strip_prefix(dir)?
                .strip_prefix('/')?
                .strip_suffix("/start")
        })
        .filter(|name| name.starts_with(block))
        .collect();
    names.sort_unstable();
    for name in names {
        let (sectors, size) = size(told, &format!("{dir}/{name}/size"), "512");
        partitions.insert(
            name.into(),
            json!({
                "links": links.of(name),
                "start": told.file(&format!("{dir}/{name}/start")).unwrap_or_else(|| "0".into()),
                "sectorsize": 512,
                "sectors": sectors,
                "size": size,
                "uuid": links.uuid(name),
                "holders": [],
            }),
        );
    }
    Json::Object(partitions)
}

/// Sectors of a device in its own size, and that for people; the kernel counts in 512 bytes.
fn size(told: &Told, path: &str, sector: &str) -> (i64, String) {
    let sector: i64 = sector.parse().unwrap_or(512).max(1);
    let sectors = told.number(path).unwrap_or(0) * 512 / sector;
    (sectors, human(sectors * sector))
}

/// Ansible's `bytes_to_human`.
#[allow(clippy::cast_precision_loss)] // two decimals are shown
fn human(bytes: i64) -> String {
    for (suffix, power) in [
        ("YB", 80),
        ("ZB", 70),
        ("EB", 60),
        ("PB", 50),
        ("TB", 40),
        ("GB", 30),
        ("MB", 20),
        ("KB", 10),
    ] {
        if power < 63 && bytes >= 1 << power {
            return format!("{:.2} {suffix}", bytes as f64 / (1_i64 << power) as f64);
        }
    }
    format!("{:.2} Bytes", bytes as f64)
}

fn mounts(told: &Told, links: &Links, facts: &mut Facts) {
    let binds: BTreeSet<String> = told
        .file_lines("/proc/self/mountinfo")
        .iter()
        .filter_map(|line| line.split(' ').nth(4))
        .map(unescape)
        .collect();
    let sizes: BTreeMap<&str, Vec<i64>> = told
        .lines("sizes")
        .iter()
        .filter_map(|line| {
            let words: Vec<&str> = line.splitn(7, ' ').collect();
            let numbers = words[..words.len().min(6)]
                .iter()
                .filter_map(|n| n.parse().ok())
                .collect();
            Some((*words.get(6)?, numbers))
        })
        .collect();
    let mut mounts: Vec<Json> = Vec::new();
    for line in told.file_lines("/proc/mounts") {
        let fields: Vec<String> = line.split_whitespace().map(unescape).collect();
        let [device, mount, fstype, options, dump, passno, ..] = &fields[..] else {
            continue;
        };
        if fstype == "none" {
            continue;
        }
        let mut options = options.clone();
        if binds.contains(mount) {
            options.push_str(",bind");
        }
        let mut info = Map::new();
        info.insert("mount".into(), json!(mount));
        info.insert("device".into(), json!(device));
        info.insert("fstype".into(), json!(fstype));
        info.insert("options".into(), json!(options));
        info.insert("dump".into(), json!(dump.parse::<i64>().unwrap_or(0)));
        info.insert("passno".into(), json!(passno.parse::<i64>().unwrap_or(0)));
        if let Some([fragment, block, total, available, files, free]) =
            sizes.get(mount.as_str()).map(Vec::as_slice)
        {
            for (key, value) in [
                ("size_total", fragment * total),
                ("size_available", fragment * available),
                ("block_size", *block),
                ("block_total", *total),
                ("block_available", *available),
                ("block_used", total - available),
                ("inode_total", *files),
                ("inode_available", *free),
                ("inode_used", files - free),
            ] {
                info.insert(key.into(), json!(value));
            }
        }
        info.insert("uuid".into(), json!(links.uuid(device).unwrap_or("N/A")));
        // Mounted over: the last one counts.
        mounts.retain(|other| other["mount"] != json!(mount));
        mounts.push(Json::Object(info));
    }
    facts.insert("mounts".into(), Json::Array(mounts));
}

/// `\040` and the like in the kernel's tables.
fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        match after
            .get(..3)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok())
        {
            Some(byte) => {
                out.push(char::from(byte));
                rest = &after[3..];
            }
            None => {
                out.push('\\');
                rest = after;
            }
        }
    }
    out + rest
}
