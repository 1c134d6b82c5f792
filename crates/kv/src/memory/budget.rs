//! The limit on the memory of all buckets of a node (Redis's `maxmemory`), and how much of it is used.
//!
//! Each shard counts its own bytes under its lock, and adds the difference here at the end of each batch.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The bytes that all shards use together, and their limit.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: AtomicUsize,
    used: AtomicUsize,
}

impl Default for Budget {
    /// Without a limit.
    fn default() -> Self {
        Budget { limit: AtomicUsize::new(usize::MAX), used: AtomicUsize::new(0) }
    }
}

impl Budget {
    /// The limit, if there is one.
    pub(crate) fn limit(&self) -> Option<usize> {
        Some(self.limit.load(Relaxed)).filter(|limit| *limit != usize::MAX)
    }

    /// Sets the limit, or removes it.
    pub(crate) fn set_limit(&self, limit: Option<usize>) {
        self.limit.store(limit.unwrap_or(usize::MAX), Relaxed);
    }

    /// The bytes that all shards use together.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// Whether the limit is exceeded, when one shard holds `held` bytes, of which `accounted` are accounted
    /// for.
    pub(crate) fn is_exceeded(&self, held: usize, accounted: usize) -> bool {
        self.used.load(Relaxed).wrapping_add(held).wrapping_sub(accounted) > self.limit.load(Relaxed)
    }

    /// Accounts for the `held` bytes of a shard, of which `accounted` were accounted for before.
    pub(crate) fn account(&self, held: usize, accounted: &mut usize) {
        if held != *accounted {
            self.used.fetch_add(held.wrapping_sub(*accounted), Relaxed);
            *accounted = held;
        }
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
