//! Numbers, sizes, chance.

use super::{Filter, filter, flag, int_or, need, text_or};
use crate::template::eval::call::Call;
use crate::template::random::Random;
use crate::template::value::data::{
    self, Kind, as_float, as_int, described, is_seq, items, kind, list,
};
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, Undef, Why, fault};
use minijinja::Value;

pub(super) const FILTERS: &[Filter] = &[
    filter("abs", abs),
    filter("round", round),
    filter("log", log),
    filter("pow", |c| {
        let [y] = c.bind(["y"])?;
        let (x, y) = (number(&c.subject)?, number(&need(y, "the exponent")?)?);
        Ok(Value::from(x.powf(y)))
    }),
    filter("root", |c| {
        let [base] = c.bind(["base"])?;
        let base = base.as_ref().map_or(Ok(2.0), number)?;
        let x = number(&c.subject)?;
        Ok(Value::from(if base == 2.0 {
            x.sqrt()
        } else {
            x.powf(1.0 / base)
        }))
    }),
    filter("random", random),
    filter("shuffle", shuffle),
    filter("human_readable", human_readable),
    filter("human_to_bytes", human_to_bytes),
    filter("filesizeformat", file_size),
];

fn number(value: &Value) -> Res<f64> {
    as_float(value).ok_or_else(|| fault(format!("expected a number, got {}", described(value))))
}

fn abs(c: &mut Call<'_, '_>) -> Res<Value> {
    c.no_args()?;
    match as_int(&c.subject) {
        Some(n) => Ok(data::int(n.abs())),
        None => Ok(Value::from(number(&c.subject)?.abs())),
    }
}

/// Python's `round`: to the nearest, ties to even, by decimal digits.
fn python_round(n: f64, digits: i32) -> f64 {
    if digits >= 0 {
        let digits = usize::try_from(digits).unwrap_or(0);
        return format!("{n:.digits$}").parse().unwrap_or(n);
    }
    let scale = 10_f64.powi(-digits);
    (n / scale).round_ties_even() * scale
}

fn round(c: &mut Call<'_, '_>) -> Res<Value> {
    let [precision, method] = c.bind(["precision", "method"])?;
    let digits = i32::try_from(int_or(precision.as_ref(), 0, "the precision")?).unwrap_or(0);
    let method = text_or(method.as_ref(), "common", "the method")?;
    let n = number(&c.subject)?;
    let scale = 10_f64.powi(digits);
    let rounded = match method.as_str() {
        "common" => python_round(n, digits),
        "ceil" => (n * scale).ceil() / scale,
        "floor" => (n * scale).floor() / scale,
        _ => return Err(fault("the method must be common, ceil or floor")),
    };
    // Rounding an integer the common way leaves an integer.
    match (as_int(&c.subject), method.as_str()) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "an integer before, an integer now"
        )]
        (Some(_), "common") => Ok(data::int(rounded as i128)),
        _ => Ok(Value::from(rounded)),
    }
}

fn log(c: &mut Call<'_, '_>) -> Res<Value> {
    let [base] = c.bind(["base"])?;
    let n = number(&c.subject)?;
    if n <= 0.0 {
        return Err(fault("math domain error"));
    }
    Ok(Value::from(match base {
        Some(base) => {
            let base = number(&base)?;
            if base == 10.0 {
                n.log10()
            } else {
                n.ln() / base.ln()
            }
        }
        None => n.ln(),
    }))
}

fn generator(seed: Option<&Value>) -> Res<Random> {
    Ok(match seed {
        None => Random::System,
        Some(seed) if seed.is_none() => Random::System,
        Some(seed) => match as_int(seed) {
            Some(n) => Random::from_int(n),
            None => Random::from_text(&str_of(seed)?),
        },
    })
}

fn random(c: &mut Call<'_, '_>) -> Res<Value> {
    let [start, step, seed] = c.bind(["start", "step", "seed"])?;
    let mut random = generator(seed.as_ref())?;
    if is_seq(&c.subject) || kind(&c.subject) == Kind::Str {
        let all = items(&c.subject)?;
        if all.is_empty() {
            let why = Why::Said("no random item: the sequence is empty".to_owned());
            return Ok(Undef::value(why, None));
        }
        return Ok(all[random.index(all.len())].clone());
    }
    let end = as_int(&c.subject)
        .ok_or_else(|| fault("random can only be used on sequences and integers"))?;
    let start = int_or(start.as_ref(), 0, "`start`")?;
    let step = int_or(step.as_ref(), 1, "`step`")?.max(1);
    let count = (end - start + step - 1) / step;
    let count = u64::try_from(count)
        .ok()
        .filter(|n| *n > 0)
        .ok_or_else(|| fault("the range is empty"))?;
    Ok(data::int(start + step * i128::from(random.below(count))))
}

