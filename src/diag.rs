//! Diagnostics about user files: place, source line with a caret, cause, one hint.
