//! Every limit of the store, with its unit.

/// Shards for each thread that executes requests: locks that requests to different buckets can hold at once.
pub(crate) const SHARDS_PER_THREAD: usize = 16;

/// Requests that are executed under one lock at a time.
pub(crate) const BATCH_REQUESTS: usize = 64;

/// Bytes that an arena's blocks are rounded up to.
pub(crate) const GRANULE_BYTES: usize = 8;

/// Bytes of the largest block that is cut from a chunk.
pub(crate) const BLOCK_BYTES: usize = 32 * 1024;

/// Bytes of a chunk.
pub(crate) const CHUNK_BYTES: usize = 1024 * 1024;

/// Granules that an arena can name: 16 GiB, beside the blocks that stand on their own.
pub(crate) const ARENA_GRANULES: u32 = 1 << 31;

/// Bytes of a bucket that is kept as one block; a larger one gets a table.
pub(crate) const COMPACT_BYTES: usize = 512;

/// Names or keys that one page lists at least, where there are as many.
pub(crate) const PAGE_NAMES: usize = 1_000;

/// Bytes of names or keys after which a page ends.
pub(crate) const PAGE_BYTES: usize = 256 * 1024;

/// Lines of an ended bucket's table that are freed at a time.
pub(crate) const SWEEP_LINES: usize = 64;

/// Changes that may wait for one subscriber.
pub(crate) const SUBSCRIBER_EVENTS: usize = 1_024;

/// Bytes of keys and values that may wait for one subscriber.
pub(crate) const SUBSCRIBER_BYTES: usize = 8 * 1024 * 1024;

/// Names that are watched in one shard at the same time.
pub(crate) const WATCHED_NAMES: usize = 10_000;
