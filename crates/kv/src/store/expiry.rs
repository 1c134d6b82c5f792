//! The sweeper: a task that removes expired buckets and fields, so that their memory is freed even if they
//! are never read again. In the same turns it frees what is left of large buckets, and has pages compacted.

use super::Store;
use crate::{
    bucket::Bucket,
    bucket_supervisor::{BucketSupervisor, Component, PanicScope},
    limits::{EXPIRY_BACKLOG, EXPIRY_ENDS, EXPIRY_LINES, EXPIRY_PAUSE},
    shard::{ExpiryCursor, Shard, registry::Lookup},
    time::{Clock, now_ms},
};
use otp::Stop;
use std::{
    mem,
    sync::{Arc, atomic::Ordering::Relaxed},
};

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

/// What one step in one shard has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// The next step should follow at once.
    pub is_busy: bool,
    /// Something has expired that is not to be removed yet: the clock is ahead of the last entry of the log.
    pub is_overdue: bool,
}

impl Store {
    /// Takes one step in one shard. Returns whether the next step should follow at once.
    pub(crate) fn sweep_shard(&self, index: usize, now_ms: u64) -> bool {
        self.sweep(index, Clock::at(now_ms)).is_busy
    }

    /// Takes one step in one of [`Self::shard_count`] shards.
    pub fn sweep(&self, index: usize, clock: Clock) -> Swept {
        // Dropped when the lock has been released.
        let _kept;
        let mut shard = self.lock(index);
        if self.crash_reports.is_restarting() {
            return Swept::default();
        }
        _kept = shard.thaw_if_ended();
        let supervisor = BucketSupervisor::new(&self.crash_reports);
        let mut name = Vec::new();
        let is_pressed = self.budget.is_pressed();
        let swept = supervisor.run(|| {
            let swept = step(&mut shard, clock, &supervisor, &mut name);
            supervisor.attribute_panics_to(PanicScope::Component(Component::BucketSupervisor));
            Swept { is_busy: shard.compact_some(is_pressed) || swept.is_busy, ..swept }
        });
        let swept = swept.unwrap_or_else(|panic| {
            supervisor.recover(panic, |reason| {
                let hash = shard.memory.hash(&name);
                supervisor.end_crashed(&mut shard, &name, hash, reason);
            });
            Swept::default()
        });
        shard.account(&self.budget);
        shard.account_held(&self.budget);
        self.note_room(&mut shard);
        swept
    }

    /// Notes whether the arena of a shard is nearly full.
    fn note_room(&self, shard: &mut Shard) {
        let is_nearly_full = shard.memory.arena.is_nearly_full();
        match (mem::replace(&mut shard.is_nearly_full, is_nearly_full), is_nearly_full) {
            (false, true) => drop(self.nearly_full_shards.fetch_add(1, Relaxed)),
            (true, false) => drop(self.nearly_full_shards.fetch_sub(1, Relaxed)),
            _ => {}
        }
    }
}

/// Takes one step, and frees a part of the memory of destroyed buckets. Sets `name` to that of the bucket
/// that it works on.
fn step(shard: &mut Shard, clock: Clock, supervisor: &BucketSupervisor<'_>, name: &mut Vec<u8>) -> Swept {
    supervisor.attribute_panics_to(PanicScope::Component(Component::BucketSupervisor));
    shard.memory.reclaim_some();
    let (ended, is_overdue) = match shard.expiry_cursor.has_expiries {
        true => end_expired(shard, clock, supervisor, name),
        false => (0, false),
    };
    Swept { is_busy: ended >= EXPIRY_BACKLOG || shard.memory.has_garbage(), is_overdue }
}

/// Ends the buckets and entries that have expired in the next lines of the registry. Returns their number,
/// and whether it has stopped at a bucket that is overdue.
fn end_expired(
    shard: &mut Shard,
    clock: Clock,
    supervisor: &BucketSupervisor<'_>,
    name: &mut Vec<u8>,
) -> (usize, bool) {
    let mut ended = 0;
    for _ in 0..EXPIRY_LINES {
        let (buckets, next) = shard.registry.scan_step(&shard.memory, shard.expiry_cursor.cursor);
        let mut is_overdue = false;
        for bucket in buckets.collect::<Vec<Bucket>>() {
            supervisor.attribute_panics_to(PanicScope::Component(Component::Registry));
            let Some(expires_at_ms) = bucket.earliest_expiry(&shard.memory) else { continue };
            shard.expiry_cursor.found_in_round = true;
            is_overdue |= clock.removal_ms < expires_at_ms && expires_at_ms <= clock.now_ms;
            if expires_at_ms <= clock.removal_ms {
                bucket.name(&shard.memory).clone_into(name);
                let lookup = Lookup::new(shard.memory.hash(name));
                let mut bucket = supervisor.open(shard, name, lookup, Clock::at(clock.removal_ms));
                ended += if bucket.exists() { bucket.delete_expired(EXPIRY_ENDS - ended) } else { 1 };
            }
            if ended == EXPIRY_ENDS {
                return (ended, false);
            }
        }
        if is_overdue {
            return (ended, true);
        }
        let round = &mut shard.expiry_cursor;
        round.cursor = next;
        if next == 0 {
            *round = ExpiryCursor { has_expiries: round.found_in_round, ..ExpiryCursor::default() };
            break;
        }
    }
    (ended, false)
}

#[cfg(test)]
mod tests;
