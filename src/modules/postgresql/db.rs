//! `postgresql_db`: databases.

use super::{Login, given, literal, name, one_line, postgresql_params};
use crate::modules::rule::{Act, Known, Rule, Verdict};
use crate::modules::{
    Args, Controller, Effect, Failure, FreeForm, Module, Outcome, Probe, Runs, Seen, Spec, Step,
};
use minijinja::Value;
use serde_json::Value as Json;

/// `postgresql_db`.
pub(crate) struct PostgresqlDb;

static SPEC: Spec = Spec {
    name: "postgresql_db",
    collection: "community.postgresql",
    aliases: &[],
    doc: "Manages databases of PostgreSQL, by psql",
    params: postgresql_params![
        Param::new("name", Type::Str, "the database")
            .required()
            .aliases(&["db"]),
        Param::new("owner", Type::Str, "its owner").default(""),
        Param::new("template", Type::Str, "database it is made from").default(""),
        Param::new("encoding", Type::Str, "its encoding; cannot be changed").default(""),
        Param::new("lc_collate", Type::Str, "its collation; cannot be changed").default(""),
        Param::new(
            "lc_ctype",
            Type::Str,
            "its character classes; cannot be changed"
        )
        .default(""),
        Param::new("icu_locale", Type::Str, "its ICU locale; cannot be changed").default(""),
        Param::new(
            "locale_provider",
            Type::Str,
            "its locale provider; cannot be changed"
        )
        .default(""),
        Param::new(
            "state",
            Type::Str,
            "wanted state; dump, restore and rename are not supported"
        )
        .choices(&["absent", "present"])
        .default("present"),
        Param::new("maintenance_db", Type::Str, "database to log in to").default("postgres"),
        Param::new(
            "conn_limit",
            Type::Str,
            "most connections, -1 for any number"
        )
        .default(""),
        Param::new("tablespace", Type::Str, "where it is kept").default(""),
        Param::new("force", Type::Bool, "end its sessions before it is dropped").default("false"),
        Param::new("comment", Type::Str, "what is said about it"),
        Param::unsupported(
            "target",
            "dumps are not supported: use `command` with pg_dump"
        ),
        Param::unsupported(
            "target_opts",
            "dumps are not supported: use `command` with pg_dump"
        ),
        Param::unsupported(
            "dump_extra_args",
            "dumps are not supported: use `command` with pg_dump"
        ),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for PostgresqlDb {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        for param in ["name", "owner", "template", "tablespace"] {
            one_line(param, &args.text(param))?;
        }
        let limit = given(args, "conn_limit");
        if limit.as_ref().is_some_and(|n| n.parse::<i64>().is_err()) {
            return Err(Failure::of("conn_limit", "`conn_limit` must be a number"));
        }
        let wanted = Database {
            login: Login::new(args, Some(&args.text("maintenance_db"))),
            name: args.text("name"),
            present: args.text("state") == "present",
            args: args.clone(),
        };
        let probes = vec![Probe::Script(wanted.login.ask(&wanted.question()))];
        Rule::new(probes, move |seen| wanted.judge(seen)).step()
    }
}

struct Database {
    login: Login,
    name: String,
    present: bool,
    args: Args,
}

/// What cannot be changed: the parameter, the field of the answer, and how Ansible calls it.
const FIXED: &[(&str, &str, &str)] = &[
    ("lc_collate", "datcollate", "LC_COLLATE"),
    ("lc_ctype", "datctype", "LC_CTYPE"),
    ("icu_locale", "daticulocale", "ICU_LOCALE"),
];

impl Database {
    fn question(&self) -> String {
        let encoding = given(&self.args, "encoding").unwrap_or_default();
        format!(
            "SELECT json_build_object('db', row_to_json(d), 'owner', pg_get_userbyid(d.datdba), \
             'encoding', pg_encoding_to_char(d.encoding), 'same_encoding', d.encoding = pg_char_to_encoding({}), \
             'tablespace', (SELECT spcname FROM pg_tablespace t WHERE t.oid = d.dattablespace), \
             'comment', shobj_description(d.oid, 'pg_database'), \
             'version', current_setting('server_version_num')) FROM pg_database d WHERE datname = {};",
            literal(&encoding),
            literal(&self.name)
        )
    }

    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let row = self.login.row(seen, &self.question())?;
        let sql = match (row.is_null(), self.present) {
            (true, false) => Vec::new(),
            (true, true) => self.create(),
            (false, true) => self.update(&row)?,
            (false, false) => vec![self.drop(&row)],
        };
        let commands: Vec<Value> = sql.iter().map(|text| Value::from(text.as_str())).collect();
        let outcome = Outcome::ok()
            .with("db", self.name.as_str())
            .with("executed_commands", Value::from(commands));
        if sql.is_empty() {
            return Ok(outcome.into());
        }
        let text: String = sql.iter().map(|text| format!("{text};\n")).collect();
        let actions = vec![self.login.act(&text)];
        Ok(Act::change(
            actions,
            vec![Effect::Anything],
            outcome,
            "Database query failed",
        )
        .into())
    }

    fn drop(&self, row: &Json) -> String {
        let force = self.args.bool("force");
        let new = row["version"].as_str().and_then(|v| v.parse().ok()) >= Some(130_000);
        let name = name(&self.name);
        match (force, new) {
            (true, true) => format!("DROP DATABASE {name} WITH (FORCE)"),
            (true, false) => format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {}; DROP DATABASE {name}",
                literal(&self.name)
            ),
            (false, _) => format!("DROP DATABASE {name}"),
        }
    }

    fn comment(&self, now: Option<&str>) -> Option<String> {
        let comment = self.args.str("comment")?;
        (now.unwrap_or_default() != comment).then(|| {
            format!(
                "COMMENT ON DATABASE {} IS {}",
                name(&self.name),
                literal(&comment)
            )
        })
    }

    fn create(&self) -> Vec<String> {
        let mut text = format!("CREATE DATABASE {}", name(&self.name));
        let mut add = |param: &str, word: &str, as_name: bool| {
            if let Some(value) = given(&self.args, param) {
                let value = if as_name {
                    name(&value)
                } else {
                    literal(&value)
                };
                text.push_str(&format!(" {word} {value}"));
            }
        };
        add("owner", "OWNER", true);
        add("template", "TEMPLATE", true);
        add("encoding", "ENCODING", false);
        add("lc_collate", "LC_COLLATE", false);
        add("lc_ctype", "LC_CTYPE", false);
        add("icu_locale", "ICU_LOCALE", false);
        add("locale_provider", "LOCALE_PROVIDER", false);
        add("tablespace", "TABLESPACE", true);
        if let Some(limit) = given(&self.args, "conn_limit") {
            text.push_str(&format!(" CONNECTION LIMIT {limit}"));
        }
        std::iter::once(text).chain(self.comment(None)).collect()
    }

    fn update(&self, row: &Json) -> Known<Vec<String>> {
        let text = |value: &Json| value.as_str().unwrap_or_default().to_owned();
        let refused = |what: &str, now: &str| {
            let msg = format!("Changing {what} is not supported. Current {what}: {now}");
            Err(Outcome::failed(msg).into())
        };
        if given(&self.args, "encoding").is_some() && row["same_encoding"] != Json::Bool(true) {
            return refused("database encoding", &text(&row["encoding"]));
        }
        for (param, field, what) in FIXED {
            let now = text(&row["db"][field]);
            if given(&self.args, param).is_some_and(|wanted| wanted != now) {
                return refused(what, &now);
            }
        }
        let alter = format!("ALTER DATABASE {}", name(&self.name));
        let mut sql = Vec::new();
        if let Some(owner) = given(&self.args, "owner").filter(|o| *o != text(&row["owner"])) {
            sql.push(format!("{alter} OWNER TO {}", name(&owner)));
        }
        let limit = row["db"]["datconnlimit"].to_string();
        if let Some(wanted) = given(&self.args, "conn_limit").filter(|n| *n != limit) {
            sql.push(format!("{alter} CONNECTION LIMIT {wanted}"));
        }
        let space = text(&row["tablespace"]);
        if let Some(wanted) = given(&self.args, "tablespace").filter(|t| *t != space) {
            sql.push(format!("{alter} SET TABLESPACE {}", name(&wanted)));
        }
        sql.extend(self.comment(row["comment"].as_str()));
        Ok(sql)
    }
}
