//! A whole exchange: the script that sends a request and prints what came back, and the reader of that.

use super::{Request, Response};
use crate::modules::sh;
use std::fmt::Write as _;

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A response, and the URL it came from when redirects were followed.
    Response(Response, String),
    /// None: the tool's words.
    Failed(String),
}

impl Request {
    /// Shell that sends the request, with the bytes of the file `$B` as body when there is one, and prints the exchange.
    ///
    /// Without curl a plain `http` request goes over bash's `/dev/tcp`; what comes back is printed raw.
    pub(crate) fn talker(&self, body: bool) -> String {
        let mut curl = self.curl();
        // Nothing that stands between us and the server shall wait for our permission to send.
        curl.push_str("header = \"Expect:\"\n");
        if body && self.method == "GET" {
            curl.push_str("request = \"GET\"\n");
        }
        let data = if body { "--data-binary @\"$B\"" } else { "" };
        format!(
            "talk() {{\numask 077\n\
             if command -v curl >/dev/null; then\nprintf %s {curl} >\"$MP_TMP/cfg\"\n: >\"$MP_TMP/head\"; : >\"$MP_TMP/out\"\n\
             u=$(curl -K \"$MP_TMP/cfg\" {data} -D \"$MP_TMP/head\" -o \"$MP_TMP/out\" -w '%{{url_effective}}' 2>\"$MP_TMP/err\" </dev/null)\nr=$?\n\
             echo \"curl $r $(($(wc -c <\"$MP_TMP/head\"))) $(($(wc -c <\"$MP_TMP/out\"))) $u\"\n\
             cat \"$MP_TMP/head\" \"$MP_TMP/out\" \"$MP_TMP/err\"\n\
             {tcp}fi\nrm -f \"$MP_TMP/cfg\" \"$MP_TMP/head\" \"$MP_TMP/out\" \"$MP_TMP/err\" \"$MP_TMP/req\" \"$MP_TMP/rest\"\numask 022\n}}\n",
            curl = sh::quote(&curl),
            tcp = self.over_tcp(body),
        )
    }

    /// The branch for hosts without curl.
    fn over_tcp(&self, body: bool) -> String {
        let Some(rest) = self.url.strip_prefix("http://") else {
            return "else\necho 'none this host has no curl, which https needs'\n".into();
        };
        let (authority, path) = rest
            .find(['/', '?'])
            .map_or((rest, "/"), |at| rest.split_at(at));
        let path = path.split('#').next().unwrap_or(path);
        let path = if path.starts_with('/') {
            path.to_owned()
        } else {
            format!("/{path}")
        };
        let mut head = format!(
            "User-Agent: {}\r\nConnection: close\r\nAccept: */*\r\n",
            self.agent
        );
        if let Some((user, password)) = &self.login {
            use base64::Engine as _;
            let login =
                base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            let _ = write!(head, "Authorization: Basic {login}\r\n");
        }
        for (name, value) in &self.headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        let length = if body {
            "printf 'Content-Length: %d\\r\\n' \"$(wc -c <\"$B\")\"\n"
        } else {
            ""
        };
        let send_body = if body { "cat \"$B\"" } else { ":" };
        let redirects = if self.follow { 10 } else { 0 };
        // A redirect to https cannot be followed: then the redirect itself is the answer.
        format!(
            "elif command -v bash >/dev/null; then\na={authority} f={path} i=0\nprintf %s {head} >\"$MP_TMP/rest\"\n\
             while :; do\nh=${{a%:*}} n=${{a##*:}}\n[ \"$h\" = \"$n\" ] && n=80\n\
             {{ printf '{method} %s HTTP/1.1\\r\\nHost: %s\\r\\n' \"$f\" \"$a\"; cat \"$MP_TMP/rest\"\n{length}printf '\\r\\n'; {send_body}; }} >\"$MP_TMP/req\"\n\
             timeout {timeout} bash -c 'exec 3<>\"/dev/tcp/$1/$2\" || exit 7; cat \"$3\" >&3; cat <&3' sh \"$h\" \"$n\" \"$MP_TMP/req\" >\"$MP_TMP/out\" 2>\"$MP_TMP/err\" </dev/null\nr=$?\n\
             i=$((i + 1))\n[ $i -le {redirects} ] || break\n\
             case $(head -n 1 \"$MP_TMP/out\") in *' 301 '*|*' 302 '*|*' 303 '*|*' 307 '*|*' 308 '*) ;; *) break ;; esac\n\
             l=$(tr -d '\\r' <\"$MP_TMP/out\" | sed -n '/^$/q; s/^[Ll]ocation: *//p')\n\
             case $l in http://*) l=${{l#http://}} a=${{l%%/*}} f=/${{l#\"$a\"}} f=/${{f##/}} ;; /*) f=$l ;; *) break ;; esac\n\
             done\n\
             echo \"raw $r $(($(wc -c <\"$MP_TMP/out\"))) 0 http://$a$f\"\ncat \"$MP_TMP/out\" \"$MP_TMP/err\"\n\
             else\necho 'none this host has neither curl nor bash'\n",
            authority = sh::quote(authority),
            path = sh::quote(&path),
            head = sh::quote(&head),
            method = self.method,
            timeout = self.timeout.max(1),
        )
    }
}

