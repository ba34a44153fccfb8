//! Templates that use others: include, import, extends, blocks.

use super::objects::{Module, Top};
use super::{Machine, Out};
use crate::template::jinja::Syntax;
use crate::template::jinja::ast::{Block, Expr, Template};
use crate::template::value::data;
use crate::template::value::undefined::{Fault, Origin, Res, Undef, Why, check, fault};
use minijinja::Value;
use std::path::PathBuf;
use std::sync::Arc;

/// Where templates of the controller are found, and how they are read.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) folders: Vec<PathBuf>,
    pub(crate) syntax: Arc<Syntax>,
}

/// Text and origin of what is being run.
type Here = (Arc<str>, Origin);

impl Machine<'_> {
    pub(super) fn here(&self) -> Here {
        (Arc::clone(&self.text), self.origin.clone())
    }

    /// Names around a macro's definition, without those of the top.
    pub(super) fn closure(&self) -> Vec<(Arc<str>, Value)> {
        self.locals.clone()
    }

    /// Runs a whole template.
    pub(crate) fn run(&mut self, template: &Arc<Template>, out: &mut Out) -> Res<()> {
        for (name, block) in &template.blocks {
            self.blocks
                .entry(Arc::clone(name))
                .or_default()
                .push((Arc::clone(block), Arc::clone(template)));
        }
        self.body(&template.body, out)?;
        Ok(())
    }

    /// The template of that name; of a list of names the first there is.
    fn find(&mut self, name: &Expr) -> Res<Option<Arc<Template>>> {
        let at = name.at;
        let names = self.expr(name)?;
        check(&names)?;
        let names = if data::is_seq(&names) {
            data::items(&names)?
        } else {
            vec![names]
        };
        let Some(files) = self.files else {
            return Err(fault("templates cannot be included here").at(|| self.place(at)));
        };
        for name in &names {
            let Some(name) = name.as_str() else {
                return Err(fault("the name of a template must be a string").at(|| self.place(at)));
            };
            let engine = self.engine;
            let found = engine
                .load(name, files)
                .map_err(|error| Box::new(Fault::Template(error)))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn require(&mut self, name: &Expr) -> Res<Arc<Template>> {
        let place = self.place(name.at);
        match self.find(name)? {
            Some(template) => Ok(template),
            None => {
                let files = self.files.map_or(String::new(), |files| {
                    let folders: Vec<_> = files
                        .folders
                        .iter()
                        .map(|f| f.display().to_string())
                        .collect();
                    format!("searched in {}", folders.join(", "))
                });
                Err(fault("there is no such template").hint(files).at(|| place))
            }
        }
    }

    fn origin_of(template: &Template) -> Origin {
        match &template.name {
            Some(name) => Origin::File(Arc::clone(name), Arc::from("")),
            None => Origin::Nowhere,
        }
    }

    pub(super) fn include(
        &mut self,
        name: &Expr,
        ignore_missing: bool,
        with_context: bool,
        out: &mut Out,
    ) -> Res<()> {
        let template = if ignore_missing {
            match self.find(name)? {
                Some(template) => template,
                None => return Ok(()),
            }
        } else {
            self.require(name)?
        };
        let locals = if with_context {
            let mut all = self.top.all();
            all.extend(self.locals.iter().cloned());
            all
        } else {
            Vec::new()
        };
        let blocks = std::mem::take(&mut self.blocks);
        let mut inner = Out::default();
        let done = self.elsewhere(&template.text, Self::origin_of(&template), |m| {
            m.isolated(locals, Arc::new(Top::default()), |m| {
                m.run(&template, &mut inner)
            })
        });
        self.blocks = blocks;
        done?;
        out.push(inner.value())
    }

    pub(super) fn import(&mut self, name: &Expr, with_context: bool) -> Res<Value> {
        let (top, text) = self.module(name, with_context)?;
        Ok(Value::from_object(Module { top, text }))
    }

    fn module(&mut self, name: &Expr, with_context: bool) -> Res<(Arc<Top>, String)> {
        let template = self.require(name)?;
        let top = Arc::new(Top::default());
        if with_context {
            for (name, value) in self
                .top
                .all()
                .into_iter()
                .chain(self.locals.iter().cloned())
            {
                top.set(&name, value);
            }
        }
        let mut out = Out::default();
        let blocks = std::mem::take(&mut self.blocks);
        let done = self.elsewhere(&template.text, Self::origin_of(&template), |m| {
            m.isolated(Vec::new(), Arc::clone(&top), |m| m.run(&template, &mut out))
        });
        self.blocks = blocks;
        done?;
        self.modules.push(Arc::clone(&top));
        Ok((top, out.text()?))
    }

    pub(super) fn import_names(
        &mut self,
        name: &Expr,
        names: &[(Arc<str>, Arc<str>)],
        with_context: bool,
    ) -> Res<()> {
        let (top, _) = self.module(name, with_context)?;
        for (from, to) in names {
            // What the template lacks is undefined, and an error only when used.
            let value = top.get(from).unwrap_or_else(|| {
                let why = Why::Said(format!("the template has no `{from}` to import"));
                Undef::value(why, Some(self.place(name.at)))
            });
            self.set(to, value);
        }
        Ok(())
    }

    pub(super) fn extends(&mut self, name: &Expr, out: &mut Out) -> Res<()> {
        let parent = self.require(name)?;
        // What stands before `extends` was output already; Jinja drops it, too.
        *out = Out::default();
        self.calls += 1;
        if self.calls > super::MAX_CALLS {
            return Err(fault("templates extend each other without end"));
        }
        let done = self.elsewhere(&parent.text, Self::origin_of(&parent), |m| {
            m.run(&parent, out)
        });
        self.calls -= 1;
        done
    }

    /// Runs a block, as the most derived template defines it (or `depth` templates below).
    pub(super) fn block(&mut self, name: &Arc<str>, depth: usize, out: &mut Out) -> Res<()> {
        let found: Option<(Arc<Block>, Arc<Template>)> = self
            .blocks
            .get(name)
            .and_then(|all| all.get(depth))
            .cloned();
        let Some((block, template)) = found else {
            return Err(fault(format!("there is no parent block `{name}`")));
        };
        if block.required && depth == 0 {
            return Err(fault(format!("block `{name}` is required but not defined")));
        }
        let outer = self.current_block.replace((Arc::clone(name), depth));
        let locals = if block.scoped {
            self.locals.clone()
        } else {
            Vec::new()
        };
        let top = Arc::clone(&self.top);
        let done = self.elsewhere(&template.text, Self::origin_of(&template), |m| {
            m.isolated(locals, top, |m| m.scoped(|m| m.body(&block.body, out)))
        });
        self.current_block = outer;
        done.map(|_| ())
    }

    pub(super) fn super_block(&mut self) -> Res<Value> {
        let Some((name, depth)) = self.current_block.clone() else {
            return Err(fault("`super()` outside of a block"));
        };
        let mut out = Out::default();
        self.block(&name, depth + 1, &mut out)?;
        Ok(out.value())
    }

    /// `self.name()`
    pub(crate) fn block_by_name(&mut self, name: &str) -> Res<Value> {
        let mut out = Out::default();
        self.block(&Arc::from(name), 0, &mut out)?;
        Ok(out.value())
    }
}
