//! Every limit of the store, with its unit.

use std::time::Duration;

/// Shards for each thread that executes requests: locks that requests to different buckets can hold at once.
pub(crate) const SHARDS_PER_THREAD: usize = 16;

/// Looks at a shard's lock, some microseconds in all, before a thread that waits for it sleeps.
pub(crate) const LOCK_SPINS: u32 = 200;

/// Requests that are executed under one lock at a time.
pub(crate) const BATCH_REQUESTS: usize = 64;

/// Requests that are read ahead for at a time. With more, what was read first has left the nearest cache when it is needed.
pub(crate) const AHEAD_REQUESTS: usize = 16;

/// Bytes that an arena's blocks are rounded up to.
pub(crate) const GRANULE_BYTES: usize = 8;

/// Bytes of the largest block that is cut from a chunk.
pub(crate) const BLOCK_BYTES: usize = 32 * 1024;

/// Bytes of a chunk: a large page of the common machines.
pub(crate) const CHUNK_BYTES: usize = 2 * 1024 * 1024;

/// Granules that an arena can name: 16 GiB, beside the blocks that stand on their own.
pub(crate) const ARENA_GRANULES: u32 = 1 << 31;

/// Bytes of a bucket that is kept as one block; a larger one gets a table.
pub(crate) const COMPACT_BYTES: usize = 512;

/// Names or keys that one page lists at least, where there are as many.
pub(crate) const PAGE_NAMES: usize = 1_000;

/// Bytes of names or keys after which a page ends.
pub(crate) const PAGE_BYTES: usize = 256 * 1024;

/// Lines of a table that one page lookups at.
pub(crate) const PAGE_LINES: usize = 4_096;

/// Places of a table that are tried in search of a random entry, before the next best is taken.
pub(crate) const RANDOM_TRIES: usize = 1_000;

/// Entries that one command chooses at random.
pub(crate) const RANDOM_ENTRIES: usize = 20_000;

/// Items of the longest list that is taken from another node: more than any command answers with.
pub(crate) const LISTED_ITEMS: usize = 16 * 1024 * 1024;

/// Entries that one step of a scan lists, whatever it is asked for.
pub(crate) const SCAN_ENTRIES: usize = 10_000;

/// Lines of a registry that one step of the search for what has expired lookups at.
pub(crate) const EXPIRY_LINES: usize = 64;

/// Buckets and entries that one step of that search ends.
pub(crate) const EXPIRY_ENDS: usize = 512;

/// Buckets and entries that one step has ended when the next one follows at once.
pub(crate) const EXPIRY_MUCH: usize = 32;

/// Time between two steps that find little.
pub(crate) const EXPIRY_ROUND: Duration = Duration::from_millis(100);

/// Lines of an ended bucket's table that are freed at a time.
pub(crate) const SWEEP_LINES: usize = 64;

/// Times of an ended table's entries that are freed at a time: more than there are in [`SWEEP_LINES`].
pub(crate) const SWEEP_TIMES: usize = 16 * SWEEP_LINES;

/// Changes that may wait for one subscriber.
pub(crate) const SUBSCRIBER_EVENTS: usize = 1_024;

/// Bytes of keys and values that may wait for one subscriber.
pub(crate) const SUBSCRIBER_BYTES: usize = 8 * 1024 * 1024;

/// Bytes of the longest value that a command makes: 512 MiB, as Redis has it (proto-max-bulk-len).
pub(crate) const VALUE_BYTES: usize = 512 * 1024 * 1024;

/// Names that are watched in one shard at the same time.
pub(crate) const WATCHED_NAMES: usize = 10_000;

/// Names and lines of registries that one page lookups at.
pub(crate) const PAGE_LOOKS: usize = 10_000;

/// Names that are looked at first to find one at random.
pub(crate) const RANDOM_LOOKS: usize = 16;

/// Pages that are looked at to find one name at random, among many that have expired.
pub(crate) const RANDOM_PAGES: usize = 100;

/// Messages that may wait for one listener.
pub(crate) const LISTENER_MESSAGES: usize = 65_536;

/// Bytes of messages that may wait for one listener.
pub(crate) const LISTENER_BYTES: usize = 32 * 1024 * 1024;

/// Bytes of the names of all channels and patterns of one listener, each with [`TOPIC_BYTES`].
pub(crate) const LISTENER_TOPIC_BYTES: usize = 16 * 1024 * 1024;

/// Bytes that one subscription counts for besides its name.
pub(crate) const TOPIC_BYTES: usize = 64;
