//! Specs of what the engine carries out itself: variables and control flow.
//!
//! These have no [`super::Module`]: nothing about them is observed, decided or done by a step. The engine
//! matches on the spec's name; the loader checks arguments against these tables like any other module's.

use super::{FreeForm, Param, Runs, Spec, Type};

/// The name that stands for "any other parameter" (`set_fact`, `add_host`).
pub const ANY: &str = "*";

const fn spec(
    name: &'static str,
    free_form: FreeForm,
    doc: &'static str,
    params: &'static [Param],
) -> Spec {
    Spec {
        name,
        collection: "ansible.builtin",
        aliases: &[],
        doc,
        params,
        free_form,
        runs: Runs::Engine,
    }
}

const FREE: Param = Param::new(
    "_raw_params",
    Type::Raw,
    "what stands right after the module's name",
);

/// Files of a role that take part, for `include_role` and `import_role`.
const ROLE: &[Param] = &[
    Param::new("name", Type::Str, "name of the role")
        .required()
        .aliases(&["role"]),
    Param::new("tasks_from", Type::Str, "file of the role's `tasks/`"),
    Param::new("vars_from", Type::Str, "file of the role's `vars/`"),
    Param::new("defaults_from", Type::Str, "file of the role's `defaults/`"),
    Param::new("handlers_from", Type::Str, "file of the role's `handlers/`"),
    Param::new(
        "allow_duplicates",
        Type::Bool,
        "run it even when it ran already",
    )
    .default("true"),
    Param::new(
        "rolespec_validate",
        Type::Bool,
        "check the role's argument specification first",
    )
    .default("true"),
    Param::new(
        "public",
        Type::Bool,
        "show the role's defaults and vars to later tasks of the play",
    ),
    Param::new(
        "apply",
        Type::Raw,
        "keywords for the tasks that are included (`include_role` only)",
    ),
];

