//! Who: hosts, groups, patterns, ranges, host_vars and group_vars.
