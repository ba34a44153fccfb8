//! The lab's network: one bridge, one nftables table for NAT, an address range nobody else uses.

use super::run::run;
use anyhow::{Context as _, Result, bail};
use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::str::FromStr;

/// A range of IPv4 addresses, `10.213.7.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    base: u32,
    prefix: u8,
}

/// Host `node1` has address 11, so that the low addresses stay free for the bridge and what tests put there.
const FIRST_HOST: u32 = 10;

impl Subnet {
    fn mask(self) -> u32 {
        u32::MAX
            .checked_shl(32 - u32::from(self.prefix))
            .unwrap_or(0)
    }

    fn overlaps(self, other: Self) -> bool {
        let mask = self.mask() & other.mask();
        self.base & mask == other.base & mask
    }

    /// The bridge's address: the first of the range.
    #[must_use]
    pub fn gateway(self) -> Ipv4Addr {
        Ipv4Addr::from(self.base + 1)
    }

    /// The address of `node<number>`.
    #[must_use]
    pub fn host(self, number: u32) -> Ipv4Addr {
        Ipv4Addr::from(self.base + FIRST_HOST + number)
    }

    /// How many hosts it has room for.
    fn room(self) -> u32 {
        (!self.mask()).saturating_sub(FIRST_HOST + 1)
    }

    /// Length of the prefix.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// A range that a user asked for, with room for so many hosts.
    pub(crate) fn asked(text: &str, hosts: u32) -> Result<Self> {
        let subnet: Self = text.parse()?;
        if !(8..=28).contains(&subnet.prefix) || subnet.room() < hosts {
            bail!(
                "the address range {text} has no room for {hosts} hosts: use a /24, such as 10.213.0.0/24"
            );
        }
        Ok(subnet)
    }

    /// The first free one of 10.213.0.0/24 … 10.213.255.0/24.
    pub(crate) fn free(used: &[Used]) -> Result<Self> {
        (0..=255)
            .map(|third| Self {
                base: u32::from(Ipv4Addr::new(10, 213, third, 0)),
                prefix: 24,
            })
            .find(|candidate| !used.iter().any(|u| u.subnet.overlaps(*candidate)))
            .context("every address range in 10.213.0.0/16 is in use: choose one with --subnet")
    }

    /// An error when somebody else uses a part of it.
    pub(crate) fn check_unused(self, used: &[Used]) -> Result<()> {
        match used.iter().find(|u| u.subnet.overlaps(self)) {
            Some(u) => bail!(
                "the address range {self} is in use by {} ({}): choose another with --subnet, or leave --subnet away",
                u.by,
                u.subnet
            ),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.base), self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.split_once('/').and_then(|(address, prefix)| {
            let address: Ipv4Addr = address.parse().ok()?;
            let prefix: u8 = prefix.parse().ok().filter(|p| *p <= 32)?;
            Some((u32::from(address), prefix))
        });
        let Some((address, prefix)) = parsed else {
            bail!("`{text}` is not an address range: write it as 10.213.0.0/24");
        };
        let mut subnet = Self {
            base: address,
            prefix,
        };
        subnet.base &= subnet.mask();
        Ok(subnet)
    }
}

/// A range that is taken, and by whom.
#[derive(Debug)]
pub(crate) struct Used {
    pub(crate) subnet: Subnet,
    pub(crate) by: String,
}

/// The ranges this machine has addresses in or routes to, without those of the bridge `except`.
pub(crate) fn used(except: &str) -> Result<Vec<Used>> {
    let addresses = run("ip").args(["-o", "-4", "addr", "show"]).output()?;
    let routes = run("ip").args(["-o", "-4", "route", "show"]).output()?;
    Ok(parse_used(&addresses, &routes, except))
}