fn shuffle(c: &mut Call<'_, '_>) -> Res<Value> {
    let [seed] = c.bind(["seed"])?;
    let seed = seed.filter(Value::is_true);
    let mut all = items(&c.subject)?;
    generator(seed.as_ref())?.shuffle(&mut all);
    Ok(list(all))
}

const UNITS: &[(char, f64)] = &[
    ('Y', 1_208_925_819_614_629_174_706_176.0),
    ('Z', 1_180_591_620_717_411_303_424.0),
    ('E', 1_152_921_504_606_846_976.0),
    ('P', 1_125_899_906_842_624.0),
    ('T', 1_099_511_627_776.0),
    ('G', 1_073_741_824.0),
    ('M', 1_048_576.0),
    ('K', 1024.0),
    ('B', 1.0),
];

fn human_readable(c: &mut Call<'_, '_>) -> Res<Value> {
    let [bits, unit] = c.bind(["isbits", "unit"])?;
    let size = match kind(&c.subject) {
        Kind::Str => return Err(fault("human_readable() failed on bad input")),
        _ => number(&c.subject)?,
    };
    let base = if flag(bits.as_ref(), false) {
        "bits"
    } else {
        "Bytes"
    };
    let wanted = match &unit {
        Some(unit) if !unit.is_none() => str_of(unit)?.chars().next(),
        _ => None,
    };
    let (letter, limit) = UNITS
        .iter()
        .find(|(letter, limit)| match wanted {
            Some(unit) => unit.to_ascii_uppercase() == *letter,
            None => size >= *limit,
        })
        .copied()
        .unwrap_or(('B', 1.0));
    let suffix = if letter == 'B' {
        base.to_owned()
    } else {
        format!("{letter}{}", &base[..1])
    };
    Ok(Value::from(format!("{:.2} {suffix}", size / limit)))
}

const LONG_UNITS: &[&str] = &[
    "yotta", "zetta", "exa", "peta", "tera", "giga", "mega", "kilo", "",
];

fn human_to_bytes(c: &mut Call<'_, '_>) -> Res<Value> {
    let [default, bits] = c.bind(["default_unit", "isbits"])?;
    let bits = flag(bits.as_ref(), false);
    let text = str_of(&c.subject)?;
    let bad = || fault(format!("human_to_bytes() can't interpret '{text}'"));
    let digits = text
        .find(|ch: char| !(ch.is_ascii_digit() || ch == '.'))
        .unwrap_or(text.len());
    let n: f64 = text[..digits].parse().map_err(|_| bad())?;
    let mut unit = text[digits..].trim().to_owned();
    if unit.is_empty()
        && let Some(default) = default.filter(|d| !d.is_none())
    {
        unit = str_of(&default)?;
    }
    #[expect(clippy::cast_possible_truncation, reason = "sizes fit")]
    let whole = |n: f64| data::int(n.round_ties_even() as i128);
    let Some(first) = unit.chars().next() else {
        return Ok(whole(n));
    };
    let place = UNITS
        .iter()
        .position(|(letter, _)| *letter == first.to_ascii_uppercase())
        .ok_or_else(bad)?;
    let (letter, limit) = UNITS[place];
    if unit.len() > 1 {
        let (class, short) = if bits { ("bit", 'b') } else { ("byte", 'B') };
        let long = format!("{}{class}", LONG_UNITS[place]);
        if unit.to_ascii_lowercase() != long && unit != format!("{letter}{short}") {
            return Err(fault(format!(
                "human_to_bytes() failed to convert {text}: expected {letter}{short} or {letter}"
            )));
        }
    }
    Ok(whole(n * limit))
}

fn file_size(c: &mut Call<'_, '_>) -> Res<Value> {
    let [binary] = c.bind(["binary"])?;
    let binary = flag(binary.as_ref(), false);
    let size = match as_float(&c.subject) {
        Some(n) => n,
        None => str_of(&c.subject)?
            .trim()
            .parse()
            .map_err(|_| fault("expected a number"))?,
    };
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    if size == 1.0 {
        return Ok(Value::from("1 Byte"));
    }
    if size < base {
        return Ok(Value::from(format!("{size:.0} Bytes")));
    }
    let mut unit = base;
    let prefixes = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
    for (n, prefix) in prefixes.iter().enumerate() {
        unit *= base;
        if size < unit || n + 1 == prefixes.len() {
            let prefix = if binary {
                format!("{}i", prefix.to_uppercase())
            } else {
                (*prefix).to_owned()
            };
            return Ok(Value::from(format!("{:.1} {prefix}B", base * size / unit)));
        }
    }
    Err(fault("the size is out of range"))
}
