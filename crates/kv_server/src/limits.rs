//! The limits of connections and reactors, each with its unit.

use std::time::Duration;

/// The limits that a release sets.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one line of the text protocol, without its line break.
    pub line_bytes: usize,
    /// Concurrent client connections.
    pub connections: usize,
    /// Bytes that all connections together may hold in buffers, queued commands and subscriptions.
    pub client_memory: usize,
    /// Seconds of silence after which TCP probes a client; 0 for never.
    pub tcp_keepalive_seconds: u32,
    /// Whether io_uring is used where the kernel has it.
    pub io_uring: bool,
    /// The limits of Redis clients.
    pub redis: RedisLimits,
}

/// The limits of Redis clients, which Redis has too.
#[derive(Debug, Clone, Copy)]
pub struct RedisLimits {
    /// Bytes of one argument of a command (`proto-max-bulk-len`).
    pub bulk_bytes: usize,
    /// Bytes of one command with all its arguments.
    pub request_bytes: usize,
    /// How long a client without subscriptions may send nothing before it is disconnected (`timeout`).
    pub idle: Option<Duration>,
}

impl Default for RedisLimits {
    /// Redis's defaults.
    fn default() -> RedisLimits {
        RedisLimits { bulk_bytes: 512 * 1024 * 1024, request_bytes: 1024 * 1024 * 1024, idle: None }
    }
}

#[cfg(test)]
impl Default for Limits {
    fn default() -> Limits {
        Limits {
            line_bytes: 1024 * 1024,
            connections: 1_000,
            client_memory: 1024 * 1024 * 1024,
            tcp_keepalive_seconds: 300,
            io_uring: true,
            redis: RedisLimits::default(),
        }
    }
}

/// Time between two samples of totals, from which INFO's rates are made.
pub(crate) const SAMPLE_PAUSE: Duration = Duration::from_millis(500);

/// Samples that are kept.
pub(crate) const RATE_SAMPLES: usize = 4;

/// Bytes that a connection may hold when all together hold too much, if there are few of them.
pub(crate) const LARGEST_SHARE_BYTES: usize = 1024 * 1024;

/// Bytes that a connection may hold when all together hold too much, however many there are.
pub(crate) const SMALLEST_SHARE_BYTES: usize = 64 * 1024;

/// Closed connections that are logged one by one before they are counted.
pub(crate) const EVICTIONS_LOGGED: u32 = 10;

/// Bytes of buffers up to which a connection's traffic with the kernel is not counted, in each direction.
pub(crate) const UNCOUNTED_BYTES: usize = 16 * 1024;

/// The pause before a connection that needs a larger buffer asks again whether there is room for it.
pub(crate) const MEMORY_PAUSE: Duration = Duration::from_millis(20);

/// How often it asks before it is closed. Those that wait may hold all of the memory together.
pub(crate) const MEMORY_PAUSES: u32 = 250;

/// Probes without an answer after which TCP gives a client up. They follow each other in a third of the time
/// of silence before the first.
pub(crate) const KEEPALIVE_PROBES: u32 = 3;

/// Initial bytes of a connection's input buffer; it grows while a longer request arrives.
pub(crate) const INPUT_BYTES: usize = 16 * 1024;

/// Bytes that an input buffer grows by at a time; below, it doubles.
pub(crate) const INPUT_GROWTH_BYTES: usize = 256 * 1024;

/// Bytes of rendered replies at which they are written before the batch continues.
pub(crate) const OUTPUT_BYTES: usize = 256 * 1024;

/// The same while memory for clients is short.
pub(crate) const SHORT_OUTPUT_BYTES: usize = 16 * 1024;

/// Bytes of empty buffers that a thread keeps in each of its buffer pools.
pub(crate) const POOLED_BYTES: usize = 1024 * 1024;

/// Ready sockets that epoll reports at once.
pub(crate) const EPOLL_EVENTS: usize = 256;

/// Connections that are polled in turn, so that one runs while others yield. In a larger group, the kernel's
/// state of the first socket would have left the processor's cache by the time its reply is sent.
pub(crate) const YIELD_GROUP: usize = 8;

/// Receives and sends that are submitted to io_uring in one system call.
pub(crate) const URING_SUBMISSIONS: u32 = 128;

/// Completions that io_uring's queue holds before they overflow into slower memory of the kernel.
pub(crate) const URING_COMPLETIONS: u32 = 4096;

/// How long a new ring waits for the memory of rings that the kernel still closes, and the time between two
/// attempts.
pub(crate) const URING_CLOSE_TIMEOUT: Duration = Duration::from_millis(500);
pub(crate) const URING_CLOSE_PAUSE: Duration = Duration::from_millis(10);

/// Buffers of each reactor that the kernel receives into. A receive that finds none free is repeated in the
/// next turn of the loop.
pub(crate) const URING_BUFFERS: u16 = 256;

/// Bytes of each of these buffers.
pub(crate) const URING_BUFFER_BYTES: usize = 8 * 1024;

/// Requests that are executed as one batch.
pub(crate) const BATCH_REQUESTS: usize = 64;

/// Requests of one client that wait together for another node, or for the disk, if none of them needs to be
/// in a batch of its own.
pub(crate) const WAITING_REQUESTS: usize = 1_024;

