//! `postgresql_privs`: who may do what. Whether a grant changes anything is seen in a transaction that is rolled back.

use super::{Login, given, literal, name, one_line, postgresql_params};
use crate::modules::rule::{Act, Known, Rule, Verdict};
use crate::modules::{
    Args, Controller, Effect, Failure, FreeForm, Module, Outcome, Probe, Runs, Seen, Spec, Step,
};
use minijinja::Value;

/// `postgresql_privs`.
pub(crate) struct PostgresqlPrivs;

static SPEC: Spec = Spec {
    name: "postgresql_privs",
    collection: "community.postgresql",
    aliases: &[],
    doc: "Grants and revokes privileges of PostgreSQL, by psql",
    params: postgresql_params![
        Param::new("login_db", Type::Str, "database to log in to")
            .required()
            .aliases(&["db", "database"]),
        Param::new("state", Type::Str, "grant or revoke")
            .choices(&["present", "absent"])
            .default("present"),
        Param::new("privs", Type::Str, "privileges, separated by commas").aliases(&["priv"]),
        Param::new("type", Type::Str, "what the privileges are on")
            .choices(&[
                "table",
                "sequence",
                "function",
                "procedure",
                "database",
                "schema",
                "language",
                "tablespace",
                "group",
                "default_privs",
                "foreign_data_wrapper",
                "foreign_server",
                "type",
                "parameter",
            ])
            .default("table"),
        Param::new(
            "objs",
            Type::Str,
            "names, separated by commas; or ALL_IN_SCHEMA"
        )
        .aliases(&["obj"]),
        Param::new("schema", Type::Str, "schema of the objects"),
        Param::new(
            "roles",
            Type::Str,
            "accounts, separated by commas; or PUBLIC"
        )
        .required()
        .aliases(&["role"]),
        Param::new(
            "target_roles",
            Type::Str,
            "for default_privs: whose new objects"
        ),
        Param::new("grant_option", Type::Bool, "whether they may grant it on")
            .aliases(&["admin_option"]),
        Param::new(
            "fail_on_role",
            Type::Bool,
            "fail when an account is missing"
        )
        .default("true"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

/// Types whose objects lie in a schema.
const IN_SCHEMA: &[&str] = &[
    "table",
    "sequence",
    "function",
    "procedure",
    "type",
    "default_privs",
];
/// Accounts that are words of SQL.
const IMPLICIT: &[&str] = &["PUBLIC", "CURRENT_ROLE", "CURRENT_USER", "SESSION_USER"];
/// Classes of objects that default privileges can be for.
const DEFAULTS: &[&str] = &["TABLES", "SEQUENCES", "FUNCTIONS", "TYPES", "SCHEMAS"];

impl Module for PostgresqlPrivs {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        for param in ["roles", "objs", "schema", "privs", "target_roles"] {
            one_line(param, &args.text(param))?;
        }
        let kind = args.text("type");
        let in_schema = IN_SCHEMA.contains(&kind.as_str());
        let schema = given(args, "schema");
        if schema.is_some() && !in_schema {
            let msg = format!("Argument \"schema\" is not allowed for type \"{kind}\".");
            return Err(Failure::of("schema", msg));
        }
        let objs = match given(args, "objs") {
            Some(objs) => objs,
            None if kind == "database" => args.text("login_db"),
            None => {
                let msg = format!("Argument \"objs\" is required for type \"{kind}\".");
                return Err(Failure::of("objs", msg));
            }
        };
        let all = objs == "ALL_IN_SCHEMA";
        if all && !["table", "sequence", "function", "procedure"].contains(&kind.as_str()) {
            let msg = "Argument \"objs\": ALL_IN_SCHEMA can be used only for type: table, sequence, function or procedure";
            return Err(Failure::of("objs", msg));
        }
        let privs = args.text("privs").to_uppercase();
        let fine = |c: char| c.is_ascii_alphabetic() || "_, ".contains(c);
        match (privs.is_empty(), kind == "group") {
            (false, true) => {
                let msg = "Argument \"privs\" is not allowed for type \"group\".";
                return Err(Failure::of("privs", msg));
            }
            (true, false) => {
                let msg = format!("Argument \"privs\" is required for type \"{kind}\".");
                return Err(Failure::of("privs", msg));
            }
            _ if !privs.chars().all(fine) => {
                let msg = format!("Invalid privileges specified: {privs}");
                return Err(Failure::of("privs", msg));
            }
            _ => {}
        }
        let schema = match (in_schema, schema) {
            (true, Some(schema)) if schema == "not-specified" => None,
            (true, schema) => Some(schema.unwrap_or_else(|| "public".into())),
            _ => None,
        };
        let grant = Grant {
            login: Login::new(args, Some(&args.text("login_db"))),
            objs: match kind.as_str() {
                "function" | "procedure" => {
                    objs.split(',').map(|obj| obj.replace(':', ",")).collect()
                }
                "default_privs" if objs == "ALL_DEFAULT" => DEFAULTS[..4]
                    .iter()
                    .map(|class| (*class).to_owned())
                    .collect(),
                "default_privs" => objs.to_uppercase().split(',').map(str::to_owned).collect(),
                _ => objs.split(',').map(str::to_owned).collect(),
            },
            all,
            kind,
            privs: privs
                .split(',')
                .map(|word| word.trim().replace('_', " "))
                .collect(),
            schema,
            roles: args.text("roles").split(',').map(str::to_owned).collect(),
            present: args.text("state") == "present",
            option: args.get("grant_option").map(Value::is_true),
            targets: given(args, "target_roles"),
            strict: args.bool("fail_on_role"),
        };
        if grant.kind == "default_privs"
            && let Some(odd) = grant
                .objs
                .iter()
                .find(|obj| !DEFAULTS.contains(&obj.as_str()))
        {
            return Err(Failure::of(
                "objs",
                format!("Invalid Object set specified: {odd}"),
            ));
        }
        let probes = vec![Probe::Script(grant.login.ask(&grant.accounts()))];
        Rule::new(probes, move |seen| grant.judge(seen)).step()
    }
}

struct Grant {
    login: Login,
    kind: String,
    privs: Vec<String>,
    objs: Vec<String>,
    all: bool,
    schema: Option<String>,
    roles: Vec<String>,
    present: bool,
    option: Option<bool>,
    targets: Option<String>,
    strict: bool,
}

impl Grant {
    /// Which of the accounts there are.
    fn accounts(&self) -> String {
        let names: Vec<String> = self.roles.iter().map(|role| literal(role)).collect();
        format!(
            "SELECT rolname FROM pg_roles WHERE rolname IN ({});",
            names.join(", ")
        )
    }

    fn judge(&self, seen: &Seen) -> Known<Verdict> {
        let there = self.login.answer(seen, &self.accounts())?;
        let mut whom = Vec::new();
        let mut warnings = Vec::new();
        for role in &self.roles {
            if IMPLICIT.contains(&role.to_uppercase().as_str()) {
                whom.push(role.to_uppercase());
            } else if there.contains(role) {
                whom.push(name(role));
            } else if self.strict {
                return Ok(Outcome::failed(format!("Role '{role}' does not exist")).into());
            } else {
                warnings.push(format!("Role '{role}' does not exist, pass it"));
            }
        }
        let mut outcome = Outcome::ok();
        outcome.warnings = warnings;
        if whom.is_empty() {
            return Ok(outcome.into());
        }
        let sql = self.statements(&whom.join(","));
        let look = self.privileges();
        let trial = format!(
            "BEGIN;\n{look}\nSELECT '--';\n{}\n{look}\nROLLBACK;",
            sql.join("\n")
        );
        let lines = self.login.answer(seen, &trial)?;
        let mut halves = lines.split(|line| line == "--");
        let same = halves.next() == halves.next();
        let queries: Vec<Value> = sql.iter().map(|text| Value::from(text.as_str())).collect();
        let outcome = outcome.with("queries", Value::from(queries));
        if same {
            return Ok(outcome.into());
        }
        let text = format!("BEGIN;\n{}\nCOMMIT;", sql.join("\n"));
        Ok(Act::change(
            vec![self.login.act(&text)],
            vec![Effect::Anything],
            outcome,
            "cannot change privileges",
        )
        .into())
    }

    /// The rows that say who may do what with the objects.
    fn privileges(&self) -> String {
        let names: Vec<String> = self
            .objs
            .iter()
            .map(|obj| literal(obj.split('(').next().unwrap_or(obj)))
            .collect();
        let any = |column: &str| match self.all {
            true => "true".to_owned(),
            false => format!("{column} IN ({})", names.join(", ")),
        };
        let within = |column: &str| match &self.schema {
            Some(schema) => format!(
                " AND {column} = (SELECT oid FROM pg_namespace WHERE nspname = {})",
                literal(schema)
            ),
            None => String::new(),
        };
        let simple = |table: &str, key: &str, acl: &str| {
            format!(
                "SELECT {key}, {acl}::text FROM {table} WHERE {} ORDER BY 1;",
                any(key)
            )
        };
        match self.kind.as_str() {
            "table" | "sequence" => {
                let kinds = match self.kind.as_str() {
                    "table" => "'r','p','v','m','f'",
                    _ => "'S'",
                };
                // A grant on columns is kept with these.
                format!(
                    "SELECT c.oid, relacl::text, (SELECT string_agg(attname || attacl::text, ' ' ORDER BY attnum) \
                     FROM pg_attribute a WHERE a.attrelid = c.oid AND attacl IS NOT NULL) \
                     FROM pg_class c WHERE relkind IN ({kinds}) AND {}{} ORDER BY 1;",
                    any("relname"),
                    within("relnamespace")
                )
            }
            "function" | "procedure" => format!(
                "SELECT oid, proacl::text FROM pg_proc WHERE {}{} ORDER BY 1;",
                any("proname"),
                within("pronamespace")
            ),
            "type" => format!(
                "SELECT oid, typacl::text FROM pg_type WHERE {}{} ORDER BY 1;",
                any("typname"),
                within("typnamespace")
            ),
            "schema" => simple("pg_namespace", "nspname", "nspacl"),
            "language" => simple("pg_language", "lanname", "lanacl"),
            "tablespace" => simple("pg_tablespace", "spcname", "spcacl"),
            "foreign_data_wrapper" => simple("pg_foreign_data_wrapper", "fdwname", "fdwacl"),
            "foreign_server" => simple("pg_foreign_server", "srvname", "srvacl"),
            "parameter" => simple("pg_parameter_acl", "parname", "paracl"),
            "group" => format!(
                "SELECT roleid, member, admin_option FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.roleid \
                 WHERE {} ORDER BY 1, 2;",
                any("r.rolname")
            ),
            "default_privs" => format!(
                "SELECT defaclrole, defaclobjtype, defaclacl::text FROM pg_default_acl WHERE true{} ORDER BY 1, 2;",
                within("defaclnamespace")
            ),
            _ => simple("pg_database", "datname", "datacl"),
        }
    }

    /// What the privileges are on, as SQL says it.
    fn what(&self) -> String {
        let privs = self.privs.join(",");
        let schema = self.schema.as_deref().map(name);
        if self.all {
            let kind = self.kind.to_uppercase();
            return format!(
                "{privs} ON ALL {kind}S IN SCHEMA {}",
                schema.unwrap_or_default()
            );
        }
        let qualified = |obj: &str| {
            let prefix = schema
                .as_ref()
                .map_or(String::new(), |schema| format!("{schema}."));
            match obj.split_once('(') {
                Some((head, rest)) => format!("{prefix}{}({rest}", name(head)),
                None => format!("{prefix}{}", name(obj)),
            }
        };
        let objs: Vec<String> = self.objs.iter().map(|obj| qualified(obj)).collect();
        match self.kind.as_str() {
            "group" => objs.join(","),
            kind => format!(
                "{privs} ON {} {}",
                kind.to_uppercase().replace('_', " "),
                objs.join(",")
            ),
        }
    }

    fn statements(&self, whom: &str) -> Vec<String> {
        let group = self.kind == "group";
        if self.kind == "default_privs" {
            return self.defaults(whom);
        }
        let what = self.what();
        if !self.present {
            return vec![format!("REVOKE {what} FROM {whom};")];
        }
        let option = if group { "ADMIN" } else { "GRANT" };
        match self.option {
            Some(true) => vec![format!("GRANT {what} TO {whom} WITH {option} OPTION;")],
            Some(false) => vec![
                format!("GRANT {what} TO {whom};"),
                format!("REVOKE {option} OPTION FOR {what} FROM {whom};"),
            ],
            None => vec![format!("GRANT {what} TO {whom};")],
        }
    }

    fn defaults(&self, whom: &str) -> Vec<String> {
        let mut head = String::from("ALTER DEFAULT PRIVILEGES");
        if let Some(targets) = &self.targets {
            let names: Vec<String> = targets.split(',').map(name).collect();
            head.push_str(&format!(" FOR ROLE {}", names.join(",")));
        }
        if let Some(schema) = &self.schema {
            head.push_str(&format!(" IN SCHEMA {}", name(schema)));
        }
        let revoke = |class: &str| format!("{head} REVOKE ALL ON {class} FROM {whom};");
        if !self.present {
            return ["TABLES", "FUNCTIONS", "SEQUENCES", "TYPES"]
                .map(revoke)
                .to_vec();
        }
        let privs = self.privs.join(",");
        let option = if self.option == Some(true) {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        let grants = self
            .objs
            .iter()
            .map(|class| format!("{head} GRANT {privs} ON {class} TO {whom}{option};"));
        self.objs
            .iter()
            .map(|class| revoke(class))
            .chain(grants)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(kind: &str, objs: &[&str], schema: Option<&str>) -> Grant {
        Grant {
            login: Login::new(&Args::default(), None),
            kind: kind.into(),
            privs: vec!["SELECT".into()],
            objs: objs.iter().map(ToString::to_string).collect(),
            all: objs == ["ALL_IN_SCHEMA"],
            schema: schema.map(str::to_owned),
            roles: vec!["a".into()],
            present: true,
            option: None,
            targets: None,
            strict: true,
        }
    }

    #[test]
    fn grants_are_written_as_ansible_writes_them() {
        let all = grant("table", &["ALL_IN_SCHEMA"], Some("public"));
        assert_eq!(
            all.statements("\"a\""),
            ["GRANT SELECT ON ALL TABLES IN SCHEMA \"public\" TO \"a\";"]
        );
        let mut function = grant("function", &["f(int,int)"], Some("s"));
        function.option = Some(false);
        assert_eq!(
            function.statements("\"a\""),
            [
                "GRANT SELECT ON FUNCTION \"s\".\"f\"(int,int) TO \"a\";",
                "REVOKE GRANT OPTION FOR SELECT ON FUNCTION \"s\".\"f\"(int,int) FROM \"a\";"
            ]
        );
        let mut group = grant("group", &["g"], None);
        group.present = false;
        assert_eq!(group.statements("\"a\""), ["REVOKE \"g\" FROM \"a\";"]);
        let mut defaults = grant("default_privs", &["TABLES"], Some("public"));
        defaults.targets = Some("owner".into());
        assert_eq!(
            defaults.statements("PUBLIC")[1],
            "ALTER DEFAULT PRIVILEGES FOR ROLE \"owner\" IN SCHEMA \"public\" GRANT SELECT ON TABLES TO PUBLIC;"
        );
    }
}
