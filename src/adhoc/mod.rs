//! One task on many hosts, without a playbook: what `mini-play exec` and `mini-play module` run.
//!
//! The task becomes a playbook of one play, made in memory and checked like any other, so that connections, becoming, variables
//! and results are the engine's.

use crate::diag::{Diagnostic, Source, Span};
use crate::inventory::Inventory;
use crate::playbook::ast::Playbook;
use crate::playbook::{self, LoadOptions};
use crate::yaml::{self, Kind, Map, Node};
use std::path::Path;
use std::sync::Arc;

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub enum Task<'a> {
    /// A command: one word is a line for the shell, several are run as they are. Never templated.
    Command(&'a [String]),
    /// A module with arguments as a task has them: `k=v` text, a free form, or YAML in braces.
    Module(&'a str, &'a str),
}

/// The playbook of one task for the hosts of a pattern.
///
/// # Errors
/// That the pattern or the limit means no host; everything that is wrong with the task.
pub fn playbook(
    pattern: &str,
    task: Task<'_>,
    inventory: &Inventory,
    limit: Option<&str>,
    options: &LoadOptions,
) -> Result<Playbook, Vec<Diagnostic>> {
    let source = Source::new("<command line>", pattern);
    let span = Span {
        end: pattern.len(),
        ..Span::head(&source)
    };
    if inventory
        .select(pattern, limit)
        .map_err(|one| vec![one])?
        .is_empty()
    {
        let unknown = inventory.unmatched(pattern, &span).into_iter().next();
        let error = Diagnostic::error(&span, format!("no host matches `{pattern}`"));
        return Err(vec![match unknown.and_then(|diagnostic| diagnostic.hint) {
            Some(hint) => error.hint(hint),
            None => error,
        }]);
    }
    let (name, args) = match task {
        Task::Command(words) => command(words, &span),
        Task::Module(name, args) => (name, arguments(args).map_err(|one| vec![one])?),
    };
    let text = |text: &str| Node::string(text, &span);
    // The module stands where the user wrote it, for errors about it.
    let mut entry = Map::default();
    let named = Source::new("<command line>", name);
    let place = Span {
        end: name.len(),
        ..Span::head(&named)
    };
    entry.insert(name.into(), place, args);
    let entry = plain(Kind::Map(Arc::new(entry)), &span);
    let play = mapping(
        &span,
        [
            ("name", text(name)),
            ("hosts", text(pattern)),
            ("gather_facts", plain(Kind::Bool(false), &span)),
            ("tasks", list(&span, vec![entry])),
        ],
    );
    playbook::of_node(&list(&span, vec![play]), Path::new("command line"), options)
}

fn command(words: &[String], span: &Span) -> (&'static str, Node) {
    let literal = |word: &String| plain(Kind::Unsafe(word.as_str().into()), span);
    match words {
        [line] => ("shell", mapping(span, [("cmd", literal(line))])),
        _ => {
            let argv = list(span, words.iter().map(literal).collect());
            let plainly = plain(Kind::Bool(false), span);
            (
                "command",
                mapping(span, [("argv", argv), ("expand_argument_vars", plainly)]),
            )
        }
    }
}

/// The text behind `-a`, with places in it.
fn arguments(text: &str) -> Result<Node, Diagnostic> {
    let source = Source::new("<-a>", text);
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Ok(plain(Kind::Null, &Span::head(&source)));
    }
    if trimmed.starts_with('{') && !yaml::has_template(trimmed.get(..2).unwrap_or_default()) {
        return yaml::load(&source);
    }
    let span = Span {
        end: text.len(),
        ..Span::head(&source)
    };
    Ok(Node::string(text, &span))
}

fn plain(kind: Kind, span: &Span) -> Node {
    Node {
        kind,
        span: span.clone(),
    }
}

fn list(span: &Span, items: Vec<Node>) -> Node {
    plain(Kind::Seq(items.into()), span)
}

fn mapping<const N: usize>(span: &Span, entries: [(&str, Node); N]) -> Node {
    let mut map = Map::default();
    for (key, node) in entries {
        map.insert(key.into(), span.clone(), node);
    }
    plain(Kind::Map(Arc::new(map)), span)
}
