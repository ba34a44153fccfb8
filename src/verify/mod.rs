//! Read-only health checks of the roles a host carries.
