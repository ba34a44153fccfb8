//! The engine on nodes, conditions, files and old loops.

use super::super::conformance::FileScope;
use super::*;
use crate::diag::Source;
use crate::template::TemplateOptions;
use crate::yaml;

const VARS: &str = "a: 1\nl: [1, 2]\nname: web\nself_: '{{ self_ }}'\none: '{{ two }}'\ntwo: '{{ one }}'\nflag: 'yes'\noff_: 'no'\nexpr: a == 1\n";

fn rendered(yaml: &str) -> Result<String, String> {
    let (engine, scope) = FileScope::open("vars.yml", VARS);
    let node = yaml::load(&Source::new("x.yml", yaml)).unwrap();
    engine
        .render(&node, &scope)
        .map(|value| to_text(&value))
        .map_err(|error| error.to_string())
}

#[test]
fn nodes_are_rendered_with_all_that_is_in_them() {
    for (yaml, want) in [
        (
            "{x: '{{ a }}', y: ['{{ l }}', {z: '{{ name }}-{{ a }}'}]}",
            "{'x': 1, 'y': [[1, 2], {'z': 'web-1'}]}",
        ),
        ("{'{{ name }}_x': 1, 80: 2}", "{'web_x': 1, 80: 2}"),
        (
            "{x: '{{ omit }}', y: ['{{ omit }}', 1], z: \"{{ nope | default(omit) }}\"}",
            "{'y': [1]}",
        ),
        (
            "{x: !unsafe '{{ a }}', y: yes, z: ~, n: 1.50}",
            "{'x': '{{ a }}', 'y': True, 'z': None, 'n': 1.5}",
        ),
        ("'{{ a }}\n\n'", "1"),
        ("plain {a} text", "plain {a} text"),
    ] {
        assert_eq!(rendered(yaml).unwrap(), want, "{yaml}");
    }
    assert_eq!(
        rendered("x {{ nope }}").unwrap_err(),
        "undefined variable `nope`"
    );
}

#[test]
fn definitions_that_lead_to_themselves_are_errors() {
    for text in ["{{ self_ }}", "{{ one }}"] {
        let error = rendered(&format!("'{text}'")).unwrap_err();
        assert!(error.contains("leads to itself"), "{error}");
    }
}

#[test]
fn deep_templates_fit_the_stack_of_a_worker() {
    let run = || {
        let (engine, scope) = FileScope::open("vars.yml", VARS);
        let nested = format!("{{{{ {}1{} }}}}", "(".repeat(45), ")".repeat(45));
        assert!(engine.render_str(&nested, None, &scope).is_ok());
        let too_deep = format!("{{{{ {}1{} }}}}", "[".repeat(500), "]".repeat(500));
        assert!(engine.render_str(&too_deep, None, &scope).is_err());
        let endless = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}";
        assert!(engine.render_str(endless, None, &scope).is_err());
        assert!(engine.render_str("{{ one }}", None, &scope).is_err());
    };
    let thread = std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(run)
        .unwrap();
    thread.join().unwrap();
}

#[test]
fn conditions() {
    let (engine, scope) = FileScope::open("vars.yml", VARS);
    for (yaml, want) in [
        ("true", true),
        ("a == 1", true),
        ("[a == 1, name == 'db']", false),
        ("'{{ a == 1 }}'", true),
        ("'{{ a }} == 1'", true),
        ("'{{ expr }}'", true),
        ("flag", true),
        ("off_", true),
        ("''", true),
        ("off_ | bool", false),
        ("l", true),
        ("\"'{{ name }}' == 'web'\"", true),
        ("nope is defined and nope", false),
    ] {
        let node = yaml::load(&Source::new("x.yml", yaml)).unwrap();
        assert_eq!(engine.truth(&node, &scope).unwrap(), want, "{yaml}");
    }
    let notes: Vec<String> = engine.take_notes().into_iter().map(|n| n.message).collect();
    assert!(notes.iter().any(|n| n.contains("leave out")), "{notes:?}");
    assert!(notes.iter().any(|n| n.contains("no boolean")), "{notes:?}");
    for yaml in ["{a: 1}", "a =", "nope"] {
        let node = yaml::load(&Source::new("x.yml", yaml)).unwrap();
        assert!(engine.truth(&node, &scope).is_err(), "{yaml}");
    }
}

