//! `known.txt`: differences that there are, each with its reason.

use super::compare::Difference;
use std::cell::Cell;

/// One line: a glob on a difference's place.
struct Line {
    glob: globset::GlobMatcher,
    text: String,
    used: Cell<bool>,
}

/// All lines.
pub struct Known(Vec<Line>);

impl Known {
    /// `PLACE | reason`, one a line; `*` stands for any part of a place.
    pub fn read(text: &str) -> Self {
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(
            lines
                .map(|line| {
                    let (place, reason) = line.split_once(" | ").expect("PLACE | reason");
                    assert!(!reason.trim().is_empty(), "{place} has no reason");
                    let glob = globset::Glob::new(&place.replace(['[', '{'], "?")).unwrap();
                    Line {
                        glob: glob.compile_matcher(),
                        text: place.to_owned(),
                        used: Cell::new(false),
                    }
                })
                .collect(),
        )
    }

    /// Takes out what is known.
    pub fn filter(&self, found: Vec<Difference>) -> Vec<Difference> {
        found
            .into_iter()
            .filter(|(place, _)| {
                let mut fits = false;
                for line in self.0.iter().filter(|line| line.glob.is_match(place)) {
                    line.used.set(true);
                    fits = true;
                }
                !fits
            })
            .collect()
    }

    /// Lines that nothing needed.
    pub fn unused(&self) -> Vec<&str> {
        let unused = self.0.iter().filter(|line| !line.used.get());
        unused.map(|line| line.text.as_str()).collect()
    }
}
