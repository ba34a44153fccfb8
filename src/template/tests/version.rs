//! Versions, compared loosely as `distutils` did, strictly, semantically or as PEP 440 says.

use super::{Test, test};
use crate::template::eval::call::Call;
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, fault};
use minijinja::Value;
use std::cmp::Ordering;

pub(super) const TESTS: &[Test] = &[test("version", version), test("version_compare", version)];

fn version(c: &mut Call<'_, '_>) -> Res<bool> {
    let [other, operator, strict, kind] =
        c.bind(["version", "operator", "strict", "version_type"])?;
    let other = other.ok_or_else(|| fault("the version to compare with is missing"))?;
    let given = |value: &Option<Value>| value.clone().filter(|v| !v.is_none());
    if given(&strict).is_some() && given(&kind).is_some() {
        return Err(fault("`strict` and `version_type` exclude each other"));
    }
    let (a, b) = (str_of(&c.subject)?, str_of(&other)?);
    if a.is_empty() || !c.subject.is_true() {
        return Err(fault("the version is empty"));
    }
    if b.is_empty() {
        return Err(fault("the version to compare with is empty"));
    }
    let kind = match (given(&strict), given(&kind)) {
        (Some(strict), _) if strict.is_true() => "strict".to_owned(),
        (_, Some(kind)) => kind.to_string(),
        _ => "loose".to_owned(),
    };
    let order = match kind.as_str() {
        "loose" => loose(&a, &b).ok_or_else(|| {
            fault(format!(
                "version comparison failed: {a} and {b} differ in kind"
            ))
        })?,
        "strict" => compare(strict_key, &a, &b)?,
        "semver" | "semantic" => compare(semantic_key, &a, &b)?,
        "pep440" => compare(pep440_key, &a, &b)?,
        other => {
            return Err(fault(format!("invalid version type ({other})"))
                .hint("one of loose, strict, semver, semantic, pep440"));
        }
    };
    let operator = operator.map_or_else(|| "eq".to_owned(), |o| o.to_string());
    Ok(match operator.as_str() {
        "==" | "=" | "eq" => order == Ordering::Equal,
        "<" | "lt" => order == Ordering::Less,
        "<=" | "le" => order != Ordering::Greater,
        ">" | "gt" => order == Ordering::Greater,
        ">=" | "ge" => order != Ordering::Less,
        "!=" | "<>" | "ne" => order != Ordering::Equal,
        other => {
            return Err(fault(format!("invalid operator type ({other})"))
                .hint("one of ==, <, <=, >, >=, != and eq, lt, le, gt, ge, ne"));
        }
    })
}

fn compare<K: PartialOrd>(key: fn(&str) -> Option<K>, a: &str, b: &str) -> Res<Ordering> {
    let key = |text: &str| {
        key(text).ok_or_else(|| {
            fault(format!(
                "version comparison failed: invalid version number '{text}'"
            ))
        })
    };
    key(a)?
        .partial_cmp(&key(b)?)
        .ok_or_else(|| fault("version comparison failed"))
}

/// Numbers and words between dots, as `LooseVersion` splits them.
fn loose_parts(text: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let class = |c: char| {
            if c.is_ascii_digit() {
                1
            } else if c.is_ascii_lowercase() {
                2
            } else if c == '.' {
                3
            } else {
                4
            }
        };
        let len = if first == '.' {
            1
        } else {
            rest.find(|c| class(c) != class(first))
                .unwrap_or(rest.len())
        };
        let (part, after) = rest.split_at(len);
        rest = after;
        if first != '.' {
            parts.push(
                part.parse()
                    .map_or_else(|_| Part::Word(part.to_owned()), Part::Number),
            );
        }
    }
    parts
}

#[derive(Debug, PartialEq)]
enum Part {
    Number(u128),
    Word(String),
}

/// `None` where Python cannot compare a number with a word.
pub(crate) fn loose(a: &str, b: &str) -> Option<Ordering> {
    let (a, b) = (loose_parts(a), loose_parts(b));
    for pair in a.iter().zip(&b) {
        let order = match pair {
            (Part::Number(a), Part::Number(b)) => a.cmp(b),
            (Part::Word(a), Part::Word(b)) => a.cmp(b),
            _ => return None,
        };
        if order != Ordering::Equal {
            return Some(order);
        }
    }
    Some(a.len().cmp(&b.len()))
}

