//! Times of a file: `preserve`, `now`, or a time in a format of one's own, in the host's time zone.

use crate::modules::attrs::Unsettled;
use crate::modules::probe::PathState;
use crate::modules::{Args, Failure, Probe, Seen, sh};

/// One wanted time.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Time {
    Preserve,
    Now,
    /// `YYYY-MM-DD hh:mm:ss`, local to the host.
    At(String),
}

/// Both times.
#[derive(Debug, Clone)]
pub(super) struct Times {
    modification: Time,
    access: Time,
}

impl Times {
    pub(super) fn new(args: &Args, touch: bool) -> Result<Self, Failure> {
        let time = |name: &str| match args.str(name).as_deref() {
            None if touch => Ok(Time::Now),
            None | Some("preserve") => Ok(Time::Preserve),
            Some("now") => Ok(Time::Now),
            Some(text) => {
                let format = args.text(&format!("{name}_format"));
                parse(text, &format).map(Time::At).ok_or_else(|| {
                    Failure::of(
                        name,
                        format!(
                            "Error while obtaining timestamp for time {text} using format {format}"
                        ),
                    )
                })
            }
        };
        Ok(Self {
            modification: time("modification_time")?,
            access: time("access_time")?,
        })
    }

    /// The host is asked what its clock makes of a given time.
    pub(super) fn probes(&self) -> Vec<Probe> {
        [&self.modification, &self.access]
            .into_iter()
            .filter_map(|time| match time {
                Time::At(text) => Some(Probe::Script(date(text))),
                _ => None,
            })
            .collect()
    }

    /// Commands that set the times of what is in this state; none when they are right.
    pub(super) fn commands(
        &self,
        now: &PathState,
        seen: &Seen,
        word: &str,
    ) -> Result<String, Unsettled> {
        if self.modification == Time::Now && self.access == Time::Now {
            return Ok(format!("touch -- {word} || exit\n"));
        }
        let mut script = String::new();
        for (time, flag, old) in [
            (&self.access, "-a", now.atime),
            (&self.modification, "-m", now.mtime),
        ] {
            match time {
                Time::Preserve => {}
                Time::Now => script.push_str(&format!("touch {flag} -- {word} || exit\n")),
                Time::At(text) => {
                    let (_, wanted) = sh::answer(seen, &date(text)).unwrap_or_default();
                    let Ok(wanted) = wanted.trim().parse::<f64>() else {
                        return Err(Unsettled::failed(format!(
                            "the host cannot read the time {text}"
                        )));
                    };
                    // Whole seconds are what can be asked for.
                    #[allow(clippy::float_cmp)]
                    if wanted != old {
                        script.push_str(&format!("touch {flag} -d @{wanted} -- {word} || exit\n"));
                    }
                }
            }
        }
        Ok(script)
    }
}

fn date(text: &str) -> String {
    format!("date -d {} +%s", sh::quote(text))
}

/// The part of Python's `strptime` that is made of numbers.
fn parse(text: &str, format: &str) -> Option<String> {
    let (mut year, mut month, mut day, mut hour, mut minute, mut second) = (1900, 1, 1, 0, 0, 0);
    let mut rest = text;
    let mut format = format.chars();
    while let Some(c) = format.next() {
        if c != '%' {
            rest = rest.strip_prefix(c)?;
            continue;
        }
        let directive = format.next()?;
        let most = if directive == 'Y' { 4 } else { 2 };
        let digits = rest
            .chars()
            .take(most)
            .take_while(char::is_ascii_digit)
            .count();
        if digits == 0 {
            return None;
        }
        let number: u32 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        match directive {
            'Y' => year = number,
            'y' => {
                year = if number < 69 {
                    2000 + number
                } else {
                    1900 + number
                }
            }
            'm' if (1..=12).contains(&number) => month = number,
            'd' if (1..=31).contains(&number) => day = number,
            'H' if number < 24 => hour = number,
            'M' if number < 60 => minute = number,
            'S' if number < 62 => second = number,
            _ => return None,
        }
    }
    rest.is_empty()
        .then(|| format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn formats_are_read() {
        assert_eq!(
            parse("202001021504.05", "%Y%m%d%H%M.%S").as_deref(),
            Some("2020-01-02 15:04:05")
        );
        assert_eq!(
            parse("01/02/20", "%d/%m/%y").as_deref(),
            Some("2020-02-01 00:00:00")
        );
        assert_eq!(parse("20201", "%Y%m%d"), None);
        assert_eq!(parse("junk", "%Y"), None);
    }
}
