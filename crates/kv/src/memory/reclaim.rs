//! Deferred frees: what a large bucket held is freed a few lines at a time, so that nobody waits for all of
//! it.

use crate::{
    limits::RECLAIM_LINES,
    memory::{Memory, table::Table},
};

/// Tables whose entries are yet to be freed.
#[derive(Debug, Default)]
pub(crate) struct Reclaim {
    /// Each with the first line that still holds entries.
    tables: Vec<(Table, usize)>,
}

impl Reclaim {
    /// Takes a table over, to be freed bit by bit.
    pub(crate) fn free_later(&mut self, table: Table) {
        self.tables.push((table, 0));
    }

    /// Frees a bounded part of what is to be freed.
    pub(crate) fn reclaim_some(&mut self, memory: &mut Memory) {
        memory.expiries.reclaim_some();
        let Some((table, line)) = self.tables.last_mut() else { return };
        let end = table.home_lines().min(*line + RECLAIM_LINES);
        for index in *line..end {
            table.line_chain(index).for_each(|handle| memory.free_entry(handle));
        }
        *line = end;
        if end == table.home_lines() {
            self.tables.pop();
        }
    }

    /// Whether there is something left to free.
    pub(crate) fn has_garbage(&self) -> bool {
        !self.tables.is_empty()
    }
}
