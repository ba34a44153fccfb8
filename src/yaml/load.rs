//! From text to a [`Node`] tree: anchors, merge keys, tags, spans in bytes.
//!
//! Built on the parser's events rather than on its tree: every scalar comes with its style, tag and place,
//! nothing recurses, and an alias shares its node instead of copying it.

use super::{Kind, Map, Node, parse_scalar};
use crate::diag::{Diagnostic, Source, Span};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput, Tag};
use std::collections::HashMap;
use std::sync::Arc;

/// Deepest nesting accepted: what walks trees may recurse.
const DEPTH: usize = 128;
/// Most nodes that aliases may stand for in one file; sharing makes them free here, walking them is not.
const ALIASED: usize = 100_000;

/// Reads a file of one document; an empty one is null. A key given twice is an error.
///
/// # Errors
/// Located, when it is not YAML as Ansible reads it.
pub fn load(source: &Arc<Source>) -> Result<Node, Diagnostic> {
    single(source, documents(source, None)?)
}

/// The same, but a key given twice is only a warning and the later one wins, as in Ansible: for other people's roles.
///
/// # Errors
/// Located, when it is not YAML as Ansible reads it.
pub fn load_lenient(
    source: &Arc<Source>,
    warnings: &mut Vec<Diagnostic>,
) -> Result<Node, Diagnostic> {
    single(source, documents(source, Some(warnings))?)
}

/// Reads a file of any number of documents.
///
/// # Errors
/// Located, when it is not YAML as Ansible reads it.
pub fn load_all(source: &Arc<Source>) -> Result<Vec<Node>, Diagnostic> {
    documents(source, None)
}

fn single(source: &Arc<Source>, mut documents: Vec<Node>) -> Result<Node, Diagnostic> {
    if let Some(second) = documents.get(1) {
        return Err(
            Diagnostic::error(&second.span, "a second document where one is expected")
                .hint("remove the `---` that starts it, or put it into a file of its own"),
        );
    }
    Ok(documents.pop().unwrap_or_else(|| Node {
        kind: Kind::Null,
        span: Span::head(source),
    }))
}

fn documents(
    source: &Arc<Source>,
    warnings: Option<&mut Vec<Diagnostic>>,
) -> Result<Vec<Node>, Diagnostic> {
    Loader {
        source,
        offsets: Offsets::new(&source.text),
        stack: Vec::new(),
        anchors: HashMap::new(),
        aliased: 0,
        done: Vec::new(),
        warnings,
    }
    .run()
}

/// Byte offsets of characters: the parser counts the latter.
enum Offsets {
    /// They are the same.
    Ascii,
    /// Offset of each character, then the length.
    Table(Vec<usize>),
}

impl Offsets {
    fn new(text: &str) -> Self {
        if text.is_ascii() {
            return Self::Ascii;
        }
        let ends = std::iter::once(text.len());
        Self::Table(text.char_indices().map(|(at, _)| at).chain(ends).collect())
    }

    fn byte(&self, character: usize, text: &str) -> usize {
        match self {
            Self::Ascii => character.min(text.len()),
            Self::Table(table) => table.get(character).copied().unwrap_or(text.len()),
        }
    }
}

/// A collection that is being read.
struct Frame {
    start: usize,
    anchor: usize,
    tag: Mark,
    /// Nodes in it so far, aliases counted in full.
    size: usize,
    inside: Inside,
}

enum Inside {
    Seq(Vec<Node>),
    Map {
        map: Map,
        /// What `<<` brought, in order.
        merged: Vec<Node>,
        key: Option<Key>,
    },
}

/// A key whose value is still to come.
enum Key {
    /// `<<`.
    Merge(Span),
    Plain(Arc<str>, Span, Kind),
}

/// What a tag asks for.
#[derive(Clone, Copy, PartialEq)]
enum Mark {
    None,
    Unsafe,
    Vault,
    /// `!!str` and `!`.
    Text,
    /// `!!int`, `!!float`, `!!bool`, `!!null`: resolve even when quoted.
    Resolve,
    /// `!!set`: keys without values.
    Set,
}

struct Loader<'a> {
    source: &'a Arc<Source>,
    offsets: Offsets,
    stack: Vec<Frame>,
    /// Finished anchors with their size; `None` while one is being read.
    anchors: HashMap<usize, Option<(Node, usize)>>,
    aliased: usize,
    done: Vec<Node>,
    warnings: Option<&'a mut Vec<Diagnostic>>,
}

