//! What frozen copies keep of a memory that goes on changing: what is about to be written for the first time
//! since the freeze is copied before, so a freeze itself takes no time in proportion to the memory. Readers
//! of the live memory do not notice; those of a frozen copy look for what was kept first.
//!
//! The arena keeps pages, and each table its lines, in their own files. Here is what one freeze may keep, and
//! which tables belong to it: a table is told of the freeze when it is changed first.

use crate::memory::table::Table;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
    },
};

/// How many bytes the frozen copies of a node keep, of all its stores, and how many they may.
#[derive(Debug)]
pub struct FreezeBudget {
    limit: AtomicUsize,
    kept: AtomicUsize,
}

impl Default for FreezeBudget {
    /// Without a limit.
    fn default() -> Self {
        FreezeBudget { limit: AtomicUsize::new(usize::MAX), kept: AtomicUsize::new(0) }
    }
}

impl FreezeBudget {
    /// Sets the limit, or removes it.
    pub fn set_limit(&self, limit: Option<usize>) {
        self.limit.store(limit.unwrap_or(usize::MAX), Relaxed);
    }

    /// Bytes that are kept.
    pub fn kept(&self) -> usize {
        self.kept.load(Relaxed)
    }
}

/// One freeze, as all who keep something for it share it.
#[derive(Debug)]
pub(crate) struct Freeze {
    budget: Arc<FreezeBudget>,
    kept: AtomicUsize,
    has_ended: AtomicBool,
}

impl Freeze {
    /// A freeze for which nothing is kept yet.
    pub(crate) fn new(budget: Arc<FreezeBudget>) -> Freeze {
        Freeze { budget, kept: AtomicUsize::new(0), has_ended: AtomicBool::new(false) }
    }

    /// Whether nothing more has to be kept: the copy was read, or given up.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Relaxed)
    }

    /// Ends it.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Relaxed);
    }

    /// Whether `bytes` are to be kept, which are accounted for then. If they are too many, the frozen copy is
    /// given up, so that the write that asks can go on.
    pub(crate) fn keeps(&self, bytes: usize) -> bool {
        if self.has_ended() {
            return false;
        }
        let limit = self.budget.limit.load(Relaxed);
        let after = |kept: usize| kept.checked_add(bytes).filter(|after| *after <= limit);
        if self.budget.kept.fetch_update(Relaxed, Relaxed, after).is_err() {
            self.end();
            return false;
        }
        self.kept.fetch_add(bytes, Relaxed);
        true
    }
}

impl Drop for Freeze {
    /// Nobody keeps anything for it any more.
    fn drop(&mut self) {
        self.budget.kept.fetch_sub(*self.kept.get_mut(), Relaxed);
    }
}

/// Which tables of a memory belong to a frozen copy.
#[derive(Debug)]
pub(super) struct FrozenTables {
    pub(super) freeze: Arc<Freeze>,
    /// By id: whether the table has not changed since the freeze.
    unchanged: Vec<bool>,
    /// Tables that keep lines as they were.
    changed: Vec<u32>,
    /// Tables that have been removed since.
    removed: BTreeMap<u32, Arc<Table>>,
}

impl FrozenTables {
    /// All tables, of which there are so many.
    pub(super) fn new(freeze: Arc<Freeze>, tables: usize) -> FrozenTables {
        FrozenTables { freeze, unchanged: vec![true; tables], changed: Vec::new(), removed: BTreeMap::new() }
    }

    /// A table is about to be changed.
    pub(super) fn before_change(&mut self, id: u32, table: &mut Table) {
        if self.forget(id) && !self.freeze.has_ended() {
            table.freeze(&self.freeze);
            self.changed.push(id);
        }
    }

    /// A table has been removed.
    pub(super) fn after_removal(&mut self, id: u32, table: &Arc<Table>) {
        if (self.forget(id) || table.is_frozen()) && self.freeze.keeps(table.bytes()) {
            self.removed.insert(id, table.clone());
        }
    }

    /// The table that has this id from now on does not belong to the copy. Returns whether one did that has
    /// not changed.
    pub(super) fn forget(&mut self, id: u32) -> bool {
        self.unchanged.get_mut(id as usize).is_some_and(std::mem::take)
    }

    /// A table that has been removed.
    pub(super) fn removed(&self, id: u32) -> Option<&Table> {
        self.removed.get(&id).map(|table| &**table)
    }

    /// Takes up to `limit` tables that keep lines.
    pub(super) fn take_changed(&mut self, limit: usize) -> Vec<u32> {
        self.changed.split_off(self.changed.len().saturating_sub(limit))
    }
}
