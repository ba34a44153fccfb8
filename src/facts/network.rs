//! Facts about interfaces, addresses and the default route, from `/sys/class/net` and one `ip`, or from `/proc/net` where there is no `ip`.

use super::{Facts, Told, base};
use serde_json::{Map, Value as Json, json};
use std::net::{Ipv4Addr, Ipv6Addr};

pub(super) fn add(told: &Told, facts: &mut Facts) {
    let addresses = Addresses::read(told);
    let names = told.lines("net");
    let mut interfaces: Vec<(String, Map<String, Json>)> = names
        .iter()
        .map(|name| ((*name).to_owned(), interface(told, name)))
        .collect();
    let (mut all4, mut all6) = (Vec::new(), Vec::new());
    let (mut default4, mut default6) = (addresses.default4.clone(), addresses.default6.clone());
    for address in &addresses.v4 {
        add_v4(address, &mut interfaces, &mut default4);
        if !address.address.is_loopback() {
            all4.push(json!(address.address.to_string()));
        }
    }
    for address in &addresses.v6 {
        add_v6(address, &mut interfaces, &mut default6);
        if address.address != "::1" {
            all6.push(json!(address.address));
        }
    }
    facts.insert(
        "interfaces".into(),
        interfaces.iter().map(|(name, _)| json!(name)).collect(),
    );
    for (name, interface) in interfaces {
        // As Ansible names them: `vb-1` is the fact `vb_1`.
        let name = name.replace(['-', ':'], "_");
        facts.insert(name, Json::Object(interface));
    }
    facts.insert("default_ipv4".into(), Json::Object(default4));
    facts.insert("default_ipv6".into(), Json::Object(default6));
    facts.insert("all_ipv4_addresses".into(), Json::Array(all4));
    facts.insert("all_ipv6_addresses".into(), Json::Array(all6));
    facts.insert(
        "locally_reachable_ips".into(),
        json!({"ipv4": addresses.local4, "ipv6": addresses.local6}),
    );
    let initiator = told
        .file("/etc/iscsi/initiatorname.iscsi")
        .unwrap_or_default();
    let iqn = initiator
        .lines()
        .find_map(|line| line.strip_prefix("InitiatorName="));
    facts.insert("iscsi_iqn".into(), json!(iqn.unwrap_or_default()));
    facts.insert("hostnqn".into(), json!(""));
    facts.insert("fibre_channel_wwn".into(), json!([]));
}

fn interface(told: &Told, name: &str) -> Map<String, Json> {
    let dir = format!("/sys/class/net/{name}");
    let file = |leaf: &str| told.file(&format!("{dir}/{leaf}"));
    let mut map = Map::new();
    map.insert("device".into(), json!(name));
    if let Some(mac) = file("address").filter(|mac| mac != "00:00:00:00:00:00") {
        map.insert("macaddress".into(), json!(mac));
    }
    if let Some(mtu) = file("mtu").and_then(|mtu| mtu.parse::<i64>().ok()) {
        map.insert("mtu".into(), json!(mtu));
    }
    if let Some(state) = file("operstate") {
        map.insert("active".into(), json!(state != "down"));
    }
    let links: Vec<(&str, &str)> = told
        .links()
        .filter(|(path, _)| path.starts_with(&format!("{dir}/")))
        .collect();
    let link = |leaf: &str| {
        links
            .iter()
            .find(|(path, _)| path.strip_prefix(&dir) == Some(leaf))
            .map(|(_, target)| base(target))
    };
    if let Some(module) = link("/device/driver/module") {
        map.insert("module".into(), json!(module));
    }
    if let Some(kind) = file("type") {
        let kind = match kind.as_str() {
            "1" => "ether",
            "32" => "infiniband",
            "512" => "ppp",
            "772" => "loopback",
            "65534" => "tunnel",
            _ => "unknown",
        };
        map.insert("type".into(), json!(kind));
    }
    if let Some(id) = file("bridge/bridge_id") {
        map.insert("type".into(), json!("bridge"));
        let ports: Vec<&str> = links
            .iter()
            .filter(|(path, _)| path.contains("/brif/"))
            .map(|(path, _)| base(path))
            .collect();
        map.insert("interfaces".into(), json!(ports));
        map.insert("id".into(), json!(id));
        map.insert(
            "stp".into(),
            json!(file("bridge/stp_state").as_deref() == Some("1")),
        );
    }
    if let Some(mode) = file("bonding/mode") {
        let first = |text: Option<String>| {
            json!(
                text.as_deref()
                    .unwrap_or_default()
                    .split(' ')
                    .next()
                    .unwrap_or_default()
            )
        };
        map.insert("type".into(), json!("bonding"));
        let slaves = file("bonding/slaves").unwrap_or_default();
        map.insert(
            "slaves".into(),
            json!(slaves.split_whitespace().collect::<Vec<_>>()),
        );
        map.insert("mode".into(), first(Some(mode)));
        map.insert("miimon".into(), first(file("bonding/miimon")));
        map.insert("lacp_rate".into(), first(file("bonding/lacp_rate")));
        if let Some(primary) = file("bonding/primary") {
            map.insert("primary".into(), json!(primary));
            if let Some(all) = file("bonding/all_slaves_active") {
                map.insert("all_slaves_active".into(), json!(all == "1"));
            }
        }
    }
    if let Some(mac) = file("bonding_slave/perm_hwaddr") {
        map.insert("perm_macaddress".into(), json!(mac));
    }
    if let Some(device) = link("/device") {
        map.insert("pciid".into(), json!(device));
    }
    if let Some(speed) = file("speed").and_then(|speed| speed.parse::<i64>().ok()) {
        map.insert("speed".into(), json!(speed));
    }
    if let Some(flags) =
        file("flags").and_then(|f| i64::from_str_radix(f.trim_start_matches("0x"), 16).ok())
    {
        map.insert("promisc".into(), json!(flags & 0x100 > 0));
    }
    map
}

