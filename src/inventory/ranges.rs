//! Ranges of host names: `node[01:20]`, `node[a:f]`, `node[0:10:2]`.

/// Hosts a range may mean at most.
const LIMIT: usize = 100_000;

/// All names that a name with ranges means.
///
/// # Errors
/// In words, for a range that cannot be.
pub(super) fn expand(name: &str) -> Result<Vec<String>, String> {
    let Some((head, rest)) = name.split_once('[') else {
        return Ok(vec![name.to_owned()]);
    };
    let Some((range, tail)) = rest.split_once(']') else {
        return Err("`[` without `]`".into());
    };
    let mut parts = range.split(':');
    let (Some(from), Some(to)) = (parts.next(), parts.next()) else {
        // An IPv6 address or a name with an index.
        return Ok(vec![name.to_owned()]);
    };
    let step: usize = match parts.next() {
        Some(text) => text
            .parse()
            .ok()
            .filter(|n| *n > 0)
            .ok_or("the step must be a positive number")?,
        None => 1,
    };
    if parts.next().is_some() {
        return Err("too many colons".into());
    }
    let tails = expand(tail)?;
    let middles = middles(from, to, step)?;
    if middles.len() * tails.len() > LIMIT {
        return Err(format!("more than {LIMIT} hosts"));
    }
    Ok(middles
        .iter()
        .flat_map(|middle| {
            tails
                .iter()
                .map(move |tail| format!("{head}{middle}{tail}"))
        })
        .collect())
}

fn middles(from: &str, to: &str, step: usize) -> Result<Vec<String>, String> {
    if to.is_empty() {
        return Err("the end is missing".into());
    }
    let letter = |text: &str| {
        text.chars()
            .next()
            .filter(|c| c.is_ascii_alphabetic() && text.len() == 1)
    };
    if let (Some(a), Some(z)) = (letter(from), letter(to)) {
        if a > z {
            return Err("it ends before it starts".into());
        }
        return Ok((a..=z).step_by(step).map(String::from).collect());
    }
    let from = if from.is_empty() { "0" } else { from };
    let number = |text: &str| {
        text.parse::<usize>()
            .map_err(|_| format!("`{text}` is neither a number nor a letter"))
    };
    let (first, last) = (number(from)?, number(to)?);
    if first > last {
        return Err("it ends before it starts".into());
    }
    if (last - first) / step >= LIMIT {
        return Err(format!("more than {LIMIT} hosts"));
    }
    // A leading zero fixes the width.
    let width = if from.len() > 1 && from.starts_with('0') {
        from.len()
    } else {
        0
    };
    if width > 0 && to.len() != from.len() {
        return Err("with leading zeros both ends need the same width".into());
    }
    Ok((first..=last)
        .step_by(step)
        .map(|n| format!("{n:0width$}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::expand;

    #[test]
    fn names() {
        assert_eq!(expand("a").unwrap(), ["a"]);
        assert_eq!(expand("n[08:10].x").unwrap(), ["n08.x", "n09.x", "n10.x"]);
        assert_eq!(expand("n[a:c]").unwrap(), ["na", "nb", "nc"]);
        assert_eq!(expand("n[0:4:2]").unwrap(), ["n0", "n2", "n4"]);
        assert_eq!(
            expand("r[1:2]n[1:2]").unwrap(),
            ["r1n1", "r1n2", "r2n1", "r2n2"]
        );
        assert!(expand("n[3:1]").is_err());
        assert!(expand("n[01:100]").is_err());
        assert!(expand("n[1:9999999999]").is_err());
    }
}