fn parse_used(addresses: &str, routes: &str, except: &str) -> Vec<Used> {
    let after = |line: &str, word: &str| {
        let mut words = line.split_whitespace();
        words.find(|w| *w == word)?;
        words.next().map(str::to_owned)
    };
    let addresses = addresses.lines().filter_map(|line| {
        let by = line.split_whitespace().nth(1)?.to_owned();
        Some((after(line, "inet")?, by))
    });
    let routes = routes.lines().filter_map(|line| {
        let target = line.split_whitespace().next()?;
        let target = match target {
            "default" => return None,
            t if t.contains('/') => t.to_owned(),
            t => format!("{t}/32"),
        };
        Some((target, after(line, "dev")?))
    });
    addresses
        .chain(routes)
        .filter(|(_, by)| by != except)
        .filter_map(|(text, by)| {
            let subnet = text.parse().ok()?;
            Some(Used { subnet, by })
        })
        .collect()
}

/// The names of a lab's bridge and nftables table.
pub(crate) struct Network<'a> {
    lab: &'a str,
}

impl<'a> Network<'a> {
    pub(crate) fn of(lab: &'a str) -> Self {
        Self { lab }
    }

    /// The bridge: at most 15 characters, which is why a lab's name has at most 12.
    pub(crate) fn bridge(&self) -> String {
        format!("mp-{}", self.lab)
    }

    fn table(&self) -> String {
        format!("mini-play-{}", self.lab)
    }

    fn comment(&self) -> String {
        format!("mini-play-{}", self.lab)
    }

    pub(crate) fn exists(&self) -> bool {
        Path::new("/sys/class/net").join(self.bridge()).exists()
    }

    /// The lab directory that the bridge belongs to, as [`Self::up`] noted it on the bridge.
    pub(crate) fn owner(&self) -> Option<String> {
        let alias = Path::new("/sys/class/net")
            .join(self.bridge())
            .join("ifalias");
        let text = fs::read_to_string(alias).ok()?;
        Some(text.trim().to_owned()).filter(|t| !t.is_empty())
    }

    /// Makes bridge, NAT and forwarding as they should be; nothing changes when they are.
    pub(crate) fn up(&self, subnet: Subnet, owner: &Path) -> Result<()> {
        let (bridge, table) = (self.bridge(), self.table());
        if !self.exists() {
            run("ip")
                .args(["link", "add", "name", &bridge, "type", "bridge"])
                .ok()
                .context("cannot make the lab's bridge")?;
        }
        let address = format!("{}/{}", subnet.gateway(), subnet.prefix());
        run("ip")
            .args(["addr", "replace", &address, "dev", &bridge])
            .ok()?;
        run("ip")
            .args(["link", "set", "dev", &bridge, "up", "alias"])
            .arg(owner)
            .ok()?;
        // Adding, deleting and adding again in one transaction replaces the table whatever was there.
        // The segment size keeps TCP going where the way out has a smaller MTU than the bridge.
        let rules = format!(
            "table ip {table}\n\
             delete table ip {table}\n\
             table ip {table} {{\n\
               chain postrouting {{\n\
                 type nat hook postrouting priority 100; policy accept;\n\
                 ip saddr {subnet} ip daddr != {subnet} masquerade\n\
               }}\n\
               chain forward {{\n\
                 type filter hook forward priority -150; policy accept;\n\
                 ip saddr {subnet} tcp flags syn tcp option maxseg size set rt mtu\n\
                 ip daddr {subnet} tcp flags syn tcp option maxseg size set rt mtu\n\
               }}\n\
             }}\n"
        );
        run("nft")
            .args(["-f", "-"])
            .input(rules)
            .ok()
            .context("cannot set up NAT for the lab")?;
        let forward = "/proc/sys/net/ipv4/ip_forward";
        if fs::read_to_string(forward).is_ok_and(|on| on.trim() != "1") {
            fs::write(forward, "1").context("cannot turn on IPv4 forwarding")?;
        }
        self.open_firewall(&bridge)
    }

