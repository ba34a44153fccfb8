//! What tokens come out.

use super::*;

fn kinds(text: &str, syntax: &Syntax) -> String {
    template(text, syntax)
        .unwrap()
        .into_iter()
        .map(|(tok, _)| match tok {
            Tok::Data(data) => format!("{data:?}"),
            tok => tok.describe(syntax),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn whitespace_control() {
    let plain = Syntax {
        trim_blocks: false,
        ..Syntax::default()
    };
    let strip = Syntax {
        lstrip_blocks: true,
        ..Syntax::default()
    };
    for (syntax, text, want) in [
        (&plain, "a {%- x -%} \n b", r#""a" `{%` `x` `%}` "b""#),
        (&plain, "{% x %}\nb", r#"`{%` `x` `%}` "\nb""#),
        (&strip, "a\n  {% x %}\nb", r#""a\n" `{%` `x` `%}` "b""#),
        (&strip, "a\n  {%+ x %}\nb", r#""a\n  " `{%` `x` `%}` "b""#),
        (&strip, "  {{ x }}\nb", r#""  " `{{` `x` `}}` "\nb""#),
        (&strip, "a {# c #}\nb", r#""a " "b""#),
        (
            &strip,
            "{% raw %}{{ x }}{% endraw %}\nb\n",
            r#""{{ x }}" "b""#,
        ),
        (
            &plain,
            "{{ {'a': {'b': 1}} }}",
            r#"`{{` `{` the string "a" `:` `{` the string "b" `:` `1` `}` `}` `}}`"#,
        ),
    ] {
        assert_eq!(kinds(text, syntax), want, "{text:?}");
    }
}

#[test]
fn backslashes_stand_for_themselves_in_variables_only() {
    let syntax = Syntax::default();
    assert_eq!(
        kinds(r"{{ '\n' }}{% '\n' %}", &syntax),
        r#"`{{` the string "\\n" `}}` `{%` the string "\n" `%}`"#
    );
}
