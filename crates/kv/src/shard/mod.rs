//! A shard: the buckets whose names hash to it, with their registry and their memory. One lock guards it all.

pub(crate) mod bucket_mut;
pub(crate) mod bucket_ref;
pub(crate) mod multi;
pub(crate) mod registry;
pub(crate) mod subscribers;
pub(crate) mod watch;

use crate::{
    bucket::Bucket,
    memory::{Memory, reclaim::Reclaim},
    pubsub::bucket_changes::EndReason,
    shard::{
        registry::{NameSlot, Registry},
        subscribers::Subscribers,
        watch::WatchVersions,
    },
};
use foldhash::fast::SeedableRandomState;

/// One part of the store.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) registry: Registry,
    pub(crate) memory: Memory,
    pub(crate) reclaim: Reclaim,
    pub(crate) subscribers: Subscribers,
    pub(crate) watches: WatchVersions,
    pub(crate) expiry_cursor: ExpiryCursor,
    /// A bucket that is being copied or moved here, and is not registered yet. A crash destroys it.
    pub(crate) unfinished: Option<Bucket>,
    /// How many buckets have crashed.
    pub(crate) crashed: u64,
    /// What the memory budget knows of [`Shard::used_bytes`].
    pub(crate) accounted_bytes: usize,
}

/// Where the search for what has expired stands. It goes round and round the registry, as long as a round
/// finds something that will expire.
#[derive(Debug, Default)]
pub(crate) struct ExpiryCursor {
    /// Something here may expire.
    pub(crate) armed: bool,
    /// The current round has found something that will expire.
    pub(crate) found_in_round: bool,
    /// The next line of the registry.
    pub(crate) line: usize,
}

impl ExpiryCursor {
    /// Notes that something will expire.
    pub(crate) fn arm(&mut self) {
        self.armed = true;
        self.found_in_round = true;
    }
}

impl Shard {
    /// A shard without buckets.
    pub(crate) fn new(hasher: SeedableRandomState) -> Shard {
        Shard {
            registry: Registry::default(),
            memory: Memory::new(hasher),
            reclaim: Reclaim::default(),
            subscribers: Subscribers::default(),
            watches: WatchVersions::default(),
            expiry_cursor: ExpiryCursor::default(),
            unfinished: None,
            crashed: 0,
            accounted_bytes: 0,
        }
    }

    /// Bytes of memory in use.
    pub(crate) fn used_bytes(&self) -> usize {
        self.registry.bytes() + self.memory.used_bytes()
    }

    /// Ends a bucket: nothing finds it any more, and its subscribers are notified.
    pub(crate) fn end(&mut self, slot: NameSlot, bucket: Bucket, name: &[u8], reason: EndReason) {
        self.registry.unregister(slot);
        self.end_name(name, reason);
        self.destroy(bucket);
    }

    /// Notifies those who watch a name, or subscribe to it, that its bucket has ended.
    pub(crate) fn end_name(&mut self, name: &[u8], reason: EndReason) {
        self.watches.invalidate(name);
        self.subscribers.notify_end(name, reason);
    }

    /// Destroys a bucket that is not registered. What a large one held is freed bit by bit.
    pub(crate) fn destroy(&mut self, bucket: Bucket) {
        if let Some(table) = bucket.destroy(&mut self.memory) {
            self.reclaim.free_later(table);
        }
    }

    /// Destroys the unfinished bucket; `false` when there is none.
    pub(crate) fn destroy_unfinished(&mut self) -> bool {
        let unfinished = self.unfinished.take();
        if let Some(bucket) = unfinished {
            self.destroy(bucket);
        }
        unfinished.is_some()
    }

    /// Frees a bounded part of what ended buckets held.
    pub(crate) fn reclaim_some(&mut self) {
        self.reclaim.reclaim_some(&mut self.memory);
    }
}

/// The index of a name's shard, from bits of its hash that choose neither its line nor its tag there. The
/// number of shards is a power of two.
pub(crate) fn shard_of(hash: u64, shards: usize) -> usize {
    (hash >> 40) as usize & (shards - 1)
}
