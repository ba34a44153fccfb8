//! How a template file is read.

use super::jinja::Syntax;
use std::path::PathBuf;

/// Options of the `template` module and lookup, with their defaults.
#[derive(Debug, Clone)]
pub struct TemplateOptions {
    /// The file's name as people know it, for diagnostics.
    pub name: String,
    /// Folders searched by `include`, `import` and `extends`, besides the scope's own.
    pub folders: Vec<PathBuf>,
    /// `block_start_string` and `block_end_string`.
    pub block: (String, String),
    /// `variable_start_string` and `variable_end_string`.
    pub variable: (String, String),
    /// `comment_start_string` and `comment_end_string`.
    pub comment: (String, String),
    /// The newline behind a block tag is dropped.
    pub trim_blocks: bool,
    /// Blanks before a block tag that stands first on its line are dropped.
    pub lstrip_blocks: bool,
    /// What a newline of the template becomes.
    pub newline_sequence: String,
}

impl Default for TemplateOptions {
    fn default() -> Self {
        let syntax = Syntax::default();
        Self {
            name: "<template>".to_owned(),
            folders: Vec::new(),
            block: syntax.block,
            variable: syntax.variable,
            comment: syntax.comment,
            trim_blocks: true,
            lstrip_blocks: false,
            newline_sequence: "\n".to_owned(),
        }
    }
}

impl TemplateOptions {
    pub(crate) fn syntax(&self) -> Syntax {
        Syntax {
            block: self.block.clone(),
            variable: self.variable.clone(),
            comment: self.comment.clone(),
            line_statement: None,
            line_comment: None,
            trim_blocks: self.trim_blocks,
            lstrip_blocks: self.lstrip_blocks,
            newline: self.newline_sequence.clone(),
            keep_trailing_newline: false,
            raw_backslashes: false,
        }
    }
}

/// The header `#jinja2: key:value, …` of a template: how many bytes it takes, and the syntax it asks for.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn header(source: &str, mut syntax: Syntax) -> Result<(usize, Syntax), String> {
    let Some(rest) = source.strip_prefix("#jinja2:") else {
        return Ok((0, syntax));
    };
    let (line, _) = rest
        .split_once('\n')
        .ok_or("a newline is missing behind `#jinja2:`")?;
    for pair in line.trim_end_matches('\r').split(',') {
        let (key, value) = pair.split_once(':').ok_or_else(|| {
            format!(
                "expected `key: value` in `#jinja2:`, found `{}`",
                pair.trim()
            )
        })?;
        let (key, value) = (key.trim(), value.trim());
        let flag = || match value {
            "True" | "true" => Ok(true),
            "False" | "false" => Ok(false),
            _ => Err(format!("`{key}` must be True or False, not `{value}`")),
        };
        let text = || {
            let inner = value
                .strip_prefix(['\'', '"'])
                .and_then(|v| v.strip_suffix(['\'', '"']));
            inner
                .map(|v| v.replace("\\n", "\n").replace("\\r", "\r"))
                .ok_or_else(|| format!("`{key}` must be a quoted string, not `{value}`"))
        };
        match key {
            "trim_blocks" => syntax.trim_blocks = flag()?,
            "lstrip_blocks" => syntax.lstrip_blocks = flag()?,
            "keep_trailing_newline" => syntax.keep_trailing_newline = flag()?,
            "newline_sequence" => syntax.newline = text()?,
            "block_start_string" => syntax.block.0 = text()?,
            "block_end_string" => syntax.block.1 = text()?,
            "variable_start_string" => syntax.variable.0 = text()?,
            "variable_end_string" => syntax.variable.1 = text()?,
            "comment_start_string" => syntax.comment.0 = text()?,
            "comment_end_string" => syntax.comment.1 = text()?,
            "line_statement_prefix" => syntax.line_statement = Some(text()?),
            "line_comment_prefix" => syntax.line_comment = Some(text()?),
            _ => return Err(format!("unknown key `{key}` in `#jinja2:`")),
        }
    }
    Ok(("#jinja2:".len() + line.len() + 1, syntax))
}
