//! Output of commands and pages of the net.

use super::{Lookup, lookup};
use crate::template::eval::Machine;
use crate::template::eval::call::Args;
use crate::template::eval::methods::split_lines;
use crate::template::value::data::pairs;
use crate::template::value::text::str_of;
use crate::template::value::undefined::{Res, fault};
use minijinja::Value;
use std::io::Write;
use std::process::{Command, Stdio};

pub(super) const LOOKUPS: &[Lookup] = &[
    lookup("pipe", |m, args| {
        let mut out = Vec::new();
        for term in &args.pos {
            let text = shell(m, &str_of(term)?)?;
            out.push(Value::from(text.trim_end()));
        }
        Ok(out)
    }),
    lookup("lines", |m, args| {
        let mut out = Vec::new();
        for term in &args.pos {
            out.extend(split_lines(&shell(m, &str_of(term)?)?, false));
        }
        Ok(out)
    }),
    lookup("url", url),
];

/// Standard output of a shell command, run beside the playbook.
fn shell(m: &Machine<'_>, command: &str) -> Res<String> {
    let mut child = Command::new("/bin/sh");
    child
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    if let Ok(Some(folder)) = m.scope.get("playbook_dir")
        && let Some(folder) = folder.as_str()
        && std::path::Path::new(folder).is_dir()
    {
        child.current_dir(folder);
    }
    let done = child
        .output()
        .map_err(|error| fault(format!("cannot run `{command}`: {error}")))?;
    if !done.status.success() {
        let code = done.status.code().unwrap_or(-1);
        return Err(fault(format!("`{command}` returned {code}")));
    }
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}

/// A string in curl's configuration syntax.
fn curl_string(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
        .replace('\r', "");
    format!("\"{escaped}\"")
}

fn url(_: &mut Machine<'_>, args: &mut Args) -> Res<Vec<Value>> {
    let mut given = |name: &str| args.take(name).filter(|v| !v.is_none());
    let split = given("split_lines").is_none_or(|v| v.is_true());
    let verify = given("validate_certs").is_none_or(|v| v.is_true());
    let timeout = given("timeout").map_or(Ok(10.0), |v| {
        f64::try_from(v).map_err(|_| fault("`timeout` must be a number"))
    })?;
    let (user, password) = (given("username"), given("password"));
    let headers = given("headers");
    let proxy = given("use_proxy").is_none_or(|v| v.is_true());
    let follow = given("follow_redirects").map_or_else(|| "urllib2".to_owned(), |v| v.to_string());
    for ignored in [
        "force",
        "http_agent",
        "force_basic_auth",
        "use_gssapi",
        "unix_socket",
        "ca_path",
        "unredirected_headers",
        "ciphers",
        "use_netrc",
    ] {
        args.take(ignored);
    }
    if let Some((name, _)) = args.kw.first() {
        return Err(fault(format!("unknown option `{name}`")));
    }
    let mut out = Vec::new();
    for term in &args.pos {
        let address = str_of(term)?;
        // On standard input: an address may hold a password, and arguments are for all to see.
        let mut config = format!(
            "url = {}\nsilent\nshow-error\nfail\nmax-time = {timeout}\n",
            curl_string(&address)
        );
        if !verify {
            config.push_str("insecure\n");
        }
        if !matches!(follow.as_str(), "no" | "none" | "False") {
            config.push_str("location\n");
        }
        if !proxy {
            config.push_str("noproxy = \"*\"\n");
        }
        if let Some(user) = &user {
            let password = password.as_ref().map_or(String::new(), Value::to_string);
            config.push_str(&format!(
                "user = {}\n",
                curl_string(&format!("{user}:{password}"))
            ));
        }
        if let Some(headers) = &headers {
            for (name, value) in pairs(headers)? {
                config.push_str(&format!(
                    "header = {}\n",
                    curl_string(&format!("{name}: {value}"))
                ));
            }
        }
        let text = curl(&config, &address)?;
        if split {
            out.extend(split_lines(&text, false));
        } else {
            out.push(Value::from(text));
        }
    }
    Ok(out)
}

fn curl(config: &str, address: &str) -> Res<String> {
    // What people see must not hold a password.
    let shown = match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => address.to_owned(),
    };
    let missing = |error: std::io::Error| {
        fault(format!("cannot run curl: {error}")).hint("install curl on this machine")
    };
    let mut child = Command::new("curl")
        .args(["--config", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(missing)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(config.as_bytes()).map_err(missing)?;
    }
    let done = child.wait_with_output().map_err(missing)?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let why = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Err(fault(format!("cannot fetch {shown}: {why}")))
}
