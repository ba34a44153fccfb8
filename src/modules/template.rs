//! `template`: a Jinja2 template of the controller, rendered, as a file of the host.

use super::attrs::{Mode, file_params};
use super::put::Put;
use super::write::Content;
use super::{
    Args, Controller, Failure, FreeForm, Module, Param, Runs, Spec, Step, TemplateOptions, Type,
};
use minijinja::Value;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

/// See the module's own documentation.
pub(crate) struct Template;

static SPEC: Spec = Spec {
    name: "template",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Render a template to a file on the host",
    params: file_params![
        Param::new("src", Type::Str, "template, searched in `templates/`").required(),
        Param::new("dest", Type::Path, "where to write it, or a folder").required(),
        Param::new("backup", Type::Bool, "keep a dated copy of the old file").default("false"),
        Param::new("force", Type::Bool, "replace a file that differs").default("true"),
        Param::new("follow", Type::Bool, "write through a link at `dest`").default("false"),
        Param::new(
            "validate",
            Type::Str,
            "command that must accept the file, `%s` is its path"
        ),
        Param::new("newline_sequence", Type::Str, "line end to write").default("\n"),
        Param::new("block_start_string", Type::Str, "start of a block").default("{%"),
        Param::new("block_end_string", Type::Str, "end of a block").default("%}"),
        Param::new("variable_start_string", Type::Str, "start of an expression").default("{{"),
        Param::new("variable_end_string", Type::Str, "end of an expression").default("}}"),
        Param::new("comment_start_string", Type::Str, "start of a comment"),
        Param::new("comment_end_string", Type::Str, "end of a comment"),
        Param::new("trim_blocks", Type::Bool, "drop the newline behind a block").default("true"),
        Param::new("lstrip_blocks", Type::Bool, "strip blanks before a block").default("false"),
        Param::new(
            "output_encoding",
            Type::Str,
            "encoding to write: utf-8 or latin-1"
        )
        .default("utf-8"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Template {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let src = args.text("src");
        let path = controller.find("templates", &src)?;
        let text = controller.render(&path, &options(args, &path.to_string_lossy())?)?;
        let mut put = Put::new(
            args,
            Content::new(encode(&text, &args.text("output_encoding"))?),
            controller,
        )?;
        put.name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        put.src = Some(path.to_string_lossy().into_owned());
        if args.str("mode").as_deref() == Some("preserve") {
            let meta =
                std::fs::metadata(&path).map_err(|why| Failure::of("src", why.to_string()))?;
            put.attrs.mode = Some(Mode::Bits(meta.permissions().mode() & 0o7777));
        }
        Ok(Box::new(put))
    }
}

fn options(args: &Args, path: &str) -> Result<TemplateOptions, Failure> {
    let newline = args.text("newline_sequence");
    let newline = match newline.as_str() {
        "\\n" => "\n",
        "\\r" => "\r",
        "\\r\\n" => "\r\n",
        other => other,
    };
    if !["\n", "\r", "\r\n"].contains(&newline) {
        return Err(Failure::of(
            "newline_sequence",
            "newline_sequence needs to be one of: \\n, \\r or \\r\\n",
        ));
    }
    Ok(TemplateOptions {
        trim_blocks: args.bool("trim_blocks"),
        lstrip_blocks: args.bool("lstrip_blocks"),
        newline_sequence: newline.into(),
        delimiters: [
            ("block_start_string", "{%"),
            ("block_end_string", "%}"),
            ("variable_start_string", "{{"),
            ("variable_end_string", "}}"),
            ("comment_start_string", "{#"),
            ("comment_end_string", "#}"),
        ]
        .map(|(name, usual)| args.str(name).filter(|given| given != usual)),
        extra: vec![
            ("template_host".into(), Value::from(own_name())),
            ("template_uid".into(), Value::from(owner(path))),
            ("template_mtime".into(), Value::from(changed(path))),
            (
                "template_run_date".into(),
                Value::from(stamp(OffsetDateTime::now_utc())),
            ),
            ("template_path".into(), Value::from(args.text("src"))),
            ("template_fullpath".into(), Value::from(path)),
            ("template_destpath".into(), Value::from(args.text("dest"))),
        ],
    })
}

/// The controller's name.
fn own_name() -> String {
    let uname = rustix::system::uname();
    uname.nodename().to_string_lossy().into_owned()
}

/// Who owns a template: the name, or the number of an account that has none.
fn owner(path: &str) -> String {
    let uid = std::fs::metadata(path)
        .map_or(0, |meta| meta.uid())
        .to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1) == Some(uid.as_str())).then(|| name.to_owned())
    });
    name.unwrap_or(uid)
}

/// When a template was changed.
fn changed(path: &str) -> String {
    let modified = std::fs::metadata(path).and_then(|meta| meta.modified());
    modified.map_or_else(|_| String::new(), |time| stamp(time.into()))
}

/// A time as Python shows it.
fn stamp(time: OffsetDateTime) -> String {
    const FORM: &[BorrowedFormatItem<'_>] =
        format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6]");
    time.format(FORM).unwrap_or_default()
}

fn encode(text: &str, encoding: &str) -> Result<Vec<u8>, Failure> {
    let name = encoding.to_ascii_lowercase().replace(['-', '_'], "");
    let top = match name.as_str() {
        "utf8" => return Ok(text.as_bytes().to_vec()),
        "latin1" | "iso88591" => 0x100,
        "ascii" | "usascii" => 0x80,
        _ => {
            return Err(Failure::of(
                "output_encoding",
                format!("the encoding {encoding} is not known here: use utf-8, latin-1 or ascii"),
            ));
        }
    };
    text.chars()
        .map(|c| {
            u8::try_from(u32::from(c))
                .ok()
                .filter(|_| u32::from(c) < top)
        })
        .collect::<Option<Vec<u8>>>()
        .ok_or_else(|| {
            Failure::of(
                "output_encoding",
                format!("the result cannot be written as {encoding}"),
            )
        })
}
