//! Calls: of filters, tests, functions, methods and macros.

use super::objects::{Cycler, Joiner, Loop, MacroValue};
use super::{Machine, Out};
use crate::diag::near;
use crate::template::filters::{self, Filter};
use crate::template::jinja::At;
use crate::template::jinja::ast::{self, Expr, ExprKind, FilterCall, TestCall};
use crate::template::tests::{self, Test};
use crate::template::value::data::{self, Kind, kind};
use crate::template::value::mutable;
use crate::template::value::undefined::{Res, check, fault, trip, undef};
use crate::template::{functions, names};
use minijinja::Value;
use std::sync::Arc;

/// Evaluated arguments.
#[derive(Debug, Default, Clone)]
pub(crate) struct Args {
    pub(crate) pos: Vec<Value>,
    pub(crate) kw: Vec<(Arc<str>, Value)>,
}

impl Args {
    /// Takes a named argument out.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        let n = self.kw.iter().position(|(k, _)| k.as_ref() == name)?;
        Some(self.kw.remove(n).1)
    }

    /// Arguments by parameter, as Python binds them.
    pub(crate) fn bind<const N: usize>(self, params: [&str; N]) -> Res<[Option<Value>; N]> {
        let mut bound: [Option<Value>; N] = std::array::from_fn(|_| None);
        if self.pos.len() > N {
            return Err(fault(format!(
                "takes at most {N} arguments, got {}",
                self.pos.len()
            )));
        }
        for (slot, value) in bound.iter_mut().zip(self.pos) {
            *slot = Some(value);
        }
        for (name, value) in self.kw {
            match params.iter().position(|p| *p == name.as_ref()) {
                Some(n) if bound[n].is_none() => bound[n] = Some(value),
                Some(_) => return Err(fault(format!("argument `{name}` is given twice"))),
                None => {
                    let error = fault(format!("unknown argument `{name}`"));
                    return Err(match near(&name, params) {
                        Some(best) => error.hint(format!("did you mean `{best}`?")),
                        None => error,
                    });
                }
            }
        }
        Ok(bound)
    }

    fn first_undefined(&self) -> Option<&Value> {
        self.pos
            .iter()
            .chain(self.kw.iter().map(|(_, value)| value))
            .find(|value| undef(value).is_some())
    }
}

/// A call of a filter, test or lookup on its way.
pub(crate) struct Call<'m, 'a> {
    pub(crate) machine: &'m mut Machine<'a>,
    pub(crate) subject: Value,
    pub(crate) args: Args,
}

impl Call<'_, '_> {
    /// The arguments besides the subject, by parameter.
    pub(crate) fn bind<const N: usize>(&mut self, params: [&str; N]) -> Res<[Option<Value>; N]> {
        std::mem::take(&mut self.args).bind(params)
    }

    /// Refuses arguments.
    pub(crate) fn no_args(&mut self) -> Res<()> {
        self.bind([]).map(|_: [Option<Value>; 0]| ())
    }
}

