//! HTTP from the host, by what it has: curl, wget, apt's own helper, or bash's `/dev/tcp` for plain `http`.
//!
//! Passwords and headers go into private files of the tools, never into an argument list.

mod response;
mod talk;

pub(crate) use response::Response;
pub(crate) use talk::Answer;

use super::{Args, Failure, sh};
use std::fmt::Write as _;

/// What every module that talks HTTP takes.
macro_rules! http_params {
    ($($own:expr),* $(,)?) => {
        $crate::modules::attrs::file_params![
            $($own,)*
            Param::new("url", Type::Str, "where").required(),
            Param::new("headers", Type::Dict, "more request headers"),
            Param::new("http_agent", Type::Str, "how we call ourselves").default("ansible-httpget"),
            Param::new("use_proxy", Type::Bool, "use the host's proxy settings").default("true"),
            Param::new("validate_certs", Type::Bool, "check the server's certificate").default("true"),
            Param::new("force_basic_auth", Type::Bool, "send the password without being asked").default("false"),
            Param::new("client_cert", Type::Path, "certificate to show, on the host"),
            Param::new("client_key", Type::Path, "its key, on the host"),
            Param::new("use_netrc", Type::Bool, "take passwords from the host's ~/.netrc").default("true"),
            Param::new("decompress", Type::Bool, "ignored: nothing is asked for in compressed form").default("true"),
            Param::new("ciphers", Type::List, "TLS ciphers"),
            Param::new("unredirected_headers", Type::List, "ignored: custom headers are not sent to other hosts"),
            Param::unsupported("use_gssapi", "Kerberos is not supported"),
        ]
    };
}
pub(crate) use http_params;

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) url: String,
    pub(crate) method: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) login: Option<(String, String)>,
    pub(crate) force_basic_auth: bool,
    pub(crate) agent: String,
    pub(crate) timeout: u64,
    pub(crate) proxy: bool,
    pub(crate) validate_certs: bool,
    pub(crate) netrc: bool,
    /// Whether redirects are followed.
    pub(crate) follow: bool,
    /// Whether what comes is compared with a digest, or the user lets plain `http` pass: then it may come from anywhere.
    pub(crate) pinned: bool,
    /// More lines of a curl configuration, e.g. certificates.
    pub(crate) more: Vec<String>,
}

impl Request {
    pub(crate) fn new(args: &Args) -> Result<Self, Failure> {
        let (mut url, mut login) = split_login(&args.text("url"));
        if let Some(user) = args.str("url_username") {
            login = Some((user, args.text("url_password")));
        }
        if !url.contains("://") {
            return Err(Failure::of("url", format!("`{url}` is not a URL")));
        }
        url = url.replace(' ', "%20");
        let mut headers = Vec::new();
        if let Some(given) = args.get("headers") {
            for key in given.try_iter().into_iter().flatten() {
                let value = given.get_item(&key).unwrap_or_default();
                headers.push((super::args::text(&key), super::args::text(&value)));
            }
        }
        if let Some((name, _)) = headers
            .iter()
            .find(|(name, value)| format!("{name}{value}").contains(['\n', '\r']))
        {
            return Err(Failure::of(
                "headers",
                format!("header `{name}` has a line end in it"),
            ));
        }
        let mut more = Vec::new();
        for (name, option) in [
            ("client_cert", "cert"),
            ("client_key", "key"),
            ("ca_path", "cacert"),
            ("unix_socket", "unix-socket"),
        ] {
            if let Some(path) = args.str(name) {
                more.push(format!("{option} = {}", curl_quote(&path)));
            }
        }
        let ciphers = args.strings("ciphers");
        if !ciphers.is_empty() {
            more.push(format!("ciphers = {}", curl_quote(&ciphers.join(":"))));
        }
        Ok(Self {
            url,
            method: "GET".into(),
            headers,
            login,
            force_basic_auth: args.bool("force_basic_auth"),
            agent: args.text("http_agent"),
            timeout: args
                .int("timeout")
                .and_then(|n| u64::try_from(n).ok())
                .unwrap_or(10),
            proxy: args.bool("use_proxy"),
            validate_certs: args.bool("validate_certs"),
            netrc: args.bool("use_netrc"),
            follow: true,
            pinned: false,
            more,
        })
    }

