//! Problems are found, with their place.

use super::*;

#[test]
fn names_and_grammar_are_checked_before_anything_runs() {
    for (text, message, at) in [
        (
            "{{ a | defualt(1) }}",
            "unknown filter `defualt`",
            "defualt",
        ),
        ("{{ a is defned }}", "unknown test `defned`", "defned"),
        (
            "{{ lookup('fiel', 'x') }}",
            "unknown lookup `fiel`",
            "'fiel'",
        ),
        ("{{ a | map('uper') }}", "unknown filter `uper`", "'uper'"),
        (
            "{{ a | selectattr('x', 'matches', 'y') }}",
            "unknown test `matches`",
            "'matches'",
        ),
        (
            "{{ a | json_diff }}",
            "filter `json_diff` is not supported",
            "json_diff",
        ),
        ("{{ a ", "this tag has no `}}`", "{{"),
        ("{{ a b }}", "expected `}}`, found `b`", "b"),
        ("{% if a %}x", "this `if` has no `endif`", "if"),
        (
            "{% if a %}x{% endfor %}",
            "`endfor` does not belong into `if`",
            "endfor",
        ),
        ("{% fi a %}", "unknown statement `fi`", "fi"),
        ("{{ (a }}", "unexpected `}`, expected `)`", "}"),
        ("{{ 'a }}", "this string has no end", "'"),
        ("{{ a = 1 }}", "unexpected `=` in an expression", "="),
    ] {
        let problem = check_syntax(text).unwrap_err();
        assert_eq!(problem.message, message, "{text}");
        assert_eq!(&text[problem.range.clone()], at, "{text}");
    }
    for text in [
        "plain",
        "{{ a | ansible.builtin.combine(b) | community.general.json_query('x') }}",
        "{{ a | success }}{{ a|version_compare('1', '<') }}{{ x is ansible.builtin.version('1', '<') }}",
        "{% for a, b in c %}{{ loop.index }}{% endfor %}",
    ] {
        assert_eq!(check_syntax(text), Ok(()), "{text}");
    }
}

#[test]
fn conditions_may_be_expressions_or_old_templates() {
    for text in [
        "a is defined",
        "{{ a }}",
        "'{{ a }}' == 'b'",
        "{{ a }} == 1",
    ] {
        assert_eq!(check_expr(text), Ok(()), "{text}");
    }
    assert!(check_expr("a is is defined").is_err());
    assert!(check_expr("a ==").is_err());
}

#[test]
fn variables_of_a_template() {
    let text = "{% set x = a %}{{ x }}{% for i in b.c %}{{ i }}{{ d[e] }}{% endfor %}{{ lookup('env', f) }}";
    let found: Vec<_> = variables(text, false).into_iter().collect();
    assert_eq!(found, ["a", "b", "d", "e", "f"]);
}
