//! Text from a host made safe to show: no escape sequence, no trick with direction, nothing invisible.

/// Control and bidirectional characters made visible; tabs and newlines stay.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => cleaned.push(c),
            // A carriage return at the end of a line is only a foreign line end.
            '\r' => {}
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                cleaned.push('\u{fffd}');
            }
            c if c.is_control() => cleaned.extend(c.escape_default()),
            c => cleaned.push(c),
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn escapes_become_visible() {
        assert_eq!(clean("a\x1b[31mb\r\n\tc\u{7}"), "a\\u{1b}[31mb\n\tc\\u{7}");
        assert_eq!(clean("x\u{202e}y"), "x\u{fffd}y");
        assert_eq!(clean("äöü ✓"), "äöü ✓");
    }
}
