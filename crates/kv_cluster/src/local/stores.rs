//! All stores of this node together, the volatile one and those of the durable ranges: what lists, counts and
//! measures buckets asks each of them.

use super::{LocalNode, Place};
use crate::error::RangeFailure;
use kv::{
    AlreadyFrozen, Backlog, BucketPage, DATABASES, Database, FrozenStore, FullName, NamePage, ScanFilter,
    Store, StoreStats, Subscription, TransactionLimits,
};
use kv_raft::{RangeError, Ranges};
use std::sync::Arc;

impl LocalNode {
    /// The stores: the volatile one first.
    fn stores(&self) -> impl Iterator<Item = &Arc<Store>> {
        std::iter::once(&self.store).chain(self.ranges().iter().map(|range| range.store()))
    }

    /// The store at this place of [`Self::stores`], and the time to read it with.
    fn store_at(&self, index: usize, now_ms: u64) -> (&Store, u64) {
        match index.checked_sub(1) {
            None => (&self.store, now_ms),
            Some(range) => {
                let range = &self.ranges()[range];
                (range.store(), range.clock(now_ms).now_ms)
            }
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
                Ok(range.store().bucket_page(full, cursor, range.clock(now_ms).now_ms))
            }
        }
    }

    /// One page of bucket names, from `cursor` on (0: from the start). A store begins where the one before it
    /// ends.
    pub fn scan(&self, cursor: u64, filter: &ScanFilter<'_>, now_ms: u64) -> Result<NamePage, RangeFailure> {
        self.check_ranges()?;
        self.scan_running(cursor, filter, now_ms)
    }

    /// As [`Self::scan`], without the names of ranges that have stopped. Those that load are refused.
    pub fn scan_running(
        &self,
        cursor: u64,
        filter: &ScanFilter<'_>,
        now_ms: u64,
    ) -> Result<NamePage, RangeFailure> {
        let stores = self.ranges().len() as u64 + 1;
        let (index, cursor) = (cursor % stores, cursor / stores);
        let range = index.checked_sub(1).map(|range| &self.ranges()[range as usize]);
        let NamePage { names, next } = match range.map(|range| range.may_read()) {
            Some(Err(RangeError::Stopped { .. })) => NamePage { names: Vec::new(), next: 0 },
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(())) | None => {
                let (store, now_ms) = self.store_at(index as usize, now_ms);
                store.scan(cursor, filter, now_ms)
            }
        };
        let next = match next {
            0 if index + 1 == stores => 0,
            0 => index + 1,
            next => next.saturating_mul(stores).saturating_add(index),
        };
        Ok(NamePage { names, next })
    }

    /// The name of a bucket of a database, chosen by `seed`. Stores are weighted by their number of buckets.
    pub(crate) fn random_name(&self, database: Database, seed: u64, now_ms: u64) -> Option<Box<[u8]>> {
        let count = |store: &Arc<Store>| store.bucket_counts()[database.index()] as u64;
        let counts: Vec<u64> = self.stores().map(count).collect();
        let mut place = seed.rotate_right(u64::BITS / 4) % counts.iter().sum::<u64>().max(1);
        let chosen = counts.iter().position(|count| {
            let is_here = place < *count;
            place = place.saturating_sub(*count);
            is_here
        });
        // What is chosen may have expired as a whole.
        let others = (0..counts.len()).filter(|index| Some(*index) != chosen);
        chosen.into_iter().chain(others).find_map(|index| {
            let (store, now_ms) = self.store_at(index, now_ms);
            store.random_name(database, seed, now_ms)
        })
    }

    /// The number of buckets of each database.
    pub fn bucket_counts(&self) -> [u64; DATABASES] {
        let mut totals = [0; DATABASES];
        for store in self.stores() {
            totals.iter_mut().zip(store.bucket_counts()).for_each(|(total, count)| *total += count as u64);
        }
        totals
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
        let volatile = self.store.freeze(&self.budgets.frozen);
        std::iter::once(volatile).chain(self.ranges().iter().map(|range| range.freeze())).collect()
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
