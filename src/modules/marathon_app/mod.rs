//! `marathon_app` (ours): an app of Marathon's, compared before anything is sent, and waited for.
//!
//! Marathon starts a deployment for every PUT, be it equal to what runs. So the app is read first and compared as a subset; in
//! sync means equal, no deployment under way, as many tasks running (and healthy, where there are health checks) as wanted.

mod compare;

use super::http::{Answer, Request, Response};
use super::rule::{self, Act, Known, Rule, Verdict};
use super::{
    Args, Controller, Effect, Failure, FreeForm, Module, Outcome, Param, Probe, Runs, Spec, Step,
    Type,
};
use crate::diag::Source;
use crate::remote::{Chunk, Payload, Reply};
use minijinja::value::Serde;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// The module.
pub(crate) struct MarathonApp;

static SPEC: Spec = Spec {
    name: "marathon_app",
    collection: "mini_play.builtin",
    aliases: &[],
    doc: "Keep an app in Marathon, asked from the host, and wait until it runs",
    params: &[
        Param::new("url", Type::Str, "Marathon, as the host reaches it")
            .default("http://127.0.0.1:8080"),
        Param::new("id", Type::Str, "the app; may stand in the definition"),
        Param::new(
            "definition",
            Type::Dict,
            "the app as Marathon's API has it; fields that are not named stay as they are",
        ),
        Param::new(
            "src",
            Type::Path,
            "file of the controller with the definition, JSON or YAML",
        ),
        Param::new(
            "state",
            Type::Str,
            "`suspended`: no instances; `restarted`: new tasks, each time",
        )
        .default("present")
        .choices(&["present", "absent", "suspended", "restarted"]),
        Param::new(
            "instances",
            Type::Int,
            "how many; stronger than the definition",
        ),
        Param::new(
            "wait",
            Type::Int,
            "seconds until the deployment must be done; 0 does not wait",
        )
        .default("300"),
        Param::new(
            "force",
            Type::Bool,
            "break off a deployment that locks the app; otherwise it is waited for",
        )
        .default("false"),
        Param::new("url_username", Type::Str, "user").aliases(&["user"]),
        Param::new("url_password", Type::Str, "password")
            .aliases(&["password"])
            .secret(),
        Param::new(
            "validate_certs",
            Type::Bool,
            "check the server's certificate",
        )
        .default("true"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

/// What is wanted.
struct Wanted {
    base: Request,
    id: String,
    definition: Map<String, Value>,
    state: String,
    wait: u32,
    force: bool,
}

impl Module for MarathonApp {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let wanted = Arc::new(Wanted::new(args, controller)?);
        let look = wanted.look();
        let told = Arc::clone(&wanted);
        Rule::new(vec![Probe::Script(look.clone())], move |seen| {
            wanted.judge(rule::script(seen, &look)?.1.as_bytes())
        })
        .finish(move |outcome, _, replies, _| told.result(outcome, replies))
        .step()
    }
}

impl Wanted {
    fn new(args: &Args, controller: &dyn Controller) -> Result<Self, Failure> {
        let mut definition = definition(args, controller)?;
        let given = definition.remove("id");
        let id = args
            .str("id")
            .or_else(|| given.and_then(|id| id.as_str().map(str::to_owned)))
            .ok_or_else(|| Failure::of("id", "the app has no `id`"))?;
        let id = format!("/{}", id.trim_matches('/'));
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-./".contains(c);
        if id == "/" || !id.chars().all(plain) {
            return Err(Failure::of(
                "id",
                format!("`{id}` is not an id: lower-case letters, digits, `-`, `.` and `/`"),
            ));
        }
        let state = args.text("state");
        if let Some(count) = args.int("instances") {
            if count < 0 {
                return Err(Failure::of("instances", "instances cannot be negative"));
            }
            definition.insert("instances".into(), json!(count));
        }
        if state == "suspended" {
            definition.insert("instances".into(), json!(0));
        }
        let wait = u32::try_from(args.int("wait").unwrap_or(0))
            .map_err(|_| Failure::of("wait", "wait is a number of seconds"))?;
        let url = args.text("url");
        let mut base = Request::plain(url.trim_end_matches('/'), args.bool("validate_certs"))
            .map_err(|failure| Failure::of("url", failure.msg))?;
        if let Some(user) = args.str("url_username") {
            base.login = Some((user, args.text("url_password")));
        }
        base.force_basic_auth = base.login.is_some();
        base.headers
            .push(("Accept".into(), "application/json".into()));
        Ok(Self {
            base,
            id,
            definition,
            state,
            wait,
            force: args.bool("force"),
        })
    }

    fn request(&self, method: &str, path: &str) -> Request {
        let mut request = self.base.clone();
        request.method = method.into();
        request.url = format!("{}{path}", request.url);
        request.follow = method == "GET";
        request
    }

    /// Reads the app.
    fn look(&self) -> String {
        let request = self.request("GET", &format!("/v2/apps{}", self.id));
        format!("{}talk\n", request.talker(false))
    }

    /// The app there is; `None` when there is none.
    fn app(&self, out: &[u8]) -> Known<Option<Value>> {
        let unasked = |why: String| Outcome::failed(format!("{}: {why}", self.base.shown()));
        match Answer::read(out) {
            Answer::Failed(why) => Err(unasked(format!("Marathon does not answer: {why}")).into()),
            Answer::Response(response, _) => match (response.status, parse(&response)) {
                (200, Some(mut body)) if body.get("app").is_some() => Ok(Some(body["app"].take())),
                (404, Some(_)) => Ok(None),
                _ => Err(unasked(refusal(&response)).into()),
            },
        }
    }

    fn judge(&self, out: &[u8]) -> Known<Verdict> {
        let app = self.app(out)?;
        if self.state == "absent" {
            return Ok(match app {
                None => Outcome::ok().with("id", self.id.clone()).into(),
                Some(_) => self
                    .change("DELETE", "", None, "absent", ("present", "absent"))
                    .into(),
            });
        }
        let Some(app) = app else {
            if !self.definition.contains_key("cmd")
                && !self.definition.contains_key("args")
                && !self.definition.contains_key("container")
            {
                let text = format!("there is no app {}, and no definition to make one", self.id);
                return Err(Outcome::failed(text).into());
            }
            let done = self.done(&Value::Null);
            let after = pretty(&Value::Object(self.definition.clone()));
            let act = self.change("PUT", "", Some(&self.definition), &done, ("", &after));
            return Ok(act.into());
        };
        let different = compare::differences(&self.definition, &app);
        let done = self.done(&app);
        if !different.is_empty() {
            let keys: Vec<&str> = different
                .iter()
                .filter_map(|path| path.split(['.', '[']).next())
                .collect();
            let part = |from: &dyn Fn(&str) -> Option<Value>| {
                let fields = keys
                    .iter()
                    .filter_map(|key| Some(((*key).to_owned(), from(key)?)));
                pretty(&Value::Object(fields.collect()))
            };
            let before = part(&|key| app.get(key).cloned());
            let after = part(&|key| self.definition.get(key).cloned());
            let mut act = self.change("PUT", "", Some(&self.definition), &done, (&before, &after));
            act.outcome = act.outcome.with("different", different);
            return Ok(act.into());
        }
        if self.state == "restarted" {
            return Ok(self
                .change("POST", "/restart", None, &done, ("", ""))
                .into());
        }
        let outcome = Outcome::ok()
            .with("id", self.id.clone())
            .with("app", minijinja::Value::from(Serde(app.clone())));
        if self.wait == 0 || self.settled(&app) {
            return Ok(outcome.into());
        }
        // As wanted, but not there yet.
        let mut act = self.change("", "", None, &done, ("", ""));
        act.outcome = outcome;
        Ok(act.into())
    }

    fn instances(&self, app: &Value) -> u64 {
        let count = self.definition.get("instances").or(app.get("instances"));
        count.and_then(Value::as_u64).unwrap_or(1)
    }

    fn has_checks(&self, app: &Value) -> bool {
        let checks = self
            .definition
            .get("healthChecks")
            .or(app.get("healthChecks"));
        checks
            .and_then(Value::as_array)
            .is_some_and(|checks| !checks.is_empty())
    }

    fn settled(&self, app: &Value) -> bool {
        let count = |key: &str| app[key].as_u64() == Some(self.instances(app));
        let quiet = app["deployments"].as_array().is_none_or(Vec::is_empty);
        quiet && count("tasksRunning") && (!self.has_checks(app) || count("tasksHealthy"))
    }

    /// A test in shell on the app in `$MP_TMP/b`, one line.
    fn done(&self, app: &Value) -> String {
        let count = self.instances(app);
        let mut tests = vec![
            r#"grep -q '"deployments" *: *\[ *]' "$MP_TMP/b""#.to_owned(),
            format!(r#"grep -q '"tasksRunning" *: *{count} *[,}}]' "$MP_TMP/b""#),
        ];
        if self.has_checks(app) {
            tests.push(format!(
                r#"grep -q '"tasksHealthy" *: *{count} *[,}}]' "$MP_TMP/b""#
            ));
        }
        tests.join(" && ")
    }

    /// Sends a request (none for an empty method), again while another deployment locks the app, and then looks until `done`
    /// holds: a test in shell, or `absent`. Prints the last answer to each, the first behind its length.
    fn change(
        &self,
        method: &str,
        path: &str,
        body: Option<&Map<String, Value>>,
        done: &str,
        (before, after): (&str, &str),
    ) -> Act {
        let mut script = format!("e=$(($(date +%s) + {}))\n: >\"$MP_TMP/a\"\n", self.wait);
        if body.is_some() {
            script.push_str("B=$MP_TMP/body\n(umask 077; cat >\"$B\") || exit\n");
        }
        if !method.is_empty() {
            let force = if self.force { "?force=true" } else { "" };
            let mut request = self.request(method, &format!("/v2/apps{}{path}{force}", self.id));
            if body.is_some() {
                let json = ("Content-Type".into(), "application/json".into());
                request.headers.push(json);
            }
            script.push_str(&request.talker(body.is_some()));
            script.push_str(
                "while :; do\ntalk >\"$MP_TMP/a\"\nc=$(sed -n '2{s/^[^ ]* \\([0-9]*\\).*/\\1/p;q;}' \"$MP_TMP/a\")\n\
                 [ \"$c\" = 409 ] && [ \"$(date +%s)\" -lt $e ] || break\nsleep 1\ndone\n",
            );
        }
        script.push_str("echo $(($(wc -c <\"$MP_TMP/a\")))\ncat \"$MP_TMP/a\"\n");
        if self.wait > 0 {
            let test = if done == "absent" {
                "sed -n 2p \"$MP_TMP/b\" | grep -q ' 404'"
            } else {
                done
            };
            let refused = if method.is_empty() {
                ""
            } else {
                "case $c in 2*) ;; *) e=0 ;; esac\n"
            };
            script.push_str(refused);
            script.push_str(
                &self
                    .request("GET", &format!("/v2/apps{}", self.id))
                    .talker(false),
            );
            script.push_str(&format!(
                "while :; do\ntalk >\"$MP_TMP/b\"\n{{ {test}; }} && break\n[ \"$(date +%s)\" -lt $e ] || break\nsleep 1\ndone\ncat \"$MP_TMP/b\"\n"
            ));
        }
        script.push_str("rm -f \"$MP_TMP/a\" \"$MP_TMP/b\" \"$MP_TMP/body\"\n");
        let mut chunk = Chunk::new(script);
        chunk.timeout = Some(Duration::from_secs(u64::from(self.wait) + 60));
        if let Some(body) = body {
            let text = Value::Object(body.clone()).to_string();
            chunk.input = Some(Payload::Bytes(text.into_bytes().into()));
        }
        let mut outcome = Outcome::ok().with("id", self.id.clone());
        if before != after {
            outcome = outcome.diff(&format!("app {}", self.id), before, after);
        }
        let effect = vec![Effect::Anything];
        let mut act = Act::change(vec![chunk], effect, outcome, format!("app {}", self.id));
        act.outcome.changed = !method.is_empty();
        act
    }

    /// What came of it.
    fn result(&self, outcome: Outcome, replies: &[Reply]) -> Outcome {
        let out = replies.first().map_or(&[][..], |reply| &reply.stdout);
        let cut = || Outcome::failed("the answer was cut");
        let Some(line) = out.iter().position(|byte| *byte == b'\n') else {
            return cut();
        };
        let length = String::from_utf8_lossy(&out[..line])
            .trim()
            .parse::<usize>();
        let Some((sent, last)) = length
            .ok()
            .and_then(|length| out[line + 1..].split_at_checked(length))
        else {
            return cut();
        };
        if !sent.is_empty() {
            match Answer::read(sent) {
                Answer::Failed(why) => {
                    return Outcome::failed(format!("{}: {why}", self.base.shown()));
                }
                Answer::Response(response, _) if response.status >= 300 => {
                    return Outcome::failed(format!("app {}: {}", self.id, refusal(&response)))
                        .with("status", i64::from(response.status));
                }
                Answer::Response(..) => {}
            }
        }
        if self.wait == 0 {
            return outcome;
        }
        let app = match self.app(last) {
            Ok(app) => app,
            Err(Verdict::Done(failed)) => return *failed,
            Err(_) => return cut(),
        };
        match (app, self.state == "absent") {
            (None, true) => outcome,
            (None, false) => Outcome::failed(format!("app {} is gone again", self.id)),
            (Some(app), absent) => {
                let settled = !absent && self.settled(&app);
                let mut outcome = if settled {
                    outcome
                } else {
                    Outcome::failed(format!(
                        "app {} is not done after {} s: {}",
                        self.id,
                        self.wait,
                        self.standing(&app)
                    ))
                };
                outcome
                    .data
                    .insert("app".into(), minijinja::Value::from(Serde(app)));
                outcome
            }
        }
    }

    /// How far it has come, in words.
    fn standing(&self, app: &Value) -> String {
        let number = |key: &str| app[key].as_u64().unwrap_or(0);
        let mut text = format!(
            "{} of {} tasks running",
            number("tasksRunning"),
            self.instances(app)
        );
        if self.has_checks(app) {
            text.push_str(&format!(", {} healthy", number("tasksHealthy")));
        }
        let ids = deployments(app);
        if !ids.is_empty() {
            text.push_str(&format!(", deployment {}", ids.join(", ")));
        }
        if let Some(why) = app["lastTaskFailure"]["message"].as_str() {
            text.push_str(&format!("; last failure: {why}"));
        }
        text
    }
}

/// The definition as given: inline or in a file, not both.
fn definition(args: &Args, controller: &dyn Controller) -> Result<Map<String, Value>, Failure> {
    let (value, from) = match (args.get("definition"), args.str("src")) {
        (Some(_), Some(_)) => {
            return Err(Failure::of(
                "src",
                "parameters are mutually exclusive: definition|src",
            ));
        }
        (Some(given), None) => (given.clone(), "definition"),
        (None, Some(src)) => {
            let path = controller.find("files", &src)?;
            let bytes = controller.read(&path)?;
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let node = crate::yaml::load(&Source::new(path.display().to_string(), text))
                .map_err(|wrong| Failure::of("src", wrong.to_string()))?;
            (crate::yaml::plain(&node), "src")
        }
        (None, None) => return Ok(Map::new()),
    };
    match serde_json::to_value(&value) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err(Failure::of(from, "an app's definition is a mapping")),
    }
}

/// The deployments that an app or a refusal names.
fn deployments(value: &Value) -> Vec<&str> {
    let all = value["deployments"].as_array().into_iter().flatten();
    all.filter_map(|one| one["id"].as_str()).collect()
}

fn parse(response: &Response) -> Option<Value> {
    serde_json::from_str(&response.text()).ok()
}

/// What Marathon says against it, with the deployments that lock the app.
fn refusal(response: &Response) -> String {
    let body = parse(response).unwrap_or_default();
    let mut text = body["message"].as_str().map_or_else(
        || format!("HTTP Error {}: {}", response.status, response.reason),
        str::to_owned,
    );
    if let Some(details) = body.get("details").filter(|details| !details.is_null()) {
        text.push_str(&format!(" {details}"));
    }
    let ids = deployments(&body);
    if !ids.is_empty() {
        text.push_str(&format!(" (deployments: {})", ids.join(", ")));
    }
    text
}

fn pretty(value: &Value) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    format!("{text}\n")
}
