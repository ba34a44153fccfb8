//! Words of a template: text between actions, and the tokens of an action.

use anyhow::{Context, bail};

/// A piece of a template.
#[derive(Debug, PartialEq)]
pub enum Piece {
    /// Copied as it is.
    Text(String),
    /// The tokens between `{{` and `}}`.
    Action(Vec<Token>),
}

/// A token of an action.
#[derive(Clone, Debug, PartialEq)]
pub enum Token {
    /// `range`, `len`, …
    Word(String),
    /// `.Id`; `.` alone has no name.
    Field(String),
    /// `$app`; `$` alone has no name.
    Variable(String),
    Text(String),
    Number(i64),
    Open,
    Close,
    Pipe,
    Comma,
    /// `:=`
    Declare,
}

/// Cuts a template. `{{-` and `-}}` take the white space beside them away.
pub fn pieces(template: &str) -> anyhow::Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = template;
    let mut trim = false;
    while let Some(start) = rest.find("{{") {
        let (mut text, after) = (&rest[..start], &rest[start + 2..]);
        let after = match after
            .strip_prefix('-')
            .filter(|after| after.starts_with(char::is_whitespace))
        {
            Some(after) => {
                text = text.trim_end();
                after
            }
            None => after,
        };
        push_text(&mut pieces, if trim { text.trim_start() } else { text });
        let end = end_of_action(after).context("unclosed action")?;
        let inside = &after[..end];
        rest = &after[end + 2..];
        trim = inside.ends_with("-")
            && (inside.len() == 1 || inside[..inside.len() - 1].ends_with(char::is_whitespace));
        let inside = if trim {
            &inside[..inside.len() - 1]
        } else {
            inside
        };
        if !inside.trim().starts_with("/*") {
            pieces.push(Piece::Action(tokens(inside)?));
        }
    }
    push_text(&mut pieces, if trim { rest.trim_start() } else { rest });
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

/// Where `}}` is, outside of quotes.
fn end_of_action(text: &str) -> Option<usize> {
    if text.trim_start().starts_with("/*") {
        let comment = text.find("*/")?;
        return text[comment..].find("}}").map(|at| comment + at);
    }
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some('"') if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            None if c == '"' || c == '`' => quote = Some(c),
            None if text[at..].starts_with("}}") => return Some(at),
            _ => {}
        }
    }
    None
}

fn tokens(text: &str) -> anyhow::Result<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let name_end = |from: usize| {
            rest[from..]
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .map_or(rest.len(), |length| from + length)
        };
        let (token, length) = match first {
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '|' => (Token::Pipe, 1),
            ',' => (Token::Comma, 1),
            ':' if rest.starts_with(":=") => (Token::Declare, 2),
            '.' => (Token::Field(rest[1..name_end(1)].to_owned()), name_end(1)),
            '$' => (
                Token::Variable(rest[1..name_end(1)].to_owned()),
                name_end(1),
            ),
            '`' => {
                let end = rest[1..]
                    .find('`')
                    .context("unterminated raw quoted string")?;
                (Token::Text(rest[1..=end].to_owned()), end + 2)
            }
            '"' => {
                let mut texts = serde_json::Deserializer::from_str(rest).into_iter::<String>();
                let text = texts
                    .next()
                    .context("unterminated quoted string")?
                    .context("unterminated quoted string")?;
                (Token::Text(text), texts.byte_offset())
            }
            '-' | '0'..='9' => {
                let end = name_end(1);
                (
                    Token::Number(
                        rest[..end]
                            .parse()
                            .with_context(|| format!("bad number syntax: \"{}\"", &rest[..end]))?,
                    ),
                    end,
                )
            }
            c if c.is_alphabetic() || c == '_' => {
                (Token::Word(rest[..name_end(0)].to_owned()), name_end(0))
            }
            c => bail!("unexpected {c:?} in command"),
        };
        tokens.push(token);
        // A field that follows at once belongs to what is before it; otherwise it is an operand of its own.
        let spaced = rest[length..].starts_with(char::is_whitespace);
        rest = rest[length..].trim_start();
        if spaced && rest.starts_with('.') && !tokens.is_empty() {
            tokens.push(Token::Word(String::new()));
        }
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hide_the_end() {
        let pieces = pieces("{{ \"}}\" }}x").unwrap();
        assert_eq!(
            pieces,
            [
                Piece::Action(vec![Token::Text("}}".into())]),
                Piece::Text("x".into())
            ]
        );
    }

    #[test]
    fn minus_trims_and_numbers_may_be_negative() {
        assert_eq!(
            pieces("a \n {{- -1 -}} \n b").unwrap(),
            [
                Piece::Text("a".into()),
                Piece::Action(vec![Token::Number(-1)]),
                Piece::Text("b".into()),
            ]
        );
    }
}
