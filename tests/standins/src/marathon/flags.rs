//! Command-line flags as Marathon reads them: `--name value`, and `MARATHON_NAME=value` for what the command line does not say.
//! An unknown one of either stops it.

use super::NATIVE;
use crate::version::Version;
use anyhow::bail;
use std::collections::BTreeMap;

/// What was given.
#[derive(Debug, Default)]
pub struct Flags {
    values: BTreeMap<String, String>,
}

impl Flags {
    /// Reads variables and arguments, with the messages of Marathon.
    pub fn load(
        version: Version,
        environment: impl Iterator<Item = (String, String)>,
        arguments: &[String],
    ) -> anyhow::Result<Self> {
        let known = known(version);
        let mut flags = Self::default();
        let mut words = arguments.iter();
        while let Some(word) = words.next() {
            let Some(name) = word.strip_prefix("--") else {
                bail!("[scallop] Error: Excess arguments provided: '{word}'");
            };
            let (name, attached) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (name, None),
            };
            let (name, value) = match kind(&known, name) {
                None => bail!("[scallop] Error: Unknown option '{name}'"),
                Some(Kind::Switch(value)) => {
                    (name.trim_start_matches("disable_"), value.to_owned())
                }
                Some(kind) => match attached.or_else(|| words.next().cloned()) {
                    Some(value) => (name, check(name, kind, value)?),
                    None => bail!(
                        "[scallop] Error: Wrong format for option '{name}': you should provide exactly one argument"
                    ),
                },
            };
            if flags.values.insert(name.to_owned(), value).is_some() {
                bail!("[scallop] Error: Option '{name}' already specified");
            }
        }
        // Up to 1.4 the start script turns variables into arguments; from 1.5 on Marathon reads them.
        if version >= NATIVE {
            flags.add_environment(&known, environment)?;
        }
        Ok(flags)
    }

    fn add_environment(
        &mut self,
        known: &BTreeMap<&str, &str>,
        environment: impl Iterator<Item = (String, String)>,
    ) -> anyhow::Result<()> {
        for (name, value) in environment {
            let Some(name) = name
                .strip_prefix("MARATHON_")
                .filter(|name| !name.starts_with("APP"))
            else {
                continue;
            };
            let name = name.to_lowercase();
            match kind(known, &name) {
                None => bail!("[scallop] Error: Unknown option '{name}'"),
                Some(Kind::Switch(switch)) => {
                    self.values
                        .entry(name.trim_start_matches("disable_").to_owned())
                        .or_insert_with(|| switch.to_owned());
                }
                Some(kind) => {
                    let value = check(&name, kind, value)?;
                    self.values.entry(name).or_insert(value);
                }
            }
        }
        Ok(())
    }

    /// A flag's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// A number; its text was checked when it was loaded.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    /// Whether a switch was given.
    pub fn is(&self, name: &str) -> bool {
        self.toggle(name, false)
    }

    /// Whether a toggle is on.
    pub fn toggle(&self, name: &str, otherwise: bool) -> bool {
        self.get(name).map_or(otherwise, |value| value == "true")
    }
}

#[derive(Clone, Copy)]
enum Kind {
    /// Takes no value, and sets this one.
    Switch(&'static str),
    Number,
    Text,
}

fn known(version: Version) -> BTreeMap<&'static str, &'static str> {
    let table = if version < NATIVE {
        include_str!("../../assets/flags/marathon-1.1")
    } else {
        include_str!("../../assets/flags/marathon-1.8")
    };
    table
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| !name.starts_with('#'))
        .collect()
}

fn kind(known: &BTreeMap<&str, &str>, name: &str) -> Option<Kind> {
    if let Some(plain) = name
        .strip_prefix("disable_")
        .filter(|plain| known.get(plain) == Some(&"toggle"))
    {
        return kind(known, plain).map(|_| Kind::Switch("false"));
    }
    match *known.get(name)? {
        "toggle" | "bool" => Some(Kind::Switch("true")),
        "number" => Some(Kind::Number),
        _ => Some(Kind::Text),
    }
}

fn check(name: &str, kind: Kind, value: String) -> anyhow::Result<String> {
    if matches!(kind, Kind::Number) && value.parse::<u64>().is_err() {
        bail!(
            "[scallop] Error: Bad arguments for option '{name}': '{value}' - wrong arguments format"
        );
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Version = Version(1, 1, 5);
    const NEW: Version = Version(1, 8, 222);

    fn load(
        version: Version,
        environment: &[(&str, &str)],
        arguments: &str,
    ) -> anyhow::Result<Flags> {
        let arguments: Vec<String> = arguments.split_whitespace().map(str::to_owned).collect();
        Flags::load(
            version,
            environment
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned())),
            &arguments,
        )
    }

    #[test]
    fn values_follow_their_names() {
        let flags = load(
            OLD,
            &[],
            "--zk zk://h:2181/marathon --event_subscriber http_callback --disable_ha",
        )
        .unwrap();
        assert_eq!(flags.get("event_subscriber"), Some("http_callback"));
        assert!(!flags.toggle("ha", true));
    }

    #[test]
    fn the_subscriber_is_unknown_from_1_5_on() {
        let error = load(NEW, &[], "--event_subscriber http_callback")
            .unwrap_err()
            .to_string();
        assert_eq!(error, "[scallop] Error: Unknown option 'event_subscriber'");
        let error = load(NEW, &[("MARATHON_EVENT_SUBSCRIBER", "http_callback")], "")
            .unwrap_err()
            .to_string();
        assert_eq!(error, "[scallop] Error: Unknown option 'event_subscriber'");
    }

    #[test]
    fn arguments_win_over_variables() {
        let variables = [
            ("MARATHON_HOSTNAME", "variable"),
            ("MARATHON_MESOS_USER", "root"),
            ("MARATHON_APP_ID", "x"),
        ];
        let flags = load(NEW, &variables, "--hostname argument").unwrap();
        assert_eq!(flags.get("hostname"), Some("argument"));
        assert_eq!(flags.get("mesos_user"), Some("root"));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(
            load(NEW, &[], "--http_port eighty")
                .unwrap_err()
                .to_string()
                .contains("'http_port'")
        );
        assert!(
            load(NEW, &[], "--hostname")
                .unwrap_err()
                .to_string()
                .contains("exactly one argument")
        );
        assert!(
            load(NEW, &[], "stray")
                .unwrap_err()
                .to_string()
                .contains("Excess arguments")
        );
    }
}
