//! Go's text/template as far as HAProxy templates for Bamboo use it: range, if, with, variables, pipelines, comparisons, `index`,
//! `len`, `printf`, and the functions Bamboo adds.

mod eval;
mod functions;
mod lexer;
mod parse;
mod value;

pub use value::Value;

/// Renders a template with `data` as its dot.
pub fn render(text: &str, data: &Value) -> anyhow::Result<String> {
    eval::run(&parse::parse(text)?, data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned())
    }

    fn app(id: &str, ports: &[i64], tcp: Option<&str>) -> Value {
        let env = tcp.map(|port| ("BAMBOO_TCP_PORT".to_owned(), text(port)));
        let task = |port: &i64| {
            Value::record(
                "Task",
                [("Host", text("h1")), ("Port", Value::Number(*port))],
            )
        };
        Value::record(
            "App",
            [
                ("Id", text(id)),
                ("Env", Value::Map(env.into_iter().collect())),
                ("Tasks", Value::List(ports.iter().map(task).collect())),
            ],
        )
    }

    fn data() -> Value {
        let service = Value::record("Service", [("Acl", text("hdr(host) -i one"))]);
        Value::record(
            "Data",
            [
                (
                    "Apps",
                    Value::List(vec![
                        app("/one", &[31000, 31001], None),
                        app("/two", &[], Some("9000")),
                    ]),
                ),
                (
                    "Services",
                    Value::Map(BTreeMap::from([("/one".to_owned(), service)])),
                ),
            ],
        )
    }

    #[test]
    fn templates_render_as_in_go() {
        for (template, output) in [
            ("plain", "plain"),
            ("{{ len .Apps }}", "2"),
            ("{{ range .Apps }}[{{ .Id }}]{{ end }}", "[/one][/two]"),
            (
                "{{ range $i, $app := .Apps }}{{ $i }}={{ $app.Id }} {{ end }}",
                "0=/one 1=/two ",
            ),
            (
                "{{ $s := .Services }}{{ range .Apps }}{{ if hasKey $s .Id }}{{ (getService $s .Id).Acl }}{{ else }}none{{ end }};{{ end }}",
                "hdr(host) -i one;none;",
            ),
            (
                "{{ range .Apps }}{{ range .Tasks }}{{ .Host }}:{{ .Port }} {{ else }}idle{{ end }}{{ end }}",
                "h1:31000 h1:31001 idle",
            ),
            (
                "{{ range .Apps }}{{ if .Env.BAMBOO_TCP_PORT }}{{ .Env.BAMBOO_TCP_PORT }}{{ end }}{{ end }}",
                "9000",
            ),
            ("{{ (index .Apps 1).Id | ToUpper }}", "/TWO"),
            ("{{ index (Split \"a,b\" \",\") 1 }}", "b"),
            ("a {{- 1 -}} b", "a1b"),
            ("{{/* nothing */}}x", "x"),
            (
                "{{ if and (eq 1 1) (not false) (gt 2 1) }}yes{{ else if true }}no{{ end }}",
                "yes",
            ),
            (
                "{{ if false }}a{{ else if eq \"x\" \"x\" `y` }}b{{ else }}c{{ end }}",
                "b",
            ),
            ("{{ with $x := \"v\" }}{{ . }}{{ $x }}{{ end }}", "vv"),
            ("{{ printf \"%s-%d\" \"a\" 3 }}", "a-3"),
            (
                "{{ range $id, $service := .Services }}{{ $id }} {{ $service.Acl }}{{ end }}",
                "/one hdr(host) -i one",
            ),
            ("{{ $.Apps | len }}", "2"),
            ("{{ (index .Apps 0).Env.MISSING }}", "<no value>"),
            (
                "{{ Replace \"a/b\" \"/\" \"::\" -1 }}{{ Join (Split \"x y\" \" \") \"+\" }}{{ if Contains \"abc\" \"b\" }}!{{ end }}",
                "a::bx+y!",
            ),
        ] {
            assert_eq!(render(template, &data()).unwrap(), output, "{template}");
        }
    }

    #[test]
    fn mistakes_are_errors() {
        for (template, error) in [
            ("{{ nope .Apps }}", "function \"nope\" not defined"),
            ("{{ $x }}", "undefined variable \"$x\""),
            (
                "{{ .Missing }}",
                "can't evaluate field Missing in type Data",
            ),
            ("{{ if true }}", "unexpected EOF"),
            ("{{ end }}", "unexpected {{end}}"),
            ("{{ range .Apps }", "unclosed action"),
            ("{{ index .Apps 7 }}", "index out of range: 7"),
        ] {
            let seen = format!("{:#}", render(template, &data()).unwrap_err());
            assert!(seen.contains(error), "{template}: {seen}");
        }
    }

    #[test]
    fn the_bundled_template_makes_a_frontend_and_a_backend() {
        let record = |fields: Vec<(&'static str, Value)>| Value::record("App", fields);
        let task = Value::record(
            "Task",
            [("Host", text("192.0.2.9")), ("Port", Value::Number(31000))],
        );
        let app = record(vec![
            ("Id", text("/web")),
            ("EscapedId", text("::web")),
            ("HealthCheckPath", text("/")),
            ("Env", Value::Map(BTreeMap::new())),
            ("Tasks", Value::List(vec![task])),
        ]);
        let data = Value::record(
            "Data",
            [
                ("Apps", Value::List(vec![app])),
                ("Services", Value::Map(BTreeMap::new())),
            ],
        );
        let rendered = render(
            include_str!("../../../assets/bamboo/haproxy_template.cfg"),
            &data,
        )
        .unwrap();
        for line in [
            "acl ::web-aclrule path_beg -i /web",
            "use_backend ::web-cluster if ::web-aclrule",
            "backend ::web-cluster",
            "option httpchk GET /",
            "server ::web-192.0.2.9-31000 192.0.2.9:31000  check inter 30000",
        ] {
            assert!(
                rendered.lines().any(|seen| seen.trim() == line),
                "{line} in\n{rendered}"
            );
        }
    }
}
