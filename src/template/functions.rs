//! Functions and names that every template knows.

use super::datetime;
use super::eval::Machine;
use super::eval::call::Args;
use super::eval::objects::{Cycler, Joiner, Namespace};
use super::lookups;
use super::value::data::{self, as_int};
use super::value::undefined::{Res, Undef, Why, fault};
use super::{Scope, value::lazy::ScopeMap};
use minijinja::Value;
use minijinja::value::{Object, ObjectRepr};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, LazyLock};

/// A function.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Machine<'_>, Args) -> Res<Value>,
    /// Whether its arguments are a lookup's: undefined ones pass.
    pub(crate) lookup: bool,
}

const fn function(name: &'static str, run: fn(&mut Machine<'_>, Args) -> Res<Value>) -> Function {
    Function {
        name,
        run,
        lookup: false,
    }
}

const fn lookup(name: &'static str, run: fn(&mut Machine<'_>, Args) -> Res<Value>) -> Function {
    Function {
        name,
        run,
        lookup: true,
    }
}

/// All functions.
pub(crate) static FUNCTIONS: &[Function] = &[
    function("range", range),
    function("dict", dict),
    function("namespace", namespace),
    function("cycler", cycler),
    function("joiner", joiner),
    function("now", now),
    function("undef", undefined),
    lookup("lookup", |m, args| run_lookup(m, args, false)),
    lookup("query", |m, args| run_lookup(m, args, true)),
    lookup("q", |m, args| run_lookup(m, args, true)),
];

pub(crate) fn find(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|f| f.name == name)
}

/// The placeholder for an argument not given.
#[derive(Debug)]
struct Omit;

impl Object for Omit {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn render(self: &Arc<Self>, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<<Omit>>")
    }
}

static OMIT: LazyLock<Value> = LazyLock::new(|| Value::from_object(Omit));

pub(crate) fn omit() -> Value {
    OMIT.clone()
}

pub(crate) fn is_omit(value: &Value) -> bool {
    value.as_object().is_some() && value.downcast_object_ref::<Omit>().is_some()
}

/// Names that hold a value without anybody defining them.
pub(crate) fn constant(name: &str, scope: &Arc<dyn Scope>) -> Option<Value> {
    match name {
        "omit" => Some(omit()),
        "vars" => Some(Value::from_object(ScopeMap(Arc::clone(scope)))),
        _ => None,
    }
}

fn range(_: &mut Machine<'_>, args: Args) -> Res<Value> {
    let Args { pos, .. } = args;
    let bounds: Option<Vec<i128>> = pos.iter().map(as_int).collect();
    let (start, stop, step) = match bounds.as_deref() {
        Some([stop]) => (0, *stop, 1),
        Some([start, stop]) => (*start, *stop, 1),
        Some([start, stop, step]) if *step != 0 => (*start, *stop, *step),
        _ => return Err(fault("takes one to three integers, the step not zero")),
    };
    let span = if step > 0 { stop - start } else { start - stop };
    if span / step.abs() > 10_000_000 {
        return Err(fault("the range is too long"));
    }
    let mut out = Vec::new();
    let mut n = start;
    while (step > 0 && n < stop) || (step < 0 && n > stop) {
        out.push(data::int(n));
        n += step;
    }
    Ok(data::list(out))
}

fn dict(m: &mut Machine<'_>, args: Args) -> Res<Value> {
    let mut map = data::Dict::new();
    for source in &args.pos {
        if data::is_map(source) {
            map.extend(data::pairs(source)?);
            continue;
        }
        for pair in data::items(source)? {
            match data::items(&pair)?.as_slice() {
                [key, value] => map.insert(key.clone(), value.clone()),
                _ => return Err(fault("expected pairs of keys and values")),
            };
        }
    }
    map.extend(args.kw.into_iter().map(|(k, v)| (Value::from(k), v)));
    Ok(m.new_dict(map))
}

fn namespace(_: &mut Machine<'_>, args: Args) -> Res<Value> {
    let mut all: Vec<(Arc<str>, Value)> = Vec::new();
    for source in &args.pos {
        for (key, value) in data::pairs(source)? {
            all.push((Arc::from(key.to_string()), value));
        }
    }
    all.extend(args.kw);
    Ok(Value::from_object(Namespace::new(all)))
}

fn cycler(_: &mut Machine<'_>, args: Args) -> Res<Value> {
    Ok(Value::from_object(Cycler {
        items: args.pos,
        next: AtomicUsize::new(0),
    }))
}

fn joiner(_: &mut Machine<'_>, args: Args) -> Res<Value> {
    let [sep] = args.bind(["sep"])?;
    Ok(Value::from_object(Joiner {
        sep: sep.unwrap_or_else(|| Value::from(", ")),
        used: AtomicUsize::new(0),
    }))
}

fn now(_: &mut Machine<'_>, args: Args) -> Res<Value> {
    let [utc, fmt] = args.bind(["utc", "fmt"])?;
    datetime::now(utc.is_some_and(|v| v.is_true()), fmt.as_ref())
}

fn undefined(_: &mut Machine<'_>, args: Args) -> Res<Value> {
    let [hint] = args.bind(["hint"])?;
    let message = match &hint {
        Some(value) if !value.is_none() => value.to_string(),
        _ => "a mandatory variable has not been set".to_owned(),
    };
    Ok(Undef::value(Why::Said(message), None))
}

fn run_lookup(m: &mut Machine<'_>, mut args: Args, wantlist: bool) -> Res<Value> {
    if args.pos.is_empty() {
        return Err(fault("the name of the lookup is missing"));
    }
    let name = args.pos.remove(0);
    let Some(name) = name.as_str() else {
        return Err(fault("the name of the lookup must be a string"));
    };
    lookups::call(m, name, args, wantlist)
}