type StrictKey = (u64, u64, u64, (u8, char, u64));

fn strict_key(text: &str) -> Option<StrictKey> {
    let text = text.trim();
    let end = text.find(['a', 'b']).unwrap_or(text.len());
    let (numbers, pre) = text.split_at(end);
    let parts: Vec<u64> = numbers
        .split('.')
        .map(|n| n.parse().ok())
        .collect::<Option<_>>()?;
    let pre = match pre.chars().next() {
        Some(letter) => (0, letter, pre[1..].parse().ok()?),
        None => (1, ' ', 0),
    };
    match parts.as_slice() {
        [major, minor] => Some((*major, *minor, 0, pre)),
        [major, minor, patch] => Some((*major, *minor, *patch, pre)),
        _ => None,
    }
}

/// Parts of a pre-release: numbers before words.
type Pre = Vec<(u8, u64, String)>;

/// Major, minor and patch; whether it is a release, and the pre-release.
type SemanticKey = ((u64, u64, u64), (u8, Pre));

fn semantic_key(text: &str) -> Option<SemanticKey> {
    let core = text.split('+').next()?;
    let (core, pre) = core
        .split_once('-')
        .map_or((core, None), |(c, p)| (c, Some(p)));
    let numbers: Vec<u64> = core
        .split('.')
        .map(|n| n.parse().ok())
        .collect::<Option<_>>()?;
    let [major, minor, patch] = numbers.as_slice() else {
        return None;
    };
    let pre = match pre {
        None => (1, Vec::new()),
        Some(pre) => (
            0,
            pre.split('.')
                .map(|part| {
                    part.parse()
                        .map_or_else(|_| (1, 0, part.to_owned()), |n| (0, n, String::new()))
                })
                .collect(),
        ),
    };
    Some(((*major, *minor, *patch), pre))
}

/// Epoch, release, pre-release, post-release, development release, local part.
type Pep440Key = (u64, Vec<u64>, (i8, u64), (i8, u64), (i8, u64), Pre);

fn pep440_key(text: &str) -> Option<Pep440Key> {
    let text = text.trim().to_lowercase();
    let text = text.strip_prefix('v').unwrap_or(&text);
    let (public, local) = text.split_once('+').map_or((text, ""), |(p, l)| (p, l));
    let (epoch, rest) = public
        .split_once('!')
        .map_or((0, public), |(e, r)| (e.parse().unwrap_or(0), r));
    let end = rest
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(rest.len());
    let (release, mut tail) = rest.split_at(end);
    let mut release: Vec<u64> = release
        .trim_end_matches('.')
        .split('.')
        .map(|n| n.parse().ok())
        .collect::<Option<_>>()?;
    while release.len() > 1 && release.last() == Some(&0) {
        release.pop();
    }
    let (mut pre, mut post, mut dev) = (None, None, None);
    while !tail.is_empty() {
        tail = tail.trim_start_matches(['.', '-', '_']);
        let word_end = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (word, after) = tail.split_at(word_end);
        let after = after.trim_start_matches(['.', '-', '_']);
        let digits = after
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(after.len());
        let n = after[..digits].parse().unwrap_or(0);
        match word {
            "a" | "alpha" => pre = Some((0, n)),
            "b" | "beta" => pre = Some((1, n)),
            "c" | "rc" | "pre" | "preview" => pre = Some((2, n)),
            "post" | "rev" | "r" => post = Some((1, n)),
            "" if digits > 0 => post = Some((1, n)),
            "dev" => dev = Some((0, n)),
            _ => return None,
        }
        tail = &after[digits..];
    }
    let pre_key = match (pre, post, dev) {
        (Some(pre), _, _) => pre,
        // A development release of nothing else comes before all pre-releases.
        (None, None, Some(_)) => (-1, 0),
        _ => (3, 0),
    };
    let local = local
        .split(['.', '-', '_'])
        .filter(|p| !p.is_empty())
        .map(|p| {
            p.parse()
                .map_or_else(|_| (0, 0, p.to_owned()), |n| (1, n, String::new()))
        })
        .collect();
    Some((
        epoch,
        release,
        pre_key,
        post.unwrap_or((-1, 0)),
        dev.unwrap_or((1, 0)),
        local,
    ))
}
