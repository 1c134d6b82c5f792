//! What keeps a process up, and its log short, when the system is short of something or others ask too much.

pub(crate) mod accept;
pub(crate) mod log_limiter;
