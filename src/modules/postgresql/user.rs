//! `postgresql_user`: accounts.

use super::{Login, given, literal, name, one_line, postgresql_params, scram};
use crate::modules::rule::{Act, Known, Rule, Verdict};
use crate::modules::{
    Args, Controller, Effect, Failure, FreeForm, Module, Outcome, Probe, Runs, Seen, Spec, Step,
};
use crate::remote::Secret;
use minijinja::Value;
use serde_json::Value as Json;

/// `postgresql_user`.
pub(crate) struct PostgresqlUser;

static SPEC: Spec = Spec {
    name: "postgresql_user",
    collection: "community.postgresql",
    aliases: &[],
    doc: "Manages accounts of PostgreSQL, by psql",
    params: postgresql_params![
        Param::new("name", Type::Str, "the account")
            .required()
            .aliases(&["user"]),
        Param::new(
            "password",
            Type::Str,
            "its password, in plain text or as the server's hash"
        ),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["absent", "present"])
            .default("present"),
        Param::new("login_db", Type::Str, "database to log in to")
            .aliases(&["db"])
            .default(""),
        Param::new("fail_on_user", Type::Bool, "fail when it cannot be dropped")
            .aliases(&["fail_on_role"])
            .default("true"),
        Param::new(
            "role_attr_flags",
            Type::Str,
            "flags such as CREATEDB,NOSUPERUSER"
        )
        .default(""),
        Param::new(
            "encrypted",
            Type::Bool,
            "no effect: servers of today always encrypt"
        )
        .default("true"),
        Param::new(
            "no_password_changes",
            Type::Bool,
            "leave an account's password as it is"
        )
        .default("false"),
        Param::new("expires", Type::Str, "when its password ends to be valid"),
        Param::new(
            "conn_limit",
            Type::Int,
            "most connections, -1 for any number"
        ),
        Param::new("comment", Type::Str, "what is said about it"),
        Param::new("configuration", Type::Dict, "settings of its sessions"),
        Param::new(
            "reset_unspecified_configuration",
            Type::Bool,
            "reset its other settings"
        )
        .default("false"),
        Param::new(
            "quote_configuration_values",
            Type::Bool,
            "whether values of settings are quoted"
        )
        .default("true"),
        Param::unsupported("priv", "use `postgresql_privs`"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

/// Flags and their columns of pg_authid.
const FLAGS: &[(&str, &str)] = &[
    ("SUPERUSER", "rolsuper"),
    ("CREATEROLE", "rolcreaterole"),
    ("CREATEDB", "rolcreatedb"),
    ("INHERIT", "rolinherit"),
    ("LOGIN", "rolcanlogin"),
    ("REPLICATION", "rolreplication"),
    ("BYPASSRLS", "rolbypassrls"),
];

impl Module for PostgresqlUser {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        for param in ["name", "password", "expires"] {
            one_line(param, &args.text(param))?;
        }
        let mut flags = Vec::new();
        for word in args.text("role_attr_flags").to_uppercase().split(',') {
            let word = word.trim();
            if word.is_empty() {
                continue;
            }
            let bare = word.strip_prefix("NO").unwrap_or(word);
            let Some((_, column)) = FLAGS.iter().find(|(flag, _)| *flag == bare) else {
                let msg = format!("Invalid role_attr_flags specified: {word}");
                return Err(Failure::of("role_attr_flags", msg));
            };
            flags.push((word.to_owned(), *column, !word.starts_with("NO")));
        }
        let database = given(args, "login_db").unwrap_or_else(|| "postgres".into());
        let wanted = Account {
            login: Login::new(args, Some(&database)),
            name: args.text("name").trim_matches('"').to_owned(),
            password: args.str("password").map(Secret::new),
            flags,
            args: args.clone(),
        };
        let probes = vec![Probe::Script(wanted.login.ask(&wanted.question()))];
        Rule::new(probes, move |seen| wanted.judge(seen)).step()
    }
}

struct Account {
    login: Login,
    name: String,
    password: Option<Secret>,
    flags: Vec<(String, &'static str, bool)>,
    args: Args,
}

impl Account {
    fn question(&self) -> String {
        let expires = match given(&self.args, "expires") {
            Some(when) => format!(
                "{}::timestamptz IS NOT DISTINCT FROM a.rolvaliduntil",
                literal(&when)
            ),
            None => "true".to_owned(),
        };
        format!(
            "SELECT json_build_object('role', row_to_json(a), 'same_end', {expires}, \
             'method', current_setting('password_encryption'), \
             'comment', shobj_description(a.oid, 'pg_authid'), \
             'settings', (SELECT json_agg(s) FROM (SELECT unnest(setconfig) FROM pg_db_role_setting \
             WHERE setrole = a.oid AND setdatabase = 0) x(s))) FROM pg_authid a WHERE rolname = {};",
            literal(&self.name)
        )
    }

    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let row = self.login.row(seen, &self.question())?;
        let present = self.args.text("state") == "present";
        let sql = match (row.is_null(), present) {
            (true, false) => Vec::new(),
            (false, false) => vec![format!("DROP USER {}", name(&self.name))],
            (new, true) => self.alter(&row, new),
        };
        let shown: Vec<Value> = sql
            .iter()
            .map(|text| match text.find(" PASSWORD ") {
                Some(at) => Value::from(format!("{} PASSWORD ********", &text[..at])),
                None => Value::from(text.as_str()),
            })
            .collect();
        let outcome = Outcome::ok()
            .with("user", self.name.as_str())
            .with("queries", Value::from(shown));
        if sql.is_empty() {
            return Ok(outcome.into());
        }
        let text: String = sql.iter().map(|text| format!("{text};\n")).collect();
        let mut chunk = self.login.act(&text);
        if !present && !self.args.bool("fail_on_user") {
            chunk.script = format!("({}) || :", chunk.script.replace("exec psql", "psql"));
        }
        Ok(Act::change(
            vec![chunk],
            vec![Effect::Anything],
            outcome,
            "Unable to manage the user",
        )
        .into())
    }

    fn alter(&self, row: &Json, new: bool) -> Vec<String> {
        let role = &row["role"];
        let keep = self.args.bool("no_password_changes") && !new;
        let mut words = Vec::new();
        let password = self.password.as_ref().map_or("", Secret::reveal);
        let change = self.password.is_some()
            && !keep
            && !scram::matches(
                role["rolpassword"].as_str(),
                password,
                &self.name,
                row["method"].as_str().unwrap_or_default(),
            );
        if change {
            words.push(match password {
                "" => "PASSWORD NULL".to_owned(),
                text => format!("PASSWORD {}", literal(text)),
            });
        }
        let flags: Vec<&str> = self
            .flags
            .iter()
            .filter(|(_, column, on)| new || role[*column] != Json::Bool(*on))
            .map(|(word, ..)| word.as_str())
            .collect();
        words.extend(flags.iter().map(|word| (*word).to_owned()));
        if let Some(limit) = self.args.int("conn_limit").filter(|_| !keep)
            && role["rolconnlimit"].as_i64() != Some(limit)
        {
            words.push(format!("CONNECTION LIMIT {limit}"));
        }
        if let Some(when) = given(&self.args, "expires").filter(|_| !keep)
            && (new || row["same_end"] != Json::Bool(true))
        {
            words.push(format!("VALID UNTIL {}", literal(&when)));
        }
        let quoted = name(&self.name);
        let mut sql = Vec::new();
        // The password comes last, so that what is shown can end before it.
        if change {
            words.rotate_left(1);
        }
        let verb = if new { "CREATE" } else { "ALTER" };
        if new || !words.is_empty() {
            let with = if words.is_empty() { "" } else { " WITH " };
            sql.push(format!("{verb} USER {quoted}{with}{}", words.join(" ")));
        }
        if let Some(comment) = self.args.str("comment")
            && row["comment"].as_str().unwrap_or_default() != comment
        {
            sql.push(format!("COMMENT ON ROLE {quoted} IS {}", literal(&comment)));
        }
        sql.extend(self.settings(row, &quoted));
        sql
    }

    fn settings(&self, row: &Json, quoted: &str) -> Vec<String> {
        let now: Vec<(&str, &str)> = row["settings"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|line| line.as_str()?.split_once('='))
            .collect();
        let mut wanted = Vec::new();
        if let Some(map) = self.args.get("configuration") {
            for key in map.try_iter().into_iter().flatten() {
                let value = map.get_item(&key).unwrap_or_default();
                wanted.push((key.to_string(), crate::modules::args::text(&value)));
            }
        }
        let mut sql = Vec::new();
        if self.args.bool("reset_unspecified_configuration") {
            for (key, _) in &now {
                if !wanted.iter().any(|(name, _)| name == key) {
                    sql.push(format!("ALTER ROLE {quoted} RESET {}", name(key)));
                }
            }
        }
        for (key, value) in &wanted {
            if !now.contains(&(key.as_str(), value.as_str())) {
                let text = match self.args.bool("quote_configuration_values") {
                    true => literal(value),
                    false => value.clone(),
                };
                sql.push(format!("ALTER ROLE {quoted} SET {} TO {text}", name(key)));
            }
        }
        sql
    }
}
