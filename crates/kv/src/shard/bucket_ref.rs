//! A bucket as a command sees it: [`BucketRef`] reads it, [`BucketMut`] changes it. Expired entries are left
//! out.

mod expired;
mod large;

use crate::{
    bucket::{Bucket, Kind, Origin, WrongType, map::Map},
    error::CommandError,
    limits::{NAME_BYTES, PAGE_BYTES, PAGE_NAMES, RANDOM_MISSES},
    memory::{
        Memory,
        arena::Arena,
        entry::{Entry, LargeRef, Value},
        large::LargeValue,
    },
    pubsub::bucket_changes::{Change, EndReason},
    reply::{CommandResult, OwnedValue, Projection, Reply},
    shard::{
        Shard,
        registry::{Lookup, NameSlot},
        watch::{WatchedBucket, Watcher},
    },
};

/// A bucket that may or may not exist. Values read from it live as long as the shard's lock is held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BucketRef<'s> {
    pub(crate) memory: &'s Memory,
    pub(crate) bucket: Option<Bucket>,
    pub(crate) lookup: Lookup<'s>,
    pub(crate) now_ms: u64,
}

impl<'s> BucketRef<'s> {
    /// The type of the bucket's value; `None` when it does not exist.
    pub(crate) fn kind(self) -> Option<Kind> {
        self.bucket.map(|bucket| bucket.kind(self.memory))
    }

    /// When the bucket expires, in milliseconds since 1970.
    pub(crate) fn expires_at_ms(self) -> Option<u64> {
        self.bucket.and_then(|bucket| bucket.expires_at_ms(self.memory))
    }

    /// Whether the bucket stays when its last field goes.
    pub(crate) fn keeps_when_empty(self) -> bool {
        self.bucket.is_some_and(|bucket| bucket.keeps_when_empty(self.memory))
    }

    /// The string; `None` when the bucket does not exist.
    #[inline]
    pub(crate) fn string(self) -> Result<Option<Value<'s>>, WrongType> {
        self.bucket.map(|bucket| bucket.string(self.memory)).transpose()
    }

    /// The string, apart from the bucket; `None` when the bucket does not exist.
    pub(crate) fn owned_string(self) -> Result<Option<OwnedValue>, WrongType> {
        Ok(self.string()?.map(|value| self.owned_value(value)))
    }

    /// The reply that is a value of the bucket.
    #[inline]
    pub(crate) fn reply(self, value: Value<'s>) -> CommandResult<'s> {
        match value {
            Value::Bytes(bytes) => Ok(Reply::Value(bytes)),
            Value::Large(at) => large_reply(self.memory, at),
        }
    }

    /// The reply that is the string.
    #[inline(always)]
    pub(crate) fn string_reply(self) -> CommandResult<'s> {
        let Some(bucket) = self.bucket else { return Ok(Reply::NoBucket) };
        self.reply(bucket.string(self.memory)?)
    }

    /// How the string came to be.
    pub(crate) fn string_origin(self) -> Result<Option<Origin>, WrongType> {
        self.bucket.map(|bucket| bucket.string_origin(self.memory)).transpose()
    }

    /// The map; `None` when the bucket does not exist.
    #[inline]
    pub(crate) fn map(self) -> Result<Option<Map<'s>>, WrongType> {
        self.bucket.map(|bucket| bucket.map(self.memory)).transpose()
    }

    /// The entry of a field of the map.
    #[inline]
    pub(crate) fn field(self, field: &[u8]) -> Result<Option<Entry<'s>>, WrongType> {
        let Some(bucket) = self.bucket else { return Ok(None) };
        let entry = bucket.map(self.memory)?.get(self.lookup.field_hash(field, self.memory), field);
        Ok(entry.filter(|entry| !entry.is_expired(self.now_ms)))
    }

    /// The reply that is the value of a field.
    pub(crate) fn field_reply(self, field: &[u8]) -> CommandResult<'s> {
        match self.field(field)? {
            Some(entry) => self.reply(entry.value),
            None => Ok(Reply::NoKey),
        }
    }

    /// How many fields the map has.
    pub(crate) fn len(self) -> Result<usize, WrongType> {
        Ok(self.map()?.map_or(0, |map| map.len(self.now_ms)))
    }

    /// Whether a cursor is of this replica: of another one, it leads to the beginning.
    pub(crate) fn has_cursor(self, cursor: u64) -> bool {
        self.memory.order().position(cursor).is_some()
    }

    /// One page of the map's entries, from `cursor` on, and the cursor of the next page; 0 at the end. A scan
    /// of one replica returns no entry twice.
    pub(crate) fn entries(self, cursor: u64) -> Result<(Vec<Entry<'s>>, u64), WrongType> {
        self.entries_up_to(cursor, PAGE_NAMES)
    }

    /// One page of about `wanted` entries.
    pub(crate) fn entries_up_to(
        self,
        cursor: u64,
        wanted: usize,
    ) -> Result<(Vec<Entry<'s>>, u64), WrongType> {
        let Some(map) = self.map()? else { return Ok((Vec::new(), 0)) };
        let order = self.memory.order();
        let (mut entries, next) = map.entries(order.position(cursor).unwrap_or(0), wanted);
        entries.retain(|entry| !entry.is_expired(self.now_ms));
        Ok((entries, order.cursor(next)))
    }

    /// Bytes of memory that the bucket takes, in pages: those of the entries of one page, with those of the
    /// bucket itself on the first. `None` if it does not exist.
    pub(crate) fn memory_usage(self, cursor: u64) -> Option<(usize, u64)> {
        let bucket = self.bucket?;
        let own = if cursor == 0 { bucket.own_bytes(self.memory) } else { 0 };
        let Some(map) = self.map().ok().flatten().filter(|map| map.table().is_some()) else {
            return Some((own, 0));
        };
        let order = self.memory.order();
        let (entries, next) = map.entries(order.position(cursor).unwrap_or(0), PAGE_NAMES);
        let bytes =
            entries.iter().map(|entry| Arena::block_bytes(entry.size()) + entry.value.outside_bytes());
        Some((own + bytes.sum::<usize>(), order.cursor(next)))
    }

    /// Up to `wanted` random entries of the map, with duplicates, as long as what `projection` lists of them
    /// is within a page. Gives up after a bounded number of tries among slots that are vacant or hold expired
    /// entries.
    pub(crate) fn random_entries(
        self,
        projection: Projection,
        wanted: usize,
    ) -> Result<Vec<Entry<'s>>, WrongType> {
        let Some(map) = self.map()? else { return Ok(Vec::new()) };
        let (mut entries, mut bytes, mut misses) = (Vec::new(), 0, 0);
        while entries.len() < wanted && bytes < PAGE_BYTES && misses < RANDOM_MISSES {
            #[cfg(test)]
            crate::tests::work::touch(1);
            match map.random(self.now_ms) {
                Some(entry) => {
                    bytes += entry.key.len();
                    bytes += if projection == Projection::Keys { 0 } else { entry.value.len() };
                    entries.push(entry);
                }
                None => misses += 1,
            }
        }
        Ok(entries)
    }
}

