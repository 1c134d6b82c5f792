//! The limit on the memory of all buckets of a node (Redis's `maxmemory`), and how much of it is used; and
//! the part of it that watched names may take besides.
//!
//! Each shard counts its own bytes under its lock, and adds the difference here at the end of each batch.

use crate::limits::{FREE_SHARE, WATCHES_BYTES, WATCHES_SHARE};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The bytes that all shards of all stores of a node use together, and hold with their free blocks, and the
/// limit.
#[derive(Debug)]
pub struct Budget {
    limit: AtomicUsize,
    used: AtomicUsize,
    held: AtomicUsize,
    /// The limit, or 0 while too much is held.
    effective_limit: AtomicUsize,
}

impl Default for Budget {
    /// Without a limit.
    fn default() -> Self {
        let unlimited = || AtomicUsize::new(usize::MAX);
        let (used, held) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Budget { limit: unlimited(), used, held, effective_limit: unlimited() }
    }
}

impl Budget {
    /// The limit, if there is one.
    pub fn limit(&self) -> Option<usize> {
        Some(self.limit.load(Relaxed)).filter(|limit| *limit != usize::MAX)
    }

    /// Sets the limit, or removes it.
    pub fn set_limit(&self, limit: Option<usize>) {
        self.limit.store(limit.unwrap_or(usize::MAX), Relaxed);
        self.update_effective_limit();
    }

    /// Whether what is used exceeds the limit, or will with `bytes` more.
    pub fn lacks(&self, bytes: usize) -> bool {
        self.used().saturating_add(bytes) > self.limit.load(Relaxed)
    }

    /// Whether `bytes` more exceed the limit, when one shard uses `used` bytes, of which `accounted` are
    /// accounted for.
    pub(crate) fn lacks_in_shard(&self, bytes: usize, used: usize, accounted: usize) -> bool {
        let used = self.used().wrapping_add(used).wrapping_sub(accounted);
        used.saturating_add(bytes) > self.limit.load(Relaxed)
    }

    /// Whether so much is held that compaction has to help.
    pub(crate) fn is_pressed(&self) -> bool {
        self.held.load(Relaxed) > self.limit.load(Relaxed)
    }

    /// Whether compaction can make room: what is used is within the limit, and too much is held.
    pub(crate) fn holds_too_much(&self) -> bool {
        self.update_effective_limit();
        !self.lacks(0) && self.effective_limit.load(Relaxed) < self.limit.load(Relaxed)
    }

    fn update_effective_limit(&self) {
        let limit = self.limit.load(Relaxed);
        let is_too_much = self.held.load(Relaxed) > limit.saturating_add(limit / FREE_SHARE);
        self.effective_limit.store(if is_too_much { 0 } else { limit }, Relaxed);
    }

    /// The bytes that all shards use together.
    pub fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Whether the limit is exceeded, when one shard uses `used` bytes, of which `accounted` are accounted
    /// for.
    pub(crate) fn is_exceeded(&self, used: usize, accounted: usize) -> bool {
        self.used.load(Relaxed).wrapping_add(used).wrapping_sub(accounted)
            > self.effective_limit.load(Relaxed)
    }

    /// Accounts for the bytes that a shard takes up, of which `accounted` were accounted for before.
    pub(crate) fn account_held(&self, held: usize, accounted: &mut usize) {
        if held != *accounted {
            self.held.fetch_add(held.wrapping_sub(*accounted), Relaxed);
            *accounted = held;
            self.update_effective_limit();
        }
    }

    /// Accounts for the bytes that a shard uses, of which `accounted` were accounted for before. Returns
    /// whether they have changed.
    pub(crate) fn account(&self, used: usize, accounted: &mut usize) -> bool {
        let has_changed = used != *accounted;
        if has_changed {
            self.used.fetch_add(used.wrapping_sub(*accounted), Relaxed);
            *accounted = used;
        }
        has_changed
    }
}

/// The bytes that the watched names of all shards take together, and their limit.
#[derive(Debug)]
pub(crate) struct WatchBudget {
    limit: AtomicUsize,
    used: AtomicUsize,
    last_version: AtomicU64,
}

impl Default for WatchBudget {
    /// For a store without a memory limit. Versions from before a restart do not match.
    fn default() -> Self {
        WatchBudget::after_version(fastrand::u64(..))
    }
}

impl WatchBudget {
    /// As the default, with the versions that follow this one.
    pub(crate) fn after_version(last_version: u64) -> WatchBudget {
        WatchBudget {
            limit: AtomicUsize::new(WATCHES_BYTES),
            used: AtomicUsize::new(0),
            last_version: AtomicU64::new(last_version),
        }
    }

    /// A version that no bucket has had.
    pub(crate) fn next_version(&self) -> u64 {
        self.last_version.fetch_add(1, Relaxed).wrapping_add(1)
    }

    /// The last version that was given.
    pub(crate) fn last_version(&self) -> u64 {
        self.last_version.load(Relaxed)
    }

    /// Goes on after this version.
    pub(crate) fn set_last_version(&self, last_version: u64) {
        self.last_version.store(last_version, Relaxed);
    }

    /// Sets the limit to a part of the store's memory limit.
    pub(crate) fn set_memory_limit(&self, limit: Option<usize>) {
        let share = limit.map_or(usize::MAX, |limit| limit / WATCHES_SHARE);
        self.limit.store(share.min(WATCHES_BYTES), Relaxed);
    }

    /// Takes bytes; `false` when there are not as many left.
    pub(crate) fn charge(&self, bytes: usize) -> bool {
        let limit = self.limit.load(Relaxed);
        let after = |used: usize| used.checked_add(bytes).filter(|after| *after <= limit);
        self.used.fetch_update(Relaxed, Relaxed, after).is_ok()
    }

    /// Gives bytes back.
    pub(crate) fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Relaxed);
    }

    /// Bytes that are taken.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_not_yet_accounted_for_count() {
        let (budget, mut one, mut other) = (Budget::default(), 0, 0);
        assert!(!budget.is_exceeded(usize::MAX / 2, 0));
        budget.set_limit(Some(100));
        budget.account(60, &mut one);
        budget.account(40, &mut other);
        assert!(!budget.is_exceeded(40, other));
        assert!(budget.is_exceeded(41, other));
        assert!(!budget.is_exceeded(59, one));
    }
}
