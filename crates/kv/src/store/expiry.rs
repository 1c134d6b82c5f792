//! The sweeper: ends what has expired, so that its memory is freed even if nobody asks for it again.

use super::Store;
use crate::{
    bucket::Bucket,
    bucket_supervisor::{BucketSupervisor, PanicScope, end_crashed},
    crash_reports::Component,
    limits::{EXPIRY_BACKLOG, EXPIRY_ENDS, EXPIRY_LINES, EXPIRY_PAUSE},
    shard::{ExpiryCursor, Shard, registry::Lookup},
    time::now_ms,
};
use otp::Stop;
use std::sync::Arc;

/// Sweeps shard after shard until it is stopped. It holds no lock for longer than one bounded step, and
/// yields the thread between two steps.
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
    /// One step in one shard. Returns whether the next one is worth taking at once.
    pub(crate) fn sweep_shard(&self, index: usize, now_ms: u64) -> bool {
        let mut shard = self.lock(index);
        if self.crash_reports.is_restarting() {
            return false;
        }
        let supervisor = BucketSupervisor::new(&self.crash_reports);
        let mut name = Vec::new();
        let swept = supervisor.run(|| step(&mut shard, now_ms, &supervisor, &mut name));
        let is_busy = swept.unwrap_or_else(|panic| {
            supervisor.recover(panic, |reason| {
                let hash = shard.memory.hash(&name);
                end_crashed(&mut shard, &name, hash, reason);
            });
            false
        });
        self.account(&mut shard);
        is_busy
    }
}

/// One step of the search; it also frees a part of what ended buckets held. `name` is that of the bucket that
/// is worked on.
fn step(shard: &mut Shard, now_ms: u64, supervisor: &BucketSupervisor<'_>, name: &mut Vec<u8>) -> bool {
    supervisor.enter(PanicScope::Component(Component::BucketSupervisor));
    shard.reclaim_some();
    let ended = if shard.expiry_cursor.armed { end_expired(shard, now_ms, supervisor, name) } else { 0 };
    ended >= EXPIRY_BACKLOG || shard.reclaim.has_garbage()
}

/// Ends what has expired in the next lines of the registry. Returns how many buckets and entries that were.
fn end_expired(
    shard: &mut Shard,
    now_ms: u64,
    supervisor: &BucketSupervisor<'_>,
    name: &mut Vec<u8>,
) -> usize {
    let mut ended = 0;
    for _ in 0..EXPIRY_LINES {
        let cursor = &mut shard.expiry_cursor;
        if cursor.line >= shard.registry.lines() {
            *cursor = ExpiryCursor { armed: cursor.found_in_round, found_in_round: false, line: 0 };
            break;
        }
        for bucket in shard.registry.line(cursor.line).collect::<Vec<Bucket>>() {
            supervisor.enter(PanicScope::Component(Component::Registry));
            let Some(expires_at_ms) = bucket.earliest_expiry(&shard.memory) else { continue };
            shard.expiry_cursor.found_in_round = true;
            if expires_at_ms <= now_ms {
                bucket.name(&shard.memory).clone_into(name);
                let lookup = Lookup::new(shard.memory.hash(name));
                let mut bucket = supervisor.open(shard, name, lookup, now_ms);
                ended += if bucket.exists() { bucket.delete_expired(EXPIRY_ENDS - ended) } else { 1 };
            }
            if ended == EXPIRY_ENDS {
                return ended;
            }
        }
        shard.expiry_cursor.line += 1;
    }
    ended
}

#[cfg(test)]
mod tests;
