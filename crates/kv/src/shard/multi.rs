//! Several buckets at once: their shards are locked together, in the order of their numbers.

use crate::{
    CommandError,
    bucket::{Bucket, Packed},
    shard::Shard,
    shard::bucket_mut::BucketMut,
    shard::lookup::Lookup,
};
use foldhash::fast::SeedableRandomState;
use parking_lot::MutexGuard;
use std::hash::BuildHasher;

/// Locked shards, by index.
pub(crate) struct ShardGuards<'g> {
    shards: Vec<(usize, MutexGuard<'g, Shard>)>,
}

impl<'g> ShardGuards<'g> {
    /// Locks each shard once, in the order of the numbers, so that no two callers wait for each other.
    pub(crate) fn new(
        mut numbers: Vec<usize>,
        lock: impl Fn(usize) -> MutexGuard<'g, Shard>,
    ) -> ShardGuards<'g> {
        numbers.sort_unstable();
        numbers.dedup();
        ShardGuards { shards: numbers.into_iter().map(|number| (number, lock(number))).collect() }
    }

    /// A shard that was locked.
    pub(crate) fn shard(&mut self, number: usize) -> &mut Shard {
        let at = self.position(number);
        &mut self.shards[at].1
    }

    /// Does something with each of them.
    pub(crate) fn each(&mut self, work: impl FnMut(&mut Shard)) {
        self.shards.iter_mut().map(|(_, shard)| &mut **shard).for_each(work);
    }

    /// Two different shards that were locked.
    fn two(&mut self, one: usize, other: usize) -> (&mut Shard, &mut Shard) {
        let places = [self.position(one), self.position(other)];
        let [one, other] = self.shards.get_disjoint_mut(places).expect("two different shards");
        (&mut one.1, &mut other.1)
    }

    fn position(&self, number: usize) -> usize {
        let found = self.shards.binary_search_by_key(&number, |(number, _)| *number);
        found.expect("the shards of all names are locked")
    }
}

/// The buckets that one command names.
pub(crate) struct MultiBucket<'l, 'g> {
    pub(crate) locked: &'l mut ShardGuards<'g>,
    pub(crate) hasher: &'l SeedableRandomState,
    pub(crate) shards: usize,
    pub(crate) now_ms: u64,
}

impl MultiBucket<'_, '_> {
    /// One of the buckets.
    pub(crate) fn bucket<'t>(&'t mut self, name: &'t [u8]) -> BucketMut<'t> {
        let hash = self.hasher.hash_one(name);
        BucketMut::new(self.locked.shard(shard_of(hash, self.shards)), name, Lookup::new(hash), self.now_ms)
    }

    /// Gives a bucket another name; `false` when it is not there. A bucket that has that name ends.
    pub(crate) fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<bool, CommandError> {
        let Some((registration, bucket)) = self.bucket(from).found() else { return Ok(false) };
        if from == to {
            return Ok(true);
        }
        let (source, sink) = (self.number(from), self.number(to));
        let moved = if source == sink {
            self.bucket(from).rename(to)?
        } else {
            let (source, sink) = self.locked.two(source, sink);
            let moved = bucket.move_to(&mut source.memory, &mut sink.memory, to)?;
            source.forget(registration, from);
            moved
        };
        self.bucket(to).adopt(moved);
        Ok(true)
    }

    /// Copies a bucket to another name; `false` when it is not there. A bucket that has that name ends.
    pub(crate) fn copy(&mut self, from: &[u8], to: &[u8]) -> Result<bool, CommandError> {
        let view = self.bucket(from).into_view();
        if view.bucket.is_none() {
            return Ok(false);
        }
        let (kept, expires_at_ms) = (view.keeps_when_empty(), view.expires_at_ms());
        if let Ok(Some(value)) = view.string() {
            let value = value.to_vec();
            self.bucket(to).set_string(&value, expires_at_ms)?;
            return Ok(true);
        }
        let sink = self.number(to);
        let memory = &mut self.locked.shard(sink).memory;
        let mut copy = Bucket::start(memory, to, kept)?;
        let copied = copy.set_head(memory, to, kept, expires_at_ms).map_err(CommandError::from);
        if let Err(refusal) = copied.and_then(|()| self.copy_entries(from, to, &mut copy)) {
            let shard = self.locked.shard(sink);
            shard.supervisor.discard(&mut shard.memory, copy);
            return Err(refusal);
        }
        self.bucket(to).adopt(copy);
        Ok(true)
    }

    /// Copies the entries of a map, page by page, to a bucket that is not registered yet.
    fn copy_entries(&mut self, from: &[u8], to: &[u8], copy: &mut Bucket) -> Result<(), CommandError> {
        let (sink, mut cursor) = (self.number(to), 0);
        loop {
            let (entries, next) = self.bucket(from).into_view().entries(cursor)?;
            let page = Packed::new(&entries);
            for entry in page.iter() {
                let hash = self.hasher.hash_one(entry.key);
                copy.put(&mut self.locked.shard(sink).memory, hash, entry, self.now_ms)?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    fn number(&self, name: &[u8]) -> usize {
        shard_of(self.hasher.hash_one(name), self.shards)
    }
}

/// The shard of a name, from bits of its hash that choose neither its line nor its tag there. There are a power of
/// two of them.
pub(crate) fn shard_of(hash: u64, shards: usize) -> usize {
    (hash >> 40) as usize & (shards - 1)
}
