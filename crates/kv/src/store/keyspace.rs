//! Operations on all buckets: scanning, counting, flushing. None holds a lock for longer than one bounded
//! step.

use super::Store;
use crate::{
    bucket::{Bucket, Kind},
    cursor::Order,
    database::{DATABASES, Database},
    limits::{
        PAGE_BYTES, PAGE_MATCHED_BYTES, PAGE_NAMES, PAGE_SCANNED, RANDOM_PAGES, RANDOM_SCANNED,
        RANDOM_SCANNED_MORE,
    },
    memory::{Memory, expiring::Expiring},
    pubsub::bucket_changes::EndReason,
    shard::{Counters, Shard},
    syntax::glob::Pattern,
};
use parking_lot::MutexGuard;
use serde::{Deserialize, Serialize};
use std::{
    ops::{AddAssign, Range},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// The buckets that a scan lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanFilter<'a> {
    /// Only those of this database.
    pub database: Database,
    /// Only those whose names match this pattern.
    #[serde(with = "serde_bytes")]
    pub pattern: Option<&'a [u8]>,
    /// Only those of this type.
    pub kind: Option<Kind>,
    /// About how many names are scanned for one page, up to an internal limit.
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
    /// What each database holds.
    pub databases: [KeyspaceStats; DATABASES],
    /// Bytes of memory that the buckets and the watched names take.
    pub bytes: u64,
    /// The part of these that belongs to no bucket: the tables of names, and the watched names.
    pub overhead: u64,
    /// Bytes of memory that the buckets do not take and the store holds, for new ones to reuse.
    pub free: u64,
    /// Bytes of memory that the buckets may take, if there is a limit.
    pub limit: Option<u64>,
    /// Buckets that have ended and whose memory is not freed yet.
    pub pending_frees: u64,
    /// Buckets that have crashed.
    pub crashed: u64,
    /// Buckets that have expired.
    pub expired: u64,
    /// Entries of maps that have expired.
    pub expired_entries: u64,
    /// Reads of buckets that existed.
    pub hits: u64,
    /// Reads of buckets that did not exist.
    pub misses: u64,
}

/// How much a database holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyspaceStats {
    /// Buckets, including those that have expired but are not removed yet.
    pub buckets: u64,
    /// Buckets that will expire.
    pub expiring: u64,
    /// The sum of the times at which they expire, in milliseconds since 1970.
    pub expiry_sum_ms: u128,
    /// Maps with entries that will expire.
    pub expiring_maps: u64,
}

impl AddAssign for KeyspaceStats {
    fn add_assign(&mut self, other: KeyspaceStats) {
        self.buckets += other.buckets;
        self.expiring += other.expiring;
        self.expiry_sum_ms += other.expiry_sum_ms;
        self.expiring_maps += other.expiring_maps;
    }
}

impl KeyspaceStats {
    /// The average time to live of the buckets that will expire, in milliseconds.
    pub fn average_ttl_ms(&self, now_ms: u64) -> u64 {
        let average = self.expiry_sum_ms.checked_div(self.expiring.into()).unwrap_or(0);
        u64::try_from(average).unwrap_or(u64::MAX).saturating_sub(now_ms)
    }
}

impl AddAssign for StoreStats {
    /// What two nodes hold together.
    fn add_assign(&mut self, other: StoreStats) {
        self.databases.iter_mut().zip(other.databases).for_each(|(one, other)| *one += other);
        self.bytes += other.bytes;
        self.overhead += other.overhead;
        self.pending_frees += other.pending_frees;
        self.free += other.free;
        self.limit = self.limit.zip(other.limit).map(|(one, two)| one + two);
        self.crashed += other.crashed;
        self.expired += other.expired;
        self.expired_entries += other.expired_entries;
        self.hits += other.hits;
        self.misses += other.misses;
    }
}

impl StoreStats {
    /// The buckets of all databases.
    pub fn buckets(&self) -> u64 {
        self.databases.iter().map(|database| database.buckets).sum()
    }
}

