//! Deferred frees: the entries of a destroyed table are freed a few lines at a time, so that no request waits
//! for all of them.

use crate::{
    limits::RECLAIM_LINES,
    memory::{Memory, table::Table},
};

/// Tables whose entries are to be freed.
#[derive(Debug, Default)]
pub(crate) struct Reclaim {
    /// Each with the first line that still holds entries.
    tables: Vec<(Table, usize)>,
}

impl Reclaim {
    /// Takes a table, to be freed in bounded steps.
    pub(crate) fn free_later(&mut self, table: Table) {
        self.tables.push((table, 0));
    }

    /// Takes one bounded step.
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

    /// Whether anything is left to free.
    pub(crate) fn has_garbage(&self) -> bool {
        !self.tables.is_empty()
    }
}
