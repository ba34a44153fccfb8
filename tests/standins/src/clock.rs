//! The time, as Mesos (seconds) and Marathon (ISO 8601 with milliseconds, also the names of versions) write it.

use std::time::SystemTime;
use time::OffsetDateTime;
use time::macros::format_description;

/// Seconds since 1970.
pub fn seconds() -> f64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

/// Now, for Marathon.
pub fn stamp() -> String {
    stamp_of(seconds())
}

/// A moment, for Marathon.
pub fn stamp_of(seconds: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "milliseconds since 1970 fit"
    )]
    let moment =
        OffsetDateTime::from_unix_timestamp_nanos(((seconds * 1000.0).round() as i128) * 1_000_000);
    let format =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    moment
        .ok()
        .and_then(|moment| moment.format(format).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_milliseconds() {
        assert_eq!(stamp_of(1_435_731_212.042), "2015-07-01T06:13:32.042Z");
        assert_eq!(stamp().len(), stamp_of(0.0).len());
    }
}
