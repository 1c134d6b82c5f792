//! The bucket that a command names, to be read and changed.

use crate::{
    bucket::Bucket,
    budget::Budget,
    error::CommandError,
    memory::{Memory, entry::Entry},
    pubsub::bucket_changes::{Change, EndReason},
    shard::{
        Shard,
        bucket_ref::BucketRef,
        registry::{Lookup, NameSlot},
    },
};

/// A bucket that may exist or not. All changes go through here: they notify subscribers, invalidate the
/// versions of those who watch the bucket, and are registered when they move it.
#[derive(Debug)]
pub(crate) struct BucketMut<'s> {
    shard: &'s mut Shard,
    name: &'s [u8],
    lookup: Lookup<'s>,
    entry: Option<(NameSlot, Bucket)>,
    now_ms: u64,
}

/// Any bucket.
impl<'s> BucketMut<'s> {
    /// Looks the bucket up.
    #[inline]
    pub(crate) fn new(
        shard: &'s mut Shard,
        name: &'s [u8],
        lookup: Lookup<'s>,
        now_ms: u64,
    ) -> BucketMut<'s> {
        let entry = shard.registry.lookup(&shard.memory, lookup, name);
        BucketMut { shard, name, lookup, entry, now_ms }
    }

    /// Ends the bucket if it has expired: then it does not exist.
    #[inline]
    pub(crate) fn end_if_expired(&mut self) {
        if self.shard.expiry_cursor.armed
            && self.bucket().is_some_and(|bucket| bucket.is_expired(&self.shard.memory, self.now_ms))
        {
            self.end(EndReason::Expired);
        }
    }

    /// The bucket as it is now.
    #[inline]
    pub(crate) fn view(&self) -> BucketRef<'_> {
        BucketRef {
            memory: &self.shard.memory,
            bucket: self.bucket(),
            lookup: self.lookup,
            now_ms: self.now_ms,
        }
    }

    /// The bucket as it is after the last change, for as long as the lock is held.
    #[inline]
    pub(crate) fn into_view(self) -> BucketRef<'s> {
        let bucket = self.bucket();
        BucketRef { memory: &self.shard.memory, bucket, lookup: self.lookup, now_ms: self.now_ms }
    }

    /// The time of this batch, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Whether all buckets together take more memory than they may.
    pub(crate) fn exceeds(&self, budget: &Budget) -> bool {
        budget.is_exceeded(self.shard.used_bytes(), self.shard.accounted_bytes)
    }

    /// Whether the bucket exists.
    pub(crate) fn exists(&self) -> bool {
        self.entry.is_some()
    }

    /// The bucket, and where it is registered.
    pub(crate) fn entry(&self) -> Option<(NameSlot, Bucket)> {
        self.entry
    }

    /// The version of the bucket, for WATCH.
    pub(crate) fn watch_version(self) -> u64 {
        self.shard.watches.version_of(self.name)
    }

    /// Sets when the bucket expires. It ends at once if that time has passed.
    pub(crate) fn set_expiry(&mut self, expires_at_ms: Option<u64>) -> Result<(), CommandError> {
        if !self.exists() {
            return Ok(());
        }
        if expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= self.now_ms) {
            self.end(EndReason::Expired);
            return Ok(());
        }
        self.note_expiry(expires_at_ms);
        let (name, keep) = (self.name, self.view().keeps_when_empty());
        self.modify(|bucket, memory| bucket.set_head(memory, name, keep, expires_at_ms))?;
        self.invalidate_watches();
        Ok(())
    }

    /// Ends the bucket; `false` when it did not exist.
    pub(crate) fn end(&mut self, reason: EndReason) -> bool {
        let Some((slot, bucket)) = self.entry.take() else { return false };
        self.shard.end(slot, bucket, self.name, reason);
        true
    }

    /// Gives the bucket, which exists, another name, and takes it out of the registry. It is to be registered
    /// under its new name, and until then it is unfinished.
    pub(crate) fn detach_as(mut self, name: &[u8]) -> Result<(), CommandError> {
        let (keep, expires_at_ms) = (self.view().keeps_when_empty(), self.view().expires_at_ms());
        self.modify(|bucket, memory| bucket.set_head(memory, name, keep, expires_at_ms))?;
        if let Some((slot, bucket)) = self.entry {
            self.shard.registry.unregister(slot);
            self.shard.unfinished = Some(bucket);
        }
        Ok(())
    }

    /// Registers the unfinished bucket, which has this name. The one that has it now, if any, ends.
    pub(crate) fn replace_with_unfinished(&mut self) {
        let Some(bucket) = self.shard.unfinished.take() else { return };
        let old = self.entry;
        match old {
            Some((slot, _)) => self.shard.registry.set_bucket(slot, bucket),
            None => self.shard.registry.register(&self.shard.memory, self.lookup.name_hash, bucket),
        }
        self.entry = self.shard.registry.lookup(&self.shard.memory, self.lookup, self.name);
        self.note_expiry(bucket.earliest_expiry(&self.shard.memory));
        self.invalidate_watches();
        if let Some((_, old)) = old {
            self.shard.end_name(self.name, EndReason::Dropped);
            self.shard.destroy(old);
        }
    }

    fn note_expiry(&mut self, expires_at_ms: Option<u64>) {
        if expires_at_ms.is_some() {
            self.shard.expiry_cursor.arm();
        }
    }

    fn bucket(&self) -> Option<Bucket> {
        self.entry.map(|(_, bucket)| bucket)
    }

    fn register(&mut self, bucket: Bucket) {
        let Shard { registry, memory, .. } = &mut *self.shard;
        registry.register(memory, self.lookup.name_hash, bucket);
        self.entry = registry.lookup(memory, self.lookup, self.name);
        #[cfg(test)]
        crate::failpoint::reach("registered");
    }

    /// Changes the bucket, which exists.
    fn modify<T, E: Into<CommandError>>(
        &mut self,
        change: impl FnOnce(&mut Bucket, &mut Memory) -> Result<T, E>,
    ) -> Result<T, CommandError> {
        let Some((_, before)) = self.entry else { unreachable!("only an existing bucket is modified") };
        let moving = Moving { bucket_mut: self, before };
        let Some((_, bucket)) = &mut moving.bucket_mut.entry else { unreachable!("it exists") };
        change(bucket, &mut moving.bucket_mut.shard.memory).map_err(Into::into)
    }

    fn notify(&mut self, change: impl FnOnce() -> Change) {
        self.invalidate_watches();
        self.shard.subscribers.notify(self.name, change);
    }

    fn invalidate_watches(&mut self) {
        self.shard.watches.invalidate(self.name);
    }
}

