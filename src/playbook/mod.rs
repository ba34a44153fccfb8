//! What: plays, roles, blocks and tasks, typed, validated, each node with its place.
