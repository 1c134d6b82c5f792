//! Commands on several buckets: their shards are locked together, in the order of their indices.

use crate::{
    bucket::{Bucket, Kind, transfer::PackedEntries},
    database::{Database, FullName},
    error::CommandError,
    memory::entry::Entry,
    pubsub::bucket_changes::EndReason,
    shard::{
        Shard,
        bucket_ref::{BucketMut, check_name},
        registry::Lookup,
        shard_index,
    },
    time::Clock,
};
use foldhash::fast::SeedableRandomState;
use parking_lot::MutexGuard;
use std::hash::BuildHasher;

/// The locks of several shards, sorted by index.
pub(crate) struct ShardGuards<'g> {
    guards: Vec<(usize, MutexGuard<'g, Shard>)>,
}

impl<'g> ShardGuards<'g> {
    /// Locks each shard once, in the order of the indices, so that no two callers deadlock.
    pub(crate) fn new(
        mut indices: Vec<usize>,
        lock: impl Fn(usize) -> MutexGuard<'g, Shard>,
    ) -> ShardGuards<'g> {
        indices.sort_unstable();
        indices.dedup();
        ShardGuards { guards: indices.into_iter().map(|index| (index, lock(index))).collect() }
    }

    /// A locked shard.
    pub(crate) fn shard(&mut self, index: usize) -> &mut Shard {
        let position = self.position(index);
        &mut self.guards[position].1
    }

    /// Calls `visit` with each locked shard.
    pub(crate) fn for_each(&mut self, visit: impl FnMut(&mut Shard)) {
        self.guards.iter_mut().map(|(_, shard)| &mut **shard).for_each(visit);
    }

    /// Two different locked shards.
    fn pair_mut(&mut self, one: usize, other: usize) -> (&mut Shard, &mut Shard) {
        let positions = [self.position(one), self.position(other)];
        let [one, other] = self.guards.get_disjoint_mut(positions).expect("two different shards");
        (&mut one.1, &mut other.1)
    }

    fn position(&self, index: usize) -> usize {
        let found = self.guards.binary_search_by_key(&index, |(index, _)| *index);
        found.expect("the shards of all names are locked")
    }
}

/// The buckets that one command names.
pub(crate) struct MultiBucket<'l, 'g> {
    pub(crate) shards: &'l mut ShardGuards<'g>,
    /// The database of the command.
    pub(crate) database: Database,
    pub(crate) hasher: &'l SeedableRandomState,
    /// How many shards the store has.
    pub(crate) shard_count: usize,
    pub(crate) clock: Clock,
}

impl MultiBucket<'_, '_> {
    /// The full name of a bucket in the database of the command.
    pub(crate) fn full_name<'n>(&self, name: &'n [u8]) -> FullName<'n> {
        FullName { database: self.database, name }
    }

    /// One of the buckets, in the database of the command.
    pub(crate) fn bucket<'b>(&'b mut self, name: &'b [u8]) -> BucketMut<'b> {
        self.bucket_at(self.full_name(name))
    }

    /// One of the buckets.
    pub(crate) fn bucket_at<'b>(&'b mut self, FullName { database, name }: FullName<'b>) -> BucketMut<'b> {
        let hash = self.hasher.hash_one(name);
        let shard = self.shards.shard(shard_index(database, hash, self.shard_count));
        let mut bucket = BucketMut::new(shard, name, Lookup::new(hash), self.clock.now_ms);
        bucket.end_if_expired(self.clock.removal_ms);
        bucket
    }

    /// Renames a bucket, or moves it to another database; `false` when it does not exist. A bucket that has
    /// the new name ends.
    pub(crate) fn rename(&mut self, from: FullName<'_>, to: FullName<'_>) -> Result<bool, CommandError> {
        check_name(to.name)?;
        let Some((slot, bucket)) = self.bucket_at(from).registered() else { return Ok(false) };
        if from == to {
            return Ok(true);
        }
        let (source, target) = (self.shard_index(from), self.shard_index(to));
        if source == target {
            self.bucket_at(from).detach_as(to.name)?;
        } else {
            let (source, target) = self.shards.pair_mut(source, target);
            let Shard { memory, unregistered, .. } = target;
            bucket.move_to(&mut source.memory, memory, to.name, unregistered)?;
        }
        #[cfg(test)]
        crate::tests::failpoint::reach("replace");
        self.bucket_at(to).replace_with_unregistered();
        let shard = self.shards.shard(source);
        if source == target {
            shard.announce_end(from.name, EndReason::Dropped);
        } else {
            shard.end(slot, bucket, from.name, EndReason::Dropped);
        }
        Ok(true)
    }

    /// Copies a bucket to another name; `false` when it does not exist. A bucket that has the new name ends.
    pub(crate) fn copy(&mut self, from: FullName<'_>, to: FullName<'_>) -> Result<bool, CommandError> {
        check_name(to.name)?;
        let view = self.bucket_at(from).into_view();
        let expires_at_ms = view.expires_at_ms();
        match view.kind() {
            None => return Ok(false),
            Some(Kind::Str) => {
                let origin = view.string_origin()?;
                let Some(value) = view.owned_string()? else { return Ok(false) };
                let mut copy = self.bucket_at(to);
                copy.set_owned_string(value, expires_at_ms)?;
                origin.inspect(|origin| copy.set_string_origin(*origin));
            }
            Some(Kind::Map) => {
                let (keep, target) = (view.keeps_when_empty(), self.shard_index(to));
                let Shard { memory, unregistered, .. } = self.shards.shard(target);
                *unregistered = Some(Bucket::create_map(memory, to.name, keep, expires_at_ms)?);
                if let Err(error) = self.copy_entries(from, target) {
                    self.shards.shard(target).destroy_unregistered();
                    return Err(error);
                }
                #[cfg(test)]
                crate::tests::failpoint::reach("replace");
                self.bucket_at(to).replace_with_unregistered();
            }
        }
        Ok(true)
    }

    /// Copies the entries of a map, page by page, to the unregistered bucket of a shard.
    fn copy_entries(&mut self, from: FullName<'_>, target: usize) -> Result<(), CommandError> {
        let mut cursor = 0;
        loop {
            let source = self.bucket_at(from).into_view();
            let (entries, next) = source.entries(cursor)?;
            let page = PackedEntries::new(source.memory, &entries);
            let Shard { memory, unregistered, .. } = self.shards.shard(target);
            for entry in page.iter() {
                let Some(copy) = unregistered else { unreachable!("the copy exists") };
                let value = page.value(memory, entry);
                let (hash, copied) = (self.hasher.hash_one(entry.key), Entry { value, ..entry });
                if let Err(error) = copy.put(memory, hash, copied, self.clock.now_ms) {
                    memory.arena.free_value(value);
                    return Err(error);
                }
                #[cfg(test)]
                crate::tests::failpoint::reach("copy_entries");
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    fn shard_index(&self, full: FullName<'_>) -> usize {
        shard_index(full.database, self.hasher.hash_one(full.name), self.shard_count)
    }
}