/// A bucket that a change may move to another block. However the change ends, by a panic too, the registry
/// knows the block.
struct Moving<'a, 's> {
    bucket_mut: &'a mut BucketMut<'s>,
    before: Bucket,
}

impl Drop for Moving<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        if let Some((slot, bucket)) = self.bucket_mut.entry
            && bucket != self.before
        {
            self.bucket_mut.shard.registry.set_bucket(slot, bucket);
        }
    }
}

/// A bucket that holds a map.
impl BucketMut<'_> {
    /// Creates an empty map that stays when its last field goes; an existing one stays from now on too.
    pub(crate) fn create(&mut self) -> Result<(), CommandError> {
        if self.view().map()?.is_none() {
            self.create_map(true)?;
            self.invalidate_watches();
        } else if !self.view().keeps_when_empty() {
            let (name, expires_at_ms) = (self.name, self.view().expires_at_ms());
            self.modify(|bucket, memory| bucket.set_head(memory, name, true, expires_at_ms))?;
        }
        Ok(())
    }

    /// Sets a field of the map, which is created if it does not exist. Returns whether the field is new.
    pub(crate) fn set_field(
        &mut self,
        field: &[u8],
        value: &[u8],
        expires_at_ms: Option<u64>,
    ) -> Result<bool, CommandError> {
        if !self.exists() {
            self.create_map(false)?;
        }
        self.note_expiry(expires_at_ms);
        let result = self.put(Entry { key: field, value, expires_at_ms });
        if result.is_err() {
            self.end_if_empty();
        }
        let is_new = result?;
        self.notify(|| Change::Set { key: field.into(), value: value.into() });
        Ok(is_new)
    }

    /// Deletes a field of the map; `false` when there was none.
    pub(crate) fn delete_field(&mut self, field: &[u8]) -> Result<bool, CommandError> {
        let was_there = self.exists() && self.delete(field)?;
        if was_there {
            self.notify(|| Change::Deleted { key: field.into() });
        }
        Ok(was_there)
    }

    /// Ends the map when it is empty, unless it was created to stay.
    pub(crate) fn end_if_empty(&mut self) {
        if self.exists() && self.view().len() == Ok(0) && !self.view().keeps_when_empty() {
            self.end(EndReason::Dropped);
        }
    }

    /// Sets when an existing field of the map expires.
    pub(crate) fn set_field_expiry(
        &mut self,
        field: &[u8],
        expires_at_ms: Option<u64>,
    ) -> Result<(), CommandError> {
        let Some(entry) = self.view().field(field)? else { return Ok(()) };
        let value = entry.value.to_vec();
        self.note_expiry(expires_at_ms);
        self.put(Entry { key: field, value: &value, expires_at_ms })?;
        self.invalidate_watches();
        Ok(())
    }

    /// Deletes up to `limit` fields that have expired, and the map with the last of them. Returns how many
    /// there were.
    pub(crate) fn delete_expired(&mut self, limit: usize) -> usize {
        let Ok(Some(map)) = self.view().map() else { return 0 };
        let expired = map.expired(self.now_ms, limit);
        let fields: Vec<Box<[u8]>> = expired.iter().map(|entry| entry.key.into()).collect();
        for field in &fields {
            #[cfg(test)]
            crate::failpoint::reach("delete_expired");
            if self.delete(field).is_ok() {
                self.notify(|| Change::Deleted { key: field.clone() });
            }
        }
        self.end_if_empty();
        fields.len()
    }

    fn create_map(&mut self, keep_when_empty: bool) -> Result<(), CommandError> {
        let bucket = Bucket::create_map(&mut self.shard.memory, self.name, keep_when_empty, None)?;
        self.register(bucket);
        Ok(())
    }

    fn put(&mut self, entry: Entry<'_>) -> Result<bool, CommandError> {
        let (hash, now_ms) = (self.lookup.field_hash(entry.key, &self.shard.memory), self.now_ms);
        self.modify(|bucket, memory| bucket.put(memory, hash, entry, now_ms))
    }

    fn delete(&mut self, field: &[u8]) -> Result<bool, CommandError> {
        let (hash, now_ms) = (self.lookup.field_hash(field, &self.shard.memory), self.now_ms);
        self.modify(|bucket, memory| bucket.delete(memory, hash, field, now_ms))
    }
}

