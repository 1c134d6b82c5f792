//! A shard: the buckets whose names hash to it ([`shard_index`]), with their registry and their memory, all
//! under one lock.

pub(crate) mod bucket_ref;
mod compaction;
pub(crate) mod frozen;
pub(crate) mod multi;
pub(crate) mod prepared;
pub(crate) mod registry;
pub(crate) mod subscribers;
pub(crate) mod watch;

use crate::{
    bucket::Bucket,
    database::{DATABASES, Database},
    memory::{
        Memory,
        arena::compaction::Round,
        budget::{Budget, WatchBudget},
    },
    pubsub::bucket_changes::EndReason,
    shard::{
        prepared::PreparedValues,
        registry::{NameSlot, Registry},
        subscribers::Subscribers,
        watch::WatchTable,
    },
};
use foldhash::fast::SeedableRandomState;
use std::sync::Arc;

/// One part of the store.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) registry: Registry,
    pub(crate) memory: Memory,
    pub(crate) subscribers: Subscribers,
    pub(crate) watches: WatchTable,
    pub(crate) expiry_cursor: ExpiryCursor,
    /// What has expired by then may be removed by the request that is executed, in milliseconds since 1970.
    pub(crate) removal_ms: u64,
    /// The bucket that a command is copying or moving here, until it is registered. A crash destroys it.
    pub(crate) unregistered: Option<Bucket>,
    pub(crate) counters: Counters,
    /// Large values that the request being executed brings along.
    pub(crate) prepared: PreparedValues,
    /// Whether its arena was nearly full when the sweeper looked last.
    pub(crate) is_nearly_full: bool,
    /// The part of [`Shard::used_bytes`] that the memory budget has accounted for.
    pub(crate) accounted_bytes: usize,
    /// The part of [`Shard::held_bytes`] that the memory budget has accounted for.
    pub(crate) accounted_held_bytes: usize,
    /// The round of compaction that has begun.
    pub(crate) round: Option<Round>,
}

/// What has happened in a shard since the start.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counters {
    /// Buckets that have crashed.
    pub(crate) crashed: u64,
    /// Reads of buckets that did not exist, and of those that did.
    pub(crate) lookups: [u64; 2],
    /// Buckets that have expired.
    pub(crate) expired: u64,
    /// Entries of maps that have expired.
    pub(crate) expired_entries: u64,
}

/// The position of the sweeper in the registry, which it scans in rounds as long as a round finds something
/// that will expire.
#[derive(Debug, Default)]
pub(crate) struct ExpiryCursor {
    /// Whether anything in this shard may expire.
    pub(crate) has_expiries: bool,
    /// Whether the current round has found something that will expire.
    pub(crate) found_in_round: bool,
    /// The cursor of its next step.
    pub(crate) cursor: u64,
}

impl ExpiryCursor {
    /// Notes that something will expire.
    pub(crate) fn note_expiry(&mut self) {
        self.has_expiries = true;
        self.found_in_round = true;
    }
}

impl Shard {
    /// A shard without buckets.
    pub(crate) fn new(
        hasher: SeedableRandomState,
        watch_budget: Arc<WatchBudget>,
        is_replica: bool,
    ) -> Shard {
        Shard {
            registry: Registry::default(),
            memory: Memory::new(hasher),
            subscribers: Subscribers::default(),
            watches: WatchTable::new(watch_budget, is_replica),
            expiry_cursor: ExpiryCursor::default(),
            removal_ms: 0,
            unregistered: None,
            counters: Counters::default(),
            prepared: PreparedValues::default(),
            is_nearly_full: false,
            accounted_bytes: 0,
            accounted_held_bytes: 0,
            round: None,
        }
    }

    /// Bytes of memory in use.
    pub(crate) fn used_bytes(&self) -> usize {
        self.registry.bytes() + self.memory.used_bytes()
    }

    /// Accounts for the memory that the shard uses now, and if that has changed, for what it holds.
    pub(crate) fn account(&mut self, budget: &Budget) {
        if budget.account(self.used_bytes(), &mut self.accounted_bytes) {
            self.account_held(budget);
        }
    }

    /// Accounts for the memory that the shard holds now.
    pub(crate) fn account_held(&mut self, budget: &Budget) {
        budget.account_held(self.held_bytes(), &mut self.accounted_held_bytes);
    }

    /// Takes the shard out of the budget.
    pub(crate) fn discharge(&mut self, budget: &Budget) {
        budget.account(0, &mut self.accounted_bytes);
        budget.account_held(0, &mut self.accounted_held_bytes);
    }

    /// Ends a registered bucket: removes its name, notifies its subscribers, and destroys it.
    pub(crate) fn end(&mut self, slot: NameSlot, bucket: Bucket, name: &[u8], reason: EndReason) {
        self.watches.invalidate(name);
        self.remove(slot, bucket, name, reason);
    }

    /// Ends a registered bucket that has expired, or whose entries have.
    pub(crate) fn end_expired(&mut self, slot: NameSlot, bucket: Bucket, name: &[u8], reason: EndReason) {
        self.watches.expired(name);
        self.remove(slot, bucket, name, reason);
    }

    fn remove(&mut self, slot: NameSlot, bucket: Bucket, name: &[u8], reason: EndReason) {
        self.registry.unregister(slot);
        self.subscribers.notify_end(name, reason);
        self.destroy(bucket);
    }

    /// Notifies the watchers and subscribers of a name that its bucket has ended.
    pub(crate) fn announce_end(&mut self, name: &[u8], reason: EndReason) {
        self.watches.invalidate(name);
        self.subscribers.notify_end(name, reason);
    }

    /// Destroys a bucket that is not registered. The entries of a table are freed later, in bounded steps.
    pub(crate) fn destroy(&mut self, bucket: Bucket) {
        if let Some(table) = bucket.destroy(&mut self.memory) {
            self.memory.free_later(table);
        }
    }

    /// Destroys the unregistered bucket; `false` when there is none.
    pub(crate) fn destroy_unregistered(&mut self) -> bool {
        let unregistered = self.unregistered.take();
        if let Some(bucket) = unregistered {
            self.destroy(bucket);
        }
        unregistered.is_some()
    }
}

/// The index of a name's shard among the shards of all databases, whose number is a power of two. It is taken
/// from bits of the hash that choose neither the line nor the tag in the shard's registry.
#[inline]
pub(crate) fn shard_index(database: Database, hash: u64, shards: usize) -> usize {
    let shards = shards / DATABASES;
    database.index() * shards + ((hash >> 40) as usize & (shards - 1))
}
