//! Listening ports and who owns them.

use super::process::Process;
use super::{Wrong, found, wrong};
use fancy_regex::Regex;
use std::net::{Ipv4Addr, Ipv6Addr};

/// `ss` knows the owner; /proc/net always exists.
pub(in crate::modules) const SCRIPT: &str = "ss -H -l -n -t -u -p 2>/dev/null || for f in tcp tcp6 udp udp6; do sed \"1d;s/^/$f /\" /proc/net/$f 2>/dev/null; done; :";

/// One listening socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::modules) struct Listener {
    udp: bool,
    address: String,
    port: u16,
    /// Pids, empty when unknown.
    pids: Vec<u32>,
    /// Names as the kernel shortens them.
    names: Vec<String>,
}

impl Listener {
    /// Whether one of these processes owns it; nobody's when owners are not known.
    pub(in crate::modules) fn of(&self, owners: impl Fn(u32) -> bool) -> bool {
        self.pids.iter().any(|pid| owners(*pid))
    }

    /// Whether it is a UDP socket with a number that the kernel chose: one to send from, not a service.
    pub(in crate::modules) fn passing(&self) -> bool {
        self.udp && self.port >= 32768
    }

    /// `tcp 127.0.0.1:80`.
    pub(in crate::modules) fn told(&self) -> String {
        let proto = if self.udp { "udp" } else { "tcp" };
        let address = match self.address.as_str() {
            "0.0.0.0" | "::" => "*",
            address => address,
        };
        if address.contains(':') {
            format!("{proto} [{address}]:{}", self.port)
        } else {
            format!("{proto} {address}:{}", self.port)
        }
    }
}

/// Rows of `ss`, or of /proc/net with the file's name in front.
pub(in crate::modules) fn parse(text: &str) -> Vec<Listener> {
    text.lines()
        .filter_map(|line| of_ss(line).or_else(|| of_proc(line)))
        .collect()
}

fn of_ss(line: &str) -> Option<Listener> {
    let mut words = line.split_whitespace();
    let udp = match words.next()? {
        "tcp" => false,
        "udp" => true,
        _ => return None,
    };
    let state = words.next()?;
    if !matches!(state, "LISTEN" | "UNCONN") {
        return None;
    }
    let local = words.nth(2)?;
    let (address, port) = local.rsplit_once(':')?;
    let users = words.nth(1).unwrap_or("");
    let pids = users
        .split("pid=")
        .skip(1)
        .filter_map(|rest| rest.split(',').next()?.parse().ok())
        .collect();
    let names = users
        .split("(\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .map(str::to_owned)
        .collect();
    let address = address
        .trim_matches(['[', ']'])
        .split('%')
        .next()?
        .to_owned();
    Some(Listener {
        udp,
        address,
        port: port.parse().ok()?,
        pids,
        names,
    })
}

fn of_proc(line: &str) -> Option<Listener> {
    let mut words = line.split_whitespace();
    let file = words.next()?;
    let local = words.nth(1)?;
    let state = words.nth(1)?;
    let udp = file.starts_with("udp");
    // TCP_LISTEN, and for UDP any unconnected socket.
    if state != if udp { "07" } else { "0A" } {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = if address.len() == 8 {
        Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.swap_bytes()).to_string()
    } else {
        let mut bytes = [0_u8; 16];
        for (word, part) in bytes.chunks_mut(4).zip(0..) {
            let hex = address.get(part * 8..part * 8 + 8)?;
            word.copy_from_slice(
                &u32::from_str_radix(hex, 16)
                    .ok()?
                    .swap_bytes()
                    .to_be_bytes(),
            );
        }
        Ipv6Addr::from(bytes).to_string()
    };
    Some(Listener {
        udp,
        address,
        port,
        pids: Vec::new(),
        names: Vec::new(),
    })
}

/// What must listen.
pub(super) struct Wanted {
    pub(super) port: u16,
    pub(super) udp: bool,
    pub(super) address: Option<String>,
    pub(super) process: Option<Regex>,
}

impl Wanted {
    pub(super) fn check(&self, listeners: &[Listener], processes: &[Process]) -> Result<(), Wrong> {
        let proto = if self.udp { "udp" } else { "tcp" };
        let name = format!("{proto} port {}", self.port);
        let here: Vec<&Listener> = listeners
            .iter()
            .filter(|l| l.udp == self.udp && l.port == self.port)
            .collect();
        if here.is_empty() {
            return wrong(format!("{name} listening"), "nothing listens there");
        }
        if let Some(address) = &self.address {
            let any = |l: &&Listener| {
                matches!(l.address.as_str(), "*" | "0.0.0.0" | "::") || l.address == *address
            };
            if !here.iter().any(any) {
                let list: Vec<&str> = here.iter().map(|l| l.address.as_str()).collect();
                return wrong(format!("{name} on {address}"), list.join(", "));
            }
        }
        let Some(pattern) = &self.process else {
            return Ok(());
        };
        let commands: Vec<&str> = here
            .iter()
            .flat_map(|l| {
                let by_pid = l
                    .pids
                    .iter()
                    .filter_map(|pid| processes.iter().find(|p| p.pid == *pid));
                l.names
                    .iter()
                    .map(String::as_str)
                    .chain(by_pid.map(|p| p.command.as_str()))
            })
            .collect();
        // Without the right to see owners (not root), or without `ss`, the port alone must do.
        if commands.is_empty() || commands.iter().any(|command| found(pattern, command)) {
            return Ok(());
        }
        wrong(
            format!("{name} owned by /{}/", pattern.as_str()),
            commands.first().copied().unwrap_or("?"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ss_rows() {
        let rows = parse(
            "udp   UNCONN 0      0          127.0.0.1:514        0.0.0.0:*    users:((\"rsyslogd\",pid=9,fd=5))\n\
             tcp   LISTEN 0      50                 *:2181             *:*    users:((\"java\",pid=77,fd=1))\n\
             tcp   LISTEN 0      50              [::]:22            [::]:*\n",
        );
        assert_eq!(rows.len(), 3);
        assert_eq!(
            (rows[0].udp, rows[0].port, rows[0].pids.as_slice()),
            (true, 514, &[9][..])
        );
        assert_eq!(
            (rows[1].address.as_str(), rows[1].names[0].as_str()),
            ("*", "java")
        );
        assert_eq!(rows[2].address, "::");
    }

    #[test]
    fn proc_rows() {
        let rows = parse(
            "tcp   0: 0100007F:0885 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1\n\
             tcp6  0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A x\n\
             tcp   1: 0100007F:0016 0100007F:1234 01 x\n",
        );
        assert_eq!(rows.len(), 2);
        assert_eq!(
            (rows[0].address.as_str(), rows[0].port),
            ("127.0.0.1", 2181)
        );
        assert_eq!((rows[1].address.as_str(), rows[1].port), ("::1", 8080));
    }

    #[test]
    fn a_foreign_owner_is_named() {
        let rows = parse("tcp LISTEN 0 50 *:80 *:* users:((\"nginx\",pid=77,fd=1))\n");
        let wanted = Wanted {
            port: 80,
            udp: false,
            address: None,
            process: Some(Regex::new("haproxy").unwrap()),
        };
        let Err(bad) = wanted.check(&rows, &[]) else {
            panic!()
        };
        assert_eq!(bad.seen, "nginx");
    }
}