    /// Docker and ufw on the controller drop what is forwarded; an accept in our own table would not
    /// overrule that, so it goes into theirs, marked with our name.
    fn open_firewall(&self, bridge: &str) -> Result<()> {
        let Ok(rules) = run("iptables").args(["-w", "-S", "FORWARD"]).output() else {
            return Ok(());
        };
        if !rules.starts_with("-P FORWARD DROP") || rules.contains(&self.comment()) {
            return Ok(());
        }
        for direction in ["-i", "-o"] {
            run("iptables")
                .args(["-w", "-I", "FORWARD", direction, bridge, "-j", "ACCEPT"])
                .args(["-m", "comment", "--comment", &self.comment()])
                .ok()?;
        }
        Ok(())
    }

    /// Removes all of it; what is not there is fine.
    pub(crate) fn down(&self) -> Result<()> {
        let (bridge, table) = (self.bridge(), self.table());
        if self.exists() {
            run("ip").args(["link", "del", "dev", &bridge]).ok()?;
        }
        if run("nft")
            .args(["list", "table", "ip", &table])
            .ok()
            .is_ok()
        {
            run("nft").args(["delete", "table", "ip", &table]).ok()?;
        }
        if let Ok(rules) = run("iptables").args(["-w", "-S", "FORWARD"]).output() {
            let mark = format!("--comment {} ", self.comment());
            for rule in rules.lines().filter(|r| r.contains(&mark)) {
                let words = rule.split_whitespace().skip(1);
                run("iptables").args(["-w", "-D"]).args(words).ok()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Used {
        Used {
            subnet: text.parse().unwrap(),
            by: "eth0".into(),
        }
    }

    #[test]
    fn parses_and_normalises() {
        let subnet: Subnet = "10.213.7.9/24".parse().unwrap();
        assert_eq!(subnet.to_string(), "10.213.7.0/24");
        assert_eq!(subnet.gateway().to_string(), "10.213.7.1");
        assert_eq!(subnet.host(100).to_string(), "10.213.7.110");
        for bad in ["10.213.7.0", "10.213.7/24", "10.213.7.0/33", "x/24"] {
            assert!(bad.parse::<Subnet>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_first_free_range_is_chosen() {
        let chosen = |used: &[Used]| Subnet::free(used).map(|s| s.to_string()).ok();
        assert_eq!(chosen(&[]).unwrap(), "10.213.0.0/24");
        let used = [taken("10.213.0.5/32"), taken("10.213.1.0/24")];
        assert_eq!(chosen(&used).unwrap(), "10.213.2.0/24");
        assert_eq!(chosen(&[taken("10.0.0.0/8")]), None);
    }

    #[test]
    fn room_for_the_hosts() {
        assert!(Subnet::asked("10.9.0.0/24", 100).is_ok());
        assert!(Subnet::asked("10.9.0.0/28", 4).is_ok());
        assert!(Subnet::asked("10.9.0.0/28", 5).is_err());
        assert!(Subnet::asked("0.0.0.0/0", 1).is_err());
    }

    #[test]
    fn a_range_in_use_is_one_clear_error() {
        let asked = Subnet::asked("192.0.2.0/25", 1).unwrap();
        let text = asked
            .check_unused(&[taken("192.0.2.2/24")])
            .unwrap_err()
            .to_string();
        assert_eq!(
            text,
            "the address range 192.0.2.0/25 is in use by eth0 (192.0.2.0/24): choose another with --subnet, or leave --subnet away"
        );
    }

    #[test]
    fn reads_addresses_and_routes() {
        let addresses = "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever\n\
                         4: eth0    inet 192.0.2.2/24 brd 192.0.2.255 scope global eth0\\ x\n\
                         9: mp-dev    inet 10.213.0.1/24 scope global mp-dev\\ x\n";
        let routes = "default via 192.0.2.1 dev eth0 \n\
                      172.16.0.0/12 via 192.0.2.9 dev tun0 \n\
                      10.213.0.0/24 dev mp-dev proto kernel scope link src 10.213.0.1 \n";
        let seen: Vec<_> = parse_used(addresses, routes, "mp-dev")
            .iter()
            .map(|u| format!("{} {}", u.subnet, u.by))
            .collect();
        assert_eq!(
            seen,
            ["127.0.0.0/8 lo", "192.0.2.0/24 eth0", "172.16.0.0/12 tun0"]
        );
    }
}
