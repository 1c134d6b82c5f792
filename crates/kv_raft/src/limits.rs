//! The bounds of this crate, with their units.

use std::time::Duration;

/// Requests of one step of a group. A step that claims more is damaged.
pub(crate) const STEP_REQUESTS: usize = 1 << 20;

/// Bytes of requests after which a group takes no more. A larger request is a group of its own.
pub(crate) const GROUP_BYTES: usize = 1024 * 1024;

/// Steps (batches, transactions, flushes) after which a group takes no more.
pub(crate) const GROUP_STEPS: usize = 4_096;

/// How long a group is delayed at most, the fewest writers for whom it is, and what their number is divided
/// by for those who are not waited for.
pub(crate) const GROUP_DELAY: Duration = Duration::from_millis(1);
pub(crate) const GROUP_DELAY_STEPS: usize = 8;
pub(crate) const GROUP_DELAY_SHARE: usize = 8;

/// What the number of writers is divided by for the part of it that each group forgets.
pub(crate) const WRITERS_DECAY: usize = 4;

/// Requests of a batch that is executed together with others: more are prefetched by themselves.
pub(crate) const SMALL_BATCH_REQUESTS: usize = 16;

/// Requests of a group after which the thread that executes them lets other threads run.
pub(crate) const UNINTERRUPTED_REQUESTS: usize = 1_024;

/// Bytes of the largest transaction or request: twice the largest value, and what is around it.
pub(crate) const PROPOSAL_BYTES: usize = 1024 * 1024 * 1024;

/// Bytes of requests that wait in all ranges of a node, large ones aside, after which more are refused.
pub(crate) const WAITING_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of requests that wait up to which one client may add more than a batch at once.
pub(crate) const AMPLE_WAITING_BYTES: usize = WAITING_BYTES / 8;

/// Bytes of large requests and transactions that are copied, wait or are executed in all ranges of a node,
/// after which the next ones have to wait before they are copied. A larger one is alone.
pub(crate) const LARGE_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of a large request that are copied at once; other tasks run before the next ones.
pub(crate) const COPY_BYTES: usize = 1024 * 1024;

/// Bytes of an encoded request beside its names and arguments, at most.
pub(crate) const REQUEST_OVERHEAD_BYTES: usize = 64;

/// Bytes of the replies of a group after which those are left out that are not small.
pub(crate) const REPLY_BYTES: usize = 64 * 1024 * 1024;

/// Bytes of a reply that is never left out.
pub(crate) const SMALL_REPLY_BYTES: usize = 1024;

/// Bytes of the replies to reads, executed together, after which the next ones are executed later.
pub(crate) const READ_REPLY_BYTES: usize = 1024 * 1024;

/// Bytes of memory that the logs of all ranges of a node take for their newest entries, unless it is set.
pub(crate) const LOG_CACHE_BYTES: usize = 64 * 1024 * 1024;

/// The fewest bytes of memory that a log takes for its newest entries, whatever is set.
pub const LOG_CACHE_LEAST: usize = 1024 * 1024;

/// What that memory is divided by for the part that is left for where the entries are.
pub(crate) const LOG_INDEX_SHARE: usize = 4;

/// Bytes of a file of a log, after which another one begins, and how many of them the entries that it keeps
/// in memory fill at least. The file that is being written is read from memory alone, so what is kept must
/// have room for it, and an entry counts up to three times as much there as in a file.
pub(crate) const LOG_FILE_BYTES: usize = 16 * 1024 * 1024;
pub(crate) const LOG_CACHE_FILES: usize = 3;

/// Files of a log after which a snapshot is taken: each is open. As many again may begin while it is written.
/// Where a process may have few files open it is taken after fewer, but not after less than the second.
pub(crate) const LOG_FILES: usize = 256;
pub(crate) const LOG_FILES_LEAST: usize = 16;

/// What the files that a process may have open are divided by for the part that is meant for the logs.
pub(crate) const LOG_FILES_SHARE: usize = 4;

/// Files that a range has open beside those of its log: a lock, a snapshot, and what it reads for a moment.
pub(crate) const RANGE_FILES: usize = 8;

/// Bytes of a log after which a snapshot is taken, if the range takes less memory.
pub(crate) const SNAPSHOT_LOG_BYTES: u64 = 256 * 1024 * 1024;

/// The same if there is no room for as many bytes again on the disk. Cutting a log removes whole files.
pub(crate) const LOG_LOW_BYTES: u64 = 2 * LOG_FILE_BYTES as u64;

