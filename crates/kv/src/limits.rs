//! All limits of the store, with their units.

use std::time::Duration;

/// Shards for each thread that executes requests. Each shard has its own lock.
pub(crate) const SHARDS_PER_THREAD: usize = 16;

/// Spins on the lock of a shard, some microseconds in all, before the waiting thread sleeps.
pub(crate) const LOCK_SPINS: u32 = 200;

/// Requests that are executed under one lock at a time.
pub(crate) const BATCH_REQUESTS: usize = 64;

/// Requests that are prefetched for at a time. With more of them, the first lines would leave the nearest
/// cache before they are used.
pub(crate) const PREFETCH_REQUESTS: usize = 16;

/// Bytes that an arena's blocks are rounded up to.
pub(crate) const GRANULE_BYTES: usize = 8;

/// Bytes of the largest block that is carved from a chunk.
pub(crate) const BLOCK_BYTES: usize = 32 * 1024;

/// Bytes of the largest value that lies in a block; larger ones are lists of pieces.
pub(crate) const LARGE_VALUE_BYTES: usize = 256 * 1024;

/// Bytes of a piece of a large value: what is copied, freed or sent at a time.
pub(crate) const PIECE_BYTES: usize = 1024 * 1024;

/// Bytes of a buffer for which the system's allocator never maps memory.
pub(crate) const UNMAPPED_BYTES: usize = 64 * 1024;

/// Bytes of the values that one command reads or writes, not counting large ones.
pub(crate) const STEP_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of the largest value whose change is sent to subscribers of its bucket.
pub(crate) const SUBSCRIBED_VALUE_BYTES: usize = 16 * 1024 * 1024;

/// Bytes of a chunk: a large page on common machines.
pub(crate) const CHUNK_BYTES: usize = 2 * 1024 * 1024;

/// Bytes of a page of an arena: what is freed and reused as a whole.
pub(crate) const ARENA_PAGE_BYTES: usize = 256 * 1024;

/// What the memory limit is divided by, for the bytes of free blocks that a node may hold in addition.
pub(crate) const FREE_SHARE: usize = 8;

/// What the memory limit is divided by, for the bytes that one large page of the system in each shard may
/// take, so that they are used.
pub(crate) const LARGE_PAGE_SHARE: usize = 16;

/// What a page is divided by, for the free bytes up to which it is not emptied.
pub(crate) const DENSE_SHARE: u32 = 16;

/// What an arena is divided by, for the bytes that one round of compaction moves at most.
pub(crate) const COMPACTED_SHARE: u32 = 16;

/// What an arena is divided by, for the empty pages that it keeps.
pub(crate) const KEPT_SHARE: usize = 16;

/// Lines of tables that one step of compaction visits.
pub(crate) const COMPACTED_LINES: usize = 512;

/// Bytes of blocks that one step of compaction moves, before the last line.
pub(crate) const COMPACTED_BYTES: usize = 128 * 1024;

/// Steps of compaction that one request waits for before it is refused.
pub(crate) const COMPACTION_STEPS: usize = 16;

/// Granules that an arena can address: 16 GiB, not counting blocks that are allocations of their own.
pub(crate) const ARENA_GRANULES: u32 = 1 << 31;

/// What an arena is divided by for the part that is left when it counts as nearly full: more than a durable
/// range can write until that is noticed.
pub(crate) const ARENA_ROOM_SHARE: u32 = 16;

/// Bytes of a block up to which the entries of a map are stored inline.
pub(crate) const INLINE_BYTES: usize = 512;

/// Names or keys that one page lists at least, unless it is the last.
pub(crate) const PAGE_NAMES: usize = 1_000;

/// Bytes of names or keys after which a page ends.
pub(crate) const PAGE_BYTES: usize = 256 * 1024;

/// Lines of a table that one page reads.
pub(crate) const PAGE_LINES: usize = 4_096;

/// Slots of a table without a live entry that are tried for the random entries of one step.
pub(crate) const RANDOM_MISSES: usize = 10_000;

/// Random entries that one step picks.
pub(crate) const RANDOM_ENTRIES: usize = 10_000;

/// Items of the longest list that is accepted from another node: more than any command replies with.
pub(crate) const LISTED_ITEMS: usize = 16 * 1024 * 1024;

/// Entries that one step of a scan lists, whatever its COUNT.
pub(crate) const SCAN_ENTRIES: usize = 10_000;

/// Lines of a registry that one step of the sweeper reads.
pub(crate) const EXPIRY_LINES: usize = 64;

/// Buckets and entries that one step of the sweeper ends.
pub(crate) const EXPIRY_ENDS: usize = 512;

/// Buckets and entries that a step of the sweeper must end for the next step to follow at once.
pub(crate) const EXPIRY_BACKLOG: usize = 32;

/// Time between two rounds of the sweeper.
pub(crate) const EXPIRY_PAUSE: Duration = Duration::from_millis(100);

/// Bytes that the expiry of an entry of a table counts, and each distinct time of one: a key of a tree whose
/// nodes are half full.
pub(crate) const EXPIRY_BYTES: usize = 32;

