//! The bucket that a command names, to be looked at and to be changed.

use crate::{
    CommandError,
    bucket::Bucket,
    budget::Budget,
    memory::entry::Entry,
    pubsub::bucket_changes::{Change, EndReason},
    shard::Shard,
    shard::bucket_ref::BucketRef,
    shard::lookup::Lookup,
    shard::registry::Registration,
};

/// A bucket that may be there or not. All changes go through here: they are told to subscribers, seen by those who
/// watch the bucket, and noted in the registry when they move it.
#[derive(Debug)]
pub(crate) struct BucketMut<'s> {
    shard: &'s mut Shard,
    name: &'s [u8],
    look: Lookup<'s>,
    found: Option<(Registration, Bucket)>,
    now_ms: u64,
}

impl<'s> BucketMut<'s> {
    /// Looks the bucket up. One that has expired is ended, and is not there.
    #[inline]
    pub(crate) fn new(shard: &'s mut Shard, name: &'s [u8], look: Lookup<'s>, now_ms: u64) -> BucketMut<'s> {
        let found = shard.registry.lookup(&shard.memory, look, name);
        let mut target = BucketMut { shard, name, look, found, now_ms };
        let is_over = |(_, bucket): (_, Bucket)| bucket.is_expired(&target.shard.memory, now_ms);
        if target.shard.sweep.is_wanted && found.is_some_and(is_over) {
            target.end(EndReason::Expired);
        }
        target
    }

    /// The bucket as it is now.
    #[inline]
    pub(crate) fn view(&self) -> BucketRef<'_> {
        BucketRef { memory: &self.shard.memory, bucket: self.bucket(), look: self.look, now_ms: self.now_ms }
    }

