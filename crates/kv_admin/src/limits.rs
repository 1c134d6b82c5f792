//! Every limit of this crate, with its unit.

use std::time::Duration;

/// How long a request line and its headers may take to arrive, and how long a connection may wait for its
/// next request.
pub(crate) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to read what it has been sent.
pub(crate) const WRITE_TIMEOUT: Duration = Duration::from_secs(20);
/// Streams of events at once; further ones are refused.
pub(crate) const STREAMS: usize = 64;
/// Events that a stream may be behind, before it gets all that is known instead.
pub(crate) const UPDATES: usize = 16;
/// Passive children of each child in the tree of the page.
pub(crate) const OBSERVED_CHILDREN: usize = 20;
/// Requests of the API that are executed at once.
pub(crate) const API_REQUESTS: usize = 2;
/// How long one may wait for that.
pub(crate) const API_WAIT: Duration = Duration::from_secs(2);
/// How long the other nodes may take to say whether all is well.
pub(crate) const HEALTH_WAIT: Duration = Duration::from_secs(5);
/// Passive children of each child in the tree of the API, and the most of them.
pub(crate) const TREE_CHILDREN: u64 = 20;
pub(crate) const API_CHILDREN: u64 = 1_000;
/// Names of buckets on one page, or, with a prefix, after which no further ones are looked for.
pub(crate) const LISTED_BUCKETS: u64 = 50;
/// The most of them that may be asked for: three requests are made for each.
pub(crate) const MAX_LISTED_BUCKETS: u64 = 300;
/// Pages of names that are looked at for those, before the next request goes on.
pub(crate) const SCANNED_PAGES: usize = 50;
/// Bytes of a value, a key or a name that are shown.
pub(crate) const VALUE_BYTES: usize = 4 * 1024;
/// How long another node may take to report.
pub(crate) const REPORT_WAIT: Duration = Duration::from_millis(900);
/// How long requests may go on when the port is stopped.
pub(crate) const STOP_WAIT: Duration = Duration::from_secs(1);
/// Bytes of a request line with its headers.
pub(crate) const HEAD_BYTES: usize = 16 * 1024;
/// Headers of a request.
pub(crate) const HEADERS: usize = 64;
/// Seconds after which a refused client may try again.
pub(crate) const RETRY_AFTER: u32 = 5;
