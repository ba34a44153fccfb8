//! `postgresql_db`, `_user`, `_privs` and `_ext`, through `psql`: what is there is asked as JSON, SQL travels on standard input.
//!
//! What a statement would change is seen as Ansible sees it in check mode: it runs in a transaction that is rolled back.

mod db;
mod ext;
mod privs;
mod scram;
mod user;

pub(crate) use db::PostgresqlDb;
pub(crate) use ext::PostgresqlExt;
pub(crate) use privs::PostgresqlPrivs;
pub(crate) use user::PostgresqlUser;

use super::rule::{self, Known};
use super::sh::quote;
use super::{Args, Chunk, Failure, Outcome, Seen};
use serde_json::Value as Json;

/// The parameters that all of them share, and some more.
macro_rules! postgresql_params {
    ($($more:expr),* $(,)?) => {{
        use $crate::modules::{Param, Type};
        &[
            $($more,)*
            Param::new("login_user", Type::Str, "account to log in with; $PGUSER or `postgres` when not given")
                .aliases(&["login"]),
            Param::new("login_password", Type::Str, "its password"),
            Param::new("login_host", Type::Str, "host of the server").aliases(&["host"]),
            Param::new("login_unix_socket", Type::Str, "folder of the server's socket")
                .aliases(&["unix_socket"]),
            Param::new("login_port", Type::Int, "port of the server; $PGPORT or 5432 when not given")
                .aliases(&["port"]),
            Param::new("ssl_mode", Type::Str, "whether TLS is used")
                .choices(&["allow", "disable", "prefer", "require", "verify-ca", "verify-full"])
                .default("prefer"),
            Param::new("ca_cert", Type::Str, "file of the authority's certificate")
                .aliases(&["ssl_rootcert"]),
            Param::new("ssl_cert", Type::Path, "file of the client's certificate"),
            Param::new("ssl_key", Type::Path, "file of the client's key"),
            Param::unsupported("connect_params", "libpq's own variables can be set with `environment`"),
            Param::new("session_role", Type::Str, "role to switch to after the login"),
            Param::new("trust_input", Type::Bool, "no effect: names and values are always quoted").default("true"),
        ]
    }};
}
pub(crate) use postgresql_params;

/// How to reach a database.
pub(super) struct Login {
    env: String,
    role: Option<String>,
}

impl Login {
    /// From a step's arguments, to this database; without one, to the one named as the account.
    pub(super) fn new(args: &Args, database: Option<&str>) -> Self {
        let mut env = String::from("PATH=$PATH:/usr/local/bin; export PGAPPNAME=mini-play");
        let mut set = |name: &str, value: Option<String>| {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                env.push_str(&format!(" {name}={}", quote(&value)));
            }
        };
        // With a socket given, Ansible goes there when the host is this one.
        let host = args.str("login_host").filter(|host| host != "localhost");
        let socket = args.str("login_unix_socket").filter(|s| !s.is_empty());
        let local = args.str("login_host").is_some_and(|h| h == "localhost");
        set(
            "PGHOST",
            host.filter(|host| !host.is_empty())
                .or(socket)
                .or(local.then(|| "localhost".to_owned())),
        );
        set("PGPORT", args.str("login_port"));
        set("PGPASSWORD", args.str("login_password"));
        set("PGSSLMODE", args.str("ssl_mode"));
        set("PGSSLROOTCERT", args.str("ca_cert"));
        set("PGSSLCERT", args.str("ssl_cert"));
        set("PGSSLKEY", args.str("ssl_key"));
        set("PGDATABASE", database.map(str::to_owned));
        match args.str("login_user").filter(|user| !user.is_empty()) {
            Some(user) => set("PGUSER", Some(user)),
            None => env.push_str(" PGUSER=\"${PGUSER:-postgres}\""),
        }
        Self {
            env,
            role: args.str("session_role"),
        }
    }

    fn sql(&self, sql: &str) -> String {
        match &self.role {
            Some(role) => format!("SET ROLE {};\n{sql}\n", name(role)),
            None => format!("{sql}\n"),
        }
    }

    /// A question: rows as JSON, one a line.
    pub(super) fn ask(&self, sql: &str) -> String {
        format!(
            "{}; printf %s {} | psql -X -A -t -q -v ON_ERROR_STOP=1 2>&1",
            self.env,
            quote(&self.sql(sql))
        )
    }

    /// Statements that change something, each committed by itself.
    pub(super) fn act(&self, sql: &str) -> Chunk {
        rule::fed(
            format!("{}; exec psql -X -A -t -q -v ON_ERROR_STOP=1", self.env),
            &self.sql(sql),
        )
    }

    /// The answer to [`Login::ask`]: its lines, or the server's complaint as a failure.
    pub(super) fn answer(&self, seen: &Seen, sql: &str) -> Known<Vec<String>> {
        let (rc, out) = rule::script(seen, &self.ask(sql))?;
        if rc != 0 {
            let last = out.trim().lines().find(|line| line.contains("ERROR"));
            let last = last.or(out.trim().lines().last()).unwrap_or("no message");
            let msg = format!("unable to connect to database or to ask it: {last}");
            return Err(Outcome::failed(msg).into());
        }
        Ok(out.lines().map(str::to_owned).collect())
    }

    /// The first row of an answer as JSON; null when there is none.
    pub(super) fn row(&self, seen: &Seen, sql: &str) -> Known<Json> {
        let lines = self.answer(seen, sql)?;
        let json = lines
            .first()
            .and_then(|line| serde_json::from_str(line).ok());
        Ok(json.unwrap_or_default())
    }
}

/// An identifier, quoted.
pub(super) fn name(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// A text, quoted; with a backslash in it, in the form that says so.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// An argument that must not be empty to count.
pub(super) fn given(args: &Args, param: &str) -> Option<String> {
    args.str(param).filter(|text| !text.is_empty())
}

/// Refuses a value that psql would take for a command of its own.
pub(super) fn one_line(param: &str, text: &str) -> Result<(), Failure> {
    if text.contains(['\0', '\n']) {
        return Err(Failure::of(param, format!("`{param}` must be one line")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_are_quoted() {
        assert_eq!(name("a\"b"), "\"a\"\"b\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\b'"), "E'a\\\\b'''");
    }
}
