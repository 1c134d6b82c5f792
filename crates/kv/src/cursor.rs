//! The cursors of scans. A position is one in the order of hashes, which each replica of a range seeds for
//! itself, and among shards, of which replicas may have different numbers. So a cursor says which order it is
//! of: where another replica has become the leader, a scan begins again, and misses nothing.

use foldhash::fast::SeedableRandomState;
use std::hash::BuildHasher;

/// How many orders cursors distinguish.
const ORDERS: u64 = 1 << 16;

/// What the hash of an order is of.
const NAMED: u64 = 0;

/// The order of hashes of one store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order(u64);

impl Order {
    /// That of the store with this hasher.
    pub(crate) fn of(hasher: &SeedableRandomState) -> Order {
        Order(hasher.hash_one(NAMED) % ORDERS)
    }

    /// The cursor of a position; 0, the end of a scan, has none.
    pub(crate) fn cursor(self, position: u64) -> u64 {
        if position == 0 { 0 } else { position * ORDERS + self.0 }
    }

    /// The position of a cursor; `None` if it belongs to another order.
    pub(crate) fn position(self, cursor: u64) -> Option<u64> {
        let is_own = cursor == 0 || cursor % ORDERS == self.0;
        is_own.then_some(cursor / ORDERS)
    }
}
