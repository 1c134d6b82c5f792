//! The bounds of this crate.

/// Requests of one step of a group. A step that claims more is damaged.
pub(crate) const STEP_REQUESTS: usize = 1 << 20;
