//! All stores of this node together, the volatile one and those of the durable ranges: what lists, counts and
//! measures buckets asks each of them.

use super::{LocalNode, Place, Scope};
use crate::error::RangeFailure;
use kv::{
    AlreadyFrozen, Backlog, BucketPage, DATABASES, Database, FrozenStore, FullName, NamePage, ScanFilter,
    Store, StoreStats, Subscription, TransactionLimits,
};
use kv_raft::{RangeError, Ranges};
use std::sync::Arc;

impl LocalNode {
    /// All stores: the volatile one first.
    fn stores(&self) -> impl Iterator<Item = &Arc<Store>> {
        self.places(Scope::All).map(|place| self.store_in(place))
    }

    /// Where buckets are: the volatile ones first.
    fn places<'l>(&'l self, scope: Scope<'l>) -> impl Iterator<Item = Place<'l>> {
        let volatile = (!matches!(scope, Scope::Replica(_))).then_some(Place::Volatile);
        volatile.into_iter().chain(self.ranges_in(scope).into_iter().map(Place::Range))
    }

    fn store_in<'l>(&'l self, place: Place<'l>) -> &'l Arc<Store> {
        match place {
            Place::Volatile => &self.store,
            Place::Range(range) => range.store(),
        }
    }

    /// The time to read a store with.
    fn time_in(place: Place<'_>, now_ms: u64) -> u64 {
        match place {
            Place::Volatile => now_ms,
            Place::Range(range) => range.clock(now_ms).now_ms,
        }
    }

    /// One page of a bucket with all that belongs to it; `None` if there is no such bucket.
    pub fn bucket_page(
        &self,
        full: FullName<'_>,
        cursor: u64,
        now_ms: u64,
    ) -> Result<Option<BucketPage>, RangeFailure> {
        match self.configured_place(full.name) {
            None => Ok(None),
            Some(Place::Volatile) => Ok(self.store.bucket_page(full, cursor, now_ms)),
            Some(Place::Range(range)) => {
                range.may_read()?;
                range.check_names([full.name].into_iter())?;
                Ok(range.store().bucket_page(full, cursor, range.clock(now_ms).now_ms))
            }
        }
    }

    /// One page of bucket names, from `cursor` on (0: from the start). A store begins where the one before it
    /// ends.
    pub fn scan(
        &self,
        scope: Scope<'_>,
        cursor: u64,
        filter: &ScanFilter<'_>,
        now_ms: u64,
    ) -> Result<NamePage, RangeFailure> {
        self.check_scope(scope)?;
        self.scan_served(scope, cursor, filter, now_ms)
    }

    /// As [`Self::scan`], without the names of ranges that have stopped, or that other nodes lead. Those that
    /// load are refused.
    pub fn scan_served(
        &self,
        scope: Scope<'_>,
        cursor: u64,
        filter: &ScanFilter<'_>,
        now_ms: u64,
    ) -> Result<NamePage, RangeFailure> {
        let places: Vec<_> = self.places(scope).collect();
        let count = places.len() as u64;
        let (index, cursor) = (cursor % count, cursor / count);
        let place = places[index as usize];
        let served = match place {
            Place::Volatile => Ok(()),
            Place::Range(range) => range.may_read(),
        };
        let NamePage { names, next } = match served {
            Err(RangeError::Stopped { .. } | RangeError::NotLeader { .. } | RangeError::NoLeader { .. }) => {
                NamePage { names: Vec::new(), next: 0 }
            }
            Err(error) => return Err(error.into()),
            Ok(()) => self.store_in(place).scan(cursor, filter, Self::time_in(place, now_ms)),
        };
        let next = match next {
            0 if index + 1 == count => 0,
            0 => index + 1,
            next => next.saturating_mul(count).saturating_add(index),
        };
        Ok(NamePage { names, next })
    }

