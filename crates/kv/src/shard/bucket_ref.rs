//! A bucket as a command reads it. Expired entries are left out.

use crate::{
    bucket::{Bucket, Kind, WrongType, map::Map},
    limits::PAGE_NAMES,
    memory::{Memory, entry::Entry},
    shard::registry::Lookup,
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
    pub(crate) fn string(self) -> Result<Option<&'s [u8]>, WrongType> {
        self.bucket.map(|bucket| bucket.string(self.memory)).transpose()
    }

    /// The map; `None` when the bucket does not exist.
    #[inline]
    pub(crate) fn map(self) -> Result<Option<Map<'s>>, WrongType> {
        self.bucket.map(|bucket| bucket.map(self.memory)).transpose()
    }

    /// Whether the bucket is a map whose entries are stored in a table.
    pub(crate) fn has_table(self) -> bool {
        self.map().is_ok_and(|map| map.is_some_and(|map| map.table().is_some()))
    }

    /// The entry of a field of the map.
    #[inline]
    pub(crate) fn field(self, field: &[u8]) -> Result<Option<Entry<'s>>, WrongType> {
        let Some(bucket) = self.bucket else { return Ok(None) };
        let entry = bucket.map(self.memory)?.get(self.lookup.field_hash(field, self.memory), field);
        Ok(entry.filter(|entry| !entry.is_expired(self.now_ms)))
    }

    /// How many fields the map has.
    pub(crate) fn len(self) -> Result<usize, WrongType> {
        Ok(self.map()?.map_or(0, |map| map.len(self.now_ms)))
    }

    /// One page of the map's entries, from `cursor` on, and the cursor of the next page; 0 at the end. A scan
    /// returns no entry twice.
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
        let (mut entries, next) = map.entries(cursor, wanted);
        entries.retain(|entry| !entry.is_expired(self.now_ms));
        Ok((entries, next))
    }

    /// A random entry of the map.
    pub(crate) fn random(self) -> Result<Option<Entry<'s>>, WrongType> {
        let Some(map) = self.map()? else { return Ok(None) };
        if let Some(entry) = map.random(self.now_ms) {
            return Ok(Some(entry));
        }
        let (mut cursor, mut entries) = (0, Vec::new());
        loop {
            let (page, next) = self.entries_up_to(cursor, 1)?;
            entries.extend(page);
            if next == 0 || !entries.is_empty() {
                return Ok(fastrand::choice(entries));
            }
            cursor = next;
        }
    }
}
