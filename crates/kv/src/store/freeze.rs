//! Frozen copies: what all buckets were at one moment, read at any pace while the store goes on changing.
//!
//! A freeze marks all shards while all of them are locked. From then on what is about to change is copied
//! before it does (`memory::freeze`). A reader takes the lock of a shard for one bounded step at a time.

pub(crate) mod split;

use super::Store;
use crate::{
    database::Database,
    memory::freeze::FreezeBudget,
    shard::{
        Shard,
        frozen::{Freezing, FrozenPosition, FrozenStep, Names, Record},
        multi::ShardGuards,
        watch::StateRecord,
    },
};
use parking_lot::MutexGuard;
use std::{
    fmt, mem,
    sync::{Arc, Weak},
};

/// The store has a frozen copy already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("another backup or snapshot is being taken; try again when it is done")]
pub struct AlreadyFrozen;

/// A frozen copy was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("given up: too much was written meanwhile; try again at a quieter time")]
pub struct GivenUp;

/// What all buckets were at one moment, except what has been read already. What was kept for it is freed when
/// it is dropped, which takes a while.
pub struct FrozenStore {
    store: Arc<Store>,
    freezing: Arc<Freezing>,
    /// How many buckets there are.
    buckets: usize,
    /// The shard that is being read, and how far.
    shard: usize,
    position: FrozenPosition,
    /// That shard, if it was flushed meanwhile.
    flushed: Option<Shard>,
    /// The names of the buckets that are read, and whether those of the last bucket are.
    pub(super) names: Names,
    is_open: bool,
}

impl fmt::Debug for FrozenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrozenStore").field("buckets", &self.buckets).finish_non_exhaustive()
    }
}

impl Store {
    /// Freezes all buckets as they are now. What is kept for the copy counts against `budget`; when that is
    /// used up, the copy is given up. A store has one frozen copy at a time, and any number that were given
    /// up, whose readers do not know it yet.
    pub fn freeze(self: &Arc<Self>, budget: &Arc<FreezeBudget>) -> Result<FrozenStore, AlreadyFrozen> {
        let before = self.current_freeze.lock().clone();
        if let Some(before) = before.upgrade() {
            if !before.freeze.has_ended() {
                return Err(AlreadyFrozen);
            }
            (0..self.shards.len()).for_each(|index| self.thaw(index, &before));
        }
        let freezing = Arc::new(Freezing::new(budget));
        {
            let mut current = self.current_freeze.lock();
            // Another one may have begun meanwhile.
            if !Weak::ptr_eq(&current, &before) {
                return Err(AlreadyFrozen);
            }
            *current = Arc::downgrade(&freezing);
        }
        let mut buckets = 0;
        let mut shards = ShardGuards::new((0..self.shards.len()).collect(), |index| self.lock(index));
        shards.for_each(|shard| {
            if shard.registry.len() > 0 {
                buckets += shard.registry.len();
                shard.freeze(&freezing.freeze);
            }
        });
        drop(shards);
        let (store, names) = (self.clone(), Names { start: Box::default(), end: self.split_at() });
        let (shard, position, flushed, is_open) = (0, FrozenPosition::default(), None, false);
        Ok(FrozenStore { store, freezing, buckets, shard, position, flushed, names, is_open })
    }

