//! An index of the entries of tables by their expiry, so that expired entries are found without a search of
//! the whole table.

use crate::{
    limits::{EXPIRY_BYTES, RECLAIM_EXPIRIES},
    memory::arena::Handle,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
};

/// The entries that expire, by the id of their table.
#[derive(Debug, Default)]
pub(crate) struct ExpiryIndex {
    tables: BTreeMap<u32, TableExpiries>,
    /// Those of removed tables, to be freed.
    detached: Vec<TableExpiries>,
    /// Bytes of memory that all of them take.
    bytes: usize,
}

/// The entries of one table that expire.
#[derive(Debug, Default)]
struct TableExpiries {
    entries: BTreeSet<(u64, Handle)>,
    /// How many entries expire in each millisecond, so that counting is fast when many expire together.
    counts: BTreeMap<u64, usize>,
}

impl TableExpiries {
    /// Bytes of memory.
    fn bytes(&self) -> usize {
        (self.entries.len() + self.counts.len()) * EXPIRY_BYTES
    }
}

impl ExpiryIndex {
    /// Bytes of memory, those of removed tables included.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of memory of one table's part.
    pub(crate) fn table_bytes(&self, table: u32) -> usize {
        self.tables.get(&table).map_or(0, TableExpiries::bytes)
    }

    /// How many tables have entries that expire.
    pub(crate) fn table_count(&self) -> usize {
        self.tables.len()
    }

    /// Adds an entry of a table, if it expires.
    pub(crate) fn add(&mut self, table: u32, handle: Handle, expires_at_ms: Option<u64>) {
        if let Some(expires_at_ms) = expires_at_ms {
            let expiries = self.tables.entry(table).or_default();
            self.bytes -= expiries.bytes();
            expiries.entries.insert((expires_at_ms, handle));
            *expiries.counts.entry(expires_at_ms).or_default() += 1;
            self.bytes += expiries.bytes();
        }
    }

    /// Removes an entry of a table.
    pub(crate) fn remove(&mut self, table: u32, handle: Handle, expires_at_ms: Option<u64>) {
        let Some(expires_at_ms) = expires_at_ms else { return };
        let Some(expiries) = self.tables.get_mut(&table) else { return };
        self.bytes -= expiries.bytes();
        expiries.entries.remove(&(expires_at_ms, handle));
        if let Some(count) = expiries.counts.get_mut(&expires_at_ms) {
            *count -= 1;
            if *count == 0 {
                expiries.counts.remove(&expires_at_ms);
            }
        }
        self.bytes += expiries.bytes();
        if expiries.entries.is_empty() {
            self.tables.remove(&table);
        }
    }

    /// Removes a table; [`Self::reclaim_some`] frees its part of the index.
    pub(crate) fn remove_table(&mut self, table: u32) {
        self.detached.extend(self.tables.remove(&table));
    }

    /// Whether a part of the index of removed tables is left to free.
    pub(crate) fn has_detached(&self) -> bool {
        !self.detached.is_empty()
    }

    /// Frees a bounded part of the index of removed tables.
    pub(crate) fn reclaim_some(&mut self) {
        let Some(expiries) = self.detached.last_mut() else { return };
        self.bytes -= expiries.bytes();
        for _ in 0..RECLAIM_EXPIRIES {
            expiries.counts.pop_first();
            if expiries.entries.pop_first().is_none() {
                self.detached.pop();
                return;
            }
        }
        self.bytes += expiries.bytes();
    }

    /// When the first entry of a table expires.
    pub(crate) fn earliest(&self, table: u32) -> Option<u64> {
        self.tables.get(&table)?.entries.first().map(|(expires_at_ms, _)| *expires_at_ms)
    }

    /// When the first entry of a table expires that has not expired.
    pub(crate) fn next(&self, table: u32, now_ms: u64) -> Option<u64> {
        let later = (Bound::Excluded(now_ms), Bound::Unbounded);
        self.tables.get(&table)?.counts.range(later).next().map(|(expires_at_ms, _)| *expires_at_ms)
    }

    /// How many entries of a table have expired.
    pub(crate) fn expired_count(&self, table: u32, now_ms: u64) -> usize {
        let Some(expiries) = self.tables.get(&table) else { return 0 };
        expiries.counts.range(..=now_ms).map(|(_, count)| count).sum()
    }

    /// The entries of a table that have expired, the oldest first.
    pub(crate) fn expired(&self, table: u32, now_ms: u64) -> impl Iterator<Item = Handle> {
        let tables = self.tables.get(&table).into_iter();
        tables.flat_map(move |table| table.entries.range(..=(now_ms, Handle::MAX)).map(|(_, handle)| *handle))
    }
}
