//! What a command sees of the bucket that it names, at one moment: nothing of it has expired.

use crate::{
    Refusal,
    bucket::{Bucket, Contents},
    entry::Entry,
    memory::Memory,
};

/// A look at a bucket that may be there or not. What it shows lives as long as the shard's lock is held.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'s> {
    pub(crate) memory: &'s Memory,
    pub(crate) bucket: Option<Bucket>,
    pub(crate) now: u64,
}

impl<'s> View<'s> {
    /// What the bucket holds; `None` when it is not there.
    pub(crate) fn contents(self) -> Option<Contents<'s>> {
        self.bucket.map(|bucket| bucket.contents(self.memory))
    }

    /// The single value.
    pub(crate) fn text(self) -> Result<Option<&'s [u8]>, Refusal> {
        match self.contents() {
            None => Ok(None),
            Some(Contents::Text(value)) => Ok(Some(value)),
            Some(Contents::Map { .. }) => Err(Refusal::WrongType),
        }
    }

    /// The map; `None` when the bucket is not there.
    pub(crate) fn map(self) -> Result<Option<Bucket>, Refusal> {
        match self.bucket {
            Some(bucket) if bucket.is_map(self.memory) => Ok(Some(bucket)),
            Some(_) => Err(Refusal::WrongType),
            None => Ok(None),
        }
    }

    /// The entry of a field of the map.
    pub(crate) fn field(self, field: &[u8]) -> Result<Option<Entry<'s>>, Refusal> {
        let entry = self.map()?.and_then(|bucket| bucket.get(self.memory, field));
        Ok(entry.filter(|entry| !entry.is_over(self.now)))
    }

    /// How many fields the map has.
    pub(crate) fn len(self) -> Result<usize, Refusal> {
        match self.contents() {
            None => Ok(0),
            Some(Contents::Map { compact: true, .. }) => Ok(self.entries(0)?.0.len()),
            Some(Contents::Map { len, .. }) => Ok(len),
            Some(Contents::Text(_)) => Err(Refusal::WrongType),
        }
    }

    /// One page of the map's entries, from `cursor` on, and the cursor of the next; 0 at the end.
    pub(crate) fn entries(self, cursor: u64) -> Result<(Vec<Entry<'s>>, u64), Refusal> {
        let Some(bucket) = self.map()? else { return Ok((Vec::new(), 0)) };
        let (mut entries, next) = bucket.entries(self.memory, cursor);
        entries.retain(|entry| !entry.is_over(self.now));
        Ok((entries, next))
    }

    /// When the bucket expires, in milliseconds since 1970.
    pub(crate) fn expires(self) -> Option<u64> {
        self.bucket.and_then(|bucket| bucket.expires(self.memory))
    }
}
