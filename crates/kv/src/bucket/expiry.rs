//! When a bucket and its entries expire, and which entries have expired.

use super::{Bucket, Entries, inline_entries, map::Map};
use crate::memory::{Memory, entry::Entry};

impl Bucket {
    /// Whether it has expired by `now_ms`, or the last of its entries has.
    pub(crate) fn is_expired(self, memory: &Memory, now_ms: u64) -> bool {
        let block = self.block(memory);
        if block.head.expires_at_ms.is_some_and(|expires_at_ms| expires_at_ms <= now_ms) {
            return true;
        }
        !block.head.keep_when_empty && self.map(memory).is_ok_and(|map| map.is_expired(now_ms))
    }

    /// When it expires, or the first of its entries does.
    pub(crate) fn earliest_expiry(self, memory: &Memory) -> Option<u64> {
        let of_entries = self.map(memory).ok().and_then(Map::earliest_expiry);
        self.expires_at_ms(memory).into_iter().chain(of_entries).min()
    }

    /// When it expires, or the first of its entries that has not expired does.
    pub(crate) fn next_expiry(self, memory: &Memory, now_ms: u64) -> Option<u64> {
        let of_entries = self.map(memory).ok().and_then(|map| map.next_expiry(now_ms));
        self.expires_at_ms(memory).into_iter().chain(of_entries).min()
    }
}

impl<'m> Map<'m> {
    /// How many entries have not expired.
    pub(crate) fn len(self, now_ms: u64) -> usize {
        match self.entries {
            Entries::Inline(entries) => {
                inline_entries(entries).filter(|(_, entry)| !entry.is_expired(now_ms)).count()
            }
            Entries::Table(id) => {
                self.memory.table(id).len() - self.memory.expiries.expired_count(id, now_ms)
            }
        }
    }

    /// Whether there are entries, and all of them have expired.
    fn is_expired(self, now_ms: u64) -> bool {
        match self.entries {
            Entries::Inline(entries) => {
                !entries.is_empty() && inline_entries(entries).all(|(_, entry)| entry.is_expired(now_ms))
            }
            Entries::Table(id) => {
                let expired = self.memory.expiries.expired_count(id, now_ms);
                expired > 0 && expired == self.memory.table(id).len()
            }
        }
    }

    /// When the first of the entries expires.
    fn earliest_expiry(self) -> Option<u64> {
        match self.entries {
            Entries::Inline(entries) => {
                inline_entries(entries).filter_map(|(_, entry)| entry.expires_at_ms).min()
            }
            Entries::Table(id) => self.memory.expiries.earliest(id),
        }
    }

    /// When the first of the entries expires that has not expired.
    fn next_expiry(self, now_ms: u64) -> Option<u64> {
        match self.entries {
            Entries::Inline(entries) => {
                let expiries = inline_entries(entries).filter_map(|(_, entry)| entry.expires_at_ms);
                expiries.filter(|expires_at_ms| *expires_at_ms > now_ms).min()
            }
            Entries::Table(id) => self.memory.expiries.next(id, now_ms),
        }
    }

    /// Entries that have expired, up to `limit`.
    pub(crate) fn expired(self, now_ms: u64, limit: usize) -> Vec<Entry<'m>> {
        match self.entries {
            Entries::Inline(entries) => {
                let entries = inline_entries(entries).map(|(_, entry)| entry);
                entries.filter(|entry| entry.is_expired(now_ms)).take(limit).collect()
            }
            Entries::Table(id) => {
                let handles = self.memory.expiries.expired(id, now_ms).take(limit);
                handles.map(|handle| self.memory.entry(handle)).collect()
            }
        }
    }
}
