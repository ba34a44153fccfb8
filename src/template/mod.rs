//! The Jinja2 environment with Ansible's filters, tests and lookups.