/// Entries of a log after which a snapshot is taken, if they take more memory than the range divided by the
/// second, and bytes that each of them takes: where it is in the files. All of them are kept until a snapshot
/// has them.
pub(crate) const SNAPSHOT_LOG_ENTRIES: u64 = 512 * 1024;
pub(crate) const SNAPSHOT_INDEX_SHARE: u64 = 4;
pub(crate) const LOG_ENTRY_BYTES: u64 = 128;

/// Bytes that an entry in the cache of a log takes beside its group, about.
pub(crate) const CACHED_ENTRY_BYTES: u64 = 240;

/// How far the clock may be behind the last write of a range without a warning.
pub(crate) const EARLY_CLOCK_MS: u64 = 10_000;

/// What the bytes that the buckets of a range take in memory are divided by for the least that a snapshot of
/// them takes on the disk. Without that much space beside the reserve none is begun.
pub(crate) const SNAPSHOT_SPACE_SHARE: u64 = 4;

/// Time from a snapshot that was not taken to the next one that is begun because the log has grown. It
/// doubles with each that is not taken, up to a limit.
pub(crate) const SNAPSHOT_RETRY_PAUSE: Duration = Duration::from_secs(10);
pub(crate) const SNAPSHOT_RETRY_PAUSE_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Time between two attempts to begin a snapshot while another one is being taken.
pub(crate) const SNAPSHOT_PAUSE: Duration = Duration::from_millis(5);

/// Time between two looks at whether a log that has been closed is still used.
pub(crate) const END_PAUSE: Duration = Duration::from_millis(1);

/// Time that a lock is waited for which a process may hold that was killed, and between two attempts.
pub(crate) const LOCK_WAIT: Duration = Duration::from_secs(2);
pub(crate) const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Time between two looks at how large a log is.
pub(crate) const LOG_CHECK_PAUSE: Duration = Duration::from_secs(1);

/// How often one of these looks is repeated at most while something is on its way to the log, and the time
/// between.
pub(crate) const LOG_LOOKS: usize = 16;
pub(crate) const LOG_LOOK_PAUSE: Duration = Duration::from_millis(2);

/// Time between two notes of how far a log is on disk, unless one of its files has begun.
pub(crate) const SYNCED_NOTE_PAUSE: Duration = Duration::from_secs(60);

/// The age from which on the newest snapshot is old, if the log behind it has as many bytes as the second
/// says, and the time between two warnings.
pub(crate) const OLD_SNAPSHOT: Duration = Duration::from_secs(24 * 60 * 60);
pub(crate) const OLD_SNAPSHOT_LOG_BYTES: u64 = 16 * 1024 * 1024;
pub(crate) const OLD_SNAPSHOT_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// Free bytes of the disk below which a warning says that it is nearly full, what its size is divided by if
/// that is less, and the time between two warnings.
pub(crate) const DISK_LOW_BYTES: u64 = 1024 * 1024 * 1024;
pub(crate) const DISK_LOW_SHARE: u64 = 8;
pub(crate) const DISK_LOW_PAUSE: Duration = Duration::from_secs(10 * 60);

/// Bytes that must be free on the disk for writes, and what its size is divided by if that is less.
pub(crate) const DISK_RESERVE_BYTES: u64 = 64 * 1024 * 1024;
pub(crate) const DISK_RESERVE_SHARE: u64 = 16;

/// What the reserve is divided by for the part of it that the last writes may take.
pub(crate) const DISK_END_SHARE: u64 = 16;

/// Time between two looks at the free space, if what was accepted since the last one may have room.
pub(crate) const DISK_PAUSE: Duration = Duration::from_millis(100);

/// Lines that show the requests of an entry.
pub(crate) const SHOWN_REQUESTS: usize = 100;

/// Arguments of a request that are shown.
pub(crate) const SHOWN_ARGUMENTS: usize = 16;

/// Missing ranges that a warning names.
pub(crate) const MISSING_SHOWN: usize = 8;

/// Ranges of a node of which it has the only copy, and as many with replicas: each has a log, and a thread
/// that syncs it.
pub(crate) const RANGES: usize = 64;

/// Bytes of the files `node` and `replica`. A larger one is damaged.
pub(crate) const IDENTITY_BYTES: usize = 4 * 1024 * 1024;

/// The least id of a replica that is chosen at random, so that no two have the same. Early replicas had that
/// of their range, which count from 1.
pub(crate) const RANDOM_IDS: u64 = 1 << 32;

/// Time between two heartbeats of a leader.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(100);

/// How soon a new replica has what the leader has when it becomes a voter.
pub(crate) const CATCH_UP_WAIT: Duration = Duration::from_millis(800);

