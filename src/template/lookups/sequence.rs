//! `with_sequence`.

use super::{Lookup, lookup};
use crate::template::eval::Machine;
use crate::template::eval::call::Args;
use crate::template::format::percent;
use crate::template::value::data::{as_int, int};
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, fault};
use minijinja::Value;

pub(super) const LOOKUPS: &[Lookup] = &[lookup("sequence", sequence)];

#[derive(Debug, Clone, Default)]
struct Fields {
    start: Option<i128>,
    end: Option<i128>,
    count: Option<i128>,
    stride: Option<i128>,
    format: Option<String>,
}

/// A number as Python reads it with base 0.
fn number(name: &str, text: &str) -> Res<i128> {
    let bad = || {
        fault(format!(
            "Invalid type for `{name}` of sequence: '{text}' is no integer"
        ))
    };
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let lower = digits.to_ascii_lowercase();
    let parsed = if let Some(hex) = lower.strip_prefix("0x") {
        i128::from_str_radix(hex, 16)
    } else if let Some(octal) = lower.strip_prefix("0o") {
        i128::from_str_radix(octal, 8)
    } else if lower.len() > 1 && lower.starts_with('0') {
        i128::from_str_radix(&lower, 8)
    } else {
        lower.parse()
    };
    parsed.map(|n| sign * n).map_err(|_| bad())
}

impl Fields {
    fn set(&mut self, name: &str, value: &str) -> Res<()> {
        match name {
            "start" => self.start = Some(number(name, value)?),
            "end" => self.end = Some(number(name, value)?),
            "count" => self.count = Some(number(name, value)?),
            "stride" => self.stride = Some(number(name, value)?),
            "format" => self.format = Some(value.to_owned()),
            other => {
                return Err(fault(format!(
                    "unrecognized arguments to with_sequence: ['{other}']"
                )));
            }
        }
        Ok(())
    }

    /// `[start-]end[/stride][:format]`
    fn shortcut(&mut self, term: &str) -> Res<bool> {
        let (range, format) = match term.split_once(':') {
            Some((range, format)) => (range, Some(format)),
            None => (term, None),
        };
        let (range, stride) = match range.split_once('/') {
            Some((range, stride)) => (range, Some(stride)),
            None => (range, None),
        };
        let (start, end) = match range.split_once('-') {
            Some((start, end)) => (Some(start), end),
            None => (None, range),
        };
        let digits = |text: &str| {
            let body = text.strip_prefix("0x").unwrap_or(text);
            !body.is_empty() && body.chars().all(|c| c.is_ascii_hexdigit())
        };
        if !digits(end) || !start.is_none_or(digits) || !stride.is_none_or(digits) {
            return Ok(false);
        }
        if let Some(start) = start {
            self.set("start", start)?;
        }
        self.set("end", end)?;
        if let Some(stride) = stride {
            self.set("stride", stride)?;
        }
        if let Some(format) = format {
            self.set("format", format)?;
        }
        Ok(true)
    }

    fn run(&self, out: &mut Vec<Value>) -> Res<()> {
        let start = self.start.unwrap_or(1);
        let stride = self.stride.unwrap_or(1);
        let format = self.format.as_deref().unwrap_or("%d");
        let end = match (self.count, self.end) {
            (None, None) => return Err(fault("must specify count or end in with_sequence")),
            (Some(_), Some(_)) => {
                return Err(fault("can't specify both count and end in with_sequence"));
            }
            (Some(0), None) => return Ok(()),
            (Some(count), None) => start + count * stride - 1,
            (None, Some(end)) => end,
        };
        if stride > 0 && end < start {
            return Err(fault("to count backwards make stride negative"));
        }
        if stride < 0 && end > start {
            return Err(fault("to count forward don't make stride negative"));
        }
        if stride == 0 {
            return Ok(());
        }
        if format.matches('%').count() != 1 {
            return Err(fault(format!("bad formatting string: {format}")));
        }
        let mut n = start;
        while (stride > 0 && n <= end) || (stride < 0 && n >= end) {
            let text = percent(format, &int(n))
                .map_err(|_| fault(format!("problem formatting {n} with '{format}'")))?;
            out.push(Value::from(text));
            n += stride;
        }
        Ok(())
    }
}

fn sequence(_: &mut Machine<'_>, args: &mut Args) -> Res<Vec<Value>> {
    let mut common = Fields::default();
    for (name, value) in &args.kw {
        common.set(name, &str_of(value)?)?;
    }
    let mut out = Vec::new();
    if args.pos.is_empty() {
        common.run(&mut out)?;
        return Ok(out);
    }
    for term in &args.pos {
        let mut fields = common.clone();
        if let Some(n) = as_int(term) {
            fields.end = Some(n);
        } else {
            let text = str_of(term)?;
            if !fields.shortcut(&text)? {
                for (name, value) in super::key_values(&text)?.1 {
                    fields.set(&name, &value)?;
                }
            }
        }
        fields.run(&mut out)?;
    }
    Ok(out)
}