    /// A plain download.
    pub(crate) fn plain(url: &str, validate_certs: bool) -> Result<Self, Failure> {
        let (url, login) = split_login(url);
        if !url.contains("://") {
            return Err(Failure::of("src", format!("`{url}` is not a URL")));
        }
        Ok(Self {
            url: url.replace(' ', "%20"),
            method: "GET".into(),
            headers: Vec::new(),
            login,
            force_basic_auth: false,
            agent: "ansible-httpget".into(),
            timeout: 10,
            proxy: true,
            validate_certs,
            netrc: true,
            follow: true,
            pinned: false,
            more: Vec::new(),
        })
    }

    /// The URL for people: without a password.
    pub(crate) fn shown(&self) -> String {
        self.url.clone()
    }

    /// The last part of the path, as a file's name.
    pub(crate) fn file_name(&self) -> String {
        let path = self
            .url
            .split_once("://")
            .map_or(self.url.as_str(), |(_, rest)| rest);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        match path
            .split_once('/')
            .map(|(_, path)| path.rsplit('/').next().unwrap_or_default())
        {
            Some(name) if !name.is_empty() => name.to_owned(),
            _ => "index.html".into(),
        }
    }

    /// A configuration for curl.
    fn curl(&self) -> String {
        let mut text = String::from("silent\nshow-error\ngloboff\n");
        let _ = writeln!(text, "url = {}", curl_quote(&self.url));
        let _ = writeln!(text, "user-agent = {}", curl_quote(&self.agent));
        let _ = writeln!(
            text,
            "connect-timeout = {0}\nspeed-limit = 1\nspeed-time = {0}",
            self.timeout.max(1)
        );
        match self.method.as_str() {
            "GET" => {}
            "HEAD" => text.push_str("head\n"),
            method => {
                let _ = writeln!(text, "request = {}", curl_quote(method));
            }
        }
        for (name, value) in &self.headers {
            // An empty header needs curl's own spelling.
            let line = if value.is_empty() {
                format!("{name};")
            } else {
                format!("{name}: {value}")
            };
            let _ = writeln!(text, "header = {}", curl_quote(&line));
        }
        if let Some((user, password)) = &self.login {
            let _ = writeln!(text, "user = {}", curl_quote(&format!("{user}:{password}")));
            if !self.force_basic_auth {
                text.push_str("anyauth\n");
            }
        } else if self.netrc {
            text.push_str("netrc-optional\n");
        }
        for (on, line) in [
            (!self.validate_certs, "insecure\n"),
            (self.follow, "location\nmax-redirs = 10\n"),
            (
                self.follow && self.secure() && !self.pinned,
                "proto-redir = \"=https\"\n",
            ),
            (!self.proxy, "noproxy = \"*\"\n"),
        ] {
            if on {
                text.push_str(line);
            }
        }
        for line in &self.more {
            text.push_str(line);
            text.push('\n');
        }
        text
    }

    /// A configuration for wget.
    fn wget(&self) -> String {
        let mut text = format!(
            "user_agent = {}\ntimeout = {}\ntries = 1\n",
            self.agent,
            self.timeout.max(1)
        );
        for (name, value) in &self.headers {
            let _ = writeln!(text, "header = {name}: {value}");
        }
        if let Some((user, password)) = &self.login {
            let _ = writeln!(text, "http_user = {user}\nhttp_password = {password}");
            if self.force_basic_auth {
                text.push_str("auth_no_challenge = on\n");
            }
        }
        for (on, line) in [
            (!self.validate_certs, "check_certificate = off\n"),
            (!self.proxy, "use_proxy = off\n"),
        ] {
            if on {
                text.push_str(line);
            }
        }
        text
    }