/// How long a replica votes for no other one after it has received something of its leader, and how much
/// longer it waits at most before it calls an election.
pub(crate) const VOTE_LEASE: Duration = Duration::from_millis(800);
pub(crate) const ELECTION_DELAY: Duration = Duration::from_millis(400);

/// Time between two elections that a replica calls, at random in between: if it has all entries, and if
/// another one has more, which is to lead then.
pub(crate) const ELECTION_PAUSE: (Duration, Duration) =
    (Duration::from_millis(150), Duration::from_millis(450));
pub(crate) const ELECTION_PAUSE_BEHIND: (Duration, Duration) =
    (Duration::from_millis(600), Duration::from_millis(900));

/// Syncs that are measured where ranges have several replicas, and how many times as long as 99 of 100 of
/// them take the delay of an election is at least.
pub(crate) const MEASURED_SYNCS: usize = 100;
pub(crate) const ELECTION_SYNCS: u32 = 10;

/// Time between the first two attempts to write a log again that has failed. It doubles up to a limit, which
/// is also how long clients wait at most when the disk is back.
pub(crate) const RENEW_PAUSE: Duration = Duration::from_millis(100);
pub(crate) const RENEW_PAUSE_LIMIT: Duration = Duration::from_secs(1);

/// How long a log that was opened again has to last before the next failure is taken for the first one.
pub(crate) const STEADY_LOG: Duration = Duration::from_secs(10);

/// Time between two lines in the log that say how far a range is loaded.
pub(crate) const PROGRESS_PAUSE: Duration = Duration::from_secs(1);

/// Time between two rounds of the sweeper of a range.
pub(crate) const SWEEP_PAUSE: Duration = Duration::from_millis(100);
/// How long buckets are kept that were split off and have files.
pub(crate) const SPLIT_REMOVAL_PAUSE: Duration = Duration::from_secs(1);

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

/// How long a leader may read without asking the others after it has sent what a majority has answered: the
/// time for which they vote for no other one, less what clocks may differ in it.
pub(crate) const LEASE: Duration = Duration::from_millis(720);

/// Time between two looks at whether a leader still has its lease, and for how long it may have none before
/// what waits is refused.
pub(crate) const LEASE_CHECK_PAUSE: Duration = Duration::from_millis(20);
pub(crate) const QUORUM_WAIT: Duration = Duration::from_millis(1_500);

/// How long reads wait until a majority has confirmed their leader, before they are refused.
pub(crate) const CONFIRM_WAIT: Duration = Duration::from_millis(500);

/// How many elections a replica calls at most that is to lead, the time between them, and how long a leader
/// that ends waits for one that has all its entries, and then until it leads.
pub(crate) const TAKE_OVER_ATTEMPTS: usize = 7;
pub(crate) const TAKE_OVER_PAUSE: Duration = Duration::from_millis(250);
pub(crate) const TAKE_OVER_WAIT: Duration = Duration::from_secs(2);

/// Time between two attempts to learn which replica a node has, and after how many of them a replica says
/// again to all others that it is there.
pub(crate) const HELLO_PAUSE: Duration = Duration::from_millis(300);
pub(crate) const HELLO_ROUNDS: u64 = 10;

/// Time between two looks at whether the members of a range are those of its row.
pub(crate) const MEMBERS_PAUSE: Duration = Duration::from_secs(1);

/// Calls of other replicas that one replica answers at once. More are lost.
pub(crate) const CALLS_AT_ONCE: usize = 64;

/// Large entries that a log keeps while they are sent: one for each other replica of a range of five.
pub(crate) const SENT_ENTRIES: usize = 4;

/// Replicas in one list of members, which a log keeps the number of in a byte.
pub(crate) const LISTED_REPLICAS: usize = 255;

/// Entries, and bytes of groups, that one call to another replica has at most; one larger group goes alone.
pub(crate) const APPEND_ENTRIES: u64 = 16;
pub(crate) const APPEND_BYTES: usize = 8 * 1024 * 1024;

/// How long the reply to a call is awaited at least, and the bytes a second that it is awaited for.
pub(crate) const CALL_WAIT: Duration = Duration::from_secs(2);
pub(crate) const CALL_RATE: usize = 4 * 1024 * 1024;

/// Entries of a log that are kept behind a snapshot, for replicas that were away.
pub(crate) const KEPT_ENTRIES: u64 = 1_000;

/// Bytes of a part of a snapshot on its way to another replica.
pub(crate) const SNAPSHOT_PART_BYTES: usize = 256 * 1024;
