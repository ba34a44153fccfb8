//! Which release a daemon plays: the packages say it in `share/standins/NAME.version` above the program.

/// `major.minor.patch`, ordered as releases are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// Reads `1.11.0`, ignoring what a package appends (`-2.0.1.standin1`).
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-').next()?.split('.').map(str::parse);
        Some(Self(
            parts.next()?.ok()?,
            parts.next()?.ok()?,
            parts.next().unwrap_or(Ok(0)).ok()?,
        ))
    }

    /// The release installed around this program, or `otherwise` when it runs outside of a package.
    pub fn installed(name: &str, otherwise: Self) -> Self {
        installed(name)
            .and_then(|text| Self::parse(&text))
            .unwrap_or(otherwise)
    }
}

/// The whole version of the package around this program: what a vendor appends says whose it is.
pub fn installed(name: &str) -> Option<String> {
    let program = std::env::current_exe().unwrap_or_default();
    let file = format!("share/standins/{name}.version");
    program
        .ancestors()
        .skip(1)
        .find_map(|above| std::fs::read_to_string(above.join(&file)).ok())
}

impl std::fmt::Display for Version {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_append_to_a_version() {
        assert_eq!(
            Version::parse("1.11.0-2.0.1.standin1\n"),
            Some(Version(1, 11, 0))
        );
        assert_eq!(Version::parse("0.28"), Some(Version(0, 28, 0)));
        assert_eq!(Version::parse("new"), None);
    }

    #[test]
    fn versions_order_by_number() {
        assert!(Version(1, 11, 0) > Version(1, 9, 0));
        assert!(Version(0, 28, 3) < Version(1, 0, 0));
    }
}
