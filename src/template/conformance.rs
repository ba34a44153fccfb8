//! Compares with ansible-core: `tests/inputs/template/*.jsonl` hold what it made of each template.

use super::{Engine, Scope, TemplateError, is_omit};
use crate::diag::{Diagnostic, Source};
use crate::yaml::{self, Kind, Node};
use minijinja::Value;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Variables from a YAML file.
#[derive(Debug)]
pub(super) struct FileScope {
    root: Node,
    engine: Engine,
    this: std::sync::Weak<FileScope>,
}

impl FileScope {
    pub(super) fn open(name: &str, text: &str) -> (Engine, Arc<dyn Scope>) {
        let engine = Engine::new();
        let root = yaml::load(&Source::new(name, text)).unwrap();
        let scope = Arc::new_cyclic(|this| Self {
            root,
            engine: engine.clone(),
            this: this.clone(),
        });
        (engine, scope)
    }
}

impl Scope for FileScope {
    fn get(&self, name: &str) -> Result<Option<Value>, TemplateError> {
        if name == "pending_" {
            return Err(TemplateError::Pending("`result`".to_owned()));
        }
        let Some(node) = self.root.as_map().and_then(|map| map.get(name)) else {
            return Ok(None);
        };
        let this: Arc<dyn Scope> = self.this.upgrade().unwrap();
        self.engine.lazy(node, &this).map(Some)
    }

    fn names(&self) -> Vec<String> {
        let map = self.root.as_map();
        map.map(|map| map.iter().map(|(k, _, _)| k.to_string()).collect())
            .unwrap_or_default()
    }

    fn search_paths(&self) -> Vec<PathBuf> {
        vec![inputs().join("files")]
    }
}

fn inputs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/inputs/template")
}

pub(super) fn scope() -> (Engine, Arc<dyn Scope>) {
    let text = std::fs::read_to_string(inputs().join("vars.yml")).unwrap();
    FileScope::open("vars.yml", &text)
}

fn json(value: &Value) -> serde_json::Value {
    serde_json::to_value(value).unwrap()
}

/// Equal but for the type of numbers that JSON cannot tell apart (`1.0` and `1` are told apart).
fn run(line: &str, engine: &Engine, scope: &Arc<dyn Scope>) -> Result<serde_json::Value, String> {
    let text = line.replace('⏎', "\n");
    let source = Source::new("case.yml", text.clone());
    let span = crate::diag::Span {
        end: source.text.len(),
        source,
        start: 0,
    };
    let done = if let Some(expr) = text.strip_prefix('=') {
        engine.eval(expr, Some(&span), scope)
    } else if let Some(condition) = text.strip_prefix('?') {
        let node = Node {
            kind: Kind::Str(Arc::from(condition)),
            span,
        };
        engine.truth(&node, scope).map(Value::from)
    } else {
        let node = Node {
            kind: Kind::Str(Arc::from(text.as_str())),
            span,
        };
        engine.render(&node, scope)
    };
    match done {
        Ok(value) if is_omit(&value) => Err("omit".to_owned()),
        Ok(value) => Ok(json(&value)),
        Err(TemplateError::Undefined { .. }) => Err("undefined".to_owned()),
        Err(error) => Err(format!("error: {error}")),
    }
}