impl Machine<'_> {
    pub(super) fn args(&mut self, args: &ast::Args) -> Res<Args> {
        let mut done = Args::default();
        done.pos.reserve_exact(args.pos.len());
        for expr in &args.pos {
            done.pos.push(self.expr(expr)?);
        }
        if let Some(star) = &args.star {
            let star = self.expr(star)?;
            done.pos.extend(data::items(&star)?);
        }
        for (name, expr) in &args.kw {
            let value = self.expr(expr)?;
            done.kw.push((Arc::clone(name), value));
        }
        if let Some(star) = &args.star_kw {
            let star = self.expr(star)?;
            for (key, value) in data::pairs(&star)? {
                done.kw.push((Arc::from(key.to_string()), value));
            }
        }
        Ok(done)
    }

    pub(super) fn filter(&mut self, call: &FilterCall, subject: Value) -> Res<Value> {
        let args = self.args(&call.args)?;
        match call.filter {
            Some(filter) => self.run_filter(filter, subject, args),
            None => self.filter_by_name(&call.name, subject, args),
        }
    }

    /// Runs a filter. One that does not know undefined values hands on the first it is given.
    pub(crate) fn run_filter(
        &mut self,
        filter: &'static Filter,
        subject: Value,
        args: Args,
    ) -> Res<Value> {
        if !filter.markers {
            if undef(&subject).is_some() {
                return Ok(subject);
            }
            if let Some(value) = args.first_undefined() {
                return Ok(value.clone());
            }
            check(&subject)?;
        }
        (filter.run)(&mut Call {
            machine: self,
            subject,
            args,
        })
        .map_err(|error| error.named(filter.name))
    }

    /// Runs a filter found at run time (`map('upper')`); tests serve as filters too, as they once did.
    pub(crate) fn filter_by_name(&mut self, name: &str, subject: Value, args: Args) -> Res<Value> {
        if let Some(filter) = filters::find(name) {
            return self.run_filter(filter, subject, args);
        }
        if let Some(test) = tests::find(name) {
            return self.run_test(test, subject, args).map(Value::from);
        }
        Err(names::unknown_filter(name).into_fault())
    }

    pub(super) fn test(&mut self, call: &TestCall, subject: Value) -> Res<bool> {
        let args = self.args(&call.args)?;
        match call.test {
            Some(test) => self.run_test(test, subject, args),
            None => self.test_by_name(&call.name, subject, args),
        }
    }

    pub(crate) fn run_test(
        &mut self,
        test: &'static Test,
        subject: Value,
        args: Args,
    ) -> Res<bool> {
        if !test.markers {
            check(&subject)?;
            if let Some(value) = args.first_undefined() {
                return Err(trip(value));
            }
        }
        (test.run)(&mut Call {
            machine: self,
            subject,
            args,
        })
        .map_err(|error| error.named(test.name))
    }

    pub(crate) fn test_by_name(&mut self, name: &str, subject: Value, args: Args) -> Res<bool> {
        match tests::find(name) {
            Some(test) => self.run_test(test, subject, args),
            None => Err(names::unknown_test(name).into_fault()),
        }
    }

    pub(super) fn call(&mut self, callee: &Expr, args: &ast::Args, at: At) -> Res<Value> {
        match &callee.kind {
            ExprKind::Attr(base, method) => {
                if matches!(&base.kind, ExprKind::Name(name) if name.as_ref() == "self") {
                    return self.block_by_name(method);
                }
                let value = self.expr(base)?;
                if undef(&value).is_some() {
                    return Ok(value);
                }
                let args = self.args(args)?;
                if let Some(value) = args.first_undefined() {
                    return Ok(value.clone());
                }
                if self.mutable && super::methods::changes(&value, method) {
                    let target = self.thawed(base, value)?;
                    return super::methods::call(self, &target, method, args);
                }
                if super::methods::has(&value, method) {
                    return super::methods::call(self, &value, method, args);
                }
                if let Some(done) = object_method(&value, method, &args)? {
                    return Ok(done);
                }
                let callee = self.attr(&value, method, at)?;
                if undef(&callee).is_some() {
                    return Ok(callee);
                }
                self.call_value(&callee, args)
            }
            ExprKind::Name(name) => {
                if name.as_ref() == "super" && self.local(name).is_none() {
                    return self.super_block();
                }
                match self.local(name) {
                    Some(value) => {
                        let args = self.args(args)?;
                        self.call_value(&value, args)
                    }
                    None => match functions::find(name) {
                        Some(function) => {
                            let args = self.function_args(function, args)?;
                            (function.run)(self, args).map_err(|error| error.named(name))
                        }
                        None => {
                            let value = self.variable(name, callee.at)?;
                            if undef(&value).is_some() {
                                return Ok(value);
                            }
                            let args = self.args(args)?;
                            self.call_value(&value, args)
                        }
                    },
                }
            }
            _ => {
                let value = self.expr(callee)?;
                let args = self.args(args)?;
                self.call_value(&value, args)
            }
        }
    }

    /// Arguments of a function; literals of lookups that hold templates are rendered, as Ansible does.
    fn function_args(&mut self, function: &functions::Function, args: &ast::Args) -> Res<Args> {
        let mut done = self.args(args)?;
        if function.lookup {
            for (expr, value) in args.pos.iter().zip(&mut done.pos) {
                if let (ExprKind::Const(_), Some(text)) = (&expr.kind, value.as_str())
                    && crate::yaml::has_template(text)
                {
                    let text = text.to_owned();
                    *value = self.embedded(&text)?;
                }
            }
        } else if let Some(value) = done.first_undefined() {
            return Err(trip(value));
        }
        Ok(done)
    }

    /// A value that a method changes, in a form that can change, in its variable's place.
    fn thawed(&mut self, base: &Expr, value: Value) -> Res<Value> {
        if mutable::is_mutable(&value) {
            return Ok(value);
        }
        // `a.b.append(x)`: what changes is inside `a`.
        let mut root = base;
        while let ExprKind::Attr(inner, _) | ExprKind::Item(inner, _) = &root.kind {
            root = inner;
        }
        if let ExprKind::Name(name) = &root.kind {
            let whole = self.variable(name, root.at)?;
            let whole = super::finish::result(whole)?;
            self.replace(name, mutable::thaw(&whole));
            return self.expr(base);
        }
        Ok(mutable::thaw(&value))
    }

    pub(crate) fn call_value(&mut self, callee: &Value, args: Args) -> Res<Value> {
        if undef(callee).is_some() {
            return Ok(callee.clone());
        }
        if let Some(value) = callee.downcast_object::<MacroValue>() {
            return self.call_macro(&value, args, None);
        }
        if let Some(state) = callee.downcast_object::<Loop>() {
            let Some(it) = state.recursive.clone() else {
                return Err(fault("this loop is not `recursive`"));
            };
            let [items] = args.bind(["iterable"])?;
            let mut out = Out::default();
            let items = items.unwrap_or(Value::UNDEFINED);
            self.run_loop(&it, &items, state.depth() + 1, &mut out)?;
            return out.text().map(Value::from);
        }
        if let Some(joiner) = callee.downcast_object_ref::<Joiner>() {
            let first = joiner.used.swap(1, std::sync::atomic::Ordering::Relaxed) == 0;
            return Ok(if first {
                Value::from("")
            } else {
                joiner.sep.clone()
            });
        }
        Err(fault(format!(
            "{} is not callable",
            data::described(callee)
        )))
    }

    pub(super) fn call_with_caller(&mut self, call: &Expr, caller: Value) -> Res<Value> {
        let ExprKind::Call(callee, args) = &call.kind else {
            return Err(fault("expected a call"));
        };
        let value = self.expr(callee)?;
        check(&value)?;
        let args = self.args(args)?;
        match value.downcast_object::<MacroValue>() {
            Some(value) => self.call_macro(&value, args, Some(caller)),
            None => Err(fault("only macros can be called with a block").at(|| self.place(call.at))),
        }
    }

    fn call_macro(
        &mut self,
        value: &Arc<MacroValue>,
        mut args: Args,
        caller: Option<Value>,
    ) -> Res<Value> {
        let decl = Arc::clone(&value.decl);
        let mut locals = value.closure.clone();
        let top = value.top.upgrade().unwrap_or_default();
        let mut given = args.pos.drain(..);
        let mut bound: Vec<(Arc<str>, Option<Value>)> = Vec::with_capacity(decl.params.len());
        for (name, _) in &decl.params {
            bound.push((Arc::clone(name), given.next()));
        }
        let varargs: Vec<Value> = given.collect();
        let mut kwargs = indexmap::IndexMap::new();
        for (name, value) in args.kw {
            match bound.iter_mut().find(|(n, _)| *n == name) {
                Some((_, slot)) => *slot = Some(value),
                None => {
                    kwargs.insert(Value::from(name), value);
                }
            }
        }
        locals.push((Arc::from("varargs"), data::tuple(varargs)));
        locals.push((Arc::from("kwargs"), data::dict(kwargs)));
        if let Some(caller) = caller {
            locals.push((Arc::from("caller"), caller));
        }
        let origin = value.origin.clone();
        self.elsewhere(&value.text, origin, |m| {
            m.isolated(locals, top, |m| {
                for ((name, given), (_, default)) in bound.into_iter().zip(&decl.params) {
                    let value = match (given, default) {
                        (Some(value), _) => value,
                        (None, Some(default)) => m.expr(default)?,
                        (None, None) => crate::template::value::Undef::value(
                            crate::template::value::undefined::Why::Said(format!(
                                "parameter `{name}` of macro `{}` was not given",
                                decl.name
                            )),
                            None,
                        ),
                    };
                    m.locals.push((name, value));
                }
                let mut out = Out::default();
                m.body(&decl.body, &mut out)?;
                Ok(out.value())
            })
        })
    }
}

/// Methods of `loop`, cyclers and the like.
pub(super) fn object_method(object: &Value, method: &str, args: &Args) -> Res<Option<Value>> {
    if kind(object) != Kind::Other {
        return Ok(None);
    }
    if let Some(state) = object.downcast_object_ref::<Loop>() {
        return Ok(match method {
            "cycle" => state.cycle(&args.pos),
            "changed" => Some(Value::from(state.changed(&args.pos))),
            _ => None,
        });
    }
    if let Some(cycler) = object.downcast_object_ref::<Cycler>() {
        return Ok(match method {
            "next" => cycler.advance(),
            "reset" => {
                cycler.next.store(0, std::sync::atomic::Ordering::Relaxed);
                Some(Value::from(()))
            }
            _ => None,
        });
    }
    crate::template::datetime::method(object, method, args)
}
