//! Supervision as a library: supervisors, strategies, restart intensity, and the tree as a value.
