//! Consumers of run events: terminal, JSON lines, JUnit, journal.