fn compare(topic: &str) {
    let (engine, scope) = scope();
    let text = std::fs::read_to_string(inputs().join(topic).with_extension("jsonl")).unwrap();
    let mut wrong = Vec::new();
    let mut count = 0;
    for line in text.lines() {
        let row: (String, serde_json::Value) = serde_json::from_str(line).unwrap();
        let found = run(&row.0, &engine, &scope);
        let same = match (
            &found,
            row.1.get("ok"),
            row.1.get("fails").and_then(|f| f.as_str()),
        ) {
            (Ok(found), Some(want), _) => found == want,
            (Err(found), _, Some(want)) => found.starts_with(want),
            _ => false,
        };
        if !same {
            wrong.push(format!("{}\n    want {}\n    got  {found:?}", row.0, row.1));
        }
        count += 1;
    }
    assert!(
        wrong.is_empty(),
        "{} of {count} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

macro_rules! topics {
    ($($topic:ident)*) => {
        $(#[test] fn $topic() { compare(stringify!($topic)); })*
    };
}

topics! { collections undefined native operators text numbers lists data methods statements lookups }

#[test]
fn every_file_of_cases_is_compared() {
    let mut found: Vec<String> = std::fs::read_dir(inputs())
        .unwrap()
        .filter_map(|entry| {
            entry
                .unwrap()
                .path()
                .file_name()?
                .to_str()?
                .strip_suffix(".jsonl")
                .map(str::to_owned)
        })
        .collect();
    found.sort();
    let source =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file!())).unwrap();
    let topics = source.split("topics! {").nth(1).unwrap();
    for topic in found {
        assert!(topics.contains(&topic), "{topic} is not compared");
    }
}

#[test]
fn failures_of_a_definition_win_unchanged() {
    let (engine, scope) = scope();
    for text in [
        "{{ pending_ }}",
        "{{ [pending_, nope] }}",
        "{{ pending_ is defined }}",
        "{{ pending_ | default(1) }}",
        "{{ vars.pending_ }}",
        "{{ vars['pending_'].x | default(2) }}",
    ] {
        let error = engine.render_str(text, None, &scope).unwrap_err();
        assert!(
            matches!(error, TemplateError::Pending(_)),
            "{text}: {error}"
        );
    }
    assert!(
        engine
            .render_str("{{ 1 if yes_ else pending_ }}", None, &scope)
            .is_ok()
    );
}

#[test]
fn an_undefined_variable_is_shown_at_its_place() {
    let text = "x: \"{{ users }} {{ user_naem.foo }}\"\nuser_name: 1\n";
    let source = Source::new("play.yml", text);
    let root = yaml::load(&source).unwrap();
    let (engine, scope) = FileScope::open("vars.yml", "user_name: 1\nusers: []\n");
    let node = root.as_map().unwrap().get("x").unwrap();
    let error = engine.render(node, &scope).unwrap_err();
    let diagnostic: &Diagnostic = error.diagnostic().unwrap();
    assert_eq!(diagnostic.message, "undefined variable `user_naem`");
    assert_eq!(diagnostic.span.as_ref().unwrap().text(), "user_naem");
    assert_eq!(
        diagnostic.hint.as_deref(),
        Some("did you mean `user_name`?")
    );
}

/// `cargo test --release --lib template::conformance::speed -- --ignored --nocapture`
#[test]
#[ignore = "a measurement"]
fn speed() {
    let (engine, scope) = scope();
    #[derive(Debug)]
    struct Fast(Value);
    impl Scope for Fast {
        fn get(&self, name: &str) -> Result<Option<Value>, TemplateError> {
            Ok((name == "a").then(|| self.0.clone()))
        }
        fn names(&self) -> Vec<String> {
            Vec::new()
        }
        fn search_paths(&self) -> Vec<PathBuf> {
            Vec::new()
        }
    }
    let fast: Arc<dyn Scope> = Arc::new(Fast(Value::from("value")));
    let node = |text: &str| Node::string(text, &crate::diag::Span::head(&Source::new("x", "")));
    for (what, text, scope) in [
        ("no template", "just a string of some length", &scope),
        ("variable", "{{ a }}", &fast),
        ("variable in text", "x {{ a }} y", &fast),
        ("attribute", "{{ users[0].name }}", &scope),
        (
            "filters",
            "{{ users | map(attribute='name') | join(',') }}",
            &scope,
        ),
        ("default", "{{ nope | default('x') }}", &scope),
        (
            "loop",
            "{% for u in users %}{{ u.name }}:{{ loop.index }} {% endfor %}",
            &scope,
        ),
    ] {
        let node = node(text);
        let start = std::time::Instant::now();
        let count = 100_000_u32;
        for _ in 0..count {
            std::hint::black_box(engine.render(&node, scope).unwrap());
        }
        println!(
            "{what:20} {:>8.0} ns",
            start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
        );
    }
    let condition = node("a == 'value' and a is defined");
    let start = std::time::Instant::now();
    for _ in 0..100_000 {
        std::hint::black_box(engine.truth(&condition, &fast).unwrap());
    }
    println!(
        "{:20} {:>8.0} ns",
        "condition",
        start.elapsed().as_secs_f64() * 1e9 / 1e5
    );
}
