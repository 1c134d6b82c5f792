//! Several buckets at once: their shards are locked together, in the order of their numbers.

use crate::{shard::Shard, target::Target};
use foldhash::fast::RandomState;
use std::{hash::BuildHasher, sync::MutexGuard};

/// Locked shards, by number.
pub(crate) struct Locked<'g> {
    shards: Vec<(usize, MutexGuard<'g, Shard>)>,
}

impl<'g> Locked<'g> {
    /// Locks each shard once, in the order of the numbers, so that no two callers wait for each other.
    pub(crate) fn new(mut numbers: Vec<usize>, lock: impl Fn(usize) -> MutexGuard<'g, Shard>) -> Locked<'g> {
        numbers.sort_unstable();
        numbers.dedup();
        Locked { shards: numbers.into_iter().map(|number| (number, lock(number))).collect() }
    }

    /// A shard that was locked.
    pub(crate) fn shard(&mut self, number: usize) -> &mut Shard {
        let found = self.shards.binary_search_by_key(&number, |(number, _)| *number);
        &mut self.shards[found.expect("the shards of all names are locked")].1
    }
}

/// The buckets that one command names.
pub(crate) struct Several<'l, 'g> {
    pub(crate) locked: &'l mut Locked<'g>,
    pub(crate) hasher: &'l RandomState,
    pub(crate) shards: usize,
    pub(crate) now: u64,
}

impl Several<'_, '_> {
    /// One of the buckets.
    pub(crate) fn target<'t>(&'t mut self, name: &'t [u8]) -> Target<'t> {
        let hash = self.hasher.hash_one(name);
        Target::new(self.locked.shard(shard_of(hash, self.shards)), name, hash, self.now)
    }
}

/// The shard of a name, from bits of its hash that choose neither its line nor its tag there. There are a power of
/// two of them.
pub(crate) fn shard_of(hash: u64, shards: usize) -> usize {
    (hash >> 40) as usize & (shards - 1)
}
