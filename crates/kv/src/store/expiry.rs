//! The sweeper: ends what has expired, so that its memory is free even if nobody asks for it again.

use super::Store;
use crate::{
    Component,
    bucket::Bucket,
    limits::{EXPIRY_ENDS, EXPIRY_LINES, EXPIRY_MUCH, EXPIRY_ROUND},
    shard::Shard,
    shard::bucket_mut::BucketMut,
    shard::lookup::Lookup,
    sweep::Sweep,
};
use otp::Stop;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

/// Sweeps shard after shard until it is stopped. It holds no lock for longer than one bounded step, and lets others
/// have the thread between two steps.
pub(crate) async fn sweep(store: Arc<Store>, stop: Stop) -> Result<(), String> {
    loop {
        for number in 0..store.shards.len() {
            while store.sweep_expired(number, crate::time::now_ms()) && !stop.is_cancelled() {
                tokio::task::yield_now().await;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(EXPIRY_ROUND) => {}
        }
    }
}

impl Store {
    /// One step in one shard; whether the next one is worth taking at once.
    pub(crate) fn sweep_expired(&self, number: usize, now: u64) -> bool {
        let mut shard = self.lock(number);
        if self.faults.restarting() {
            return false;
        }
        let swept = catch_unwind(AssertUnwindSafe(|| step(&mut shard, now)));
        self.note(&mut shard);
        swept.unwrap_or_else(|panic| {
            self.component_crashed(Component::BucketSupervisor, &*panic);
            false
        })
    }
}

/// Takes one step of the search, and frees a part of what ended buckets held. Returns whether the next step is
/// worth taking at once.
fn step(shard: &mut Shard, now: u64) -> bool {
    shard.supervisor.sweep(&mut shard.memory);
    let ended = if shard.sweep.is_wanted { end_expired(shard, now) } else { 0 };
    ended >= EXPIRY_MUCH || shard.supervisor.is_sweeping()
}

/// Ends what has expired in the next lines of the registry. Returns how many buckets and entries that were.
fn end_expired(shard: &mut Shard, now: u64) -> usize {
    let mut ended = 0;
    for _ in 0..EXPIRY_LINES {
        if shard.sweep.line >= shard.registry.lines() {
            shard.sweep = Sweep { is_wanted: shard.sweep.has_found, has_found: false, line: 0 };
            break;
        }
        for bucket in shard.registry.line(shard.sweep.line).collect::<Vec<Bucket>>() {
            let Some(expires) = bucket.first_expiry(&shard.memory) else { continue };
            shard.sweep.has_found = true;
            if expires <= now {
                ended += end_expired_of(shard, bucket, now, EXPIRY_ENDS - ended);
            }
            if ended == EXPIRY_ENDS {
                return ended;
            }
        }
        shard.sweep.line += 1;
    }
    ended
}

fn end_expired_of(shard: &mut Shard, bucket: Bucket, now: u64, limit: usize) -> usize {
    let name = bucket.name(&shard.memory).to_vec();
    let hash = shard.memory.hash(&name);
    let mut target = BucketMut::new(shard, &name, Lookup::new(hash), now);
    if target.exists() { target.delete_expired(limit) } else { 1 }
}

#[cfg(test)]
mod tests;
