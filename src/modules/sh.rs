//! Words for the shell, and results made of what a command wrote.

use super::{Outcome, Seen};
use crate::remote::Reply;
use minijinja::Value;

/// One word, quoted so that `sh` takes it literally.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\0', "").replace('\'', r"'\''"))
    }
}

/// Words, quoted and joined with blanks.
pub fn join<I>(words: I) -> String
where
    I: IntoIterator,
    I::Item: AsRef<str>,
{
    words
        .into_iter()
        .map(|word| quote(word.as_ref()))
        .collect::<Vec<_>>()
        .join(" ")
}

/// A word in which a leading `~` or `~user` and `$VAR`, `${VAR}` mean what Python's `expanduser` and `expandvars`
/// make of them: an unset variable stays as it is written. With `glob`, `*`, `?` and `[…]` match files.
#[must_use]
pub fn expanding(word: &str, glob: bool) -> String {
    let mut out = String::new();
    let mut rest = word;
    if let Some(tail) = word.strip_prefix('~') {
        let end = tail.find('/').unwrap_or(tail.len());
        let user = &tail[..end];
        if user
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c))
        {
            out.push('~');
            out.push_str(user);
            rest = &tail[end..];
            // The slash that ends the name must not be quoted.
            if let Some(tail) = rest.strip_prefix('/') {
                out.push('/');
                rest = tail;
            }
        }
    }
    let mut literal = String::new();
    let flush = |out: &mut String, literal: &mut String| {
        if !literal.is_empty() {
            out.push_str(&quote(literal));
            literal.clear();
        }
    };
    while let Some(c) = rest.chars().next() {
        if c == '$'
            && let Some((name, written)) = variable(rest)
        {
            flush(&mut out, &mut literal);
            let written_quoted = written.replace('}', "\\}");
            out.push_str(&format!("\"${{{name}-\\{written_quoted}}}\""));
            rest = &rest[written.len()..];
            continue;
        }
        if glob && "*?[]".contains(c) {
            flush(&mut out, &mut literal);
            out.push(c);
        } else {
            literal.push(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    flush(&mut out, &mut literal);
    if out.is_empty() { "''".into() } else { out }
}

/// Whether [`expanding`] leaves anything of a word to the shell.
#[must_use]
pub fn expands(word: &str) -> bool {
    let quoted = quote(word);
    expanding(word, false) != quoted
}

/// The name of the variable that a text starting with `$` refers to, and the reference as written.
fn variable(text: &str) -> Option<(&str, &str)> {
    let body = &text[1..];
    let name_end = |s: &str| {
        s.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(s.len())
    };
    let (name, len) = if let Some(inner) = body.strip_prefix('{') {
        let end = name_end(inner);
        if !inner[end..].starts_with('}') {
            return None;
        }
        (&inner[..end], end + 3)
    } else {
        let end = name_end(body);
        (&body[..end], end + 1)
    };
    let ok = name
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    ok.then(|| (name, &text[..len]))
}

/// Lines as Python's `splitlines` gives them.
#[must_use]
pub fn lines(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\n' | '\x0b' | '\x0c' | '\x1c' | '\x1d' | '\x1e' | '\u{85}' | '\u{2028}'
            | '\u{2029}' => lines.push(std::mem::take(&mut line)),
            '\r' => {
                chars.next_if_eq(&'\n');
                lines.push(std::mem::take(&mut line));
            }
            _ => line.push(c),
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// The result with `stdout`, `stderr` and their `_lines`.
#[must_use]
pub fn streams(outcome: Outcome, stdout: &str, stderr: &str) -> Outcome {
    outcome
        .with("stdout", stdout)
        .with("stdout_lines", strings(lines(stdout)))
        .with("stderr", stderr)
        .with("stderr_lines", strings(lines(stderr)))
}

/// A list of texts as a value.
pub fn strings<I>(items: I) -> Value
where
    I: IntoIterator,
    I::Item: Into<String>,
{
    items
        .into_iter()
        .map(|item| Value::from(item.into()))
        .collect::<Vec<_>>()
        .into()
}

/// A failed result of a command that ended badly, with everything it wrote.
#[must_use]
pub fn failed(msg: impl Into<String>, reply: &Reply) -> Outcome {
    streams(
        Outcome::failed(msg).with("rc", reply.rc),
        &reply.out(),
        &reply.err(),
    )
}

/// Exit status and text of a script that was asked; `None` when it was not (yet).
#[must_use]
pub fn answer(seen: &Seen, script: &str) -> Option<(i32, String)> {
    seen.script(script)
        .map(|(rc, out)| (rc, String::from_utf8_lossy(out).into_owned()))
}

/// Whether a name matches a pattern of `*`, `?` and `[…]`, as Python's `fnmatch` says.
#[must_use]
pub fn fnmatch(pattern: &str, name: &str) -> bool {
    let mut regex = String::from("(?s)^");
    regex.push_str(&glob_regex(pattern));
    regex.push('$');
    regex::Regex::new(&regex).is_ok_and(|regex| regex.is_match(name))
}

/// A pattern of `*`, `?` and `[…]` as a regular expression that both `grep -E` and Rust understand.
#[must_use]
pub fn glob_regex(pattern: &str) -> String {
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '[' => {
                // A `]` right at the start belongs to the set.
                let skip = usize::from(rest.starts_with('!'));
                let from = skip + usize::from(rest[skip..].starts_with(']'));
                if let Some(end) = rest[from..].find(']').map(|i| i + from) {
                    out.push('[');
                    out.push_str(if skip == 1 { "^" } else { "" });
                    out.push_str(&rest[skip..end].replace('\\', r"\\"));
                    out.push(']');
                    rest = &rest[end + 1..];
                } else {
                    out.push_str(r"\[");
                }
            }
            c if c.is_ascii_alphanumeric() || "_-:/, =~@%".contains(c) || !c.is_ascii() => {
                out.push(c);
            }
            c => {
                out.push('\\');
                out.push(c);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> String {
        let out = std::process::Command::new("sh")
            .args(["-c", script])
            .env("SET", "a b")
            .env_remove("UNSET")
            .output()
            .unwrap();
        String::from_utf8(out.stdout).unwrap()
    }

    #[test]
    fn a_quoted_word_survives_the_shell() {
        for word in ["", "a b", "it's", "$HOME", "`x`", "\\", "a\nb", "*", "é"] {
            assert_eq!(sh(&format!("printf %s {}", quote(word))), word);
        }
    }

    #[test]
    fn variables_expand_as_in_python() {
        for (word, expected) in [
            ("x$SET", "xa b"),
            ("${SET}y", "a by"),
            ("$UNSET", "$UNSET"),
            ("${UNSET}", "${UNSET}"),
            ("$1", "$1"),
            ("${SET:-z}", "${SET:-z}"),
            ("a'b$", "a'b$"),
            ("", ""),
        ] {
            assert_eq!(
                sh(&format!("printf %s {}", expanding(word, false))),
                expected,
                "{word}"
            );
        }
        assert_eq!(
            sh(&format!("echo {}", expanding("~root/x y", false))),
            "/root/x y\n"
        );
        assert_eq!(
            sh(&format!("echo {}", expanding("/et[c]/host?", true))),
            sh("echo /etc/host?")
        );
    }

    #[test]
    fn lines_split_as_in_python() {
        assert_eq!(lines("a\r\nb\n\nc"), ["a", "b", "", "c"]);
        assert!(lines("").is_empty());
        assert_eq!(lines("a\n"), ["a"]);
    }

    #[test]
    fn patterns_match_as_in_python() {
        assert!(fnmatch("lib*-dev", "libssl-dev"));
        assert!(fnmatch("1.[0-4]*", "1.2+b"));
        assert!(!fnmatch("1.[!0-4]*", "1.2"));
        assert!(!fnmatch("g++", "gxx"));
    }
}