/// A bucket that may or may not exist. Every change of a bucket goes through this type, which notifies
/// subscribers, invalidates watches, and keeps the registry up to date when the bucket moves to another
/// block.
#[derive(Debug)]
pub(crate) struct BucketMut<'s> {
    shard: &'s mut Shard,
    name: &'s [u8],
    lookup: Lookup<'s>,
    registered: Option<(NameSlot, Bucket)>,
    now_ms: u64,
}

/// Operations on a bucket of any type.
impl<'s> BucketMut<'s> {
    /// Looks the bucket up.
    #[inline]
    pub(crate) fn new(
        shard: &'s mut Shard,
        name: &'s [u8],
        lookup: Lookup<'s>,
        now_ms: u64,
    ) -> BucketMut<'s> {
        let registered = shard.registry.lookup(&shard.memory, lookup, name);
        BucketMut { shard, name, lookup, registered, now_ms }
    }

    /// Counts a read of the bucket as a hit or a miss.
    #[inline]
    pub(crate) fn count_lookup(&mut self) {
        self.shard.counters.lookups[usize::from(self.exists())] += 1;
    }

    /// A read-only view of the bucket.
    #[inline]
    pub(crate) fn view(&self) -> BucketRef<'_> {
        BucketRef {
            memory: &self.shard.memory,
            bucket: self.bucket(),
            lookup: self.lookup,
            now_ms: self.now_ms,
        }
    }

    /// A read-only view of the bucket that lives as long as the lock is held.
    #[inline]
    pub(crate) fn into_view(self) -> BucketRef<'s> {
        let bucket = self.bucket();
        BucketRef { memory: &self.shard.memory, bucket, lookup: self.lookup, now_ms: self.now_ms }
    }

    /// The bucket's name.
    pub(crate) fn name(&self) -> &'s [u8] {
        self.name
    }

    /// The time of this batch, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Whether the bucket exists.
    pub(crate) fn exists(&self) -> bool {
        self.registered.is_some()
    }

    /// The bucket, and the slot of its name.
    pub(crate) fn registered(&self) -> Option<(NameSlot, Bucket)> {
        self.registered
    }

    /// Adds a watcher of the bucket; returns the version that it has until it changes.
    pub(crate) fn watch(self, watcher: Watcher) -> Result<u64, CommandError> {
        let bucket = WatchedBucket::new(self.bucket(), &self.shard.memory, self.now_ms);
        self.shard.watches.watch(self.name, watcher, bucket, self.now_ms)
    }

    /// Removes a watcher of the bucket.
    pub(crate) fn unwatch(self, watcher: Watcher) {
        self.shard.watches.unwatch(self.name, watcher);
    }

    /// Sets the expiry of the bucket. If that is in the past, the bucket ends at once.
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
        let Some((slot, bucket)) = self.registered.take() else { return false };
        self.shard.end(slot, bucket, self.name, reason);
        true
    }

    /// Renames the bucket, which exists, and moves it from the registry to [`Shard::unregistered`], until
    /// [`Self::replace_with_unregistered`] registers it under its new name.
    pub(crate) fn detach_as(mut self, name: &[u8]) -> Result<(), CommandError> {
        let (keep, expires_at_ms) = (self.view().keeps_when_empty(), self.view().expires_at_ms());
        self.modify(|bucket, memory| bucket.set_head(memory, name, keep, expires_at_ms))?;
        if let Some((slot, bucket)) = self.registered {
            self.shard.registry.unregister(slot);
            self.shard.unregistered = Some(bucket);
        }
        Ok(())
    }

    /// Registers the shard's unregistered bucket, which has this name. A bucket that had the name before
    /// ends.
    pub(crate) fn replace_with_unregistered(&mut self) {
        let Some(bucket) = self.shard.unregistered.take() else { return };
        let old = self.registered;
        match old {
            Some((slot, _)) => self.shard.registry.set_bucket(slot, bucket),
            None => self.shard.registry.register(&self.shard.memory, self.lookup.name_hash, bucket),
        }
        self.registered = self.shard.registry.lookup(&self.shard.memory, self.lookup, self.name);
        self.note_expiry(bucket.earliest_expiry(&self.shard.memory));
        self.invalidate_watches();
        if let Some((_, old)) = old {
            self.shard.announce_end(self.name, EndReason::Dropped);
            self.shard.destroy(old);
        }
    }

    fn note_expiry(&mut self, expires_at_ms: Option<u64>) {
        if expires_at_ms.is_some() {
            self.shard.expiry_cursor.note_expiry();
        }
    }

    fn bucket(&self) -> Option<Bucket> {
        self.registered.map(|(_, bucket)| bucket)
    }

    fn register(&mut self, bucket: Bucket) {
        let Shard { registry, memory, .. } = &mut *self.shard;
        registry.register(memory, self.lookup.name_hash, bucket);
        self.registered = registry.lookup(memory, self.lookup, self.name);
        #[cfg(test)]
        crate::tests::failpoint::reach("registered");
    }

    /// Changes the bucket, which exists.
    fn modify<T, E: Into<CommandError>>(
        &mut self,
        change: impl FnOnce(&mut Bucket, &mut Memory) -> Result<T, E>,
    ) -> Result<T, CommandError> {
        let Some((_, before)) = self.registered else { unreachable!("only an existing bucket is modified") };
        let moving = Moving { bucket_mut: self, before };
        let Some((_, bucket)) = &mut moving.bucket_mut.registered else { unreachable!("it exists") };
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

/// The reply that is a large value.
#[cold]
#[inline(never)]
fn large_reply<'s>(memory: &Memory, at: LargeRef) -> CommandResult<'s> {
    Ok(memory.arena.value(at).clone().into())
}

/// Checks the name of a bucket, or of a field, that may be new.
#[inline]
pub(crate) fn check_name(name: &[u8]) -> Result<(), CommandError> {
    if name.len() > NAME_BYTES { Err(CommandError::NameTooLong) } else { Ok(()) }
}

/// A bucket that a change may move to another block. Dropping this updates the registry, even if the change
/// panics.
struct Moving<'a, 's> {
    bucket_mut: &'a mut BucketMut<'s>,
    before: Bucket,
}

impl Drop for Moving<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        if let Some((slot, bucket)) = self.bucket_mut.registered
            && bucket != self.before
        {
            self.bucket_mut.shard.registry.set_bucket(slot, bucket);
        }
    }
}

