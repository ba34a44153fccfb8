//! An HTTP response, read from bytes as they came over the line.

/// Status, headers and body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) reason: String,
    /// In order, names as sent.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// Reads a raw response: head, empty line, body; a chunked body is put together.
    pub(crate) fn parse(raw: &[u8]) -> Option<Self> {
        let (head, body) = cut_head(raw)?;
        let mut response = Self::head(&String::from_utf8_lossy(head))?;
        // An interim answer is followed by the real one.
        if (100..200).contains(&response.status) {
            return Self::parse(body);
        }
        let chunked = response
            .header("transfer-encoding")
            .is_some_and(|value| value.to_lowercase().contains("chunked"));
        let length = response
            .header("content-length")
            .and_then(|value| value.trim().parse().ok());
        response.body = match length {
            _ if chunked => unchunk(body),
            Some(length) if length < body.len() => body[..length].to_vec(),
            _ => body.to_vec(),
        };
        Some(response)
    }

    /// Reads the last of some heads, as curl writes them when it follows redirects.
    pub(crate) fn of_heads(heads: &str, body: &[u8]) -> Option<Self> {
        let heads = heads.replace("\r\n", "\n");
        let last = heads
            .trim_end()
            .rsplit("\n\n")
            .find(|head| head.starts_with("HTTP/"))?;
        let mut response = Self::head(last)?;
        response.body = body.to_vec();
        Some(response)
    }

    fn head(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut first = lines.next()?.trim_end().splitn(3, ' ');
        first
            .next()
            .filter(|version| version.starts_with("HTTP/"))?;
        let status = first.next()?.parse().ok()?;
        let reason = first.next().unwrap_or_default().to_owned();
        let headers = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        Some(Self {
            status,
            reason,
            headers,
            body: Vec::new(),
        })
    }

    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The body as text: UTF-8 unless the header says Latin-1.
    pub(crate) fn text(&self) -> String {
        let kind = self
            .header("content-type")
            .unwrap_or_default()
            .to_lowercase();
        if kind.contains("charset=iso-8859-1") || kind.contains("charset=latin1") {
            return self.body.iter().map(|byte| char::from(*byte)).collect();
        }
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn cut_head(raw: &[u8]) -> Option<(&[u8], &[u8])> {
    let find = |mark: &[u8]| {
        raw.windows(mark.len())
            .position(|window| window == mark)
            .map(|at| (at, mark.len()))
    };
    let (at, length) = match (find(b"\r\n\r\n"), find(b"\n\n")) {
        (Some(a), Some(b)) => {
            if a.0 < b.0 {
                a
            } else {
                b
            }
        }
        (a, b) => a.or(b)?,
    };
    Some((&raw[..at], &raw[at + length..]))
}

/// Puts chunks together; what comes behind a broken one is dropped.
fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
        let size = String::from_utf8_lossy(&rest[..at]);
        let size = size.split(';').next().unwrap_or_default().trim();
        let Ok(size) = usize::from_str_radix(size, 16) else {
            break;
        };
        rest = &rest[at + 1..];
        if size == 0 {
            break;
        }
        let size = size.min(rest.len());
        body.extend_from_slice(&rest[..size]);
        rest = &rest[size..];
        rest = rest.strip_prefix(b"\r").unwrap_or(rest);
        rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together() {
        let raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b: c\r\n\r\n5;x=y\r\nhello\r\n1\r\n!\r\n0\r\n\r\n";
        let response = Response::parse(raw).unwrap();
        assert_eq!(response.status, 200);
        assert_eq!(response.header("x-a"), Some("b: c"));
        assert_eq!(response.text(), "hello!");
    }

    #[test]
    fn lengths_and_interim_answers_count() {
        let raw =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.0 404 Not Found\r\nContent-Length: 2\r\n\r\nabc";
        let response = Response::parse(raw).unwrap();
        assert_eq!(
            (response.status, response.reason.as_str()),
            (404, "Not Found")
        );
        assert_eq!(response.body, b"ab");
        assert!(Response::parse(b"garbage").is_none());
    }

    #[test]
    fn the_last_head_counts() {
        let heads = "HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\nHTTP/2 200\r\nA: b\r\n\r\n";
        let response = Response::of_heads(heads, b"x").unwrap();
        assert_eq!((response.status, response.header("a")), (200, Some("b")));
    }
}