    /// A `.netrc` for apt.
    fn apt_netrc(&self) -> String {
        let host = self.url.split_once("://").map_or("", |(_, rest)| rest);
        let host = host.split('/').next().unwrap_or_default();
        let Some((user, password)) = &self.login else {
            return String::new();
        };
        // A machine without a scheme is one of https, in an apt that knows of schemes.
        format!(
            "machine {}://{host}/ login {user} password {password}\nmachine {host} login {user} password {password}\n",
            scheme(&self.url)
        )
    }

    /// Shell that defines `get FILE`: downloads into it, leaves the HTTP status in `$s` and the tool's words in `$MP_TMP/err`.
    pub(crate) fn getter(&self) -> String {
        if let Some(path) = self.url.strip_prefix("file://") {
            return format!(
                "get() {{ s=200; cp -f -- {} \"$1\" 2>\"$MP_TMP/err\"; }}\n",
                sh::quote(&path.replace("%20", " "))
            );
        }
        self.tools(&[self.by_curl(), self.by_wget(), self.by_apt(0)])
    }

    /// The same as [`Request::getter`], but with apt's own helper first, which knows the proxy that apt has been given.
    pub(crate) fn apt_getter(&self) -> String {
        self.tools(&[self.by_apt(2), self.by_curl(), self.by_wget()])
    }

    /// The first of these that the host has: conditions and commands.
    fn tools(&self, tools: &[(&str, String)]) -> String {
        let tools: String = tools
            .iter()
            .filter(|(_, commands)| !commands.is_empty())
            .flat_map(|(has, commands)| ["if ", has, "; then\n", commands, "el"])
            .collect();
        let tools = tools.strip_suffix("el").unwrap_or(&tools);
        let tools = if tools.is_empty() {
            "if false; then\n:\n"
        } else {
            tools
        };
        let check = if self.firm() {
            format!(
                "if [ $r = 0 ] && [ -s \"$MP_TMP/head\" ]; then\n\
                 l=$(tr -d '\\r' <\"$MP_TMP/head\" | sed -n 's/^ *[Ll]ocation: *//p' | grep -Ei '^({bad}[a-z][a-z0-9+.-]*:)' | \
                 grep -Eiv '^(https://{good})' | head -n 1)\n\
                 if [ -n \"$l\" ]; then\nrm -f -- \"$1\"\nr=1 s=0\n\
                 l=${{l#*//}} l=${{l%%[/?]*}}\necho \"redirected to plain http on ${{l##*@}}: anybody on the way can replace what is downloaded\" >\"$MP_TMP/err\"\nfi\nfi\n",
                // Without a scheme it is that of the line.
                bad = if self.secure() { "" } else { "//|" },
                good = if self.secure() {
                    ""
                } else {
                    r"|http://(127[.][0-9.]*|localhost|\[::1\])(:[0-9]+)?(/|$)"
                },
            )
        } else {
            String::new()
        };
        format!(
            "get() {{\numask 077\n: >\"$MP_TMP/head\"\n{tools}else\n\
             echo 'this host has neither curl nor wget' >\"$MP_TMP/err\"\nr=1 s=0\nfi\n\
             {check}rm -f \"$MP_TMP/get\" \"$MP_TMP/head\"\numask 022\nreturn $r\n}}\n",
        )
    }

    fn by_curl(&self) -> (&'static str, String) {
        let commands = format!(
            "printf %s {curl} >\"$MP_TMP/get\"\n\
             s=$(curl -K \"$MP_TMP/get\" -D \"$MP_TMP/head\" -o \"$1\" -w '%{{http_code}}' 2>\"$MP_TMP/err\" </dev/null)\nr=$?\n",
            curl = sh::quote(&self.curl()),
        );
        ("command -v curl >/dev/null", commands)
    }

