//! Spanned YAML tree and YAML 1.1 scalars as Ansible reads them.