/// A bucket that holds a string.
impl BucketMut<'_> {
    /// Sets the string and when it expires. A bucket of another kind is replaced.
    pub(crate) fn set_string(
        &mut self,
        value: &[u8],
        expires_at_ms: Option<u64>,
    ) -> Result<(), CommandError> {
        let name = self.name;
        self.note_expiry(expires_at_ms);
        if self.exists() {
            match self.modify(|bucket, memory| bucket.set_string(memory, name, value, expires_at_ms)) {
                Err(CommandError::WrongType) => {
                    self.end(EndReason::Dropped);
                }
                result => result?,
            }
        }
        if !self.exists() {
            let bucket = Bucket::create_string(&mut self.shard.memory, name, value, expires_at_ms)?;
            self.register(bucket);
        }
        self.notify(|| Change::Set { key: name.into(), value: value.into() });
        Ok(())
    }

    /// Writes into the string, from `offset` on, with zeros between its end and `offset`.
    pub(crate) fn write_string(&mut self, offset: usize, bytes: &[u8]) -> Result<(), CommandError> {
        self.view().string()?;
        let name = self.name;
        if !self.exists() {
            let bucket = Bucket::create_string(&mut self.shard.memory, name, b"", None)?;
            self.register(bucket);
        }
        self.modify(|bucket, memory| bucket.write_string(memory, offset, bytes))?;
        self.invalidate_watches();
        let (memory, bucket) = (&self.shard.memory, self.bucket());
        self.shard.subscribers.notify(name, || {
            let value = bucket.and_then(|bucket| bucket.string(memory).ok()).unwrap_or_default();
            Change::Set { key: name.into(), value: value.into() }
        });
        Ok(())
    }
}