/// An IPv4 address of an interface; `label` is what `ip` calls it, e.g. `eth0:1`.
#[derive(Debug, PartialEq)]
struct V4 {
    device: String,
    label: String,
    address: Ipv4Addr,
    prefix: u32,
    broadcast: String,
    secondary: bool,
}

impl V4 {
    fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32 - self.prefix).unwrap_or(0)
    }

    fn json(&self) -> Map<String, Json> {
        let network = u32::from(self.address) & self.mask();
        let json = json!({
            "address": self.address.to_string(),
            "broadcast": self.broadcast,
            "netmask": Ipv4Addr::from(self.mask()).to_string(),
            "network": Ipv4Addr::from(network).to_string(),
            "prefix": self.prefix.to_string(),
        });
        json.as_object().cloned().unwrap_or_default()
    }
}

#[derive(Debug, PartialEq)]
struct V6 {
    device: String,
    address: String,
    prefix: String,
    scope: String,
}

#[derive(Debug, Default)]
struct Addresses {
    v4: Vec<V4>,
    v6: Vec<V6>,
    default4: Map<String, Json>,
    default6: Map<String, Json>,
    local4: Vec<String>,
    local6: Vec<String>,
}

fn entry<'a>(
    interfaces: &'a mut Vec<(String, Map<String, Json>)>,
    name: &str,
) -> &'a mut Map<String, Json> {
    let at = interfaces
        .iter()
        .position(|(known, _)| known == name)
        .unwrap_or_else(|| {
            interfaces.push((name.to_owned(), Map::new()));
            interfaces.len() - 1
        });
    &mut interfaces[at].1
}

fn push(map: &mut Map<String, Json>, key: &str, item: Json) {
    if let Json::Array(list) = map.entry(key).or_insert_with(|| json!([])) {
        list.push(item);
    }
}

fn add_v4(
    address: &V4,
    interfaces: &mut Vec<(String, Map<String, Json>)>,
    default: &mut Map<String, Json>,
) {
    let json = address.json();
    let own = entry(interfaces, &address.label);
    if !address.secondary && !own.contains_key("ipv4") {
        own.insert("ipv4".into(), Json::Object(json.clone()));
    } else {
        push(own, "ipv4_secondaries", Json::Object(json.clone()));
    }
    if address.secondary && address.label != address.device {
        let device = entry(interfaces, &address.device);
        push(device, "ipv4_secondaries", Json::Object(json.clone()));
    }
    if default.get("address") == json.get("address") {
        default.extend(json);
        enrich(default, entry(interfaces, &address.device));
        default.insert("alias".into(), json!(address.label));
    }
}

fn add_v6(
    address: &V6,
    interfaces: &mut Vec<(String, Map<String, Json>)>,
    default: &mut Map<String, Json>,
) {
    let device = entry(interfaces, &address.device);
    push(
        device,
        "ipv6",
        json!({"address": address.address, "prefix": address.prefix, "scope": address.scope}),
    );
    if default.get("address") == Some(&json!(address.address)) {
        default.insert("prefix".into(), json!(address.prefix));
        default.insert("scope".into(), json!(address.scope));
        enrich(default, device);
    }
}

fn enrich(default: &mut Map<String, Json>, device: &Map<String, Json>) {
    for key in ["macaddress", "mtu"] {
        if let Some(value) = device.get(key) {
            default.insert(key.into(), value.clone());
        }
    }
    let kind = device
        .get("type")
        .cloned()
        .unwrap_or_else(|| json!("unknown"));
    default.insert("type".into(), kind);
}

impl Addresses {
    fn read(told: &Told) -> Self {
        let mut addresses = Self::default();
        if told.sections.contains_key("ip") {
            addresses.read_ip(told.lines("ip"));
        } else {
            addresses.read_proc(told);
        }
        addresses
    }

