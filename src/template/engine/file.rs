//! Template files.

use super::kept::Kept;
use super::{Engine, file_syntax_error, normalized, pad_newlines, simple_error};
use crate::template::eval::{Files, Machine, Out, finish};
use crate::template::jinja::ast::Template;
use crate::template::jinja::{At, Syntax, SyntaxError, parser};
use crate::template::value::undefined::{Origin, Place, Res, Why, undef};
use crate::template::{Scope, TemplateError, TemplateOptions, options, to_text};
use minijinja::Value;
use std::sync::{Arc, PoisonError};

impl Engine {
    pub(super) fn parsed_file(
        &self,
        text: &str,
        name: Option<&Arc<str>>,
        syntax: &Syntax,
    ) -> Result<Arc<Template>, SyntaxError> {
        let kept = {
            let mut files = self
                .inner
                .files
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            match files.get(syntax) {
                Some(kept) => Arc::clone(kept),
                None => {
                    let kept = Arc::new(Kept::new());
                    files.insert(syntax.clone(), Arc::clone(&kept));
                    kept
                }
            }
        };
        kept.get(text, |text| parser::template(text, name.cloned(), syntax))
    }

    /// A template file by name, from the first folder that has it.
    pub(crate) fn load(
        &self,
        name: &str,
        files: &Files,
    ) -> Result<Option<Arc<Template>>, TemplateError> {
        let relative = std::path::Path::new(name);
        let paths: Vec<_> = if relative.is_absolute() {
            vec![relative.to_path_buf()]
        } else {
            files
                .folders
                .iter()
                .map(|folder| folder.join(relative))
                .collect()
        };
        for path in paths {
            let Ok(source) = std::fs::read(&path) else {
                continue;
            };
            let source = String::from_utf8_lossy(&source);
            let source = normalized(&source);
            let name: Arc<str> = Arc::from(path.display().to_string());
            return self
                .parsed_file(&source, Some(&name), &files.syntax)
                .map(Some)
                .map_err(|error| file_syntax_error(error, &source, &name, ""));
        }
        Ok(None)
    }

    /// Renders the text of a template file.
    ///
    /// # Errors
    /// What is undefined, pending or wrong.
    pub fn render_file(
        &self,
        source: &str,
        options: &TemplateOptions,
        scope: &Arc<dyn Scope>,
    ) -> Result<String, TemplateError> {
        self.render_file_value(source, options, scope).map(|value| {
            if value.is_none() {
                String::new()
            } else {
                to_text(&value)
            }
        })
    }

    /// The same with its type kept: the `template` lookup.
    pub(crate) fn render_file_value(
        &self,
        source: &str,
        options: &TemplateOptions,
        scope: &Arc<dyn Scope>,
    ) -> Result<Value, TemplateError> {
        let source = normalized(source);
        let name: Arc<str> = Arc::from(options.name.as_str());
        let (skip, syntax) = options::header(&source, options.syntax()).map_err(|message| {
            let place = Place {
                origin: Origin::File(Arc::clone(&name), Arc::from("")),
                text: Arc::from(source.as_ref()),
                at: At::new(0, "#jinja2:".len()),
            };
            simple_error(message, place.span().as_ref())
        })?;
        let (head, body) = source.split_at(skip);
        let template = self
            .parsed_file(body, Some(&name), &syntax)
            .map_err(|error| file_syntax_error(error, body, &name, head))?;
        let mut folders = options.folders.clone();
        folders.extend(scope.search_paths());
        let newline = syntax.newline.clone();
        let files = Files {
            folders,
            syntax: Arc::new(syntax),
        };
        let run = || -> Res<Value> {
            let origin = Origin::File(Arc::clone(&name), Arc::from(head));
            let mut machine = Machine::new(self, scope, &template.text, origin)
                .mutable(template.mutates)
                .files(&files);
            let mut out = Out::default();
            machine.run(&template, &mut out)?;
            let value = out.value();
            // An `if` without `else` is nothing where text is wanted.
            if undef(&value).is_some_and(|u| matches!(u.why, Why::Nothing)) {
                return Ok(Value::from(""));
            }
            finish::result(value)
        };
        let value = run().map_err(|fault| fault.into_error(scope.as_ref()))?;
        Ok(pad_newlines(body, value, &newline))
    }
}
