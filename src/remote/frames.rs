//! Framing: finds the kept shell's marks in its two output streams.
//!
//! A mark is the byte 1, the shell's nonce, a space, words and a newline. All else is output of chunks and
//! may be any bytes. The host is not trusted: what is kept is bounded, and a mark that does not fit is an error.

/// Longest text of a mark behind the nonce; a path of a temporary directory is the longest there is.
const LONGEST: usize = 4200;

/// A piece of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Output.
    Data(&'a [u8]),
    /// A mark's words.
    Mark(&'a str),
}

/// Splits one stream into output and marks, whatever pieces it arrives in.
pub(crate) struct Scanner {
    start: Vec<u8>,
    held: Vec<u8>,
}

/// A mark that does not end, or holds what no mark holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BadMark;

impl Scanner {
    pub(crate) fn new(nonce: &str) -> Self {
        let mut start = vec![1];
        start.extend_from_slice(nonce.as_bytes());
        start.push(b' ');
        Self {
            start,
            held: Vec::new(),
        }
    }

    /// Takes in bytes and hands out pieces, until `each` says to stop reading the stream (`false`).
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        each: &mut dyn FnMut(Piece<'_>) -> bool,
    ) -> Result<(), BadMark> {
        let joined;
        let mut rest = if self.held.is_empty() {
            bytes
        } else {
            let mut held = std::mem::take(&mut self.held);
            held.extend_from_slice(bytes);
            joined = held;
            &joined
        };
        while !rest.is_empty() {
            let at = rest.iter().position(|&b| b == 1).unwrap_or(rest.len());
            if at > 0 && !each(Piece::Data(&rest[..at])) {
                return Ok(());
            }
            rest = &rest[at..];
            if rest.is_empty() {
                break;
            }
            let seen = rest.len().min(self.start.len());
            if rest[..seen] != self.start[..seen] {
                // Not a mark: the byte is output, and the search goes on behind it.
                if !each(Piece::Data(&rest[..1])) {
                    return Ok(());
                }
                rest = &rest[1..];
                continue;
            }
            let Some(end) = rest.iter().position(|&b| b == b'\n') else {
                if rest.len() > self.start.len() + LONGEST {
                    return Err(BadMark);
                }
                self.held = rest.to_vec();
                return Ok(());
            };
            let words = rest.get(self.start.len()..end).ok_or(BadMark)?;
            let words = std::str::from_utf8(words).map_err(|_| BadMark)?;
            if !each(Piece::Mark(words)) {
                return Ok(());
            }
            rest = &rest[end + 1..];
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of a stream, neighbouring output joined, when it arrives in pieces of `step` bytes.
    fn split(stream: &[u8], step: usize) -> Result<Vec<(bool, Vec<u8>)>, BadMark> {
        let mut scanner = Scanner::new("n0nce");
        let mut out: Vec<(bool, Vec<u8>)> = Vec::new();
        for bytes in stream.chunks(step) {
            scanner.feed(bytes, &mut |piece| {
                match piece {
                    Piece::Data(data) => match out.last_mut() {
                        Some((false, last)) => last.extend_from_slice(data),
                        _ => out.push((false, data.to_vec())),
                    },
                    Piece::Mark(words) => out.push((true, words.as_bytes().to_vec())),
                }
                true
            })?;
        }
        Ok(out)
    }

    #[test]
    fn any_cut_gives_the_same_pieces() {
        let stream = b"a\x01b\x01n0nce e 0 0\nno newline\x01n0nce e 1 7\n\x01n0nc\x01\x01n0nce x\n";
        let want = vec![
            (false, b"a\x01b".to_vec()),
            (true, b"e 0 0".to_vec()),
            (false, b"no newline".to_vec()),
            (true, b"e 1 7".to_vec()),
            (false, b"\x01n0nc\x01".to_vec()),
            (true, b"x".to_vec()),
        ];
        for step in 1..=stream.len() {
            assert_eq!(split(stream, step), Ok(want.clone()), "step {step}");
        }
    }

    #[test]
    fn an_endless_mark_is_refused() {
        let mut stream = b"\x01n0nce ".to_vec();
        stream.extend(std::iter::repeat_n(b'x', 2 * LONGEST));
        assert_eq!(split(&stream, 100), Err(BadMark));
    }
}
