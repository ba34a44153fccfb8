//! Dates and times in templates: `now()`, `to_datetime`, `strftime`, and their differences.

use super::eval::call::Args;
use super::value::data;
use super::value::undefined::{Res, fault};
use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};
use std::cmp::Ordering;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time};

/// A point in time as Python's `datetime`: without time zone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DateTime(pub(crate) PrimitiveDateTime);

/// A length of time as Python's `timedelta`, in microseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delta(i128);

/// Seconds the controller's clock is ahead of UTC. Asked of `date` once: finding it from inside a
/// program with threads is not sound.
pub(crate) fn local_offset() -> i64 {
    static OFFSET: OnceLock<i64> = OnceLock::new();
    *OFFSET.get_or_init(|| {
        let output = std::process::Command::new("date").arg("+%z").output();
        let text = output
            .map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned())
            .unwrap_or_default();
        let sign = if text.starts_with('-') { -1 } else { 1 };
        let digits: i64 = text.trim_start_matches(['+', '-']).parse().unwrap_or(0);
        sign * (digits / 100 * 3600 + digits % 100 * 60)
    })
}

/// A time of seconds since 1970, in UTC or on the controller's clock.
pub(crate) fn from_epoch(seconds: f64, utc: bool) -> Res<PrimitiveDateTime> {
    let shift = if utc { 0 } else { local_offset() };
    #[expect(
        clippy::cast_possible_truncation,
        reason = "microseconds of any sane date fit"
    )]
    let micros = (seconds * 1e6).round() as i128 + i128::from(shift) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(micros * 1000)
        .map(|t| PrimitiveDateTime::new(t.date(), t.time()))
        .map_err(|_| fault("the time is out of range"))
}

/// Now, in seconds since 1970.
pub(crate) fn epoch() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0.0, |d| d.as_secs_f64())
}

pub(crate) fn now(utc: bool, format: Option<&Value>) -> Res<Value> {
    let time = from_epoch(epoch(), utc)?;
    match format {
        Some(format) if !format.is_none() => {
            Ok(Value::from(strftime(&format.to_string(), time, utc)))
        }
        _ => Ok(Value::from_object(DateTime(time))),
    }
}

impl Object for DateTime {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let t = self.0;
        Some(match key.as_str()? {
            "year" => Value::from(t.year()),
            "month" => Value::from(u8::from(t.month())),
            "day" => Value::from(t.day()),
            "hour" => Value::from(t.hour()),
            "minute" => Value::from(t.minute()),
            "second" => Value::from(t.second()),
            "microsecond" => Value::from(t.microsecond()),
            _ => return None,
        })
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&iso(self.0, ' '))
    }
}

fn iso(t: PrimitiveDateTime, sep: char) -> String {
    let mut text = strftime(&format!("%Y-%m-%d{sep}%H:%M:%S"), t, true);
    if t.microsecond() > 0 {
        let _ = write!(text, ".{:06}", t.microsecond());
    }
    text
}

impl Object for Delta {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let day = 86_400_000_000;
        Some(match key.as_str()? {
            "days" => data::int(self.0.div_euclid(day)),
            "seconds" => data::int(self.0.rem_euclid(day) / 1_000_000),
            "microseconds" => data::int(self.0.rem_euclid(1_000_000)),
            _ => return None,
        })
    }

    fn is_true(self: &Arc<Self>) -> bool {
        self.0 != 0
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let day = 86_400_000_000;
        let (days, rest) = (self.0.div_euclid(day), self.0.rem_euclid(day));
        if days != 0 {
            write!(f, "{days} day{}, ", if days.abs() == 1 { "" } else { "s" })?;
        }
        let seconds = rest / 1_000_000;
        write!(
            f,
            "{}:{:02}:{:02}",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )?;
        if rest % 1_000_000 > 0 {
            write!(f, ".{:06}", rest % 1_000_000)?;
        }
        Ok(())
    }
}

fn micros(t: PrimitiveDateTime) -> i128 {
    t.assume_utc().unix_timestamp_nanos() / 1000
}

