//! Large values of buckets, apart from the operations on others, which they must not slow down.

use super::{BucketMut, BucketRef, CommandError, Entry};
use crate::{
    memory::{budget::Budget, entry::Value, large::LargeValue},
    pubsub::bucket_changes::Change,
    reply::OwnedValue,
};

impl<'s> BucketRef<'s> {
    /// A value of the bucket, apart from it.
    pub(crate) fn owned_value(self, value: Value<'s>) -> OwnedValue {
        match value {
            Value::Bytes(bytes) => OwnedValue::Bytes(bytes.to_vec()),
            Value::Large(at) => OwnedValue::Large(Box::new(self.memory.arena.value(at).clone())),
        }
    }
}

impl BucketMut<'_> {
    /// Whether there is no memory for `bytes` more. Fewer than a large value has always fit.
    pub(crate) fn lacks_memory(&self, budget: &Budget, bytes: usize) -> bool {
        let (used, accounted) = (self.shard.used_bytes(), self.shard.accounted_bytes);
        LargeValue::holds(bytes) && budget.lacks_in_shard(bytes, used, accounted)
    }

    /// Has `set` store a large value, which becomes one of the arena's unless it fails.
    #[cold]
    fn store_large<T>(
        &mut self,
        value: &[u8],
        set: impl FnOnce(&mut Self, Value<'_>) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        u32::try_from(value.len()).map_err(|_| CommandError::StringTooLong)?;
        let large = match self.shard.prepared.take(value) {
            Some(prepared) => prepared,
            None => LargeValue::copy_of(value)?,
        };
        self.add_large(large, set)
    }

    fn add_large<T>(
        &mut self,
        large: LargeValue,
        set: impl FnOnce(&mut Self, Value<'_>) -> Result<T, CommandError>,
    ) -> Result<T, CommandError> {
        let stored = Value::Large(self.shard.memory.arena.add_value(large));
        let result = set(self, stored);
        if result.is_err() {
            self.shard.memory.arena.free_value(stored);
        }
        result
    }

    /// Sets a field as [`Self::set_field`] does.
    #[cold]
    pub(super) fn set_large_field(
        &mut self,
        field: &[u8],
        value: &[u8],
        expires_at_ms: Option<u64>,
    ) -> Result<bool, CommandError> {
        let result =
            self.store_large(value, |bucket, value| bucket.put(Entry { key: field, value, expires_at_ms }));
        if result.is_err() {
            self.end_if_empty();
        }
        let is_new = result?;
        self.invalidate_watches();
        let change = || Change::Set { key: field.into(), value: value.into() };
        self.shard.subscribers.notify_set(self.name, value.len(), change);
        Ok(is_new)
    }

    /// Sets the string as [`Self::set_string`] does.
    #[cold]
    pub(super) fn set_large_string(
        &mut self,
        value: &[u8],
        expires_at_ms: Option<u64>,
    ) -> Result<(), CommandError> {
        self.store_large(value, |bucket, stored| bucket.set_stored_string(stored, expires_at_ms))?;
        self.notify_string();
        Ok(())
    }

    /// Sets the string and its expiry, as [`Self::set_string`] does.
    pub(crate) fn set_owned_string(
        &mut self,
        value: OwnedValue,
        expires_at_ms: Option<u64>,
    ) -> Result<(), CommandError> {
        match value {
            OwnedValue::Bytes(bytes) => self.set_string(&bytes, expires_at_ms),
            OwnedValue::Large(value) => {
                self.add_large(*value, |bucket, stored| bucket.set_stored_string(stored, expires_at_ms))?;
                self.notify_string();
                Ok(())
            }
        }
    }
}
