//! `blockinfile`: lines between two markers in a text file.

use super::attrs::file_params;
use super::edit::{Edit, EditStep, Edited};
use super::regex::{self, Encoding, Flags};
use super::{Args, Controller, Failure, FreeForm, Module, Param, Runs, Spec, Step, Type};

/// See the module's own documentation.
pub(crate) struct Blockinfile;

static SPEC: Spec = Spec {
    name: "blockinfile",
    collection: "ansible.builtin",
    aliases: &[],
    doc: "Keep lines between two markers in a file",
    params: file_params![
        Param::new("path", Type::Path, "the file")
            .required()
            .aliases(&["dest", "destfile", "name"]),
        Param::new("state", Type::Str, "whether the block is there")
            .default("present")
            .choices(&["absent", "present"]),
        Param::new(
            "marker",
            Type::Str,
            "the marker lines, `{mark}` is replaced"
        )
        .default("# {mark} ANSIBLE MANAGED BLOCK"),
        Param::new("block", Type::Str, "the lines; none removes the block")
            .default("")
            .aliases(&["content"]),
        Param::new(
            "insertafter",
            Type::Str,
            "`EOF` or the pattern of the line before"
        ),
        Param::new(
            "insertbefore",
            Type::Str,
            "`BOF` or the pattern of the line behind"
        ),
        Param::new("create", Type::Bool, "make the file when it is missing").default("false"),
        Param::new("backup", Type::Bool, "keep a dated copy of the old file").default("false"),
        Param::new(
            "validate",
            Type::Str,
            "command that must accept the file, `%s` is its path"
        ),
        Param::new("marker_begin", Type::Str, "`{mark}` of the first marker").default("BEGIN"),
        Param::new("marker_end", Type::Str, "`{mark}` of the last marker").default("END"),
        Param::new(
            "append_newline",
            Type::Bool,
            "keep an empty line behind the block"
        )
        .default("false"),
        Param::new(
            "prepend_newline",
            Type::Bool,
            "keep an empty line before the block"
        )
        .default("false"),
    ],
    free_form: FreeForm::Pairs,
    runs: Runs::Host,
};

impl Module for Blockinfile {
    fn spec(&self) -> &'static Spec {
        &SPEC
    }

    fn plan(&self, args: &Args, _: &dyn Controller) -> Result<Box<dyn Step>, Failure> {
        if args.has("insertbefore") && args.has("insertafter") {
            return Err(Failure::of(
                "insertafter",
                "parameters are mutually exclusive: insertbefore|insertafter",
            ));
        }
        let marker = args.text("marker");
        let edit = Block {
            present: args.text("state") == "present",
            block: args.text("block"),
            begin: format!("{}\n", marker.replace("{mark}", &args.text("marker_begin"))),
            end: format!("{}\n", marker.replace("{mark}", &args.text("marker_end"))),
            insertafter: args.str("insertafter"),
            insertbefore: args.str("insertbefore"),
            create: args.bool("create"),
            append_newline: args.bool("append_newline"),
            prepend_newline: args.bool("prepend_newline"),
        };
        for (name, pattern) in [
            ("insertafter", &edit.insertafter),
            ("insertbefore", &edit.insertbefore),
        ] {
            if let Some(pattern) = pattern {
                regex::compile(pattern, Flags::default()).map_err(|why| Failure::of(name, why))?;
            }
        }
        Ok(Box::new(EditStep::new(args, edit)?))
    }
}

struct Block {
    present: bool,
    block: String,
    begin: String,
    end: String,
    insertafter: Option<String>,
    insertbefore: Option<String>,
    create: bool,
    append_newline: bool,
    prepend_newline: bool,
}

/// Lines with their ends, split where Python splits bytes: at `\n`, `\r\n` and `\r`.
fn split(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if let Some(line) = lines.last_mut() {
            line.push(c);
        }
        if c == '\n' || c == '\r' && chars.peek() != Some(&'\n') {
            lines.push(String::new());
        }
    }
    if lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

impl Edit for Block {
    fn edit(&self, path: &str, old: Option<&[u8]>) -> Result<Edited, Failure> {
        if old.is_none() && !self.create {
            let mut failure = Failure::new(format!("Path {path} does not exist !"));
            failure.data.insert("rc".into(), 257.into());
            return Err(failure);
        }
        if old.is_none() && !self.present {
            return Ok(Edited {
                msg: format!("File {path} not present"),
                ..Edited::default()
            });
        }
        let encoding = Encoding::of(old.unwrap_or_default());
        let text = encoding.decode(old.unwrap_or_default());
        let mut lines = split(&text);
        let (begin, end) = (encoding.argument(&self.begin), encoding.argument(&self.end));
        let mut block = encoding.argument(&self.block).into_owned();
        let mut new = Vec::new();
        if self.present && !block.is_empty() {
            if !block.ends_with('\n') {
                block.push('\n');
            }
            new.push(begin.clone().into_owned());
            new.extend(split(&block));
            new.push(end.clone().into_owned());
        }
        let first = lines.iter().rposition(|line| *line == begin);
        let last = lines.iter().rposition(|line| *line == end);
        let mut at = match (first, last) {
            (Some(first), Some(last)) => {
                let (from, to) = (first.min(last), first.max(last));
                lines.drain(from..=to);
                from
            }
            _ => self.place(&lines, &text, encoding)?,
        };
        if at > 0 && !lines[at - 1].ends_with('\n') {
            lines[at - 1].push('\n');
        }
        if self.prepend_newline && self.present && at != 0 && lines[at - 1] != "\n" {
            lines.insert(at, "\n".into());
            at += 1;
        }
        let behind = at + new.len();
        let block_given = !new.is_empty();
        lines.splice(at..at, new);
        if self.append_newline && self.present && behind < lines.len() && lines[behind] != "\n" {
            lines.insert(behind, "\n".into());
        }
        let bytes = encoding.encode(&lines.concat());
        if old == Some(&bytes) {
            return Ok(Edited::default());
        }
        let msg = match old {
            None => "File created",
            Some(_) if block_given => "Block inserted",
            Some(_) => "Block removed",
        };
        Ok(Edited {
            bytes: Some(bytes),
            msg: msg.into(),
            ..Edited::default()
        })
    }
}

impl Block {
    /// Where the block goes when the markers are not there yet.
    fn place(&self, lines: &[String], text: &str, encoding: Encoding) -> Result<usize, Failure> {
        let after = self.insertafter.as_deref();
        let before = self.insertbefore.as_deref();
        let pattern = match (after, before) {
            (Some(after), _) if after != "EOF" => after,
            (None, Some(before)) if before != "BOF" => before,
            (None, Some(_)) => return Ok(0),
            _ => return Ok(lines.len()),
        };
        let regex =
            regex::compile(&encoding.argument(pattern), Flags::default()).map_err(Failure::new)?;
        let flags = pattern
            .strip_prefix("(?")
            .and_then(|rest| rest.split_once(')'))
            .map_or("", |(flags, _)| flags);
        let found = if flags.contains('m') && flags.chars().all(char::is_alphabetic) {
            // Such a pattern may span lines: the line is counted in the whole text.
            regex.find(text).ok().flatten().map(|found| {
                let end = if after.is_some() {
                    found.end()
                } else {
                    found.start()
                };
                text[..end].matches('\n').count()
            })
        } else {
            lines.iter().rposition(|line| regex::search(&regex, line))
        };
        Ok(match found {
            None => lines.len(),
            Some(at) if after.is_some() => (at + 1).min(lines.len()),
            Some(at) => at,
        })
    }
}
