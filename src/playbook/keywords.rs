//! Every keyword of plays, blocks, tasks, handlers and roles, in one table.
//!
//! Ansible 2.19's keywords, and old spellings that are accepted with a note. What a keyword's value may look
//! like is checked from here too, so that a wrong shape is an error at load with its place.

/// Where a keyword may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct On(u8);

/// Plays.
pub const PLAY: On = On(1);
/// Blocks.
pub const BLOCK: On = On(2);
/// Tasks.
pub const TASK: On = On(4);
/// Handlers only (they take all keywords of tasks too).
pub const HANDLER: On = On(8);
/// Entries of `roles:` and of a role's dependencies.
pub const ROLE: On = On(16);

impl On {
    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the two share a place.
    #[must_use]
    pub fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// For messages: "a play".
    #[must_use]
    pub fn describe(self) -> &'static str {
        match self {
            PLAY => "a play",
            BLOCK => "a block",
            HANDLER => "a handler",
            ROLE => "a role",
            _ => "a task",
        }
    }
}

const ALL: On = PLAY.and(BLOCK).and(TASK).and(ROLE);
const INNER: On = BLOCK.and(TASK).and(ROLE);

/// What a literal value must look like; a template may stand for all of them but the last ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A boolean in any of Ansible's spellings.
    Bool,
    /// An integer.
    Int,
    /// A number.
    Number,
    /// A scalar.
    Text,
    /// A scalar or a list of scalars.
    Texts,
    /// A condition or a list of them.
    Conditions,
    /// A mapping or a list of mappings.
    Mappings,
    /// Variables: a mapping, not a template.
    Vars,
    /// A list of tasks, not a template.
    Tasks,
    /// Looked at where it is read.
    Other,
}

