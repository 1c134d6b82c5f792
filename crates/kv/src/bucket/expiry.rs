//! What of a bucket has expired, and what will.

use super::{
    Bucket,
    layout::{Body, walk},
};
use crate::{memory::Memory, memory::entry::Entry};

impl Bucket {
    /// How many entries have not expired.
    pub(crate) fn len(self, memory: &Memory, now_ms: u64) -> usize {
        match self.block(memory).body {
            Body::Compact(entries) => walk(entries).filter(|(_, entry)| !entry.is_expired(now_ms)).count(),
            Body::Table(number) => memory.table(number).len() - memory.expiries.over_count(number, now_ms),
            Body::Str(_) => 0,
        }
    }

    /// Whether its time has come, or that of the last of its entries.
    pub(crate) fn is_expired(self, memory: &Memory, now_ms: u64) -> bool {
        let block = self.block(memory);
        if let Some(expires_at_ms) = block.head.expires_at_ms
            && expires_at_ms <= now_ms
        {
            return true;
        }
        if block.head.kept {
            return false;
        }
        match block.body {
            Body::Compact(entries) => {
                !entries.is_empty() && walk(entries).all(|(_, entry)| entry.is_expired(now_ms))
            }
            Body::Table(number) => {
                let over = memory.expiries.over_count(number, now_ms);
                over > 0 && over == memory.table(number).len()
            }
            Body::Str(_) => false,
        }
    }

    /// When the bucket or the first of its entries expires.
    pub(crate) fn first_expiry(self, memory: &Memory) -> Option<u64> {
        let block = self.block(memory);
        let of_entries = match block.body {
            Body::Compact(entries) => walk(entries).filter_map(|(_, entry)| entry.expires_at_ms).min(),
            Body::Table(number) => memory.expiries.first(number),
            Body::Str(_) => None,
        };
        block.head.expires_at_ms.into_iter().chain(of_entries).min()
    }

    /// Entries that have expired, so many at most.
    pub(crate) fn expired(self, memory: &Memory, now_ms: u64, limit: usize) -> Vec<Entry<'_>> {
        match self.block(memory).body {
            Body::Compact(entries) => {
                let over = walk(entries).map(|(_, entry)| entry).filter(|entry| entry.is_expired(now_ms));
                over.take(limit).collect()
            }
            Body::Table(number) => {
                let over = memory.expiries.over(number, now_ms).take(limit);
                over.map(|handle| memory.entry(handle)).collect()
            }
            Body::Str(_) => Vec::new(),
        }
    }
}