impl Answer {
    /// Reads what the script printed.
    pub(crate) fn read(out: &[u8]) -> Self {
        let cut = || Self::Failed("the answer was cut".into());
        let Some(at) = out.iter().position(|byte| *byte == b'\n') else {
            return cut();
        };
        let first = String::from_utf8_lossy(&out[..at]).into_owned();
        let rest = &out[at + 1..];
        let mut fields = first.splitn(5, ' ');
        let (tool, code) = (
            fields.next().unwrap_or_default(),
            fields.next().unwrap_or_default(),
        );
        if tool == "none" {
            return Self::Failed(first.trim_start_matches("none ").to_owned());
        }
        let mut number = || fields.next().and_then(|text| text.parse::<usize>().ok());
        let (Some(one), Some(two)) = (number(), number()) else {
            return cut();
        };
        let url = fields.next().unwrap_or_default().to_owned();
        if rest.len() < one + two {
            return cut();
        }
        let words = String::from_utf8_lossy(&rest[one + two..])
            .trim()
            .to_owned();
        let response = if tool == "curl" {
            let heads = String::from_utf8_lossy(&rest[..one]);
            Response::of_heads(&heads, &rest[one..one + two]).filter(|_| code == "0")
        } else {
            // bash ends with the status of `cat`, whatever came.
            Response::parse(&rest[..one])
        };
        match response {
            Some(response) => Self::Response(response, url),
            None if code == "124" => Self::Failed("timed out".into()),
            None if words.is_empty() => Self::Failed(format!("no answer (status {code})")),
            None => Self::Failed(words.lines().last().unwrap_or_default().to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchanges_are_read() {
        let out = b"curl 0 22 2 http://h/x\nHTTP/1.1 200 OK\nA: b\n\nhi";
        let Answer::Response(response, url) = Answer::read(out) else {
            panic!()
        };
        assert_eq!(
            (response.body.as_slice(), url.as_str()),
            (&b"hi"[..], "http://h/x")
        );
        assert_eq!(
            Answer::read(b"curl 7 0 0 http://h/\ncurl: (7) Failed to connect\n"),
            Answer::Failed("curl: (7) Failed to connect".into())
        );
        assert_eq!(
            Answer::read(b"none no tool\n"),
            Answer::Failed("no tool".into())
        );
        assert_eq!(
            Answer::read(b"raw 124 0 0 http://h/\n"),
            Answer::Failed("timed out".into())
        );
        assert!(matches!(Answer::read(b""), Answer::Failed(_)));
    }
}