fn point(micros: i128) -> Option<Value> {
    let t = OffsetDateTime::from_unix_timestamp_nanos(micros * 1000).ok()?;
    Some(Value::from_object(DateTime(PrimitiveDateTime::new(
        t.date(),
        t.time(),
    ))))
}

pub(crate) fn add(a: &Value, b: &Value) -> Option<Value> {
    let delta = |v: &Value| v.downcast_object_ref::<Delta>().map(|d| d.0);
    let time = |v: &Value| v.downcast_object_ref::<DateTime>().map(|t| micros(t.0));
    match (time(a), delta(a), time(b), delta(b)) {
        (Some(t), _, _, Some(d)) | (_, Some(d), Some(t), _) => point(t + d),
        (_, Some(a), _, Some(b)) => Some(Value::from_object(Delta(a + b))),
        _ => None,
    }
}

pub(crate) fn sub(a: &Value, b: &Value) -> Option<Value> {
    let delta = |v: &Value| v.downcast_object_ref::<Delta>().map(|d| d.0);
    let time = |v: &Value| v.downcast_object_ref::<DateTime>().map(|t| micros(t.0));
    match (time(a), delta(a), time(b), delta(b)) {
        (Some(a), _, Some(b), _) | (_, Some(a), _, Some(b)) => {
            Some(Value::from_object(Delta(a - b)))
        }
        (Some(t), _, _, Some(d)) => point(t - d),
        _ => None,
    }
}

pub(crate) fn order(a: &Value, b: &Value) -> Option<Ordering> {
    let key = |v: &Value| {
        let time = v
            .downcast_object_ref::<DateTime>()
            .map(|t| (0, micros(t.0)));
        time.or_else(|| v.downcast_object_ref::<Delta>().map(|d| (1, d.0)))
    };
    match (key(a), key(b)) {
        (Some((x, a)), Some((y, b))) if x == y => Some(a.cmp(&b)),
        _ => None,
    }
}

/// Methods of times and differences.
pub(crate) fn method(object: &Value, method: &str, args: &Args) -> Res<Option<Value>> {
    if let Some(time) = object.downcast_object_ref::<DateTime>() {
        let t = time.0;
        return Ok(Some(match method {
            "strftime" => {
                let format = args
                    .pos
                    .first()
                    .ok_or_else(|| fault("strftime: the format is missing"))?;
                Value::from(strftime(&format.to_string(), t, false))
            }
            "isoformat" => Value::from(iso(t, 'T')),
            "date" => Value::from(strftime("%Y-%m-%d", t, true)),
            "time" => Value::from(strftime("%H:%M:%S", t, true)),
            "weekday" => Value::from(t.weekday().number_days_from_monday()),
            "isoweekday" => Value::from(t.weekday().number_from_monday()),
            #[expect(clippy::cast_precision_loss, reason = "Python gives a float, too")]
            "timestamp" => {
                Value::from((micros(t) - i128::from(local_offset()) * 1_000_000) as f64 / 1e6)
            }
            _ => return Ok(None),
        }));
    }
    if let Some(delta) = object.downcast_object_ref::<Delta>()
        && method == "total_seconds"
    {
        #[expect(clippy::cast_precision_loss, reason = "Python gives a float, too")]
        return Ok(Some(Value::from(delta.0 as f64 / 1e6)));
    }
    Ok(None)
}

/// A time formatted by `'{:%Y}'.format(time)`.
pub(crate) fn strftime_of(value: &Value, format: &str) -> Option<String> {
    let time = value.downcast_object_ref::<DateTime>()?;
    Some(strftime(format, time.0, false))
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
];

