//! What the page shows of this node's ranges and of the routing table, as plain values.

use kv_cluster::{Cluster, LocalNode, NodeName, RangeState, RangeStatus, Route};
use serde::Serialize;
use serde_json::{Value, json};

/// One range of this node, or a row whose buckets are volatile, of which only `range` and `state` are known.
#[derive(Debug, Default, Serialize)]
pub(super) struct RangeView {
    /// The row as configured.
    pub(super) range: String,
    state: &'static str,
    /// Why it has stopped, or refuses writes.
    reason: Option<String>,
    loaded_percent: Option<u8>,
    /// The node that serves it, if there are others with copies.
    pub(super) leader: Option<String>,
    term: Option<u64>,
    replicas: Vec<ReplicaView>,
    entries: Option<u64>,
    log_bytes: Option<u64>,
    snapshot_bytes: Option<u64>,
    snapshot_ms: Option<u64>,
    sync_p99_us: Option<u64>,
}

/// A copy on another node.
#[derive(Debug, Serialize)]
struct ReplicaView {
    node: String,
    voter: bool,
    lag: Option<u64>,
}

/// The ranges of this node.
pub(super) fn ranges(local: &LocalNode, own: &str) -> Vec<RangeView> {
    let ranges = local.ranges().into_iter().chain(local.meta_range());
    let durable = ranges.map(|range| durable_view(range.status(), range.is_replicated(), own));
    let volatile = local.volatile_rows().map(|row| RangeView {
        range: row.to_owned(),
        state: "volatile",
        ..RangeView::default()
    });
    durable.chain(volatile).collect()
}

fn durable_view(status: RangeStatus, is_replicated: bool, own: &str) -> RangeView {
    let mut leader = is_replicated.then(|| own.to_owned());
    let (state, reason) = match (&status.state, &status.cannot_write) {
        (RangeState::Loading, reason) => ("loading", reason.as_ref()),
        (RangeState::Ready, None) => ("ready", None),
        (RangeState::Ready, Some(reason)) => ("read-only", Some(reason)),
        (RangeState::Following { leader: Some(other) }, _) => {
            leader = Some(other.to_string());
            ("following", None)
        }
        (RangeState::Following { leader: None }, _) => ("no leader", None),
        (RangeState::Stopped(reason), _) => ("stopped", Some(reason)),
    };
    let leader = leader.filter(|_| ["ready", "read-only", "following"].contains(&state));
    let is_live = state != "stopped";
    let replicas = status.replicas.iter().map(|replica| ReplicaView {
        node: replica.node.to_string(),
        voter: replica.is_voter,
        lag: replica.lag,
    });
    RangeView {
        range: status.span.to_string(),
        state,
        reason: reason.map(ToString::to_string),
        loaded_percent: (state == "loading").then_some(status.loaded),
        leader,
        term: is_replicated.then_some(status.term),
        replicas: replicas.collect(),
        entries: is_live.then_some(status.entries),
        log_bytes: is_live.then_some(status.log.bytes),
        snapshot_bytes: status.snapshot.written_ms().map(|_| status.snapshot.bytes()),
        snapshot_ms: status.snapshot.written_ms(),
        sync_p99_us: (status.log.syncs > 0).then_some(status.log.sync_p99.as_micros() as u64),
    }
}

/// The routing table: names in order, and the nodes that own them.
pub(super) fn routes(cluster: &Cluster) -> Value {
    let view = |buckets: &str, nodes: &[NodeName], route: &Route| {
        let durable = route.is_durable();
        json!({ "buckets": buckets, "nodes": nodes, "durable": durable })
    };
    let rows = cluster.routes().spans().iter().flat_map(|route| {
        // It may have been split.
        match cluster.rows_of(route) {
            rows if rows.is_empty() => vec![view(route.buckets(), route.nodes(), route)],
            rows => rows.iter().map(|row| view(row.buckets(), &row.nodes, route)).collect(),
        }
    });
    rows.collect()
}

/// The rows that are being moved or split.
pub(super) fn plans(cluster: &Cluster) -> Value {
    let moving = cluster.placements().into_iter().filter(|row| row.is_moving);
    moving.map(|row| json!({ "range": row.buckets(), "nodes": row.nodes, "leaving": row.leaving })).collect()
}
