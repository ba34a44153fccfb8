//! `uri`: one HTTP exchange, and what came back.

use super::attrs::{self, Attrs};
use super::copy::python_json;
use super::http::{Answer, Request, Response, http_params};
use super::{
    Args, Controller, Decision, Effect, Failure, FreeForm, Module, Outcome, Param, Plan, Probe,
    Runs, Seen, Spec, Step, Type, sh,
};
use crate::remote::{Chunk, Payload, Reply};
use minijinja::Value;
use minijinja::value::ValueKind;

/// See the module's own documentation.
pub(crate) struct Uri;

static SPEC: Spec = Spec {
    name: "uri",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Talk HTTP and tell what came back",
    params: http_params![
        Param::new("method", Type::Str, "`GET`, `POST`…").default("GET"),
        Param::new("body", Type::Raw, "what is sent"),
        Param::new("body_format", Type::Str, "how `body` is written")
            .default("raw")
            .choices(&["form-urlencoded", "json", "raw", "form-multipart"]),
        Param::new("src", Type::Path, "file to send instead of `body`"),
        Param::new("remote_src", Type::Bool, "`src` is on the host").default("false"),
        Param::new(
            "return_content",
            Type::Bool,
            "tell the contents also when they are not asked about"
        )
        .default("false"),
        Param::new(
            "follow_redirects",
            Type::Str,
            "which redirects are followed"
        )
        .default("safe")
        .choices(&["all", "no", "none", "safe", "urllib2", "yes"]),
        Param::new("status_code", Type::List, "the good ones").default("200"),
        Param::new("creates", Type::Path, "do nothing when this is there"),
        Param::new("removes", Type::Path, "do nothing when this is not there"),
        Param::new("dest", Type::Path, "file to write the contents to"),
        Param::new(
            "force",
            Type::Bool,
            "ignored: nothing is taken from a cache"
        )
        .default("false"),
        Param::new("timeout", Type::Int, "seconds without an answer").default("30"),
        Param::new("url_username", Type::Str, "user").aliases(&["user"]),
        Param::new("url_password", Type::Str, "password")
            .aliases(&["password"])
            .secret(),
        Param::new("ca_path", Type::Path, "certificates to trust, on the host"),
        Param::new("unix_socket", Type::Path, "socket of the host to talk to"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Uri {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let mut request = Request::new(args)?;
        request.pinned = super::download::allowed(controller);
        request.method = args.text("method").to_uppercase();
        if request.method.is_empty() || !request.method.chars().all(|c| c.is_ascii_uppercase()) {
            return Err(Failure::of(
                "method",
                "Parameter 'method' needs to be a single word in uppercase, like GET or POST.",
            ));
        }
        request.follow = match args.text("follow_redirects").as_str() {
            "all" | "yes" => true,
            "no" | "none" => false,
            _ => ["GET", "HEAD"].contains(&request.method.as_str()),
        };
        let codes: Result<Vec<i64>, _> = args
            .strings("status_code")
            .iter()
            .map(|code| code.trim().parse())
            .collect();
        let codes = codes
            .map_err(|_| Failure::of("status_code", "status_code must be a list of numbers"))?;
        let body = body(args, &mut request, controller)?;
        if args.has("dest") {
            super::download::check("dest", &args.text("url"), false, controller)?;
        }
        Ok(Box::new(Exchange {
            request,
            body,
            codes,
            return_content: args.bool("return_content"),
            creates: args.str("creates"),
            removes: args.str("removes"),
            dest: args.str("dest"),
            attrs: Attrs::new(args)?,
        }))
    }
}

/// What is sent.
enum Body {
    None,
    Bytes(Vec<u8>),
    /// A file of the host.
    Remote(String),
}

fn body(args: &Args, request: &mut Request, controller: &dyn Controller) -> Result<Body, Failure> {
    if args.has("body") && args.has("src") {
        return Err(Failure::of(
            "src",
            "parameters are mutually exclusive: body|src",
        ));
    }
    if let Some(src) = args.str("src") {
        if args.bool("remote_src") {
            return Ok(Body::Remote(src));
        }
        let path = controller.find("files", &src)?;
        return Ok(Body::Bytes(controller.read(&path)?));
    }
    let given = args.get("body").cloned().unwrap_or_default();
    let (text, kind) = match args.text("body_format").as_str() {
        "json" if given.kind() == ValueKind::String => {
            (super::args::text(&given), "application/json")
        }
        "json" => {
            let json =
                serde_json::to_value(&given).map_err(|why| Failure::of("body", why.to_string()))?;
            (python_json(&json), "application/json")
        }
        "form-urlencoded" => (form(&given)?, "application/x-www-form-urlencoded"),
        "form-multipart" => {
            return Err(Failure::of(
                "body_format",
                "form-multipart is not supported",
            ));
        }
        _ if given.is_undefined() || given.is_none() => return Ok(Body::None),
        _ => return Ok(Body::Bytes(super::copy::bytes(&given)?)),
    };
    if !request
        .headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
    {
        request.headers.push(("Content-Type".into(), kind.into()));
    }
    Ok(Body::Bytes(text.into_bytes()))
}

/// A mapping or a list of pairs as a form.
fn form(body: &Value) -> Result<String, Failure> {
    if body.kind() == ValueKind::String {
        return Ok(super::args::text(body));
    }
    let mut pairs = Vec::new();
    let items = body.try_iter().map_err(|_| Failure::of("body", "failed to parse body as form_urlencoded: cannot form-urlencode body, expect list or dict"))?;
    for item in items {
        let (key, value) = if body.kind() == ValueKind::Map {
            (item.clone(), body.get_item(&item).unwrap_or_default())
        } else {
            let part = |at: usize| item.get_item(&Value::from(at)).unwrap_or_default();
            (part(0), part(1))
        };
        let values: Vec<Value> = if value.kind() == ValueKind::Seq {
            value.try_iter().into_iter().flatten().collect()
        } else {
            vec![value]
        };
        for value in values.into_iter().filter(|value| !value.is_none()) {
            let escaped = |value: &Value| escape(&super::args::text(value));
            pairs.push(format!("{}={}", escaped(&key), escaped(&value)));
        }
    }
    Ok(pairs.join("&"))
}

/// Python's `quote_plus`.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b' ' => "+".into(),
            _ if byte.is_ascii_alphanumeric() || b"_.-~".contains(&byte) => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

struct Exchange {
    request: Request,
    body: Body,
    codes: Vec<i64>,
    return_content: bool,
    creates: Option<String>,
    removes: Option<String>,
    dest: Option<String>,
    attrs: Attrs,
}

impl Exchange {
    /// The script around the exchange itself.
    fn script(&self, talk: &str) -> String {
        let has_body = !matches!(self.body, Body::None);
        let mut text = self.request.talker(has_body);
        match &self.body {
            Body::None => {}
            Body::Bytes(_) => text.push_str("B=$MP_TMP/body\n(umask 077; cat >\"$B\") || exit\n"),
            Body::Remote(path) => text.push_str(&format!(
                "B={}\n[ -r \"$B\" ] || {{ echo \"!msg Unable to open source file $B\" >&2; exit 1; }}\n",
                sh::expanding(path, false)
            )),
        }
        text.push_str(talk);
        if matches!(self.body, Body::Bytes(_)) {
            text.push_str("rm -f \"$B\"\n");
        }
        text
    }
}

impl Step for Exchange {
    fn probes(&self) -> Vec<Probe> {
        self.creates
            .iter()
            .chain(&self.removes)
            .map(|path| Probe::Path {
                path: path.clone(),
                follow: true,
            })
            .collect()
    }

    fn decide(&self, seen: &Seen) -> Decision {
        if let Some(path) = &self.creates
            && seen.stat(path, true).is_some()
        {
            let text = format!("skipped, since '{path}' exists");
            return Decision::Done(Outcome::ok().with("stdout", text));
        }
        if let Some(path) = &self.removes
            && seen.stat(path, true).is_none()
        {
            let text = format!("skipped, since '{path}' does not exist");
            return Decision::Done(Outcome::ok().with("stdout", text));
        }
        let (talk, effect) = match &self.dest {
            Some(dest) => (self.saving(dest), Effect::Path(dest.clone())),
            None => ("talk\n".into(), Effect::Nothing),
        };
        let mut chunk = Chunk::new(self.script(&talk));
        chunk.keep = 64 << 20;
        if let Body::Bytes(bytes) = &self.body {
            chunk.input = Some(Payload::Bytes(bytes.as_slice().into()));
        }
        Decision::Act(Plan {
            actions: vec![chunk],
            effects: vec![effect],
            predicted: Outcome::ok().with("url", self.request.shown()),
            opaque: true,
        })
    }

    fn finish(&self, _: &Seen, replies: &[Reply], _: &Seen) -> Outcome {
        let Some(reply) = replies.first() else {
            return Outcome::failed("nothing was sent");
        };
        if reply.rc != 0 {
            return attrs::failure(replies, &self.request.shown())
                .unwrap_or_else(|| Outcome::failed("failed"));
        }
        let elapsed = reply.elapsed.as_secs();
        let told = |outcome: Outcome, status: i64, url: &str| {
            outcome
                .with("url", url)
                .with("status", status)
                .with("elapsed", elapsed)
                .with("redirected", url != self.request.url)
        };
        let codes = format!(
            "[{}]",
            self.codes
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(", ")
        );
        match Answer::read(&reply.stdout) {
            Answer::Failed(why) => {
                let msg = format!("Status code was -1 and not {codes}: Request failed: {why}");
                told(Outcome::failed(msg), -1, &self.request.url)
            }
            Answer::Response(response, url) => {
                let status = i64::from(response.status);
                let good = self.codes.contains(&status);
                // curl adds the slash that a bare host lacks.
                let moved = url.trim_end_matches('/') != self.request.url.trim_end_matches('/');
                let url = if moved { url } else { self.request.url.clone() };
                let outcome = if good {
                    Outcome::ok()
                } else {
                    Outcome::failed("")
                };
                let mut outcome = self.tell(told(outcome, status, &url), &response, good);
                if let Some(dest) = &self.dest
                    && good
                {
                    outcome.changed = reply.err().contains("!saved");
                    outcome = outcome.with("path", dest.clone());
                }
                if !good {
                    let msg = outcome.msg.take().unwrap_or_default();
                    outcome.msg = Some(format!("Status code was {status} and not {codes}: {msg}"));
                }
                outcome
            }
        }
    }
}

impl Exchange {
    /// The response as result fields.
    fn tell(&self, mut outcome: Outcome, response: &Response, good: bool) -> Outcome {
        let length = response
            .header("content-length")
            .map_or("unknown".to_owned(), str::to_owned);
        outcome.msg = Some(if response.status < 400 {
            format!("OK ({length} bytes)")
        } else {
            format!("HTTP Error {}: {}", response.status, response.reason)
        });
        for (name, _) in &response.headers {
            let key = name.to_lowercase().replace('-', "_");
            let all: Vec<&str> = response
                .headers
                .iter()
                .filter(|(other, _)| other.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
                .collect();
            outcome = outcome.with(&key, all.join(", "));
        }
        let cookies: Vec<(String, String)> = response
            .headers
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
            .filter_map(|(_, value)| value.split(';').next()?.split_once('='))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect();
        let line: Vec<String> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        outcome = outcome
            .with("cookies_string", line.join("; "))
            .with("cookies", Value::from_pairs(cookies));
        let kind = response
            .header("content-type")
            .unwrap_or_default()
            .to_lowercase();
        let sub = kind
            .split(';')
            .next()
            .unwrap_or_default()
            .rsplit(['/', '+'])
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned();
        let text = response.text();
        if ["json", "javascript"].contains(&sub.as_str())
            && let Ok(json) = serde_json::from_str::<serde_json::Value>(&text)
        {
            outcome = outcome.with("json", Value::from(minijinja::value::Serde(json)));
        }
        if self.return_content {
            outcome = outcome.with("content", text);
        } else if !good {
            outcome = outcome.with("body", text);
        }
        outcome
    }

    /// The exchange with its contents written to a file when they are good and differ.
    fn saving(&self, dest: &str) -> String {
        let codes: Vec<String> = self.codes.iter().map(ToString::to_string).collect();
        let fix = self.attrs.commands("\"$p\"", attrs::NEW_FILE, false);
        // The exchange is printed as ever; the body is cut out of what was printed.
        format!(
            "talk >\"$MP_TMP/all\"\ncat \"$MP_TMP/all\"\nread -r w r x y u <\"$MP_TMP/all\"\n\
             p={dest}\n[ -d \"$p\" ] && p=${{p%/}}/{name}\n\
             tail -n +2 \"$MP_TMP/all\" | tail -c +$((x + 1)) | head -c \"$y\" >\"$MP_TMP/new\"\n\
             s=$(tail -n +2 \"$MP_TMP/all\" | head -c \"$x\" | sed -n 's|^HTTP/[0-9.]* \\([0-9]*\\).*|\\1|p' | tail -n 1)\n\
             rm -f \"$MP_TMP/all\"\n\
             [ \"$w\" != raw ] || {{ echo '!msg writing to dest needs curl on the host' >&2; rm -f \"$MP_TMP/new\"; exit 1; }}\n\
             case $s in {codes})\n\
             if ! cmp -s -- \"$MP_TMP/new\" \"$p\"; then t=$(mktemp \"$p.mini-play.XXXXXX\") && chmod 644 \"$t\" && cat \"$MP_TMP/new\" >\"$t\" && mv -f -- \"$t\" \"$p\" || {{ rm -f -- \"$t\"; exit 1; }}; fi\n\
             echo '!saved' >&2\n{fix};; esac\nrm -f \"$MP_TMP/new\"\n",
            dest = sh::expanding(dest, false),
            name = sh::quote(&self.request.file_name()),
            codes = codes.join("|"),
            fix = fix.unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_encoded_like_python() {
        let map = Value::from_pairs([
            ("a b", Value::from("1&2")),
            ("l", Value::from(vec!["x", "y"])),
        ]);
        assert_eq!(form(&map).unwrap(), "a+b=1%262&l=x&l=y");
        let pairs = Value::from(vec![vec!["é", "~"]]);
        assert_eq!(form(&pairs).unwrap(), "%C3%A9=~");
    }
}