    fn read_ip(&mut self, lines: &[&str]) {
        for line in lines {
            let line = line.split('\\').next().unwrap_or(line);
            let words: Vec<&str> = line.split_whitespace().collect();
            let after = |word: &str| {
                words
                    .iter()
                    .position(|w| *w == word)
                    .and_then(|i| words.get(i + 1))
                    .copied()
            };
            match words[..] {
                ["local", address, ..] => {
                    let list = if address.contains(':') {
                        &mut self.local6
                    } else {
                        &mut self.local4
                    };
                    if !list.iter().any(|known| known == address) {
                        list.push(address.to_owned());
                    }
                }
                ["8.8.8.8", ..] => self.default4 = route(after, "8.8.8.8"),
                ["2404:6800:400a:800::1012", ..] => {
                    self.default6 = route(after, "2404:6800:400a:800::1012");
                }
                [_, device, "inet", address, ..] => {
                    let (ip, prefix) = address.split_once('/').unwrap_or((address, "32"));
                    // A peer's prefix stands with the peer.
                    let prefix = after("peer")
                        .and_then(|p| p.split_once('/'))
                        .map_or(prefix, |_| prefix);
                    let (Ok(ip), Ok(prefix)) = (ip.parse(), prefix.parse()) else {
                        continue;
                    };
                    let broadcast = if words.get(4) == Some(&"brd") {
                        words.get(5).copied().unwrap_or_default()
                    } else {
                        ""
                    };
                    self.v4.push(V4 {
                        device: device.split('@').next().unwrap_or(device).into(),
                        label: words.last().copied().unwrap_or(device).into(),
                        address: ip,
                        prefix,
                        broadcast: broadcast.into(),
                        secondary: words.contains(&"secondary"),
                    });
                }
                [_, device, "inet6", address, ..] => {
                    let prefix = after("peer").unwrap_or(address);
                    self.v6.push(V6 {
                        device: device.split('@').next().unwrap_or(device).into(),
                        address: address.split('/').next().unwrap_or(address).into(),
                        prefix: prefix.split_once('/').map_or("128", |(_, p)| p).into(),
                        scope: after("scope").unwrap_or_default().into(),
                    });
                }
                _ => {}
            }
        }
    }

    /// Without `ip`: the kernel's own tables. A local address belongs to the interface whose network has it.
    fn read_proc(&mut self, told: &Told) {
        let hex = |text: &str| u32::from_str_radix(text, 16).ok().map(u32::from_be);
        let mut networks = Vec::new();
        for line in told
            .files
            .get("/proc/net/route")
            .into_iter()
            .flatten()
            .skip(1)
        {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [device, destination, gateway, _, _, _, _, mask, ..] = words[..] else {
                continue;
            };
            let (Some(destination), Some(gateway), Some(mask)) =
                (hex(destination), hex(gateway), hex(mask))
            else {
                continue;
            };
            if destination == 0 && mask == 0 && self.default4.is_empty() {
                self.default4.insert("interface".into(), json!(device));
                self.default4
                    .insert("gateway".into(), json!(Ipv4Addr::from(gateway).to_string()));
            } else if gateway == 0 {
                networks.push((device, destination, mask));
            }
        }
        let mut seen = Vec::new();
        for line in told.lines("fib") {
            let Some(address) = line
                .trim()
                .strip_prefix("|-- ")
                .and_then(|a| a.parse::<Ipv4Addr>().ok())
            else {
                continue;
            };
            if seen.contains(&address) {
                continue;
            }
            seen.push(address);
            let found = networks
                .iter()
                .find(|(_, network, mask)| u32::from(address) & mask == *network);
            let (device, prefix) = match found {
                Some((device, _, mask)) => (*device, mask.count_ones()),
                None if address.is_loopback() => ("lo", 8),
                None => continue,
            };
            let address = V4 {
                device: device.into(),
                label: device.into(),
                address,
                prefix,
                broadcast: String::new(),
                secondary: false,
            };
            let broadcast = u32::from(address.address) | !address.mask();
            let broadcast = if device == "lo" {
                String::new()
            } else {
                Ipv4Addr::from(broadcast).to_string()
            };
            if self.default4.get("interface") == Some(&json!(device))
                && !self.default4.contains_key("address")
            {
                self.default4
                    .insert("address".into(), json!(address.address.to_string()));
            }
            self.local4.push(address.address.to_string());
            self.v4.push(V4 {
                broadcast,
                ..address
            });
        }
        for line in told.file_lines("/proc/net/if_inet6") {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [address, _, prefix, scope, _, device] = words[..] else {
                continue;
            };
            let (Ok(address), Ok(prefix)) = (
                u128::from_str_radix(address, 16),
                u32::from_str_radix(prefix, 16),
            ) else {
                continue;
            };
            let scope = match scope {
                "00" => "global",
                "10" => "host",
                "20" => "link",
                _ => "site",
            };
            let address = Ipv6Addr::from(address).to_string();
            self.local6.push(address.clone());
            self.v6.push(V6 {
                device: device.into(),
                address,
                prefix: prefix.to_string(),
                scope: scope.into(),
            });
        }
    }
}

/// What `ip route get` says.
fn route<'a>(after: impl Fn(&str) -> Option<&'a str>, to: &str) -> Map<String, Json> {
    let mut map = Map::new();
    for (key, word) in [("gateway", "via"), ("interface", "dev"), ("address", "src")] {
        if let Some(value) = after(word).filter(|value| *value != to) {
            map.insert(key.into(), json!(value));
        }
    }
    map
}