/// How we take a keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As Ansible does.
    Fine,
    /// An old spelling, with what is written today.
    Old(&'static str),
    /// Known and refused, with the reason.
    Refused(&'static str),
}

/// A keyword.
#[derive(Debug)]
pub struct Keyword {
    /// Its name.
    pub name: &'static str,
    /// Where it may stand.
    pub on: On,
    /// What its value looks like.
    pub shape: Shape,
    /// How we take it.
    pub state: State,
}

const fn word(name: &'static str, on: On, shape: Shape) -> Keyword {
    Keyword {
        name,
        on,
        shape,
        state: State::Fine,
    }
}

const fn old(name: &'static str, on: On, shape: Shape, now: &'static str) -> Keyword {
    Keyword {
        name,
        on,
        shape,
        state: State::Old(now),
    }
}

const fn refused(name: &'static str, on: On, why: &'static str) -> Keyword {
    Keyword {
        name,
        on,
        shape: Shape::Other,
        state: State::Refused(why),
    }
}

/// Every keyword.
pub static KEYWORDS: &[Keyword] = &[
    // Shared by all.
    word("any_errors_fatal", ALL, Shape::Bool),
    word("become", ALL, Shape::Bool),
    word("become_exe", ALL, Shape::Text),
    word("become_flags", ALL, Shape::Text),
    word("become_method", ALL, Shape::Text),
    word("become_user", ALL, Shape::Text),
    word("check_mode", ALL, Shape::Bool),
    word("collections", ALL, Shape::Texts),
    word("connection", ALL, Shape::Text),
    refused(
        "debugger",
        ALL,
        "there is no interactive debugger: use `--step`, `debug` tasks or `-vv`",
    ),
    word("diff", ALL, Shape::Bool),
    word("environment", ALL, Shape::Mappings),
    word("ignore_errors", ALL, Shape::Bool),
    word("ignore_unreachable", ALL, Shape::Bool),
    word("module_defaults", ALL, Shape::Mappings),
    word("name", ALL, Shape::Text),
    word("no_log", ALL, Shape::Bool),
    word("port", ALL, Shape::Int),
    word("remote_user", ALL, Shape::Text),
    word("run_once", ALL, Shape::Bool),
    word("tags", ALL, Shape::Texts),
    word("throttle", ALL, Shape::Int),
    word("timeout", ALL, Shape::Int),
    word("vars", ALL, Shape::Vars),
    old("sudo", ALL, Shape::Bool, "become"),
    old("sudo_user", ALL, Shape::Text, "become_user"),
    old("su", ALL, Shape::Bool, "become"),
    old("su_user", ALL, Shape::Text, "become_user"),
    // Inside plays.
    word("delegate_facts", INNER, Shape::Bool),
    word("delegate_to", INNER, Shape::Text),
    word("when", INNER, Shape::Conditions),
    word("notify", BLOCK.and(TASK), Shape::Texts),
    // Plays.
    word("fact_path", PLAY, Shape::Text),
    word("force_handlers", PLAY, Shape::Bool),
    word("gather_facts", PLAY, Shape::Bool),
    word("gather_subset", PLAY, Shape::Texts),
    word("gather_timeout", PLAY, Shape::Int),
    word("handlers", PLAY, Shape::Tasks),
    word("hosts", PLAY, Shape::Texts),
    word("max_fail_percentage", PLAY, Shape::Number),
    word("order", PLAY, Shape::Text),
    word("post_tasks", PLAY, Shape::Tasks),
    word("pre_tasks", PLAY, Shape::Tasks),
    word("roles", PLAY, Shape::Other),
    word("serial", PLAY, Shape::Texts),
    word("strategy", PLAY, Shape::Text),
    word("tasks", PLAY, Shape::Tasks),
    word("vars_files", PLAY, Shape::Other),
    word("vars_prompt", PLAY, Shape::Other),
    old("user", PLAY, Shape::Text, "remote_user"),
    refused(
        "accelerate",
        PLAY,
        "it was removed from Ansible: remove it, connections are kept open anyway",
    ),
    // Blocks.
    word("block", BLOCK, Shape::Tasks),
    word("rescue", BLOCK, Shape::Tasks),
    word("always", BLOCK, Shape::Tasks),
    // Tasks.
    word("action", TASK, Shape::Other),
    word("args", TASK, Shape::Other),
    word("async", TASK, Shape::Int),
    word("changed_when", TASK, Shape::Conditions),
    // Ours: see docs/when-things-break.md.
    word("confirm", TASK, Shape::Text),
    word("delay", TASK, Shape::Number),
    word("failed_when", TASK, Shape::Conditions),
    word("local_action", TASK, Shape::Other),
    word("loop", TASK, Shape::Other),
    word("loop_control", TASK, Shape::Other),
    word("poll", TASK, Shape::Int),
    word("register", TASK, Shape::Text),
    word("retries", TASK, Shape::Int),
    word("until", TASK, Shape::Conditions),
    old("always_run", TASK, Shape::Bool, "check_mode: false"),
    word("static", TASK, Shape::Bool),
    word("listen", HANDLER, Shape::Texts),
];

/// Keys of `loop_control`.
pub static LOOP_CONTROL: &[(&str, Shape)] = &[
    ("loop_var", Shape::Text),
    ("index_var", Shape::Text),
    ("label", Shape::Other),
    ("pause", Shape::Number),
    ("extended", Shape::Bool),
    ("extended_allitems", Shape::Bool),
    ("break_when", Shape::Conditions),
];

/// What may follow `with_`: lookups that make lists.
pub static WITH: &[&str] = &[
    "cartesian",
    "community.general.cartesian",
    "community.general.flattened",
    "csvfile",
    "dict",
    "env",
    "file",
    "fileglob",
    "filetree",
    "community.general.filetree",
    "first_found",
    "flattened",
    "indexed_items",
    "ini",
    "inventory_hostnames",
    "items",
    "lines",
    "list",
    "nested",
    "password",
    "pipe",
    "random_choice",
    "sequence",
    "subelements",
    "template",
    "together",
    "unvault",
    "url",
    "varnames",
    "vars",
];

/// The keyword of a name at a place.
#[must_use]
pub fn find(name: &str, on: On) -> Option<&'static Keyword> {
    let also = if on == HANDLER { TASK.and(HANDLER) } else { on };
    KEYWORDS
        .iter()
        .find(|keyword| keyword.name == name && keyword.on.meets(also))
}

/// Names of all current keywords at a place, for near matches.
pub fn names(on: On) -> impl Iterator<Item = &'static str> {
    let also = if on == HANDLER { TASK.and(HANDLER) } else { on };
    KEYWORDS
        .iter()
        .filter(move |keyword| keyword.on.meets(also) && keyword.state == State::Fine)
        .map(|keyword| keyword.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_keyword_is_there_twice_at_one_place() {
        for (n, one) in KEYWORDS.iter().enumerate() {
            for other in &KEYWORDS[n + 1..] {
                assert!(
                    one.name != other.name || !one.on.meets(other.on),
                    "{} is there twice",
                    one.name
                );
            }
        }
    }

    /// Counted with `len(Play.fattributes)` and so on of ansible-core 2.19, `loop_with` and `async_val` left out.
    #[test]
    fn all_keywords_of_ansible_are_there() {
        let current = |on: On| {
            KEYWORDS
                .iter()
                .filter(|k| k.on.meets(on) && !matches!(k.state, State::Old(_)))
                .filter(|k| !["accelerate", "static", "local_action", "confirm"].contains(&k.name))
                .count()
        };
        assert_eq!(current(PLAY), 41);
        assert_eq!(current(BLOCK), 31);
        assert_eq!(current(TASK), 40);
    }
}