/// The contents of a store that was flushed. Dropping them takes time in proportion to their size.
#[derive(Debug)]
#[must_use = "dropping it takes a while; do that where no client waits"]
pub struct DetachedShards {
    shards: Vec<Shard>,
    /// Counts the buckets of all that are not dropped yet.
    buckets: Arc<AtomicUsize>,
}

impl Drop for DetachedShards {
    fn drop(&mut self) {
        for shard in self.shards.drain(..) {
            let buckets = shard.registry.len();
            drop(shard);
            self.buckets.fetch_sub(buckets, Relaxed);
        }
    }
}

impl Default for ScanFilter<'_> {
    /// All buckets of database 0, a full page of them.
    fn default() -> Self {
        ScanFilter { database: Database::ZERO, pattern: None, kind: None, count: PAGE_NAMES }
    }
}

impl ScanFilter<'_> {
    /// Whether it lists a bucket if the pattern matches its name, which is checked when the lock is released.
    fn accepts(&self, memory: &Memory, bucket: Bucket, now_ms: u64) -> bool {
        !bucket.is_expired(memory, now_ms) && self.kind.is_none_or(|kind| kind == bucket.kind(memory))
    }
}

impl Store {
    /// How many buckets each database has.
    pub fn bucket_counts(&self) -> [usize; DATABASES] {
        let mut counts = [0; DATABASES];
        for index in 0..self.shards.len() {
            counts[index / self.shards_per_database()] += self.lock(index).registry.len();
        }
        counts
    }

    /// How much the store holds.
    pub fn stats(&self) -> StoreStats {
        let limit = self.memory_limit().map(|limit| limit as u64);
        let watches = self.watch_budget.used() as u64;
        let pending_frees = self.detached_buckets.load(Relaxed) as u64;
        let mut stats =
            StoreStats { limit, bytes: watches, overhead: watches, pending_frees, ..StoreStats::default() };
        for index in 0..self.shards.len() {
            let shard = self.lock(index);
            stats.bytes += shard.used_bytes() as u64;
            stats.overhead += (shard.registry.bytes() + shard.memory.overhead_bytes()) as u64;
            stats.pending_frees += shard.memory.garbage_count() as u64;
            stats.free += (shard.held_bytes() - shard.used_bytes()) as u64;
            let (Expiring { buckets, sum_ms, inline_maps }, counters) =
                (shard.memory.expiring, shard.counters);
            stats.databases[index / self.shards_per_database()] += KeyspaceStats {
                buckets: shard.registry.len() as u64,
                expiring: buckets as u64,
                expiry_sum_ms: sum_ms,
                expiring_maps: (inline_maps + shard.memory.expiries.table_count()) as u64,
            };
            stats.crashed += counters.crashed;
            stats.expired += counters.expired;
            stats.expired_entries += counters.expired_entries;
            stats.misses += counters.lookups[0];
            stats.hits += counters.lookups[1];
        }
        stats
    }

    /// Resets the counters of hits, misses and expiries.
    pub fn reset_counters(&self) {
        for index in 0..self.shards.len() {
            let counters = &mut self.lock(index).counters;
            *counters = Counters { crashed: counters.crashed, ..Counters::default() };
        }
    }

    /// One page of names, from `cursor` on (0: from the start). A scan lists every bucket that exists
    /// throughout, once; with a cursor of another replica it begins again.
    pub fn scan(&self, cursor: u64, filter: &ScanFilter<'_>, now_ms: u64) -> NamePage {
        let order = Order::of(&self.hasher);
        let page = self.scan_from(order.position(cursor).unwrap_or(0), filter, now_ms);
        NamePage { next: order.cursor(page.next), ..page }
    }

