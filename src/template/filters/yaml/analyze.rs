//! What a scalar's text allows: libyaml's analysis.

/// What styles a scalar may take.
pub(super) struct Analysis {
    pub(super) multiline: bool,
    pub(super) flow_plain: bool,
    pub(super) block_plain: bool,
    pub(super) single_quoted: bool,
}

pub(super) fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

fn is_blank_or_break(c: Option<char>) -> bool {
    c.is_none_or(|c| matches!(c, ' ' | '\t' | '\0') || is_break(c))
}

pub(super) fn is_printable(c: char) -> bool {
    matches!(c, '\n' | '\x20'..='\x7e' | '\u{85}' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
        && c != '\u{feff}'
}

pub(super) fn analyze(text: &str, unicode: bool) -> Analysis {
    let mut seen = Analysis {
        multiline: false,
        flow_plain: true,
        block_plain: true,
        single_quoted: true,
    };
    if text.is_empty() {
        seen.flow_plain = false;
        return seen;
    }
    let (mut block, mut flow) = (false, false);
    if text.starts_with("---") || text.starts_with("...") {
        (block, flow) = (true, true);
    }
    let chars: Vec<char> = text.chars().collect();
    let last = chars.len() - 1;
    let (mut special, mut edge_space) = (false, false);
    let (mut break_space, mut space_break) = (false, false);
    let (mut previous_space, mut previous_break) = (false, false);
    let mut preceded = true;
    for (n, &c) in chars.iter().enumerate() {
        let followed = is_blank_or_break(chars.get(n + 1).copied());
        if n == 0 {
            match c {
                '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"'
                | '%' | '@' | '`' => (flow, block) = (true, true),
                '?' | ':' => {
                    flow = true;
                    block |= followed;
                }
                '-' if followed => (flow, block) = (true, true),
                _ => {}
            }
        } else {
            match c {
                ',' | '?' | '[' | ']' | '{' | '}' => flow = true,
                ':' => {
                    flow = true;
                    block |= followed;
                }
                '#' if preceded => (flow, block) = (true, true),
                _ => {}
            }
        }
        special |= !is_printable(c) || (!c.is_ascii() && !unicode);
        seen.multiline |= is_break(c);
        if c == ' ' {
            edge_space |= n == 0 || n == last;
            break_space |= previous_break;
            (previous_space, previous_break) = (true, false);
        } else if is_break(c) {
            edge_space |= n == 0 || n == last;
            space_break |= previous_space;
            (previous_space, previous_break) = (false, true);
        } else {
            (previous_space, previous_break) = (false, false);
        }
        preceded = is_blank_or_break(Some(c));
    }
    let plain = !(edge_space || break_space || space_break || special || seen.multiline);
    seen.flow_plain = plain && !flow;
    seen.block_plain = plain && !block;
    seen.single_quoted = !(break_space || space_break || special);
    seen
}
