//! The sweeper: a task that removes expired buckets and fields, so that their memory is freed even if they
//! are never read again.

use super::Store;
use crate::{
    bucket::Bucket,
    bucket_supervisor::{BucketSupervisor, Component, PanicScope, end_crashed},
    limits::{EXPIRY_BACKLOG, EXPIRY_ENDS, EXPIRY_LINES, EXPIRY_PAUSE},
    shard::{ExpiryCursor, Shard, registry::Lookup},
    time::{Clock, now_ms},
};
use otp::Stop;
use std::sync::Arc;

/// Sweeps one shard after another until it is stopped. Each step is bounded; between two steps it releases
/// the lock and yields the thread.
pub(crate) async fn sweep(store: Arc<Store>, stop: Stop) -> Result<(), String> {
    loop {
        for index in 0..store.shards.len() {
            while store.sweep_shard(index, now_ms()) && !stop.is_cancelled() {
                tokio::task::yield_now().await;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(EXPIRY_PAUSE) => {}
        }
    }
}

impl Store {
    /// Takes one step in one shard. Returns whether the next step should follow at once.
    pub(crate) fn sweep_shard(&self, index: usize, now_ms: u64) -> bool {
        let mut shard = self.lock(index);
        if self.crash_reports.is_restarting() {
            return false;
        }
        let supervisor = BucketSupervisor::new(&self.crash_reports);
        let mut name = Vec::new();
        let is_pressed = self.budget.is_pressed();
        let swept = supervisor.run(|| {
            let is_busy = step(&mut shard, now_ms, &supervisor, &mut name);
            supervisor.attribute_panics_to(PanicScope::Component(Component::BucketSupervisor));
            shard.compact_some(is_pressed) || is_busy
        });
        let is_busy = swept.unwrap_or_else(|panic| {
            supervisor.recover(panic, |reason| {
                let hash = shard.memory.hash(&name);
                end_crashed(&mut shard, &name, hash, reason);
            });
            false
        });
        shard.account(&self.budget);
        shard.account_held(&self.budget);
        is_busy
    }
}

/// Takes one step, and frees a part of the memory of destroyed buckets. Sets `name` to that of the bucket
/// that it works on.
fn step(shard: &mut Shard, now_ms: u64, supervisor: &BucketSupervisor<'_>, name: &mut Vec<u8>) -> bool {
    supervisor.attribute_panics_to(PanicScope::Component(Component::BucketSupervisor));
    shard.memory.reclaim_some();
    let ended =
        if shard.expiry_cursor.has_expiries { end_expired(shard, now_ms, supervisor, name) } else { 0 };
    ended >= EXPIRY_BACKLOG || shard.memory.has_garbage()
}

/// Ends the buckets and entries that have expired in the next lines of the registry, and returns their
/// number.
fn end_expired(
    shard: &mut Shard,
    now_ms: u64,
    supervisor: &BucketSupervisor<'_>,
    name: &mut Vec<u8>,
) -> usize {
    let mut ended = 0;
    for _ in 0..EXPIRY_LINES {
        let (buckets, next) = shard.registry.scan_step(&shard.memory, shard.expiry_cursor.cursor);
        for bucket in buckets.collect::<Vec<Bucket>>() {
            supervisor.attribute_panics_to(PanicScope::Component(Component::Registry));
            let Some(expires_at_ms) = bucket.earliest_expiry(&shard.memory) else { continue };
            shard.expiry_cursor.found_in_round = true;
            if expires_at_ms <= now_ms {
                bucket.name(&shard.memory).clone_into(name);
                let lookup = Lookup::new(shard.memory.hash(name));
                let mut bucket = supervisor.open(shard, name, lookup, Clock::at(now_ms));
                ended += if bucket.exists() { bucket.delete_expired(EXPIRY_ENDS - ended) } else { 1 };
            }
            if ended == EXPIRY_ENDS {
                return ended;
            }
        }
        let round = &mut shard.expiry_cursor;
        round.cursor = next;
        if next == 0 {
            *round = ExpiryCursor { has_expiries: round.found_in_round, ..ExpiryCursor::default() };
            break;
        }
    }
    ended
}

#[cfg(test)]
mod tests;