    /// The same, with positions instead of cursors.
    fn scan_from(&self, position: u64, filter: &ScanFilter<'_>, now_ms: u64) -> NamePage {
        let shards = self.shards_of(filter.database);
        let mut index = (position % shards.len() as u64) as usize;
        let mut step = position / shards.len() as u64;
        let (mut names, mut bytes, mut scanned) = (Vec::<Box<[u8]>>::new(), 0, 0);
        let (mut line_names, mut line_ends, mut matched_bytes) = (Vec::new(), Vec::new(), 0);
        let limit = filter.count.clamp(1, PAGE_SCANNED);
        let (pattern, split_at) = (filter.pattern.map(Pattern::new), self.split_at());
        while scanned < limit && bytes < PAGE_BYTES && matched_bytes < PAGE_MATCHED_BYTES {
            let shard = self.lock(shards.start + index);
            let (buckets, next) = shard.registry.scan_step(&shard.memory, step);
            let buckets = buckets.inspect(|_| scanned += 1);
            for bucket in buckets.filter(|bucket| filter.accepts(&shard.memory, *bucket, now_ms)) {
                line_names.extend_from_slice(bucket.name(&shard.memory));
                line_ends.push(line_names.len());
            }
            // Reading an empty line takes time too.
            scanned += shard.registry.lines().min(1);
            step = next;
            // Threads that wait for the lock go first.
            MutexGuard::unlock_fair(shard);
            let mut start = 0;
            for end in line_ends.drain(..) {
                let name = &line_names[start..end];
                start = end;
                matched_bytes += filter.pattern.map_or(0, |pattern| pattern.len() + name.len());
                let is_here = split_at.as_ref().is_none_or(|at| *name < **at);
                if is_here && pattern.as_ref().is_none_or(|pattern| pattern.matches(name)) {
                    bytes += name.len();
                    names.push(name.into());
                }
            }
            line_names.clear();
            if step == 0 {
                index += 1;
                if index == shards.len() {
                    return NamePage { names, next: 0 };
                }
            }
        }
        NamePage { names, next: step * shards.len() as u64 + index as u64 }
    }

    /// The name of a bucket of a database, chosen by `seed`.
    /// `None` when there is none, or when `RANDOM_PAGES` pages list
    /// none that has not expired.
    pub fn random_name(&self, database: Database, seed: u64, now_ms: u64) -> Option<Box<[u8]>> {
        let Range { start, end } = self.shards_of(database);
        let shards = (end - start) as u64;
        let (index, rest) = (seed % shards, seed / shards);
        let lines = self.lock(start + index as usize).registry.lines().max(1) as u64;
        let mut position = rest % lines * shards + index;
        let mut filter = ScanFilter { database, count: RANDOM_SCANNED, ..ScanFilter::default() };
        for _ in 0..RANDOM_PAGES {
            let mut page = self.scan_from(position, &filter, now_ms);
            if !page.names.is_empty() {
                let chosen = rest.rotate_right(u64::BITS / 2) % page.names.len() as u64;
                return Some(page.names.swap_remove(chosen as usize));
            }
            // The scan wraps around.
            position = page.next;
            filter.count = RANDOM_SCANNED_MORE;
        }
        None
    }

    /// Ends all buckets of a database, or of all of them, and returns their contents, to be dropped where no
    /// client waits.
    pub fn flush(&self, database: Option<Database>) -> DetachedShards {
        let flush_shard = |index| {
            let mut shard = self.lock(index);
            let mut flushed = std::mem::replace(&mut *shard, self.new_shard());
            flushed.discharge(&self.budget);
            shard.counters = flushed.counters;
            shard.watches.take_over(&mut flushed.watches);
            let mut subscribers = std::mem::take(&mut flushed.subscribers);
            let flushed = self.keep_flushed(index, flushed);
            drop(shard);
            subscribers.notify_all_ended(EndReason::Dropped);
            flushed
        };
        let shards = database.map_or(0..self.shards.len(), |database| self.shards_of(database));
        let shards: Vec<Shard> = shards.filter_map(flush_shard).collect();
        self.detached_buckets.fetch_add(shards.iter().map(|shard| shard.registry.len()).sum(), Relaxed);
        DetachedShards { shards, buckets: self.detached_buckets.clone() }
    }
}

#[cfg(test)]
mod tests;