impl Loader<'_> {
    fn run(mut self) -> Result<Vec<Node>, Diagnostic> {
        let source = self.source;
        let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str(&source.text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|error| self.broken(&error))?;
            let span = self.span(span.start.index(), span.end.index());
            match event {
                Event::Scalar(text, style, anchor, tag) => {
                    let node = self.scalar(&text, style, tag.as_deref(), span)?;
                    if anchor > 0 {
                        self.anchors.insert(anchor, Some((node.clone(), 1)));
                    }
                    self.push(node, 1)?;
                }
                Event::SequenceStart(anchor, tag) => {
                    self.open(&span, anchor, tag.as_deref(), Inside::Seq(Vec::new()))?;
                }
                Event::MappingStart(anchor, tag) => {
                    let inside = Inside::Map {
                        map: Map::default(),
                        merged: Vec::new(),
                        key: None,
                    };
                    self.open(&span, anchor, tag.as_deref(), inside)?;
                }
                Event::SequenceEnd | Event::MappingEnd => self.close(&span)?,
                Event::Alias(id) => self.alias(id, span)?,
                Event::Nothing
                | Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(_)
                | Event::DocumentEnd => {}
            }
        }
        Ok(self.done)
    }

    fn span(&self, start: usize, end: usize) -> Span {
        let text = &self.source.text;
        Span {
            source: Arc::clone(self.source),
            start: self.offsets.byte(start, text),
            end: self.offsets.byte(end, text),
        }
    }

    fn open(
        &mut self,
        span: &Span,
        anchor: usize,
        tag: Option<&Tag>,
        inside: Inside,
    ) -> Result<(), Diagnostic> {
        if self.stack.len() >= DEPTH {
            return Err(Diagnostic::error(
                span,
                format!("nested more than {DEPTH} levels deep"),
            ));
        }
        let tag = mark(tag, span)?;
        let tag = match (tag, &inside) {
            (Mark::Vault | Mark::Text | Mark::Resolve, _) => {
                return Err(Diagnostic::error(span, "this tag needs a string"));
            }
            // A collection inside an unsafe one is unsafe too.
            (Mark::None, _) if self.stack.last().is_some_and(|f| f.tag == Mark::Unsafe) => {
                Mark::Unsafe
            }
            (tag, _) => tag,
        };
        if anchor > 0 {
            self.anchors.insert(anchor, None);
        }
        self.stack.push(Frame {
            start: span.start,
            anchor,
            tag,
            size: 1,
            inside,
        });
        Ok(())
    }

    fn close(&mut self, end: &Span) -> Result<(), Diagnostic> {
        let Some(frame) = self.stack.pop() else {
            return Ok(());
        };
        let last = match &frame.inside {
            Inside::Seq(items) => items.last().map(|node| node.span.end),
            Inside::Map { map, .. } => map.iter().last().map(|(_, _, node)| node.span.end),
        };
        // A block ends with its last element, a flow collection with its bracket.
        let stop = match end.text() {
            "]" | "}" => end.end,
            _ => last.unwrap_or(frame.start).max(frame.start),
        };
        let span = Span {
            source: Arc::clone(self.source),
            start: frame.start,
            end: stop,
        };
        let kind = match frame.inside {
            Inside::Seq(items) => Kind::Seq(items.into()),
            Inside::Map { map, merged, .. } => Kind::Map(Arc::new(merge(map, &merged))),
        };
        let node = Node { kind, span };
        if frame.anchor > 0 {
            self.anchors
                .insert(frame.anchor, Some((node.clone(), frame.size)));
        }
        self.push(node, frame.size)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Diagnostic> {
        let Some(Some((node, size))) = self.anchors.get(&id) else {
            return Err(Diagnostic::error(
                &span,
                format!("`{}` stands inside what it names", span.text()),
            ));
        };
        let size = *size;
        // The place of use: what is inside keeps the place where it was written.
        let node = Node {
            kind: node.kind.clone(),
            span,
        };
        self.aliased = self.aliased.saturating_add(size);
        if self.aliased > ALIASED {
            return Err(Diagnostic::error(
                &node.span,
                format!("the aliases of this file stand for more than {ALIASED} values"),
            )
            .hint("write out less of it by aliases of aliases"));
        }
        self.push(node, size)
    }

    /// Puts a finished node where it belongs.
    fn push(&mut self, node: Node, size: usize) -> Result<(), Diagnostic> {
        let Some(frame) = self.stack.last_mut() else {
            self.done.push(node);
            return Ok(());
        };
        frame.size = frame.size.saturating_add(size);
        match &mut frame.inside {
            Inside::Seq(items) => items.push(node),
            Inside::Map { map, merged, key } => match key.take() {
                None => *key = Some(as_key(&node)?),
                Some(Key::Merge(at)) => sources(&node, &at, merged)?,
                Some(Key::Plain(text, at, kind)) => {
                    // Nothing stands nowhere: say the key.
                    let node = match node.kind {
                        Kind::Null if node.span.text().is_empty() => Node {
                            kind: Kind::Null,
                            span: at.clone(),
                        },
                        _ => node,
                    };
                    if let Some((first, _)) = map.insert_key(text, kind, at.clone(), node) {
                        let (line, _) = first.line_col();
                        let twice = Diagnostic::error(
                            &at,
                            format!("the key `{}` is given twice", at.text()),
                        )
                        .hint(format!(
                            "it is already given in line {line}; remove one of them"
                        ));
                        match &mut self.warnings {
                            None => return Err(twice),
                            Some(warnings) => warnings.push(Diagnostic {
                                level: crate::diag::Level::Warning,
                                ..twice
                            }),
                        }
                    }
                }
            },
        }
        Ok(())
    }

    fn scalar(
        &self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<Node, Diagnostic> {
        let plain = style == ScalarStyle::Plain;
        let resolved = |resolve: bool| {
            if resolve {
                parse_scalar(text)
            } else {
                Kind::Str(text.into())
            }
        };
        let inherited = self.stack.last().map_or(Mark::None, |frame| frame.tag);
        // Keys of an unsafe mapping stay keys.
        let is_key = matches!(
            self.stack.last().map(|frame| &frame.inside),
            Some(Inside::Map { key: None, .. })
        );
        let mark = match mark(tag, &span)? {
            Mark::None if inherited == Mark::Unsafe && !is_key => Mark::Unsafe,
            mark => mark,
        };
        let kind = match mark {
            Mark::None => resolved(plain),
            Mark::Unsafe => match resolved(plain) {
                Kind::Str(text) => Kind::Unsafe(text),
                other => other,
            },
            Mark::Vault => Kind::Vault(text.into()),
            Mark::Text => Kind::Str(text.into()),
            Mark::Resolve => resolved(true),
            Mark::Set => return Err(Diagnostic::error(&span, "this tag needs a mapping")),
        };
        Ok(Node { kind, span })
    }

    /// What the parser's error means to someone who writes playbooks.
    fn broken(&self, error: &ScanError) -> Diagnostic {
        let at = self.span(error.marker().index(), error.marker().index());
        explain(&at, error.info())
    }
}

fn mark(tag: Option<&Tag>, span: &Span) -> Result<Mark, Diagnostic> {
    let Some(tag) = tag else {
        return Ok(Mark::None);
    };
    let known = if tag.is_yaml_core_schema() {
        match tag.suffix.as_str() {
            "str" | "timestamp" => Some(Mark::Text),
            "int" | "float" | "bool" | "null" => Some(Mark::Resolve),
            "seq" | "map" => Some(Mark::None),
            "set" => Some(Mark::Set),
            _ => None,
        }
    } else {
        match format!("{}{}", tag.handle, tag.suffix).as_str() {
            "!" => Some(Mark::Text),
            "!unsafe" => Some(Mark::Unsafe),
            "!vault" | "!vault-encrypted" => Some(Mark::Vault),
            _ => None,
        }
    };
    known.ok_or_else(|| {
        let name = if tag.is_yaml_core_schema() {
            format!("!!{}", tag.suffix)
        } else {
            format!("{}{}", tag.handle, tag.suffix)
        };
        let known = ["!unsafe", "!vault", "!!str", "!!int", "!!float", "!!bool"];
        Diagnostic::error(span, format!("unknown tag `{name}`")).did_you_mean(&name, known)
    })
}

fn as_key(node: &Node) -> Result<Key, Diagnostic> {
    let text: Arc<str> = match &node.kind {
        Kind::Str(text) if &**text == "<<" && node.span.text() == "<<" => {
            return Ok(Key::Merge(node.span.clone()));
        }
        Kind::Str(text) | Kind::Unsafe(text) => Arc::clone(text),
        Kind::Bool(true) => "True".into(),
        Kind::Bool(false) => "False".into(),
        Kind::Null => "None".into(),
        Kind::Int(number) => number.to_string().into(),
        Kind::Float(number) => number.to_string().into(),
        Kind::Vault(_) => {
            return Err(Diagnostic::error(&node.span, "a key cannot be encrypted"));
        }
        Kind::Seq(_) | Kind::Map(_) => {
            let error = Diagnostic::error(
                &node.span,
                format!("a key must be a string, not {}", node.describe()),
            );
            // `key: {{ name }}` reads as a mapping whose key is a mapping.
            return Err(if inside_braces(&node.span) {
                quote_it(error)
            } else {
                error
            });
        }
    };
    Ok(Key::Plain(text, node.span.clone(), node.kind.clone()))
}

/// Whether a flow mapping is the inner half of an unquoted `{{ … }}`.
fn inside_braces(span: &Span) -> bool {
    let before = span.source.text.get(..span.start).unwrap_or("");
    span.text().starts_with('{') && before.ends_with('{')
}

/// The place of the outer brace, and what to do.
fn quote_it(mut error: Diagnostic) -> Diagnostic {
    error.message = "a value that starts with `{{` must be quoted".into();
    if let Some(span) = &mut error.span {
        span.start -= 1;
        let rest = span.source.text.get(span.start..).unwrap_or("");
        let line = rest.lines().next().unwrap_or("").trim_end();
        span.end = span.start + line.len();
        error.hint = Some(format!("write \"{}\"", line.replace('"', "'")));
    }
    error
}

/// The mappings that `<<` names, in order of precedence: the first wins.
fn sources(node: &Node, key: &Span, into: &mut Vec<Node>) -> Result<(), Diagnostic> {
    let wrong = |node: &Node| {
        Diagnostic::error(
            if node.is_null() { key } else { &node.span },
            format!(
                "`<<` merges a mapping or a list of them, not {}",
                node.describe()
            ),
        )
    };
    match &node.kind {
        Kind::Map(_) => into.push(node.clone()),
        Kind::Seq(items) => {
            for item in items.iter() {
                item.as_map().ok_or_else(|| wrong(item))?;
                into.push(item.clone());
            }
        }
        _ => return Err(wrong(node)),
    }
    Ok(())
}

/// Merged entries first, in their order, then the mapping's own, which win.
fn merge(own: Map, merged: &[Node]) -> Map {
    if merged.is_empty() {
        return own;
    }
    let mut all = Map::default();
    for map in merged.iter().rev().filter_map(Node::as_map) {
        all.extend(map);
    }
    all.extend(&own);
    all
}

/// A diagnostic from the parser's message: its place, and the usual reasons.
fn explain(at: &Span, info: &str) -> Diagnostic {
    let text = &at.source.text;
    let line_start = text[..at.start].rfind('\n').map_or(0, |n| n + 1);
    // Some errors are noticed only at the start of the next line.
    let blank = text[line_start..at.start].trim().is_empty() && line_start > 0;
    let previous = text[..line_start.saturating_sub(1)]
        .rfind('\n')
        .map_or(0, |n| n + 1);
    let line_at = |start: usize| text[start..].lines().next().unwrap_or("");
    let candidates = [Some(line_start), blank.then_some(previous)];

    for start in candidates.into_iter().flatten() {
        let line = line_at(start);
        if let Some(column) = bare_braces(line) {
            let place = Span {
                source: Arc::clone(&at.source),
                start: start + column + 1,
                end: start + line.trim_end().len(),
            };
            return quote_it(Diagnostic::error(&place, info));
        }
    }
    let line = line_at(line_start);
    let indent = &line[..line.len() - line.trim_start().len()];
    if let Some(tab) = indent.find('\t').filter(|_| !line.trim().is_empty()) {
        let place = Span {
            source: Arc::clone(&at.source),
            start: line_start + tab,
            end: line_start + tab + 1,
        };
        return Diagnostic::error(&place, "a tab in the indentation")
            .hint("indent with spaces: YAML does not allow tabs there");
    }
    let error = Diagnostic::error(at, format!("not valid YAML: {info}"));
    if info.contains("mapping values are not allowed") || info.contains("simple key") {
        return error.hint("check the indentation, and quote a value that holds `: `");
    }
    error
}

/// Where `{{` starts a value without quotes, if it does.
fn bare_braces(line: &str) -> Option<usize> {
    [": {{", "- {{"]
        .iter()
        .filter_map(|mark| line.find(mark))
        .map(|at| at + 2)
        .min()
}

#[cfg(test)]
mod tests {
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
}
