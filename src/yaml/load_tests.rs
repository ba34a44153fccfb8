//! Tests of the reader: trees, places, mistakes.

use super::*;
use proptest::prelude::*;

fn node(text: &str) -> Node {
    load(&Source::new("t.yml", text)).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

/// A tree in one line, like Python's literals.
fn show(node: &Node) -> String {
    match &node.kind {
        Kind::Null => "~".into(),
        Kind::Bool(flag) => flag.to_string(),
        Kind::Int(number) => number.to_string(),
        Kind::Float(number) => format!("{number:?}"),
        Kind::Str(text) => format!("{text:?}"),
        Kind::Unsafe(text) => format!("unsafe {text:?}"),
        Kind::Vault(text) => format!("vault {text:?}"),
        Kind::Seq(items) => {
            let items: Vec<_> = items.iter().map(show).collect();
            format!("[{}]", items.join(", "))
        }
        Kind::Map(map) => {
            let items: Vec<_> = map
                .iter()
                .map(|(key, _, node)| format!("{}: {}", map.key_value(key), show(node)))
                .collect();
            format!("{{{}}}", items.join(", "))
        }
    }
}

#[test]
fn trees() {
    for (text, expected) in [
        ("", "~"),
        ("---\n", "~"),
        ("# nothing\n", "~"),
        (
            "a: 1\nb: [x, 'yes', yes]\n",
            r#"{a: 1, b: ["x", "yes", true]}"#,
        ),
        (
            "- mode: 0644\n- mode: '0644'\n",
            r#"[{mode: 420}, {mode: "0644"}]"#,
        ),
        (
            "a: |\n  x\n  y\nb: >-\n  x\n  y\n",
            r#"{a: "x\ny\n", b: "x y"}"#,
        ),
        ("a: &x {k: 1}\nb: *x\n", "{a: {k: 1}, b: {k: 1}}"),
        (
            "x: &x {k: 1, l: 2}\ny:\n  <<: *x\n  k: 3\n",
            "{x: {k: 1, l: 2}, y: {k: 3, l: 2}}",
        ),
        (
            "x: &x {k: 1}\ny: &y {k: 2, m: 3}\nz:\n  n: 0\n  <<: [*x, *y]\n",
            "{x: {k: 1}, y: {k: 2, m: 3}, z: {k: 1, m: 3, n: 0}}",
        ),
        ("a: '<<'\n'<<': 1\n", r#"{a: "<<", <<: 1}"#),
        ("a: !unsafe '{{ x }}'\n", r#"{a: unsafe "{{ x }}"}"#),
        (
            "a: !unsafe\n  b: ['{{ x }}', 1]\n",
            r#"{a: {b: [unsafe "{{ x }}", 1]}}"#,
        ),
        (
            "a: !vault |\n  $ANSIBLE_VAULT;1.1\n  00\n",
            r#"{a: vault "$ANSIBLE_VAULT;1.1\n00\n"}"#,
        ),
        ("a: !!str 5\nb: !!int '5'\n", r#"{a: "5", b: 5}"#),
        (
            "80: http\nyes: x\n~: y\n1.5: z\n",
            r#"{80: "http", True: "x", None: "y", 1.5: "z"}"#,
        ),
        ("a:\nb: \n", "{a: ~, b: ~}"),
        ("- a: 1\n  b:\n  - 2\n-\n", "[{a: 1, b: [2]}, ~]"),
        ("a: x=1\n  y=2\n", r#"{a: "x=1 y=2"}"#),
        ("a: b # c\n", r#"{a: "b"}"#),
        ("a: \"\\u00e9\\n\"\n", r#"{a: "é\n"}"#),
        ("a: b\r\nc: d\r\n", r#"{a: "b", c: "d"}"#),
        ("\u{feff}a: b\n", r#"{a: "b"}"#),
        ("? a\n: b\n", r#"{a: "b"}"#),
        ("{\"a\": [1, {\"b\": null}]}", "{a: [1, {b: ~}]}"),
    ] {
        assert_eq!(show(&node(text)), expected, "{text:?}");
    }
}

/// Text, place of the error, part of its message and of its hint.
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    (
        "a: 1\nb: 2\na: 3\n",
        "3:1",
        "key `a` is given twice",
        "line 1",
    ),
    ("a: {{ foo }}\n", "1:4", "must be quoted", "\"{{ foo }}\""),
    (
        "é: {{ foo }}/bar\n",
        "1:4",
        "must be quoted",
        "\"{{ foo }}/bar\"",
    ),
    ("- {{ foo }}\n", "1:3", "must be quoted", "\"{{ foo }}\""),
    (
        "a:\n  - b: {{ x }} and {{ y }}\nc: d\n",
        "2:8",
        "must be quoted",
        "{{ y }}",
    ),
    ("a:\n\tb: 1\n", "2:1", "tab", "spaces"),
    ("a: b: c\n", "1:5", "not valid YAML", "quote"),
    ("a: 'b\n", "1:4", "not valid YAML", ""),
    ("a: [b\nc: d\n", "2:2", "not valid YAML", ""),
    ("a: *b\n", "1:4", "anchor", ""),
    ("a: &b [*b]\n", "1:8", "inside what it names", ""),
    ("a: !vualt x\n", "1:4", "unknown tag `!vualt`", "!vault"),
    ("a: 1\n---\nb: 2\n", "3:1", "second document", "---"),
    ("x: 1\n<<: 3\n", "2:5", "`<<` merges", ""),
    (
        "[a, b]: c\n",
        "1:1",
        "a key must be a string, not a list",
        "",
    ),
];

#[test]
fn mistakes_are_located() {
    for (text, place, message, hint) in MISTAKES {
        let error = load(&Source::new("t", *text)).expect_err(text);
        let at = error.span.as_ref().unwrap().to_string();
        assert_eq!(at, format!("t:{place}"), "{text:?}: {error}");
        assert!(error.message.contains(message), "{text:?}: {error}");
        assert!(
            error.hint.as_deref().unwrap_or("").contains(hint),
            "{text:?}: {error}"
        );
    }
}

#[test]
fn bombs_are_refused() {
    let mut text = String::from("a0: &a0 [x]\n");
    for n in 1..10 {
        let before = n - 1;
        let refs = vec![format!("*a{before}"); 10].join(", ");
        text += &format!("a{n}: &a{n} [{refs}]\n");
    }
    let error = load(&Source::new("t", text)).unwrap_err();
    assert!(error.message.contains("aliases"), "{error}");
    let deep = format!("{}1{}", "[".repeat(130), "]".repeat(130));
    let error = load(&Source::new("t", deep)).unwrap_err();
    assert!(error.message.contains("deep"), "{error}");
}

#[test]
fn a_lenient_reader_warns_of_keys_given_twice() {
    let mut warnings = Vec::new();
    let node = load_lenient(&Source::new("t", "a: 1\nb: 2\na: 3\n"), &mut warnings).unwrap();
    assert_eq!(show(&node), "{a: 3, b: 2}");
    assert_eq!(warnings.len(), 1);
}

/// What PyYAML takes and YAML 1.2 does not; places stay right.
#[test]
fn loose_layout_inside_quotes_and_brackets() {
    for (text, expected) in [
        ("a:\n  b: \"x\n y\"\nc: 1\n", r#"{a: {b: "x y"}, c: 1}"#),
        (
            "a:\n  b: 'x\n\ny\nz'\nc: 1\n",
            r#"{a: {b: "x\ny z"}, c: 1}"#,
        ),
        ("a:\n  b: {\n    x: 1\n}\nc: 1\n", "{a: {b: {x: 1}}, c: 1}"),
        ("a: 'x\n\t\ty'\nc: 1\n", r#"{a: "x y", c: 1}"#),
    ] {
        let node = node(text);
        assert_eq!(show(&node), expected, "{text:?}");
        let span = node.as_map().unwrap().key_span("c").unwrap();
        assert_eq!(span.start, text.find("c: 1").unwrap(), "{text:?}");
    }
}

#[test]
fn spans_cover_what_was_written() {
    let node = node("é: ü\nlist:\n  - 'q é'\n  - {k: [1, 2]}\nnull:\nend: |\n  x\n  y\n");
    let map = node.as_map().unwrap();
    let text = |key: &str| map.get(key).unwrap().span.text();
    assert_eq!(map.key_span("é").unwrap().text(), "é");
    assert_eq!(text("é"), "ü");
    let items = map.get("list").unwrap().as_seq().unwrap();
    assert_eq!(items[0].span.text(), "'q é'");
    assert_eq!(items[1].span.text(), "{k: [1, 2]}");
    assert_eq!(text("list"), "- 'q é'\n  - {k: [1, 2]}");
    assert_eq!(text("None"), "null");
    assert_eq!(text("end"), "x\n  y\n");
}

proptest! {
    /// Whatever is read, a plain scalar's span holds its text.
    #[test]
    fn plain_spans_hold_their_text(words in prop::collection::vec("[a-zéß☃0-9_]{1,8}", 1..8)) {
        let mut text = String::new();
        for (n, word) in words.iter().enumerate() {
            text += &format!("k{n}é:\n  - {word}\n  - {{x: {word}}}\n");
        }
        let node = load(&Source::new("t", text)).unwrap();
        for ((_, _, list), word) in node.as_map().unwrap().iter().zip(&words) {
            let items = list.as_seq().unwrap();
            prop_assert_eq!(items[0].span.text(), word);
            prop_assert_eq!(items[1].as_map().unwrap().get("x").unwrap().span.text(), word);
        }
    }

    #[test]
    fn nothing_panics(text in "[-a:{}\\[\\]&*!'\" \n\t#|>é,?%]{0,40}") {
        let _ = load_all(&Source::new("t", text));
    }
}
