//! `copy`: a file, a folder or given contents as files of the host.

use super::attrs::{Attrs, Mode, file_params};
use super::copy_remote::RemoteCopy;
use super::copy_tree::Tree;
use super::put::Put;
use super::write::Content;
use super::{Args, Controller, Failure, FreeForm, Module, Param, Runs, Spec, Step, Type};
use minijinja::Value;
use minijinja::value::ValueKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// See the module's own documentation.
pub(crate) struct Copy;

static SPEC: Spec = Spec {
    name: "copy",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Copy files to the host",
    params: file_params![
        Param::new(
            "src",
            Type::Path,
            "file or folder, searched in `files/`; with `/` at the end only what is in it"
        ),
        Param::new(
            "content",
            Type::Raw,
            "contents of the file; a list or mapping is written as JSON"
        ),
        Param::new("dest", Type::Path, "where to write it, or a folder").required(),
        Param::new("backup", Type::Bool, "keep a dated copy of the old file").default("false"),
        Param::new("force", Type::Bool, "replace a file that differs")
            .default("true")
            .aliases(&["thirsty"]),
        Param::new("follow", Type::Bool, "write through a link at `dest`").default("false"),
        Param::new(
            "local_follow",
            Type::Bool,
            "copy what links point to instead of links"
        )
        .default("true"),
        Param::new("remote_src", Type::Bool, "`src` is on the host").default("false"),
        Param::new("directory_mode", Type::Raw, "mode of folders that are made"),
        Param::new(
            "validate",
            Type::Str,
            "command that must accept the file, `%s` is its path"
        ),
        Param::new("checksum", Type::Str, "SHA-1 that the source must have"),
        Param::new("decrypt", Type::Bool, "decrypt a vaulted source").default("true"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Copy {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, controller: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        let (src, content) = (args.str("src"), args.get("content"));
        let directory_mode = args.get("directory_mode").map(Mode::new).transpose()?;
        match (src.filter(|src| !src.is_empty()), content) {
            (None, None) => Err(Failure::new("src (or content) is required")),
            (Some(_), Some(_)) => Err(Failure::new("src and content are mutually exclusive")),
            (None, Some(content)) => {
                if args.text("dest").ends_with('/') {
                    return Err(Failure::of(
                        "dest",
                        "can not use content with a dir as dest",
                    ));
                }
                let put = Put::new(args, Content::new(bytes(content)?), controller)?;
                check(args, &put.content)?;
                Ok(Box::new(put))
            }
            (Some(src), None) if args.bool("remote_src") => {
                Ok(Box::new(RemoteCopy::new(src, args, directory_mode)?))
            }
            (Some(src), None) => {
                let path = controller.find("files", src.trim_end_matches('/'))?;
                if path.is_dir() {
                    return Ok(Box::new(Tree::new(
                        &path,
                        src.ends_with('/'),
                        args,
                        controller,
                        directory_mode,
                    )?));
                }
                let mut put = Put::new(args, read(&path, args, controller)?, controller)?;
                check(args, &put.content)?;
                put.name = path
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned());
                put.src = Some(path.to_string_lossy().into_owned());
                put.directory_mode = directory_mode;
                preserve(args, &path, &mut put.attrs)?;
                Ok(Box::new(put))
            }
        }
    }
}

/// A file of the controller.
pub(crate) fn read(
    path: &Path,
    args: &Args,
    controller: &dyn Controller,
) -> Result<Content, Failure> {
    let bytes = if args.bool("decrypt") {
        controller.read(path)?
    } else {
        controller.read_as_is(path)?
    };
    Ok(Content::of_file(path.to_owned(), bytes))
}

/// `mode: preserve` means the mode of the controller's file.
pub(crate) fn preserve(args: &Args, path: &Path, attrs: &mut Attrs) -> Result<(), Failure> {
    if args.str("mode").as_deref() == Some("preserve") {
        let meta = std::fs::metadata(path).map_err(|why| Failure::of("src", why.to_string()))?;
        attrs.mode = Some(Mode::Bits(meta.permissions().mode() & 0o7777));
    }
    Ok(())
}

fn check(args: &Args, content: &Content) -> Result<(), Failure> {
    match args.str("checksum") {
        Some(expected) if expected != content.sha1 => {
            let mut failure = Failure::of(
                "checksum",
                "Copied file does not match the expected checksum. Transfer failed.",
            );
            failure
                .data
                .insert("checksum".into(), content.sha1.clone().into());
            failure
                .data
                .insert("expected_checksum".into(), expected.into());
            Err(failure)
        }
        _ => Ok(()),
    }
}

/// `content` as bytes: text as it is, lists and mappings as Python's `json.dumps` writes them.
pub(crate) fn bytes(content: &Value) -> Result<Vec<u8>, Failure> {
    if matches!(
        content.kind(),
        ValueKind::Map | ValueKind::Seq | ValueKind::Iterable
    ) {
        let json =
            serde_json::to_value(content).map_err(|why| Failure::of("content", why.to_string()))?;
        return Ok(python_json(&json).into_bytes());
    }
    Ok(match content.as_bytes() {
        Some(bytes) => bytes.to_vec(),
        None => super::args::text(content).into_bytes(),
    })
}

/// JSON with a blank behind `,` and `:` and everything beyond ASCII escaped.
pub(crate) fn python_json(value: &serde_json::Value) -> String {
    use serde_json::Value as J;
    match value {
        J::Array(items) => {
            let items: Vec<String> = items.iter().map(python_json).collect();
            format!("[{}]", items.join(", "))
        }
        J::Object(map) => {
            let items: Vec<String> = map
                .iter()
                .map(|(key, value)| {
                    format!(
                        "{}: {}",
                        python_json(&J::from(key.as_str())),
                        python_json(value)
                    )
                })
                .collect();
            format!("{{{}}}", items.join(", "))
        }
        J::String(text) => {
            let mut out = String::new();
            for c in J::from(text.as_str()).to_string().chars() {
                if c.is_ascii() {
                    out.push(c);
                } else {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
            }
            out
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_written_like_python() {
        let value: serde_json::Value =
            serde_json::from_str(r#"{"b":[1,2.5,true,null],"a":"é\n\"😀"}"#).unwrap();
        assert_eq!(
            python_json(&value),
            r#"{"b": [1, 2.5, true, null], "a": "\u00e9\n\"\ud83d\ude00"}"#
        );
    }
}
