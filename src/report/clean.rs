//! Text from a host made safe to show: no escape sequence, no trick with direction, nothing invisible.

/// Control and bidirectional characters made visible; tabs and newlines stay.
#[must_use]
pub fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' | '\t' => cleaned.push(c),
            // A foreign line end, or a line that would be written over.
            '\r' if rest.peek() == Some(&'\n') => {}
            '\r' => cleaned.push('\n'),
            // What turns the direction of text or breaks lines, and what cannot be seen at all.
            '\u{61c}'
            | '\u{200b}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}' => cleaned.push('\u{fffd}'),
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
        for hidden in ["\u{202e}", "\u{2066}", "\u{2028}", "\u{feff}", "\u{e0041}"] {
            assert_eq!(clean(&format!("x{hidden}y")), "x\u{fffd}y", "{hidden:?}");
        }
        assert_eq!(clean("10%\r20%\r\n"), "10%\n20%\n");
        assert_eq!(clean("äöü ✓"), "äöü ✓");
    }
}
