//! Dates and times.

use super::{Filter, filter, flag, text, text_or};
use crate::template::datetime::{DateTime, epoch, from_epoch, strftime, strptime};
use crate::template::eval::call::Call;
use crate::template::value::data::as_float;
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, fault};
use minijinja::Value;

pub(super) const FILTERS: &[Filter] = &[filter("strftime", format), filter("to_datetime", parse)];

fn format(c: &mut Call<'_, '_>) -> Res<Value> {
    let [second, utc] = c.bind(["second", "utc"])?;
    let utc = flag(utc.as_ref(), false);
    let at = match &second {
        Some(value) if !value.is_none() => match as_float(value) {
            Some(n) => n,
            None => str_of(value)?
                .trim()
                .parse()
                .map_err(|_| fault(format!("invalid value for epoch value ({value})")))?,
        },
        _ => epoch(),
    };
    // `time.strftime` knows no fractions.
    let time = from_epoch(at.floor(), utc)?;
    Ok(Value::from(strftime(
        &text(&c.subject, "the format")?,
        time,
        utc,
    )))
}

fn parse(c: &mut Call<'_, '_>) -> Res<Value> {
    let [format] = c.bind(["format"])?;
    let format = text_or(format.as_ref(), "%Y-%m-%d %H:%M:%S", "the format")?;
    let time = strptime(&text(&c.subject, "the time")?, &format)?;
    Ok(Value::from_object(DateTime(time)))
}