/// Operations on a map.
impl BucketMut<'_> {
    /// Creates an empty map that stays when its last field goes. An existing map is kept, and stays from now
    /// on.
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

    /// Sets a field of the map, and creates the map if it does not exist. Returns whether the field is new.
    pub(crate) fn set_field(
        &mut self,
        field: &[u8],
        value: &[u8],
        expires_at_ms: Option<u64>,
    ) -> Result<bool, CommandError> {
        check_name(field)?;
        if !self.exists() {
            self.create_map(false)?;
        }
        self.note_expiry(expires_at_ms);
        if LargeValue::holds(value.len()) {
            return self.set_large_field(field, value, expires_at_ms);
        }
        let result = self.put(Entry { key: field, value: Value::Bytes(value), expires_at_ms });
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

    /// Ends the map if it is empty, unless it was created to stay.
    pub(crate) fn end_if_empty(&mut self) {
        if self.is_to_end() {
            self.end(EndReason::Dropped);
        }
    }

    fn is_to_end(&self) -> bool {
        self.exists() && self.view().len() == Ok(0) && !self.view().keeps_when_empty()
    }

    /// Sets the expiry of a field of the map, if the field exists.
    pub(crate) fn set_field_expiry(
        &mut self,
        field: &[u8],
        expires_at_ms: Option<u64>,
    ) -> Result<(), CommandError> {
        let Some(entry) = self.view().field(field)? else { return Ok(()) };
        let copied = entry.value.small().map(<[u8]>::to_vec);
        let large = entry.value.large().map(Value::Large);
        self.note_expiry(expires_at_ms);
        let value = large.unwrap_or(Value::Bytes(copied.as_deref().unwrap_or_default()));
        self.put(Entry { key: field, value, expires_at_ms })?;
        self.invalidate_watches();
        Ok(())
    }

    /// Creates a map, which does not exist, for the entries that will be loaded.
    pub(crate) fn load_map(
        &mut self,
        keep_when_empty: bool,
        expires_at_ms: Option<u64>,
    ) -> Result<(), CommandError> {
        self.note_expiry(expires_at_ms);
        let memory = &mut self.shard.memory;
        let bucket = Bucket::create_map(memory, self.name, keep_when_empty, expires_at_ms)?;
        self.register(bucket);
        Ok(())
    }

    fn create_map(&mut self, keep_when_empty: bool) -> Result<(), CommandError> {
        check_name(self.name)?;
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

/// Operations on a string.
impl BucketMut<'_> {
    /// Sets the string and its expiry. Replaces a bucket of another type.
    pub(crate) fn set_string(
        &mut self,
        value: &[u8],
        expires_at_ms: Option<u64>,
    ) -> Result<(), CommandError> {
        if LargeValue::holds(value.len()) {
            return self.set_large_string(value, expires_at_ms);
        }
        let is_overwritten = expires_at_ms.is_none()
            && self.bucket().is_some_and(|bucket| bucket.overwrite_string(&mut self.shard.memory, value));
        if !is_overwritten {
            self.set_stored_string(Value::Bytes(value), expires_at_ms)?;
        }
        let name = self.name;
        self.notify(|| Change::Set { key: name.into(), value: value.into() });
        Ok(())
    }

    #[inline(never)]
    fn set_stored_string(
        &mut self,
        value: Value<'_>,
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
            check_name(name)?;
            let bucket = Bucket::create_string(&mut self.shard.memory, name, value, expires_at_ms)?;
            self.register(bucket);
        }
        Ok(())
    }

    /// Sets how the string came to be, which only OBJECT ENCODING shows.
    pub(crate) fn set_string_origin(&mut self, origin: Origin) {
        if let Some(bucket) = self.bucket() {
            bucket.set_string_origin(&mut self.shard.memory, origin);
        }
    }

    /// Writes into the string, from `offset` on, with zeros between its end and `offset`.
    pub(crate) fn write_string(&mut self, offset: usize, bytes: &[u8]) -> Result<(), CommandError> {
        self.view().string()?;
        let copied = self.shard.prepared.take_for(bytes, offset)?;
        let name = self.name;
        if !self.exists() {
            check_name(name)?;
            let bucket = Bucket::create_string(&mut self.shard.memory, name, Value::Bytes(b""), None)?;
            self.register(bucket);
        }
        self.modify(|bucket, memory| bucket.write_string(memory, offset, bytes, copied.as_ref()))?;
        self.notify_string();
        Ok(())
    }

    /// Notifies of a change of the string, whose value is read only if there are subscribers.
    fn notify_string(&mut self) {
        self.invalidate_watches();
        let Some((_, bucket)) = self.registered else { return };
        let (memory, name) = (&self.shard.memory, self.name);
        let len = bucket.string(memory).map_or(0, Value::len);
        self.shard.subscribers.notify_set(name, len, || {
            let value = match bucket.string(memory) {
                Ok(Value::Bytes(bytes)) => bytes.into(),
                Ok(Value::Large(at)) => memory.arena.value(at).to_vec().into(),
                Err(WrongType) => Box::default(),
            };
            Change::Set { key: name.into(), value }
        });
    }
}
