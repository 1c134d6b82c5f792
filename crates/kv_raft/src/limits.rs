//! The bounds of this crate.

/// Requests of one step of a group. A step that claims more is damaged.
pub(crate) const STEP_REQUESTS: usize = 1 << 20;

/// Bytes of records in the longest block of a snapshot.
pub(crate) const SNAPSHOT_BLOCK_BYTES: usize = 1 << 20;

/// Bytes of a block from which on it is written before it is full.
pub(crate) const SNAPSHOT_BLOCK_LEAST: usize = 64 << 10;

/// Bytes of what a snapshot says of itself besides its records: watched names take most of them.
pub(crate) const SNAPSHOT_DESCRIPTION_BYTES: usize = 256 << 20;

/// Bytes of the longest name or key of a snapshot: as long as the store has them.
pub(crate) const SNAPSHOT_NAME_BYTES: usize = kv::NAME_BYTES;

/// Bytes of the longest value of a snapshot: as long as the store has them.
pub(crate) const SNAPSHOT_VALUE_BYTES: usize = kv::VALUE_BYTES;
