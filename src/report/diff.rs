//! Differences as unified diffs.

use super::clean::clean;
use crate::modules::Diff;
use similar::TextDiff;
use std::time::Duration;

/// Sides longer than this are summed up instead of compared line by line.
const LIMIT: usize = 1 << 20;

/// A difference as a unified diff with three lines of context; empty when both sides are equal.
pub(super) fn render(diff: &Diff, color: bool) -> String {
    if diff.before == diff.after {
        return String::new();
    }
    if diff.before.len().max(diff.after.len()) > LIMIT {
        return format!(
            "{}: {} -> {} bytes",
            clean(&diff.header),
            diff.before.len(),
            diff.after.len()
        );
    }
    let mut config = TextDiff::configure();
    config.timeout(Duration::from_millis(500));
    let compared = config.diff_lines(&diff.before, &diff.after);
    let mut unified = compared.unified_diff();
    let text = unified
        .context_radius(3)
        .missing_newline_hint(false)
        .header(
            &format!("{} (before)", diff.header),
            &format!("{} (after)", diff.header),
        )
        .to_string();
    let paint = |line: &str| {
        let line = clean(line);
        let code = match line.chars().next() {
            Some('+') => "32",
            Some('-') => "31",
            Some('@') => "36",
            _ => return line,
        };
        if color {
            format!("\x1b[{code}m{line}\x1b[0m")
        } else {
            line
        }
    };
    text.lines().map(paint).collect::<Vec<_>>().join("\n")
}
