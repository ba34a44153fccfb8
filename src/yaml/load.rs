//! From text to a [`Node`] tree: anchors, merge keys, tags, spans in bytes.
//!
//! Built on the parser's events rather than on its tree: every scalar comes with its style, tag and place,
//! nothing recurses, and an alias shares its node instead of copying it.

use super::explain::{explain, inside_braces, quote_it};
use super::layout::{Layout, Offsets};
use super::{Kind, Map, Node, parse_scalar};
use crate::diag::{Diagnostic, Source, Span};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, StrInput, Tag};
use std::collections::HashMap;
use std::sync::Arc;

/// Deepest nesting accepted: what walks trees may recurse.
const DEPTH: usize = 128;
/// Most nodes that aliases may stand for in one file; sharing makes them free here, walking them is not.
const ALIASED: usize = 100_000;
/// Most bytes of a file that is read.
const LARGEST: usize = 32 << 20;

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
    mut warnings: Option<&mut Vec<Diagnostic>>,
) -> Result<Vec<Node>, Diagnostic> {
    let text = &source.text;
    if text.len() > LARGEST {
        let (has, most) = (text.len() >> 20, LARGEST >> 20);
        let span = Span::head(source);
        return Err(Diagnostic::error(
            &span,
            format!("the file has {has} MB, and no more than {most} MB of YAML are read"),
        )
        .hint("data of this size belongs into a file that is copied, or into several"));
    }
    let fault = match read(source, text, &Offsets::new(text), warnings.as_deref_mut()) {
        Ok(documents) => return Ok(documents),
        Err(Fault::Meaning(error)) => return Err(*error),
        Err(Fault::Syntax(fault)) => fault,
    };
    let mut layout = Layout::new(text);
    let known = warnings.as_deref().map_or(0, Vec::len);
    let mut next = fault.clone();
    for _ in 0..REPAIRS {
        if !layout.repair(&next) {
            break;
        }
        let (text, offsets) = layout.text();
        if let Some(warnings) = warnings.as_deref_mut() {
            warnings.truncate(known);
        }
        match read(source, &text, &offsets, warnings.as_deref_mut()) {
            Ok(documents) => return Ok(documents),
            Err(Fault::Meaning(error)) => return Err(*error),
            Err(Fault::Syntax(fault)) => next = fault,
        }
    }
    let at = Offsets::new(text).byte(fault.marker().index(), text);
    Err(explain(
        &Span {
            source: Arc::clone(source),
            start: at,
            end: at,
        },
        fault.info(),
    ))
}

/// Most lines of a file whose layout is mended.
const REPAIRS: usize = 64;

enum Fault {
    /// Not YAML for the parser.
    Syntax(ScanError),
    /// YAML, but not as Ansible takes it.
    Meaning(Box<Diagnostic>),
}

impl From<Diagnostic> for Fault {
    fn from(error: Diagnostic) -> Self {
        Self::Meaning(Box::new(error))
    }
}

fn read(
    source: &Arc<Source>,
    text: &str,
    offsets: &Offsets,
    warnings: Option<&mut Vec<Diagnostic>>,
) -> Result<Vec<Node>, Fault> {
    Loader {
        source,
        offsets,
        stack: Vec::new(),
        anchors: HashMap::new(),
        aliased: 0,
        done: Vec::new(),
        warnings,
    }
    .run(text)
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
    offsets: &'a Offsets,
    stack: Vec<Frame>,
    /// Finished anchors with their size; `None` while one is being read.
    anchors: HashMap<usize, Option<(Node, usize)>>,
    aliased: usize,
    done: Vec<Node>,
    warnings: Option<&'a mut Vec<Diagnostic>>,
}

impl Loader<'_> {
    fn run(mut self, text: &str) -> Result<Vec<Node>, Fault> {
        let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str(text);
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(Fault::Syntax)?;
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

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
