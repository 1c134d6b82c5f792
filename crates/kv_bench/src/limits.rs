//! Every limit of the load generator, with its unit.

use std::time::Duration;

/// Connections at once.
pub(crate) const CONNECTIONS: usize = 10_000;

/// Requests of one batch.
pub(crate) const PIPELINE: usize = 4_096;

/// Keys, so that a key's number fits ten digits.
pub(crate) const KEYS: u64 = 1_000_000_000;

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 250;

/// Bytes of a value.
pub(crate) const VALUE_BYTES: usize = 64 * 1024;

/// Requests in the ring of pre-built batches, unless its bytes come first.
pub(crate) const RING_REQUESTS: usize = 1 << 20;

/// Bytes of the ring of pre-built batches.
pub(crate) const RING_BYTES: usize = 256 * 1024 * 1024;

/// The seed of the random keys.
pub(crate) const RING_SEED: u64 = 4_040;

/// Requests that a fill sends before it reads their replies.
pub(crate) const FILL_REQUESTS: u64 = 1_024;

/// Bytes of requests that a fill sends at once, so that both ends' socket buffers hold a batch.
pub(crate) const FILL_BYTES: usize = 64 * 1024;

/// Bytes of one read.
pub(crate) const READ_BYTES: usize = 64 * 1024;

/// Readiness events taken from the kernel at once.
pub(crate) const EVENTS: usize = 1_024;

/// Requests per second of an open loop.
pub(crate) const RATE: u64 = 100_000_000;

/// A measurement that names no end.
pub(crate) const DEFAULT_RUN: Duration = Duration::from_secs(10);

/// The longest measurement.
pub(crate) const RUN: Duration = Duration::from_secs(3_600);

/// A server that answers nothing for this long has failed.
pub(crate) const SILENCE: Duration = Duration::from_secs(10);

/// The longest sleep between two looks at the clock.
pub(crate) const NAP: Duration = Duration::from_millis(100);

/// Bytes of an unexpected reply that an error message shows.
pub(crate) const SHOWN_BYTES: usize = 40;

/// Rounds of a comparison.
pub(crate) const ROUNDS: u64 = 1_000;

/// A measurement of a quick comparison.
pub(crate) const QUICK_RUN: Duration = Duration::from_millis(500);

/// The core of the servers, as taskset takes it, and the core of the load.
pub(crate) const SERVER_CORE: &str = "0";
pub(crate) const LOAD_CORE: usize = 1;

/// How long a server may take to come up, and how often it is tried.
pub(crate) const START: Duration = Duration::from_secs(10);
pub(crate) const LOOK: Duration = Duration::from_millis(10);
