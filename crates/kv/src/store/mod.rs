//! The store: the only way to reach the buckets of a node. It executes requests on the caller's thread,
//! without a queue.
//!
//! `batch` executes requests, `transaction` executes them as one step, which `cost` bounds, `apply` executes
//! what a log has ordered, and `prefetch` loads the memory that they need into the cache; `prepare` copies
//! large arguments before. `keyspace` has the operations on all buckets, `records` reads and loads whole
//! buckets, `freeze` copies all of them as they are at one moment, `load` fills a store with such a copy,
//! and `expiry` is the sweeper.

pub(crate) mod apply;
mod batch;
pub(crate) mod cost;
pub(crate) mod expiry;
pub(crate) mod freeze;
pub(crate) mod keyspace;
pub(crate) mod load;
pub(crate) mod prefetch;
pub(crate) mod prepare;
pub(crate) mod records;
mod transaction;

use crate::{
    bucket_supervisor::{Component, CrashReports},
    database::{DATABASES, Database, FullName},
    limits::{CHUNK_BYTES, LARGE_PAGE_SHARE, LOCK_SPINS, SHARDS_PER_THREAD},
    memory::budget::{Budget, WatchBudget},
    pubsub::{
        backlog::Backlog,
        bucket_changes::{EndReason, Subscription},
    },
    shard::{Shard, frozen::Freezing, multi::ShardGuards, registry::Lookup, shard_index},
    store::cost::TransactionLimits,
};
use foldhash::fast::SeedableRandomState;
use parking_lot::{Mutex, MutexGuard};
use std::{
    hash::BuildHasher,
    hint::spin_loop,
    ops::Range,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

/// All the buckets of one node.
#[derive(Debug)]
pub struct Store {
    /// The shards of database 0, then those of database 1, and so on. A database that was never used takes no
    /// more memory than its empty shards.
    pub(crate) shards: Box<[Mutex<Shard>]>,
    hasher: SeedableRandomState,
    pub(crate) crash_reports: CrashReports,
    budget: Arc<Budget>,
    /// How many shards are nearly full.
    nearly_full_shards: AtomicUsize,
    transaction_limits: Mutex<TransactionLimits>,
    watch_budget: Arc<WatchBudget>,
    /// Buckets that a flush has detached and whose memory is not freed yet.
    detached_buckets: Arc<AtomicUsize>,
    /// The freeze whose copy is being read, if there is one.
    current_freeze: Mutex<Weak<Freezing>>,
    /// From which name on all were split off, if some were.
    split_at: Mutex<Option<Arc<[u8]>>>,
    is_split: AtomicBool,
}

impl Default for Store {
    fn default() -> Self {
        Store::new()
    }
}

impl Store {
    /// An empty store for two threads.
    pub fn new() -> Store {
        Store::for_threads(2)
    }

    /// An empty store, sized for the number of threads that execute requests. For one thread it has a single
    /// shard: no other thread waits for its lock, and prefetching works best when a batch stays in one place.
    pub fn for_threads(threads: usize) -> Store {
        Store::with_hasher(threads, SeedableRandomState::random())
    }

    /// An empty store whose hashes are the same in every process, for repeatable measurements. Unsafe with
    /// untrusted clients, who can choose names that collide.
    pub fn with_fixed_seed(threads: usize) -> Store {
        Store::with_hasher(threads, SeedableRandomState::fixed())
    }

    fn with_hasher(threads: usize, hasher: SeedableRandomState) -> Store {
        Store::with_shards(Store::shards_for_threads(threads), hasher, false)
    }

    /// How many shards each database has, if that many threads execute requests.
    pub fn shards_for_threads(threads: usize) -> usize {
        if threads < 2 { 1 } else { (threads * SHARDS_PER_THREAD).next_power_of_two() }
    }

    /// An empty store with a number of shards for each database. A replica halts when a bucket crashes.
    fn with_shards(shards: usize, hasher: SeedableRandomState, is_replica: bool) -> Store {
        // The versions of a replica are what its log says.
        let watch_budget = if is_replica { WatchBudget::after_version(0) } else { WatchBudget::default() };
        let watch_budget = Arc::new(watch_budget);
        let shard = |_| Mutex::new(Shard::new(hasher.clone(), watch_budget.clone(), is_replica));
        Store {
            shards: (0..shards * DATABASES).map(shard).collect(),
            hasher,
            crash_reports: CrashReports::new(is_replica),
            budget: Arc::default(),
            nearly_full_shards: AtomicUsize::new(0),
            transaction_limits: Mutex::default(),
            watch_budget,
            detached_buckets: Arc::default(),
            current_freeze: Mutex::default(),
            split_at: Mutex::default(),
            is_split: AtomicBool::new(false),
        }
    }

    /// The same store, empty, whose buckets count against a budget that others share.
    pub fn with_budget(self, budget: Arc<Budget>) -> Store {
        let store = Store { budget, ..self };
        store.set_memory_limit(store.memory_limit());
        store
    }

    /// Subscribes to the changes of a bucket of database 0, which are queued in `backlog`; `None` when it
    /// does not exist.
    pub fn subscribe(&self, bucket: &[u8], backlog: &Arc<Backlog>) -> Option<Subscription> {
        let hash = self.hasher.hash_one(bucket);
        let mut shard = self.lock(self.shard_index(Database::ZERO, hash));
        shard.registry.lookup(&shard.memory, Lookup::new(hash), bucket)?;
        let (publisher, subscription) = Subscription::new(bucket, backlog);
        shard.subscribers.add(bucket, publisher);
        Some(subscription)
    }

    /// Sets how many bytes all buckets together, of all stores of its budget, may take; `None` removes the
    /// limit.
    pub fn set_memory_limit(&self, limit: Option<usize>) {
        self.budget.set_limit(limit);
        if !self.crash_reports.is_replica {
            self.watch_budget.set_memory_limit(limit);
        }
        for index in 0..self.shards.len() {
            self.lock(index).memory.arena.large_pages = self.uses_large_pages();
        }
    }

    /// How many bytes all buckets together may take, if that is limited.
    pub fn memory_limit(&self) -> Option<usize> {
        self.budget.limit()
    }

    /// Bytes of memory that all buckets take, of all stores of its budget, without the changes of batches in
    /// flight.
    pub fn used_bytes(&self) -> usize {
        self.budget.used()
    }

    /// Crashes a component, to test its supervisor.
    pub fn crash(&self, component: Component) {
        self.crash_reports.report(component, "crash requested");
    }

    /// Removes all buckets, and accepts requests again after a crash.
    pub fn restart(&self) {
        self.end_freeze();
        self.forget_split();
        self.nearly_full_shards.store(0, Relaxed);
        if self.crash_reports.is_replica {
            self.watch_budget.set_last_version(0);
        }
        for index in 0..self.shards.len() {
            let mut shard = self.lock(index);
            shard.subscribers.notify_all_ended(EndReason::Restarted);
            shard.discharge(&self.budget);
            let counters = shard.counters;
            *shard = Shard { counters, ..self.new_shard() };
        }
        self.crash_reports.clear();
    }

    /// Ends the watches of all connections of a link.
    pub fn unwatch_link(&self, link: u64) {
        for index in 0..self.shards.len() {
            let mut after = self.lock(index).watches.unwatch_link(link, None);
            while let Some(last) = after {
                after = self.lock(index).watches.unwatch_link(link, Some(&last));
            }
        }
    }

    /// Ends all watches.
    pub fn unwatch_all(&self) {
        for index in 0..self.shards.len() {
            self.lock(index).watches.clear();
        }
    }

    /// The number of shards of all databases.
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    fn new_shard(&self) -> Shard {
        let mut shard =
            Shard::new(self.hasher.clone(), self.watch_budget.clone(), self.crash_reports.is_replica);
        shard.memory.arena.large_pages = self.uses_large_pages();
        shard
    }

    /// Whether the memory limit leaves room for a large page of each shard of a database.
    fn uses_large_pages(&self) -> bool {
        let bytes = self.shards_per_database() * CHUNK_BYTES;
        self.budget.limit().is_none_or(|limit| limit / LARGE_PAGE_SHARE >= bytes)
    }

    /// The index of the shard of a name with this hash.
    #[inline]
    fn shard_index(&self, database: Database, hash: u64) -> usize {
        shard_index(database, hash, self.shards.len())
    }

    /// The number of shards of each database.
    fn shards_per_database(&self) -> usize {
        self.shards.len() / DATABASES
    }

    /// The indices of the shards of a database.
    fn shards_of(&self, database: Database) -> Range<usize> {
        let start = database.index() * self.shards_per_database();
        start..start + self.shards_per_database()
    }

    /// Locks the shards of all these names.
    fn lock_all<'n>(&self, names: impl Iterator<Item = FullName<'n>>) -> ShardGuards<'_> {
        let index = |full: FullName<'_>| self.shard_index(full.database, self.hasher.hash_one(full.name));
        let shards = names.map(index).collect();
        ShardGuards::new(shards, |index| self.lock(index))
    }

    /// Locks a shard. A thread that must wait spins at first, because the lock is held for no longer than it
    /// takes to put a thread to sleep and wake it.
    fn lock(&self, index: usize) -> MutexGuard<'_, Shard> {
        let shard = &self.shards[index];
        let mut spins = 0;
        while shard.is_locked() && spins < LOCK_SPINS {
            spin_loop();
            spins += 1;
        }
        shard.lock()
    }
}

#[cfg(test)]
mod tests;
