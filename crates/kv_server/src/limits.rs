//! Every limit of a client connection, with its unit.

/// What a release may set.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one line of the text protocol, without its line break.
    pub line_bytes: usize,
    /// Client connections at once.
    pub connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { line_bytes: 1024 * 1024, connections: 10_000 }
    }
}

/// Bytes that a connection's input buffer starts with; it grows while a longer line arrives.
pub(crate) const INPUT_BYTES: usize = 16 * 1024;

/// Bytes of replies after which a batch is broken off and written before it goes on.
pub(crate) const OUTPUT_BYTES: usize = 256 * 1024;

/// Bytes of an empty buffer above which it is given back rather than kept for the next batch.
pub(crate) const SPARE_BYTES: usize = 1024 * 1024;

/// Requests that are executed as one batch.
pub(crate) const BATCH_REQUESTS: usize = 64;

/// Bytes of bucket names that are sorted together before they are written.
pub(crate) const SORTED_BYTES: usize = 4 * 1024 * 1024;

/// Buckets that one connection may subscribe to.
pub(crate) const SUBSCRIPTIONS: usize = 1_000;

/// Changes of subscribed buckets that are written at once.
pub(crate) const EVENTS_AT_ONCE: usize = 64;
