//! The value of an expression, before it is rendered as text or JSON.

use serde::Serialize;

/// The value of one expression.
#[derive(Debug)]
pub(crate) enum Value {
    Done,
    Number(u32),
    Text(String),
    /// A node's name, in Elixir's form.
    NodeName(String),
    /// The same of several nodes.
    NodeNames(Vec<String>),
    Nodes(Vec<NodeRow>),
    /// The routes, and how the configuration of this node differs, if it does.
    Routes(Vec<RouteRow>, Option<String>),
    Plans(Vec<PlanRow>),
    Ranges(Vec<RangeRow>),
    Status(Status),
    Tree(otp::Tree),
    /// The value of a key; `None` if there is no such key.
    Bytes(Option<Vec<u8>>),
    Names(Names),
    Peek(Peek),
    /// Whether a node is connected, as `true` or `false`, or why not.
    Connected(Result<(), String>),
    /// The same as `:pong` or `:pang`.
    Pinged(Result<(), String>),
}

/// A look at what a name stands for.
#[derive(Debug, Default)]
pub(crate) struct Peek {
    pub(crate) is_bucket: bool,
    /// Keys of a bucket, or bytes of a value.
    pub(crate) size: u64,
    pub(crate) expires_in_ms: Option<u64>,
    /// The first entries of a bucket, shortened.
    pub(crate) entries: Vec<(Vec<u8>, Vec<u8>)>,
    /// The start of a value.
    pub(crate) value: Vec<u8>,
}

/// Names of buckets or keys.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) names: Vec<Vec<u8>>,
    /// The line that lists the next page, if there is one.
    pub(crate) next: Option<String>,
    /// How many keys Redis clients have in the other databases, which the console does not list.
    pub(crate) other_databases: u64,
    /// Why the names of a node are missing.
    pub(crate) unavailable: Vec<String>,
}

/// One node, seen from this one.
#[derive(Debug, Serialize)]
pub(crate) struct NodeRow {
    pub(crate) node: String,
    pub(crate) up: bool,
    /// Whether it is this node.
    pub(crate) me: bool,
    /// Why it is down, or what is wrong with this node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// The names that neither node serves, because their routes differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) routes_differ: Option<String>,
}

/// One route.
#[derive(Debug, Serialize)]
pub(crate) struct RouteRow {
    pub(crate) buckets: String,
    /// The node that owns them, or those that have a replica each.
    pub(crate) nodes: Vec<String>,
    /// Whether the buckets are durable if the node has a data directory.
    pub(crate) durable: bool,
}

/// A row whose replicas are on their way to other nodes.
#[derive(Debug, Serialize)]
pub(crate) struct PlanRow {
    /// The row as configured.
    pub(crate) range: String,
    /// The nodes that are to have replicas.
    pub(crate) nodes: Vec<String>,
    /// The nodes that have them until the others have the data.
    pub(crate) leaving: Vec<String>,
}

/// One durable range, or one row whose buckets are volatile, of which only `range` and `state` are known.
#[derive(Debug, Default, Serialize)]
pub(crate) struct RangeRow {
    /// The row as configured.
    pub(crate) range: String,
    pub(crate) state: &'static str,
    /// The other nodes with copies of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) replicas: Vec<ReplicaRow>,
    /// The node that serves its requests, if there are others with copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) leader: Option<String>,
    /// The number of its election.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) term: Option<u64>,
    /// If this node leads it: `lease`, or `confirmed`, as the row says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reads: Option<&'static str>,
    /// How long it may read without asking the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) lease_ms: Option<u64>,
    /// Why it has stopped, or refuses writes.
    pub(crate) reason: Option<String>,
    pub(crate) loaded_percent: Option<u8>,
    /// The index of the last entry of the log that was executed.
    pub(crate) last_entry: Option<u64>,
    /// Entries since the newest snapshot.
    pub(crate) entries: Option<u64>,
    pub(crate) log_bytes: Option<u64>,
    pub(crate) snapshot_bytes: Option<u64>,
    pub(crate) snapshot_age_seconds: Option<u64>,
    /// Why the last snapshot was not taken, if it was not.
    pub(crate) snapshot_failure: Option<String>,
    pub(crate) snapshot_failure_age_seconds: Option<u64>,
    pub(crate) last_sync_seconds: Option<u64>,
    pub(crate) sync_p99_us: Option<u64>,
    pub(crate) fsync: Option<&'static str>,
    pub(crate) fsync_interval_ms: Option<u64>,
}

/// A copy of a range on another node.
#[derive(Debug, Serialize)]
pub(crate) struct ReplicaRow {
    pub(crate) node: String,
    /// Whether it counts for a majority.
    pub(crate) voter: bool,
    /// The entries of the log that it is not known to have; only the leader knows.
    pub(crate) lag: Option<u64>,
}

/// What `status` shows about a node.
#[derive(Debug, Serialize)]
pub(crate) struct Status {
    pub(crate) node: String,
    pub(crate) release: &'static str,
    pub(crate) version: &'static str,
    pub(crate) pid: u32,
    pub(crate) clients: Option<String>,
    pub(crate) link: Option<String>,
    pub(crate) config: Option<String>,
    /// Whether any bucket of this node is durable.
    pub(crate) durable: bool,
    /// Where durable buckets are kept.
    pub(crate) data_dir: Option<String>,
    /// The rows whose buckets are volatile.
    pub(crate) volatile: Vec<String>,
    pub(crate) memory: Memory,
    pub(crate) up_seconds: u64,
    pub(crate) started_unix_ms: u64,
}

/// The memory of a node's buckets, in bytes.
#[derive(Debug, Serialize)]
pub(crate) struct Memory {
    pub(crate) used: u64,
    /// Freed by deletes, and kept for reuse.
    pub(crate) free: u64,
    pub(crate) limit: Option<u64>,
}

impl From<kv::StoreStats> for Memory {
    fn from(stats: kv::StoreStats) -> Memory {
        Memory { used: stats.bytes, free: stats.free, limit: stats.limit }
    }
}
