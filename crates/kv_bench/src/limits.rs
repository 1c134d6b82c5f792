//! Every limit of this crate, by name and with its unit.

use std::time::Duration;

/// Connections at once.
pub(crate) const CONNECTIONS: usize = 10_000;

/// Requests of one batch.
pub(crate) const PIPELINE: usize = 4_096;

/// Keys; the number in a key has up to ten digits.
pub(crate) const KEYS: u64 = 1_000_000_000;

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 250;

/// Bytes of a value.
pub(crate) const VALUE_BYTES: usize = 64 * 1024;

/// Requests in the ring of prebuilt batches, unless [`RING_BYTES`] is reached first.
pub(crate) const RING_REQUESTS: usize = 1 << 20;

/// Bytes of the ring of prebuilt batches.
pub(crate) const RING_BYTES: usize = 256 * 1024 * 1024;

/// The seed of the random keys.
pub(crate) const RING_SEED: u64 = 4_040;

/// Requests in one batch of a fill.
pub(crate) const FILL_REQUESTS: u64 = 1_024;

/// Bytes of requests in one batch of a fill, so that a batch fits the socket buffers.
pub(crate) const FILL_BYTES: usize = 64 * 1024;

/// Connections of a fill of etcd, and requests at once on each.
pub(crate) const ETCD_FILL_CONNECTIONS: usize = 50;
pub(crate) const ETCD_FILL_PIPELINE: usize = 16;

/// Bytes of one read.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Readiness events per poll.
pub(crate) const EVENTS: usize = 1_024;

/// Requests per second of an open loop.
pub(crate) const RATE: u64 = 100_000_000;

/// The length of a measurement without `--seconds` or `--requests`.
pub(crate) const DEFAULT_RUN: Duration = Duration::from_secs(10);

/// The longest measurement.
pub(crate) const MAX_RUN: Duration = Duration::from_secs(3_600);

/// How long to wait for a reply before the server counts as failed.
pub(crate) const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest wait for events, so that interrupts and deadlines are noticed.
pub(crate) const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// Bytes of an unexpected reply in an error message.
pub(crate) const SHOWN_BYTES: usize = 40;

/// Rounds of a comparison.
pub(crate) const ROUNDS: u64 = 1_000;

/// The length of one measurement of a quick comparison.
pub(crate) const QUICK_RUN: Duration = Duration::from_millis(500);

/// The core of the servers, as an argument of taskset, and the core of the load.
pub(crate) const SERVER_CORE: &str = "0";
pub(crate) const LOAD_CORE: usize = 1;

/// Bytes of the keys and values of replicas.
pub(crate) const REPLICAS_KEY_BYTES: usize = 11;
pub(crate) const REPLICAS_VALUE_BYTES: usize = 32;

/// How long a server may take to start, and the pause between attempts to connect.
pub(crate) const START_TIMEOUT: Duration = Duration::from_secs(10);
pub(crate) const CONNECT_INTERVAL: Duration = Duration::from_millis(10);

/// Batches by which the rate of redis-benchmark is estimated, so that its runs take the seconds wanted.
pub(crate) const PROBE_BATCHES: u64 = 5_000;

/// Above this share of one core the load side may be the bottleneck.
pub(crate) const BUSY_SHARE: f64 = 0.95;

/// How long a busy process works before it looks whether it should end, and how long one that sleeps sleeps.
pub(crate) const BUSY_RUN: Duration = Duration::from_millis(1);
pub(crate) const BUSY_SLEEP: Duration = Duration::from_millis(9);

/// Clients that measure how long they wait, and the time between two requests of one.
pub(crate) const STALL_PINGERS: usize = 4;
pub(crate) const STALL_INTERVAL: Duration = Duration::from_millis(1);

/// How long they measure before and after what another client does.
pub(crate) const STALL_MARGIN: Duration = Duration::from_millis(300);

/// How long a stalled server may take to reply.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(60);
