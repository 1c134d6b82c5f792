//! When the entries of tables expire. With this at hand, nobody looks through a table for the few that have.

use crate::arena::Handle;
use foldhash::fast::FixedState;
use std::collections::{BTreeSet, HashMap};

/// Entries that expire, by the number of their table and in the order of their times.
#[derive(Debug, Default)]
pub(crate) struct Expiries {
    tables: HashMap<u32, BTreeSet<(u64, Handle)>, FixedState>,
}

impl Expiries {
    /// Notes when an entry of a table expires, if it does.
    pub(crate) fn add(&mut self, table: u32, handle: Handle, expires: Option<u64>) {
        if let Some(expires) = expires {
            self.tables.entry(table).or_default().insert((expires, handle));
        }
    }

    /// Forgets an entry of a table.
    pub(crate) fn remove(&mut self, table: u32, handle: Handle, expires: Option<u64>) {
        let Some(expires) = expires else { return };
        let Some(entries) = self.tables.get_mut(&table) else { return };
        entries.remove(&(expires, handle));
        if entries.is_empty() {
            self.tables.remove(&table);
        }
    }

    /// Forgets a table.
    pub(crate) fn remove_table(&mut self, table: u32) {
        self.tables.remove(&table);
    }

    /// When the first entry of a table expires.
    pub(crate) fn first(&self, table: u32) -> Option<u64> {
        self.tables.get(&table)?.first().map(|(expires, _)| *expires)
    }

    /// Whether `len` entries of a table, all that it has, have expired.
    pub(crate) fn are_all_over(&self, table: u32, len: usize, now: u64) -> bool {
        let Some(entries) = self.tables.get(&table).filter(|entries| entries.len() == len) else {
            return false;
        };
        entries.last().is_some_and(|(expires, _)| *expires <= now)
    }

    /// The entries of a table that have expired, the oldest first.
    pub(crate) fn over(&self, table: u32, now: u64) -> impl Iterator<Item = Handle> {
        self.tables
            .get(&table)
            .into_iter()
            .flat_map(move |entries| entries.range(..=(now, Handle::MAX)).map(|(_, handle)| *handle))
    }
}
