//! The parameters of `apt`, shared with `package`.

/// The parameters of `apt`, and a few more for `package`.
macro_rules! apt_params {
    ($($more:expr),*) => {{
        use $crate::modules::{Param, Type};
        &[
            $($more,)*
            Param::new(
                "package",
                Type::List,
                "names, `name=version` (also `1.2*`), `name>=version`, or patterns of names",
            )
            .aliases(&["name", "pkg"]),
            Param::new("state", Type::Str, "wanted state")
                .choices(&[
                    "absent",
                    "build-dep",
                    "fixed",
                    "latest",
                    "present",
                    "installed",
                    "removed",
                ])
                .default("present"),
            Param::new("update_cache", Type::Bool, "fetch package lists first")
                .aliases(&["update-cache"]),
            Param::new(
                "update_cache_retries",
                Type::Int,
                "how often to try fetching them",
            )
            .default("5"),
            Param::new(
                "update_cache_retry_max_delay",
                Type::Int,
                "longest pause between two tries, in seconds",
            )
            .default("12"),
            Param::new(
                "cache_valid_time",
                Type::Int,
                "fetch only when the lists are older, in seconds",
            )
            .default("0"),
            Param::new("purge", Type::Bool, "remove configuration files too").default("false"),
            Param::new(
                "default_release",
                Type::Str,
                "release to take packages from",
            )
            .aliases(&["default-release"]),
            Param::new(
                "install_recommends",
                Type::Bool,
                "whether to install recommended packages; the host's own default if not given",
            )
            .aliases(&["install-recommends"]),
            Param::new("force", Type::Bool, "pass --force-yes").default("false"),
            Param::new("clean", Type::Bool, "run `apt-get clean`").default("false"),
            Param::new(
                "allow_unauthenticated",
                Type::Bool,
                "accept packages without a trusted signature",
            )
            .aliases(&["allow-unauthenticated"])
            .default("false"),
            Param::new(
                "allow_downgrade",
                Type::Bool,
                "accept an older version than the installed one",
            )
            .aliases(&["allow-downgrade", "allow_downgrades", "allow-downgrades"])
            .default("false"),
            Param::new(
                "allow_change_held_packages",
                Type::Bool,
                "change held packages too",
            )
            .default("false"),
            Param::new("upgrade", Type::Str, "upgrade all packages")
                .choices(&["dist", "full", "no", "safe", "yes", "true", "false"])
                .default("no"),
            Param::new(
                "dpkg_options",
                Type::Str,
                "options for dpkg, separated by commas",
            )
            .default("force-confdef,force-confold"),
            Param::new("deb", Type::Path, "package files on the host, or a URL"),
            Param::new(
                "autoremove",
                Type::Bool,
                "remove dependencies that nothing needs any more",
            )
            .default("false"),
            Param::new(
                "autoclean",
                Type::Bool,
                "remove package files that cannot be downloaded any more",
            )
            .default("false"),
            Param::new(
                "policy_rc_d",
                Type::Int,
                "what policy-rc.d answers meanwhile, e.g. 101 to start no service",
            ),
            Param::new(
                "only_upgrade",
                Type::Bool,
                "skip packages that are not installed",
            )
            .default("false"),
            Param::new(
                "fail_on_autoremove",
                Type::Bool,
                "fail when a package would be removed",
            )
            .default("false"),
            Param::new(
                "force_apt_get",
                Type::Bool,
                "no effect: aptitude is never used",
            )
            .default("false"),
            Param::new("lock_timeout", Type::Int, "seconds to wait for apt's locks").default("60"),
            Param::new(
                "auto_install_module_deps",
                Type::Bool,
                "no effect: nothing is needed",
            )
            .default("true"),
        ]
    }};
}
pub(crate) use apt_params;
