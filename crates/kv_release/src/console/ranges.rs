//! `ranges`: what this node keeps on disk, how far, and what it does not keep.

use super::{
    node::Node,
    parse::Argument,
    value::{RangeRow, ReplicaRow, Value},
};
use kv::time::now_ms;
use kv_raft::{Fsync, Leader, RangeState, RangeStatus, ReadGuard, ReplicaStatus};

pub(super) fn ranges(node: &Node, _: &[Argument]) -> Result<Value, String> {
    let (local, now_ms) = (node.cluster.local(), now_ms());
    let durable = local.ranges().into_iter().chain(local.meta_range()).map(|range| {
        let status = range.status();
        let (term, replicas) = (status.term, status.replicas.iter().map(replica_row).collect());
        let row = durable_row(status, now_ms);
        if !range.is_replicated() {
            return row;
        }
        let leader = match range.leader() {
            Leader::Here => Some(node.cluster.node_name().to_string()),
            Leader::Node(leader) => Some(leader.to_string()),
            Leader::Unknown => None,
        };
        let (reads, lease_ms) = match range.read_guard() {
            Some(ReadGuard::Lease(left)) => (Some("lease"), Some(left.as_millis() as u64)),
            Some(ReadGuard::Confirmed) => (Some("confirmed"), None),
            None => (None, None),
        };
        RangeRow { leader, term: Some(term), reads, lease_ms, replicas, ..row }
    });
    let volatile = local.volatile_rows().map(|row| RangeRow {
        range: row.to_owned(),
        state: "volatile",
        ..RangeRow::default()
    });
    Ok(Value::Ranges(durable.chain(volatile).collect()))
}

/// Begins a snapshot of each durable range.
pub(super) fn snapshot(node: &Node, _: &[Argument]) -> Result<Value, String> {
    let local = node.cluster.local();
    if local.ranges().is_empty() {
        return Err("no bucket of this node is durable: there is nothing to take a snapshot of".to_owned());
    }
    // They are taken although nobody waits for them.
    drop(local.take_snapshots());
    local.check_ranges().and_then(|()| local.check_logs()).map_err(|failure| failure.to_string())?;
    Ok(Value::Text("begun; `ranges` shows its size and age when it is on disk".to_owned()))
}

fn replica_row(replica: &ReplicaStatus) -> ReplicaRow {
    ReplicaRow { node: replica.node.to_string(), voter: replica.is_voter, lag: replica.lag }
}

fn durable_row(status: RangeStatus, now_ms: u64) -> RangeRow {
    let seconds_since = |ms: u64| now_ms.saturating_sub(ms) / 1_000;
    let (state, reason) = match (status.state, status.cannot_write) {
        (RangeState::Loading, reason) => ("loading", reason),
        (RangeState::Ready, None) => ("ready", None),
        (RangeState::Ready, Some(reason)) => ("read-only", Some(reason)),
        (RangeState::Following { leader: Some(_) }, _) => ("following", None),
        (RangeState::Following { leader: None }, _) => ("no leader", None),
        (RangeState::Stopped(reason), _) => ("stopped", Some(reason)),
    };
    let (fsync, fsync_interval_ms) = match status.fsync {
        Fsync::Always => ("always", None),
        Fsync::Interval(interval) => ("interval", Some(interval.as_millis() as u64)),
    };
    // What a range has that has stopped is not known.
    let of_live = |number| (state != "stopped").then_some(number);
    RangeRow {
        range: status.span.to_string(),
        state,
        reason: reason.map(|reason| reason.to_string()),
        loaded_percent: (state == "loading").then_some(status.loaded),
        last_entry: of_live(status.applied),
        entries: of_live(status.entries),
        log_bytes: of_live(status.log.bytes),
        snapshot_bytes: status.snapshot.written_ms().map(|_| status.snapshot.bytes()),
        snapshot_age_seconds: status.snapshot.written_ms().map(seconds_since),
        snapshot_failure_age_seconds: status.snapshot.failed_for().map(|failed| failed.as_secs()),
        snapshot_failure: status.snapshot.failure.map(|reason| reason.to_string()),
        last_sync_seconds: status.synced_ms.map(seconds_since),
        sync_p99_us: (status.log.syncs > 0).then_some(status.log.sync_p99.as_micros() as u64),
        fsync: Some(fsync),
        fsync_interval_ms,
        ..RangeRow::default()
    }
}
