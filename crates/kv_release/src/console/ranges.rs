//! `ranges`: what this node keeps on disk, how far, and what it does not keep.

use super::{node::Node, parse::Argument, render::columns, value::Value};
use kv::time::now_ms;
use kv_cluster::escape_name;
use kv_raft::{RangeState, RangeStatus};
use serde::Serialize;

/// One durable range, or one row whose buckets are volatile, of which only `range` and `state` are known.
#[derive(Debug, Default, Serialize)]
pub(crate) struct RangeRow {
    /// The row as configured.
    range: String,
    state: &'static str,
    /// Why it has stopped, or refuses writes.
    reason: Option<String>,
    loaded_percent: Option<u8>,
    /// The index of the last entry of the log that was executed.
    last_entry: Option<u64>,
    /// Entries since the newest snapshot.
    entries: Option<u64>,
    log_bytes: Option<u64>,
    snapshot_bytes: Option<u64>,
    snapshot_age_seconds: Option<u64>,
    /// Why the last snapshot was not taken, if it was not.
    snapshot_failure: Option<String>,
    last_sync_seconds: Option<u64>,
    sync_p99_us: Option<u64>,
    fsync: Option<String>,
}

pub(super) fn ranges(node: &Node, _: &[Argument]) -> Result<Value, String> {
    let (local, now_ms) = (node.cluster.local(), now_ms());
    let durable = local.range_statuses().into_iter().map(|status| durable_row(status, now_ms));
    let volatile = local.volatile_rows().map(|row| RangeRow {
        range: escape_name(row.as_bytes()),
        state: "volatile",
        ..RangeRow::default()
    });
    Ok(Value::Ranges(durable.chain(volatile).collect()))
}

fn durable_row(status: RangeStatus, now_ms: u64) -> RangeRow {
    let seconds_since = |ms: u64| now_ms.saturating_sub(ms) / 1_000;
    let (state, reason) = match (status.state, status.cannot_write) {
        (RangeState::Loading, _) => ("loading", None),
        (RangeState::Ready, None) => ("ready", None),
        (RangeState::Ready, Some(reason)) => ("read-only", Some(reason)),
        (RangeState::Stopped(reason), _) => ("stopped", Some(reason)),
    };
    RangeRow {
        range: escape_name(status.span.as_bytes()),
        state,
        reason: reason.map(|reason| reason.to_string()),
        loaded_percent: (state == "loading").then_some(status.loaded),
        last_entry: Some(status.applied),
        entries: Some(status.entries),
        log_bytes: Some(status.log.bytes),
        snapshot_bytes: status.snapshot.written_ms().map(|_| status.snapshot.bytes()),
        snapshot_age_seconds: status.snapshot.written_ms().map(seconds_since),
        snapshot_failure: status.snapshot.failure.map(|reason| reason.to_string()),
        last_sync_seconds: status.synced_ms.map(seconds_since),
        sync_p99_us: (status.log.syncs > 0).then(|| status.log.sync_p99.as_micros() as u64),
        fsync: Some("always".to_owned()),
    }
}

/// The rows as a table, and below it what is wrong.
pub(super) fn text(rows: &[RangeRow]) -> String {
    if rows.is_empty() {
        return "none: no row of [[routes]] names this node".to_owned();
    }
    let head = ["range", "state", "entries", "log", "snapshot", "last sync", "sync p99", "fsync"];
    let head = [head.map(str::to_owned)];
    let mut text = columns(head.into_iter().chain(rows.iter().map(cells)));
    for row in rows {
        let failure = row.snapshot_failure.as_ref().map(|reason| format!("no snapshot was taken: {reason}"));
        for problem in row.reason.clone().into_iter().chain(failure) {
            text += &format!("\n{}: {problem}", row.range);
        }
    }
    text
}

fn cells(row: &RangeRow) -> [String; 8] {
    let shown = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let state = match row.loaded_percent {
        Some(percent) => format!("loading {percent} %"),
        None => row.state.to_owned(),
    };
    let snapshot = row.snapshot_bytes.zip(row.snapshot_age_seconds);
    [
        row.range.clone(),
        state,
        shown(row.entries.map(|entries| entries.to_string())),
        shown(row.log_bytes.map(megabytes)),
        shown(snapshot.map(|(bytes, age)| format!("{}, {}", megabytes(bytes), ago(age)))),
        shown(row.last_sync_seconds.map(ago)),
        shown(row.sync_p99_us.map(|micros| format!("{:.1} ms", micros as f64 / 1e3))),
        shown(row.fsync.clone()),
    ]
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

fn ago(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s ago"),
        120..7_200 => format!("{} min ago", seconds / 60),
        7_200..172_800 => format!("{} h ago", seconds / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_a_table_and_below_it_is_what_is_wrong() {
        let ready = RangeRow {
            range: "a..m".to_owned(),
            state: "ready",
            entries: Some(12),
            log_bytes: Some(1_234_567),
            snapshot_bytes: Some(200_000),
            snapshot_age_seconds: Some(7_199),
            last_sync_seconds: Some(3),
            sync_p99_us: Some(1_250),
            fsync: Some("always".to_owned()),
            ..RangeRow::default()
        };
        let stopped = RangeRow {
            range: "n..p".to_owned(),
            state: "stopped",
            reason: Some("log/r-0.wal: damaged".to_owned()),
            entries: Some(0),
            snapshot_failure: Some("no space".to_owned()),
            ..RangeRow::default()
        };
        let volatile = RangeRow { range: "q..".to_owned(), state: "volatile", ..RangeRow::default() };
        let loading = RangeRow {
            range: "r".to_owned(),
            state: "loading",
            loaded_percent: Some(5),
            ..RangeRow::default()
        };
        assert_eq!(
            text(&[ready, stopped, volatile, loading]),
            "range  state        entries  log     snapshot             last sync  sync p99  fsync\n\
             a..m   ready        12       1.2 MB  0.2 MB, 119 min ago  3 s ago    1.2 ms    always\n\
             n..p   stopped      0        -       -                    -          -         -\n\
             q..    volatile     -        -       -                    -          -         -\n\
             r      loading 5 %  -        -       -                    -          -         -\n\
             n..p: log/r-0.wal: damaged\n\
             n..p: no snapshot was taken: no space"
        );
    }

    #[test]
    fn ages_are_as_exact_as_one_wants_to_know() {
        let ages = [0, 119, 120, 7_199, 7_200, 172_799, 172_800].map(ago);
        let shown = ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"];
        assert_eq!(ages, shown.map(|age| format!("{age} ago")));
    }
}
