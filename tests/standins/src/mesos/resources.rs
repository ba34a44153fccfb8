//! Resources and attributes: `cpus:2;mem:1024;ports(*):[31000-32000]`, or what the host has.

use anyhow::{Context, bail};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

/// What an agent offers, or a task takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// Processors.
    pub cpus: f64,
    /// Megabytes.
    pub mem: f64,
    /// Megabytes.
    pub disk: f64,
    /// Ranges of ports, ends included.
    pub ports: Vec<(u16, u16)>,
}

impl Resources {
    /// What the flag says over what the host has.
    pub fn of_agent(flag: Option<&str>, work_dir: &Path) -> anyhow::Result<Self> {
        let mut resources = Self::of_host(work_dir);
        if let Some(flag) = flag.filter(|flag| !flag.trim().is_empty()) {
            resources
                .set_all(flag)
                .with_context(|| format!("Failed to determine agent resources from '{flag}'"))?;
        }
        Ok(resources)
    }

    fn of_host(work_dir: &Path) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let total = std::fs::read_to_string("/proc/meminfo")
            .ok()
            .and_then(|text| memory_of(&text))
            .unwrap_or(1024.0);
        #[expect(
            clippy::cast_precision_loss,
            reason = "no host has 2^52 processors, nor a disk of as many megabytes"
        )]
        let (cpus, disk) = (cpus as f64, disk_of(work_dir).unwrap_or(10 * 1024) as f64);
        Self {
            cpus,
            mem: left_over(total, 1024.0),
            disk: left_over(disk, 5.0 * 1024.0),
            ports: vec![(31_000, 32_000)],
        }
    }

    fn set_all(&mut self, flag: &str) -> anyhow::Result<()> {
        for item in flag
            .split(';')
            .map(str::trim)
            .filter(|item| !item.is_empty())
        {
            let (name, value) = item.split_once(':').with_context(|| {
                format!("Bad value for resources, missing or extra ':' in {item}")
            })?;
            let name = name.split('(').next().unwrap_or(name);
            match name {
                "cpus" => self.cpus = number(value)?,
                "mem" => self.mem = number(value)?,
                "disk" => self.disk = number(value)?,
                "ports" => self.ports = ranges(value)?,
                // Custom resources are legal and of no use here, as long as their value is well formed.
                _ if value.starts_with('[') => drop(ranges(value)?),
                _ if value.starts_with('{') => {}
                _ => drop(number(value)?),
            }
        }
        Ok(())
    }

    /// As `/state` and `/slaves` show them.
    pub fn to_json(&self) -> Value {
        json!({"cpus": self.cpus, "mem": self.mem, "disk": self.disk, "gpus": 0, "ports": self.ports_text()})
    }

    fn ports_text(&self) -> String {
        let ranges: Vec<String> = self
            .ports
            .iter()
            .map(|(from, to)| format!("{from}-{to}"))
            .collect();
        format!("[{}]", ranges.join(", "))
    }

    /// Every port offered.
    pub fn all_ports(&self) -> impl Iterator<Item = u16> + '_ {
        self.ports.iter().flat_map(|(from, to)| *from..=*to)
    }

    /// Whether everything in `self` is in `larger` too: what `--reconfiguration_policy=additive` asks.
    pub fn within(&self, larger: &Self) -> bool {
        let offered = |port| {
            larger
                .ports
                .iter()
                .any(|(from, to)| (*from..=*to).contains(&port))
        };
        self.cpus <= larger.cpus
            && self.mem <= larger.mem
            && self.disk <= larger.disk
            && self.all_ports().all(offered)
    }
}

impl std::fmt::Display for Resources {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            to,
            "cpus(*):{}; mem(*):{}; disk(*):{}; ports(*):{}",
            self.cpus,
            self.mem,
            self.disk,
            self.ports_text()
        )
    }
}

/// Reads `--attributes`.
pub fn attributes(flag: Option<&str>) -> anyhow::Result<BTreeMap<String, String>> {
    let mut attributes = BTreeMap::new();
    for item in flag
        .unwrap_or_default()
        .split([';', '\n'])
        .map(str::trim)
        .filter(|item| !item.is_empty())
    {
        let Some((name, value)) = item.split_once(':') else {
            bail!("Invalid attribute key:value pair '{item}'")
        };
        attributes.insert(name.trim().to_owned(), value.trim().to_owned());
    }
    Ok(attributes)
}

fn number(text: &str) -> anyhow::Result<f64> {
    text.trim()
        .parse()
        .with_context(|| format!("Expecting a number, found '{text}'"))
}

fn ranges(text: &str) -> anyhow::Result<Vec<(u16, u16)>> {
    let inner = text
        .trim()
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let inner =
        inner.with_context(|| format!("Expecting ranges like [31000-32000], found '{text}'"))?;
    inner
        .split(',')
        .map(|range| {
            let (from, to) = range
                .trim()
                .split_once('-')
                .with_context(|| format!("Expecting one or more ranges in '{text}'"))?;
            Ok((from.trim().parse()?, to.trim().parse()?))
        })
        .collect()
}

/// As in Mesos: so much is left to the host, or half of it all.
fn left_over(total: f64, host: f64) -> f64 {
    if total > 2.0 * host {
        (total - host).floor()
    } else {
        (total / 2.0).floor()
    }
}

fn disk_of(directory: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    Some(disk.f_blocks * disk.f_frsize / (1024 * 1024))
}

fn memory_of(meminfo: &str) -> Option<f64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim()
        .trim_end_matches("kB")
        .trim()
        .parse::<f64>()
        .ok()
        .map(|kilobytes| kilobytes / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(flag: &str) -> anyhow::Result<Resources> {
        Resources::of_agent(Some(flag), Path::new("/"))
    }

    #[test]
    fn the_flag_wins_over_the_host() {
        let resources =
            read("cpus(*):1.5;mem:512;ports(*):[31000-31001, 8000-8000];bugs:{a,b}").unwrap();
        assert_eq!((resources.cpus, resources.mem), (1.5, 512.0));
        assert_eq!(
            resources.all_ports().collect::<Vec<_>>(),
            [31_000, 31_001, 8000]
        );
        assert_eq!(resources.ports_text(), "[31000-31001, 8000-8000]");
    }

    #[test]
    fn nonsense_is_refused() {
        for flag in ["cpus", "cpus:many", "ports:31000-32000", "ports:[31000]"] {
            assert!(read(flag).is_err(), "{flag}");
        }
        assert!(attributes(Some("rack")).is_err());
    }

    #[test]
    fn more_of_everything_is_within() {
        let small = read("cpus:1;mem:100;disk:10;ports:[1-2]").unwrap();
        let large = read("cpus:2;mem:100;disk:10;ports:[1-9]").unwrap();
        assert!(small.within(&large) && !large.within(&small));
    }
}
