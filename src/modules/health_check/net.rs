//! Answers over TCP and HTTP, asked from the host itself through bash's `/dev/tcp`.
//!
//! The request is part of a script that bash reads on its standard input, so that nothing of it (a password in a URL) shows
//! in a process list.

use super::super::{Args, Failure, args};
use super::{Wrong, found, optional, wrong};
use crate::modules::sh::quote;
use base64::Engine as _;
use fancy_regex::Regex;
use minijinja::Value;

/// Bytes of an answer that are looked at.
const LIMIT: u32 = 4 << 20;

/// A script that connects, sends, and prints what comes back. Exit status 7 when nothing accepts the connection, 124 on a timeout.
fn script(host: &str, port: u16, send: &str, timeout: i64) -> String {
    // The word that ends the here-document cannot stand in the quoted request on a line of its own: quoting puts the
    // request between quotes, and a newline in it is followed by the request's next line.
    format!(
        "timeout {timeout} bash -s <<'END_OF_CHECK'\nexec 3<>/dev/tcp/{host}/{port} || exit 7\nprintf %s {send} >&3\nhead -c {LIMIT} <&3\nEND_OF_CHECK\n",
        host = quote(host),
        send = quote(send),
    )
}

fn unanswered(rc: i32, what: &str) -> Option<Result<(), Wrong>> {
    match rc {
        124 => Some(wrong(format!("an answer from {what}"), "no answer in time")),
        7 | 1 => Some(wrong(
            format!("an answer from {what}"),
            "connection refused",
        )),
        127 => Some(wrong(
            format!("an answer from {what}"),
            "the host has no bash or no timeout",
        )),
        _ => None,
    }
}

/// A TCP answer.
pub(super) struct Tcp {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) send: Option<String>,
    pub(super) expect: Option<Regex>,
    pub(super) timeout: i64,
}

impl Tcp {
    pub(super) fn script(&self) -> String {
        if self.expect.is_none() {
            // Accepting the connection is all that is wanted.
            let host = quote(&self.host);
            return format!(
                "timeout {} bash -s <<'END_OF_CHECK'\nexec 3<>/dev/tcp/{host}/{} || exit 7\nEND_OF_CHECK\n",
                self.timeout, self.port
            );
        }
        script(
            &self.host,
            self.port,
            self.send.as_deref().unwrap_or(""),
            self.timeout,
        )
    }

    pub(super) fn check(&self, rc: i32, answer: &str) -> Result<(), Wrong> {
        let what = format!("{}:{}", self.host, self.port);
        let Some(pattern) = &self.expect else {
            return unanswered(rc, &what).unwrap_or(Ok(()));
        };
        if found(pattern, answer) {
            return Ok(());
        }
        if answer.is_empty()
            && let Some(bad) = unanswered(rc, &what)
        {
            return bad;
        }
        wrong(
            format!("an answer like /{}/ from {what}", pattern.as_str()),
            first_line(answer),
        )
    }
}

/// An HTTP answer.
pub(super) struct Http {
    url: String,
    host: String,
    port: u16,
    request: String,
    status: Vec<u16>,
    body: Option<Regex>,
    json: Vec<(String, Value)>,
    timeout: i64,
}

