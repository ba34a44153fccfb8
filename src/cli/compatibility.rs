//! `mini-play doc --compatibility`: what of Ansible is supported, what differs and what is refused, from the tables.

use crate::modules::{self, Spec};
use crate::playbook::keywords::{KEYWORDS, State};
use crate::playbook::known;
use crate::template::supported;
use std::fmt::Write as _;

/// What no table says.
const DIFFERS: &str = include_str!("differs.md");

const HEAD: &str = "# Compatibility with Ansible

Made by `mini-play doc --compatibility`; edit the tables it is made from. Compared with ansible-core 2.19 and the collections of the `ansible` package 12.
`mini-play doc MODULE` tells all about one module, `mini-play lint PLAYBOOK` what of a playbook is not supported.

";

/// The page, as Markdown.
pub(super) fn page() -> String {
    let mut out = String::from(HEAD);
    out.push_str(DIFFERS);
    modules_table(&mut out);
    missing(&mut out);
    keywords(&mut out);
    templates(&mut out);
    out
}

/// Text within a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn modules_table(out: &mut String) {
    let mut specs: Vec<&Spec> = modules::specs().collect();
    specs.sort_by_key(|spec| spec.name);
    let _ = writeln!(
        out,
        "\n## Modules\n\nEach goes by its short name, by its collection's, and by `ansible.builtin.` and `ansible.legacy.`. Parameters that are not listed as refused\nare taken as documented.\n\n| module | collection | what it does | refused |\n|---|---|---|---|"
    );
    for spec in specs {
        let mut name = format!("`{}`", spec.name);
        for alias in spec.aliases {
            let _ = write!(name, ", `{alias}`");
        }
        let refused: Vec<String> = spec
            .params
            .iter()
            .filter(|param| param.unsupported)
            .map(|param| format!("`{}`", param.name))
            .collect();
        let _ = writeln!(
            out,
            "| {name} | {} | {} | {} |",
            spec.collection,
            cell(spec.doc),
            refused.join(" ")
        );
    }
}

fn missing(out: &mut String) {
    let names: Vec<String> = known::builtin()
        .filter(|name| modules::spec_of(name).is_none())
        .map(|name| format!("`{name}`"))
        .collect();
    let _ = writeln!(
        out,
        "\n### Known and refused\n\nOf `ansible.builtin`: {}. So are all other modules of the collections.",
        names.join(", ")
    );
}

fn keywords(out: &mut String) {
    out.push_str("\n## Keywords\n\nAll keywords of plays, blocks, tasks, handlers and roles are known.\n\n| keyword | how it is taken |\n|---|---|\n");
    let mut seen = Vec::new();
    for keyword in KEYWORDS {
        let how = match keyword.state {
            State::Fine => continue,
            State::Old(now) => format!("old spelling of {now}"),
            State::Refused(why) => format!("refused: {why}"),
        };
        if !seen.contains(&(keyword.name, how.clone())) {
            let _ = writeln!(out, "| `{}` | {} |", keyword.name, cell(&how));
            seen.push((keyword.name, how));
        }
    }
    let mut fine: Vec<&str> = KEYWORDS
        .iter()
        .filter(|keyword| keyword.state == State::Fine)
        .map(|keyword| keyword.name)
        .collect();
    fine.sort_unstable();
    fine.dedup();
    let _ = writeln!(out, "\nAs Ansible takes them: {}.", list(&fine));
}

fn list(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

fn templates(out: &mut String) {
    out.push_str("\n## Templates\n\nJinja2 with Ansible's rules: native types, Python's way to print values, methods of strings, lists and mappings.\n");
    for (what, ours, refused) in supported() {
        let _ = writeln!(
            out,
            "\n**{what}**: {}.\nKnown and refused: {}.",
            list(&ours),
            list(&refused)
        );
    }
}