    /// The bucket as it is after the last change, for as long as the lock is held.
    #[inline]
    pub(crate) fn into_view(self) -> BucketRef<'s> {
        let bucket = self.bucket();
        BucketRef { memory: &self.shard.memory, bucket, look: self.look, now_ms: self.now_ms }
    }

    /// The time of this batch, in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Whether all buckets together hold more than they may.
    pub(crate) fn exceeds(&self, budget: &Budget) -> bool {
        budget.is_exceeded(self.shard.used_bytes(), self.shard.noted)
    }

    /// Whether the bucket is there.
    pub(crate) fn exists(&self) -> bool {
        self.found.is_some()
    }

    /// The bucket and where it is registered.
    pub(crate) fn found(&self) -> Option<(Registration, Bucket)> {
        self.found
    }

    /// A number that changes with the bucket.
    pub(crate) fn watch(self) -> u64 {
        self.shard.watched.watch(self.name)
    }

    /// Starts an empty map that stays when its last field goes; one that is there now stays too.
    pub(crate) fn create(&mut self) -> Result<(), CommandError> {
        if self.view().map()?.is_none() {
            self.start_map(true)?;
            self.touched();
        } else if !self.view().keeps_when_empty() {
            let (name, expires_at_ms) = (self.name, self.view().expires_at_ms());
            self.change(|bucket, shard| bucket.set_head(&mut shard.memory, name, true, expires_at_ms))?;
        }
        Ok(())
    }

    /// Sets a field of the map, which is started if it is not there. Returns whether the field is new.
    pub(crate) fn set_field(
        &mut self,
        field: &[u8],
        value: &[u8],
        expires_at_ms: Option<u64>,
    ) -> Result<bool, CommandError> {
        if !self.exists() {
            self.start_map(false)?;
        }
        self.will_expire(expires_at_ms);
        let outcome = self.put(Entry { key: field, value, expires_at_ms });
        if outcome.is_err() {
            self.end_if_empty();
        }
        let is_new = outcome?;
        self.tell(|| Change::Set { key: field.into(), value: value.into() });
        Ok(is_new)
    }

    /// Forgets a field of the map; `false` when it was not there.
    pub(crate) fn delete_field(&mut self, field: &[u8]) -> Result<bool, CommandError> {
        let was_there = self.exists() && self.delete(field)?;
        if was_there {
            self.tell(|| Change::Deleted { key: field.into() });
        }
        Ok(was_there)
    }

    /// Ends the map when nothing is left in it and nobody has said that it stays.
    pub(crate) fn end_if_empty(&mut self) {
        if self.exists() && self.view().len() == Ok(0) && !self.view().keeps_when_empty() {
            self.end(EndReason::Dropped);
        }
    }

    /// Sets when a field of the map, which is there, expires.
    pub(crate) fn set_field_expiry(
        &mut self,
        field: &[u8],
        expires_at_ms: Option<u64>,
    ) -> Result<(), CommandError> {
        let Some(entry) = self.view().field(field)? else { return Ok(()) };
        let value = entry.value.to_vec();
        self.will_expire(expires_at_ms);
        self.put(Entry { key: field, value: &value, expires_at_ms })?;
        self.touched();
        Ok(())
    }

    /// Forgets fields that have expired, so many at most, and the map with the last of them. Returns how many there were.
    pub(crate) fn delete_expired(&mut self, limit: usize) -> usize {
        let Some((_, bucket)) = self.found else { return 0 };
        let expired = bucket.expired(&self.shard.memory, self.now_ms, limit);
        let fields: Vec<Box<[u8]>> = expired.iter().map(|entry| entry.key.into()).collect();
        for field in &fields {
            if self.delete(field).is_ok() {
                self.tell(|| Change::Deleted { key: field.clone() });
            }
        }
        self.end_if_empty();
        fields.len()
    }

    /// Sets the single value and when it expires. A map of the same name is replaced.
    pub(crate) fn set_string(
        &mut self,
        value: &[u8],
        expires_at_ms: Option<u64>,
    ) -> Result<(), CommandError> {
        let name = self.name;
        self.will_expire(expires_at_ms);
        if self.exists() {
            let set = |bucket: &mut Bucket, shard: &mut Shard| {
                bucket.set_string(&mut shard.memory, name, value, expires_at_ms)
            };
            let outcome = self.change(set);
            if outcome == Err(CommandError::WrongType) {
                self.end(EndReason::Dropped);
            } else {
                outcome?;
            }
        }
        if !self.exists() {
            let bucket = Bucket::create_string(&mut self.shard.memory, name, value, expires_at_ms)?;
            self.register(bucket);
        }
        self.tell(|| Change::Set { key: name.into(), value: value.into() });
        Ok(())
    }

    /// Writes into the single value, from `offset` on, with zeros between its end and `offset`.
    pub(crate) fn write_string(&mut self, offset: usize, bytes: &[u8]) -> Result<(), CommandError> {
        self.view().string()?;
        if !self.exists() {
            let bucket = Bucket::create_string(&mut self.shard.memory, self.name, b"", None)?;
            self.register(bucket);
        }
        self.change(|bucket, shard| bucket.write_string(&mut shard.memory, offset, bytes))?;
        self.touched();
        let (name, bucket) = (self.name, self.bucket());
        let Shard { supervisor, memory, .. } = &mut *self.shard;
        supervisor.publish(name, || {
            let Some(Ok(value)) = bucket.map(|bucket| bucket.string(memory)) else {
                unreachable!("a single value was written into")
            };
            Change::Set { key: name.into(), value: value.into() }
        });
        Ok(())
    }

    /// Sets when the bucket expires. One whose time has come ends at once.
    pub(crate) fn set_expiry(&mut self, expires_at_ms: Option<u64>) -> Result<(), CommandError> {
        if !self.exists() {
            return Ok(());
        }
        if expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= self.now_ms) {
            self.end(EndReason::Expired);
            return Ok(());
        }
        self.will_expire(expires_at_ms);
        let (name, kept) = (self.name, self.view().keeps_when_empty());
        self.change(|bucket, shard| bucket.set_head(&mut shard.memory, name, kept, expires_at_ms))?;
        self.touched();
        Ok(())
    }

    /// Ends the bucket; `false` when it was not there.
    pub(crate) fn end(&mut self, reason: EndReason) -> bool {
        let Some((registration, bucket)) = self.found.take() else { return false };
        self.touched();
        self.shard.end(registration, bucket, self.name, reason);
        true
    }

    /// Gives the bucket, which is there, another name, under which it is still to be registered.
    pub(crate) fn rename(mut self, name: &[u8]) -> Result<Bucket, CommandError> {
        let (kept, expires_at_ms) = (self.view().keeps_when_empty(), self.view().expires_at_ms());
        let bucket = self.change(|bucket, shard| {
            bucket.set_head(&mut shard.memory, name, kept, expires_at_ms).map(|()| *bucket)
        })?;
        if let Some((registration, _)) = self.found {
            self.shard.forget(registration, self.name);
        }
        Ok(bucket)
    }

    /// Registers a bucket that has this name. One that is there now ends.
    pub(crate) fn adopt(&mut self, bucket: Bucket) {
        self.end(EndReason::Dropped);
        self.will_expire(bucket.first_expiry(&self.shard.memory));
        self.register(bucket);
        self.touched();
    }

    fn will_expire(&mut self, expires_at_ms: Option<u64>) {
        if expires_at_ms.is_some() {
            self.shard.sweep.expect();
        }
    }

    fn bucket(&self) -> Option<Bucket> {
        self.found.map(|(_, bucket)| bucket)
    }

    fn start_map(&mut self, kept: bool) -> Result<(), CommandError> {
        let bucket = Bucket::start(&mut self.shard.memory, self.name, kept)?;
        self.register(bucket);
        Ok(())
    }

    fn register(&mut self, bucket: Bucket) {
        let Shard { registry, memory, .. } = &mut *self.shard;
        registry.register(memory, self.look.name, bucket);
        self.found = registry.lookup(memory, self.look, self.name);
    }

    fn put(&mut self, entry: Entry<'_>) -> Result<bool, CommandError> {
        let (hash, now_ms) = (self.look.hash(entry.key, &self.shard.memory), self.now_ms);
        self.change(|bucket, shard| bucket.put(&mut shard.memory, hash, entry, now_ms))
    }

    fn delete(&mut self, field: &[u8]) -> Result<bool, CommandError> {
        let (hash, now_ms) = (self.look.hash(field, &self.shard.memory), self.now_ms);
        self.change(|bucket, shard| bucket.delete(&mut shard.memory, hash, field, now_ms))
    }

    /// Changes the bucket, which is there, and tells the registry when that moved it to another block.
    fn change<T, E: Into<CommandError>>(
        &mut self,
        change: impl FnOnce(&mut Bucket, &mut Shard) -> Result<T, E>,
    ) -> Result<T, CommandError> {
        let Some((registration, bucket)) = &mut self.found else {
            unreachable!("only a bucket that is there changes")
        };
        let before = *bucket;
        let outcome = change(bucket, self.shard);
        if *bucket != before {
            self.shard.registry.moved(*registration, *bucket);
        }
        outcome.map_err(Into::into)
    }

    fn tell(&mut self, change: impl FnOnce() -> Change) {
        self.touched();
        self.shard.supervisor.publish(self.name, change);
    }

    fn touched(&mut self) {
        self.shard.watched.forget(self.name);
    }
}
