//! Command-line flags as Mesos reads them: only known ones, of the right kind, given once. Anything else stops the daemon, which
//! is what a stray file in /etc/mesos-master does to it.

use crate::version::Version;
use anyhow::{Context, bail};
use std::collections::BTreeMap;
use std::time::Duration;

/// What a flag's value must look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bool,
    Number,
    Duration,
    Text,
}

/// The flags a daemon of one release knows, older names included.
pub struct Known {
    kinds: BTreeMap<&'static str, Kind>,
    aliases: BTreeMap<&'static str, &'static str>,
}

impl Known {
    /// The master's flags.
    pub fn master(version: Version) -> Self {
        Self::read(if version < Version(1, 0, 0) {
            include_str!("../../assets/flags/mesos-master-0")
        } else {
            include_str!("../../assets/flags/mesos-master-1")
        })
    }

    /// The agent's flags.
    pub fn agent(version: Version) -> Self {
        Self::read(if version < Version(1, 0, 0) {
            include_str!("../../assets/flags/mesos-slave-0")
        } else {
            include_str!("../../assets/flags/mesos-slave-1")
        })
    }

    fn read(table: &'static str) -> Self {
        let mut known = Self {
            kinds: BTreeMap::new(),
            aliases: BTreeMap::new(),
        };
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            let mut words = line.split(':');
            let (Some(name), Some(kind)) = (words.next(), words.next()) else {
                continue;
            };
            let kind = match kind {
                "bool" => Kind::Bool,
                "number" => Kind::Number,
                "duration" => Kind::Duration,
                _ => Kind::Text,
            };
            known.kinds.insert(name, kind);
            if let Some(alias) = words.next() {
                known.aliases.insert(alias, name);
            }
        }
        known
    }

    fn find(&self, name: &str) -> Option<(&'static str, Kind)> {
        let name = self.aliases.get(name).copied().unwrap_or(name);
        self.kinds
            .get_key_value(name)
            .map(|(name, kind)| (*name, *kind))
    }
}

/// The values that were given.
#[derive(Debug, Default)]
pub struct Flags {
    values: BTreeMap<&'static str, String>,
}

impl Flags {
    /// Reads `MESOS_*` variables, then arguments, which win. The messages are those of Mesos.
    pub fn load(
        known: &Known,
        environment: impl Iterator<Item = (String, String)>,
        arguments: &[String],
    ) -> anyhow::Result<Self> {
        let mut flags = Self::default();
        for (name, value) in environment {
            let Some(name) = name.strip_prefix("MESOS_") else {
                continue;
            };
            // Unknown variables are nobody's mistake: executors inherit them too.
            if let Some((name, kind)) = known.find(&name.to_lowercase()) {
                flags.values.insert(name, check(name, kind, &value)?);
            }
        }
        let mut given = BTreeMap::new();
        for argument in arguments {
            let Some(flag) = argument.strip_prefix("--") else {
                continue;
            };
            if flag.is_empty() {
                break;
            }
            let (name, value) = flag
                .split_once('=')
                .map_or((flag, None), |(name, value)| (name, Some(value)));
            let (name, value) = read_one(known, name, value)?;
            if given.insert(name, flag).is_some() {
                bail!("Flag '{name}' is already loaded via name '{name}'");
            }
            flags.values.insert(name, value);
        }
        Ok(flags)
    }

    /// A flag's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// Whether a flag without a value was given and not negated.
    pub fn is(&self, name: &str, otherwise: bool) -> bool {
        self.get(name).map_or(otherwise, |value| value == "true")
    }

    /// A number; its text was checked when it was loaded.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// A duration; its text was checked when it was loaded.
    pub fn duration(&self, name: &str, otherwise: Duration) -> Duration {
        self.get(name)
            .and_then(|text| duration(text).ok())
            .unwrap_or(otherwise)
    }

    /// Everything that was given, for `/flags` and `/state`.
    pub fn to_json(&self) -> serde_json::Value {
        self.values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), serde_json::Value::from(value.clone())))
            .collect()
    }
}

fn read_one(
    known: &Known,
    name: &str,
    value: Option<&str>,
) -> anyhow::Result<(&'static str, String)> {
    let (plain, negated) = match name.strip_prefix("no-") {
        Some(plain) => (plain, true),
        None => (name, false),
    };
    let Some((flag, kind)) = known.find(plain) else {
        let via = if negated {
            format!(" via '{name}'")
        } else {
            String::new()
        };
        bail!("Failed to load unknown flag '{plain}'{via}");
    };
    match (kind, negated, value) {
        (Kind::Bool, true, Some(value)) => {
            bail!("Failed to load boolean flag '{flag}' via '{name}' with value '{value}'")
        }
        (Kind::Bool, true, None) => Ok((flag, "false".to_owned())),
        (Kind::Bool, false, None | Some("")) => Ok((flag, "true".to_owned())),
        (_, true, _) => bail!("Failed to load non-boolean flag '{flag}' via '{name}'"),
        (_, false, None) => bail!("Failed to load non-boolean flag '{flag}': Missing value"),
        (kind, false, Some(value)) => Ok((flag, check(flag, kind, value)?)),
    }
}

