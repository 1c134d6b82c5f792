//! What concerns all buckets at once, done piece by piece: no lock is held for longer than a bounded look.

use super::Store;
use crate::{
    bucket::{Bucket, Kind},
    glob,
    limits::{PAGE_BYTES, PAGE_LOOKS, PAGE_NAMES, RANDOM_LOOKS, RANDOM_PAGES},
    memory::Memory,
    pubsub::bucket_changes::EndReason,
    shard::Shard,
    shard::lookup::Lookup,
};
use parking_lot::MutexGuard;
use serde::{Deserialize, Serialize};

/// Which buckets a page is to list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanFilter<'a> {
    /// Those whose names match the pattern.
    #[serde(with = "serde_bytes")]
    pub pattern: Option<&'a [u8]>,
    /// Those of this kind.
    pub kind: Option<Kind>,
    /// About how much the page lookups at; it never lookups at more than a bounded number of names.
    pub count: usize,
}

/// One bounded page of bucket names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePage {
    /// Names, in no particular order.
    pub names: Vec<Box<[u8]>>,
    /// The cursor of the next page; 0 when this one is the last.
    pub next: u64,
}

/// How much a store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreStats {
    /// Buckets, with those that have expired and are not swept up yet.
    pub buckets: u64,
    /// Bytes of memory that the buckets take.
    pub bytes: u64,
    /// Bytes of memory that ended buckets and entries have left, between those of others; they are used again.
    pub free: u64,
    /// Bytes of memory that the buckets may take, if that is limited.
    pub limit: Option<u64>,
    /// Buckets that have crashed.
    pub crashed: u64,
}

/// What a store held before it was flushed. Dropping it takes a while when that was much.
#[derive(Debug)]
#[must_use = "dropping it takes a while, which nobody should have to wait for"]
pub struct DetachedShards {
    _shards: Vec<Shard>,
}

impl Default for ScanFilter<'_> {
    /// All buckets, a full page of them.
    fn default() -> Self {
        ScanFilter { pattern: None, kind: None, count: PAGE_NAMES }
    }
}

impl ScanFilter<'_> {
    fn is(&self, memory: &Memory, bucket: Bucket, now: u64) -> bool {
        !bucket.is_expired(memory, now)
            && self.kind.is_none_or(|wanted| wanted == bucket.kind(memory))
            && self.pattern.is_none_or(|wanted| glob::matches(wanted, bucket.name(memory)))
    }
}

impl Store {
    /// How many buckets there are.
    pub fn count(&self) -> usize {
        (0..self.shards.len()).map(|number| self.lock(number).registry.len()).sum()
    }

    /// How many buckets have crashed since the store was started.
    pub fn crashed_count(&self) -> u64 {
        (0..self.shards.len()).map(|number| self.lock(number).supervisor.crashed).sum()
    }

    /// How much the store holds.
    pub fn stats(&self) -> StoreStats {
        let limit = self.memory_limit().map(|limit| limit as u64);
        let mut figures = StoreStats { limit, ..StoreStats::default() };
        for number in 0..self.shards.len() {
            let shard = self.lock(number);
            figures.buckets += shard.registry.len() as u64;
            figures.bytes += shard.used_bytes() as u64;
            figures.free += shard.memory.arena.free_bytes() as u64;
            figures.crashed += shard.supervisor.crashed;
        }
        figures
    }

    /// One page of names, from `cursor` on (0: from the start). No lock is held for longer than a look at one line of a
    /// registry. A bucket that is there all the time is listed.
    pub fn buckets(&self, cursor: u64, wanted: &ScanFilter<'_>, now: u64) -> NamePage {
        let mut number = (cursor % self.shards.len() as u64) as usize;
        let mut line = usize::try_from(cursor / self.shards.len() as u64).unwrap_or(usize::MAX);
        let (mut names, mut bytes, mut lookups) = (Vec::<Box<[u8]>>::new(), 0, 0);
        let most = wanted.count.clamp(1, PAGE_LOOKS);
        while lookups < most && bytes < PAGE_BYTES {
            let shard = self.lock(number);
            if line >= shard.registry.lines() {
                (number, line) = (number + 1, 0);
                if number == self.shards.len() {
                    return NamePage { names, next: 0 };
                }
                continue;
            }
            let buckets = shard.registry.line(line).inspect(|_| lookups += 1);
            for bucket in buckets.filter(|bucket| wanted.is(&shard.memory, *bucket, now)) {
                let name = bucket.name(&shard.memory);
                bytes += name.len();
                names.push(name.into());
            }
            // An empty line takes its time too.
            lookups += 1;
            line += 1;
            // Those who wait for the lock come before the next line.
            MutexGuard::unlock_fair(shard);
        }
        NamePage { names, next: (line * self.shards.len() + number) as u64 }
    }

    /// The name of some bucket, which `seed` chooses; `None` when there is none, or hardly any that has not expired.
    pub fn random(&self, seed: u64, now: u64) -> Option<Box<[u8]>> {
        let (shards, place) = (self.shards.len() as u64, seed / self.shards.len() as u64);
        let number = seed % shards;
        let lines = self.lock(number as usize).registry.lines().max(1) as u64;
        let mut cursor = place % lines * shards + number;
        let mut wanted = ScanFilter { count: RANDOM_LOOKS, ..ScanFilter::default() };
        for _ in 0..RANDOM_PAGES {
            let mut page = self.buckets(cursor, &wanted, now);
            if !page.names.is_empty() {
                let chosen = place.rotate_right(u64::BITS / 2) % page.names.len() as u64;
                return Some(page.names.swap_remove(chosen as usize));
            }
            // After the last page comes the first.
            cursor = page.next;
            wanted.count = PAGE_LOOKS;
        }
        None
    }

    /// Ends all buckets. What they held is handed over, to be dropped where nobody waits.
    pub fn flush(&self) -> DetachedShards {
        let flush = |number| {
            let mut shard = self.lock(number);
            let mut flushed = std::mem::replace(&mut *shard, Shard::new(self.hasher.clone()));
            self.budget.note(0, &mut flushed.noted);
            shard.supervisor.crashed = flushed.supervisor.crashed;
            shard.watched = std::mem::take(&mut flushed.watched);
            shard.watched.forget_all(|name| {
                let hash = flushed.memory.hash(name);
                flushed.registry.lookup(&flushed.memory, Lookup::new(hash), name).is_some()
            });
            drop(shard);
            flushed.supervisor.all_ended(EndReason::Dropped);
            flushed
        };
        DetachedShards { _shards: (0..self.shards.len()).map(flush).collect() }
    }
}

#[cfg(test)]
mod tests;