/// Bytes of a part of a page, which is kept for a frozen copy when a block in it, or close to it, is written.
/// A page has 64 of them.
pub(crate) const KEPT_PART_BYTES: usize = ARENA_PAGE_BYTES / 64;

/// What the memory limit is divided by, for the bytes that frozen copies may keep in addition.
pub(crate) const FROZEN_SHARE: usize = 2;

/// Bytes that a line which is kept for a frozen copy counts: with its place in a tree.
pub(crate) const FROZEN_LINE_BYTES: usize = 96;

/// Tables that keep lines no longer after one step under a shard's lock.
pub(crate) const THAWED_TABLES: usize = 1_000;

/// Entries, buckets and lines of tables that one step of reading a frozen copy visits, before the last line.
pub(crate) const FROZEN_STEP: usize = 1_000;

/// Lines of an ended bucket's table that are freed at a time.
pub(crate) const RECLAIM_LINES: usize = 64;

/// Expiries of an ended table's entries that are freed at a time: more than there are in [`RECLAIM_LINES`].
pub(crate) const RECLAIM_EXPIRIES: usize = 16 * RECLAIM_LINES;

/// Changes that are queued for one subscriber of a bucket.
pub(crate) const SUBSCRIBER_EVENTS: usize = 1_024;

/// Bytes that a queued change or message counts in addition to its own.
pub(crate) const QUEUED_ITEM_BYTES: usize = 128;

/// Bytes that a backlog must grow or shrink by to be reported.
pub(crate) const BACKLOG_STEP_BYTES: usize = 16 * 1024;

/// Bytes of the longest string that a command creates: 512 MiB, as in Redis (proto-max-bulk-len).
pub const VALUE_BYTES: usize = 512 * 1024 * 1024;

/// Bytes that all watched names of a node take at most.
pub(crate) const WATCHES_BYTES: usize = 64 * 1024 * 1024;

/// What the memory limit is divided by, for the bytes that all watched names of a node take at most.
pub(crate) const WATCHES_SHARE: usize = 16;

/// Bytes that a watched name counts in addition to its two copies.
pub(crate) const WATCHED_NAME_BYTES: usize = 128;

/// Bytes that each watcher of a name counts.
pub(crate) const WATCH_BYTES: usize = 32;

/// Watched names that are visited under one lock when a link ends.
pub(crate) const UNWATCHED_NAMES: usize = 1_000;

/// Names and lines of registries that one page scans.
pub(crate) const PAGE_SCANNED: usize = 10_000;

/// Bytes of names and patterns after whose comparison a page ends.
pub(crate) const PAGE_MATCHED_BYTES: usize = 512 * 1024;

/// Names that the first attempt to find a random one scans.
pub(crate) const RANDOM_SCANNED: usize = 16;

/// Names that each further attempt scans.
pub(crate) const RANDOM_SCANNED_MORE: usize = 400;

/// Pages that are scanned to find a random name among many that have expired.
pub(crate) const RANDOM_PAGES: usize = 100;

/// Bytes of a name, or of another word of a client, that an error or a log line quotes.
pub(crate) const QUOTED_BYTES: usize = 128;

/// Messages that are queued for one channel subscriber.
pub(crate) const CHANNEL_MESSAGES: usize = 65_536;

/// Bytes of the names of all channels and patterns of one subscriber, with [`TOPIC_BYTES`] for each.
pub(crate) const TOPIC_NAME_BYTES: usize = 16 * 1024 * 1024;

/// Bytes that one subscription counts in addition to its name.
pub(crate) const TOPIC_BYTES: usize = 64;

/// Patterns that one subscriber of channels may have.
pub(crate) const SUBSCRIBED_PATTERNS: usize = 1_000;

/// Subscriptions of a subscriber that has gone which are removed under one lock.
pub(crate) const REMOVED_TOPICS: usize = 500;

/// Bytes of patterns, and of the channel's name for each of them, that one step of a publication compares,
/// before the last pattern.
pub(crate) const PUBLISH_STEP_BYTES: usize = 64 * 1024;

/// Subscribers that one step of a publication delivers to.
pub(crate) const PUBLISH_STEP_RECEIVERS: usize = 500;

/// Bytes of a pattern (KEYS, SCAN, HSCAN, PSUBSCRIBE).
pub(crate) const PATTERN_BYTES: usize = 64 * 1024;

/// Stars of a pattern that something follows: as many as in Redis.
pub(crate) const PATTERN_STARS: usize = 1_000;

/// Characters between two stars of a pattern, if there is a `?` or a class among them: the bits of a word.
pub(crate) const SEARCHED_ELEMENTS: usize = 64;

/// Crashed buckets that are logged one by one before they are only counted.
pub(crate) const CRASH_LINES: u32 = 10;

/// Bytes of the longest number that INCRBYFLOAT makes.
pub(crate) const LONGEST_NUMBER: usize = 5_000;

/// Bytes of the name of a bucket or a field: as long as a line of the text protocol.
pub const NAME_BYTES: usize = 1024 * 1024;

/// The latest expiry of a field, in milliseconds since 1970: as in Redis.
pub const FIELD_EXPIRY_MS: u64 = (1 << 46) - 1;
