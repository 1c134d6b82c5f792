//! What frozen copies keep of a memory that goes on changing: what is about to be written for the first time
//! since the freeze is copied before, so a freeze itself takes no time in proportion to the memory. Readers
//! of the live memory do not notice; those of a frozen copy look for what was kept first.
//!
//! Arenas keep parts of pages (`arena::frozen`), tables their lines (`table::lines`). Here is what they may
//! keep.

use crate::{limits::FROZEN_SHARE, memory::large::LargeValue};
use memmap2::MmapMut;
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
    /// Sets the limit to a part of the store's memory limit, or removes it.
    pub fn set_memory_limit(&self, limit: Option<usize>) {
        self.limit.store(limit.map_or(usize::MAX, |limit| limit / FROZEN_SHARE), Relaxed);
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

/// What a frozen copy reads instead of blocks that may have changed.
#[derive(Debug)]
pub(crate) struct KeptBlocks {
    /// The freeze that they are kept for.
    pub(crate) freeze: Arc<Freeze>,
    /// How many parts behind the one that it begins in a block of a page may reach into.
    pub(crate) reach: u32,
    /// The pages that there were.
    pub(crate) pages: Vec<FrozenPage>,
    /// Whether they had not been written since, of the blocks that are allocations of their own.
    pub(crate) unwritten_large: Vec<bool>,
    /// The same of the large values.
    pub(crate) unwritten_values: Vec<bool>,
    /// Large values as they were.
    pub(crate) values: BTreeMap<u32, LargeValue>,
    /// Blocks that are allocations of their own, as they were.
    pub(crate) large: BTreeMap<u32, Box<[u8]>>,
}

/// A page that there was at the freeze.
#[derive(Debug)]
pub(crate) enum FrozenPage {
    /// It had no blocks.
    Empty,
    /// It has not been written since.
    Unwritten,
    /// Parts of it were kept before they were written.
    Written(Box<KeptPage>),
}

/// The parts of a page that were kept. A bit stands for a part.
#[derive(Debug)]
pub(crate) struct KeptPage {
    /// As long as the page. What is not kept takes no memory.
    pub(crate) bytes: MmapMut,
    /// Those that are kept.
    pub(crate) kept: u64,
    /// Those that may have been written since.
    pub(crate) written: u64,
}
