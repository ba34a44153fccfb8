//! Facts about a host, gathered without Python.