impl Http {
    pub(super) fn new(args: &Args, url: &str) -> Result<Self, Failure> {
        let bad = |why: &str| Failure::of("url", format!("`{url}`: {why}"));
        let rest = url
            .strip_prefix("http://")
            .ok_or_else(|| bad("only http:// can be checked"))?;
        let cut = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(cut);
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (
                host,
                port.parse().map_err(|_| bad("the port is not a number"))?,
            ),
            _ => (place, 80),
        };
        let host = host.trim_matches(['[', ']']);
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        let mut request = format!(
            "GET {path} HTTP/1.0\r\nHost: {place}\r\nUser-Agent: mini-play\r\nConnection: close\r\n"
        );
        if let Some(user) = user {
            let token = base64::engine::general_purpose::STANDARD.encode(user);
            request.push_str(&format!("Authorization: Basic {token}\r\n"));
        }
        request.push_str("\r\n");
        let status = args
            .strings("status")
            .iter()
            .map(|text| {
                text.parse::<u16>()
                    .map_err(|_| Failure::of("status", format!("`{text}` is no status")))
            })
            .collect::<Result<_, _>>()?;
        let json = args.get("json").map(|map| {
            let keys = map.try_iter().into_iter().flatten();
            keys.map(|key| (key.to_string(), map.get_item(&key).unwrap_or_default()))
                .collect()
        });
        Ok(Self {
            url: match user {
                Some(_) => format!("http://{place}{path}"),
                None => url.to_owned(),
            },
            host: host.to_owned(),
            port,
            request,
            status,
            body: optional(args, "body")?,
            json: json.unwrap_or_default(),
            timeout: args.int("timeout").unwrap_or(10),
        })
    }

    pub(super) fn script(&self) -> String {
        script(&self.host, self.port, &self.request, self.timeout)
    }

    pub(super) fn check(&self, rc: i32, answer: &str) -> Result<(), Wrong> {
        let Some((head, body)) = answer
            .split_once("\r\n\r\n")
            .or_else(|| answer.split_once("\n\n"))
        else {
            let silent = wrong(format!("an answer from {}", self.url), "not HTTP");
            return unanswered(rc, &self.url).unwrap_or(silent);
        };
        let first = head.lines().next().unwrap_or("");
        let status = first
            .split_whitespace()
            .nth(1)
            .and_then(|code| code.parse::<u16>().ok());
        let listed: Vec<String> = self.status.iter().map(ToString::to_string).collect();
        if !status.is_some_and(|status| self.status.contains(&status)) {
            return wrong(
                format!("status {} from {}", listed.join(" or "), self.url),
                first,
            );
        }
        if let Some(pattern) = &self.body
            && !found(pattern, body)
        {
            return wrong(
                format!("a body like /{}/ from {}", pattern.as_str(), self.url),
                first_line(body),
            );
        }
        if self.json.is_empty() {
            return Ok(());
        }
        let Ok(parsed) = serde_json::from_str::<serde_json::Value>(body) else {
            return wrong(format!("JSON from {}", self.url), first_line(body));
        };
        for (path, wanted) in &self.json {
            let pointer = format!("/{}", path.replace('.', "/"));
            let seen = parsed.pointer(&pointer).map(plain);
            if seen.as_deref() != Some(&args::text(wanted)) {
                let seen = seen.unwrap_or_else(|| "nothing".into());
                return wrong(
                    format!("{path} = {} from {}", args::text(wanted), self.url),
                    seen,
                );
            }
        }
        Ok(())
    }
}

/// A JSON value as the text a template would give for it.
fn plain(value: &serde_json::Value) -> String {
    args::text(&Value::from(minijinja::value::Serde(value)))
}

fn first_line(text: &str) -> String {
    let line = text
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("nothing");
    line.chars().take(120).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use indexmap::IndexMap;

    fn http(pairs: &[(&str, Value)]) -> Http {
        let mut given: IndexMap<String, Value> = pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.clone()))
            .collect();
        given.insert("check".into(), "http".into());
        let args = Args::new(&super::super::SPEC, given).unwrap();
        Http::new(&args, &args.text("url")).unwrap()
    }

    #[test]
    fn answers_are_judged() {
        let check = http(&[("url", "http://127.0.0.1:5050/health".into())]);
        assert!(check.check(0, "HTTP/1.1 200 OK\r\n\r\n").is_ok());
        assert!(check.check(0, "HTTP/1.1 503 no\r\n\r\n").is_err());
        let Err(bad) = check.check(7, "") else {
            panic!()
        };
        assert_eq!(bad.seen, "connection refused");
    }

    #[test]
    fn json_paths_are_compared() {
        let wanted: Value = Value::from_pairs([("a.b", Value::from(1))]);
        let check = http(&[("url", "http://h/".into()), ("json", wanted)]);
        assert!(
            check
                .check(0, "HTTP/1.0 200 OK\r\n\r\n{\"a\":{\"b\":1}}")
                .is_ok()
        );
        assert!(check.check(0, "HTTP/1.0 200 OK\r\n\r\n{\"a\":{}}").is_err());
    }

    #[test]
    fn a_password_in_a_url_stays_out_of_messages() {
        let check = http(&[("url", "http://admin:secret@127.0.0.1/x".into())]);
        let Err(bad) = check.check(7, "") else {
            panic!()
        };
        assert!(!bad.expected.contains("secret"));
        assert!(check.request.contains("Authorization: Basic"));
    }
}
