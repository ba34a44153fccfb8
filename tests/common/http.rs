//! A small HTTP server on the loopback, for modules that download and talk.

use super::{field, map, text};
use minijinja::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

/// Serves the paths of a case's `serve` field on a port of its own; the URL, without a slash at its end.
///
/// `/path: {status: 200, headers: {a: b}, body: text, chunked: true, login: "user:password"}`; besides these `/echo`
/// tells the request as JSON.
pub fn serve(pages: &Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let pages: Vec<(String, Page)> = map(pages)
        .into_iter()
        .map(|(path, page)| (path, Page::new(&page)))
        .collect();
    // It ends with the test's process.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is none of our business.
            let _ = answer(&stream, &pages);
        }
    });
    format!("http://{address}")
}

struct Page {
    status: String,
    headers: Vec<(String, String)>,
    body: String,
    chunked: bool,
    login: Option<String>,
}

impl Page {
    fn new(page: &Value) -> Self {
        Self {
            status: text(&field(page, "status")).unwrap_or("200".into()),
            headers: map(&field(page, "headers"))
                .into_iter()
                .map(|(k, v)| (k, v.to_string()))
                .collect(),
            body: text(&field(page, "body")).unwrap_or_default(),
            chunked: field(page, "chunked").is_true(),
            login: text(&field(page, "login")),
        }
    }
}

fn answer(stream: &TcpStream, pages: &[(String, Page)]) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut words = first.split_whitespace();
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let header = |name: &str| {
        headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.clone())
    };
    let length = header("content-length")
        .and_then(|n| n.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut out = stream;
    if path == "/echo" {
        let told = serde_json::json!({
            "method": method,
            "body": String::from_utf8_lossy(&body),
            "headers": headers.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        });
        let told = told.to_string();
        return write!(
            out,
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{told}",
            told.len()
        );
    }
    let Some((_, page)) = pages.iter().find(|(known, _)| known == path) else {
        return write!(
            out,
            "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nConnection: close\r\n\r\nnone\n"
        );
    };
    if let Some(login) = &page.login {
        use base64::Engine as _;
        let wanted = format!(
            "Basic {}",
            base64::engine::general_purpose::STANDARD.encode(login)
        );
        if header("authorization") != Some(wanted) {
            return write!(
                out,
                "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
    }
    write!(out, "HTTP/1.1 {} X\r\nConnection: close\r\n", page.status)?;
    for (name, value) in &page.headers {
        let value = value.replace("$PORT", &stream.local_addr()?.port().to_string());
        write!(out, "{name}: {value}\r\n")?;
    }
    let body = if method == "HEAD" { "" } else { &page.body };
    if page.chunked {
        let (one, two) = body.split_at(body.len() / 2);
        let chunk = |part: &str| {
            if part.is_empty() {
                String::new()
            } else {
                format!("{:x}\r\n{part}\r\n", part.len())
            }
        };
        return write!(
            out,
            "Transfer-Encoding: chunked\r\n\r\n{}{}0\r\n\r\n",
            chunk(one),
            chunk(two)
        );
    }
    write!(out, "Content-Length: {}\r\n\r\n{body}", page.body.len())
}