/// Bytes of bucket names that are sorted together before they are written.
pub(crate) const SORTED_BYTES: usize = 4 * 1024 * 1024;

/// Buckets that one connection may subscribe to.
pub(crate) const SUBSCRIPTIONS: usize = 1_000;

/// Bytes that a subscription to a bucket counts in addition to the bucket's name.
pub(crate) const SUBSCRIPTION_BYTES: usize = 2 * 1024;

/// Bytes of changes and messages that are queued for all subscriptions of one client together.
pub(crate) const BACKLOG_BYTES: usize = 32 * 1024 * 1024;

/// Events of subscriptions that are written together, if they have less than [`OUTPUT_BYTES`].
pub(crate) const EVENTS_AT_ONCE: usize = 64;

/// Arguments of one Redis command, its name included.
pub(crate) const ARGUMENTS: usize = 1_048_576;

/// Arguments of a command of the session, except for those that subscribe and unsubscribe.
pub(crate) const SESSION_ARGUMENTS: usize = 10_000;

/// Arguments of a command of the session after which other connections run.
pub(crate) const ARGUMENTS_AT_ONCE: usize = 256;

/// Replies of EXEC that are written before other connections run.
pub(crate) const EXEC_REPLIES_AT_ONCE: usize = 1_000;

/// Bytes of a RESP header: the line with the number of arguments, or of bytes, that follow.
pub(crate) const HEADER_BYTES: usize = 64 * 1024;

/// Bytes of an inline command of Redis, without its line ending.
pub(crate) const INLINE_BYTES: usize = 64 * 1024;

/// Bytes of the cached header of a command, up to the end of its name, with which the next one is compared.
pub(crate) const CACHED_HEADER_BYTES: usize = 32;

/// Bytes of a reply that is collected page by page (KEYS, HGETALL, HKEYS, HVALS); SCAN and HSCAN return one
/// page.
pub(crate) const PAGED_REPLY_BYTES: usize = 64 * 1024 * 1024;

/// Commands queued since MULTI.
pub(crate) const QUEUED_COMMANDS: usize = 100_000;

/// Bytes of the commands queued since MULTI.
pub(crate) const QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// Keys whose owners are looked up, before a command over several nodes begins, until other connections run.
pub(crate) const LOOK_AHEAD_REQUESTS: usize = 4_096;

/// Keys that the error of a command that was partly done names, of those that were not done and of those
/// whose outcome is unknown.
pub(crate) const KEYS_IN_ERROR: usize = 16;

/// Bytes of each of their names.
pub(crate) const NAME_IN_ERROR_BYTES: usize = 128;

/// Keys that one connection may WATCH.
pub(crate) const WATCHED: usize = 10_000;

/// Bytes that a watched key counts in addition to its name.
pub(crate) const WATCHED_KEY_BYTES: usize = 64;

/// Bytes of a client's name (CLIENT SETNAME).
pub(crate) const CLIENT_NAME_BYTES: usize = 1_024;

/// The longest DEBUG SLEEP.
pub(crate) const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// How often it is decided how many reactors serve connections.
pub(crate) const BALANCE_INTERVAL: Duration = Duration::from_millis(250);

/// A reactor that is busy for this share of an interval is saturated.
pub(crate) const SATURATED_SHARE: f64 = 0.9;

/// A reactor that is busy for less than this share of an interval can take connections of a saturated one.
pub(crate) const COOL_SHARE: f64 = 0.6;

/// Cores of the machine that must be idle before one more reactor is used. With less, what the requests cost
/// more in two places is not gained.
pub(crate) const IDLE_CORES: f64 = 0.75;

/// Fewer reactors are used when they would be busy for at most this share of the time.
pub(crate) const GATHER_SHARE: f64 = 0.75;

/// Intervals in a row in which the load must have been that low.
pub(crate) const CALM_INTERVALS: u32 = 4;

/// Saturated intervals after which one more reactor is tried although no core is idle.
pub(crate) const TRIAL_DELAY: u32 = 4;

/// Intervals of a trial. What is executed in them is compared with as many before it.
pub(crate) const TRIAL_INTERVALS: usize = 4;

/// How many more requests must be executed in a trial, as a share of what one reactor executed before.
pub(crate) const TRIAL_GAIN: f64 = 0.2;

/// Saturated intervals until the next trial, after the first that fails; each further one doubles them.
pub(crate) const MIN_TRIAL_PAUSE: u32 = 40;

/// Saturated intervals until the next trial, however many have failed.
pub(crate) const MAX_TRIAL_PAUSE: u32 = 1_200;

/// Bytes of the name of a channel that a message is published on. Each subscribed pattern is compared with
/// it.
pub(crate) const CHANNEL_NAME_BYTES: usize = 16 * 1024;

/// Bytes of requests after which a batch ends.
pub(crate) const BATCH_BYTES: usize = 256 * 1024;

/// Requests of one batch that list or search many fields.
pub(crate) const BATCH_PAGES: usize = 8;

/// How long a connection executes batches before the other connections of its thread run.
pub(crate) const TURN: Duration = Duration::from_millis(1);

/// Arguments of a command that is executed as one step: on one key, or on keys that it changes together.
pub(crate) const STEP_ARGUMENTS: usize = 40_000;
