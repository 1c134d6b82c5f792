//! The wall clock, which a batch reads once, and the times that a batch is executed with.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The times that a batch is executed with, in milliseconds since 1970. They differ only for reads of a range
/// with a log: what its replicas remove must not depend on the clock of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// What has expired by then is not seen.
    pub now_ms: u64,
    /// What has expired by then is removed; not after `now_ms`.
    pub removal_ms: u64,
}

impl Clock {
    /// What has expired is removed at once.
    #[inline]
    pub fn at(now_ms: u64) -> Clock {
        Clock { now_ms, removal_ms: now_ms }
    }
}