/// C's `strftime`.
pub(crate) fn strftime(format: &str, t: PrimitiveDateTime, utc: bool) -> String {
    let mut out = String::new();
    let mut chars = format.chars();
    let month = MONTHS[usize::from(u8::from(t.month())) - 1];
    let day = DAYS[usize::from(t.weekday().number_days_from_monday())];
    let hour12 = match t.hour() % 12 {
        0 => 12,
        h => h,
    };
    let (iso_year, iso_week, _) = t.to_iso_week_date();
    while let Some(c) = chars.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let mut code = chars.next().unwrap_or('%');
        let unpadded = code == '-';
        if unpadded {
            code = chars.next().unwrap_or('-');
        }
        let piece = match code {
            'Y' => t.year().to_string(),
            'C' => format!("{:02}", t.year() / 100),
            'y' => format!("{:02}", t.year().rem_euclid(100)),
            'm' => format!("{:02}", u8::from(t.month())),
            'd' => format!("{:02}", t.day()),
            'e' => format!("{:2}", t.day()),
            'H' => format!("{:02}", t.hour()),
            'I' => format!("{hour12:02}"),
            'M' => format!("{:02}", t.minute()),
            'S' => format!("{:02}", t.second()),
            'f' => format!("{:06}", t.microsecond()),
            'j' => format!("{:03}", t.ordinal()),
            'A' => day.to_owned(),
            'a' => day[..3].to_owned(),
            'B' => month.to_owned(),
            'b' | 'h' => month[..3].to_owned(),
            'p' => if t.hour() < 12 { "AM" } else { "PM" }.to_owned(),
            'u' => t.weekday().number_from_monday().to_string(),
            'w' => t.weekday().number_days_from_sunday().to_string(),
            'U' => format!("{:02}", t.date().sunday_based_week()),
            'W' => format!("{:02}", t.date().monday_based_week()),
            'V' => format!("{iso_week:02}"),
            'G' => iso_year.to_string(),
            's' => {
                let shift = if utc { 0 } else { local_offset() };
                (t.assume_utc().unix_timestamp() - shift).to_string()
            }
            'z' => {
                let offset = if utc { 0 } else { local_offset() };
                let sign = if offset < 0 { '-' } else { '+' };
                format!(
                    "{sign}{:02}{:02}",
                    offset.abs() / 3600,
                    offset.abs() / 60 % 60
                )
            }
            'Z' => if utc || local_offset() == 0 {
                "UTC"
            } else {
                ""
            }
            .to_owned(),
            'F' => strftime("%Y-%m-%d", t, utc),
            'T' | 'X' => strftime("%H:%M:%S", t, utc),
            'R' => strftime("%H:%M", t, utc),
            'D' | 'x' => strftime("%m/%d/%y", t, utc),
            'c' => strftime("%a %b %e %H:%M:%S %Y", t, utc),
            'r' => strftime("%I:%M:%S %p", t, utc),
            'n' => "\n".to_owned(),
            't' => "\t".to_owned(),
            '%' => "%".to_owned(),
            other => format!("%{other}"),
        };
        if unpadded {
            let short = piece.trim_start_matches(['0', ' ']);
            out.push_str(if short.is_empty() { "0" } else { short });
        } else {
            out.push_str(&piece);
        }
    }
    out
}