    /// The name of a bucket of a database, chosen by `seed`. Stores are weighted by their number of buckets.
    pub(crate) fn random_name(
        &self,
        scope: Scope<'_>,
        database: Database,
        seed: u64,
        now_ms: u64,
    ) -> Option<Box<[u8]>> {
        let places: Vec<_> = self.places(scope).collect();
        let count = |place: &Place<'_>| self.store_in(*place).bucket_counts()[database.index()] as u64;
        let counts: Vec<u64> = places.iter().map(count).collect();
        let mut place = seed.rotate_right(u64::BITS / 4) % counts.iter().sum::<u64>().max(1);
        let chosen = counts.iter().position(|count| {
            let is_here = place < *count;
            place = place.saturating_sub(*count);
            is_here
        });
        // What is chosen may have expired as a whole.
        let others = (0..counts.len()).filter(|index| Some(*index) != chosen);
        chosen.into_iter().chain(others).find_map(|index| {
            let place = places[index];
            self.store_in(place).random_name(database, seed, Self::time_in(place, now_ms))
        })
    }

    /// The number of buckets of each database.
    pub fn bucket_counts(&self, scope: Scope<'_>) -> [u64; DATABASES] {
        let mut totals = [0; DATABASES];
        for place in self.places(scope) {
            let counts = self.store_in(place).bucket_counts();
            totals.iter_mut().zip(counts).for_each(|(total, count)| *total += count as u64);
        }
        totals
    }

    /// The size of a part of what this node holds.
    pub(crate) fn stats_of(&self, scope: Scope<'_>) -> StoreStats {
        let mut stats = StoreStats::default();
        self.places(scope).for_each(|place| stats += self.store_in(place).stats());
        stats
    }

    /// The size of what this node holds.
    pub fn stats(&self) -> StoreStats {
        let mut stats = self.store.stats();
        for range in self.ranges() {
            stats += range.store().stats();
        }
        StoreStats { limit: self.memory_limit().map(|limit| limit as u64), ..stats }
    }

    /// Whether the buckets take more memory than they may, or will with `bytes` more.
    pub fn is_out_of_memory(&self, bytes: usize) -> bool {
        self.budgets.buckets.lacks(bytes)
    }

    /// Bytes of memory that the buckets take, without the changes of batches in flight.
    pub fn used_bytes(&self) -> u64 {
        self.budgets.buckets.used() as u64
    }

    /// All buckets as they are now, a copy for each store: all of them within a few milliseconds, and each at
    /// one moment. What is kept for the copies counts against this node's parts for them.
    pub fn freeze(&self) -> Result<Vec<FrozenStore>, AlreadyFrozen> {
        // First those that may have to wait for the files of a split.
        let mut frozen = self.ranges.as_ref().map_or(Ok(Vec::new()), Ranges::freeze)?;
        frozen.push(self.store.freeze(&self.budgets.frozen)?);
        Ok(frozen)
    }

    /// Resets the counters of hits, misses and expiries.
    pub fn reset_counters(&self) {
        self.stores().for_each(|store| store.reset_counters());
    }

    /// Subscribes to the changes of a bucket; `None` if there is no such bucket.
    pub(crate) fn subscribe(
        &self,
        bucket: &[u8],
        backlog: &Arc<Backlog>,
    ) -> Result<Option<Subscription>, RangeFailure> {
        match self.place(bucket) {
            Some(Place::Range(range)) => {
                range.may_read()?;
                range.check_names([bucket].into_iter())?;
                Ok(range.store().subscribe(bucket, backlog))
            }
            Some(Place::Volatile) | None => Ok(self.store.subscribe(bucket, backlog)),
        }
    }

    /// Changes the bytes that the buckets of all stores together may take.
    pub fn set_memory_limit(&self, limit: Option<usize>) {
        self.stores().for_each(|store| store.set_memory_limit(limit));
        self.budgets.frozen.set_memory_limit(limit);
    }

    /// Changes what one transaction may touch.
    pub fn set_transaction_limits(&self, limits: TransactionLimits) {
        self.store.set_transaction_limits(limits);
        if let Some(ranges) = &self.ranges {
            Ranges::set_transaction_limits(ranges, limits);
        }
    }
}
