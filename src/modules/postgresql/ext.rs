//! `postgresql_ext`: extensions of a database.

use super::{Login, given, literal, name, one_line, postgresql_params};
use crate::modules::rule::{Act, Known, Rule, Verdict};
use crate::modules::{
    Args, Controller, Effect, Failure, FreeForm, Module, Outcome, Probe, Runs, Seen, Spec, Step,
};
use minijinja::Value;

/// `postgresql_ext`.
pub(crate) struct PostgresqlExt;

static SPEC: Spec = Spec {
    name: "postgresql_ext",
    collection: "community.postgresql",
    aliases: &[],
    doc: "Manages extensions of databases of PostgreSQL, by psql",
    params: postgresql_params![
        Param::new("name", Type::Str, "the extension")
            .required()
            .aliases(&["ext"]),
        Param::new("login_db", Type::Str, "the database")
            .required()
            .aliases(&["db"]),
        Param::new("schema", Type::Str, "schema it is put into"),
        Param::new("state", Type::Str, "wanted state")
            .choices(&["absent", "present"])
            .default("present"),
        Param::new(
            "cascade",
            Type::Bool,
            "with what it needs, or what needs it"
        )
        .default("false"),
        Param::new("version", Type::Str, "its version, or `latest`"),
        Param::new("comment", Type::Str, "what is said about it"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for PostgresqlExt {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        for param in ["name", "schema", "version"] {
            one_line(param, &args.text(param))?;
        }
        let args = args.clone();
        let login = Login::new(&args, Some(&args.text("login_db")));
        let question = question(&args);
        let probes = vec![Probe::Script(login.ask(&question))];
        Rule::new(probes, move |seen| judge(&args, &login, &question, seen)).step()
    }
}

fn question(args: &Args) -> String {
    format!(
        "SELECT json_build_object('now', (SELECT extversion FROM pg_extension WHERE extname = {0}), \
         'default', (SELECT default_version FROM pg_available_extensions WHERE name = {0}), \
         'comment', (SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = {0}));",
        literal(&args.text("name"))
    )
}

fn judge(args: &Args, login: &Login, question: &str, seen: &Seen) -> Known<Verdict> {
    let row = login.row(seen, question)?;
    let ext = args.text("name");
    let quoted = name(&ext);
    let now = row["now"].as_str();
    let latest = row["default"].as_str();
    let version = given(args, "version");
    let cascade = if args.bool("cascade") { " CASCADE" } else { "" };
    let mut sql = Vec::new();
    if args.text("state") == "absent" {
        if now.is_some() {
            sql.push(format!("DROP EXTENSION {quoted}{cascade}"));
        }
    } else {
        let Some(latest) = latest.or(now) else {
            return Ok(Outcome::failed(format!("Extension {ext} is not available")).into());
        };
        let real = match version.as_deref() {
            None | Some("latest") => latest,
            Some(version) => version,
        };
        let exact = version.as_deref().filter(|version| *version != "latest");
        match now {
            None => {
                let mut text = format!("CREATE EXTENSION {quoted}");
                if let Some(schema) = given(args, "schema") {
                    text.push_str(&format!(" WITH SCHEMA {}", name(&schema)));
                }
                if let Some(version) = exact {
                    text.push_str(&format!(" VERSION {}", literal(version)));
                }
                sql.push(text + cascade);
            }
            Some(now) if version.is_some() && now != real => {
                let to = exact.map_or(String::new(), |v| format!(" TO {}", literal(v)));
                sql.push(format!("ALTER EXTENSION {quoted} UPDATE{to}"));
            }
            Some(_) => {}
        }
        if let Some(comment) = args.str("comment")
            && row["comment"].as_str().unwrap_or_default() != comment
        {
            sql.push(format!(
                "COMMENT ON EXTENSION {quoted} IS {}",
                literal(&comment)
            ));
        }
    }
    let queries: Vec<Value> = sql.iter().map(|text| Value::from(text.as_str())).collect();
    let outcome = Outcome::ok()
        .with("db", args.text("login_db"))
        .with("ext", ext)
        .with("prev_version", now.unwrap_or_default())
        .with("queries", Value::from(queries));
    if sql.is_empty() {
        return Ok(outcome.into());
    }
    let text: String = sql.iter().map(|text| format!("{text};\n")).collect();
    Ok(Act::change(
        vec![login.act(&text)],
        vec![Effect::Anything],
        outcome,
        "Management of the extension failed",
    )
    .into())
}