/// Python's `datetime.strptime`.
pub(crate) fn strptime(text: &str, format: &str) -> Res<PrimitiveDateTime> {
    let mismatch = || {
        fault(format!(
            "time data '{text}' does not match format '{format}'"
        ))
    };
    let (mut year, mut month, mut day) = (1900, 1_u8, 1_u8);
    let (mut hour, mut minute, mut second, mut micro) = (0_u8, 0_u8, 0_u8, 0_u32);
    let (mut pm, mut ordinal) = (None, None);
    let mut rest = text;
    let expanded = format
        .replace("%T", "%H:%M:%S")
        .replace("%F", "%Y-%m-%d")
        .replace("%D", "%m/%d/%y")
        .replace("%R", "%H:%M");
    let mut chars = expanded.chars();
    let number = |rest: &mut &str, width: usize| -> Res<u32> {
        let digits = rest
            .bytes()
            .take(width)
            .take_while(u8::is_ascii_digit)
            .count();
        let value = rest[..digits].parse().map_err(|_| mismatch())?;
        *rest = &rest[digits..];
        Ok(value)
    };
    let word = |rest: &mut &str, words: &[&str], short: bool| -> Res<u8> {
        for (n, word) in words.iter().enumerate() {
            let word = if short { &word[..3] } else { word };
            if rest
                .get(..word.len())
                .is_some_and(|r| r.eq_ignore_ascii_case(word))
            {
                *rest = &rest[word.len()..];
                return u8::try_from(n).map_err(|_| mismatch());
            }
        }
        Err(mismatch())
    };
    let small = |n: u32| u8::try_from(n).map_err(|_| mismatch());
    while let Some(c) = chars.next() {
        if c.is_whitespace() {
            rest = rest.trim_start();
            continue;
        }
        if c != '%' {
            rest = rest.strip_prefix(c).ok_or_else(mismatch)?;
            continue;
        }
        match chars.next().ok_or_else(mismatch)? {
            'Y' => year = i32::try_from(number(&mut rest, 4)?).map_err(|_| mismatch())?,
            'y' => {
                let n = i32::try_from(number(&mut rest, 2)?).map_err(|_| mismatch())?;
                year = if n < 69 { 2000 + n } else { 1900 + n };
            }
            'm' => month = small(number(&mut rest, 2)?)?,
            'd' | 'e' => {
                rest = rest.trim_start();
                day = small(number(&mut rest, 2)?)?;
            }
            'H' | 'I' => hour = small(number(&mut rest, 2)?)?,
            'M' => minute = small(number(&mut rest, 2)?)?,
            'S' => second = small(number(&mut rest, 2)?)?,
            'f' => {
                let before = rest.len();
                let n = number(&mut rest, 6)?;
                let digits = u32::try_from(before - rest.len()).unwrap_or(6);
                micro = n * 10_u32.pow(6 - digits);
            }
            'j' => ordinal = Some(number(&mut rest, 3)?),
            'b' | 'h' => month = word(&mut rest, &MONTHS, true)? + 1,
            'B' => month = word(&mut rest, &MONTHS, false)? + 1,
            'a' => drop(word(&mut rest, &DAYS, true)?),
            'A' => drop(word(&mut rest, &DAYS, false)?),
            'p' => pm = Some(word(&mut rest, &["AM", "PM"], false)? == 1),
            's' => {
                let n = number(&mut rest, 20)?;
                return from_epoch(f64::from(n), false);
            }
            'Z' => {
                let len = rest
                    .find(|c: char| !c.is_ascii_alphabetic())
                    .unwrap_or(rest.len());
                rest = &rest[len..];
            }
            'z' => {
                if let Some(tail) = rest.strip_prefix('Z') {
                    rest = tail;
                } else {
                    // A zone is read and then forgotten: times here have none.
                    rest = rest.strip_prefix(['+', '-']).ok_or_else(mismatch)?;
                    number(&mut rest, 2)?;
                    rest = rest.strip_prefix(':').unwrap_or(rest);
                    number(&mut rest, 2)?;
                }
            }
            '%' => rest = rest.strip_prefix('%').ok_or_else(mismatch)?,
            _ => return Err(fault(format!("unsupported directive in format '{format}'"))),
        }
    }
    if !rest.is_empty() {
        return Err(fault(format!("unconverted data remains: {rest}")));
    }
    match pm {
        Some(true) if hour < 12 => hour += 12,
        Some(false) if hour == 12 => hour = 0,
        _ => {}
    }
    let date = match ordinal {
        Some(n) => u16::try_from(n)
            .ok()
            .and_then(|n| Date::from_ordinal_date(year, n).ok()),
        None => Month::try_from(month)
            .ok()
            .and_then(|month| Date::from_calendar_date(year, month, day).ok()),
    };
    let time = Time::from_hms_micro(hour, minute, second, micro).ok();
    match (date, time) {
        (Some(date), Some(time)) => Ok(PrimitiveDateTime::new(date, time)),
        _ => Err(mismatch()),
    }
}
