//! Text laid out in lines, and links.

use super::{Filter, filter, flag, size_or, text_or};
use crate::template::eval::call::Call;
use crate::template::value::text::str_of;
use crate::template::value::undefined::Res;
use minijinja::Value;

pub(super) const FILTERS: &[Filter] = &[
    filter("wordwrap", wordwrap),
    filter("urlize", |c| {
        let text = str_of(&c.subject)?;
        std::mem::take(&mut c.args);
        let words = text.split(' ').map(|word| {
            if word.starts_with("http://") || word.starts_with("https://") {
                format!("<a href=\"{word}\" rel=\"noopener\">{word}</a>")
            } else {
                word.to_owned()
            }
        });
        Ok(Value::from(words.collect::<Vec<_>>().join(" ")))
    }),
];

fn wordwrap(c: &mut Call<'_, '_>) -> Res<Value> {
    let [width, break_long, wrap, hyphens] = c.bind([
        "width",
        "break_long_words",
        "wrapstring",
        "break_on_hyphens",
    ])?;
    let width = size_or(width.as_ref(), 79, "the width")?.max(1);
    let break_long = flag(break_long.as_ref(), true);
    let hyphens = flag(hyphens.as_ref(), true);
    let wrap = text_or(wrap.as_ref(), "\n", "`wrapstring`")?;
    let text = str_of(&c.subject)?;
    let lines: Vec<String> = text
        .lines()
        .map(|line| wrapped(line, width, break_long, hyphens).join(&wrap))
        .collect();
    Ok(Value::from(lines.join(&wrap)))
}

/// Python's `textwrap.wrap` of one line, blanks inside kept.
fn wrapped(line: &str, width: usize, break_long: bool, hyphens: bool) -> Vec<String> {
    let mut chunks: Vec<String> = Vec::new();
    for piece in line.split_inclusive(char::is_whitespace) {
        let word = piece.trim_end();
        let blank = &piece[word.len()..];
        if hyphens && word.len() > 1 {
            for part in word.split_inclusive('-') {
                chunks.push(part.to_owned());
            }
        } else if !word.is_empty() {
            chunks.push(word.to_owned());
        }
        if !blank.is_empty() {
            chunks.push(blank.to_owned());
        }
    }
    let len = |text: &str| text.chars().count();
    let mut lines: Vec<String> = Vec::new();
    let mut current = String::new();
    for chunk in chunks {
        if current.is_empty() && chunk.trim().is_empty() && !lines.is_empty() {
            continue;
        }
        if len(&current) + len(&chunk) <= width {
            current.push_str(&chunk);
            continue;
        }
        if chunk.trim().is_empty() {
            lines.push(std::mem::take(&mut current));
            continue;
        }
        let mut rest: Vec<char> = chunk.chars().collect();
        if rest.len() > width && break_long {
            while len(&current) + rest.len() > width {
                let room = width - len(&current).min(width);
                current.extend(rest.drain(..room.min(rest.len())));
                lines.push(std::mem::take(&mut current));
            }
        } else if !current.is_empty() {
            lines.push(std::mem::take(&mut current));
        }
        current.extend(rest);
    }
    if !current.is_empty() {
        lines.push(current);
    }
    lines
        .into_iter()
        .map(|line| line.trim_end().to_owned())
        .collect()
}
