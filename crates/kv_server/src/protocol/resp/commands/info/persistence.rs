//! Section `persistence` of INFO: what all durable ranges of this node do together. A snapshot is what Redis
//! calls a save and a rewrite of the append-only file, both at once: the log goes on behind it.

use super::lines::{line, zeros};
use crate::context::ServerContext;
use kv_cluster::{Fsync, RangeState, RangeStatus, escape_name};
use std::time::Duration;

/// Writes the section.
pub(super) fn persistence(context: &ServerContext, text: &mut String) {
    let ranges = context.cluster.local().range_statuses();
    line(text, "loading", u8::from(any(&ranges, is_loading)));
    zeros(text, &["async_loading", "current_cow_peak", "current_cow_size", "current_cow_size_age"]);
    line(text, "current_fork_perc", "0.00");
    zeros(text, &["current_save_keys_processed", "current_save_keys_total"]);
    snapshots(context, &ranges, text);
    log(&ranges, text);
    zeros(text, &["module_fork_in_progress", "module_fork_last_cow_size"]);
    if !ranges.is_empty() {
        sizes(&ranges, text);
    }
    if any(&ranges, is_loading) {
        progress(&ranges, text);
    }
    let (fsync, interval) = match context.cluster.local().fsync() {
        None => ("never", Duration::ZERO),
        Some(Fsync::Always) => ("always", Duration::ZERO),
        Some(Fsync::Interval(interval)) => ("interval", interval),
    };
    line(text, "fsync", fsync);
    line(text, "fsync_interval_ms", interval.as_millis());
    line(text, "log_cache_bytes", sum(&ranges, |range| range.log.cached_bytes));
    line(text, "log_cache_limit", sum(&ranges, |range| range.log.cache_limit));
    line(text, "durable_ranges", ranges.len());
    line(text, "stopped_ranges", ranges.iter().filter(|range| is_stopped(range)).count());
    let volatile = context.cluster.local().volatile_rows();
    let volatile: Vec<String> = volatile.map(|row| escape_name(row.as_bytes())).collect();
    line(text, "volatile_rows", volatile.join(","));
}

/// When everything of this node was saved, in seconds since 1970: the start of the node if it was not.
pub(crate) fn last_save(context: &ServerContext, ranges: &[RangeStatus]) -> u64 {
    let saved = |range: &RangeStatus| range.snapshot.written_ms().unwrap_or(context.started_ms);
    ranges.iter().map(saved).min().unwrap_or(context.started_ms) / 1_000
}

/// Whether a snapshot is being taken, or is to be. A range that is not ready takes none.
pub(crate) fn is_saving(ranges: &[RangeStatus]) -> bool {
    any(ranges, |range| !is_loading(range) && !is_stopped(range) && range.snapshot.is_running())
}

/// The fields of `rdb_`.
fn snapshots(context: &ServerContext, ranges: &[RangeStatus], text: &mut String) {
    line(text, "rdb_changes_since_last_save", sum(ranges, |range| range.entries));
    line(text, "rdb_bgsave_in_progress", u8::from(is_saving(ranges)));
    line(text, "rdb_last_save_time", last_save(context, ranges));
    line(text, "rdb_last_bgsave_status", status(!any(ranges, has_failed)));
    line(text, "rdb_last_bgsave_time_sec", seconds(ranges, |range| range.snapshot.took));
    line(text, "rdb_current_bgsave_time_sec", seconds(ranges, |range| range.snapshot.running_for()));
    line(text, "rdb_saves", sum(ranges, |range| range.snapshot.written));
    zeros(text, &["rdb_last_cow_size", "rdb_last_load_keys_expired"]);
    line(text, "rdb_last_load_keys_loaded", sum(ranges, |range| range.loading.buckets));
}

/// The fields of `aof_`.
fn log(ranges: &[RangeStatus], text: &mut String) {
    line(text, "aof_enabled", u8::from(!ranges.is_empty()));
    line(text, "aof_rewrite_in_progress", u8::from(is_saving(ranges)));
    zeros(text, &["aof_rewrite_scheduled"]);
    line(text, "aof_last_rewrite_time_sec", seconds(ranges, |range| range.snapshot.took));
    line(text, "aof_current_rewrite_time_sec", seconds(ranges, |range| range.snapshot.running_for()));
    line(text, "aof_last_bgrewrite_status", status(!any(ranges, has_failed)));
    line(text, "aof_rewrites", sum(ranges, |range| range.snapshot.written));
    let failures = ranges.iter().map(|range| range.snapshot.failures).max().unwrap_or(0);
    line(text, "aof_rewrites_consecutive_failures", failures);
    let cannot_write = |range: &RangeStatus| range.cannot_write.is_some() || is_stopped(range);
    line(text, "aof_last_write_status", status(!any(ranges, cannot_write)));
    zeros(text, &["aof_last_cow_size"]);
}

/// The sizes of snapshots and logs. What waits to be written is not acknowledged, and so not pending; what
/// waits for a sync is, if logs are synced at intervals.
fn sizes(ranges: &[RangeStatus], text: &mut String) {
    let base = sum(ranges, |range| range.snapshot.bytes());
    line(text, "aof_current_size", base + sum(ranges, |range| range.log.bytes));
    line(text, "aof_base_size", base);
    zeros(text, &["aof_pending_rewrite", "aof_buffer_length"]);
    line(text, "aof_pending_bio_fsync", ranges.iter().filter(|range| range.unsynced > 0).count());
    zeros(text, &["aof_delayed_fsync"]);
}

/// How far the ranges that load are.
fn progress(ranges: &[RangeStatus], text: &mut String) {
    let loading = || ranges.iter().filter(|range| is_loading(range));
    let total: u64 = loading().map(|range| range.loading.bytes).sum();
    let loaded: u64 = loading().map(|range| range.loading.bytes * u64::from(range.loaded) / 100).sum();
    let began_ms = loading().map(|range| range.loading.began_ms).min().unwrap_or(0);
    let passed = kv::time::now_ms().saturating_sub(began_ms) as f64 / 1_000.0;
    let share = loaded as f64 / total.max(1) as f64;
    // Nothing is known yet of what has just begun.
    let left = if share > 0.0 { (passed / share - passed).ceil() as u64 } else { 1 };
    line(text, "loading_start_time", began_ms / 1_000);
    line(text, "loading_total_bytes", total);
    line(text, "loading_loaded_bytes", loaded);
    line(text, "loading_loaded_perc", format_args!("{:.2}", share * 100.0));
    line(text, "loading_eta_seconds", left);
}

fn any(ranges: &[RangeStatus], is_so: impl Fn(&RangeStatus) -> bool) -> bool {
    ranges.iter().any(is_so)
}

fn sum(ranges: &[RangeStatus], number: impl Fn(&RangeStatus) -> u64) -> u64 {
    ranges.iter().map(number).sum()
}

/// The seconds of the one that takes longest; -1 if there is none.
fn seconds(ranges: &[RangeStatus], time: impl Fn(&RangeStatus) -> Option<Duration>) -> i64 {
    ranges.iter().filter_map(time).max().map_or(-1, |time| time.as_secs() as i64)
}

fn status(is_ok: bool) -> &'static str {
    if is_ok { "ok" } else { "err" }
}

fn is_loading(range: &RangeStatus) -> bool {
    range.state == RangeState::Loading
}

fn is_stopped(range: &RangeStatus) -> bool {
    matches!(range.state, RangeState::Stopped(_))
}

fn has_failed(range: &RangeStatus) -> bool {
    range.snapshot.failure.is_some()
}
