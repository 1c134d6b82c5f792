//! Every limit of the store, with its unit.

/// Changes that may wait for one subscriber.
pub(crate) const SUBSCRIBER_EVENTS: usize = 1_024;

/// Bytes of keys and values that may wait for one subscriber.
pub(crate) const SUBSCRIBER_BYTES: usize = 8 * 1024 * 1024;