    /// Passes what the store has besides its buckets to `visit`. Nothing may be executed meanwhile that has
    /// to be in the log; otherwise it is not as of one moment.
    pub fn read_state(&self, mut visit: impl FnMut(StateRecord<'_>)) {
        if let Some(at) = self.split_at() {
            visit(StateRecord::SplitAt(&at));
        }
        let last_version = self.watch_budget.last_version();
        if last_version != 0 {
            visit(StateRecord::LastVersion(last_version));
        }
        for database in Database::all() {
            for index in self.shards_of(database) {
                self.lock(index).watches.read(database, &mut visit);
            }
        }
    }

    /// Frees what a shard keeps for a freeze.
    fn thaw(&self, index: usize, freezing: &Freezing) {
        loop {
            let mut shard = self.lock(index);
            let kept = if freezing.has(&shard) { shard.thaw_some() } else { None };
            MutexGuard::unlock_fair(shard);
            if kept.is_none() {
                break;
            }
        }
    }

    /// Whether there is a frozen copy that was not given up.
    pub fn is_frozen(&self) -> bool {
        self.current_freeze.lock().upgrade().is_some_and(|freezing| !freezing.freeze.has_ended())
    }

    /// A shard has been flushed and is still locked. Hands what it was over to the frozen copy that it
    /// belongs to, or returns it.
    pub(super) fn keep_flushed(&self, index: usize, flushed: Shard) -> Option<Shard> {
        let freezing = self.current_freeze.lock().upgrade().filter(|freezing| freezing.has(&flushed));
        match freezing.filter(|freezing| freezing.freeze.keeps(flushed.held_bytes())) {
            None => Some(flushed),
            Some(freezing) => {
                freezing.flushed.lock().insert(index, flushed);
                None
            }
        }
    }

    /// Gives the frozen copy up, if there is one.
    pub fn end_freeze(&self) {
        if let Some(freezing) = self.current_freeze.lock().upgrade() {
            freezing.freeze.end();
        }
    }
}

impl FrozenStore {
    /// How many buckets it has, those included that have been read.
    pub fn buckets(&self) -> usize {
        self.buckets
    }

    /// Passes the next records to `visit`, while their shard is locked, or one with a large value while it is
    /// not; `false` when there are no more. What had expired and was not removed yet is among them.
    pub fn read(&mut self, mut visit: impl FnMut(Record<'_>)) -> Result<bool, GivenUp> {
        let (names, mut is_open) = (mem::take(&mut self.names), self.is_open);
        let more = self.read_all(|record| {
            if names.has(&record, &mut is_open) {
                visit(record);
            }
        });
        (self.names, self.is_open) = (names, is_open);
        more
    }

    /// As [`Self::read`], of all buckets.
    fn read_all(&mut self, mut visit: impl FnMut(Record<'_>)) -> Result<bool, GivenUp> {
        while self.shard < self.store.shards.len() {
            let database = Database::new(self.shard / self.store.shards_per_database());
            let database = database.expect("each shard belongs to a database");
            match self.step(database, &mut visit)? {
                Some(FrozenStep::More) => return Ok(true),
                Some(FrozenStep::Large(large)) => {
                    visit(large.record(database));
                    return Ok(true);
                }
                Some(FrozenStep::End) => {
                    self.flushed = None;
                    self.store.thaw(self.shard, &self.freezing);
                    self.position = FrozenPosition::default();
                }
                None => {}
            }
            self.shard += 1;
        }
        Ok(false)
    }

    /// Takes a step in the current shard; `None` if it does not belong to the copy.
    fn step(
        &mut self,
        database: Database,
        visit: impl FnMut(Record<'_>),
    ) -> Result<Option<FrozenStep>, GivenUp> {
        let shard = self.store.lock(self.shard);
        // Now nothing of this shard can change.
        if self.freezing.freeze.has_ended() {
            return Err(GivenUp);
        }
        if self.freezing.has(&shard) {
            let step = shard.read_frozen(&mut self.position, database, visit);
            MutexGuard::unlock_fair(shard);
            return Ok(Some(step));
        }
        drop(shard);
        if self.flushed.is_none() {
            self.flushed = self.freezing.flushed.lock().remove(&self.shard);
        }
        let flushed = self.flushed.as_ref();
        Ok(flushed.map(|shard| shard.read_frozen(&mut self.position, database, visit)))
    }
}

impl Drop for FrozenStore {
    fn drop(&mut self) {
        self.freezing.freeze.end();
        for index in self.shard..self.store.shards.len() {
            self.store.thaw(index, &self.freezing);
        }
    }
}

#[cfg(test)]
mod tests;
