//! When the entries of tables expire. With this at hand, nobody lookups through a table for the few that have.

use crate::{limits::SWEEP_TIMES, memory::arena::Handle};
use foldhash::fast::FixedState;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Entries that expire, by the number of their table.
#[derive(Debug, Default)]
pub(crate) struct Expiries {
    tables: HashMap<u32, Times, FixedState>,
    /// Those of tables that are no more.
    ended: Vec<Times>,
}

/// When the entries of one table expire.
#[derive(Debug, Default)]
struct Times {
    entries: BTreeSet<(u64, Handle)>,
    /// How many entries expire at the same time: many do, and are counted at once.
    counts: BTreeMap<u64, usize>,
}

impl Expiries {
    /// Notes when an entry of a table expires, if it does.
    pub(crate) fn add(&mut self, table: u32, handle: Handle, expires_at_ms: Option<u64>) {
        if let Some(expires_at_ms) = expires_at_ms {
            let times = self.tables.entry(table).or_default();
            times.entries.insert((expires_at_ms, handle));
            *times.counts.entry(expires_at_ms).or_default() += 1;
        }
    }

    /// Forgets an entry of a table.
    pub(crate) fn remove(&mut self, table: u32, handle: Handle, expires_at_ms: Option<u64>) {
        let Some(expires_at_ms) = expires_at_ms else { return };
        let Some(times) = self.tables.get_mut(&table) else { return };
        times.entries.remove(&(expires_at_ms, handle));
        if let Some(count) = times.counts.get_mut(&expires_at_ms) {
            *count -= 1;
            if *count == 0 {
                times.counts.remove(&expires_at_ms);
            }
        }
        if times.entries.is_empty() {
            self.tables.remove(&table);
        }
    }

    /// Forgets a table; its times are freed bit by bit, by [`Self::sweep`].
    pub(crate) fn remove_table(&mut self, table: u32) {
        self.ended.extend(self.tables.remove(&table));
    }

    /// Frees a bounded part of the times of ended tables.
    pub(crate) fn sweep(&mut self) {
        let Some(times) = self.ended.last_mut() else { return };
        for _ in 0..SWEEP_TIMES {
            times.counts.pop_first();
            if times.entries.pop_first().is_none() {
                self.ended.pop();
                return;
            }
        }
    }

    /// When the first entry of a table expires.
    pub(crate) fn first(&self, table: u32) -> Option<u64> {
        self.tables.get(&table)?.entries.first().map(|(expires_at_ms, _)| *expires_at_ms)
    }

    /// How many entries of a table have expired.
    pub(crate) fn over_count(&self, table: u32, now_ms: u64) -> usize {
        self.tables.get(&table).map_or(0, |times| times.counts.range(..=now_ms).map(|(_, count)| count).sum())
    }

    /// The entries of a table that have expired, the oldest first.
    pub(crate) fn over(&self, table: u32, now_ms: u64) -> impl Iterator<Item = Handle> {
        let times = self.tables.get(&table).into_iter();
        times.flat_map(move |times| times.entries.range(..=(now_ms, Handle::MAX)).map(|(_, handle)| *handle))
    }
}