#[test]
fn template_files() {
    let (engine, scope) = FileScope::open("vars.yml", VARS);
    let lines = TemplateOptions::default();
    let crlf = TemplateOptions {
        newline_sequence: "\r\n".to_owned(),
        ..TemplateOptions::default()
    };
    let lstrip = TemplateOptions {
        lstrip_blocks: true,
        ..TemplateOptions::default()
    };
    let marks = TemplateOptions {
        variable: ("[[".to_owned(), "]]".to_owned()),
        trim_blocks: false,
        ..TemplateOptions::default()
    };
    for (options, source, want) in [
        (&lines, "{{ a }}\n", "1"),
        (&lines, "{{ name }}\n\n\n", "web\n\n\n"),
        (
            &lines,
            "{% for i in l %}\n{{ i }}\n{% endfor %}\nend",
            "1\n2\nend",
        ),
        (&lines, "{{ l }}", "[1, 2]"),
        (&lines, "{{ 'a\\nb' }}", "a\nb"),
        (&lines, "a\r\nb\r\n", "a\nb\n"),
        (&lines, "{% if false %}x{% endif %}", ""),
        (
            &lines,
            "#jinja2: trim_blocks: False\n{% if true %}\nx{% endif %}\n",
            "\nx\n",
        ),
        (&crlf, "a\n{{ a }}\n", "a\r\n1\r\n"),
        (&lstrip, "  {% if true %}\n  x\n  {% endif %}\n", "  x\n"),
        (
            &marks,
            "[[ a ]] {{ a }} {% if true %}\nx{% endif %}",
            "1 {{ a }} \nx",
        ),
    ] {
        let done = engine.render_file(source, options, &scope).unwrap();
        assert_eq!(done, want, "{source:?}");
    }
}

#[test]
fn errors_in_a_file_show_its_line() {
    let (engine, scope) = FileScope::open("vars.yml", VARS);
    let options = TemplateOptions {
        name: "nginx.conf.j2".to_owned(),
        ..TemplateOptions::default()
    };
    let source = "#jinja2: lstrip_blocks: True\nuser {{ a }};\nport {{ prot }};\n";
    let error = engine.render_file(source, &options, &scope).unwrap_err();
    let span = error.diagnostic().unwrap().span.clone().unwrap();
    assert_eq!(
        (span.to_string().as_str(), span.text()),
        ("nginx.conf.j2:3:9", "prot")
    );
    let found =
        super::super::check_file("#jinja2: trim_blocks: True\nx {{ a | uper }}\n", &options);
    assert_eq!(
        found[0].span.as_ref().unwrap().to_string(),
        "nginx.conf.j2:2:10"
    );
}

#[test]
fn old_loops() {
    let (engine, scope) = FileScope::open(
        "vars.yml",
        "l: [[1, 2], 3]\nd: {a: 1}\nusers: [{name: x, keys: [k1, k2]}]\n",
    );
    for (name, yaml, want) in [
        ("items", "l", "[1, 2, 3]"),
        ("items", "'{{ l }}'", "[1, 2, 3]"),
        ("items", "[1, [2, [3]]]", "[1, 2, [3]]"),
        ("items", "[x, '{{ d.a }}']", "['x', 1]"),
        ("dict", "d", "[{'key': 'a', 'value': 1}]"),
        ("dict", "{b: 2}", "[{'key': 'b', 'value': 2}]"),
        ("nested", "[[a, b], [1]]", "[['a', 1], ['b', 1]]"),
        (
            "subelements",
            "[users, keys]",
            "[[{'name': 'x'}, 'k1'], [{'name': 'x'}, 'k2']]",
        ),
        ("sequence", "start=1 end=2", "['1', '2']"),
        (
            "first_found",
            "['{{ nope }}.yml', /etc/passwd]",
            "['/etc/passwd']",
        ),
        ("flattened", "[1, [2, [3]]]", "[1, 2, 3]"),
        ("together", "[[1, 2], [a, b]]", "[[1, 'a'], [2, 'b']]"),
        ("indexed_items", "[a, b]", "[[0, 'a'], [1, 'b']]"),
    ] {
        let node = yaml::load(&Source::new("x.yml", yaml)).unwrap();
        let found = engine.with_items(name, &node, Vec::new(), &scope).unwrap();
        assert_eq!(to_text(&Value::from(found)), want, "with_{name}: {yaml}");
    }
    let node = yaml::load(&Source::new("x.yml", "['{{ nope }}']")).unwrap();
    let error = engine
        .with_items("items", &node, Vec::new(), &scope)
        .unwrap_err();
    assert!(matches!(error, TemplateError::Undefined { .. }));
}