/// Everything the engine carries out itself.
pub static CONTROL: &[&Spec] = &[
    &spec(
        "add_host",
        FreeForm::Pairs,
        "add a host to the inventory of this run",
        &[
            Param::new("name", Type::Str, "name of the host, perhaps with `:port`")
                .required()
                .aliases(&["host", "hostname"]),
            Param::new("groups", Type::List, "groups to add it to")
                .aliases(&["group", "groupname"]),
            Param::new(ANY, Type::Raw, "variables of the host"),
        ],
    ),
    &spec(
        "assert",
        FreeForm::Pairs,
        "fail unless all conditions hold",
        &[
            Param::new("that", Type::Raw, "one condition or a list of them").required(),
            Param::new("fail_msg", Type::Raw, "message when one does not hold").aliases(&["msg"]),
            Param::new("success_msg", Type::Raw, "message when all hold"),
            Param::new("quiet", Type::Bool, "say little").default("false"),
        ],
    ),
    &Spec {
        runs: Runs::Host,
        ..spec(
            "async_status",
            FreeForm::Pairs,
            "look at a task started with `async`",
            &[
                Param::new("jid", Type::Str, "job to look at").required(),
                Param::new("mode", Type::Str, "look, or forget the job")
                    .default("status")
                    .choices(&["status", "cleanup"]),
            ],
        )
    },
    &spec(
        "debug",
        FreeForm::Pairs,
        "print a message or a variable",
        &[
            Param::new("msg", Type::Raw, "message"),
            Param::new("var", Type::Raw, "variable or expression to print"),
            Param::new("verbosity", Type::Int, "print only with that many `-v`").default("0"),
        ],
    ),
    &spec(
        "fail",
        FreeForm::Pairs,
        "fail with a message",
        &[Param::new("msg", Type::Raw, "message").default("Failed as requested from task")],
    ),
    &spec(
        "group_by",
        FreeForm::Pairs,
        "put hosts into groups made from a variable",
        &[
            Param::new("key", Type::Str, "name of the group").required(),
            Param::new("parents", Type::List, "groups above it").default("all"),
        ],
    ),
    &spec(
        "import_playbook",
        FreeForm::Pairs,
        "splice in the plays of another playbook, at load",
        &[FREE, Param::new("file", Type::Str, "the playbook")],
    ),
    &spec(
        "import_role",
        FreeForm::Pairs,
        "splice in a role, at load",
        ROLE,
    ),
    &spec(
        "import_tasks",
        FreeForm::Pairs,
        "splice in a file of tasks, at load",
        &[FREE, Param::new("file", Type::Str, "the file of tasks")],
    ),
    &spec(
        "include",
        FreeForm::Pairs,
        "old name of include_tasks and import_tasks",
        &[
            FREE,
            Param::new("file", Type::Str, "the file of tasks"),
            Param::new("static", Type::Bool, "splice in at load"),
            Param::new(ANY, Type::Raw, "variables for the tasks"),
        ],
    ),
    &spec(
        "include_role",
        FreeForm::Pairs,
        "run a role when this task is reached",
        ROLE,
    ),
    &spec(
        "include_tasks",
        FreeForm::Pairs,
        "run a file of tasks when this task is reached",
        &[
            FREE,
            Param::new("file", Type::Str, "the file of tasks"),
            Param::new(
                "apply",
                Type::Raw,
                "keywords for the tasks that are included",
            ),
        ],
    ),
    &spec(
        "include_vars",
        FreeForm::Pairs,
        "read variables from a file or a folder when this task is reached",
        &[
            FREE,
            Param::new("file", Type::Path, "the file"),
            Param::new("dir", Type::Path, "the folder"),
            Param::new("name", Type::Str, "variable to put them in"),
            Param::new("depth", Type::Int, "how deep to go in a folder, 0 for all").default("0"),
            Param::new("files_matching", Type::Str, "only files whose name matches"),
            Param::new("ignore_files", Type::List, "names to leave out"),
            Param::new("extensions", Type::List, "extensions to read in a folder")
                .default("json,yaml,yml"),
            Param::new(
                "ignore_unknown_extensions",
                Type::Bool,
                "leave out files of other extensions instead of failing",
            )
            .default("false"),
            Param::new(
                "hash_behaviour",
                Type::Str,
                "replace mappings or merge them",
            )
            .choices(&["replace", "merge"]),
        ],
    ),
    &spec(
        "meta",
        FreeForm::Whole,
        "steer the run itself",
        &[Param::new("_raw_params", Type::Str, "what to do")
            .required()
            .choices(&[
                "flush_handlers",
                "end_host",
                "end_play",
                "end_batch",
                "end_role",
                "clear_facts",
                "clear_host_errors",
                "reset_connection",
                "refresh_inventory",
                "noop",
            ])],
    ),
    &spec(
        "pause",
        FreeForm::Pairs,
        "wait for some time or for the user",
        &[
            Param::new("minutes", Type::Float, "minutes to wait"),
            Param::new("seconds", Type::Float, "seconds to wait"),
            Param::new("prompt", Type::Str, "text to show"),
            Param::new("echo", Type::Bool, "show what is typed").default("true"),
        ],
    ),
    &spec(
        "reboot",
        FreeForm::Pairs,
        "restart the host and wait until it is back",
        &[
            Param::new(
                "boot_time_command",
                Type::Str,
                "tells one boot from another",
            )
            .default("cat /proc/sys/kernel/random/boot_id"),
            Param::new(
                "connect_timeout",
                Type::Float,
                "seconds for one try to connect",
            )
            .aliases(&["connect_timeout_sec"]),
            Param::new("msg", Type::Str, "what users on the host are told")
                .default("Reboot initiated by Ansible"),
            Param::new(
                "post_reboot_delay",
                Type::Float,
                "seconds before the first try to connect",
            )
            .aliases(&["post_reboot_delay_sec"])
            .default("0"),
            Param::new(
                "pre_reboot_delay",
                Type::Float,
                "seconds before the reboot; whole minutes count",
            )
            .aliases(&["pre_reboot_delay_sec"])
            .default("0"),
            Param::new(
                "reboot_command",
                Type::Str,
                "command that restarts the host, instead of shutdown",
            ),
            Param::new(
                "reboot_timeout",
                Type::Float,
                "seconds in all until it is back",
            )
            .aliases(&["reboot_timeout_sec"])
            .default("600"),
            Param::new(
                "search_paths",
                Type::List,
                "folders in which shutdown is looked for",
            )
            .default("/sbin,/bin,/usr/sbin,/usr/bin,/usr/local/sbin"),
            Param::new(
                "test_command",
                Type::Str,
                "command that must work in the end",
            )
            .default("whoami"),
        ],
    ),
    &spec(
        "set_fact",
        FreeForm::Pairs,
        "set variables of the host for the rest of the run",
        &[
            Param::new("cacheable", Type::Bool, "also as a fact of the host").default("false"),
            Param::new(ANY, Type::Raw, "variables to set"),
        ],
    ),
    &spec(
        "set_stats",
        FreeForm::Pairs,
        "set values to show at the end of the run",
        &[
            Param::new("data", Type::Dict, "the values").required(),
            Param::new("per_host", Type::Bool, "one value a host").default("false"),
            Param::new("aggregate", Type::Bool, "add to what is there").default("true"),
        ],
    ),
    &spec(
        "validate_argument_spec",
        FreeForm::Pairs,
        "check variables against a role's argument specification",
        &[
            Param::new("argument_spec", Type::Dict, "the specification").required(),
            Param::new(
                "provided_arguments",
                Type::Dict,
                "what to check, instead of the variables",
            ),
            Param::new(
                "validate_args_context",
                Type::Dict,
                "what the specification belongs to, for messages",
            ),
        ],
    ),
    &spec(
        "wait_for_connection",
        FreeForm::Pairs,
        "wait until the host can be reached",
        &[
            Param::new("connect_timeout", Type::Int, "seconds for one try").default("5"),
            Param::new("delay", Type::Int, "seconds before the first try").default("0"),
            Param::new("sleep", Type::Int, "seconds between tries").default("1"),
            Param::new("timeout", Type::Int, "seconds in all").default("600"),
        ],
    ),
];

#[cfg(test)]
mod tests {
    use super::super::specs;
    use std::collections::HashSet;

    #[test]
    fn no_name_is_taken_twice() {
        let mut seen = HashSet::new();
        for spec in specs() {
            for name in spec.aliases.iter().chain([&spec.name]) {
                assert!(seen.insert(*name), "{name} is in the tables twice");
            }
        }
    }

    #[test]
    fn no_parameter_is_taken_twice_and_all_are_documented() {
        for spec in specs() {
            let mut seen = HashSet::new();
            for param in spec.params {
                assert!(!param.doc.is_empty(), "{}.{}", spec.name, param.name);
                for name in param.aliases.iter().chain([&param.name]) {
                    assert!(seen.insert(*name), "{}.{name} is there twice", spec.name);
                }
            }
        }
    }
}
