//! `bamboo_rule` (ours): which requests go to an app, stored in Bamboo and seen to be at work in HAProxy.
//!
//! Bamboo's answer says only that the rule is stored, and its log is wrong at times. So what counts is HAProxy's configuration, with one
//! server for each of the app's tasks, and an answer of HAProxy's.

mod rendered;

use super::http::{Answer, Request, Response};
use super::rule::{self, Act, Known, Rule, Verdict};
use super::{
    Args, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Spec, Step,
    Type, sh,
};
use crate::remote::{Chunk, Payload, Reply};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The module.
pub(crate) struct BambooRule;

static SPEC: Spec = Spec {
    name: "bamboo_rule",
    collection: "mini_play.builtin",
    aliases: &[],
    doc: "Keep a rule in Bamboo, asked from its host, and wait until HAProxy works by it",
    params: &[
        Param::new("url", Type::Str, "Bamboo, as the host reaches it")
            .default("http://127.0.0.1:8000"),
        Param::new("id", Type::Str, "the app").required(),
        Param::new(
            "acl",
            Type::Str,
            "which requests are meant, as HAProxy's `acl` takes it: `path_beg -i /`, `hdr(host) -i name`",
        ),
        Param::new("state", Type::Str, "whether there is a rule")
            .default("present")
            .choices(&["present", "absent"]),
        Param::new("config", Type::Path, "what Bamboo writes").default("/etc/haproxy/haproxy.cfg"),
        Param::new("front", Type::Str, "HAProxy, as the host reaches it")
            .default("http://127.0.0.1"),
        Param::new(
            "path",
            Type::Str,
            "asked for there; must be answered below 500 while the app has tasks. Default: that of a `path_beg`; else any answer will do",
        ),
        Param::new(
            "wait",
            Type::Int,
            "seconds until HAProxy must work by it; 0 does not look at HAProxy",
        )
        .default("60"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

/// What is wanted.
struct Wanted {
    bamboo: Request,
    front: Request,
    id: String,
    /// `None`: no rule.
    acl: Option<String>,
    config: String,
    /// Answers from here on are bad.
    limit: u16,
    wait: u32,
}

/// What there is.
struct Found {
    /// The acl that is stored.
    acl: Option<String>,
    /// Whether another app's rule is the same.
    shared: bool,
    /// Where its tasks run; `None` when Marathon has no such app.
    tasks: Option<BTreeSet<String>>,
    config: String,
    front: Answer,
}

impl Module for BambooRule {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let wanted = Arc::new(Wanted::new(args)?);
        let look = format!("{}look\n{TELL}", wanted.look());
        let told = Arc::clone(&wanted);
        Rule::new(vec![Probe::Script(look.clone())], move |seen| {
            let said = rule::script(seen, &look)?.1;
            wanted.judge(&wanted.found(said.as_bytes())?)
        })
        .finish(move |outcome, _, replies, _| told.result(outcome, replies))
        .step()
    }
}

/// Shell that prints what `look` found: each part behind its length.
const TELL: &str = "for f in rules state config front; do echo $(($(wc -c <\"$MP_TMP/$f\"))); cat \"$MP_TMP/$f\"; rm -f \"$MP_TMP/$f\"; done\n";

impl Wanted {
    fn new(args: &Args) -> Result<Self, Failure> {
        let id = format!("/{}", args.text("id").trim_matches('/'));
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-./".contains(c);
        if id == "/" || !id.chars().all(plain) {
            return Err(Failure::of(
                "id",
                format!("`{id}` is not an id: lower-case letters, digits, `-`, `.` and `/`"),
            ));
        }
        let given = args.str("acl").map(|acl| acl.trim().to_owned());
        let acl = match args.text("state").as_str() {
            "absent" => None,
            _ => Some(
                given
                    .filter(|acl| !acl.is_empty())
                    .ok_or_else(|| Failure::of("acl", "a rule that is present needs an `acl`"))?,
            ),
        };
        if acl.as_ref().is_some_and(|acl| acl.contains(['\n', '\r'])) {
            return Err(Failure::of("acl", "an acl is one line"));
        }
        let wait = u32::try_from(args.int("wait").unwrap_or(0))
            .map_err(|_| Failure::of("wait", "wait is a number of seconds"))?;
        let request = |name: &str, path: &str| {
            let url = format!("{}{path}", args.text(name).trim_end_matches('/'));
            Request::plain(&url, true).map_err(|failure| Failure::of(name, failure.msg))
        };
        let path = args
            .str("path")
            .or_else(|| acl.as_deref().and_then(path_of));
        let mut front = request("front", path.as_deref().unwrap_or("/"))?;
        front.follow = false;
        let limit = if path.is_some() { 500 } else { 1000 };
        Ok(Self {
            bamboo: request("url", "")?,
            front,
            id,
            acl,
            config: args.text("config"),
            limit,
            wait,
        })
    }

    fn ask(&self, name: &str, method: &str, path: &str) -> String {
        let mut request = self.bamboo.clone();
        request.method = method.into();
        request.url = format!("{}{path}", request.url);
        let body = method == "POST";
        if body {
            let json = ("Content-Type".into(), "application/json".into());
            request.headers.push(json);
        }
        request
            .talker(body)
            .replacen("talk()", &format!("{name}()"), 1)
    }

    /// Shell that defines `look`: rules, state, configuration and HAProxy's answer, each in a file.
    fn look(&self) -> String {
        format!(
            "{}{}{}look() {{\nrules >\"$MP_TMP/rules\"\nstate >\"$MP_TMP/state\"\ncat -- {} >\"$MP_TMP/config\" 2>/dev/null\nfront >\"$MP_TMP/front\"\n}}\n",
            self.ask("rules", "GET", "/api/services"),
            self.ask("state", "GET", "/api/state"),
            self.front.talker(false).replacen("talk()", "front()", 1),
            sh::quote(&self.config),
        )
    }

    fn found(&self, out: &[u8]) -> Known<Found> {
        let cut = || Verdict::from(Outcome::failed("the answer was cut"));
        let (parts, _) = parts::<4>(out).ok_or_else(cut)?;
        let [rules, state, config, front] = parts;
        let rules = self.json(rules, "/api/services")?;
        let state = self.json(state, "/api/state")?;
        let acl_of = |rule: &Value| rule["Acl"].as_str().map(str::to_owned);
        let acl = acl_of(&rules[&self.id]);
        let shared = rules.as_object().is_some_and(|rules| {
            rules
                .iter()
                .any(|(id, rule)| *id != self.id && acl_of(rule) == acl)
        });
        Ok(Found {
            tasks: rendered::tasks(&state, &self.id),
            config: String::from_utf8_lossy(config).into_owned(),
            front: Answer::read(front),
            acl,
            shared,
        })
    }

    fn json(&self, out: &[u8], path: &str) -> Known<Value> {
        let failed = |why: String| {
            let url = self.bamboo.shown();
            Verdict::from(Outcome::failed(format!("{url}{path}: {why}")))
        };
        match Answer::read(out) {
            Answer::Failed(why) => Err(failed(format!("Bamboo does not answer: {why}"))),
            Answer::Response(response, _) => match serde_json::from_str(&response.text()) {
                Ok(value) if response.status == 200 => Ok(value),
                _ => Err(failed(refusal(&response))),
            },
        }
    }

    fn judge(&self, found: &Found) -> Known<Verdict> {
        let mut outcome = Outcome::ok().with("id", self.id.clone());
        if let Some(tasks) = &found.tasks {
            let tasks: Vec<String> = tasks.iter().cloned().collect();
            outcome = outcome.with("servers", tasks);
        }
        if let Some(acl) = &self.acl {
            outcome = outcome.with("acl", acl.clone());
        }
        let stored = found.acl == self.acl;
        if stored && (self.wait == 0 || self.lacking(found, None).is_none()) {
            return Ok(outcome.into());
        }
        let line =
            |acl: &Option<String>| acl.as_ref().map_or(String::new(), |acl| format!("{acl}\n"));
        if !stored {
            let (before, after) = (line(&found.acl), line(&self.acl));
            outcome = outcome.diff(&format!("rule of {}", self.id), &before, &after);
        }
        let mut act = self.change(found, stored, outcome);
        act.outcome.changed = !stored;
        Ok(act.into())
    }

    /// What HAProxy lacks. `old`: the acl of a rule that was taken away.
    fn lacking(&self, found: &Found, old: Option<&str>) -> Option<String> {
        let Self { id, config, .. } = self;
        let Some(acl) = &self.acl else {
            let old = old.filter(|old| rendered::has_acl(&found.config, old));
            return old.map(|old| format!("{config} still has an acl `{old}`"));
        };
        if found.config.is_empty() {
            return Some(format!("{config} is not there, empty, or cannot be read"));
        }
        let Some(tasks) = &found.tasks else {
            return Some(format!("Marathon has no app {id}"));
        };
        if !rendered::has_acl(&found.config, acl) {
            return Some(format!("{config} has no acl `{acl}`"));
        }
        if !rendered::has_servers(&found.config, tasks) {
            let places: Vec<&str> = tasks.iter().map(String::as_str).collect();
            let places = places.join(", ");
            return Some(format!(
                "{config} has no backend with just these servers: {places}"
            ));
        }
        let limit = if tasks.is_empty() { 1000 } else { self.limit };
        match &found.front {
            Answer::Failed(why) => Some(format!(
                "{}: HAProxy does not answer: {why}",
                self.front.shown()
            )),
            Answer::Response(response, _) if response.status >= limit => Some(format!(
                "{}: HAProxy answers {} {}",
                self.front.shown(),
                response.status,
                response.reason
            )),
            Answer::Response(..) => None,
        }
    }

    /// Sends the rule, unless it is stored, and looks until HAProxy works by it. A rule that is not rendered in 20 s is sent again: Bamboo
    /// loses a race at times, and does not look again by itself. Prints how often it was sent, the last answer, and what was found.
    fn change(&self, found: &Found, stored: bool, outcome: Outcome) -> Act {
        let mut script = format!(
            "e=$(($(date +%s) + {})) sends=0 k=0\n: >\"$MP_TMP/sent\"\n",
            self.wait
        );
        let mut input = None;
        if let Some(acl) = &self.acl {
            script.push_str("B=$MP_TMP/body\ncat >\"$B\"\n");
            script.push_str(&self.ask("ask", "POST", "/api/services"));
            input = Some(json!({"id": self.id, "acl": acl}).to_string());
        } else {
            let path = format!("/api/services/{}", self.id);
            script.push_str(&self.ask("ask", "DELETE", &path));
        }
        script.push_str("send() {\nask >\"$MP_TMP/sent\"\nsends=$((sends + 1))\n}\n");
        script.push_str(&self.look());
        script.push_str(rendered::TASKS);
        script.push_str(rendered::RENDERED);
        let test = match (&self.acl, &found.acl) {
            (Some(acl), _) => format!(
                "tasks \"$MP_TMP/state\" {id}\nl={limit}\n[ -n \"$t\" ] || l=1000\n\
                 c=$(sed -n '2{{s/^[^ ]* \\([0-9]*\\).*/\\1/p;q;}}' \"$MP_TMP/front\")\n\
                 rendered \"$MP_TMP/config\" {acl} \"$t\" && [ \"${{c:-1000}}\" -lt $l ]",
                id = sh::quote(&self.id),
                limit = self.limit,
                acl = sh::quote(acl),
            ),
            (None, Some(old)) if !found.shared => {
                format!("! rendered \"$MP_TMP/config\" {} ''", sh::quote(old))
            }
            (None, _) => ":".into(),
        };
        script.push_str(&format!("good() {{\n{test}\n}}\n"));
        if !stored {
            script.push_str(
                "send\nc=$(sed -n '2{s/^[^ ]* \\([0-9]*\\).*/\\1/p;q;}' \"$MP_TMP/sent\")\ncase $c in 2*) ;; *) e=0 ;; esac\n",
            );
        }
        let again = if self.acl.is_some() {
            "[ $((k % 20)) != 0 ] || send\n"
        } else {
            ""
        };
        script.push_str(&format!(
            "while :; do\nlook\n[ {wait} -gt 0 ] || break\ngood && break\n[ \"$(date +%s)\" -lt $e ] || break\nsleep 1\nk=$((k + 1))\n{again}done\n\
             echo \"$sends $(($(wc -c <\"$MP_TMP/sent\")))\"\ncat \"$MP_TMP/sent\"\nrm -f \"$MP_TMP/sent\" \"$MP_TMP/body\"\n{TELL}",
            wait = self.wait,
        ));
        let mut chunk = Chunk::new(script);
        chunk.timeout = Some(Duration::from_secs(u64::from(self.wait) + 60));
        chunk.input = input.map(|text| Payload::Bytes(text.into_bytes().into()));
        let mut outcome = outcome;
        if let (None, Some(old), false) = (&self.acl, &found.acl, found.shared) {
            outcome = outcome.with("removed", old.clone());
        }
        let what = format!("rule of {}", self.id);
        Act::change(vec![chunk], vec![Effect::Anything], outcome, what)
    }

    /// What came of it.
    fn result(&self, mut outcome: Outcome, replies: &[Reply]) -> Outcome {
        let out = replies.first().map_or(&[][..], |reply| &reply.stdout);
        let cut = || Outcome::failed("the answer was cut");
        let Some((times, rest)) = word(out) else {
            return cut();
        };
        let Some(([sent], rest)) = parts::<1>(rest) else {
            return cut();
        };
        let mut refused = None;
        if !sent.is_empty() {
            match Answer::read(sent) {
                Answer::Failed(why) => {
                    return Outcome::failed(format!("{}: {why}", self.bamboo.shown()));
                }
                Answer::Response(response, _) if response.status >= 300 => {
                    refused = Some(format!("rule of {}: {}", self.id, refusal(&response)));
                }
                Answer::Response(..) => {}
            }
        }
        let found = match self.found(rest) {
            Ok(found) => found,
            Err(Verdict::Done(failed)) => return *failed,
            Err(_) => return cut(),
        };
        // Bamboo's refusal to remove what is gone already is no failure.
        if found.acl != self.acl {
            let text =
                refused.unwrap_or_else(|| format!("the rule of {} is not as it was sent", self.id));
            return Outcome::failed(text);
        }
        outcome.changed |= times > 0;
        if self.wait == 0 {
            return outcome;
        }
        let old = outcome.data.get("removed").map(super::args::text);
        if let Some(lacks) = self.lacking(&found, old.as_deref()) {
            return Outcome::failed(format!(
                "the rule of {} is stored, but HAProxy does not work by it after {} s: {lacks}",
                self.id, self.wait
            ));
        }
        if let Some(tasks) = found.tasks {
            let tasks: Vec<String> = tasks.into_iter().collect();
            outcome = outcome.with("servers", tasks);
        }
        outcome
    }
}

/// The path of an acl that is about one.
fn path_of(acl: &str) -> Option<String> {
    let mut words = acl.split_whitespace();
    (words.next()? == "path_beg").then_some(())?;
    words
        .find(|word| !word.starts_with('-'))
        .filter(|path| path.starts_with('/'))
        .map(str::to_owned)
}

/// A number, and what follows behind one space.
fn word(out: &[u8]) -> Option<(u32, &[u8])> {
    let at = out.iter().position(|byte| *byte == b' ')?;
    let number = std::str::from_utf8(&out[..at]).ok()?.trim().parse().ok()?;
    Some((number, &out[at + 1..]))
}

/// Parts, each behind its length, and the rest.
fn parts<const N: usize>(mut out: &[u8]) -> Option<([&[u8]; N], &[u8])> {
    let mut parts = [&[][..]; N];
    for part in &mut parts {
        let at = out.iter().position(|byte| *byte == b'\n')?;
        let length: usize = std::str::from_utf8(&out[..at]).ok()?.trim().parse().ok()?;
        (*part, out) = out[at + 1..].split_at_checked(length)?;
    }
    Some((parts, out))
}

/// What Bamboo says against it.
fn refusal(response: &Response) -> String {
    let text = response.text();
    let line = text.lines().next().unwrap_or_default().trim();
    format!(
        "HTTP Error {}: {}",
        response.status,
        if line.is_empty() {
            &response.reason
        } else {
            line
        }
    )
}
