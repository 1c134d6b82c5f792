//! Which tables of a memory belong to a frozen copy. A freeze marks all of them at once; a table begins to
//! keep its lines when it is changed for the first time.

use super::Table;
use crate::memory::freeze::Freeze;
use std::{collections::BTreeMap, sync::Arc};

/// The tables of one memory.
#[derive(Debug)]
pub(crate) struct FrozenTables {
    pub(crate) freeze: Arc<Freeze>,
    /// By id: whether the table has not changed since the freeze.
    unchanged: Vec<bool>,
    /// Tables that keep lines as they were.
    changed: Vec<u32>,
    /// Tables that have been removed since.
    removed: BTreeMap<u32, Arc<Table>>,
}

impl FrozenTables {
    /// The first `tables` ids belong to the copy.
    pub(crate) fn new(freeze: Arc<Freeze>, tables: usize) -> FrozenTables {
        FrozenTables { freeze, unchanged: vec![true; tables], changed: Vec::new(), removed: BTreeMap::new() }
    }

    /// A table is about to be changed.
    pub(crate) fn before_change(&mut self, id: u32, table: &mut Table) {
        if self.forget(id) && !self.freeze.has_ended() {
            table.freeze(&self.freeze);
            self.changed.push(id);
        }
    }

    /// A table has been removed.
    pub(crate) fn after_removal(&mut self, id: u32, table: &Arc<Table>) {
        if (self.forget(id) || table.is_frozen()) && self.freeze.keeps(table.bytes()) {
            self.removed.insert(id, table.clone());
        }
    }

    /// The table that has this id from now on does not belong to the copy. Returns whether one did that has
    /// not changed.
    pub(crate) fn forget(&mut self, id: u32) -> bool {
        self.unchanged.get_mut(id as usize).is_some_and(std::mem::take)
    }

    /// A table that has been removed.
    pub(crate) fn removed(&self, id: u32) -> Option<&Table> {
        self.removed.get(&id).map(|table| &**table)
    }

    /// Takes up to `limit` tables that keep lines.
    pub(crate) fn take_changed(&mut self, limit: usize) -> Vec<u32> {
        self.changed.split_off(self.changed.len().saturating_sub(limit))
    }
}
