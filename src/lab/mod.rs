//! Disposable hosts to try playbooks on.