    fn by_wget(&self) -> (&'static str, String) {
        let commands = format!(
            "printf %s {wget} >\"$MP_TMP/get\"\nprintf '%s\\n' {url} >\"$MP_TMP/url\"\n\
             WGETRC=$MP_TMP/get wget -S -O \"$1\" -i \"$MP_TMP/url\" 2>\"$MP_TMP/err\" </dev/null\nr=$?\n\
             s=$(sed -n 's|^ *HTTP/[0-9.]* \\([0-9]*\\).*|\\1|p' \"$MP_TMP/err\" | tail -n 1)\n\
             cat \"$MP_TMP/err\" >\"$MP_TMP/head\"\nrm -f \"$MP_TMP/url\"\n",
            wget = sh::quote(&self.wget()),
            url = sh::quote(&self.url),
        );
        ("command -v wget >/dev/null", commands)
    }

    /// apt sends no headers of ours, and never goes from https to http.
    fn by_apt(&self, retries: u8) -> (&'static str, String) {
        if !self.headers.is_empty() || !self.more.is_empty() {
            return ("", String::new());
        }
        let mut options = String::new();
        for (on, option) in [
            (
                !self.validate_certs,
                "-o Acquire::https::Verify-Peer=false -o Acquire::https::Verify-Host=false ",
            ),
            (
                self.firm() && !self.secure(),
                "-o Acquire::http::AllowRedirect=false ",
            ),
        ] {
            if on {
                options.push_str(option);
            }
        }
        let commands = format!(
            "printf %s {netrc} >\"$MP_TMP/get\"\nrm -f -- \"$1\"\n\
             /usr/lib/apt/apt-helper -o APT::Sandbox::User=root -o Dir::Etc::netrc=\"$MP_TMP/get\" -o Acquire::http::Timeout={timeout} \
             -o Acquire::https::Timeout={timeout} -o Acquire::Retries={retries} {options}download-file {url} \"$1\" >/dev/null 2>\"$MP_TMP/err\" </dev/null\nr=$?\n\
             s=$(sed -n 's/^E: Failed to fetch [^ ]*  \\([0-9][0-9][0-9]\\)  .*/\\1/p' \"$MP_TMP/err\")\n[ $r = 0 ] && s=200\n",
            netrc = sh::quote(&self.apt_netrc()),
            timeout = self.timeout.max(1),
            url = sh::quote(&self.url),
        );
        ("[ -x /usr/lib/apt/apt-helper ]", commands)
    }

    /// Whether the line of the first request is encrypted.
    fn secure(&self) -> bool {
        scheme(&self.url) == "https"
    }

    /// Whether redirects must lead to nowhere that somebody on the way could answer for.
    fn firm(&self) -> bool {
        !self.pinned && super::download::trusted(&self.url)
    }
}

fn scheme(url: &str) -> String {
    url.split("://")
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase()
}

/// A user and password in a URL are taken out of it.
pub(crate) fn split_login(url: &str) -> (String, Option<(String, String)>) {
    let Some((scheme, rest)) = url.split_once("://") else {
        return (url.to_owned(), None);
    };
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    match authority.rsplit_once('@') {
        Some((login, host)) if scheme != "file" => {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            let login = (percent_decode(user), percent_decode(password));
            (format!("{scheme}://{host}{path}"), Some(login))
        }
        _ => (url.to_owned(), None),
    }
}

fn percent_decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let code = tail.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match code.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if *first == b'%' => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A value in a curl configuration.
pub(crate) fn curl_quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_taken_out_of_urls() {
        assert_eq!(
            split_login("https://u%40x:p%3a@h:1/a@b"),
            ("https://h:1/a@b".into(), Some(("u@x".into(), "p:".into())))
        );
        assert_eq!(split_login("http://h/a@b").1, None);
    }

    #[test]
    fn names_come_from_urls() {
        let named = |url: &str| Request::plain(url, true).unwrap().file_name();
        assert_eq!(named("http://h/a/b.tgz?x=/y#z"), "b.tgz");
        assert_eq!(named("http://h/a/"), "index.html");
        assert_eq!(named("http://h"), "index.html");
    }
}
