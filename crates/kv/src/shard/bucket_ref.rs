//! What a command sees of the bucket that it names, at one moment: nothing of it has expired.

use crate::{
    bucket::{Bucket, Contents, WrongType},
    limits::PAGE_NAMES,
    memory::Memory,
    memory::entry::Entry,
    shard::lookup::Lookup,
};

/// A look at a bucket that may be there or not. What it shows lives as long as the shard's lock is held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BucketRef<'s> {
    pub(crate) memory: &'s Memory,
    pub(crate) bucket: Option<Bucket>,
    pub(crate) look: Lookup<'s>,
    pub(crate) now: u64,
}

impl<'s> BucketRef<'s> {
    /// What the bucket holds; `None` when it is not there.
    pub(crate) fn contents(self) -> Option<Contents<'s>> {
        self.bucket.map(|bucket| bucket.contents(self.memory))
    }

    /// The single value.
    #[inline]
    pub(crate) fn text(self) -> Result<Option<&'s [u8]>, WrongType> {
        self.bucket.map(|bucket| bucket.text(self.memory)).transpose()
    }

    /// The map; `None` when the bucket is not there.
    pub(crate) fn map(self) -> Result<Option<Bucket>, WrongType> {
        match self.bucket {
            Some(bucket) if bucket.is_map(self.memory) => Ok(Some(bucket)),
            Some(_) => Err(WrongType),
            None => Ok(None),
        }
    }

    /// The entry of a field of the map.
    #[inline]
    pub(crate) fn field(self, field: &[u8]) -> Result<Option<Entry<'s>>, WrongType> {
        let Some(bucket) = self.bucket else { return Ok(None) };
        let entry = bucket.get(self.memory, self.look.hash(field, self.memory), field)?;
        Ok(entry.filter(|entry| !entry.is_over(self.now)))
    }

    /// How many fields the map has.
    pub(crate) fn len(self) -> Result<usize, WrongType> {
        Ok(self.map()?.map_or(0, |bucket| bucket.len(self.memory, self.now)))
    }

    /// One page of the map's entries, from `cursor` on, and the cursor of the next; 0 at the end. No walk meets an
    /// entry twice.
    pub(crate) fn entries(self, cursor: u64) -> Result<(Vec<Entry<'s>>, u64), WrongType> {
        self.few_entries(cursor, PAGE_NAMES)
    }

    /// One page of about `wanted` entries.
    pub(crate) fn few_entries(self, cursor: u64, wanted: usize) -> Result<(Vec<Entry<'s>>, u64), WrongType> {
        let Some(bucket) = self.map()? else { return Ok((Vec::new(), 0)) };
        let (mut entries, next) = bucket.entries(self.memory, cursor, wanted);
        entries.retain(|entry| !entry.is_over(self.now));
        Ok((entries, next))
    }

    /// An entry of the map, chosen at random.
    pub(crate) fn random(self) -> Result<Option<Entry<'s>>, WrongType> {
        let Some(bucket) = self.map()? else { return Ok(None) };
        if let Some(entry) = bucket.random(self.memory, self.now) {
            return Ok(Some(entry));
        }
        let (mut cursor, mut entries) = (0, Vec::new());
        loop {
            let (page, next) = self.few_entries(cursor, 1)?;
            entries.extend(page);
            if next == 0 || !entries.is_empty() {
                return Ok(fastrand::choice(entries));
            }
            cursor = next;
        }
    }

    /// Whether the bucket stays when its last field goes.
    pub(crate) fn is_kept(self) -> bool {
        self.bucket.is_some_and(|bucket| bucket.is_kept(self.memory))
    }

    /// When the bucket expires, in milliseconds since 1970.
    pub(crate) fn expires(self) -> Option<u64> {
        self.bucket.and_then(|bucket| bucket.expires(self.memory))
    }
}