fn check(name: &str, kind: Kind, value: &str) -> anyhow::Result<String> {
    let failed =
        |why: &str| format!("Failed to load flag '{name}': Failed to load value '{value}': {why}");
    match kind {
        Kind::Bool if value == "1" => return Ok("true".to_owned()),
        Kind::Bool if value == "0" => return Ok("false".to_owned()),
        Kind::Bool if !["true", "false"].contains(&value) => {
            bail!(failed("Expecting a boolean (e.g., true or false)"))
        }
        Kind::Number if value.parse::<u64>().is_err() => {
            bail!(failed(&format!("Failed to convert '{value}' to number")))
        }
        Kind::Duration => {
            duration(value).map_err(|error| anyhow::anyhow!(failed(&error.to_string())))?;
        }
        _ => {}
    }
    Ok(value.to_owned())
}

/// Reads `1.5mins` and its like.
pub fn duration(text: &str) -> anyhow::Result<Duration> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .with_context(|| format!("Invalid duration '{text}'"))?;
    let (amount, unit) = text.split_at(split);
    let amount: f64 = amount
        .parse()
        .with_context(|| format!("Invalid duration '{text}'"))?;
    let unit = match unit {
        "ns" => 1e-9,
        "us" => 1e-6,
        "ms" => 1e-3,
        "secs" => 1.0,
        "mins" => 60.0,
        "hrs" => 3600.0,
        "days" => 86_400.0,
        "weeks" => 604_800.0,
        unit => bail!("Unknown duration unit '{unit}'"),
    };
    Ok(Duration::from_secs_f64(amount * unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(arguments: &[&str]) -> anyhow::Result<Flags> {
        let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
        Flags::load(
            &Known::master(Version(1, 11, 0)),
            std::iter::empty(),
            &arguments,
        )
    }

    #[test]
    fn values_and_switches_are_read() {
        let flags = load(&[
            "--zk=zk://h:2181/mesos",
            "--quorum=2",
            "--no-hostname_lookup",
            "--quiet",
            "--cluster=",
        ])
        .unwrap();
        assert_eq!(flags.get("zk"), Some("zk://h:2181/mesos"));
        assert_eq!(flags.number("quorum"), Some(2));
        assert!(!flags.is("hostname_lookup", true));
        assert!(flags.is("quiet", false));
        assert_eq!(flags.get("cluster"), Some(""));
    }

    #[test]
    fn mistakes_have_the_messages_of_mesos() {
        for (arguments, message) in [
            (
                vec!["--ip.dpkg-dist=1"],
                "Failed to load unknown flag 'ip.dpkg-dist'",
            ),
            (
                vec!["--no-such"],
                "Failed to load unknown flag 'such' via 'no-such'",
            ),
            (
                vec!["--quorum"],
                "Failed to load non-boolean flag 'quorum': Missing value",
            ),
            (
                vec!["--no-quorum"],
                "Failed to load non-boolean flag 'quorum' via 'no-quorum'",
            ),
            (
                vec!["--quorum=one"],
                "Failed to load flag 'quorum': Failed to load value 'one': Failed to convert 'one' to number",
            ),
            (
                vec!["--offer_timeout=5min"],
                "Failed to load flag 'offer_timeout': Failed to load value '5min': Unknown duration unit 'min'",
            ),
            (
                vec!["--zk=a", "--zk=b"],
                "Flag 'zk' is already loaded via name 'zk'",
            ),
        ] {
            assert_eq!(load(&arguments).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn older_names_still_work() {
        assert!(
            load(&["--authenticate_slaves=true"])
                .unwrap()
                .is("authenticate_agents", false)
        );
    }

    #[test]
    fn arguments_win_over_variables_and_unknown_variables_do_not_matter() {
        let environment = [("MESOS_QUORUM", "1"), ("MESOS_SOMETHING", "x")]
            .map(|(n, v)| (n.to_owned(), v.to_owned()));
        let known = Known::master(Version(0, 28, 3));
        let flags = Flags::load(
            &known,
            environment.clone().into_iter(),
            &["--quorum=2".to_owned()],
        )
        .unwrap();
        assert_eq!(flags.number("quorum"), Some(2));
        let flags = Flags::load(&known, environment.into_iter(), &[]).unwrap();
        assert_eq!(flags.number("quorum"), Some(1));
    }

    #[test]
    fn releases_know_different_flags() {
        let policy = ["--reconfiguration_policy=additive".to_owned()];
        assert!(
            Flags::load(
                &Known::agent(Version(0, 28, 3)),
                std::iter::empty(),
                &policy
            )
            .is_err()
        );
        assert!(
            Flags::load(
                &Known::agent(Version(1, 11, 0)),
                std::iter::empty(),
                &policy
            )
            .is_ok()
        );
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("5mins").unwrap(), Duration::from_secs(300));
        assert_eq!(duration("1.5secs").unwrap(), Duration::from_millis(1500));
        assert!(duration("5").is_err());
    }
}
